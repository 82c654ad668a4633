//! The rule versions that CORRELATE judges by: a signal names one, and is judged by that one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::matching::Fault;
use crate::event::Layout;
use crate::query::Sets;
use crate::rule::Rule;

/// Rules by id and version.
#[derive(Debug, Default)]
pub struct Rules {
    by_id: BTreeMap<Arc<str>, BTreeMap<u64, Arc<Judge>>>,
}

/// One version of a rule, ready to judge firings.
#[derive(Debug)]
pub struct Judge {
    pub(super) rule: Arc<Rule>,
}

impl Rules {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a version of a rule; another version of the same rule stays.
    pub fn add(&mut self, rule: &Arc<Rule>, sets: &Sets) -> Result<(), Fault> {
        let judge = Judge::new(rule.clone(), sets)?;
        self.by_id.entry(rule.id.clone()).or_default().insert(rule.hash, Arc::new(judge));
        Ok(())
    }

    /// All of these rules.
    pub fn compile(
        rules: impl IntoIterator<Item = Arc<Rule>>,
        sets: &Sets,
    ) -> Result<Self, Vec<Fault>> {
        let mut all = Self::new();
        let faults: Vec<Fault> =
            rules.into_iter().filter_map(|rule| all.add(&rule, sets).err()).collect();
        if faults.is_empty() { Ok(all) } else { Err(faults) }
    }

    /// A version of a rule.
    pub fn get(&self, id: &str, version: u64) -> Option<&Arc<Judge>> {
        self.by_id.get(id)?.get(&version)
    }
}

impl Judge {
    fn new(rule: Arc<Rule>, sets: &Sets) -> Result<Self, Fault> {
        let mut layout = Layout::new();
        for case in &rule.alert.cases {
            if let Err(diagnostics) = case.when.compile(&mut layout, sets) {
                return Err(Fault { rule: rule.id.clone(), diagnostics });
            }
        }
        Ok(Self { rule })
    }

    /// The rule.
    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }
}

//! The rule versions that CORRELATE judges by: a signal names one, and is judged by that one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Severity, Timestamp};
use crate::detectors::Occurrence;
use crate::engine::matching::Fault;
use crate::engine::{Fields, Key, Signal, Signals};
use crate::event::{FieldName, Layout, Scalar};
use crate::query::{Matcher, Sets};
use crate::rule::Rule;

use super::expected::Expected;
use super::values::Values;

/// Rules by id and version.
#[derive(Debug, Default)]
pub struct Rules {
    by_id: BTreeMap<Arc<str>, BTreeMap<u64, Arc<Judge>>>,
    /// Those that this process runs, in order of their ids; others are known only for their signals.
    active: Vec<Arc<Judge>>,
    /// Their ids and fingerprints.
    running: BTreeSet<(Arc<str>, u64)>,
}

/// One version of a rule, ready to judge firings.
#[derive(Debug)]
pub struct Judge {
    rule: Arc<Rule>,
    /// What the severity cases read: fields of the firing event and of the alert.
    pub(super) layout: Layout,
    pub(super) cases: Vec<(Matcher, Severity)>,
    /// Fields whose distinct values titles show.
    pub(super) values: Vec<Arc<str>>,
    /// Fields that the detector reads, in its order.
    pub(super) reads: Vec<Arc<str>>,
    /// The keys that it watches though they may never have had an event.
    expected: Expected,
}

impl Rules {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a version of a rule that is known only for its signals; another version of the same rule
    /// stays.
    pub fn add(&mut self, rule: &Arc<Rule>, sets: &Sets) -> Result<(), Fault> {
        self.insert(rule, sets).map(|_| ())
    }

    fn insert(&mut self, rule: &Arc<Rule>, sets: &Sets) -> Result<Arc<Judge>, Fault> {
        let judge = Arc::new(Judge::new(rule.clone(), sets)?);
        self.by_id.entry(rule.id.clone()).or_default().insert(rule.hash, judge.clone());
        Ok(judge)
    }

    /// All of these rules, and they are what this process runs.
    pub fn compile(
        rules: impl IntoIterator<Item = Arc<Rule>>,
        sets: &Sets,
    ) -> Result<Self, Vec<Fault>> {
        let mut all = Self::new();
        let mut faults = Vec::new();
        for rule in rules {
            match all.insert(&rule, sets) {
                Ok(judge) if rule.enabled => {
                    all.running.insert((rule.id.clone(), rule.fingerprint));
                    all.active.push(judge);
                }
                Ok(_) => {}
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(all) } else { Err(faults) }
    }

    /// The rules that this process runs.
    pub fn active(&self) -> &[Arc<Judge>] {
        &self.active
    }

    /// Whether this process runs the version, or one that remembers the same.
    pub(super) fn runs(&self, judge: &Judge) -> bool {
        self.running.contains(&(judge.rule.id.clone(), judge.rule.fingerprint))
    }

    /// A version of a rule.
    pub fn get(&self, id: &str, version: u64) -> Option<&Arc<Judge>> {
        self.by_id.get(id)?.get(&version)
    }
}

impl Judge {
    fn new(rule: Arc<Rule>, sets: &Sets) -> Result<Self, Fault> {
        let mut layout = Layout::new();
        let mut cases = Vec::new();
        for case in &rule.alert.cases {
            match case.when.compile(&mut layout, sets) {
                Ok(matcher) => cases.push((matcher, case.level)),
                Err(diagnostics) => return Err(Fault { rule: rule.id.clone(), diagnostics }),
            }
        }
        let names = |fields: Vec<FieldName>| fields.iter().map(|f| f.to_string().into()).collect();
        let values = names(rule.values_fields());
        let reads = names(rule.detector.as_ref().map_or_else(Vec::new, |d| d.fields()));
        let expected = Expected::new(&rule, sets)
            .map_err(|mistake| Fault { rule: rule.id.clone(), diagnostics: vec![mistake] })?;
        Ok(Self { rule, layout, cases, values, reads, expected })
    }

    /// The rule.
    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }

    /// Adds the values of an event that titles show.
    pub(super) fn show(&self, values: &mut Values, fields: &Fields, time: Timestamp) {
        for field in &self.values {
            fields.get(field).iter().for_each(|value| values.take(field, value, time));
        }
    }

    /// What the detector sees of a signal; `None` without one.
    pub(super) fn occurrence(&self, event: &Signals, signal: &Signal) -> Option<Occurrence> {
        self.rule.detector.as_ref()?;
        Some(Occurrence {
            time: event.time,
            position: event.position.clone(),
            parts: signal.parts,
            values: self.reads.iter().map(|name| signal.fields.get(name).to_vec()).collect(),
        })
    }

    /// The keys that it watches though they may never have had an event.
    pub(super) fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Whether its clock firings come for want of events.
    pub(super) fn watches(&self) -> bool {
        self.rule.detector.as_ref().is_some_and(|detector| detector.watches())
    }

    /// A key's values by field, as it is spelt.
    pub(super) fn key(&self, key: &Key) -> BTreeMap<String, serde_json::Value> {
        let names = self.rule.group_by.iter().map(ToString::to_string);
        names.zip(key.shown().iter().map(Scalar::to_json)).collect()
    }

    /// Whether every event is an alert of its own, over at once.
    pub(super) fn is_one_event(&self) -> bool {
        self.rule.detector.is_none() && self.rule.group_by.is_empty()
    }
}

//! What `hark check` says: mappings and rules together, every mistake of every file.
//!
//! Texts in, a report out; reading files, printing and the exit code are the shell's business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use crate::base::diagnostic::{Gravity, SourceText, allow, render};
use crate::base::document::{Document, Text};
use crate::base::{Diagnostic, Diagnostics};
use crate::event::Layout;
use crate::mapping::{Mappings, Options, Tables};
use crate::query::Sets;

use super::lint::{lint, lint_overrides};
use super::overrides::is_override_file;
use super::{Advice, Context, Rule, RuleFile, RuleSet};

/// Everything that is checked together.
#[derive(Debug, Clone, Copy)]
pub struct CheckInput<'a> {
    /// The mapping files.
    pub mappings: &'a [SourceText],
    /// The tables that mappings look into.
    pub tables: &'a Tables,
    /// The rule files.
    pub rules: &'a [RuleFile],
    /// The lists and schedules of the configuration.
    pub sets: &'a Sets,
    /// What advice depends on besides.
    pub advice: Advice<'a>,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// Each file that has something to say, mappings first.
    pub files: Vec<(SourceText, Diagnostics)>,
    /// The rules that have no errors.
    pub rules: RuleSet,
    /// How many rule files there were, without those that only hold overrides.
    pub rule_files: usize,
    /// The mapping files, for whoever runs what was checked: read again, they might be others.
    pub mappings: Vec<SourceText>,
}

/// Checks mappings, then rules against them; warnings that a rule or the configuration allows are
/// left out.
pub fn check(input: &CheckInput<'_>) -> CheckReport {
    let CheckInput { mappings: sources, tables, rules: files, sets, advice } = *input;
    let (mappings, mut reported) =
        Mappings::load(sources, tables, &Layout::new(), sets, Options::default());
    let mappings = (!sources.is_empty()).then_some(&mappings);
    let (rules, of_rules) = RuleSet::load(files, &Context { sets, mappings });
    let mut of_rules: BTreeMap<&Path, Diagnostics> =
        of_rules.iter().map(|(source, found)| (source.path.as_path(), found.clone())).collect();
    // Advice is on what stands in the rule's own file; an override has a file of its own.
    let written = rules.as_written();
    let by_path: BTreeMap<&Path, &Arc<Rule>> =
        written.rules().iter().map(|rule| (rule.source.path.as_path(), rule)).collect();
    let elsewhere = advice.other_rules.into_iter().flatten().map(String::as_str);
    let ids: BTreeSet<&str> = rules.rules().iter().map(|rule| &*rule.id).chain(elsewhere).collect();
    for file in files {
        let path = file.source.path.as_path();
        let mut found = of_rules.remove(path).unwrap_or_default();
        if let Some(rule) = by_path.get(path) {
            found.extend(lint(rule, &advice, mappings, sets, &ids));
        } else if is_override_file(&file.source.text) {
            found.extend(lint_overrides(&file.source.text, &advice));
        }
        reported.push((file.source.clone(), allowed_by_rule(&file.source, found)));
    }
    let reported = reported
        .into_iter()
        .map(|(source, found)| (source, allow::without(found, advice.allow)))
        .filter(|(_, found)| !found.is_empty());
    let rule_files = files.iter().filter(|file| !is_override_file(&file.source.text)).count();
    CheckReport { files: reported.collect(), rules, rule_files, mappings: sources.to_vec() }
}

/// Takes away what the rule's file allows, and says of what it allows without need. In a file with
/// errors not everything was looked at, so nothing can be said of that.
fn allowed_by_rule(source: &SourceText, found: Diagnostics) -> Diagnostics {
    let document = Document::parse(&source.text);
    let mut ignored = Diagnostics::new();
    let names = allow::read(&mut document.root(&mut ignored), &mut ignored);
    if names.is_empty() {
        return found;
    }
    let needed =
        |name: &Text| found.iter().any(|d| d.code == name.value && d.gravity == Gravity::Warning);
    let unused: Vec<Diagnostic> = names
        .iter()
        .filter(|name| !found.has_errors() && !needed(name))
        .map(|name| {
            let span = name.locate(0..name.value.len());
            let message = format!("nothing here needs `{}` to be allowed", name.value);
            Diagnostic::warning("unused-allow", span, message).help("take it out")
        })
        .collect();
    let names: Vec<&str> = names.iter().map(|name| name.value.as_str()).collect();
    let mut left = allow::without(found, &names);
    left.extend(unused);
    left
}

impl CheckReport {
    /// How many errors in all files.
    pub fn errors(&self) -> usize {
        self.files.iter().map(|(_, found)| found.errors()).sum()
    }

    /// How many warnings in all files.
    pub fn warnings(&self) -> usize {
        self.files.iter().map(|(_, found)| found.warnings()).sum()
    }

    /// Every diagnostic with its place, file by file; empty when there is nothing to say.
    pub fn render(&self, colour: bool) -> String {
        self.files.iter().map(|(source, found)| render(source, found, colour)).collect()
    }

    /// One line: `12 rules (2 overridden) and 5 mappings checked: no errors, 1 warning`.
    pub fn summary(&self) -> String {
        let counted = |n: usize, what: &str| match n {
            0 => format!("no {what}s"),
            1 => format!("1 {what}"),
            _ => format!("{n} {what}s"),
        };
        let overridden = match self.rules.overridden() {
            0 => String::new(),
            n => format!(" ({n} overridden)"),
        };
        let mut line = format!(
            "{}{overridden} and {} checked: {}",
            counted(self.rule_files, "rule"),
            counted(self.mappings.len(), "mapping"),
            counted(self.errors(), "error"),
        );
        if self.warnings() > 0 {
            // Writing to a String cannot fail.
            let _infallible = write!(line, ", {}", counted(self.warnings(), "warning"));
        }
        line
    }
}

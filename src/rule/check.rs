//! What `hark check` says: mappings and rules together, every mistake of every file.
//!
//! Texts in, a report out; reading files, printing and the exit code are the shell's business.

use std::fmt::Write as _;

use crate::base::Diagnostics;
use crate::base::diagnostic::{SourceText, render};
use crate::event::Layout;
use crate::mapping::{Mappings, Options, Tables};
use crate::query::Sets;

use super::overrides::is_override_file;
use super::{Context, RuleFile, RuleSet};

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

/// Checks mappings, then rules against them.
pub fn check(input: &CheckInput<'_>) -> CheckReport {
    let CheckInput { mappings: sources, tables, rules: files, sets } = *input;
    let (mappings, mut reported) =
        Mappings::load(sources, tables, &Layout::new(), sets, Options::default());
    let context = Context { sets, mappings: (!sources.is_empty()).then_some(&mappings) };
    let (rules, of_rules) = RuleSet::load(files, &context);
    reported.extend(of_rules);
    let rule_files = files.iter().filter(|file| !is_override_file(&file.source.text)).count();
    CheckReport { files: reported, rules, rule_files, mappings: sources.to_vec() }
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

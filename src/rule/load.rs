//! All rule files of a rules root together.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::diagnostic::SourceText;
use crate::base::{Diagnostic, Diagnostics};

use super::{Context, Rule, parse};

/// A rule file as the shell found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// Its path under the rules root: `common/failed-logins.toml`.
    pub relative: String,
    /// Its text, under the path that messages show.
    pub source: SourceText,
}

impl RuleFile {
    /// The rule's id unless the file names another: the path without `.toml`, with `/`.
    pub fn id(&self) -> String {
        let path = self.relative.replace('\\', "/");
        path.strip_suffix(".toml").unwrap_or(&path).to_owned()
    }
}

/// Rules without mistakes, each under its own id.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    /// In order of their ids.
    rules: Vec<Arc<Rule>>,
}

impl RuleSet {
    /// Reads all files. A file with a mistake contributes no rule; what is wrong (or only odd) is in
    /// the second value: one entry for each file that has something to say, in the given order.
    pub fn load(
        files: &[RuleFile],
        context: &Context<'_>,
    ) -> (Self, Vec<(SourceText, Diagnostics)>) {
        let mut parsed: Vec<_> =
            files.iter().map(|file| parse(&file.source, &file.id(), context)).collect();
        let mut by_id: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
        for (n, (rule, _)) in parsed.iter().enumerate() {
            if let Some(rule) = rule {
                by_id.entry(rule.id.clone()).or_default().push(n);
            }
        }
        for (id, places) in by_id.iter().filter(|(_, places)| places.len() > 1) {
            for n in places {
                let others: Vec<String> = places
                    .iter()
                    .filter(|other| *other != n)
                    .filter_map(|other| files.get(*other))
                    .map(|file| file.source.path.display().to_string())
                    .collect();
                if let Some((rule, found)) = parsed.get_mut(*n) {
                    *rule = None;
                    found.push(
                        Diagnostic::of_file(
                            "duplicate-id",
                            format!("the id `{id}` is also that of {}", others.join(", ")),
                        )
                        .help("an id names one rule: its alerts and its memory go by it"),
                    );
                }
            }
        }
        let mut rules = Vec::new();
        let mut mistakes = Vec::new();
        for (file, (rule, found)) in files.iter().zip(parsed) {
            rules.extend(rule.map(Arc::new));
            if !found.is_empty() {
                mistakes.push((file.source.clone(), found));
            }
        }
        (Self::from_rules(rules), mistakes)
    }

    /// Rules that were parsed one by one; of two with one id the first stays.
    pub fn from_rules(rules: impl IntoIterator<Item = Arc<Rule>>) -> Self {
        let mut by_id = BTreeMap::new();
        for rule in rules {
            by_id.entry(rule.id.clone()).or_insert(rule);
        }
        Self { rules: by_id.into_values().collect() }
    }

    /// All rules in order of their ids, switched off ones too.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The rules that run, in order of their ids.
    pub fn enabled(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().filter(|rule| rule.enabled)
    }

    /// The rule of an id.
    pub fn get(&self, id: &str) -> Option<&Arc<Rule>> {
        let at = self.rules.binary_search_by(|rule| rule.id.as_ref().cmp(id)).ok()?;
        self.rules.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Sets;

    fn file(relative: &str, more: &str) -> RuleFile {
        let text = format!("{more}\ntitle = 'a'\nseverity = 'low'\nwhen = 'event.action: x'\n");
        let source = SourceText::new(format!("rules/{relative}"), text);
        RuleFile { relative: relative.to_owned(), source }
    }

    fn load(files: &[RuleFile]) -> (RuleSet, Vec<(SourceText, Diagnostics)>) {
        RuleSet::load(files, &Context { sets: &Sets::default() })
    }

    #[test]
    fn the_id_is_the_path_and_rules_stand_in_its_order() {
        let (set, mistakes) = load(&[
            file("common/b.toml", ""),
            file("a.toml", ""),
            file("c.toml", "id = 'common/a'"),
        ]);
        assert_eq!(mistakes, []);
        let ids: Vec<&str> = set.rules().iter().map(|rule| &*rule.id).collect();
        assert_eq!(ids, ["a", "common/a", "common/b"]);
        assert_eq!(set.get("common/b").map(|rule| &*rule.id), Some("common/b"));
        assert!(set.get("common/c").is_none());
    }

    #[test]
    fn two_rules_of_one_id_are_both_refused_and_name_each_other() {
        let (set, mistakes) =
            load(&[file("a.toml", ""), file("b.toml", "id = 'a'"), file("c.toml", "")]);
        assert_eq!(set.rules().len(), 1);
        let messages: Vec<String> = mistakes
            .iter()
            .map(|(source, found)| {
                format!("{}: {}", source.path.display(), found.iter().next().unwrap().message)
            })
            .collect();
        assert_eq!(
            messages,
            [
                "rules/a.toml: the id `a` is also that of rules/b.toml",
                "rules/b.toml: the id `a` is also that of rules/a.toml"
            ]
        );
    }

    #[test]
    fn a_rule_switched_off_is_kept_but_does_not_run() {
        let (set, _) = load(&[file("a.toml", "enabled = false"), file("b.toml", "")]);
        assert_eq!(set.rules().len(), 2);
        assert_eq!(set.enabled().count(), 1);
    }
}

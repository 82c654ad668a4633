//! All rule files of a rules root together.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::diagnostic::{Gravity, SourceText};
use crate::base::{Diagnostic, Diagnostics};

use super::overrides::{Overrides, is_override_file};
use super::{Context, Rule, loops, parse};

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
    /// Those of them that overrides have changed, as their files have them.
    written: BTreeMap<Arc<str>, Arc<Rule>>,
}

impl RuleSet {
    /// Reads all files, rules and overrides. A file with a mistake contributes no rule; what is wrong
    /// (or only odd) is in the second value: one entry for each file that has something to say, in the
    /// given order, which is also the order in which override files are laid over the rules.
    pub fn load(
        files: &[RuleFile],
        context: &Context<'_>,
    ) -> (Self, Vec<(SourceText, Diagnostics)>) {
        let mut overrides = Overrides::default();
        let read = |(n, file): (usize, &RuleFile)| {
            if is_override_file(&file.source.text) {
                (None, overrides.read(n, &file.source))
            } else {
                parse(&file.source, &file.id(), context)
            }
        };
        let mut parsed: Vec<_> = files.iter().enumerate().map(read).collect();
        let mut written = overrides.apply(files, &mut parsed, context);
        for (id, places) in shared(&parsed, |rule| rule.id.to_string()) {
            for (n, others) in with_others(&places, files) {
                let Some((rule, found)) = parsed.get_mut(n) else { continue };
                *rule = None;
                found.push(
                    Diagnostic::of_file(
                        "duplicate-id",
                        format!("the id `{id}` is also that of {others}"),
                    )
                    .help("an id names one rule: its alerts and its memory go by it"),
                );
            }
        }
        refuse_loops(&mut parsed, context);
        for (title, places) in shared(&parsed, |rule| rule.title.clone()) {
            for (n, others) in with_others(&places, files).into_iter().skip(1) {
                let Some((_, found)) = parsed.get_mut(n) else { continue };
                let message = format!("the title `{title}` is also that of {others}");
                let warning = Diagnostic::of_file("same-title", message)
                    .help("people could not tell the two rules' alerts apart");
                found.push(Diagnostic { gravity: Gravity::Warning, ..warning });
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
        let mut set = Self::from_rules(rules);
        written.retain(|id, _| set.get(id).is_some());
        set.written = written;
        (set, mistakes)
    }

    /// Rules that were parsed one by one; of two with one id the first stays.
    pub fn from_rules(rules: impl IntoIterator<Item = Arc<Rule>>) -> Self {
        let mut by_id = BTreeMap::new();
        for rule in rules {
            by_id.entry(rule.id.clone()).or_insert(rule);
        }
        Self { rules: by_id.into_values().collect(), written: BTreeMap::new() }
    }

    /// All rules in order of their ids, switched off ones too.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The rules that run, in order of their ids.
    pub fn enabled(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().filter(|rule| rule.enabled)
    }

    /// How many of the rules overrides have changed.
    pub fn overridden(&self) -> usize {
        self.written.len()
    }

    /// The same rules without their overrides: what the tests in their files are about.
    #[must_use]
    pub fn as_written(&self) -> Self {
        let own = |rule: &Arc<Rule>| self.written.get(&rule.id).unwrap_or(rule).clone();
        Self { rules: self.rules.iter().map(own).collect(), written: BTreeMap::new() }
    }

    /// The rule of an id.
    pub fn get(&self, id: &str) -> Option<&Arc<Rule>> {
        let at = self.rules.binary_search_by(|rule| rule.id.as_ref().cmp(id)).ok()?;
        self.rules.get(at)
    }
}

/// Rules that would end up reading their own alerts are refused, with the way from one to the next.
fn refuse_loops(parsed: &mut [(Option<Rule>, Diagnostics)], context: &Context<'_>) {
    let running: Vec<&Rule> =
        parsed.iter().filter_map(|(rule, _)| rule.as_ref().filter(|rule| rule.enabled)).collect();
    let loops = loops::loops(&running, context.sets);
    for (rule, found) in parsed {
        let Some(path) = rule.as_ref().and_then(|rule| loops.get(&rule.id)) else { continue };
        *rule = None;
        let message = format!("the rule would read its own alerts: {}", path.join(" → "));
        found.push(Diagnostic::of_file("rule-loop", message).help(
            "each reads the alerts of the one before it; leave one out, with `and not rule.id: …` in its query",
        ));
    }
}

/// What more than one rule has, with the places of these rules in the list.
fn shared(
    parsed: &[(Option<Rule>, Diagnostics)],
    what: impl Fn(&Rule) -> String,
) -> BTreeMap<String, Vec<usize>> {
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (n, (rule, _)) in parsed.iter().enumerate() {
        if let Some(rule) = rule {
            places.entry(what(rule)).or_default().push(n);
        }
    }
    places.retain(|_, places| places.len() > 1);
    places
}

/// Each place with the paths of the files at the other ones.
fn with_others(places: &[usize], files: &[RuleFile]) -> Vec<(usize, String)> {
    let path = |n: &usize| files.get(*n).map(|file| file.source.path.display().to_string());
    let others = |n: &usize| places.iter().filter(|p| *p != n).filter_map(path).collect::<Vec<_>>();
    places.iter().map(|n| (*n, others(n).join(", "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Sets;

    fn file(relative: &str, more: &str) -> RuleFile {
        let text =
            format!("{more}\ntitle = '{relative}'\nseverity = 'low'\nwhen = 'event.action: x'\n");
        let source = SourceText::new(format!("rules/{relative}"), text);
        RuleFile { relative: relative.to_owned(), source }
    }

    fn load(files: &[RuleFile]) -> (RuleSet, Vec<(SourceText, Diagnostics)>) {
        RuleSet::load(files, &Context::new(&Sets::default()))
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
    fn the_same_title_twice_is_a_warning_at_the_second() {
        let mut files = [file("a.toml", ""), file("b.toml", "")];
        files[1].source.text = files[0].source.text.clone();
        let (set, mistakes) = load(&files);
        assert_eq!(set.rules().len(), 2);
        assert_eq!(mistakes.len(), 1);
        assert_eq!((mistakes[0].1.warnings(), mistakes[0].1.errors()), (1, 0));
        assert_eq!(mistakes[0].0.path.to_str(), Some("rules/b.toml"));
    }

    #[test]
    fn a_rule_switched_off_is_kept_but_does_not_run() {
        let (set, _) = load(&[file("a.toml", "enabled = false"), file("b.toml", "")]);
        assert_eq!(set.rules().len(), 2);
        assert_eq!(set.enabled().count(), 1);
    }

    fn on_alerts(id: &str, when: &str, more: &str) -> RuleFile {
        let text = format!("{more}\ntitle = '{id}'\nseverity = 'low'\nwhen = '{when}'\n");
        let relative = format!("{id}.toml");
        RuleFile { source: SourceText::new(&relative, text), relative }
    }

    fn refused(files: &[RuleFile]) -> Vec<String> {
        let (_, mistakes) = load(files);
        let told = mistakes.iter().flat_map(|(_, found)| found.iter());
        told.map(|mistake| mistake.message.clone()).collect()
    }

    #[test]
    fn rules_build_on_the_alerts_of_others_but_never_on_their_own() {
        let base = on_alerts("base", "event.action: x", "tags = [\"t\"]");
        let reader = on_alerts("reader", "rule.id: base", "");
        assert_eq!(refused(&[base.clone(), reader.clone()]), Vec::<String>::new());
        let by_tag = on_alerts("by-tag", "event.kind: alert and rule.tags: t", "");
        assert_eq!(refused(&[base.clone(), by_tag]), Vec::<String>::new());
        let every = on_alerts("every", "event.kind: alert and not rule.id: every", "");
        assert_eq!(refused(&[base.clone(), reader.clone(), every]), Vec::<String>::new());
        let itself = on_alerts("itself", "event.kind: alert and alert.severity: high", "");
        assert_eq!(
            refused(&[base, reader, itself]),
            ["the rule would read its own alerts: itself → itself"]
        );
    }

    #[test]
    fn a_loop_is_told_by_its_path_to_each_rule_in_it() {
        let files = [
            on_alerts("a", "rule.id: c", ""),
            on_alerts("b", "rule.id: a", ""),
            on_alerts("c", "rule.id: b", ""),
            on_alerts("outside", "rule.id: c", ""),
        ];
        let told = [
            "the rule would read its own alerts: a → b → c → a",
            "the rule would read its own alerts: b → c → a → b",
            "the rule would read its own alerts: c → a → b → c",
        ];
        assert_eq!(refused(&files), told);
        let mut files = files;
        files[1] = on_alerts("b", "rule.id: a", "enabled = false");
        assert_eq!(refused(&files), Vec::<String>::new(), "what does not run feeds nobody");
        files[1] = on_alerts("b", "rule.id: a", "status = 'staging'");
        assert_eq!(refused(&files), Vec::<String>::new(), "staging feeds staging only");
    }

    #[test]
    fn a_rule_on_alerts_uses_what_decides_on_arrival() {
        let change = "rule.id: base' \n[change]\nfield = 'user.name";
        let files = [on_alerts("a", change, "")];
        let told = refused(&files);
        assert_eq!(told, ["a rule on alerts cannot use `[change]`, which decides on the clock"]);
    }
}

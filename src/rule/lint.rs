//! What is doubtful about a rule that is valid: advice, each kind by its name, so that an author can
//! allow it.
//!
//! It looks at the rule as it is meant, and opens its text once more for the places. What is doubtful
//! about a single query is `query::check`'s business.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use super::attack::{self, Standing};
use super::{Rule, RulePart, Status, syntax};
use crate::base::document::{Document, Spanned, Table, Text};
use crate::base::{Diagnostic, Diagnostics, Severity, Timestamp, duration, suggest};
use crate::event::{FieldName, Scalar};
use crate::mapping::{Fills, Mappings};
use crate::query::Sets;
use crate::query::ast::{Expr, Term, Test};

/// What advice depends on outside of rule, mappings and sets; what is not known is not asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Advice<'a> {
    /// Today: what has ended by now?
    pub now: Option<Timestamp>,
    /// How long Kafka keeps signals.
    pub signals_retention: Option<Duration>,
    /// Whether the rules are all that there are: a rule that builds on one that is not there never
    /// fires.
    pub all_rules: bool,
    /// Ids of rules that are there but not checked; with these the rules are all that there are.
    pub other_rules: Option<&'a BTreeSet<String>>,
    /// The samples that tests may call, such as `opsknight/login_failed`.
    pub samples: Option<&'a BTreeSet<String>>,
    /// Names of warnings that nobody here wants to see.
    pub allow: &'a [String],
}

/// Everything doubtful about one rule, with its place in the rule's file.
pub(super) fn lint(
    rule: &Rule,
    advice: &Advice<'_>,
    mappings: Option<&Mappings>,
    sets: &Sets,
    rules: &BTreeSet<&str>,
) -> Vec<Diagnostic> {
    let document = Document::parse(&rule.source.text);
    let mut ignored = Diagnostics::new();
    let written = Written { root: document.root(&mut ignored), rule };
    let mut found = Vec::new();
    written.tests(&mut found);
    written.samples(advice, &mut found);
    written.runbook(&mut found);
    written.techniques(&mut found);
    if advice.all_rules || advice.other_rules.is_some() {
        written.rules_it_reads(rules, sets, &mut found);
    }
    written.exceptions(advice, &mut found);
    written.retention(advice, &mut found);
    written.keys(mappings, &mut found);
    written.parts(&mut found);
    written.new_value(&mut found);
    written.severity_cases(sets, &mut found);
    found
}

/// What is doubtful about a file of overrides: exceptions in it that have ended.
pub(super) fn lint_overrides(text: &str, advice: &Advice<'_>) -> Vec<Diagnostic> {
    let document = Document::parse(text);
    let root = document.root(&mut Diagnostics::new());
    let overrides = tables_of(&root, "override");
    overrides.iter().flat_map(|own| ended(&tables_of(own, "exception"), advice)).collect()
}

/// Exceptions whose last day is over.
fn ended(exceptions: &[Table<'_>], advice: &Advice<'_>) -> Vec<Diagnostic> {
    let Some(now) = advice.now else { return Vec::new() };
    let ends = exceptions.iter().filter_map(syntax::ends).filter(|(until, _)| *until < now);
    let tell = |(_, written): (Timestamp, Spanned<String>)| {
        let message = format!("this exception ended with {}", written.value);
        Diagnostic::warning("exception-ended", written.span, message)
            .help("take it out, or give it a later `until`")
    };
    ends.map(tell).collect()
}

/// `[[key]]` of a table, in the order of the file.
fn tables_of<'d>(table: &Table<'d>, key: &str) -> Vec<Table<'d>> {
    let mut ignored = Diagnostics::new();
    let items = table.any(key).and_then(|item| item.array(&mut ignored)).unwrap_or_default();
    items.iter().filter_map(|item| item.table(&mut ignored)).collect()
}

/// A rule and the file it was read from.
struct Written<'d> {
    root: Table<'d>,
    rule: &'d Rule,
}

impl Written<'_> {
    /// Where the value of a top-level key stands.
    fn value(&self, key: &str) -> Range<usize> {
        self.root.any(key).map(|item| item.span).unwrap_or_default()
    }

    /// The texts of a list at the top.
    fn texts(&self, key: &str) -> Vec<Text> {
        let mut ignored = Diagnostics::new();
        let items = self.root.any(key).and_then(|item| item.array(&mut ignored));
        let items = items.unwrap_or_default();
        items.iter().filter_map(|item| item.text(&mut ignored)).collect()
    }

    /// `[[key]]` in the order of the file.
    fn tables(&self, key: &str) -> Vec<Table<'_>> {
        tables_of(&self.root, key)
    }

    fn tests(&self, found: &mut Vec<Diagnostic>) {
        let fires = self.rule.tests.iter().any(|test| !test.expect.is_empty());
        let silent = self.rule.tests.iter().any(|test| test.expect.is_empty());
        let (message, help) = match (fires, silent) {
            (true, true) => return,
            (false, false) => (
                "this rule has no tests",
                "add a `[[test]]` with the events that fire it, and one that must not, with `expect = []`",
            ),
            (true, false) => (
                "this rule has no test that must not fire",
                "add a `[[test]]` of events that are nearly enough, with `expect = []`",
            ),
            (false, true) => (
                "this rule has no test that fires",
                "add a `[[test]]` whose `expect` names the alert",
            ),
        };
        found.push(Diagnostic::warning("missing-test", self.value("title"), message).help(help));
    }

    /// A rule on the alerts of one that is not there never sees any.
    fn rules_it_reads(&self, rules: &BTreeSet<&str>, sets: &Sets, found: &mut Vec<Diagnostic>) {
        let mut unknown = BTreeSet::new();
        for part in self.rule.parts() {
            part.when.expr().visit_terms(&mut |term| {
                let Some(id) = term.asked().filter(|_| term.field.dotted() == "rule.id") else {
                    return;
                };
                if !rules.iter().any(|rule| term.may_be(&Scalar::from(*rule), sets)) {
                    unknown.insert(id);
                }
            });
        }
        let place = if self.root.has("when") { "when" } else { "title" };
        for id in unknown {
            let message = format!("no rule has the id `{id}`, so none of its alerts is ever seen");
            let help = match suggest::nearest(&id, rules.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a rule's id is its path below the rules folder without `.toml`".to_owned(),
            };
            found.push(Diagnostic::warning("unknown-rule", self.value(place), message).help(help));
        }
    }

    /// A test whose sample is not there can never pass.
    fn samples(&self, advice: &Advice<'_>, found: &mut Vec<Diagnostic>) {
        let Some(known) = advice.samples else { return };
        let mut ignored = Diagnostics::new();
        for test in self.tables("test") {
            for event in test.any("events").and_then(|i| i.array(&mut ignored)).unwrap_or_default()
            {
                let Some(event) = event.table(&mut ignored) else { continue };
                let Some(name) = event.any("sample").and_then(|i| i.text(&mut ignored)) else {
                    continue;
                };
                if known.contains(&name.value) {
                    continue;
                }
                let help = match suggest::nearest(&name.value, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "put the record into the folder of samples, as MAPPING/NAME.json, or give `fields`".to_owned(),
                };
                let message = format!("there is no sample `{}`", name.value);
                let span = name.locate(0..name.value.len());
                found.push(Diagnostic::warning("missing-sample", span, message).help(help));
            }
        }
    }

    /// What feeds other rules only wakes nobody.
    fn runbook(&self, found: &mut Vec<Diagnostic>) {
        let rule = self.rule;
        let wakes = rule.severity >= Severity::High && rule.status != Status::BuildingBlock;
        if wakes && rule.runbook.as_ref().is_none_or(|runbook| runbook.trim().is_empty()) {
            let message = format!("severity `{}` without a runbook", rule.severity);
            found.push(
                Diagnostic::warning("missing-runbook", self.value("severity"), message)
                    .help("say in `runbook` what whoever is woken does first: a link, or steps"),
            );
        }
    }

    fn techniques(&self, found: &mut Vec<Diagnostic>) {
        for id in self.texts("threat") {
            let span = id.locate(0..id.value.len());
            let id = &id.value;
            found.extend(match attack::find(id) {
                None => Some(
                    Diagnostic::warning(
                        "unknown-technique",
                        span,
                        format!("ATT&CK Enterprise {} has no technique `{id}`", attack::VERSION),
                    )
                    .help("if a later release has it, allow this"),
                ),
                Some(technique) => match technique.standing {
                    Standing::Current => None,
                    Standing::Deprecated => Some(
                        Diagnostic::warning(
                            "revoked-technique",
                            span,
                            format!("ATT&CK has given up `{id}` ({})", technique.name),
                        )
                        .help("nothing took its place: name the technique that is meant today"),
                    ),
                    Standing::Revoked(instead) => {
                        let name = attack::find(instead).map_or("", |technique| technique.name);
                        Some(
                            Diagnostic::warning(
                                "revoked-technique",
                                span,
                                format!("ATT&CK has revoked `{id}` ({})", technique.name),
                            )
                            .help(format!("write `{instead}` ({name})")),
                        )
                    }
                },
            });
        }
    }

    fn exceptions(&self, advice: &Advice<'_>, found: &mut Vec<Diagnostic>) {
        found.extend(ended(&self.tables("exception"), advice));
    }

    fn retention(&self, advice: &Advice<'_>, found: &mut Vec<Diagnostic>) {
        let (Some(kept), Some(detector)) = (advice.signals_retention, &self.rule.detector) else {
            return;
        };
        let span = detector.span().saturating_add(self.rule.lateness);
        if span <= kept {
            return;
        }
        let table = self.root.any(detector.spec().table);
        let table = table.and_then(|item| item.table(&mut Diagnostics::new()));
        let place = table.map(|table| table.any("within").map_or(table.span(), |item| item.span));
        let message = format!(
            "this rule looks back {} (its span and lateness), but signals are kept for {}",
            duration::print(span),
            duration::print(kept)
        );
        found.push(
            Diagnostic::warning("longer-than-retention", place.unwrap_or_default(), message).help(
                "shorten it, or raise `signals_retention` below `[kafka]` in the configuration",
            ),
        );
    }

    /// Fields of the key that no event has which meets the condition.
    fn keys(&self, mappings: Option<&Mappings>, found: &mut Vec<Diagnostic>) {
        let written = self.texts("group_by");
        let mut told = BTreeSet::new();
        for part in self.rule.parts() {
            for field in &part.group_by {
                if told.contains(field) {
                    continue;
                }
                let Some((message, help)) = why_missing(field, &part, mappings) else { continue };
                let name = field.to_string();
                // The key of a step stands in the step; which one is told by the message.
                let own = written.iter().find(|text| text.value == name);
                let own = own.filter(|_| part.group_by == self.rule.group_by);
                let span = own
                    .map_or_else(|| self.detector_span(), |text| text.locate(0..text.value.len()));
                let at = part.name.as_ref().map(|name| format!(" in `{name}`")).unwrap_or_default();
                let message = format!("{message}{at}, so none takes part");
                found.push(Diagnostic::warning("impossible-key", span, message).help(help));
                told.insert(field.clone());
            }
        }
    }

    /// What the rule's own `when` keeps from a step or part, for it holds for each of them.
    fn parts(&self, found: &mut Vec<Diagnostic>) {
        let (Some(own), Some(detector)) = (&self.rule.when, &self.rule.detector) else { return };
        if own.asks_for_two_values().is_some() {
            return;
        }
        for part in detector.parts().into_iter().filter(|part| part.with_rule) {
            let Some(when) = part.when.filter(|when| when.asks_for_two_values().is_none()) else {
                continue;
            };
            let both = own.clone().and(when.clone());
            let Some(why) = both.asks_for_two_values() else { continue };
            let name = part.name.map(|name| format!(" in `{name}`")).unwrap_or_default();
            let message = format!("{why}, by the rule's `when`, which holds{name} too");
            found.push(
                Diagnostic::warning("never-true", self.value("when"), message)
                    .help("leave in the rule's `when` only what every part has"),
            );
        }
    }

    /// A rule that knows nothing at first; who means that writes `learn = \"0s\"`.
    fn new_value(&self, found: &mut Vec<Diagnostic>) {
        let table = self.root.any("new_value");
        let table = table.and_then(|item| item.table(&mut Diagnostics::new()));
        if table.is_none_or(|table| table.has("learn") || table.has("learn_when")) {
            return;
        }
        let message = "without `learn` the first value of everything fires, old habits too";
        found.push(Diagnostic::warning("learns-nothing", self.detector_span(), message).help(
            "write how long to take everything for known at first: `learn = \"14d\"`; if the first is meant as well, `learn = \"0s\"`",
        ));
    }

    fn detector_span(&self) -> Range<usize> {
        let table = self.rule.detector.as_ref().map(|detector| detector.spec().table);
        table.and_then(|table| self.root.key_span(table)).unwrap_or_default()
    }

    /// Cases are judged on what a signal carries: values of fields, and no schedule's zone unless a
    /// title shows it.
    fn severity_cases(&self, sets: &Sets, found: &mut Vec<Diagnostic>) {
        let shown = self.rule.shown_fields();
        let alert = self.root.any("alert").and_then(|item| item.table(&mut Diagnostics::new()));
        let cases = alert.as_ref().and_then(|alert| alert.any("severity"));
        let cases = cases.and_then(|item| item.array(&mut Diagnostics::new())).unwrap_or_default();
        for (table, case) in cases.iter().zip(&self.rule.alert.cases) {
            let table = table.table(&mut Diagnostics::new());
            let text = table.and_then(|table| table.any("when"));
            let text = text.and_then(|item| item.text(&mut Diagnostics::new()));
            let Some(text) = text else { continue };
            blind_spots(case.when.expr(), &mut |span, what| {
                let message = format!("an alert does not carry {what}, so this is never true here");
                found.push(
                    Diagnostic::warning("blind-severity-case", text.locate(span), message)
                        .help("ask for the values of fields, such as `raw.target.type: admin`"),
                );
            });
            case.when.expr().visit_terms(&mut |term| {
                let Some(zone) = zone_field(term, sets) else { return };
                if shown.contains(&zone) {
                    return;
                }
                let message = format!(
                    "an alert does not carry `{zone}`, so the schedule's own time zone is used here"
                );
                found.push(
                    Diagnostic::warning(
                        "blind-severity-case",
                        text.locate(term.test_span.0.clone()),
                        message,
                    )
                    .help(format!("what a title or summary shows is carried: `{{{{ {zone} }}}}`")),
                );
            });
        }
    }
}

/// Why no event that meets the part's condition has the field, and what to do about it.
fn why_missing(
    field: &FieldName,
    part: &RulePart,
    mappings: Option<&Mappings>,
) -> Option<(String, String)> {
    if keeps_out(part.when.expr(), field, true) {
        let message = format!("the condition lets only events without `{field}` through");
        return Some((message, "group by a field that these events have".to_owned()));
    }
    // Alerts are events of their own, which no mapping fills.
    let mappings = mappings.filter(|_| !part.when.needs_alerts())?;
    if !mappings.fills(field) {
        // Told already, whatever the condition.
        return None;
    }
    let possible: Vec<&Fills> =
        mappings.each().filter(|fills| fills.may_meet(&part.when)).collect();
    if possible.is_empty() || possible.iter().any(|fills| fills.can_fill(field)) {
        return None;
    }
    let names: Vec<&str> = possible.iter().map(|fills| fills.name()).collect();
    let message = format!(
        "only events of {} can meet the condition, and `{field}` is not filled there",
        names.join(", ")
    );
    Some((message, "group by a field that these events have, or fill it in the mapping".to_owned()))
}

/// Whether `expr` (or, with `holds` false, its opposite) can only be met by an event without `field`.
fn keeps_out(expr: &Expr, field: &FieldName, holds: bool) -> bool {
    match (expr, holds) {
        (Expr::Not(inner), _) => keeps_out(inner, field, !holds),
        (Expr::And(parts), true) | (Expr::Or(parts), false) => {
            parts.iter().any(|part| keeps_out(part, field, holds))
        }
        (Expr::Or(parts), true) | (Expr::And(parts), false) => {
            parts.iter().all(|part| keeps_out(part, field, holds))
        }
        (Expr::Term(term), false) => term.field == *field && term.test == Test::Exists,
        (Expr::Term(_), true) | (Expr::FreeText(_), _) => false,
    }
}

/// Parts of a condition that cannot be judged from values of fields alone.
fn blind_spots(expr: &Expr, report: &mut dyn FnMut(Range<usize>, &str)) {
    match expr {
        Expr::And(parts) | Expr::Or(parts) => {
            for part in parts {
                blind_spots(part, report);
            }
        }
        Expr::Not(inner) => blind_spots(inner, report),
        Expr::FreeText(free) => report(free.span.0.clone(), "the original record's text"),
        Expr::Term(term) if matches!(term.test, Test::Element(_)) => {
            let span = term.field_span.0.start..term.test_span.0.end;
            report(span, "the elements of arrays");
        }
        Expr::Term(_) => {}
    }
}

/// The field that says by whose clock a schedule is to be read.
fn zone_field(term: &Term, sets: &Sets) -> Option<FieldName> {
    match &term.test {
        Test::In(name) if term.is_time() => sets.schedule(name)?.zone_field().cloned(),
        _ => None,
    }
}

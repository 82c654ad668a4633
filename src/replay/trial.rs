//! Runs the `[[test]]`s of rule files (RULES §8), each on a clock of its own, and says whether exactly
//! the expected alerts opened.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use minijinja::Environment;
use serde_json::Value;

use crate::alert::{Alert, AlertStatus, Findings, Note, Pipeline};
use crate::base::diagnostic::SourceText;
use crate::base::{Live, Position, Timestamp};
use crate::engine::RuleExplainer;
use crate::engine::matching::Fault;
use crate::event::{Event, FieldName, Layout, Number, Scalar};
use crate::mapping::{Edits, Mappings, Options, RawRecord, Table, Tables, Unusable};
use crate::query::{List, Sets};
use crate::rule::Rule;
use crate::rule::test_case::{Expected, Origin, RuleTest, TestEvent};
use crate::state::canonical;

use super::TOPIC;
use super::story::{Fate, Happened, Moment, Story, verdict};
use super::why;

/// Steps that one rendering of `{{ n }}` may take.
const FUEL: u64 = 10_000;

/// Characters of what an event is called at most.
const CALLED_CHARS: usize = 48;

/// The records of samples by name (`opsknight/login_failed`), or why one cannot be read.
pub type Samples = BTreeMap<String, Result<Vec<u8>, String>>;

/// What tests run with, beside their rules.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    /// The mapping files, which have no mistakes.
    pub mappings: &'a [SourceText],
    /// The tables of the configuration.
    pub tables: &'a Tables,
    /// The lists and schedules of the configuration.
    pub sets: &'a Sets,
    /// The bounds of reading.
    pub options: Options,
    /// What the tests' samples hold.
    pub samples: &'a Samples,
}

/// One test that was run.
#[derive(Debug)]
pub struct Trial {
    /// The rule that carries it.
    pub rule: Arc<Rule>,
    /// What it claims.
    pub name: String,
    span: Range<usize>,
    /// What happened, and what should have.
    story: Story,
}

impl Trial {
    /// Whether exactly the expected alerts opened, and every event could be made.
    pub fn passed(&self) -> bool {
        self.story.mistakes.is_empty()
    }

    /// Where it stands: `rules/common/failed-logins.toml:24`.
    pub fn place(&self) -> String {
        let source = &self.rule.source;
        let before = source.text.get(..self.span.start).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        format!("{}:{line}", source.path.display())
    }

    /// What was wrong, one line each.
    pub fn mistakes(&self) -> &[String] {
        &self.story.mistakes
    }

    /// Events, firings, alerts and expectation on one timeline.
    pub fn timeline(&self) -> String {
        self.story.render()
    }

    /// The alerts that opened, as they stood at the end, by opening, then key.
    pub fn alerts(&self) -> &[Alert] {
        &self.story.alerts
    }
}

/// The names of all samples that the rules' tests use.
pub fn samples_of<'r>(rules: impl IntoIterator<Item = &'r Arc<Rule>>) -> BTreeSet<&'r str> {
    let events = rules.into_iter().flat_map(|rule| &rule.tests).flat_map(|test| &test.events);
    let name = |event: &'r TestEvent| match &event.origin {
        Origin::Sample(name) => Some(name.as_str()),
        Origin::Fields(_) => None,
    };
    events.filter_map(name).collect()
}

/// A rule alone, and mappings that compute what it reads.
struct Ground {
    pipeline: Pipeline,
    mappings: Arc<Mappings>,
    /// Says of events that count for nothing why, if that is wanted.
    explainer: Option<RuleExplainer>,
}

impl Bench<'_> {
    /// Runs every test of every rule that is switched on, in their order. Each rule runs alone.
    pub fn run(&self, rules: &[Arc<Rule>]) -> Result<Vec<Trial>, Vec<Fault>> {
        // One layout for all, so that mappings are compiled once and not once for each rule.
        let mut layout = Layout::new();
        let mut grounds = Vec::new();
        for rule in rules.iter().filter(|rule| rule.enabled) {
            let rules = std::slice::from_ref(rule);
            grounds.push((rule, Pipeline::compile(rules, &mut layout, self.sets, 1)?));
        }
        let mappings = self.mappings(&layout, self.sets);
        let mut trials = Vec::new();
        for (rule, pipeline) in grounds {
            let ground = Ground { pipeline, mappings: mappings.clone(), explainer: None };
            for test in &rule.tests {
                // A test that gives lists needs rule and mappings compiled with them.
                trials.push(if test.lists.is_empty() {
                    self.explained(self.on(&ground, rule, test), test)?
                } else {
                    self.one(rule, test)?
                });
            }
        }
        Ok(trials)
    }

    /// Runs one test of a rule, which the rule's file need not carry.
    pub fn one(&self, rule: &Arc<Rule>, test: &RuleTest) -> Result<Trial, Vec<Fault>> {
        let ground = self.ground(rule, test, false)?;
        self.explained(self.on(&ground, rule, test), test)
    }

    /// A test that failed is run once more, to say of events that count for nothing why; of one that
    /// passes nobody asks.
    fn explained(&self, trial: Trial, test: &RuleTest) -> Result<Trial, Vec<Fault>> {
        if trial.passed() {
            return Ok(trial);
        }
        let ground = self.ground(&trial.rule, test, true)?;
        Ok(self.on(&ground, &trial.rule, test))
    }

    fn ground(
        &self,
        rule: &Arc<Rule>,
        test: &RuleTest,
        explains: bool,
    ) -> Result<Ground, Vec<Fault>> {
        let mut sets = self.sets.clone();
        for (name, values) in &test.lists {
            sets.insert_list(name, List::new(values.iter().map(String::as_str)).0);
        }
        let mut layout = Layout::new();
        let pipeline = Pipeline::compile(std::slice::from_ref(rule), &mut layout, &sets, 1)?;
        let explainer = explains.then(|| RuleExplainer::new(rule, &mut layout, &sets));
        let explainer = explainer
            .transpose()
            .map_err(|diagnostics| vec![Fault { rule: rule.id.clone(), diagnostics }])?;
        let mappings = self.mappings(&layout, &sets);
        Ok(Ground { pipeline, mappings, explainer })
    }

    fn on(&self, ground: &Ground, rule: &Arc<Rule>, test: &RuleTest) -> Trial {
        let story = self.story(rule, test, ground);
        Trial { rule: rule.clone(), name: test.name.clone(), span: test.span.clone(), story }
    }

    fn mappings(&self, layout: &Layout, sets: &Sets) -> Arc<Mappings> {
        let (mappings, _) = Mappings::load(self.mappings, self.tables, layout, sets, self.options);
        Arc::new(mappings)
    }

    fn story(&self, rule: &Rule, test: &RuleTest, ground: &Ground) -> Story {
        let tables = test.tables.iter();
        let tables: Tables =
            tables.map(|(name, rows)| (name.clone(), Live::new(Table::of_test(rows)))).collect();
        let mut run = Run {
            pipeline: if test.cold_start {
                ground.pipeline.afresh()
            } else {
                ground.pipeline.afresh().warm()
            },
            findings: Findings::with_firings(),
            alerts: BTreeMap::new(),
            moments: Vec::new(),
            mistakes: Vec::new(),
        };
        for (name, values) in &test.lists {
            for (entry, why) in List::new(values.iter().map(String::as_str)).1 {
                run.mistakes.push(format!("list `{name}`: `{entry}`: {why}"));
            }
        }
        let mut offset = 0;
        for (entry, event) in test.events.iter().enumerate() {
            for n in 1..=event.times {
                // `times` is bounded far below.
                let after = event.every * u32::try_from(n - 1).unwrap_or(u32::MAX);
                let time = event.at.from(test.start) + after;
                let position = Position::new(TOPIC, 0, offset);
                offset += 1;
                let made = self.event(event, n, (position, time), &tables, &ground.mappings);
                let after = run.pipeline.clock();
                let happened = Happened { entry, n, of: event.times, time, after };
                run.take((rule, ground.explainer.as_ref()), made, happened);
            }
        }
        run.end((rule, ground.explainer.as_ref()), test)
    }

    /// The event that one entry of a test stands for, the `n`th time.
    fn event(
        &self,
        entry: &TestEvent,
        n: u64,
        (position, time): (Position, Timestamp),
        tables: &Tables,
        mappings: &Mappings,
    ) -> Result<Event, String> {
        let refused = |why: Unusable| format!("{}: {}", why.reason.code(), why.detail);
        let set = numbered(&entry.set, n)?;
        match &entry.origin {
            Origin::Sample(name) => {
                let payload = match self.samples.get(name) {
                    Some(Ok(payload)) => payload,
                    Some(Err(why)) => return Err(why.clone()),
                    None => return Err(format!("there is no sample `{name}`")),
                };
                let timestamp = Some(time);
                let record =
                    RawRecord { position, timestamp, key: None, headers: Vec::new(), payload };
                let (unset, tables) = (entry.unset.clone(), tables.clone());
                let edits = Edits { time: Some(time), set, unset, tables };
                let mapping = name.split('/').next().unwrap_or_default();
                mappings.sample(mapping, &record, time, &edits).map_err(refused)
            }
            Origin::Fields(fields) => {
                let mut fields = numbered(fields, n)?;
                fields.extend(set);
                fields.retain(|field, _| !entry.unset.contains(field));
                mappings.of_fields(&fields, position, time).map_err(refused)
            }
        }
    }
}

/// One test under way.
struct Run {
    pipeline: Pipeline,
    findings: Findings,
    /// The latest state of each alert.
    alerts: BTreeMap<String, Alert>,
    moments: Vec<Moment>,
    mistakes: Vec<String>,
}

impl Run {
    fn take(
        &mut self,
        (rule, explainer): (&Rule, Option<&RuleExplainer>),
        made: Result<Event, String>,
        happened: Happened,
    ) {
        let fate = match made {
            Ok(event) => {
                self.pipeline.event(&event, &mut self.findings);
                let fate = self.fate(rule);
                match explainer {
                    Some(explainer) => why::explained(fate, &explainer.explain(&event)),
                    None => fate,
                }
            }
            Err(why) => {
                if !self.mistakes.contains(&why) {
                    self.mistakes.push(why.clone());
                }
                Fate::Unusable(why)
            }
        };
        self.moments.push(Moment::Event(happened, fate));
        self.keep();
    }

    /// What the rule made of the last event.
    fn fate(&self, rule: &Rule) -> Fate {
        let late = |note: &Note| matches!(note, Note::Late { .. });
        let fired = self.findings.firings.iter().flatten();
        let fired: Vec<_> = fired.map(|fired| (fired.key.clone(), fired.firing.clone())).collect();
        let names = || rule.group_by.iter().map(ToString::to_string);
        let keys = self.pipeline.met().iter().map(|(_, key)| {
            names().zip(key.shown().iter().map(Scalar::to_json)).collect::<BTreeMap<_, _>>()
        });
        if !self.pipeline.unkeyed().is_empty() {
            Fate::Unkeyed(Vec::new())
        } else if self.findings.notes.iter().any(late) {
            Fate::Late
        } else if fired.is_empty() && self.pipeline.met().is_empty() {
            Fate::Unmet(None)
        } else {
            Fate::Met { parts: Vec::new(), keys: keys.collect(), fired }
        }
    }

    /// Keeps what was found of alerts, and forgets the rest.
    fn keep(&mut self) {
        for alert in self.findings.alerts.drain(..) {
            // Whoever was told of the alert has read it, even if later words came out right.
            for failure in &alert.template_failures {
                if !self.mistakes.contains(failure) {
                    self.mistakes.push(failure.clone());
                }
            }
            if alert.revision == 1 {
                self.moments.push(Moment::Opens(alert.clone()));
            }
            if alert.status == AlertStatus::Resolved {
                self.moments.push(Moment::Resolves(alert.clone()));
            }
            self.alerts.insert(alert.id.clone(), alert);
        }
        self.findings.clear();
    }

    fn end(mut self, (rule, explainer): (&Rule, Option<&RuleExplainer>), test: &RuleTest) -> Story {
        match (test.run_for, self.pipeline.clock()) {
            (Some(more), Some(clock)) => self.pipeline.advance(clock + more, &mut self.findings),
            _ => self.pipeline.finish(&mut self.findings),
        }
        for fired in self.findings.firings.iter().flatten() {
            self.moments.push(Moment::Clock(fired.key.clone(), fired.firing.clone()));
        }
        self.keep();
        for alert in self.pipeline.standing() {
            self.alerts.insert(alert.id.clone(), alert);
        }
        let opened = self.moments.iter().filter_map(|moment| match moment {
            Moment::Opens(alert) => Some(alert.id.clone()),
            _ => None,
        });
        let order: BTreeMap<String, usize> = opened.zip(0..).collect();
        let mut alerts: Vec<Alert> = self.alerts.into_values().collect();
        alerts.sort_by_cached_key(|alert| {
            let key: Vec<String> = alert.key.values().map(ToString::to_string).collect();
            (alert.opened_at, key, order.get(&alert.id).copied())
        });
        let (mut mistakes, pairs) = (self.mistakes, verdict(&test.expect, &alerts, test.start));
        mistakes.extend(pairs.mistakes());
        // Where no alert is expected, nobody asks why an event does not match.
        let unexplained = if test.expect.is_empty() {
            why::keep_nearest(&mut self.moments, 0);
            0
        } else {
            why::keep_nearest(&mut self.moments, why::REASONS_MAX)
        };
        let detector = explainer.filter(|_| !test.expect.is_empty());
        let detector = detector.and_then(RuleExplainer::detector);
        let silent = detector.and_then(|detector| why::silent(&self.moments, &detector));
        Story {
            rule: rule.id.clone(),
            name: test.name.clone(),
            start: test.start,
            origins: test.events.iter().map(called).collect(),
            moments: self.moments,
            alerts,
            pairs,
            mistakes,
            silent,
            unexplained,
        }
    }
}

/// What an entry is called on the timeline: its sample, or its fields as they are given.
fn called(entry: &TestEvent) -> String {
    let fields = match &entry.origin {
        Origin::Sample(name) => return name.clone(),
        Origin::Fields(fields) => {
            fields.iter().map(|(field, value)| (field.dotted(), value.clone()))
        }
    };
    let text = super::story::shown(&fields.collect());
    match text.char_indices().nth(CALLED_CHARS) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}

/// `{{ n }}` in texts is the number of the repetition.
fn numbered(
    fields: &BTreeMap<FieldName, Value>,
    n: u64,
) -> Result<BTreeMap<FieldName, Value>, String> {
    let numbered =
        |(field, value): (&FieldName, &Value)| Ok((field.clone(), with_number(value, n)?));
    fields.iter().map(numbered).collect()
}

fn with_number(value: &Value, n: u64) -> Result<Value, String> {
    match value {
        Value::String(text) if text.contains("{{") || text.contains("{%") => {
            let mut environment = Environment::new();
            environment.set_fuel(Some(FUEL));
            let rendered = environment.render_str(text, minijinja::context! { n });
            rendered.map(Value::from).map_err(|error| format!("`{text}`: {error}"))
        }
        Value::Array(items) => items.iter().map(|item| with_number(item, n)).collect(),
        other => Ok(other.clone()),
    }
}

/// What an alert has otherwise than expected, one line each.
pub(super) fn differences(expected: &Expected, alert: &Alert, start: Timestamp) -> Vec<String> {
    let mut all = Vec::new();
    let mut differ = |what: &str, expected: String, found: String| {
        all.push(format!("{what}: expected {expected}, found {found}"));
    };
    let offset = |time: Timestamp| super::story::offset(time, start);
    if let Some(at) = expected.at.map(|at| at.from(start)).filter(|at| *at != alert.opened_at) {
        differ("at", offset(at), offset(alert.opened_at));
    }
    for (field, value) in &expected.key {
        let name = field.dotted();
        match alert.key.get(&name) {
            Some(found) if same_key(&name, value, found) => {}
            Some(found) => differ(&format!("key {name}"), value.to_string(), found.to_string()),
            None => differ(&format!("key {name}"), value.to_string(), "no such field".to_owned()),
        }
    }
    if let Some(count) = expected.count.filter(|count| *count != alert.count) {
        differ("count", count.to_string(), alert.count.to_string());
    }
    if let Some(value) = expected.value.as_ref().filter(|value| !same(value, &alert.value)) {
        differ("value", value.to_string(), alert.value.to_string());
    }
    if let Some(severity) = expected.severity.filter(|severity| *severity != alert.severity) {
        differ("severity", severity.to_string(), alert.severity.to_string());
    }
    if let Some(title) = expected.title.as_ref().filter(|title| **title != alert.title) {
        differ("title", format!("`{title}`"), format!("`{}`", alert.title));
    }
    let resolved = expected.resolved_at.map(|at| at.from(start));
    if let Some(at) = resolved.filter(|at| Some(*at) != alert.resolved_at) {
        let found = alert.resolved_at.map_or_else(|| "still open".to_owned(), offset);
        differ("resolved_at", offset(at), found);
    }
    let status = match alert.status {
        AlertStatus::Open => "open",
        AlertStatus::Resolved => "resolved",
    };
    if let Some(expected) = expected.status.as_ref().filter(|expected| *expected != status) {
        differ("status", expected.clone(), status.to_owned());
    }
    all
}

/// Whether two values make the same key of a field: `Eve` and `eve` are one `user.name`.
fn same_key(field: &str, a: &Value, b: &Value) -> bool {
    match (Scalar::from_json(a), Scalar::from_json(b)) {
        (Some(a), Some(b)) => canonical(field, &a) == canonical(field, &b),
        _ => a == b,
    }
}

/// Whether two values are equal, numbers by their value.
fn same(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| value.as_number().and_then(Number::from_json);
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.compare(b).is_eq(),
        _ => a == b,
    }
}

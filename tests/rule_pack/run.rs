//! Runs a rule over records through the real mappings, matching and correlation, on a virtual clock.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hark::alert::{Alert, Correlation, Findings, Limits, Progress, Rules};
use hark::base::diagnostic::SourceText;
use hark::base::{Position, Timestamp};
use hark::engine::{Matched, Program, Record, Source, SourceTime, Tick};
use hark::event::{Event, FieldName, Layout};
use hark::mapping::{Edits, Mappings, Options, RawRecord, Tables};
use hark::query::Sets;
use hark::rule::Rule;
use hark::rule::test_case::{Origin, RuleTest, TestEvent};
use serde_json::Value;

const TOPIC: &str = "audit";

/// One rule, ready to be shown events.
pub(crate) struct Run<'a> {
    program: Program,
    rules: Rules,
    mappings: Mappings,
    samples: &'a Path,
    correlation: Correlation,
    matched: Matched,
    findings: Findings,
    /// The latest state of each alert.
    alerts: BTreeMap<String, Alert>,
    now: Timestamp,
    offset: i64,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        rule: &Arc<Rule>,
        mappings: &[SourceText],
        sets: &Sets,
        samples: &'a Path,
    ) -> Self {
        let mut layout = Layout::new();
        let program = Program::compile([rule.clone()], &mut layout, sets).unwrap();
        let rules = Rules::compile([rule.clone()], sets).unwrap();
        let (mappings, mistakes) =
            Mappings::load(mappings, &Tables::new(), &layout, sets, Options::default());
        assert!(mistakes.iter().all(|(_, found)| !found.has_errors()), "{mistakes:?}");
        Self {
            program,
            rules,
            mappings,
            samples,
            correlation: Correlation::new(Limits::default()),
            matched: Matched::default(),
            findings: Findings::default(),
            alerts: BTreeMap::new(),
            now: Timestamp::MIN,
            offset: 0,
        }
    }

    /// Everything that a `[[test]]` tells, then the end of time.
    pub(crate) fn test(mut self, test: &RuleTest) -> Vec<Alert> {
        for entry in &test.events {
            for n in 1..=entry.times {
                let after = entry.every * u32::try_from(n - 1).unwrap();
                self.entry(entry, entry.at.from(test.start) + after, n);
            }
        }
        self.finish()
    }

    /// A product's record as it stands in the samples, at another time.
    pub(crate) fn sample(&mut self, name: &str, time: Timestamp) {
        let entry = TestEvent {
            origin: Origin::Sample(name.to_owned()),
            at: hark::rule::test_case::Offset::default(),
            times: 1,
            every: Duration::ZERO,
            set: BTreeMap::new(),
            unset: Vec::new(),
        };
        self.entry(&entry, time, 1);
    }

    /// Lets the clock run until every alert has resolved; they come by opening, then key.
    pub(crate) fn finish(mut self) -> Vec<Alert> {
        self.tick(self.now + Duration::from_hours(24 * 365));
        let mut alerts: Vec<Alert> = self.alerts.into_values().collect();
        alerts.sort_by_key(|alert| (alert.opened_at, format!("{:?}", alert.key)));
        alerts
    }

    fn entry(&mut self, entry: &TestEvent, time: Timestamp, n: u64) {
        self.offset += 1;
        let position = Position { topic: TOPIC.into(), partition: 0, offset: self.offset };
        let set = numbered(&entry.set, n);
        let event = match &entry.origin {
            Origin::Sample(name) => self.mapped(name, set, &entry.unset, position, time),
            Origin::Fields(fields) => {
                let mut fields = numbered(fields, n);
                fields.extend(set);
                self.mappings.of_fields(&fields, position, time).unwrap()
            }
        };
        self.now = self.now.max(event.time);
        self.program.signals(&event, 1, &mut self.matched);
        for (_, signals) in std::mem::take(&mut self.matched.records) {
            self.apply(&Record::Signals(signals));
        }
        self.tick(self.now);
    }

    fn mapped(
        &self,
        name: &str,
        set: BTreeMap<FieldName, Value>,
        unset: &[FieldName],
        position: Position,
        time: Timestamp,
    ) -> Event {
        let path = self.samples.join(format!("{name}.json"));
        let payload =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let record = RawRecord {
            position,
            timestamp: Some(time),
            key: None,
            headers: Vec::new(),
            payload: &payload,
        };
        let tables = Tables::new();
        let edits = Edits { time: Some(time), set, unset: unset.to_vec(), tables };
        let mapping = name.split('/').next().unwrap_or_default();
        self.mappings.sample(mapping, &record, time, &edits).unwrap_or_else(|why| {
            panic!("{name}: {} {}", why.reason.code(), why.detail);
        })
    }

    fn tick(&mut self, time: Timestamp) {
        let source = Source::new(TOPIC, 0);
        self.apply(&Record::Tick(Tick {
            worker: "test".into(),
            sources: vec![SourceTime { source: source.clone(), time, at_end: false }],
            subscription: vec![source],
        }));
    }

    fn apply(&mut self, record: &Record) {
        let mut progress = self.correlation.apply(record, &self.rules, &mut self.findings);
        while progress == Progress::More {
            progress = self.correlation.resume(&self.rules, &mut self.findings);
        }
        assert_eq!(self.findings.notes, [], "nothing may be dropped");
        for alert in self.findings.alerts.drain(..) {
            self.alerts.insert(alert.id.clone(), alert);
        }
    }
}

/// `{{ n }}` in texts is the number of the repetition.
fn numbered(fields: &BTreeMap<FieldName, Value>, n: u64) -> BTreeMap<FieldName, Value> {
    fields.iter().map(|(field, value)| (field.clone(), with_number(value, n))).collect()
}

fn with_number(value: &Value, n: u64) -> Value {
    match value {
        Value::String(text) => text.replace("{{ n }}", &n.to_string()).into(),
        Value::Array(items) => items.iter().map(|item| with_number(item, n)).collect(),
        other => other.clone(),
    }
}

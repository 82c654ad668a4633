//! Runs a rule over records through the real mappings, matching and correlation, on a virtual clock.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hark::alert::{Alert, Findings, Pipeline};
use hark::base::diagnostic::SourceText;
use hark::base::{Position, Timestamp};
use hark::event::{Event, FieldName, Layout};
use hark::mapping::{Edits, Mappings, Options, RawRecord, Tables};
use hark::query::Sets;
use hark::rule::Rule;
use hark::rule::test_case::{Origin, RuleTest, TestEvent};
use serde_json::Value;

const TOPIC: &str = "audit";

/// One rule, ready to be shown events.
pub(crate) struct Run<'a> {
    pipeline: Pipeline,
    mappings: Mappings,
    samples: &'a Path,
    findings: Findings,
    /// The latest state of each alert.
    alerts: BTreeMap<String, Alert>,
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
        let pipeline = Pipeline::compile(std::slice::from_ref(rule), &mut layout, sets, 1).unwrap();
        let (mappings, mistakes) =
            Mappings::load(mappings, &Tables::new(), &layout, sets, Options::default());
        assert!(mistakes.iter().all(|(_, found)| !found.has_errors()), "{mistakes:?}");
        Self {
            pipeline,
            mappings,
            samples,
            findings: Findings::default(),
            alerts: BTreeMap::new(),
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
        self.pipeline.finish(&mut self.findings);
        self.keep();
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
        self.pipeline.event(&event, &mut self.findings);
        self.keep();
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

    /// The latest state of each alert replaces the earlier ones.
    fn keep(&mut self) {
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

//! MATCH's half of every rule: which rules an event meets, for which keys, and what of the event
//! travels on to the detector.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Diagnostic, Timestamp};
use crate::event::{Event, FieldId, FieldName, Layout, Scalar};
use crate::query::{Matcher, Sets};
use crate::rule::Rule;

use super::key::{Key, canonical, partition_of};
use super::signal::{Fields, Signal, Signals};

/// Fields that every signal carries when the event has them: what samples show, whatever the rule.
pub const SAMPLE_FIELDS: [&str; 28] = [
    "event.action",
    "event.category",
    "event.dataset",
    "event.id",
    "event.outcome",
    "event.provider",
    "event.reason",
    "event.type",
    "message",
    "organization.id",
    "organization.name",
    "session.id",
    "source.ip",
    "source.geo.city_name",
    "source.geo.country_iso_code",
    "source.as.organization.name",
    "target.id",
    "target.name",
    "target.type",
    "user.email",
    "user.id",
    "user.name",
    "user.roles",
    "user.target.email",
    "user.target.id",
    "user.target.name",
    "user.target.roles",
    "user_agent.original",
];

/// The longest text of a sample field that travels; what a detector or a severity case reads is whole.
pub const SAMPLE_TEXT_BYTES: usize = 1_024;

/// The most values of a sample field that travel.
pub const SAMPLE_VALUES: usize = 16;

/// The most keys that one event gives one rule: arrays in several `group_by` fields multiply.
pub const KEYS_PER_EVENT: usize = 1_000;

/// All enabled rules, compiled against one layout.
#[derive(Debug)]
pub struct Program {
    rules: Vec<Compiled>,
}

/// What one event became. Reused from event to event.
#[derive(Debug, Default)]
pub struct Matched {
    /// One record for each signals partition concerned, in order of the partitions.
    pub records: Vec<(u32, Signals)>,
    /// Rules that the event met without having one of their `group_by` fields.
    pub unkeyed: Vec<Arc<str>>,
    /// Rules for which the event had more than [`KEYS_PER_EVENT`] keys.
    pub cut: Vec<Arc<str>>,
}

/// What is wrong with one rule.
#[derive(Debug)]
pub struct Fault {
    /// The rule's id.
    pub rule: Arc<str>,
    /// Why it cannot be used.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Debug)]
struct Compiled {
    rule: Arc<Rule>,
    when: Matcher,
    exceptions: Vec<(Matcher, Option<Timestamp>)>,
    /// Names beside slots, for the canonical form depends on the field.
    group_names: Vec<String>,
    group: Vec<FieldId>,
    carried: Vec<Carried>,
}

/// A field that travels with the signal.
#[derive(Debug)]
struct Carried {
    name: Arc<str>,
    slot: FieldId,
    /// Decisions depend on it: never shortened.
    whole: bool,
}

impl Program {
    /// Compiles the enabled rules; asks the layout for everything they read.
    pub fn compile(
        rules: impl IntoIterator<Item = Arc<Rule>>,
        layout: &mut Layout,
        sets: &Sets,
    ) -> Result<Self, Vec<Fault>> {
        let mut compiled = Vec::new();
        let mut faults = Vec::new();
        for rule in rules.into_iter().filter(|rule| rule.enabled) {
            let id = rule.id.clone();
            match Compiled::new(rule, layout, sets) {
                Ok(rule) => compiled.push(rule),
                Err(diagnostics) => faults.push(Fault { rule: id, diagnostics }),
            }
        }
        if faults.is_empty() { Ok(Self { rules: compiled }) } else { Err(faults) }
    }

    /// Fills `out` with everything that the event means to the rules; `partitions` is how many
    /// the signals topic has.
    pub fn signals(&self, event: &Event, partitions: u32, out: &mut Matched) {
        out.clear();
        let mut by_partition: BTreeMap<u32, Vec<Signal>> = BTreeMap::new();
        for rule in self.candidates(event) {
            if !rule.meets(event) {
                continue;
            }
            let Some(keys) = rule.keys(event) else {
                out.unkeyed.push(rule.rule.id.clone());
                continue;
            };
            if keys.len() > KEYS_PER_EVENT {
                out.cut.push(rule.rule.id.clone());
            }
            let fields = rule.fields(event);
            for key in keys.into_iter().take(KEYS_PER_EVENT) {
                let partition = partition_of(&rule.rule.id, key.bytes(), partitions);
                by_partition.entry(partition).or_default().push(Signal {
                    rule: rule.rule.id.clone(),
                    version: rule.rule.hash,
                    step: 0,
                    key,
                    fields: fields.clone(),
                });
            }
        }
        let (time, clamped) = (event.time, event.clamped);
        out.records.extend(by_partition.into_iter().map(|(partition, signals)| {
            (partition, Signals { position: event.position.clone(), time, clamped, signals })
        }));
    }

    /// The rules that the event may meet; never fewer. All of them, until an index knows better.
    fn candidates(&self, _event: &Event) -> impl Iterator<Item = &Compiled> {
        self.rules.iter()
    }

    /// How many rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Matched {
    fn clear(&mut self) {
        self.records.clear();
        self.unkeyed.clear();
        self.cut.clear();
    }
}

impl Compiled {
    fn new(rule: Arc<Rule>, layout: &mut Layout, sets: &Sets) -> Result<Self, Vec<Diagnostic>> {
        let when = rule.when.compile(layout, sets)?;
        let mut exceptions = Vec::new();
        for exception in &rule.exceptions {
            exceptions.push((exception.when.compile(layout, sets)?, exception.until));
        }
        let group = rule.group_by.iter().map(|field| layout.field(field)).collect();
        let carried = carried(&rule, layout);
        let group_names = rule.group_by.iter().map(ToString::to_string).collect();
        Ok(Self { rule, when, exceptions, group_names, group, carried })
    }

    fn meets(&self, event: &Event) -> bool {
        let excepted = |(when, until): &(Matcher, Option<Timestamp>)| {
            until.is_none_or(|until| event.time <= until) && when.matches(event)
        };
        self.when.matches(event) && !self.exceptions.iter().any(excepted)
    }

    /// Every combination of one value of each `group_by` field, without repeats; at most one more
    /// than [`KEYS_PER_EVENT`]. `None` when a field is missing.
    fn keys(&self, event: &Event) -> Option<Vec<Key>> {
        let mut combinations: Vec<Vec<Scalar>> = vec![Vec::new()];
        for (name, slot) in self.group_names.iter().zip(&self.group) {
            let mut seen = BTreeSet::new();
            let values: Vec<&Scalar> = event
                .values(*slot)
                .iter()
                .filter(|value| value.as_text() != Some(""))
                .filter(|value| seen.insert(canonical(name, value)))
                .collect();
            if values.is_empty() {
                return None;
            }
            combinations = combinations
                .iter()
                .flat_map(|start| {
                    values
                        .iter()
                        .map(move |value| start.iter().cloned().chain([(*value).clone()]).collect())
                })
                .take(KEYS_PER_EVENT + 1)
                .collect();
        }
        Some(combinations.into_iter().map(|values| Key::new(&self.group_names, &values)).collect())
    }

    fn fields(&self, event: &Event) -> Fields {
        let mut fields = Fields::default();
        for carried in &self.carried {
            let values = event.values(carried.slot);
            let values = if carried.whole {
                values.into()
            } else {
                values.iter().take(SAMPLE_VALUES).map(shortened).collect()
            };
            fields.push(carried.name.clone(), values);
        }
        fields
    }
}

/// The union of what the rule reads after matching and what samples show, in order of the names.
fn carried(rule: &Rule, layout: &mut Layout) -> Vec<Carried> {
    let mut wanted: BTreeMap<FieldName, bool> = BTreeMap::new();
    for name in SAMPLE_FIELDS {
        wanted.insert(FieldName::from_keys([name]), false);
    }
    let read = rule.detector.iter().flat_map(|detector| detector.fields());
    for field in read.chain(rule.shown_fields()) {
        wanted.insert(field, true);
    }
    for field in rule.values_fields() {
        wanted.entry(field).or_insert(false);
    }
    let slot = |(field, whole): (FieldName, bool)| Carried {
        name: field.to_string().into(),
        slot: layout.field(&field),
        whole,
    };
    wanted.into_iter().map(slot).collect()
}

fn shortened(value: &Scalar) -> Scalar {
    match value {
        Scalar::Text(text) if text.len() > SAMPLE_TEXT_BYTES => {
            let start = text.get(..text.floor_char_boundary(SAMPLE_TEXT_BYTES)).unwrap_or_default();
            Scalar::Text(format!("{start}…").into())
        }
        value => value.clone(),
    }
}

//! The ways to fire over time, one file each: which events of one key, taken together, deserve an alert.
//!
//! A detector is a family member: one new file, and two lines here (`mod x;` and its `SPEC`).

pub mod absence;
#[cfg(test)]
mod absence_tests;
#[cfg(test)]
pub mod bench;
pub mod cardinality;
#[cfg(test)]
mod cardinality_tests;
pub mod change;
#[cfg(test)]
mod change_tests;
pub mod impossible_travel;
#[cfg(test)]
mod impossible_travel_tests;
pub mod metric;
#[cfg(test)]
mod metric_tests;
pub mod new_value;
pub mod ratio;
#[cfg(test)]
mod ratio_tests;
pub mod sequence;
pub mod spike;
#[cfg(test)]
mod spike_tests;
pub mod temporal;
#[cfg(test)]
mod temporal_tests;
pub mod threshold;

mod reading;
mod shared;
mod verdict;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::base::document::Table;
use crate::base::keys::KeySpec;
use crate::base::{Diagnostic, Diagnostics, Position, Timestamp};
use crate::event::{FieldName, Scalar};
use crate::query::{Query, Sets};
use crate::state::codec::Broken;

pub use reading::Reading;
pub use shared::expect::EXPECTED_MAX;
pub use verdict::{Firing, Verdict, Verdicts};

/// When a detector can say that its condition holds (the table in RULES §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decides {
    /// As soon as an event arrives; a late one is put where it belongs.
    OnArrival,
    /// When the clock has passed the event, for one more event can make the condition false.
    OnTheClock,
}

/// Reads a detector's own table; what the rule has beside it comes with the second argument.
pub type Parse = fn(Table<'_>, &dyn Reading, &mut Diagnostics) -> Option<Box<dyn Detector>>;

/// A family member: plain data, from which parsing, `check` and the reference are made.
#[derive(Debug)]
pub struct DetectorSpec {
    /// The table in a rule file: `threshold`.
    pub table: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// A complete rule file that uses it; a test loads it.
    pub example: &'static str,
    /// When it decides, unless its settings change that ([`Detector::decides`]).
    pub decides: Decides,
    /// The keys of the table, for the reference and the schema.
    pub keys: &'static [KeySpec],
    /// Reads the detector's own table, reporting every mistake; unknown keys too. What a rule may
    /// refer to outside of the table comes with the second argument.
    pub parse: Parse,
}

/// All detectors that a rule can name, in order of the reference.
pub const DETECTORS: &[&DetectorSpec] = &[
    &threshold::SPEC,
    &cardinality::SPEC,
    &metric::SPEC,
    &ratio::SPEC,
    &sequence::SPEC,
    &temporal::SPEC,
    &new_value::SPEC,
    &change::SPEC,
    &spike::SPEC,
    &absence::SPEC,
    &impossible_travel::SPEC,
];

/// The most parts that one rule can have: one bit each.
pub const PARTS_MAX: usize = 64;

/// Which parts of its rule an event met, one bit each, counted from 0 as in [`Detector::parts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts(pub u64);

impl Parts {
    /// The first part alone: what every event meets of a rule that has no others.
    pub const FIRST: Self = Self(1);
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// Whether a part is among them.
    pub fn has(self, part: usize) -> bool {
        u32::try_from(part)
            .ok()
            .and_then(|part| self.0.checked_shr(part))
            .is_some_and(|b| b & 1 != 0)
    }

    /// These and one more; a part beyond [`PARTS_MAX`] is not added.
    #[must_use]
    pub fn with(self, part: usize) -> Self {
        let bit = u32::try_from(part).ok().and_then(|part| 1u64.checked_shl(part));
        Self(self.0 | bit.unwrap_or(0))
    }

    /// These but one.
    #[must_use]
    pub fn without(self, part: usize) -> Self {
        Self(self.0 & !Self::default().with(part).0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether some part is in both.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One of the conditions by which events take part in a rule: a step, a part, or the rule's own.
#[derive(Debug, Clone, Copy)]
pub struct Part<'d> {
    /// What the author calls it; `None` when the rule has only one condition, or it has no name.
    pub name: Option<&'d str>,
    /// What an event must meet; `None`: nothing but the rule's `when`.
    pub when: Option<&'d Query>,
    /// Whether the rule's `when` must hold as well.
    pub with_rule: bool,
    /// The fields that name the key for this part, one for each of the rule's `group_by`; `None`:
    /// these themselves.
    pub group_by: Option<&'d [FieldName]>,
}

impl Part<'_> {
    /// The rule's own condition.
    pub const RULE: Self = Self { name: None, when: None, with_rule: true, group_by: None };
}

/// One event that met a rule, as a detector sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// Event time.
    pub time: Timestamp,
    /// Where the event's record stands; ties in time keep this order.
    pub position: Position,
    /// Which parts of the rule it met for this key; at least one.
    pub parts: Parts,
    /// The values of the fields that the detector asked for, in its order.
    pub values: Vec<Vec<Scalar>>,
}

/// Since when a rule has been watching (RULES §4, *Start*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleStart {
    /// The clock at which the rule's version became active.
    pub at: Timestamp,
    /// Whether to judge as if the rule had been watching for ever: rule tests do so for leading absent
    /// steps and spikes. `learn` and [`absence`](crate::detectors) count from `at` all the same.
    pub warm: bool,
}

/// A rule's detector: immutable, shared by all keys.
pub trait Detector: fmt::Debug + Send + Sync {
    /// Its entry in [`DETECTORS`].
    fn spec(&self) -> &'static DetectorSpec;

    /// When it decides, with these settings.
    fn decides(&self) -> Decides {
        self.spec().decides
    }

    /// Its settings in one canonical text, for the rule's fingerprint: everything in its table, the
    /// queries too.
    fn canonical(&self) -> String;

    /// How far before an event others can still matter to it: `within`, as a rule.
    fn span(&self) -> Duration;

    /// The time that the author wrote, if there is one: how long alerts stay open by default.
    fn within(&self) -> Option<Duration> {
        Some(self.span())
    }

    /// The conditions by which events take part, at least one and at most [`PARTS_MAX`]. An event
    /// that meets none is none of the rule's business.
    fn parts(&self) -> Vec<Part<'_>> {
        vec![Part::RULE]
    }

    /// The parts whose events an alert counts.
    fn counted(&self) -> Parts {
        Parts::ALL
    }

    /// How many of a key's newest events it needs at least: its alerts count with as many.
    fn keeps(&self) -> usize;

    /// The event fields whose values it reads.
    fn fields(&self) -> Vec<FieldName>;

    /// Whether an alert is about a tuple of values beside the key ([`Firing::tuple`]): `new_value`.
    fn is_about_tuples(&self) -> bool {
        false
    }

    /// The tuples that an event has, as [`Firing::tuple`] names them, without repeats; whether they
    /// are known or new. None if it [is not about tuples](Self::is_about_tuples).
    fn tuples(&self, _occurrence: &Occurrence) -> Vec<Arc<[u8]>> {
        Vec::new()
    }

    /// Whether it looks down: `absence`, spike down, every `below` and `at_most` (RULES §5). Its alerts
    /// stay open until the condition is false ([`Verdict::Ended`]), `keep_open` counts from then on, and
    /// the peak is the lowest value.
    fn looks_down(&self) -> bool {
        false
    }

    /// Whether it fires for want of events: `absence`, spike down. A version of a rule that nobody runs
    /// any more must not, for its events are another version's now.
    fn watches(&self) -> bool {
        false
    }

    /// Whether its firings are of the clock and of no event (RULES §3): they have the key's fields and no
    /// others.
    fn fires_without_event(&self) -> bool {
        self.watches()
    }

    /// The keys that it watches though they may never have had an event, each with one value for
    /// each `group_by` field of the rule. `sets` has the lists that it may name.
    fn expected(&self, _sets: &Sets) -> Vec<Vec<Scalar>> {
        Vec::new()
    }

    /// The list whose entries these are, if they come of one: they change with it.
    fn expected_list(&self) -> Option<&str> {
        None
    }

    /// The memory of a key that has no events yet, of a rule that has been watching since `start`.
    fn fresh(&self, start: RuleStart) -> Box<dyn KeyState>;

    /// Reads a memory back; the error says what is wrong with the bytes.
    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken>;
}

/// What a detector remembers of one key. Bounded; never whole events.
pub trait KeyState: fmt::Debug + Send {
    /// Takes an event that is not late. Adds every firing that the sorted order of all events so
    /// far has and that was not reported before.
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts);

    /// The rule's clock moved to `clock`: decides what waited for it, in order of the events.
    fn advance(&mut self, clock: Timestamp, out: &mut Verdicts);

    /// The rule's clock at which [`Self::advance`] next has something to decide: later than the
    /// clock it was last given. What decides on arrival never waits.
    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

    /// The key is expected to have events, from this clock on: watch it. Changes nothing if it is.
    fn expect(&mut self, _since: Timestamp) {}

    /// The key is not expected any more, from this clock on. What was told of it is over then; it is said
    /// only if an event of before, which waits to be decided, has ended it sooner.
    fn release(&mut self, _at: Timestamp, _out: &mut Verdicts) {}

    /// An alert of the key was closed because it was open for `max_open`.
    fn closed(&mut self) {}

    /// Times of the oldest and the newest event that it depends on, if they may lie further back
    /// than twice the detector's span.
    fn depends_on(&self) -> Option<(Timestamp, Timestamp)> {
        None
    }

    /// From which rule clock on this memory cannot matter any more.
    fn expires_at(&self) -> Timestamp;

    /// Appends a versioned encoding that [`Detector::restore`] reads.
    fn encode(&self, out: &mut Vec<u8>);
}

/// Reads a required count from 1 to `max`.
fn bounded_count(
    table: &mut Table<'_>,
    key: &'static str,
    max: usize,
    found: &mut Diagnostics,
) -> Option<usize> {
    table.require(key, found);
    let count = table.count(key, found)?;
    let value = usize::try_from(count.value).ok().filter(|value| *value <= max);
    if value.is_none() {
        let message = format!("expected a count of at most {max}, found `{}`", count.value);
        found.push(Diagnostic::error("out-of-range", count.span, message));
    }
    value
}

/// The most events that a detector without a count of its own keeps of a key.
pub const EVENTS_MAX: usize = 10_000;

/// So many times `count` events are kept of what counts to `count` (RULES §4, *State*).
const KEPT: usize = 4;

/// How many events are kept of a step or part that takes `count` of them: one that counts to no more
/// than one keeps what its span needs.
fn room(count: usize) -> usize {
    if count > 1 { KEPT * count } else { EVENTS_MAX }
}

/// The most fields whose values together are one.
pub const FIELDS_MAX: usize = 8;

/// Reads a required field, which is no pattern.
fn one_field(
    table: &mut Table<'_>,
    key: &'static str,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<FieldName> {
    let text = table.required_text(key, found)?;
    let field = reading.field(&text, found)?;
    if field.is_pattern() {
        let message = "expected one field, found a pattern";
        found.push(Diagnostic::error("bad-field", text.span, message));
        return None;
    }
    Some(field)
}

/// Reads a required list of fields whose values together are one: at least one, none twice, no
/// patterns.
fn field_list(
    table: &mut Table<'_>,
    key: &'static str,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Vec<FieldName>> {
    table.require(key, found);
    let span = table.item(key)?.span;
    let texts = table.texts(key, found)?;
    if texts.is_empty() {
        let message = "expected at least one field, found none";
        found.push(Diagnostic::error("bad-field", span, message));
        return None;
    }
    let all = texts.len();
    let mut fields: Vec<FieldName> = Vec::new();
    for text in texts {
        let Some(field) = reading.field(&text, found) else { continue };
        let refused = if field.is_pattern() {
            "expected one field, found a pattern".to_owned()
        } else if fields.contains(&field) {
            format!("the field `{field}` is named twice")
        } else if fields.len() >= FIELDS_MAX {
            format!("expected at most {FIELDS_MAX} fields")
        } else {
            fields.push(field);
            continue;
        };
        found.push(Diagnostic::error("bad-field", text.span, refused));
    }
    (fields.len() == all).then_some(fields)
}

/// The fields that name the key for a step or part, one for each of the rule's.
fn part_group_by(
    table: &mut Table<'_>,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Vec<FieldName>> {
    let span = table.item("group_by")?.span;
    let texts = table.texts("group_by", found)?;
    let wanted = reading.group_by();
    if texts.len() != wanted.len() {
        let rules: Vec<String> = wanted.iter().map(|field| format!("`{field}`")).collect();
        let message = match rules.len() {
            0 => "expected no `group_by`, for the rule itself has none".to_owned(),
            n => format!(
                "expected {n} field{}, one for each of the rule's `group_by` ({}), found {}",
                if n == 1 { "" } else { "s" },
                rules.join(", "),
                texts.len()
            ),
        };
        found.push(Diagnostic::error("bad-group-by", span, message));
        return None;
    }
    let mut fields = Vec::new();
    for text in texts {
        let Some(field) = reading.key_field(&text, found) else { continue };
        if field.is_pattern() {
            let message = "expected one field, found a pattern";
            found.push(Diagnostic::error("bad-group-by", text.span, message));
        }
        fields.push(field);
    }
    (fields.len() == wanted.len()).then_some(fields)
}

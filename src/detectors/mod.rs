//! The ways to fire over time, one file each: which events of one key, taken together, deserve an alert.
//!
//! A detector is a family member: one new file, and two lines here (`mod x;` and its `SPEC`).

pub mod cardinality;
#[cfg(test)]
mod cardinality_tests;
pub mod change;
#[cfg(test)]
mod change_tests;
pub mod threshold;

use std::fmt;
use std::time::Duration;

use crate::base::document::Table;
use crate::base::{Diagnostic, Diagnostics, Position, Timestamp};
use crate::event::{FieldName, Scalar};

/// When a detector can say that its condition holds (the table in RULES §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decides {
    /// As soon as an event arrives; a late one is put where it belongs.
    OnArrival,
    /// When the clock has passed the event, for one more event can make the condition false.
    OnTheClock,
}

/// A family member: plain data, from which parsing, `check` and the reference are made.
#[derive(Debug)]
pub struct DetectorSpec {
    /// The table in a rule file: `threshold`.
    pub table: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// A complete rule file that uses it; a test loads it.
    pub example: &'static str,
    /// When it decides.
    pub decides: Decides,
    /// Reads the detector's own table, reporting every mistake; unknown keys too.
    pub parse: fn(Table<'_>, &mut Diagnostics) -> Option<Box<dyn Detector>>,
}

/// All detectors that a rule can name, in order of the reference.
pub const DETECTORS: &[&DetectorSpec] = &[&threshold::SPEC, &cardinality::SPEC, &change::SPEC];

/// One event that met a rule, as a detector sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// Event time.
    pub time: Timestamp,
    /// Where the event's record stands; ties in time keep this order.
    pub position: Position,
    /// Which step or part of the rule it met; 0 for detectors without steps.
    pub step: u16,
    /// The values of the fields that the detector asked for, in its order.
    pub values: Vec<Vec<Scalar>>,
}

/// A detector's condition was true at one event (or deadline).
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// Time of the completing window's last event, or the deadline of a firing of the clock.
    pub time: Timestamp,
    /// The event that completed the window; `None` for a firing of the clock.
    pub position: Option<Position>,
    /// The earliest event in the window; `time` if it is empty.
    pub first: Timestamp,
    /// Events in the window.
    pub count: u64,
    /// The number judged or the new value (several: a list); null where RULES §3 says so.
    pub value: serde_json::Value,
    /// The value before the new one, for `[change]`.
    pub previous: Option<serde_json::Value>,
    /// Whether a bound made `count` or `value` a lower bound.
    pub approximate: bool,
}

/// A rule's detector: immutable, shared by all keys.
pub trait Detector: fmt::Debug + Send + Sync {
    /// Its entry in [`DETECTORS`].
    fn spec(&self) -> &'static DetectorSpec;

    /// Its settings in one canonical text, for the rule's fingerprint.
    fn canonical(&self) -> String;

    /// How far before an event others can still matter to it: `within`, as a rule.
    fn span(&self) -> Duration;

    /// The time that the author wrote, if there is one: how long alerts stay open by default.
    fn within(&self) -> Option<Duration> {
        Some(self.span())
    }

    /// How many of a key's newest events it needs at least: its alerts count with as many.
    fn keeps(&self) -> usize;

    /// The event fields whose values it reads.
    fn fields(&self) -> Vec<FieldName>;

    /// The memory of a key that has no events yet.
    fn fresh(&self) -> Box<dyn KeyState>;

    /// Reads a memory back; the error says what is wrong with the bytes.
    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, String>;
}

/// What a detector remembers of one key. Bounded; never whole events.
pub trait KeyState: fmt::Debug + Send {
    /// Takes an event that is not late. Adds every firing that the sorted order of all events so
    /// far has and that was not reported before.
    fn observe(&mut self, occurrence: &Occurrence, firings: &mut Vec<Firing>);

    /// The rule's clock moved to `clock`: decides what waited for it, in order of the events.
    fn advance(&mut self, clock: Timestamp, firings: &mut Vec<Firing>);

    /// The rule's clock at which [`Self::advance`] next has something to decide: later than the
    /// clock it was last given. What decides on arrival never waits.
    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

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

/// The most fields whose values together are one.
pub const FIELDS_MAX: usize = 8;

/// Reads a required field, which is no pattern.
fn one_field(
    table: &mut Table<'_>,
    key: &'static str,
    found: &mut Diagnostics,
) -> Option<FieldName> {
    let text = table.required_text(key, found)?;
    let message = match FieldName::parse(&text.value) {
        Ok(field) if !field.is_pattern() => return Some(field),
        Ok(_) => "expected one field, found a pattern".to_owned(),
        Err(message) => message,
    };
    found.push(Diagnostic::error("bad-field", text.span, message));
    None
}

/// Reads a required list of fields whose values together are one: at least one, none twice, no
/// patterns.
fn field_list(
    table: &mut Table<'_>,
    key: &'static str,
    found: &mut Diagnostics,
) -> Option<Vec<FieldName>> {
    table.require(key, found);
    let span = table.item(key)?.span;
    let texts = table.texts(key, found)?;
    let mut fields = Vec::new();
    let mut refuse = |span, message: String| {
        found.push(Diagnostic::error("bad-field", span, message));
    };
    if texts.is_empty() {
        refuse(span, "expected at least one field, found none".to_owned());
        return None;
    }
    let all = texts.len();
    for text in texts {
        match FieldName::parse(&text.value) {
            Err(message) => refuse(text.span, message),
            Ok(field) if field.is_pattern() => {
                refuse(text.span, "expected one field, found a pattern".to_owned());
            }
            Ok(field) if fields.contains(&field) => {
                refuse(text.span, format!("the field `{field}` is named twice"));
            }
            Ok(_) if fields.len() >= FIELDS_MAX => {
                refuse(text.span, format!("expected at most {FIELDS_MAX} fields"));
            }
            Ok(field) => fields.push(field),
        }
    }
    (fields.len() == all).then_some(fields)
}

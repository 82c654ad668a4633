//! What detectors say: their condition was true, or has become false.

use std::sync::Arc;

use crate::base::{Position, Timestamp};

/// A detector's condition was true at one event (or deadline).
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// Time of the completing window's last event, or the deadline of a firing of the clock.
    pub time: Timestamp,
    /// The event that completed the window; `None` for a firing of the clock.
    pub position: Option<Position>,
    /// Of a firing of the clock the event that completed what it waited for, by time and position: of a
    /// last absent step that of the last present one. It is shown as a sample; the firing has no fields
    /// but the key's (RULES §5).
    pub after: Option<(Timestamp, Position)>,
    /// The earliest event in the window; `time` if it is empty.
    pub first: Timestamp,
    /// Events in the window.
    pub count: u64,
    /// The number judged or the new value (several: a list); null where RULES §3 says so.
    pub value: serde_json::Value,
    /// The value before the new one, for `[change]`.
    pub previous: Option<serde_json::Value>,
    /// What the alert is about beside the key, in canonical bytes: the tuple of `[new_value]`.
    pub tuple: Option<Arc<[u8]>>,
    /// Whether a bound made `count` or `value` a lower bound.
    pub approximate: bool,
}

/// One thing that a detector says.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The condition was true.
    Fired(Firing),
    /// The condition, true at the last firing, became false at this time. Only what
    /// [`Detector::looks_down`](super::Detector::looks_down) says so.
    Ended(Timestamp),
}

/// What a detector said, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdicts {
    said: Vec<Verdict>,
    unmatched: Vec<(Timestamp, Position)>,
}

impl Verdicts {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The condition was true.
    pub fn push(&mut self, firing: Firing) {
        self.said.push(Verdict::Fired(firing));
    }

    /// The condition became false at `time`.
    pub fn ended(&mut self, time: Timestamp) {
        self.said.push(Verdict::Ended(time));
    }

    /// An event that met a part turned out not to match after all, so that alerts do not count it:
    /// what a step asks of earlier ones ([`Query::step_terms`](crate::query::Query::step_terms)) was
    /// not so.
    pub fn unmatched(&mut self, time: Timestamp, position: Position) {
        self.unmatched.push((time, position));
    }

    /// The events that turned out not to match.
    pub fn all_unmatched(&self) -> &[(Timestamp, Position)] {
        &self.unmatched
    }

    /// Everything that was said, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Verdict> {
        self.said.iter()
    }

    /// The firings alone, in order.
    pub fn firings(&self) -> impl Iterator<Item = &Firing> {
        self.said.iter().filter_map(|verdict| match verdict {
            Verdict::Fired(firing) => Some(firing),
            Verdict::Ended(_) => None,
        })
    }

    /// Forgets what was said.
    pub fn clear(&mut self) {
        self.said.clear();
        self.unmatched.clear();
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.said.is_empty() && self.unmatched.is_empty()
    }
}

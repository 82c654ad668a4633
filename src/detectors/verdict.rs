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
    /// [`Detector::is_sustained`](super::Detector::is_sustained) says so.
    Ended(Timestamp),
}

/// What a detector said, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdicts(Vec<Verdict>);

impl Verdicts {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The condition was true.
    pub fn push(&mut self, firing: Firing) {
        self.0.push(Verdict::Fired(firing));
    }

    /// The condition became false at `time`.
    pub fn ended(&mut self, time: Timestamp) {
        self.0.push(Verdict::Ended(time));
    }

    /// Everything that was said, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Verdict> {
        self.0.iter()
    }

    /// The firings alone, in order.
    pub fn firings(&self) -> impl Iterator<Item = &Firing> {
        self.0.iter().filter_map(|verdict| match verdict {
            Verdict::Fired(firing) => Some(firing),
            Verdict::Ended(_) => None,
        })
    }

    /// Forgets what was said.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

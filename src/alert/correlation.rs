//! The composition that CORRELATE runs for each signals partition: records in log order → clock →
//! timers → windows → alerts. Tests and replay run the same.

use std::sync::Arc;

use crate::base::Position;
use crate::engine::StreamClock;
use crate::engine::signal::Record;
use crate::state::KEYS_PER_RULE;

use super::record::Alert;
use super::rules::Rules;

/// How many timers run before their alerts are handed over.
pub const TIMERS_PER_STEP: usize = 10_000;

/// The bounds of one signals partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Keys that one rule remembers.
    pub keys_per_rule: usize,
    /// Timers that run before [`Progress::More`] is returned.
    pub timers_per_step: usize,
}

/// Everything that one signals partition knows.
#[derive(Debug)]
pub struct Correlation {
    limits: Limits,
    clock: StreamClock,
}

/// What came of records; the caller takes it and clears it.
#[derive(Debug, Default, PartialEq)]
pub struct Findings {
    /// Alert records, in the order in which they are to be written.
    pub alerts: Vec<Alert>,
    /// What is to be counted or told.
    pub notes: Vec<Note>,
}

/// Something that happened to a signal or a key other than an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A signal came too late for its rule's windows and was dropped.
    Late {
        /// The rule.
        rule: Arc<str>,
        /// Which event.
        position: Position,
    },
    /// A signal was delivered again and not counted.
    Duplicate {
        /// The rule.
        rule: Arc<str>,
        /// Which event.
        position: Position,
    },
    /// The rule has as many keys as it may: the one touched longest ago was forgotten.
    Evicted {
        /// The rule.
        rule: Arc<str>,
    },
    /// The rule has as many keys as it may and all have open alerts: the signal was dropped.
    Refused {
        /// The rule.
        rule: Arc<str>,
        /// Which event.
        position: Position,
    },
    /// The signal names a version of a rule that is not known here, and was not judged.
    UnknownRule {
        /// The rule.
        rule: Arc<str>,
        /// The version.
        version: u64,
        /// Which event.
        position: Position,
    },
}

/// Whether all is done that the record asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what is left must be resumed before the next record"]
pub enum Progress {
    /// Yes.
    Done,
    /// More timers are due: hand over what was found, then [`Correlation::resume`].
    More,
}

impl Default for Limits {
    fn default() -> Self {
        Self { keys_per_rule: KEYS_PER_RULE, timers_per_step: TIMERS_PER_STEP }
    }
}

impl Findings {
    /// Forgets what was taken.
    pub fn clear(&mut self) {
        self.alerts.clear();
        self.notes.clear();
    }
}

impl Correlation {
    /// A partition of which nothing is known yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, clock: StreamClock::new() }
    }

    /// Takes the next record of the partition. What it finds is added to `out`.
    pub fn apply(&mut self, record: &Record, rules: &Rules, out: &mut Findings) -> Progress {
        match record {
            Record::Tick(tick) => {
                self.clock.tick(tick);
                self.resume(rules, out)
            }
            Record::Signals(signals) => {
                for signal in &signals.signals {
                    if rules.get(&signal.rule, signal.version).is_none() {
                        out.notes.push(Note::UnknownRule {
                            rule: signal.rule.clone(),
                            version: signal.version,
                            position: signals.position.clone(),
                        });
                    }
                }
                Progress::Done
            }
        }
    }

    /// Runs the timers that a tick made due, in order, at most [`Limits::timers_per_step`] of them.
    pub fn resume(&mut self, _rules: &Rules, _out: &mut Findings) -> Progress {
        if self.limits.timers_per_step == 0 { Progress::More } else { Progress::Done }
    }

    /// The clock of the partition: how far time has come, and what holds it.
    pub fn clock(&self) -> &StreamClock {
        &self.clock
    }
}

//! One detector's memory of a key, and what must be known of it while nobody can read it.
//!
//! It belongs to a fingerprint: two versions of a rule that count differently do not share it.

use std::time::Duration;

use crate::base::Timestamp;
use crate::detectors::{Detector, KeyState, RuleStart, Verdicts};
use crate::rule::Rule;
use crate::state::codec::{self, Broken, Reader};

use super::life::{duration, put_duration};
use super::recent::{maybe_time, put_maybe_time};

/// A detector's memory.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) fingerprint: u64,
    /// The version of the rule whose event it took last: what waits is judged by that one.
    pub(super) version: u64,
    /// That version's lateness, for a window has the clock of its own version.
    pub(super) lateness: Duration,
    pub(super) expires_at: Timestamp,
    /// When it has something to decide, on that clock.
    pub(super) wake_at: Option<Timestamp>,
    /// Times of the oldest and newest event that it depends on, where the key's own do not tell.
    pub(super) events: Option<(Timestamp, Timestamp)>,
    pub(super) memory: Memory,
}

/// What was restored is read when an event needs it: until then nobody need know the rule.
#[derive(Debug)]
pub(super) enum Memory {
    Live(Box<dyn KeyState>),
    Encoded(Box<[u8]>),
}

impl Memory {
    /// Reads what was restored.
    pub(super) fn live(&mut self, detector: &dyn Detector) -> Result<(), Broken> {
        if let Self::Encoded(bytes) = self {
            *self = Self::Live(detector.restore(bytes)?);
        }
        Ok(())
    }
}

impl Window {
    pub(super) fn new(rule: &Rule, memory: Box<dyn KeyState>) -> Self {
        Self {
            fingerprint: rule.fingerprint,
            version: rule.hash,
            lateness: rule.lateness,
            expires_at: Timestamp::MIN,
            wake_at: None,
            events: None,
            memory: Memory::Live(memory),
        }
    }

    /// When it has something to decide, on the stream's clock.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.wake_at.map(|wake| wake + self.lateness)
    }

    /// Notes outside of the memory what must be known while nobody can read it.
    pub(super) fn note(&mut self) {
        if let Memory::Live(memory) = &self.memory {
            self.expires_at = memory.expires_at();
            self.wake_at = memory.wake_at();
            self.events = memory.depends_on();
        }
    }

    /// Appends an encoding that [`Self::decode`] reads.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.fingerprint.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        put_duration(out, self.lateness);
        codec::put_time(out, self.expires_at);
        put_maybe_time(out, self.wake_at);
        put_maybe_time(out, self.events.map(|(oldest, _)| oldest));
        put_maybe_time(out, self.events.map(|(_, newest)| newest));
        match &self.memory {
            Memory::Encoded(bytes) => codec::put_bytes(out, bytes),
            Memory::Live(memory) => {
                let mut bytes = Vec::new();
                memory.encode(&mut bytes);
                codec::put_bytes(out, &bytes);
            }
        }
    }

    /// Reads what was written.
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        Ok(Self {
            fingerprint: bytes.fixed()?,
            version: bytes.fixed()?,
            lateness: duration(bytes)?,
            expires_at: bytes.time()?,
            wake_at: maybe_time(bytes)?,
            events: maybe_time(bytes)?.zip(maybe_time(bytes)?),
            memory: Memory::Encoded(bytes.bytes()?.into()),
        })
    }
}

/// The memory of a key that has none. What the rule's clock has passed is not decided by it: should
/// something have happened then, it was told then. `expected`: whether the rule expects the key, since
/// `start`.
pub(super) fn fresh(
    detector: &dyn Detector,
    start: RuleStart,
    expected: bool,
    clock: Timestamp,
) -> Box<dyn KeyState> {
    let mut memory = detector.fresh(start);
    if expected {
        memory.expect(start.at);
    }
    memory.advance(clock, &mut Verdicts::new());
    memory
}

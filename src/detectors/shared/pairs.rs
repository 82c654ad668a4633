//! Each event of a key beside the one before it: what `[change]` and `[impossible_travel]` compare.
//!
//! The one before is the key's last in (time, position) that takes part. One more event can take its
//! place, so an event is judged when the rule's clock has passed it. Until then it waits, at most
//! [`EVENTS_MAX`] of a key: beyond that the oldest is judged early, and says so.

use std::fmt;
use std::time::Duration;

use crate::base::Timestamp;
use crate::detectors::{EVENTS_MAX, Firing, KeyState, Occurrence, Verdicts};
use crate::state::codec::{self, Broken, Reader};
use crate::state::timeline::{Moment, Placed, Timeline};

const FORMAT: u8 = 1;

/// What is compared: the settings of one rule.
pub(in crate::detectors) trait Compare: fmt::Debug + Send + 'static {
    /// What is kept of an event.
    type Note: fmt::Debug + Send;

    /// How long before an event the other may be; `None`: however long.
    fn reach(&self) -> Option<Duration>;

    /// What an event brings; `None`: it takes no part.
    fn note(&self, occurrence: &Occurrence) -> Option<Self::Note>;

    /// What an event fires after the one before it, which is within reach.
    fn compare(&self, before: &Moment<Self::Note>, event: &Moment<Self::Note>) -> Option<Firing>;

    /// Appends what [`Self::decode`] reads.
    fn encode(note: &Self::Note, out: &mut Vec<u8>);

    /// Reads what was written.
    fn decode(bytes: &mut Reader<'_>) -> Result<Self::Note, Broken>;
}

/// What is remembered of one key.
#[derive(Debug)]
pub(in crate::detectors) struct Pairs<C: Compare> {
    compare: C,
    /// The last event that was judged.
    before: Option<Moment<C::Note>>,
    /// Those that the clock has not passed.
    waiting: Timeline<C::Note>,
}

impl<C: Compare> Pairs<C> {
    /// Of a key without events.
    pub(in crate::detectors) fn new(compare: C) -> Self {
        Self { compare, before: None, waiting: Timeline::default() }
    }

    /// Compares the oldest of those that wait with the one before it, which it then is itself.
    fn judge_oldest(&mut self, early: bool, out: &mut Verdicts) {
        let Some(event) = self.waiting.take_oldest() else { return };
        let reach = self.compare.reach();
        let reaches = |before: &&Moment<C::Note>| {
            reach.is_none_or(|reach| event.time.since(before.time) <= reach)
        };
        let before = self.before.as_ref().filter(reaches);
        if let Some(firing) = before.and_then(|before| self.compare.compare(before, &event)) {
            out.push(Firing { approximate: firing.approximate || early, ..firing });
        }
        self.before = Some(event);
    }

    /// Reads what was written.
    pub(in crate::detectors) fn decode(compare: C, bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != FORMAT {
            return Err(Broken("a memory of pairs of version 1"));
        }
        let before = if bytes.byte()? == 0 {
            None
        } else {
            let (time, position) = (bytes.time()?, bytes.position()?);
            Some(Moment { time, position, note: C::decode(&mut bytes)? })
        };
        let waiting = Timeline::decode(&mut bytes, EVENTS_MAX, C::decode)?;
        bytes.end()?;
        Ok(Self { compare, before, waiting })
    }
}

impl<C: Compare> KeyState for Pairs<C> {
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts) {
        let Some(note) = self.compare.note(occurrence) else { return };
        let (time, position) = (occurrence.time, &occurrence.position);
        if self.before.as_ref().is_some_and(|b| (time, position) <= (b.time, &b.position)) {
            // Later ones were judged for want of room: nothing is taken back.
            return;
        }
        let placed = self.waiting.insert(time, position, note, usize::MAX);
        if placed != Placed::Known && self.waiting.len() > EVENTS_MAX {
            self.judge_oldest(true, out);
        }
    }

    fn advance(&mut self, clock: Timestamp, out: &mut Verdicts) {
        while self.waiting.get(0).is_some_and(|oldest| oldest.time < clock) {
            self.judge_oldest(false, out);
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.waiting.get(0).map(|oldest| oldest.time + Duration::from_millis(1))
    }

    fn depends_on(&self) -> Option<(Timestamp, Timestamp)> {
        let before = self.before.as_ref().map(|before| before.time);
        let oldest = before.or_else(|| self.waiting.get(0).map(|oldest| oldest.time))?;
        Some((oldest, self.waiting.newest().or(before)?))
    }

    fn expires_at(&self) -> Timestamp {
        let Some((_, newest)) = self.depends_on() else { return Timestamp::MIN };
        match self.compare.reach() {
            Some(reach) => newest + reach + Duration::from_millis(1),
            None => Timestamp::MAX,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        out.push(u8::from(self.before.is_some()));
        if let Some(before) = &self.before {
            codec::put_time(out, before.time);
            codec::put_position(out, &before.position);
            C::encode(&before.note, out);
        }
        self.waiting.encode(out, |out, note| C::encode(note, out));
    }
}

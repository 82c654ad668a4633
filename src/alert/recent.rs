//! The newest matching events of one key: what tells a repeated delivery from a new event, what
//! alerts count, and what samples show. Never whole events, and never more than a bound.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::{Position, Timestamp};
use crate::detectors::Parts;
use crate::engine::Fields;
use crate::state::codec::{self, Broken, Reader};

/// How many events of a key are known one by one, unless its detector needs more.
pub const EVENTS_PER_KEY: usize = 1_000;

/// Of how many of the newest events the fields are kept.
pub const SAMPLES_MAX: usize = 10;

/// How many tuples the events of a key have that are known one by one: an event with long arrays has
/// up to 1,000.
pub const TUPLES_PER_KEY: usize = 100_000;

/// The newest events of a key, sorted by (time, position), without repeats.
#[derive(Debug, Default)]
pub(super) struct Recent {
    events: VecDeque<Seen>,
    /// How many tuples they have.
    tuples: usize,
    /// The time of the latest event that was let go for want of room.
    cut: Option<Timestamp>,
}

/// One event of a key.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) time: Timestamp,
    pub(super) position: Position,
    /// The parts of the rule that it met.
    parts: Parts,
    /// Of what it may be beside the key, hashes ([`super::about`]).
    pub(super) tuples: Box<[u64]>,
    /// Kept for the newest [`SAMPLES_MAX`] and for those that a detector has yet to decide.
    pub(super) fields: Option<Fields>,
}

/// A matching event on its way into a key's memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matching<'a> {
    pub(super) time: Timestamp,
    pub(super) position: &'a Position,
    pub(super) parts: Parts,
    /// What it is about beside the key, hashes.
    pub(super) tuples: &'a [u64],
    pub(super) fields: &'a Fields,
}

/// What an event is to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was not known.
    New,
    /// It is known, by other parts of the rule.
    NewPart,
    /// It was delivered before.
    Duplicate,
    /// It is older than all that are kept, and no more are: nobody can say.
    TooOld,
}

impl Recent {
    /// Takes an event; `room` is how many are kept, and `let_go` is told of one that is not kept any
    /// more. Events from `undecided` on keep their fields: they may yet open an alert.
    pub(super) fn take(
        &mut self,
        event: Matching<'_>,
        room: usize,
        undecided: Timestamp,
        mut let_go: impl FnMut(&Seen),
    ) -> Taken {
        let Matching { time, position, parts, tuples, fields } = event;
        let at = self.place(time, position);
        if let Some(same) =
            self.events.get_mut(at).filter(|e| (e.time, &e.position) == (time, position))
        {
            let all = Parts(same.parts.0 | parts.0);
            let known = same.parts == all;
            same.parts = all;
            return if known { Taken::Duplicate } else { Taken::NewPart };
        }
        if at == 0 && self.events.len() >= room {
            self.cut = self.cut.max(Some(time));
            return Taken::TooOld;
        }
        let (position, tuples) = (position.clone(), tuples.into());
        let seen = Seen { time, position, parts, tuples, fields: None };
        self.tuples += seen.tuples.len();
        self.events.insert(at, seen);
        if at + SAMPLES_MAX >= self.events.len() || time >= undecided {
            if let Some(seen) = self.events.get_mut(at) {
                seen.fields = Some(fields.clone());
            }
            let left = self.events.len().checked_sub(SAMPLES_MAX + 1);
            let left = left.and_then(|left| self.events.get_mut(left));
            if let Some(seen) = left.filter(|seen| seen.time < undecided) {
                seen.fields = None;
            }
        }
        while (self.events.len() > room || self.tuples > TUPLES_PER_KEY && self.events.len() > 1)
            && let Some(oldest) = self.events.pop_front()
        {
            self.tuples -= oldest.tuples.len();
            self.cut = self.cut.max(Some(oldest.time));
            let_go(&oldest);
        }
        Taken::New
    }

    /// Lets go of an event that turned out not to be one of the rule's.
    pub(super) fn forget(&mut self, time: Timestamp, position: &Position) {
        let at = self.place(time, position);
        if self.events.get(at).is_some_and(|e| (e.time, &e.position) == (time, position)) {
            self.events.remove(at);
        }
    }

    /// Nothing before `undecided` waits any more: only the newest keep their fields.
    pub(super) fn release(&mut self, undecided: Timestamp) {
        let older = self.events.len().saturating_sub(SAMPLES_MAX);
        // Backwards, as far as fields reach: what is older was released before.
        let held = self.events.range_mut(..older).rev();
        let held = held.skip_while(|e| e.time >= undecided).take_while(|e| e.fields.is_some());
        held.for_each(|e| e.fields = None);
    }

    /// Lets go of events before `time`, which nothing that may still come can reach.
    pub(super) fn settle(&mut self, time: Timestamp, mut let_go: impl FnMut(&Seen)) {
        while self.events.front().is_some_and(|oldest| oldest.time < time) {
            if let Some(oldest) = self.events.pop_front() {
                self.tuples -= oldest.tuples.len();
                let_go(&oldest);
            }
        }
    }

    /// How many events lie between two times, both included; only those with the tuple, if there is
    /// one.
    pub(super) fn count(&self, first: Timestamp, last: Timestamp, tuple: Option<u64>) -> u64 {
        let from = self.events.partition_point(|e| e.time < first);
        let to = self.events.partition_point(|e| e.time <= last);
        match tuple {
            None => to.saturating_sub(from) as u64,
            Some(_) => self.latest(first, last, tuple).count() as u64,
        }
    }

    /// The latest events between two times, both included, newest first; only those with the tuple,
    /// if there is one.
    pub(super) fn latest(
        &self,
        first: Timestamp,
        last: Timestamp,
        tuple: Option<u64>,
    ) -> impl Iterator<Item = &Seen> {
        let to = self.events.partition_point(|e| e.time <= last);
        let between = self.events.range(..to).rev().take_while(move |e| e.time >= first);
        between.filter(move |e| tuple.is_none_or(|tuple| e.tuples.contains(&tuple)))
    }

    /// The fields of an event, if they are kept.
    pub(super) fn fields(&self, time: Timestamp, position: &Position) -> Option<&Fields> {
        let seen = self.events.get(self.place(time, position))?;
        seen.fields.as_ref().filter(|_| (seen.time, &seen.position) == (time, position))
    }

    /// The time of the oldest event.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.events.front().map(|e| e.time)
    }

    /// The time of the newest event.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.events.back().map(|e| e.time)
    }

    /// The time of the latest event that was let go for want of room.
    pub(super) fn cut(&self) -> Option<Timestamp> {
        self.cut
    }

    fn place(&self, time: Timestamp, position: &Position) -> usize {
        self.events.partition_point(|e| (e.time, &e.position) < (time, position))
    }

    /// Appends an encoding that [`Self::decode`] reads.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        codec::put_len(out, self.events.len());
        let mut topic = None;
        for seen in &self.events {
            // A topic is written where it changes; mostly there is one.
            let same = topic == Some(&seen.position.topic);
            let (tuples, fields) = (!seen.tuples.is_empty(), seen.fields.is_some());
            out.push(u8::from(same) | u8::from(fields) << 1 | u8::from(tuples) << 2);
            if !same {
                codec::put_text(out, &seen.position.topic);
                topic = Some(&seen.position.topic);
            }
            codec::put_i64(out, seen.position.partition.into());
            codec::put_i64(out, seen.position.offset);
            codec::put_time(out, seen.time);
            codec::put_u64(out, seen.parts.0);
            if tuples {
                codec::put_len(out, seen.tuples.len());
                seen.tuples.iter().for_each(|tuple| out.extend_from_slice(&tuple.to_le_bytes()));
            }
            if let Some(fields) = &seen.fields {
                fields.encode(out);
            }
        }
        put_maybe_time(out, self.cut);
    }

    /// Reads what was written.
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let mut events: VecDeque<Seen> = VecDeque::new();
        for _ in 0..bytes.count()? {
            let flags = bytes.byte()?;
            let topic: Arc<str> = match events.back() {
                Some(before) if flags & 1 != 0 => before.position.topic.clone(),
                _ => bytes.text()?.into(),
            };
            let partition = i32::try_from(bytes.i64()?).map_err(|_| Broken("a partition"))?;
            let position = Position { topic, partition, offset: bytes.i64()? };
            let (time, parts) = (bytes.time()?, Parts(bytes.u64()?));
            let mut tuples = Vec::new();
            if flags & 4 != 0 {
                for _ in 0..bytes.count()? {
                    tuples.push(bytes.fixed()?);
                }
            }
            let tuples = tuples.into();
            let fields = if flags & 2 == 0 { None } else { Some(Fields::decode(bytes)?) };
            if events.back().is_some_and(|b| (b.time, &b.position) >= (time, &position)) {
                return Err(Broken("events sorted by time and position"));
            }
            events.push_back(Seen { time, position, parts, tuples, fields });
        }
        let tuples = events.iter().map(|seen| seen.tuples.len()).sum();
        Ok(Self { events, tuples, cut: maybe_time(bytes)? })
    }
}

pub(super) fn put_maybe_time(out: &mut Vec<u8>, time: Option<Timestamp>) {
    out.push(u8::from(time.is_some()));
    if let Some(time) = time {
        codec::put_time(out, time);
    }
}

pub(super) fn maybe_time(bytes: &mut Reader<'_>) -> Result<Option<Timestamp>, Broken> {
    Ok(if bytes.byte()? == 0 { None } else { Some(bytes.time()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn take(recent: &mut Recent, time: i64, offset: i64, part: usize, room: usize) -> Taken {
        let position = Position::new("audit", 0, offset);
        let mut fields = Fields::default();
        fields.push("event.id".into(), [offset.to_string().as_str().into()].into());
        let event = Matching {
            time: at(time),
            position: &position,
            parts: Parts::default().with(part),
            tuples: &[offset.cast_unsigned() % 3, 99][..=usize::from(offset % 2 == 0)],
            fields: &fields,
        };
        recent.take(event, room, Timestamp::MAX, |_| {})
    }

    fn with_fields(recent: &Recent) -> Vec<i64> {
        let kept = recent.events.iter().filter(|e| e.fields.is_some());
        kept.map(|e| e.position.offset).collect()
    }

    #[test]
    fn an_event_is_new_once_for_each_part() {
        let mut recent = Recent::default();
        assert_eq!(take(&mut recent, 5, 0, 0, 9), Taken::New);
        assert_eq!(take(&mut recent, 5, 0, 0, 9), Taken::Duplicate);
        assert_eq!(take(&mut recent, 5, 0, 1, 9), Taken::NewPart);
        assert_eq!(take(&mut recent, 5, 0, 1, 9), Taken::Duplicate);
        assert_eq!(take(&mut recent, 5, 1, 0, 9), Taken::New);
        assert_eq!(recent.count(at(5), at(5), None), 2);
    }

    #[test]
    fn the_newest_keep_their_fields_whatever_the_order_of_arrival() {
        let mut recent = Recent::default();
        for n in 0..12 {
            take(&mut recent, n, n, 0, 99);
        }
        assert_eq!(with_fields(&recent), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        take(&mut recent, 1, 100, 0, 99);
        take(&mut recent, 5, 105, 0, 99);
        assert_eq!(with_fields(&recent), [3, 4, 5, 105, 6, 7, 8, 9, 10, 11]);
        assert!(recent.fields(at(5), &Position::new("audit", 0, 105)).is_some());
        assert!(recent.fields(at(2), &Position::new("audit", 0, 2)).is_none());
    }

    #[test]
    fn what_finds_no_room_is_told() {
        let mut recent = Recent::default();
        for n in 10..13 {
            take(&mut recent, n, n, 0, 3);
        }
        assert_eq!(take(&mut recent, 5, 5, 0, 3), Taken::TooOld);
        assert_eq!(recent.cut(), Some(at(5)));
        let mut gone = None;
        let position = Position::new("audit", 0, 20);
        let event = Matching {
            time: at(20),
            position: &position,
            parts: Parts::FIRST,
            tuples: &[],
            fields: &Fields::default(),
        };
        recent.take(event, 3, Timestamp::MAX, |seen| gone = Some(seen.time));
        assert_eq!((gone, recent.cut()), (Some(at(10)), Some(at(10))));
        assert_eq!(recent.count(at(0), at(99), None), 3);
    }

    #[test]
    fn both_ends_count_and_settled_events_are_told() {
        let mut recent = Recent::default();
        for n in [1, 2, 2, 3, 4] {
            let offset = i64::try_from(recent.events.len()).unwrap();
            take(&mut recent, n, offset, 0, 9);
        }
        assert_eq!(recent.count(at(2), at(3), None), 3);
        let newest = recent.latest(at(2), at(3), None).map(|e| e.position.offset);
        assert_eq!(newest.collect::<Vec<_>>(), [3, 2, 1]);
        let mut gone = Vec::new();
        recent.settle(at(3), |seen| gone.push(seen.time.as_millis()));
        assert_eq!(gone, [1, 2, 2]);
        assert_eq!(recent.cut(), None);
    }

    #[test]
    fn events_are_told_apart_by_their_tuples() {
        let mut recent = Recent::default();
        for n in 0..6 {
            take(&mut recent, n, n, 0, 9);
        }
        // Those with an even offset have the tuple 99, too.
        assert_eq!(recent.count(at(0), at(5), Some(99)), 3);
        assert_eq!(recent.count(at(1), at(4), Some(99)), 2);
        assert_eq!(recent.count(at(0), at(5), Some(0)), 2);
        assert_eq!(recent.count(at(0), at(5), Some(7)), 0);
        let newest = recent.latest(at(0), at(5), Some(1)).map(|e| e.position.offset);
        assert_eq!(newest.collect::<Vec<_>>(), [4, 1]);
    }

    #[test]
    fn events_with_many_tuples_make_room_for_each_other() {
        let mut recent = Recent::default();
        let many: Vec<u64> = (0..1_000).collect();
        let mut gone = 0;
        for n in 0..=i64::try_from(TUPLES_PER_KEY / 1_000).unwrap() {
            let event = Matching {
                time: at(n),
                position: &Position::new("audit", 0, n),
                parts: Parts::FIRST,
                tuples: &many,
                fields: &Fields::default(),
            };
            assert_eq!(gone, 0);
            assert_eq!(recent.take(event, 9_999, Timestamp::MAX, |_| gone += 1), Taken::New);
        }
        assert_eq!((gone, recent.cut(), recent.oldest()), (1, Some(at(0)), Some(at(1))));
        recent.settle(at(50), |_| {});
        assert_eq!(recent.tuples, recent.events.len() * 1_000);
    }

    #[test]
    fn it_reads_back_as_it_was() {
        let mut recent = Recent::default();
        for n in 0..15 {
            take(&mut recent, n / 2, n, usize::try_from(n % 3).unwrap(), 13);
        }
        let mut bytes = Vec::new();
        recent.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let back = Recent::decode(&mut reader).unwrap();
        reader.end().unwrap();
        let mut again = Vec::new();
        back.encode(&mut again);
        assert_eq!(again, bytes);
        assert_eq!(format!("{back:?}"), format!("{recent:?}"));
        for len in 0..bytes.len() {
            assert!(Recent::decode(&mut Reader::new(&bytes[..len])).is_err(), "{len}");
        }
    }
}

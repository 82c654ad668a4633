//! The newest events of one key in order of (time, position), each with a detector's own note.
//!
//! Whatever order they arrive in, they stand in the order of the source; one that is known is not
//! taken again, and what was cut for want of room is remembered by its time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::codec::{self, Broken, Reader};
use crate::base::{Position, Timestamp};

/// Events in order, and how far back they are complete.
#[derive(Debug)]
pub struct Timeline<T> {
    /// Sorted by (time, position), without repeats.
    kept: VecDeque<Moment<T>>,
    /// The time of the newest event that is not kept: whatever reaches back to it is incomplete.
    cut: Option<Timestamp>,
}

/// One event.
#[derive(Debug)]
pub struct Moment<T> {
    /// Event time.
    pub time: Timestamp,
    /// Where its record stands.
    pub position: Position,
    /// What the detector knows of it.
    pub note: T,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It stands at this index.
    At(usize),
    /// It was there.
    Known,
    /// It is older than all that are kept, and no more are.
    TooOld,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self { kept: VecDeque::new(), cut: None }
    }
}

impl<T> Timeline<T> {
    /// Puts an event where it belongs. There may then be one more than `room`: it is judged with
    /// what is kept, and [`Self::cut_oldest`] makes room again.
    pub fn insert(&mut self, time: Timestamp, position: &Position, note: T, room: usize) -> Placed {
        let at = self.place(time, position);
        if self.kept.get(at).is_some_and(|e| (e.time, &e.position) == (time, position)) {
            return Placed::Known;
        }
        if at == 0 && self.kept.len() >= room {
            self.cut = self.cut.max(Some(time));
            return Placed::TooOld;
        }
        self.kept.insert(at, Moment { time, position: position.clone(), note });
        Placed::At(at)
    }

    /// Lets the oldest event go for want of room.
    pub fn cut_oldest(&mut self) -> Option<Moment<T>> {
        let oldest = self.kept.pop_front()?;
        self.cut = self.cut.max(Some(oldest.time));
        Some(oldest)
    }

    /// Takes the oldest event out because it has been dealt with.
    pub fn take_oldest(&mut self) -> Option<Moment<T>> {
        self.kept.pop_front()
    }

    /// The index of an event, or the one at which it would stand.
    pub fn find(&self, time: Timestamp, position: &Position) -> Result<usize, usize> {
        self.kept.binary_search_by(|e| (e.time, &e.position).cmp(&(time, position)))
    }

    /// Takes an event out, of which it is known for other reasons that it is not kept any more.
    pub fn remove(&mut self, at: usize) -> Option<Moment<T>> {
        self.kept.remove(at)
    }

    /// How many events are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The event at an index.
    pub fn get(&self, at: usize) -> Option<&Moment<T>> {
        self.kept.get(at)
    }

    /// The event at an index, to note something.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut Moment<T>> {
        self.kept.get_mut(at)
    }

    /// How many events stand before this place.
    pub fn place(&self, time: Timestamp, position: &Position) -> usize {
        self.kept.partition_point(|e| (e.time, &e.position) < (time, position))
    }

    /// The index of the first event that is no more than `within` before `time`.
    pub fn start(&self, time: Timestamp, within: Duration) -> usize {
        self.kept.partition_point(|e| time.since(e.time) > within)
    }

    /// How many events are older than `time`: the index of the first that is not.
    pub fn before(&self, time: Timestamp) -> usize {
        self.kept.partition_point(|e| e.time < time)
    }

    /// Whether an event that is not kept may belong to the window that ends at `time`.
    pub fn is_cut(&self, time: Timestamp, within: Duration) -> bool {
        self.cut.is_some_and(|cut| time.since(cut) <= within)
    }

    /// The time of the newest event that was let go for want of room.
    pub fn cut(&self) -> Option<Timestamp> {
        self.cut
    }

    /// An event of this time was let go for want of room.
    pub fn note_cut(&mut self, time: Timestamp) {
        self.cut = self.cut.max(Some(time));
    }

    /// The time of the newest event.
    pub fn newest(&self) -> Option<Timestamp> {
        self.kept.back().map(|e| e.time)
    }

    /// Appends an encoding that [`Self::decode`] reads; `note` writes what the detector knows.
    pub fn encode(&self, out: &mut Vec<u8>, note: impl Fn(&mut Vec<u8>, &T)) {
        let mut topics: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        let mut in_order = Vec::new();
        for event in &self.kept {
            topics.entry(&event.position.topic).or_insert_with(|| {
                in_order.push(&event.position.topic);
                in_order.len() - 1
            });
        }
        codec::put_len(out, in_order.len());
        for topic in in_order {
            codec::put_text(out, topic);
        }
        codec::put_len(out, self.kept.len());
        for event in &self.kept {
            codec::put_time(out, event.time);
            codec::put_len(out, topics.get(&event.position.topic).copied().unwrap_or_default());
            codec::put_i64(out, event.position.partition.into());
            codec::put_i64(out, event.position.offset);
            note(out, &event.note);
        }
        out.push(u8::from(self.cut.is_some()));
        if let Some(cut) = self.cut {
            codec::put_time(out, cut);
        }
    }

    /// Reads at most `room` events back.
    pub fn decode(
        bytes: &mut Reader<'_>,
        room: usize,
        note: impl Fn(&mut Reader<'_>) -> Result<T, Broken>,
    ) -> Result<Self, Broken> {
        let mut topics: Vec<Arc<str>> = Vec::new();
        for _ in 0..bytes.count()? {
            topics.push(bytes.text()?.into());
        }
        let mut kept: VecDeque<Moment<T>> = VecDeque::new();
        for _ in 0..bytes.count()? {
            let time = bytes.time()?;
            let topic = usize::try_from(bytes.u64()?).ok().and_then(|topic| topics.get(topic));
            let topic = topic.ok_or(Broken("a topic of the list"))?.clone();
            let partition = i32::try_from(bytes.i64()?).map_err(|_| Broken("a partition"))?;
            let position = Position { topic, partition, offset: bytes.i64()? };
            let sorted = kept.back().is_none_or(|l| (l.time, &l.position) < (time, &position));
            if !sorted || kept.len() >= room {
                return Err(Broken("the newest events, sorted"));
            }
            kept.push_back(Moment { time, position, note: note(bytes)? });
        }
        let cut = if bytes.byte()? != 0 { Some(bytes.time()?) } else { None };
        Ok(Self { kept, cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: i64) -> Timestamp {
        Timestamp::from_millis(time)
    }

    fn insert(events: &mut Timeline<()>, time: i64, offset: i64) -> Placed {
        events.insert(at(time), &Position::new("audit", 0, offset), (), 2)
    }

    #[test]
    fn events_stand_in_the_order_of_the_source_and_once() {
        let mut events = Timeline::default();
        assert_eq!(insert(&mut events, 5, 1), Placed::At(0));
        assert_eq!(insert(&mut events, 5, 0), Placed::At(0));
        assert_eq!(insert(&mut events, 5, 1), Placed::Known);
        assert_eq!(insert(&mut events, 4, 9), Placed::TooOld);
        assert_eq!(insert(&mut events, 6, 2), Placed::At(2));
        assert_eq!(events.cut_oldest().map(|e| e.position.offset), Some(0));
        assert_eq!((events.len(), events.newest()), (2, Some(at(6))));
    }

    #[test]
    fn a_window_knows_whether_it_is_complete() {
        let mut events = Timeline::default();
        for (time, offset) in [(10, 0), (20, 1), (30, 2)] {
            insert(&mut events, time, offset);
        }
        assert_eq!(events.start(at(30), Duration::from_millis(10)), 1, "both ends are included");
        assert_eq!(events.start(at(30), Duration::from_millis(9)), 2);
        events.cut_oldest();
        assert!(events.is_cut(at(30), Duration::from_millis(20)));
        assert!(!events.is_cut(at(30), Duration::from_millis(19)));
    }
}

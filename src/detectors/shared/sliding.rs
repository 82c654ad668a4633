//! A window that slides with the rule's clock: what `[metric]` and `[ratio]` measure over.
//!
//! An event waits until the rule's clock has passed it, for one more before it could make a condition
//! false. Then it is judged with those that are no more than `within` before it in (time, position).
//! A condition that is to be told when it ends ends at an event that makes it false, or at the first T
//! at which (T − within, T] holds fewer than `min_events`.
//!
//! At most [`EVENTS_MAX`] events of a key are kept, and [`VALUES_MAX`] numbers of them. Beyond that
//! the oldest judged ones are let go, and if there is none, the oldest that waits is judged early;
//! what is then told of windows that reach so far back is approximate, and says so.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::bound::Bound;
use crate::base::{Position, Timestamp, duration};
use crate::detectors::{EVENTS_MAX, Firing, KeyState, Occurrence, Verdicts};
use crate::state::codec::{self, Broken, Reader};
use crate::state::timeline::{Placed, Timeline};

/// The most numbers that are kept of a key.
pub(in crate::detectors) const VALUES_MAX: usize = 40_000;

const FORMAT: u8 = 1;

/// Over what is measured, and what is too much or too little.
#[derive(Debug, Clone)]
pub(in crate::detectors) struct Window {
    pub(in crate::detectors) bound: Bound,
    pub(in crate::detectors) within: Duration,
    /// So many events that count must be in it: from 1 to [`EVENTS_MAX`].
    pub(in crate::detectors) min_events: usize,
}

impl Window {
    /// All of its settings in one text.
    pub(in crate::detectors) fn canonical(&self) -> String {
        let Bound { side, number } = self.bound;
        let within = duration::print(self.within);
        format!("{}={number} within={within} min_events={}", side.name(), self.min_events)
    }
}

/// What is measured: the settings of one rule.
pub(in crate::detectors) trait Measure:
    fmt::Debug + Clone + Send + 'static
{
    /// What is kept of an event.
    type Note: Note;
    /// What all events of a window come to.
    type Tally: fmt::Debug + Send + Default;

    /// Over what.
    fn window(&self) -> &Window;

    /// What an event brings.
    fn note(&self, occurrence: &Occurrence) -> Self::Note;

    /// An event comes into the window.
    fn add(&self, tally: &mut Self::Tally, note: &Self::Note);

    /// An event that was added leaves it.
    fn remove(&self, tally: &mut Self::Tally, note: &Self::Note);

    /// The number judged, if the window that ends at this event meets the condition.
    fn judge(&self, tally: &Self::Tally, last: &Self::Note) -> Option<serde_json::Value>;
}

/// What is kept of an event.
pub(in crate::detectors) trait Note:
    fmt::Debug + Send + Sized + 'static
{
    /// Whether it is one of the `min_events`.
    fn counts(&self) -> bool;

    /// How many numbers it holds.
    fn weight(&self) -> usize {
        0
    }

    /// Lets them go.
    fn shed(&mut self) {}

    /// Whether the event brought more than was kept.
    fn is_partial(&self) -> bool {
        false
    }

    /// Appends what [`Self::decode`] reads.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads what was written.
    fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken>;
}

/// What is remembered of one key.
#[derive(Debug)]
pub(in crate::detectors) struct Sliding<M: Measure> {
    measure: M,
    /// Those that the clock has not passed.
    waiting: Timeline<M::Note>,
    /// The window of the event that was judged last, as far as another can still reach it.
    judged: VecDeque<(Timestamp, M::Note)>,
    /// Where the event that was judged last stands.
    last: Option<(Timestamp, Position)>,
    /// The time of the newest event that is missing from `judged`.
    cut: Option<Timestamp>,
    /// The condition is true, and it must be told when it ends.
    holds: bool,
    /// What follows from `judged`, and grows and shrinks with it.
    tally: M::Tally,
    /// How many of them count, and the times of the newest `min_events` of those.
    counting: usize,
    newest: VecDeque<Timestamp>,
    /// How many of them brought more than was kept.
    partial: usize,
    /// How many of the oldest hold no number.
    light: usize,
    /// Numbers of all events, waiting ones too.
    weight: usize,
}

impl<M: Measure> Sliding<M> {
    /// Of a key without events.
    pub(in crate::detectors) fn new(measure: M) -> Self {
        Self {
            measure,
            waiting: Timeline::default(),
            judged: VecDeque::new(),
            last: None,
            cut: None,
            holds: false,
            tally: M::Tally::default(),
            counting: 0,
            newest: VecDeque::new(),
            partial: 0,
            light: 0,
            weight: 0,
        }
    }

    /// Judges the oldest of those that wait.
    fn judge_oldest(&mut self, early: bool, out: &mut Verdicts) {
        let Some(event) = self.waiting.take_oldest() else { return };
        let (time, position) = (event.time, event.position);
        self.end_before(time, out);
        self.leave_behind(time);
        let value = {
            self.enter(time, event.note);
            let enough = self.counting >= self.measure.window().min_events;
            let last = self.judged.back().filter(|_| enough);
            last.and_then(|(_, last)| self.measure.judge(&self.tally, last))
        };
        if let Some(value) = value {
            let within = self.measure.window().within;
            let cut = self.cut.is_some_and(|cut| time.since(cut) <= within);
            out.push(Firing {
                time,
                position: Some(position.clone()),
                after: None,
                first: self.judged.front().map_or(time, |(first, _)| *first),
                count: self.judged.len() as u64,
                value,
                previous: None,
                tuple: None,
                approximate: early || cut || self.partial > 0,
            });
            self.holds = self.measure.window().bound.side.is_down();
        } else if self.holds {
            self.holds = false;
            out.ended(time);
        }
        self.last = Some((time, position));
    }

    /// Tells that the window ran empty before `time`, if it did.
    fn end_before(&mut self, time: Timestamp, out: &mut Verdicts) {
        if let Some(empty) = self.runs_empty().filter(|empty| *empty < time) {
            self.holds = false;
            out.ended(empty);
        }
    }

    /// The first T at which (T − within, T] holds too few events if none comes, while the condition is
    /// true.
    fn runs_empty(&self) -> Option<Timestamp> {
        let last = self.last.as_ref().filter(|_| self.holds).map(|(time, _)| *time)?;
        Some(self.newest.front().copied().unwrap_or(last) + self.measure.window().within)
    }

    fn enter(&mut self, time: Timestamp, note: M::Note) {
        self.measure.add(&mut self.tally, &note);
        self.partial += usize::from(note.is_partial());
        if note.counts() {
            self.counting += 1;
            self.newest.push_back(time);
            if self.newest.len() > self.measure.window().min_events {
                self.newest.pop_front();
            }
        }
        self.judged.push_back((time, note));
    }

    /// Lets those go that are more than `within` before `time`.
    fn leave_behind(&mut self, time: Timestamp) {
        let within = self.measure.window().within;
        while self.judged.front().is_some_and(|(first, _)| time.since(*first) > within) {
            self.leave();
        }
    }

    /// Lets the oldest of those that were judged go.
    fn leave(&mut self) -> Option<Timestamp> {
        let (time, note) = self.judged.pop_front()?;
        self.measure.remove(&mut self.tally, &note);
        self.partial -= usize::from(note.is_partial());
        self.weight -= note.weight();
        self.light = self.light.saturating_sub(1);
        self.counting -= usize::from(note.counts());
        if self.newest.len() > self.counting {
            self.newest.pop_front();
        }
        Some(time)
    }

    fn make_room(&mut self, out: &mut Verdicts) {
        loop {
            let events = self.waiting.len() + self.judged.len();
            if events > EVENTS_MAX {
                if self.judged.is_empty() {
                    self.judge_oldest(true, out);
                }
                self.cut = self.cut.max(self.leave());
            } else if self.weight > VALUES_MAX {
                if !self.shed() {
                    self.judge_oldest(true, out);
                }
            } else {
                return;
            }
        }
    }

    /// Lets the numbers of one event go: the oldest that was judged and has any.
    fn shed(&mut self) -> bool {
        while self.judged.get(self.light).is_some_and(|(_, note)| note.weight() == 0) {
            self.light += 1;
        }
        let Some((time, note)) = self.judged.get_mut(self.light) else { return false };
        let partial = note.is_partial();
        self.measure.remove(&mut self.tally, note);
        self.weight -= note.weight();
        note.shed();
        self.measure.add(&mut self.tally, note);
        self.partial -= usize::from(partial && !note.is_partial());
        self.cut = self.cut.max(Some(*time));
        true
    }

    /// Reads what was written.
    pub(in crate::detectors) fn decode(measure: M, bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != FORMAT {
            return Err(Broken("a sliding window's memory of version 1"));
        }
        let mut read = Self::new(measure);
        read.waiting = Timeline::decode(&mut bytes, EVENTS_MAX, M::Note::decode)?;
        let mut before = Timestamp::MIN;
        for _ in 0..bytes.count()? {
            let time = bytes.time()?;
            if time < before || read.judged.len() >= EVENTS_MAX {
                return Err(Broken("judged events, sorted"));
            }
            before = time;
            let note = M::Note::decode(&mut bytes)?;
            read.weight += note.weight();
            read.enter(time, note);
        }
        if bytes.byte()? != 0 {
            read.last = Some((bytes.time()?, bytes.position()?));
        }
        if bytes.byte()? != 0 {
            read.cut = Some(bytes.time()?);
        }
        read.holds = bytes.byte()? != 0;
        bytes.end()?;
        let waiting = (0..read.waiting.len()).filter_map(|at| read.waiting.get(at));
        read.weight += waiting.map(|event| event.note.weight()).sum::<usize>();
        Ok(read)
    }
}

impl<M: Measure> KeyState for Sliding<M> {
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts) {
        let (time, position) = (occurrence.time, &occurrence.position);
        if self.last.as_ref().is_some_and(|(t, p)| (time, position) <= (*t, p)) {
            // Later ones were judged for want of room: nothing is taken back.
            self.cut = self.cut.max(Some(time));
            return;
        }
        let note = self.measure.note(occurrence);
        let weight = note.weight();
        if self.waiting.insert(time, position, note, usize::MAX) != Placed::Known {
            self.weight += weight;
            self.make_room(out);
        }
    }

    fn advance(&mut self, clock: Timestamp, out: &mut Verdicts) {
        while self.waiting.get(0).is_some_and(|oldest| oldest.time < clock) {
            self.judge_oldest(false, out);
        }
        self.end_before(clock, out);
        self.leave_behind(clock);
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let oldest = self.waiting.get(0).map(|oldest| oldest.time);
        let next = oldest.into_iter().chain(self.runs_empty()).min()?;
        Some(next + Duration::from_millis(1))
    }

    fn expires_at(&self) -> Timestamp {
        let judged = self.judged.back().map(|(time, _)| *time);
        match self.waiting.newest().max(judged) {
            Some(newest) => newest + self.measure.window().within + Duration::from_millis(1),
            None => Timestamp::MIN,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        self.waiting.encode(out, |out, note| note.encode(out));
        codec::put_len(out, self.judged.len());
        for (time, note) in &self.judged {
            codec::put_time(out, *time);
            note.encode(out);
        }
        out.push(u8::from(self.last.is_some()));
        if let Some((time, position)) = &self.last {
            codec::put_time(out, *time);
            codec::put_position(out, position);
        }
        out.push(u8::from(self.cut.is_some()));
        if let Some(cut) = self.cut {
            codec::put_time(out, cut);
        }
        out.push(u8::from(self.holds));
    }
}

//! What is remembered of a key when a step is absent or compared with earlier ones: events wait until
//! the rule's clock has passed them, and are then judged in order.
//!
//! So little need be known of what was: the newest few matches of each step, the latest match of each
//! absent one, the latest values that comparisons read. At most [`EVENTS_MAX`] events of a key wait;
//! beyond that the oldest is judged early, and its firings say so. As many ends of assignments wait
//! for a last absent step; beyond that the oldest is forgotten, and the next one says so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::chain::{Barriers, Chain, Completion};
use super::{Plan, VALUES_MAX};
use crate::base::{Position, Timestamp};
use crate::detectors::{EVENTS_MAX, Firing, KeyState, Occurrence, Parts, RuleStart, Verdicts};
use crate::event::Scalar;
use crate::query::have_common;
use crate::state::codec::{self, Broken, Reader};
use crate::state::timeline::{Moment, Placed, Timeline};

const FORMAT: u8 = 2;

#[derive(Debug)]
pub(super) struct Memory {
    plan: Arc<Plan>,
    /// Those that the clock has not passed.
    waiting: Timeline<Event>,
    /// The last event that was judged.
    judged: Option<(Timestamp, Position)>,
    chain: Chain,
    barriers: Barriers,
    /// What the plan wants remembered of the steps' latest matches.
    remembered: Vec<Vec<Scalar>>,
    /// What ends an assignment unless the last absent step comes, in order.
    ended: VecDeque<Ended>,
    /// Whether an event was judged before the clock had passed it, or an end was forgotten.
    early: bool,
}

/// What is known of an event that waits.
#[derive(Debug)]
struct Event {
    parts: Parts,
    /// Of the plan's fields.
    values: Vec<Vec<Scalar>>,
}

#[derive(Debug)]
struct Ended {
    time: Timestamp,
    position: Position,
    first: Timestamp,
}

impl Memory {
    pub(super) fn new(plan: Arc<Plan>, start: RuleStart) -> Self {
        let held = plan.leading().filter(|_| !start.warm).map(|leading| start.at + leading);
        Self {
            waiting: Timeline::default(),
            judged: None,
            chain: Chain::new(plan.clone(), true),
            barriers: Barriers { latest: vec![None; plan.steps.len()], held_until: held },
            remembered: vec![Vec::new(); plan.remembered.len()],
            ended: VecDeque::new(),
            early: false,
            plan,
        }
    }

    /// Judges the oldest of those that wait: all that stand before it have been.
    fn judge_oldest(&mut self, out: &mut Verdicts) {
        let Some(event) = self.waiting.take_oldest() else { return };
        self.fire_before(event.time, out);
        let matches = self.matches(&event.note);
        let place = (event.time, &event.position);
        let matches_step = |n: usize| matches.get(n).copied().unwrap_or_default();
        if self.plan.trailing().is_some_and(|(last, _)| matches_step(last)) {
            // Those that are left ended no longer ago than it had to be absent for.
            self.ended.clear();
        }
        let present = |n: usize| self.plan.steps.get(n).is_some_and(|step| !step.absent);
        if self.plan.counted().meets(event.note.parts)
            && !(0..matches.len()).any(|n| present(n) && matches_step(n))
        {
            out.unmatched(event.time, event.position.clone());
        }
        let completions = self.chain.take(place, &matches_step, &self.barriers);
        for completion in completions {
            self.complete(completion, out);
        }
        self.note(&event, &matches);
        self.judged = Some((event.time, event.position));
    }

    /// Which steps an event matches, given the latest matches before it.
    fn matches(&self, event: &Event) -> Vec<bool> {
        let matches = self.plan.steps.iter().map(|step| {
            let holds = step.terms.iter().map(|term| {
                let own = event.values.get(term.own).map_or(&[][..], Vec::as_slice);
                let other = self.remembered.get(term.other).map_or(&[][..], Vec::as_slice);
                have_common(own, other, term.case)
            });
            let way = holds.enumerate().fold(0, |way, (n, holds)| way | usize::from(holds) << n);
            event.parts.has(step.first_part + way)
        });
        matches.collect()
    }

    /// Remembers an event as the latest match of its steps.
    fn note(&mut self, event: &Moment<Event>, matches: &[bool]) {
        let matches = |step: usize| matches.get(step).copied().unwrap_or_default();
        for ((n, step), latest) in self.plan.steps.iter().enumerate().zip(&mut self.barriers.latest)
        {
            if step.absent && matches(n) {
                *latest = Some((event.time, event.position.clone()));
            }
        }
        for ((step, field), values) in self.plan.remembered.iter().zip(&mut self.remembered) {
            if matches(*step) {
                *values = event.note.values.get(*field).cloned().unwrap_or_default();
            }
        }
    }

    fn complete(&mut self, completion: Completion, out: &mut Verdicts) {
        let Completion { time, position, first } = completion;
        if self.plan.trailing().is_none() {
            self.fire(time, Ok(position), first, out);
            return;
        }
        self.ended.push_back(Ended { time, position, first });
        if self.ended.len() > EVENTS_MAX {
            self.ended.pop_front();
            self.early = true;
        }
    }

    /// Fires what the last absent step can no longer come to, now that events are from `clock` on.
    fn fire_before(&mut self, clock: Timestamp, out: &mut Verdicts) {
        let Some((_, within)) = self.plan.trailing() else { return };
        while let Some(ended) = self.ended.pop_front_if(|e| e.time + within < clock) {
            let Ended { time, position, first } = ended;
            self.fire(time + within, Err((time, position)), first, out);
        }
    }

    /// Fires at an event, or else after one at its deadline.
    fn fire(
        &mut self,
        time: Timestamp,
        event: Result<Position, (Timestamp, Position)>,
        first: Timestamp,
        out: &mut Verdicts,
    ) {
        let (position, after) = match event {
            Ok(position) => (Some(position), None),
            Err(before) => (None, Some(before)),
        };
        out.push(Firing {
            time,
            position,
            after,
            first,
            count: self.plan.count(),
            value: serde_json::Value::Null,
            previous: None,
            tuple: None,
            approximate: std::mem::take(&mut self.early),
        });
    }

    /// The newest event that it knows of.
    fn newest(&self) -> Option<Timestamp> {
        self.waiting.newest().or(self.judged.as_ref().map(|(time, _)| *time))
    }

    pub(super) fn decode(plan: Arc<Plan>, bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != FORMAT {
            return Err(Broken("a waiting sequence's memory of version 2"));
        }
        let waiting = Timeline::decode(&mut bytes, EVENTS_MAX, |bytes| {
            let parts = Parts(bytes.u64()?);
            let values = plan.fields.iter().map(|_| values(bytes)).collect::<Result<_, _>>()?;
            Ok(Event { parts, values })
        })?;
        let judged = maybe(&mut bytes, place)?;
        let chain = Chain::decode(&plan, true, &mut bytes)?;
        let mut barriers = Barriers::default();
        for _ in &plan.steps {
            barriers.latest.push(maybe(&mut bytes, place)?);
        }
        barriers.held_until = maybe(&mut bytes, time)?;
        let remembered = plan.remembered.iter().map(|_| values(&mut bytes));
        let remembered = remembered.collect::<Result<_, _>>()?;
        let mut ended = VecDeque::new();
        for _ in 0..bytes.count()? {
            let (time, position) = place(&mut bytes)?;
            ended.push_back(Ended { time, position, first: bytes.time()? });
        }
        let early = bytes.byte()? != 0;
        bytes.end()?;
        Ok(Self { plan, waiting, judged, chain, barriers, remembered, ended, early })
    }
}

impl KeyState for Memory {
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts) {
        let Occurrence { time, position, parts, values } = occurrence;
        if self.judged.as_ref().is_some_and(|(t, p)| (*time, position) <= (*t, p)) {
            // Later ones were judged for want of room: nothing is taken back.
            return;
        }
        let of_field = |at: usize| values.get(at).map_or(&[][..], Vec::as_slice);
        let fields = 0..self.plan.fields.len();
        let values = fields.map(|at| of_field(at).iter().take(VALUES_MAX).cloned().collect());
        let values = values.collect();
        let event = Event { parts: *parts, values };
        if self.waiting.insert(*time, position, event, usize::MAX) == Placed::Known {
            let at = self.waiting.place(*time, position);
            if let Some(known) = self.waiting.get_mut(at) {
                known.note.parts = Parts(known.note.parts.0 | parts.0);
            }
        } else if self.waiting.len() > EVENTS_MAX {
            self.early = true;
            self.judge_oldest(out);
        }
    }

    fn advance(&mut self, clock: Timestamp, out: &mut Verdicts) {
        while self.waiting.get(0).is_some_and(|oldest| oldest.time < clock) {
            self.judge_oldest(out);
        }
        self.fire_before(clock, out);
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let oldest = self.waiting.get(0).map(|oldest| oldest.time);
        let within = self.plan.trailing().map(|(_, within)| within).unwrap_or_default();
        let deadline = self.ended.front().map(|ended| ended.time + within);
        oldest.into_iter().chain(deadline).min().map(|time| time + Duration::from_millis(1))
    }

    fn depends_on(&self) -> Option<(Timestamp, Timestamp)> {
        let judged = self.judged.as_ref().map(|(time, _)| *time - self.plan.reach());
        let waiting = self.waiting.get(0).map(|oldest| oldest.time);
        Some((judged.or(waiting)?, self.newest()?))
    }

    fn expires_at(&self) -> Timestamp {
        let newest = self.newest().unwrap_or(Timestamp::MIN);
        newest + self.plan.reach() + Duration::from_millis(1)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        self.waiting.encode(out, |out, event| {
            codec::put_u64(out, event.parts.0);
            event.values.iter().for_each(|values| put_values(out, values));
        });
        put_place(out, self.judged.as_ref());
        self.chain.encode(out);
        for latest in &self.barriers.latest {
            put_place(out, latest.as_ref());
        }
        out.push(u8::from(self.barriers.held_until.is_some()));
        if let Some(until) = self.barriers.held_until {
            codec::put_time(out, until);
        }
        self.remembered.iter().for_each(|values| put_values(out, values));
        codec::put_len(out, self.ended.len());
        for Ended { time, position, first } in &self.ended {
            codec::put_time(out, *time);
            codec::put_position(out, position);
            codec::put_time(out, *first);
        }
        out.push(u8::from(self.early));
    }
}

fn put_values(out: &mut Vec<u8>, values: &[Scalar]) {
    codec::put_len(out, values.len());
    for value in values {
        codec::put_scalar(out, value);
    }
}

fn values(bytes: &mut Reader<'_>) -> Result<Vec<Scalar>, Broken> {
    (0..bytes.count()?).map(|_| bytes.scalar()).collect()
}

fn put_place(out: &mut Vec<u8>, place: Option<&(Timestamp, Position)>) {
    out.push(u8::from(place.is_some()));
    if let Some((time, position)) = place {
        codec::put_time(out, *time);
        codec::put_position(out, position);
    }
}

fn time(bytes: &mut Reader<'_>) -> Result<Timestamp, Broken> {
    bytes.time()
}

fn place(bytes: &mut Reader<'_>) -> Result<(Timestamp, Position), Broken> {
    Ok((bytes.time()?, bytes.position()?))
}

fn maybe<T>(
    bytes: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, Broken>,
) -> Result<Option<T>, Broken> {
    if bytes.byte()? == 0 { Ok(None) } else { read(bytes).map(Some) }
}

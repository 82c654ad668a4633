//! Assignments of one key's events to steps, found as events come, in whatever order.
//!
//! For each present step three timelines are kept: the events that *match* it, those of them with
//! which its part of an assignment can *begin*, and those with which it can *end*; of these two,
//! each with the time at which the latest such assignment began. Later begins and ends are never worse
//! than earlier ones (every condition on what stands before, `max_gap`, `within`, an absent step,
//! leaves a stretch of time that only moves forward), so one look at the nearest is enough: what it
//! does not allow, no earlier one does. A late event changes what comes after it within the span, and
//! there each step is linked anew to the one before.
//!
//! Begins and ends outlive the matches they were found by: what was found with an event stays found
//! when the event is cut.

use std::sync::Arc;

use super::{Plan, Step};
use crate::base::{Position, Timestamp};
use crate::state::codec::{Broken, Reader, put_time};
use crate::state::timeline::{Placed, Timeline};

/// What is known of the present steps of one key.
#[derive(Debug)]
pub(super) struct Chain {
    plan: Arc<Plan>,
    /// One for each step; nothing for absent ones.
    links: Vec<Links>,
    /// Whether events come in order, so that only the newest ones matter.
    in_order: bool,
}

/// An event that ends an assignment and did not before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Completion {
    pub(super) time: Timestamp,
    pub(super) position: Position,
    /// When the latest assignment began.
    pub(super) first: Timestamp,
}

/// What forbids assignments: only known when events come in order.
#[derive(Debug, Default)]
pub(super) struct Barriers {
    /// The latest match of each step that is absent.
    pub(super) latest: Vec<Option<(Timestamp, Position)>>,
    /// Before this time a leading absent step has not seen its whole period.
    pub(super) held_until: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Links {
    matches: Timeline<()>,
    /// Of a step that takes one event these are its ends, and this is empty.
    begins: Timeline<Timestamp>,
    ends: Timeline<Timestamp>,
}

/// What putting down an assignment's begin changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Raised {
    /// There was none that ends here.
    New,
    /// There was one that began earlier.
    Later,
    Same,
}

impl Chain {
    pub(super) fn new(plan: Arc<Plan>, in_order: bool) -> Self {
        let links = plan.steps.iter().map(|_| Links::default()).collect();
        Self { plan, links, in_order }
    }

    /// Takes an event that matches the steps which `matches` says, and tells every event that now
    /// ends an assignment, in order.
    pub(super) fn take(
        &mut self,
        (time, position): (Timestamp, &Position),
        matches: &dyn Fn(usize) -> bool,
        barriers: &Barriers,
    ) -> Vec<Completion> {
        let plan = self.plan.clone();
        let mut completions = Vec::new();
        let mut moved = false;
        for (n, step) in plan.steps.iter().enumerate().filter(|(_, step)| !step.absent) {
            let room = self.room(step);
            let Some(links) = self.links.get_mut(n) else { continue };
            let own = matches(n)
                && matches!(links.matches.insert(time, position, (), room), Placed::At(_));
            if own || moved {
                let anew = Anew { time, position, own, before: moved };
                moved = self.link(n, step, &anew, barriers, &mut completions);
            }
        }
        for (step, links) in plan.steps.iter().zip(&mut self.links) {
            let room = if self.in_order { step.count + 1 } else { step.room() };
            links.cut(room);
        }
        completions
    }

    /// How many events are kept of a step. In order, only the newest can be linked to: those of the
    /// step's own block, and one more where that is the judged event itself.
    fn room(&self, step: &Step) -> usize {
        if self.in_order { step.count + 1 } else { step.room() }
    }

    /// Links a step's events from a place on to the step before; whether its ends are others now.
    fn link(
        &mut self,
        n: usize,
        step: &Step,
        from: &Anew<'_>,
        barriers: &Barriers,
        completions: &mut Vec<Completion>,
    ) -> bool {
        let mut moved = false;
        let start = self.links.get(n).map_or(0, |l| l.matches.place(from.time, from.position));
        for at in start.. {
            let Some(event) = self.links.get(n).and_then(|links| links.matches.get(at)) else {
                break;
            };
            let (time, position) = (event.time, event.position.clone());
            let is_own = from.own && at == start;
            let linked_anew = from.before || is_own;
            if time.since(from.time) > self.plan.span || (step.count == 1 && !linked_anew) {
                break;
            }
            let begun = if linked_anew { self.begin(n, time, &position, barriers) } else { None };
            let ended = if step.count == 1 {
                begun
            } else {
                if let (Some(begun), Some(links)) = (begun, self.links.get_mut(n)) {
                    raise(&mut links.begins, time, &position, begun);
                }
                self.block(n, step, at)
            };
            let Some(first) = ended.filter(|first| time.since(*first) <= self.plan.span) else {
                continue;
            };
            let Some(links) = self.links.get_mut(n) else { break };
            let raised = raise(&mut links.ends, time, &position, first);
            moved |= raised != Raised::Same;
            if raised == Raised::New && n == self.plan.last() {
                completions.push(Completion { time, position, first });
            }
        }
        moved
    }

    /// When the latest assignment began in which a step's events begin with this one.
    fn begin(
        &self,
        n: usize,
        time: Timestamp,
        position: &Position,
        barriers: &Barriers,
    ) -> Option<Timestamp> {
        let (before, present) = self.plan.before(n);
        let absent = before.filter(|step| step.absent);
        let barrier = absent.and(n.checked_sub(1)).and_then(|n| barriers.latest.get(n)?.as_ref());
        let Some(present) = present else {
            let held = absent.is_some() && barriers.held_until.is_some_and(|until| time < until);
            let within = absent.and_then(|step| step.within).unwrap_or_default();
            let seen = barrier.is_some_and(|(seen, _)| time.since(*seen) <= within);
            return (!held && !seen).then_some(time);
        };
        let ends = &self.links.get(present)?.ends;
        let end = ends.get(ends.place(time, position).checked_sub(1)?)?;
        let gap = self.plan.steps.get(n)?.max_gap;
        let far = gap.is_some_and(|gap| time.since(end.time) > gap);
        let between = barrier.is_some_and(|(t, p)| (end.time, &end.position) < (*t, p));
        (!far && !between).then_some(end.note)
    }

    /// When the latest assignment began in which a counted step's events end with its match at `at`.
    fn block(&self, n: usize, step: &Step, at: usize) -> Option<Timestamp> {
        let Links { matches, begins, .. } = self.links.get(n)?;
        let last = matches.get(at)?;
        let first = matches.get((at + 1).checked_sub(step.count)?)?;
        let from = begins.place(first.time, &first.position);
        let same = begins
            .get(from)
            .is_some_and(|b| (b.time, &b.position) == (first.time, &first.position));
        let begin = begins.get((from + usize::from(same)).checked_sub(1)?)?;
        let far = step.within.is_some_and(|within| last.time.since(begin.time) > within);
        (!far).then_some(begin.note)
    }

    /// The time of the newest match.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.links.iter().filter_map(|links| links.matches.newest()).max()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for links in self.links.iter().zip(&self.plan.steps).filter(|(_, step)| !step.absent) {
            let Links { matches, begins, ends } = links.0;
            matches.encode(out, |_, ()| {});
            begins.encode(out, |out, begin| put_time(out, *begin));
            ends.encode(out, |out, begin| put_time(out, *begin));
        }
    }

    pub(super) fn decode(
        plan: &Arc<Plan>,
        in_order: bool,
        bytes: &mut Reader<'_>,
    ) -> Result<Self, Broken> {
        let mut chain = Self::new(plan.clone(), in_order);
        for (n, step) in plan.steps.iter().enumerate().filter(|(_, step)| !step.absent) {
            let room = chain.room(step);
            let links = Links {
                matches: Timeline::decode(bytes, room, |_| Ok(()))?,
                begins: Timeline::decode(bytes, room, begun)?,
                ends: Timeline::decode(bytes, room, begun)?,
            };
            if let Some(place) = chain.links.get_mut(n) {
                *place = links;
            }
        }
        Ok(chain)
    }
}

/// From where on a step is linked anew.
struct Anew<'e> {
    time: Timestamp,
    position: &'e Position,
    /// Whether the event there is a new match of this step.
    own: bool,
    /// Whether the step before has other ends.
    before: bool,
}

impl Links {
    /// Lets the oldest go that there is no room for.
    fn cut(&mut self, room: usize) {
        while self.matches.len() > room {
            self.matches.cut_oldest();
        }
        for found in [&mut self.begins, &mut self.ends] {
            while found.len() > room {
                found.cut_oldest();
            }
        }
    }
}

fn begun(bytes: &mut Reader<'_>) -> Result<Timestamp, Broken> {
    bytes.time()
}

/// Puts down when the latest assignment began that comes to this event.
fn raise(
    found: &mut Timeline<Timestamp>,
    time: Timestamp,
    position: &Position,
    begin: Timestamp,
) -> Raised {
    if found.insert(time, position, begin, usize::MAX) != Placed::Known {
        return Raised::New;
    }
    let at = found.place(time, position);
    match found.get_mut(at).filter(|known| known.note < begin) {
        Some(known) => {
            known.note = begin;
            Raised::Later
        }
        None => Raised::Same,
    }
}

//! A recount that keeps every event and tries every assignment, and the law that any order of arrival
//! says the same.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::base::Position;
use crate::detectors::bench::{self, START, at};
use crate::detectors::{Firing, Occurrence};
use crate::event::Scalar;

/// A step as RULES §4 has it; times in ms.
#[derive(Debug, Clone, Default)]
struct Plain {
    absent: bool,
    count: usize,
    within: Option<i64>,
    max_gap: Option<i64>,
    /// The earlier step whose latest match must (or must not) have the same value.
    asks: Option<(usize, bool)>,
}

#[derive(Debug, Clone)]
struct Rule {
    steps: Vec<Plain>,
    within: Option<i64>,
}

/// An event: which steps it matches as far as it alone tells, and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    time: i64,
    offset: i64,
    steps: Vec<bool>,
    value: u64,
}

/// What fired: time, offset of the event if there is one, first event, events.
type Fired = (i64, Option<i64>, i64, u64);

impl Rule {
    /// As an author writes it.
    fn text(&self) -> String {
        let mut text = "[sequence]\n".to_owned();
        let put = |text: &mut String, key: &str, time: Option<i64>| {
            if let Some(time) = time {
                writeln!(text, "{key} = '{time}ms'").unwrap();
            }
        };
        put(&mut text, "within", self.within);
        for (n, step) in self.steps.iter().enumerate() {
            writeln!(text, "[[sequence.step]]\nname = 's{n}'\nabsent = {}", step.absent).unwrap();
            if !step.absent {
                writeln!(text, "count = {}", step.count).unwrap();
            }
            put(&mut text, "within", step.within);
            put(&mut text, "max_gap", step.max_gap);
            if let Some((asked, alike)) = step.asks {
                let not = if alike { "" } else { "not " };
                writeln!(text, "when = '{not}user.id: $steps.s{asked}.user.id'").unwrap();
            }
        }
        text
    }

    /// The first part of each step.
    fn parts(&self) -> Vec<usize> {
        let sizes = self.steps.iter().map(|s| if s.asks.is_some() { 2 } else { 1 });
        sizes.scan(0, |next, size| Some(std::mem::replace(next, *next + size))).collect()
    }

    /// As MATCH sends it.
    fn occurrence(&self, event: &Event) -> Occurrence {
        let mut parts = Parts::default();
        for ((step, first), matches) in self.steps.iter().zip(self.parts()).zip(&event.steps) {
            match step.asks {
                None if *matches => parts = parts.with(first),
                Some((_, alike)) if *matches => parts = parts.with(first + usize::from(alike)),
                _ => {}
            }
        }
        let values = self.steps.iter().any(|step| step.asks.is_some());
        let values = if values { vec![vec![Scalar::from(event.value)]] } else { Vec::new() };
        let position = Position::new("audit", 0, event.offset);
        Occurrence { time: at(event.time), position, parts, values }
    }

    /// Which steps each of the sorted events matches, given those before.
    fn matches(&self, events: &[Event]) -> Vec<Vec<bool>> {
        let mut all: Vec<Vec<bool>> = Vec::new();
        for event in events {
            let matches = self.steps.iter().zip(&event.steps).map(|(step, own)| {
                let Some((asked, alike)) = step.asks else { return *own };
                let before = events.iter().zip(&all).rfind(|(_, matches)| matches[asked]);
                let same = before.is_some_and(|(latest, _)| latest.value == event.value);
                *own && same == alike
            });
            let matches = matches.collect();
            all.push(matches);
        }
        all
    }

    /// Everything that fires, by trying every assignment for every event.
    fn recount(&self, events: &[Event]) -> Vec<Fired> {
        let mut sorted = events.to_vec();
        sorted.sort();
        sorted.dedup_by_key(|event| (event.time, event.offset));
        let matches = self.matches(&sorted);
        // The step of each place in an assignment.
        let places: Vec<usize> = (0..self.steps.len())
            .filter(|n| !self.steps[*n].absent)
            .flat_map(|n| std::iter::repeat_n(n, self.steps[n].count))
            .collect();
        let mut fired = Vec::new();
        for last in 0..sorted.len() {
            let mut best = None;
            search(&matches, &places, last + 1, &mut Vec::new(), &mut |taken| {
                if *taken.last().unwrap() == last && self.holds(&sorted, &matches, &places, taken) {
                    best = best.max(Some(sorted[taken[0]].time));
                }
            });
            let Some(first) = best else { continue };
            let (time, count) = (sorted[last].time, places.len() as u64);
            let trailing = self.steps.len() - 1;
            if !self.steps[trailing].absent {
                fired.push((time, Some(sorted[last].offset), first, count));
                continue;
            }
            let until = time + self.steps[trailing].within.unwrap();
            let comes =
                (last + 1..sorted.len()).any(|n| matches[n][trailing] && sorted[n].time <= until);
            if !comes {
                fired.push((until, None, first, count));
            }
        }
        fired
    }

    fn holds(
        &self,
        events: &[Event],
        matches: &[Vec<bool>],
        places: &[usize],
        taken: &[usize],
    ) -> bool {
        let ends = |step: usize| {
            let own = || taken.iter().zip(places).filter(move |(_, of)| **of == step);
            (*own().next().unwrap().0, *own().next_back().unwrap().0)
        };
        let far = |from: usize, to: usize, most: Option<i64>| {
            most.is_some_and(|most| events[to].time - events[from].time > most)
        };
        let mut before: Option<usize> = None;
        for (n, step) in self.steps.iter().enumerate().filter(|(_, step)| !step.absent) {
            let (first, last) = ends(n);
            if far(first, last, step.within) {
                return false;
            }
            let absent = n > 0 && self.steps[n - 1].absent;
            match before {
                Some(before) => {
                    let between = (before + 1..first).any(|e| absent && matches[e][n - 1]);
                    if between || far(before, first, step.max_gap) {
                        return false;
                    }
                }
                None if absent => {
                    let since = events[first].time - self.steps[n - 1].within.unwrap();
                    if (0..first).any(|e| matches[e][n - 1] && events[e].time >= since) {
                        return false;
                    }
                }
                None => {}
            }
            before = Some(last);
        }
        !far(taken[0], *taken.last().unwrap(), self.within)
    }
}

/// Every way to put events before `end` into places that are each of a step, in order.
fn search(
    matches: &[Vec<bool>],
    places: &[usize],
    end: usize,
    taken: &mut Vec<usize>,
    found: &mut dyn FnMut(&[usize]),
) {
    if taken.len() == places.len() {
        return found(taken);
    }
    let from = taken.last().map_or(0, |last| last + 1);
    let step = places[taken.len()];
    for n in (from..end).filter(|n| matches[*n][step]) {
        taken.push(n);
        search(matches, places, end, taken, found);
        taken.pop();
    }
}

fn fired(firing: &Firing) -> Fired {
    let offset = firing.position.as_ref().map(|position| position.offset);
    (firing.time.as_millis(), offset, firing.first.as_millis(), firing.count)
}

/// A sequence of two to four steps; with `waits` some may be absent or ask for earlier ones.
fn rules(waits: bool) -> impl Strategy<Value = Rule> {
    let time = || prop::option::weighted(0.5, 1..25i64);
    let step = (prop::bool::weighted(0.35), 1..=2usize, time(), time());
    let asks = prop::option::weighted(0.3, (any::<Index>(), any::<bool>()));
    let within = prop::option::weighted(0.7, 5..40i64);
    let drawn = (prop::collection::vec((step, asks), 2..=4), within);
    let rules = drawn.prop_map(move |(drawn, within)| {
        let mut steps: Vec<Plain> = Vec::new();
        let all = drawn.len();
        for (n, ((absent, count, own, gap), asks)) in drawn.into_iter().enumerate() {
            let present: Vec<usize> = (0..n).filter(|n| !steps[*n].absent).collect();
            // No two absent steps side by side, and not only absent ones.
            let absent = waits && absent && steps.last().is_none_or(|before| !before.absent);
            let bounded = within.is_none();
            let asks = asks.filter(|_| waits && !present.is_empty());
            let asks = asks.map(|(which, alike)| (present[which.index(present.len())], alike));
            steps.push(if absent {
                let outermost = n == 0 || n + 1 == all;
                let within = outermost.then_some(own.unwrap_or(7));
                Plain { absent, count: 0, within, max_gap: None, asks }
            } else {
                let within = own.or((bounded && count > 1).then_some(9));
                let max_gap = gap.or(bounded.then_some(8)).filter(|_| !present.is_empty());
                Plain { absent, count, within, max_gap, asks }
            });
        }
        Rule { steps, within }
    });
    rules.prop_filter("decided the other way", move |rule| {
        rule.steps.iter().any(|step| step.absent || step.asks.is_some()) == waits
    })
}

/// At most eight, for a step that takes two keeps eight.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let steps = prop::collection::vec(prop::bool::weighted(0.4), 4);
    let event = (0..40i64, 0..6i64, steps, 0..3u64);
    prop::collection::vec(event, 0..=8).prop_map(|drawn| {
        let mut events: Vec<Event> = Vec::new();
        for (time, offset, steps, value) in drawn {
            // The same record again is the same event.
            let known = events.iter().find(|e| (e.time, e.offset) == (time, offset)).cloned();
            events.push(known.unwrap_or(Event { time, offset, steps, value }));
        }
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_order_of_arrival_fires_what_the_sorted_order_fires(
        rule in rules(false),
        events in events(),
        restore_at in 0..8usize,
    ) {
        let detector = bench::detector(&SPEC, &rule.text());
        prop_assert_eq!(detector.decides(), Decides::OnArrival);
        let mut state = detector.fresh(START);
        let mut all: Vec<(i64, Option<i64>)> = Vec::new();
        for (n, event) in events.iter().enumerate() {
            if n == restore_at {
                state = bench::again(&*detector, &*state);
            }
            let said = bench::observe(&mut *state, &rule.occurrence(event));
            let so_far = rule.recount(&events[..=n]);
            for firing in said.firings().map(fired) {
                prop_assert!(so_far.contains(&firing), "{:?} not in {:?}", firing, so_far);
                all.push((firing.0, firing.1));
            }
            // All that ends an assignment by now, each once.
            all.sort_unstable();
            let expected: Vec<_> = so_far.iter().map(|(t, o, ..)| (*t, *o)).collect();
            prop_assert_eq!(&all, &expected);
        }
    }

    /// Events arrive in any order in which none is late, the clock moving as far as it can or less.
    #[test]
    fn what_waits_for_the_clock_fires_what_the_sorted_order_fires(
        rule in rules(true),
        events in events(),
        lags in prop::collection::vec(0..12i64, 8),
        restore_at in 0..8usize,
    ) {
        let detector = bench::detector(&SPEC, &rule.text());
        let mut state = detector.fresh(START);
        let mut said = Vec::new();
        prop_assert_eq!(detector.decides(), Decides::OnTheClock);
        let mut clock = i64::MIN;
        for (n, event) in events.iter().enumerate() {
            if n == restore_at {
                state = bench::again(&*detector, &*state);
            }
            said.extend(bench::observe(&mut *state, &rule.occurrence(event)).firings().map(fired));
            let oldest = events[n + 1..].iter().map(|e| e.time).min().unwrap_or(500);
            clock = clock.max(oldest - lags[n]);
            said.extend(bench::advance(&mut *state, clock).firings().map(fired));
            prop_assert!(state.wake_at().is_none_or(|wake| wake > at(clock)));
        }
        state = bench::again(&*detector, &*state);
        said.extend(bench::advance(&mut *state, 500).firings().map(fired));
        prop_assert_eq!(state.wake_at(), None);
        prop_assert_eq!(said, rule.recount(&events));
    }
}

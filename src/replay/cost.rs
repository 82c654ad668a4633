//! What each rule costs, measured on a sample of the records so that measuring costs next to
//! nothing itself.
//!
//! The core has no clock: the shell lends a stopwatch. It shows the time that passes, not that of
//! this process alone, so that on a busy machine the numbers are too large, all by the same share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// So many records are all measured, for a short file has no others.
const ALL_OF_FIRST: u64 = 1_024;
/// Of the rest, one in so many on average; a power of two.
const ONE_IN: u32 = 16;
/// Readings by which the stopwatch's own cost is found.
const READINGS: u32 = 64;

/// Says how much time has passed since some fixed moment.
pub type Stopwatch = Box<dyn Fn() -> Duration>;

/// Time spent for rules.
pub(super) struct Costs {
    stopwatch: Stopwatch,
    /// What one reading takes, which no rule is to blame for.
    reading: Duration,
    rules: BTreeMap<Arc<str>, Duration>,
}

impl fmt::Debug for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stopwatch: _, reading, rules } = self;
        f.debug_struct("Costs").field("reading", reading).field("rules", rules).finish()
    }
}

impl Costs {
    pub(super) fn new(stopwatch: Stopwatch) -> Self {
        let mut last = stopwatch();
        let readings = (0..READINGS).map(|_| {
            let now = stopwatch();
            now.saturating_sub(std::mem::replace(&mut last, now))
        });
        let reading = readings.min().unwrap_or_default();
        Self { stopwatch, reading, rules: BTreeMap::new() }
    }

    /// For how many records this one stands, when it is to be measured.
    pub(super) fn weight(index: u64) -> Option<u32> {
        if index < ALL_OF_FIRST {
            return Some(1);
        }
        // Records come in rhythms; what is measured must not.
        let mixed = (index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % u64::from(ONE_IN);
        (mixed == 0).then_some(ONE_IN)
    }

    /// What to call after each piece of work for a rule, or for none.
    pub(super) fn laps(&mut self, weight: u32) -> impl FnMut(Option<&Arc<str>>) {
        let Self { stopwatch, reading, rules } = self;
        let mut began = stopwatch();
        move |rule| {
            let now = stopwatch();
            let took = now.saturating_sub(began).saturating_sub(*reading) * weight;
            began = now;
            let Some(rule) = rule else { return };
            match rules.get_mut(rule) {
                Some(cost) => *cost += took,
                None => {
                    rules.insert(rule.clone(), took);
                }
            }
            // Finding the rule's place is nobody's work either.
            began = stopwatch();
        }
    }

    /// The time spent for each rule so far, as far as the sample tells.
    pub(super) fn rules(&self) -> &BTreeMap<Arc<str>, Duration> {
        &self.rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_rule_is_charged_for_its_own_work_times_the_records_that_it_stands_for() {
        let (time, read) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let stopwatch = {
            let (time, read) = (time.clone(), read.clone());
            move || {
                read.set(read.get() + 1);
                // A reading takes 3 ns.
                time.set(time.get() + 3);
                Duration::from_nanos(time.get())
            }
        };
        let mut costs = Costs::new(Box::new(stopwatch));
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut lap = costs.laps(16);
        let mut work = |nanos: u64, rule: Option<&Arc<str>>| {
            time.set(time.get() + nanos);
            lap(rule);
        };
        work(100, Some(&a));
        work(1_000, None);
        work(7, Some(&b));
        work(50, Some(&a));
        drop(lap);
        let nanos: Vec<u128> = costs.rules().values().map(Duration::as_nanos).collect();
        assert_eq!(nanos, [16 * 150, 16 * 7]);
    }

    #[test]
    fn the_sample_stands_for_all_records_whatever_their_rhythm() {
        assert_eq!((0..ALL_OF_FIRST).filter_map(Costs::weight).sum::<u32>(), 1_024);
        for rhythm in [1, 2, 3, 16, 60, 256, 1_000, 1_024] {
            let records = 20_000_u32;
            let told: u32 = (1..=u64::from(records))
                .map(|n| ALL_OF_FIRST + n * rhythm)
                .filter_map(Costs::weight)
                .sum();
            assert!(told.abs_diff(records) < records / 5, "every {rhythm}: {told}");
        }
    }
}

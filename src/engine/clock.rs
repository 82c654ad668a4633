//! CORRELATE's clock: the minimum over everything that MATCH reads, told by ticks.
//!
//! It never goes back, and it never passes a source that it has not heard of yet: as long as one
//! partition of the subscription has not been reported on, the clock stands still.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::Timestamp;

use super::signal::{Source, SourceTime, Tick};

/// Where all sources stand, and with them the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamClock {
    /// `None`: named by the subscription, but nobody has said where it stands.
    sources: BTreeMap<Source, Option<Timestamp>>,
    now: Option<Timestamp>,
}

impl StreamClock {
    /// A clock that has heard nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time up to which everything has been seen; `None` until every source has reported once.
    pub fn now(&self) -> Option<Timestamp> {
        self.now
    }

    /// Takes a tick. A source leaves only when its topic leaves the subscription: a worker with an
    /// older view of a topic's partitions must not free the clock from the newest of them.
    pub fn tick(&mut self, tick: &Tick) {
        if !tick.subscription.is_empty() {
            let topics: BTreeSet<&Arc<str>> = tick.subscription.iter().map(|s| &s.topic).collect();
            self.sources.retain(|source, _| topics.contains(&source.topic));
            for source in &tick.subscription {
                if !self.sources.contains_key(source) {
                    self.sources.insert(source.clone(), None);
                }
            }
        }
        for SourceTime { source, time, at_end: _ } in &tick.sources {
            if let Some(stands) = self.sources.get_mut(source) {
                *stands = (*stands).max(Some(*time));
            }
        }
        self.move_on();
    }

    /// The source that the clock waits for, and where it stands; the first of several.
    pub fn holder(&self) -> Option<(&Source, Option<Timestamp>)> {
        self.sources.iter().min_by_key(|(_, time)| **time).map(|(source, time)| (source, *time))
    }

    /// All sources and where they stand, in order.
    pub fn sources(&self) -> impl Iterator<Item = (&Source, Option<Timestamp>)> {
        self.sources.iter().map(|(source, time)| (source, *time))
    }

    /// A clock as it was: the changelog keeps where each source stood and how far timers `ran`.
    pub fn restored(
        sources: impl IntoIterator<Item = (Source, Option<Timestamp>)>,
        ran: Option<Timestamp>,
    ) -> Self {
        let mut clock = Self { sources: sources.into_iter().collect(), now: ran };
        clock.move_on();
        clock
    }

    fn move_on(&mut self) {
        // `None` is the least, so that one silent source makes the minimum `None`.
        self.now = self.now.max(self.sources.values().min().copied().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn tick(times: &[(&str, i32, i64)], subscription: &[(&str, i32)]) -> Tick {
        Tick {
            worker: "w".into(),
            sources: times
                .iter()
                .map(|(topic, partition, seconds)| SourceTime {
                    source: Source::new(*topic, *partition),
                    time: at(*seconds),
                    at_end: false,
                })
                .collect(),
            subscription: subscription.iter().map(|(t, p)| Source::new(*t, *p)).collect(),
        }
    }

    #[test]
    fn a_source_that_nobody_has_reported_on_holds_the_clock() {
        let mut clock = StreamClock::new();
        let both = [("a", 0), ("a", 1)];
        clock.tick(&tick(&[("a", 0, 100)], &both));
        assert_eq!(clock.now(), None);
        assert_eq!(clock.holder(), Some((&Source::new("a", 1), None)));
        clock.tick(&tick(&[("a", 1, 90)], &both));
        assert_eq!(clock.now(), Some(at(90)));
        assert_eq!(clock.holder(), Some((&Source::new("a", 1), Some(at(90)))));
    }

    #[test]
    fn a_new_partition_holds_the_clock_where_it_is() {
        let mut clock = StreamClock::new();
        clock.tick(&tick(&[("a", 0, 100)], &[("a", 0)]));
        clock.tick(&tick(&[("a", 0, 200)], &[("a", 0), ("a", 1)]));
        assert_eq!(clock.now(), Some(at(100)));
        clock.tick(&tick(&[("a", 1, 50)], &[("a", 0), ("a", 1)]));
        assert_eq!(clock.now(), Some(at(100)), "it never goes back");
        clock.tick(&tick(&[("a", 1, 150)], &[("a", 0), ("a", 1)]));
        assert_eq!(clock.now(), Some(at(150)));
    }

    #[test]
    fn a_source_leaves_only_with_its_topic() {
        let mut clock = StreamClock::new();
        clock.tick(&tick(
            &[("a", 0, 10), ("a", 1, 10), ("b", 0, 5)],
            &[("a", 0), ("a", 1), ("b", 0)],
        ));
        // A worker that has not heard of the second partition yet.
        clock.tick(&tick(&[("a", 0, 100), ("b", 0, 100)], &[("a", 0), ("b", 0)]));
        assert_eq!(clock.now(), Some(at(10)));
        // The topic `b` is gone; the second partition of `a` still holds.
        clock.tick(&tick(&[("a", 0, 100)], &[("a", 0), ("a", 1)]));
        assert_eq!(clock.sources().count(), 2);
        clock.tick(&tick(&[("a", 1, 70)], &[("a", 0), ("a", 1)]));
        assert_eq!(clock.now(), Some(at(70)));
    }

    #[test]
    fn what_a_source_reports_never_goes_back_and_strangers_are_not_heard() {
        let mut clock = StreamClock::new();
        clock.tick(&tick(&[("a", 0, 100)], &[("a", 0)]));
        clock.tick(&tick(&[("a", 0, 40), ("z", 0, 1)], &[("a", 0)]));
        assert_eq!(clock.now(), Some(at(100)));
        assert_eq!(clock.sources().count(), 1);
        assert_eq!(
            StreamClock::restored(
                clock.sources().map(|(s, t)| (s.clone(), t)).collect::<Vec<_>>(),
                clock.now(),
            ),
            clock
        );
    }
}

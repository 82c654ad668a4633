//! What a MATCH worker may say of time: how far each source partition it owns has come.
//!
//! The wall clock enters Hark here, as a value that is passed in, and nowhere else.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Timestamp;

use super::signal::{Source, SourceTime};

/// How long a source that has been read to its end may still hold back a record that is under way.
pub const IDLE_GRACE: Duration = Duration::from_secs(5);

/// Where the sources of one worker stand.
#[derive(Debug, Default)]
pub struct Ticker {
    sources: BTreeMap<Source, Stand>,
}

#[derive(Debug, Default)]
struct Stand {
    /// How far the whole source trails the present, by its configuration.
    delay: Duration,
    /// The highest event time read from it.
    highest: Option<Timestamp>,
    /// What was last reported: the next report is never before it.
    reported: Option<Timestamp>,
}

impl Ticker {
    /// A worker that owns nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The worker now owns a source that trails the present by `delay`.
    pub fn add(&mut self, source: Source, delay: Duration) {
        self.sources.insert(source, Stand { delay, ..Stand::default() });
    }

    /// The worker no longer owns a source.
    pub fn remove(&mut self, source: &Source) {
        self.sources.remove(source);
    }

    /// An event with this time was read, and its signals were written before the next tick.
    pub fn observe(&mut self, source: &Source, time: Timestamp) {
        if let Some(stand) = self.sources.get_mut(source) {
            stand.highest = stand.highest.max(Some(time));
        }
    }

    /// The times to tell. `at_end` says whether all of a source has been read (position ≥ high
    /// watermark). A source that has shown nothing yet and is not at its end is left out: nothing is
    /// known of it, and it holds the clock.
    pub fn report(
        &mut self,
        now: Timestamp,
        mut at_end: impl FnMut(&Source) -> bool,
    ) -> Vec<SourceTime> {
        let mut times = Vec::with_capacity(self.sources.len());
        for (source, stand) in &mut self.sources {
            let at_end = at_end(source);
            // An event from the future must not move the clock past the present.
            let seen = stand.highest.map(|highest| highest.min(now) - stand.delay);
            let idle = at_end.then(|| now - IDLE_GRACE - stand.delay);
            stand.reported = stand.reported.max(seen).max(idle);
            if let Some(time) = stand.reported {
                times.push(SourceTime { source: source.clone(), time, at_end });
            }
        }
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn one(delay: Duration) -> (Ticker, Source) {
        let (mut ticker, source) = (Ticker::new(), Source::new("audit", 0));
        ticker.add(source.clone(), delay);
        (ticker, source)
    }

    fn time(ticker: &mut Ticker, now: Timestamp, at_end: bool) -> Option<Timestamp> {
        ticker.report(now, |_| at_end).first().map(|source| source.time)
    }

    #[test]
    fn a_source_stands_at_its_highest_event_less_its_delay() {
        let (mut ticker, source) = one(MINUTE);
        ticker.observe(&source, at(500));
        ticker.observe(&source, at(400));
        assert_eq!(time(&mut ticker, at(1000), false), Some(at(440)));
    }

    #[test]
    fn an_event_from_the_future_does_not_pass_now() {
        let (mut ticker, source) = one(Duration::ZERO);
        ticker.observe(&source, at(5000));
        assert_eq!(time(&mut ticker, at(1000), false), Some(at(1000)));
        assert_eq!(time(&mut ticker, at(1010), false), Some(at(1010)));
    }

    #[test]
    fn at_its_end_a_source_follows_the_present_by_grace_and_delay() {
        let (mut ticker, source) = one(MINUTE);
        assert_eq!(time(&mut ticker, at(1000), false), None, "nothing is known of it");
        assert_eq!(time(&mut ticker, at(1000), true), Some(at(935)));
        // Half a second ago an event came that is newer than the grace allows for.
        ticker.observe(&source, at(1001));
        assert_eq!(time(&mut ticker, at(1002), true), Some(at(941)));
    }

    #[test]
    fn what_is_reported_never_goes_back() {
        let (mut ticker, source) = one(Duration::ZERO);
        assert_eq!(time(&mut ticker, at(1000), true), Some(at(995)));
        ticker.observe(&source, at(10));
        assert_eq!(time(&mut ticker, at(1001), false), Some(at(995)));
        // The machine's clock is set back by a minute.
        assert_eq!(time(&mut ticker, at(941), true), Some(at(995)));
    }

    #[test]
    fn what_is_not_owned_is_not_reported() {
        let (mut ticker, source) = one(Duration::ZERO);
        ticker.observe(&source, at(10));
        ticker.remove(&source);
        ticker.observe(&source, at(20));
        assert!(ticker.report(at(30), |_| true).is_empty());
    }
}

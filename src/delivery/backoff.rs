//! How long to wait before the next attempt.

use std::time::Duration;

use crate::base::document::Table;
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics};

/// The longest that an answer's `Retry-After` is believed: a typo of theirs must not be our outage.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// The key `retry` of every destination.
pub const RETRY: KeySpec =
    KeySpec::optional("retry", Shape::Table(KEYS), "", "How a failed attempt is tried again.");

/// The keys of `retry`.
const KEYS: &[KeySpec] = &[
    KeySpec::optional(
        "initial",
        Shape::Duration,
        "1s",
        "The most that is waited after a first failure; doubles with every further one.",
    ),
    KeySpec::optional("max", Shape::Duration, "5m", "The most that is waited at all."),
    KeySpec::optional(
        "probe",
        Shape::Duration,
        "1m",
        "How often a destination that refuses our credentials or address is asked again.",
    ),
    KeySpec::optional(
        "give_up",
        Shape::Duration,
        "24h",
        "After this long, a record that fails while others get through goes to the dead letters.",
    ),
];

/// The `retry` table of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The most that is waited after a first failure; doubles with every further one.
    pub initial: Duration,
    /// The most that is waited at all.
    pub max: Duration,
    /// How often a destination that refuses us is asked again.
    pub probe: Duration,
    /// After this long a record that fails while others get through is given up.
    pub give_up: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_mins(5),
            probe: Duration::from_mins(1),
            give_up: Duration::from_hours(24),
        }
    }
}

impl Retry {
    /// Reads `retry = { initial, max, probe, give_up }`; what is missing has its default.
    pub fn read(table: &mut Table<'_>, found: &mut Diagnostics) -> Self {
        let mut retry = Self::default();
        let Some(mut table) = table.table("retry", found) else { return retry };
        let mut set = |key, place: &mut Duration, found: &mut Diagnostics| {
            if let Some(duration) = table.duration(key, found) {
                *place = duration.value;
            }
        };
        set("initial", &mut retry.initial, found);
        set("max", &mut retry.max, found);
        set("probe", &mut retry.probe, found);
        set("give_up", &mut retry.give_up, found);
        if retry.max < retry.initial {
            if table.has("max") {
                let span = table.key_span("max").unwrap_or_default();
                found.push(Diagnostic::error(
                    "out-of-range",
                    span,
                    "expected `max` to be at least `initial`",
                ));
            }
            retry.max = retry.initial;
        }
        table.finish(found);
        retry
    }
}

/// Waiting times with full jitter: a random time between nothing and a bound that doubles.
///
/// The bound keeps a destination from being hammered, the jitter keeps many senders from coming
/// back in step. The same seed gives the same times.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    attempts: u32,
    random: u64,
}

impl Backoff {
    /// No failure yet.
    pub fn new(retry: &Retry, seed: u64) -> Self {
        Self { initial: retry.initial, max: retry.max, attempts: 0, random: seed }
    }

    /// The wait after one more failure; what the other side asked for wins, up to [`RETRY_AFTER_MAX`].
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let doubled =
            self.initial.saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        self.attempts = self.attempts.saturating_add(1).min(31);
        let jittered = self.within(doubled.min(self.max));
        asked.map_or(jittered, |asked| asked.min(RETRY_AFTER_MAX))
    }

    /// A wait between half of `interval` and all of it: for questions that are asked regularly.
    pub fn around(&mut self, interval: Duration) -> Duration {
        interval / 2 + self.within(interval / 2)
    }

    /// A random time up to `bound`, in whole milliseconds.
    fn within(&mut self, bound: Duration) -> Duration {
        // splitmix64: small, seedable, and more than good enough for spreading load.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(mixed % (millis + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::document::Document;

    fn retry(initial: u64, max: u64) -> Retry {
        Retry {
            initial: Duration::from_secs(initial),
            max: Duration::from_secs(max),
            ..Retry::default()
        }
    }

    #[test]
    fn waits_are_spread_below_a_doubling_bound_with_a_cap() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(&retry(1, 20), seed);
            for bound in [1, 2, 4, 8, 16, 20, 20, 20] {
                assert!(backoff.next(None) <= Duration::from_secs(bound));
            }
            for _ in 0..100 {
                assert!(backoff.next(None) <= Duration::from_secs(20));
            }
        }
        let mut mean = Duration::ZERO;
        for seed in 0..1000 {
            mean += Backoff::new(&retry(10, 20), seed).next(None) / 1000;
        }
        assert!((4..=6).contains(&mean.as_secs()), "{mean:?}");
    }

    #[test]
    fn the_same_seed_waits_the_same() {
        let times = |seed| {
            let mut backoff = Backoff::new(&retry(1, 300), seed);
            (0..20).map(|_| backoff.next(None)).collect::<Vec<_>>()
        };
        assert_eq!(times(7), times(7));
        assert_ne!(times(7), times(8));
    }

    #[test]
    fn retry_after_wins_up_to_its_bound() {
        let mut backoff = Backoff::new(&retry(1, 2), 0);
        assert_eq!(backoff.next(Some(Duration::from_secs(90))), Duration::from_secs(90));
        assert_eq!(backoff.next(Some(Duration::ZERO)), Duration::ZERO);
        assert_eq!(backoff.next(Some(Duration::from_hours(9000))), RETRY_AFTER_MAX);
    }

    #[test]
    fn probes_come_between_half_an_interval_and_one() {
        let minute = Duration::from_mins(1);
        for seed in 0..200 {
            let wait = Backoff::new(&retry(1, 2), seed).around(minute);
            assert!(wait >= minute / 2 && wait <= minute, "{wait:?}");
        }
    }

    #[test]
    fn the_table_is_read_with_defaults_and_mistakes_are_reported() {
        let read = |text: &str| {
            let document = Document::parse(text);
            let mut found = Diagnostics::new();
            let retry = Retry::read(&mut document.root(&mut Diagnostics::new()), &mut found);
            (retry, found.iter().map(|d| d.message.clone()).collect::<Vec<_>>())
        };
        assert_eq!(read(""), (Retry::default(), vec![]));
        let (set, found) = read("retry = { initial = '10ms', probe = '20ms' }");
        assert!(found.is_empty());
        assert_eq!((set.initial.as_millis(), set.probe.as_millis()), (10, 20));
        let (_, found) = read("retry = { initial = '10s', max = '1s', giveup = '1h' }");
        assert_eq!(
            found,
            ["expected `max` to be at least `initial`", "unknown key `giveup` in `[retry]`"]
        );
    }
}

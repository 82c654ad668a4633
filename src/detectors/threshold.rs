//! `[threshold]`: at least so many events of one key within so much time.
//!
//! The window slides on event time, both ends included, and ends at an event: an event fires when
//! it and those before it in (time, position) make `count` within `within`. Which events fire does not
//! depend on the order of arrival, as far back as the newest 4 × `count` events that are kept.

use std::time::Duration;

use super::{
    Decides, Detector, DetectorSpec, Firing, KEPT, KeyState, Occurrence, Reading, RuleStart,
    Verdicts, bounded_count,
};
use crate::base::document::Table;
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostics, Timestamp, duration};
use crate::event::FieldName;
use crate::state::codec::{Broken, Reader};
use crate::state::timeline::{Placed, Timeline};

/// The detector's entry in the family's table.
pub const SPEC: DetectorSpec = DetectorSpec {
    table: "threshold",
    summary: "Fires on every event that makes at least `count` events of one key within `within`.",
    example: r#"title    = "Repeated failed logins"
severity = "high"
when     = 'event.category: authentication and event.outcome: failure'
group_by = ["user.name"]

[threshold]
count  = 5
within = "10m"
"#,
    decides: Decides::OnArrival,
    keys: &[
        KeySpec::required("count", Shape::Count, "How many events at least, from 1 to 100,000."),
        KeySpec::required(
            "within",
            Shape::Duration,
            "The longest time from the first of them to the last.",
        ),
    ],
    parse,
};

/// The highest `count`: four times as many events are kept of a key.
pub const COUNT_MAX: usize = 100_000;

const FORMAT: u8 = 1;

/// The settings of one rule.
#[derive(Debug, Clone, Copy)]
struct Threshold {
    /// From 1 to [`COUNT_MAX`].
    count: usize,
    within: Duration,
}

/// What is remembered of one key.
#[derive(Debug)]
struct Events {
    threshold: Threshold,
    /// The newest ones, at most [`KEPT`] × `count`, and whether each fired.
    kept: Timeline<bool>,
}

fn parse(
    mut table: Table<'_>,
    _reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    let count = bounded_count(&mut table, "count", COUNT_MAX, found);
    table.require("within", found);
    let within = table.duration("within", found);
    table.finish(found);
    Some(Box::new(Threshold { count: count?, within: within?.value }))
}

impl Detector for Threshold {
    fn spec(&self) -> &'static DetectorSpec {
        &SPEC
    }

    fn canonical(&self) -> String {
        format!("count={} within={}", self.count, duration::print(self.within))
    }

    fn span(&self) -> Duration {
        self.within
    }

    fn keeps(&self) -> usize {
        KEPT * self.count
    }

    fn fields(&self) -> Vec<FieldName> {
        Vec::new()
    }

    fn fresh(&self, _start: RuleStart) -> Box<dyn KeyState> {
        Box::new(Events { threshold: *self, kept: Timeline::default() })
    }

    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken> {
        Ok(Box::new(Events::decode(*self, bytes)?))
    }
}

impl KeyState for Events {
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts) {
        let full = self.threshold.keeps();
        let (time, position) = (occurrence.time, &occurrence.position);
        if let Placed::At(at) = self.kept.insert(time, position, false, full) {
            self.judge_from(at, out);
            if self.kept.len() > full {
                self.kept.cut_oldest();
            }
        }
    }

    fn advance(&mut self, _clock: Timestamp, _out: &mut Verdicts) {
        // Everything was decided on arrival.
    }

    fn expires_at(&self) -> Timestamp {
        // An event counts while it is no older than the clock less `within`, and its window reaches
        // back by `within` once more.
        let within = self.threshold.within;
        let newest = self.kept.newest().unwrap_or(Timestamp::MIN);
        newest + within + within + Duration::from_millis(1)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        self.kept.encode(out, |out, fired| out.push(u8::from(*fired)));
    }
}

impl Events {
    /// Judges the windows that end at the event at `from` or, containing it, at a later one.
    fn judge_from(&mut self, from: usize, out: &mut Verdicts) {
        let Threshold { count, within } = self.threshold;
        let Some(added) = self.kept.get(from).map(|seen| seen.time) else { return };
        let mut at = from;
        while let Some(last) = self.kept.get(at) {
            let (time, fired) = (last.time, last.note);
            if time.since(added) > within {
                break;
            }
            let start = self.kept.start(time, within);
            let held = at + 1 - start;
            if !fired && held >= count {
                let first = self.kept.get(start).map_or(time, |seen| seen.time);
                let approximate = self.kept.is_cut(time, within);
                if let Some(last) = self.kept.get_mut(at) {
                    last.note = true;
                    out.push(Firing {
                        time,
                        position: Some(last.position.clone()),
                        after: None,
                        first,
                        count: held as u64,
                        value: held.into(),
                        previous: None,
                        tuple: None,
                        approximate,
                    });
                }
            }
            at += 1;
        }
    }

    fn decode(threshold: Threshold, bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != FORMAT {
            return Err(Broken("a threshold's memory of version 1"));
        }
        let kept = Timeline::decode(&mut bytes, threshold.keeps(), |b| Ok(b.byte()? != 0))?;
        bytes.end()?;
        Ok(Self { threshold, kept })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Parts;
    use super::super::bench::{self, START};
    use super::*;
    use crate::base::Position;
    use proptest::prelude::*;

    fn read(text: &str) -> (Option<Box<dyn Detector>>, Vec<String>) {
        bench::read(&SPEC, text)
    }

    fn threshold(count: usize, within_ms: u64) -> Threshold {
        Threshold { count, within: Duration::from_millis(within_ms) }
    }

    /// Times of arrival in ms; the position's offset breaks ties. Gives `time(count)` of each firing,
    /// those of one arrival in brackets.
    fn check(count: usize, within_ms: u64, arrivals: &[(i64, i64)], expected: &str) {
        let mut state = threshold(count, within_ms).fresh(START);
        let mut told = Vec::new();
        for (time, offset) in arrivals {
            let mut firings = Verdicts::new();
            state.observe(&occurrence(*time, *offset), &mut firings);
            if !firings.is_empty() {
                let each = firings.firings().map(|f| {
                    let approximate = if f.approximate { "≥" } else { "" };
                    format!("{}({approximate}{})", f.time.as_millis(), f.count)
                });
                told.push(format!("[{}]", each.collect::<Vec<_>>().join(" ")));
            }
        }
        assert_eq!(told.join(" "), expected, "{arrivals:?}");
    }

    fn occurrence(time: i64, offset: i64) -> Occurrence {
        Occurrence {
            time: Timestamp::from_millis(time),
            position: Position::new("audit", 0, offset),
            parts: Parts::FIRST,
            values: Vec::new(),
        }
    }

    #[test]
    fn both_ends_of_the_window_are_included() {
        check(2, 100, &[(0, 0), (100, 1)], "[100(2)]");
        check(2, 100, &[(0, 0), (101, 1)], "");
        check(3, 100, &[(0, 0), (50, 1), (100, 2)], "[100(3)]");
        check(3, 100, &[(0, 0), (50, 1), (101, 2)], "");
    }

    #[test]
    fn every_event_that_leaves_it_true_fires() {
        check(2, 100, &[(0, 0), (10, 1), (20, 2), (200, 3)], "[10(2)] [20(3)]");
        check(1, 100, &[(0, 0), (500, 1)], "[0(1)] [500(1)]");
    }

    #[test]
    fn ties_keep_the_order_of_the_source() {
        check(2, 100, &[(5, 0), (5, 1)], "[5(2)]");
        // The one that arrives last stands first, so that the other one completes the window.
        check(2, 100, &[(5, 1), (5, 0)], "[5(2)]");
        check(3, 100, &[(5, 2), (5, 0), (5, 1)], "[5(3)]");
    }

    #[test]
    fn a_late_event_completes_windows_that_end_later_each_once() {
        check(2, 100, &[(0, 0), (110, 1), (250, 2), (50, 3)], "[50(2) 110(2)]");
        check(3, 100, &[(0, 0), (80, 1), (90, 2), (10, 3)], "[90(3)] [80(3)]");
        // The window of 300 reaches back to 200 only.
        check(
            2,
            100,
            &[(0, 0), (300, 1), (150, 2), (199, 3), (200, 4)],
            "[199(2)] [200(3) 300(2)]",
        );
    }

    #[test]
    fn an_event_delivered_again_is_counted_once() {
        check(2, 100, &[(0, 0), (0, 0), (0, 0)], "");
        check(2, 100, &[(0, 0), (10, 1), (0, 0), (10, 1), (20, 2)], "[10(2)] [20(3)]");
    }

    #[test]
    fn four_times_the_count_is_kept_and_the_rest_is_a_lower_bound() {
        let full: Vec<(i64, i64)> = (0..10).map(|n| (n + 1, n)).collect();
        check(2, 100, &full, "[2(2)] [3(3)] [4(4)] [5(5)] [6(6)] [7(7)] [8(8)] [9(9)] [10(≥9)]");
        // Older than all of a full state: nothing, though a tenth event stands in the window.
        let mut older = full.clone();
        older.truncate(8);
        older.push((0, 99));
        check(2, 100, &older, "[2(2)] [3(3)] [4(4)] [5(5)] [6(6)] [7(7)] [8(8)]");
    }

    #[test]
    fn a_count_is_exact_again_when_its_window_no_longer_reaches_what_was_cut() {
        check(
            1,
            10,
            &[(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (12, 6)],
            "[0(1)] [1(2)] [2(3)] [3(4)] [4(5)] [5(≥5)] [12(5)]",
        );
    }

    #[test]
    fn it_expires_when_nothing_that_still_counts_can_reach_it() {
        let mut state = threshold(2, 100).fresh(START);
        state.observe(&occurrence(1000, 0), &mut Verdicts::new());
        // At clock 1200 an event of 1100 still counts, and its window reaches back to 1000.
        assert_eq!(state.expires_at(), Timestamp::from_millis(1201));
    }

    #[test]
    fn settings_are_checked_at_their_place() {
        let (detector, found) = read("[threshold]\ncount = 5\nwithin = '10m'\n");
        let detector = detector.unwrap();
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(detector.canonical(), "count=5 within=10m");
        assert_eq!((detector.span(), detector.keeps()), (Duration::from_mins(10), 20));

        let (detector, found) = read("[threshold]\ncount = 0\nwithin = 5\nwihtin = '10m'\n");
        assert!(detector.is_none());
        expect_test::expect![[r#"
            Some(20..21) expected a number of at least 1, found `0`
            Some(31..32) expected a duration with a unit, found `5`; write "5s" for seconds or "5m" for minutes
            Some(33..39) unknown key `wihtin` in `[threshold]`"#]].assert_eq(&found.join("\n"));

        let (detector, found) = read("[threshold]\ncount = 100001\nwithin = '1h'\n");
        assert!(detector.is_none());
        expect_test::expect!["Some(20..26) expected a count of at most 100000, found `100001`"]
            .assert_eq(&found.join("\n"));
        assert!(read("[threshold]\ncount = 100000\nwithin = '1h'\n").0.is_some());
        assert_eq!(read("[threshold]\n").1.len(), 2);
    }

    #[test]
    fn broken_memory_is_refused() {
        let threshold = threshold(1, 100);
        let mut state = threshold.fresh(START);
        state.observe(&occurrence(5, 0), &mut Verdicts::new());
        state.observe(&occurrence(6, 1), &mut Verdicts::new());
        bench::written_or_refused(&threshold, &*state);
    }

    /// Which events fire, by counting all of them for each: (time, offset, count).
    fn recount(count: usize, within_ms: i64, events: &[(i64, i64)]) -> Vec<(i64, i64, u64)> {
        let mut sorted = events.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut fired = Vec::new();
        for (n, (time, offset)) in sorted.iter().enumerate() {
            let held = sorted[..=n].iter().filter(|(t, _)| time - t <= within_ms).count();
            if held >= count {
                fired.push((*time, *offset, held as u64));
            }
        }
        fired
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// Counts may have been smaller when an event fired; which events fire may not differ.
        #[test]
        fn any_order_of_arrival_fires_what_the_sorted_order_fires(
            events in prop::collection::vec((0..60i64, 0..8i64), 0..16),
            count in 4..6usize,
            within in 0..40i64,
            restore_at in 0..16usize,
        ) {
            // At most 16 events, and 4 × 4 are kept: nothing is cut.
            let threshold = threshold(count, within.cast_unsigned());
            let mut state = threshold.fresh(START);
            let mut fired = Vec::new();
            for (n, (time, offset)) in events.iter().enumerate() {
                if n == restore_at {
                    let mut bytes = Vec::new();
                    state.encode(&mut bytes);
                    state = threshold.restore(&bytes).unwrap();
                }
                let before = fired.len();
                fired.extend(bench::observe(&mut *state, &occurrence(*time, *offset)).firings().cloned());
                let so_far = recount(count, within, &events[..=n]);
                for firing in &fired[before..] {
                    let offset = firing.position.as_ref().unwrap().offset;
                    let exact = (firing.time.as_millis(), offset, firing.count);
                    prop_assert!(so_far.contains(&exact), "{:?} not in {:?}", exact, so_far);
                }
                // All that fired so far, each once.
                let told = |f: &Firing| (f.time.as_millis(), f.position.as_ref().unwrap().offset);
                let mut all: Vec<_> = fired.iter().map(told).collect();
                all.sort_unstable();
                let expected: Vec<_> = so_far.iter().map(|(t, o, _)| (*t, *o)).collect();
                prop_assert_eq!(all, expected);
            }
        }
    }
}

//! Every boundary of `[metric]`, and its law: any order of arrival and any ticks of the clock tell what a
//! recount of all events tells.

use std::collections::BTreeMap;

use expect_test::expect;
use proptest::prelude::*;

use super::bench::{self, START, advance, again, at, observe};
use super::metric::{SPEC, VALUES_PER_EVENT};
use super::shared::sliding::VALUES_MAX;
use super::{Detector, EVENTS_MAX, Occurrence, Verdict, Verdicts};
use crate::base::Timestamp;
use crate::event::{Number, Scalar};

fn detector(settings: &str) -> Box<dyn Detector> {
    bench::detector(&SPEC, &format!("metric = {{ field = 'event.duration', {settings} }}"))
}

/// Values as they would stand in JSON; words are texts.
fn values(text: &str) -> Vec<Scalar> {
    let value = |word: &str| Number::parse(word).map_or_else(|| word.into(), Scalar::Number);
    text.split_whitespace().map(value).collect()
}

fn event(time: i64, offset: i64, text: &str) -> Occurrence {
    bench::occurrence(time, offset, vec![values(text)])
}

/// `time(value of count)` of each firing, `time!` of each end.
fn told(said: &Verdicts) -> String {
    let each = said.iter().map(|verdict| match verdict {
        Verdict::Fired(f) => {
            let approximate = if f.approximate { "≈" } else { "" };
            format!("{}({approximate}{} of {})", f.time.as_millis(), f.value, f.count)
        }
        Verdict::Ended(time) => format!("{}!", time.as_millis()),
    });
    each.collect::<Vec<_>>().join(" ")
}

/// Arrivals are (time in ms, values), in this order; then the clock passes them all.
fn check(settings: &str, arrivals: &[(i64, &str)], expected: &str) {
    let detector = detector(settings);
    let mut state = detector.fresh(START);
    for (offset, (time, text)) in (0..).zip(arrivals) {
        let said = observe(&mut *state, &event(*time, offset, text));
        assert!(said.is_empty(), "nothing is decided before the clock has passed it");
        state = again(&*detector, &*state);
    }
    assert_eq!(told(&advance(&mut *state, 1_000_000)), expected, "{arrivals:?}");
    assert_eq!(state.wake_at(), None);
}

const SUM: &str = "function = 'sum', above = 10, within = '100ms'";

#[test]
fn both_ends_of_the_window_are_included_and_the_bound_is_strict() {
    check(SUM, &[(0, "5"), (100, "6")], "100(11 of 2)");
    check(SUM, &[(0, "5"), (101, "6")], "");
    check(SUM, &[(0, "5"), (100, "5")], "");
    check("function = 'sum', at_least = 10, within = '100ms'", &[(0, "5"), (9, "5")], "9(10 of 2)");
    check(SUM, &[(0, "11"), (50, "-1"), (60, "2")], "0(11 of 1) 60(12 of 3)");
}

#[test]
fn each_function_takes_every_number_of_an_array() {
    let events = [(0, "4 1"), (1, "10"), (2, "3 3 -2")];
    let tells = |function: &str, expected: &str| {
        let settings = format!("function = '{function}', at_least = -1e9, within = '1s'");
        check(&settings, &events, expected);
    };
    tells("sum", "0(5 of 1) 1(15 of 2) 2(19 of 3)");
    tells("avg", "0(2.5 of 1) 1(5 of 2) 2(3.1666666666666665 of 3)");
    tells("min", "0(1 of 1) 1(1 of 2) 2(-2 of 3)");
    tells("max", "0(4 of 1) 1(10 of 2) 2(10 of 3)");
    // By nearest rank: of 1 4 the first, of 1 4 10 the second, of -2 1 3 3 4 10 the third.
    tells("p50", "0(1 of 1) 1(4 of 2) 2(3 of 3)");
    tells("p51", "0(4 of 1) 1(4 of 2) 2(3 of 3)");
    tells("p67", "0(4 of 1) 1(10 of 2) 2(4 of 3)");
    tells("p1", "0(1 of 1) 1(1 of 2) 2(-2 of 3)");
    tells("p99", "0(4 of 1) 1(10 of 2) 2(10 of 3)");
}

#[test]
fn an_event_without_a_number_adds_nothing_but_may_fire_like_any_other() {
    check(
        SUM,
        &[(0, "11"), (50, ""), (100, "word true"), (101, "")],
        "0(11 of 1) 50(11 of 2) 100(11 of 3)",
    );
    // Without any number there is no aggregate, whatever the bound.
    check("function = 'sum', at_least = -5, within = '1s'", &[(0, ""), (5, "x")], "");
    check("function = 'max', at_least = -5, within = '1s'", &[(0, ""), (5, "x")], "");
    // A text that reads as a number is one.
    let mut state = detector(SUM).fresh(START);
    let text = bench::occurrence(0, 0, vec![vec!["10.5".into(), "010".into()]]);
    observe(&mut *state, &text);
    assert_eq!(told(&advance(&mut *state, 1)), "0(10.5 of 1)");
}

#[test]
fn min_events_counts_events_with_a_number() {
    let two = "function = 'max', above = 1, within = '100ms', min_events = 2";
    check(two, &[(0, "5 6 7"), (10, ""), (20, "0")], "20(7 of 3)");
    check(two, &[(0, "5"), (101, "6")], "");
}

#[test]
fn sums_of_decimals_do_not_drift() {
    // A running float would be left with a trace of the large number, and at_least 0.3 with 0.30000000000000004.
    let mean = "function = 'avg', above = 0.1, within = '100ms'";
    check(
        mean,
        &[(0, "1e17"), (101, "0.1"), (102, "0.1"), (103, "0.1")],
        "0(100000000000000000 of 1)",
    );
    check(
        "function = 'sum', at_least = 0, within = '100ms'",
        &[(0, "9007199254740993"), (1, "1"), (101, "0.5")],
        "0(9007199254740993 of 1) 1(9007199254740994 of 2) 101(1.5 of 2)",
    );
    // Integers beyond a float's 53 bits are compared exactly.
    check(
        "function = 'max', above = 9007199254740992, within = '1s'",
        &[(0, "9007199254740992"), (1, "9007199254740993")],
        "1(9007199254740993 of 2)",
    );
}

#[test]
fn ties_keep_the_order_of_the_source_and_a_repeat_counts_once() {
    let detector = detector(SUM);
    let mut state = detector.fresh(START);
    for (offset, text) in [(2, "5"), (0, "4"), (1, "3"), (0, "4"), (1, "3")] {
        observe(&mut *state, &event(7, offset, text));
    }
    let said = advance(&mut *state, 8);
    assert_eq!(told(&said), "7(12 of 3)");
    assert_eq!(said.firings().next().unwrap().position.as_ref().unwrap().offset, 2);
}

const BELOW: &str = "function = 'max', below = 5, within = '100ms', min_events = 2";

#[test]
fn what_looks_down_ends_at_the_event_that_makes_it_false() {
    check(BELOW, &[(0, "1"), (10, "2"), (20, "9"), (30, "1")], "10(2 of 2) 20!");
    check(
        BELOW,
        &[(0, "1"), (10, "2"), (20, "9"), (121, "1"), (122, "1")],
        "10(2 of 2) 20! 122(1 of 2) 221!",
    );
    // What looks up is never said to end.
    check(SUM, &[(0, "11"), (200, "1")], "0(11 of 1)");
}

#[test]
fn what_looks_down_ends_when_too_few_events_are_left() {
    // (0, 100] has the one of 10 only.
    check(BELOW, &[(0, "1"), (10, "2")], "10(2 of 2) 100!");
    // An event without a number brings none; it fires still at 100, and then it is over.
    check(BELOW, &[(0, "1"), (10, "2"), (100, "")], "10(2 of 2) 100(2 of 3) 100!");
    check(BELOW, &[(0, "1"), (10, "2"), (101, "")], "10(2 of 2) 100!");
    // One with a number at that very moment keeps it up, until 110.
    check(BELOW, &[(0, "1"), (10, "2"), (100, "3")], "10(2 of 2) 100(3 of 3) 110!");
    check(BELOW, &[(0, "1"), (10, "2"), (101, "3")], "10(2 of 2) 100! 101(3 of 2) 110!");
}

#[test]
fn it_wakes_when_an_event_is_past_and_when_its_window_runs_empty() {
    let detector = detector(BELOW);
    let mut state = detector.fresh(START);
    assert_eq!((state.wake_at(), state.expires_at()), (None, Timestamp::MIN));
    observe(&mut *state, &event(10, 1, "2"));
    observe(&mut *state, &event(0, 0, "1"));
    assert_eq!(state.wake_at(), Some(at(1)));
    assert_eq!(told(&advance(&mut *state, 10)), "");
    assert_eq!(state.wake_at(), Some(at(11)));
    // At the same time, before it in the source: it may still come.
    observe(&mut *state, &event(10, 0, "7"));
    observe(&mut *state, &event(15, 2, "3"));
    assert_eq!(told(&advance(&mut *state, 11)), "");
    assert_eq!(told(&advance(&mut *state, 100)), "");
    let mut state = again(&*detector, &*state);
    observe(&mut *state, &event(111, 3, "3"));
    assert_eq!(told(&advance(&mut *state, 112)), "111(3 of 2)");
    assert_eq!((state.wake_at(), state.expires_at()), (Some(at(116)), at(212)));
    let mut state = again(&*detector, &*state);
    assert_eq!(told(&advance(&mut *state, 115)), "");
    assert_eq!((told(&advance(&mut *state, 116)).as_str(), state.wake_at()), ("115!", None));
    again(&*detector, &*state);
}

#[test]
fn more_events_than_are_kept_make_it_approximate_until_the_window_has_left_them() {
    let detector = detector("function = 'sum', at_least = 5000, within = '1m'");
    let mut state = detector.fresh(START);
    let full = i64::try_from(EVENTS_MAX).unwrap();
    for n in 0..=full {
        observe(&mut *state, &event(n, n, "1"));
        advance(&mut *state, n);
    }
    let said = advance(&mut *state, full + 1);
    assert_eq!(told(&said), format!("{full}(≈{full} of {full})"));
    let mut state = again(&*detector, &*state);
    observe(&mut *state, &event(60_000, 0, "1"));
    assert_eq!(told(&advance(&mut *state, 60_001)), "60000(≈10000 of 10000)");
    // From 5,000 on all are there.
    observe(&mut *state, &event(65_000, 0, "1"));
    assert_eq!(told(&advance(&mut *state, 65_001)), "65000(5003 of 5003)");
}

#[test]
fn what_cannot_wait_is_judged_early_and_what_comes_before_it_is_missing() {
    let mut state = detector("function = 'sum', at_least = 1, within = '1m'").fresh(START);
    let full = i64::try_from(EVENTS_MAX).unwrap();
    for n in 0..full {
        assert!(observe(&mut *state, &event(n + 5, n, "1")).is_empty());
    }
    let said = observe(&mut *state, &event(full + 5, full, "1"));
    assert_eq!(told(&said), "5(≈1 of 1)");
    assert!(observe(&mut *state, &event(4, 0, "1")).is_empty());
    assert_eq!(told(&advance(&mut *state, 7)), "6(≈1 of 1)");
}

#[test]
fn numbers_are_bounded_as_well_and_events_still_count() {
    let detector = detector("function = 'sum', at_least = 1, within = '1m', min_events = 41");
    let many = |count: usize| bench::occurrence(0, 0, vec![vec![Scalar::from(1u64); count]]);
    let mut state = detector.fresh(START);
    let events = VALUES_MAX / VALUES_PER_EVENT;
    let mut said = Verdicts::new();
    for (n, offset) in (0..=events).zip(0..) {
        let mut event = many(VALUES_PER_EVENT);
        (event.time, event.position.offset) = (at(offset), offset);
        state.observe(&event, &mut said);
        state.advance(at(offset + 1), &mut said);
        assert_eq!(said.is_empty(), n < events);
    }
    assert_eq!(told(&said), "40(≈40000 of 41)");
    let mut state = again(&*detector, &*state);
    observe(&mut *state, &event(50, 99, "5"));
    assert_eq!(told(&advance(&mut *state, 51)), "50(≈39005 of 42)");
    // More than can wait at all.
    let mut state = detector.fresh(START);
    for n in 0..=42 {
        let mut event = many(VALUES_PER_EVENT + 1);
        (event.time, event.position.offset) = (at(n), n);
        assert!(observe(&mut *state, &event).is_empty());
    }
    assert_eq!(told(&advance(&mut *state, 42)), "40(≈38000 of 41) 41(≈39000 of 42)");
    // One event that has more than are kept of it.
    let detector = bench::detector(
        &SPEC,
        "metric = { field = 'a', function = 'sum', above = 0, within = '1s' }",
    );
    let mut state = detector.fresh(START);
    observe(&mut *state, &many(VALUES_PER_EVENT));
    assert_eq!(told(&advance(&mut *state, 1)), "0(1000 of 1)");
    let mut state = detector.fresh(START);
    observe(&mut *state, &many(VALUES_PER_EVENT + 1));
    assert_eq!(told(&advance(&mut *state, 1)), "0(≈1000 of 1)");
}

#[test]
fn settings_are_checked_at_their_place() {
    let (detector, found) = bench::read(
        &SPEC,
        "[metric]\nfield = 'a'\nfunction = 'p95'\nbelow = -1.50\nwithin = '4h'\nmin_events = 10_000\n",
    );
    assert_eq!(found, Vec::<String>::new());
    let detector = detector.unwrap();
    assert_eq!(detector.canonical(), "field=a function=p95 below=-1.5 within=4h min_events=10000");
    assert!(detector.looks_down());
    let above = self::detector("function = 'avg', at_least = 3, within = '1s'");
    assert_eq!(
        above.canonical(),
        "field=event.duration function=avg at_least=3 within=1s min_events=1"
    );
    assert!(!above.looks_down());

    let wrong = |text: &str| {
        let (detector, found) = bench::read(&SPEC, text);
        assert!(detector.is_none());
        found.join("\n")
    };
    expect![[r"
        Some(0..8) missing key `field` in `[metric]`
        Some(0..8) missing key `function` in `[metric]`
        Some(0..8) expected one of `above`, `at_least`, `below`, `at_most` in `[metric]`, found none
        Some(0..8) missing key `within` in `[metric]`
        Some(9..16) unknown key `functio` in `[metric]`"]]
    .assert_eq(&wrong("[metric]\nfunctio = 'sum'\n"));
    expect![[r"
        Some(17..22) expected one field, found a pattern
        Some(34..42) expected one of sum, avg, min, max or a percentile from p1 to p99, found `median`
        Some(53..58) expected one of `above`, `at_least`, `below`, `at_most`, found `above` beside `below`
        Some(63..70) expected one of `above`, `at_least`, `below`, `at_most`, found `at_most` beside `below`
        Some(73..76) expected a finite number, found `NaN`
        Some(86..90) expected a duration above zero, found `0s`
        Some(104..109) expected a count of at most 10000, found `10001`"]].assert_eq(&wrong(
        "[metric]\nfield = 'a.*'\nfunction = 'median'\nbelow = 1\nabove = 2\nat_most = nan\nwithin = '0s'\nmin_events = 10001\n",
    ));
    for function in ["p0", "p100", "p05", "p", "P95", "p95.5", "count", ""] {
        let text =
            format!("[metric]\nfield = 'a'\nfunction = '{function}'\nabove = 1\nwithin = '1s'\n");
        assert!(wrong(&text).contains("from p1 to p99"), "{function}");
    }
    expect![[r"
        Some(46..49) `above`: expected a number, found a string
        Some(77..78) expected a number of at least 1, found `0`"]]
    .assert_eq(&wrong(
        "[metric]\nfield = 'a'\nfunction = 'sum'\nabove = '1'\nwithin = '1s'\nmin_events = 0\n",
    ));
}

#[test]
fn broken_memory_is_refused() {
    let detector = detector(BELOW);
    let mut state = detector.fresh(START);
    for (offset, text) in [(5, "1 2.5"), (6, ""), (7, "3"), (9, "4")] {
        observe(&mut *state, &event(offset, offset, text));
    }
    advance(&mut *state, 9);
    bench::written_or_refused(&*detector, &*state);
}

/// What is kept of an event by one who keeps everything: its place and its numbers.
type All = BTreeMap<(i64, i64), Vec<i64>>;

/// What is said once the clock has passed `clock`, by looking at all events for each.
fn recount(
    events: &All,
    clock: i64,
    within: i64,
    function: &str,
    down: bool,
    bound: f64,
    min: usize,
) -> String {
    let aggregate = |time: i64, offset: i64| {
        let window: Vec<&Vec<i64>> = events
            .range(..=(time, offset))
            .filter(|((t, _), _)| time - t <= within)
            .map(|(_, numbers)| numbers)
            .collect();
        let with = window.iter().filter(|numbers| !numbers.is_empty()).count();
        let mut all: Vec<i64> = window.iter().flat_map(|numbers| numbers.iter().copied()).collect();
        all.sort_unstable();
        let count = i32::try_from(all.len()).unwrap();
        // Numbers are a quarter each, and small: floats are exact here.
        let sum: f64 = all.iter().map(|n| f64::from(i32::try_from(*n).unwrap()) / 4.0).sum();
        let value = match function {
            _ if with < min => return None,
            "sum" => sum,
            "avg" => sum / f64::from(count),
            "min" => f64::from(i32::try_from(all[0]).unwrap()) / 4.0,
            "max" => f64::from(i32::try_from(all[all.len() - 1]).unwrap()) / 4.0,
            percentile => {
                let percent: f64 = percentile.trim_start_matches('p').parse().unwrap();
                let rank = (percent / 100.0 * f64::from(count)).ceil();
                let below = all
                    .iter()
                    .enumerate()
                    .find(|(n, _)| f64::from(i32::try_from(*n).unwrap()) + 1.0 >= rank);
                f64::from(i32::try_from(*below.unwrap().1).unwrap()) / 4.0
            }
        };
        let beyond = if down { value < bound } else { value > bound };
        beyond.then_some((value, window.len()))
    };
    let mut said = Vec::new();
    let mut holds = false;
    // Every millisecond: first the events at it, then whether enough are left.
    for now in 0..clock {
        for ((time, offset), _) in events.range((now, i64::MIN)..=(now, i64::MAX)) {
            match aggregate(*time, *offset) {
                Some((value, count)) => {
                    said.push(format!("{time}({value} of {count})"));
                    holds = down;
                }
                None if holds => {
                    said.push(format!("{time}!"));
                    holds = false;
                }
                None => {}
            }
        }
        let left = events.range((now - within + 1, i64::MIN)..=(now, i64::MAX));
        if holds && left.filter(|(_, numbers)| !numbers.is_empty()).count() < min {
            said.push(format!("{now}!"));
            holds = false;
        }
    }
    said.join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_order_of_arrival_tells_what_a_recount_tells(
        arrivals in prop::collection::vec(
            (0..60i64, 0..4i64, prop::collection::vec(-6..12i64, 0..3), 0..90i64), 0..24),
        within in 1..40i64,
        function in prop::sample::select(vec!["sum", "avg", "min", "max", "p1", "p50", "p90", "p99"]),
        down: bool,
        bound in -8..12i32,
        min in 1..4usize,
    ) {
        let side = if down { "below" } else { "above" };
        let bound = f64::from(bound) / 4.0;
        let detector = detector(&format!(
            "function = '{function}', {side} = {bound:?}, within = '{within}ms', min_events = {min}"
        ));
        let mut state = detector.fresh(START);
        let mut clock = 0;
        let mut taken = All::new();
        let mut said = Vec::new();
        for (time, offset, numbers, tick) in &arrivals {
            if *time >= clock && !taken.contains_key(&(*time, *offset)) {
                taken.insert((*time, *offset), numbers.clone());
                let texts: Vec<String> = numbers.iter().map(|n| {
                    format!("{:?}", f64::from(i32::try_from(*n).unwrap()) / 4.0)
                }).collect();
                prop_assert!(observe(&mut *state, &event(*time, *offset, &texts.join(" "))).is_empty());
            }
            if tick % 3 == 0 {
                clock = clock.max(*tick);
                said.push(told(&advance(&mut *state, clock)));
                prop_assert!(state.wake_at().is_none_or(|wake| wake > at(clock)));
            }
            state = again(&*detector, &*state);
        }
        said.push(told(&advance(&mut *state, 200)));
        said.retain(|said| !said.is_empty());
        prop_assert_eq!(state.wake_at(), None);
        let expected = recount(&taken, 200, within, function, down, bound, min);
        prop_assert_eq!(said.join(" "), expected);
    }
}

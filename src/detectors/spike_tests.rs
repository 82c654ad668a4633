//! Every boundary of `[spike]`, and its law: what fires and ends is what a recount of all events finds.

use std::collections::BTreeSet;

use expect_test::expect;
use proptest::prelude::*;

use super::bench::{self, advance, again, at, detector, observe, occurrence};
use super::spike::SPEC;
use super::{RuleStart, Verdict, Verdicts};
use crate::base::Timestamp;

const WARM: RuleStart = RuleStart { at: Timestamp::MIN, warm: true };

fn told(said: &Verdicts) -> Vec<String> {
    let one = |verdict: &Verdict| match verdict {
        Verdict::Ended(time) => format!("ended {}", time.as_millis()),
        Verdict::Fired(firing) => {
            assert_eq!(firing.value, firing.count);
            let approximate = if firing.approximate { "≈" } else { "" };
            let clock = if firing.position.is_none() { "clock " } else { "" };
            format!("{clock}{}({approximate}{})", firing.time.as_millis(), firing.count)
        }
    };
    said.iter().map(one).collect()
}

/// Events at these times, then the clock passes `clock`; the memory is written and read back after each.
fn check(settings: &str, start: RuleStart, times: &[i64], clock: i64, expected: &str) {
    let detector = detector(&SPEC, &format!("spike = {{ {settings} }}"));
    let mut state = detector.fresh(start);
    let mut all = Vec::new();
    for (offset, time) in (0..).zip(times) {
        all.extend(told(&observe(&mut *state, &occurrence(*time, offset, vec![]))));
        state = again(&*detector, &*state);
    }
    all.extend(told(&advance(&mut *state, clock)));
    again(&*detector, &*state);
    assert_eq!(all.join(" "), expected, "{times:?}");
}

const UP: &str = "factor = 2, within = '100ms', baseline = '200ms', min_events = 2";
const DOWN: &str = "factor = 2, direction = 'down', within = '100ms', min_events = 2";

#[test]
fn up_counts_both_ends_of_the_window_and_a_baseline_that_ends_before_it() {
    let three = UP.replace("min_events = 2", "min_events = 3");
    // Three in the baseline [700, 900) are a mean of one and a half, and three are twice as many.
    check(&three, WARM, &[0, 700, 800, 899, 1000, 1000, 1000], 2000, "1000(3)");
    check(&three, WARM, &[0, 700, 798, 801, 899, 1000, 1000, 1000], 2000, "");
    check(&three, WARM, &[0, 699, 798, 801, 899, 1000, 1000, 1000], 2000, "1000(3)");
    // 900 is the window's own.
    check(&three, WARM, &[0, 700, 800, 900, 1000, 1000], 2000, "1000(3)");
    // Ties: what stands before it in the source.
    check(UP, WARM, &[0, 700, 850, 1000, 1000, 1000], 2000, "1000(2) 1000(3)");
}

#[test]
fn up_needs_min_events_and_without_a_baseline_they_are_enough() {
    check(UP, WARM, &[0, 1000], 2000, "");
    check(UP, WARM, &[0, 1000, 1001], 2000, "1001(2)");
}

#[test]
fn nothing_is_said_until_rule_and_key_have_been_seen_for_the_whole_time() {
    check(UP, WARM, &[0, 298, 299], 2000, "");
    check(UP, WARM, &[0, 299, 300], 2000, "300(2)");
    let start = |at_millis| RuleStart { at: at(at_millis), warm: false };
    check(UP, start(1), &[0, 299, 300], 2000, "");
    check(UP, start(1), &[0, 300, 301], 2000, "300(2) 301(2)".trim_start_matches("300(2) "));
    check(DOWN, WARM, &[0, 0, 0], 150, "");
    check(DOWN, start(50), &[0, 100, 100, 100], 1000, "clock 250(0) ended 300");
}

#[test]
fn down_fires_once_at_the_first_moment_and_ends_when_it_is_false() {
    // Four of 0..100 are the mean from 200 on; at 200 nothing is in the window.
    check(DOWN, WARM, &[0, 50, 60, 70, 100], 199, "");
    check(DOWN, WARM, &[0, 50, 60, 70, 100], 201, "clock 200(0)");
    check(DOWN, WARM, &[0, 50, 60, 70, 100], 1000, "clock 200(0) ended 270");
    // Half of the mean is low, one more is not.
    check(DOWN, WARM, &[0, 110, 120, 130, 140, 210, 220], 245, "clock 240(2)");
    check(DOWN, WARM, &[0, 110, 120, 130, 140, 210, 220, 230], 245, "");
    check(DOWN, WARM, &[0, 110, 120, 130, 140, 210, 220, 241], 250, "clock 240(2) ended 241");
}

#[test]
fn a_factor_is_the_number_that_is_written() {
    let settings = "factor = 1.1, within = '100ms', min_events = 11";
    // Ten before: eleven are exactly 1.1 times as many.
    let mut times = vec![0; 1];
    times.extend([850; 10]);
    times.extend([1000; 11]);
    check(settings, WARM, &times, 2000, "1000(11)");
    check(&settings.replace("1.1", "1.100001"), WARM, &times, 2000, "");
}

#[test]
fn a_long_history_is_counted_in_runs_and_says_so_where_it_matters() {
    let text = "spike = { factor = 1, within = '5s', baseline = '20s', min_events = 1 }";
    let detector = detector(&SPEC, text);
    let mut state = detector.fresh(WARM);
    let mut said = Verdicts::new();
    for n in 0..30_000 {
        state.observe(&occurrence(n, n, vec![]), &mut said);
        state.advance(at(n), &mut said);
    }
    state.advance(at(30_000), &mut said);
    assert!(said.firings().all(|firing| firing.time >= at(25_000)));
    let last = said.firings().last().unwrap();
    assert!(last.time >= at(29_900));
    assert!(last.approximate && last.count.abs_diff(5_001) <= 8, "{}", last.count);
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    assert!(bytes.len() < 200_000, "{}", bytes.len());
}

#[test]
fn more_than_can_wait_is_judged_early_and_says_so() {
    for direction in ["up", "down"] {
        let text = format!(
            "spike = {{ factor = 1, direction = '{direction}', within = '1ms', min_events = 1 }}"
        );
        let detector = detector(&SPEC, &text);
        let mut state = detector.fresh(WARM);
        let mut said = Verdicts::new();
        let count = i64::try_from(super::EVENTS_MAX).unwrap();
        for n in 0..=count {
            assert!(said.is_empty());
            state.observe(&occurrence(n * 2, n, vec![]), &mut said);
        }
        assert!(said.firings().next().unwrap().approximate);
        let before = said.iter().count();
        state.observe(&occurrence(5, count + 9, vec![]), &mut said);
        assert_eq!(said.iter().count(), before, "nothing is taken back");
    }
}

#[test]
fn it_is_decided_when_the_clock_has_passed_it_and_remembered_for_ever() {
    let detector = detector(&SPEC, &format!("spike = {{ {UP} }}"));
    let mut state = detector.fresh(WARM);
    assert_eq!((state.wake_at(), state.expires_at()), (None, Timestamp::MIN));
    observe(&mut *state, &occurrence(10, 1, vec![]));
    assert_eq!((state.wake_at(), state.expires_at()), (Some(at(11)), Timestamp::MAX));
    advance(&mut *state, 11);
    assert_eq!((state.wake_at(), state.depends_on()), (None, Some((at(10), at(10)))));
}

#[test]
fn settings_are_checked_at_their_place() {
    let read = |text: &str| {
        let (detector, found) = bench::read(&SPEC, text);
        detector.map_or_else(|| found.join("\n"), |detector| detector.canonical())
    };
    let all = "[spike]\nfactor = 2.5\nwithin = '1h'\nmin_events = 20\n";
    assert_eq!(read(all), "factor=2500000/1000000 direction=up within=1h windows=1 min_events=20");
    let down = format!("{all}direction = 'down'\nbaseline = '24h'");
    let (detector, _) = bench::read(&SPEC, &down);
    let detector = detector.unwrap();
    assert!(detector.looks_down() && detector.watches());
    assert_eq!(detector.span(), bench::ms(25 * 3_600_000));
    assert_eq!(detector.within(), Some(bench::ms(3_600_000)));
    expect![[r"
        Some(0..7) missing key `factor` in `[spike]`
        Some(0..7) missing key `within` in `[spike]`
        Some(0..7) missing key `min_events` in `[spike]`"]]
    .assert_eq(&read("[spike]\n"));
    expect!["Some(62..67) expected a multiple of `within` (1h), found `1h30m`"]
        .assert_eq(&read(&format!("{all}baseline = '90m'")));
    expect!["Some(63..73) expected one of up, down, found `sideways`"]
        .assert_eq(&read(&format!("{all}direction = 'sideways'")));
    expect![
        "Some(17..20) expected a number from 1 to 1000000 with at most six decimals, found `0.5`"
    ]
    .assert_eq(&read(&all.replace("2.5", "0.5")));
    expect!["Some(17..27) expected a number from 1 to 1000000 with at most six decimals, found `2.00000015`"].assert_eq(&read(&all.replace("2.5", "2.00000015")));
    expect!["Some(48..55) expected a count of at most 1000000, found `1000001`"]
        .assert_eq(&read(&all.replace("20", "1000001")));
}

#[test]
fn broken_memory_is_refused() {
    for settings in [UP, DOWN] {
        let detector = detector(&SPEC, &format!("spike = {{ {settings} }}"));
        let mut state = detector.fresh(RuleStart { at: at(5), warm: false });
        for n in 0..6 {
            observe(&mut *state, &occurrence(n * 30, n, vec![]));
        }
        advance(&mut *state, 100);
        bench::written_or_refused(&*detector, &*state);
    }
}

/// Settings of a law: factor in quarters, and so on.
type Numbers = (i64, i64, i64, i64);

/// (fired or ended, time, offset or -1, events in the window), of all before `clock`.
fn recount(
    events: &BTreeSet<(i64, i64)>,
    (quarters, within, windows, min_events): Numbers,
    down: bool,
    start: i64,
    clock: i64,
) -> Vec<(bool, i64, i64, i64)> {
    let Some((first, _)) = events.first() else { return Vec::new() };
    let span = within * (windows + 1);
    let seen = start.max(*first) + span;
    let mut said = Vec::new();
    let count = |fits: &dyn Fn(i64, i64) -> bool| {
        i64::try_from(events.iter().filter(|(t, o)| fits(*t, *o)).count()).unwrap()
    };
    if !down {
        for (time, offset) in events.iter().filter(|(time, _)| *time < clock && *time >= seen) {
            let held = count(&|t, o| t >= time - within && (t, o) <= (*time, *offset));
            let base = count(&|t, _| t >= time - span && t < time - within);
            if held >= min_events && held * windows * 4 >= quarters * base {
                said.push((true, *time, *offset, held));
            }
        }
        return said;
    }
    let mut low = false;
    for moment in seen..clock {
        let held = count(&|t, _| t > moment - within && t <= moment);
        let base = count(&|t, _| t > moment - span && t <= moment - within);
        let now = base >= min_events * windows && held * quarters * windows <= base * 4;
        if now && !low {
            said.push((true, moment, -1, held));
        } else if low && !now {
            said.push((false, moment, -1, 0));
        }
        low = now;
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_is_said_is_what_a_recount_finds(
        arrivals in prop::collection::vec((0..120i64, 0..4i64, 0..140i64), 0..40),
        quarters in 4..14i64,
        within in 1..15i64,
        windows in 1..4i64,
        min_events in 1..4i64,
        down: bool,
        start in prop::option::of(0..40i64),
        restore_at in 0..40usize,
    ) {
        let direction = if down { "down" } else { "up" };
        let (factor, baseline) = (f64::from(i32::try_from(quarters).unwrap()) / 4.0, within * windows);
        let text = format!(
            "spike = {{ factor = {factor:?}, direction = '{direction}', within = '{within}ms', baseline = '{baseline}ms', min_events = {min_events} }}"
        );
        let detector = detector(&SPEC, &text);
        let begins = RuleStart { at: at(start.unwrap_or(0)), warm: start.is_none() };
        let mut state = detector.fresh(begins);
        let (mut clock, mut taken, mut said) = (0, BTreeSet::new(), Vec::new());
        for (n, (time, offset, tick)) in arrivals.iter().enumerate() {
            if n == restore_at {
                state = again(&*detector, &*state);
            }
            let mut heard = Verdicts::new();
            if *time >= clock {
                taken.insert((*time, *offset));
                state.observe(&occurrence(*time, *offset, vec![]), &mut heard);
            }
            // As it is live: it is woken when it asks to be, and only then.
            if tick % 3 == 0 && *tick > clock {
                clock = *tick;
                if state.wake_at().is_some_and(|wake| wake <= at(clock)) {
                    state.advance(at(clock), &mut heard);
                }
                prop_assert!(state.wake_at().is_none_or(|wake| wake > at(clock)));
            }
            said.extend(heard.iter().map(|verdict| match verdict {
                Verdict::Fired(f) => {
                    let offset = f.position.as_ref().map_or(-1, |position| position.offset);
                    (true, f.time.as_millis(), offset, i64::try_from(f.count).unwrap())
                }
                Verdict::Ended(time) => (false, time.as_millis(), -1, 0),
            }));
            let numbers = (quarters, within, windows, min_events);
            let all = recount(&taken, numbers, down, start.unwrap_or(i64::MIN / 4), clock);
            prop_assert_eq!(&said, &all, "{:?} at {}", &taken, clock);
        }
    }
}

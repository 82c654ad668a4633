//! Every boundary of `[ratio]`, and its law: any order of arrival and any ticks of the clock tell what a
//! recount of all events tells.

use std::collections::BTreeMap;

use expect_test::expect;
use proptest::prelude::*;

use super::bench::{self, START, advance, again, at, observe};
use super::ratio::SPEC;
use super::{Detector, Occurrence, Parts, Verdict, Verdicts};

fn detector(settings: &str) -> Box<dyn Detector> {
    bench::detector(&SPEC, &format!("ratio = {{ of = 'event.outcome: failure', {settings} }}"))
}

/// An event that meets `of`, or does not.
fn event(time: i64, offset: i64, met: bool) -> Occurrence {
    let parts = if met { Parts::FIRST.with(1) } else { Parts::FIRST };
    Occurrence { parts, ..bench::occurrence(time, offset, Vec::new()) }
}

/// `time(share of count)` of each firing, `time!` of each end.
fn told(said: &Verdicts) -> String {
    let each = said.iter().map(|verdict| match verdict {
        Verdict::Fired(f) => format!("{}({} of {})", f.time.as_millis(), f.value, f.count),
        Verdict::Ended(time) => format!("{}!", time.as_millis()),
    });
    each.collect::<Vec<_>>().join(" ")
}

/// `+` meets `of`, `-` does not; the number before it is the time in ms. Then the clock passes them all.
fn check(settings: &str, arrivals: &str, expected: &str) {
    let detector = detector(settings);
    let mut state = detector.fresh(START);
    for (offset, word) in (0..).zip(arrivals.split_whitespace()) {
        let time = word.trim_end_matches(['+', '-']).parse().unwrap();
        assert!(observe(&mut *state, &event(time, offset, word.ends_with('+'))).is_empty());
        state = again(&*detector, &*state);
    }
    assert_eq!(told(&advance(&mut *state, 1_000_000)), expected, "{arrivals}");
    assert_eq!(state.wake_at(), None);
}

const ABOVE: &str = "above = 0.5, within = '100ms', min_events = 2";
const BELOW: &str = "below = 0.5, within = '100ms', min_events = 2";

#[test]
fn above_fires_on_an_event_that_meets_it_and_leaves_the_share_above() {
    check(ABOVE, "0+ 1+ 2- 3- 4+ 5+", "1(1.0 of 2) 4(0.6 of 5) 5(0.6666666666666666 of 6)");
    // Strictly: two of four are not above a half.
    check(ABOVE, "0- 1- 2+ 3+", "");
    check("above = 0.1, within = '1s', min_events = 10", "0- 1- 2- 3- 4- 5- 6- 7- 8- 9+", "");
    check("above = 0, within = '1s', min_events = 1", "0- 1+ 2-", "1(0.5 of 2)");
}

#[test]
fn both_ends_of_the_window_are_included_and_too_few_events_say_nothing() {
    check(ABOVE, "0+ 100+", "100(1.0 of 2)");
    check(ABOVE, "0+ 101+", "");
    check(ABOVE, "0- 101+ 102+", "102(1.0 of 2)");
}

#[test]
fn below_fires_on_every_event_and_ends_when_it_is_false_or_too_few_are_left() {
    check(BELOW, "0- 1- 2+ 3+", "1(0.0 of 2) 2(0.3333333333333333 of 3) 3!");
    check(BELOW, "0- 10-", "10(0.0 of 2) 100!");
    check(BELOW, "0- 10- 100-", "10(0.0 of 2) 100(0.0 of 3) 110!");
    check(BELOW, "0- 10- 101-", "10(0.0 of 2) 100! 101(0.0 of 2) 110!");
    check(
        "below = 1, within = '100ms', min_events = 1",
        "0+ 1- 2+",
        "1(0.5 of 2) 2(0.6666666666666666 of 3) 102!",
    );
}

#[test]
fn order_of_arrival_and_repeats_change_nothing() {
    check(ABOVE, "5+ 3- 4+ 1-", "");
    check(ABOVE, "5+ 3- 4+ 6+", "5(0.6666666666666666 of 3) 6(0.75 of 4)");
    let mut state = detector(ABOVE).fresh(START);
    for offset in [1, 0, 1, 0] {
        observe(&mut *state, &event(5, offset, true));
    }
    let said = advance(&mut *state, 6);
    assert_eq!(told(&said), "5(1.0 of 2)");
    assert_eq!(said.firings().next().unwrap().position.as_ref().unwrap().offset, 1);
}

#[test]
fn it_has_two_parts_of_which_the_second_asks_for_more() {
    let detector = detector(ABOVE);
    let parts = detector.parts();
    assert_eq!(parts.len(), 2);
    assert!(parts[0].when.is_none() && parts.iter().all(|part| part.with_rule));
    assert_eq!(parts[1].when.unwrap().to_string(), "event.outcome: failure");
    assert!(!detector.looks_down());
    let below = self::detector(BELOW);
    assert!(below.looks_down());
}

#[test]
fn settings_are_checked_at_their_place() {
    assert_eq!(
        detector("above = 0.50, within = '90s', min_events = 20").canonical(),
        "above=0.5 within=1m30s min_events=20 of=22:event.outcome: failure"
    );
    for share in ["above = 0", "above = 0.999", "below = 1", "below = 1e-9"] {
        detector(&format!("{share}, within = '1s', min_events = 1"));
    }
    let wrong = |settings: &str| {
        let (detector, found) = bench::read(&SPEC, &format!("[ratio]\n{settings}\n"));
        assert!(detector.is_none());
        found.join("\n")
    };
    expect![[r"
        Some(0..7) missing key `of` in `[ratio]`
        Some(0..7) expected one of `above`, `below` in `[ratio]`, found none
        Some(0..7) missing key `within` in `[ratio]`
        Some(0..7) missing key `min_events` in `[ratio]`
        Some(8..13) unknown key `aboev` in `[ratio]`"]]
    .assert_eq(&wrong("aboev = 0.5"));
    expect![[r#"
        Some(16..16) expected a value of `a`
        Some(26..28) expected a share of at least 0 and below 1, found `50`
        Some(38..39) expected a duration with a unit, found `5`; write "5s" for seconds or "5m" for minutes
        Some(53..54) expected a number of at least 1, found `0`"#]].assert_eq(&wrong("of = 'a:'\nabove = 50\nwithin = 5\nmin_events = 0"));
    for share in [
        "above = 1",
        "above = -0.1",
        "below = 0",
        "below = 1.01",
        "above = inf",
        "above = '50%'",
        "at_least = 0.5",
    ] {
        let settings = format!("of = 'a: b'\n{share}\nwithin = '1s'\nmin_events = 1");
        assert_ne!(wrong(&settings), "", "{share}");
    }
    let (_, found) = bench::read(
        &SPEC,
        "[ratio]\nof = 'a: b'\nabove = 0.1\nbelow = 0.2\nwithin = '1s'\nmin_events = 1",
    );
    expect!["Some(32..37) expected one of `above`, `below`, found `below` beside `above`"]
        .assert_eq(&found.join("\n"));
}

#[test]
fn broken_memory_is_refused() {
    let detector = detector(BELOW);
    let mut state = detector.fresh(START);
    for (time, met) in [(5, true), (6, false), (7, false), (9, true)] {
        observe(&mut *state, &event(time, time, met));
    }
    advance(&mut *state, 9);
    bench::written_or_refused(&*detector, &*state);
}

/// What is said once the clock has passed `clock`, by looking at all events for each. The bound is in
/// hundredths.
fn recount(
    events: &BTreeMap<(i64, i64), bool>,
    clock: i64,
    within: i64,
    down: bool,
    bound: usize,
    min: usize,
) -> String {
    let mut said = Vec::new();
    let mut holds = false;
    for now in 0..clock {
        for ((time, offset), met) in events.range((now, i64::MIN)..=(now, i64::MAX)) {
            let window: Vec<bool> = events
                .range(..=(*time, *offset))
                .filter(|((t, _), _)| time - t <= within)
                .map(|(_, met)| *met)
                .collect();
            let (all, those) = (window.len(), window.iter().filter(|met| **met).count());
            let beyond = if down { those * 100 < all * bound } else { those * 100 > all * bound };
            if all >= min && beyond && (down || *met) {
                said.push(format!("{time} {all}"));
                holds = down;
            } else if holds {
                said.push(format!("{time}!"));
                holds = false;
            }
        }
        let left = events.range((now - within + 1, i64::MIN)..=(now, i64::MAX)).count();
        if holds && left < min {
            said.push(format!("{now}!"));
            holds = false;
        }
    }
    said.join(", ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_order_of_arrival_tells_what_a_recount_tells(
        arrivals in prop::collection::vec((0..60i64, 0..4i64, any::<bool>(), 0..90i64), 0..24),
        within in 1..40i64,
        down: bool,
        bound in 1..100usize,
        min in 1..5usize,
    ) {
        let side = if down { "below" } else { "above" };
        let detector = detector(&format!(
            "{side} = 0.{bound:02}, within = '{within}ms', min_events = {min}"
        ));
        let mut state = detector.fresh(START);
        let (mut clock, mut taken, mut said) = (0, BTreeMap::new(), Vec::new());
        let mut hear = |verdicts: Verdicts| {
            for verdict in verdicts.iter() {
                said.push(match verdict {
                    Verdict::Fired(f) => format!("{} {}", f.time.as_millis(), f.count),
                    Verdict::Ended(time) => format!("{}!", time.as_millis()),
                });
            }
        };
        for (time, offset, met, tick) in arrivals {
            if time >= clock && !taken.contains_key(&(time, offset)) {
                taken.insert((time, offset), met);
                hear(observe(&mut *state, &event(time, offset, met)));
            }
            if tick % 3 == 0 {
                clock = clock.max(tick);
                hear(advance(&mut *state, clock));
                prop_assert!(state.wake_at().is_none_or(|wake| wake > at(clock)));
            }
            state = again(&*detector, &*state);
        }
        hear(advance(&mut *state, 200));
        prop_assert_eq!(said.join(", "), recount(&taken, 200, within, down, bound, min));
    }
}

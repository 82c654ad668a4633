//! Every boundary of `[cardinality]`, and its law: any order of arrival fires what a recount of all
//! events fires.

use std::collections::BTreeSet;

use expect_test::expect;
use proptest::prelude::*;

use super::bench::{self, START};
use super::cardinality::SPEC;
use super::{Detector, KeyState, Occurrence, Parts, Verdicts};
use crate::base::{Position, Timestamp};
use crate::event::{Number, Scalar};

fn read(settings: &str) -> (Option<Box<dyn Detector>>, String) {
    let (detector, messages) = bench::read(&SPEC, settings);
    (detector, messages.join("\n"))
}

fn detector(fields: &str, count: usize, within: &str) -> Box<dyn Detector> {
    let text =
        format!("cardinality = {{ fields = {fields}, count = {count}, within = '{within}' }}");
    let (detector, found) = read(&text);
    detector.unwrap_or_else(|| panic!("{found}"))
}

fn occurrence(time: i64, offset: i64, values: Vec<Vec<Scalar>>) -> Occurrence {
    let time = Timestamp::from_millis(time);
    Occurrence { time, position: Position::new("audit", 0, offset), parts: Parts::FIRST, values }
}

fn texts(words: &str) -> Vec<Scalar> {
    words.split_whitespace().map(Scalar::from).collect()
}

/// `time(distinct/events)` of each firing, those of one arrival in brackets.
fn told(firings: &Verdicts) -> String {
    let each = firings.firings().map(|f| {
        let approximate = if f.approximate { "≥" } else { "" };
        let value = &f.value;
        format!("{}({approximate}{value}/{})", f.time.as_millis(), f.count)
    });
    let each: Vec<_> = each.collect();
    if each.is_empty() { String::new() } else { format!("[{}]", each.join(" ")) }
}

/// Arrivals are (time in ms, offset, values of `user.name` with spaces between).
fn check(count: usize, within: &str, arrivals: &[(i64, i64, &str)], expected: &str) {
    let mut state = detector("['user.name']", count, within).fresh(START);
    let mut all = Vec::new();
    for (time, offset, words) in arrivals {
        let mut firings = Verdicts::new();
        state.observe(&occurrence(*time, *offset, vec![texts(words)]), &mut firings);
        all.push(told(&firings));
    }
    all.retain(|firings| !firings.is_empty());
    assert_eq!(all.join(" "), expected, "{arrivals:?}");
}

#[test]
fn both_ends_of_the_window_are_included() {
    check(2, "100ms", &[(0, 0, "a"), (100, 1, "b")], "[100(2/2)]");
    check(2, "100ms", &[(0, 0, "a"), (101, 1, "b")], "");
}

#[test]
fn a_repeated_value_counts_once_and_its_event_fires_like_any_other() {
    check(2, "100ms", &[(0, 0, "a"), (1, 1, "a"), (2, 2, "a")], "");
    check(2, "100ms", &[(0, 0, "a"), (1, 1, "b"), (2, 2, "b")], "[1(2/2)] [2(2/3)]");
    // What has left the window is not distinct any more, unless it stands there a second time.
    check(2, "100ms", &[(0, 0, "a"), (50, 1, "b"), (120, 2, "b")], "[50(2/2)]");
    check(
        2,
        "100ms",
        &[(0, 0, "a"), (30, 1, "a"), (50, 2, "b"), (120, 3, "b")],
        "[50(2/3)] [120(2/3)]",
    );
}

#[test]
fn an_event_without_the_value_adds_none_and_may_fire() {
    check(2, "100ms", &[(0, 0, "a"), (1, 1, ""), (2, 2, "b"), (3, 3, "")], "[2(2/3)] [3(2/4)]");
    check(1, "100ms", &[(0, 0, ""), (1, 1, "")], "");
}

#[test]
fn every_element_of_an_array_is_a_value() {
    check(3, "100ms", &[(0, 0, "a b a c")], "[0(3/1)]");
    check(3, "100ms", &[(0, 0, "a b"), (1, 1, "b c")], "[1(3/2)]");
}

#[test]
fn one_person_is_one_value_however_spelt_and_numbers_are_their_shortest_text() {
    check(2, "100ms", &[(0, 0, "Eve"), (1, 1, "eve"), (2, 2, "EVE")], "");
    let mut state = detector("['user.id']", 2, "100ms").fresh(START);
    let mut firings = Verdicts::new();
    let values =
        [Scalar::Number(Number::Int(3)), Scalar::Number(Number::Float(3.0)), Scalar::from("3")];
    for (offset, value) in (0..).zip(values) {
        state.observe(&occurrence(offset, offset, vec![vec![value]]), &mut firings);
    }
    assert_eq!(told(&firings), "");
    for (offset, value) in [(8, "a"), (9, "A")] {
        state.observe(&occurrence(offset, offset, vec![texts(value)]), &mut firings);
    }
    assert_eq!(told(&firings), "[8(2/4) 9(3/5)]");
}

#[test]
fn several_fields_are_tuples_and_one_with_a_missing_part_is_none() {
    let detector = detector("['source.ip', 'user.id']", 3, "100ms");
    let mut state = detector.fresh(START);
    let mut take = |offset, first, second| {
        let mut firings = Verdicts::new();
        let values = vec![texts(first), texts(second)];
        state.observe(&occurrence(offset, offset, values), &mut firings);
        told(&firings)
    };
    assert_eq!(take(0, "x", "yz"), "");
    assert_eq!(take(1, "x", ""), "");
    assert_eq!(take(2, "", "y"), "");
    assert_eq!(take(3, "x", "yz"), "");
    assert_eq!(take(4, "xy", "z"), "", "parts do not run together: two so far");
    assert_eq!(take(5, "p q", "r s"), "[5(6/6)]", "every combination");
}

#[test]
fn ties_keep_the_order_of_the_source() {
    check(2, "100ms", &[(5, 0, "a"), (5, 1, "b")], "[5(2/2)]");
    check(2, "100ms", &[(5, 1, "a"), (5, 0, "b")], "[5(2/2)]");
}

#[test]
fn a_late_event_completes_windows_that_end_later_each_once() {
    check(
        2,
        "100ms",
        &[(0, 0, "a"), (110, 1, "a"), (250, 2, "a"), (50, 3, "b")],
        "[50(2/2) 110(2/2)]",
    );
    check(2, "100ms", &[(0, 0, "a"), (10, 1, "b"), (0, 0, "a"), (10, 1, "b")], "[10(2/2)]");
}

#[test]
fn four_times_the_count_is_kept_and_the_rest_is_a_lower_bound() {
    let words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let full: Vec<_> = (0..).zip(words).map(|(n, word)| (n + 1, n, word)).collect();
    check(
        2,
        "100ms",
        &full,
        "[2(2/2)] [3(3/3)] [4(4/4)] [5(5/5)] [6(6/6)] [7(7/7)] [8(8/8)] [9(9/9)] [10(≥9/9)]",
    );
    // Older than all of a full state: nothing.
    let repeated: Vec<_> = (0..8).map(|n| (n + 1, n, "a")).chain([(0, 99, "b")]).collect();
    check(2, "100ms", &repeated, "");
}

#[test]
fn the_values_of_one_event_and_of_a_key_are_bounded() {
    let many: Vec<Scalar> = (0..1_001u64).map(Scalar::from).collect();
    let detector = detector("['user.id']", 900, "100ms");
    let mut state = detector.fresh(START);
    let mut firings = Verdicts::new();
    state.observe(&occurrence(0, 0, vec![many[..1_000].to_vec()]), &mut firings);
    assert_eq!(told(&firings), "[0(1000/1)]");
    firings.clear();
    state.observe(&occurrence(500, 1, vec![many.clone()]), &mut firings);
    assert_eq!(told(&firings), "[500(≥1000/1)]");
    // 16 × 900 values of the key: the sixteenth event makes the oldest go.
    for n in 2..=15 {
        firings.clear();
        state.observe(&occurrence(1_000 + n, n, vec![many[..1_000].to_vec()]), &mut firings);
    }
    assert_eq!(told(&firings), "[1015(1000/14)]");
    firings.clear();
    state.observe(&occurrence(1_016, 16, vec![many[..1_000].to_vec()]), &mut firings);
    assert_eq!(told(&firings), "[1016(1000/15)]");
    firings.clear();
    state.observe(&occurrence(1_017, 17, vec![many[..1_000].to_vec()]), &mut firings);
    assert_eq!(told(&firings), "[1017(≥1000/15)]");
}

#[test]
fn it_expires_when_nothing_that_still_counts_can_reach_it() {
    let mut state = detector("['user.name']", 2, "100ms").fresh(START);
    state.observe(&occurrence(1_000, 0, vec![texts("a")]), &mut Verdicts::new());
    assert_eq!(state.expires_at(), Timestamp::from_millis(1_201));
}

#[test]
fn settings_are_checked_at_their_place() {
    let good =
        "[cardinality]\nfields = ['user.name', 'source.ip']\ncount = 10000\nwithin = '10m'\n";
    let (detector, found) = read(good);
    let detector = detector.unwrap();
    assert_eq!(found, "");
    assert_eq!(detector.canonical(), "fields=user.name,source.ip count=10000 within=10m");
    assert_eq!(detector.keeps(), 40_000);
    let wrong = |text: &str| {
        let (detector, found) = read(text);
        assert!(detector.is_none());
        found
    };
    expect![[r"
        Some(0..13) missing key `fields` in `[cardinality]`
        Some(0..13) missing key `count` in `[cardinality]`
        Some(0..13) missing key `within` in `[cardinality]`"]]
    .assert_eq(&wrong("[cardinality]\n"));
    expect![[r"
        Some(23..25) expected at least one field, found none
        Some(34..39) expected a count of at most 10000, found `10001`
        Some(55..60) unknown key `withn` in `[cardinality]`"]]
    .assert_eq(&wrong("[cardinality]\nfields = []\ncount = 10001\nwithin = '10m'\nwithn = 3\n"));
    expect![[r#"
        Some(37..48) the field `user.name` is named twice
        Some(50..60) expected one field, found a pattern
        Some(62..68) expected a field name such as `user.name`, found `a..b`: empty key
        Some(78..79) expected a number of at least 1, found `0`
        Some(89..90) expected a duration with a unit, found `5`; write "5s" for seconds or "5m" for minutes"#]].assert_eq(&wrong(
        "[cardinality]\nfields = ['user.name', 'user.name', 'labels.*', 'a..b']\ncount = 0\nwithin = 5\n",
    ));
    expect!["Some(23..34) `fields`: expected a list, found a string"]
        .assert_eq(&wrong("[cardinality]\nfields = 'user.name'\ncount = 2\nwithin = '1h'\n"));
}

#[test]
fn broken_memory_is_refused() {
    let detector = detector("['user.name']", 1, "100ms");
    let mut state = detector.fresh(START);
    state.observe(&occurrence(5, 0, vec![texts("a b")]), &mut Verdicts::new());
    state.observe(&occurrence(6, 1, vec![texts("")]), &mut Verdicts::new());
    bench::written_or_refused(&*detector, &*state);
}

/// An event of the law: time, offset, values.
type Told = (i64, i64, BTreeSet<u8>);

/// Which events fire, by looking at all of them for each: (time, offset, distinct, events).
fn recount(count: usize, within_ms: i64, events: &[Told]) -> Vec<(i64, i64, u64, u64)> {
    let mut sorted: Vec<Told> = Vec::new();
    for event in events {
        // A repeated delivery is the same event.
        if !sorted.iter().any(|known| (known.0, known.1) == (event.0, event.1)) {
            sorted.push(event.clone());
        }
    }
    sorted.sort();
    let mut fired = Vec::new();
    for (n, (time, offset, _)) in sorted.iter().enumerate() {
        let window = sorted[..=n].iter().filter(|(t, ..)| time - t <= within_ms);
        let values: BTreeSet<u8> = window.clone().flat_map(|(.., values)| values.clone()).collect();
        if values.len() >= count {
            fired.push((*time, *offset, values.len() as u64, window.count() as u64));
        }
    }
    fired
}

fn fact(firing: &super::Firing) -> (i64, i64, u64, u64) {
    let offset = firing.position.as_ref().unwrap().offset;
    let value = firing.value.as_u64().unwrap();
    (firing.time.as_millis(), offset, value, firing.count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What is told was true when it fired; which events fire does not depend on the order.
    #[test]
    fn any_order_of_arrival_fires_what_the_sorted_order_fires(
        events in prop::collection::vec(
            (0..60i64, 0..8i64, prop::collection::btree_set(0..5u8, 0..3)), 0..16),
        count in 4..6usize,
        within in 1..40i64,
        restore_at in 0..16usize,
    ) {
        // At most 16 events, and 4 × 4 are kept: nothing is cut.
        let detector = detector("['user.id']", count, &format!("{within}ms"));
        let mut state: Box<dyn KeyState> = detector.fresh(START);
        let mut fired = Vec::new();
        for (n, (time, offset, values)) in events.iter().enumerate() {
            if n == restore_at {
                let mut bytes = Vec::new();
                state.encode(&mut bytes);
                state = detector.restore(&bytes).unwrap();
            }
            let before = fired.len();
            let values = values.iter().map(|v| Scalar::from(u64::from(*v))).collect();
            fired.extend(bench::observe(&mut *state, &occurrence(*time, *offset, vec![values])).firings().cloned());
            let so_far = recount(count, within, &events[..=n]);
            for firing in &fired[before..] {
                prop_assert!(so_far.contains(&fact(firing)), "{:?} in {:?}", firing, so_far);
                prop_assert!(!firing.approximate);
            }
            let mut all: Vec<_> = fired.iter().map(|f| (fact(f).0, fact(f).1)).collect();
            all.sort_unstable();
            let expected: Vec<_> = so_far.iter().map(|fact| (fact.0, fact.1)).collect();
            prop_assert_eq!(all, expected);
        }
    }
}

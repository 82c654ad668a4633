//! Every boundary of `[change]`, and its law: any order of arrival fires what a recount of all events
//! fires.

use std::collections::BTreeSet;

use expect_test::expect;
use proptest::prelude::*;

use super::bench::{self, START};
use super::change::{SPEC, VALUES_SHOWN};
use super::{Detector, EVENTS_MAX, Occurrence, Parts, Verdicts};
use crate::base::{Position, Timestamp};
use crate::event::{Number, Scalar};

fn read(settings: &str) -> (Option<Box<dyn Detector>>, String) {
    let (detector, messages) = bench::read(&SPEC, settings);
    (detector, messages.join("\n"))
}

fn detector(settings: &str) -> Box<dyn Detector> {
    let (detector, found) = read(&format!("change = {{ {settings} }}"));
    detector.unwrap_or_else(|| panic!("{found}"))
}

fn at(time: i64) -> Timestamp {
    Timestamp::from_millis(time)
}

fn occurrence(time: i64, offset: i64, values: Vec<Scalar>) -> Occurrence {
    let position = Position::new("audit", 0, offset);
    Occurrence { time: at(time), position, parts: Parts::FIRST, values: vec![values] }
}

fn texts(words: &str) -> Vec<Scalar> {
    words.split_whitespace().map(Scalar::from).collect()
}

/// `time(before → now)` of each firing.
fn told(firings: &Verdicts) -> String {
    let each = firings.firings().map(|f| {
        assert_eq!((f.count, f.first), (1, f.time));
        let approximate = if f.approximate { "≈" } else { "" };
        let (before, now) = (f.previous.as_ref().unwrap(), &f.value);
        format!("{}({approximate}{before} → {now})", f.time.as_millis()).replace('"', "")
    });
    each.collect::<Vec<_>>().join(" ")
}

/// Arrivals are (time in ms, offset, values); then the clock passes them all.
fn check(settings: &str, arrivals: &[(i64, i64, &str)], expected: &str) {
    let mut state = detector(settings).fresh(START);
    let mut firings = Verdicts::new();
    for (time, offset, words) in arrivals {
        state.observe(&occurrence(*time, *offset, texts(words)), &mut firings);
    }
    assert_eq!(firings, Verdicts::new(), "nothing is decided before the clock has passed it");
    state.advance(at(1_000_000), &mut firings);
    assert_eq!(told(&firings), expected, "{arrivals:?}");
}

const NAME: &str = "field = 'user.name', within = '100ms'";
const ID: &str = "field = 'user.id'";

#[test]
fn the_first_value_is_no_change_and_the_same_is_none() {
    check(ID, &[(0, 0, "a"), (1, 1, "a")], "");
    check(ID, &[(0, 0, "a"), (1, 1, "b"), (2, 2, "b"), (3, 3, "a")], "1(a → b) 3(b → a)");
}

#[test]
fn the_one_before_counts_when_it_is_no_more_than_within_before() {
    check(NAME, &[(0, 0, "a"), (100, 1, "b")], "100(a → b)");
    check(NAME, &[(0, 0, "a"), (101, 1, "b")], "");
    // The last event that has the field, not the last that differed.
    check(NAME, &[(0, 0, "a"), (90, 1, "a"), (190, 2, "b")], "190(a → b)");
    check(ID, &[(0, 0, "a"), (999_999, 1, "b")], "999999(a → b)");
}

#[test]
fn an_event_without_the_field_takes_no_part() {
    check(NAME, &[(0, 0, "a"), (50, 1, ""), (100, 2, "b")], "100(a → b)");
    check(NAME, &[(0, 0, "a"), (50, 1, ""), (101, 2, "b")], "");
}

#[test]
fn an_array_is_compared_as_a_set_and_told_as_it_was_spelt() {
    check(ID, &[(0, 0, "a b"), (1, 1, "b a b")], "");
    check(ID, &[(0, 0, "b a"), (1, 1, "a")], "1([b,a] → a)");
}

#[test]
fn values_are_told_apart_as_keys_are() {
    check(NAME, &[(0, 0, "Eve"), (1, 1, "eve")], "");
    check(ID, &[(0, 0, "Eve"), (1, 1, "eve")], "1(Eve → eve)");
    let mut state = detector(ID).fresh(START);
    let mut firings = Verdicts::new();
    let values = [Scalar::Number(Number::Int(3)), Scalar::Number(Number::Float(3.0)), "3".into()];
    for (offset, value) in (0..).zip(values) {
        state.observe(&occurrence(offset, offset, vec![value]), &mut firings);
    }
    state.advance(at(10), &mut firings);
    assert_eq!(firings, Verdicts::new());
}

#[test]
fn ties_keep_the_order_of_the_source_and_order_of_arrival_does_not_matter() {
    check(ID, &[(5, 1, "b"), (5, 0, "a")], "5(a → b)");
    check(ID, &[(9, 2, "a"), (1, 0, "a"), (5, 1, "b")], "5(a → b) 9(b → a)");
    check(ID, &[(1, 0, "a"), (5, 1, "b"), (1, 0, "a"), (5, 1, "b")], "5(a → b)");
}

#[test]
fn an_event_is_decided_when_the_clock_has_passed_it() {
    let mut state = detector(ID).fresh(START);
    let mut firings = Verdicts::new();
    assert_eq!(state.wake_at(), None);
    state.observe(&occurrence(10, 1, texts("b")), &mut firings);
    state.observe(&occurrence(5, 0, texts("a")), &mut firings);
    assert_eq!(state.wake_at(), Some(at(6)));
    state.advance(at(10), &mut firings);
    assert_eq!((told(&firings).as_str(), state.wake_at()), ("", Some(at(11))));
    // At the same time and before it in the source: it still may come.
    state.observe(&occurrence(10, 0, texts("a")), &mut firings);
    state.advance(at(11), &mut firings);
    assert_eq!((told(&firings).as_str(), state.wake_at()), ("10(a → b)", None));
}

#[test]
fn it_expires_when_nothing_can_be_compared_with_it() {
    let mut state = detector(NAME).fresh(START);
    assert_eq!(state.expires_at(), Timestamp::MIN);
    state.observe(&occurrence(1_000, 0, texts("a")), &mut Verdicts::new());
    assert_eq!(state.expires_at(), at(1_101));
    assert_eq!(state.depends_on(), Some((at(1_000), at(1_000))));
    let mut state = detector(ID).fresh(START);
    state.observe(&occurrence(1_000, 0, texts("a")), &mut Verdicts::new());
    assert_eq!(state.expires_at(), Timestamp::MAX);
}

#[test]
fn more_than_can_wait_is_judged_early_and_says_so() {
    let mut state = detector(ID).fresh(START);
    let mut firings = Verdicts::new();
    let count = i64::try_from(EVENTS_MAX).unwrap();
    for n in 0..count {
        let word = if n == 0 { "a" } else { "b" };
        state.observe(&occurrence(n, n, texts(word)), &mut firings);
    }
    assert_eq!(firings, Verdicts::new());
    state.observe(&occurrence(count, count, texts("b")), &mut firings);
    state.observe(&occurrence(count + 1, count, texts("b")), &mut firings);
    assert_eq!(told(&firings), "1(≈a → b)");
    // What is older than one that was judged is not judged any more.
    state.observe(&occurrence(0, 99, texts("c")), &mut firings);
    state.advance(at(1_000_000), &mut firings);
    assert_eq!(told(&firings), "1(≈a → b)");
}

#[test]
fn what_is_shown_is_bounded_and_all_of_it_is_compared() {
    let mut state = detector(ID).fresh(START);
    let mut firings = Verdicts::new();
    let many: Vec<Scalar> = (0..=VALUES_SHOWN as u64).map(Scalar::from).collect();
    let mut other = many.clone();
    other[VALUES_SHOWN] = "x".into();
    state.observe(&occurrence(0, 0, many), &mut firings);
    state.observe(&occurrence(1, 1, other), &mut firings);
    state.advance(at(2), &mut firings);
    assert!(firings.firings().next().unwrap().approximate);
    assert_eq!(firings.firings().next().unwrap().value.as_array().unwrap().len(), VALUES_SHOWN);
}

#[test]
fn settings_are_checked_at_their_place() {
    let (detector, found) = read("[change]\nfield = 'user.name'\nwithin = '4h'\n");
    assert_eq!(found, "");
    let detector = detector.unwrap();
    assert_eq!(detector.canonical(), "field=user.name within=4h");
    assert_eq!(detector.within(), Some(detector.span()));
    let (detector, found) = read("[change]\nfield = 'user.name'\n");
    assert_eq!(found, "");
    let detector = detector.unwrap();
    assert_eq!(
        (detector.canonical().as_str(), detector.within()),
        ("field=user.name within=-", None)
    );
    let wrong = |text: &str| {
        let (detector, found) = read(text);
        assert!(detector.is_none());
        found
    };
    expect![[r"
        Some(0..8) missing key `field` in `[change]`
        Some(9..14) unknown key `withn` in `[change]`"]]
    .assert_eq(&wrong("[change]\nwithn = '4h'\n"));
    expect![[r"
        Some(17..27) expected one field, found a pattern
        Some(37..41) expected a duration above zero, found `0s`"]]
    .assert_eq(&wrong("[change]\nfield = 'labels.*'\nwithin = '0s'\n"));
    expect!["Some(17..23) expected a field name such as `user.name`, found `a..b`: empty key"]
        .assert_eq(&wrong("[change]\nfield = 'a..b'\n"));
}

#[test]
fn broken_memory_is_refused() {
    let detector = detector(ID);
    let mut state = detector.fresh(START);
    for (offset, words) in [(5, "a b"), (6, "c"), (7, "d e")] {
        state.observe(&occurrence(offset, offset, texts(words)), &mut Verdicts::new());
    }
    state.advance(at(6), &mut Verdicts::new());
    bench::written_or_refused(&*detector, &*state);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The clock goes where it wants; what is not late when it arrives is judged as the sorted
    /// events are, each when the clock has passed it.
    #[test]
    fn any_order_of_arrival_fires_what_the_sorted_order_fires(
        arrivals in prop::collection::vec(
            (0..60i64, 0..8i64, prop::collection::btree_set(0..3u64, 0..3), 0..80i64), 0..24),
        within in prop::option::of(1..40i64),
        restore_at in 0..24usize,
    ) {
        let written = within.map_or(String::new(), |w| format!(", within = '{w}ms'"));
        let detector = detector(&format!("{ID}{written}"));
        let mut state = detector.fresh(START);
        let mut clock = i64::MIN;
        let mut taken: BTreeSet<(i64, i64, BTreeSet<u64>)> = BTreeSet::new();
        let mut fired = Vec::new();
        for (n, (time, offset, values, tick)) in arrivals.iter().enumerate() {
            if n == restore_at {
                let mut bytes = Vec::new();
                state.encode(&mut bytes);
                state = detector.restore(&bytes).unwrap();
            }
            let known = taken.iter().any(|(t, o, _)| (t, o) == (time, offset));
            if *time >= clock && !known {
                taken.insert((*time, *offset, values.clone()));
                let values = values.iter().map(|v| Scalar::from(*v)).collect();
                fired.extend(bench::observe(&mut *state, &occurrence(*time, *offset, values)).firings().cloned());
            }
            if tick % 3 == 0 {
                clock = clock.max(*tick);
                fired.extend(bench::advance(&mut *state, clock).firings().cloned());
                prop_assert!(state.wake_at().is_none_or(|wake| wake > at(clock)));
            }
            // Recount: of all that was taken and the clock has passed.
            let mut expected = Vec::new();
            let with: Vec<_> = taken.iter().filter(|(.., values)| !values.is_empty()).collect();
            for pair in with.windows(2) {
                let (before, event) = (pair[0], pair[1]);
                let near = within.is_none_or(|within| event.0 - before.0 <= within);
                if event.0 < clock && near && before.2 != event.2 {
                    expected.push((event.0, event.1));
                }
            }
            let facts: Vec<_> = fired.iter()
                .map(|f| (f.time.as_millis(), f.position.as_ref().unwrap().offset))
                .collect();
            prop_assert_eq!(facts, expected);
        }
    }
}

//! Every boundary of `[temporal]`, and its law: any order of arrival fires what a recount of all events
//! fires.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect;
use proptest::prelude::*;

use super::bench::{self, Around, START, at};
use super::temporal::{COUNT_MAX, SPEC};
use super::{Decides, Detector, Firing, KeyState, Occurrence, PARTS_MAX, Parts, Verdicts};

/// Parts called a, b, c… with these counts.
fn settings(counts: &[usize], within: &str, at_least: Option<usize>) -> String {
    let part = |(name, count): (char, &usize)| {
        format!("{{ name = '{name}', when = 'event.action: {name}', count = {count} }}")
    };
    let of: Vec<String> = ('a'..).zip(counts).map(part).collect();
    let at_least = at_least.map_or_else(String::new, |n| format!(", at_least = {n}"));
    format!("temporal = {{ within = '{within}', of = [{}]{at_least} }}", of.join(", "))
}

fn detector(counts: &[usize], within: &str, at_least: Option<usize>) -> Box<dyn Detector> {
    bench::detector(&SPEC, &settings(counts, within, at_least))
}

/// An event that meets the parts named by letters.
fn occurrence(time: i64, offset: i64, met: &str) -> Occurrence {
    let bit = |letter: u8| usize::from(letter - b'a');
    let parts = met.bytes().fold(Parts::default(), |parts, letter| parts.with(bit(letter)));
    Occurrence { parts, ..bench::occurrence(time, offset, Vec::new()) }
}

/// `time(parts met/events)` of each firing, those of one arrival in brackets.
fn told(firings: &Verdicts) -> String {
    let each = firings.firings().map(|f| {
        let approximate = if f.approximate { "≥" } else { "" };
        format!("{}({approximate}{}/{})", f.time.as_millis(), f.value, f.count)
    });
    let each: Vec<_> = each.collect();
    if each.is_empty() { String::new() } else { format!("[{}]", each.join(" ")) }
}

fn run(detector: &dyn Detector, arrivals: &[(i64, i64, &str)]) -> String {
    let mut state = detector.fresh(START);
    let mut all = Vec::new();
    for (time, offset, met) in arrivals {
        state = bench::again(detector, &*state);
        all.push(told(&bench::observe(&mut *state, &occurrence(*time, *offset, met))));
    }
    all.retain(|firings| !firings.is_empty());
    all.join(" ")
}

/// Two parts within 100 ms.
fn check(arrivals: &[(i64, i64, &str)], expected: &str) {
    assert_eq!(run(&*detector(&[1, 1], "100ms", None), arrivals), expected, "{arrivals:?}");
}

#[test]
fn both_ends_of_the_window_are_included() {
    check(&[(0, 0, "a"), (100, 1, "b")], "[100(2/2)]");
    check(&[(0, 0, "a"), (101, 1, "b")], "");
}

#[test]
fn the_parts_happen_in_any_order_and_every_event_that_leaves_them_met_fires() {
    check(&[(0, 0, "b"), (1, 1, "a")], "[1(2/2)]");
    check(&[(0, 0, "a"), (1, 1, "a"), (2, 2, "a")], "");
    check(&[(0, 0, "a"), (1, 1, "b"), (2, 2, "a"), (3, 3, "b")], "[1(2/2)] [2(2/3)] [3(2/4)]");
    // The b of 1 has left the window of 102; the a of 50 has not.
    check(&[(1, 0, "b"), (50, 1, "a"), (102, 2, "a"), (103, 3, "b")], "[50(2/2)] [103(2/3)]");
}

#[test]
fn one_event_counts_for_every_part_that_it_meets() {
    check(&[(0, 0, "ab")], "[0(2/1)]");
    let two = detector(&[2, 1], "100ms", None);
    assert_eq!(run(&*two, &[(0, 0, "ab"), (1, 1, "a")]), "[1(2/2)]");
}

#[test]
fn a_part_with_a_count_has_happened_when_so_many_events_met_it() {
    let counted = detector(&[3, 1], "100ms", None);
    assert_eq!(run(&*counted, &[(0, 0, "a"), (1, 1, "b"), (2, 2, "a")]), "");
    let third = [(0, 0, "a"), (1, 1, "b"), (2, 2, "a"), (100, 3, "a")];
    assert_eq!(run(&*counted, &third), "[100(2/4)]");
    let late = [(0, 0, "a"), (1, 1, "b"), (2, 2, "a"), (101, 3, "a")];
    assert_eq!(run(&*counted, &late), "", "the first a is out of the window");
}

#[test]
fn at_least_so_many_of_the_parts_are_enough() {
    let two_of_three = detector(&[1, 1, 1], "100ms", Some(2));
    assert_eq!(run(&*two_of_three, &[(0, 0, "a"), (1, 1, "c")]), "[1(2/2)]");
    let all = [(0, 0, "a"), (1, 1, "c"), (2, 2, "b"), (150, 3, "b")];
    assert_eq!(run(&*two_of_three, &all), "[1(2/2)] [2(3/3)]");
    let one = detector(&[1, 2], "100ms", Some(1));
    assert_eq!(run(&*one, &[(0, 0, "b"), (1, 1, "b"), (2, 2, "a")]), "[1(1/2)] [2(2/3)]");
}

#[test]
fn ties_keep_the_order_of_the_source() {
    check(&[(5, 0, "a"), (5, 1, "b")], "[5(2/2)]");
    let mut state = detector(&[1, 1], "100ms", None).fresh(START);
    assert!(bench::observe(&mut *state, &occurrence(5, 1, "a")).is_empty());
    // It stands before the other, which thus completes the window.
    let said = bench::observe(&mut *state, &occurrence(5, 0, "b"));
    let offsets: Vec<_> = said.firings().map(|f| f.position.as_ref().unwrap().offset).collect();
    assert_eq!(offsets, [1]);
}

#[test]
fn a_late_event_completes_windows_that_end_later_each_once() {
    check(&[(0, 0, "a"), (110, 1, "a"), (250, 2, "a"), (50, 3, "b")], "[50(2/2) 110(2/2)]");
    check(&[(10, 0, "b"), (0, 1, "a"), (5, 2, "a")], "[10(2/2)]");
}

#[test]
fn an_event_delivered_again_is_counted_once() {
    let two = detector(&[2, 1], "100ms", None);
    let again = [(0, 0, "a"), (1, 1, "b"), (0, 0, "a"), (2, 2, "a"), (2, 2, "a"), (1, 1, "b")];
    assert_eq!(run(&*two, &again), "[2(2/3)]");
}

#[test]
fn a_part_that_comes_to_be_known_later_is_judged_then_and_fires_no_second_time() {
    check(&[(0, 0, "a"), (1, 1, "a"), (1, 1, "b")], "[1(2/2)]");
    check(&[(0, 0, "a"), (1, 1, "b"), (1, 1, "a")], "[1(2/2)]");
}

#[test]
fn of_a_counted_part_four_times_the_count_is_kept_and_the_rest_is_a_lower_bound() {
    let two = detector(&[2, 2], "100ms", None);
    let mut arrivals: Vec<_> = (0..8).map(|n| (n, n, "a")).collect();
    arrivals.extend([(8, 8, "b"), (9, 9, "b")]);
    assert_eq!(run(&*two, &arrivals), "[9(2/10)]");
    arrivals.insert(8, (7, 99, "a"));
    assert_eq!(run(&*two, &arrivals), "[9(≥2/10)]");
    let after = || (10..18).map(|n| (n, n, "b"));
    // Older than all of a full part: it completes nothing, though nothing was missing but it.
    let full: Vec<_> = after().chain([(9, 1, "b"), (8, 90, "a"), (9, 91, "a")]).collect();
    assert!(run(&*two, &full).starts_with("[11(≥2/4) 12(≥2/5)"), "{}", run(&*two, &full));
    let in_time: Vec<_> =
        after().skip(1).chain([(8, 90, "a"), (9, 91, "a"), (9, 1, "b"), (10, 2, "b")]).collect();
    assert!(run(&*two, &in_time).starts_with("[12(2/4)"), "{}", run(&*two, &in_time));
}

#[test]
fn of_a_part_that_needs_one_event_all_that_the_span_holds_are_kept() {
    let after: Vec<_> = (10..60).map(|n| (n, n, "b")).collect();
    let fired = run(
        &*detector(&[1, 1], "100ms", None),
        &[&after[..], &[(5, 90, "b"), (9, 91, "a")]].concat(),
    );
    assert!(fired.starts_with("[9(2/2) 10(2/3)"), "{fired}");
    let one = detector(&[1], "100ms", None);
    let mut state = one.fresh(START);
    for n in 0..=10_000 {
        bench::observe(&mut *state, &occurrence(0, n, "a"));
    }
    let said = bench::observe(&mut *state, &occurrence(0, 10_001, "a"));
    assert_eq!(told(&said), "[0(≥1/10001)]");
}

#[test]
fn an_event_stays_as_long_as_one_of_its_parts_keeps_it() {
    let detector = detector(&[2, 5], "100ms", None);
    // Nine a push the first out of part a; as a b it still counts.
    let mut arrivals = vec![(0, 0, "ab")];
    arrivals.extend((1..9).map(|n| (n, n, "a")));
    arrivals.extend((9..13).map(|n| (n, n, "b")));
    assert_eq!(run(&*detector, &arrivals), "[12(≥2/13)]");
}

#[test]
fn it_expires_when_nothing_that_still_counts_can_reach_it() {
    let mut state = detector(&[1, 1], "100ms", None).fresh(START);
    bench::observe(&mut *state, &occurrence(1_000, 0, "a"));
    assert_eq!((state.expires_at(), state.wake_at()), (at(1_201), None));
}

#[test]
fn its_parts_are_those_of_the_table_with_the_rules_own_condition() {
    let detector = bench::detector(
        &SPEC,
        "[temporal]
        within = '1h'
        [[temporal.of]]
        name = 'grants'
        [[temporal.of]]
        when = 'event.action: x'
        count = 3
        group_by = ['user.target.name']",
    );
    let parts = detector.parts();
    assert_eq!((parts[0].name, parts[0].when, parts[0].group_by), (Some("grants"), None, None));
    assert_eq!(parts[1].name, None);
    assert_eq!(parts[1].when.unwrap().to_string(), "event.action: x");
    assert_eq!(parts[1].group_by, Some(&[bench::field("user.target.name")][..]));
    assert!(parts.iter().all(|part| part.with_rule));
    assert_eq!((detector.keeps(), detector.decides()), (16, Decides::OnArrival));
    assert_eq!(
        detector.canonical(),
        "within=1h at_least=2 of(name=Some(\"grants\") when=None count=1 group_by=None) \
         of(name=None when=Some(\"event.action: x\") count=3 group_by=Some([\"user.target.name\"]))"
    );
}

#[test]
fn settings_are_checked_at_their_place() {
    let wrong = |text: &str| {
        let (detector, found) = bench::read(&SPEC, text);
        assert!(detector.is_none(), "{text}");
        found.join("\n")
    };
    expect![[r"
        Some(0..10) missing key `within` in `[temporal]`
        Some(0..10) missing key `of` in `[temporal]`"]]
    .assert_eq(&wrong("[temporal]\n"));
    expect![[r#"
        Some(20..21) expected a duration with a unit, found `5`; write "5s" for seconds or "5m" for minutes
        Some(27..29) expected from 1 to 64 parts, found 0"#]]
    .assert_eq(&wrong("[temporal]\nwithin = 5\nof = []"));
    let head = "[temporal]\nwithin = '5m'\n";
    expect![[r"
        Some(83..93) expected 1 field, one for each of the rule's `group_by` (`user.name`), found 2
        Some(117..120) two parts have the name `a`
        Some(129..130) expected a number of at least 1, found `0`
        Some(149..159) expected one field, found a pattern
        Some(131..132) unknown key `n` in `[[temporal.of]]`"]]
    .assert_eq(&wrong(&format!(
        "{head}[[temporal.of]]\nname = 'a'\nwhen = 'user.id: *'\ngroup_by = ['a', 'b']\n[[temporal.of]]\nname = 'a'\ncount = 0\nn = 1\ngroup_by = ['labels.*']"
    )));
    expect!["Some(50..51) expected `at_least` of at most the number of parts (2), found `3`"]
        .assert_eq(&wrong(&format!("{head}of = [{{}}, {{}}]\nat_least = 3")));
    let parts = |n: usize, count: usize| {
        format!("{head}of = [{}]", format!("{{ count = {count} }}, ").repeat(n))
    };
    assert!(wrong(&parts(PARTS_MAX + 1, 1)).ends_with("expected from 1 to 64 parts, found 65"));
    assert!(bench::read(&SPEC, &parts(PARTS_MAX, 1)).0.is_some());
    assert!(wrong(&parts(2, COUNT_MAX / 2 + 1)).ends_with("100000 in all parts together"));
    assert!(bench::read(&SPEC, &parts(2, COUNT_MAX / 2)).0.is_some());
}

#[test]
fn a_part_needs_a_condition_of_its_own_where_the_rule_has_none() {
    let around = Around { when: false, group_by: Vec::new(), ..Around::default() };
    let (detector, found) = bench::read_in(
        &SPEC,
        &around,
        "[temporal]\nwithin = '5m'\nof = [{ name = 'a' }, { when = 'user.id: 1', group_by = ['user.id'] }]",
    );
    assert!(detector.is_none());
    expect![[r"
        Some(31..45) expected a `when`, for the rule has none that holds for every part
        Some(81..92) expected no `group_by`, for the rule itself has none"]]
    .assert_eq(&found.join("\n"));
}

#[test]
fn broken_memory_is_refused() {
    let detector = detector(&[1, 1], "100ms", None);
    let mut state = detector.fresh(START);
    for n in 0..6 {
        bench::observe(&mut *state, &occurrence(n, n, if n == 3 { "ab" } else { "a" }));
    }
    let bytes = bench::written_or_refused(&*detector, &*state);
    // Of a rule with fewer parts, or with smaller ones.
    assert!(self::detector(&[1], "100ms", None).restore(&bytes).is_err());
}

/// The events of the law by (time, offset), with the parts they meet.
type All = BTreeMap<(i64, i64), u8>;

/// Which events fire, by looking at all of them for each: (time, offset) → (parts met, events).
fn recount(
    all: &All,
    counts: &[usize],
    within: i64,
    at_least: usize,
) -> BTreeMap<(i64, i64), (u64, u64)> {
    let mut fired = BTreeMap::new();
    for place in all.keys() {
        let window: Vec<u8> = all
            .range(..=place)
            .filter(|((time, _), _)| place.0 - time <= within)
            .map(|(_, parts)| *parts)
            .collect();
        let meets = |n: usize| window.iter().filter(|parts| *parts >> n & 1 == 1).count();
        let met = counts.iter().enumerate().filter(|(n, count)| meets(*n) >= **count).count();
        if met >= at_least {
            fired.insert(*place, (met as u64, window.len() as u64));
        }
    }
    fired
}

fn place(firing: &Firing) -> (i64, i64) {
    (firing.time.as_millis(), firing.position.as_ref().unwrap().offset)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What is told was true when it fired; which events fire does not depend on the order.
    #[test]
    fn any_order_of_arrival_fires_what_the_sorted_order_fires(
        events in prop::collection::vec((0..60i64, 0..4i64, 1..8u8), 0..12),
        counts in prop::collection::vec(prop::sample::select(vec![1_usize, 3, 4]), 3),
        at_least in 1..4usize,
        within in 1..60i64,
        restore_at in 0..12usize,
    ) {
        // At most 12 events, and 4 × 3 or more are kept of each part: nothing is cut.
        let detector = detector(&counts, &format!("{within}ms"), Some(at_least));
        let mut state: Box<dyn KeyState> = detector.fresh(START);
        let mut all = All::new();
        let mut fired: BTreeSet<(i64, i64)> = BTreeSet::new();
        for (n, (time, offset, parts)) in events.iter().enumerate() {
            if n == restore_at {
                state = bench::again(&*detector, &*state);
            }
            // The same record again is the same event.
            let parts = *all.entry((*time, *offset)).or_insert(*parts);
            let event = Occurrence {
                parts: Parts(parts.into()),
                ..bench::occurrence(*time, *offset, Vec::new())
            };
            let so_far = recount(&all, &counts, within, at_least);
            for firing in bench::observe(&mut *state, &event).firings() {
                let told = (firing.value.as_u64().unwrap(), firing.count);
                prop_assert_eq!(so_far.get(&place(firing)), Some(&told));
                prop_assert!(!firing.approximate);
                prop_assert!(fired.insert(place(firing)), "each once");
            }
            prop_assert!(fired.iter().eq(so_far.keys()), "{:?} {:?}", fired, so_far);
        }
    }

    /// Whatever was cut: in the order of the source the newest of each part decide as all would, and
    /// what is a lower bound says so.
    #[test]
    fn in_order_the_newest_of_each_part_decide_as_all_would(
        gaps in prop::collection::vec((0..30i64, 1..8u8), 0..60),
        counts in prop::collection::vec(1..4usize, 3),
        at_least in 1..4usize,
        within in 1..100i64,
    ) {
        let detector = detector(&counts, &format!("{within}ms"), Some(at_least));
        let mut state: Box<dyn KeyState> = detector.fresh(START);
        let (mut all, mut time) = (All::new(), 0);
        for (offset, (gap, parts)) in (0..).zip(&gaps) {
            time += gap;
            all.insert((time, offset), *parts);
            let event = Occurrence {
                parts: Parts((*parts).into()),
                ..bench::occurrence(time, offset, Vec::new())
            };
            let said = bench::observe(&mut *state, &event);
            let expected = recount(&all, &counts, within, at_least).remove(&(time, offset));
            let fired: Vec<_> = said.firings().collect();
            prop_assert_eq!(fired.len(), usize::from(expected.is_some()));
            if let (Some(firing), Some((met, count))) = (fired.first(), expected) {
                prop_assert_eq!((place(firing), firing.value.as_u64()), ((time, offset), Some(met)));
                prop_assert!(firing.count == count || firing.approximate && firing.count < count);
            }
        }
    }
}

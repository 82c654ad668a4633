//! Every boundary of `[new_value]`, and its law: any order of arrival fires what a recount of all events
//! fires.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect;
use proptest::prelude::*;

use super::{SPEC, TUPLES_PER_EVENT};
use crate::base::Timestamp;
use crate::detectors::bench::{self, at};
use crate::detectors::{
    Decides, Detector, EVENTS_MAX, KeyState, Occurrence, Parts, RuleStart, Verdicts,
};
use crate::event::{Number, Scalar};

/// The rule starts at 0.
const START: RuleStart = RuleStart { at: Timestamp::from_millis(0), warm: false };

const ALONE: &str = "fields = ['source.ip']";
const TAUGHT: &str = "fields = ['source.ip'], learn_when = 'event.action: login', settle = '100ms'";

fn detector(settings: &str) -> Box<dyn Detector> {
    bench::detector(&SPEC, &format!("new_value = {{ {settings} }}"))
}

fn texts(words: &str) -> Vec<Scalar> {
    words.split_whitespace().map(Scalar::from).collect()
}

/// An event that meets `when`, one (`~`) that meets `learn_when`, one (`&`) that meets both; behind
/// it stand its values.
fn occurrence(time: i64, offset: i64, text: &str) -> Occurrence {
    let (parts, words) = match text.split_at_checked(1) {
        Some(("~", words)) => (0b10, words),
        Some(("&", words)) => (0b11, words),
        _ => (0b01, text),
    };
    Occurrence { parts: Parts(parts), ..bench::occurrence(time, offset, vec![texts(words)]) }
}

/// `time(new value)` of each firing.
fn told(said: &Verdicts) -> String {
    let each = said.firings().map(|f| {
        assert_eq!((f.count, f.first, &f.previous), (1, f.time, &None));
        assert!(f.tuple.is_some());
        let approximate = if f.approximate { "≈" } else { "" };
        format!("{}({approximate}{})", f.time.as_millis(), f.value).replace('"', "")
    });
    each.collect::<Vec<_>>().join(" ")
}

/// Arrivals are (time in ms, event), the offset counts up; then the clock passes them all.
fn check(settings: &str, arrivals: &[(i64, &str)], expected: &str) {
    let detector = detector(settings);
    let mut state = detector.fresh(START);
    let mut said = Verdicts::new();
    for (offset, (time, text)) in (0..).zip(arrivals) {
        state = bench::again(&*detector, &*state);
        state.observe(&occurrence(*time, offset, text), &mut said);
    }
    assert_eq!(told(&said), "", "nothing is decided before the clock has passed it");
    state.advance(at(1_000_000), &mut said);
    assert_eq!(told(&said), expected, "{settings} {arrivals:?}");
}

#[test]
fn a_value_fires_once() {
    check(ALONE, &[(0, "a"), (1, "a"), (2, "b"), (3, "a"), (900_000, "b")], "0(a) 2(b)");
}

#[test]
fn while_it_learns_it_is_silent_and_takes_all_for_known() {
    let learn = &format!("{ALONE}, learn = '100ms'");
    check(learn, &[(0, "a"), (99, "b"), (100, "c"), (101, "a"), (102, "b")], "100(c)");
    // From before the start on.
    check(learn, &[(-50, "a"), (100, "a")], "");
    let taught = &format!("{TAUGHT}, learn = '100ms'");
    check(taught, &[(99, "~a"), (100, "~b"), (101, "a"), (102, "b")], "102(b)");
}

#[test]
fn learning_counts_from_the_keys_first_event_if_the_rule_says_so() {
    let learn = &format!("{ALONE}, learn = '100ms', learn_per_key = true");
    check(learn, &[(500, "a"), (599, "b"), (600, "c"), (601, "a"), (602, "b")], "600(c)");
    // The first in time, whatever the order of arrival; one that takes no part is none.
    check(learn, &[(590, "a"), (490, "a"), (400, ""), (590, "b")], "590(b)");
    check(&format!("{ALONE}, learn_per_key = true"), &[(500, "a")], "500(a)");
    let taught = &format!("{TAUGHT}, learn = '10ms', learn_per_key = true");
    check(taught, &[(500, "~x"), (509, "a"), (510, "b"), (511, "a")], "510(b)");
}

#[test]
fn a_lesson_holds_once_it_is_older_than_settle() {
    check(TAUGHT, &[(0, "~a"), (100, "a")], "100(a)");
    check(TAUGHT, &[(0, "~a"), (101, "a")], "");
    // It counts from the first sight.
    check(TAUGHT, &[(0, "~a"), (99, "~a"), (101, "a")], "");
    // And what fired is known without one.
    check(
        TAUGHT,
        &[(0, "~a"), (50, "a"), (60, "a"), (70, "~b"), (80, "b"), (81, "b")],
        "50(a) 80(b)",
    );
    check(&TAUGHT.replace("100ms", "0s"), &[(0, "~a"), (0, "a"), (0, "~b"), (1, "b")], "0(a)");
}

#[test]
fn an_event_teaches_nothing_about_itself() {
    check(TAUGHT, &[(0, "&a"), (1, "&a"), (2, "a")], "0(a)");
    check(&format!("{TAUGHT}, learn = '50ms'"), &[(49, "&a"), (50, "&b"), (51, "a")], "50(b)");
}

#[test]
fn without_a_lesson_of_its_own_a_day_is_the_time_to_settle() {
    let taught = "fields = ['source.ip'], learn_when = 'event.action: login'";
    let day = 86_400_000;
    let fires = |time: i64| {
        let mut state = detector(taught).fresh(START);
        bench::observe(&mut *state, &occurrence(0, 0, "~a"));
        bench::observe(&mut *state, &occurrence(time, 1, "a"));
        told(&bench::advance(&mut *state, time + 1))
    };
    assert_eq!((fires(day), fires(day + 1)), (format!("{day}(a)"), String::new()));
}

#[test]
fn a_value_that_is_forgotten_is_as_if_never_seen() {
    let forget = &format!("{ALONE}, forget = '100ms'");
    check(forget, &[(0, "a"), (100, "a"), (200, "a"), (301, "a"), (302, "a")], "0(a) 301(a)");
    // A lesson refreshes what is known, and settles anew once it was forgotten.
    let taught = &format!("{TAUGHT}, forget = '200ms'");
    check(taught, &[(0, "a"), (200, "~a"), (400, "a")], "0(a)");
    check(taught, &[(0, "~a"), (200, "~a"), (400, "a")], "");
    check(taught, &[(0, "~a"), (201, "~a"), (301, "a")], "301(a)");
    check(taught, &[(0, "~a"), (201, "~a"), (302, "a")], "");
    // What was learnt, too.
    check(&format!("{forget}, learn = '50ms'"), &[(49, "a"), (149, "a"), (250, "a")], "250(a)");
}

#[test]
fn an_event_without_the_value_takes_no_part() {
    check(ALONE, &[(0, ""), (1, "a"), (2, "")], "1(a)");
}

#[test]
fn every_element_of_an_array_is_a_value() {
    check(ALONE, &[(0, "b a b"), (1, "c a")], "0(b) 0(a) 1(c)");
}

#[test]
fn values_are_told_apart_as_keys_are() {
    let person = "fields = ['user.target.name']";
    check(person, &[(0, "Eve"), (1, "eve"), (2, "EVE")], "0(Eve)");
    check(ALONE, &[(0, "Eve"), (1, "eve")], "0(Eve) 1(eve)");
    let mut state = detector(ALONE).fresh(START);
    let values = [Scalar::Number(Number::Int(3)), Scalar::Number(Number::Float(3.0)), "3".into()];
    for (offset, value) in (0..).zip(values) {
        bench::observe(&mut *state, &bench::occurrence(offset, offset, vec![vec![value]]));
    }
    assert_eq!(told(&bench::advance(&mut *state, 10)), "0(3)");
}

#[test]
fn several_fields_are_tuples_and_one_with_a_missing_part_is_none() {
    let mut state = detector("fields = ['source.ip', 'user.id']").fresh(START);
    for (offset, (one, other)) in
        (0..).zip([("x", "yz"), ("x", ""), ("", "yz"), ("xy", "z"), ("x", "yz"), ("p x", "yz z")])
    {
        let event = bench::occurrence(offset, offset, vec![texts(one), texts(other)]);
        bench::observe(&mut *state, &event);
    }
    let said = bench::advance(&mut *state, 10);
    assert_eq!(told(&said), "0([x,yz]) 3([xy,z]) 5([p,yz]) 5([p,z]) 5([x,z])");
}

#[test]
fn the_tuples_of_an_event_are_those_that_firings_name() {
    let detector = detector(ALONE);
    assert!(detector.is_about_tuples());
    let event = occurrence(0, 0, "b a b");
    let tuples = detector.tuples(&event);
    let mut state = detector.fresh(START);
    bench::observe(&mut *state, &event);
    let said = bench::advance(&mut *state, 1);
    let fired: Vec<_> = said.firings().map(|f| f.tuple.clone().unwrap()).collect();
    assert_eq!(tuples, fired);
    assert_eq!(tuples.len(), 2);
    assert_eq!(detector.tuples(&occurrence(0, 0, "")), []);
}

#[test]
fn ties_keep_the_order_of_the_source_and_order_of_arrival_does_not_matter() {
    let mut state = detector(TAUGHT).fresh(START);
    bench::observe(&mut *state, &occurrence(5, 1, "a"));
    bench::observe(&mut *state, &occurrence(5, 0, "a"));
    bench::observe(&mut *state, &occurrence(5, 0, "a"));
    let said = bench::advance(&mut *state, 6);
    let offsets: Vec<_> = said.firings().map(|f| f.position.as_ref().unwrap().offset).collect();
    assert_eq!(offsets, [0]);
    check(TAUGHT, &[(101, "a"), (0, "~a")], "");
    check(ALONE, &[(9, "a"), (1, "a"), (5, "b")], "1(a) 5(b)");
}

#[test]
fn an_event_is_decided_when_the_clock_has_passed_it() {
    let mut state = detector(ALONE).fresh(START);
    assert_eq!(state.wake_at(), None);
    bench::observe(&mut *state, &occurrence(10, 1, "b"));
    bench::observe(&mut *state, &occurrence(5, 0, "a"));
    assert_eq!(state.wake_at(), Some(at(6)));
    assert_eq!(told(&bench::advance(&mut *state, 10)), "5(a)");
    assert_eq!(state.wake_at(), Some(at(11)));
    assert_eq!(told(&bench::advance(&mut *state, 11)), "10(b)");
    assert_eq!(state.wake_at(), None);
    // Delivered once more, after it was judged.
    bench::observe(&mut *state, &occurrence(10, 1, "c"));
    assert_eq!(told(&bench::advance(&mut *state, 99)), "");
}

#[test]
fn it_lasts_as_long_as_it_can_matter_and_names_the_events_that_it_needs() {
    let lasts = |settings: &str| {
        let mut state = detector(settings).fresh(START);
        assert_eq!((state.expires_at(), state.depends_on()), (Timestamp::MIN, None));
        for (offset, time) in [(0, 1_000), (1, 1_050)] {
            bench::observe(&mut *state, &occurrence(time, offset, "a"));
            bench::advance(&mut *state, time + 1);
        }
        bench::observe(&mut *state, &occurrence(1_100, 2, "b"));
        assert_eq!(state.depends_on(), Some((at(1_000), at(1_100))));
        bench::advance(&mut *state, 1_101);
        assert_eq!(state.depends_on(), Some((at(1_000), at(1_100))));
        state.expires_at()
    };
    assert_eq!(lasts(ALONE), Timestamp::MAX);
    assert_eq!(lasts(&format!("{ALONE}, forget = '200ms'")), at(1_301));
    let per_key = format!("{ALONE}, forget = '200ms', learn = '10ms', learn_per_key = true");
    assert_eq!(lasts(&per_key), Timestamp::MAX, "its first event decides all later ones");
}

#[test]
fn more_than_can_wait_is_judged_early_and_says_so() {
    let mut state = detector(ALONE).fresh(START);
    let count = i64::try_from(EVENTS_MAX).unwrap();
    for n in 0..count {
        let said = bench::observe(&mut *state, &occurrence(n, n, "a"));
        assert!(said.is_empty());
    }
    let said = bench::observe(&mut *state, &occurrence(count, count, "b"));
    assert_eq!(told(&said), "0(≈a)");
    // What is older than one that was judged is not judged any more.
    bench::observe(&mut *state, &occurrence(-1, 0, "c"));
    assert_eq!(told(&bench::advance(&mut *state, count + 1)), format!("{count}(b)"));
}

#[test]
fn the_tuples_of_one_event_and_of_those_that_wait_are_bounded() {
    let mut state = detector(ALONE).fresh(START);
    let many =
        |from: u64, count: usize| vec![(from..from + count as u64).map(Scalar::from).collect()];
    bench::observe(&mut *state, &bench::occurrence(0, 0, many(0, TUPLES_PER_EVENT)));
    let said = bench::advance(&mut *state, 1);
    assert_eq!(said.firings().filter(|f| !f.approximate).count(), TUPLES_PER_EVENT);
    bench::observe(&mut *state, &bench::occurrence(1, 1, many(5_000, TUPLES_PER_EVENT + 1)));
    let said = bench::advance(&mut *state, 2);
    assert_eq!(said.firings().filter(|f| f.approximate).count(), TUPLES_PER_EVENT);
    for n in 2..12 {
        let event = bench::occurrence(n, n, many(0, TUPLES_PER_EVENT));
        assert!(bench::observe(&mut *state, &event).is_empty());
    }
    assert_eq!(state.wake_at(), Some(at(3)));
    bench::observe(&mut *state, &occurrence(12, 12, "0"));
    assert_eq!(state.wake_at(), Some(at(4)), "the oldest was judged early");
}

#[test]
fn what_waits_and_what_is_known_is_read_back_and_broken_memory_is_refused() {
    let detector = detector(&format!("{TAUGHT}, learn = '5ms', learn_per_key = true"));
    let mut state = detector.fresh(START);
    for (offset, (time, text)) in (0..).zip([(1, "a"), (9, "~b"), (20, "b c"), (30, "~d")]) {
        bench::observe(&mut *state, &occurrence(time, offset, text));
        bench::advance(&mut *state, 15);
    }
    let bytes = bench::written_or_refused(&*detector, &*state);
    let mut back = detector.restore(&bytes).unwrap();
    assert_eq!(back.depends_on(), state.depends_on());
    assert_eq!(bench::advance(&mut *back, 99), bench::advance(&mut *state, 99));
}

#[test]
fn settings_are_checked_at_their_place() {
    let whole = "[new_value]\nfields = ['source.ip', 'user.id']\nlearn = '14d'\nlearn_per_key = true\nlearn_when = 'event.action: login'\nsettle = '0s'\nforget = '90d'\n";
    let (detector, found) = bench::read(&SPEC, whole);
    assert_eq!(found, Vec::<String>::new());
    let detector = detector.unwrap();
    assert_eq!(
        detector.canonical(),
        "fields=source.ip,user.id learn=14d per_key=true learn_when=Some(\"event.action: login\") settle=0s forget=90d"
    );
    assert_eq!((detector.within(), detector.decides()), (None, Decides::OnTheClock));
    let parts = detector.parts();
    assert!(parts[0].with_rule && parts[0].when.is_none() && !parts[1].with_rule);
    assert_eq!((parts.len(), detector.counted()), (2, Parts::FIRST));

    let (detector, found) = bench::read(&SPEC, "new_value = { fields = ['source.ip'] }");
    assert_eq!(found, Vec::<String>::new());
    let detector = detector.unwrap();
    assert_eq!(
        detector.canonical(),
        "fields=source.ip learn=0s per_key=false learn_when=None settle=1d forget=-"
    );
    assert_eq!(detector.parts().len(), 1);

    let wrong = |text: &str| {
        let (detector, found) = bench::read(&SPEC, text);
        assert!(detector.is_none());
        found.join("\n")
    };
    expect!["Some(0..11) missing key `fields` in `[new_value]`"].assert_eq(&wrong("[new_value]\n"));
    expect![[r#"
        Some(22..32) expected one field, found a pattern
        Some(42..43) expected a duration with a unit, found `5`; write "5s" for seconds or "5m" for minutes
        Some(60..65) `learn_per_key`: expected true or false, found a string
        Some(82..83) expected a comparison, found `=`
        Some(96..100) expected a duration such as `90s`, `10m`, `1h30m` or `7d`, found `1x`
        Some(110..114) expected a duration above zero, found `0s`
        Some(115..121) unknown key `forgot` in `[new_value]`"#]].assert_eq(&wrong(
        "[new_value]\nfields = ['labels.*']\nlearn = 5\nlearn_per_key = 'yes'\nlearn_when = 'a = b'\nsettle = '1x'\nforget = '0s'\nforgot = 1\n",
    ));
}

#[test]
fn a_lesson_of_everything_is_a_warning() {
    let warned = |when: &str| {
        let text = format!("new_value = {{ fields = ['source.ip'], learn_when = '{when}' }}");
        let (detector, found) = bench::read(&SPEC, &text);
        assert!(detector.is_some());
        found.join("\n")
    };
    expect!["Some(51..65) this sends nearly all traffic through the detector"]
        .assert_eq(&warned("source.ip: *"));
    assert_ne!(warned("source.ip: * and (user.name: * or user.id: *)"), "");
    assert_eq!(warned("source.ip: * and event.category: authentication"), "");
    assert_eq!(warned("not source.ip: *"), "");
}

/// An event of the law: whether it meets `when` and `learn_when`, and its values.
type Told = (u8, BTreeSet<u64>);

/// The settings of the law, in ms.
#[derive(Debug, Clone, Copy)]
struct Law {
    learn: i64,
    per_key: bool,
    settle: i64,
    forget: Option<i64>,
}

/// What fires when all these events are looked at for each, word by word as the page says it.
fn recount(law: Law, events: &BTreeMap<(i64, i64), Told>) -> Vec<(i64, i64, u64)> {
    let taking: Vec<_> = events.iter().filter(|(_, (_, values))| !values.is_empty()).collect();
    let first = taking.first().map_or(0, |((time, _), _)| *time);
    let start = if law.per_key { first } else { 0 };
    // Who learns nothing is never silent, not even about what was before the start.
    let learning = |time: i64| law.learn > 0 && time - start < law.learn;
    let mut fired: Vec<(i64, i64, u64)> = Vec::new();
    for (n, ((time, offset), (parts, values))) in taking.iter().enumerate() {
        for value in values {
            let sights: Vec<_> =
                taking[..n].iter().filter(|(_, (_, values))| values.contains(value)).collect();
            // From the last gap that it was forgotten in.
            let mut from = 0;
            for (n, pair) in sights.windows(2).enumerate() {
                if law.forget.is_some_and(|forget| pair[1].0.0 - pair[0].0.0 > forget) {
                    from = n + 1;
                }
            }
            let last = sights.last().map(|sight| sight.0.0);
            let gone = last.is_none_or(|last| law.forget.is_some_and(|f| time - last > f));
            let sights = if gone { &[][..] } else { &sights[from..] };
            let known = sights.iter().any(|((at, of), (parts, _))| {
                let met = parts & 0b01 != 0;
                let taught = parts & 0b10 != 0;
                fired.contains(&(*at, *of, *value))
                    || met && learning(*at)
                    || taught && (learning(*at) || time - sights[0].0.0 > law.settle)
            });
            if parts & 0b01 != 0 && !learning(*time) && !known {
                fired.push((*time, *offset, *value));
            }
        }
    }
    fired
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the order of arrival and however the clock moves in between: what fires is what the
    /// events that were not late fire in the order of their source.
    #[test]
    fn any_order_of_arrival_fires_what_the_sorted_order_fires(
        arrivals in prop::collection::vec(
            (-10..120i64, 0..4i64, 1..4u8, prop::collection::btree_set(0..4u64, 0..3), 0..150i64),
            0..24),
        learn in 0..40i64,
        per_key: bool,
        settle in 0..40i64,
        forget in prop::option::of(1..60i64),
        restore_at in 0..24usize,
    ) {
        let law = Law { learn, per_key, settle, forget };
        let forget = forget.map_or_else(String::new, |forget| format!(", forget = '{forget}ms'"));
        let detector = detector(&format!(
            "fields = ['user.id'], learn = '{learn}ms', learn_per_key = {per_key}, learn_when = 'user.id: 1', settle = '{settle}ms'{forget}"
        ));
        let mut state: Box<dyn KeyState> = detector.fresh(START);
        let mut clock = i64::MIN;
        let mut events: BTreeMap<(i64, i64), Told> = BTreeMap::new();
        let mut fired = Vec::new();
        for (n, (time, offset, parts, values, tick)) in arrivals.iter().enumerate() {
            if n == restore_at {
                state = bench::again(&*detector, &*state);
            }
            if *time >= clock {
                // The same record again is the same event.
                let (parts, values) =
                    events.entry((*time, *offset)).or_insert((*parts, values.clone())).clone();
                let values = values.iter().map(|v| Scalar::from(*v)).collect();
                let event = Occurrence {
                    parts: Parts(parts.into()),
                    ..bench::occurrence(*time, *offset, vec![values])
                };
                prop_assert!(bench::observe(&mut *state, &event).is_empty());
            }
            if tick % 3 == 0 {
                clock = clock.max(*tick);
                fired.extend(bench::advance(&mut *state, clock).firings().cloned());
                prop_assert!(state.wake_at().is_none_or(|wake| wake > at(clock)));
            }
            let passed = events.iter().filter(|((time, _), _)| *time < clock);
            let passed = passed.map(|(place, told)| (*place, told.clone())).collect();
            let facts: Vec<_> = fired.iter().map(|f| {
                assert!(!f.approximate);
                let offset = f.position.as_ref().unwrap().offset;
                (f.time.as_millis(), offset, f.value.as_u64().unwrap())
            }).collect();
            prop_assert_eq!(facts, recount(law, &passed));
        }
    }

    /// What a memory says it depends on is enough to make one that goes on alike.
    #[test]
    fn the_events_that_it_names_make_the_same_memory_again(
        events in prop::collection::vec((0..12i64, 1..4u8, 0..6u64), 1..60),
        per_key: bool,
        settle in 0..40i64,
        forget in 1..40i64,
    ) {
        let detector = detector(&format!(
            "fields = ['user.id'], learn = '9ms', learn_per_key = {per_key}, learn_when = 'user.id: 1', settle = '{settle}ms', forget = '{forget}ms'"
        ));
        let mut time = 0;
        let sorted: Vec<_> = (0..).zip(&events).map(|(offset, (gap, parts, value))| {
            time += gap;
            let event = bench::occurrence(time, offset, vec![vec![Scalar::from(*value)]]);
            Occurrence { parts: Parts((*parts).into()), ..event }
        }).collect();
        let half = sorted.len() / 2;
        let mut state = detector.fresh(START);
        for event in &sorted[..half] {
            bench::observe(&mut *state, event);
            bench::advance(&mut *state, event.time.as_millis());
        }
        let oldest = state.depends_on().map_or(Timestamp::MAX, |(oldest, _)| oldest);
        let mut again = detector.fresh(START);
        for event in sorted[..half].iter().filter(|event| event.time >= oldest) {
            bench::observe(&mut *again, event);
            bench::advance(&mut *again, event.time.as_millis());
        }
        for event in &sorted[half..] {
            bench::observe(&mut *state, event);
            bench::observe(&mut *again, event);
            let clock = event.time.as_millis();
            prop_assert_eq!(bench::advance(&mut *state, clock), bench::advance(&mut *again, clock));
        }
        prop_assert_eq!(bench::advance(&mut *state, 9_999), bench::advance(&mut *again, 9_999));
    }
}

//! Every boundary of `[absence]`, and its law: the clock fires, and alerts end, at the very moments that
//! looking at every moment finds.

use std::collections::BTreeSet;

use expect_test::expect;
use proptest::prelude::*;

use super::absence::SPEC;
use super::bench::{self, Around, advance, again, at, detector, field, observe, occurrence};
use super::{Detector, EVENTS_MAX, KeyState, RuleStart, Verdict, Verdicts};
use crate::base::Timestamp;
use crate::event::{Number, Scalar};
use crate::query::{List, Schedule};

fn start(millis: i64) -> RuleStart {
    RuleStart { at: at(millis), warm: false }
}

fn told(said: &Verdicts) -> Vec<String> {
    let one = |verdict: &Verdict| match verdict {
        Verdict::Ended(time) => format!("ended {}", time.as_millis()),
        Verdict::Fired(firing) => {
            assert_eq!((firing.count, &firing.position), (0, &None));
            let first = firing.first.as_millis();
            let first =
                if firing.first == firing.time { String::new() } else { format!(" from {first}") };
            let approximate = if firing.approximate { "≈" } else { "" };
            format!("{}({approximate}{}{first})", firing.time.as_millis(), firing.value)
        }
    };
    said.iter().map(one).collect()
}

/// Runs words: `e5` an event at 5 ms, `c9` the clock at 9 ms, `x` the alert is closed for its age, `r9` the
/// key is not expected any more from 9 ms on, `w9` it is again.
/// The memory is written and read back after each.
fn run(detector: &dyn Detector, mut state: Box<dyn KeyState>, script: &str) -> String {
    let mut all = Vec::new();
    for (offset, word) in (0..).zip(script.split_whitespace()) {
        let (what, number) = word.split_at(1);
        let number = || number.parse::<i64>().unwrap();
        match what {
            "e" => all.extend(told(&observe(&mut *state, &occurrence(number(), offset, vec![])))),
            "c" => all.extend(told(&advance(&mut *state, number()))),
            "r" => {
                let mut said = Verdicts::new();
                state.release(at(number()), &mut said);
                all.extend(told(&said));
            }
            "w" => state.expect(at(number())),
            _ => state.closed(),
        }
        state = again(detector, &*state);
    }
    all.join(" ")
}

/// A key seen by its events.
fn check(settings: &str, script: &str, expected: &str) {
    let detector = detector(&SPEC, &format!("absence = {{ {settings} }}"));
    assert_eq!(run(&*detector, detector.fresh(start(0)), script), expected, "{script}");
}

/// A key that is expected since 0.
fn check_expected(settings: &str, script: &str, expected: &str) {
    let text = format!("absence = {{ {settings}, expect = ['eve'] }}");
    let detector = detector(&SPEC, &text);
    let mut state = detector.fresh(start(0));
    state.expect(at(0));
    assert_eq!(run(&*detector, state, script), expected, "{script}");
}

const ONE: &str = "within = '100ms'";
const TWO: &str = "within = '100ms', fewer_than = 2";

#[test]
fn a_key_is_watched_from_its_first_event_and_silent_when_the_clock_is_past_the_deadline() {
    check(ONE, "c1000", "");
    check(ONE, "e50 c150", "");
    check(ONE, "e50 c151", "150(0)");
    check(ONE, "e50 e60 c160 c161", "160(0)");
    // The one that arrives last is the first.
    check(ONE, "e60 e50 c161", "160(0)");
    check(TWO, "e60 e50 c151", "150(1 from 60)");
}

#[test]
fn the_window_begins_behind_its_start_and_ends_with_the_moment_itself() {
    check(ONE, "e0 e100 c101", "");
    check(ONE, "e0 e101 c101 c200", "100(0) ended 101");
    check(ONE, "e0 e100 c200 c201", "200(0)");
}

#[test]
fn it_fires_once_and_again_only_after_it_was_satisfied() {
    check(ONE, "e0 c101 c5000", "100(0)");
    check(ONE, "e0 c101 e300 c300 c301 c5000", "100(0) ended 300 400(0)");
    check(ONE, "e0 c1000 e1000 c1001 c1100 c1101", "100(0) ended 1000 1100(0)");
}

#[test]
fn fewer_than_counts_the_events_of_the_window() {
    check(TWO, "e0 e10 c101", "100(1 from 10)");
    check(TWO, "e0 e10 e100 c101 c110 c111", "110(1 from 100)");
    // One more is not enough, two are when they stand in one window.
    check(TWO, "e0 c101 e200 e300 e399 c1000", "100(0) ended 399 400(1 from 399)");
    check(TWO, "e0 c101 e200 e299 c1000", "100(0) ended 299 300(1 from 299)");
    check(TWO, "e0 e50 e50 c1000", "150(0)");
}

#[test]
fn an_expected_key_is_watched_from_the_rules_start() {
    check_expected(ONE, "c100", "");
    check_expected(ONE, "c101 c5000", "100(0)");
    check_expected(ONE, "e20 c120 c121", "120(0)");
    // Before the start it counts, too.
    check_expected(ONE, "e0 c101", "100(0)");
    check_expected(ONE, "e1 c101 c102", "101(0)");
    check_expected(TWO, "e20 c101 e130 e150 c151", "100(1 from 20) ended 150");
}

#[test]
fn keys_that_are_not_expected_are_left_alone_where_others_are() {
    let detector = detector(&SPEC, "absence = { within = '100ms', expect = ['eve'] }");
    let mut state = detector.fresh(start(0));
    assert_eq!(observe(&mut *state, &occurrence(50, 1, vec![])), Verdicts::new());
    assert_eq!((state.wake_at(), state.expires_at()), (None, at(51)));
    let state = again(&*detector, &*state);
    assert_eq!(run(&*detector, state, "c1000"), "");
}

#[test]
fn of_a_key_that_is_not_expected_any_more_nothing_is_told_but_what_an_event_ended_before() {
    check_expected(ONE, "c101 r150 c1000", "100(0)");
    check_expected(ONE, "c50 r90 c1000", "");
    // The clock has not passed 100, or not 140.
    check_expected(ONE, "c50 r160 c1000", "");
    check_expected(ONE, "c101 e140 r150 c1000", "100(0) ended 140");
    check_expected(ONE, "c101 e160 r150 c1000", "100(0)");
    check_expected(ONE, "e20 r40 e50 c1000", "");
}

#[test]
fn expected_again_it_is_watched_from_then_on() {
    check_expected(ONE, "c101 r150 w200 c300 c301", "100(0) 300(0)");
    check_expected(ONE, "r10 w20 e90 c120 c190 c191", "190(0)");
    // What came while it was not expected counts where a window reaches it.
    check_expected(ONE, "r10 e30 w20 c121 c130 c131", "130(0)");
    check_expected(ONE, "r10 e15 w20 c120 c121", "120(0)");
    check_expected(TWO, "r10 e30 e40 e50 w20 c140 c141", "140(1 from 50)");
    check_expected(TWO, "e5 e30 e40 r45 e50 w46 c146 c150 c151", "146(1 from 50)");
}

#[test]
fn of_a_key_that_is_not_expected_no_more_is_kept_than_makes_enough() {
    let detector = detector(&SPEC, "absence = { within = '1h', fewer_than = 3, expect = ['eve'] }");
    let mut state = detector.fresh(start(0));
    for n in 0..100 {
        observe(&mut *state, &occurrence(n, n, vec![]));
    }
    assert_eq!(state.depends_on(), Some((at(97), at(99))));
    assert_eq!(state.expires_at(), at(100));
}

#[test]
fn the_one_key_of_a_rule_without_group_by_is_expected() {
    let around = Around { group_by: Vec::new(), ..Around::default() };
    let (detector, found) = bench::read_in(&SPEC, &around, "absence = { within = '100ms' }");
    assert_eq!(found, Vec::<String>::new());
    let detector = detector.unwrap();
    assert_eq!(detector.expected(&around.sets), [Vec::<Scalar>::new()]);
    assert_eq!(run(&*detector, detector.fresh(start(7)), "c107 c108"), "107(0)");
    assert_eq!(
        run(&*detector, detector.fresh(start(7)), "c108 x c5000 e5000 c5101"),
        "107(0) ended 5000 5100(0)"
    );
}

#[test]
fn closed_for_its_age_a_key_is_forgotten_until_its_next_event() {
    check(ONE, "e0 c101 x c5000 e5000 c5100 c5101", "100(0) 5100(0)");
    // What waits to be decided is that event.
    check(ONE, "e0 c101 e150 x c250 c251", "100(0) 250(0)");
    // Satisfied before it was closed: nothing is forgotten.
    check(ONE, "e0 c101 e150 c151 x c251", "100(0) ended 150 250(0)");
    let detector = detector(&SPEC, "absence = { within = '100ms' }");
    let mut state = detector.fresh(start(0));
    observe(&mut *state, &occurrence(0, 0, vec![]));
    assert_eq!((state.expires_at(), state.wake_at()), (Timestamp::MAX, Some(at(101))));
    assert_eq!(state.depends_on(), Some((at(0), at(0))));
    advance(&mut *state, 500);
    state.closed();
    assert_eq!((state.wake_at(), state.depends_on()), (None, None));
    assert!(state.expires_at() <= at(500));
    check_expected(ONE, "c101 x c5000 e5000 c5101", "100(0) ended 5000 5100(0)");
}

const DAY: i64 = 24 * 60 * 60 * 1000;
const HOUR: i64 = 60 * 60 * 1000;

/// Open from nine to five, Monday to Friday; times are hours since Thursday, 1970-01-01T00:00Z.
fn check_office(within: &str, script: &str, expected: &str) {
    let office = Schedule::new("UTC").unwrap().on_days(["mon-fri"]).unwrap();
    let office = office.in_hours(["09:00-17:00"]).unwrap();
    let mut around = Around::default();
    around.sets.insert_schedule("office", office);
    let text = format!("absence = {{ within = '{within}', during = '@office' }}");
    let (detector, found) = bench::read_in(&SPEC, &around, &text);
    let detector = detector.unwrap_or_else(|| panic!("{found:?}"));
    let millis: Vec<String> = script
        .split_whitespace()
        .map(|word| match word.split_at_checked(1) {
            Some((what, hours)) if !hours.is_empty() => {
                #[expect(clippy::cast_possible_truncation, reason = "small")]
                let millis = (hours.parse::<f64>().unwrap() * 3_600_000.0) as i64;
                format!("{what}{millis}")
            }
            _ => word.to_owned(),
        })
        .collect();
    let told = run(&*detector, detector.fresh(start(0)), &millis.join(" "));
    let hours = told.split_whitespace().map(|word| match word.split_once('(') {
        Some((time, rest)) => {
            let time = time.parse::<i64>().unwrap();
            format!("day {} {}:{:02}({rest}", time / DAY, time % DAY / HOUR, time % HOUR / 60_000)
        }
        None => word.to_owned(),
    });
    assert_eq!(hours.collect::<Vec<_>>().join(" "), expected, "{script}");
}

#[test]
fn the_whole_window_lies_in_the_schedule() {
    // Silent since midnight, seen at ten, at four in the afternoon, on Friday evening.
    check_office("1h", "e0 c48", "day 0 10:00(0)");
    check_office("1h", "e10 c48", "day 0 11:00(0)");
    check_office("1h", "e16 c24 c48", "day 1 10:00(0)");
    check_office("1h", "e15.75 c48", "day 0 16:45(0)");
    check_office("1h", "e42 c106 c200", "day 4 10:00(0)");
}

#[test]
fn a_weekend_does_not_end_a_silence() {
    check_office("1h", "e10 c300", "day 0 11:00(0)");
    check_office("1h", "e10 c12 e32 c33 c34", "day 0 11:00(0) ended 115200000");
    check_office("1h", "e10 c12 e32 c300", "day 0 11:00(0) ended 115200000 day 1 10:00(0)");
}

#[test]
fn a_busy_key_keeps_few_events_and_gives_the_same_answer() {
    for fewer_than in [1, 3] {
        let text = format!("absence = {{ within = '100ms', fewer_than = {fewer_than} }}");
        let detector = detector(&SPEC, &text);
        let mut state = detector.fresh(start(0));
        for n in 0..50_000 {
            let time = n / 10;
            assert_eq!(observe(&mut *state, &occurrence(time, n, vec![])), Verdicts::new());
        }
        let mut bytes = Vec::new();
        state.encode(&mut bytes);
        assert!(bytes.len() < 20_000, "{} bytes", bytes.len());
        assert_eq!(told(&advance(&mut *state, 6_000)), ["5099(0)"]);
    }
}

#[test]
fn more_than_can_wait_is_decided_early_and_says_so() {
    let detector = detector(&SPEC, "absence = { within = '1ms' }");
    let mut state = detector.fresh(start(0));
    let mut said = Verdicts::new();
    for n in 0..=i64::try_from(EVENTS_MAX).unwrap() {
        assert!(said.is_empty());
        state.observe(&occurrence(n * 2, n, vec![]), &mut said);
    }
    assert_eq!(told(&said)[..3], ["1(≈0)", "ended 2", "3(≈0)"]);
    assert_eq!(told(&advance(&mut *state, 50_000)).last().unwrap(), "20001(0)");
}

#[test]
fn settings_are_checked_at_their_place() {
    let (detector, found) = bench::read(&SPEC, "[absence]\nwithin = '6h'\n");
    assert_eq!(found, Vec::<String>::new());
    let detector = detector.unwrap();
    assert_eq!(detector.canonical(), "within=6h fewer_than=1 during=- expect=-");
    assert_eq!(
        (detector.span(), detector.within()),
        (bench::ms(21_600_000), Some(bench::ms(21_600_000)))
    );
    assert!(detector.looks_down() && detector.counted().is_empty());

    let mut around = Around::default();
    around.sets.insert_list("sources", List::new(["B", "a"]).0);
    around.sets.insert_schedule(
        "nights",
        Schedule::new("UTC").unwrap().in_hours(["22:00-06:00"]).unwrap(),
    );
    let read = |text: &str| {
        let (detector, found) = bench::read_in(&SPEC, &around, text);
        detector.map_or_else(|| found.join("\n"), |detector| detector.canonical())
    };
    let all = "within = '8h'\nfewer_than = 1000\nexpect = '@sources'\nduring = 'nights'";
    assert_eq!(
        read(&format!("[absence]\n{all}")),
        "Some(19..23) `nights` is never open for longer than 8h: this cannot fire"
    );
    assert_eq!(
        read(&format!("[absence]\n{}", all.replace('8', "7"))),
        "within=7h fewer_than=1000 during=@nights expect=@sources"
    );
    let wrong = |line: &str| read(&format!("[absence]\nwithin = '1h'\n{line}\n"));
    expect![[r"
        Some(0..9) missing key `within` in `[absence]`
        Some(10..15) unknown key `witin` in `[absence]`"]]
    .assert_eq(&read("[absence]\nwitin = '1h'\n"));
    expect!["Some(37..41) expected a count of at most 1000, found `1001`"]
        .assert_eq(&wrong("fewer_than = 1001"));
    expect!["Some(37..38) expected a number of at least 1, found `0`"]
        .assert_eq(&wrong("fewer_than = 0"));
    expect!["Some(33..42) unknown schedule `nihgts`"].assert_eq(&wrong("during = '@nihgts'"));
    expect!["Some(33..43) expected a schedule, found the list `sources`"]
        .assert_eq(&wrong("during = '@sources'"));
    expect!["Some(33..42) expected a list, found the schedule `nights`"]
        .assert_eq(&wrong("expect = '@nights'"));
    expect!["Some(33..40) unknown list `none`"].assert_eq(&wrong("expect = '@none'"));
    expect!["Some(33..38) expected a list of keys, or `@name`, found `eve`"]
        .assert_eq(&wrong("expect = 'eve'"));
    expect!["Some(33..35) expected at least one key, found none"].assert_eq(&wrong("expect = []"));
    expect!["Some(34..36) expected a value of `user.name`"].assert_eq(&wrong("expect = ['']"));
    expect!["Some(34..44) expected a value of `user.name`"]
        .assert_eq(&wrong("expect = [['a', 'b']]"));
    let many: Vec<String> = (0..=super::EXPECTED_MAX).map(|n| n.to_string()).collect();
    assert!(
        wrong(&format!("expect = [{}]", many.join(",")))
            .contains("at most 10000 keys, found 10001")
    );
    around.sets.insert_list("sources", List::new(many.iter().map(String::as_str)).0);
    let text = "absence = { within = '1h', expect = '@sources' }";
    expect!["Some(36..46) expected at most 10000 keys, found 10001"]
        .assert_eq(&bench::read_in(&SPEC, &around, text).1.join("\n"));
}

#[test]
fn expected_keys_are_values_tuples_tables_or_a_list() {
    let mut around = Around::default();
    around.sets.insert_list("sources", List::new(["B", "a", "b"]).0);
    let keys = |around: &Around, expect: &str| {
        let text = format!("absence = {{ within = '1h', expect = {expect} }}");
        let (detector, found) = bench::read_in(&SPEC, around, &text);
        detector.map(|detector| detector.expected(&around.sets)).ok_or(found.join("\n"))
    };
    let three = Scalar::Number(Number::Int(3));
    let text = |text: &str| Scalar::from(text);
    assert_eq!(keys(&around, "['Eve', 3]").unwrap(), [vec![text("Eve")], vec![three.clone()]]);
    assert_eq!(keys(&around, "'@sources'").unwrap(), [vec![text("B")], vec![text("a")]]);
    let two = Around { group_by: vec![field("user.name"), field("host.name")], ..around };
    let expected = [vec![text("eve"), three]];
    assert_eq!(keys(&two, "[['eve', 3]]").unwrap(), expected);
    assert_eq!(keys(&two, "[{ 'host.name' = 3, user = { name = 'eve' } }]").unwrap(), expected);
    for wrong in [
        "['eve']",
        "[['eve']]",
        "[{ user.name = 'eve' }]",
        "[{ user.name = 'e', host.name = 'h', x = 1 }]",
    ] {
        assert!(
            keys(&two, wrong)
                .unwrap_err()
                .contains("one value for each of `user.name`, `host.name`"),
            "{wrong}"
        );
    }
    assert!(keys(&two, "'@sources'").unwrap_err().contains("`group_by` has 2"));
    let none = Around { group_by: Vec::new(), ..two };
    assert!(keys(&none, "['eve']").unwrap_err().contains("has only one"));
}

#[test]
fn broken_memory_is_refused() {
    let detector = detector(&SPEC, "absence = { within = '100ms', fewer_than = 2 }");
    let mut state = detector.fresh(start(5));
    for n in 0..3 {
        observe(&mut *state, &occurrence(n * 30, n, vec![]));
    }
    bench::written_or_refused(&*detector, &*state);
}

/// Every moment before `clock`, looked at one by one: what is said, with the events in the window.
fn recount(
    times: &[i64],
    (within, fewer_than): (i64, usize),
    since: Option<i64>,
    inside: impl Fn(i64) -> bool,
    clock: i64,
) -> Vec<(bool, i64, usize)> {
    let Some(since) = since else { return Vec::new() };
    let (mut silent, mut said) = (false, Vec::new());
    for moment in 0..clock {
        let held = times.iter().filter(|t| moment - within < **t && **t <= moment).count();
        if !silent && moment >= since + within && held < fewer_than && inside(moment) {
            said.push((true, moment, held));
            silent = true;
        } else if silent && held >= fewer_than {
            said.push((false, moment, 0));
            silent = false;
        }
    }
    said
}

fn facts(said: &Verdicts, unit: i64) -> Vec<(bool, i64, usize)> {
    let one = |verdict: &Verdict| match verdict {
        Verdict::Fired(firing) => {
            let held = usize::try_from(firing.value.as_u64().unwrap()).unwrap();
            (true, firing.time.as_millis() / unit, held)
        }
        Verdict::Ended(time) => (false, time.as_millis() / unit, 0),
    };
    said.iter().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_moments_are_those_that_looking_at_every_moment_finds(
        arrivals in prop::collection::vec((0..120i64, 0..140i64), 0..30),
        within in 1..25i64,
        fewer_than in 1..4usize,
        expected in prop::option::of(0..20i64),
        restore_at in 0..30usize,
    ) {
        let list = if expected.is_some() { ", expect = ['eve']" } else { "" };
        let text = format!("absence = {{ within = '{within}ms', fewer_than = {fewer_than}{list} }}");
        let detector = detector(&SPEC, &text);
        let mut state = detector.fresh(start(0));
        if expected.is_some() {
            state.expect(at(expected.unwrap_or(0)));
        }
        let mut clock = 0;
        let mut taken: BTreeSet<(i64, i64)> = BTreeSet::new();
        let mut said = Vec::new();
        for (n, (time, tick)) in (0..).zip(&arrivals) {
            if usize::try_from(n).unwrap() == restore_at {
                state = again(&*detector, &*state);
            }
            if *time >= clock {
                taken.insert((*time, n));
                said.extend(facts(&observe(&mut *state, &occurrence(*time, n, vec![])), 1));
            }
            // As it is live: it is woken when it asks to be, and only then.
            if tick % 3 == 0 && *tick > clock {
                clock = *tick;
                if state.wake_at().is_some_and(|wake| wake <= at(clock)) {
                    said.extend(facts(&advance(&mut *state, clock), 1));
                }
                prop_assert!(state.wake_at().is_none_or(|wake| wake > at(clock)));
            }
            let times: Vec<i64> = taken.iter().map(|(time, _)| *time).collect();
            let since = expected.or(times.first().copied());
            let all = recount(&times, (within, fewer_than), since, |_| true, clock);
            prop_assert_eq!(&said, &all, "{:?} at {}", &times, clock);
        }
    }

    /// In units of ten minutes, for hours are no finer.
    #[test]
    fn inside_a_schedule_too(
        times in prop::collection::btree_set(0..300i64, 0..12),
        within in 1..20i64,
        fewer_than in 1..3usize,
        opens in 0..12i64,
        open_for in 1..60i64,
    ) {
        const UNIT: i64 = 10 * 60 * 1000;
        prop_assume!(within < open_for);
        let time = |n: i64| format!("{:02}:{:02}", n / 6 % 24, n % 6 * 10);
        let hours = format!("{}-{}", time(opens), time(opens + open_for));
        let schedule = Schedule::new("UTC").unwrap().in_hours([hours.as_str()]).unwrap();
        let open = |n: i64| schedule.contains(at(n * UNIT), None);
        let inside = |moment: i64| (moment - within..=moment).all(open);
        let times: Vec<i64> = times.into_iter().collect();
        let expected = recount(&times, (within, fewer_than), times.first().copied(), inside, 400);
        let mut around = Around::default();
        let again = Schedule::new("UTC").unwrap().in_hours([hours.as_str()]).unwrap();
        around.sets.insert_schedule("open", again);
        let minutes = within * 10;
        let text = format!("absence = {{ within = '{minutes}m', fewer_than = {fewer_than}, during = 'open' }}");
        let detector = bench::read_in(&SPEC, &around, &text).0.unwrap();
        let mut state = detector.fresh(start(0));
        let mut said = Vec::new();
        for (offset, time) in (0..).zip(&times) {
            said.extend(facts(&observe(&mut *state, &occurrence(*time * UNIT, offset, vec![])), UNIT));
            said.extend(facts(&advance(&mut *state, *time * UNIT), UNIT));
        }
        said.extend(facts(&advance(&mut *state, 400 * UNIT), UNIT));
        prop_assert_eq!(said, expected, "{}", hours);
    }
}

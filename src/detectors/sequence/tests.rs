//! Every boundary of a sequence, at its edge.

use super::*;
use crate::base::Position;
use crate::detectors::bench::{self, Around, START, at, ms};
use crate::detectors::{Occurrence, Verdicts};
use crate::event::Scalar;

/// Two steps within 100 ms.
const TWO: &str = "[sequence]\nwithin = '100ms'\n[[sequence.step]]\n[[sequence.step]]\n";

/// An event at `time` ms from the record at `offset` that meets these parts.
fn event(time: i64, offset: i64, parts: &[usize]) -> Occurrence {
    let parts = parts.iter().fold(Parts::default(), |all, part| all.with(*part));
    let position = Position::new("audit", 0, offset);
    Occurrence { time: at(time), position, parts, values: Vec::new() }
}

/// `time:steps`, the steps being letters from `a`; the record stands at the offset of the word's place
/// in the list, or at the one behind `@`.
fn read_event(n: usize, word: &str) -> Occurrence {
    let (word, offset) = match word.split_once('@') {
        Some((word, offset)) => (word, offset.parse().unwrap()),
        None => (word, i64::try_from(n).unwrap()),
    };
    let (time, steps) = word.split_once(':').unwrap();
    let parts: Vec<usize> = steps.bytes().map(|step| usize::from(step - b'a')).collect();
    event(time.parse().unwrap(), offset, &parts)
}

/// `time@offset(first)` of each firing; of one of the clock `time(first)`.
fn told(said: &Verdicts) -> Option<String> {
    let each = said.firings().map(|f| {
        let offset = f.position.as_ref().map(|p| format!("@{}", p.offset)).unwrap_or_default();
        format!("{}{offset}({})", f.time.as_millis(), f.first.as_millis())
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| format!("[{}]", each.join(" ")))
}

/// What arrivals make fire, those of one in brackets; `clock=time` moves the rule's clock. The memory
/// is written and read back after each.
fn check_since(start: RuleStart, text: &str, arrivals: &str, expected: &str) {
    let detector = bench::detector(&SPEC, text);
    let mut state = detector.fresh(start);
    let mut firings = Vec::new();
    for (n, word) in arrivals.split_whitespace().enumerate() {
        let said = match word.strip_prefix("clock=") {
            Some(clock) => bench::advance(&mut *state, clock.parse().unwrap()),
            None => bench::observe(&mut *state, &read_event(n, word)),
        };
        firings.extend(told(&said));
        state = bench::again(&*detector, &*state);
    }
    assert_eq!(firings.join(" "), expected, "{arrivals}");
}

fn check(text: &str, arrivals: &str, expected: &str) {
    check_since(START, text, arrivals, expected);
}

#[test]
fn each_last_step_after_the_others_fires_and_nothing_is_consumed() {
    check(TWO, "0:a 10:b 20:b 30:a 40:b", "[10@1(0)] [20@2(0)] [40@4(30)]");
    check(TWO, "0:b 10:a", "");
    let three = format!("{TWO}[[sequence.step]]\n");
    check(&three, "0:a 10:b 20:c 30:c", "[20@2(0)] [30@3(0)]");
    check(&three, "0:b 10:a 20:c", "");
}

#[test]
fn the_latest_assignment_is_told() {
    let three = format!("{TWO}[[sequence.step]]\n");
    check(&three, "0:a 5:a 10:b 15:a 20:c", "[20@4(5)]");
}

#[test]
fn both_ends_of_the_span_are_included() {
    check(TWO, "0:a 100:b", "[100@1(0)]");
    check(TWO, "0:a 101:b", "");
    let three = format!("{TWO}[[sequence.step]]\n");
    check(&three, "0:a 60:b 100:c 101:c", "[100@2(0)]");
}

#[test]
fn both_ends_of_a_gap_are_included_and_it_counts_from_the_step_before() {
    let gaps = "[[sequence.step]]\n[[sequence.step]]\nmax_gap = '10ms'\n[[sequence.step]]\nmax_gap = '20ms'\n";
    check(gaps, "0:a 10:b 30:c", "[30@2(0)]");
    check(gaps, "0:a 11:b 30:c", "");
    check(gaps, "0:a 10:b 31:c", "");
    // An earlier begin cannot serve, a later one does.
    check(gaps, "0:a 10:a 15:b 16:b 36:c", "[36@4(10)]");
}

#[test]
fn counted_steps_span_their_own_events() {
    let counted =
        "[[sequence.step]]\ncount = 3\nwithin = '10ms'\n[[sequence.step]]\nmax_gap = '5ms'\n";
    check(counted, "0:a 5:a 10:a 15:b", "[15@3(0)]");
    check(counted, "0:a 5:a 11:a 15:b", "");
    check(counted, "0:a 5:a 10:a 16:b", "");
    check(counted, "0:a 5:a 15:b", "");
    // The last step may be counted, too: it fires from its second event on.
    let last = "[sequence]\nwithin = '100ms'\n[[sequence.step]]\n[[sequence.step]]\ncount = 2\nwithin = '10ms'\n";
    check(last, "0:a 5:b 10:b 21:b 31:b", "[10@2(0)] [31@4(0)]");
    check(last, "5:b 7:a 10:b", "");
}

#[test]
fn any_matches_of_a_counted_step_may_serve() {
    // Only the first failure is near enough to the visit, only the last one to the login.
    let text = "[[sequence.step]]\n[[sequence.step]]\ncount = 2\nwithin = '50ms'\nmax_gap = '5ms'\n[[sequence.step]]\nmax_gap = '5ms'\n";
    check(text, "0:a 5:b 20:b 30:b 40:b 45:c", "[45@5(0)]");
    check(text, "0:a 6:b 20:b 30:b 40:b 45:c", "");
}

#[test]
fn ties_keep_the_order_of_the_source() {
    check(TWO, "5:a 5:b", "[5@1(5)]");
    check(TWO, "5:a@1 5:b@0", "");
    check(TWO, "5:b@1 5:a@0", "[5@1(5)]");
}

#[test]
fn an_event_serves_one_step_whichever_it_can() {
    check(TWO, "0:ab", "");
    check(TWO, "0:ab 10:ab 20:ab", "[10@1(0)] [20@2(10)]");
    let three = format!("{TWO}[[sequence.step]]\n");
    check(&three, "0:abc 10:abc 20:abc", "[20@2(0)]");
    let counted = "[sequence]\nwithin = '100ms'\n[[sequence.step]]\ncount = 2\n[[sequence.step]]\n";
    check(counted, "0:ab 10:ab", "");
    check(counted, "0:ab 10:ab 20:b", "[20@2(0)]");
}

#[test]
fn late_events_complete_what_ends_later_each_once() {
    check(TWO, "10:b 20:b 0:a 5:a 30:b", "[10@0(0) 20@1(0)] [30@4(5)]");
    let three = format!("{TWO}[[sequence.step]]\n");
    check(&three, "0:a 20:c 110:c 10:b", "[20@1(0)]");
    check(&three, "30:a 60:c 110:c 40:b 20:b", "[60@1(30) 110@2(30)]");
    // What a late one only improves still fires once.
    check(&three, "0:a 10:b 20:c 5:a 130:b 104:c", "[20@2(0)] [104@5(5)]");
    let counted =
        "[[sequence.step]]\ncount = 2\nwithin = '10ms'\n[[sequence.step]]\nmax_gap = '5ms'\n";
    check(counted, "10:a 15:b 16:b 0:a", "[15@1(0)]");
    check(counted, "0:a 15:b 10:a", "[15@1(0)]");
}

#[test]
fn an_event_delivered_again_is_one_event() {
    check(TWO, "0:a@0 10:b@1 10:b@1 0:a@0", "[10@1(0)]");
    let counted = "[sequence]\nwithin = '100ms'\n[[sequence.step]]\ncount = 2\n[[sequence.step]]\n";
    check(counted, "0:a@0 0:a@0 10:b@1", "");
    // The same record meets another step under another of its keys' names.
    check(TWO, "0:b@0 0:a@0 10:b@1", "[10@1(0)]");
}

#[test]
fn a_counted_step_keeps_four_times_its_count() {
    let text = "[sequence]\nwithin = '100ms'\n[[sequence.step]]\ncount = 2\n[[sequence.step]]\n";
    // Eight are kept: a ninth that is older than all of them completes nothing.
    check(text, "9:b 11:a 12:a 13:a 14:a 15:a 16:a 17:a 18:a 7:a 8:a", "");
    check(text, "9:b 12:a 13:a 14:a 15:a 16:a 17:a 7:a 8:a", "[9@0(7)]");
    // What was found with an event stays found when it is cut.
    let gaps = "[sequence]\nwithin = '100ms'\n[[sequence.step]]\n[[sequence.step]]\ncount = 2\nmax_gap = '1ms'\n[[sequence.step]]\nmax_gap = '1ms'\n";
    check(gaps, "0:a 1:b 2:b 3:b 4:b 5:b 6:b 7:b 8:b 9:b 10:b 11:c", "[11@11(0)]");
}

#[test]
fn an_absent_step_between_two_must_not_happen_from_the_one_to_the_other() {
    let text = "[sequence]\nwithin = '100ms'\n[[sequence.step]]\n[[sequence.step]]\nabsent = true\n[[sequence.step]]\n";
    check(text, "0:a 10:c clock=10 clock=11", "[10@1(0)]");
    check(text, "0:a 5:b 10:c clock=99", "");
    // It arrives after what it comes before, while the clock waits.
    check(text, "0:a 10:c 5:b clock=99", "");
    // A later begin is not parted from the end.
    check(text, "0:a 5:b 7:a 10:c clock=99", "[10@3(7)]");
    check(text, "0:b 1:a 10:c 11:b 12:c clock=99", "[10@2(1)]");
    // An event does not stand between itself and another.
    check(text, "0:ab 10:bc clock=99", "[10@1(0)]");
    // Ties keep the order of the source.
    check(text, "0:a@0 5:b@2 5:c@1 clock=99", "[5@1(0)]");
    check(text, "0:a@0 5:b@1 5:c@2 clock=99", "");
}

#[test]
fn a_leading_absent_step_reaches_back_from_the_next_ones_first_event() {
    let text = "[sequence]\nwithin = '50ms'\n[[sequence.step]]\nabsent = true\nwithin = '100ms'\n[[sequence.step]]\ncount = 2\n";
    check(text, "0:a 101:b 110:b clock=999", "[110@2(101)]");
    check(text, "0:a 100:b 110:b clock=999", "");
    // Between the counted events it may happen.
    check(text, "200:b 210:a 220:b clock=999", "[220@2(200)]");
    check(text, "200:ab 220:b clock=999", "[220@1(200)]");
    check(text, "200:a@0 200:b@1 220:b clock=999", "");
}

#[test]
fn a_leading_absent_step_is_silent_until_it_has_seen_its_whole_time() {
    let text = "[sequence]\nwithin = '50ms'\n[[sequence.step]]\nabsent = true\nwithin = '100ms'\n[[sequence.step]]\ncount = 2\n";
    let start = RuleStart { at: at(1000), warm: false };
    check_since(start, text, "1099:b 1110:b clock=9999", "");
    check_since(start, text, "1100:b 1110:b clock=9999", "[1110@1(1100)]");
    let warm = RuleStart { at: at(1000), warm: true };
    check_since(warm, text, "1001:b 1010:b clock=9999", "[1010@1(1001)]");
}

#[test]
fn a_last_absent_step_is_decided_at_the_end_of_its_time() {
    let text = "[[sequence.step]]\n[[sequence.step]]\nmax_gap = '50ms'\n[[sequence.step]]\nabsent = true\nwithin = '100ms'\n";
    check(text, "0:a 10:b clock=110 clock=111", "[110(0)]");
    check(text, "0:a 10:b 110:c clock=999", "");
    check(text, "0:a 10:b 111:c clock=999", "[110(0)]");
    // Each event that completes the rest has its own time.
    check(text, "0:a 10:b 20:b 115:c clock=999", "[110(0)]");
    check(text, "0:a 10:b 20:b clock=115 clock=999", "[110(0)] [120(0)]");
    check(text, "0:a 10:b 15:c 20:b clock=999", "[120(0)]");
    // From the event on, without it: ties keep the order of the source.
    check(text, "0:a 10:bc clock=999", "[110(0)]");
    check(text, "0:a@0 10:c@1 10:b@2 clock=999", "[110(0)]");
    check(text, "0:a@0 10:c@3 10:b@2 clock=999", "");
}

#[test]
fn a_firing_of_the_clock_has_no_event_of_its_own() {
    let text = "[[sequence.step]]\n[[sequence.step]]\nabsent = true\nwithin = '100ms'\n";
    let detector = bench::detector(&SPEC, text);
    let mut state = detector.fresh(START);
    bench::observe(&mut *state, &event(5, 0, &[0]));
    assert_eq!(state.wake_at(), Some(at(6)));
    assert!(bench::advance(&mut *state, 6).is_empty());
    assert_eq!(state.wake_at(), Some(at(106)));
    let said = bench::advance(&mut *state, 106);
    let firing = said.firings().next().unwrap();
    assert_eq!((firing.time, &firing.position, firing.first), (at(105), &None, at(5)));
    assert_eq!((firing.count, &firing.value), (1, &serde_json::Value::Null));
    assert_eq!(state.wake_at(), None);
}

/// A login, then something else from the same (or from another) address.
fn steps(when: &str) -> String {
    format!(
        "[sequence]\nwithin = '100ms'\n[[sequence.step]]\nname = 'login'\n[[sequence.step]]\nwhen = '{when}'\n"
    )
}

/// (time, parts, values of the fields).
type Seen<'e> = (i64, &'e [usize], &'e [&'e [Scalar]]);

/// What fires of these events when the clock has passed them.
fn with_values(text: &str, events: &[Seen<'_>], expected: &str) {
    let detector = bench::detector(&SPEC, text);
    let mut state = detector.fresh(START);
    for (offset, (time, parts, values)) in (0..).zip(events) {
        let values = values.iter().map(|values| values.to_vec()).collect();
        let event = Occurrence { values, ..event(*time, offset, parts) };
        assert!(bench::observe(&mut *state, &event).is_empty());
        state = bench::again(&*detector, &*state);
    }
    let said = bench::advance(&mut *state, 999);
    assert_eq!(told(&said).unwrap_or_default(), expected, "{text} {events:?}");
}

#[test]
fn steps_are_asked_for_the_latest_match_before_the_judged_event() {
    let text = steps("source.ip: $steps.login.source.ip");
    let detector = bench::detector(&SPEC, &text);
    let queries: Vec<_> =
        detector.parts().iter().map(|p| p.when.map(ToString::to_string)).collect();
    let ways = ["not @timestamp: *", "@timestamp: *"].map(|way| Some(way.to_owned()));
    assert_eq!(queries, [vec![None], ways.to_vec()].concat());
    assert_eq!(detector.fields(), [bench::field("source.ip")]);

    let ip = |text: &str| [Scalar::from(text)];
    let (one, other) = (ip("10.0.0.1"), ip("10.0.0.2"));
    with_values(&text, &[(0, &[0], &[&one]), (9, &[2], &[&one])], "[9@1(0)]");
    with_values(&text, &[(0, &[0], &[&one]), (9, &[2], &[&other])], "");
    // The latest login counts, not any.
    with_values(&text, &[(0, &[0], &[&one]), (5, &[0], &[&other]), (9, &[2], &[&one])], "");
    // Without a value, or an earlier login, the comparison is false.
    with_values(&text, &[(0, &[0], &[&one]), (9, &[2], &[&[]])], "");
    with_values(&text, &[(0, &[0], &[&[]]), (9, &[2], &[&one])], "");
    // An event is not compared with itself.
    with_values(&text, &[(0, &[0], &[&one]), (9, &[0, 2], &[&other])], "");

    let text = steps("not source.ip: $steps.login.source.ip");
    with_values(&text, &[(0, &[0], &[&one]), (9, &[1], &[&other])], "[9@1(0)]");
    with_values(&text, &[(0, &[0], &[&one]), (9, &[1], &[&one])], "");
    with_values(&text, &[(0, &[0], &[&[]]), (9, &[1], &[&one])], "[9@1(0)]");
}

#[test]
fn an_event_that_turns_out_not_to_match_is_told() {
    let detector = bench::detector(&SPEC, &steps("source.ip: $steps.login.source.ip"));
    let mut state = detector.fresh(START);
    for (n, (part, ip)) in [(0, "1.1.1.1"), (2, "2.2.2.2"), (2, "1.1.1.1")].iter().enumerate() {
        let values = vec![vec![Scalar::from(*ip)]];
        let n = i64::try_from(n).unwrap();
        bench::observe(&mut *state, &Occurrence { values, ..event(n, n, &[*part]) });
    }
    let said = bench::advance(&mut *state, 9);
    assert_eq!(said.all_unmatched(), [(at(1), Position::new("audit", 0, 1))]);
    assert_eq!(told(&said).unwrap(), "[2@2(0)]");
}

#[test]
fn steps_compare_as_fields_do() {
    let both = |text: &str, own: Scalar, other: Scalar, fires: bool| {
        let expected = if fires { "[9@1(0)]" } else { "" };
        with_values(text, &[(0, &[0], &[&[own]]), (9, &[2], &[&[other]])], expected);
    };
    let (same, exact) =
        (steps("user.id: $steps.login.user.id"), steps("user.id == $steps.login.user.id"));
    both(&same, "Eve".into(), "eve".into(), true);
    both(&exact, "Eve".into(), "eve".into(), false);
    both(&exact, "eve".into(), "eve".into(), true);
    both(&same, 3u64.into(), "3.0".into(), true);
    both(&same, 3u64.into(), "03".into(), false);
    both(&same, "::ffff:10.0.0.1".into(), "10.0.0.1".into(), true);
    both(&exact, "::ffff:10.0.0.1".into(), "10.0.0.1".into(), false);
}

#[test]
fn several_comparisons_are_told_apart() {
    let text = steps("user.id: $steps.login.user.id and not source.ip: $steps.login.source.ip");
    let detector = bench::detector(&SPEC, &text);
    let names: Vec<_> = detector.parts().iter().filter_map(|part| part.name).collect();
    let (user, ip) = ("user.id: $steps.login.user.id", "source.ip: $steps.login.source.ip");
    let ways = [("not ", "not "), ("", "not "), ("not ", ""), ("", "")];
    let ways = ways.map(|(one, other)| format!("step 2, if {one}{user} and {other}{ip}"));
    assert_eq!(names, [&["login".to_owned()][..], &ways[..]].concat());
    let (eve, bob) = ([Scalar::from("eve")], [Scalar::from("bob")]);
    let (one, other) = ([Scalar::from("10.0.0.1")], [Scalar::from("10.0.0.2")]);
    // Only where the user is the same and the address is not is the query true: way 01, part 2.
    let fires = |user: &[Scalar], ip: &[Scalar], expected: &str| {
        with_values(&text, &[(0, &[0], &[&eve, &one]), (9, &[2], &[user, ip])], expected);
    };
    fires(&eve, &other, "[9@1(0)]");
    fires(&eve, &one, "");
    fires(&bob, &other, "");
}

#[test]
fn an_event_that_waits_too_long_in_line_is_judged_early_and_its_firing_says_so() {
    let text = "[sequence]\nwithin = '1h'\n[[sequence.step]]\n[[sequence.step]]\nabsent = true\n[[sequence.step]]\n";
    let detector = bench::detector(&SPEC, text);
    let mut state = detector.fresh(START);
    bench::observe(&mut *state, &event(0, 0, &[0]));
    bench::observe(&mut *state, &event(1, 1, &[2]));
    let mut early = Vec::new();
    for n in 2..10_002 {
        early.extend(bench::observe(&mut *state, &event(n, n, &[0])).firings().cloned());
    }
    assert_eq!(early.len(), 1);
    assert_eq!((early[0].time, early[0].approximate), (at(1), true));
    // What comes before it now is too late, and nothing is taken back.
    assert!(bench::observe(&mut *state, &event(0, 99_999, &[1])).is_empty());
}

#[test]
fn it_is_remembered_as_long_as_it_can_matter() {
    let mut state = bench::detector(&SPEC, TWO).fresh(START);
    bench::observe(&mut *state, &event(1000, 0, &[0]));
    assert_eq!(state.expires_at(), at(1201));
    assert_eq!(state.wake_at(), None);
    let around = "[sequence]\nwithin = '100ms'\n[[sequence.step]]\nabsent = true\nwithin = '7ms'\n[[sequence.step]]\n[[sequence.step]]\nabsent = true\nwithin = '20ms'\n";
    let detector = bench::detector(&SPEC, around);
    let mut state = detector.fresh(START);
    bench::observe(&mut *state, &event(1000, 0, &[1]));
    assert_eq!(state.expires_at(), at(1128));
    assert_eq!(state.depends_on(), Some((at(1000), at(1000))));
    assert_eq!((detector.span(), detector.within()), (ms(127), Some(ms(100))));
    assert_eq!(detector.counted(), Parts(0b10));
}

#[test]
fn without_a_within_the_sum_of_all_bounds_stands_for_it() {
    let text = "[[sequence.step]]\nabsent = true\nwithin = '1m'\n[[sequence.step]]\ncount = 5\nwithin = '10m'\n[[sequence.step]]\nmax_gap = '30m'\n";
    let detector = bench::detector(&SPEC, text);
    let minutes = |minutes| Duration::from_mins(minutes);
    assert_eq!((detector.span(), detector.within()), (minutes(41), Some(minutes(41))));
    assert_eq!((detector.keeps(), detector.decides()), (24, Decides::OnTheClock));
    assert_eq!(bench::detector(&SPEC, TWO).decides(), Decides::OnArrival);
}

#[test]
fn broken_memory_is_refused() {
    let waits = "[sequence]\nwithin = '100ms'\n[[sequence.step]]\n[[sequence.step]]\nabsent = true\nwithin = '9ms'\n";
    for text in [TWO, waits] {
        let detector = bench::detector(&SPEC, text);
        let mut state = detector.fresh(RuleStart { at: at(0), warm: false });
        for (n, parts) in [[0], [1], [0]].iter().enumerate() {
            let n = i64::try_from(n).unwrap();
            bench::observe(&mut *state, &event(n, n, parts));
        }
        bench::advance(&mut *state, 1);
        bench::written_or_refused(&*detector, &*state);
    }
}

#[test]
fn everything_in_the_table_is_in_its_canonical_text() {
    let text = "[sequence]\nwithin = '1h'\n[[sequence.step]]\nname = 'a'\ncount = 2\nwithin = '5m'\ngroup_by = ['user.id']\n[[sequence.step]]\nwhen = 'user.id: $steps.a.user.id'\nmax_gap = '1m'\n[[sequence.step]]\nabsent = true\nwithin = '2m'\n";
    let canonical = |text: &str| bench::detector(&SPEC, text).canonical();
    expect_test::expect![[r#"within=1h step(name=Some("a") when=None count=2 within=5m max_gap=- absent=false group_by=Some(["user.id"])) step(name=None when=Some("user.id: $steps.a.user.id") count=1 within=- max_gap=1m absent=false group_by=None) step(name=None when=None count=1 within=2m max_gap=- absent=true group_by=None)"#]]
        .assert_eq(&canonical(text));
}

fn mistakes(around: &Around, text: &str) -> String {
    let (detector, found) = bench::read_in(&SPEC, around, text);
    assert!(detector.is_none(), "{text}");
    let told = found.iter().map(|message| message.split_once(' ').unwrap().1);
    told.collect::<Vec<_>>().join("\n")
}

#[test]
fn settings_are_checked_one_by_one() {
    let around = Around { when: false, ..Around::default() };
    expect_test::expect![[r"
        expected a name of letters, digits, `_` and `-`, found `a b`
        missing key `when` in `[[sequence.step]]`
        an absent step has no events to count
        expected 1 field, one for each of the rule's `group_by` (`user.name`), found 2
        unknown key `whithin` in `[[sequence.step]]`
        expected a count of at most 10000, found `10001`
        an absent step has no `max_gap`
        two steps have the name `c`"]]
    .assert_eq(&mistakes(
        &around,
        "[sequence]\nwithin = '1h'\n[[sequence.step]]\nname = 'a b'\n[[sequence.step]]\nname = 'c'\nwhen = 'a: b'\nabsent = true\ncount = 2\ngroup_by = ['a', 'b']\nwhithin = '1h'\nmax_gap = '1h'\n[[sequence.step]]\nname = 'c'\nwhen = 'a: b'\ncount = 10001\n",
    ));
    let plain = Around::default();
    expect_test::expect!["missing key `step` in `[sequence]`"]
        .assert_eq(&mistakes(&plain, "[sequence]\nwithin = '1h'\n"));
    expect_test::expect!["expected at least two steps, found 1"]
        .assert_eq(&mistakes(&plain, "[sequence]\nwithin = '1h'\n[[sequence.step]]\n"));
}

#[test]
fn absent_steps_are_checked_where_they_stand() {
    let step = "[[sequence.step]]\n";
    let absent = "[[sequence.step]]\nabsent = true\n";
    let head = "[sequence]\nwithin = '1h'\n";
    let wrong = |steps: &str| mistakes(&Around::default(), &format!("{head}{steps}"));
    assert_eq!(
        wrong(&format!("{absent}{step}")),
        "missing key `within` of an absent step that is the first or the last"
    );
    assert_eq!(
        wrong(&format!("{step}{absent}within = '1m'\n{step}")),
        "an absent step between two others has no `within`"
    );
    assert_eq!(wrong(&format!("{step}{absent}{absent}{step}")), "two absent steps side by side");
    assert_eq!(
        wrong(&format!("{absent}within = '1m'\n{step}max_gap = '1m'\n")),
        "the first step has no `max_gap`"
    );
    assert_eq!(
        wrong(&format!("{absent}within = '1m'\n{absent}within = '1m'\n")),
        "expected a step that is not absent"
    );
}

#[test]
fn without_a_within_every_step_is_bounded() {
    expect_test::expect![[r"
        missing key `within` in `[[sequence.step]]`: nothing says how far apart its 5 events may be
        missing key `max_gap` in `[[sequence.step]]`: nothing says how long after the one before `login` may come"]]
    .assert_eq(&mistakes(
        &Around::default(),
        "[[sequence.step]]\ncount = 5\n[[sequence.step]]\nname = 'login'\n",
    ));
}

#[test]
fn only_earlier_present_steps_can_be_asked_for() {
    let text = "[sequence]\nwithin = '1h'\n[[sequence.step]]\nname = 'login'\n[[sequence.step]]\nname = 'quiet'\nabsent = true\n[[sequence.step]]\nname = 'use'\nwhen = 'user.id: $steps.logn.user.id and user.id: $steps.quiet.user.id and user.id: $steps.use.user.id'\n[[sequence.step]]\nwhen = 'user.id: $steps.x.user.id'\nname = 'later'\n";
    expect_test::expect![[r"
        unknown step `logn`
        the step `quiet` is absent: it has no events
        the step `use` is this one, not an earlier one
        unknown step `x`"]]
    .assert_eq(&mistakes(&Around::default(), text));
    let many = "[sequence]\nwithin = '1h'\n[[sequence.step]]\nname = 'a'\nwhen = 'user.id: $steps.b.user.id'\n[[sequence.step]]\nname = 'b'\nwhen = 'user.id: $steps.a.user.id and user.id: $steps.a.user.name and user.id: $steps.a.user.email and user.id: $steps.a.source.ip'\n";
    expect_test::expect![[r"
        the step `b` comes later
        expected at most 3 comparisons with earlier steps"]]
    .assert_eq(&mistakes(&Around::default(), many));
}

#[test]
fn a_rule_has_as_many_parts_as_fit() {
    let asks = |n| {
        let step = "[[sequence.step]]\nwhen = 'user.id: $steps.a.user.id and user.id: $steps.a.user.name and user.id: $steps.a.user.email'\n";
        let plain = "[[sequence.step]]\n";
        let head = "[sequence]\nwithin = '1h'\n[[sequence.step]]\nname = 'a'\n";
        format!("{head}{}{}", step.repeat(7), plain.repeat(n))
    };
    assert_eq!(bench::detector(&SPEC, &asks(7)).parts().len(), 64);
    expect_test::expect!["expected at most 64 ways to take part, found 65"]
        .assert_eq(&mistakes(&Around::default(), &asks(8)));
}

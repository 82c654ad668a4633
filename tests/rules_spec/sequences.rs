//! §4, *Sequence*, from records to alerts: keys that steps name in their own way, steps that must not
//! happen, and what one step asks of an earlier one.

use serde_json::{Value, json};

use super::alerts::{Happening, ends, run};

/// Who did what, to whom, from where.
fn act(second: f64, who: &str, action: &str, whom: &str, ip: &str) -> Happening {
    let fields = json!({
        "user.id": who, "user.name": who, "event.action": action, "user.target.id": whom, "source.ip": ip,
    });
    (second, fields)
}

fn login(second: f64, ip: &str) -> Happening {
    act(second, "eve", "login", "-", ip)
}

const PROMOTED: &str = "group_by = ['user.id']
sequence = { within = '1h', step = [
    { name = 'promoted', when = 'event.action: *role*', group_by = ['user.target.id'] },
    { name = 'grants', when = 'event.action: *role* and not user.target.id: $user.id' },
] }";

#[test]
fn a_step_may_name_the_key_by_another_field_at_the_same_place() {
    let role = |second, who: &str, whom: &str| act(second, who, "role_granted", whom, "10.0.0.1");
    // Promoted by an administrator, then at work himself: both events are his.
    assert_eq!(
        ends(PROMOTED, &[role(0.0, "admin", "eve"), role(60.0, "eve", "bob")]),
        ["60..3660 \"eve\" 2/1"]
    );
    // The administrator goes on: nobody promoted him.
    let twice = [role(0.0, "admin", "eve"), role(60.0, "admin", "bob")];
    assert_eq!(ends(PROMOTED, &twice), Vec::<String>::new());
    // He promotes himself, which is no grant to somebody else, and then another: one event serves one
    // step.
    assert_eq!(ends(PROMOTED, &[role(0.0, "eve", "eve")]), Vec::<String>::new());
    assert_eq!(
        ends(PROMOTED, &[role(0.0, "eve", "eve"), role(5.0, "eve", "bob")]),
        ["5..3605 \"eve\" 2/1"]
    );
    let late = [role(0.0, "admin", "eve"), role(3600.0, "eve", "bob")];
    assert_eq!(ends(PROMOTED, &late).len(), 1);
    let too_late = [role(0.0, "admin", "eve"), role(3600.001, "eve", "bob")];
    assert_eq!(ends(PROMOTED, &too_late), Vec::<String>::new());
}

/// A login, and for ten seconds no second factor.
const NO_FACTOR: &str = "group_by = ['user.name']
sequence = { step = [
    { when = 'event.action: login' },
    { when = 'event.action: factor', absent = true, within = '10s' },
] }";

#[test]
fn a_last_absent_step_fires_on_the_clock_with_nothing_but_the_key() {
    let factor = |second| act(second, "eve", "factor", "-", "10.0.0.1");
    let other = act(600.0, "bob", "logout", "-", "10.0.0.9");
    assert_eq!(ends(NO_FACTOR, &[login(0.0, "10.0.0.1"), other.clone()]), ["10..20 \"eve\" 1/1"]);
    assert_eq!(ends(NO_FACTOR, &[login(0.0, "10.0.0.1"), factor(10.0)]), Vec::<String>::new());
    assert_eq!(ends(NO_FACTOR, &[login(0.0, "10.0.0.1"), factor(10.001)]).len(), 1);
    // Each login has a time of its own.
    let two = [login(0.0, "10.0.0.1"), login(5.0, "10.0.0.1"), factor(12.0)];
    assert_eq!(ends(NO_FACTOR, &two), ["10..20 \"eve\" 2/1"]);

    let title = "[alert]\ntitle = '{{ user.name }} {{ source.ip }}'";
    let (alerts, _) = run(&format!("{NO_FACTOR}\n{title}"), &[login(0.0, "10.0.0.1"), other]);
    assert_eq!(alerts.last().unwrap().title, "eve –");
    assert_eq!(alerts.last().unwrap().value, Value::Null);
}

/// A download from another address than the latest login's.
const ELSEWHERE: &str = "group_by = ['user.name']
[sequence]
within = '1m'
[[sequence.step]]
name = 'login'
when = 'event.action: login'
[[sequence.step]]
name = 'download'
when = 'event.action: download and not source.ip: $steps.login.source.ip'";

#[test]
fn a_step_asks_the_latest_match_of_an_earlier_one_and_what_does_not_match_is_not_counted() {
    let download = |second, ip: &str| act(second, "eve", "download", "-", ip);
    let events = [
        login(0.0, "10.0.0.1"),
        download(10.0, "10.0.0.1"),
        download(20.0, "10.0.0.2"),
        download(30.0, "10.0.0.1"),
        download(40.0, "10.0.0.2"),
    ];
    assert_eq!(ends(ELSEWHERE, &events), ["20..100 \"eve\" 3/2"]);
    let moved = [login(0.0, "10.0.0.1"), login(5.0, "10.0.0.2"), download(10.0, "10.0.0.2")];
    assert_eq!(ends(ELSEWHERE, &moved), Vec::<String>::new());
    // The order of arrival is nothing to it.
    let late = [login(0.0, "10.0.0.1"), download(10.0, "10.0.0.2"), login(5.0, "10.0.0.2")];
    assert_eq!(ends(ELSEWHERE, &late), Vec::<String>::new());
}

/// The first login of the day: none for an hour before.
const FIRST: &str = "group_by = ['user.name']
[sequence]
within = '1m'
[[sequence.step]]
when = 'event.action: login'
absent = true
within = '1h'
[[sequence.step]]
name = 'first'
when = 'event.action: login'
[[sequence.step]]
when = 'event.action: download'
max_gap = '10s'";

#[test]
fn a_leading_absent_step_is_silent_until_the_rule_has_seen_its_whole_time() {
    let download = |second| act(second, "eve", "download", "-", "10.0.0.1");
    let from = |second| {
        [
            act(0.0, "bob", "login", "-", "10.0.0.1"),
            login(second, "10.0.0.1"),
            download(second + 5.0),
        ]
    };
    assert_eq!(ends(FIRST, &from(3599.0)), Vec::<String>::new());
    assert_eq!(ends(FIRST, &from(3600.0)).len(), 1);
    let again = [
        act(0.0, "bob", "login", "-", "10.0.0.1"),
        login(5000.0, "10.0.0.1"),
        login(8600.0, "10.0.0.1"),
        download(8605.0),
    ];
    assert_eq!(ends(FIRST, &again), Vec::<String>::new(), "an hour ago is in the hour");
}

fn did(second: f64, action: &str) -> Happening {
    act(second, "eve", action, "-", "10.0.0.1")
}

fn none() -> Vec<String> {
    Vec::new()
}

/// "Nothing is consumed, and each event serves one step"; "strictly ordered (ties: source order)".
#[test]
fn ties_are_in_the_order_of_the_source_and_one_event_is_not_two_steps() {
    let steps = |second: &str| {
        format!(
            "group_by = ['user.name']\nsequence = {{ within = '10s', step = [{{ when = 'event.action: a' }}, {{ when = 'event.action: {second}' }}] }}"
        )
    };
    let twice = steps("a");
    assert_eq!(ends(&twice, &[did(0.0, "a")]), none());
    assert_eq!(ends(&twice, &[did(0.0, "a"), did(0.0, "a")]), ["0..10 \"eve\" 2/1"]);
    assert_eq!(
        ends(&twice, &[did(0.0, "a"), did(0.0, "a"), did(10.0, "a")]),
        ["0..20 \"eve\" 3/2"]
    );
    let then = steps("b");
    assert_eq!(ends(&then, &[did(0.0, "a"), did(0.0, "b")]), ["0..10 \"eve\" 2/1"]);
    assert_eq!(ends(&then, &[did(0.0, "b"), did(0.0, "a")]), none());
}

/// "A step's `count` events are any of its matches; its `within` spans their first and last, `max_gap`
/// runs from the previous step's last event to this step's first."
#[test]
fn a_counted_step_takes_any_of_its_matches_and_gaps_run_from_last_to_first() {
    let counted = "group_by = ['user.name']\nsequence = { within = '30s', step = [
        { when = 'event.action: a', count = 2, within = '5s' },
        { when = 'event.action: b', count = 2, max_gap = '3s' },
    ] }";
    let at = |second, first, last| {
        let events = [did(0.0, "a"), did(second, "a"), did(first, "b"), did(last, "b")];
        ends(counted, &events)
    };
    assert_eq!(at(5.0, 8.0, 30.0), ["30..60 \"eve\" 4/1"]);
    assert_eq!(at(5.001, 8.0, 30.0), none());
    assert_eq!(at(5.0, 8.001, 30.0), none());
    assert_eq!(at(5.0, 8.0, 30.001), none());
    // The pair of 20 and 24 serves, though 0 is no part of it, and 24 alone is near enough to 27.
    let events = [did(0.0, "a"), did(20.0, "a"), did(24.0, "a"), did(27.0, "b"), did(29.0, "b")];
    assert_eq!(ends(counted, &events), ["29..59 \"eve\" 4/1"]);
}

/// "Counted steps … keep the newest 4 × count times": what has got further is not lost with them.
#[test]
fn matches_beyond_the_bound_of_a_step_do_not_hide_what_it_led_to() {
    let settings = "group_by = ['user.name']\nsequence = { within = '1m', step = [
        { when = 'event.action: a', count = 2, within = '10s' },
        { when = 'event.action: b' },
        { when = 'event.action: c' },
    ] }";
    let mut events = vec![did(0.0, "a"), did(1.0, "a"), did(2.0, "b")];
    events.extend((3..43).map(f64::from).map(|second| did(second, "a")));
    events.push(did(60.0, "c"));
    assert_eq!(ends(settings, &events), ["60..120 \"eve\" 44/1"]);
    events.pop();
    events.push(did(61.001, "c"));
    assert_eq!(ends(settings, &events), none());
}

/// "An absent step forbids matches between its neighbours", ties in source order; "as the first step:
/// within `within` before the next".
#[test]
fn an_absent_step_forbids_what_lies_between_and_nothing_else() {
    let between = "group_by = ['user.name']\nsequence = { within = '10s', step = [
        { when = 'event.action: a' },
        { when = 'event.action: (a or x)', absent = true },
        { when = 'event.action: b' },
    ] }";
    let fires = |names: &[(f64, &str)]| {
        let events: Vec<_> = names.iter().map(|(second, name)| did(*second, name)).collect();
        ends(between, &events).len()
    };
    assert_eq!(fires(&[(0.0, "a"), (0.0, "x"), (5.0, "b")]), 0);
    assert_eq!(fires(&[(0.0, "x"), (0.0, "a"), (5.0, "b")]), 1);
    assert_eq!(fires(&[(0.0, "a"), (5.0, "x"), (5.0, "b")]), 0);
    assert_eq!(fires(&[(0.0, "a"), (5.0, "b"), (5.0, "x")]), 1);
    // The neighbour's own event lies not between, another one like it does; the later one serves.
    assert_eq!(fires(&[(0.0, "a"), (1.0, "a"), (5.0, "b")]), 1);

    let before = "group_by = ['user.name']\nsequence = { within = '1m', step = [
        { when = 'event.action: x', absent = true, within = '5s' },
        { when = 'event.action: a', count = 2 },
        { when = 'event.action: b' },
    ] }";
    // 14 is too near to 10 to be the first of the two, 15.001 is not.
    let from = |second| {
        ends(
            before,
            &[
                did(0.0, "-"),
                did(10.0, "x"),
                did(14.0, "a"),
                did(second, "a"),
                did(17.0, "a"),
                did(20.0, "b"),
            ],
        )
    };
    assert_eq!(from(15.0), none());
    assert_eq!(from(15.001), ["20..80 \"eve\" 3/1"]);
}

/// "One event counts for every part it meets"; it fires "on an event of any part, when the parts have all
/// happened, in any order; N of M".
#[test]
fn parts_happen_in_any_order_and_one_event_may_be_several() {
    let parts = "group_by = ['user.name']\ntemporal = { within = '10s', of = [
        { when = 'event.action: (a or b)', count = 2 },
        { when = 'event.action: b' },
    ] }";
    assert_eq!(ends(parts, &[did(0.0, "a"), did(10.0, "b")]), ["10..20 \"eve\" 2/1"]);
    assert_eq!(ends(parts, &[did(0.0, "b"), did(0.0, "a")]), ["0..10 \"eve\" 2/1"]);
    assert_eq!(ends(parts, &[did(0.0, "a"), did(10.001, "b")]), none());
    let either = parts.replace("within", "at_least = 1, within");
    // Both of the second and third leave one part met, the last one both.
    let events = [did(0.0, "a"), did(5.0, "a"), did(15.0, "a"), did(16.0, "b")];
    let (alerts, _) = run(&either, &events);
    let last = alerts.last().unwrap();
    assert_eq!((last.firings, last.count, &last.value), (3, 4, &json!(2)));
}

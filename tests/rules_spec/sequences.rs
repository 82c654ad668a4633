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

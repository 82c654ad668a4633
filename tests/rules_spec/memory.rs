//! §4 `[new_value]`, `[spike]` and `[absence]`, with events in and alerts out: each at the edge between
//! one millisecond and the next.

use serde_json::{Value, json};

use super::alerts::{Happening, ends};

fn from(second: f64, action: &str, ip: impl Into<Value>) -> Happening {
    (second, json!({"user.name": "eve", "event.action": action, "source.ip": ip.into()}))
}

fn login(second: f64) -> Happening {
    from(second, "login", "10.0.0.1")
}

fn key(second: f64) -> Happening {
    from(second, "key", "10.0.0.1")
}

fn none() -> Vec<String> {
    Vec::new()
}

fn new_value(settings: &str) -> String {
    format!(
        "when = 'event.action: key'\ngroup_by = ['user.name']\nnew_value = {{ fields = ['source.ip'], {settings} }}"
    )
}

/// "Known: a tuple that fired, … or met `learn_when` and was first seen more than `settle` ago"; "known
/// while last seen no more than `forget` ago; a forgotten tuple is as if never seen".
#[test]
fn a_tuple_is_known_once_it_settled_and_until_it_is_forgotten() {
    let rule = new_value("learn_when = 'event.action: login', settle = '10s', forget = '20s'");
    assert_eq!(ends(&rule, &[login(0.0), key(10.0)]), ["10..310 \"eve\" 1/1"]);
    assert_eq!(ends(&rule, &[login(0.0), key(10.001)]), none());
    assert_eq!(ends(&rule, &[login(0.0), key(20.0)]), none());
    assert_eq!(ends(&rule, &[login(0.0), key(20.001)]), ["20.001..320.001 \"eve\" 1/1"]);
    // Seen again in time it keeps the time at which it was first seen, and loses it otherwise.
    assert_eq!(ends(&rule, &[login(0.0), login(20.0), key(25.0)]), none());
    assert_eq!(ends(&rule, &[login(0.0), login(20.001), key(25.0)]), ["25..325 \"eve\" 1/1"]);
    // What fired is known at once, even at the same time.
    assert_eq!(ends(&rule, &[key(0.0), key(0.0)]), ["0..300 \"eve\" 2/1"]);
    // An array has several values, each an alert of its own.
    let both = from(5.0, "key", json!(["10.0.0.1", "10.0.0.2", null, "10.0.0.1"]));
    assert_eq!(ends(&rule, &[both]), ["5..305 \"eve\" 1/1", "5..305 \"eve\" 1/1"]);
}

/// "`learn` counts from the rule's start, or from the key's first event (`learn_per_key`)"; "silent while
/// event time − start < period"; an event without the value is ignored (and begins nothing).
#[test]
fn learning_ends_to_the_millisecond_and_begins_with_a_value() {
    let other = |second| from(second, "key", "10.0.0.2");
    for rule in [new_value("learn = '5s'"), new_value("learn = '5s', learn_per_key = true")] {
        assert_eq!(ends(&rule, &[key(0.0), other(4.999)]), none());
        assert_eq!(ends(&rule, &[key(0.0), other(5.0)]), ["5..305 \"eve\" 1/1"]);
    }
    let nowhere = [from(0.0, "key", json!([])), key(6.0), other(10.999)];
    assert_eq!(ends(&new_value("learn = '5s', learn_per_key = true"), &nowhere), none());
    assert_eq!(ends(&new_value("learn = '5s'"), &nowhere).len(), 2);
}

/// Up: "when the window's count ≥ `min_events` and ≥ factor × mean; its baseline is [t − within −
/// baseline, t − within)"; "silent until rule and key have been seen for within + baseline".
#[test]
fn a_spike_is_as_many_times_the_mean_and_its_baseline_ends_before_the_window() {
    let rule = |factor: &str, least: u32| {
        format!(
            "group_by = ['user.name']\nspike = {{ factor = {factor}, within = '10s', baseline = '10s', min_events = {least} }}"
        )
    };
    let at = |middle, last| ends(&rule("2", 2), &[key(0.0), key(middle), key(last)]);
    assert_eq!(at(10.0, 20.0), ["20..30 \"eve\" 2/1"]);
    assert_eq!(at(10.0, 19.999), none(), "too early");
    assert_eq!(at(9.999, 20.0), none(), "two before the window, one in it");
    // A factor is as it is written: 1.1 × 50 is 55, not a little more.
    let mut events = vec![key(0.0)];
    events.extend((0..50).map(|n| key(20.0 + 0.1 * f64::from(n))));
    events.extend((0..55).map(|n| key(35.0 + 0.01 * f64::from(n))));
    assert_eq!(ends(&rule("1.1", 51), &events), ["35.54..45.54 \"eve\" 55/1"]);
    events.pop();
    assert_eq!(ends(&rule("1.1", 51), &events), none());
}

/// Down: "once, at the first T at which mean ≥ `min_events` and (T − within, T] holds ≤ mean ÷ factor, the
/// mean over (T − within − baseline, T − within]"; it stays open until that became false.
#[test]
fn a_fall_is_told_at_the_first_moment_and_over_when_the_mean_has_fallen_too() {
    let rule = "group_by = ['user.name']\nspike = { factor = 2, direction = 'down', within = '10s', baseline = '20s', min_events = 1 }";
    let mut events: Vec<_> = (0..7).map(|n| key(5.0 * f64::from(n))).collect();
    // (25, 35] holds one, (5, 25] four: two for each ten seconds. (25, 45] holds but one.
    assert_eq!(ends(rule, &events), ["35..55 \"eve\" 1/1"]);
    // One more at 35 is one too many then, and there is as much as half only from 40 on.
    events.push(key(35.0));
    assert_eq!(ends(rule, &events), ["40..60 \"eve\" 1/1"]);
}

/// "It fires once, at the first T ≥ start + `within` at which (T − `within`, T] holds fewer than
/// `fewer_than` events …; again only after it was satisfied. The alert resolves as of the event that
/// satisfies it."
#[test]
fn a_silence_begins_when_an_event_leaves_the_window_and_ends_with_the_event_that_fills_it() {
    let rule = "group_by = ['user.name']\nabsence = { within = '10s', fewer_than = 2 }\nalert = { keep_open = '5s', max_open = '1m' }";
    let seen = |seconds: &[f64]| {
        let events: Vec<_> = seconds.iter().copied().map(key).collect();
        ends(rule, &events)
    };
    // The event that begins the watch is in no window; 5 leaves it at 15.
    assert_eq!(seen(&[0.0, 5.0, 8.0, 20.0, 24.0]), ["15..24 \"eve\" 0/1", "30..90 \"eve\" 0/1"]);
    // One event alone does not satisfy it: a window of two is closed at its end and open at its begin.
    assert_eq!(seen(&[0.0, 20.0, 30.0]), ["10..70 \"eve\" 0/1"]);
    assert_eq!(seen(&[0.0, 20.0, 29.999]), ["10..70 \"eve\" 0/2"]);
}

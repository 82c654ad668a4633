//! §4 `[metric]` and `[ratio]`, with events in and alerts out: what fires, and how alerts of too little
//! live and end (§5).

use serde_json::{Value, json};

use super::alerts::{Happening, ends, run};

fn took(second: f64, duration: impl Into<Value>) -> Happening {
    (second, json!({"user.name": "a", "event.duration": duration.into()}))
}

fn metric(settings: &str) -> String {
    format!("group_by = ['user.name']\nmetric = {{ field = 'event.duration', {settings} }}")
}

/// Peak and value of every resolved alert.
fn values(settings: &str, events: &[Happening]) -> Vec<(Value, Value)> {
    let (alerts, _) = run(settings, events);
    let over = alerts.into_iter().filter(|alert| alert.resolved_at.is_some());
    over.map(|alert| (alert.peak, alert.value)).collect()
}

#[test]
fn a_metric_fires_on_every_event_that_leaves_it_beyond_whatever_the_order_of_arrival() {
    let sum = metric("function = 'sum', above = 10, within = '10s'");
    let sorted = [took(0.0, 4), took(5.0, 4), took(10.0, 4), took(11.0, 1), took(15.1, 9)];
    assert_eq!(ends(&sum, &sorted), ["10..25.1 \"a\" 5/2"]);
    let shuffled = [4, 1, 0, 3, 2].map(|n| sorted[n].clone());
    assert_eq!(ends(&format!("lateness = '1m'\n{sum}"), &shuffled), ["10..25.1 \"a\" 5/2"]);
    assert_eq!(values(&sum, &sorted), [(json!(14), json!(14))]);
}

#[test]
fn an_event_without_a_number_adds_nothing_and_fires_like_any_other() {
    let max = metric("function = 'max', at_least = 5, within = '10s', min_events = 2");
    let events = [
        took(0.0, 5),
        took(1.0, Value::Null),
        took(2.0, "word"),
        took(3.0, json!([1, "2"])),
        (4.0, json!({"user.name": "a"})),
        (4.0, json!({"event.duration": 9})),
    ];
    assert_eq!(ends(&max, &events), ["3..14 \"a\" 5/2"]);
    assert_eq!(run(&max, &events).1, ["0 late", "1 unkeyed"]);
}

#[test]
fn an_event_older_than_the_clock_is_late_for_what_decides_on_the_clock() {
    let sum = metric("function = 'sum', above = 10, within = '10s'");
    let late = |second| {
        let events = [took(0.0, 9), took(30.0, 9), took(second, 9)];
        run(&sum, &events).1.remove(0)
    };
    // The stream stands at 30, the rule's clock ten seconds before.
    assert_eq!((late(20.0).as_str(), late(19.999).as_str()), ("0 late", "1 late"));
}

#[test]
fn a_metric_below_stays_open_until_an_event_or_silence_ends_it() {
    let below = metric("function = 'avg', below = 5, within = '20s', min_events = 2");
    // keep_open is 20 s: `within` is shorter than five minutes.
    let events = [took(0.0, 1), took(1.0, 2), took(15.0, 3), took(16.0, 30), took(17.0, 30)];
    assert_eq!(ends(&below, &events), ["1..16 \"a\" 4/2"]);
    assert_eq!(values(&below, &events), [(json!(1.5), json!(2))]);
    // Of (0, 20] only the event at 1 is left.
    assert_eq!(ends(&below, &[took(0.0, 1), took(1.0, 2)]), ["1..20 \"a\" 2/1"]);
    // False at 20, true again at 39: no more than keep_open later, so it is the same alert.
    let back = [took(0.0, 1), took(1.0, 2), took(38.0, 1), took(39.0, 1)];
    assert_eq!(ends(&below, &back), ["1..58 \"a\" 4/2"]);
    let again = [took(0.0, 1), took(1.0, 2), took(40.0, 1), took(41.0, 1)];
    assert_eq!(ends(&below, &again), ["1..20 \"a\" 2/1", "41..60 \"a\" 2/1"]);
}

fn login(second: f64, outcome: &str) -> Happening {
    (second, json!({"user.name": "a", "event.outcome": outcome}))
}

#[test]
fn a_ratio_above_fires_on_events_that_meet_it_and_below_on_all() {
    let ratio = |bound: &str| {
        format!(
            "group_by = ['user.name']
            ratio = {{ of = 'event.outcome: failure', {bound}, within = '10s', min_events = 3 }}"
        )
    };
    let events = [
        login(0.0, "failure"),
        login(1.0, "failure"),
        login(2.0, "success"),
        login(3.0, "failure"),
        login(4.0, "success"),
        login(5.0, "success"),
    ];
    // Two of three at 2 (no failure), three of four at 3.
    assert_eq!(ends(&ratio("above = 0.6"), &events), ["3..13 \"a\" 6/1"]);
    // Two of three at 2; three of four at 3 end it, but it comes back at 4; (3, 13] holds two.
    assert_eq!(ends(&ratio("below = 0.7"), &events), ["2..13 \"a\" 6/3"]);
}

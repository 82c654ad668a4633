//! §3 and §4 at the edges where a recount of everything by hand and a window that moves could differ:
//! exact spans, ties, late events, missing values, full memories. What is compared are firings, as
//! `hark replay --firings` tells them, and the alerts that follow from them (§5).

use serde_json::{Value, json};

use super::alerts::{Happening, ends, findings, run};

/// An event of one key with a value.
fn has(second: f64, value: impl Into<Value>) -> Happening {
    (second, json!({"user.name": "a", "raw.v": value.into()}))
}

/// An event of the key without one.
fn bare(second: f64) -> Happening {
    (second, json!({"user.name": "a"}))
}

/// Firings in the order of their times, then places: `second#index count/value`.
fn fires(detector: &str, events: &[Happening]) -> Vec<String> {
    let (found, _) = findings(&format!("group_by = ['user.name']\n{detector}"), events);
    let mut firings: Vec<_> = found.firings.into_iter().flatten().map(|f| f.firing).collect();
    firings.sort_by(|a, b| (a.time, &a.position).cmp(&(b.time, &b.position)));
    firings
        .iter()
        .map(|f| {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let second = f.time.as_millis() as f64 / 1_000.0;
            let index = f.position.as_ref().map_or(-1, |position| position.offset);
            format!("{second}#{index} {}/{}", f.count, f.value)
        })
        .collect()
}

const THREE: &str = "threshold = { count = 3, within = '10s' }";

/// "A late event may thus complete windows that end at later events: each of these fires now, once,
/// with its own time; an event that has fired does not fire again, and no firing is taken back."
#[test]
fn a_late_event_makes_each_later_window_that_it_completes_fire_once() {
    let events = [0.0, 8.0, 9.0, 14.0, 4.0, 5.0].map(bare);
    // 9 (0, 8, 9) and 14 (8, 9, 14) fire when they come; with 4 also 8 (0, 4, 8), with 5 only 5 itself.
    assert_eq!(fires(THREE, &events), ["5#5 3/3", "8#1 3/3", "9#2 3/3", "14#3 3/3"]);
    // The same events sorted: the same ones fire, and each says what its window held at that time.
    let sorted = [0.0, 4.0, 5.0, 8.0, 9.0, 14.0].map(bare);
    assert_eq!(fires(THREE, &sorted), ["5#2 3/3", "8#3 4/4", "9#4 5/5", "14#5 5/5"]);
}

/// "Ties in time keep source order."
#[test]
fn of_events_at_one_instant_those_fire_that_have_enough_before_them_in_the_source() {
    let events = [7.0, 7.0, 7.0, 7.0].map(bare);
    assert_eq!(fires(THREE, &events), ["7#2 3/3", "7#3 4/4"]);
    assert_eq!(fires(THREE, &[7.0, 17.0, 7.0, 17.0].map(bare)), ["17#1 3/3", "17#3 4/4"]);
}

/// "Threshold, cardinality … keep the newest 4 × count times (with their values): a new one is judged
/// with what is kept, then the oldest is cut; one older than all of a full state fires nothing."
#[test]
fn a_full_memory_judges_a_new_event_with_all_of_it_and_ignores_an_older_one() {
    let one = "lateness = '1h'\nthreshold = { count = 1, within = '10s' }";
    let events = [10.0, 11.0, 12.0, 13.0, 9.0, 14.0, 10.5, 11.5].map(bare);
    assert_eq!(
        fires(one, &events),
        ["10#0 1/1", "11#1 2/2", "11.5#7 2/2", "12#2 3/3", "13#3 4/4", "14#5 5/5"]
    );
    let (found, _) = findings(&format!("group_by = ['user.name']\n{one}"), &events);
    assert_eq!(found.notes, [], "none of them is late");
}

/// "An event without the counted (numeric) value adds nothing to cardinality and metric but may fire
/// like any other"; "`count` the events in the window".
#[test]
fn an_event_without_a_value_is_in_the_window_and_fires_like_any_other() {
    let two = "cardinality = { fields = ['raw.v'], count = 2, within = '10s' }";
    let events = [
        has(0.0, "x"),
        has(1.0, Value::Null),
        has(2.0, "y"),
        bare(3.0),
        has(4.0, json!([[], null])),
        bare(10.0),
        bare(10.001),
    ];
    assert_eq!(fires(two, &events), ["2#2 3/2", "3#3 4/2", "4#4 5/2", "10#5 6/2"]);
    let sum = "metric = { field = 'raw.v', function = 'sum', at_least = 5, within = '10s' }";
    let events = [has(0.0, 2), bare(1.0), has(2.0, "3"), has(3.0, "03"), bare(10.0), bare(10.001)];
    assert_eq!(fires(sum, &events), ["2#2 3/5", "3#3 4/5", "10#4 5/5"]);
}

/// "Keys: a number is its shortest text. `user.name` … are case-folded when they are used as a key or
/// as the value of cardinality, `new_value`, change … `raw.*` stays exact"; "an empty string exists, an
/// empty array does not".
#[test]
fn values_are_told_apart_as_keys_are() {
    let distinct = |field: &str, values: &[Value]| {
        let detector =
            format!("cardinality = {{ fields = ['{field}'], count = 1, within = '10s' }}");
        let events = [(0.0, json!({"user.name": "a", field: values}))];
        fires(&detector, &events)
    };
    for (field, values, expected) in [
        ("raw.v", json!([3, 3.0, "3", [3]]), "0#0 1/1"),
        ("raw.v", json!([3, "3.0", "03"]), "0#0 1/3"),
        ("raw.v", json!([true, "true", null]), "0#0 1/1"),
        ("raw.v", json!(["a", "A", ""]), "0#0 1/3"),
        ("user.email", json!(["Eve@x", "eve@X"]), "0#0 1/1"),
        ("user.target.name", json!(["\u{212a}im", "kim"]), "0#0 1/1"),
        ("user.id", json!(["Eve", "eve"]), "0#0 1/2"),
    ] {
        assert_eq!(distinct(field, values.as_array().unwrap()), [expected], "{field} {values}");
    }
    assert_eq!(distinct("raw.v", &[]), Vec::<String>::new());
}

/// "`fields` (several = distinct tuples)".
#[test]
fn tuples_are_every_combination_of_elements_and_none_where_a_field_is_missing() {
    let pairs = "cardinality = { fields = ['raw.v', 'user.id'], count = 1, within = '10s' }";
    let event = |second: f64, value: Value, id: Value| {
        (second, json!({"user.name": "a", "raw.v": value, "user.id": id}))
    };
    let events = [
        event(0.0, json!("x"), Value::Null),
        event(1.0, json!(["x", "y", "x"]), json!(["1", "2"])),
        event(2.0, json!("y"), json!(["2", "3"])),
        // `xy` and `z` are not `x` and `yz`.
        event(3.0, json!("xy"), json!("z")),
        event(4.0, json!("x"), json!("yz")),
    ];
    assert_eq!(fires(pairs, &events), ["1#1 2/4", "2#2 3/5", "3#3 4/6", "4#4 5/7"]);
}

/// "p50…p99 (nearest rank)"; "metric takes each number of an array"; "`min_events` counts events with
/// a value".
#[test]
fn a_percentile_is_a_number_of_the_window_and_min_events_counts_events() {
    let metric = |function: &str, min: u32| {
        format!(
            "metric = {{ field = 'raw.v', function = '{function}', above = -9, within = '10s', min_events = {min} }}"
        )
    };
    let events = [has(0.0, 4), has(1.0, json!([1, "3", "x", 2])), bare(2.0), has(10.5, 9)];
    assert_eq!(fires(&metric("p50", 1), &events), ["0#0 1/4", "1#1 2/2", "2#2 3/2", "10.5#3 3/2"]);
    assert_eq!(fires(&metric("p51", 2), &events), ["1#1 2/3", "2#2 3/3", "10.5#3 3/3"]);
    assert_eq!(fires(&metric("p99", 3), &events), Vec::<String>::new());
    assert_eq!(fires(&metric("avg", 1), &events)[3], "10.5#3 3/3.75");
    assert_eq!(fires(&metric("min", 2), &events)[2], "10.5#3 3/1");
}

/// "`above`, `below` strictly".
#[test]
fn a_number_at_the_bound_meets_at_least_and_at_most_only() {
    let at = |bound: &str| {
        let detector = format!(
            "metric = {{ field = 'raw.v', function = 'sum', {bound} = 0.5, within = '1s' }}"
        );
        fires(&detector, &[has(0.0, 0.25), has(1.0, "0.25"), has(1.0, 0.25)])
    };
    assert_eq!(at("above"), ["1#2 3/0.75"]);
    assert_eq!(at("at_least"), ["1#1 2/0.5", "1#2 3/0.75"]);
    assert_eq!(at("below"), ["0#0 1/0.25"]);
    assert_eq!(at("at_most"), ["0#0 1/0.25", "1#1 2/0.5"]);
}

/// What decides on the clock "takes an event whose time ≥ clock"; "firings are those that the same
/// events sorted by (time, source position) would give".
#[test]
fn what_decides_on_the_clock_judges_an_event_with_those_that_came_after_it() {
    let low =
        "metric = { field = 'raw.v', function = 'sum', below = 5, within = '10s', min_events = 2 }";
    // By themselves 20 and 25 would fire; 19 comes later. The clock stands at 15, then at 25.
    let events =
        [has(20.0, 1), has(25.0, 1), has(19.0, 9), has(35.0, 0), has(24.999, 9), has(25.0, 3)];
    assert_eq!(fires(low, &events), ["35#3 3/4"]);
    let (found, _) = findings(&format!("group_by = ['user.name']\n{low}"), &events);
    assert_eq!(found.notes.len(), 1, "24.999 is late: {:?}", found.notes);
}

/// "A `below` or `at_most` is judged on events, and becomes false, too, at the first T at which
/// (T − within, T] holds fewer than `min_events`"; "`resolved_at` = when it became false, also when
/// `max_open` comes first".
#[test]
fn an_alert_of_too_little_ends_where_half_open_windows_run_empty() {
    let low = |alert: &str| {
        format!(
            "group_by = ['user.name']\nmetric = {{ field = 'raw.v', function = 'sum', below = 5, within = '10s', min_events = 2 }}\n[alert]\n{alert}"
        )
    };
    // [0, 10] holds two events, (0, 10] one.
    assert_eq!(ends(&low(""), &[has(0.0, 1), has(10.0, 1)]), ["10..10 \"a\" 2/1"]);
    // A second event at that instant: (0, 10] holds two.
    assert_eq!(ends(&low(""), &[has(0.0, 1), has(10.0, 1), has(10.0, 1)]), ["10..20 \"a\" 3/2"]);
    // An event without a number holds no condition up, but is one of the alert's.
    assert_eq!(ends(&low(""), &[has(0.0, 1), has(4.0, 1), bare(9.0)]), ["4..10 \"a\" 3/2"]);
    // keep_open counts from when it became false (10), to the millisecond.
    let again = |last| [has(0.0, 1), has(4.0, 1), has(last, 1), has(last, 1)];
    let brief = low("keep_open = '3s'");
    assert_eq!(ends(&brief, &again(13.0)), ["4..23 \"a\" 4/3"]);
    let apart = ends(&brief, &again(17.001));
    assert_eq!(apart, ["4..10 \"a\" 2/1", "17.001..27.001 \"a\" 2/1"]);
    // While the condition is true max_open ends it, and the next firing opens another; where it became
    // false before, max_open changes nothing.
    let steady = [0.0, 4.0, 8.0, 12.0, 16.0].map(|second| has(second, 1));
    let short = low("keep_open = '3s'\nmax_open = '10s'");
    assert_eq!(ends(&short, &steady), ["4..14 \"a\" 4/3", "16..22 \"a\" 3/1"]);
    assert_eq!(ends(&short, &again(60.0))[0], "4..10 \"a\" 2/1");
}

/// "above: on an event that meets `of`; below: on every matching event"; "(strict)"; "ratio counts
/// every matching event".
#[test]
fn a_share_at_the_bound_is_not_beyond_it() {
    let ratio = |bound: &str| {
        format!("ratio = {{ of = 'raw.v: bad', {bound} = 0.5, within = '10s', min_events = 2 }}")
    };
    let events = [
        has(0.0, "bad"),
        bare(1.0),
        has(2.0, json!(["ok", "bad"])),
        has(3.0, "ok"),
        has(4.0, "ok"),
        has(11.0, "bad"),
    ];
    assert_eq!(fires(&ratio("above"), &events), ["2#2 3/0.6666666666666666"]);
    // Two of five at 4; at 11, where the first has left the window, again.
    assert_eq!(fires(&ratio("below"), &events), ["4#4 5/0.4", "11#5 5/0.4"]);
}

/// "Compared with the key's last event that has the field, if that is no more than `within` before; an
/// array compares as a set."
#[test]
fn a_change_is_from_the_last_event_with_the_field_to_another_set_of_values() {
    let change = "change = { field = 'raw.v', within = '10s' }";
    let events = [
        has(0.0, json!(["x", 3])),
        has(1.0, json!(["3", ["x", "x"], null])),
        bare(2.0),
        has(3.0, json!([])),
        has(11.0, "x"),
        has(21.001, "y"),
        has(31.001, "x"),
        has(31.001, ""),
    ];
    assert_eq!(fires(change, &events), ["11#4 1/\"x\"", "31.001#6 1/\"x\"", "31.001#7 1/\"\""]);
    // Without `within` the last event may be as old as it likes; order of arrival is nothing to it.
    let ever = "change = { field = 'user.email' }";
    let mail = |second: f64, email: &str| (second, json!({"user.name": "a", "user.email": email}));
    let events = [
        mail(0.0, "Eve@x"),
        mail(1e6, "eve@X"),
        mail(1e6 + 9.0, "bob@x"),
        mail(1e6 + 5.0, "bob@x"),
    ];
    assert_eq!(fires(ever, &events), ["1000005#3 1/\"bob@x\""]);
}

/// "`impossible_travel`: 2"; "same instant = infinitely fast"; change, `new_value` and `impossible_travel`
/// ignore an event without the value.
#[test]
fn travel_is_between_neighbours_in_time_and_ties_keep_source_order() {
    let at = |second: f64, lat: f64| {
        let place = [("source.geo.location.lat", lat), ("source.geo.location.lon", 0.0)];
        let mut fields = json!({"user.name": "a"});
        for (name, degrees) in place {
            fields[name] = degrees.into();
        }
        (second, fields)
    };
    let travel = "impossible_travel = { speed = '3600km/h', min_distance = '100km' }";
    // A degree is 111.19 km: 111.19 s at 1 km/s.
    assert_eq!(fires(travel, &[at(0.0, 0.0), bare(1.0), at(111.194, 1.0)]), ["111.194#2 2/111"]);
    assert_eq!(fires(travel, &[at(0.0, 0.0), bare(1.0), at(111.195, 1.0)]), Vec::<String>::new());
    assert_eq!(fires(travel, &[at(5.0, 0.0), at(5.0, 1.0), at(5.0, 1.5)]), ["5#1 2/111"]);
}

/// "`alert.count` counts every matching event of the key … from `first_seen` until the alert
/// resolves"; "Where a bound makes `value` or `count` approximate, `alert.approximate` is true."
#[test]
fn a_count_that_may_have_missed_events_says_so() {
    let every = "group_by = ['user.name']\nlateness = '0s'\nalert = { keep_open = '10s' }";
    // When 0 comes, 5 has long been told and let go; 80 is so near that it cannot have been.
    let events = [5.0, 100.0, 0.0, 80.0].map(bare);
    let (alerts, notes) = run(every, &events);
    let told: Vec<_> = alerts
        .iter()
        .filter(|alert| alert.resolved_at.is_some())
        .map(|alert| (alert.opened_at.as_millis(), alert.count, alert.approximate))
        .collect();
    assert_eq!(told, [(5_000, 1, false), (0, 1, true), (80_000, 1, false), (100_000, 1, false)]);
    assert_eq!(notes, ["0 late", "0 unkeyed"]);
}

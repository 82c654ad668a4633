//! §4 `[impossible_travel]`, with events in and alerts out.

use serde_json::{Value, json};

use super::alerts::{Happening, ends, run};

const HOUR: f64 = 3_600.0;
const TRAVEL: &str = "group_by = ['user.name']\nimpossible_travel = {}";

fn seen(second: f64, location: impl Into<Value>) -> Happening {
    (second, json!({"user.name": "a", "source.geo.location": location.into()}))
}

#[test]
fn two_places_too_far_apart_for_the_time_between_are_one_alert_from_the_earlier_event_on() {
    // Berlin, and New York at 6,385 km: 7.09 hours at 900 km/h.
    let (berlin, york) = (json!("52.52,13.405"), json!([-74.006, 40.7128]));
    let two =
        |hours: f64| ends(TRAVEL, &[seen(0.0, berlin.clone()), seen(hours * HOUR, york.clone())]);
    // Without another firing it is over five minutes later.
    assert_eq!(two(7.0), ["25200..25500 \"a\" 2/1"]);
    assert_eq!(two(7.1), Vec::<String>::new());
    assert_eq!(two(0.0), ["0..300 \"a\" 2/1"]);

    // Every matching event from the earlier one on is counted, those without a place too.
    let events = [
        seen(0.0, berlin.clone()),
        seen(60.0, Value::Null),
        seen(120.0, "nowhere"),
        seen(180.0, york),
        seen(240.0, berlin),
    ];
    assert_eq!(ends(TRAVEL, &events), ["180..540 \"a\" 5/2"]);
    let last = run(TRAVEL, &events).0.pop().unwrap();
    assert_eq!((last.value, last.previous), (json!(6385), Some(json!("40.7128,-74.006"))));
    assert_eq!(last.first_seen.as_millis(), 0);
}

#[test]
fn a_place_of_two_fields_is_one_too_and_late_is_what_the_clock_has_passed() {
    let place = |second: f64, lat: f64| {
        (
            second,
            json!({"user.name": "a", "source.geo.location.lat": lat, "source.geo.location.lon": "0"}),
        )
    };
    assert_eq!(ends(TRAVEL, &[place(0.0, 0.0), place(1.0, -10.0)]), ["1..301 \"a\" 2/1"]);
    // In the order of their times there is no way of more than 500 km.
    let events = [place(0.0, 0.0), place(9.0, 8.0), place(5.0, 4.0)];
    assert_eq!(ends(TRAVEL, &events), Vec::<String>::new());
    let events = [place(0.0, 0.0), place(20.0, 8.0), place(9.999, 4.0)];
    assert_eq!(
        (ends(TRAVEL, &events).len(), run(TRAVEL, &events).1.remove(0).as_str()),
        (1, "1 late")
    );
}

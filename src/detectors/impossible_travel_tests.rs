//! Every boundary of `[impossible_travel]`, and its law: any order of arrival and any ticks of the clock
//! fire what a look at all events in order fires.

use std::collections::BTreeMap;

use expect_test::expect;
use proptest::prelude::*;

use super::bench::{self, START, advance, again, at, observe};
use super::impossible_travel::SPEC;
use super::{Detector, EVENTS_MAX, Occurrence, Verdicts};
use crate::base::Timestamp;
use crate::event::{Number, Scalar};

const HOUR: i64 = 3_600_000;

fn detector(settings: &str) -> Box<dyn Detector> {
    bench::detector(&SPEC, &format!("[impossible_travel]\n{settings}"))
}

/// An event at a longitude on the equator, where a degree is 111.195 km; empty: without a place.
fn event(time: i64, offset: i64, longitude: &str) -> Occurrence {
    let location =
        if longitude.is_empty() { longitude.to_owned() } else { format!("0,{longitude}") };
    let nothing = Vec::new();
    let values = vec![
        vec![location.as_str().into()],
        nothing.clone(),
        nothing.clone(),
        nothing.clone(),
        nothing.clone(),
        nothing,
    ];
    bench::occurrence(time, offset, values)
}

/// `time(from → value)` of each firing.
fn told(said: &Verdicts) -> String {
    let each = said.firings().map(|f| {
        assert_eq!(f.count, 2);
        let approximate = if f.approximate { "≈" } else { "" };
        let from = f.previous.as_ref().unwrap().as_str().unwrap();
        format!(
            "{}({approximate}{} km since {} at {from})",
            f.time.as_millis(),
            f.value,
            f.first.as_millis()
        )
    });
    each.collect::<Vec<_>>().join(" ")
}

/// Arrivals are (time in ms, longitude), in this order; then the clock passes them all.
fn check(settings: &str, arrivals: &[(i64, &str)], expected: &str) {
    let detector = detector(settings);
    let mut state = detector.fresh(START);
    for (offset, (time, longitude)) in (0..).zip(arrivals) {
        assert!(observe(&mut *state, &event(*time, offset, longitude)).is_empty());
        state = again(&*detector, &*state);
    }
    assert_eq!(told(&advance(&mut *state, 1_000_000 * HOUR)), expected, "{arrivals:?}");
}

#[test]
fn it_fires_when_the_way_is_far_and_would_have_to_be_made_faster_than_the_speed() {
    // Five degrees are 555.97 km, nine are 1,000.75 km: at 900 km/h in 1 h 6 m 43 s.
    check("", &[(0, "0"), (1, "5")], "1(556 km since 0 at 0,0)");
    check("", &[(0, "0"), (4_003_012, "9")], "4003012(1001 km since 0 at 0,0)");
    check("", &[(0, "0"), (4_003_020, "9")], "");
    // Four degrees are 444.78 km: nearer than 500 km, however fast.
    check("", &[(0, "0"), (1, "4")], "");
    check("min_distance = '444km'", &[(0, "0"), (1, "4")], "1(445 km since 0 at 0,0)");
    check("min_distance = '445km'", &[(0, "0"), (1, "4")], "");
}

#[test]
fn the_same_instant_is_infinitely_fast_and_the_same_place_is_no_way_at_all() {
    check("", &[(7, "0"), (7, "5")], "7(556 km since 7 at 0,0)");
    check("min_distance = '0km'", &[(7, "1"), (7, "1"), (8, "1")], "");
    check(
        "min_distance = '0km'\nspeed = '1mph'",
        &[(7, "1"), (7, "1.01")],
        "7(1 km since 7 at 0,1)",
    );
}

#[test]
fn an_event_is_compared_with_the_last_one_that_has_a_place() {
    check("", &[(0, "0"), (1, ""), (2, "99,1"), (3, "5"), (4, "5")], "3(556 km since 0 at 0,0)");
    // The last place, not the last that fired; back again is a way too.
    check("", &[(0, "0"), (1, "4"), (2, "8"), (3, "0")], "3(890 km since 2 at 0,8)");
}

#[test]
fn order_of_arrival_and_repeats_change_nothing_and_ties_keep_the_order_of_the_source() {
    check("", &[(9, "8"), (0, "0"), (5, "4")], "");
    let mut state = detector("").fresh(START);
    for (offset, longitude) in [(1, "9"), (0, "0"), (1, "9"), (0, "0")] {
        observe(&mut *state, &event(5, offset, longitude));
    }
    let said = advance(&mut *state, 6);
    assert_eq!(told(&said), "5(1001 km since 5 at 0,0)");
    assert_eq!(said.firings().next().unwrap().position.as_ref().unwrap().offset, 1);
}

#[test]
fn the_place_before_is_named_as_people_do() {
    let from = |city: Option<&str>, country: Option<&str>, address: Option<&str>| {
        let mut state = detector("").fresh(START);
        let mut first = event(0, 0, "13.5");
        for (at, value) in [(3, city), (4, country), (5, address)] {
            first.values[at] = value.into_iter().map(Scalar::from).collect();
        }
        observe(&mut *state, &first);
        observe(&mut *state, &event(1, 1, "0"));
        let said = advance(&mut *state, 2);
        let firing = said.firings().next().unwrap().clone();
        firing.previous.unwrap().as_str().unwrap().to_owned()
    };
    assert_eq!(from(Some("Berlin"), Some("DE"), Some("192.0.2.7")), "Berlin, DE (192.0.2.7)");
    assert_eq!(from(None, Some("DE"), None), "DE");
    assert_eq!(from(None, None, Some("192.0.2.7")), "0,13.5 (192.0.2.7)");
    assert_eq!(from(Some(&"ß".repeat(500)), None, None), "ß".repeat(128));
}

#[test]
fn a_place_may_be_two_numbers_of_their_own() {
    let mut state = detector("").fresh(START);
    let number = |number: f64| vec![Scalar::Number(Number::Float(number))];
    for (offset, longitude) in [(0, 0.0), (1, 90.0)] {
        let mut event = event(offset, offset, "");
        event.values =
            vec![Vec::new(), number(0.0), number(longitude), Vec::new(), Vec::new(), Vec::new()];
        observe(&mut *state, &event);
    }
    assert_eq!(told(&advance(&mut *state, 2)), "1(10008 km since 0 at 0,0)");
}

#[test]
fn it_waits_for_the_clock_and_forgets_when_nothing_can_be_too_far() {
    let detector = detector("speed = '20000km/h'");
    let mut state = detector.fresh(START);
    assert_eq!((state.wake_at(), state.expires_at()), (None, Timestamp::MIN));
    observe(&mut *state, &event(10, 1, "5"));
    observe(&mut *state, &event(5, 0, "0"));
    assert_eq!(state.wake_at(), Some(at(6)));
    assert_eq!(told(&advance(&mut *state, 10)), "");
    assert_eq!((state.wake_at(), state.depends_on()), (Some(at(11)), Some((at(5), at(10)))));
    assert_eq!(told(&advance(&mut *state, 11)), "10(556 km since 5 at 0,0)");
    // Half the way around the earth takes 1.00075 hours.
    assert_eq!(detector.span().as_millis(), 3_602_715);
    assert_eq!((detector.within(), state.expires_at()), (None, at(10 + 3_602_716)));
}

#[test]
fn more_than_can_wait_is_judged_early_and_says_so() {
    let mut state = detector("").fresh(START);
    let mut said = Verdicts::new();
    for n in 0..=i64::try_from(EVENTS_MAX).unwrap() {
        state.observe(&event(n, n, if n == 0 { "0" } else { "5" }), &mut said);
    }
    assert_eq!(said, Verdicts::new());
    state.observe(&event(20_000, 20_000, "5"), &mut said);
    assert_eq!(told(&said), "1(≈556 km since 0 at 0,0)");
}

#[test]
fn settings_are_checked_at_their_place() {
    let canonical = |settings: &str| detector(settings).canonical();
    assert_eq!(canonical(""), "speed=900km/h min_distance=500km");
    assert_eq!(
        canonical("speed = '560.5 km/h'\nmin_distance = '0km'"),
        "speed=560.5km/h min_distance=0km"
    );
    assert_eq!(
        canonical("speed = '500mph'\nmin_distance = '100mi'"),
        "speed=804.672km/h min_distance=160.9344km"
    );
    detector("speed = '1km/h'\nmin_distance = '20015km'");
    detector("speed = '100000km/h'");
    let wrong = |settings: &str| {
        let (detector, found) = bench::read(&SPEC, &format!("[impossible_travel]\n{settings}"));
        assert!(detector.is_none(), "{settings}");
        found.join("\n")
    };
    expect![[r"
        Some(28..31) expected `speed` with a unit, found `900`
        Some(47..52) expected a number in km or mi, found `500`
        Some(53..59) unknown key `within` in `[impossible_travel]`"]]
    .assert_eq(&wrong("speed = 900\nmin_distance = '500'\nwithin = '1h'"));
    expect![[r"
        Some(28..37) expected `speed` from 1km/h to 100000km/h, found `0.9km/h`
        Some(53..62) expected `min_distance` from 0km to 20015km, found `20016km`"]]
    .assert_eq(&wrong("speed = '0.9km/h'\nmin_distance = '20016km'"));
    for speed in ["km/h", "-5km/h", "infkm/h", "1e3km/h", "900 m/s", "900kmh", "100001km/h", ""] {
        assert_ne!(wrong(&format!("speed = '{speed}'")), "", "{speed}");
    }
    assert_ne!(wrong("speed = true"), "");
}

#[test]
fn broken_memory_is_refused() {
    let detector = detector("");
    let mut state = detector.fresh(START);
    for (time, longitude) in [(5, "0"), (6, "5"), (7, "-170.25")] {
        observe(&mut *state, &event(time, time, longitude));
    }
    advance(&mut *state, 6);
    bench::written_or_refused(&*detector, &*state);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_order_of_arrival_fires_what_the_sorted_order_fires(
        arrivals in prop::collection::vec(
            (0..60i64, 0..4i64, prop::option::of(-12..12i64), 0..90i64), 0..24),
        speed in 1..9i64,
        least in 0..6i64,
    ) {
        // Degrees on the equator and minutes; no way takes exactly the time there is.
        const FRACTION: f64 = 0.123_456_7;
        let degree = 6_371.0 * std::f64::consts::PI / 180.0;
        let degrees = |n: i64| f64::from(i32::try_from(n).unwrap());
        let detector = detector(&format!(
            "speed = '{}km/h'\nmin_distance = '{}km'",
            (degrees(speed) + FRACTION) * degree * 60.0,
            (degrees(least) - 0.25).max(0.0) * degree,
        ));
        let mut state = detector.fresh(START);
        let mut clock = 0;
        let mut taken: BTreeMap<(i64, i64), Option<i64>> = BTreeMap::new();
        let mut fired = Vec::new();
        let mut hear = |said: Verdicts| for f in said.firings() {
            fired.push((f.time.as_millis() / 60_000, f.position.as_ref().unwrap().offset, f.first.as_millis() / 60_000));
        };
        for (time, offset, longitude, tick) in arrivals {
            if time >= clock && !taken.contains_key(&(time, offset)) {
                taken.insert((time, offset), longitude);
                let longitude = longitude.map_or(String::new(), |l| l.to_string());
                hear(observe(&mut *state, &event(time * 60_000, offset, &longitude)));
            }
            if tick % 3 == 0 {
                clock = clock.max(tick);
                hear(advance(&mut *state, clock * 60_000));
                prop_assert!(state.wake_at().is_none_or(|wake| wake > at(clock * 60_000)));
            }
            state = again(&*detector, &*state);
        }
        hear(advance(&mut *state, 200 * 60_000));
        let located: Vec<_> = taken.iter().filter_map(|(place, l)| Some((*place, (*l)?))).collect();
        let mut expected = Vec::new();
        for pair in located.windows(2) {
            let (((before, _), from), ((time, offset), to)) = (pair[0], pair[1]);
            let way = (to - from).abs();
            let fast = degrees(way) > (degrees(speed) + FRACTION) * degrees(time - before);
            if way >= least && fast {
                expected.push((time, offset, before));
            }
        }
        prop_assert_eq!(fired, expected);
    }
}

//! What stays open until its condition is false: the alert is over when that was, and the clock only
//! decides when it is told.

use super::*;

/// Below a half of at least two events within ten seconds; `meets` is an event of the half.
const BELOW: &str = "group_by = ['user.name']\nlateness = '0s'
ratio = { of = 'user.name: nobody', below = 0.5, within = '10s', min_events = 2 }
alert = { keep_open = '3s', max_open = '60s' }";

#[test]
fn it_is_over_when_an_event_makes_it_false_and_that_is_told_keep_open_later() {
    check(
        BELOW,
        "event 0
        event 1
        event 9
        meets 10
        meets 11
        meets 12
        clock 12.001
        clock 14.001
        clock 15.002",
        &expect![[r"
            event 0
            event 1
            event 9
            meets 10
            meets 11
            meets 12
            clock 12.001
                1 r1 Open: count 6 of 0..12, firings 1
            clock 14.001
                1 r2 Resolved: count 5 of 0..11, firings 3, over at 11 (Quiet)
            clock 15.002
        "]],
    );
}

#[test]
fn it_is_over_at_the_first_moment_with_too_few_events() {
    check(
        BELOW,
        "event 0
        event 4
        clock 10.001
        clock 13.002",
        &expect![[r"
            event 0
            event 4
            clock 10.001
                4 r1 Open: count 2 of 0..4, firings 1
            clock 13.002
                4 r2 Resolved: count 2 of 0..4, firings 1, over at 10 (Quiet)
        "]],
    );
}

#[test]
fn when_it_comes_back_within_keep_open_it_is_the_same_alert() {
    check(
        BELOW,
        "event 0
        event 4
        event 13
        clock 14.001
        clock 100",
        &expect![[r"
            event 0
            event 4
            event 13
            clock 14.001
                4 r1 Open: count 3 of 0..13, firings 1
            clock 100
                4 r2 Resolved: count 3 of 0..13, firings 2, over at 14 (Quiet)
        "]],
    );
    check(
        BELOW,
        "event 0
        event 4
        clock 13.001
        event 13.002
        event 13.003
        clock 100",
        &expect![[r"
            event 0
            event 4
            clock 13.001
                4 r1 Open: count 2 of 0..4, firings 1
                4 r2 Resolved: count 2 of 0..4, firings 1, over at 10 (Quiet)
            event 13.002
            event 13.003
            clock 100
                13.002 r1 Open: count 3 of 4..13.003, firings 1
                13.002 r2 Resolved: count 3 of 4..13.003, firings 2, over at 23.002 (Quiet)
        "]],
    );
}

#[test]
fn it_stays_open_between_firings_for_longer_than_keep_open() {
    check(
        BELOW,
        "event 0
        event 1
        event 10
        clock 10.999
        event 11
        clock 19
        event 20
        clock 20.001
        clock 24.001",
        &expect![[r"
            event 0
            event 1
            event 10
            clock 10.999
                1 r1 Open: count 3 of 0..10, firings 1
            event 11
                1 r2 Open: count 4 of 0..11, firings 2
            clock 19
            event 20
            clock 20.001
            clock 24.001
                1 r3 Resolved: count 5 of 0..20, firings 4, over at 21 (Quiet)
        "]],
    );
}

#[test]
fn an_alert_that_is_open_for_max_open_is_over_then() {
    let mut script: Vec<String> = (0..=14).map(|n| format!("event {}", n * 5)).collect();
    script.push("clock 100".to_owned());
    check(
        BELOW,
        &script.join("\n"),
        &expect![[r"
        event 0
        event 5
        event 10
        event 15
        event 20
        event 25
        event 30
        event 35
        event 40
        event 45
        event 50
        event 55
        event 60
        event 65
        event 70
        clock 100
            5 r1 Open: count 14 of 0..65, firings 1
            5 r2 Resolved: count 14 of 0..65, firings 13, over at 65 (MaxOpen)
            70 r1 Open: count 3 of 60..70, firings 1
            70 r2 Resolved: count 3 of 60..70, firings 1, over at 75 (Quiet)
    "]],
    );
}

#[test]
fn its_peak_is_the_lowest_value_also_after_a_restart() {
    let mut scene = Scene::new(BELOW);
    let mut out = Findings::default();
    scene.partition.track_changes();
    let mut n = 0;
    for (second, met) in [(0, true), (1, false), (2, false), (3, false), (4, true), (5, false)] {
        n += 1;
        let record = scene.event(Timestamp::from_millis(second * 1_000), n, "Eve");
        let parts = if met { Parts::FIRST.with(1) } else { Parts::FIRST };
        let record = meeting(record, parts);
        assert_eq!(scene.partition.apply(&record, &scene.known, &mut out), Progress::Done);
        let tick = tick(Timestamp::from_millis(second * 1_000 + 1));
        assert_eq!(scene.partition.apply(&tick, &scene.known, &mut out), Progress::Done);
        let clock = scene.partition.encode_clock();
        let changes = scene.partition.take_changes();
        scene.partition = Correlation::new(Limits::default());
        scene.partition.track_changes();
        for change in changes {
            let value = change.value.unwrap();
            scene.partition.restore_key(change.rule, change.key, &value).unwrap();
        }
        scene.partition.restore_clock(&clock).unwrap();
    }
    let end = tick(Timestamp::from_millis(100_000));
    assert_eq!(scene.partition.apply(&end, &scene.known, &mut out), Progress::Done);
    let last = out.alerts.last().unwrap();
    // One of three, one of four, two of five, two of six; too few at 14.
    assert_eq!((&last.value, &last.peak), (&(2.0 / 6.0).into(), &0.25.into()));
    assert_eq!((last.firings, last.resolved_at), (4, Some(Timestamp::from_millis(14_000))));
}

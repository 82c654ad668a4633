//! What is remembered beside the alert's life: versions of a rule, bounds, words, samples.

use expect_test::expect;

use super::super::*;
use super::{EVERY, Scene, THREE, check, tick};
use crate::base::Timestamp;
use crate::engine::Record;

#[test]
fn words_change_without_counting_anew_and_another_window_counts_anew() {
    let mut scene = Scene::new(THREE);
    scene.run("event 1\n event 2");
    scene.edit(&format!("description = 'd'\n{THREE}"));
    scene.run("event 3");
    scene.edit(&THREE.replace('3', "2"));
    // Its own window holds one event, then two; the alert is the rule's, and grows.
    scene.run("event 4\n event 5\n clock 100").tells(&expect![[r"
        event 1
        event 2
        event 3
            3 r1 Open: count 3 of 1..3, firings 1
        event 4
            3 r2 Open: count 4 of 1..4, firings 1
        event 5
        clock 100
            3 r3 Resolved: count 5 of 1..5, firings 2, over at 15 (Quiet)
    "]]);
}

#[test]
fn an_alert_resolves_though_its_rule_is_gone() {
    let mut scene = Scene::new(EVERY);
    scene.run("event 1");
    scene.known = Rules::new();
    scene.run("clock 100").tells(&expect![[r"
        event 1
            1 r1 Open: count 1 of 1..1, firings 1
        clock 100
            1 r2 Resolved: count 1 of 1..1, firings 1, over at 11 (Quiet)
    "]]);
}

#[test]
fn keys_beyond_the_bound_push_out_others_but_not_open_alerts() {
    let limits = Limits { keys_per_rule: 2, ..Limits::default() };
    let mut scene = Scene::within(THREE, limits);
    scene.run("event 1 a\n event 2 a\n event 3 a\n event 4 b\n event 5 c\n event 6 b\n event 7 b");
    scene.run("event 8 c\n event 9 c\n event 9 c\n event 9 b");
    scene.tells(&expect![[r"
        event 1 a
        event 2 a
        event 3 a
            3 r1 Open: count 3 of 1..3, firings 1
        event 4 b
        event 5 c
            Evicted
        event 6 b
            Evicted
        event 7 b
        event 8 c
            Evicted
        event 9 c
        event 9 c
            9 r1 Open: count 3 of 8..9, firings 1
        event 9 b
            Refused
    "]]);
}

#[test]
fn a_key_is_one_however_spelt_and_shown_as_the_opener_spelt_it() {
    let mut scene = Scene::new(THREE);
    let mut out = Findings::default();
    for (n, user) in ["EVE", "eve", "Eve"].into_iter().enumerate() {
        let offset = i64::try_from(n).unwrap();
        let record = scene.event(Timestamp::from_millis(offset), offset, user);
        assert_eq!(scene.partition.apply(&record, &scene.known, &mut out), Progress::Done);
    }
    assert_eq!(out.alerts[0].key["user.name"], "Eve");
}

#[test]
fn titles_show_the_latest_firing_the_key_and_distinct_values() {
    let settings = format!(
        "{THREE}\n[alert]\ntitle = \"{{{{ alert.count }}}} of {{{{ user.name }}}} at {{{{ source.ip }}}} from {{{{ values('source.ip') | join(', ') }}}}\""
    );
    let mut scene = Scene::new(&settings);
    let mut titles = Vec::new();
    for (offset, second) in [(1, 50), (2, 61), (3, 62), (4, 64), (5, 63)] {
        let mut out = Findings::default();
        let record = scene.event(Timestamp::from_millis(second * 1000), offset, "Eve");
        assert_eq!(scene.partition.apply(&record, &scene.known, &mut out), Progress::Done);
        titles.extend(out.alerts.into_iter().map(|a| a.title));
    }
    let mut out = Findings::default();
    let _done =
        scene.partition.apply(&tick(Timestamp::from_millis(500_000)), &scene.known, &mut out);
    titles.extend(out.alerts.into_iter().map(|a| a.title));
    expect![[r"
        3 of Eve at 10.0.0.4 from 10.0.0.2, 10.0.0.3, 10.0.0.4
        4 of Eve at 10.0.0.4 from 10.0.0.2, 10.0.0.3, 10.0.0.5, 10.0.0.4
        4 of Eve at 10.0.0.4 from 10.0.0.2, 10.0.0.3, 10.0.0.5, 10.0.0.4"]]
    .assert_eq(&titles.join("\n"));
}

#[test]
fn severity_is_that_of_the_first_case_met_and_only_rises() {
    let settings = "group_by = ['user.name']\nlateness = '0s'\n[[alert.severity]]\nwhen = 'source.ip: 10.0.0.2'\nlevel = 'info'\n\
        [[alert.severity]]\nwhen = 'alert.count >= 3 or alert.firings > 50'\nlevel = 'high'\n\
        [[alert.severity]]\nwhen = '@timestamp >= \"1970-01-01T00:00:05Z\" and alert.severity: low'\nlevel = 'critical'\n";
    let mut scene = Scene::new(settings);
    let mut told = Vec::new();
    // The first event meets no case; the second the first, which is lower; the third the second,
    // at a count that is told for that reason alone.
    for offset in 1..=5 {
        let mut out = Findings::default();
        let record = scene.event(Timestamp::from_millis(offset * 1000), offset, "Eve");
        assert_eq!(scene.partition.apply(&record, &scene.known, &mut out), Progress::Done);
        let each = out.alerts.iter().map(|a| (a.revision, a.severity.name()));
        told.push(each.collect::<Vec<_>>());
    }
    let expected =
        [vec![(1, "low")], vec![(2, "low")], vec![(3, "high")], vec![(4, "high")], vec![]];
    assert_eq!(told, expected);

    let mut late = Scene::new(settings);
    let mut out = Findings::default();
    let record = late.event(Timestamp::from_millis(5_000), 1, "Eve");
    assert_eq!(late.partition.apply(&record, &late.known, &mut out), Progress::Done);
    assert_eq!(out.alerts[0].severity.name(), "low", "a new alert has no severity yet");
    let record = late.event(Timestamp::from_millis(6_000), 3, "Eve");
    assert_eq!(late.partition.apply(&record, &late.known, &mut out), Progress::Done);
    assert_eq!(out.alerts[1].severity.name(), "critical");
}

#[test]
fn samples_are_the_opening_event_then_the_latest_ones() {
    let mut scene = Scene::new(EVERY);
    let mut out = Findings::default();
    for offset in 1..=16 {
        let record = scene.event(Timestamp::from_millis(offset * 1000), offset, "Eve");
        assert_eq!(scene.partition.apply(&record, &scene.known, &mut out), Progress::Done);
    }
    let last = out.alerts.last().unwrap();
    let positions: Vec<&str> = last.samples.iter().map(|s| s.position.as_str()).collect();
    assert_eq!(positions.len(), SAMPLES_MAX);
    assert_eq!(
        (positions[0], positions[1], positions[9]),
        ("audit:0:1", "audit:0:8", "audit:0:16")
    );
    assert_eq!(last.samples[9].fields["source.ip"], "10.0.0.16");
}

#[test]
fn a_count_stays_exact_beyond_what_is_remembered_one_by_one() {
    let settings = EVERY.replace("60s", "24h");
    let mut scene = Scene::new(&settings);
    let mut out = Findings::default();
    for n in 0..3_000 {
        let record = scene.event(Timestamp::from_millis(n * 1000), n, "Eve");
        assert_eq!(scene.partition.apply(&record, &scene.known, &mut out), Progress::Done);
    }
    let counts = |out: &Findings| {
        let last = out.alerts.last().unwrap();
        (last.count, last.firings, last.approximate)
    };
    let mut over = Findings::default();
    let end = tick(Timestamp::from_millis(9_000_000));
    // An event that is older than all that are remembered may be a repeated one.
    let mut older = scene.event(Timestamp::from_millis(500), 9_999, "Eve");
    assert_eq!(scene.partition.apply(&end, &scene.known, &mut over), Progress::Done);
    assert_eq!(counts(&over), (3_000, 3_000, false));

    let mut scene = Scene::new(&settings);
    for n in 0..=i64::try_from(EVENTS_PER_KEY).unwrap() {
        let record = scene.event(Timestamp::from_millis(1_000 + n), n, "Eve");
        assert_eq!(scene.partition.apply(&record, &scene.known, &mut out), Progress::Done);
    }
    if let Record::Signals(signals) = &mut older {
        signals.time = Timestamp::from_millis(1_000);
    }
    assert_eq!(scene.partition.apply(&older, &scene.known, &mut out), Progress::Done);
    let mut over = Findings::default();
    assert_eq!(scene.partition.apply(&end, &scene.known, &mut over), Progress::Done);
    assert_eq!(counts(&over), (1_001, 1_002, true));
}

#[test]
fn an_alert_that_opens_before_all_that_is_remembered_says_that_its_count_is_a_lower_bound() {
    // At 60 the event of 5 was let go: nobody can say that one came between 0 and 10.
    check(
        EVERY,
        "event 5\n clock 60\n event 0\n event 40\n clock 200",
        &expect![[r"
            event 5
                5 r1 Open: count 1 of 5..5, firings 1
            clock 60
                5 r2 Resolved: count 1 of 5..5, firings 1, over at 15 (Quiet)
            event 0
                0 r1 Open: ≥ count 1 of 0..0, firings 1
            event 40
                40 r1 Open: count 1 of 40..40, firings 1
            clock 200
                0 r2 Resolved: ≥ count 1 of 0..0, firings 1, over at 10 (Quiet)
                40 r2 Resolved: count 1 of 40..40, firings 1, over at 50 (Quiet)
        "]],
    );
}

#[test]
fn an_alert_that_grows_back_past_what_was_let_go_says_that_its_count_is_a_lower_bound() {
    // At 26 the first event of 5 was let go; the second one makes the alert of 12 begin there.
    check(
        EVERY,
        "event 5\n clock 24\n event 12\n clock 26\n event 5\n clock 200",
        &expect![[r"
        event 5
            5 r1 Open: count 1 of 5..5, firings 1
        clock 24
            5 r2 Resolved: count 1 of 5..5, firings 1, over at 15 (Quiet)
        event 12
            12 r1 Open: count 1 of 12..12, firings 1
        clock 26
        event 5
            12 r2 Open: ≥ count 2 of 5..12, firings 2
        clock 200
            12 r3 Resolved: ≥ count 2 of 5..12, firings 2, over at 22 (Quiet)
    "]],
    );
}

//! Alerts that are about a value beside the key: each new one has its own.

use super::*;

const NEW: &str =
    "group_by = ['user.name']\nlateness = '2s'\nnew_value = { fields = ['source.ip'] }";

#[test]
fn each_new_value_has_an_alert_that_counts_its_own_events() {
    check(
        NEW,
        "event 1 Eve a
        event 2 Eve b
        event 3 Eve a
        event 4 Bob a
        clock 7
        event 8 Eve a
        event 9 Eve c
        clock 303.002
        clock 304.002",
        &expect![[r"
            event 1 Eve a
            event 2 Eve b
            event 3 Eve a
            event 4 Bob a
            clock 7
                1 r1 Open: count 2 of 1..3, firings 1
                2 r1 Open: count 1 of 2..2, firings 1
                4 r1 Open: count 1 of 4..4, firings 1
            event 8 Eve a
            event 9 Eve c
            clock 303.002
                9 r1 Open: count 1 of 9..9, firings 1
                1 r2 Resolved: count 3 of 1..8, firings 1, over at 301 (Quiet)
            clock 304.002
                2 r2 Resolved: count 1 of 2..2, firings 1, over at 302 (Quiet)
        "]],
    );
}

#[test]
fn per_key_all_new_values_are_one_alert() {
    check(
        &format!("{NEW}\nalert = {{ per = 'key' }}"),
        "event 1 Eve a
        event 2 Eve b
        event 3 Eve a
        clock 7
        event 9 Eve c
        clock 400",
        &expect![[r"
            event 1 Eve a
            event 2 Eve b
            event 3 Eve a
            clock 7
                1 r1 Open: count 3 of 1..3, firings 1
            event 9 Eve c
                1 r2 Open: count 4 of 1..9, firings 2
            clock 400
                1 r3 Resolved: count 4 of 1..9, firings 3, over at 309 (Quiet)
        "]],
    );
}

#[test]
fn what_only_teaches_is_not_counted() {
    let settings = NEW.replace(" }", ", learn_when = 'event.action: login', settle = '10s' }");
    check(
        &settings,
        "lesson 1 Eve a
        event 5 Eve b
        lesson 6 Eve b
        lesson 7 Eve c
        clock 10
        event 12 Eve a
        event 13 Eve b
        event 14 Eve c
        clock 400",
        &expect![[r"
            lesson 1 Eve a
            event 5 Eve b
            lesson 6 Eve b
            lesson 7 Eve c
            clock 10
                5 r1 Open: count 1 of 5..5, firings 1
            event 12 Eve a
            event 13 Eve b
                5 r2 Open: count 2 of 5..13, firings 1
            event 14 Eve c
            clock 400
                14 r1 Open: count 1 of 14..14, firings 1
                5 r3 Resolved: count 2 of 5..13, firings 1, over at 305 (Quiet)
                14 r2 Resolved: count 1 of 14..14, firings 1, over at 314 (Quiet)
        "]],
    );
}

#[test]
fn a_value_that_was_forgotten_opens_another_alert_and_grows_one_that_is_still_open() {
    let settings = NEW.replace(" }", ", forget = '10s' }\nalert = { keep_open = '30s' }");
    check(
        &settings,
        "event 1 Eve a
        clock 5
        event 12 Eve a
        event 60 Eve a
        clock 400",
        &expect![[r"
            event 1 Eve a
            clock 5
                1 r1 Open: count 1 of 1..1, firings 1
            event 12 Eve a
                1 r2 Open: count 2 of 1..12, firings 1
            event 60 Eve a
            clock 400
                1 r3 Resolved: count 2 of 1..12, firings 2, over at 42 (Quiet)
                60 r1 Open: count 1 of 60..60, firings 1
                60 r2 Resolved: count 1 of 60..60, firings 1, over at 90 (Quiet)
        "]],
    );
}

#[test]
fn titles_show_the_values_of_its_own_events_also_of_those_that_waited_with_it() {
    let settings = format!(
        "{NEW}\n[alert]\ntitle = \"{{{{ alert.value }}}} for {{{{ user.name }}}}: {{{{ alert.count }}}} from {{{{ values('source.ip') | join(', ') }}}}\""
    );
    let titles = |restart: bool| {
        let mut scene = Scene::new(&settings);
        scene.partition.track_changes();
        scene.run("event 1 Eve a\nevent 2 eve b\nevent 3 EVE a,c\nclock 2");
        if restart {
            scene.restart();
        }
        let mut out = Findings::default();
        let end = tick(seconds("9000"));
        assert_eq!(scene.partition.apply(&end, &scene.known, &mut out), Progress::Done);
        let over = out.alerts.iter().filter(|a| a.status == AlertStatus::Resolved);
        over.map(|a| (a.title.clone(), a.samples.len())).collect::<Vec<_>>()
    };
    let expected = [
        ("a for Eve: 2 from a, c".to_owned(), 2),
        ("b for eve: 1 from b".to_owned(), 1),
        ("c for EVE: 1 from a, c".to_owned(), 1),
    ];
    assert_eq!(titles(false), expected);
    assert_eq!(titles(true), expected);
}

#[test]
fn beyond_the_bound_the_alert_that_would_be_over_first_makes_room() {
    let mut scene = Scene::new(NEW);
    let mut out = Findings::default();
    let many = i64::try_from(ALERTS_PER_KEY).unwrap() + 1;
    for n in 1..=many {
        let address = format!("10.0.0.{n}");
        let record = scene.met(Timestamp::from_millis(n), n, "Eve", &address, Parts::FIRST);
        assert_eq!(scene.partition.apply(&record, &scene.known, &mut out), Progress::Done);
    }
    assert_eq!(out.alerts, []);
    let clock = tick(Timestamp::from_millis(10_000));
    assert_eq!(scene.partition.apply(&clock, &scene.known, &mut out), Progress::Done);
    let opened = out.alerts.iter().filter(|alert| alert.revision == 1).count();
    assert_eq!(opened, ALERTS_PER_KEY + 1);
    let over: Vec<_> = out.alerts.iter().filter(|alert| alert.resolved_at.is_some()).collect();
    assert_eq!(over.len(), 1);
    assert_eq!((&over[0].value, over[0].count), (&"10.0.0.1".into(), 1));
    assert!(over[0].approximate, "what is still to come it will not count");
    assert_eq!(scene.partition.standing(&scene.known).len(), ALERTS_PER_KEY);
}

#[test]
fn there_is_a_choice_only_where_values_are_new() {
    let (mut scene, mut ids) = (Scene::new(NEW), Vec::new());
    for per in ["", "\nalert = { per = 'tuple' }", "\nalert = { per = 'key' }"] {
        let before = scene.rule.clone();
        scene.edit(&format!("{NEW}{per}"));
        assert_eq!(scene.rule.fingerprint, before.fingerprint);
        ids.push(scene.rule.hash);
    }
    assert_eq!((ids[0] == ids[1], ids[1] == ids[2]), (true, false));
}

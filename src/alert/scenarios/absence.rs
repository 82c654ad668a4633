//! What fires for want of events: alerts that open by the clock, end as of the event that satisfies
//! them, and keys that are watched though nobody ever heard of them. And since when.

use super::*;

pub(super) const SILENT: &str = "group_by = ['user.name']\nlateness = '2s'\nabsence = { within = '10s' }\nalert = { keep_open = '5s', max_open = '60s' }";

/// A scene whose rule is one that the process runs.
pub(super) fn running(settings: &str) -> Scene {
    let mut scene = Scene::new(settings);
    scene.known = Rules::compile([scene.rule.clone()], &Sets::default()).unwrap();
    scene
}

#[test]
fn silence_opens_an_alert_and_the_event_that_ends_it_resolves_it() {
    running(SILENT)
        .run(
            "event 5
            clock 17
            clock 17.001
            event 30
            clock 32.001
            clock 37.001
            clock 37.002
            clock 42.001
            clock 42.002",
        )
        .tells(&expect![[r"
            event 5
            clock 17
            clock 17.001
                15 r1 Open: count 0 of 15..15, firings 1
            event 30
            clock 32.001
            clock 37.001
                15 r2 Resolved: count 0 of 15..15, firings 1, over at 30 (Quiet)
            clock 37.002
            clock 42.001
                40 r1 Open: count 0 of 40..40, firings 1
            clock 42.002
        "]]);
}

#[test]
fn silent_again_within_keep_open_is_one_alert() {
    let settings = SILENT.replace("keep_open = '5s'", "keep_open = '15s'");
    running(&settings)
        .run("event 5\nclock 20\nevent 20\nclock 33\nclock 34\nevent 50\nevent 59\nclock 67\nevent 68\nclock 67.001")
        .tells(&expect![[r"
            event 5
            clock 20
                15 r1 Open: count 0 of 15..15, firings 1
            event 20
            clock 33
            clock 34
            event 50
            event 59
            clock 67
            event 68
            clock 67.001
                15 r2 Resolved: count 0 of 15..30, firings 2, over at 50 (Quiet)
        "]]);
}

#[test]
fn closed_for_its_age_a_key_is_forgotten_until_its_next_event() {
    let mut scene = running(SILENT);
    scene.run("event 5\nclock 20\nclock 77\nclock 77.001");
    assert_eq!(scene.partition.keys(), 0);
    scene.run("clock 500\nevent 500\nclock 512\nclock 512.001").tells(&expect![[r"
        event 5
        clock 20
            15 r1 Open: count 0 of 15..15, firings 1
        clock 77
        clock 77.001
            15 r2 Resolved: count 0 of 15..15, firings 1, over at 75 (MaxOpen)
        clock 500
        event 500
        clock 512
        clock 512.001
            510 r1 Open: count 0 of 510..510, firings 1
    "]]);
}

#[test]
fn what_came_before_it_was_closed_is_not_the_next_event_of_a_key() {
    let mut scene = running(&SILENT.replace("'10s' }", "'10s', fewer_than = 2 }"));
    // The event of 18 is there before the clock finds the silence of 15, and does not end it.
    scene.run("event 5\nevent 18\nclock 77\nclock 77.001\nclock 200");
    assert_eq!(scene.partition.keys(), 0);
    scene.tells(&expect![[r"
        event 5
        event 18
        clock 77
            15 r1 Open: count 0 of 15..15, firings 1
        clock 77.001
            15 r2 Resolved: count 0 of 15..15, firings 1, over at 75 (MaxOpen)
        clock 200
    "]]);
}

#[test]
fn a_key_is_forgotten_at_max_open_though_it_fell_silent_again_just_before() {
    let settings = SILENT
        .replace("'10s' }", "'10s', fewer_than = 2 }")
        .replace("'5s', max_open = '60s'", "'15s', max_open = '20s'");
    let events = "event 5\nevent 18\nevent 19\nclock 30.001\nclock 37.001\nevent 38\nclock 60";
    running(&settings).run(events).tells(&expect![[r"
        event 5
        event 18
        event 19
        clock 30.001
            15 r1 Open: count 0 of 15..15, firings 1
        clock 37.001
            15 r2 Resolved: count 0 of 15..28, firings 2, over at 35 (MaxOpen)
        event 38
        clock 60
            48 r1 Open: count 0 of 48..48, firings 1
    "]]);
}

#[test]
fn an_alert_whose_silence_had_ended_takes_no_watch_from_the_next_one() {
    let settings = SILENT.replace("'5s', max_open = '60s'", "'15s', max_open = '20s'");
    let events = "event 5\nclock 17.001\nevent 16\nclock 28.001\nevent 27\nclock 39.001";
    let then = "clock 43.001\nevent 42\nevent 49\nevent 58\nclock 62";
    running(&settings).run(&format!("{events}\n{then}")).tells(&expect![[r"
        event 5
        clock 17.001
            15 r1 Open: count 0 of 15..15, firings 1
        event 16
        clock 28.001
        event 27
        clock 39.001
            37 r1 Open: count 0 of 37..37, firings 1
        clock 43.001
            15 r2 Resolved: count 0 of 15..26, firings 2, over at 27 (MaxOpen)
        event 42
        event 49
        event 58
        clock 62
            37 r2 Resolved: count 0 of 37..37, firings 1, over at 42 (Quiet)
    "]]);
}

#[test]
fn an_expected_key_that_never_reports_fires_once_and_again_after_it_did() {
    let settings = SILENT.replace("'10s' }", "'10s', expect = ['Bob'] }");
    let mut scene = running(&settings);
    scene.run("clock 100\nclock 110\nclock 112.001\nevent 113 eve\nclock 172.001\nclock 300");
    assert_eq!(scene.partition.keys(), 1, "eve is nobody's business");
    scene.run("event 300 bob\nclock 312\nclock 312.001").tells(&expect![[r"
        clock 100
        clock 110
        clock 112.001
            110 r1 Open: count 0 of 110..110, firings 1
        event 113 eve
        clock 172.001
            110 r2 Resolved: count 0 of 110..110, firings 1, over at 170 (MaxOpen)
        clock 300
        event 300 bob
        clock 312
        clock 312.001
            310 r1 Open: count 0 of 310..310, firings 1
    "]]);
}

#[test]
fn all_that_an_expected_key_said_before_the_first_tick_counts() {
    let settings = SILENT.replace("'10s' }", "'10s', expect = ['bob'] }");
    let mut scene = running(&settings);
    scene.run("event 5 bob\nevent 12 bob\nevent 19 bob\nevent 26 bob");
    scene.run("clock 30\nclock 38\nclock 38.001").tells(&expect![[r"
        event 5 bob
        event 12 bob
        event 19 bob
        event 26 bob
        clock 30
        clock 38
        clock 38.001
            36 r1 Open: count 0 of 36..36, firings 1
    "]]);
}

#[test]
fn a_rule_without_group_by_has_one_key_which_is_expected() {
    let settings = SILENT.replace("group_by = ['user.name']\n", "");
    running(&settings).run("clock 100\nclock 112.001\nevent 115\nclock 127.001").tells(&expect![[
        r"
            clock 100
            clock 112.001
                110 r1 Open: count 0 of 110..110, firings 1
            event 115
            clock 127.001
                110 r2 Resolved: count 0 of 110..110, firings 1, over at 115 (Quiet)
                125 r1 Open: count 0 of 125..125, firings 1
        "
    ]]);
}

#[test]
fn expected_keys_are_watched_by_the_partition_that_owns_them_and_by_no_other() {
    let names = ["ann", "bob", "cyd", "dan", "eve"];
    let settings = SILENT.replace("'10s' }", &format!("'10s', expect = {names:?} }}"));
    let scene = running(&settings);
    let mut seen = Vec::new();
    for index in 0..3 {
        let mut partition = Correlation::new(Limits::default()).placed(index, 3);
        let mut out = Findings::default();
        for second in [100, 200] {
            let record = tick(Timestamp::from_millis(second * 1000));
            assert_eq!(partition.apply(&record, &scene.known, &mut out), Progress::Done);
        }
        let opened = out.alerts.iter().filter(|alert| alert.revision == 1);
        for alert in opened {
            let user = alert.key["user.name"].as_str().unwrap().to_owned();
            let key = Key::new(&["user.name"], &[user.as_str().into()]);
            assert_eq!(crate::engine::partition_of("r", key.bytes(), 3), index);
            seen.push(user);
        }
    }
    seen.sort();
    assert_eq!(seen, names);
}

#[test]
fn a_version_that_nobody_runs_any_more_says_nothing_of_silence() {
    let mut scene = running(SILENT);
    scene.run("event 5");
    scene.rule = read(&SILENT.replace("'10s' }", "'20s' }"));
    let (old, new) = (read(SILENT), scene.rule.clone());
    scene.known = Rules::compile([new], &Sets::default()).unwrap();
    scene.known.add(&old, &Sets::default()).unwrap();
    scene.run("event 6\nclock 20\nclock 28\nclock 28.001").tells(&expect![[r"
        event 5
        event 6
        clock 20
        clock 28
        clock 28.001
            26 r1 Open: count 0 of 26..26, firings 1
    "]]);
}

#[test]
fn a_start_is_told_once_and_outlives_the_process() {
    let settings = SILENT.replace("'10s' }", "'10s', expect = ['bob'] }");
    let mut scene = running(&settings);
    assert_eq!(scene.partition.take_began(), []);
    scene.run("clock 100\nclock 105");
    let began = scene.partition.take_began();
    assert_eq!(began.len(), 1);
    assert_eq!((&*began[0].rule, began[0].at), ("r", Timestamp::from_millis(100_000)));
    assert_eq!(began[0].expected.values().collect::<Vec<_>>(), [&began[0].at]);
    scene.run("clock 106");
    assert_eq!(scene.partition.take_began(), []);

    // Another process: it knows the start, and where the clock stood.
    let after = |clock: i64| {
        let clock = Some(Timestamp::from_millis(clock * 1000));
        Correlation::resumed(Limits::default(), &Resume { offset: None, clock })
    };
    scene.partition = after(106);
    scene.partition.restore_start(began[0].clone());
    scene.run("clock 112\nclock 112.001");
    assert_eq!(scene.partition.take_began(), []);
    // And one that comes later does not tell what was told.
    scene.partition = after(113);
    scene.partition.restore_start(began[0].clone());
    scene.run("clock 150\nevent 150 bob\nclock 162.001");
    scene.tells(&expect![[r"
        clock 100
        clock 105
        clock 106
        clock 112
        clock 112.001
            110 r1 Open: count 0 of 110..110, firings 1
        clock 150
        event 150 bob
        clock 162.001
            160 r1 Open: count 0 of 160..160, firings 1
    "]]);
}

#[test]
fn while_the_log_is_read_again_nothing_begins_that_had_not() {
    let settings = SILENT.replace("'10s' }", "'10s', expect = ['bob'] }");
    let mut scene = running(&settings);
    scene.partition.set_live(false);
    scene.run("clock 100\nclock 200");
    assert_eq!((scene.partition.keys(), scene.partition.take_began()), (0, vec![]));
    scene.partition.set_live(true);
    scene.run("clock 201\nclock 213\nclock 213.001").tells(&expect![[r"
        clock 100
        clock 200
        clock 201
        clock 213
            210 r1 Open: count 0 of 210..210, firings 1
        clock 213.001
    "]]);
    assert_eq!(scene.partition.take_began()[0].at, Timestamp::from_millis(200_000));
}

#[test]
fn memory_and_starts_are_read_back_from_what_the_changelog_keeps() {
    let settings = SILENT.replace("'10s' }", "'10s', expect = ['bob'] }");
    let script =
        ["clock 100", "event 103 bob", "clock 116", "event 120 bob", "clock 122.001", "clock 140"];
    let told = |restart: Option<usize>| {
        let mut scene = running(&settings);
        scene.partition.track_changes();
        let mut keys = std::collections::BTreeMap::new();
        for (n, line) in script.iter().enumerate() {
            scene.run(line);
            for change in scene.partition.take_changes() {
                keys.insert((change.rule, change.key), change.value);
            }
            if restart == Some(n) {
                let clock = scene.partition.encode_clock();
                scene.partition = Correlation::new(Limits::default());
                for ((rule, key), value) in &keys {
                    let Some(value) = value else { continue };
                    scene.partition.restore_key(rule.clone(), key.clone(), value).unwrap();
                }
                scene.partition.restore_clock(&clock).unwrap();
                scene.partition.track_changes();
            }
        }
        scene.told
    };
    let whole = told(None);
    assert!(whole.iter().any(|line| line.contains("over at 120")), "{whole:?}");
    for (n, line) in script.iter().enumerate() {
        assert_eq!(told(Some(n)), whole, "after {line}");
    }
}

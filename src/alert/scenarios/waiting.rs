//! What decides on the clock: events wait until the rule's clock has passed them, and fire then as
//! the events they are.

use super::*;

const CHANGE: &str =
    "group_by = ['user.name']\nlateness = '2s'\nchange = { field = 'source.ip', within = '10s' }";

#[test]
fn an_event_fires_when_the_clock_has_passed_it_and_late_is_what_comes_after() {
    check(
        CHANGE,
        "event 5
        event 6
        clock 8
        clock 8.001
        event 5.999
        clock 18.003",
        &expect![[r"
            event 5
            event 6
            clock 8
            clock 8.001
                6 r1 Open: count 1 of 6..6, firings 1
            event 5.999
                Late
            clock 18.003
                6 r2 Resolved: count 1 of 6..6, firings 1, over at 16 (Quiet)
        "]],
    );
}

#[test]
fn what_waits_is_judged_by_the_version_that_took_it() {
    let mut scene = Scene::new(CHANGE);
    scene.run("event 5\nevent 6");
    scene.edit(&CHANGE.replace("within = '10s'", "within = '20s'"));
    // The new version starts anew: the event at 7 has none before it.
    scene.run("event 7\nevent 8\nclock 100");
    scene.tells(&expect![[r"
        event 5
        event 6
        event 7
        event 8
        clock 100
            6 r1 Open: count 3 of 6..8, firings 1
            6 r2 Resolved: count 3 of 6..8, firings 2, over at 28 (Quiet)
    "]]);
}

#[test]
fn without_its_version_what_waited_is_lost_and_that_is_told() {
    let mut scene = Scene::new(CHANGE);
    scene.run("event 5\nevent 6");
    scene.known = Rules::new();
    scene.run("clock 100");
    scene.tells(&expect![[r"
        event 5
        event 6
        clock 100
            Unreadable
    "]]);
}

#[test]
fn however_many_wait_each_alert_is_worded_by_its_own_event_also_after_a_restart() {
    let settings = format!(
        "{CHANGE}\n[alert]\ntitle = \"{{{{ user.name }}}} from {{{{ alert.previous }}}} to {{{{ alert.value }}}} at {{{{ source.ip }}}}\""
    );
    let titles = |restart: bool| {
        let mut scene = Scene::new(&settings);
        let mut out = Findings::with_firings();
        scene.partition.track_changes();
        for n in 1..=40 {
            let record = scene.event(Timestamp::from_millis(n * 30_000), n, "Eve");
            assert_eq!(scene.partition.apply(&record, &scene.known, &mut out), Progress::Done);
            // The same again, nine seconds later: from another address.
            let record = scene.event(Timestamp::from_millis(n * 30_000 + 9_000), 100 + n, "EVE");
            assert_eq!(scene.partition.apply(&record, &scene.known, &mut out), Progress::Done);
        }
        if restart {
            scene.restart();
        }
        assert_eq!(out.alerts, []);
        let end = tick(Timestamp::from_millis(9_000_000));
        assert_eq!(scene.partition.apply(&end, &scene.known, &mut out), Progress::Done);
        assert_eq!(out.firings.unwrap().len(), 40);
        let opened = out.alerts.into_iter().filter(|a| a.revision == 1);
        opened.map(|a| (a.title, a.key["user.name"].clone())).collect::<Vec<_>>()
    };
    let expected: Vec<_> = (1..=40)
        .map(|n| {
            let (before, now) = (format!("10.0.0.{n}"), format!("10.0.0.{}", 100 + n));
            (format!("EVE from {before} to {now} at {now}"), "EVE".into())
        })
        .collect();
    assert_eq!(titles(false), expected);
    assert_eq!(titles(true), expected);
}

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

const STOPPED: &str = "group_by = ['user.name']
lateness = '2s'
[[sequence.step]]
name = 'stopped'
when = 'event.action: stop'
[[sequence.step]]
name = 'started'
when = 'event.action: start'
absent = true
within = '10s'
[alert]
title = \"{{ user.name }} {{ source.ip }} {{ values('source.ip') }}\"";

#[test]
fn a_last_absent_step_shows_the_event_after_which_it_waited() {
    let mut scene = Scene::new(STOPPED);
    scene.partition.track_changes();
    scene.run("event 6 Eve 10.0.0.2\nevent 5 Eve 10.0.0.1,10.0.0.9\nclock 8");
    scene.restart();
    let mut out = Findings::with_firings();
    let tick = tick(seconds("17.500"));
    assert_eq!(scene.partition.apply(&tick, &scene.known, &mut out), Progress::Done);
    assert_eq!(out.notes, []);
    let firing = &out.firings.as_ref().unwrap()[0].firing;
    assert_eq!((firing.time, firing.position.as_ref()), (seconds("15"), None));
    let alert = &out.alerts[0];
    let samples: Vec<_> = alert.samples.iter().map(|s| (&*s.position, s.time)).collect();
    assert_eq!(samples, [("audit:0:2", seconds("5")), ("audit:0:1", seconds("6"))]);
    // The firing itself has the key's fields and no others; what the events had can be asked for.
    assert_eq!(alert.title, "Eve – 10.0.0.1, 10.0.0.9, 10.0.0.2");
}

#[test]
fn what_the_clock_opens_has_no_fields_of_an_event_for_other_rules() {
    let mut layout = crate::event::Layout::new();
    let field = crate::event::FieldName::parse("source.ip").unwrap();
    let slot = layout.want(crate::event::Wanted::Values(field));
    let opened = |settings: &str| {
        let mut scene = Scene::new(settings);
        let mut out = Findings::default();
        let event = scene.event(seconds("5"), 1, "Eve");
        assert_eq!(scene.partition.apply(&event, &scene.known, &mut out), Progress::Done);
        assert_eq!(
            scene.partition.apply(&tick(seconds("18")), &scene.known, &mut out),
            Progress::Done
        );
        let alert = out.alerts.remove(0);
        assert_eq!(alert.samples.len(), 1);
        let (event, _) = alert.as_event(&layout).unwrap();
        event.values(slot).len()
    };
    assert_eq!(opened(EVERY), 1);
    assert_eq!(opened(STOPPED), 0);
}

//! A rule expects those on a list, whose file changes: who comes and who leaves is kept in `control`, so
//! that another process goes on as if it had been there.

use super::*;
use crate::query::List;

const TEAM: &str = r#"
title    = "Silence"
severity = "high"
when     = 'event.action: *'
group_by = ["user.name"]
absence  = { within = "1m", expect = "@team" }
"#;

/// The file of the list has changed, between two records.
fn team_is(world: &World, names: &[&str]) {
    world.sets.swap_list("team", List::new(names.iter().copied()).0).unwrap();
}

fn team(names: &[&str]) -> World {
    let mut sets = Sets::default();
    sets.insert_list("team", List::new(names.iter().copied()).0);
    World::with(TEAM, Duration::ZERO, sets)
}

/// Whom `control` says that the rule expects, and since how many seconds.
fn expected(world: &World) -> Vec<String> {
    let starts = NoVersions(Sets::default(), world.control.clone()).starts().unwrap();
    let all = starts.values().flatten().flat_map(|began| &began.expected);
    let mut all: Vec<String> = all
        .map(|(key, since)| {
            let since = (since.as_millis() - NOW) / 1000;
            format!("{} {since}", key.shown()[0].as_text().unwrap())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn who_comes_and_goes_is_written_down_and_missed_only_while_expected() {
    let script = |world: &mut World, stop_after: Option<usize>| {
        let steps: [&dyn Fn(&mut World); 13] = [
            &|w| w.tick(0),
            &|w| w.event("ok", "eve", 10),
            &|w| team_is(w, &["eve", "mia", "zoe", "ida"]),
            &|w| w.tick(60),
            &|w| w.tick(100),
            &|w| w.event("ok", "kim", 110),
            &|w| team_is(w, &["eve", "kim", "zoe"]),
            &|w| w.tick(125),
            &|w| w.event("ok", "zoe", 140),
            &|w| w.tick(200),
            &|w| team_is(w, &["ida"]),
            &|w| w.tick(210),
            &|w| w.tick(900),
        ];
        for (n, step) in steps.iter().enumerate() {
            step(world);
            if stop_after == Some(n) {
                restart(world);
            }
        }
        world.told.sort();
    };
    let mut whole = team(&["eve", "mia", "zoe"]);
    script(&mut whole, None);
    expect_test::expect![[r#"
        soc opened "eve" count 0
        soc opened "ida" count 0
        soc opened "ida" count 0
        soc opened "kim" count 0
        soc opened "mia" count 0
        soc opened "zoe" count 0
        soc resolved "eve" count 0
        soc resolved "ida" count 0
        soc resolved "kim" count 0
        soc resolved "mia" count 0
        soc resolved "zoe" count 0"#]]
    .assert_eq(&whole.told.join("\n"));
    expect_test::expect!["ida 195"].assert_eq(&expected(&whole).join(", "));
    for n in 0..13 {
        let mut broken = team(&["eve", "mia", "zoe"]);
        script(&mut broken, Some(n));
        assert_eq!(broken.told, whole.told, "stopped after step {n}");
        assert_eq!(*broken.control.0.lock().unwrap(), *whole.control.0.lock().unwrap());
    }
}

#[test]
fn who_left_while_nobody_ran_is_missed_no_longer() {
    let mut world = team(&["eve", "mia"]);
    world.tick(0);
    world.tick(80);
    assert_eq!(world.told.len(), 2, "both are missed: {:?}", world.told);
    team_is(&world, &["mia"]);
    restart(&mut world);
    assert_eq!(world.told.len(), 2, "to read the log again tells nothing");
    world.tick(81);
    assert_eq!(world.told.get(2).map(String::as_str), Some("soc resolved \"eve\" count 0"));
    assert_eq!(expected(&world), ["mia -5"]);
    world.tick(2000);
    assert_eq!(world.told.len(), 3, "{:?}", world.told);
}

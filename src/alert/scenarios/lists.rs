//! Whom a rule expects may stand in a list, which changes while it runs: who comes is expected from then
//! on, who leaves is not any more. And the log, read again, gives the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::absence::SILENT;
use super::*;
use crate::alert::RuleBegan;
use crate::detectors::EXPECTED_MAX;
use crate::query::List;

/// A rule that expects whoever is on the list `team`.
struct Team {
    scene: Scene,
    sets: Sets,
    /// Every record that was taken.
    log: Vec<Record>,
    /// What was to be written down.
    began: Vec<RuleBegan>,
}

impl Team {
    fn new(names: &[&str]) -> Self {
        let mut sets = Sets::default();
        sets.insert_list("team", List::new(names.iter().copied()).0);
        let settings = SILENT.replace("'10s' }", "'10s', expect = '@team' }");
        let text = format!("title = 'T'\nseverity = 'low'\nwhen = 'user.name: *'\n{settings}\n");
        let source = SourceText::new("r.toml", text);
        let (rule, found) = rule::parse(&source, "r", &rule::Context::new(&sets));
        let mut scene = Scene::new(SILENT);
        scene.rule = Arc::new(rule.unwrap_or_else(|| panic!("{found:?}")));
        scene.known = Rules::compile([scene.rule.clone()], &sets).unwrap();
        Self { scene, sets, log: Vec::new(), began: Vec::new() }
    }

    /// The list's file has changed.
    fn is(&mut self, names: &[&str]) -> &mut Self {
        self.sets.swap_list("team", List::new(names.iter().copied()).0).unwrap();
        self.scene.told.push(format!("@team = {}", names.join(" ")));
        self
    }

    /// As [`Scene::run`], keeping what a log would keep.
    fn run(&mut self, script: &str) -> &mut Self {
        for line in script.lines().map(str::trim) {
            let offset = i64::try_from(self.log.len()).unwrap();
            self.scene.partition.stand_at(offset);
            self.scene.run(line);
            let words: Vec<&str> = line.split_whitespace().collect();
            let time = seconds(words[1]);
            self.log.push(match words[0] {
                "event" => self.scene.event(time, self.scene.offset, words[2]),
                _ => tick(time),
            });
            self.began.extend(self.scene.partition.take_began());
        }
        self
    }

    /// A line of a script, or `is NAMES`.
    fn step(&mut self, line: &str) {
        match line.strip_prefix("is ") {
            Some(names) => drop(self.is(&names.split_whitespace().collect::<Vec<_>>())),
            None => drop(self.run(line)),
        }
    }

    /// Another process reads the log again, in silence, from where this one would: with what was
    /// written down.
    fn read_again(&mut self) {
        let resume = self.scene.partition.resume_point();
        let mut partition = Correlation::resumed(Limits::default(), &resume);
        for began in &self.began {
            partition.restore_start(began.clone());
        }
        partition.set_live(false);
        let all = (0_i64..).zip(&self.log);
        for (offset, record) in all.filter(|(at, _)| resume.offset.is_some_and(|from| *at >= from))
        {
            partition.stand_at(offset);
            let mut out = Findings::default();
            assert_eq!(partition.apply(record, &self.scene.known, &mut out), Progress::Done);
        }
        partition.set_live(true);
        assert_eq!(partition.take_began(), [], "nothing begins while the log is read again");
        self.scene.partition = partition;
    }

    fn keys(&self) -> usize {
        self.scene.partition.keys()
    }

    fn tells(&self, expected: &Expect) {
        self.scene.tells(expected);
    }
}

#[test]
fn who_comes_to_a_list_is_expected_from_the_clock_of_then_on() {
    let mut team = Team::new(&["bob"]);
    team.run("clock 100\nclock 108").is(&["bob", "eve"]);
    team.run("clock 109\nclock 112.001\nclock 120\nclock 120.001").tells(&expect![[r"
        clock 100
        clock 108
        @team = bob eve
        clock 109
        clock 112.001
            110 r1 Open: count 0 of 110..110, firings 1
        clock 120
        clock 120.001
            118 r1 Open: count 0 of 118..118, firings 1
    "]]);
    let since: Vec<_> = team.began.iter().flat_map(|began| &began.expected).collect();
    let shown = |(key, at): &(&Key, &Timestamp)| format!("{:?} {}", key.shown(), at_second(**at));
    let since: Vec<String> = since.iter().map(shown).collect();
    assert_eq!(since, [r#"[Text("bob")] 100"#, r#"[Text("eve")] 108"#], "each is told once");
}

#[test]
fn what_came_of_a_key_before_it_was_expected_counts_where_its_first_window_reaches_it() {
    let mut team = Team::new(&["bob"]);
    // The clock stands at 100 when eve's event of 103 arrives.
    team.run("clock 100\nevent 103 bob\nevent 103 eve").is(&["bob", "eve"]);
    team.run("clock 104\nclock 115\nclock 115.001").tells(&expect![[r"
        clock 100
        event 103 bob
        event 103 eve
        @team = bob eve
        clock 104
        clock 115
        clock 115.001
            113 r1 Open: count 0 of 113..113, firings 1
            113 r1 Open: count 0 of 113..113, firings 1
    "]]);
}

#[test]
fn who_leaves_a_list_in_time_is_never_missed_and_nothing_is_remembered() {
    let mut team = Team::new(&["bob", "eve"]);
    // The silence from 100 to 110 is not told before 112.
    team.run("clock 100\nclock 111").is(&["bob"]);
    team.run("clock 111.5");
    assert_eq!(team.keys(), 1);
    team.run("clock 112.001\nclock 112.002\nclock 150").tells(&expect![[r"
        clock 100
        clock 111
        @team = bob
        clock 111.5
        clock 112.001
            110 r1 Open: count 0 of 110..110, firings 1
        clock 112.002
        clock 150
    "]]);
    let released: Vec<_> = team.began.iter().flat_map(|began| &began.released).collect();
    assert_eq!(released, [&Key::new(&["user.name"], &["eve".into()])]);
}

#[test]
fn who_leaves_between_the_first_event_and_the_first_tick_is_not_missed() {
    let mut team = Team::new(&["bob", "eve"]);
    team.run("event 95 bob\nevent 95 eve\nevent 99 bob").is(&["bob"]);
    team.run("clock 100\nclock 101");
    assert_eq!(team.keys(), 1, "the second tick let go of eve");
    team.run("clock 111\nclock 111.001").tells(&expect![[r"
        event 95 bob
        event 95 eve
        event 99 bob
        @team = bob
        clock 100
        clock 101
        clock 111
        clock 111.001
            109 r1 Open: count 0 of 109..109, firings 1
    "]]);
}

#[test]
fn the_alert_of_who_leaves_is_over_at_once_and_who_comes_back_is_expected_anew() {
    let mut team = Team::new(&["eve"]);
    team.run("clock 100\nclock 120").is(&[]);
    team.run("clock 121");
    assert_eq!(team.keys(), 0);
    team.run("clock 122\nevent 122 eve\nclock 140").is(&["eve"]);
    team.run("clock 141\nclock 152\nclock 152.001\nevent 160 eve\nclock 167.001").tells(&expect![
        [r"
            clock 100
            clock 120
                110 r1 Open: count 0 of 110..110, firings 1
            @team = 
            clock 121
                110 r2 Resolved: count 0 of 110..110, firings 1, over at 120 (NotExpected)
            clock 122
            event 122 eve
            clock 140
            @team = eve
            clock 141
            clock 152
            clock 152.001
                150 r1 Open: count 0 of 150..150, firings 1
            event 160 eve
            clock 167.001
                150 r2 Resolved: count 0 of 150..150, firings 1, over at 160 (Quiet)
        "]
    ]);
}

#[test]
fn what_had_ended_before_its_key_left_ended_then() {
    // Told at 117.001 otherwise, when no firing has come for `keep_open`.
    let mut team = Team::new(&["bob", "eve"]);
    team.run("clock 100\nclock 112.001\nevent 113 eve\nclock 115.001\nevent 116 bob").is(&[]);
    team.run("clock 117\nclock 200").tells(&expect![[r"
        clock 100
        clock 112.001
            110 r1 Open: count 0 of 110..110, firings 1
            110 r1 Open: count 0 of 110..110, firings 1
        event 113 eve
        clock 115.001
        event 116 bob
        @team = 
        clock 117
            110 r2 Resolved: count 0 of 110..110, firings 1, over at 115.001 (NotExpected)
            110 r2 Resolved: count 0 of 110..110, firings 1, over at 113 (Quiet)
        clock 200
    "]]);
    assert_eq!(team.keys(), 0);
}

#[test]
fn a_list_that_grows_too_long_changes_nothing_until_it_is_shorter() {
    let mut team = Team::new(&["eve"]);
    let many: Vec<String> = (0..EXPECTED_MAX).map(|n| format!("user{n}")).collect();
    let mut names: Vec<&str> = many.iter().map(String::as_str).collect();
    names.push("eve");
    team.run("clock 100");
    team.sets.swap_list("team", List::new(names.iter().copied()).0).unwrap();
    team.run("clock 101\nclock 102\nclock 112.001");
    assert_eq!(team.keys(), 1);
    names.remove(0);
    team.sets.swap_list("team", List::new(names.iter().copied()).0).unwrap();
    team.run("clock 113");
    assert_eq!(team.keys(), EXPECTED_MAX);
    team.tells(&expect![[r"
        clock 100
        clock 101
            TooManyExpected
        clock 102
        clock 112.001
            110 r1 Open: count 0 of 110..110, firings 1
        clock 113
    "]]);
}

#[test]
fn each_partition_lets_go_of_its_own() {
    let names = ["ann", "bob", "cyd", "dan", "eve"];
    let mut team = Team::new(&names);
    let mut partitions: Vec<Correlation> =
        (0..3).map(|index| Correlation::new(Limits::default()).placed(index, 3)).collect();
    let mut run = |second: i64, known: &Rules| {
        let mut told = Vec::new();
        for partition in &mut partitions {
            let mut out = Findings::default();
            let record = tick(Timestamp::from_millis(second * 1000));
            assert_eq!(partition.apply(&record, known, &mut out), Progress::Done);
            told.extend(out.alerts);
        }
        let mut told: Vec<String> = told
            .iter()
            .map(|alert| format!("{} {:?}", alert.key["user.name"], alert.resolution))
            .collect();
        told.sort();
        told
    };
    assert_eq!(run(100, &team.scene.known), [""; 0]);
    assert_eq!(run(113, &team.scene.known).len(), 5);
    team.is(&["ann", "dan", "fay"]);
    let gone = ["\"bob\"", "\"cyd\"", "\"eve\""].map(|name| format!("{name} Some(NotExpected)"));
    assert_eq!(run(114, &team.scene.known), gone);
    assert_eq!(run(126, &team.scene.known), ["\"fay\" None"]);
}

/// Comings and goings, with and without events, alerts open and over.
const CHANGES: [&str; 18] = [
    "clock 100",
    "event 101 ann",
    "is ann bob cyd",
    "clock 105",
    "event 106 dan",
    "clock 113.001",
    "is ann cyd dan",
    "event 115 cyd",
    "clock 116",
    "clock 119",
    "is ann bob cyd dan",
    "clock 124",
    "event 127 bob",
    "clock 131",
    "is bob",
    "clock 138",
    "event 145 bob",
    "clock 170",
];

#[test]
fn whoever_reads_the_log_again_knows_what_was_known() {
    let told = |again: Option<usize>| {
        let mut team = Team::new(&["ann", "bob"]);
        for (n, line) in CHANGES.iter().enumerate() {
            team.step(line);
            if again == Some(n) {
                team.read_again();
            }
        }
        (team.scene.told, team.began)
    };
    let whole = told(None);
    for what in ["NotExpected", "Quiet", "125 r1 Open"] {
        assert!(whole.0.iter().any(|line| line.contains(what)), "{what}: {:#?}", whole.0);
    }
    for (n, line) in CHANGES.iter().enumerate() {
        assert_eq!(told(Some(n)), whole, "read again after {line}");
    }
}

#[test]
fn who_left_while_nobody_ran_is_found_gone_at_the_first_new_tick() {
    let mut team = Team::new(&["bob", "eve"]);
    team.run("clock 100\nevent 104 bob\nclock 113\nclock 114");
    team.is(&["bob", "fay"]).read_again();
    team.run("clock 115\nclock 117\nclock 126.001").tells(&expect![[r"
        clock 100
        event 104 bob
        clock 113
            110 r1 Open: count 0 of 110..110, firings 1
        clock 114
        @team = bob fay
        clock 115
            110 r2 Resolved: count 0 of 110..110, firings 1, over at 114 (NotExpected)
        clock 117
            114 r1 Open: count 0 of 114..114, firings 1
        clock 126.001
            124 r1 Open: count 0 of 124..124, firings 1
    "]]);
}

#[test]
fn the_changelog_keeps_whom_a_list_held() {
    let told = |restart: Option<usize>| {
        let mut team = Team::new(&["ann", "bob"]);
        team.scene.partition.track_changes();
        let mut keys = BTreeMap::new();
        for (n, line) in CHANGES.iter().enumerate() {
            team.step(line);
            for change in team.scene.partition.take_changes() {
                keys.insert((change.rule, change.key), change.value);
            }
            if restart == Some(n) {
                let clock = team.scene.partition.encode_clock();
                team.scene.partition = Correlation::new(Limits::default());
                for ((rule, key), value) in &keys {
                    let Some(value) = value else { continue };
                    let (rule, key) = (rule.clone(), key.clone());
                    team.scene.partition.restore_key(rule, key, value).unwrap();
                }
                team.scene.partition.restore_clock(&clock).unwrap();
                team.scene.partition.track_changes();
            }
        }
        team.scene.told
    };
    let whole = told(None);
    for (n, line) in CHANGES.iter().enumerate() {
        assert_eq!(told(Some(n)), whole, "after {line}");
    }
}

/// One thing after the other: the clock, an event of somebody, or another list.
#[derive(Debug, Clone)]
enum Step {
    /// So many seconds go by.
    Tick(i64),
    /// An event of one of [`NAMES`], so far ahead of the clock.
    Event(usize, i64),
    /// Those of [`NAMES`] whose bits are set.
    List(u8),
}

const NAMES: [&str; 3] = ["ann", "bob", "cyd"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_i64..7).prop_map(Step::Tick),
        3 => (0..NAMES.len(), 0_i64..8).prop_map(|(who, ahead)| Step::Event(who, ahead)),
        1 => (0_u8..8).prop_map(Step::List),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What somebody who keeps everything finds: for each stretch in which a key is expected, the moments at
/// which it has been silent for ten seconds and had not been before, as far as the rule's clock came.
fn silences(steps: &[Step], first: u8) -> BTreeSet<(&'static str, i64)> {
    let (mut clock, mut list) = (100, first);
    let mut events: [Vec<i64>; NAMES.len()] = Default::default();
    // Since when, and until which tick.
    let mut stretches: [Vec<(i64, i64)>; NAMES.len()] = Default::default();
    let mut expected = 0_u8;
    let mut tick = |before: i64, now: i64, list: u8, begins: bool| {
        for (who, stretches) in stretches.iter_mut().enumerate() {
            if list & (1 << who) == 0 {
                continue;
            }
            if expected & (1 << who) == 0 {
                stretches.push((if begins { now } else { before }, now));
            }
            stretches.last_mut().unwrap().1 = now;
        }
        expected = list;
    };
    tick(100, 100, list, true);
    for step in steps {
        match step {
            Step::Tick(seconds) => {
                tick(clock, clock + seconds, list, false);
                clock += seconds;
            }
            Step::Event(who, ahead) => events[*who].push(clock + ahead),
            Step::List(names) => list = *names,
        }
    }
    let mut found = BTreeSet::new();
    for (who, name) in NAMES.iter().enumerate() {
        for (since, until) in &stretches[who] {
            let mut silent = false;
            for moment in since + 10..until - 2 {
                let heard = events[who].iter().any(|t| moment - 10 < *t && *t <= moment);
                if !heard && !silent {
                    found.insert((*name, moment));
                }
                silent = !heard;
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// And it is the same when another process reads the log again in between.
    #[test]
    fn those_are_missed_who_are_silent_while_they_are_expected(
        steps in steps(),
        first in 0_u8..8,
        again in 0_usize..60,
    ) {
        let names = |bits: u8| -> Vec<&str> {
            let of = |(who, name): (usize, &&'static str)| (bits & (1 << who) != 0).then_some(*name);
            NAMES.iter().enumerate().filter_map(of).collect()
        };
        let run = |again: Option<usize>| {
            let mut team = Team::new(&names(first));
            let mut clock = 100;
            team.run("clock 100");
            for (n, step) in steps.iter().enumerate() {
                match step {
                    Step::Tick(seconds) => {
                        clock += seconds;
                        team.run(&format!("clock {clock}"));
                    }
                    Step::Event(who, ahead) => {
                        team.run(&format!("event {} {}", clock + ahead, NAMES[*who]));
                    }
                    Step::List(bits) => drop(team.is(&names(*bits))),
                }
                if again == Some(n) {
                    team.read_again();
                }
            }
            team
        };
        let whole = run(None);
        let fired: BTreeSet<(&str, i64)> = whole
            .scene
            .fired
            .iter()
            .map(|fired| {
                let name = fired.key["user.name"].as_str().unwrap();
                (name, fired.firing.time.as_millis() / 1000)
            })
            .collect();
        prop_assert_eq!(fired, silences(&steps, first));
        let again = run(Some(again));
        prop_assert_eq!(again.scene.told, whole.scene.told);
        prop_assert_eq!(again.began, whole.began);
    }
}

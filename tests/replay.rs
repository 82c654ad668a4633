//! `hark test` and `hark replay` as people and CI meet them: the binary itself, its words and its
//! exit codes; and a replay held against the very roles that run live.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::io::Read as _;
use std::process::Output;
use std::sync::Arc;

use expect_test::{Expect, expect};
use hark::alert::{Alert, Correlation, Findings, Limits, Progress, Rules};
use hark::base::diagnostic::SourceText;
use hark::base::{Position, Timestamp};
use hark::engine::{Matched, Program, Record, Source, SourceTime, Tick};
use hark::event::Layout;
use hark::mapping::{Mappings, Options, RawRecord, Tables};
use hark::query::Sets;
use hark::replay::{Replay, Through};
use hark::rule::{self, Rule};
use serde_json::Value;

#[path = "support/program.rs"]
mod program;

use program::{root, run as hark, text};

const RULE: &str = r#"title = "Repeated failed logins"
severity = "high"
when = 'event.action: failed'
group_by = ["user.name"]
threshold = { count = 3, within = "5m" }
[alert]
title = "{{ alert.count }} failures of {{ user.name }}"

[[test]]
name = "three are an alert"
events = [{ fields = { "event.action" = "failed", "user.name" = "eve" }, times = 3, every = "1m" }]
expect = [{ at = "2m", count = 3 }]
"#;

/// Common fields, dotted and nested, times in both ways, and some that are no events.
const EVENTS: &str = r#"{"@timestamp":"2026-01-05T12:00:00Z","event":{"action":"failed"},"user.name":"eve"}
{"@timestamp":1767614401000,"event.action":"failed","user":{"name":"Eve"}}

{"@timestamp":"2026-01-05T12:00:02Z","event.action":"failed","user":{"name":"eve"}}
{"@timestamp":"2026-01-05T13:00:00Z","event.action":"failed"}
{"@timestamp":"2026-01-05T12:50:00Z","event.action":"failed","user.name":"eve"}
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    /// A folder with a rule and events, and nothing else: no configuration.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("rules/mine/logins.toml", RULE);
        folder.write("events.jsonl", EVENTS);
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn hark(&self, arguments: &[&str]) -> Output {
        hark(self.0.path(), arguments, "")
    }
}

fn json(bytes: &[u8]) -> Vec<Value> {
    text(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Standard output and error as one text, with what depends on the machine's speed taken out.
fn check(output: &Output, code: i32, expected: &Expect) {
    let mut all = format!("{}--\n{}", text(&output.stdout), text(&output.stderr));
    for word in [" passed in ", " failed in "] {
        let took = all.split_once(word).and_then(|(_, rest)| rest.split_once(" s"));
        if let Some(took) = took.map(|(seconds, _)| format!("{word}{seconds} s")) {
            all = all.replace(&took, &format!("{word}0.00 s"));
        }
    }
    expected.assert_eq(&without_costs(&all));
    assert_eq!(output.status.code(), Some(code));
}

/// A text without what the summary tells of costs, which must be there.
fn without_costs(text: &str) -> String {
    let (mut all, mut in_table) = (String::new(), false);
    for line in text.split_inclusive('\n') {
        // `COST  SHARE`, or `310 ns  97 %`: the last words of each line.
        let words = if line.ends_with("  COST  SHARE\n") {
            in_table = true;
            2
        } else if in_table && line.ends_with(" %\n") {
            4
        } else {
            in_table = false;
            0
        };
        let mut rest = line.trim_end();
        for _ in 0..words {
            rest = rest.rsplit_once(' ').unwrap().0.trim_end();
        }
        all.push_str(rest);
        all.push('\n');
    }
    all
}

#[test]
fn a_rule_is_tested_where_there_is_nothing_but_the_rule() {
    let folder = Folder::new();
    check(
        &folder.hark(&["test", "rules", "--list"]),
        0,
        &expect![[r"
        passed  mine/logins: three are an alert
        1 test of 1 rule passed in 0.00 s
        --
    "]],
    );
    folder.write("rules/mine/logins.toml", &RULE.replace("count = 3 }", "count = 4 }"));
    check(
        &folder.hark(&["test", "--junit", "out.xml"]),
        1,
        &expect![[r"
        FAILED  mine/logins: three are an alert
                rules/mine/logins.toml:10
          count: expected 4, found 3
            0s…1m  event     event.action: failed, user.name: eve 1 to 2 of 3  matches  user.name: eve
               2m  event     event.action: failed, user.name: eve 3 of 3  matches  user.name: eve  fires, count 3
               2m  opens     high alert `3 failures of eve`  user.name: eve
               2m  expected  ✗ count: expected 4, found 3
               7m  resolves  `3 failures of eve`, quiet for keep_open, count 3

        1 of 1 test of 1 rule failed in 0.00 s
        --
    "]],
    );
    let xml = std::fs::read_to_string(folder.0.path().join("out.xml")).unwrap();
    assert!(
        xml.contains("tests=\"1\" failures=\"1\"")
            && xml.contains("file=\"rules/mine/logins.toml\"")
    );
    folder.write("rules/mine/logins.toml", &RULE.replace("threshold", "treshold"));
    check(
        &folder.hark(&["test"]),
        1,
        &expect![[r#"
            --
            error[unknown-key]: unknown key `treshold`
             --> rules/mine/logins.toml:5:1
              |
            5 | treshold = { count = 3, within = "5m" }
              | ^^^^^^^^
              |
              = help: did you mean `threshold`?

            error: 1 rule and no mappings checked: 1 error; nothing was run
        "#]],
    );
}

#[test]
fn the_shipped_rules_hold_their_tests_and_say_how_long_that_took() {
    let output = hark(&root(), &["test"], "");
    assert!(output.status.success(), "{}", text(&output.stdout));
    let said = text(&output.stdout);
    let seconds = said.split(" passed in ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(seconds.parse::<f64>().is_ok(), "{said}");
}

#[test]
fn alerts_and_what_each_rule_made_of_the_events_are_a_table() {
    let folder = Folder::new();
    let replay = ["replay", "--rules", "rules", "--mapping", "none", "events.jsonl"];
    check(
        &folder.hark(&replay),
        0,
        &expect![[r"
            OPENED                OPEN FOR  SEVERITY  COUNT  RULE         KEY  TITLE
            2026-01-05T12:00:02Z        5m  high          3  mine/logins  eve  3 failures of eve

            RULE         MATCHED  NO KEY  LATE  FIRED  ALERTS
            mine/logins        5       1     1      1       1
            5 records, 2026-01-05T12:00:00Z to 2026-01-05T13:00:00Z, 1 alert
            --
            warning: 1 record came too late for the windows of a rule and did not count there, so that alerts may be missing: records should come oldest first, and files in order of time; --sort puts them so, and `tac` turns a newest-first file around
        "]],
    );
    let firings = [&replay[..], &["--firings"]].concat();
    check(
        &folder.hark(&firings),
        0,
        &expect![[r"
            TIME                  RECORD  RULE         KEY  COUNT  VALUE
            2026-01-05T12:00:02Z       2  mine/logins  eve      3  3

            RULE         MATCHED  NO KEY  LATE  FIRED  ALERTS
            mine/logins        5       1     1      1       1
            5 records, 2026-01-05T12:00:00Z to 2026-01-05T13:00:00Z, 1 alert
            --
            warning: 1 record came too late for the windows of a rule and did not count there, so that alerts may be missing: records should come oldest first, and files in order of time; --sort puts them so, and `tac` turns a newest-first file around
        "]],
    );
    let denied = folder.hark(&[&replay[..], &["--deny-alerts"]].concat());
    assert!(text(&denied.stderr).ends_with("\nerror: 1 alert opened\n"), "{denied:?}");
    assert_eq!(denied.status.code(), Some(1));
}

#[test]
fn programs_read_one_object_a_line() {
    let folder = Folder::new();
    let replay = ["replay", "--rules", "rules", "--mapping", "none", "--format", "json"];
    let alerts = hark(folder.0.path(), &replay, EVENTS);
    assert_eq!(alerts.status.code(), Some(0));
    let alerts = json(&alerts.stdout);
    assert_eq!(alerts.len(), 1);
    let alert: Alert = serde_json::from_value(alerts[0].clone()).unwrap();
    assert_eq!((alert.count, alert.rule.id.as_str()), (3, "mine/logins"));
    assert_eq!(alert.resolved_at.unwrap().to_string(), "2026-01-05T12:05:02Z");
    let open = [&replay[..], &["--run-for", "0s"]].concat();
    let events: String = EVENTS.split_inclusive('\n').take(4).collect();
    let open = json(&hark(folder.0.path(), &open, &events).stdout);
    assert_eq!((&open[0]["status"], &open[0]["count"]), (&"open".into(), &3.into()));
    let firings = [&replay[..], &["--firings", "events.jsonl"]].concat();
    expect![[r#"
        {"firing":{"rule":"mine/logins","time":"2026-01-05T12:00:02Z","key":{"user.name":"eve"},"index":2,"count":3,"value":3}}
    "#]].assert_eq(text(&folder.hark(&firings).stdout));
}

#[test]
fn programs_read_the_summary_too_and_every_rule_that_worked_has_a_cost() {
    let folder = Folder::new();
    folder.write("rules/mine/quiet.toml", "title = 'q'\nseverity = 'low'\nwhen = 'raw.y: z'");
    let replay = ["replay", "--rules", "rules", "--mapping", "none", "events.jsonl", "--summary"];
    let told = folder.hark(&[&replay[..], &["json"]].concat());
    let summary = &json(&told.stderr)[0]["summary"];
    assert_eq!((&summary["records"], &summary["alerts"]), (&5.into(), &1.into()));
    let logins = &summary["rules"]["mine/logins"];
    assert_eq!(
        (&logins["matched"], &logins["late"], &logins["fired"]),
        (&5.into(), &1.into(), &1.into())
    );
    for rule in ["mine/logins", "mine/quiet"] {
        assert!(summary["rules"][rule]["cost_ns"].as_u64().unwrap() > 0, "{summary}");
    }
    let none = folder.hark(&[&replay[..], &["none"]].concat());
    assert_eq!(none.stdout, told.stdout);
    assert!(text(&none.stderr).starts_with("warning: 1 record came too late"), "{none:?}");
    assert_eq!((&summary["late"], json(&told.stderr).len()), (&1.into(), 1));
}

#[test]
fn a_range_of_time_that_cannot_be_is_told_before_any_broker_is_asked() {
    let folder = Folder::new();
    let kafka = "kafka.bootstrap=127.0.0.1:1";
    let without = folder.hark(&["replay", "--kafka"]);
    assert!(text(&without.stderr).contains("no [sources]; name topics"), "{without:?}");
    let without = folder.hark(&["replay", "--kafka", "a", "--set", kafka]);
    assert!(text(&without.stderr).contains("name it with --config FILE"), "{without:?}");
    let mapping = "topics = ['a']\n[fields]\n'event.action' = 'what'\n'user.name' = 'who'";
    folder.write("maps/door.toml", mapping);
    folder.write(
        "config/hark.toml",
        "rules = '../rules'\nmappings = '../maps'\n[sources.a]\n[kafka]\n",
    );
    for (arguments, code, said) in [
        (&["--kafka", "a", "events.jsonl", "--from", "7d"][..], 2, "found `7d`"),
        (&["--from", "-7d", "events.jsonl"], 2, "cannot be used with"),
        (&["--from", "-7d"], 2, "--kafka [<TOPIC>...]"),
        (&["events.jsonl", "--kafka", "a"], 2, "cannot be used with"),
        (&["--kafka", "a"], 1, "`embedded`"),
        (
            &["--kafka", "a", "--from", "-1d", "--to", "-2d", "--set", kafka],
            1,
            "nothing lies between",
        ),
        (&["--kafka", "a", "--from", "2999-01-01", "--set", kafka], 1, "is not before --to"),
    ] {
        let output = folder.hark(&[&["replay"], arguments].concat());
        let errors = text(&output.stderr);
        assert!(errors.contains(said), "{arguments:?}: {errors}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_used_is_told_and_counts_as_a_failure() {
    let folder = Folder::new();
    let replay = |more: &[&str]| {
        folder.hark(&[&["replay", "--rules", "rules", "--mapping", "none"], more].concat())
    };
    folder.write("bad.jsonl", &format!("{EVENTS}oops\n{{}}\n[]\n"));
    check(
        &replay(&["events.jsonl", "bad.jsonl"]),
        1,
        &expect![[r"
            OPENED                OPEN FOR  SEVERITY  COUNT  RULE         KEY  TITLE
            2026-01-05T12:00:02Z        5m  high          3  mine/logins  eve  3 failures of eve

            RULE         MATCHED  NO KEY  LATE  FIRED  ALERTS
            mine/logins       10       2     5      1       1
            13 records, 2026-01-05T12:00:00Z to 2026-01-05T13:00:00Z, 1 alert
            2 records not used: not_json, first number 10: expected an object, found `o`
            1 record not used: bad_time, first number 11: no `@timestamp`
            --
            the first record that could not be used is number 10, in bad.jsonl
            warning: 5 records came too late for the windows of a rule and did not count there, so that alerts may be missing: records should come oldest first, and files in order of time; --sort puts them so, and `tac` turns a newest-first file around
        "]],
    );
    check(
        &replay(&["nowhere.jsonl"]),
        1,
        &expect![[r"
        --
        error: cannot read nowhere.jsonl: No such file or directory (os error 2)
    "]],
    );
    check(
        &folder.hark(&["replay", "--mapping", "door", "events.jsonl"]),
        1,
        &expect![[r"
            --
            note: there is no configuration (config/hark.toml), so no mapping is loaded, and no record gets common fields: name a configuration with --config FILE, or say --mapping none for records that are in common fields already
            error: expected a mapping (auto, none), found `door`
        "]],
    );
}

#[test]
fn a_real_log_is_replayed_from_its_compressed_file() {
    let log = "tests/data/invictus_cloudtrail.jsonl.gz";
    let rule = r#"title = "Trail tampered with"
severity = "high"
when = 'event.action: (StopLogging or DeleteTrail or UpdateTrail) and raw.eventSource: cloudtrail*'
group_by = ["user.name"]
"#;
    let folder = Folder::new();
    folder.write("cloud/trail.toml", rule);
    let rules = folder.0.path().join("cloud");
    let rules = rules.to_str().unwrap();
    let replay = ["replay", "--rules", rules, log];
    let detected = hark(&root(), &replay, "");
    let named = hark(&root(), &[&replay[..], &["--mapping", "cloudtrail"]].concat(), "");
    let of = |output: &Output| without_costs(text(&output.stdout));
    assert_eq!(of(&detected), of(&named));
    check(
        &detected,
        0,
        &expect![[r"
        OPENED                OPEN FOR  SEVERITY  COUNT  RULE   KEY       TITLE
        2023-07-10T11:59:02Z     7m25s  high          4  trail  bert-jan  Trail tampered with
        2023-07-10T12:08:04Z        5m  high          2  trail  bert-jan  Trail tampered with

        RULE   MATCHED  NO KEY  LATE  FIRED  ALERTS
        trail        6       0     0      6       2
        2,900 records, 2023-07-10T11:42:18Z to 2023-07-10T12:37:50Z, 2 alerts
        --
    "]],
    );
}

/// Every final record of the alerts that the roles' own parts make of a log: mapped, matched, as
/// bytes of the signals topic, on 32 partitions, with a tick now and then.
fn live(rules: &[Arc<Rule>], mappings: &[SourceText], sets: &Sets, log: &str) -> Vec<Alert> {
    const PARTITIONS: u32 = 32;
    let mut layout = Layout::new();
    let program = Program::compile(rules.iter().cloned(), &mut layout, sets).unwrap();
    let options = Options::default();
    let (mappings, _) = Mappings::load(mappings, &Tables::new(), &layout, sets, options);
    let judges = Rules::compile(rules.iter().cloned(), sets).unwrap();
    let mut partitions: Vec<_> =
        (0..PARTITIONS).map(|_| Correlation::new(Limits::default())).collect();
    let source = Source::new(hark::replay::TOPIC, 0);
    let (mut out, mut matched, mut highest) = (Findings::default(), Matched::default(), None);
    let tick = |time| {
        let sources = vec![SourceTime { source: source.clone(), time, at_end: false }];
        Record::Tick(Tick { worker: "w".into(), sources, subscription: vec![source.clone()] })
    };
    let apply = |partition: &mut Correlation, record: &Record, out: &mut Findings| {
        let record = Record::decode(&record.encode()).unwrap();
        let mut progress = partition.apply(&record, &judges, out);
        while progress == Progress::More {
            progress = partition.resume(&judges, out);
        }
    };
    for (offset, line) in (0..).zip(log.lines()) {
        let position = Position { topic: source.topic.clone(), partition: 0, offset };
        let payload = line.as_bytes();
        let record =
            RawRecord { position, timestamp: None, key: None, headers: Vec::new(), payload };
        let event = mappings.event(&record, Timestamp::MAX).unwrap();
        program.signals(&event, hark::engine::Origin::Audit, PARTITIONS, &mut matched);
        for (partition, signals) in matched.records.drain(..) {
            let record = Record::Signals(signals);
            apply(&mut partitions[partition as usize], &record, &mut out);
        }
        highest = highest.max(Some(event.time));
        if offset % 97 == 0 {
            for partition in &mut partitions {
                apply(partition, &tick(highest.unwrap()), &mut out);
            }
        }
    }
    for partition in &mut partitions {
        apply(partition, &tick(Timestamp::MAX), &mut out);
    }
    sorted(out.alerts.into_iter().filter(|alert| alert.resolved_at.is_some()))
}

fn sorted(alerts: impl Iterator<Item = Alert>) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = alerts.collect();
    alerts.sort_by(|a, b| a.id.cmp(&b.id));
    alerts
}

#[test]
fn a_replay_gives_the_alerts_that_the_roles_give_live() {
    let mut log = String::new();
    let file = std::fs::File::open(root().join("tests/data/invictus_cloudtrail.jsonl.gz")).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut log).unwrap();
    let mapping = root().join("config/mappings/cloudtrail.toml");
    let mappings = [SourceText::new(&mapping, std::fs::read_to_string(&mapping).unwrap())];
    let sets = Sets::new();
    let rule = |id: &str, rest: &str| {
        let source = SourceText::new(id, format!("title = '{id}'\nseverity = 'low'\n{rest}"));
        Arc::new(rule::parse(&source, id, &rule::Context::new(&sets)).0.unwrap())
    };
    let rules = [
        rule("trail", "when = 'event.action: *Trail'\ngroup_by = ['user.name']"),
        rule(
            "denied",
            "when = 'event.outcome: failure'\ngroup_by = ['user.id', 'event.action']\n\
             threshold = { count = 3, within = '1m' }",
        ),
        rule("one", "when = 'event.action: ConsoleLogin'"),
        rule(
            "busy",
            "when = 'user.id: *'\ngroup_by = ['source.ip']\nthreshold = { count = 50, within = '2m' }\n\
             [alert]\nmax_open = '20m'\ntitle = '{{ alert.count }} from {{ source.ip }}'\n\
             [[alert.severity]]\nwhen = 'alert.count >= 100'\nlevel = 'high'",
        ),
    ];
    let through = |layout: &Layout| {
        let options = Options::default();
        let (mappings, _) = Mappings::load(&mappings, &Tables::new(), layout, &sets, options);
        Through::Detected(mappings, hark::replay::TOPIC.into())
    };
    let mut replay = Replay::new(&rules, &sets, through).unwrap();
    let mut alerts = Vec::new();
    for line in log.lines() {
        replay.record(line.as_bytes());
        alerts.extend(replay.over().cloned());
    }
    replay.finish(None);
    alerts.extend(replay.over().cloned());
    let (replayed, live) = (sorted(alerts.into_iter()), live(&rules, &mappings, &sets, &log));
    let of = |rule: &str| replayed.iter().filter(|alert| alert.rule.id == rule).count();
    assert!(["trail", "denied", "one", "busy"].iter().all(|rule| of(rule) > 1), "{replayed:?}");
    assert_eq!(replayed.len(), live.len());
    // How many of the latest events are still there to be shown depends on how often time ticks.
    let told = |alert: &Alert| Alert { samples: alert.samples[..1].to_vec(), ..alert.clone() };
    for (replayed, live) in replayed.iter().zip(&live) {
        assert_eq!(told(replayed), told(live));
    }
}

#[test]
fn a_database_of_addresses_gives_events_the_place_that_impossible_travel_needs() {
    let folder = Folder::new();
    folder.write(
        "config/hark.toml",
        "rules = '../rules'\nmappings = '../mappings'\nsamples = '../samples'\n[geoip]\nfile = 'addresses.mmdb'\n[sources.audit]\n[kafka]\nbootstrap = 'localhost:9092'\n",
    );
    let database = root().join("tests/data/addresses.mmdb");
    std::fs::copy(database, folder.0.path().join("config/addresses.mmdb")).unwrap();
    folder.write(
        "mappings/own.toml",
        "topics = ['audit']\n[fields]\n'@timestamp' = 'at'\n'event.action' = 'what'\n'user.name' = 'who'\n'source.ip' = 'ip'\n'source.geo.location' = 'place'\n",
    );
    folder.write(
        "samples/own/login.json",
        r#"{"at": "2026-01-05T12:00:00Z", "what": "login", "who": "eve", "ip": "203.0.113.9"}"#,
    );
    std::fs::remove_file(folder.0.path().join("rules/mine/logins.toml")).unwrap();
    folder.write(
        "rules/mine/travel.toml",
        r#"title = "Two places"
severity = "high"
when = 'event.action: login'
group_by = ["user.name"]
impossible_travel = {}
[[test]]
name = "from the place of an address to one of the record's own"
events = [{ sample = "own/login" }, { sample = "own/login", at = "1h", set = { "raw.place" = "52.52,13.405" } }]
expect = [{ at = "1h", value = 6385 }]
[[test]]
name = "from an address to itself"
events = [{ sample = "own/login" }, { sample = "own/login", at = "1h" }]
expect = []
"#,
    );
    folder.write(
        "events.jsonl",
        r#"{"at": "2026-01-05T12:00:00Z", "what": "login", "who": "eve", "ip": "203.0.113.9"}
{"at": "2026-01-05T13:00:00Z", "what": "login", "who": "eve", "ip": "10.0.0.1", "place": "52.52,13.405"}
{"at": "2026-01-05T14:00:00Z", "what": "login", "who": "eve", "ip": "10.0.0.1"}
"#,
    );
    check(
        &folder.hark(&["test"]),
        0,
        &expect![[r"
        2 tests of 1 rule passed in 0.00 s
        --
    "]],
    );
    let replayed = folder.hark(&[
        "replay",
        "--mapping",
        "own",
        "--firings",
        "--format",
        "json",
        "events.jsonl",
    ]);
    let firings: Vec<Value> =
        json(&replayed.stdout).into_iter().filter(|line| line.get("firing").is_some()).collect();
    assert_eq!(firings.len(), 1, "{}", text(&replayed.stderr));
    assert_eq!(
        (&firings[0]["firing"]["index"], &firings[0]["firing"]["value"]),
        (&1.into(), &6385.into())
    );
    let said = folder.hark(&["check"]);
    assert!(!text(&said.stdout).contains("source.geo"), "{}", text(&said.stdout));

    // Without the database nothing fills the rest, and what is no database is refused with its place.
    folder.write("config/addresses.mmdb", "not a database");
    check(
        &folder.hark(&["check"]),
        1,
        &expect![[r#"
            1 rule and 1 mapping checked: 1 error, 1 warning; 1 of the errors is in the configuration, so lists, schedules and tables that rules name were not looked for
            --
            error[bad-table]: expected a MaxMind database (.mmdb): invalid database: could not find MaxMind DB metadata in file
             --> config/hark.toml:5:8
              |
            5 | file = 'addresses.mmdb'
              |        ^^^^^^^^^^^^^^^^

            warning[missing-runbook]: severity `high` without a runbook
             --> rules/mine/travel.toml:2:12
              |
            2 | severity = "high"
              |            ^^^^^^
              |
              = help: say in `runbook` what whoever is woken does first: a link, or steps

        "#]],
    );
}

const SILENCE: &str = r#"title = "Silent"
severity = "high"
when = 'event.action: heartbeat'
group_by = ["user.name"]
[absence]
within = "5m"
expect = ["nobody", "carol"]
"#;

#[test]
fn what_opens_after_the_last_record_is_an_event_to_other_rules_and_counted_like_all() {
    let folder = Folder::new();
    folder.write("rules/mine/logins.toml", SILENCE);
    let both = "title = 'Both'\nseverity = 'low'\nwhen = 'rule.id: mine/logins'\n[threshold]\ncount = 2\nwithin = '1h'";
    folder.write("rules/mine/both.toml", both);
    let each =
        "title = 'Each'\nseverity = 'low'\nwhen = 'rule.id: mine/logins'\ngroup_by = ['user.name']";
    folder.write("rules/mine/each.toml", each);
    let event = "{\"@timestamp\":\"2026-01-05T12:00:00Z\",\"event.action\":\"x\"}\n";
    let replay = |more: &[&str]| {
        let all = [&["replay", "--rules", "rules", "--mapping", "none"], more].concat();
        hark(folder.0.path(), &all, event)
    };
    check(
        &replay(&[]),
        0,
        &expect![[r"
            no alerts from the records

            after the last record, if nothing came any more:
            OPENED                OPEN FOR  SEVERITY  COUNT  RULE         KEY     TITLE
            2026-01-05T12:05:00Z        1h  low           2  mine/both            Both
            2026-01-05T12:05:00Z        5m  low           1  mine/each    carol   Each
            2026-01-05T12:05:00Z        5m  low           1  mine/each    nobody  Each
            2026-01-05T12:05:00Z        1d  high          0  mine/logins  carol   Silent
            2026-01-05T12:05:00Z        1d  high          0  mine/logins  nobody  Silent

            RULE         MATCHED  NO KEY  LATE  FIRED  ALERTS
            mine/both          2       0     0      1       1
            mine/each          2       0     0      2       2
            mine/logins        0       0     0      2       2
            1 record, 2026-01-05T12:00:00Z to 2026-01-05T12:00:00Z, 5 alerts, 5 by silence after the last record
            --
        "]],
    );
    // The rules' clock trails by 10 s: the silence is told when it is past 5 min, and no alert is over.
    check(
        &replay(&["--run-for", "5m11s"]),
        0,
        &expect![[r"
            no alerts from the records

            after the last record, if nothing came any more:
            OPENED                OPEN FOR  SEVERITY  COUNT  RULE         KEY     TITLE
            2026-01-05T12:05:00Z      open  low           2  mine/both            Both
            2026-01-05T12:05:00Z      open  low           1  mine/each    carol   Each
            2026-01-05T12:05:00Z      open  low           1  mine/each    nobody  Each
            2026-01-05T12:05:00Z      open  high          0  mine/logins  carol   Silent
            2026-01-05T12:05:00Z      open  high          0  mine/logins  nobody  Silent

            RULE         MATCHED  NO KEY  LATE  FIRED  ALERTS
            mine/both          2       0     0      1       1
            mine/each          2       0     0      2       2
            mine/logins        0       0     0      2       2
            1 record, 2026-01-05T12:00:00Z to 2026-01-05T12:00:00Z, 5 alerts, 5 by silence after the last record
            --
        "]],
    );
    let before = replay(&["--run-for", "5m10s"]);
    assert!(text(&before.stdout).starts_with("no alerts\n"), "{before:?}");
}

#[test]
fn silence_after_the_last_record_is_not_in_the_records() {
    let folder = Folder::new();
    folder.write("rules/mine/logins.toml", SILENCE);
    let about = "title = 'About'\nseverity = 'low'\nwhen = 'rule.id: mine/logins'";
    folder.write("rules/mine/about.toml", about);
    let event = |time: &str, action: &str| {
        format!("{{\"@timestamp\":\"2026-01-05T{time}Z\",\"event.action\":\"{action}\"}}\n")
    };
    let replay = |more: &[&str], events: &str| {
        let all = [&["replay", "--rules", "rules", "--mapping", "none", "--deny-alerts"], more];
        hark(folder.0.path(), &all.concat(), events)
    };
    let quiet = event("12:00:00", "x");
    check(
        &replay(&[], &quiet),
        0,
        &expect![[r"
            no alerts from the records

            after the last record, if nothing came any more:
            OPENED                OPEN FOR  SEVERITY  COUNT  RULE         KEY     TITLE
            2026-01-05T12:05:00Z        0s  low           1  mine/about           About
            2026-01-05T12:05:00Z        0s  low           1  mine/about           About
            2026-01-05T12:05:00Z        1d  high          0  mine/logins  carol   Silent
            2026-01-05T12:05:00Z        1d  high          0  mine/logins  nobody  Silent

            RULE         MATCHED  NO KEY  LATE  FIRED  ALERTS
            mine/about         2       0     0      2       2
            mine/logins        0       0     0      2       2
            1 record, 2026-01-05T12:00:00Z to 2026-01-05T12:00:00Z, 4 alerts, 4 by silence after the last record
            --
        "]],
    );
    // It is asked for: five minutes of it are meant to have been silent.
    let asked = replay(&["--run-for", "10m"], &quiet);
    assert!(text(&asked.stderr).ends_with("error: 4 alerts opened\n"), "{asked:?}");
    assert_eq!(asked.status.code(), Some(1));
    // Programs are told all of it.
    let all = replay(&["--format", "json", "--summary", "json"], &quiet);
    assert_eq!((json(&all.stdout).len(), all.status.code()), (4, Some(0)));
    let summary = &json(&all.stderr)[0]["summary"];
    assert_eq!((&summary["alerts"], &summary["alerts_afterwards"]), (&4.into(), &4.into()));
    assert_eq!(summary["rules"]["mine/about"]["alerts_afterwards"], 2);
    let firings = replay(&["--format", "json", "--firings"], &quiet);
    assert_eq!(json(&firings.stdout).len(), 4);
    // Silence that records lie behind is in them.
    let within = format!("{quiet}{}", event("12:05:00", "x"));
    assert_eq!(replay(&[], &within).status.code(), Some(1));
    let short = format!("{quiet}{}", event("12:04:59", "x"));
    assert_eq!(replay(&[], &short).status.code(), Some(0));
    // And so is the event whose answer does not come, though the clock says so after the last record.
    folder.write(
        "rules/mine/logins.toml",
        "title = 'Unanswered'\nseverity = 'high'\n[sequence]\n\
         [[sequence.step]]\nname = 'asked'\nwhen = 'event.action: asked'\n\
         [[sequence.step]]\nname = 'answered'\nwhen = 'event.action: answered'\nabsent = true\nwithin = '5m'\n",
    );
    let unanswered = replay(&[], &event("12:00:00", "asked"));
    assert!(text(&unanswered.stderr).ends_with("error: 2 alerts opened\n"), "{unanswered:?}");
}

#[test]
fn newest_first_is_told_and_sorted_if_asked() {
    let folder = Folder::new();
    let mut log = String::new();
    let file = std::fs::File::open(root().join("tests/data/invictus_cloudtrail.jsonl.gz")).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut log).unwrap();
    let newest_first: Vec<&str> = log.lines().rev().collect();
    folder.write("newest.jsonl", &newest_first.join("\n"));
    let newest = folder.0.path().join("newest.jsonl");
    let newest = newest.to_str().unwrap();
    let replay = |more: &[&str]| {
        let all = ["replay", "--rules", "rules/cloudtrail/many-secrets-read.toml"];
        hark(&root(), &[&all, more].concat(), "")
    };
    let lost = replay(&[newest, "--format", "json", "--summary", "none"]);
    assert_eq!((text(&lost.stdout), lost.status.code()), ("", Some(0)));
    let said = text(&lost.stderr);
    let words = ["warning: 65 records came too late", "oldest first", "--sort", "`tac`"];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    assert_eq!(said.lines().count(), 1);

    let right = replay(&["tests/data/invictus_cloudtrail.jsonl.gz"]);
    let sorted = replay(&[newest, "--sort"]);
    assert_eq!(without_costs(text(&sorted.stdout)), without_costs(text(&right.stdout)));
    assert!(text(&right.stdout).contains("1 alert") && sorted.stderr.is_empty(), "{sorted:?}");
    // A record keeps its number.
    let index = |output: &Output| json(&output.stdout)[0]["firing"]["index"].as_u64().unwrap();
    let of_right = index(&replay(&[
        "tests/data/invictus_cloudtrail.jsonl.gz",
        "--format",
        "json",
        "--firings",
    ]));
    let of_sorted = index(&replay(&[newest, "--sort", "--format", "json", "--firings"]));
    let line = |number: u64, lines: &[&str]| lines[usize::try_from(number).unwrap()].to_owned();
    let time = |line: String| serde_json::from_str::<Value>(&line).unwrap()["eventTime"].clone();
    let oldest_first: Vec<&str> = log.lines().collect();
    assert_eq!(time(line(of_right, &oldest_first)), time(line(of_sorted, &newest_first)));
    assert!(of_sorted > of_right);
}

#[test]
fn records_in_order_of_time_are_still_told_by_where_they_stand() {
    let folder = Folder::new();
    folder.write("more.jsonl", "{\"@timestamp\":\"2026-01-05T11:59:59Z\"}\noops\n");
    let all = ["replay", "--rules", "rules", "--mapping", "none", "--sort", "--summary", "json"];
    let told = folder.hark(&[&all[..], &["events.jsonl", "more.jsonl"]].concat());
    let said = text(&told.stderr);
    assert!(said.contains(r#""first":6,"reason":"not_json""#), "{said}");
    assert!(said.contains(r#""late":0,"#), "{said}");
    assert!(said.ends_with("could not be used is number 6, in more.jsonl\n"), "{said}");
    let topics = folder.hark(&["replay", "--sort", "--kafka", "audit"]);
    assert_eq!(topics.status.code(), Some(2));
}

#[test]
fn records_in_an_array_are_told_how_to_become_lines() {
    let folder = Folder::new();
    folder.write("s3.json", r#"{"Records":[{"eventVersion":"1.08","eventName":"StopLogging"}]}"#);
    folder.write("array.json", r#"[{"eventVersion":"1.08"}]"#);
    for (file, jq) in [("s3.json", "`jq -c '.Records[]'`"), ("array.json", "`jq -c '.[]'`")] {
        let rule = ["--rule", "rules/mine/logins.toml", "--event", file];
        for arguments in [
            &["replay", "--rules", "rules", file][..],
            &["match", "event.action: x", file],
            &[&["explain"], &rule[..]].concat(),
        ] {
            let told = folder.hark(arguments);
            assert_eq!(text(&told.stderr).matches(jq).count(), 1, "{arguments:?}: {told:?}");
        }
    }
}

//! What tests in rule files say when they pass and when they fail, and that a replay is what
//! correlation makes of the same records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::{Bench, Replay, Samples, Through, Trial, junit};
use crate::alert::Alert;
use crate::base::diagnostic::SourceText;
use crate::base::{Position, Timestamp};
use crate::mapping::{Common, Mappings, Options, RawRecord, Tables};
use crate::query::Sets;
use crate::rule::{self, Rule};

const RULE: &str = r#"title = "Repeated failures"
severity = "high"
when = 'event.action: fail* and not user.name: @robots'
group_by = ["user.name"]
threshold = { count = 3, within = "5m" }
[alert]
title = "{{ alert.count }} failures of {{ user.name }}"
"#;

const MAPPING: &str = r#"detect = 'raw.what: *'
[fields]
"@timestamp" = "when"
"event.action" = "what"
"user.name" = "who"
"user.email" = "mail"
"user.roles" = { table = "people", by = "user.email", column = "roles" }
"#;

fn rule(text: &str) -> Arc<Rule> {
    let mut sets = Sets::new();
    sets.insert_list("robots", crate::query::List::new(["r2d2"]).0);
    let source = SourceText::new("rules/a.toml", text);
    let (rule, found) = rule::parse(&source, "a", &rule::Context::new(&sets));
    assert!(!found.has_errors(), "{found:?}");
    Arc::new(rule.unwrap())
}

/// Runs the tests of a rule (the one above with `tests` behind it) beside one mapping, `door`, and
/// one sample.
pub(super) fn run(rules: &[&str]) -> Vec<Trial> {
    let mappings = [SourceText::new("door.toml", MAPPING)];
    let mut sets = Sets::new();
    sets.insert_list("robots", crate::query::List::new(["r2d2"]).0);
    let record = br#"{"what": "failed", "who": "eve", "mail": "eve@x.io", "when": "1999-01-01"}"#;
    let samples: Samples = [
        ("door/failed".to_owned(), Ok(record.to_vec())),
        ("door/gone".to_owned(), Err("cannot read the sample door/gone.json".to_owned())),
    ]
    .into();
    let (tables, options) = (Tables::new(), Options::default());
    let bench =
        Bench { mappings: &mappings, tables: &tables, sets: &sets, options, samples: &samples };
    let rules: Vec<_> = rules.iter().map(|text| rule(text)).collect();
    bench.run(&rules).unwrap()
}

/// The one test with these events and expectations.
fn trial(test: &str) -> Trial {
    let mut trials = run(&[&format!("{RULE}[[test]]\nname = \"it holds\"\n{test}")]);
    assert_eq!(trials.len(), 1);
    trials.remove(0)
}

#[test]
fn a_test_fails_when_the_words_of_its_alert_cannot_be_made() {
    let rule = r#"title = "T"
severity = "low"
when = 'event.action: *'
threshold = { count = 2, within = "5m" }
[alert]
title = "{{ raw.who + 1 if alert.count == 2 else raw.who }}"
summary = "{{ raw.who }}"
[[test]]
name = "the words of the second event"
events = [{ sample = "door/failed", times = 3 }]
expect = [{ count = 3 }]
"#;
    let trials = run(&[rule]);
    expect!["the template of `title`: invalid operation: tried to use + operator on unsupported types string and number"].assert_eq(&trials[0].mistakes().join("\n"));
}

fn passes(test: &str) {
    let trial = trial(test);
    assert!(trial.passed(), "{}", trial.timeline());
}

fn fails(test: &str, expected: &Expect) {
    let trial = trial(test);
    assert!(!trial.passed());
    expected.assert_eq(&trial.timeline());
}

#[test]
fn everything_an_expectation_can_say_is_held() {
    passes(
        r#"
events = [{ sample = "door/failed", times = 4, every = "1m", set = { "user.name" = "Mallory" } }]
expect = [{ at = "2m", key = { "user.name" = "mallory" }, count = 4, value = 4, severity = "high",
            title = "4 failures of Mallory", resolved_at = "8m", status = "resolved" }]"#,
    );
    for (wrong, why) in [
        (r#"at = "1m""#, "at: expected 1m, found 2m"),
        (r#"at = "-1m""#, "at: expected -1m, found 2m"),
        (r#"key = { "user.name" = "bob" }"#, r#"key user.name: expected "bob", found "eve""#),
        (r#"key = { "user.id" = "bob" }"#, r#"key user.id: expected "bob", found no such field"#),
        ("count = 3", "count: expected 3, found 4"),
        ("value = 3.5", "value: expected 3.5, found 4"),
        (r#"severity = "low""#, "severity: expected low, found high"),
        (r#"title = "x""#, "title: expected `x`, found `4 failures of eve`"),
        (r#"resolved_at = "9m""#, "resolved_at: expected 9m, found 8m"),
        (r#"status = "open""#, "status: expected open, found resolved"),
    ] {
        let events = r#"events = [{ sample = "door/failed", times = 4, every = "1m" }]"#;
        let trial = trial(&format!("{events}\nexpect = [{{ {wrong} }}]"));
        assert_eq!(trial.mistakes(), [why]);
    }
}

#[test]
fn the_clock_runs_on_until_all_is_over_or_for_as_long_as_told() {
    let events = r#"events = [{ sample = "door/failed", times = 3, every = "1m" }]"#;
    // Over at 7m, and told when the rule's clock, 10 s behind, is past that.
    passes(&format!(
        "{events}\nrun_for = \"5m10s\"\nexpect = [{{ status = \"open\", count = 3 }}]"
    ));
    passes(&format!("{events}\nrun_for = \"5m11s\"\nexpect = [{{ resolved_at = \"7m\" }}]"));
    passes(&format!("{events}\ncold_start = true\nexpect = [{{ resolved_at = \"7m\" }}]"));
}

#[test]
fn repetitions_are_numbered_and_fields_set_and_unset() {
    passes(
        r#"
events = [
  { sample = "door/failed", times = 3, set = { "user.name" = "u{{ n }}" } },
  { sample = "door/failed", at = "1m", times = 3, unset = ["user.name"] },
  { sample = "door/failed", at = "1m", times = 3, set = { "raw.what" = "fail{{ n + 1 }}", "raw.who" = "bob" } },
  { fields = { "event.action" = "failed", "user.name" = "x" }, at = "1m", times = 3, unset = ["user.name"] },
]
expect = [{ key = { "user.name" = "bob" } }]"#,
    );
    let broken = trial(
        r#"
events = [{ sample = "door/failed", set = { "user.name" = "{{ n" } }]
expect = []"#,
    );
    assert!(broken.mistakes()[0].starts_with("`{{ n`: syntax error"), "{:?}", broken.mistakes());
}

#[test]
fn lists_and_tables_are_those_of_the_test() {
    passes(
        r#"
lists = { robots = ["eve"] }
events = [
  { sample = "door/failed", times = 3 },
  { sample = "door/failed", times = 3, set = { "user.name" = "r2d2" } },
]
expect = [{ key = { "user.name" = "r2d2" } }]"#,
    );
    let admins = RULE.replace("event.action: fail*", "user.roles: admin");
    let test = |row: &str| {
        format!(
            r#"{admins}
[[test]]
name = "an admin"
tables = {{ people = [{row}] }}
events = [{{ sample = "door/failed", times = 3, set = {{ "user.email" = "Aiko@x.io" }} }}]
expect = [{{}}]"#
        )
    };
    let has = |row: &str| run(&[&test(row)])[0].passed();
    assert!(has(r#"{ email = "aiko@x.io", roles = ["dev", "admin"] }"#));
    assert!(!has(r#"{ email = "aiko@x.io", roles = ["dev"] }"#));
    assert!(!has(r#"{ email = "eve@x.io", roles = ["admin"] }"#));
}

#[test]
fn a_wrong_count_is_seen_on_the_timeline() {
    fails(
        r#"
events = [
  { sample = "door/failed", times = 5, every = "1m" },
  { fields = { "event.action" = "opened", "user.name" = "eve" }, at = "5m" },
  { fields = { "event.action" = "failed" }, at = "6m" },
  { sample = "door/failed", at = "-1h" },
]
expect = [{ at = "2m", count = 6 }]"#,
        &expect![[r#"
            a: it holds
              count: expected 6, found 5
                  -1h  event     door/failed (arrives after 6m)  matches, but comes too late to be counted
                0s…1m  event     door/failed 1 to 2 of 5  matches  user.name: eve
                   2m  event     door/failed 3 of 5  matches  user.name: eve  fires, count 3
                   2m  opens     high alert `3 failures of eve`  user.name: eve
                   2m  expected  ✗ count: expected 6, found 5
                3m…4m  event     door/failed 4 to 5 of 5  matches  user.name: eve  fires, count 4 to 5
                   5m  event     event.action: opened, user.name: eve  does not match `event.action: fail*`: event.action = "opened"
                   6m  event     event.action: failed  matches, but has no key: user.name of group_by is missing
                   9m  resolves  `5 failures of eve`, quiet for keep_open, count 5
        "#]],
    );
}

#[test]
fn alerts_too_many_and_too_few_are_seen_on_the_timeline() {
    fails(
        r#"
events = [
  { sample = "door/failed", times = 30, every = "1s", set = { "user.name" = "eve" } },
  { sample = "door/failed", times = 3, at = "1m", set = { "user.name" = "bob" } },
]
expect = [{ key = { "user.name" = "bob" } }]"#,
        &expect![[r"
            a: it holds
              expected 1 alert, found 2
                 0s…1s  event     door/failed 1 to 2 of 30  matches  user.name: eve
                    2s  event     door/failed 3 of 30  matches  user.name: eve  fires, count 3
                    2s  opens     ✗ not expected: high alert `3 failures of eve`  user.name: eve
                3s…29s  event     door/failed 4 to 30 of 30  matches  user.name: eve  fires, count 4 to 13
                    1m  event     door/failed 1 to 2 of 3  matches  user.name: bob
                    1m  event     door/failed 3 of 3  matches  user.name: bob  fires, count 3
                    1m  opens     high alert `3 failures of bob`  user.name: bob
                    1m  expected  ✓ user.name: bob
                 5m29s  resolves  `30 failures of eve`, quiet for keep_open, count 30
                    6m  resolves  `3 failures of bob`, quiet for keep_open, count 3
        "]],
    );
    fails(
        r#"
events = [{ sample = "door/failed", times = 2 }, { sample = "door/gone", at = "1s" }]
expect = [{ at = "1s", key = { "user.name" = "eve" }, severity = "high" }]"#,
        &expect![[r#"
            a: it holds
              cannot read the sample door/gone.json
              expected 1 alert, found none
                0s  event     door/failed 1 to 2 of 2  matches  user.name: eve
                1s  event     door/gone  ✗ cannot be made: cannot read the sample door/gone.json
                1s  expected  ✗ at 1s, user.name: eve, severity high: no such alert
                2 events match, and [threshold] count = 3, within = "5m" does not fire for any key
        "#]],
    );
}

#[test]
fn alerts_that_are_right_but_listed_in_another_order_are_told_so() {
    let trial = trial(
        r#"
events = [
  { sample = "door/failed", times = 3, set = { "user.name" = "eve" } },
  { sample = "door/failed", times = 3, at = "1m", set = { "user.name" = "bob" } },
]
expect = [{ key = { "user.name" = "bob" } }, { key = { "user.name" = "eve" } }]"#,
    );
    assert_eq!(trial.mistakes()[0], "expected alerts are listed by their opening, then key");
}

#[test]
fn a_long_timeline_loses_its_middle() {
    let trial = trial(
        r#"
events = [{ sample = "door/failed", times = 500, every = "1s", set = { "user.name" = "u{{ n }}" } }]
expect = [{}]"#,
    );
    let timeline = trial.timeline();
    // Two lines of heading, the gap, and what the detector made of it.
    assert_eq!(timeline.lines().count(), 64, "{timeline}");
    assert!(timeline.contains("    … 441 lines\n"), "{timeline}");
}

#[test]
fn machines_read_the_same_as_junit() {
    let good = "[[test]]\nname = \"a < b & 'c'\"\nevents = []\nexpect = []\n";
    let bad = "[[test]]\nname = \"\\u0007\"\nevents = []\nexpect = [{}]\n";
    let trials = run(&[&format!("{RULE}{good}{bad}")]);
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="hark" tests="2" failures="1" time="1.234">
          <testsuite name="a" tests="2" failures="1">
            <testcase classname="a" name="a &lt; b &amp; 'c'" file="rules/a.toml"/>
            <testcase classname="a" name="�" file="rules/a.toml">
              <failure message="expected 1 alert, found none">a: �
          expected 1 alert, found none
            0s  expected  ✗ an alert: no such alert
        </failure>
            </testcase>
          </testsuite>
        </testsuites>
    "#]]
    .assert_eq(&junit::report(&trials, Duration::from_millis(1234)));
}

/// Records of a door, every minute: (who, what).
fn records(all: &[(&str, &str)]) -> Vec<String> {
    let record = |(minute, (who, what)): (usize, &(&str, &str))| {
        format!(r#"{{"what": "{what}", "who": "{who}", "when": "2026-01-05T12:{minute:02}:00Z"}}"#)
    };
    all.iter().enumerate().map(record).collect()
}

fn replay(
    lines: &[String],
    through: impl Fn(&crate::event::Layout) -> Through,
) -> (Replay, Vec<Alert>, Vec<String>) {
    let sets = {
        let mut sets = Sets::new();
        sets.insert_list("robots", crate::query::List::new(["r2d2"]).0);
        sets
    };
    let mut replay = Replay::new(&[rule(RULE)], &sets, through).unwrap();
    let (mut alerts, mut firings) = (Vec::new(), Vec::new());
    let mut take = |replay: &Replay| {
        alerts.extend(replay.over().cloned());
        let lines = replay.firings().iter().map(|f| serde_json::to_string(&replay.told(f)));
        firings.extend(lines.map(Result::unwrap));
    };
    for line in lines {
        replay.record(line.as_bytes());
        take(&replay);
    }
    replay.finish(None);
    take(&replay);
    (replay, alerts, firings)
}

fn mapped(layout: &crate::event::Layout) -> Mappings {
    let mappings = [SourceText::new("door.toml", MAPPING)];
    Mappings::load(&mappings, &Tables::new(), layout, &Sets::new(), Options::default()).0
}

#[test]
fn firings_are_told_with_the_record_that_fired() {
    let mut lines =
        records(&[("Eve", "failed"), ("bob", "failed"), ("eve", "fail"), ("EVE", "failed")]);
    lines.insert(1, "nonsense".to_owned());
    lines.push(r#"{"what": "failed", "who": "eve"}"#.to_owned());
    let (replay, alerts, firings) =
        replay(&lines, |layout| Through::Detected(mapped(layout), "replay".into()));
    assert_eq!(
        firings,
        [
            r#"{"firing":{"rule":"a","time":"2026-01-05T12:03:00Z","key":{"user.name":"EVE"},"index":4,"count":3,"value":3}}"#
        ]
    );
    assert_eq!((alerts.len(), alerts[0].count, replay.open().count()), (1, 3, 0));
    let unusable: Vec<_> =
        replay.summary().unusable.iter().map(|(r, told)| (r.code(), told.clone())).collect();
    assert_eq!(
        unusable,
        [
            ("not_json", (1, 1, "expected an object, found `n`".to_owned())),
            ("bad_time", (1, 5, "no time of its own that the mapping `door` finds".to_owned()))
        ]
    );
    let counts = replay.summary().rules["a"];
    assert_eq!((counts.matched, counts.fired, counts.alerts, counts.late), (4, 1, 1, 0));
}

#[test]
fn records_of_topics_keep_their_places_and_firings_name_their_numbers() {
    let lines = records(&[("eve", "failed"), ("bob", "ok"), ("eve", "failed"), ("eve", "failed")]);
    let through = |layout: &crate::event::Layout| Through::Named(mapped(layout), "door".into());
    let sets = {
        let mut sets = Sets::new();
        sets.insert_list("robots", crate::query::List::new(["r2d2"]).0);
        sets
    };
    let mut replay = Replay::new(&[rule(RULE)], &sets, through).unwrap().numbered();
    let mut told = Vec::new();
    for (line, offset) in lines.iter().zip([70, 71, 5, 90]) {
        let position = Position::new("audit", 3, offset);
        let payload = line.as_bytes();
        let record =
            RawRecord { position, timestamp: None, key: None, headers: Vec::new(), payload };
        // A time after this one is from the future.
        let event = replay.read(&record, Timestamp::parse("2026-01-06").unwrap());
        replay.event(event);
        told.extend(
            replay
                .firings()
                .iter()
                .map(|f| (f.clone(), serde_json::to_value(replay.told(f)).unwrap())),
        );
    }
    assert_eq!(told.len(), 1);
    let (fired, told) = &told[0];
    assert_eq!(fired.firing.position.as_ref().unwrap().to_string(), "audit:3:90");
    assert_eq!(told["firing"]["index"], 3);
}

#[test]
fn a_delay_of_the_sources_holds_the_clock() {
    let late = |delay: u64| {
        let through = |layout: &crate::event::Layout| Through::Named(mapped(layout), "door".into());
        let mut sets = Sets::new();
        sets.insert_list("robots", crate::query::List::new(["r2d2"]).0);
        let replay = Replay::new(&[rule(RULE)], &sets, through).unwrap();
        let mut replay = replay.delayed(Duration::from_mins(delay));
        for line in records(&[("eve", "failed"); 20]).iter().rev() {
            replay.record(line.as_bytes());
        }
        replay.finish(None);
        replay.summary().rules["a"].late
    };
    // A minute apart, in reverse: within 5 min and 10 s lateness five of the others still count.
    assert_eq!((late(0), late(10), late(15)), (14, 4, 0));
}

#[test]
fn a_late_event_with_several_keys_is_one_event() {
    let line = |hour: u8, who: &str| {
        format!(r#"{{"what": "failed", "who": {who}, "when": "2026-01-05T{hour}:00:00Z"}}"#)
    };
    let lines = [line(12, r#""eve""#), line(11, r#"["eve", "bob"]"#), line(11, r#""eve""#)];
    let (replay, ..) = replay(&lines, |layout| Through::Named(mapped(layout), "door".into()));
    let counts = replay.summary().rules["a"];
    assert_eq!((counts.matched, counts.late), (3, 2));
}

#[test]
fn the_same_events_give_the_same_through_a_mapping_and_through_none() {
    let all = [("eve", "failed"); 7];
    let (_, mapped, fired) =
        replay(&records(&all), |layout| Through::Named(mapped(layout), "door".into()));
    let plain: Vec<String> = records(&all)
        .iter()
        .map(|line| {
            let raw: BTreeMap<String, String> = serde_json::from_str(line).unwrap();
            serde_json::json!({
                "@timestamp": raw["when"],
                "event.action": raw["what"],
                "event": { "dataset": "door" },
                "user": { "name": raw["who"] },
                "raw": raw,
            })
            .to_string()
        })
        .collect();
    let common =
        |layout: &crate::event::Layout| Through::Nothing(Common::new(layout, Options::default()));
    let (_, unmapped, also_fired) = replay(&plain, common);
    assert_eq!(fired.len(), 5);
    assert_eq!((mapped, fired), (unmapped, also_fired));
}

//! The examples of `RULES.md`, word for word (`reference/`), in a folder as an author would have it:
//! each is checked and tested by the program itself, with the lists, schedules, tables and mapping
//! that the page shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use hark::detectors::DETECTORS;
use hark::query::{Aliases, Query};
use serde_json::json;
use tempfile::TempDir;

use crate::program;

/// §9, and §1 at their head; each a complete rule.
const RULES: [(&str, &str); 5] = [
    ("repeated-failed-logins", include_str!("reference/repeated-failed-logins.toml")),
    ("login-after-failures", include_str!("reference/login-after-failures.toml")),
    ("promoted-then-changed", include_str!("reference/promoted-then-changed.toml")),
    ("key-from-new-address", include_str!("reference/key-from-new-address.toml")),
    ("admin-outside-hours", include_str!("reference/admin-outside-hours.toml")),
];
/// §1: a pack is tuned without forking it.
const OVERRIDE: &str = include_str!("reference/override.toml");
/// §5: the settings of an alert, without their rule.
const ALERT: &str = include_str!("reference/alert.toml");
/// §6: a mapping, and a table.
const MAPPING: &str = include_str!("reference/mapping.toml");
const TABLES: &str = include_str!("reference/tables.toml");
/// §7.
const LISTS_AND_SCHEDULES: &str = include_str!("reference/lists-and-schedules.toml");
/// §2: the table of forms.
const FORMS: &str = include_str!("reference/queries.md");

/// The detectors of §4, in its order.
const DETECTORS_OF_THE_PAGE: [&str; 11] = [
    "threshold",
    "cardinality",
    "metric",
    "ratio",
    "sequence",
    "temporal",
    "new_value",
    "change",
    "spike",
    "absence",
    "impossible_travel",
];

struct Folder(TempDir);

impl Folder {
    /// A configuration that holds what the page shows of lists, schedules and tables, and the
    /// shipped mappings.
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        // §9 calls its schedule otherwise than §7.
        let office = "[schedules.office-hours]\ntimezone = 'America/New_York'\n\
                      zone_field = 'user.timezone'\ndays = ['mon-fri']\nhours = ['09:00-17:00']\n";
        let samples = repository.join("tests/samples");
        let head = format!(
            "rules = 'rules'\nmappings = 'mappings'\nsamples = '{}'\n[sources]\n'audit.x' = {{}}\n",
            samples.display()
        );
        let configuration = format!("{head}{LISTS_AND_SCHEDULES}{office}{TABLES}");
        folder.write("hark.toml", &configuration);
        folder.write("scanners.txt", "# ours\n198.51.100.77\n");
        folder.write("people.csv", "email,roles,timezone\nbob@x.io,member,Europe/Berlin\n");
        for file in fs::read_dir(repository.join("config/mappings")).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            folder.write(&format!("mappings/{name}"), &fs::read_to_string(file.path()).unwrap());
        }
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path: PathBuf = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn hark(&self, command: &str) -> Output {
        let mut hark = program::command();
        hark.args(command.split(' ')).args(["--config", "hark.toml"]).current_dir(self.0.path());
        hark.output().unwrap()
    }

    /// What a command says, which must end well.
    fn well(&self, command: &str) -> String {
        let output = self.hark(command);
        let said = said(&output);
        assert!(output.status.success(), "hark {command}:\n{said}");
        said
    }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    text(&output.stdout) + &text(&output.stderr)
}

/// The detector of §4 that a rule uses and that is not there yet.
fn not_yet(rule: &str) -> Option<&'static str> {
    let table: toml::Table = rule.parse().unwrap();
    let known = |name: &str| DETECTORS.iter().any(|detector| detector.table == name);
    DETECTORS_OF_THE_PAGE.into_iter().find(|name| table.contains_key(*name) && !known(name))
}

#[test]
fn every_detector_is_one_of_the_page() {
    for detector in DETECTORS {
        assert!(DETECTORS_OF_THE_PAGE.contains(&detector.table), "{}", detector.table);
    }
}

#[test]
fn every_rule_of_the_page_is_right_and_holds_its_tests() {
    for (name, rule) in RULES {
        let folder = Folder::new();
        folder.write(&format!("rules/common/{name}.toml"), rule);
        if let Some(detector) = not_yet(rule) {
            let output = folder.hark("check");
            assert!(
                said(&output).contains(&format!("`[{detector}]`")),
                "{name}: {}",
                said(&output)
            );
            assert!(!output.status.success(), "{name} passes without its detector");
            continue;
        }
        folder.well("check");
        let tests = rule.matches("[[test]]").count();
        let s = if tests == 1 { "" } else { "s" };
        let passed = folder.well("test");
        assert!(passed.contains(&format!("{tests} test{s} of ")), "{name}: {passed}");
    }
}

#[test]
fn the_other_way_to_write_the_first_rule_is_the_same_rule() {
    let (_, rule) = RULES[0];
    let (before, rest) = rule.split_once("[threshold]").unwrap();
    let (comment, rest) = rest.split_once('\n').unwrap();
    let inline = comment.split_once("or: ").unwrap().1;
    let rest = rest.split_once("[alert]").unwrap().1;
    let folder = Folder::new();
    folder.write("rules/common/inline.toml", &format!("{before}{inline}\n[alert]{rest}"));
    assert!(folder.well("test").contains("2 tests of 1 rule passed"));
}

#[test]
fn the_mapping_of_the_page_serves_the_first_rule() {
    let folder = Folder::new();
    folder.write("mappings/opsknight.toml", MAPPING);
    folder.write("rules/common/first.toml", RULES[0].1);
    assert!(folder.well("test").contains("2 tests of 1 rule passed"));
}

#[test]
fn the_override_of_the_page_changes_the_rules_that_it_names_and_no_others() {
    let folder = Folder::new();
    folder.write("rules/common/first.toml", RULES[0].1);
    folder.write("rules/overrides.toml", OVERRIDE);
    assert!(folder.well("test").contains("2 tests of 1 rule passed"));
    folder.write("rules/opsknight/first.toml", RULES[0].1);
    folder.well("check");
    let tested = folder.well("test");
    assert!(tested.contains("4 tests of 2 rules passed"), "{tested}");
    assert!(tested.contains("1 rule is overridden"), "{tested}");
    let event = |second| {
        json!({"@timestamp": format!("2026-01-05T12:00:0{second}Z"), "user.name": "eve",
               "event": {"category": "authentication", "outcome": "failure"}})
    };
    let events: Vec<String> = (0..10).map(|second| event(second).to_string()).collect();
    let events = events.join("\n");
    folder.write("events.jsonl", &events);
    let found = folder.well("replay --mapping none events.jsonl");
    let rows: Vec<&str> = found.lines().skip(1).take(2).collect();
    let has = |row: &str, words: [&str; 3]| words.iter().all(|word| row.contains(word));
    assert!(has(rows[0], ["2026-01-05T12:00:04Z", "high", "common/first"]), "{found}");
    assert!(has(rows[1], ["2026-01-05T12:00:09Z", "medium", "opsknight/first"]), "{found}");
}

#[test]
fn the_alert_settings_of_the_page_stand_in_a_rule() {
    let head =
        "title = 'T'\nseverity = 'low'\nwhen = 'event.action: x'\ngroup_by = ['user.name']\n";
    let test = "\n[[test]]\nname = 'an administrator makes it critical'\n\
                events = [{ fields = { 'event.action' = 'x', 'user.name' = 'eve', 'user.roles' = 'admin' } }]\n\
                expect = [{ severity = 'critical', title = '…', resolved_at = '1h' }]\n";
    let folder = Folder::new();
    folder.write("rules/common/alert.toml", &format!("{head}{ALERT}{test}"));
    assert!(folder.well("test").contains("1 test of 1 rule passed"));
}

#[test]
fn every_form_of_the_query_table_is_read() {
    let rows: Vec<&str> = FORMS.lines().skip(2).collect();
    assert_eq!(rows.len(), 15);
    let mut read = 0;
    for row in rows {
        let form = row.trim_start_matches('|').split(" | ").next().unwrap();
        for (n, code) in form.split('`').enumerate() {
            let query = match (n % 2, code) {
                (0, _) => continue,
                (_, "not") => "not a: b".to_owned(),
                (_, "and" | "or") => format!("a: b {code} c: d"),
                (_, "( )") => "(a: b)".to_owned(),
                // The other half of the form before.
                (_, ">=" | "<" | "<=") => format!("field {code} 5"),
                (_, half) if half.starts_with([':', '/']) => {
                    format!("source.ip: {}", half.trim_start_matches(": "))
                }
                (_, whole) => whole.to_owned(),
            };
            assert!(Query::parse(&query).is_ok(), "{query}: {:?}", Query::parse(&query));
            assert!(Query::parse_interactive(&query, &Aliases::new()).is_ok(), "{query}");
            read += 1;
        }
    }
    assert_eq!(read, 25);
}

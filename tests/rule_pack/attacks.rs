//! The rules on logs of real attacks on AWS: which alert, how often, and which attack none of them
//! sees. `rules/README.md` shows the outcome; the tables in it are written from here
//! (`UPDATE_EXPECT=1`), so that a threshold that is moved shows in the diff what it does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::Arc;

use expect_test::expect_file;
use hark::event::Layout;
use hark::mapping::{Mappings, Options, Tables};
use hark::replay::{Counts, Replay, TOPIC, Through};
use hark::rule::Rule;
use serde_json::Value;

use super::{mappings, of_products, read, root, rules, sets};

/// The logs in `tests/data`, as the head of the table names them.
const LOGS: [(&str, &str); 3] = [
    ("Invictus", "invictus_cloudtrail"),
    ("Stratus", "stratus_cloudtrail"),
    ("OTRF", "otrf_cloudtrail"),
];

const BEGIN: &str = "<!-- from here on written by tests/rule_pack/attacks.rs -->\n";
const END: &str = "<!-- up to here -->\n";

fn lines(log: &str) -> Vec<String> {
    let packed = std::fs::read(root().join(format!("tests/data/{log}.jsonl.gz"))).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// What each rule that matched anything made of the records, every one of which is used.
fn outcome<'a>(
    rules: &[Arc<Rule>],
    records: impl Iterator<Item = &'a str>,
) -> BTreeMap<String, Counts> {
    let sets = sets();
    let through = |layout: &Layout| {
        let own = of_products(&mappings(), &["cloudtrail"].into());
        let (mappings, found) =
            Mappings::load(&own, &Tables::new(), layout, &sets, Options::default());
        assert!(found.is_empty(), "{found:?}");
        Through::Detected(mappings, TOPIC.into())
    };
    let mut replay = Replay::new(rules, &sets, through).unwrap();
    records.for_each(|record| replay.record(record.as_bytes()));
    replay.finish(None);
    let summary = replay.summary();
    assert_eq!(summary.unused(), 0);
    let matched = summary.rules.iter().filter(|(_, counts)| counts.matched > 0);
    matched.map(|(rule, counts)| (rule.to_string(), *counts)).collect()
}

/// How many events each rule matched in each log, and how many alerts it made of them.
fn of_logs(rules: &[Arc<Rule>]) -> String {
    let outcomes = LOGS.map(|(_, log)| outcome(rules, lines(log).iter().map(String::as_str)));
    let mut table = String::from("| rule |");
    for (name, log) in LOGS {
        write!(table, " {name}, {} events |", lines(log).len()).unwrap();
    }
    table.push_str("\n|---|---|---|---|\n");
    for rule in rules {
        let id = rule.id.to_string();
        if outcomes.iter().all(|outcome| !outcome.contains_key(&id)) {
            continue;
        }
        write!(table, "| {id} |").unwrap();
        for outcome in &outcomes {
            match outcome.get(&id) {
                Some(Counts { matched, alerts, .. }) => write!(table, " {matched} → {alerts} |"),
                None => write!(table, " |"),
            }
            .unwrap();
        }
        table.push('\n');
    }
    table
}

/// The rules that alert when nothing but one technique happens.
fn of_techniques(rules: &[Arc<Rule>]) -> String {
    let mut by_technique: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines("stratus_cloudtrail") {
        let record: Value = serde_json::from_str(&line).unwrap();
        by_technique
            .entry(record["technique"].as_str().unwrap().to_owned())
            .or_default()
            .push(line);
    }
    let mut table = String::from("| technique | rules that alert |\n|---|---|\n");
    for (technique, records) in by_technique {
        let outcome = outcome(rules, records.iter().map(String::as_str));
        let alerted = outcome.iter().filter(|(_, counts)| counts.alerts > 0);
        let alerted: Vec<&str> = alerted.map(|(rule, _)| rule.as_str()).collect();
        let told = if alerted.is_empty() { "none".to_owned() } else { alerted.join(", ") };
        writeln!(table, "| {technique} | {told} |").unwrap();
    }
    table
}

#[test]
fn each_attack_is_seen_by_the_rules_that_the_readme_names() {
    let (path, rules) = (root().join("rules/README.md"), rules());
    let readme = read(&path);
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let tables = format!("{}\n{}", of_logs(&rules), of_techniques(&rules));
    expect_file![path].assert_eq(&format!("{before}{BEGIN}\n{tables}\n{END}{after}"));
}

/// Those in the logs who are no attackers, by name and by the address when an attacker has their name.
fn is_bystander(record: &Value) -> bool {
    let user = record["userIdentity"]["userName"].as_str();
    match user {
        Some("benjamin" | "pedro") => true,
        Some("bert-jan") => record["sourceIPAddress"] == "10.8.8.10",
        _ => false,
    }
}

#[test]
fn people_who_look_around_in_the_console_open_no_alert() {
    for (log, at_least) in [("invictus_cloudtrail", 370), ("otrf_cloudtrail", 80)] {
        let mut lines = lines(log);
        lines.retain(|line| is_bystander(&serde_json::from_str(line).unwrap()));
        assert!(lines.len() >= at_least, "only {} events of {log}", lines.len());
        for (rule, counts) in outcome(&rules(), lines.iter().map(String::as_str)) {
            assert_eq!(counts.alerts, 0, "{rule}, {log}");
        }
    }
}

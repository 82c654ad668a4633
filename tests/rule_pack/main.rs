//! The rules that Hark ships: each is right, says what a reader needs, holds its own tests, and
//! fires for exactly the products that have such an event.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod attacks;
mod falco;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect_file;
use hark::base::diagnostic::SourceText;
use hark::base::document::Document;
use hark::base::{Diagnostics, Timestamp};
use hark::mapping::{Options, Tables};
use hark::query::Sets;
use hark::replay::{Bench, Samples, Trial};
use hark::rule::test_case::{Offset, Origin, RuleTest, TestEvent};
use hark::rule::{Advice, CheckInput, CheckReport, Rule, RuleFile, check};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn samples() -> PathBuf {
    root().join("tests/samples")
}

/// All files with this ending below a folder, by their path under it, sorted.
fn files(folder: &Path, ending: &str) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                let under = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.push((under, path));
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn mappings() -> Vec<SourceText> {
    let files = files(&root().join("config/mappings"), "toml");
    files.iter().map(|(_, path)| SourceText::new(path, read(path))).collect()
}

/// The mappings of these products alone: a run need not compile the others.
fn of_products(mappings: &[SourceText], products: &BTreeSet<&str>) -> Vec<SourceText> {
    let stem =
        |mapping: &SourceText| mapping.path.file_stem().unwrap().to_str().unwrap().to_owned();
    let own = mappings.iter().filter(|mapping| products.contains(stem(mapping).as_str()));
    own.cloned().collect()
}

fn sets() -> Sets {
    let text = read(&root().join("config/hark.toml"));
    let mut found = Diagnostics::new();
    let document = Document::parse(&text);
    let mut root = document.root(&mut found);
    let sets = Sets::parse_tables(&mut root, &mut |file| Err(file.to_owned()), &mut found);
    assert!(found.is_empty(), "{found:?}");
    sets
}

/// The whole pack, checked against the shipped mappings and configuration.
fn pack() -> CheckReport {
    let rules: Vec<RuleFile> = files(&root().join("rules"), "toml")
        .into_iter()
        .map(|(relative, path)| RuleFile {
            source: SourceText::new(format!("rules/{relative}"), read(&path)),
            relative,
        })
        .collect();
    let sets = sets();
    let advice = Advice {
        now: Timestamp::parse("2026-01-05T12:00:00Z"),
        signals_retention: Some(Duration::from_hours(7 * 24)),
        all_rules: true,
        other_rules: None,
        samples: None,
        allow: &[],
    };
    let tables = Tables::new();
    let mappings = mappings();
    check(&CheckInput { mappings: &mappings, tables: &tables, rules: &rules, sets: &sets, advice })
}

fn rules() -> Vec<Arc<Rule>> {
    let rules = pack().rules.rules().to_vec();
    assert!(rules.len() >= 8, "the pack is not there");
    rules
}

#[test]
fn the_pack_is_checked_without_a_word() {
    let report = pack();
    assert_eq!(report.render(false), "");
    assert_eq!(report.rules.rules().len(), report.rule_files);
}

#[test]
fn every_rule_tells_its_reader_what_to_do() {
    for rule in rules() {
        let id = &rule.id;
        assert!(rule.description.len() > 60, "{id}: description");
        assert!(!rule.threat.is_empty(), "{id}: threat");
        assert!(!rule.tags.is_empty(), "{id}: tags");
        assert!(!rule.false_positives.is_empty(), "{id}: false_positives");
        let runbook = rule.runbook.as_deref().unwrap_or_default();
        assert!(runbook.contains("1. ") && runbook.contains("2. "), "{id}: steps of the runbook");
        assert!(rule.alert.title.is_some(), "{id}: alert title");
        assert!(rule.alert.summary.is_some(), "{id}: alert summary");
    }
}

#[test]
fn every_rule_has_a_test_that_fires_and_one_that_does_not() {
    for rule in rules() {
        assert!(rule.tests.iter().any(|test| !test.expect.is_empty()), "{}: fires", rule.id);
        assert!(rule.tests.iter().any(|test| test.expect.is_empty()), "{}: is silent", rule.id);
    }
}

/// All samples by name.
fn all_samples() -> Samples {
    let read = |(name, path): (String, PathBuf)| {
        (name.trim_end_matches(".json").to_owned(), Ok(std::fs::read(path).unwrap()))
    };
    files(&samples(), "json").into_iter().map(read).collect()
}

#[test]
fn every_rule_holds_its_own_tests() {
    let (mappings, sets, tables, samples) = (mappings(), sets(), Tables::new(), all_samples());
    let (options, mappings) = (Options::default(), mappings.as_slice());
    let bench = Bench { mappings, tables: &tables, sets: &sets, options, samples: &samples };
    let trials = bench.run(&rules()).unwrap();
    assert!(trials.len() >= 20, "only {} tests", trials.len());
    let failed = trials.iter().filter(|trial| !trial.passed()).map(Trial::timeline);
    let failed: String = failed.collect();
    assert!(failed.is_empty(), "\n{failed}");
}

/// A test in which samples happen, each so long after the start, and nothing is expected.
fn happening(start: &str, samples: impl Iterator<Item = (Duration, String)>) -> RuleTest {
    let event = |(distance, name)| TestEvent {
        origin: Origin::Sample(name),
        at: Offset { distance, before: false },
        times: 1,
        every: Duration::ZERO,
        set: BTreeMap::new(),
        unset: Vec::new(),
    };
    RuleTest {
        name: "samples happen".to_owned(),
        span: 0..0,
        start: Timestamp::parse(start).unwrap(),
        events: samples.map(event).collect(),
        lists: BTreeMap::new(),
        tables: BTreeMap::new(),
        cold_start: false,
        run_for: None,
        expect: Vec::new(),
    }
}

/// Each product's samples, all of them, ten times in a night, against each rule alone.
#[test]
fn a_rule_fires_for_the_products_that_have_such_an_event_and_for_no_other() {
    let (mappings, sets, tables, samples) = (mappings(), sets(), Tables::new(), all_samples());
    let mut of_product: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in samples.keys() {
        let product = name.split('/').next().unwrap().to_owned();
        of_product.entry(product).or_default().push(name.clone());
    }
    let mut matrix = String::new();
    for rule in rules() {
        writeln!(matrix, "{} [{}]", rule.id, rule.severity).unwrap();
        for (product, names) in &of_product {
            let own = of_products(&mappings, &[product.as_str()].into());
            let options = Options::default();
            let bench =
                Bench { mappings: &own, tables: &tables, sets: &sets, options, samples: &samples };
            let seconds = (0..10).map(Duration::from_secs);
            let all = seconds.flat_map(|at| names.iter().map(move |name| (at, name.clone())));
            let trial = bench.one(&rule, &happening("2026-01-06T02:00:00Z", all)).unwrap();
            let alerts = trial.alerts();
            // A title that shows a dash where a name should be helps nobody.
            for alert in alerts {
                assert!(!alert.title.contains('–'), "{} {product}: {}", rule.id, alert.title);
            }
            if let Some(alert) = alerts.first() {
                writeln!(matrix, "    {product}: {}", alert.title).unwrap();
            }
        }
    }
    expect_file![root().join("tests/golden/rules.txt")].assert_eq(&matrix);
}

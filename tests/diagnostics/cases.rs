//! Every code with the example of its table entry: what is wrong earns the code, what is right does
//! not, and what people read of it is held in `tests/golden/diagnostics.txt` (`UPDATE_EXPECT=1`
//! writes it anew).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::expect_file;
use hark::app;
use hark::base::diagnostic::lints::{Home, Lint, lints};
use hark::base::diagnostic::{SourceText, render};
use hark::base::{Diagnostics, Timestamp};
use hark::config::{self, Config, Layers, Purpose};
use hark::query::{LIST_ENTRIES_MAX, QUERY_BYTES_MAX, QUERY_DEPTH_MAX};
use hark::rule::{Advice, CheckInput, RuleFile, check};

type Found = Vec<(SourceText, Diagnostics)>;

/// A folder with everything that the examples refer to, and the configuration that names it.
struct Workbench {
    folder: tempfile::TempDir,
    config: Config,
}

const CONFIG: &str = r#"
[sources."audit.example"]

[lists.admins]
values = ["root"]

[schedules.business-hours]
timezone = "UTC"

[tables.people]
file = "people.csv"
key  = "email"
"#;

const MAPPING: &str = r#"
topics = ["audit.example"]
[fields]
"event.action"   = "action"
"event.category" = "category"
"event.outcome"  = "outcome"
"event.reason"   = "reason"
"event.created"  = "created"
"source.ip"      = "ip"
"source.geo.location" = "geo"
"user.name"      = "actor"
"user.roles"     = "roles"
"labels.team"    = "team"
"#;

/// The keys that a file needs, each left out where the example has it.
const RULE: [&str; 3] = ["title = \"Example\"", "severity = \"low\"", "when = 'event.action: x'"];

impl Workbench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("people.csv", "email,name\nann@example.com,Ann\n");
        write("scanners.txt", "198.51.100.7\n");
        let authority = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
        write("ca.pem", &authority.cert.pem());
        let loaded = load(folder.path(), CONFIG, &[]);
        let config = loaded.1.unwrap();
        Self { folder, config }
    }

    /// What is said of mappings and rules, by path.
    fn check(&self, mappings: &[(&str, &str)], rules: &[(&str, &str)]) -> Found {
        let source = |(path, text): &(&str, &str)| SourceText::new(path, *text);
        let mappings: Vec<SourceText> = mappings.iter().map(source).collect();
        let file = |(path, text): &(&str, &str)| RuleFile {
            relative: (*path).to_owned(),
            source: SourceText::new(format!("rules/{path}"), *text),
        };
        let rules: Vec<RuleFile> = rules.iter().map(file).collect();
        let (tables, sets) = (&self.config.tables, &self.config.sets);
        let samples = ["opsknight/login_failed".to_owned()].into();
        let advice = Advice {
            now: Timestamp::parse("2026-01-05T12:00:00Z"),
            signals_retention: Some(Duration::from_hours(7 * 24)),
            all_rules: rules.len() > 1,
            other_rules: None,
            samples: Some(&samples),
            allow: &[],
        };
        check(&CheckInput { mappings: &mappings, tables, rules: &rules, sets, advice }).files
    }

    fn rule(&self, text: &str) -> Found {
        self.check(&[("mappings/example.toml", MAPPING)], &[("example.toml", text)])
    }

    /// What is said of an example where it would be written.
    fn example(&self, lint: &Lint, example: &str) -> Option<Found> {
        match lint.home {
            Home::Rule if lint.code == "missing-test" => Some(self.rule(&headed(example))),
            Home::Rule => Some(self.rule(&completed(example))),
            Home::Query => Some(self.rule(&completed(&format!("when = '''{example}'''")))),
            Home::Mapping => {
                let given = ["topics", "detect"].iter().any(|key| example.starts_with(key));
                let topics = if given { "" } else { "topics = [\"audit.example\"]\n" };
                let fields = "\n[fields]\n\"event.action\" = \"action\"\n";
                let fields = if example.contains("[fields]") { "" } else { fields };
                let text = format!("{topics}{example}{fields}");
                Some(self.check(&[("mappings/example.toml", &text)], &[]))
            }
            Home::Config => {
                let source = "\n[sources.\"audit.example\"]\n";
                let source = if example.contains("[sources") { "" } else { source };
                Some(load(self.folder.path(), &format!("{example}{source}"), &[]).0)
            }
            Home::Elsewhere => None,
        }
    }
}

/// What is said of a configuration in that folder, under the name `hark.toml`.
fn load(folder: &Path, text: &str, sets: &[&str]) -> (Found, Option<Config>) {
    let layers = Layers {
        path: folder.join("hark.toml"),
        text: text.to_owned(),
        environment: BTreeMap::from([("HARK_TOKEN".to_owned(), "t0ken".to_owned())]),
        sets: sets.iter().map(|set| (*set).to_owned()).collect(),
    };
    let loaded = config::load_for(&layers, Purpose::Check);
    let here = |source: SourceText| {
        let name = source.path.file_name().unwrap().to_owned();
        SourceText { path: PathBuf::from("config").join(name), ..source }
    };
    let found = loaded.found.into_iter().map(|(source, found)| (here(source), found)).collect();
    (found, loaded.config)
}

/// A rule file with the lines of an example; those that it needs besides come above, two tests below.
fn completed(example: &str) -> String {
    headed(example) + TESTS
}

fn headed(example: &str) -> String {
    let above = if example.starts_with('[') { "" } else { example.split("\n[").next().unwrap() };
    let has = |line: &str| {
        let key = line.split(' ').next().unwrap();
        above.lines().any(|own| own.starts_with(&format!("{key} =")))
    };
    let mut text = String::new();
    for line in RULE.into_iter().filter(|line| !has(line)) {
        writeln!(text, "{line}").unwrap();
    }
    writeln!(text, "{example}").unwrap();
    text
}

/// Tests that fire and that do not.
pub(crate) const TESTS: &str = r#"
[[test]]
name   = "fires"
events = [{ fields = { event.action = "x" } }]
expect = [{}]

[[test]]
name   = "is silent"
events = [{ fields = { event.action = "y" } }]
expect = []
"#;

fn has(found: &Found, code: &str) -> bool {
    found.iter().any(|(_, found)| found.iter().any(|d| d.code == code))
}

/// What several files or a command line do wrong; `None` for what no test can bring about.
fn elsewhere(bench: &Workbench, code: &str) -> Option<Found> {
    let mapping = ("mappings/example.toml", MAPPING);
    let plain = completed("");
    let folder = bench.folder.path();
    Some(match code {
        "duplicate-id" => {
            let text = completed("id = \"example\"");
            bench.check(&[mapping], &[("a.toml", &text), ("b.toml", &text)])
        }
        "same-title" => bench.check(&[mapping], &[("a.toml", &plain), ("b.toml", &plain)]),
        "rule-loop" => {
            let on = |other: &str| completed(&format!("when = 'rule.id: {other}'"));
            let (a, b) = (on("b").replace("Example", "A"), on("a").replace("Example", "B"));
            bench.check(&[mapping], &[("a.toml", &a), ("b.toml", &b)])
        }
        "unknown-rule" => {
            let on = completed("when = 'rule.id: exampel'").replace("Example", "A");
            bench.check(&[mapping], &[("a.toml", &on), ("example.toml", &plain)])
        }
        "override-meets-no-rule" => {
            let text = "[[override]]\nrules = [\"okta/*\"]\nset = { severity = \"low\" }\n";
            bench.check(&[mapping], &[("a.toml", &plain), ("tuning.toml", text)])
        }
        "duplicate-mapping" => {
            bench.check(&[("mappings/a/m.toml", MAPPING), ("mappings/b/m.toml", MAPPING)], &[])
        }
        "duplicate-alias" => {
            let with = |field| format!("{MAPPING}\n[search]\nactor = \"{field}\"\n");
            let (a, b) = (with("user.name"), with("user.id"));
            bench.check(&[("mappings/a.toml", &a), ("mappings/b.toml", &b)], &[])
        }
        "unreadable" => {
            let mut found = Diagnostics::new();
            config::read_tree(Path::new("no-such-folder"), &mut found);
            vec![(SourceText::new("rules", ""), found)]
        }
        "no-rules" | "no-mappings" => {
            let config = load(folder, &format!("rules = '.'\nmappings = '.'\n{CONFIG}"), &[]).1;
            let mut found = app::check(&config.unwrap(), &[], Timestamp::MAX).files;
            found.retain(|(_, found)| found.iter().any(|d| d.code == code));
            found
        }
        "bad-override" => load(folder, CONFIG, &["kafka.bootstrap"]).0,
        "list-too-long" => {
            let line = "a\n";
            let path = folder.join("long.txt");
            std::fs::write(path, line.repeat(LIST_ENTRIES_MAX + 1)).unwrap();
            load(folder, &format!("{CONFIG}\n[lists.long]\nfile = \"long.txt\"\n"), &[]).0
        }
        "query-too-long" => {
            let long = "a".repeat(QUERY_BYTES_MAX);
            bench.rule(&completed(&format!("when = 'user.name: {long}'")))
        }
        "query-too-deep" => {
            let (open, close) = ("(".repeat(QUERY_DEPTH_MAX + 1), ")".repeat(QUERY_DEPTH_MAX + 1));
            bench.rule(&completed(&format!("when = 'user.name: {open}x{close}'")))
        }
        // Only a system that refuses its own certificate store has it.
        "http-client" => return None,
        other => panic!("{other}: show here how it comes about"),
    })
}

/// Lines that are far longer than anyone reads are cut in the golden text.
fn shortened(text: &str) -> String {
    let line = |line: &str| {
        if line.chars().count() <= 200 {
            return line.to_owned();
        }
        format!("{}…", line.chars().take(120).collect::<String>())
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn section(bench: &Workbench, lint: &Lint, found: &Found) -> String {
    let said: String = found.iter().map(|(source, found)| render(source, found, false)).collect();
    let said = said.replace(bench.folder.path().to_str().unwrap(), "config");
    format!("## {}\n\n{}\n\n", lint.code, shortened(said.trim_end()))
}

#[test]
fn every_code_has_an_example_that_earns_it_and_reads_well() {
    let bench = Workbench::new();
    let mut golden = String::new();
    let mut silent = Vec::new();
    for lint in lints() {
        let found = bench.example(lint, lint.wrong);
        let Some(found) = found.or_else(|| elsewhere(&bench, lint.code)) else { continue };
        let said = section(&bench, lint, &found);
        if !has(&found, lint.code) {
            silent.push(said.clone());
        }
        let gravities = found.iter().flat_map(|(_, found)| found.iter());
        for diagnostic in gravities.filter(|d| d.code == lint.code) {
            assert_eq!(diagnostic.gravity, lint.gravity, "{}", lint.code);
        }
        golden.push_str(&said);
    }
    assert!(silent.is_empty(), "not told by their own example:\n{}", silent.concat());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/diagnostics.txt");
    expect_file![path].assert_eq(&golden);
}

#[test]
fn what_the_table_calls_right_says_nothing_at_all() {
    let bench = Workbench::new();
    let mut wrong = String::new();
    for lint in lints() {
        let Some(found) = bench.example(lint, lint.right) else { continue };
        if found.iter().any(|(_, found)| !found.is_empty()) {
            wrong.push_str(&section(&bench, lint, &found));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

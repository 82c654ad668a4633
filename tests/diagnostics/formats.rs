//! `hark check --format json` and `--format sarif`, as CI calls them.

use std::path::Path;

use serde_json::Value;

use crate::program;

/// Two mistakes and a doubt, in a rule; its name needs an escape in a URI.
const RULE: &str = "title = \"Zugriff über Nacht\"\nseverty = \"high\"\nseverity = \"low\"\n\
    when = 'user.nmae: \"ü\" and event.action: x and not event.action: x'\nid = 'x'\n";

struct Checked {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// `hark check` in a folder with a configuration, a mapping and the rule `a b.toml`.
fn check(config: &str, rule: &str, arguments: &[&str]) -> Checked {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("config/hark.toml", config);
    write(
        "config/mappings/m.toml",
        "topics = ['a']\n[fields]\n'event.action' = 'x'\n'user.name' = 'y'\n",
    );
    write("rules/a b.toml", rule);
    run(folder.path(), arguments)
}

fn run(folder: &Path, arguments: &[&str]) -> Checked {
    let output = program::run(folder, &[&["check"], arguments].concat(), "");
    let text = |bytes: &[u8]| program::text(bytes).to_owned();
    Checked {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

const CONFIG: &str = "rules = '../rules'\nmappings = 'mappings'\n[kafka]\nbootstrap = 'embedded'\n\
    [sources.a]\n[check]\nallow = ['missing-test']\n";

/// Every diagnostic as `code path line:column-line:column`.
fn places(json: &Value) -> Vec<String> {
    let diagnostics = json["diagnostics"].as_array().unwrap();
    let place = |d: &Value| {
        format!(
            "{} {} {}:{}-{}:{}",
            d["code"].as_str().unwrap(),
            d["path"].as_str().unwrap(),
            d["start"]["line"],
            d["start"]["column"],
            d["end"]["line"],
            d["end"]["column"]
        )
    };
    diagnostics.iter().map(place).collect()
}

#[test]
fn json_is_one_object_on_standard_output_and_nothing_else_is_said() {
    let checked = check(CONFIG, RULE, &["--format", "json"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(1), ""));
    let json: Value = serde_json::from_str(&checked.stdout).unwrap();
    let places = places(&json);
    assert!(places.contains(&"unknown-key rules/a b.toml 2:1-2:8".to_owned()), "{places:?}");
    assert!(places.contains(&"unknown-field rules/a b.toml 4:9-4:18".to_owned()), "{places:?}");
    // Behind a letter of two bytes: columns count characters, spans bytes.
    assert!(places.contains(&"never-true rules/a b.toml 4:52-4:67".to_owned()), "{places:?}");
    for d in json["diagnostics"].as_array().unwrap() {
        let span = |end: &str| usize::try_from(d["span"][end].as_u64().unwrap()).unwrap();
        let pointed = RULE.get(span("start")..span("end")).unwrap();
        if d["code"] == "never-true" {
            assert_eq!((pointed, d["gravity"].as_str()), ("event.action: x", Some("warning")));
        }
        if d["code"] == "unknown-key" {
            assert_eq!(
                (pointed, d["help"].as_str()),
                ("severty", Some("did you mean `severity`?"))
            );
        }
    }
    let counted = |gravity: &str| {
        json["diagnostics"].as_array().unwrap().iter().filter(|d| d["gravity"] == gravity).count()
    };
    let summary = &json["summary"];
    assert_eq!((&summary["rules"], &summary["mappings"]), (&1.into(), &1.into()));
    assert_eq!(summary["errors"], counted("error"));
    assert_eq!(summary["warnings"], counted("warning"));
}

#[test]
fn mistakes_in_the_configuration_are_told_in_every_format() {
    // Of what stands behind a mistake of syntax nothing is sure.
    let mistaken = CONFIG.replace("'embedded'", "'embedded");
    for (format, wanted) in [
        ("json", r#""code": "toml-syntax""#),
        ("json", r#""rules": null"#),
        ("sarif", r#""uri": "config/hark.toml""#),
    ] {
        let checked = check(&mistaken, RULE, &["--format", format]);
        assert_eq!((checked.code, checked.stderr.as_str()), (Some(1), ""));
        assert!(checked.stdout.contains(wanted), "{format}: {}", checked.stdout);
    }
    let text = check(&mistaken, RULE, &[]);
    assert_eq!(text.stdout, "1 error in the configuration; rules and mappings not checked\n");
    assert!(text.stderr.contains("error[toml-syntax]"), "{}", text.stderr);
}

#[test]
fn a_configuration_that_is_not_there_is_a_diagnostic_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let checked = run(folder.path(), &["--format", "json", "--config", "none.toml"]);
    assert_eq!(checked.code, Some(1));
    let json: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(places(&json), ["unreadable none.toml null:null-null:null"]);
}

#[test]
fn a_folder_that_is_not_there_is_told_under_its_own_name() {
    let config = CONFIG.replace("'mappings'", "'mapings'").replace("'../rules'", "'../rulez'");
    let checked = check(&config, RULE, &["--format", "json"]);
    assert_eq!(checked.code, Some(1));
    let json: Value = serde_json::from_str(&checked.stdout).unwrap();
    let missing = ["config/mapings", "rulez"];
    assert_eq!(places(&json), missing.map(|path| format!("unreadable {path} null:null-null:null")));
}

#[test]
fn nothing_to_say_is_an_empty_list_and_success() {
    let rule = "id = 'x'\ntitle = 'x'\nseverity = 'low'\nwhen = 'event.action: x'\n";
    let checked = check(CONFIG, rule, &["--format", "json"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    let json: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(json["diagnostics"], Value::Array(Vec::new()));
    let checked = check(CONFIG, rule, &["--format", "sarif"]);
    let log: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(log["runs"][0]["results"], Value::Array(Vec::new()));
}

/// What SARIF 2.1.0 asks of a log with results, by the sections of the standard.
#[test]
fn the_sarif_log_is_valid() {
    let checked = check(CONFIG, RULE, &["--format", "sarif"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(1), ""));
    let log: Value = serde_json::from_str(&checked.stdout).unwrap();
    // §3.13: version and runs are required; the schema's address is a URI.
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().starts_with("https://"));
    let runs = log["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    let run = &runs[0];
    // §3.14.17: one of these two words.
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    // §3.19: a driver has a name, and a version in the form of semver.
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "hark");
    assert_eq!(driver["semanticVersion"].as_str().unwrap().split('.').count(), 3);
    // §3.49: each rule has an id, none twice.
    let rules = driver["rules"].as_array().unwrap();
    let ids: Vec<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    let mut distinct = ids.clone();
    distinct.dedup();
    assert!(ids.is_sorted() && ids == distinct, "{ids:?}");
    for rule in rules {
        for part in ["shortDescription", "help"] {
            assert!(!rule[part]["text"].as_str().unwrap().is_empty(), "{rule}");
        }
    }
    let results = run["results"].as_array().unwrap();
    assert!(results.len() >= 3);
    for result in results {
        // §3.27.6: the index is that of the rule with the id.
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(result["ruleId"], ids[index]);
        // §3.27.10: one of none, note, warning, error.
        assert!(["warning", "error"].contains(&result["level"].as_str().unwrap()));
        // §3.11: a message has a text.
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        // §3.4.3: a URI reference, so no spaces.
        assert_eq!(place["artifactLocation"]["uri"], "rules/a%20b.toml");
        // §3.30: lines and columns from 1; an end that is not before the start.
        let region = &place["region"];
        let at = |line: &str, column: &str| {
            (region[line].as_u64().unwrap(), region[column].as_u64().unwrap())
        };
        let (start, end) = (at("startLine", "startColumn"), at("endLine", "endColumn"));
        assert!(start.0 >= 1 && start.1 >= 1 && start < end, "{start:?} {end:?}");
        assert!(region["byteLength"].as_u64().unwrap() >= 1);
    }
}

//! What the README shows is true: its rules and settings are read without a mistake, its commands
//! exist, its mistake looks as printed, and its table of topics is the one that Hark creates.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Output;

use hark::config::{self, Layers};
use hark::detectors::DETECTORS;
use hark::kafka::{Cleanup, Settings, Topics};

#[path = "support/program.rs"]
mod program;

use program::{root, text};

const SECRETS: [(&str, &str); 1] = [("HARK_SMTP_PASSWORD", "secret")];

#[test]
fn every_rule_is_right() {
    let rules: Vec<_> = blocks("toml").into_iter().filter(|b| b.contains("\nwhen ")).collect();
    assert_eq!(rules.len(), 2);
    for rule in rules {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "rule.toml", &rule);
        // Their tests stand further down, and dates in examples pass.
        let allowed = "check.allow=[\"missing-test\", \"exception-ended\"]";
        let checked = hark(&["check", "--set", allowed, path.to_str().unwrap()]);
        assert!(checked.status.success(), "{rule}\n{}", text(&checked.stderr));
        assert_eq!(text(&checked.stderr), "", "a rule to start from has no warnings:\n{rule}");
    }
}

#[test]
fn every_detector_is_shown_with_settings_that_are_right() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for spec in DETECTORS {
        let start = format!("| `[{}]` |", spec.table);
        let row = readme.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("the README does not name [{}]", spec.table));
        let settings = row.strip_suffix("` |").and_then(|row| row.rsplit_once(" | `")).unwrap().1;
        let rule = format!(
            "title = \"{0}\"\nseverity = \"low\"\nwhen = 'event.action: *'\ngroup_by = [\"user.name\"]\n{0} = {{ {settings} }}\n",
            spec.table
        );
        write(folder.path(), &format!("{}.toml", spec.table), &rule);
    }
    let checked = hark(&["check", folder.path().to_str().unwrap()]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn the_overrides_hold_for_the_shipped_rules() {
    let overrides = blocks("toml").into_iter().find(|b| b.starts_with("[[override]]")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "overrides.toml", &overrides);
    let checked = hark(&["check", "rules", path.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(!text(&checked.stderr).contains("overrides.toml"), "{}", text(&checked.stderr));
    let common = std::fs::read_dir("rules/common").unwrap().count();
    let said = text(&checked.stdout);
    assert!(said.contains(&format!("({common} overridden)")), "{said}");
    let tested = hark(&["test", "rules", path.to_str().unwrap()]);
    let tested = text(&tested.stdout);
    let told = format!("{common} rules are overridden, and tested as written");
    assert!(tested.contains(&told) && tested.contains(" passed in "), "{tested}");
}

#[test]
fn the_mistake_looks_as_printed() {
    let rule = blocks("toml").into_iter().find(|b| b.contains("API keys")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "key-spree.toml", &rule.replace("[threshold]", "[treshold]"));
    let checked = hark(&["check", path.to_str().unwrap()]);
    assert!(!checked.status.success());
    let shown = blocks("").into_iter().find(|b| b.starts_with("error")).unwrap();
    let shown_path = "rules/mine/key-spree.toml";
    assert!(shown.contains(shown_path), "{shown}");
    assert_eq!(
        text(&checked.stderr).trim_end(),
        shown.replace(shown_path, path.to_str().unwrap()).trim_end()
    );
}

#[test]
fn the_test_passes_and_fails_as_printed() {
    let blocks_of = |language, start: &str| {
        blocks(language).into_iter().find(|block| block.contains(start)).unwrap()
    };
    let (rule, test) = (blocks_of("toml", "API keys"), blocks_of("toml", "[[test]]"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    let path = folder.path().to_str().unwrap();
    write(folder.path(), "mine/key-spree.toml", &format!("{rule}\n{test}"));
    let tested = hark(&["test", path]);
    assert!(tested.status.success(), "{}", text(&tested.stdout));
    let checked = hark(&["check", path]);
    assert_eq!(text(&checked.stderr), "", "with its tests it has no warnings");
    let wrong = test.replace("\"8m\"", "\"9m\"");
    write(folder.path(), "mine/key-spree.toml", &format!("{rule}\n{wrong}"));
    let tested = hark(&["test", path]);
    let shown = blocks_of("", "FAILED");
    let told = text(&tested.stdout).replace(path, "rules");
    assert!(told.starts_with(&shown), "{told}");
    assert!(!tested.status.success());
}

#[test]
fn the_explanation_looks_as_printed() {
    let rule = blocks("toml").into_iter().find(|b| b.contains("API keys")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    let path = write(folder.path(), "mine/key-spree.toml", &rule);
    let event = "tests/samples/blocksecops/api_key_revoked.json";
    let explained = hark(&["explain", "--rule", path.to_str().unwrap(), "--event", event]);
    let shown = blocks("").into_iter().find(|b| b.contains("does not match")).unwrap();
    let told = text(&explained.stdout).replace("match key-spree", "match mine/key-spree");
    assert_eq!(told.trim_end(), shown.trim_end());
}

#[test]
fn every_setting_is_right() {
    let of_a_rule = |block: &String| {
        let of_rules = ["[[test]]", "[[override]]"];
        block.contains("\nwhen ") || of_rules.iter().any(|header| block.starts_with(header))
    };
    let settings: Vec<_> = blocks("toml").into_iter().filter(|b| !of_a_rule(b)).collect();
    assert_eq!(settings.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let token = write(folder.path(), "splunk-token", "t");
    for shown in settings {
        let text = shown.replace("/run/secrets/splunk-token", token.to_str().unwrap());
        let layers = Layers {
            path: PathBuf::from("hark.toml"),
            text: format!("[sources.\"audit.ops0\"]\n\n{text}"),
            environment: SECRETS.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            sets: Vec::new(),
        };
        let loaded = config::load(&layers);
        let found: Vec<_> =
            loaded.found.iter().flat_map(|(_, found)| found).map(|d| &d.message).collect();
        assert!(found.is_empty(), "{shown}\n{found:?}");
    }
}

#[test]
fn every_command_exists() {
    let mut seen = 0;
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        let command = line.split('#').next().unwrap().trim();
        let arguments = command
            .strip_prefix("hark ")
            .or_else(|| command.strip_prefix("cargo run --release -- "));
        let Some(arguments) = arguments else {
            assert_eq!(command, "tests/run", "a command that this test does not know");
            assert!(root().join("tests/run").exists());
            continue;
        };
        // `--help` is understood last: what stands before must be, too.
        let words: Vec<_> = arguments.split_whitespace().chain(["--help"]).collect();
        let answer = hark(&words);
        assert!(answer.status.success(), "{command}\n{}", text(&answer.stderr));
        seen += 1;
    }
    assert!(seen >= 4, "{seen} commands");
}

#[test]
fn the_table_of_topics_is_what_hark_creates() {
    let settings = Settings::default();
    for spec in Topics::new(&settings.prefix).specs(&settings) {
        let kept = match spec.cleanup {
            Cleanup::Compact => "compacted".to_owned(),
            Cleanup::Delete { retention } => format!("{} days", retention.as_secs() / 86_400),
        };
        let rest = format!("| {} | {kept} |", spec.partitions.count());
        let name = format!("`{}`", spec.name);
        let line = readme()
            .lines()
            .any(|l| l.starts_with("| `hark.") && l.contains(&name) && l.contains(&rest));
        assert!(line, "no row for {name} with {rest}");
    }
}

#[test]
fn every_path_that_it_names_is_there() {
    for line in readme().lines() {
        for path in line.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "tests/", "deploy/", "config/", "rules/"]
                .iter()
                .any(|folder| path.starts_with(folder));
            let made_by_the_reader = path.starts_with("rules/mine/");
            if is_path && !made_by_the_reader && !path.contains(' ') {
                assert!(root().join(path).exists(), "{path}");
            }
        }
        // The folder map: a path at the beginning of a line, then what it is for.
        let first = line.split_whitespace().next().unwrap_or_default();
        if first.starts_with("src/") {
            assert!(root().join(first).exists(), "{first}");
        }
    }
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The fenced blocks of a language, without their fences.
fn blocks(language: &str) -> Vec<String> {
    let text = readme();
    let mut found = Vec::new();
    let mut inside: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut inside, line.strip_prefix("```")) {
            (None, Some(named)) => inside = Some((named == language, String::new())),
            (Some((wanted, block)), Some(_)) => {
                if *wanted {
                    found.push(std::mem::take(block));
                }
                inside = None;
            }
            (Some((_, block)), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn hark(arguments: &[&str]) -> Output {
    program::run(&root(), arguments, "")
}

//! The reference that `hark docs` writes: nothing that a table holds is left out, and the same every time.

#![expect(clippy::unwrap_used, reason = "a failure here is the test's")]

use std::path::Path;
use std::process::{Command, Stdio};

use hark::base::diagnostic::lints::lints;
use hark::base::keys::{KeySpec, Shape};
use hark::base::metrics::{LABELS, METRICS, PROCESS};
use hark::cli::docs::{Page, pages};
use hark::detectors::DETECTORS;
use hark::event::schema;
use hark::mapping::Reason;
use hark::notifiers::NOTIFIERS;
use hark::query::FORMS;
use hark::sinks::SINKS;

fn page(name: &str) -> Page {
    pages().into_iter().find(|page| page.name == name).unwrap()
}

#[track_caller]
fn has(name: &str, text: &str) {
    assert!(page(name).text.contains(text), "{name}.md has not: {text}");
}

/// Every key of a table, with those of the tables in it.
fn all(keys: &'static [KeySpec]) -> Vec<KeySpec> {
    let inner = |shape: Shape| match shape {
        Shape::Table(keys) | Shape::OneOf(keys) | Shape::Tables(keys) => all(keys),
        Shape::Map(Shape::Table(keys) | Shape::OneOf(keys)) => all(keys),
        _ => Vec::new(),
    };
    keys.iter().flat_map(|key| [vec![*key], inner(key.shape)].concat()).collect()
}

#[test]
fn every_key_has_a_row() {
    let detectors = |key: &KeySpec| DETECTORS.iter().any(|spec| spec.table == key.name);
    for (name, keys) in [
        ("rules", hark::rule::keys::RULE),
        ("rules", hark::rule::keys::OVERRIDE_FILE),
        ("mappings", hark::mapping::keys::MAPPING),
        ("config", hark::config::keys::CONFIG),
    ] {
        let text = page(name).text;
        let mut seen = 0;
        for top in keys.iter().filter(|key| !detectors(key)) {
            for key in all(std::slice::from_ref(top)) {
                // A kind of destination is a heading.
                let row = text.lines().any(|line| {
                    line.starts_with(&format!("| `{}` | ", key.name))
                        && line.ends_with(&format!("| {} |", key.summary.replace('|', "\\|")))
                });
                let heading = text.contains(&format!(".NAME.{}]`\n", key.name));
                assert!(row || heading, "{name}.md has no row for `{}`", key.name);
                seen += 1;
            }
        }
        assert!(seen >= 3, "{seen}");
    }
    for spec in DETECTORS {
        for key in all(spec.keys) {
            has("detectors", &format!("| `{}` | ", key.name));
            has("detectors", key.summary);
        }
    }
}

#[test]
fn every_member_of_a_family_has_its_summary_and_its_example() {
    for spec in DETECTORS {
        has("detectors", &format!("## `[{}]`\n\n{}\n", spec.table, spec.summary));
        has("detectors", spec.example.trim_matches('\n'));
    }
    for (summary, example) in SINKS
        .iter()
        .map(|spec| (spec.summary, spec.example))
        .chain(NOTIFIERS.iter().map(|spec| (spec.summary, spec.example)))
    {
        has("config", summary);
        has("config", example.trim_matches('\n'));
    }
}

#[test]
fn every_field_form_code_and_reason_is_told() {
    let fields = page("fields").text;
    let rows = fields.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, schema::fields().count());
    has(
        "fields",
        "| `source.ip` | ip | IP address of the source. | `src_endpoint.ip` | `src_ip` | `network.client.ip` |",
    );
    for form in FORMS {
        has("queries", &form.meaning.replace('|', "\\|"));
        has("queries", &format!("`{}`", form.example.replace('|', "\\|")));
    }
    for lint in lints() {
        has("diagnostics", &format!("\n## `{}` (", lint.code));
        has("diagnostics", lint.wrong.trim_matches('\n'));
    }
    for reason in Reason::ALL {
        has("topics", &format!("- `{}`\n", reason.code()));
    }
}

#[test]
fn every_metric_and_every_label_has_a_row() {
    for spec in METRICS.iter().chain(PROCESS) {
        let labels: Vec<_> = spec.labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (spec.kind.name(), labels.join(", "));
        has("metrics", &format!("| `{}` | {kind} | {labels} | {} |\n", spec.name, spec.help));
    }
    for (label, says) in LABELS {
        has("metrics", &format!("| `{label}` | {says} |\n"));
    }
}

#[test]
fn every_table_is_as_wide_in_every_row() {
    for page in pages() {
        let mut width = None;
        for line in page.text.lines() {
            let cells =
                line.starts_with("| ").then(|| line.replace("\\|", "").matches('|').count());
            assert!(
                width.is_none() || cells.is_none() || cells == width,
                "{}.md: {line}",
                page.name
            );
            width = cells;
        }
    }
}

#[test]
fn a_page_each_and_an_index_or_all_in_one() {
    let hark = || Command::new(env!("CARGO_BIN_EXE_hark"));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("made/reference");
    let told = hark().args(["docs", "--out"]).arg(&out).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    let read = |name: &str| std::fs::read_to_string(Path::new(&out).join(name)).unwrap();
    let index = read("index.md");
    let whole = hark().arg("docs").output().unwrap();
    let whole = String::from_utf8(whole.stdout).unwrap();
    for page in pages() {
        assert_eq!(read(&page.file()), page.text);
        assert!(index.contains(&format!("[{}]({})", page.title, page.file())));
        assert!(whole.contains(page.text.trim_end()), "{}", page.name);
    }
    let refused = hark().args(["docs", "--out", "/dev/null/x"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn whoever_has_seen_enough_may_close_the_pipe() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hark"))
        .arg("docs")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

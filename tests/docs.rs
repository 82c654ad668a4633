//! The reference that `hark docs` writes: nothing that a table holds is left out, and the same every
//! time; of products what their mappings really do, as `tests/golden` has it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure here is the test's")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use hark::base::diagnostic::lints::lints;
use hark::base::keys::{KeySpec, Shape};
use hark::base::metrics::{LABELS, METRICS, PROCESS};
use hark::cli::docs::{Page, pages};
use hark::detectors::DETECTORS;
use hark::event::schema;
use hark::mapping::Reason;
use hark::notifiers::NOTIFIERS;
use hark::query::FORMS;
use hark::rule::template::language::{FILTERS, FUNCTIONS, TESTS};
use hark::sinks::SINKS;
use serde_json::Value;

#[path = "support/program.rs"]
mod program;

fn page(name: &str) -> Page {
    pages(&[]).into_iter().find(|page| page.name == name).unwrap()
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
fn every_word_of_templates_has_a_row_with_its_example() {
    for word in [FILTERS, TESTS, FUNCTIONS].into_iter().flatten() {
        has("templates", word.means);
        has("templates", &word.example.replace('|', "\\|"));
        word.names().for_each(|name| has("templates", &format!("`{}`", name.replace('|', "\\|"))));
    }
    for field in hark::rule::ALERT_FIELDS {
        has("templates", &format!("| `{field}` | "));
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

/// `hark docs` in a folder, with no configuration from the environment.
fn docs(folder: &Path, arguments: &[&str]) -> Output {
    program::run(folder, &[&["docs"], arguments].concat(), "")
}

/// The text of every file that `hark docs --out` writes for the configuration that ships, by name.
fn written() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("made/reference");
    let told = docs(Path::new(env!("CARGO_MANIFEST_DIR")), &["--out", out.to_str().unwrap()]);
    assert!(told.status.success(), "{told:?}");
    let files = fs::read_dir(&out).unwrap().map(|file| file.unwrap().path());
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), read(&path))).collect()
}

/// The events of the golden files, by product.
fn golden() -> BTreeMap<String, Vec<Value>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    let event = |line: &str| serde_json::from_str::<Value>(line).unwrap()["event"].take();
    let read = |path: &Path| fs::read_to_string(path).unwrap().lines().map(event).collect();
    files.map(|p| (p.file_stem().unwrap().to_str().unwrap().to_owned(), read(&p))).collect()
}

/// The values of a field of a golden event, in the order in which they stand there.
fn values(event: &Value, field: &str) -> Vec<String> {
    match event.get(field) {
        None => Vec::new(),
        Some(Value::Array(values)) => {
            values.iter().map(|v| v.as_str().unwrap().to_owned()).collect()
        }
        Some(value) => vec![value.as_str().unwrap().to_owned()],
    }
}

#[test]
fn a_products_page_tells_every_value_and_field_that_its_events_have_and_no_other_value() {
    let (files, golden) = (written(), golden());
    assert!(golden.len() >= 10, "{}", golden.len());
    let always = ["@timestamp", "event.id", "event.kind", "event.dataset"];
    for (product, events) in &golden {
        let page = &files[&format!("product-{product}.md")];
        let cell = |values: Vec<String>| {
            values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
        };
        let mut rows = BTreeSet::new();
        for event in events {
            let meaning = ["event.action", "event.category", "event.type", "event.outcome"];
            let row = meaning.map(|field| cell(values(event, field))).join(" | ");
            assert!(page.contains(&format!("| {row} |\n")), "{product}: {row}");
            rows.insert(row);
            for field in &meaning[1..] {
                let told = page.lines().find(|line| line.starts_with(&format!("| `{field}` | ")));
                let told = told.unwrap();
                for value in values(event, field) {
                    assert!(told.contains(&format!("`{value}`")), "{product}: {told} {value}");
                }
            }
            let fields = event.as_object().unwrap().keys();
            for field in fields.filter(|field| !always.contains(&field.as_str())) {
                let row = format!("\n| `{field}` | ");
                assert!(page.contains(&row), "{product} does not tell of {field}");
                assert!(files["products.md"].contains(&row), "{product}: {field}");
            }
        }
        let samples = page.split("## What its samples are").nth(1).unwrap();
        let samples = samples.split("## ").next().unwrap();
        let shown = samples.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(shown, rows.len(), "{product} shows what no sample is");
    }
    let overview = &files["products.md"];
    let row = overview.lines().find(|line| line.contains("`event.category: vulnerability`"));
    assert_eq!(row, Some("| `event.category: vulnerability` | blocksecops, github |"));
    assert!(overview.contains("| `http.request.method` | ops0 |\n"), "{overview}");
}

#[test]
fn a_products_page_says_what_it_copies_from_where_and_when() {
    let files = written();
    for (page, rows) in [
        (
            "product-opsknight.md",
            vec![
                "Records of the topic `audit.opsknight`, and of any other those that meet \
                 `kafka.headers.product: opsknight or raw.product: opsknight`.",
                "As good as missing, but for `raw.*`: `\"0.0.0.0\"`, `\"-\"`, `\"\"`, `\"unknown\"`.",
                "| `event.action` | as the record has it: `raw.action` |",
                "| `event.outcome` | `failure`, `success` |",
                "| `LOGIN_BLOCKED` | `authentication` | `start`, `denied` | `failure` |",
                "| `user.roles` | column `roles` of table `people`, in the row of `user.email` |  |",
                "| `target.type` | nothing | `event.action: (LOGIN_* or LOGOUT)` |",
                "| `event.type` | `deletion` | `event.action: *.deleted` |",
                "| `entity` | `target.id` |",
            ],
        ),
        (
            "product-squadcast.md",
            vec![
                "| `event.action` | as the record has it: `raw.resource` and `raw.action` with `.` \
                 between, in lower case |",
                "| `event.outcome` | none |",
            ],
        ),
    ] {
        for row in rows {
            let there = files[page].lines().any(|line| line == row);
            assert!(there, "{page} has not: {row}\n{}", files[page]);
        }
    }
}

#[test]
fn without_a_configuration_the_mappings_that_ship_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let told = docs(folder.path(), &[]);
    assert!(told.status.success(), "{told:?}");
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains("# Product: okta\n") && text.contains("# Products\n"), "{text}");
    assert!(!text.contains("## What its samples are"), "there is no folder of samples");

    let named = docs(folder.path(), &["--config", "mine.toml"]);
    assert_eq!(named.status.code(), Some(1), "{named:?}");
    assert!(String::from_utf8(named.stderr).unwrap().contains("mine.toml"));
}

#[test]
fn mappings_of_ones_own_are_told_of_and_their_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let failed = |expected: &str| {
        let told = docs(folder.path(), &["--config", "hark.toml"]);
        assert_eq!((told.status.code(), told.stdout.len()), (Some(1), 0), "{told:?}");
        let said = String::from_utf8(told.stderr).unwrap();
        assert!(said.contains(expected), "{said}");
    };
    write("hark.toml", "samples = 'samples'\n[kafka]\nbootstrap = 'embedded'\n[sources.a]\n");
    write("mappings/my app.toml", "common = true\n[fields]\n'event.action' = { value = 'a`b' }\n");
    write("samples/my app/one.json", "{}");
    let told = docs(folder.path(), &["--config", "hark.toml", "--out", "out"]);
    assert!(told.status.success(), "{told:?}");
    let read = |name: &str| fs::read_to_string(folder.path().join("out").join(name)).unwrap();
    assert!(read("index.md").contains("- [Product: my app](<product-my app.md>)\n"));
    let page = read("product-my app.md");
    assert!(page.contains("No record comes to this mapping"), "{page}");
    assert!(page.contains("what does not stand below is taken as it is"), "{page}");
    assert!(page.contains("| `event.action` | `` a`b `` |\n"), "{page}");
    assert!(page.contains("| `` a`b `` |  |  |  |\n"), "{page}");
    assert!(!folder.path().join("out/product-okta.md").exists(), "only those of the configuration");

    write("samples/my app/two.json", "[1]");
    failed("cannot use the sample samples/my app/two.json: not_json");
    write("mappings/my app.toml", "[fields]\n'event.acton' = 'a'\n");
    failed("did you mean `event.action`?");
}

#[test]
fn every_table_is_as_wide_in_every_row() {
    let pages = written();
    assert!(pages.len() > 20, "{}", pages.len());
    for (name, text) in pages {
        let mut width = None;
        for line in text.lines() {
            let cells =
                line.starts_with("| ").then(|| line.replace("\\|", "").matches('|').count());
            assert!(width.is_none() || cells.is_none() || cells == width, "{name}: {line}");
            width = cells;
        }
    }
}

#[test]
fn a_page_each_and_an_index_or_all_in_one() {
    let files = written();
    let index = &files["index.md"];
    let whole = docs(Path::new(env!("CARGO_MANIFEST_DIR")), &[]);
    let whole = String::from_utf8(whole.stdout).unwrap();
    for page in pages(&[]) {
        assert_eq!(files[&page.file()], page.text);
    }
    for (name, text) in files.iter().filter(|(name, _)| *name != "index.md") {
        let title = text.lines().next().unwrap().trim_start_matches("# ");
        assert!(index.contains(&format!("[{title}]({name})")), "{name}");
        assert!(whole.contains(text.trim_end()), "{name}");
    }
    let refused = docs(Path::new("."), &["--out", "/dev/null/x"]);
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn whoever_has_seen_enough_may_close_the_pipe() {
    let mut child = program::command()
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

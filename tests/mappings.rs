//! The mappings that ship, held to what the products really write: every name that a product
//! documents or emits is classified, and every sample gives the event that stands in `tests/golden`
//! (`UPDATE_EXPECT=1 cargo test --test mappings` writes them anew).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use hark::base::diagnostic::{SourceText, render};
use hark::base::{Position, Timestamp};
use hark::event::{Event, FieldName, Layout, Scalar, Wanted};
use hark::mapping::{Edits, Mappings, Options, RawRecord, Reason, Tables};
use hark::query::Sets;
use serde_json::{Map, Value, json};

const PRODUCTS: [&str; 10] = [
    "blocksecops",
    "cloudtrail",
    "github",
    "google_workspace",
    "kubernetes",
    "okta",
    "ops0",
    "opsknight",
    "opssentinal",
    "squadcast",
];

/// Records of four products, as they stand in public collections.
const REAL: [&str; 2] = ["panther_audit", "falco_k8s"];

/// Names that stay without category and type, each with the reason.
const UNCLASSIFIED: &[(&str, &str, &str)] = &[
    ("opsknight", "jira.issue.created", "an incident was copied to Jira: work, nothing to watch"),
    (
        "opsknight",
        "jira.issue.linked",
        "an incident was tied to a Jira issue: work, nothing to watch",
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<SourceText> {
    let files = fs::read_dir(root().join("config/mappings")).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| SourceText::new(path, fs::read_to_string(path).unwrap());
    paths.iter().map(read).collect()
}

fn load(layout: &Layout) -> Mappings {
    let (mappings, reported) =
        Mappings::load(&sources(), &Tables::new(), layout, &Sets::default(), Options::default());
    let said: String =
        reported.iter().map(|(source, found)| render(source, found, false)).collect();
    assert!(said.is_empty(), "{said}");
    mappings
}

/// A layout of everything that the mappings can fill.
fn everything() -> Layout {
    let mut layout = Layout::new();
    for field in load(&Layout::new()).filled() {
        layout.field(field);
    }
    layout
}

fn now() -> Timestamp {
    Timestamp::parse("2026-01-05T12:00:01Z").unwrap()
}

fn record<'r>(topic: &str, payload: &'r [u8]) -> RawRecord<'r> {
    let position = Position::new(topic, 3, 14);
    RawRecord { position, timestamp: Some(now()), key: None, headers: Vec::new(), payload }
}

/// The samples of a product, by name.
fn samples(product: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(root().join("tests/samples").join(product)).unwrap();
    let read = |path: PathBuf| {
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
    };
    files.map(|file| read(file.unwrap().path())).collect()
}

/// All fields of an event that are there.
fn fields(layout: &Layout, event: &Event) -> Map<String, Value> {
    let mut fields = BTreeMap::new();
    for (slot, wanted) in layout.iter() {
        let Wanted::Values(name) = wanted else { continue };
        let values: Vec<_> = event.values(slot).iter().map(Scalar::to_json).collect();
        match values.len() {
            0 => continue,
            1 => fields.insert(name.to_string(), values[0].clone()),
            _ => fields.insert(name.to_string(), Value::from(values)),
        };
    }
    fields.into_iter().collect()
}

#[test]
fn every_sample_gives_its_event() {
    let layout = everything();
    let mappings = load(&layout);
    for product in PRODUCTS {
        let mut lines = String::new();
        for (name, payload) in samples(product) {
            let event = mappings.event(&record(&format!("audit.{product}"), &payload), now());
            let event = fields(&layout, &event.unwrap());
            writeln!(lines, "{}", json!({ "sample": name, "event": event })).unwrap();
        }
        let golden = root().join("tests/golden").join(product).with_extension("jsonl");
        expect_file![golden].assert_eq(&lines);
    }
}

/// Every name that a product documents or emits.
fn names(product: &str) -> BTreeSet<String> {
    let data = root().join("tests/data/products");
    let text = fs::read_to_string(data.join("documented_vs_emitted.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let lists = ["names", "both", "documented_never_emitted", "emitted_undocumented"];
    let lists = lists.iter().filter_map(|list| all[product][list].as_array()).flatten();
    let mut names: BTreeSet<_> = lists.map(|name| name.as_str().unwrap().to_owned()).collect();
    if let Ok(rows) = fs::read_to_string(data.join(format!("{product}_emitted.jsonl"))) {
        let rows = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
        names.extend(rows.map(|row| row["action"].as_str().unwrap().to_owned()));
    }
    if product == "ops0" {
        // What the live page lists beside the names that were stored (the last of them cut off).
        let seen = ["user.login", "user.logout", "user.login_failed", "user.password_changed"];
        names.extend(seen.map(str::to_owned));
        names.extend(["user.2fa_enabled", "user.session_ended"].map(str::to_owned));
    }
    names
}

#[test]
fn every_name_is_classified_and_has_a_sample() {
    let layout = everything();
    let mappings = load(&layout);
    let (mut problems, mut counted) = (Vec::new(), 0);
    for product in PRODUCTS {
        let mut seen = BTreeSet::new();
        for (sample, payload) in samples(product) {
            let topic = format!("audit.{product}");
            let event = fields(&layout, &mappings.event(&record(&topic, &payload), now()).unwrap());
            let action = event["event.action"].as_str().unwrap();
            seen.insert(action.to_owned());
            counted += 1;
            let excused = UNCLASSIFIED.iter().any(|(p, name, _)| *p == product && *name == action);
            let classified =
                event.contains_key("event.category") && event.contains_key("event.type");
            if classified == excused {
                problems.push(format!(
                    "{product}/{sample}: classified {classified}, excused {excused}"
                ));
            }
            if event["event.dataset"] != product {
                problems.push(format!("{product}/{sample}: dataset {}", event["event.dataset"]));
            }
            // Squadcast says nothing of outcomes; whoever else is classified has one.
            if classified && product != "squadcast" && !event.contains_key("event.outcome") {
                problems.push(format!("{product}/{sample}: no outcome"));
            }
        }
        let missing: Vec<_> =
            names(product).into_iter().filter(|name| !seen.contains(name)).collect();
        if !missing.is_empty() {
            problems.push(format!("{product}: no sample of {}", missing.join(", ")));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(counted > 150, "only {counted} samples");
}

#[test]
fn classes_are_words_of_ecs() {
    let words = |list: &'static str| list.split(' ').collect::<BTreeSet<_>>();
    let categories = words(
        "api authentication configuration database driver email file host iam intrusion_detection library \
         malware network package process registry session threat vulnerability web",
    );
    let types = words(
        "access admin allowed change connection creation deletion denied device end error group indicator \
         info installation protocol start user",
    );
    let outcomes = words("success failure unknown");
    let layout = everything();
    let mappings = load(&layout);
    let slot = |name| layout.find(&FieldName::parse(name).unwrap()).unwrap();
    for product in PRODUCTS {
        for (sample, payload) in samples(product) {
            let event =
                mappings.event(&record(&format!("audit.{product}"), &payload), now()).unwrap();
            for (field, allowed) in [
                ("event.category", &categories),
                ("event.type", &types),
                ("event.outcome", &outcomes),
            ] {
                for value in event.values(slot(field)) {
                    let value = value.to_string();
                    assert!(
                        allowed.contains(value.as_str()),
                        "{product}/{sample}: {field} {value}"
                    );
                }
            }
        }
    }
}

#[test]
fn products_in_one_topic_are_told_apart_or_refused() {
    let layout = everything();
    let mappings = load(&layout);
    for product in PRODUCTS {
        for (sample, payload) in samples(product) {
            let mut mixed = record("everything", &payload);
            let taken = mappings.event(&mixed, now());
            match product {
                // The same shape: only a header (or a field) tells.
                "opsknight" | "opssentinal" => {
                    assert_eq!(taken.unwrap_err().reason, Reason::NoMapping, "{product}/{sample}");
                }
                _ => assert_eq!(*taken.unwrap().mapping, *product, "{product}/{sample}"),
            }
            mixed.headers.push(("product", product.as_bytes()));
            let taken = mappings.event(&mixed, now()).unwrap();
            assert_eq!(*taken.mapping, *product, "{product}/{sample}");
        }
    }
}

#[test]
fn details_in_a_string_and_epoch_milliseconds_change_nothing() {
    let layout = everything();
    let mappings = load(&layout);
    for product in ["opsknight", "opssentinal"] {
        for (sample, payload) in samples(product) {
            let mut row: Value = serde_json::from_slice(&payload).unwrap();
            let topic = format!("audit.{product}");
            let plain = mappings.event(&record(&topic, &payload), now()).unwrap();
            if row["details"].is_object() {
                row["details"] = row["details"].to_string().into();
            }
            if let Some(time) = row["createdAt"].as_str() {
                row["createdAt"] = Timestamp::parse(time).unwrap().as_millis().into();
            }
            let payload = row.to_string().into_bytes();
            let odd = mappings.event(&record(&topic, &payload), now()).unwrap();
            assert_eq!(fields(&layout, &odd), fields(&layout, &plain), "{product}/{sample}");
        }
    }
}

#[test]
fn opssentinal_never_takes_the_first_user_of_the_table_for_the_actor() {
    let layout = everything();
    let mappings = load(&layout);
    let rows =
        fs::read_to_string(root().join("tests/data/products/opssentinal_emitted.jsonl")).unwrap();
    for row in rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap()) {
        let action = row["action"].as_str().unwrap();
        let payload = json!({ "id": "1", "action": action, "actorId": "actor", "entityId": "e",
                              "createdAt": "2026-01-05T12:00:00Z", "details": null });
        let payload = payload.to_string().into_bytes();
        let event = mappings.event(&record("audit.opssentinal", &payload), now()).unwrap();
        let event = fields(&layout, &event);
        let real = !row["actorId"].as_str().unwrap().starts_with("FIRST USER");
        // A site that stores no actor at all may go either way: there is none to take.
        if row["actorId"].as_str().unwrap() != "null" {
            assert_eq!(event.contains_key("user.id"), real, "{action}");
        }
    }
}

#[test]
fn the_people_table_gives_roles_and_time_zone() {
    let layout = everything();
    let mappings = load(&layout);
    let people = json!([{ "email": "Aiko@x.io", "roles": ["admin"], "timezone": "Asia/Tokyo" }]);
    let rows: Vec<_> = people.as_array().unwrap().iter().map(|r| r.as_object().unwrap()).collect();
    let table = hark::mapping::Table::from_rows(rows, "email").unwrap();
    let edits = Edits {
        set: [(FieldName::parse("user.email").unwrap(), "aiko@x.io".into())].into(),
        tables: [("people".to_owned(), table.into())].into(),
        ..Edits::default()
    };
    let payload = &samples("ops0")["user_login"];
    let event = mappings.sample("ops0", &record("test", payload), now(), &edits).unwrap();
    let event = fields(&layout, &event);
    assert_eq!(event["user.roles"], "admin");
    assert_eq!(event["user.timezone"], "Asia/Tokyo");
}

#[test]
fn the_copied_facts_are_noted_with_their_source() {
    let readme = fs::read_to_string(root().join("tests/data/README.md")).unwrap();
    for file in fs::read_dir(root().join("tests/data/products")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(readme.contains(&name), "tests/data/README.md does not name {name}");
        assert!(Path::new("tests/data/products").join(&name).exists());
    }
}

/// Records that others wrote: the product, or whatever else it is, and the record.
fn real(name: &str) -> Vec<(String, Vec<u8>)> {
    let packed = fs::read(root().join("tests/data").join(format!("{name}.jsonl.gz"))).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    let line = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        (row["product"].as_str().unwrap().to_owned(), row["event"].to_string().into_bytes())
    };
    text.lines().map(line).collect()
}

/// What every event name of the real records means, to be read by people in `tests/golden`.
#[test]
fn every_name_in_real_records_has_a_meaning() {
    let layout = everything();
    let mappings = load(&layout);
    let mut meanings: BTreeMap<String, u64> = BTreeMap::new();
    for (product, payload) in REAL.iter().flat_map(|name| real(name)) {
        let event = mappings.event(&record(&format!("audit.{product}"), &payload), now()).unwrap();
        let event = fields(&layout, &event);
        let word = |field: &str| match &event.get(field) {
            None => "-".to_owned(),
            Some(Value::Array(words)) => {
                words.iter().map(|w| w.as_str().unwrap()).collect::<Vec<_>>().join("+")
            }
            Some(word) => word.as_str().unwrap().to_owned(),
        };
        let class = ["event.category", "event.type", "event.outcome"].map(word);
        assert!(!class.contains(&"-".to_owned()), "{product}: {event:?}");
        let line = format!("{product} {}: {}", word("event.action"), class.join(" "));
        *meanings.entry(line).or_default() += 1;
    }
    let lines: Vec<_> = meanings.iter().map(|(line, n)| format!("{line} ({n})\n")).collect();
    expect_file![root().join("tests/golden/meanings.txt")].assert_eq(&lines.concat());
}

#[test]
fn no_mapping_takes_a_record_of_another_product() {
    let layout = everything();
    let mappings = load(&layout);
    let mut wrong = Vec::new();
    let all = REAL.iter().chain(&["panther_others"]);
    for (product, payload) in all.flat_map(|name| real(name)) {
        match mappings.event(&record("everything", &payload), now()) {
            Ok(event) if *event.mapping == *product => {}
            Err(why) if why.reason == Reason::NoMapping => {}
            Ok(event) => wrong.push(format!("{product}: taken for {}", event.mapping)),
            Err(why) => wrong.push(format!("{product}: {}", why.reason.code())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

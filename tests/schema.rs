//! The JSON Schemas for editors: what is committed is what the program prints, a validator that is not
//! ours agrees with Hark about every file that ships, and every key is both described and read.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure here is the test's")]

use std::path::{Path, PathBuf};

use expect_test::expect_file;
use hark::base::Diagnostics;
use hark::base::document::Document;
use hark::base::keys::{KeySpec, Shape};
use hark::cli::schema::Kind;
use hark::detectors::DETECTORS;
use hark::event::Layout;
use hark::mapping::{Mappings, Options, Tables};
use hark::notifiers::NOTIFIERS;
use hark::query::Sets;
use hark::sinks::SINKS;
use jsonschema::Validator;
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn validator(kind: Kind) -> Validator {
    jsonschema::draft7::new(&kind.schema()).unwrap()
}

/// A TOML text as a validator sees it; dates are strings.
fn as_json(text: &str) -> Value {
    let document = Document::parse(text);
    assert!(document.is_well_formed(), "{text}");
    let root = document.root(&mut Diagnostics::new());
    let keys = root.keys().into_iter().map(|key| key.value);
    keys.map(|key| (key.clone(), root.any(&key).unwrap().json())).collect()
}

#[track_caller]
fn accepts(validator: &Validator, name: &str, text: &str) {
    let file = as_json(text);
    let mistakes: Vec<String> =
        validator.iter_errors(&file).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(mistakes.is_empty(), "{name}\n{}", mistakes.join("\n"));
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "toml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_committed_is_what_the_program_prints() {
    for kind in Kind::ALL {
        let path = root().join(format!("config/schema/{}.schema.json", kind.name()));
        expect_file![path].assert_eq(&format!("{:#}\n", kind.schema()));
    }
}

#[test]
fn every_file_that_ships_is_valid() {
    let mappings = files("config/mappings");
    let config = files("config").into_iter().filter(|path| !mappings.contains(path)).collect();
    for (kind, files, at_least) in
        [(Kind::Rule, files("rules"), 40), (Kind::Mapping, mappings, 10), (Kind::Config, config, 2)]
    {
        assert!(files.len() >= at_least, "{} of {}", files.len(), kind.name());
        let validator = validator(kind);
        for path in files {
            let text = std::fs::read_to_string(&path).unwrap();
            accepts(&validator, &path.display().to_string(), &text);
        }
    }
}

#[test]
fn every_example_of_a_family_is_valid() {
    let rule = validator(Kind::Rule);
    for spec in DETECTORS {
        accepts(&rule, spec.table, spec.example);
    }
    let config = validator(Kind::Config);
    let sinks = SINKS.iter().map(|spec| (spec.kind, spec.example));
    for (kind, example) in sinks.chain(NOTIFIERS.iter().map(|spec| (spec.kind, spec.example))) {
        accepts(&config, kind, &format!("[sources.audit]\n{example}"));
    }
}

const RULE: &str = "title = 'x'\nseverity = 'low'\nwhen = 'a: b'\n";

#[test]
fn an_editor_sees_the_common_mistakes() {
    for (kind, right, wrong) in [
        (Kind::Rule, "status = 'staging'", "status = 'stage'"),
        (Kind::Rule, "threshold = { count = 5, within = '10m' }", "threshold = { count = 5 }"),
        (Kind::Rule, "lateness = '10s'", "lateness = '10'"),
        (Kind::Rule, "lateness = '1h30m'", "lateness = '30m1h'"),
        (Kind::Rule, "threat = ['T1110.003']", "threat = ['1110']"),
        (Kind::Rule, "allow = ['missing-test']", "allow = ['missing-tests']"),
        (
            Kind::Rule,
            "change = { field = 'user.name' }",
            "change = { field = 'user.name' }\nthreshold = { count = 5, within = '10m' }",
        ),
        (Kind::Rule, "[alert]\nkeep_open = '1h'", "[alert]\nkeep_opn = '1h'"),
        (
            Kind::Rule,
            "[[test]]\nname = 'x'\nevents = [{ fields = { user.name = 'x' }, at = '-1d' }]\nexpect = []",
            "[[test]]\nname = 'x'\nevents = [{ at = '-1d' }]\nexpect = []",
        ),
        (Kind::Mapping, "[fields]\n'user.name' = ['a', 'b']", "[fields]\n'user.name' = 5"),
        (
            Kind::Mapping,
            "[fields]\n'user.name' = { path = 'a', lower = true }",
            "[fields]\n'user.name' = { path = 'a', lwer = true }",
        ),
        (
            Kind::Config,
            "[sinks.a.splunk_hec]\nurl = 'x'\ntoken = { env = 'X' }",
            "[sinks.a.splunk_hec]\nurl = 'x'\ntoken = 'secret'",
        ),
        (
            Kind::Config,
            "[kafka.properties]\na = 1\nb = { env = 'X' }",
            "[kafka.properties]\nb = { env = 'X', file = 'y' }",
        ),
    ] {
        let before = match kind {
            Kind::Rule => RULE,
            Kind::Mapping => "",
            Kind::Config => "[sources.audit]\n",
        };
        let validator = validator(kind);
        accepts(&validator, right, &format!("{before}{right}\n"));
        assert!(!validator.is_valid(&as_json(&format!("{before}{wrong}\n"))), "{wrong}");
    }
}

#[test]
fn a_file_of_overrides_is_valid_and_holds_nothing_else() {
    let validator = validator(Kind::Rule);
    let set = "[[override]]\nrules = ['okta/*']\nset = { 'threshold.count' = 10, severity = 'low', alert.keep_open = '2h' }\n";
    accepts(&validator, "overrides", set);
    for wrong in [
        format!("{RULE}{set}"),
        set.replace("threshold.count' = 10", "threshold.count' = 'ten'"),
        set.replace("threshold.count", "threshold.cuont"),
        set.replace("severity", "id"),
        "[[override]]\nrules = ['okta/*']\n".to_owned(),
    ] {
        assert!(!validator.is_valid(&as_json(&wrong)), "{wrong}");
    }
}

/// A key on its way from the top of a file: through tables, first elements of lists and names.
type Route = Vec<Step>;

#[derive(Clone)]
enum Step {
    Key(&'static str),
    Name,
    First,
}

/// Every key that a table describes, with the way to it.
fn routes(keys: &'static [KeySpec], so_far: &Route, found: &mut Vec<(Route, KeySpec)>) {
    for key in keys {
        let mut route = so_far.clone();
        route.push(Step::Key(key.name));
        found.push((route.clone(), *key));
        below(key.shape, &route, found);
    }
}

fn below(shape: Shape, route: &Route, found: &mut Vec<(Route, KeySpec)>) {
    let further = |step| {
        let mut route = route.clone();
        route.push(step);
        route
    };
    match shape {
        Shape::Table(keys) | Shape::OneOf(keys) => routes(keys, route, found),
        Shape::Tables(keys) => routes(keys, &further(Step::First), found),
        Shape::Map(entry) => below(*entry, &further(Step::Name), found),
        _ => {}
    }
}

/// Puts a value at the end of a route, whatever is in the way.
fn put(into: &mut toml::Value, route: &[Step], value: toml::Value) {
    let Some((step, rest)) = route.split_first() else {
        *into = value;
        return;
    };
    let place = match step {
        Step::First => {
            if into.as_array().is_none_or(Vec::is_empty) {
                *into = toml::Value::Array(vec![toml::Table::new().into()]);
            }
            &mut into.as_array_mut().unwrap()[0]
        }
        Step::Key(_) | Step::Name => {
            if !into.is_table() {
                *into = toml::Table::new().into();
            }
            let key = if let Step::Key(key) = step { key } else { "x" };
            let entry = into.as_table_mut().unwrap().entry(key);
            entry.or_insert_with(|| toml::Table::new().into())
        }
    };
    put(place, rest, value);
}

/// A value that a shape cannot be; none where it may be anything.
fn wrong(shape: Shape) -> Option<toml::Value> {
    let date = || toml::Value::Datetime("1987-06-05".parse().unwrap());
    match shape {
        Shape::Value => None,
        shape if shape.may_be(|shape| shape == Shape::Time) => Some(198_765.into()),
        _ => Some(date()),
    }
}

/// Holds every key to being read, as what it is described as: a value of another type is told at its
/// place, by Hark and by the schema. A key that is described and not read would be unknown, its value
/// never looked at.
#[track_caller]
fn every_key_is_read(
    kind: Kind,
    keys: &'static [KeySpec],
    base: &dyn Fn(&Route) -> toml::Value,
    read: &dyn Fn(&str) -> Diagnostics,
) {
    let validator = validator(kind);
    let mut all = Vec::new();
    routes(keys, &Vec::new(), &mut all);
    assert!(all.len() >= 10);
    for (route, key) in all {
        let Some(value) = wrong(key.shape) else { continue };
        let mut file = base(&route);
        put(&mut file, &route, value.clone());
        let text = toml::to_string(&file).unwrap();
        let written = value.to_string();
        let told = read(&text).iter().any(|diagnostic| {
            let place = diagnostic.span.clone().and_then(|span| text.get(span));
            place == Some(written.as_str())
        });
        assert!(told, "`{}` is not read:\n{text}{:?}", key.name, read(&text));
        let mut refused = as_json(&text);
        // Dates are strings to a validator: a number is wrong wherever a date is, but for numbers.
        let number = key.shape.may_be(|s| matches!(s, Shape::Count | Shape::Whole | Shape::Number));
        replace(&mut refused, &written, &if number { json!(true) } else { json!(198_765) });
        assert!(!validator.is_valid(&refused), "the schema takes:\n{text}");
    }
}

fn replace(value: &mut Value, from: &str, to: &Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, from, to)),
        Value::Object(values) => values.values_mut().for_each(|value| replace(value, from, to)),
        value if value.as_str() == Some(from) => *value = to.clone(),
        _ => {}
    }
}

#[test]
fn every_key_of_a_rule_is_read_as_it_is_described() {
    let base = |route: &Route| {
        let detector =
            DETECTORS.iter().find(|spec| matches!(route[0], Step::Key(key) if key == spec.table));
        let text = detector.map_or(RULE, |spec| spec.example);
        toml::from_str(text).unwrap()
    };
    let sets = Sets::new();
    let read = |text: &str| {
        let source = hark::base::diagnostic::SourceText::new(Path::new("x.toml"), text);
        hark::rule::parse(&source, "x", &hark::rule::Context::new(&sets)).1
    };
    every_key_is_read(Kind::Rule, hark::rule::keys::RULE, &base, &read);
}

#[test]
fn every_key_of_a_mapping_is_read_as_it_is_described() {
    let base = |_: &Route| toml::from_str("topics = ['x']\n[fields]\n'user.name' = 'a'\n").unwrap();
    let read = |text: &str| {
        let source = hark::base::diagnostic::SourceText::new(Path::new("x.toml"), text);
        let (tables, layout, sets) = (Tables::new(), Layout::new(), Sets::new());
        let (_, found) = Mappings::load(&[source], &tables, &layout, &sets, Options::default());
        found.into_iter().flat_map(|(_, found)| found).collect()
    };
    every_key_is_read(Kind::Mapping, hark::mapping::keys::MAPPING, &base, &read);
}

#[test]
fn every_key_of_the_configuration_is_read_as_it_is_described() {
    let base = |route: &Route| {
        let mut base: toml::Value = toml::from_str("[sources.audit]\n").unwrap();
        let examples = SINKS.iter().map(|spec| ("sinks", spec.kind, spec.example));
        let more = NOTIFIERS.iter().map(|spec| ("notifiers", spec.kind, spec.example));
        for (family, kind, example) in examples.chain(more) {
            let own = [Step::Key(family), Step::Name, Step::Key(kind)];
            let here = route.len() >= 3
                && matches!(route[0], Step::Key(key) if key == family)
                && matches!(route[2], Step::Key(key) if key == kind);
            if here {
                let file: toml::Value = toml::from_str(example).unwrap();
                let table = file[family].as_table().unwrap().values().next().unwrap()[kind].clone();
                put(&mut base, &own, table);
            }
        }
        base
    };
    let read = |text: &str| {
        let layers = hark::config::Layers {
            path: root().join("config/x.toml"),
            text: text.to_owned(),
            ..Default::default()
        };
        let found = hark::config::load(&layers).found;
        found.into_iter().flat_map(|(_, found)| found).collect()
    };
    every_key_is_read(Kind::Config, hark::config::keys::CONFIG, &base, &read);
}

#[test]
#[should_panic(expected = "`colour` in `[alert]` is read, and no KeySpec describes it")]
fn reading_a_key_that_no_table_describes_is_a_mistake_of_ours() {
    let document = Document::parse("[alert]\ntitle = 'x'\n");
    let mut found = Diagnostics::new();
    let mut root = document.root_as(hark::rule::keys::RULE, &mut found);
    let mut alert = root.table("alert", &mut found).unwrap();
    alert.text("colour", &mut found);
}

//! The steps of a mapping, one by one; the mappings that ship have their own tests in
//! `tests/mappings.rs`.

use super::*;
use crate::base::diagnostic::render;
use crate::event::{FieldId, Scalar};
use expect_test::{expect, expect_file};

fn field(name: &str) -> FieldName {
    FieldName::parse(name).unwrap()
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

const NOW: &str = "2026-01-05T12:00:00Z";

struct World {
    layout: Layout,
    mappings: Mappings,
}

impl World {
    /// Mappings under their names, and the fields that somebody reads.
    fn new(mappings: &[(&str, &str)], wanted: &[&str]) -> Self {
        let mut layout = Layout::new();
        for name in wanted {
            layout.field(&field(name));
        }
        let sources: Vec<_> =
            mappings.iter().map(|(n, text)| SourceText::new(format!("{n}.toml"), *text)).collect();
        let (tables, sets) = (Tables::new(), Sets::default());
        let (mappings, reported) =
            Mappings::load(&sources, &tables, &layout, &sets, Options::default());
        let said: String = reported.iter().map(|(s, found)| render(s, found, false)).collect();
        assert!(said.is_empty(), "{said}");
        Self { layout, mappings }
    }

    fn id(&self, name: &str) -> FieldId {
        self.layout.find(&field(name)).unwrap()
    }

    fn event(&self, topic: &str, payload: &str) -> Result<Event, Unusable> {
        self.mappings.event(&record(topic, payload), time(NOW))
    }

    /// A field's values of a record of topic `t`.
    fn read(&self, name: &str, payload: &str) -> String {
        texts(self.event("t", payload).unwrap().values(self.id(name)))
    }
}

fn texts(values: &[Scalar]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn record<'r>(topic: &str, payload: &'r str) -> RawRecord<'r> {
    RawRecord {
        position: Position::new(topic, 0, 7),
        timestamp: Some(time("2026-01-05T11:59:59Z")),
        key: Some(b"key"),
        headers: vec![("tenant", b"acme"), ("odd", b"\xff")],
        payload: payload.as_bytes(),
    }
}

const SMALL: &str = r#"
topics = ["t"]
json = ["d"]
null = ["-", "0.0.0.0"]
time = ["rfc3339", "epoch_ms"]
[fields]
"@timestamp" = "at"
user.name = { path = "who", lower = true }
"source.ip" = ["d.ip", "ip"]
"event.action" = { join = ["kind", "verb"], with = ".", lower = true }
"event.provider" = { value = "small" }
"labels.team" = { path = "id", regex = '^team_([^:]+):' }
"target.id" = "id"
"user.timezone" = { table = "people", by = "user.name", column = "zone" }
[[case]]
when = 'event.action: login.*'
fields = { "target.id" = "", "user.email" = "who" }
[[case]]
when = 'user.email: *'
fields = { "labels.seen" = { value = ["a", "b"] } }
[[classify]]
when = 'event.action: *'
set = { event.outcome = "success", "event.category" = ["iam"] }
[[classify]]
when = 'event.action: login.failed'
set = { "event.outcome" = "failure", "event.type" = ["start", "denied"] }
"#;

#[test]
fn fields_come_from_paths_values_and_joins() {
    let world = World::new(
        &[("small", SMALL)],
        &["user.name", "source.ip", "event.action", "event.provider", "labels.team", "target.id"],
    );
    let row = r#"{"who":["Eve","-"],"d":"{\"ip\":\"192.0.2.1\"}","kind":"User","verb":"Made","id":"team_7:9"}"#;
    assert_eq!(world.read("user.name", row), "eve");
    assert_eq!(world.read("source.ip", row), "192.0.2.1");
    assert_eq!(world.read("event.action", row), "user.made");
    assert_eq!(world.read("event.provider", row), "small");
    assert_eq!(world.read("labels.team", row), "7");
    assert_eq!(world.read("target.id", row), "team_7:9");
    let other = r#"{"d":{"ip":"0.0.0.0"},"ip":"192.0.2.2","kind":"User","id":"x"}"#;
    assert_eq!(world.read("source.ip", other), "192.0.2.2");
    assert_eq!(world.read("event.action", other), "");
    assert_eq!(world.read("labels.team", other), "");
}

#[test]
fn a_place_may_be_an_object() {
    let wanted = ["source.geo.location", "source.geo.location.lat", "source.geo.location.lon"];
    let read = |mapping: &str, payload: &str| {
        let world = World::new(&[("m", &format!("topics = ['t']\n[fields]\n{mapping}"))], &wanted);
        wanted.map(|name| world.read(name, payload)).join("/")
    };
    let mapped = "'source.geo.location' = 'geo'";
    assert_eq!(read(mapped, r#"{"geo": {"lat": 52.5, "lon": "13.4"}}"#), "/52.5/13.4");
    assert_eq!(read(mapped, r#"{"geo": "52.5,13.4"}"#), "52.5,13.4//");
    assert_eq!(read(mapped, r#"{"geo": [13.4, 52.5]}"#), "13.4 52.5//");
    let other = "'source.geo.location' = 'geo'\n'source.geo.location.lat' = 'latitude'";
    assert_eq!(read(other, r#"{"geo": {"lat": 1, "lon": 2}, "latitude": 3}"#), "/3/2");
    let common = World::new(&[("m", "topics = ['t']\ncommon = true")], &wanted);
    let payload = r#"{"source": {"geo.location": {"lat": 1, "lon": 2}}}"#;
    assert_eq!(wanted.map(|name| common.read(name, payload)).join("/"), "/1/2");
}

#[test]
fn cases_and_classes_apply_in_order() {
    let world = World::new(
        &[("small", SMALL)],
        &[
            "target.id",
            "user.email",
            "labels.seen",
            "event.outcome",
            "event.type",
            "event.category",
        ],
    );
    let login = r#"{"who":"eve@x.io","kind":"login","verb":"failed","id":"x"}"#;
    assert_eq!(world.read("target.id", login), "");
    assert_eq!(world.read("labels.seen", login), "a b");
    assert_eq!(world.read("event.outcome", login), "failure");
    assert_eq!(world.read("event.type", login), "start denied");
    let other = r#"{"who":"eve@x.io","kind":"user","verb":"made","id":"x"}"#;
    assert_eq!(world.read("target.id", other), "x");
    assert_eq!(world.read("labels.seen", other), "");
    assert_eq!(world.read("event.outcome", other), "success");
    assert_eq!(world.read("event.category", r#"{"id":"x"}"#), "");
}

#[test]
fn every_event_has_an_id_a_kind_and_a_dataset() {
    let mapping = "topics = ['t']\n[fields]\n'event.id' = 'id'\n";
    let world =
        World::new(&[("m", mapping)], &["event.id", "event.kind", "event.dataset", "@timestamp"]);
    assert_eq!(world.read("event.id", r#"{"id":12}"#), "12");
    assert_eq!(world.read("event.id", "{}"), "t:0:7");
    assert_eq!(world.read("event.kind", "{}"), "event");
    assert_eq!(world.read("event.dataset", "{}"), "m");
    assert_eq!(world.read("@timestamp", "{}"), "2026-01-05T11:59:59Z");
}

#[test]
fn patterns_and_kafka_fields_are_filled() {
    let mapping =
        "topics = ['t']\n[fields]\n'labels.a' = 'x'\n'labels.b' = 'y'\n'user.name' = 'y'\n";
    let wanted = [
        "labels.*",
        "*",
        "kafka.headers.tenant",
        "kafka.headers.*",
        "kafka.topic",
        "kafka.key",
        "kafka.offset",
    ];
    let world = World::new(&[("m", mapping)], &wanted);
    let row = r#"{"x":1,"y":"two"}"#;
    assert_eq!(world.read("labels.*", row), "1 two");
    // All of raw, then every common field: @timestamp, event.dataset, .id, .kind, and the mapped.
    let mut all: Vec<_> = world.read("*", row).split(' ').map(str::to_owned).collect();
    all.sort();
    let expected = ["1", "1", "2026-01-05T11:59:59Z", "event", "m", "t:0:7", "two", "two", "two"];
    assert_eq!(all, expected);
    assert_eq!(world.read("kafka.headers.tenant", row), "acme");
    assert_eq!(world.read("kafka.headers.*", row), "acme");
    assert_eq!(world.read("kafka.topic", row), "t");
    assert_eq!(world.read("kafka.key", row), "key");
    assert_eq!(world.read("kafka.offset", row), "7");
}

#[test]
fn records_in_the_common_fields_are_taken_as_they_are() {
    let mapping = "topics = ['t']\ncommon = true\n[fields]\n'user.name' = { path = 'user.name', lower = true }\n";
    let world =
        World::new(&[("own", mapping)], &["user.name", "event.action", "labels.*", "event.kind"]);
    let row = r#"{"user":{"name":"Eve"},"event.action":"sink.blocked","event":{"kind":"metric"},"labels":{"sink":"siem"}}"#;
    assert_eq!(world.read("user.name", row), "eve");
    assert_eq!(world.read("event.action", row), "sink.blocked");
    assert_eq!(world.read("event.kind", row), "metric");
    assert_eq!(world.read("event.kind", "{}"), "event");
    assert_eq!(world.read("labels.*", row), "siem");
    assert!(world.mappings.fills(&field("file.path")));
}

#[test]
fn time_is_the_records_else_kafkas_and_never_far_in_the_future() {
    let world = World::new(&[("small", SMALL)], &["@timestamp"]);
    let of = |at: &str| {
        let event = world.event("t", &format!(r#"{{"at":{at}}}"#)).unwrap();
        format!("{}{}", event.time, if event.clamped { " clamped" } else { "" })
    };
    assert_eq!(of(r#""2026-01-01T00:00:00+01:00""#), "2025-12-31T23:00:00Z");
    assert_eq!(of("1767225600000"), "2026-01-01T00:00:00Z");
    assert_eq!(of("null"), "2026-01-05T11:59:59Z");
    assert_eq!(of(r#""-""#), "2026-01-05T11:59:59Z");
    // Five minutes ahead of the earlier of both clocks is still believed; a millisecond more is not.
    assert_eq!(of(r#""2026-01-05T12:04:59Z""#), "2026-01-05T12:04:59Z");
    assert_eq!(of(r#""2026-01-05T12:04:59.001Z""#), "2026-01-05T11:59:59Z clamped");
    let unreadable = world.event("t", r#"{"at":"yesterday"}"#).unwrap_err();
    assert_eq!(unreadable.reason, Reason::BadTime);
    assert_eq!(unreadable.detail, "`yesterday` is no time that `small` knows");
}

#[test]
fn a_topic_beats_detection_and_two_hits_are_refused() {
    let of =
        |topic: &str, detect: &str| format!("{topic}\n{detect}\n[fields]\n'user.name' = 'u'\n");
    let (a, b) = (
        of("topics = ['t']", "detect = 'raw.a: *'"),
        of("topics = ['x.*']", "detect = 'raw.b: *'"),
    );
    let c = of("", "detect = 'raw.b: yes and kafka.topic: mixed'");
    let both = of("topics = ['x.two']", "");
    let world = World::new(&[("a", &a), ("b", &b), ("c", &c), ("both", &both)], &[]);
    let taken = |topic: &str, row: &str| match world.event(topic, row) {
        Ok(event) => event.mapping.to_string(),
        Err(unusable) => format!("{}: {}", unusable.reason.code(), unusable.detail),
    };
    assert_eq!(taken("t", r#"{"b":1}"#), "a");
    assert_eq!(taken("x.one", "{}"), "b");
    assert_eq!(taken("other", r#"{"a":1}"#), "a");
    assert_eq!(taken("other", r#"{"b":"yes"}"#), "b");
    assert_eq!(
        taken("mixed", r#"{"b":"yes"}"#),
        "ambiguous_mapping: more than one mapping takes it: b, c"
    );
    assert_eq!(taken("other", "{}"), "no_mapping: no mapping takes this record of topic `other`");
    // Two name the topic: who can tell is asked, who cannot takes all of it.
    assert_eq!(taken("x.two", "{}"), "both");
    assert_eq!(
        taken("x.two", r#"{"b":1}"#),
        "ambiguous_mapping: more than one mapping takes it: b, both"
    );
    assert_eq!(taken("other", "{"), "not_json: EOF while parsing an object at line 1 column 1");
}

#[test]
fn tests_change_raw_before_mapping_and_fields_before_classes() {
    let world = World::new(
        &[("small", SMALL)],
        &["user.name", "source.ip", "event.action", "event.outcome", "user.timezone", "target.id"],
    );
    let people =
        [Map::from_iter([("name".into(), "Bob".into()), ("zone".into(), "Asia/Tokyo".into())])];
    let edits = Edits {
        time: Some(time("2030-01-01T00:00:00Z")),
        set: BTreeMap::from([
            (field("raw.d.ip"), "192.0.2.9".into()),
            (field("event.action"), "login.failed".into()),
            (field("user.name"), "bob".into()),
        ]),
        unset: vec![field("target.id"), field("raw.who")],
        tables: [(
            "people".to_owned(),
            crate::base::Live::new(Table::from_rows(&people, "name").unwrap()),
        )]
        .into(),
    };
    let row = r#"{"at":"nonsense","who":"eve","d":"{\"ip\":\"192.0.2.1\"}","kind":"user","verb":"made","id":"x"}"#;
    let event = world.mappings.sample("small", &record("any", row), time(NOW), &edits).unwrap();
    let read = |name| texts(event.values(world.id(name)));
    assert_eq!(event.time, time("2030-01-01T00:00:00Z"));
    assert_eq!(read("user.name"), "bob");
    assert_eq!(read("source.ip"), "192.0.2.9");
    assert_eq!(read("event.outcome"), "failure");
    assert_eq!(read("user.timezone"), "Asia/Tokyo");
    assert_eq!(read("target.id"), "");
    let nobody = world.mappings.sample("other", &record("t", row), time(NOW), &edits).unwrap_err();
    assert_eq!(nobody.detail, "there is no mapping `other`");
}

#[test]
fn an_event_of_given_fields_needs_no_mapping() {
    let world = World::new(&[], &["user.name", "raw.a.b", "labels.*", "event.kind", "@timestamp"]);
    let fields = BTreeMap::from([
        (field("user.name"), "eve".into()),
        (field("raw.a.b"), Value::from(vec![1, 2])),
        (field("labels.x"), true.into()),
    ]);
    let event = world.mappings.of_fields(&fields, Position::new("test", 0, 0), time(NOW)).unwrap();
    let read = |name| texts(event.values(world.id(name)));
    assert_eq!([read("user.name"), read("raw.a.b"), read("labels.*")], ["eve", "1 2", "true"]);
    assert_eq!([read("event.kind"), read("@timestamp")], ["event", NOW]);
}

#[test]
fn what_mappings_fill_and_call_things_is_known() {
    let alias = format!("{SMALL}\n[search]\nactor = 'user.name'\n");
    let world = World::new(&[("small", &alias)], &[]);
    for (name, fills) in [
        ("user.email", true),
        ("event.type", true),
        ("event.id", true),
        ("labels.seen", true),
        ("user.timezone", true),
        ("file.path", false),
    ] {
        assert_eq!(world.mappings.fills(&field(name)), fills, "{name}");
    }
    assert_eq!(world.mappings.aliases()["actor"], field("user.name"));
    assert_eq!(world.mappings.names().collect::<Vec<_>>(), ["small"]);
}

#[test]
fn a_field_that_nobody_reads_is_not_computed() {
    let world = World::new(&[("small", SMALL)], &["event.action"]);
    let event = world.event("t", r#"{"who":"eve","kind":"a","verb":"b"}"#).unwrap();
    assert_eq!(texts(event.values(world.id("event.action"))), "a.b");
    // A duplicate on a path that is needed for nothing else does no harm.
    assert!(world.event("t", r#"{"id":"x","id":"y","kind":"a","verb":"b"}"#).is_ok());
}

/// What is said of one mapping file.
fn said(text: &str) -> String {
    let source = SourceText::new("m.toml", text);
    let (mappings, reported) = Mappings::load(
        std::slice::from_ref(&source),
        &Tables::from([("people".to_owned(), crate::base::Live::default())]),
        &Layout::new(),
        &Sets::default(),
        Options::default(),
    );
    let said: String = reported.iter().map(|(s, found)| render(s, found, false)).collect();
    assert_eq!(mappings.names().count(), usize::from(!said.contains("error[")));
    said
}

#[test]
fn every_mistake_has_its_place() {
    let file = r#"
topic = ["t"]
detect = 'user.name: *'
json = ["a..b"]
time = ["iso", "epoch_s", "epoch_ms"]
[fields]
"user.nmae" = "x"
"raw.x" = "x"
"user.name" = 7
"user.id" = { pth = "x" }
"user.email" = { path = "x", column = "y" }
"user.roles" = { path = "x", regex = "(" }
"event.code" = { value = { a = 1 } }
"user.timezone" = { table = "peple", by = "user.name", column = "zone" }
[[case]]
when = 'user.nmae: x'
fields = { "user.timezone" = { table = "people", by = "user.name", column = "zone" } }
[[classify]]
set = { "event.type" = [["start"]] }
"#;
    expect_file!["mistakes.txt"].assert_eq(&said(file));
}

#[test]
fn what_looks_odd_is_a_warning() {
    let file = "
[fields]
'user.id' = 'x'
[[classify]]
when = 'user.name: x'
set = { 'event.type' = 'start' }
";
    expect![[r"
        warning[no-records]: m.toml: neither `topics` nor `detect`: no record comes to this mapping

        warning[unfilled-field]: this mapping never fills `user.name`
         --> m.toml:5:9
          |
        5 | when = 'user.name: x'
          |         ^^^^^^^^^

    "]]
    .assert_eq(&said(file));
}

#[test]
fn a_mistyped_table_is_told_and_an_absent_one_is_empty() {
    let of = |table: &str| {
        let lookup = format!("{{ table = '{table}', by = 'user.id', column = 'zone' }}");
        said(&format!("topics = ['t']\n[fields]\n'user.id' = 'x'\n'user.timezone' = {lookup}\n"))
    };
    assert!(of("peple").contains("unknown table `peple`"), "{}", of("peple"));
    assert!(of("peple").contains("did you mean `people`?"));
    assert_eq!(of("hosts"), "");
}

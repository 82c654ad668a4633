//! `RULES.md` §2, sentence by sentence: each row is a query, an event and whether it is met.

use serde_json::{Value, json};

use super::reference::Record;
use super::{List, Query, Schedule, Sets};
use crate::base::Timestamp;
use crate::event::{FieldName, Layout};

fn sets() -> Sets {
    let mut sets = Sets::new();
    let scanners = ["198.51.100.0/24", "10.0.0.7", "Nessus", "443"];
    sets.insert_list("scanners", List::new(scanners).0);
    let hours = Schedule::new("America/New_York").unwrap().on_days(["mon-fri"]).unwrap();
    let hours = hours.in_hours(["09:00-17:00"]).unwrap();
    let zone = Some(FieldName::parse("user.timezone").unwrap());
    sets.insert_schedule("business-hours", hours.with_zone_field(zone));
    sets
}

/// An event from common fields by their names, with the record under `raw`.
fn record(fields: &Value) -> Record {
    let mut record = Record {
        time: Timestamp::parse("2026-01-05T12:00:00Z").unwrap(),
        common: std::collections::BTreeMap::new(),
        raw: json!({}),
    };
    for (name, value) in fields.as_object().unwrap() {
        match (name.as_str(), value) {
            ("raw", raw) => record.raw = raw.clone(),
            ("@timestamp", time) => {
                record.time = Timestamp::parse(time.as_str().unwrap()).unwrap();
            }
            (name, Value::Array(values)) => {
                record.common.insert(name.to_owned(), values.clone());
            }
            (name, value) => {
                record.common.insert(name.to_owned(), vec![value.clone()]);
            }
        }
    }
    record
}

fn matches(query: &str, fields: &Value) -> bool {
    let parsed = Query::parse(query).unwrap_or_else(|mistakes| panic!("{query}: {mistakes:?}"));
    let mut layout = Layout::new();
    let matcher = parsed.compile(&mut layout, &sets()).unwrap();
    matcher.matches(&record(fields).event(&layout))
}

/// One event, and queries that it meets and does not meet.
fn check(fields: &Value, met: &[&str], not_met: &[&str]) {
    for query in met {
        assert!(matches(query, fields), "{query}\nshould be met by {fields}");
    }
    for query in not_met {
        assert!(!matches(query, fields), "{query}\nshould not be met by {fields}");
    }
}

#[test]
fn a_colon_equals_ignoring_case_and_two_equal_signs_exactly() {
    check(
        &json!({"user.name": "Bob", "user.roles": ["Admin", "dev"], "event.action": "setBucketPolicy"}),
        &[
            "user.name: bob",
            "user.name: \"BOB\"",
            "user.name == Bob",
            "user.roles: ADMIN",
            "user.roles: dev",
            "event.action == set*Policy",
            "event.action: SET*policy",
        ],
        &[
            "user.name == bob",
            "user.roles == admin",
            "user.name: bo",
            "event.action == SET*Policy",
            "event.action == set*policy",
        ],
    );
}

#[test]
fn wildcards_are_plain_in_quotes_and_after_a_backslash() {
    check(
        &json!({"event.action": "deploy.failed", "message": "dep*.fail?d", "raw": {"ua": "x python requests/2", "path": "/admin/x"}}),
        &[
            "event.action: dep*.fail?d",
            "message: \"dep*.fail?d\"",
            "message: dep\\*.fail\\?d",
            "raw.ua: *python\\ requests*",
            "raw.path: \\/admin*",
            "raw.path: \"/admin/x\"",
        ],
        &[
            "event.action: \"dep*.fail?d\"",
            "event.action: dep\\*.fail?d",
            "event.action: dep*.fai?d",
        ],
    );
}

#[test]
fn a_star_asks_whether_there_is_anything_but_null() {
    check(
        &json!({"user.name": "", "user.roles": [], "raw": {
            "null": null, "text": "", "no": [], "nulls": [null, [null]], "object": {"x": 1}, "empty": {},
            "false": false, "objects": [{"x": null}]
        }}),
        &[
            "user.name: *",
            "user.roles: null",
            "not user.roles: *",
            "user.email: null",
            "raw.\"null\": null",
            "raw.text: *",
            "raw.no: null",
            "raw.nulls: null",
            "raw.object: *",
            "raw.empty: *",
            "raw.\"false\": *",
            "raw.objects: *",
            "raw.objects.x: null",
            "not user.name: null",
            "user.email: NULL",
            "@timestamp: *",
        ],
        &["user.name: null", "user.roles: *", "user.email: *", "raw.object: null", "raw.no: *"],
    );
}

#[test]
fn a_group_is_spread_over_its_field() {
    check(
        &json!({"user.roles": ["admin", "dev"], "event.action": "login"}),
        &[
            "event.action: (login or logout)",
            "event.action: (log* and not logout)",
            "user.roles: (admin and dev)",
            "user.roles: (not guest)",
            "event.action == (login or LOGOUT)",
            "user.roles: ((admin or x) and not (guest or \"a b\"))",
            "event.action: (/^log/ or null)",
        ],
        &[
            "event.action: (logout or lock)",
            "user.roles: (admin and not dev)",
            "event.action == (LOGIN or logout)",
        ],
    );
}

#[test]
fn numbers_are_ordered_with_numbers_and_numeric_strings_exactly() {
    check(
        &json!({"raw": {"n": 9_007_199_254_740_993_i64, "s": "10", "t": "abc", "z": "010", "many": [1, 10], "u": u64::MAX, "b": true}}),
        &[
            "raw.n > 9007199254740992",
            "raw.n < 9007199254740994",
            "raw.n >= 9007199254740993",
            "raw.n <= 9007199254740993",
            "raw.u > 18446744073709551614",
            "raw.s > 9",
            "raw.s > \"9\"",
            "raw.s >= 10.0",
            "raw.s < 1e2",
            "raw.many: [5 to *]",
            "raw.many >= 5 and raw.many <= 5",
            "raw.s: [10 to 10]",
            "raw.s: [* TO 10]",
        ],
        &[
            "raw.n > 9007199254740993",
            "raw.n < 9007199254740993",
            "raw.t > 1",
            "raw.t < 1",
            "raw.z > 1",
            "raw.b > 0",
            "raw.b < 2",
            "raw.many: [2 to 9]",
            "raw.none < 5",
            "raw.n > 2026-01-01",
        ],
    );
}

#[test]
fn times_are_ordered_with_the_event_time_and_rfc_3339_strings_in_milliseconds() {
    check(
        &json!({"@timestamp": "2026-01-05T12:00:00.500Z", "event.end": "2026-01-05T13:00:00+02:00", "raw": {"d": "2026-01-05", "n": 1_767_614_400_000_i64, "t": "12:00"}}),
        &[
            "@timestamp > 2026-01-05",
            "@timestamp >= 2026-01-05T12:00:00.5009Z",
            "@timestamp: [2026-01-05 to 2026-01-06]",
            "@timestamp: 2026-01-05T13:00:00.5+01:00",
            "@timestamp: 2026-01-05T*",
            "event.end: [2026-01-05T11:00:00Z to 2026-01-05T11:00:00Z]",
            "raw.d >= 2026-01-05T00:00:00Z",
            "raw.d < \"2026-01-05 00:00:01Z\"",
        ],
        &[
            "@timestamp > 2026-01-05T12:00:00.5009Z",
            "@timestamp > 5",
            "@timestamp: 2026-01-05",
            "raw.n > 2026-01-01",
            "raw.t > 2026-01-01",
        ],
    );
}

#[test]
fn addresses_lie_in_networks_or_are_compared_as_addresses() {
    check(
        &json!({"source.ip": "10.1.2.3", "raw": {"cidrIp": "0.0.0.0/0", "six": "2001:DB8::1", "mapped": "::ffff:10.1.2.3", "net6": "2001:DB8::/32"}}),
        &[
            "source.ip: 10.0.0.0/8",
            "source.ip: ::ffff:10.0.0.0/104",
            "source.ip: ::ffff:10.1.2.3",
            "source.ip: \"10.1.2.3\"",
            "source.ip: 10.1.*",
            "raw.cidrIp: 0.0.0.0/0",
            "raw.six: 2001:db8::/32",
            "raw.six: 2001:db8:0:0::1",
            "raw.six: \"2001:db8::1\"",
            "raw.mapped: 10.0.0.0/8",
            "raw.mapped: 10.1.2.3",
            "raw.net6: 2001:db8::/32",
            "source.ip: $raw.mapped",
        ],
        &[
            "source.ip: 11.0.0.0/8",
            "source.ip: ::/0",
            "source.ip: \"10.0.0.0/8\"",
            "source.ip == 10.0.0.0/8",
            "raw.mapped: \"10.1.2.3\"",
            "raw.mapped == 10.1.2.3",
            "raw.six == 2001:db8::1",
            "raw.mapped: ::/0",
            "raw.cidrIp: \"10.0.0.0/8\"",
            "source.ip == $raw.mapped",
        ],
    );
}

#[test]
fn a_regex_searches_anywhere_up_to_the_next_unescaped_slash() {
    check(
        &json!({"user_agent.original": "Mozilla/5.0 (X11) curl", "raw": {"n": 403}}),
        &[
            "user_agent.original: /curl|wget/",
            "user_agent.original: /CURL/i",
            "user_agent.original: /^Mozilla\\/5/",
            "user_agent.original: (/X\\d+/ and not /wget/)",
            "raw.n: /^4\\d\\d$/",
        ],
        &["user_agent.original: /CURL/", "user_agent.original: /^curl/", "raw.none: /./"],
    );
}

#[test]
fn a_list_holds_plain_entries_and_networks() {
    check(
        &json!({"source.ip": "198.51.100.77", "raw": {"tool": "NESSUS", "port": 443, "ips": ["1.1.1.1", "::ffff:10.0.0.7"]}}),
        &[
            "source.ip: @scanners",
            "raw.tool: @scanners",
            "raw.port: @scanners",
            "raw.ips: @scanners",
            "raw.tool: (@scanners or x)",
        ],
        &["user.name: @scanners", "not source.ip: @scanners", "raw.tool: (@scanners and x)"],
    );
}

#[test]
fn a_schedule_holds_the_event_time_in_the_events_own_zone() {
    let query = "@timestamp: @business-hours";
    let monday_16_in_new_york = "2026-01-05T21:00:00Z";
    check(&json!({"@timestamp": monday_16_in_new_york}), &[query], &[]);
    check(
        &json!({"@timestamp": monday_16_in_new_york, "user.timezone": "Asia/Tokyo"}),
        &["not @timestamp: @business-hours"],
        &[query],
    );
    check(&json!({"@timestamp": monday_16_in_new_york, "user.timezone": "Mars"}), &[query], &[]);
}

#[test]
fn another_field_is_equal_when_one_element_is_common() {
    check(
        &json!({"user.id": "U1", "user.target.id": "u1", "user.roles": ["a", "b"], "raw": {"roles": ["B", "c"], "n": 3, "s": "3.0", "x": "03"}}),
        &[
            "user.id: $user.target.id",
            "user.roles: $raw.roles",
            "raw.n: $raw.s",
            "raw.n == $raw.s",
            "user.id: ($user.name or $user.target.id)",
            "not user.name: $user.email",
        ],
        &[
            "user.id == $user.target.id",
            "user.roles == $raw.roles",
            "user.id: $user.name",
            "user.name: $user.email",
            "raw.n: $raw.x",
            "raw.s: $raw.x",
        ],
    );
}

#[test]
fn braces_ask_one_element_for_everything() {
    check(
        &json!({"user.id": "7", "raw": {
            "target": [{"type": "User", "id": 7, "tags": ["x", "y"]}, {"type": "Group", "id": 8}, null],
            "one": {"type": "User", "a.b": {"c": 1}}, "deep": [[{"k": [{"n": 1, "v": 2}, {"n": 3, "v": 4}]}]]
        }}),
        &[
            "raw.target: { type: User and id: 7 }",
            "raw.target: { type: User and id: $user.id }",
            "raw.target: {type: User and tags: (x and y)}",
            "raw.target: { type: group and tags: null }",
            "raw.target: { not id: 7 }",
            "raw.one: { type: User }",
            "raw.one: { a.b.c: 1 and a: * }",
            "raw.deep: { k: { n: 1 and v: 2 } }",
            "raw.deep.k: { n: 3 and v: 4 }",
            "raw.target[1]: { type: Group }",
            "raw.target: { t*: y }",
            "raw.target: { *: 8 }",
            "raw.target: ({ id: 7 } and { id: 8 })",
            "raw.target: { (type: x or id == 8) and not tags: * }",
        ],
        &[
            "raw.target: { type: User and id: 8 }",
            "raw.target: { type: Group and id: $user.id }",
            "raw.target: { type: User and not tags: x }",
            "raw.deep: { k: { n: 1 and v: 4 } }",
            "raw.none: { not id: 7 }",
            "raw.target: { raw.target.id: 7 }",
        ],
    );
    // What the parts say of different elements is not enough.
    let fields = json!({"raw": {"t": [{"a": 1, "b": 2}, {"a": 2, "b": 1}]}});
    check(&fields, &["raw.t.a: 1 and raw.t.b: 1"], &["raw.t: { a: 1 and b: 1 }"]);
}

#[test]
fn free_text_is_found_in_any_string_of_the_record() {
    check(
        &json!({"user.name": "mapped only", "raw": {"a": [{"b": "Invalid PASSWORD for eve"}], "n": 42, "key": "x"}}),
        &["\"invalid password\"", "\"EVE\"", "not \"bob\"", "\"\u{17f}word\" and \"x\""],
        &["\"mapped only\"", "\"42\"", "\"key\"", "\"invalid  password\""],
    );
}

#[test]
fn not_binds_before_and_and_before_or_in_any_case() {
    let fields = json!({"user.name": "bob", "event.action": "login"});
    check(
        &fields,
        &[
            "user.name: bob or user.name: x and event.action: x",
            "NOT user.name: x AND event.action: login",
            "(user.name: bob Or user.name: x) and event.action: login",
            "not not user.name: bob",
            "not (user.name: bob and event.action: x)",
        ],
        &[
            "not user.name: bob or event.action: x",
            "(user.name: bob or user.name: x) and event.action: x",
            "not user.name: bob and event.action: x",
        ],
    );
}

#[test]
fn colons_belong_to_values_and_comments_are_skipped() {
    check(
        &json!({"raw": {"arn": "arn:aws:s3:::b/x", "t": "2026-01-01T09:00:00Z", "hash": "a#b", "p": "a(b", "q": "x=1", "dir": "C:\\Windows"}}),
        &[
            "raw.arn: arn:aws:s3:::b/*",
            "raw.arn:arn:aws:s3:::b/x",
            "raw.t: 2026-01-01T09:00:00Z",
            "raw.hash: a#b # and this is a comment\n and raw.arn: *",
            "# first\nraw.hash: # then\n a#b",
            "raw.p: a(b",
            "(raw.p: a(b)",
            "raw.q: x=1",
            "raw.dir: \"C:\\\\Windows\"",
            "raw.dir: C:\\\\Windows",
            "raw.arn :\tarn*\n  and\n  raw.q: *",
        ],
        &["raw.hash: a"],
    );
}

#[test]
fn one_number_may_be_written_in_many_ways() {
    check(
        &json!({"raw": {"int": 3, "float": 3.0, "text": "3.0", "odd": "03", "true": true, "yes": "TRUE", "big": u64::MAX}}),
        &[
            "raw.int: 3",
            "raw.int: 3.0",
            "raw.int: \"3.0\"",
            "raw.int: 3e0",
            "raw.int: \"3\"",
            "raw.float: 3",
            "raw.float: \"3\"",
            "raw.float == 3",
            "raw.text: 3",
            "raw.text: 3.0",
            "raw.text: \"3.0\"",
            "raw.text == 3",
            "raw.odd: \"03\"",
            "raw.odd: 03",
            "raw.odd: 0*",
            "raw.\"true\": true",
            "raw.\"true\": \"true\"",
            "raw.\"true\" == true",
            "raw.\"true\": TRUE",
            "raw.yes: true",
            "raw.big: 18446744073709551615",
            "raw.int: 3*",
        ],
        &[
            "raw.int: 03",
            "raw.int: \"03\"",
            "raw.odd: 3",
            "raw.text: \"3\"",
            "raw.text: \"3.00\"",
            "raw.yes == true",
            "raw.\"true\": 1",
            "raw.\"true\" == \"True\"",
            "raw.big: 18446744073709551614",
            "raw.int: +3",
            "raw.int: 3.",
            "raw.int: .3e1",
        ],
    );
}

#[test]
fn a_missing_field_makes_its_term_false() {
    check(
        &json!({"raw": {"a": [null, [], [["x"], null]]}}),
        &["not user.name: bob", "raw.a: x", "raw.a: *", "not user.age > 5", "not user.name: \"\""],
        &[
            "user.name: bob",
            "user.name: \"\"",
            "user.age > 5",
            "user.age <= 5",
            "raw.a: \"\"",
            "user.name: /^/",
        ],
    );
}

#[test]
fn case_is_simple_folding_without_normalisation() {
    check(
        &json!({"user.name": "Straße", "user.email": "\u{212a}ELVIN@x", "raw": {"e": "e\u{301}"}}),
        &[
            "user.name: STRAßE",
            "user.name: STRA\u{1e9e}E",
            "user.email: kelvin@X",
            "user.email: *\u{212a}el*",
        ],
        &["user.name: STRASSE", "raw.e: é", "user.name: straße-"],
    );
}

#[test]
fn names_are_exact_reach_into_arrays_and_may_be_patterns() {
    check(
        &json!({"user.name": "bob", "labels.team": "red", "labels.a.b": "blue", "kafka.topic": "audit", "kafka.headers.x": "h", "raw": {
            "x-id": {"y": 1}, "a.b": {"c": 1}, "target": [{"id": "1"}, {"id": "2"}], "X": "y", "odd key": {"*": "s"}
        }}),
        &[
            "raw.x-id.y: 1",
            "raw.\"x-id\".y: 1",
            "raw.a.b.c: 1",
            "raw.\"a.b\".c: 1",
            "raw.target.id: 2",
            "raw.target[0].id: 1",
            "raw.\"odd key\".\"*\": s",
            "labels.*: red",
            "labels.*: blue",
            "*: bob",
            "*: 2",
            "*.id: 1",
            "raw.*: y",
            "kafka.topic: audit",
            "kafka.headers.x: h",
            "kafka.*: h",
            "labels.*: *",
            "labels.nothing*: null",
        ],
        &[
            "User.name: bob",
            "raw.x: y",
            "raw.target[0].id: 2",
            "raw.target[2].id: *",
            "labels.*: bob",
            "labels: red",
            "*: nobody",
            "raw.*: bob",
        ],
    );
}

#[test]
fn every_form_of_the_reference_is_met_and_not_met_as_it_says() {
    for form in super::FORMS {
        let event = |text: &str| serde_json::from_str(text).unwrap();
        check(&event(form.met_by), &[form.example], &[]);
        check(&event(form.not_met_by), &[], &[form.example]);
    }
}

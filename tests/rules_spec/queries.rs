//! §2: what a query means, row by row of its table, then its paragraphs *Text*, *Values*, *Fields*.

use std::collections::BTreeMap;

use hark::base::{Position, Timestamp};
use hark::event::decode::{Decoder, Limits, Malformed};
use hark::event::{Event, FieldName, Layout};
use hark::mapping::{Mappings, Options, Tables};
use hark::query::{List, Query, Schedule, Sets};
use serde_json::{Value, json};

fn time() -> Timestamp {
    Timestamp::parse("2026-01-05T12:00:00.0019Z").unwrap()
}

fn sets() -> Sets {
    let mut sets = Sets::new();
    let entries = ["203.0.113.0/24", "::ffff:192.0.2.0/120", "Straße", "3.0", "a*"];
    sets.insert_list("odd", List::new(entries).0);
    let nights = Schedule::new("Europe/Berlin").unwrap().on_days(["fri"]).unwrap();
    let nights = nights.in_hours(["23:00-06:00"]).unwrap().except_on("2026-01-09").unwrap();
    sets.insert_schedule("friday-night", nights);
    sets
}

/// Whether an event of these fields (as in an inline test) meets the query.
fn meets(query: &str, fields: &Value) -> bool {
    let parsed = Query::parse(query).unwrap_or_else(|found| panic!("{query}: {found:?}"));
    let mut layout = Layout::new();
    let matcher = parsed.compile(&mut layout, &sets()).unwrap();
    let (mappings, _) = Mappings::load(&[], &Tables::new(), &layout, &sets(), Options::default());
    let fields: BTreeMap<_, _> = fields
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (FieldName::parse(name).unwrap(), value.clone()))
        .collect();
    let when = fields.get(&FieldName::parse("@timestamp").unwrap()).and_then(Value::as_str);
    let when = when.map_or_else(time, |text| Timestamp::parse(text).unwrap());
    matcher.matches(&mappings.of_fields(&fields, Position::new("t", 0, 1), when).unwrap())
}

/// Whether a record of exactly this text meets the query.
fn record_meets(query: &str, record: &str) -> Result<bool, Malformed> {
    let mut layout = Layout::new();
    let matcher = Query::parse(query).unwrap().compile(&mut layout, &sets()).unwrap();
    let mut event = Event::empty(&layout, Position::new("t", 0, 1), time(), "t".into());
    let decoder = Decoder::new(&layout, &[], Limits::default());
    decoder.decode(record.as_bytes(), &mut event).map(|()| matcher.matches(&event))
}

fn check(fields: &Value, met: &[&str], not_met: &[&str]) {
    for (queries, expected) in [(met, true), (not_met, false)] {
        for query in queries {
            assert_eq!(meets(query, fields), expected, "{query}\n{fields}");
            let denied = format!("not ({query})");
            assert_eq!(meets(&denied, fields), !expected, "{denied}\n{fields}");
        }
    }
}

fn check_record(record: &str, met: &[&str], not_met: &[&str]) {
    for (queries, expected) in [(met, true), (not_met, false)] {
        for query in queries {
            assert_eq!(record_meets(query, record), Ok(expected), "{query}\n{record}");
        }
    }
}

/// The place of the first mistake, as text, and all that is said of it.
fn refused(query: &str) -> (String, String) {
    let found = Query::parse(query).expect_err(query);
    let first = found.first().unwrap();
    let span = first.span.clone().unwrap();
    let said = format!("{}; {}", first.message, first.help.clone().unwrap_or_default());
    (query.get(span).unwrap_or_else(|| panic!("{query}: no such place")).to_owned(), said)
}

#[test]
fn equals_ignoring_case_on_an_array_any_element_and_exactly_with_two_signs() {
    check(
        &json!({"user.roles": [["Admin"], null, "DEV"], "event.action": "ſetPolicy", "raw.x": "a*b"}),
        &[
            "user.roles: admin",
            "user.roles == DEV",
            "user.roles: (admin and dev)",
            "event.action: SETpolicy",
            "event.action: set*",
            "event.action == ſet*",
            "raw.x: \"a*b\"",
            "raw.x == a\\*b",
            "raw.x == a*",
        ],
        &[
            "user.roles == admin",
            "user.roles: adm",
            "user.roles: \"\"",
            "event.action == set*",
            "event.action: ?etPolicyx",
            "raw.x: \"a*\"",
            "raw.x == \"a?b\"",
        ],
    );
}

#[test]
fn exists_and_is_not_null_an_empty_string_exists_an_empty_array_does_not() {
    check_record(
        r#"{"s":"","a":[],"n":null,"aa":[[],[null,[]]],"o":{},"ao":[{}],"d.e":null,"f":[{"g":null},{"g":[""]}]}"#,
        &[
            "raw.s: *",
            "raw.o: *",
            "raw.ao: *",
            "raw.a: null",
            "raw.n: null",
            "raw.aa: null",
            "raw.d: *",
            "raw.d.e: null",
            "raw.f.g: *",
            "raw.f: { g: * }",
            "raw.f: { g: null }",
            "raw.missing: null",
            "raw.s: \"\"",
        ],
        &[
            "raw.a: *",
            "raw.n: *",
            "raw.aa: *",
            "raw.aa: { not x: 1 }",
            "raw.missing: \"\"",
            "raw.s: null",
        ],
    );
}

#[test]
fn ordering_is_exact_for_64_bit_integers_and_one_element_meets_both_bounds() {
    check_record(
        r#"{"i":9007199254740993,"max":18446744073709551615,"min":-9223372036854775808,"f":9007199254740992.0,
            "t":"9007199254740993","e":1e2,"m":[1,10],"b":true,"sp":"5 ","hex":"0x10","z":-0.0,"dot":"5."}"#,
        &[
            "raw.i > 9007199254740992",
            "raw.i > 9007199254740992.0",
            "raw.t > 9007199254740992",
            "raw.max > 18446744073709551614",
            "raw.max < 18446744073709551616",
            "raw.min < -9223372036854775807",
            "raw.f < 9007199254740993",
            "raw.e: [100 to 100]",
            "raw.m: [10 to *]",
            "raw.m: [* to 1]",
            "raw.z >= 0",
            "raw.z: 0",
            "raw.z <= -0",
        ],
        &[
            "raw.i > 9007199254740993",
            "raw.f >= 9007199254740993",
            "raw.m: [2 to 9]",
            "raw.b > 0",
            "raw.sp > 4",
            "raw.sp < 6",
            "raw.hex > 1",
            "raw.dot >= 5",
            "raw.none < 1",
        ],
    );
}

#[test]
fn addresses_compare_as_addresses_in_quotes_as_text_and_host_bits_are_an_error() {
    check(
        &json!({"source.ip": ["::FFFF:10.1.2.3", null], "raw.six": "2001:0DB8:0::1", "raw.net": "10.0.0.0/8", "raw.not": "10.1.2.3:443"}),
        &[
            "source.ip: 10.0.0.0/8",
            "source.ip: 10.1.2.3",
            "source.ip: ::ffff:a01:203",
            "source.ip: ::ffff:0:0/96",
            "source.ip: 10.1.2.3/32",
            "raw.six: 2001:db8::1",
            "raw.six: 2001:DB8::/32",
            "raw.six: ::/0",
            "raw.net: 10.0.0.0/8",
            "raw.net: \"10.0.0.0/8\"",
            "raw.net == 10.0.0.0/8",
        ],
        &[
            "source.ip: ::/0",
            "source.ip: \"10.1.2.3\"",
            "source.ip == 10.1.2.3",
            "source.ip: \"10.0.0.0/8\"",
            "raw.six == 2001:db8::1",
            "raw.net: 10.0.0.0/9",
            "raw.net: 0.0.0.0/0",
            "raw.not: 10.0.0.0/8",
            "raw.six: 0.0.0.0/0",
        ],
    );
    for (query, place) in [
        ("source.ip: 10.1.2.3/8", "10.1.2.3/8"),
        ("source.ip: 10.0.0.0/33", "10.0.0.0/33"),
        ("source.ip: 2001:db8::1/32", "2001:db8::1/32"),
        ("a: (x or 10.1.2.3/8)", "10.1.2.3/8"),
    ] {
        assert_eq!(refused(query).0, place, "{query}");
    }
}

#[test]
fn a_regex_is_an_unanchored_search_to_the_next_unescaped_slash() {
    check(
        &json!({"raw.p": "a/b\n/C", "raw.n": [3.0, 404], "raw.b": false}),
        &[
            "raw.p: /a\\/b/",
            "raw.p: /c/i",
            "raw.p: /b\\s\\//",
            "raw.n: /^3$/",
            "raw.n: /^4/",
            "raw.b: /^false$/",
        ],
        &["raw.p: /c/", "raw.p: /b.\\/C/", "raw.n: /\\./", "raw.none: /^/"],
    );
    assert_eq!(refused("raw.p: /(a/ and x: 1").0, "(");
    assert_eq!(refused("raw.p: /a").0, "/");
    assert!(refused("raw.p: /(x{1000}){1000}/").1.contains("bytes"));
}

#[test]
fn a_list_holds_plain_entries_ignoring_case_and_addresses_in_its_networks() {
    check(
        &json!({"source.ip": "::ffff:203.0.113.9", "raw.in": "192.0.2.200", "raw.s": "STRA\u{1e9e}E", "raw.n": 3, "raw.t": "3", "raw.w": "abc", "raw.net": "203.0.113.0/24", "raw.sub": "203.0.113.0/25"}),
        &["source.ip: @odd", "raw.in: @odd", "raw.s: @odd", "raw.n: @odd", "raw.net: @odd"],
        &["raw.t: @odd", "raw.w: @odd", "raw.sub: @odd", "user.name: @odd"],
    );
}

#[test]
fn a_schedule_crosses_midnight_belongs_to_the_day_it_starts_and_is_half_open() {
    for (time, inside) in [
        ("2026-01-16T21:59:59.999Z", false),
        ("2026-01-16T22:00:00Z", true),
        ("2026-01-17T04:59:59.999Z", true),
        ("2026-01-17T05:00:00Z", false),
        ("2026-01-16T04:00:00Z", false),
        // The ninth is excepted, and with it the night that starts on it.
        ("2026-01-09T22:30:00Z", false),
        ("2026-01-10T03:00:00Z", false),
        // Summer time: two hours ahead of UTC.
        ("2026-07-03T21:00:00Z", true),
        ("2026-07-03T20:59:59Z", false),
    ] {
        assert_eq!(
            meets("@timestamp: @friday-night", &json!({"@timestamp": time})),
            inside,
            "{time}"
        );
    }
}

#[test]
fn another_field_of_the_same_event_is_equal_when_an_element_is_common() {
    check(
        &json!({"user.id": ["U1", "7"], "user.target.id": [null, ["u1"]], "raw.n": [[7.0]], "raw.ip": "::ffff:1.2.3.4", "source.ip": "1.2.3.4", "raw.b": true, "raw.bt": "TRUE", "raw.e": "", "raw.at": "2026-01-05T13:00:00.001+01:00"}),
        &[
            "user.id: $user.target.id",
            "user.id: $raw.n",
            "raw.n == $user.id",
            "source.ip: $raw.ip",
            "raw.b: $raw.bt",
            "raw.at: $@timestamp",
            "@timestamp: $raw.at",
            "user.id: (x or $raw.n)",
        ],
        &[
            "user.id == $user.target.id",
            "source.ip == $raw.ip",
            "raw.b == $raw.bt",
            "raw.e: $raw.none",
            "raw.none: $raw.none2",
            "raw.e: $user.id",
        ],
    );
}

#[test]
fn one_element_of_the_array_meets_all_of_it_with_fields_of_the_event_on_the_right() {
    check_record(
        r#"{"id":"7","t":[[{"type":"User","id":7}],null,{"type":"Group","id":8,"in":[{"a":1,"b":2},{"a":2,"b":1}],"x.y":{"z":null}}]}"#,
        &[
            "raw.t: { type: user and id: $raw.id }",
            "raw.t: { type: Group and in: { a: 1 and b: 2 } }",
            "raw.t: { in: { a: 1 } and in: { a: 2 } }",
            "raw.t: { not type: User and id > 7 }",
            "raw.t: { x.y: * }",
            "raw.t: { x: * and x.y.z: null }",
            "raw.t: { *: 8 }",
            "raw.t: { in.*: 2 and type: G* }",
            "raw.t: { id: (7 or 9) and not in: * }",
            "raw.t.in: { a: 2 and b: 1 }",
            "raw: { id: 7 } or raw.id: 7",
        ],
        &[
            "raw.t: { type: Group and id: $raw.id }",
            "raw.t: { in: { a: 1 and b: 1 } }",
            "raw.t: { raw.id: 7 }",
            "raw.t[0]: { type: Group }",
        ],
    );
}

#[test]
fn free_text_is_in_some_string_of_the_record_ignoring_case() {
    check_record(
        r#"{"a":[{"b":"Caf\u00c9 \u212aEY"}],"key":1,"n":"x"}"#,
        &["\"café key\"", "\"CAFÉ\"", "\"x\" and \"key\"", "not \"nowhere\""],
        &["\"cafe\"", "\"1\"", "\"b\"", "\"café  key\""],
    );
    check(&json!({"user.name": "given"}), &["\"GIVE\""], &["\"user\""]);
}

#[test]
fn not_binds_before_and_before_or_in_any_case() {
    let fields = json!({"raw.a": 1, "raw.b": 2});
    check(
        &fields,
        &[
            "raw.a: 1 OR raw.a: 9 And raw.b: 9",
            "nOt raw.a: 9 aNd raw.b: 2",
            "not (raw.a: 9 or raw.b: 9)",
            "not not raw.a: 1",
            "raw.a: (1 or 9 and 8)",
            "raw.a:1 and(raw.b:2)",
        ],
        &["not raw.a: 1 or raw.b: 9", "not raw.a: 1 and raw.b: 2"],
    );
}

#[test]
fn colons_belong_to_values_a_backslash_escapes_and_comments_begin_where_a_word_could() {
    check(
        &json!({"raw.arn": "arn:aws:s3:::b/k", "raw.ua": "old python requests/2", "raw.p": "/admin)", "raw.dir": "C:\\Windows", "raw.h": "a#b", "raw.k": "and", "raw.at": "@x", "raw.br": "x}y]z", "raw.q": "say \"hi\""}),
        &[
            "raw.arn:arn:aws:s3:::b/*",
            "raw.ua: *python\\ requests*",
            "raw.p: \\/admin\\)",
            "raw.dir: \"C:\\\\Windows\"",
            "raw.dir: C:\\\\*",
            "raw.h: (#c\n a#b)",
            "raw.h: a#b # it ends here: )\nand raw.k: \"and\"",
            "#first\nraw.h:\na#b",
            "raw.k: \"AND\"",
            "raw.at: \"@x\"",
            "raw.at: \\@x",
            "raw.br: x}y]z",
            "raw.q: \"say \\\"hi\\\"\"",
        ],
        &["raw.h: a", "raw.k: \"a*\"", "raw.at: \"\\@\""],
    );
    for (query, place, shows) in [
        ("raw.dir: \"C:\\Windows\"", "\\W", "\"C:\\\\Windows\""),
        ("raw.dir: C:\\1", "\\1", "C:\\\\1"),
        ("a = x", "=", "a: x"),
        ("a != x", "!=", "not a: x"),
        ("a: x && b: y", "&&", "and"),
        ("a: [\"a\",\"b\"]", "[\"a\",\"b\"]", "a: (\"a\" or \"b\")"),
        ("event.reason: invalid password", "password", "event.reason: \"invalid password\""),
        ("event.reason: invalid password", "password", "event.reason: invalid and \"password\""),
        ("a: and", "and", "\"and\""),
        ("ß: [1 to", "[", ""),
        ("é: \"ü", "\"", ""),
    ] {
        let (at, said) = refused(query);
        assert_eq!(at, place, "{query}");
        assert!(said.contains(shows), "{query}: {said}");
    }
}

#[test]
fn numbers_are_equal_when_one_is_a_number_and_the_other_reads_as_it_in_jsons_grammar() {
    check_record(
        r#"{"n":3,"t":"3.0","z":"03","sp":"3 ","nl":"3\n","pl":"+3","x":"0x3","u":18446744073709551615,"f":0.1,"l":"100000000000000000000000000001","b":true,"bt":"TRUE","one":1}"#,
        &[
            "raw.n: 3.0",
            "raw.n: \"3.0\"",
            "raw.n == \"3e0\"",
            "raw.t: 3",
            "raw.t: 30e-1",
            "raw.z: 03",
            "raw.z: \"03\"",
            "raw.sp: \"3 \"",
            "raw.u: 18446744073709551615",
            "raw.f: 1e-1",
            "raw.l: 100000000000000000000000000001",
            "raw.b: true",
            "raw.b: \"True\"",
            "raw.bt: true",
        ],
        &[
            "raw.t: \"3\"",
            "raw.z: 3",
            "raw.n: 03",
            "raw.sp: 3",
            "raw.nl: 3",
            "raw.n: \"3 \"",
            "raw.pl: 3",
            "raw.x: 3",
            "raw.u: 18446744073709551616",
            "raw.u: 18446744073709551614",
            "raw.l: 100000000000000000000000000002",
            "raw.b: 1",
            "raw.one: true",
            "raw.b == \"True\"",
        ],
    );
}

#[test]
fn folding_is_simple_character_by_character_without_normalisation() {
    for (a, b, equal) in [
        ("ſ", "S", true),
        ("\u{212a}", "k", true),
        ("\u{212b}", "å", true),
        ("ẞ", "ß", true),
        ("ß", "ss", false),
        ("İ", "i", false),
        ("İ", "i\u{307}", false),
        ("ı", "I", false),
        ("ς", "Σ", true),
        ("é", "e\u{301}", false),
        ("ﬁ", "fi", false),
        ("Ω", "\u{2126}", true),
    ] {
        let fields = json!({"raw.a": a, "raw.b": b});
        for query in [format!("raw.a: \"{b}\""), format!("raw.b: *{a}*"), "raw.a: $raw.b".into()] {
            assert_eq!(meets(&query, &fields), equal, "{query} {fields}");
        }
    }
}

#[test]
fn a_missing_field_makes_its_term_false_whatever_the_term() {
    for term in [
        "user.name: bob",
        "user.name == \"\"",
        "user.name: *",
        "user.name: /^/",
        "user.name < 5",
        "user.name: 0.0.0.0/0",
        "user.name: @odd",
        "user.name: $user.email",
        "raw.x: { not y: 1 }",
        "raw.x[0]: \"\"",
        "labels.*: ?",
    ] {
        check(&json!({"user.email": null, "raw.y": []}), &[&format!("not {term}")], &[term]);
    }
}

#[test]
fn times_are_rfc_3339_or_a_date_cut_to_milliseconds() {
    check(
        &json!({"@timestamp": "2026-01-05T12:00:00.0019Z", "raw.long": "2026-01-05T12:00:00.00199999999999Z", "raw.date": "2026-01-05", "raw.bad": "2026-01-05T12:00:00", "raw.neg": "1969-12-31T23:59:59.9999Z", "raw.ms": 1_767_614_400_001_i64}),
        &[
            "@timestamp >= 2026-01-05T12:00:00.0015Z",
            "@timestamp <= 2026-01-05T12:00:00.001Z",
            "@timestamp: \"2026-01-05t12:00:00.001z\"",
            "@timestamp: $raw.long",
            "raw.long <= 2026-01-05T12:00:00.001Z",
            "raw.date < 2026-01-05T00:00:00.001Z",
            "raw.date >= 2026-01-05",
            "raw.neg < 1970-01-01",
            "raw.neg: [1969-12-31T23:59:59.999Z to 1969-12-31T23:59:59.999Z]",
        ],
        &[
            "@timestamp > 2026-01-05T12:00:00.0010Z",
            "raw.bad > 2020-01-01",
            "raw.ms > 2020-01-01",
            "@timestamp > 0",
        ],
    );
}

#[test]
fn a_dotted_name_is_a_path_and_the_same_path_twice_is_malformed_when_something_reads_it() {
    check_record(
        r#"{"a.b":{"c":1},"a":{"d":2},"t":[{"x.y":1},{"x":{"y":2}}],"X-Id":{"y z":3},"star":{"*":4},"dup":1,"dup":2}"#,
        &[
            "raw.a.b.c: 1",
            "raw.a.d: 2",
            "raw.\"a.b\".c: 1",
            "raw.t.x.y: 1",
            "raw.t.x.y: 2",
            "raw.t[1].x.y: 2",
            "raw.t: { x.y: 1 }",
            "raw.\"X-Id\".\"y z\": 3",
            "raw.star.\"*\": 4",
            "raw.a: *",
        ],
        &["raw.t[0].x.y: 2", "raw.x-id.\"y z\": 3", "raw.star.\"*x\": 4", "raw.t[7]: *"],
    );
    for record in [
        r#"{"a":{"b":1},"a":{"c":2}}"#,
        r#"{"a.b":1,"a":{"b":2}}"#,
        r#"{"a":{"b":1,"b":null}}"#,
        r#"{"a":{"\u0062":1,"b":1}}"#,
    ] {
        for query in ["raw.a.b: 1", "*: nothing", "\"text\"", "raw.a: { b: 1 }"] {
            let read = record_meets(query, record);
            assert!(matches!(read, Err(Malformed::DuplicateKey(_))), "{query} {record} {read:?}");
        }
        assert_eq!(record_meets("raw.other: *", record), Ok(false));
    }
}

#[test]
fn a_star_in_a_name_crosses_dots_and_alone_is_every_common_field_and_all_of_raw() {
    let fields = json!({"labels.a.b": "x", "labels.c": ["y", null], "user.name": "bob", "raw.deep": [{"q": [{"r": 5}]}], "kafka.topic": "audit"});
    check(
        &fields,
        &[
            "labels.*: x",
            "labels.*: y",
            "labels.*b: x",
            "*: bob",
            "*: 5",
            "raw.*.r: 5",
            "*.r: 5",
            "*name: b*",
            "*: event",
        ],
        &["labels.*: bob", "label*b: y", "raw.*: bob", "*: audit", "labels: x", "*.*: nobody"],
    );
}

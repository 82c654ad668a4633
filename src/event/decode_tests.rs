//! What the decoder promises, held against `serde_json`.

use super::*;
use crate::base::{Position, Timestamp};
use crate::event::{Scalar, Segment, Slot, Wanted};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;

fn field(name: &str) -> FieldName {
    FieldName::parse(name).unwrap()
}

/// A layout with the wishes (`"…"` for free text, `{…}` around a name for whole elements).
fn layout(wishes: &[&str]) -> Layout {
    let mut layout = Layout::new();
    for wish in wishes {
        layout.want(match wish.strip_prefix('{') {
            Some(name) => Wanted::Elements(field(name.trim_end_matches('}'))),
            None if *wish == "\"\"" => Wanted::AnyText,
            None => Wanted::Values(field(wish)),
        });
    }
    layout
}

fn read(layout: &Layout, json: &[FieldName], record: &[u8]) -> Result<Event, Malformed> {
    let position = Position::new("t", 0, 0);
    let mut event = Event::empty(layout, position, Timestamp::default(), "m".into());
    Decoder::new(layout, json, Limits::default()).decode(record, &mut event)?;
    Ok(event)
}

/// What each wish finds, one after the other.
fn found(wishes: &[&str], json: &[&str], record: &str) -> String {
    let layout = layout(wishes);
    let json: Vec<_> = json.iter().map(|name| field(name)).collect();
    let mut event = match read(&layout, &json, record.as_bytes()) {
        Ok(event) => event,
        Err(malformed) => return format!("{malformed:?}"),
    };
    let slots = layout.iter().map(|(id, _)| match event.slot_mut(id).unwrap() {
        Slot::Values(values) => {
            values.iter().map(|v| v.to_json().to_string()).collect::<Vec<_>>().join(" ")
        }
        Slot::Elements(elements) => {
            elements.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
    });
    slots.collect::<Vec<_>>().join(" | ")
}

#[test]
fn arrays_are_walked_through_and_indexes_pick() {
    let record = r#"{"t":[{"id":1},{"id":[2,[3]]},null],"n":[["a","b"],"c"]}"#;
    let wishes = ["raw.t.id", "raw.t[1].id", "raw.t.id[0]", "raw.n", "raw.n[0]", "raw.n[0][1]"];
    assert_eq!(found(&wishes, &[], record), r#"1 2 3 | 2 3 | 2 | "a" "b" "c" | "a" "b" | "b""#);
}

#[test]
fn dots_in_keys_are_path_steps_and_escapes_are_decoded() {
    let record = r#"{"a.b":{"c":1},"a":{"b.d":2,"\u0065":3},"x-id":"\u00e9\n"}"#;
    let wishes = ["raw.a.b.c", "raw.a.b.d", "raw.a.e", "raw.\"x-id\""];
    assert_eq!(found(&wishes, &[], record), r#"1 | 2 | 3 | "é\n""#);
}

#[test]
fn an_object_is_there_though_it_has_no_value() {
    let there = |record: &str| {
        let mut layout = Layout::new();
        let slot = layout.want(Wanted::Present(field("raw.a")));
        let event = read(&layout, &[field("raw.a")], record.as_bytes()).unwrap();
        event.first(slot).is_some()
    };
    for record in [
        r#"{"a":{}}"#,
        r#"{"a":{"b":null}}"#,
        r#"{"a":""}"#,
        r#"{"a.b":1}"#,
        r#"{"a":[[0]]}"#,
        r#"{"a":"{}"}"#,
    ] {
        assert!(there(record), "{record}");
    }
    for record in ["{}", r#"{"a":null}"#, r#"{"a":[]}"#, r#"{"a":[null,[]]}"#, r#"{"b":{"a":1}}"#] {
        assert!(!there(record), "{record}");
    }
}

#[test]
fn null_is_missing_and_empty_text_is_not() {
    assert_eq!(
        found(&["raw.a", "raw.b", "raw.c"], &[], r#"{"a":null,"b":"","c":[]}"#),
        " | \"\" | "
    );
}

#[test]
fn patterns_free_text_and_elements_read_everything_below() {
    let record = r#"{"d":{"x":"one","y":[{"x":2}]},"e":["two"],"t":[{"k":"v"},[{"k":null}]]}"#;
    let wishes = ["raw.d.*", "*.x", "raw.*.y.*", "\"\"", "{raw.t}", "{raw.d}", "labels.*"];
    assert_eq!(
        found(&wishes, &[], record),
        r#""one" 2 | "one" 2 | 2 | "one" "two" "v" | {"k":"v"} {"k":null} | {"x":"one","y":[{"x":2}]} | "#
    );
}

#[test]
fn a_document_in_a_string_reads_like_the_object() {
    let wishes = ["raw.d.ip", "raw.d", "raw.d.*", "\"\"", "{raw.d.l}", "{raw.d}"];
    let object = r#"{"d":{"ip":"192.0.2.1","l":[{"a":1}]}}"#;
    let string = r#"{"d":"{\"ip\":\"192.0.2.1\",\"l\":[{\"a\":1}]}"}"#;
    assert_eq!(found(&wishes, &["raw.d"], object), found(&wishes, &["raw.d"], string));
    assert_eq!(
        found(&["raw.d", "raw.d.ip"], &["raw.d"], r#"{"d":"{\"ip\":\"192.0."}"#),
        r#""{\"ip\":\"192.0." | "#
    );
    assert_eq!(found(&["raw.d"], &["raw.d"], r#"{"d":"plain"}"#), "\"plain\"");
    assert_eq!(
        found(&["raw.d.a"], &["raw.d"], r#"{"d":"{\"a\":1,\"a\":2}"}"#),
        "DuplicateKey(\"raw.d.a\")"
    );
}

#[test]
fn a_path_named_twice_is_malformed_only_when_something_reads_it() {
    for (wish, record, malformed) in [
        ("raw.a", r#"{"a":1,"a":2}"#, true),
        ("raw.a", r#"{"a":1,"\u0061":null}"#, true),
        ("raw.a.b", r#"{"a":1,"a":2}"#, true),
        ("raw.b", r#"{"a":1,"a":2,"b":{"c":1,"c":1}}"#, false),
        ("raw.a.b", r#"{"a.b":1,"a":{"b":2}}"#, true),
        ("raw.a.b", r#"{"a.c":1,"a":{"b":2}}"#, false),
        ("raw.a.b", r#"{"a":[{"b":1},{"b":2}]}"#, false),
        ("raw.a.b", r#"{"a":[{"b":1,"b":2}]}"#, true),
        ("raw.a.b", r#"{"a.b":0,"a":[{"b":1}],"a.b":2}"#, true),
        ("raw.a[0].b", r#"{"a":[{"b":1},{"b":2,"b":3}]}"#, false),
        ("raw.d.*", r#"{"d":{"x":{"y":1,"y":2}}}"#, true),
        ("raw.d.*", r#"{"d.x":{"y":1},"d":{"x.y":2}}"#, true),
        ("raw.d.*", r#"{"e":{"y":1,"y":2}}"#, false),
        ("\"\"", r#"{"e":[{"y":1},{"y":"1","y":2}]}"#, true),
        ("{raw.e}", r#"{"e":[{"y":{"z":1,"z":2}}]}"#, true),
    ] {
        let result = read(&layout(&[wish]), &[], record.as_bytes());
        let duplicate = matches!(result, Err(Malformed::DuplicateKey(_)));
        assert_eq!(duplicate, malformed, "{wish} of {record}: {result:?}");
    }
}

#[test]
fn hostile_bytes_are_refused_with_the_right_reason() {
    let wanted = layout(&["raw.a", "raw.b.*", "\"\""]);
    let few = layout(&["raw.a"]);
    let reason = |layout: &Layout, record: &[u8]| match read(layout, &[field("raw.a")], record) {
        Ok(_) => "fine",
        Err(Malformed::NotJson(_)) => "not json",
        Err(Malformed::NotUtf8(_)) => "not utf-8",
        Err(Malformed::TooDeep(_)) => "too deep",
        Err(Malformed::TooBig(_)) => "too big",
        Err(Malformed::DuplicateKey(_)) => "duplicate key",
    };
    let nested = |levels: usize| {
        format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1)).into_bytes()
    };
    let in_string = |levels: usize| {
        format!("{{\"a\":\"{}{}\"}}", "[".repeat(levels), "]".repeat(levels)).into_bytes()
    };
    let mut cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![b'['; 1_000_000], "too deep"),
        (b"{\"a\":".repeat(200_000), "too deep"),
        (vec![b' '; (1 << 20) + 1], "too big"),
        (nested(64), "fine"),
        (nested(65), "too deep"),
        (in_string(64), "fine"),
        (in_string(65), "too deep"),
        (format!("{{\"a\":\"{}\"}}", "\\\"[".repeat(5000)).into_bytes(), "fine"),
        (b"\xef\xbb\xbf{\"a\":1}".to_vec(), "fine"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{\"a\":1}".to_vec(), "not json"),
        (b"{\"skipped\":\"\xff\"}".to_vec(), "not utf-8"),
        (b"{\"a\":\"\xed\xa0\x80\"}".to_vec(), "not utf-8"),
        (br#"{"a":"\ud800"}"#.to_vec(), "not json"),
        (br#"{"a":1e999}"#.to_vec(), "not json"),
        (br#"{"a":123456789012345678901234567890}"#.to_vec(), "fine"),
    ];
    for text in [
        "",
        " ",
        "null",
        "[1]",
        "\"x\"",
        "{\"a\":1} {}",
        "{\"a\":1}x",
        "{\"a\":01}",
        "{\"a\":NaN}",
        "{'a':1}",
        "{\"a\":1,}",
        "{\"a\"}",
        "{",
        "}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":tru}",
        "{\"a\":\"\\x\"}",
    ] {
        cases.push((text.into(), "not json"));
    }
    for (record, expected) in cases {
        let shown = String::from_utf8_lossy(&record[..record.len().min(40)]).into_owned();
        assert_eq!(reason(&wanted, &record), expected, "{shown}");
        assert_eq!(reason(&few, &record), expected, "{shown}");
    }
}

#[test]
fn what_nobody_reads_is_held_to_the_grammar_alone() {
    let layout = layout(&["raw.a"]);
    assert!(read(&layout, &[], br#"{"b":"\ud800","c":1e999,"a":1}"#).is_ok());
    assert!(read(&layout, &[], br#"{"b":"\ud8","a":1}"#).is_err());
}

/// A record as written: keys in order, also twice.
#[derive(Debug, Clone)]
enum Json {
    Scalar(serde_json::Value),
    Array(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
    /// An object as a JSON string.
    Document(Vec<(&'static str, Json)>),
}

/// A step of an exact path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

impl Json {
    fn write(&self, out: &mut String) {
        match self {
            Self::Scalar(value) => write!(out, "{value}").unwrap(),
            Self::Array(elements) => {
                out.push('[');
                for (n, element) in elements.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    element.write(out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (n, (key, value)) in entries.iter().enumerate() {
                    write!(out, "{}\n{key:?}:", if n > 0 { "," } else { "" }).unwrap();
                    value.write(out);
                }
                out.push('}');
            }
            Self::Document(entries) => {
                let mut text = String::new();
                Self::Object(entries.clone()).write(&mut text);
                out.push_str(&serde_json::Value::from(text).to_string());
            }
        }
    }

    /// Every scalar under its exact path, and every exact path that a key names.
    fn visit(
        &self,
        path: &mut Vec<Step>,
        leaves: &mut Vec<(Vec<Step>, serde_json::Value)>,
        names: &mut Vec<Vec<Step>>,
    ) {
        match self {
            Self::Scalar(serde_json::Value::Null) => {}
            Self::Scalar(value) => leaves.push((path.clone(), value.clone())),
            Self::Array(elements) => {
                for (n, element) in elements.iter().enumerate() {
                    path.push(Step::Index(n));
                    element.visit(path, leaves, names);
                    path.pop();
                }
            }
            Self::Document(entries) if dotted(path) != "raw.a" => {
                let mut text = String::new();
                Self::Object(entries.clone()).write(&mut text);
                leaves.push((path.clone(), text.into()));
            }
            Self::Object(entries) | Self::Document(entries) => {
                for (key, value) in entries {
                    let before = path.len();
                    path.extend(key.split('.').map(|key| Step::Key(key.to_owned())));
                    names.push(path.clone());
                    value.visit(path, leaves, names);
                    path.truncate(before);
                }
            }
        }
    }
}

/// Whether a wanted path leads to (the start of) an exact one: with `whole`, exactly there; else
/// also when it stops above, or when the exact path does.
fn leads(wanted: &[Segment], exact: &[Step], whole: bool) -> bool {
    match (wanted, exact) {
        ([], []) => true,
        ([], [Step::Index(_), rest @ ..]) => leads(&[], rest, whole),
        ([], _) | (_, []) => !whole && exact.is_empty(),
        ([Segment::Key(key), wanted @ ..], [Step::Key(own), exact @ ..]) => {
            let indexes = wanted.iter().take_while(|s| matches!(s, Segment::Index(_))).count();
            let own_indexes = exact.iter().take_while(|s| matches!(s, Step::Index(_))).count();
            let same = wanted[..indexes].iter().zip(exact).all(|(a, b)| match (a, b) {
                (Segment::Index(a), Step::Index(b)) => *a as usize == *b,
                (Segment::Index(_), Step::Key(_)) => false,
                _ => unreachable!(),
            });
            let enough = own_indexes >= indexes || (!whole && exact.len() == own_indexes);
            key.as_ref() == own
                && same
                && enough
                && leads(&wanted[indexes..], &exact[own_indexes..], whole)
        }
        _ => false,
    }
}

fn dotted(exact: &[Step]) -> String {
    let keys = exact.iter().filter_map(|step| match step {
        Step::Key(key) => Some(format!(".{key}")),
        Step::Index(_) => None,
    });
    format!("raw{}", keys.collect::<String>())
}

type OfPath<'a> = Box<dyn Fn(&[Step]) -> bool + 'a>;

/// The same as the decoder, the slow way.
fn naive(layout: &Layout, record: &Json) -> Option<Vec<Vec<serde_json::Value>>> {
    let (mut leaves, mut names) = (Vec::new(), Vec::new());
    record.visit(&mut Vec::new(), &mut leaves, &mut names);
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = names.into_iter().filter(|name| !seen.insert(name.clone())).collect();
    let mut slots = Vec::new();
    for (_, wanted) in layout.iter() {
        let (takes, reads): (OfPath<'_>, OfPath<'_>) = match wanted {
            Wanted::Values(name) if name.is_pattern() => {
                let head = name.to_string().replace(".*", "");
                let all = head == "*";
                let path = field(&head).raw_path().map(<[Segment]>::to_vec).unwrap_or_default();
                (
                    Box::new(move |exact| name.matches(&dotted(exact))),
                    Box::new(move |exact| {
                        all || (1..=exact.len()).any(|n| leads(&path, &exact[..n], true))
                            || leads(&path, exact, false)
                    }),
                )
            }
            Wanted::Values(name) => {
                let path = name.raw_path().unwrap();
                (
                    Box::new(|exact| leads(path, exact, true)),
                    Box::new(|exact| leads(path, exact, false)),
                )
            }
            Wanted::Elements(_) | Wanted::Present(_) | Wanted::AnyText => unreachable!(),
        };
        if twice.iter().any(|name| reads(name)) {
            return None;
        }
        slots.push(leaves.iter().filter(|(path, _)| takes(path)).map(|(_, v)| v.clone()).collect());
    }
    Some(slots)
}

fn json() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (-3_i64..4).prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-99_i32..99).prop_map(|n| (f64::from(n) / 4.0).into()),
        "[a-c\"\\\\{\\[\n\u{e9}\u{1f600}]{0,4}".prop_map(Into::into),
    ];
    let key = prop::sample::select(vec!["a", "b", "c", "a.b", "b.c", "a.b.c", "", "a..b", "d"]);
    let leaf = scalar.prop_map(Json::Scalar);
    let value = leaf.prop_recursive(4, 24, 4, move |inner| {
        let entries = prop::collection::vec((key.clone(), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Json::Array),
            entries.clone().prop_map(Json::Object),
            entries.prop_map(Json::Document),
        ]
    });
    let key = prop::sample::select(vec!["a", "b", "a.b", "b.c", "d"]);
    prop::collection::vec((key, value), 0..5).prop_map(Json::Object)
}

const WISHES: [&str; 16] = [
    "raw.a",
    "raw.b",
    "raw.a.b",
    "raw.a.b.c",
    "raw.b.c",
    "raw.d",
    "raw.a[0]",
    "raw.a[1].b",
    "raw.a.b[0]",
    "raw.a[0][1]",
    "raw.b[0].c",
    "raw.c.a.b",
    "raw.a.*",
    "raw.b.c.*",
    "*",
    "raw.a.a.a",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_walk_finds_what_a_naive_reading_finds(
        record in json(),
        wishes in prop::sample::subsequence(WISHES.to_vec(), 0..5),
    ) {
        let layout = layout(&wishes);
        let mut text = String::new();
        record.write(&mut text);
        let slow = naive(&layout, &record);
        match read(&layout, &[field("raw.a")], text.as_bytes()) {
            Ok(event) => {
                let fast: Vec<Vec<_>> = layout
                    .iter()
                    .map(|(id, _)| event.values(id).iter().map(Scalar::to_json).collect())
                    .collect();
                prop_assert_eq!(Some(fast), slow, "{}", text);
            }
            Err(Malformed::DuplicateKey(_)) => prop_assert_eq!(None, slow, "{}", text),
            Err(other) => prop_assert!(false, "{}: {}", other, text),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
        let layout = layout(&["raw.a.b", "raw.a.*", "\"\"", "{raw.b}"]);
        let _any = read(&layout, &[field("raw.a")], &bytes);
        let record = br#"{"a":{"b":[1,{"c":"\u00e9"}]},"b":[{"x":"{\"y\":1}"}],"a.c":"{[\"z\"]}"}"#;
        let mut cut_record = record.to_vec();
        cut_record.truncate(cut.min(record.len()));
        cut_record.extend(bytes.iter().take(3));
        let _any = read(&layout, &[field("raw.a")], &cut_record);
    }
}

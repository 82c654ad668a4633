//! Laws over generated queries and events: what is printed reads back as the same query, and the
//! matcher says what the plain reading of `reference` says.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::ast::{Bound, Bounds, Case, Expr, FreeText, Limit, Literal, Span, Term, Test};
use super::explain::{Explainer, Explanation, Kind};
use super::net::{self, Network};
use super::pattern::{Part, Pattern};
use super::reference::{self, Record, World};
use super::{List, Query, RegexTest, Schedule, Sets, value};
use crate::base::Timestamp;
use crate::event::{FieldName, Layout, Number};

fn name(text: &str) -> FieldName {
    FieldName::parse(text).unwrap()
}

fn term(field: FieldName, test: Test) -> Expr {
    Expr::Term(Term { field, field_span: Span(0..0), test, test_span: Span(0..0) })
}

fn case() -> impl Strategy<Value = Case> {
    prop_oneof![Just(Case::Ignored), Just(Case::Exact)]
}

/// Texts that have come up in records, near each other.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "bob",
        "BOB",
        "b",
        "",
        "3",
        "3.0",
        "03",
        "1e2",
        "100",
        "true",
        "True",
        "null",
        "a*b",
        "a?b",
        "\u{212a}",
        "k",
        "ſ",
        "S",
        "straße",
        "STRASSE",
        "É",
        "é",
        "10.0.0.1",
        "::ffff:10.0.0.1",
        "10.0.0.0/8",
        "2001:db8::1",
        "2001:DB8:0::1",
        "2026-01-05T12:00:00Z",
        "2026-01-05",
        "2026-01-05T13:00:00+01:00",
        "9223372036854775807",
        "9223372036854775808",
        "-0.5",
        "x/y",
        "123456789012345678901234567890",
        "a b",
        "a.b",
    ])
    .prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        (-3_i64..4).prop_map(Number::Int),
        prop::sample::select(vec![
            Number::Int(100),
            Number::Int(i64::MAX),
            Number::Int(i64::MIN),
            Number::Large(1 << 63),
            Number::Large(u64::MAX),
            Number::Float(-0.5),
            Number::Float(1e25),
            Number::Float(1e300),
            Number::Float(1e-7),
        ]),
        // Few digits: `serde_json` reads others one unit in the last place off.
        any::<i32>().prop_map(|n| value::normal(Number::Float(f64::from(n) / 1000.0))),
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    let start = Timestamp::parse("2026-01-05T12:00:00Z").unwrap().as_millis();
    let near = (-2_i64..3).prop_map(move |hours| start + hours * 3_600_000);
    prop_oneof![
        near.prop_map(Timestamp::from_millis),
        any::<i64>().prop_map(Timestamp::from_millis),
    ]
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let limits = prop_oneof![
        (number(), number()).prop_map(|(a, b)| (Limit::Number(a), Limit::Number(b))),
        (time(), time()).prop_map(|(a, b)| (Limit::Time(a), Limit::Time(b))),
    ];
    (limits, 0..3_u8, any::<bool>()).prop_map(|((a, b), shape, inclusive)| match shape {
        0 => Bounds { lower: Some(Bound { at: a, inclusive }), upper: None },
        1 => Bounds { lower: None, upper: Some(Bound { at: b, inclusive }) },
        _ => Bounds {
            lower: Some(Bound { at: a, inclusive: true }),
            upper: Some(Bound { at: b, inclusive: true }),
        },
    })
}

fn pattern(letter: impl Strategy<Value = char> + 'static) -> impl Strategy<Value = Pattern> {
    let part = prop_oneof![letter.prop_map(Part::Char), Just(Part::Any), Just(Part::One)];
    prop::collection::vec(part, 1..5).prop_map(Pattern::new).prop_filter("a wildcard", |pattern| {
        !pattern.is_any() && pattern.parts().iter().any(|part| !matches!(part, Part::Char(_)))
    })
}

/// What can be asked of any field, over texts and letters of one's choice.
fn test(
    text: BoxedStrategy<String>,
    letter: BoxedStrategy<char>,
    other: BoxedStrategy<FieldName>,
) -> BoxedStrategy<Test> {
    let address = prop::sample::select(vec!["10.0.0.1", "2001:db8::1", "::"]);
    let network = prop::sample::select(vec![
        "10.0.0.0/8",
        "0.0.0.0/0",
        "2001:db8::/32",
        "::/0",
        "::ffff:10.0.0.0/104",
        "2001:DB8:0::/32",
    ]);
    let regex = prop::sample::select(vec![
        "^b", "o", "[0-9]+", "a/b", "x\\\\/y", "^$", "\u{212a}", "\\.", "(",
    ])
    .prop_filter("valid", |source| RegexTest::new(source, false).is_ok());
    prop_oneof![
        2 => Just(Test::Exists),
        4 => (text, case()).prop_map(|(t, case)| Test::Equals(Literal::Text(t.into()), case)),
        2 => (number(), case()).prop_map(|(n, case)| Test::Equals(Literal::Number(n), case)),
        3 => (pattern(letter), case()).prop_map(|(pattern, case)| Test::Like(pattern, case)),
        1 => address.prop_map(|a| Test::Address(net::address(a).unwrap())),
        1 => network.prop_map(|n| Test::Network(Network::parse(n).unwrap().unwrap())),
        3 => bounds().prop_map(Test::Within),
        2 => (regex, any::<bool>()).prop_map(|(r, i)| Test::Matches(RegexTest::new(r, i).unwrap())),
        2 => (other, case()).prop_map(|(field, case)| Test::Same(field, case)),
    ]
    .boxed()
}

fn joined(leaf: BoxedStrategy<Expr>) -> BoxedStrategy<Expr> {
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| Expr::and(parts).unwrap()),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| Expr::or(parts).unwrap()),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
    .boxed()
}

fn fields(names: &[&str]) -> BoxedStrategy<FieldName> {
    prop::sample::select(names.iter().map(|text| name(text)).collect::<Vec<_>>()).boxed()
}

/// Queries that have a chance with [`record`].
fn query() -> BoxedStrategy<Expr> {
    let outer = || {
        fields(&[
            "user.name",
            "source.ip",
            "user.roles",
            "@timestamp",
            "user.*",
            "*",
            "raw.a",
            "raw.a.b",
            "raw.t",
            "raw.t.id",
            "raw.t[0].id",
            "raw.t[0]",
            "raw.*",
            "raw.a*",
            "kafka.key",
            "raw.t[1][0]",
        ])
    };
    let letter = || prop::sample::select(vec!['b', 'O', '0', '.', 'k', 'ſ', '1', '*']).boxed();
    let plain = |field, other| {
        (field, test(word().boxed(), letter(), other))
            .prop_map(|(field, test)| term(field, test))
            .boxed()
    };
    let inner = joined(plain(fields(&["id", "a", "a.b", "b", "*", "i*", "x", "a[0]"]), outer()));
    let braces = (fields(&["raw.t", "raw.a", "raw.a.b", "raw.t[0]"]), inner.clone())
        .prop_map(|(field, inner)| term(field, Test::Element(Box::new(inner))));
    let nested = (fields(&["raw.t", "raw.a"]), fields(&["a", "id", "b"]), inner).prop_map(
        |(field, below, inner)| {
            let inner = term(below, Test::Element(Box::new(inner)));
            term(field, Test::Element(Box::new(inner)))
        },
    );
    let list = outer().prop_filter("a list", |field| !super::ast::is_time(field));
    joined(
        prop_oneof![
            8 => plain(outer(), outer()),
            2 => braces,
            1 => nested,
            1 => list.prop_map(|field| term(field, Test::In("list".into()))),
            1 => Just(term(name("@timestamp"), Test::In("office".into()))),
            1 => word().prop_filter("not empty", |text| !text.is_empty())
                .prop_map(|text| Expr::FreeText(FreeText { text: text.into(), span: Span(0..0) })),
        ]
        .boxed(),
    )
}

/// Queries over any names and texts at all.
fn nasty_query() -> BoxedStrategy<Expr> {
    let key = prop_oneof![
        "[a-z*@_-]{1,3}",
        "\\PC{1,3}",
        "[\"\\\\ \n#:.]{1,3}",
        Just("not".to_owned()),
        Just("TRUE".to_owned())
    ]
    .prop_filter("no empty steps", |key| key.split('.').all(|step| !step.is_empty()));
    let plain_name = || {
        prop::collection::vec(key.clone(), 1..3)
            .prop_map(|keys| FieldName::from_keys(keys.iter().map(String::as_str)))
    };
    let field = || {
        prop_oneof![
            plain_name().boxed(),
            fields(&["*", "labels.*", "raw.\"x y\"[0].z", "raw.a[1]"])
        ]
        .boxed()
    };
    let text = prop_oneof![
        word(),
        "\\PC{0,6}",
        "[\"\\\\ \n#:()\\[\\]{}$@/*?'=<>!&|,a1]{0,6}",
        prop::sample::select(vec!["and", "OR", "Not", "to", "TRUE", "false", "C:\\Windows"])
            .prop_map(str::to_owned),
    ]
    .boxed();
    let letter = prop_oneof![
        any::<char>(),
        prop::sample::select(" \\\"#:()[]{}$@/*?'=<>!&|,\n\ta1".chars().collect::<Vec<_>>())
    ]
    .boxed();
    let plain = |field: BoxedStrategy<FieldName>| {
        (field.clone(), test(text.clone(), letter.clone(), field))
            .prop_map(|(field, test)| term(field, test))
            .boxed()
    };
    let braces = (plain_name(), joined(plain(field())))
        .prop_map(|(field, inner)| term(field, Test::Element(Box::new(inner))));
    let set = ("\\PC{1,4}", field()).prop_map(|(set, field)| term(field, Test::In(set.into())));
    let free = text
        .clone()
        .prop_filter("not empty", |text| !text.is_empty())
        .prop_map(|text| Expr::FreeText(FreeText { text: text.into(), span: Span(0..0) }));
    joined(prop_oneof![4 => plain(field()), 1 => braces, 1 => set, 1 => free].boxed())
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => word().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        2 => (-3_i64..4).prop_map(Value::from),
        1 => prop::sample::select(vec![json!(3.0), json!(100), json!(u64::MAX), json!(i64::MAX), json!(-0.5), json!(1e25)]),
    ]
}

/// A record without two names for one path.
fn record() -> impl Strategy<Value = Record> {
    let leaf = prop_oneof![5 => scalar(), 1 => Just(Value::Null)];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            object(inner.boxed()),
        ]
    });
    let values = || prop::collection::vec(scalar(), 0..3);
    (time(), values(), values(), values(), values(), object(value.boxed())).prop_map(
        |(time, names, roles, ips, keys, raw)| Record {
            time,
            common: BTreeMap::from([
                ("user.name".to_owned(), names),
                ("user.roles".to_owned(), roles),
                ("source.ip".to_owned(), ips),
                ("kafka.key".to_owned(), keys),
            ]),
            raw,
        },
    )
}

fn object(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let plain = prop::collection::btree_map(
        prop::sample::select(vec!["a", "b", "t", "id", "x"]).prop_map(str::to_owned),
        value.clone(),
        0..4,
    );
    let dotted = prop::collection::btree_map(
        prop::sample::select(vec!["a.b", "t.id", "t.a"]).prop_map(str::to_owned),
        value,
        0..2,
    );
    prop_oneof![4 => plain, 1 => dotted].prop_map(|map| map.into_iter().collect()).boxed()
}

fn world() -> World {
    let entries = ["BOB", "3", "10.0.0.0/8", "2001:db8::1", "straße", "true"].map(str::to_owned);
    let mut sets = Sets::new();
    sets.insert_list("list", List::new(entries.iter().map(String::as_str)).0);
    let office = Schedule::new("Europe/Berlin").unwrap().in_hours(["09:00-13:30"]).unwrap();
    sets.insert_schedule("office", office);
    World { lists: BTreeMap::from([("list".to_owned(), entries.to_vec())]), sets }
}

/// Whether the verdicts of the parts make that of the whole, and a term that holds has seen something.
fn agrees(told: &Explanation) -> bool {
    let holds: Vec<bool> = told.parts.iter().map(|part| part.holds).collect();
    let seen = told.seen.iter().any(|seen| seen.values.len() + seen.more > 0);
    let follows = match told.kind {
        Kind::All => told.holds == holds.iter().all(|holds| *holds),
        Kind::Any | Kind::Elements => told.holds == holds.contains(&true),
        Kind::Not => [!told.holds] == *holds,
        Kind::Element => [told.holds] == *holds,
        Kind::Term | Kind::FreeText => holds.is_empty() && (seen || !told.holds),
    };
    follows && told.parts.iter().all(agrees)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_printed_reads_back_as_the_same_query(expr in nasty_query()) {
        let text = expr.to_string();
        match Query::parse(&text) {
            Ok(query) => {
                prop_assert_eq!(query.expr(), &expr, "{}", text);
                prop_assert_eq!(query.to_string(), text);
            }
            Err(mistakes) => prop_assert!(false, "{text}\n{mistakes:?}"),
        }
    }

    #[test]
    fn the_matcher_says_what_the_plain_reading_says(
        expr in query(),
        records in prop::collection::vec(record(), 1..6),
    ) {
        let world = world();
        let query = Query::parse(&expr.to_string()).unwrap();
        prop_assert_eq!(query.expr(), &expr);
        let mut layout = Layout::new();
        let matcher = query.compile(&mut layout, &world.sets).unwrap();
        for record in records {
            let expected = reference::holds(&expr, &record, None, &world);
            prop_assert_eq!(matcher.matches(&record.event(&layout)), expected, "{} on {:?}", expr, record);
        }
    }

    #[test]
    fn an_explanation_says_what_the_matcher_says(
        expr in query(),
        records in prop::collection::vec(record(), 1..6),
    ) {
        let world = world();
        let query = Query::parse(&expr.to_string()).unwrap();
        let mut layout = Layout::new();
        let matcher = query.compile(&mut layout, &world.sets).unwrap();
        let explainer = Explainer::new(&query, &mut layout, &world.sets).unwrap();
        for record in records {
            let event = record.event(&layout);
            let told = explainer.explain(&event);
            prop_assert_eq!(told.holds, matcher.matches(&event), "{} on {:?}", expr, record);
            prop_assert!(agrees(&told), "{expr} on {record:?}: {told:?}");
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic_or_point_outside(text in prop_oneof![
        "\\PC{0,40}",
        "[a-c:=<>!&|(){}\\[\\]\"\\\\/@$*?#, \n]{0,40}",
        "((and|or|not|to|null|a: b|a|:|\\(|\\)|\\{|\\}|\\[|\\]|\"|/|@x|\\$y|,|==|!=|&&) ?){0,12}",
    ]) {
        let aliases = super::Aliases::new();
        for parsed in [Query::parse(&text), Query::parse_interactive(&text, &aliases)] {
            match parsed {
                Ok(query) => prop_assert_eq!(Query::parse(&query.to_string()).unwrap(), query),
                Err(mistakes) => {
                    prop_assert!(!mistakes.is_empty());
                    for mistake in mistakes {
                        let span = mistake.span.unwrap();
                        prop_assert!(text.get(span.clone()).is_some(), "{span:?} {}", mistake.message);
                    }
                }
            }
        }
    }
}

//! What hostile texts and records cost: no query and no record may take the process with it.

use std::fmt::Write as _;

use hark::base::{Position, Timestamp};
use hark::event::decode::{Decoder, Limits};
use hark::event::{Event, Layout};
use hark::query::{Aliases, Query, Sets};

/// What is said of a query, as often as both dialects say it, and how many bytes that is.
fn said(query: &str) -> usize {
    let both = [Query::parse(query), Query::parse_interactive(query, &Aliases::new())];
    let found = both.into_iter().filter_map(Result::err).flatten();
    found
        .map(|mistake| {
            let span = mistake.span.clone().unwrap();
            assert!(query.get(span.clone()).is_some(), "{span:?} is no place of the query");
            mistake.message.len() + mistake.help.map_or(0, |help| help.len())
        })
        .sum()
}

fn meets(query: &str, record: &str) -> bool {
    let mut layout = Layout::new();
    let matcher = Query::parse(query).unwrap().compile(&mut layout, &Sets::new()).unwrap();
    let time = Timestamp::from_millis(0);
    let mut event = Event::empty(&layout, Position::new("t", 0, 1), time, "t".into());
    let decoder = Decoder::new(&layout, &[], Limits::default());
    decoder.decode(record.as_bytes(), &mut event).unwrap();
    matcher.matches(&event)
}

#[test]
fn mistakes_are_told_in_bounded_words_and_never_overflow_the_stack() {
    for (start, part, end) in [
        ("a: ", "not ", ""),
        ("a: ", "not ", "b"),
        ("", "not ", "a: b"),
        ("", "!", "a: b"),
        ("a: ", "(", ""),
        ("", "(", "a: b"),
        ("", "a: {", ""),
        ("", "a == {", "b: c"),
        ("a: ", "[", ""),
        ("", "a:[ ", ""),
        ("", "a:[ ", "]"),
        ("", "a:[x ", "]"),
        ("", "a in (", ")"),
        ("", "a in (x, ", ")"),
        ("", "lower(", ")"),
        ("", "f(x, ", ")"),
        ("a: (", "b, ", ")"),
        ("", "a: b, c, d: e ", ""),
        ("", "a|contains: [", "]"),
        ("", "a like ", "b"),
        ("", "exists ", "b"),
        ("a: x", ", x", ": y"),
        ("a: ", "\\a", ""),
        ("a: \"", "\\a", "\""),
        ("\"", "\\a", "\": x"),
        ("", "x\"", ""),
        ("", "a = ", ""),
        ("", "a:= ", "b"),
        ("", "a != b && ", ""),
        ("", "a: b, ", ""),
        ("", "word ", ""),
        ("a: (", "word ", ")"),
        ("", "a: \"b\" ", ""),
        ("", "a: /(/ ", ""),
        ("a: /", "(", "/"),
        ("", "a: @$ ", ""),
        ("", "$ ", ""),
        ("", ")", ""),
        ("", "a: > ", ""),
        ("", "and ", ""),
        ("", "a.", "b: c"),
        ("", "ß\\é ", ""),
        ("a: (b ", "or not ", ""),
        ("a > ", "(", ""),
    ] {
        let times = (60_000 - start.len()) / part.len();
        let query = format!("{start}{}{end}", part.repeat(times));
        let bytes = said(&query);
        assert!(bytes < 30_000_000, "{start}{part}…{end}: {bytes} bytes of messages");
    }
}

#[test]
fn a_query_that_is_never_true_in_many_ways_is_told_so_in_few_words() {
    let mut query = String::from("a: x");
    for n in 0..700 {
        write!(query, " and @timestamp > 2027-01-01 and @timestamp < 2026-01-01 and not b: {n}")
            .unwrap();
    }
    let found = Query::parse(&query).unwrap().check(&|_| None);
    assert!(!found.is_empty() && found.len() <= 1_400, "{}", found.len());
}

#[test]
fn one_long_key_above_many_short_ones_takes_no_more_than_the_record() {
    let mut record = format!("{{\"{}\":{{", "k".repeat(400_000));
    for n in 0..50_000 {
        write!(record, "\"{n}\":0,").unwrap();
    }
    record.push_str("\"end\":\"here\"}}");
    assert!(meets("\"HERE\"", &record));
}

#[test]
fn two_long_arrays_are_compared_in_time_in_proportion_to_their_length() {
    let array = |start: usize, end: &str| {
        let numbers: Vec<String> = (0..40_000).map(|n| format!("\"{}\"", start + n)).collect();
        format!("[{},{end}]", numbers.join(","))
    };
    let record =
        |end: &str| format!("{{\"a\":{},\"b\":{}}}", array(100_000, "7"), array(200_000, end));
    for query in ["raw.a: $raw.b", "raw.a == $raw.b"] {
        assert!(!meets(query, &record("8")), "{query}");
        assert!(meets(query, &record("\"7.0\"")), "{query}");
    }
}

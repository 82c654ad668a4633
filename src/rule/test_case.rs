//! `[[test]]`: the tests that a rule file carries (RULES §8), read and checked here, run elsewhere.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde_json::Value;

use crate::base::document::{Item, Table, Text};
use crate::base::keys::{KeySpec, Shape};
use crate::base::severity::WORDS;
use crate::base::{Diagnostic, Diagnostics, Severity, Timestamp, duration};
use crate::event::FieldName;

use super::fields::{self, Scope};
use super::{Context, syntax};

/// 2026-01-05T12:00:00Z, a Monday: the start of a test that names none.
pub const START: Timestamp = Timestamp::from_millis(1_767_614_400_000);
/// How often one entry of `events` may happen.
pub const TIMES_MAX: u64 = 100_000;

/// The keys of `[[test]]`.
pub(super) const KEYS: &[KeySpec] = &[
    KeySpec::required("name", Shape::Text, "What it claims."),
    KeySpec::optional(
        "start",
        Shape::Time,
        "2026-01-05T12:00:00Z",
        "The time that `at` counts from; the default is a Monday.",
    ),
    KeySpec::required("events", Shape::Tables(EVENT), "What happens, in order of arrival."),
    KeySpec::required(
        "expect",
        Shape::Tables(EXPECTED),
        "The alerts that must open, these and no others, by time of opening, then key.",
    ),
    KeySpec::optional(
        "lists",
        Shape::Map(&Shape::Texts),
        "those of the configuration",
        "Named lists as they are during the test.",
    ),
    KeySpec::optional(
        "tables",
        Shape::Map(&Shape::List(&Shape::Map(&Shape::Value))),
        "those of the configuration",
        "Lookup tables as they are during the test: rows from column to value.",
    ),
    KeySpec::optional(
        "cold_start",
        Shape::Boolean,
        "false",
        "Whether the rule itself must first have run for its whole period, as after a real start: the span of a leading absent step, or a spike's `within` + `baseline`. A spike's key always must: its first event has to come that long before the one that fires.",
    ),
    KeySpec::optional(
        "run_for",
        Shape::Duration,
        "until nothing can change",
        "How long the clock runs after the last event.",
    ),
];

/// The keys of one entry of `events`.
const EVENT: &[KeySpec] = &[
    KeySpec::optional(
        "sample",
        Shape::Like("^[A-Za-z0-9_-][A-Za-z0-9._-]*/[A-Za-z0-9_-][A-Za-z0-9._-]*$"),
        "",
        "A product's record, `opsknight/login_failed`, which goes through the mapping; this or `fields`.",
    ),
    KeySpec::optional(
        "fields",
        Shape::ByField(&Shape::Value),
        "",
        "Common fields as they are given; this or `sample`.",
    ),
    KeySpec::optional(
        "at",
        Shape::Like(OFFSET),
        "0s",
        "When it first happens, from `start`; `-15d` is before it.",
    ),
    KeySpec::optional("times", Shape::Count, "1", "How often it happens, at most 100,000."),
    KeySpec::optional("every", Shape::Duration, "0s", "How far apart these are; may be zero."),
    KeySpec::optional(
        "set",
        Shape::ByField(&Shape::Value),
        "",
        "Fields given other values; a text may use `{{ n }}`, counted from 1. `raw.*` is set before mapping.",
    ),
    KeySpec::optional("unset", Shape::Fields, "", "Fields taken away."),
];

/// The keys of one entry of `expect`: what is not given may be anything.
const EXPECTED: &[KeySpec] = &[
    KeySpec::optional("at", Shape::Like(OFFSET), "", "The opening, from `start`."),
    KeySpec::optional("key", Shape::ByField(&Shape::Value), "", "Values of the key."),
    KeySpec::optional("count", Shape::Whole, "", "The final `alert.count`."),
    KeySpec::optional("value", Shape::Value, "", "The final `alert.value`."),
    KeySpec::optional("severity", Shape::Word(WORDS), "", "The final severity."),
    KeySpec::optional("title", Shape::Text, "", "The final title."),
    KeySpec::optional("resolved_at", Shape::Like(OFFSET), "", "When it was over, from `start`."),
    KeySpec::optional(
        "status",
        Shape::Word(&["open", "resolved"]),
        "",
        "How it stands when the test ends.",
    ),
];

/// A time before or after the start.
const OFFSET: &str = "^-?([0-9]+(ms|d|h|m|s))+$";

/// One `[[test]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTest {
    /// What it claims.
    pub name: String,
    /// Where its name stands in the rule's file, in bytes.
    pub span: Range<usize>,
    /// The time that `at` counts from.
    pub start: Timestamp,
    /// What happens, in order of arrival.
    pub events: Vec<TestEvent>,
    /// Named lists as they are during the test.
    pub lists: BTreeMap<String, Vec<String>>,
    /// Lookup tables as they are during the test: rows by column.
    pub tables: BTreeMap<String, Vec<serde_json::Map<String, Value>>>,
    /// Whether the rule has to see its whole period first, as after a real start.
    pub cold_start: bool,
    /// How long the clock runs after the last event; `None`: until nothing can change.
    pub run_for: Option<Duration>,
    /// The alerts that must open, these and no others.
    pub expect: Vec<Expected>,
}

/// One entry of `events`.
#[derive(Debug, Clone, PartialEq)]
pub struct TestEvent {
    /// Where its fields come from.
    pub origin: Origin,
    /// When it first happens, from the test's start.
    pub at: Offset,
    /// How often it happens.
    pub times: u64,
    /// How far apart.
    pub every: Duration,
    /// Fields given other values; a text may use `{{ n }}`, from 1.
    pub set: BTreeMap<FieldName, Value>,
    /// Fields taken away.
    pub unset: Vec<FieldName>,
}

/// Where the fields of a test's event come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A product's record, `<mapping>/<name>`, which goes through the mapping.
    Sample(String),
    /// Common fields as they are given.
    Fields(BTreeMap<FieldName, Value>),
}

/// A time before or after the test's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offset {
    /// How far.
    pub distance: Duration,
    /// Before the start.
    pub before: bool,
}

/// One alert that must open; what is not given may be anything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expected {
    /// The opening.
    pub at: Option<Offset>,
    /// Values of the key.
    pub key: BTreeMap<FieldName, Value>,
    /// The final count.
    pub count: Option<u64>,
    /// The final value of the detector.
    pub value: Option<Value>,
    /// The final severity.
    pub severity: Option<Severity>,
    /// The final title.
    pub title: Option<String>,
    /// When it resolved.
    pub resolved_at: Option<Offset>,
    /// `open` or `resolved` at the end.
    pub status: Option<String>,
}

impl Offset {
    /// The moment, counted from `start`.
    pub fn from(self, start: Timestamp) -> Timestamp {
        if self.before { start - self.distance } else { start + self.distance }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (before, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        duration::parse(rest).map(|distance| Self { distance, before })
    }
}

/// Reads one `[[test]]`.
pub(super) fn read(
    mut table: Table<'_>,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> Option<RuleTest> {
    let name = table.required_text("name", found);
    let start = table.item("start").and_then(|item| start(&item, found));
    table.require("events", found);
    let events = table.tables("events", found);
    let events = events.into_iter().filter_map(|t| event(t, context, found)).collect();
    table.require("expect", found);
    let expect = table.tables("expect", found);
    let expect = expect.into_iter().map(|t| expected(t, context, found)).collect();
    let lists = table.table("lists", found).map(|t| lists(&t, found)).unwrap_or_default();
    let tables = table.table("tables", found).map(|t| tables(&t, found)).unwrap_or_default();
    let cold_start = table.boolean("cold_start", found).unwrap_or(false);
    let run_for = table.duration_or_zero("run_for", found).map(|d| d.value);
    table.finish(found);
    let name = name?;
    Some(RuleTest {
        span: name.span,
        name: name.value,
        start: start.unwrap_or(START),
        events,
        lists,
        tables,
        cold_start,
        run_for,
        expect,
    })
}

fn start(item: &Item<'_>, found: &mut Diagnostics) -> Option<Timestamp> {
    let text = item.date_time(found)?;
    let moment = syntax::moment(&text.value);
    if moment.is_none() {
        found.push(Diagnostic::error(
            "bad-time",
            text.span,
            format!("expected a time such as 2026-01-05T12:00:00Z, found `{}`", text.value),
        ));
    }
    moment
}

fn event(
    mut table: Table<'_>,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> Option<TestEvent> {
    let sample = table.text("sample", found);
    let given = table.table("fields", found);
    let origin = match (sample, given) {
        (Some(sample), None) => self::sample(&sample, found),
        (None, Some(given)) => Some(Origin::Fields(values(&given, context, found))),
        (sample, _) => {
            let message = if sample.is_some() {
                "expected `sample` or `fields`, found both"
            } else {
                "expected `sample` or `fields`, found neither"
            };
            // A wrong type of either has been reported already.
            if sample.is_some() || !(table.has("sample") || table.has("fields")) {
                found.push(Diagnostic::error("bad-test", table.span(), message));
            }
            None
        }
    };
    let at = table.text("at", found).and_then(|text| offset(&text, found)).unwrap_or_default();
    let times = table.count("times", found);
    let every = table.duration_or_zero("every", found).map(|d| d.value).unwrap_or_default();
    if let Some(times) = times.as_ref().filter(|times| times.value > TIMES_MAX) {
        found.push(Diagnostic::error(
            "out-of-range",
            times.span.clone(),
            format!("expected at most {TIMES_MAX} times, found `{}`", times.value),
        ));
    }
    let set = table.table("set", found).map(|t| values(&t, context, found)).unwrap_or_default();
    let unset = table.texts("unset", found).unwrap_or_default();
    let unset = unset.iter().filter_map(|t| fields::read(t, Scope::Test, context, found)).collect();
    table.finish(found);
    Some(TestEvent { origin: origin?, at, times: times.map_or(1, |t| t.value), every, set, unset })
}

fn sample(text: &Text, found: &mut Diagnostics) -> Option<Origin> {
    let plain = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
            && !part.starts_with('.')
    };
    match text.value.split_once('/') {
        Some((mapping, name)) if plain(mapping) && plain(name) => {
            Some(Origin::Sample(text.value.clone()))
        }
        _ => {
            found.push(Diagnostic::error(
                "bad-test",
                text.span.clone(),
                format!(
                    "expected a sample such as `opsknight/login_failed`, found `{}`",
                    text.value
                ),
            ));
            None
        }
    }
}

fn values(
    table: &Table<'_>,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> BTreeMap<FieldName, Value> {
    let map = fields::map(table, context, found);
    map.into_iter().map(|(field, item)| (field, item.json())).collect()
}

fn offset(text: &Text, found: &mut Diagnostics) -> Option<Offset> {
    match Offset::parse(&text.value) {
        Ok(offset) => Some(offset),
        Err(message) => {
            found.push(Diagnostic::error("bad-duration", text.span.clone(), message));
            None
        }
    }
}

fn expected(mut table: Table<'_>, context: &Context<'_>, found: &mut Diagnostics) -> Expected {
    let at = table.text("at", found).and_then(|text| offset(&text, found));
    let key = table.table("key", found).map(|t| values(&t, context, found)).unwrap_or_default();
    let count = table.integer("count", found).and_then(|n| u64::try_from(n.value).ok());
    let value = table.item("value").map(|item| item.json());
    let severity = table.text("severity", found).and_then(|text| syntax::severity(&text, found));
    let title = table.text("title", found).map(|text| text.value);
    let resolved_at = table.text("resolved_at", found).and_then(|text| offset(&text, found));
    let status = table.text("status", found);
    if let Some(status) = status.as_ref().filter(|s| !matches!(&*s.value, "open" | "resolved")) {
        found.push(Diagnostic::error(
            "bad-status",
            status.span.clone(),
            format!("expected one of open, resolved, found `{}`", status.value),
        ));
    }
    let status = status.map(|status| status.value);
    table.finish(found);
    Expected { at, key, count, value, severity, title, resolved_at, status }
}

fn lists(table: &Table<'_>, found: &mut Diagnostics) -> BTreeMap<String, Vec<String>> {
    let mut lists = BTreeMap::new();
    for key in table.keys() {
        let items = table.any(&key.value).and_then(|item| item.array(found)).unwrap_or_default();
        let values = items.iter().filter_map(|item| item.text(found)).map(|text| text.value);
        lists.insert(key.value, values.collect());
    }
    lists
}

fn tables(
    table: &Table<'_>,
    found: &mut Diagnostics,
) -> BTreeMap<String, Vec<serde_json::Map<String, Value>>> {
    let mut tables = BTreeMap::new();
    for key in table.keys() {
        let rows = table.any(&key.value).and_then(|item| item.array(found)).unwrap_or_default();
        let rows = rows.iter().filter_map(|row| {
            let columns = row.json().as_object().cloned();
            if columns.is_none() {
                row.wrong_type("a row such as { email = \"a@b.c\" }", found);
            }
            columns
        });
        let rows = rows.collect();
        tables.insert(key.value, rows);
    }
    tables
}

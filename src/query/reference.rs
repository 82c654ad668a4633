//! What a query means, said once more in the plainest way: over a map of common fields and a raw
//! record as `serde_json` reads it. Shares the tree with the matcher, and the order of numbers and
//! times with everybody; nothing else. Tests only.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;
use serde_json::Value;

use super::ast::{self, Bounds, Case, Expr, Limit, Literal, Test};
use super::pattern::{Part, Pattern};
use super::{Schedule, Sets};
use crate::base::{Position, Timestamp};
use crate::event::decode::{Decoder, Limits};
use crate::event::{Event, FieldName, Layout, Number, Scalar, Segment, Wanted};

/// An event before anything reads it.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) time: Timestamp,
    /// Values of common and `kafka.` fields by their dotted names.
    pub(super) common: BTreeMap<String, Vec<Value>>,
    /// The original record, an object.
    pub(super) raw: Value,
}

/// What a list holds and when a schedule holds, as plain values.
pub(super) struct World {
    pub(super) lists: BTreeMap<String, Vec<String>>,
    pub(super) sets: Sets,
}

impl Record {
    /// The event as decoding and mapping would make it.
    pub(super) fn event(&self, layout: &Layout) -> Event {
        let mut event = Event::empty(layout, Position::new("t", 0, 0), self.time, "m".into());
        for (slot, wanted) in layout.iter() {
            let Wanted::Values(name) = wanted else { continue };
            for (common, values) in &self.common {
                if name.matches(common) {
                    for value in values {
                        event.push(slot, Scalar::from_json(value).unwrap());
                    }
                }
            }
        }
        let decoder = Decoder::new(layout, &[], Limits::default());
        decoder.decode(self.raw.to_string().as_bytes(), &mut event).unwrap();
        event
    }
}

/// Whether the record, or inside braces the element, meets the query.
pub(super) fn holds(expr: &Expr, record: &Record, element: Option<&Value>, world: &World) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().all(|part| holds(part, record, element, world)),
        Expr::Or(parts) => parts.iter().any(|part| holds(part, record, element, world)),
        Expr::Not(inner) => !holds(inner, record, element, world),
        Expr::FreeText(free) => {
            let regex = Regex::new(&format!("(?i){}", regex::escape(&free.text))).unwrap();
            let nodes = nodes(&record.raw);
            nodes.iter().any(|(_, node)| node.as_str().is_some_and(|text| regex.is_match(text)))
        }
        Expr::Term(term) => {
            let is_time = element.is_none() && ast::is_time(&term.field);
            let found = found(&term.field, record, element);
            let values = || found.iter().filter(|v| !v.is_object());
            match &term.test {
                Test::Exists if term.field.is_pattern() => values().next().is_some(),
                Test::Exists => {
                    let (whole, path) = match (element, term.field.raw_path()) {
                        (Some(element), _) => (element, term.field.segments()),
                        (None, Some(path)) => (&record.raw, path),
                        (None, None) => return !found.is_empty(),
                    };
                    !found.is_empty()
                        || dotted_above(whole).iter().any(|way| leads(path, way, true))
                }
                Test::Element(inner) => {
                    found.iter().any(|element| holds(inner, record, Some(element), world))
                }
                Test::In(name) if is_time => {
                    let schedule: &Schedule = world.sets.schedule(name).unwrap();
                    schedule.contains(record.time, None)
                }
                Test::In(name) => values().any(|v| in_list(v, &world.lists[name.as_ref()])),
                Test::Same(other, case) => {
                    let others: Vec<Value> = self::found(other, record, None)
                        .into_iter()
                        .filter(|v| !v.is_object())
                        .collect();
                    values().any(|value| others.iter().any(|other| same(value, other, *case)))
                }
                Test::Equals(Literal::Text(text), _) if is_time => {
                    Timestamp::parse(text) == Some(record.time)
                }
                test => values().any(|value| meets(value, test)),
            }
        }
    }
}

fn meets(value: &Value, test: &Test) -> bool {
    match test {
        Test::Equals(Literal::Text(text), case) => match value {
            Value::Number(_) => Number::parse(text).is_some_and(|n| reads_as(value, n)),
            value => texts_equal(&text_of(value), text, *case),
        },
        Test::Equals(Literal::Number(number), _) => reads_as(value, *number),
        Test::Like(pattern, case) => wildcard(pattern, *case).is_match(&text_of(value)),
        Test::Address(address) => address_of(value) == Some(*address),
        Test::Network(network) => {
            in_network(value, network.text())
                || value.as_str().is_some_and(|v| texts_equal(v, network.text(), Case::Ignored))
        }
        Test::Matches(regex) => {
            let flag = if regex.ignores_case() { "(?i)" } else { "" };
            Regex::new(&format!("{flag}(?:{})", regex.source())).unwrap().is_match(&text_of(value))
        }
        Test::Within(bounds) => within(value, bounds),
        Test::Exists | Test::In(_) | Test::Same(..) | Test::Element(_) => unreachable!(),
    }
}

fn within(value: &Value, Bounds { lower, upper }: &Bounds) -> bool {
    let order = |limit: Limit| match limit {
        Limit::Number(limit) => match value {
            Value::Number(number) => Some(Number::from_json(number).unwrap().compare(limit)),
            Value::String(text) => Number::parse(text).map(|number| number.compare(limit)),
            _ => None,
        },
        Limit::Time(limit) => {
            value.as_str().and_then(Timestamp::parse).map(|time| time.cmp(&limit))
        }
    };
    lower.is_none_or(|bound| {
        order(bound.at).is_some_and(|o| if bound.inclusive { o.is_ge() } else { o.is_gt() })
    }) && upper.is_none_or(|bound| {
        order(bound.at).is_some_and(|o| if bound.inclusive { o.is_le() } else { o.is_lt() })
    })
}

fn same(a: &Value, b: &Value, case: Case) -> bool {
    let addresses =
        case == Case::Ignored && address_of(a).is_some() && address_of(a) == address_of(b);
    let number = |v: &Value| v.as_number().and_then(Number::from_json);
    let numbers = match (number(a), number(b)) {
        (Some(number), _) => reads_as(b, number),
        (None, Some(number)) => reads_as(a, number),
        (None, None) => false,
    };
    addresses || numbers || texts_equal(&text_of(a), &text_of(b), case)
}

fn in_list(value: &Value, entries: &[String]) -> bool {
    entries.iter().any(|entry| {
        let number = Number::parse(entry).filter(|_| value.is_number());
        number.is_some_and(|number| reads_as(value, number))
            || (!value.is_number() && texts_equal(&text_of(value), entry, Case::Ignored))
            || (address_of(value).is_some()
                && address_of(value) == address_of(&entry.as_str().into()))
            || in_network(value, entry)
    })
}

fn reads_as(value: &Value, number: Number) -> bool {
    let own = match value {
        Value::Number(own) => Number::from_json(own),
        Value::String(text) => Number::parse(text),
        _ => None,
    };
    own.is_some_and(|own| own.compare(number).is_eq())
}

fn text_of(value: &Value) -> String {
    Scalar::from_json(value).unwrap().to_string()
}

fn texts_equal(a: &str, b: &str, case: Case) -> bool {
    match case {
        Case::Exact => a == b,
        Case::Ignored => {
            Regex::new(&format!("(?is)\\A{}\\z", regex::escape(b))).unwrap().is_match(a)
        }
    }
}

fn wildcard(pattern: &Pattern, case: Case) -> Regex {
    let source: String = pattern
        .parts()
        .iter()
        .map(|part| match part {
            Part::Any => ".*".to_owned(),
            Part::One => ".".to_owned(),
            Part::Char(c) => regex::escape(&c.to_string()),
        })
        .collect();
    let flags = if case == Case::Ignored { "is" } else { "s" };
    Regex::new(&format!("(?{flags})\\A{source}\\z")).unwrap()
}

fn address_of(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn in_network(value: &Value, network: &str) -> bool {
    let (Some(address), Ok(network)) = (address_of(value), network.parse::<IpNet>()) else {
        return false;
    };
    match (address, network) {
        (IpAddr::V4(address), IpNet::V6(network)) => {
            network.prefix_len() >= 96 && network.contains(&address.to_ipv6_mapped())
        }
        (address, network) => network.contains(&address),
    }
}

/// A step into a record.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

/// Everything in a record that is neither null nor an array, with the way to it.
fn nodes(value: &Value) -> Vec<(Vec<Step>, &Value)> {
    let below = |first: Vec<Step>, child| {
        nodes(child).into_iter().map(move |(rest, node)| ([first.clone(), rest].concat(), node))
    };
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(n, item)| below(vec![Step::Index(n)], item))
            .collect(),
        Value::Object(entries) => {
            let steps = |key: &str| key.split('.').map(|k| Step::Key(k.to_owned())).collect();
            let inner = entries.iter().flat_map(|(key, child)| below(steps(key), child));
            [(Vec::new(), value)].into_iter().chain(inner).collect()
        }
        scalar => vec![(Vec::new(), scalar)],
    }
}

/// The ways to the objects that only dots in keys tell of: `{"a.b": null}` has one at `a`.
fn dotted_above(value: &Value) -> Vec<Vec<Step>> {
    let below = |first: Vec<Step>, child| {
        dotted_above(child).into_iter().map(move |rest| [first.clone(), rest].concat())
    };
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(n, item)| below(vec![Step::Index(n)], item))
            .collect(),
        Value::Object(entries) => {
            let mut ways = Vec::new();
            for (key, child) in entries {
                let steps: Vec<Step> = key.split('.').map(|k| Step::Key(k.to_owned())).collect();
                ways.extend((1..steps.len()).map(|n| steps[..n].to_vec()));
                ways.extend(below(steps, child));
            }
            ways
        }
        _ => Vec::new(),
    }
}

/// Whether a path names the place at the end of `steps`; `fresh`: the last step was one of the path.
fn leads(path: &[Segment], steps: &[Step], fresh: bool) -> bool {
    match (path, steps) {
        ([], rest) => rest.iter().all(|step| matches!(step, Step::Index(_))),
        ([Segment::Key(own), path @ ..], [Step::Key(key), steps @ ..]) => {
            own.as_ref() == key && leads(path, steps, true)
        }
        ([Segment::Index(own), path @ ..], [Step::Index(index), steps @ ..]) => {
            fresh && *own as usize == *index && leads(path, steps, true)
        }
        ([Segment::Key(_), ..], [Step::Index(_), steps @ ..]) => leads(path, steps, false),
        _ => false,
    }
}

fn dotted(steps: &[Step]) -> String {
    let keys = steps.iter().filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    keys.collect::<Vec<_>>().join(".")
}

/// Everything a field names: scalars, and objects where it names one.
fn found(field: &FieldName, record: &Record, element: Option<&Value>) -> Vec<Value> {
    if let Some(element) = element {
        let nodes = nodes(element).into_iter();
        return if field.is_pattern() {
            let met = nodes.filter(|(way, v)| !v.is_object() && field.matches(&dotted(way)));
            met.map(|(_, v)| v.clone()).collect()
        } else {
            nodes
                .filter(|(way, _)| leads(field.segments(), way, true))
                .map(|(_, v)| v.clone())
                .collect()
        };
    }
    if ast::is_time(field) {
        return vec![record.time.to_string().into()];
    }
    let raw = nodes(&record.raw).into_iter();
    if field.is_pattern() {
        let common = record.common.iter().filter(|(name, _)| field.matches(name));
        let raw =
            raw.filter(|(way, v)| !v.is_object() && field.matches(&format!("raw.{}", dotted(way))));
        return common
            .flat_map(|(_, values)| values.clone())
            .chain(raw.map(|(_, v)| v.clone()))
            .collect();
    }
    match field.raw_path() {
        Some(path) => {
            raw.filter(|(way, _)| leads(path, way, true)).map(|(_, v)| v.clone()).collect()
        }
        None => record.common.get(&field.dotted()).cloned().unwrap_or_default(),
    }
}

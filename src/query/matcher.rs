//! A compiled query at work: looks at one event, computes nothing that could be computed before.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use super::ast::{Bounds, Case, Limit};
use super::common::{Common, READY_FROM};
use super::fold;
use super::list::List;
use super::net::{self, Network};
use super::pattern::Glob;
use super::regex::RegexTest;
use super::schedule::Schedule;
use crate::base::{Live, Timestamp};
use crate::event::{Event, FieldId, FieldName, Number, Scalar, Segment};

/// A compiled query.
#[derive(Debug)]
pub struct Matcher {
    root: Node,
}

impl Matcher {
    pub(super) fn new(root: Node) -> Self {
        Self { root }
    }

    /// The condition as a whole.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// Whether the event meets the query.
    pub fn matches(&self, event: &Event) -> bool {
        self.root.holds(&Scope { event, element: None, ready: &RefCell::default() })
    }
}

/// Whether some value of one field is equal to some value of another, as in `f: $other`.
pub fn have_common(values: &[Scalar], others: &[Scalar], case: Case) -> bool {
    let mut all = values.iter().map(ValueRef::of);
    if others.len() >= READY_FROM {
        let common = Common::new(others, case);
        return all.any(|value| value.is_among(&common, others, case));
    }
    all.any(|value| others.iter().any(|other| value.is_same(ValueRef::of(other), case)))
}

/// What is looked at: an event, and inside braces one element of it.
pub(super) struct Scope<'e> {
    pub(super) event: &'e Event,
    pub(super) element: Option<&'e Value>,
    /// Fields on the right that have many values, made ready when they are first asked for.
    pub(super) ready: &'e RefCell<Vec<(FieldId, Case, Common)>>,
}

/// A condition.
#[derive(Debug)]
pub(super) enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Not(Box<Node>),
    /// Some value is there.
    Exists(Source),
    /// Some value meets the test.
    Value(Source, ValueTest),
    /// The event's time lies in the schedule; the slot names the event's own zone.
    Schedule(Arc<Schedule>, Option<FieldId>),
    /// Some element meets the condition.
    Element(Source, Box<Node>),
}

/// Where values come from.
#[derive(Debug)]
pub(super) enum Source {
    /// A slot of the event.
    Slot(FieldId),
    /// The event's time.
    Time,
    /// A path from the element.
    Path(Box<[Segment]>),
    /// Every path from the element that the name meets.
    Pattern(FieldName),
}

/// What is asked of one value.
#[derive(Debug)]
pub(super) enum ValueTest {
    Text(TextTest),
    Number(Number),
    /// The literal of an equality with `@timestamp`, as a time.
    Time(Option<Timestamp>),
    Like(Glob),
    Matches(RegexTest),
    Within(Bounds),
    Address(IpAddr),
    Network(Network),
    In(Live<List>),
    /// Always from the event, also inside braces.
    Same(Source, Case),
}

/// Equality with a text.
#[derive(Debug)]
pub(super) struct TextTest {
    /// Folded when case is ignored.
    text: Box<str>,
    ascii: bool,
    case: Case,
    /// The number that the text reads as, for numbers of the record.
    number: Option<Number>,
}

/// One value, borrowed from wherever it stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum ValueRef<'v> {
    Bool(bool),
    Number(Number),
    Text(&'v str),
    Time(Timestamp),
}

impl Node {
    pub(super) fn holds(&self, scope: &Scope<'_>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.holds(scope)),
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(scope)),
            Self::Not(node) => !node.holds(scope),
            Self::Exists(source) => scope.exists(source),
            Self::Value(source, test) => scope.any(source, |value| test.holds(value, scope)),
            Self::Schedule(schedule, zone) => {
                let zone = zone.and_then(|slot| scope.event.first(slot)).and_then(Scalar::as_text);
                schedule.contains(scope.event.time, zone)
            }
            Self::Element(source, inner) => scope.any_element(source, |element| {
                inner.holds(&Scope {
                    event: scope.event,
                    element: Some(element),
                    ready: scope.ready,
                })
            }),
        }
    }
}

impl Scope<'_> {
    fn exists(&self, source: &Source) -> bool {
        match source {
            Source::Slot(slot) => !self.event.values(*slot).is_empty(),
            Source::Time => true,
            Source::Path(path) => self.element.is_some_and(|e| is_at(e, path)),
            Source::Pattern(name) => self.element.is_some_and(|element| {
                any_below(element, &mut String::new(), &mut |path, _| name.matches(path))
            }),
        }
    }

    /// Whether `test` holds for some value.
    pub(super) fn any(&self, source: &Source, mut test: impl FnMut(ValueRef<'_>) -> bool) -> bool {
        let mut json = |value: &Value| ValueRef::of_json(value).is_some_and(&mut test);
        match source {
            Source::Slot(slot) => self.event.values(*slot).iter().any(|v| test(ValueRef::of(v))),
            Source::Time => test(ValueRef::Time(self.event.time)),
            Source::Path(path) => self.element.is_some_and(|e| any_at(e, path, &mut json)),
            Source::Pattern(name) => self.element.is_some_and(|element| {
                any_below(element, &mut String::new(), &mut |path, value| {
                    name.matches(path) && json(value)
                })
            }),
        }
    }

    /// Whether one of many values of a field is equal to `value`.
    fn has(&self, slot: FieldId, case: Case, value: ValueRef<'_>) -> bool {
        let mut ready = self.ready.borrow_mut();
        let known = ready.iter().position(|(own, of, _)| (*own, *of) == (slot, case));
        let known = known.unwrap_or_else(|| {
            ready.push((slot, case, Common::new(self.event.values(slot), case)));
            ready.len() - 1
        });
        ready
            .get(known)
            .is_some_and(|(_, _, common)| value.is_among(common, self.event.values(slot), case))
    }

    pub(super) fn any_element(
        &self,
        source: &Source,
        mut test: impl FnMut(&Value) -> bool,
    ) -> bool {
        match source {
            Source::Slot(slot) => self.event.elements(*slot).iter().any(test),
            Source::Path(path) => self.element.is_some_and(|e| any_at(e, path, &mut test)),
            // The grammar has no such braces.
            Source::Time | Source::Pattern(_) => false,
        }
    }
}

/// Whether `test` holds for some value at `path`: arrays are walked through, nulls left out, dots in
/// keys are path steps.
fn any_at(value: &Value, path: &[Segment], test: &mut dyn FnMut(&Value) -> bool) -> bool {
    match (path.split_first(), value) {
        (None, Value::Null) => false,
        (None, Value::Array(items)) => items.iter().any(|item| any_at(item, path, test)),
        (None, one) => test(one),
        (Some((Segment::Key(_), _)), Value::Array(items)) => {
            items.iter().any(|item| any_at(item, path, test))
        }
        (Some((Segment::Key(_), _)), Value::Object(entries)) => entries
            .iter()
            .any(|(key, below)| after(path, key).is_some_and(|rest| any_at(below, rest, test))),
        (Some((Segment::Index(index), rest)), Value::Array(items)) => {
            items.get(*index as usize).is_some_and(|item| any_at(item, rest, test))
        }
        _ => false,
    }
}

/// Whether there is anything at `path` but null and empty arrays; `{"a.b": null}` is an object at `a`.
fn is_at(value: &Value, path: &[Segment]) -> bool {
    match (path.split_first(), value) {
        (None, Value::Null) => false,
        (Some((Segment::Key(_), _)) | None, Value::Array(items)) => {
            items.iter().any(|item| is_at(item, path))
        }
        (None, _) => true,
        (Some((Segment::Key(_), _)), Value::Object(entries)) => {
            entries.iter().any(|(key, below)| {
                after(path, key).map_or_else(|| ends_inside(path, key), |rest| is_at(below, rest))
            })
        }
        (Some((Segment::Index(index), rest)), Value::Array(items)) => {
            items.get(*index as usize).is_some_and(|item| is_at(item, rest))
        }
        _ => false,
    }
}

/// Whether a path is the beginning of a key with dots.
fn ends_inside(path: &[Segment], key: &str) -> bool {
    let mut steps = key.split('.');
    let begins = path.iter().all(|segment| match segment {
        Segment::Key(own) => steps.next() == Some(own),
        Segment::Index(_) => false,
    });
    begins && steps.next().is_some()
}

/// What is left of a path after a key, which may be several steps.
fn after<'p>(path: &'p [Segment], key: &str) -> Option<&'p [Segment]> {
    key.split('.').try_fold(path, |path, step| match path.split_first() {
        Some((Segment::Key(own), rest)) if own.as_ref() == step => Some(rest),
        _ => None,
    })
}

/// Whether `test` holds for some scalar with its dotted path.
fn any_below(value: &Value, path: &mut String, test: &mut dyn FnMut(&str, &Value) -> bool) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => items.iter().any(|item| any_below(item, path, test)),
        Value::Object(entries) => entries.iter().any(|(key, below)| {
            let length = path.len();
            if length > 0 {
                path.push('.');
            }
            path.push_str(key);
            let found = any_below(below, path, test);
            path.truncate(length);
            found
        }),
        scalar => test(path, scalar),
    }
}

impl ValueTest {
    pub(super) fn holds(&self, value: ValueRef<'_>, scope: &Scope<'_>) -> bool {
        match self {
            Self::Text(test) => test.holds(value),
            Self::Number(number) => value.number().is_some_and(|own| own.compare(*number).is_eq()),
            Self::Time(time) => value.time() == *time,
            Self::Like(glob) => value.with_text(|text| glob.matches(text)),
            Self::Matches(regex) => value.with_text(|text| regex.is_match(text)),
            Self::Within(bounds) => value.is_within(bounds),
            Self::Address(address) => value.address() == Some(*address),
            Self::Network(network) => match value {
                ValueRef::Text(text) => {
                    net::address(text).is_some_and(|address| network.contains(address))
                        || fold::equal(text, network.text())
                }
                _ => false,
            },
            Self::In(list) => list.with(|list| match value {
                ValueRef::Number(number) => list.contains_number(number),
                value => value.with_text(|text| list.contains_text(text)),
            }),
            // Inside braces, too, `$field` is a field of the event.
            Self::Same(other, case) => match other {
                Source::Slot(slot) if scope.event.values(*slot).len() >= READY_FROM => {
                    scope.has(*slot, *case, value)
                }
                other => scope.any(other, |other| value.is_same(other, *case)),
            },
        }
    }
}

impl TextTest {
    pub(super) fn new(text: &str, case: Case) -> Self {
        let own = match case {
            Case::Ignored => fold::text(text).into(),
            Case::Exact => text.into(),
        };
        Self { text: own, ascii: text.is_ascii(), case, number: Number::parse(text) }
    }

    fn holds(&self, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::Text(text) => self.is_text(text),
            ValueRef::Bool(value) => self.is_text(bool_text(value)),
            ValueRef::Number(number) => self.number.is_some_and(|own| own.compare(number).is_eq()),
            ValueRef::Time(time) => self.is_text(&time.to_string()),
        }
    }

    fn is_text(&self, text: &str) -> bool {
        match self.case {
            Case::Exact => self.text.as_ref() == text,
            // An ASCII text has as many characters as bytes, and no text has more: of the longer
            // ones only those with other characters (the Kelvin sign is a `k`, too) can be equal.
            Case::Ignored if self.ascii => match text.len().cmp(&self.text.len()) {
                Ordering::Less => false,
                Ordering::Equal => self.text.eq_ignore_ascii_case(text),
                Ordering::Greater => !text.is_ascii() && self.is_folded(text),
            },
            Case::Ignored => self.is_folded(text),
        }
    }

    fn is_folded(&self, text: &str) -> bool {
        self.text.chars().eq(text.chars().map(fold::char))
    }
}

const fn bool_text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

impl<'v> ValueRef<'v> {
    pub(super) fn of(scalar: &'v Scalar) -> Self {
        match scalar {
            Scalar::Bool(value) => Self::Bool(*value),
            Scalar::Number(number) => Self::Number(*number),
            Scalar::Text(text) => Self::Text(text),
        }
    }

    /// `None` for objects, which are no values.
    fn of_json(value: &'v Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Number(number) => Number::from_json(number).map(Self::Number),
            Value::String(text) => Some(Self::Text(text)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The value as it is shown.
    pub(super) fn to_json(self) -> Value {
        match self {
            Self::Bool(value) => Value::from(value),
            Self::Number(number) => Scalar::Number(number).to_json(),
            Self::Text(text) => Value::from(text),
            Self::Time(time) => Value::from(time.to_string()),
        }
    }

    /// The value's text; only texts themselves are there without being written first.
    fn with_text(self, test: impl FnOnce(&str) -> bool) -> bool {
        match self {
            Self::Text(text) => test(text),
            Self::Bool(value) => test(bool_text(value)),
            Self::Number(number) => test(&number.to_string()),
            Self::Time(time) => test(&time.to_string()),
        }
    }

    /// The number it is, or reads as.
    fn number(self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => Number::parse(text),
            Self::Bool(_) | Self::Time(_) => None,
        }
    }

    /// The time it is, or reads as.
    fn time(self) -> Option<Timestamp> {
        match self {
            Self::Time(time) => Some(time),
            Self::Text(text) => Timestamp::parse(text),
            Self::Bool(_) | Self::Number(_) => None,
        }
    }

    fn address(self) -> Option<IpAddr> {
        match self {
            Self::Text(text) => net::address(text),
            Self::Bool(_) | Self::Number(_) | Self::Time(_) => None,
        }
    }

    fn is_within(self, bounds: &Bounds) -> bool {
        let of_time = [bounds.lower, bounds.upper]
            .iter()
            .any(|bound| matches!(bound.map(|b| b.at), Some(Limit::Time(_))));
        if of_time {
            self.time().is_some_and(|time| {
                meets(bounds, |limit| match limit {
                    Limit::Time(at) => Some(time.cmp(&at)),
                    Limit::Number(_) => None,
                })
            })
        } else {
            self.number().is_some_and(|number| {
                meets(bounds, |limit| match limit {
                    Limit::Number(at) => Some(number.compare(at)),
                    Limit::Time(_) => None,
                })
            })
        }
    }

    /// Whether it is equal to one of `values`, which `common` has made ready.
    fn is_among(self, common: &Common, values: &[Scalar], case: Case) -> bool {
        match self {
            Self::Text(text) => common.has_text(text),
            Self::Bool(value) => common.has_text(bool_text(value)),
            Self::Number(number) => common.has_number(number),
            // There is but one time on the left.
            Self::Time(_) => {
                values.iter().any(|own| ValueRef::is_same(self, ValueRef::of(own), case))
            }
        }
    }

    /// Equal as two fields are.
    fn is_same(self, other: Self, case: Case) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => match case {
                Case::Exact => a == b,
                Case::Ignored => {
                    fold::equal(a, b) || net::address(a).is_some_and(|a| net::address(b) == Some(a))
                }
            },
            (Self::Time(time), other) | (other, Self::Time(time)) => other.time() == Some(time),
            (Self::Number(number), other) | (other, Self::Number(number)) => {
                other.number().is_some_and(|other| other.compare(number).is_eq())
            }
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Bool(value), Self::Text(text)) | (Self::Text(text), Self::Bool(value)) => {
                match case {
                    Case::Exact => text == bool_text(value),
                    Case::Ignored => fold::equal(text, bool_text(value)),
                }
            }
        }
    }
}

/// Whether both bounds hold, given how the value compares to a limit.
fn meets(bounds: &Bounds, order: impl Fn(Limit) -> Option<Ordering>) -> bool {
    let lower = bounds.lower.is_none_or(|bound| {
        order(bound.at).is_some_and(|order| order.is_gt() || (bound.inclusive && order.is_eq()))
    });
    let upper = bounds.upper.is_none_or(|bound| {
        order(bound.at).is_some_and(|order| order.is_lt() || (bound.inclusive && order.is_eq()))
    });
    lower && upper
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_among_many_exactly_when_it_is_equal_to_one_of_them() {
        let texts = ["a", "A", "ſ", "S", "true", "TRUE", "3", "3.0", "03", "3 ", "-0", "", "::1"];
        let more = ["0:0::1", "1.2.3.4", "::ffff:1.2.3.4", "1.2.3.4/32", "9007199254740993", "ß"];
        let numbers = [Number::Int(3), Number::Float(3.0), Number::Float(0.5), Number::Int(0)];
        let exact = [Number::Int(9_007_199_254_740_993), Number::Float(9_007_199_254_740_992.0)];
        let texts = texts.into_iter().chain(more).map(Scalar::from);
        let numbers = numbers.into_iter().chain(exact).map(Scalar::Number);
        let all: Vec<_> = texts.chain(numbers).chain([true, false].map(Scalar::Bool)).collect();
        for case in [Case::Ignored, Case::Exact] {
            for other in &all {
                let common = Common::new(std::slice::from_ref(other), case);
                for value in &all {
                    let among = ValueRef::of(value).is_among(&common, &[], case);
                    let same = ValueRef::of(value).is_same(ValueRef::of(other), case);
                    assert_eq!(among, same, "{value:?} {other:?} {case:?}");
                    let one = std::slice::from_ref(value);
                    let many = vec![other.clone(); READY_FROM];
                    assert_eq!(have_common(one, std::slice::from_ref(other), case), same);
                    assert_eq!(have_common(one, &many, case), same);
                }
            }
        }
    }
}

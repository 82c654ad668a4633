//! Why an event meets a query, or does not: the verdict of every part, with the values that it saw.
//!
//! It says nothing that the matcher does not say: every verdict here is that of the compiled node
//! itself, walked beside the tree that it was compiled from. For tuning a rule and for the console;
//! the engine never asks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;
use serde_json::Value;

use super::ast::{self, Expr, Term, Test};
use super::matcher::{Node, Scope, Source, ValueRef};
use super::{Matcher, Query, Sets};
use crate::base::Diagnostic;
use crate::event::{Event, FieldId, FieldName, Layout};

/// The most values that are shown of one field; those that meet the test come first if there are more.
pub const VALUES_SHOWN: usize = 10;

/// The most elements that are shown of an array that braces look into.
pub const ELEMENTS_SHOWN: usize = 3;

/// The most characters that are shown of one value.
pub const VALUE_CHARS: usize = 200;

/// A compiled query that can say why.
#[derive(Debug)]
pub struct Explainer {
    expr: Expr,
    matcher: Matcher,
    /// Where to find what is shown of a field of the event.
    slots: BTreeMap<FieldName, FieldId>,
}

/// What a part of a query says of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What stands there, in canonical form.
    pub query: String,
    /// Where it stands in the text that it was parsed from, in bytes.
    pub span: Range<usize>,
    /// How its verdict comes about.
    pub kind: Kind,
    /// The verdict.
    pub holds: bool,
    /// The fields that were looked at, with their values; only of terms and free text.
    pub seen: Vec<Seen>,
    /// Whatever it consists of, in the order of the query.
    pub parts: Vec<Explanation>,
}

/// How a verdict comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// All parts hold.
    All,
    /// Some part holds.
    Any,
    /// The one part does not hold.
    Not,
    /// Some value of the field meets the test.
    Term,
    /// Some element of the array meets everything in the braces; the parts are elements.
    Elements,
    /// One element of an array; its one part is what stands in the braces.
    Element,
    /// Some string of the original record contains the text.
    FreeText,
}

/// A field and its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Its name; inside braces a path from the element; `*` for free text.
    pub field: String,
    /// Its values; none = missing. At most [`VALUES_SHOWN`].
    pub values: Vec<Value>,
    /// How many more there are.
    pub more: usize,
}

impl Explainer {
    /// Compiles the query; unknown lists and schedules are reported. The layout then has a slot for
    /// everything that it reads or shows.
    pub fn new(query: &Query, layout: &mut Layout, sets: &Sets) -> Result<Self, Vec<Diagnostic>> {
        let matcher = query.compile(layout, sets)?;
        let mut slots: BTreeMap<FieldName, FieldId> = BTreeMap::new();
        for field in query.fields() {
            let slot = layout.field(&field);
            slots.insert(field, slot);
        }
        for set in query.sets() {
            let zone = sets.schedule(set).and_then(|schedule| schedule.zone_field());
            if let Some(zone) = zone {
                slots.insert(zone.clone(), layout.field(zone));
            }
        }
        Ok(Self { expr: query.expr().clone(), matcher, slots })
    }

    /// Whether the event meets the query, and why.
    pub fn explain(&self, event: &Event) -> Explanation {
        let ready = RefCell::default();
        let scope = Scope { event, element: None, ready: &ready };
        self.part(&self.expr, self.matcher.root(), &scope)
    }

    fn part(&self, expr: &Expr, node: &Node, scope: &Scope<'_>) -> Explanation {
        let holds = node.holds(scope);
        let mut found = Explanation {
            query: expr.to_string(),
            span: 0..0,
            kind: Kind::Term,
            holds,
            seen: Vec::new(),
            parts: Vec::new(),
        };
        match (expr, node) {
            (Expr::And(exprs), Node::All(nodes)) => {
                found.kind = Kind::All;
                found.parts = self.parts(exprs, nodes, scope);
            }
            (Expr::Or(exprs), Node::Any(nodes)) => {
                found.kind = Kind::Any;
                found.parts = self.parts(exprs, nodes, scope);
            }
            (Expr::Not(expr), Node::Not(node)) => {
                found.kind = Kind::Not;
                found.parts = vec![self.part(expr, node, scope)];
            }
            (Expr::Term(term), node) => {
                found.span = term.field_span.0.start..term.test_span.0.end;
                match (&term.test, node) {
                    (Test::Element(expr), Node::Element(source, inner)) => {
                        found.kind = Kind::Elements;
                        found.seen = vec![elements_seen(term, source, scope)];
                        found.parts = self.elements(expr, source, inner, scope);
                    }
                    _ => found.seen = self.seen(term, node, scope),
                }
            }
            (Expr::FreeText(free), Node::Value(source, _)) => {
                found.kind = Kind::FreeText;
                found.span = free.span.0.clone();
                // Of a whole record only what contains the text says anything.
                let values = values(source, node, scope).met;
                let seen = Seen { field: "*".to_owned(), values, more: 0 };
                found.seen = vec![seen];
            }
            // What was compiled from this tree has its shape.
            _ => {}
        }
        if let (Some(first), Some(last)) = (found.parts.first(), found.parts.last())
            && found.span.is_empty()
        {
            found.span = first.span.start..last.span.end.max(first.span.start);
        }
        found
    }

    fn parts(&self, exprs: &[Expr], nodes: &[Node], scope: &Scope<'_>) -> Vec<Explanation> {
        exprs.iter().zip(nodes).map(|(expr, node)| self.part(expr, node, scope)).collect()
    }

    /// What each element says of the braces: the first that meets them, else the first few.
    fn elements(
        &self,
        expr: &Expr,
        source: &Source,
        inner: &Node,
        scope: &Scope<'_>,
    ) -> Vec<Explanation> {
        let mut all = Vec::new();
        scope.any_element(source, |element| {
            let below = Scope { event: scope.event, element: Some(element), ready: scope.ready };
            let part = self.part(expr, inner, &below);
            let (holds, span) = (part.holds, part.span.clone());
            if holds {
                all.clear();
            }
            if all.len() < ELEMENTS_SHOWN {
                let query = shortened(&element.to_string());
                let (kind, seen) = (Kind::Element, Vec::new());
                all.push(Explanation { query, span, kind, holds, seen, parts: vec![part] });
            }
            holds
        });
        all
    }

    /// The fields that a term looks at.
    fn seen(&self, term: &Term, node: &Node, scope: &Scope<'_>) -> Vec<Seen> {
        let field = term.field.to_string();
        let mut seen = Vec::new();
        match node {
            Node::Value(source, _) => seen.push(values(source, node, scope).of(&field)),
            Node::Exists(source) => {
                let mut there = match source {
                    // The slot may only say that there is something.
                    Source::Slot(_) => self.of_event(&term.field, scope),
                    _ => values(source, node, scope).of(&field),
                };
                if there.values.is_empty() && node.holds(scope) {
                    there.values.push(object());
                }
                seen.push(there);
            }
            Node::Schedule(schedule, _) => {
                let time = Value::from(scope.event.time.to_string());
                seen.push(Seen { field, values: vec![time], more: 0 });
                seen.extend(schedule.zone_field().map(|zone| self.of_event(zone, scope)));
            }
            _ => {}
        }
        if let Test::Same(other, _) = &term.test {
            seen.push(self.of_event(other, scope));
        }
        seen
    }

    /// A field of the event, also inside braces.
    fn of_event(&self, field: &FieldName, scope: &Scope<'_>) -> Seen {
        let name = field.to_string();
        if ast::is_time(field) {
            let time = Value::from(scope.event.time.to_string());
            return Seen { field: name, values: vec![time], more: 0 };
        }
        let values = self.slots.get(field).map_or(&[][..], |slot| scope.event.values(*slot));
        let mut shown = Shown::default();
        for value in values {
            shown.add(ValueRef::of(value), false);
        }
        shown.of(&name)
    }
}

/// The array that braces look into; its elements stand in the parts.
fn elements_seen(term: &Term, source: &Source, scope: &Scope<'_>) -> Seen {
    let mut count = 0;
    scope.any_element(source, |_| {
        count += 1;
        false
    });
    Seen { field: term.field.to_string(), values: Vec::new(), more: count }
}

/// The values that a node looks at, and whether each meets its test.
fn values(source: &Source, node: &Node, scope: &Scope<'_>) -> Shown {
    let mut shown = Shown::default();
    scope.any(source, |value| {
        let met = match node {
            Node::Value(_, test) => test.holds(value, scope),
            _ => true,
        };
        shown.add(value, met);
        false
    });
    shown
}

/// What is shown of a field that is there and has no values: an object.
fn object() -> Value {
    Value::Object(serde_json::Map::new())
}

/// Values on their way to being shown.
#[derive(Default)]
struct Shown {
    /// In order, as long as there is room for all.
    all: Vec<Value>,
    met: Vec<Value>,
    others: Vec<Value>,
    count: usize,
}

impl Shown {
    fn add(&mut self, value: ValueRef<'_>, met: bool) {
        self.count += 1;
        let group = if met { &mut self.met } else { &mut self.others };
        if group.len() >= VALUES_SHOWN && self.all.len() >= VALUES_SHOWN {
            return;
        }
        let value = match value.to_json() {
            Value::String(text) => Value::from(shortened(&text)),
            other => other,
        };
        if self.all.len() < VALUES_SHOWN {
            self.all.push(value.clone());
        }
        if group.len() < VALUES_SHOWN {
            group.push(value);
        }
    }

    fn of(self, field: &str) -> Seen {
        let values = if self.count == self.all.len() {
            self.all
        } else {
            self.met.into_iter().chain(self.others).take(VALUES_SHOWN).collect()
        };
        let more = self.count - values.len();
        Seen { field: field.to_owned(), values, more }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::{Position, Timestamp};
    use crate::event::decode::{Decoder, Limits};
    use crate::query::{List, Schedule};
    use expect_test::{Expect, expect};
    use std::fmt::Write as _;

    const RECORD: &str = r#"{"n": 7, "text": "Deleted by EVE", "who": ["eve", "bob"], "o": {},
        "targets": [{"type": "Role", "id": "a"}, {"type": "User", "id": "b"}]}"#;

    /// What a query says of a record.
    pub(in super::super) fn explain(query: &str, record: &str) -> Explanation {
        let mut sets = Sets::new();
        sets.insert_list("robots", List::new(["r2d2"]).0);
        let zone = FieldName::parse("raw.zone").unwrap();
        let night = Schedule::new("UTC").unwrap().in_hours(["22:00-24:00"]).unwrap();
        sets.insert_schedule("night", night.with_zone_field(Some(zone)));
        let mut layout = Layout::new();
        let query = Query::parse(query).unwrap();
        let explainer = Explainer::new(&query, &mut layout, &sets).unwrap();
        let time = Timestamp::parse("2026-01-05T12:00:00Z").unwrap();
        let mut event = Event::empty(&layout, Position::new("t", 0, 0), time, "m".into());
        let decoder = Decoder::new(&layout, &[], Limits::default());
        decoder.decode(record.as_bytes(), &mut event).unwrap();
        explainer.explain(&event)
    }

    fn lines(query: &str, told: &Explanation, depth: usize, out: &mut String) {
        let (room, mark) = ("  ".repeat(depth), if told.holds { "✓" } else { "✗" });
        let seen = told.seen.iter().map(|Seen { field, values, more }| {
            format!(" | {field}={}+{more}", Value::from(values.clone()))
        });
        let (seen, place) = (seen.collect::<String>(), query.get(told.span.clone()).unwrap());
        writeln!(out, "{room}{mark} {:?} {}{seen} @ {place}", told.kind, told.query).unwrap();
        for part in &told.parts {
            lines(query, part, depth + 1, out);
        }
    }

    fn check(query: &str, expected: &Expect) {
        let mut out = String::new();
        lines(query, &explain(query, RECORD), 0, &mut out);
        expected.assert_eq(&out);
    }

    #[test]
    fn every_part_has_its_verdict_its_values_and_its_place() {
        check(
            "raw.n > 5 and (raw.who: alice or not raw.missing: x)",
            &expect![[r#"
            ✓ All raw.n > 5 and (raw.who: alice or not raw.missing: x) @ raw.n > 5 and (raw.who: alice or not raw.missing: x
              ✓ Term raw.n > 5 | raw.n=[7]+0 @ raw.n > 5
              ✓ Any raw.who: alice or not raw.missing: x @ raw.who: alice or not raw.missing: x
                ✗ Term raw.who: alice | raw.who=["eve","bob"]+0 @ raw.who: alice
                ✓ Not not raw.missing: x @ raw.missing: x
                  ✗ Term raw.missing: x | raw.missing=[]+0 @ raw.missing: x
        "#]],
        );
        check(
            "raw.who: @robots or raw.who: $raw.text or raw.o: * or raw.*: eve",
            &expect![[r#"
            ✓ Any raw.who: @robots or raw.who: $raw.text or raw.o: * or raw.*: eve @ raw.who: @robots or raw.who: $raw.text or raw.o: * or raw.*: eve
              ✗ Term raw.who: @robots | raw.who=["eve","bob"]+0 @ raw.who: @robots
              ✗ Term raw.who: $raw.text | raw.who=["eve","bob"]+0 | raw.text=["Deleted by EVE"]+0 @ raw.who: $raw.text
              ✓ Term raw.o: * | raw.o=[{}]+0 @ raw.o: *
              ✓ Term raw.*: eve | raw.*=[7,"Deleted by EVE","eve","bob","Role","a","User","b"]+0 @ raw.*: eve
        "#]],
        );
        check(
            "\"by eve\" and not \"alice\" and @timestamp: @night",
            &expect![[r#"
            ✗ All "by eve" and not "alice" and @timestamp: @night @ "by eve" and not "alice" and @timestamp: @night
              ✓ FreeText "by eve" | *=["Deleted by EVE"]+0 @ "by eve"
              ✓ Not not "alice" @ "alice"
                ✗ FreeText "alice" | *=[]+0 @ "alice"
              ✗ Term @timestamp: @night | @timestamp=["2026-01-05T12:00:00Z"]+0 | raw.zone=[]+0 @ @timestamp: @night
        "#]],
        );
    }

    #[test]
    fn braces_show_the_element_that_meets_them_or_the_first_that_do_not() {
        check(
            "raw.targets: { type: user and id: b }",
            &expect![[r#"
            ✓ Elements raw.targets: { type: user and id: b } | raw.targets=[]+2 @ raw.targets: { type: user and id: b }
              ✓ Element {"id":"b","type":"User"} @ type: user and id: b
                ✓ All type: user and id: b @ type: user and id: b
                  ✓ Term type: user | type=["User"]+0 @ type: user
                  ✓ Term id: b | id=["b"]+0 @ id: b
        "#]],
        );
        check(
            "raw.targets: { type: user and id: a }",
            &expect![[r#"
            ✗ Elements raw.targets: { type: user and id: a } | raw.targets=[]+2 @ raw.targets: { type: user and id: a }
              ✗ Element {"id":"a","type":"Role"} @ type: user and id: a
                ✗ All type: user and id: a @ type: user and id: a
                  ✗ Term type: user | type=["Role"]+0 @ type: user
                  ✓ Term id: a | id=["a"]+0 @ id: a
              ✗ Element {"id":"b","type":"User"} @ type: user and id: a
                ✗ All type: user and id: a @ type: user and id: a
                  ✓ Term type: user | type=["User"]+0 @ type: user
                  ✗ Term id: a | id=["b"]+0 @ id: a
        "#]],
        );
    }

    #[test]
    fn many_and_long_values_are_cut_and_those_that_meet_the_test_come_first() {
        let values: Vec<Value> = (0..30).map(Value::from).collect();
        let record = serde_json::json!({"v": values, "long": "é".repeat(VALUE_CHARS + 1)});
        let told = explain("raw.v >= 28 and raw.long: *", &record.to_string());
        let seen = &told.parts[0].seen[0];
        assert_eq!((&seen.values[..3], seen.more), (&[28, 29, 0].map(Value::from)[..], 20));
        let long = told.parts[1].seen[0].values[0].as_str().unwrap();
        assert_eq!(long.chars().count(), VALUE_CHARS + 1, "with the sign that it is cut");
    }
}

//! Tree → matcher: slots are asked for, constants made ready, names of sets looked up.

use super::Sets;
use super::ast::{self, Case, Expr, Literal, Term, Test};
use super::matcher::{Matcher, Node, Source, TextTest, ValueTest};
use super::pattern::Glob;
use super::sets::Set;
use crate::base::{Diagnostic, Timestamp, suggest};
use crate::event::{FieldName, Layout, Wanted};

/// Compiles the whole tree also after a mistake, so that the layout knows everything it reads.
pub(super) fn compile(
    expr: &Expr,
    layout: &mut Layout,
    sets: &Sets,
) -> Result<Matcher, Vec<Diagnostic>> {
    let mut compiler = Compiler { layout, sets, found: Vec::new() };
    let root = compiler.node(expr, false);
    if compiler.found.is_empty() { Ok(Matcher::new(root)) } else { Err(compiler.found) }
}

struct Compiler<'c> {
    layout: &'c mut Layout,
    sets: &'c Sets,
    found: Vec<Diagnostic>,
}

impl Compiler<'_> {
    fn node(&mut self, expr: &Expr, in_element: bool) -> Node {
        match expr {
            Expr::And(parts) => Node::All(self.nodes(parts, in_element)),
            Expr::Or(parts) => Node::Any(self.nodes(parts, in_element)),
            Expr::Not(inner) => Node::Not(Box::new(self.node(inner, in_element))),
            Expr::Term(term) => self.term(term, in_element),
            Expr::FreeText(free) => {
                let source = Source::Slot(self.layout.want(Wanted::AnyText));
                let needle = Glob::containing(&free.text, Case::Ignored);
                Node::Value(source, ValueTest::Like(needle))
            }
        }
    }

    fn nodes(&mut self, parts: &[Expr], in_element: bool) -> Box<[Node]> {
        parts.iter().map(|part| self.node(part, in_element)).collect()
    }

    fn term(&mut self, term: &Term, in_element: bool) -> Node {
        let is_time = !in_element && term.is_time();
        let test = match &term.test {
            Test::Exists => return Node::Exists(self.presence(&term.field, in_element)),
            Test::Element(inner) => {
                let source = if in_element {
                    path(&term.field)
                } else {
                    Source::Slot(self.layout.want(Wanted::Elements(term.field.clone())))
                };
                return Node::Element(source, Box::new(self.node(inner, true)));
            }
            Test::In(name) => return self.set(term, name, is_time, in_element),
            Test::Equals(Literal::Text(text), _) if is_time => {
                ValueTest::Time(Timestamp::parse(text))
            }
            Test::Equals(Literal::Text(text), case) => ValueTest::Text(TextTest::new(text, *case)),
            Test::Equals(Literal::Number(number), _) => ValueTest::Number(*number),
            Test::Like(pattern, case) => ValueTest::Like(Glob::new(pattern, *case)),
            Test::Address(address) => ValueTest::Address(*address),
            Test::Network(network) => ValueTest::Network(network.clone()),
            Test::Within(bounds) => ValueTest::Within(bounds.clone()),
            Test::Matches(regex) => ValueTest::Matches(regex.clone()),
            Test::Same(other, case) => ValueTest::Same(self.source(other, false), *case),
        };
        Node::Value(self.source(&term.field, in_element), test)
    }

    fn source(&mut self, field: &FieldName, in_element: bool) -> Source {
        if in_element {
            path(field)
        } else if ast::is_time(field) {
            Source::Time
        } else {
            Source::Slot(self.layout.field(field))
        }
    }

    /// Where to see that a field has a value: a part of the record may be an object, which has no
    /// scalar values of its own.
    fn presence(&mut self, field: &FieldName, in_element: bool) -> Source {
        if !in_element && !field.is_pattern() && field.raw_path().is_some() {
            Source::Slot(self.layout.want(Wanted::Present(field.clone())))
        } else {
            self.source(field, in_element)
        }
    }

    fn set(&mut self, term: &Term, name: &str, is_time: bool, in_element: bool) -> Node {
        let source = self.source(&term.field, in_element);
        let span = term.test_span.0.clone();
        let mistake = match (self.sets.get(name), is_time) {
            (Some(Set::List(list)), false) => {
                return Node::Value(source, ValueTest::In(list.clone()));
            }
            (Some(Set::Schedule(schedule)), true) => {
                let zone = schedule.zone_field().map(|field| self.layout.field(field));
                return Node::Schedule(schedule.clone(), zone);
            }
            (Some(Set::List(_)), true) => {
                let message = format!("expected a schedule, found the list `{name}`");
                Diagnostic::error("not-a-schedule", span, message)
                    .help("`@timestamp` is asked for schedules; order it with `>` and `<`")
            }
            (Some(Set::Schedule(_)), false) => {
                let message = format!("expected a list, found the schedule `{name}`");
                let help = if in_element {
                    format!("outside of the braces write `@timestamp: @{name}`")
                } else {
                    format!("write `@timestamp: @{name}`")
                };
                Diagnostic::error("not-a-list", span, message).help(help)
            }
            (None, _) => self.unknown(name, is_time, span),
        };
        self.found.push(mistake);
        Node::Any(Box::default())
    }

    fn unknown(&self, name: &str, is_time: bool, span: std::ops::Range<usize>) -> Diagnostic {
        let (code, kind) =
            if is_time { ("unknown-schedule", "schedule") } else { ("unknown-list", "list") };
        let mistake = Diagnostic::error(code, span, format!("unknown {kind} `{name}`"));
        match suggest::nearest(name, self.sets.names()) {
            Some(near) => mistake.help(format!("did you mean `@{near}`?")),
            None => mistake.help(format!(
                "`[{kind}s.{name}]` is written in the configuration; for the text itself use quotes: `\"@{name}\"`"
            )),
        }
    }
}

fn path(field: &FieldName) -> Source {
    if field.is_pattern() {
        Source::Pattern(field.clone())
    } else {
        Source::Path(field.segments().into())
    }
}

//! What a query asks of the events before the one it judges: `source.ip: $steps.login.source.ip`.
//!
//! Whoever judges one event alone cannot know these. A query with such comparisons is therefore judged
//! once for each way in which they may turn out ([`Query::assume`]), and whoever remembers the
//! earlier events decides which way it was. Which steps there are is not known here.

use std::fmt;
use std::ops::Range;

use super::Query;
use super::ast::{self, Case, Expr, Span, Term, Test};
use crate::base::Diagnostic;
use crate::event::{FieldName, Segment};

/// A comparison of a field with one of an earlier step's event. Equal ones are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTerm {
    /// The field of the event that is judged.
    pub field: FieldName,
    /// The name of the earlier step.
    pub step: Box<str>,
    /// The field of that step's event.
    pub other: FieldName,
    /// Whether case matters.
    pub case: Case,
    /// Where `$steps…` stands.
    pub span: Span,
}

/// Whether a name is meant for an earlier step's event: `steps.login.source.ip`.
pub fn is_of_step(field: &FieldName) -> bool {
    matches!(field.segments().first(), Some(Segment::Key(key)) if key.as_ref() == "steps")
}

impl Query {
    /// The different comparisons with earlier steps, from left to right; or what is wrong with them.
    pub fn step_terms(&self) -> Result<Vec<StepTerm>, Vec<Diagnostic>> {
        let (mut terms, mut found) = (Vec::new(), Vec::new());
        collect(self.expr(), false, &mut terms, &mut found);
        if found.is_empty() { Ok(terms) } else { Err(found) }
    }

    /// The query where each of its [`Self::step_terms`] is taken to be as `holds` says.
    #[must_use]
    pub fn assume(&self, terms: &[StepTerm], holds: &dyn Fn(usize) -> bool) -> Self {
        Self { expr: assumed(self.expr(), terms, holds) }
    }
}

fn collect(expr: &Expr, in_element: bool, terms: &mut Vec<StepTerm>, found: &mut Vec<Diagnostic>) {
    expr.visit_terms(&mut |term: &Term| {
        if is_of_step(&term.field) && !in_element {
            let span = term.field_span.0.clone();
            let message = format!("expected a field of the event, found `{}`", term.field);
            found.push(Diagnostic::error("bad-step", span, message).help(format!(
                "what an earlier step's event has stands behind `$`: `source.ip: ${}`",
                term.field
            )));
        }
        match &term.test {
            Test::Element(inner) => collect(inner, true, terms, found),
            Test::Same(other, case) if is_of_step(other) => {
                match step_term(term, other, *case, in_element) {
                    Ok(one) if terms.contains(&one) => {}
                    Ok(one) => terms.push(one),
                    Err((why, help)) => {
                        let span = term.test_span.0.clone();
                        found.push(Diagnostic::error("bad-step", span, why).help(help));
                    }
                }
            }
            _ => {}
        }
    });
}

/// A comparison, or why it cannot be one and what to do.
fn step_term(
    term: &Term,
    other: &FieldName,
    case: Case,
    in_element: bool,
) -> Result<StepTerm, (String, &'static str)> {
    if in_element {
        let why = format!("`${other}` cannot be asked of one element");
        return Err((why, "put the comparison outside of the braces"));
    }
    let form = "write `$steps.name.field`, such as `$steps.login.source.ip`";
    let (Some(Segment::Key(step)), Some(field)) = (other.segments().get(1), other.below(2)) else {
        return Err((format!("expected a step and one of its fields, found `${other}`"), form));
    };
    if other.is_pattern() {
        return Err((format!("expected one field of a step, found `${other}`"), form));
    }
    if term.is_time() || ast::is_time(&field) {
        let why = "times are not compared with those of earlier steps".to_owned();
        return Err((why, "how long it may take is `max_gap` and `within`"));
    }
    let span = Span(term.test_span.0.clone());
    Ok(StepTerm { field: term.field.clone(), step: step.clone(), other: field, case, span })
}

impl fmt::Display for StepTerm {
    /// As it is written: `source.ip: $steps.login.source.ip`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.case {
            Case::Ignored => ":",
            Case::Exact => " ==",
        };
        write!(f, "{}{sign} $steps.{}.{}", self.field, self.step, self.other)
    }
}

impl StepTerm {
    /// Where `$steps…` stands in the query.
    pub fn place(&self) -> Range<usize> {
        self.span.0.clone()
    }

    fn is(&self, term: &Term) -> bool {
        let Test::Same(other, case) = &term.test else { return false };
        let same = step_term(term, other, *case, false);
        is_of_step(other) && same.is_ok_and(|same| same == *self)
    }
}

fn assumed(expr: &Expr, terms: &[StepTerm], holds: &dyn Fn(usize) -> bool) -> Expr {
    let all = |parts: &[Expr]| parts.iter().map(|part| assumed(part, terms, holds)).collect();
    match expr {
        Expr::And(parts) => Expr::And(all(parts)),
        Expr::Or(parts) => Expr::Or(all(parts)),
        Expr::Not(inner) => Expr::Not(Box::new(assumed(inner, terms, holds))),
        Expr::FreeText(_) => expr.clone(),
        Expr::Term(term) => match terms.iter().position(|own| own.is(term)) {
            Some(at) => constant(holds(at)),
            None => expr.clone(),
        },
    }
}

/// What is true of every event, for every event has a time; or of none.
fn constant(value: bool) -> Expr {
    let always = Expr::Term(Term {
        field: FieldName::from_keys(["@timestamp"]),
        field_span: Span(0..0),
        test: Test::Exists,
        test_span: Span(0..0),
    });
    if value { always } else { Expr::Not(Box::new(always)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<StepTerm> {
        Query::parse(text).unwrap().step_terms().unwrap()
    }

    fn mistakes(text: &str) -> String {
        let mistakes = Query::parse(text).unwrap().step_terms().unwrap_err();
        let told = mistakes.iter().map(|d| {
            let at = text.get(d.span.clone().unwrap()).unwrap();
            format!("{at} | {} | {}", d.message, d.help.as_deref().unwrap_or_default())
        });
        told.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_different_comparison_is_found_once() {
        let text = "event.action: x and (source.ip: $steps.login.source.ip or not source.ip: $steps.login.source.ip) and user.id == $steps.login.user.id and user.name: $user.id";
        let found = terms(text);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["source.ip: $steps.login.source.ip", "user.id == $steps.login.user.id"]);
        assert_eq!(text.get(found[1].place()), Some("$steps.login.user.id"));
        assert_eq!(terms("event.action: steps.login"), []);
    }

    #[test]
    fn what_is_assumed_stands_in_the_place_of_the_comparison() {
        let text = "event.action: x and not source.ip: $steps.a.source.ip";
        let query = Query::parse(text).unwrap();
        let terms = query.step_terms().unwrap();
        let with = |value| query.assume(&terms, &|_| value).to_string();
        assert_eq!(with(true), "event.action: x and not @timestamp: *");
        assert_eq!(with(false), "event.action: x and not not @timestamp: *");
        let alone = Query::parse("source.ip: $steps.a.source.ip").unwrap();
        let terms = alone.step_terms().unwrap();
        assert_eq!(alone.assume(&terms, &|_| false).to_string(), "not @timestamp: *");
    }

    #[test]
    fn comparisons_that_cannot_be_are_refused() {
        expect_test::expect![[r"
            $steps.a.ip | `$steps.a.ip` cannot be asked of one element | put the comparison outside of the braces
            $steps | expected a step and one of its fields, found `$steps` | write `$steps.name.field`, such as `$steps.login.source.ip`
            $steps.a | expected a step and one of its fields, found `$steps.a` | write `$steps.name.field`, such as `$steps.login.source.ip`
            $steps.a.x.* | expected one field of a step, found `$steps.a.x.*` | write `$steps.name.field`, such as `$steps.login.source.ip`
            $steps.a.user.id | times are not compared with those of earlier steps | how long it may take is `max_gap` and `within`
            $steps.a.@timestamp | times are not compared with those of earlier steps | how long it may take is `max_gap` and `within`
            steps.a.user.id | expected a field of the event, found `steps.a.user.id` | what an earlier step's event has stands behind `$`: `source.ip: $steps.a.user.id`"]]
        .assert_eq(&mistakes(
            "raw.x: { ip: $steps.a.ip } and user.id: $steps and user.id: $steps.a and user.id: $steps.a.x.* \
             and @timestamp: $steps.a.user.id and user.id: $steps.a.@timestamp and steps.a.user.id: x",
        ));
    }
}

//! What is doubtful about a query that parses: fields that do not exist, parts that can never or must
//! always be true, a regex that looks as if it should ignore case.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;

use regex_syntax::ast::{self as regex_ast, Ast, ClassSetItem, Visitor};

use super::Query;
use super::ast::{Bounds, Expr, Limit, Literal, Span, Term, Test};
use super::regex::RegexTest;
use super::{doubt, fold, habits};
use crate::base::Timestamp;
use crate::base::diagnostic::{Diagnostic, Gravity};
use crate::event::FieldName;

/// What whoever knows the fields says of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldAdvice {
    /// `unknown-field`, `unfilled-field`.
    pub code: &'static str,
    /// Whether the query can be used all the same.
    pub gravity: Gravity,
    /// Lower case, no full stop, quoting the name.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

pub(super) fn check(
    query: &Query,
    advise: &dyn Fn(&FieldName) -> Option<FieldAdvice>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut doubted = BTreeSet::new();
    for (field, span) in query.mentions() {
        if let Some(FieldAdvice { code, gravity, message, help }) = advise(&field) {
            // A name that is wrong is to be mended wherever it stands; what is only odd about a field
            // is the same everywhere.
            if gravity == Gravity::Warning && !doubted.insert(field) {
                continue;
            }
            let label = String::new();
            found.push(Diagnostic { code, gravity, message, span: Some(span), label, help });
        }
    }
    look(query.expr(), false, &mut found);
    found.sort_by_key(|d| d.span.as_ref().map_or(0, |span| span.start));
    found
}

fn look(expr: &Expr, in_element: bool, found: &mut Vec<Diagnostic>) {
    match expr {
        Expr::And(parts) | Expr::Or(parts) => {
            let (code, outcome, word) = match expr {
                Expr::And(_) => ("never-true", "never", "and"),
                _ => ("always-true", "always", "or"),
            };
            for part in parts {
                if let Expr::Not(denied) = part
                    && parts.contains(denied)
                {
                    let message = format!("this is {outcome} true: `{denied} {word} not {denied}`");
                    found.push(Diagnostic::warning(code, place(denied), message));
                }
            }
            if let Expr::And(parts) = expr {
                bounds_apart(parts, found);
                if !in_element {
                    found.extend(doubt::two_values(parts));
                }
            }
            for part in parts {
                look(part, in_element, found);
            }
        }
        Expr::Not(inner) => look(inner, in_element, found),
        Expr::FreeText(_) => {}
        Expr::Term(term) => {
            term_alone(term, in_element, found);
            if !in_element {
                found.extend(doubt::value(term));
            }
        }
    }
}

/// `@timestamp` has one value: bounds on it that leave nothing between them are never met.
fn bounds_apart(parts: &[Expr], found: &mut Vec<Diagnostic>) {
    let bounds = parts.iter().filter_map(|part| match part {
        Expr::Term(term) if term.is_time() => match &term.test {
            Test::Within(bounds) => Some((bounds, &term.test_span)),
            _ => None,
        },
        _ => None,
    });
    let bounds: Vec<_> = bounds.collect();
    // Told once for each upper bound: many pairs may be apart.
    for (upper, Span(span)) in &bounds {
        let apart = bounds.iter().any(|(lower, _)| {
            let both = Bounds { lower: lower.lower, upper: upper.upper };
            !std::ptr::eq(*lower, *upper) && is_empty(&both)
        });
        if apart {
            let message = "this is never true: no time meets all bounds";
            found.push(Diagnostic::warning("never-true", span.clone(), message));
        }
    }
}

/// Where a part stands, from its first name to its last value.
fn place(expr: &Expr) -> Range<usize> {
    match expr {
        Expr::And(parts) | Expr::Or(parts) => {
            let first = parts.first().map_or(0, |part| place(part).start);
            first..parts.last().map_or(first, |part| place(part).end)
        }
        Expr::Not(inner) => place(inner),
        Expr::Term(term) => term.field_span.0.start..term.test_span.0.end,
        Expr::FreeText(free) => free.span.0.clone(),
    }
}

fn term_alone(term: &Term, in_element: bool, found: &mut Vec<Diagnostic>) {
    let is_time = !in_element && term.is_time();
    let Span(span) = &term.test_span;
    found.extend(doubt::signs(term));
    found.extend(habits::quoted_wildcard(term, in_element));
    found.extend(habits::regex_as_text(term));
    let mut warn = |code, message: String| {
        found.push(Diagnostic::warning(code, span.clone(), message));
    };
    match &term.test {
        Test::Within(bounds) if is_empty(bounds) => {
            warn("never-true", "this is never true: the range ends before it begins".to_owned());
        }
        Test::Within(bounds) if is_time && !is_of_time(bounds) => {
            warn(
                "never-true",
                "this is never true: `@timestamp` is ordered against times".to_owned(),
            );
        }
        Test::Equals(literal, _) if is_time => {
            let is_time =
                matches!(literal, Literal::Text(text) if Timestamp::parse(text).is_some());
            if !is_time {
                warn("never-true", "this is never true: `@timestamp` is a time".to_owned());
            }
        }
        Test::Address(_) | Test::Network(_) if is_time => {
            warn("never-true", "this is never true: `@timestamp` is a time".to_owned());
        }
        Test::Exists if is_time => {
            warn("always-true", "this is always true: every event has a time".to_owned());
        }
        Test::Same(other, _) if !in_element && *other == term.field => {
            warn(
                "always-true",
                "this compares a field with itself: true whenever it is there".to_owned(),
            );
        }
        Test::Matches(regex) => regex_alone(regex, span, found),
        Test::Element(inner) => look(inner, true, found),
        _ => {}
    }
}

fn is_of_time(bounds: &Bounds) -> bool {
    [bounds.lower, bounds.upper]
        .into_iter()
        .flatten()
        .any(|bound| matches!(bound.at, Limit::Time(_)))
}

/// Whether nothing can lie between the bounds.
fn is_empty(bounds: &Bounds) -> bool {
    let (Some(lower), Some(upper)) = (bounds.lower, bounds.upper) else { return false };
    let order = match (lower.at, upper.at) {
        (Limit::Number(lower), Limit::Number(upper)) => lower.compare(upper),
        (Limit::Time(lower), Limit::Time(upper)) => lower.cmp(&upper),
        _ => return false,
    };
    match order {
        Ordering::Greater => true,
        Ordering::Equal => !(lower.inclusive && upper.inclusive),
        Ordering::Less => false,
    }
}

fn regex_alone(regex: &RegexTest, span: &Range<usize>, found: &mut Vec<Diagnostic>) {
    let Ok(hir) = regex_syntax::parse(regex.source()) else { return };
    let properties = hir.properties();
    if properties.minimum_len() == Some(0) && properties.look_set().is_empty() {
        let message = "this is true of every value: the regex may be empty anywhere";
        found.push(
            Diagnostic::warning("always-true", span.clone(), message)
                .help("to match whole values write `^…$`; for any value write `*`"),
        );
    }
    if !regex.ignores_case() && spells_out_case(regex.source()) {
        let message = "this regex spells out both cases of letters: should it ignore case?";
        found.push(
            Diagnostic::warning("regex-case", span.clone(), message)
                .help(format!("`:` ignores case, a regex only as `/{}/i`", regex.source())),
        );
    }
}

/// Whether the regex names both cases of a letter side by side: `[Ff]ailed`, `(Failed|failed)`.
fn spells_out_case(source: &str) -> bool {
    let Ok(tree) = regex_ast::parse::Parser::new().parse(source) else { return false };
    regex_ast::visit(&tree, BothCases::default()).unwrap_or(false)
}

#[derive(Default)]
struct BothCases {
    found: bool,
    /// A flag is set inside of the regex: the author has thought of it.
    flagged: bool,
}

impl Visitor for BothCases {
    type Output = bool;
    type Err = ();

    fn finish(self) -> Result<bool, ()> {
        Ok(self.found && !self.flagged)
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), ()> {
        match tree {
            Ast::Flags(_) => self.flagged = true,
            Ast::Group(group) => self.flagged |= group.flags().is_some(),
            Ast::Alternation(alternation) => {
                let texts: Vec<String> = alternation.asts.iter().map(ToString::to_string).collect();
                self.found |= (1..texts.len()).any(|n| {
                    let (before, from) = texts.split_at(n);
                    from.first().is_some_and(|text| before.iter().any(|b| fold::equal(b, text)))
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), ()> {
        if let ClassSetItem::Union(union) = item {
            let letters: Vec<char> = union
                .items
                .iter()
                .filter_map(|item| match item {
                    ClassSetItem::Literal(literal) => Some(literal.c),
                    _ => None,
                })
                .collect();
            self.found |= letters
                .iter()
                .any(|a| letters.iter().any(|b| a != b && fold::char(*a) == fold::char(*b)));
        }
        Ok(())
    }
}

//! The query language: parse → check → compiled matcher. `RULES.md` §2 says what queries mean.
//!
//! [`Query`] is a text without mistakes, as a tree in normal form ([`ast`]); it prints as canonical
//! text that parses back to the same tree. [`Query::compile`] asks a layout for the slots it reads
//! and gives a [`Matcher`], which only looks at an event. Which field names exist is not decided
//! here: [`Query::check`] asks whoever knows.
//!
//! In reading order: `cursor` (words), `parse` and `value` (grammar), `mistakes` and `foreign` (terms of
//! other languages), `print`, `check` and `doubt`, `compile` and `matcher`, `explain` and `why`;
//! `pattern`, `fold`, `net`, `regex` are ways of comparing; `sets`, `list` (with `ranges`, its
//! networks) and `schedule` are what `@name` means; `steps` is what `$steps.name` asks. `reference`
//! (tests only) says the same as `matcher` in the plainest way, and properties hold the two equal.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use crate::base::Diagnostic;
use crate::event::{FieldName, Layout, Segment};

pub mod ast;
mod check;
mod common;
mod compile;
mod could;
mod cursor;
mod doubt;
pub mod explain;
pub mod fold;
mod foreign;
mod forms;
mod habits;
#[cfg(test)]
mod law_tests;
mod list;
mod matcher;
#[cfg(test)]
mod meaning_tests;
#[cfg(test)]
mod message_tests;
mod mistakes;
pub mod net;
mod parse;
pub mod pattern;
mod print;
#[cfg(test)]
mod query_tests;
mod ranges;
#[cfg(test)]
mod reference;
mod regex;
mod schedule;
mod sets;
mod steps;
mod value;
mod why;

pub use check::FieldAdvice;
pub use doubt::has_words;
pub use explain::{Explainer, Explanation};
pub use forms::{FORMS, Form};
pub use list::{LIST_ENTRIES_MAX, List};
pub use matcher::{Matcher, have_common};
pub use parse::{Aliases, KEYWORDS, MISTAKES_MAX, QUERY_BYTES_MAX, QUERY_DEPTH_MAX};
pub use regex::{REGEX_BYTES_MAX, RegexTest};
pub use schedule::Schedule;
pub use sets::{LIST, SCHEDULE, Sets};
pub use steps::{StepTerm, is_of_step};

use ast::{Case, Expr, Literal, Term, Test};

/// A query that parses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    expr: Expr,
}

impl Query {
    /// Parses as in TOML files; every mistake has a span into `text`.
    ///
    /// ```
    /// use hark::query::Query;
    /// let query = Query::parse("event.action: (login or logout) and not user.name: null").unwrap();
    /// assert_eq!(
    ///     query.to_string(),
    ///     "(event.action: login or event.action: logout) and not not user.name: *",
    /// );
    /// let mistakes = Query::parse("user.name = bob").unwrap_err();
    /// assert!(mistakes[0].help.as_ref().unwrap().contains("user.name: bob"));
    /// ```
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        parse::parse(text, None).map(|expr| Self { expr })
    }

    /// What [`Self::check`] says of a text with mistakes, as far as that could be read: fields that do not
    /// exist, values that their field never has.
    ///
    /// What parts say of one another is left out: the mistake may be in what would have made it right.
    pub fn check_rest(
        text: &str,
        advise: &dyn Fn(&FieldName) -> Option<FieldAdvice>,
    ) -> Vec<Diagnostic> {
        let (Some(expr), _) = parse::recover(text, None) else { return Vec::new() };
        let found = check::check(&Self { expr }, advise);
        let of_several = |found: &Diagnostic| matches!(found.code, "never-true" | "always-true");
        found.into_iter().filter(|found| !of_several(found)).collect()
    }

    /// Parses as people type in console and command line: terms side by side are `and`, bare words
    /// are free text, aliases name fields.
    pub fn parse_interactive(text: &str, aliases: &Aliases) -> Result<Self, Vec<Diagnostic>> {
        parse::parse(text, Some(aliases)).map(|expr| Self { expr })
    }

    /// The tree.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Both queries at once.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let both = match (self.expr, other.expr) {
            (Expr::And(mut parts), Expr::And(more)) => {
                parts.extend(more);
                parts
            }
            (Expr::And(mut parts), more) => {
                parts.push(more);
                parts
            }
            (first, Expr::And(more)) => [first].into_iter().chain(more).collect(),
            (first, more) => vec![first, more],
        };
        Self { expr: Expr::And(both) }
    }

    /// Every field of the event that it reads, with the place of the name: also those on the right
    /// (`$field`) and patterns. Names inside braces count from an element and are not among them.
    pub fn mentions(&self) -> Vec<(FieldName, Range<usize>)> {
        let mut all = Vec::new();
        mentions(&self.expr, false, &mut all);
        all
    }

    /// The same names, each once, in order.
    pub fn fields(&self) -> BTreeSet<FieldName> {
        self.mentions().into_iter().map(|(field, _)| field).collect()
    }

    /// The lists and schedules that it names.
    pub fn sets(&self) -> BTreeSet<&str> {
        let mut all = BTreeSet::new();
        sets_in(&self.expr, &mut all);
        all
    }

    /// Whether it reads alerts: it names `rule.*` or `alert.*`, or can only be true of an event whose
    /// `event.kind` is `alert`.
    pub fn needs_alerts(&self) -> bool {
        let of_alerts = |field: &FieldName| matches!(field.segments().first(), Some(Segment::Key(key)) if matches!(key.as_ref(), "rule" | "alert"));
        self.mentions().iter().any(|(field, _)| of_alerts(field)) || requires_alert(&self.expr)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}

fn mentions(expr: &Expr, in_element: bool, all: &mut Vec<(FieldName, Range<usize>)>) {
    expr.visit_terms(&mut |term: &Term| {
        if !in_element {
            all.push((term.field.clone(), term.field_span.0.clone()));
        }
        match &term.test {
            Test::Same(other, _) => {
                // Past the `$`.
                let span = term.test_span.0.clone();
                all.push((other.clone(), (span.start + 1).min(span.end)..span.end));
            }
            Test::Element(inner) => mentions(inner, true, all),
            _ => {}
        }
    });
}

fn sets_in<'e>(expr: &'e Expr, all: &mut BTreeSet<&'e str>) {
    expr.visit_terms(&mut |term: &'e Term| match &term.test {
        Test::In(name) => {
            all.insert(name);
        }
        Test::Element(inner) => sets_in(inner, all),
        _ => {}
    });
}

fn requires_alert(expr: &Expr) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().any(requires_alert),
        Expr::Or(parts) => parts.iter().all(requires_alert),
        Expr::Not(_) | Expr::FreeText(_) => false,
        Expr::Term(term) => {
            let is_alert = match &term.test {
                Test::Equals(Literal::Text(text), Case::Ignored) => fold::equal(text, "alert"),
                Test::Equals(Literal::Text(text), Case::Exact) => text.as_ref() == "alert",
                _ => false,
            };
            is_alert && !term.field.is_pattern() && term.field.dotted() == "event.kind"
        }
    }
}

impl Query {
    /// What is doubtful: parts that can never or must always be true, a regex that looks as if it
    /// should ignore case; and what `advise` says of the fields it reads.
    pub fn check(&self, advise: &dyn Fn(&FieldName) -> Option<FieldAdvice>) -> Vec<Diagnostic> {
        check::check(self, advise)
    }

    /// Why it can never be true, if it asks a field that has one value for two of them.
    pub fn asks_for_two_values(&self) -> Option<String> {
        let Expr::And(parts) = &self.expr else { return None };
        doubt::two_values(parts).into_iter().next().map(|found| found.message)
    }

    /// Compiles against a layout; unknown lists and schedules are reported. The layout then has a slot
    /// for everything the query reads, also after an error.
    pub fn compile(&self, layout: &mut Layout, sets: &Sets) -> Result<Matcher, Vec<Diagnostic>> {
        compile::compile(&self.expr, layout, sets)
    }
}

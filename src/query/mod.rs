//! The query language: parse → check → compiled matcher.

use std::fmt;

use crate::base::Diagnostic;
use crate::event::{Event, Layout};

/// A query that parses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    text: String,
}

impl Query {
    /// Parses; every mistake has a span into `text`.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        Ok(Self { text: text.to_owned() })
    }

    /// Compiles against a layout; unknown lists and schedules are reported.
    pub fn compile(&self, _layout: &mut Layout, _sets: &Sets) -> Result<Matcher, Vec<Diagnostic>> {
        Ok(Matcher {})
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The lists and schedules that queries may name.
#[derive(Debug, Clone, Default)]
pub struct Sets {}

/// A compiled query.
#[derive(Debug)]
pub struct Matcher {}

impl Matcher {
    /// Whether the event meets the query.
    pub fn matches(&self, _event: &Event) -> bool {
        false
    }
}

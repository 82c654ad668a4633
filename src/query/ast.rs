//! What a query says, as a tree in normal form.
//!
//! Two texts that mean the same by their grammar give the same tree: groups are spread over their
//! field (`f: (a or b)` is `f: a or f: b`), `f: null` is `not f: *`, an `and` inside an `and` is one
//! `and`. Whoever looks for structure (printing, checking, an index over many rules) has few cases.

use std::net::IpAddr;
use std::ops::Range;

use super::net::Network;
use super::pattern::Pattern;
use super::regex::RegexTest;
use crate::base::Timestamp;
use crate::event::{FieldName, Number};

/// A condition over one event, or over one element of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// All of them; at least two, none itself an `And`.
    And(Vec<Expr>),
    /// Any of them; at least two, none itself an `Or`.
    Or(Vec<Expr>),
    /// The opposite.
    Not(Box<Expr>),
    /// A test of one field.
    Term(Term),
    /// Some string of the original record contains the text, ignoring case.
    FreeText(FreeText),
}

/// Text to look for anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeText {
    /// Never empty.
    pub text: Box<str>,
    /// Where it stands.
    pub span: Span,
}

/// A test of one field: true when some value of the field meets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The field; inside braces a path from the element.
    pub field: FieldName,
    /// Where the name stands.
    pub field_span: Span,
    /// What is asked of its values.
    pub test: Test,
    /// Where the value stands.
    pub test_span: Span,
}

/// What is asked of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// `f: *`: there is a value.
    Exists,
    /// `f: value`, `f == "Value"`.
    Equals(Literal, Case),
    /// `f: dep*.fail?d`, `f == set*Policy`.
    Like(Pattern, Case),
    /// `f: 10.0.0.1`, unquoted: the same address however written.
    Address(IpAddr),
    /// `f: 10.0.0.0/8`, unquoted: an address in it, or the same text.
    Network(Network),
    /// `f > 5`, `f: [1 to 5]`: one value meets both bounds.
    Within(Bounds),
    /// `f: /regex/`.
    Matches(RegexTest),
    /// `f: @name`: a list, or for `@timestamp` a schedule.
    In(Box<str>),
    /// `f: $other`, `f == $other`: a value in common with another field of the event.
    Same(FieldName, Case),
    /// `f: { … }`: one element meets all of it. Names inside are paths from the element.
    Element(Box<Expr>),
}

/// Whether case matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `:`, by Unicode simple folding.
    Ignored,
    /// `==`.
    Exact,
}

/// A value written in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// A text; `true` and `false` are the texts `true` and `false`.
    Text(Box<str>),
    /// A number in JSON's grammar, not quoted.
    Number(Number),
}

/// Bounds that one value must meet; at least one of them is there, and both are of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The lower one.
    pub lower: Option<Bound>,
    /// The upper one.
    pub upper: Option<Bound>,
}

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The value at the end.
    pub at: Limit,
    /// Whether that value itself is in the range.
    pub inclusive: bool,
}

/// What values can be ordered against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Orders numbers and numeric strings.
    Number(Number),
    /// Orders `@timestamp` and RFC 3339 strings.
    Time(Timestamp),
}

/// A range of bytes of the query's text. All spans are equal: where something stands is no part of
/// what it means.
#[derive(Debug, Clone)]
pub struct Span(pub Range<usize>);

impl PartialEq for Span {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Span {}

impl Expr {
    /// All of `parts`; one part alone is itself.
    pub fn and(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::And(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        if flat.len() > 1 { Some(Self::And(flat)) } else { flat.pop() }
    }

    /// Any of `parts`; one part alone is itself.
    pub fn or(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::Or(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        if flat.len() > 1 { Some(Self::Or(flat)) } else { flat.pop() }
    }

    /// Calls `visit` with every term outside of braces, from left to right.
    pub fn visit_terms<'e>(&'e self, visit: &mut dyn FnMut(&'e Term)) {
        match self {
            Self::And(parts) | Self::Or(parts) => {
                for part in parts {
                    part.visit_terms(visit);
                }
            }
            Self::Not(inner) => inner.visit_terms(visit),
            Self::Term(term) => visit(term),
            Self::FreeText(_) => {}
        }
    }
}

impl Term {
    /// Whether it reads the event's time, which stands in no slot; meant for names outside of braces.
    pub fn is_time(&self) -> bool {
        is_time(&self.field)
    }
}

/// Whether a name of the outer event is `@timestamp`.
pub fn is_time(field: &FieldName) -> bool {
    use crate::event::Segment;
    !field.is_pattern()
        && matches!(field.segments(), [Segment::Key(key)] if key.as_ref() == "@timestamp")
}

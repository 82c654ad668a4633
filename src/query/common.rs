//! Another field's values made ready to be asked often: whether one of them is equal to a value.
//!
//! Comparing every value of one array with every value of another would let a record of a megabyte
//! take minutes.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::ast::Case;
use super::{fold, net};
use crate::event::{Number, Scalar};

/// From so many values on it pays to make them ready.
pub(super) const READY_FROM: usize = 16;

/// Many values of one field.
#[derive(Debug)]
pub(super) struct Common {
    case: Case,
    /// Texts and the texts of `true` and `false`; folded when case is ignored.
    texts: HashSet<Arc<str>>,
    addresses: HashSet<IpAddr>,
    /// Sorted: the record's numbers, and what its texts read as.
    numbers: Vec<Number>,
    readable: Vec<Number>,
}

impl Common {
    pub(super) fn new(values: &[Scalar], case: Case) -> Self {
        let mut common = Self {
            case,
            texts: HashSet::new(),
            addresses: HashSet::new(),
            numbers: Vec::new(),
            readable: Vec::new(),
        };
        for value in values {
            match value {
                Scalar::Number(number) => common.numbers.push(*number),
                Scalar::Bool(_) => drop(common.texts.insert(value.to_string().as_str().into())),
                Scalar::Text(text) => {
                    common.readable.extend(Number::parse(text));
                    match case {
                        Case::Exact => drop(common.texts.insert(text.clone())),
                        Case::Ignored => {
                            common.addresses.extend(net::address(text));
                            common.texts.insert(fold::text(text).into());
                        }
                    }
                }
            }
        }
        common.numbers.sort_by(|a, b| a.compare(*b));
        common.readable.sort_by(|a, b| a.compare(*b));
        common
    }

    /// Whether a text is among them, or the number it reads as.
    pub(super) fn has_text(&self, text: &str) -> bool {
        let same = match self.case {
            Case::Exact => self.texts.contains(text),
            Case::Ignored => {
                self.texts.contains(&*fold::text(text))
                    || net::address(text).is_some_and(|address| self.addresses.contains(&address))
            }
        };
        same || (!self.numbers.is_empty()
            && Number::parse(text).is_some_and(|number| holds(&self.numbers, number)))
    }

    /// Whether a number is among them, or a text that reads as it.
    pub(super) fn has_number(&self, number: Number) -> bool {
        holds(&self.numbers, number) || holds(&self.readable, number)
    }
}

fn holds(sorted: &[Number], number: Number) -> bool {
    sorted.binary_search_by(|own| own.compare(number)).is_ok()
}

//! The bound that an aggregate or a share is held against: one of several keys of a table.

use std::ops::Range;

use crate::base::document::Table;
use crate::base::{Diagnostic, Diagnostics};
use crate::event::Number;

/// Which side of the number is beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::detectors) enum Side {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Side {
    /// All of them.
    pub(in crate::detectors) const ALL: [Self; 4] =
        [Self::Above, Self::AtLeast, Self::Below, Self::AtMost];
    /// Those that leave the number itself out.
    pub(in crate::detectors) const STRICT: [Self; 2] = [Self::Above, Self::Below];

    /// The key.
    pub(in crate::detectors) const fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::AtLeast => "at_least",
            Self::Below => "below",
            Self::AtMost => "at_most",
        }
    }

    /// Whether it is the lower one.
    pub(in crate::detectors) const fn is_down(self) -> bool {
        matches!(self, Self::Below | Self::AtMost)
    }
}

/// A number and a side of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::detectors) struct Bound {
    pub(in crate::detectors) side: Side,
    pub(in crate::detectors) number: Number,
}

impl Bound {
    /// Whether a number is beyond it. Integers are compared exactly, also with floats.
    pub(in crate::detectors) fn is_beyond(&self, number: Number) -> bool {
        let order = number.compare(self.number);
        match self.side {
            Side::Above => order.is_gt(),
            Side::AtLeast => order.is_ge(),
            Side::Below => order.is_lt(),
            Side::AtMost => order.is_le(),
        }
    }

    /// Reads exactly one of the keys of these sides, with its place.
    pub(in crate::detectors) fn read(
        table: &mut Table<'_>,
        sides: &[Side],
        found: &mut Diagnostics,
    ) -> Option<(Self, Range<usize>)> {
        let mut written: Vec<(Range<usize>, Side)> = sides
            .iter()
            .filter_map(|side| table.key_span(side.name()).map(|span| (span, *side)))
            .collect();
        written.sort_by_key(|(span, _)| span.start);
        let names: Vec<String> = sides.iter().map(|side| format!("`{}`", side.name())).collect();
        let names = names.join(", ");
        for (span, side) in written.iter().skip(1) {
            let first = written.first().map_or("", |(_, first)| first.name());
            let message =
                format!("expected one of {names}, found `{}` beside `{first}`", side.name());
            found.push(
                Diagnostic::error("two-bounds", span.clone(), message)
                    .help("leave one of them out, or make it two rules"),
            );
        }
        let mut read = None;
        for (_, side) in written.iter().rev() {
            read = number(table, side.name(), found)
                .map(|(number, span)| (Self { side: *side, number }, span));
        }
        if written.is_empty() {
            table.allow(&sides.iter().map(|side| side.name()).collect::<Vec<_>>());
            let message = format!("expected one of {names} in `[{}]`, found none", table.path());
            found.push(Diagnostic::error("missing-key", table.span(), message));
        }
        read.filter(|_| written.len() == 1)
    }
}

/// A finite number, exact for integers.
fn number(
    table: &mut Table<'_>,
    key: &'static str,
    found: &mut Diagnostics,
) -> Option<(Number, Range<usize>)> {
    let item = table.item(key)?;
    if item.kind() == "integer" {
        return item.integer(found).map(|int| (Number::Int(int.value), int.span));
    }
    let float = item.number(found)?;
    if !float.value.is_finite() {
        let message = format!("expected a finite number, found `{}`", float.value);
        found.push(Diagnostic::error("out-of-range", float.span, message));
        return None;
    }
    Some((Number::Float(float.value), float.span))
}

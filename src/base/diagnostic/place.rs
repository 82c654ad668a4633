//! Where a byte of a text stands, as people and other programs count: lines and columns from 1.

use std::ops::Range;

use serde::Serialize;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters (Unicode code points); a tab is one.
    pub(super) column: usize,
}

/// First and last place of `span`; the second is that of the character behind its last one.
pub(super) fn places(text: &str, span: &Range<usize>) -> (Place, Place) {
    let span = whole_characters(text, span);
    (place(text, span.start), place(text, span.end))
}

fn place(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    Place { line, column }
}

/// `span` cut to the text and to whole characters.
pub(super) fn whole_characters(text: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_from_one_and_in_characters() {
        let text = "añb\n\tß = 1\n";
        let at = |start, end| {
            let (first, last) = places(text, &(start..end));
            [(first.line, first.column), (last.line, last.column)]
        };
        assert_eq!(at(0, 0), [(1, 1), (1, 1)]);
        assert_eq!(at(3, 4), [(1, 3), (1, 4)], "ñ is two bytes and one character");
        assert_eq!(at(6, 8), [(2, 2), (2, 3)]);
        assert_eq!(at(4, 5), [(1, 4), (2, 1)], "the end of a line belongs to it");
        assert_eq!(at(2, 2), [(1, 2), (1, 2)], "the middle of a character is its start");
        assert_eq!(at(90, 99), [(3, 1), (3, 1)], "behind the text is its end");
    }
}

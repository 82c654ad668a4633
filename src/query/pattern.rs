//! Wildcards: `*` for any run of characters, `?` for exactly one.
//!
//! Between its stars a pattern is a row of pieces of fixed length. Each is looked for leftmost after
//! the one before; nothing is ever tried again, so the work is at most text × longest piece,
//! whatever the pattern.

use super::ast::Case;
use super::fold;

/// A pattern as written, `**` taken as `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

/// One sign of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// This character.
    Char(char),
    /// `?`: any one character.
    One,
    /// `*`: any run of characters, also none.
    Any,
}

impl Pattern {
    /// From signs.
    pub fn new(parts: impl IntoIterator<Item = Part>) -> Self {
        let mut parts: Vec<Part> = parts.into_iter().collect();
        parts.dedup_by(|a, b| *a == Part::Any && *b == Part::Any);
        Self { parts }
    }

    /// Its signs; no two stars stand side by side.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// From a text in which `*` and `?` always are signs: globs over names.
    pub fn glob(text: &str) -> Self {
        Self::new(text.chars().map(|c| match c {
            '*' => Part::Any,
            '?' => Part::One,
            c => Part::Char(c),
        }))
    }

    /// Whether the whole text is like it, exact in case.
    pub fn is_like(&self, text: &str) -> bool {
        Glob::new(self, Case::Exact).matches(text)
    }

    /// Whether it is `*` alone.
    pub fn is_any(&self) -> bool {
        self.parts == [Part::Any]
    }
}

/// A pattern made ready for matching.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    case: Case,
    /// Must stand at the start; empty when a star comes first.
    head: Box<[Part]>,
    /// Must follow somewhere, in order.
    middle: Vec<Box<[Part]>>,
    /// Must stand at the end; `None` when there is no star at all: then `head` is everything.
    tail: Option<Box<[Part]>>,
}

impl Glob {
    pub(super) fn new(pattern: &Pattern, case: Case) -> Self {
        let fold = |part: &Part| match (*part, case) {
            (Part::Char(c), Case::Ignored) => Part::Char(fold::char(c)),
            (part, _) => part,
        };
        let parts: Vec<Part> = pattern.parts.iter().map(fold).collect();
        let mut pieces = parts.split(|part| *part == Part::Any).map(Box::from);
        let head = pieces.next().unwrap_or_default();
        let mut middle: Vec<Box<[Part]>> = pieces.collect();
        let tail = middle.pop();
        Self { case, head, middle, tail }
    }

    /// Some part of the text is `needle`.
    pub(super) fn containing(needle: &str, case: Case) -> Self {
        let needle = needle.chars().map(Part::Char);
        Self::new(&Pattern::new([Part::Any].into_iter().chain(needle).chain([Part::Any])), case)
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some(mut rest) = self.after(&self.head, text) else { return false };
        let Some(tail) = &self.tail else { return rest.is_empty() };
        for piece in &self.middle {
            match self.find(piece, rest) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        // The tail has a fixed number of characters: it either stands in the last ones or nowhere.
        match tail.len().checked_sub(1) {
            None => true,
            Some(back) => rest
                .char_indices()
                .nth_back(back)
                .and_then(|(at, _)| rest.get(at..))
                .is_some_and(|end| self.after(tail, end).is_some()),
        }
    }

    /// What follows `piece` in `text`, if the text starts with it.
    fn after<'t>(&self, piece: &[Part], text: &'t str) -> Option<&'t str> {
        let mut chars = text.chars();
        for part in piece {
            let c = chars.next()?;
            match *part {
                Part::Char(own) => {
                    let same = c == own || (self.case == Case::Ignored && fold::char(c) == own);
                    if !same {
                        return None;
                    }
                }
                Part::One | Part::Any => {}
            }
        }
        Some(chars.as_str())
    }

    /// What follows the first place where `piece` stands in `text`.
    fn find<'t>(&self, piece: &[Part], text: &'t str) -> Option<&'t str> {
        let Some(first) = piece.first() else { return Some(text) };
        let mut rest = text;
        loop {
            rest = rest.get(self.candidate(*first, rest)?..)?;
            if let Some(after) = self.after(piece, rest) {
                return Some(after);
            }
            let mut chars = rest.chars();
            chars.next()?;
            rest = chars.as_str();
        }
    }

    /// The next place where a piece beginning with `first` can stand.
    fn candidate(&self, first: Part, text: &str) -> Option<usize> {
        let bytes = text.as_bytes();
        match first {
            // `k` and `s` are also U+212A and U+017F.
            Part::Char(c)
                if c.is_ascii() && (self.case == Case::Exact || !matches!(c, 'k' | 's')) =>
            {
                let lower = u8::try_from(c).ok()?;
                let upper = match self.case {
                    Case::Ignored => lower.to_ascii_uppercase(),
                    Case::Exact => lower,
                };
                if lower == upper {
                    memchr::memchr(lower, bytes)
                } else {
                    memchr::memchr2(lower, upper, bytes)
                }
            }
            Part::Char(own) => text
                .char_indices()
                .find(|(_, c)| *c == own || (self.case == Case::Ignored && fold::char(*c) == own))
                .map(|(at, _)| at),
            Part::One | Part::Any => (!text.is_empty()).then_some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(wildcard: &str, text: &str, case: Case) -> bool {
        Glob::new(&Pattern::glob(wildcard), case).matches(text)
    }

    #[test]
    fn stars_stand_for_any_run_and_question_marks_for_one_character() {
        for (wildcard, text, expected) in [
            ("dep*.fail?d", "deploy.failed", true),
            ("dep*.fail?d", "dep.fail\u{1f600}d", true),
            ("dep*.fail?d", "deploy.faild", false),
            ("*", "", true),
            ("?", "", false),
            ("??", "é", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "aab b", false),
            ("*ab*b", "ab", false),
            ("*a?c", "xabcabc", true),
            ("a?", "ab", true),
            ("*?*", "", false),
        ] {
            assert_eq!(matches(wildcard, text, Case::Exact), expected, "{wildcard} {text}");
        }
    }

    #[test]
    fn case_is_ignored_by_simple_folding_or_not_at_all() {
        assert!(matches("SET*policy", "setBucketPolicy", Case::Ignored));
        assert!(!matches("SET*policy", "setBucketPolicy", Case::Exact));
        assert!(matches("*kelvin*", "x\u{212a}ELVIN", Case::Ignored));
        assert!(matches("*süß*", "SÜ\u{1e9e}", Case::Ignored));
        assert!(!matches("*süss*", "süß", Case::Ignored));
    }

    #[test]
    fn hostile_texts_cost_no_more_than_text_times_piece() {
        let text = "a".repeat(100_000);
        assert!(!matches("*a*a*a*a*a*a*a*a*a*a*a*a*b", &text, Case::Ignored));
        assert!(!matches("*aaaaaaaaaab*aaaaaaaaab*", &text, Case::Ignored));
    }

    proptest! {
        #[test]
        fn agrees_with_a_regex(wildcard in "[abkK*?.é]{0,8}", text in "[abkK\u{212a}.éÉ\n]{0,10}") {
            let source: String = wildcard.chars().map(|c| match c {
                '*' => ".*".to_owned(),
                '?' => ".".to_owned(),
                c => regex::escape(&c.to_string()),
            }).collect();
            for (flags, case) in [("(?is)", Case::Ignored), ("(?s)", Case::Exact)] {
                let regex = regex::Regex::new(&format!("{flags}\\A(?:{source})\\z")).unwrap();
                prop_assert_eq!(matches(&wildcard, &text, case), regex.is_match(&text));
            }
        }
    }
}

//! Ignoring case: Unicode simple folding, one character for one character, without normalisation.
//!
//! The table is taken from `regex-syntax`, so that `f: abc` and `f: /abc/i` can never differ in what
//! they call the same letter. It holds two characters equal exactly when Unicode's `CaseFolding`
//! (statuses C and S) does; as the common form it takes the lower-case letter.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// Every character that is not its own folded form, with that form, in order.
static TABLE: LazyLock<Box<[(char, char)]>> = LazyLock::new(|| {
    // A character with a partner has another lower or upper case, or is the case of another.
    let cased = (char::MIN..=char::MAX)
        .filter(|c| !c.to_lowercase().eq([*c]) || !c.to_uppercase().eq([*c]));
    cased.map(|c| (c, common_form(c))).filter(|(c, folded)| c != folded).collect()
});

/// The one of all characters equal to `c` that stands for them: the lower case of the first.
fn common_form(c: char) -> char {
    let same = equal_to(c);
    let first = same.iter().map(ClassUnicodeRange::start).min().unwrap_or(c);
    let mut lower = first.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) if same.iter().any(|r| r.start() <= lower && lower <= r.end()) => lower,
        _ => first,
    }
}

fn equal_to(c: char) -> ClassUnicode {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    class.case_fold_simple();
    class
}

/// The folded form of a character.
pub fn char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    match TABLE.binary_search_by_key(&c, |(from, _)| *from) {
        Ok(at) => TABLE.get(at).map_or(c, |(_, to)| *to),
        Err(_) => c,
    }
}

/// The folded form of a text; equal for texts that are equal ignoring case.
pub fn text(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| char(c) == c) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().map(char).collect())
    }
}

/// Whether two texts are equal ignoring case.
pub fn equal(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars().map(char).eq(b.chars().map(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_character_by_character_as_unicode_says() {
        for (a, b) in [
            ("EVE@x", "eve@X"),
            ("ÄÖÜ", "äöü"),
            ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
            ("\u{212a}elvin", "kelvin"),
            ("ſt", "ST"),
            ("\u{1e9e}", "ß"),
            ("Ꭰ", "ꭰ"),
            ("µ", "Μ"),
            ("ᾳ", "ᾼ"),
        ] {
            assert!(equal(a, b), "{a} {b}");
            assert_eq!(text(a), text(b));
        }
    }

    #[test]
    fn what_only_full_folding_or_normalisation_equates_stays_apart() {
        for (a, b) in [
            ("straße", "STRASSE"),
            ("ﬁ", "fi"),
            ("İ", "i"),
            ("İ", "i\u{307}"),
            ("ı", "I"),
            ("é", "e\u{301}"),
            ("ΰ", "\u{3c5}\u{308}\u{301}"),
        ] {
            assert!(!equal(a, b), "{a} {b}");
            assert_ne!(text(a), text(b));
        }
    }

    #[test]
    fn the_common_form_is_the_small_letter() {
        assert_eq!(text("Eve@EXAMPLE.com ÀÉ \u{212a}"), "eve@example.com àé k");
        assert!(matches!(text("already small é"), Cow::Borrowed(_)));
    }

    #[test]
    fn no_character_with_a_partner_is_missing_from_the_table() {
        let mut rest = ClassUnicode::new([ClassUnicodeRange::new(char::MIN, char::MAX)]);
        let table = TABLE.iter().flat_map(|(from, to)| [*from, *to]);
        let ascii = ('a'..='z').chain('A'..='Z');
        let known = ClassUnicode::new(table.chain(ascii).map(|c| ClassUnicodeRange::new(c, c)));
        rest.difference(&known);
        let mut folded = rest.clone();
        folded.case_fold_simple();
        assert_eq!(rest, folded);
    }

    #[test]
    fn folding_twice_changes_nothing() {
        for (_, to) in TABLE.iter() {
            assert_eq!(char(*to), *to);
        }
    }
}

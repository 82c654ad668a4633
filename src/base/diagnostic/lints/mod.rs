//! Every code that a diagnostic can have, as plain data: what it is about, with an example that is
//! wrong and the same put right. The reference, SARIF's help and `allow = [...]` are made of it.
//!
//! Whoever reports something new adds an entry in the file of its home; `tests/diagnostics` holds
//! that table and sources name the same codes, and that each example earns its code and each fix
//! loses it.

mod config;
mod detector;
mod file;
mod mapping;
mod query;
mod rule;

use super::Gravity;

/// One code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lint {
    /// The stable name in kebab case: `unknown-key`.
    pub code: &'static str,
    /// Whether the file can be used all the same; only a warning can be allowed.
    pub gravity: Gravity,
    /// Where the example would be written.
    pub home: Home,
    /// One sentence: what is wrong, and why that matters.
    pub summary: &'static str,
    /// What somebody might write; words if no single text shows it ([`Home::Elsewhere`]).
    pub wrong: &'static str,
    /// The same without the mistake.
    pub right: &'static str,
}

/// What the example of a code is a part of. The lines that such a file needs besides are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// A condition: `when = '…'`, and everywhere else that has one.
    Query,
    /// A rule file.
    Rule,
    /// A mapping file.
    Mapping,
    /// The configuration.
    Config,
    /// The command line, a file that is not there, several files together.
    Elsewhere,
}

/// All codes in the order of the reference: any file, queries, rules and their detectors, advice on
/// rules that are valid, mappings, configuration.
pub const LINTS: &[&[Lint]] = &[
    file::LINTS,
    query::LINTS,
    rule::LINTS,
    detector::LINTS,
    rule::ADVICE,
    mapping::LINTS,
    config::LINTS,
];

/// All codes in the order of the reference.
pub fn lints() -> impl Iterator<Item = &'static Lint> {
    LINTS.iter().copied().flatten()
}

/// What is to be said of a code.
pub fn find(code: &str) -> Option<&'static Lint> {
    lints().find(|lint| lint.code == code)
}

const fn error(
    code: &'static str,
    home: Home,
    summary: &'static str,
    wrong: &'static str,
    right: &'static str,
) -> Lint {
    Lint { code, gravity: Gravity::Error, home, summary, wrong, right }
}

const fn warning(
    code: &'static str,
    home: Home,
    summary: &'static str,
    wrong: &'static str,
    right: &'static str,
) -> Lint {
    Lint { code, gravity: Gravity::Warning, home, summary, wrong, right }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_code_is_listed_twice_and_each_is_in_kebab_case() {
        let mut seen = BTreeSet::new();
        for lint in lints() {
            assert!(seen.insert(lint.code), "{} is listed twice", lint.code);
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(lint.code.chars().all(kebab), "{}", lint.code);
            assert!(lint.summary.ends_with('.'), "{}: a sentence", lint.code);
            assert_ne!(lint.wrong, lint.right, "{}", lint.code);
        }
        assert!(seen.len() > 80);
    }
}

//! Rule files: what an author is told about a mistake, and what a file without mistakes means.

#![expect(
    clippy::unwrap_used,
    clippy::needless_raw_string_hashes,
    reason = "a test may panic; expected texts are written by a tool"
)]

mod checks;
mod meaning;
mod mistakes;
mod overrides;

use expect_test::Expect;
use hark::base::diagnostic::{SourceText, render};
use hark::query::Sets;
use hark::rule::{Context, Rule, parse};

/// A rule file with `lines` below its required keys.
fn rule(lines: &str) -> String {
    format!("title = \"x\"\nseverity = \"low\"\nwhen = 'event.action: x'\n{lines}\n")
}

fn read(text: &str) -> (Option<Rule>, String) {
    let source = SourceText::new("rules/x.toml", text);
    let sets = Sets::default();
    let (rule, found) = parse(&source, "x", &Context::new(&sets));
    assert_eq!(rule.is_none(), found.has_errors());
    (rule, render(&source, &found, false))
}

fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&read(text).1);
}

fn ok(text: &str) -> Rule {
    let (rule, said) = read(text);
    assert_eq!(said, "");
    rule.unwrap()
}

//! `allow = ["missing-test"]`: warnings that an author has read and wants no more of, by name.

use super::lints::{self, lints};
use super::{Diagnostic, Diagnostics, Gravity};
use crate::base::document::{Table, Text};
use crate::base::suggest;

/// Reads the key `allow`; every name must be that of a warning.
pub fn read(table: &mut Table<'_>, found: &mut Diagnostics) -> Vec<Text> {
    let mut names = table.texts("allow", found).unwrap_or_default();
    names.retain(|name| match refusal(&name.value) {
        None => true,
        Some((message, help)) => {
            let span = name.locate(0..name.value.len());
            found.push(Diagnostic::error("unknown-lint", span, message).help(help));
            false
        }
    });
    names
}

/// Why nothing of that name can be allowed, and what to do.
fn refusal(name: &str) -> Option<(String, String)> {
    match lints::find(name).map(|lint| lint.gravity) {
        Some(Gravity::Warning) => None,
        Some(Gravity::Error) => Some((
            format!("`{name}` is an error, and cannot be allowed"),
            "put it right, or switch the rule off with `enabled = false`".to_owned(),
        )),
        None => {
            let warnings = || lints().filter(|lint| lint.gravity == Gravity::Warning);
            let near = suggest::nearest(name, warnings().map(|lint| lint.code));
            let all = || warnings().map(|lint| lint.code).collect::<Vec<_>>().join(", ");
            let help = near.map_or_else(
                || format!("expected one of {}", all()),
                |near| format!("did you mean `{near}`?"),
            );
            Some((format!("unknown warning `{name}`"), help))
        }
    }
}

/// What is left when the warnings of these names are taken away.
#[must_use]
pub fn without<S: AsRef<str>>(found: Diagnostics, names: &[S]) -> Diagnostics {
    let allowed = |diagnostic: &Diagnostic| {
        diagnostic.gravity == Gravity::Warning
            && names.iter().any(|name| name.as_ref() == diagnostic.code)
    };
    found.into_iter().filter(|diagnostic| !allowed(diagnostic)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::document::Document;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: &Expect) {
        let document = Document::parse(text);
        let mut found = Diagnostics::new();
        let names = read(&mut document.root(&mut Diagnostics::new()), &mut found);
        let names: Vec<String> = names.into_iter().map(|name| name.value).collect();
        let told = found.iter().map(|d| format!("\n{}; {}", d.message, d.help.clone().unwrap()));
        expected.assert_eq(&format!("{names:?}{}", told.collect::<String>()));
    }

    #[test]
    fn only_warnings_can_be_allowed_and_a_slip_gets_a_suggestion() {
        check(
            "allow = ['missing-test', 'regex-case']",
            &expect![[r#"["missing-test", "regex-case"]"#]],
        );
        check(
            "allow = ['missing-tests', 'unknown-key']",
            &expect![[r"
                []
                unknown warning `missing-tests`; did you mean `missing-test`?
                `unknown-key` is an error, and cannot be allowed; put it right, or switch the rule off with `enabled = false`"]],
        );
    }

    #[test]
    fn an_error_stays_whatever_is_allowed() {
        let found: Diagnostics = [
            Diagnostic::error("missing-key", 0..1, "x"),
            Diagnostic::warning("missing-test", 0..1, "x"),
            Diagnostic::warning("never-true", 0..1, "x"),
        ]
        .into_iter()
        .collect();
        let left = without(found, &["missing-key", "missing-test"]);
        assert_eq!(left.iter().map(|d| d.code).collect::<Vec<_>>(), ["missing-key", "never-true"]);
    }
}

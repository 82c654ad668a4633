//! What the settings of all families of destinations share: `[family.NAME.KIND]`.

use crate::base::document::{Spanned, Table};
use crate::base::{Diagnostic, Diagnostics, suggest};

/// The longest name of a destination; it becomes part of a consumer group's name and of metrics.
pub const NAME_BYTES_MAX: usize = 64;

/// The destinations in the table of a family: name, place of the kind in `kinds`, the kind's table.
/// Every mistake on the way to that table is reported.
pub fn members<'d>(
    family: &Table<'d>,
    kinds: &[&'static str],
    found: &mut Diagnostics,
) -> Vec<(Spanned<String>, usize, Table<'d>)> {
    let mut members = Vec::new();
    for name in family.keys() {
        if !is_name(&name.value) {
            found.push(
                Diagnostic::error(
                    "bad-name",
                    name.span.clone(),
                    format!(
                        "expected lower-case letters, digits, `-` and `_`, found `{}`",
                        name.value
                    ),
                )
                .help(format!("at most {NAME_BYTES_MAX} of them, starting with a letter")),
            );
        }
        let Some(named) = family.any(&name.value).and_then(|item| item.table(found)) else {
            continue;
        };
        let expected = || format!("expected one of {}", kinds.join(", "));
        let written = named.keys();
        if written.is_empty() {
            found.push(
                Diagnostic::error(
                    "missing-kind",
                    name.span.clone(),
                    format!("`{}` does not say what it is", named.path()),
                )
                .help(format!("write `[{}.KIND]`: {}", named.path(), expected())),
            );
        }
        let mut first: Option<Spanned<String>> = None;
        for key in written {
            let Some(kind) = kinds.iter().position(|kind| *kind == key.value) else {
                let help = suggest::nearest(&key.value, kinds.iter().copied())
                    .map_or_else(expected, |near| format!("did you mean `{near}`?"));
                found.push(
                    Diagnostic::error(
                        "unknown-kind",
                        key.span,
                        format!("unknown kind `{}` in `[{}]`", key.value, named.path()),
                    )
                    .help(help),
                );
                continue;
            };
            if let Some(first) = &first {
                found.push(
                    Diagnostic::error(
                        "two-kinds",
                        key.span,
                        format!("`{}` is of kind `{}` already", named.path(), first.value),
                    )
                    .help("give the second one a name of its own"),
                );
                continue;
            }
            if let Some(table) = named.any(&key.value).and_then(|item| item.table(found)) {
                members.push((name.clone(), kind, table));
            }
            first = Some(key);
        }
    }
    members
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::document::Document;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: &Expect) {
        let document = Document::parse(text);
        let mut found = Diagnostics::new();
        let root = document.root(&mut found);
        let Some(family) = root.any("sinks").and_then(|item| item.table(&mut found)) else {
            panic!("no family in {text}");
        };
        let members = members(&family, &["alpha", "beta"], &mut found);
        let mut lines: Vec<_> = members
            .iter()
            .map(|(name, kind, table)| format!("{} = {kind} at {}", name.value, table.path()))
            .collect();
        lines.extend(found.iter().map(|d| d.message.clone()));
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_destination_is_a_name_and_a_kind() {
        check(
            "[sinks.b.alpha]\n[sinks.a.beta]\n",
            &expect![[r"
                b = 0 at sinks.b.alpha
                a = 1 at sinks.a.beta"]],
        );
    }

    #[test]
    fn every_mistake_on_the_way_is_reported() {
        check(
            "[sinks.One.alpha]\n[sinks.two]\n[sinks.three]\nalhpa = {}\n[sinks.four]\nalpha = {}\nbeta = {}\n[sinks]\nfive = 5\n[sinks.six]\nbeta = 6\n",
            &expect![[r"
                One = 0 at sinks.One.alpha
                four = 0 at sinks.four.alpha
                expected lower-case letters, digits, `-` and `_`, found `One`
                `sinks.two` does not say what it is
                unknown kind `alhpa` in `[sinks.three]`
                `sinks.four` is of kind `alpha` already
                `five`: expected a table, found an integer
                `beta`: expected a table, found an integer"]],
        );
    }
}

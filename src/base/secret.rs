//! Values that must not be shown: tokens, passwords, signing keys; and how a file names them.
//!
//! A settings file never holds a secret itself, only where it is: `{ env = "NAME" }` or
//! `{ file = "path" }`. Reading environment and files is the shell's business ([`Secrets`]).

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use super::diagnostic::{Diagnostic, Diagnostics, Gravity};
use super::document::{Item, Table};
use super::keys::{KeySpec, Shape};

/// The keys of a table that says where a secret is; it has one of them.
pub const KEYS: &[KeySpec] = &[
    KeySpec::optional("env", Shape::Text, "", "The name of an environment variable."),
    KeySpec::optional(
        "file",
        Shape::Text,
        "",
        "A file; a relative path is relative to the configuration.",
    ),
];

/// How a secret is written.
pub const SHAPE: Shape = Shape::OneOf(KEYS);

/// A value whose `Debug` and `Display` print `***`. It has no `Serialize` on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T = String>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one call that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the value of a secret stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; a relative path is relative to the file that names it.
    File(PathBuf),
}

/// Who can read secrets (and certificates, which are named the same way): `config` in the daemon.
pub trait Secrets {
    /// The text as it stands there, or a sentence why it cannot be had.
    fn resolve(&self, source: &SecretSource) -> Result<String, String>;

    /// What it means that a secret is not there; `None`: nothing, for whoever asks sends nothing.
    fn missing(&self) -> Option<Gravity> {
        Some(Gravity::Error)
    }
}

/// Reads the secret that `key` names; one line break at its end is not part of it.
///
/// Every mistake is reported: a secret written in the file itself, one that cannot be had, an empty one.
/// The last two are as grave as [`Secrets::missing`] says.
pub fn read(
    table: &mut Table<'_>,
    key: &'static str,
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Option<Secret> {
    read_item(&table.item(key)?, found, secrets)
}

/// The same for a value in a list, or under a name not known in advance.
pub fn read_item(
    item: &Item<'_>,
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Option<Secret> {
    if !item.is_table() {
        let name = item.path().rsplit('.').next().unwrap_or_default();
        found.push(
            Diagnostic::error(
                "plain-secret",
                item.span.clone(),
                format!("`{name}` is a secret and may not stand in this file"),
            )
            .label("expected a table")
            .help("write where it is: `{ env = \"NAME\" }` or `{ file = \"path\" }`"),
        );
        return None;
    }
    let mut table = item.table(found)?;
    let env = table.text("env", found);
    let file = table.text("file", found);
    let both_or_none = table.has("env") == table.has("file");
    table.finish(found);
    let (source, span) = match (env, file) {
        _ if both_or_none => {
            found.push(
                Diagnostic::error(
                    "bad-secret",
                    item.span.clone(),
                    "expected one of `env` and `file`",
                )
                .help("write where it is: `{ env = \"NAME\" }` or `{ file = \"path\" }`"),
            );
            return None;
        }
        (Some(env), _) => (SecretSource::Env(env.value), env.span),
        (_, Some(file)) => (SecretSource::File(file.value.into()), file.span),
        (None, None) => return None,
    };
    match secrets.resolve(&source) {
        Ok(text) => {
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            if text.is_empty() {
                found.extend(missing(span, "this secret is empty".to_owned(), secrets));
                return None;
            }
            Some(Secret::new(text.to_owned()))
        }
        Err(why) => {
            found.extend(missing(span, why, secrets));
            None
        }
    }
}

/// What is said of a secret that is not there, where somebody needs it.
fn missing(span: Range<usize>, why: String, secrets: &dyn Secrets) -> Option<Diagnostic> {
    let gravity = secrets.missing()?;
    let message = match gravity {
        Gravity::Error => why,
        Gravity::Warning => format!("{why}; needed by `hark run`"),
    };
    let help = "set the variable or mount the file where Hark runs";
    let missing = Diagnostic::error("missing-secret", span, message).help(help);
    Some(Diagnostic { gravity, ..missing })
}

/// The text with what must not be shown of it masked: every value that is a secret and stands there
/// itself. Line breaks stay, and so does the number of bytes, so that every place is where it was.
pub fn masked(text: &str, found: &Diagnostics) -> String {
    let mut masked = text.to_owned();
    let plain = found.iter().filter(|diagnostic| diagnostic.code == "plain-secret");
    for span in plain.filter_map(|diagnostic| diagnostic.span.clone()) {
        let Some(written) = masked.get(span.clone()) else { continue };
        let quotes = ['"', '\''];
        let value = written.trim_matches(quotes);
        let start = span.start + (written.len() - written.trim_start_matches(quotes).len());
        let mask =
            value.bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect::<String>();
        let end = start + value.len();
        if masked.get(start..end).is_some() {
            masked.replace_range(start..end, &mask);
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::document::Document;
    use expect_test::{Expect, expect};

    struct Known;

    impl Secrets for Known {
        fn resolve(&self, source: &SecretSource) -> Result<String, String> {
            match source {
                SecretSource::Env(name) if name == "TOKEN" => Ok("s3cret".to_owned()),
                SecretSource::File(path) if path.ends_with("token") => Ok("s3cret\n".to_owned()),
                SecretSource::File(path) if path.ends_with("empty") => Ok("\n".to_owned()),
                SecretSource::Env(name) => Err(format!("environment variable `{name}` is not set")),
                SecretSource::File(path) => Err(format!("cannot read `{}`", path.display())),
            }
        }
    }

    fn check(text: &str, expected: &Expect) {
        let document = Document::parse(text);
        let mut found = Diagnostics::new();
        let secret = read(&mut document.root(&mut Diagnostics::new()), "token", &mut found, &Known);
        let messages: Vec<_> = found.iter().map(|d| d.message.clone()).collect();
        expected.assert_eq(&format!("{:?} {messages:?}", secret.map(|s| s.expose().clone())));
    }

    #[test]
    fn a_secret_is_named_by_variable_or_file() {
        check("token = { env = 'TOKEN' }", &expect![[r#"Some("s3cret") []"#]]);
        check("token = { file = '/run/token' }", &expect![[r#"Some("s3cret") []"#]]);
    }

    #[test]
    fn whatever_else_is_written_is_reported() {
        check(
            "token = 's3cret'",
            &expect![[r#"None ["`token` is a secret and may not stand in this file"]"#]],
        );
        check("token = {}", &expect![[r#"None ["expected one of `env` and `file`"]"#]]);
        check(
            "token = { env = 'TOKEN', file = 'token' }",
            &expect![[r#"None ["expected one of `env` and `file`"]"#]],
        );
        check(
            "token = { env = 'NONE' }",
            &expect![[r#"None ["environment variable `NONE` is not set"]"#]],
        );
        check("token = { file = 'empty' }", &expect![[r#"None ["this secret is empty"]"#]]);
        check(
            "token = { env = 'TOKEN', exec = 'x' }",
            &expect![[r#"Some("s3cret") ["unknown key `exec` in `[token]`"]"#]],
        );
    }

    #[test]
    fn never_prints_itself() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(
            format!("{secret:?} {secret} {:#?}", Some(&secret)),
            "*** *** Some(\n    ***,\n)"
        );
    }
}

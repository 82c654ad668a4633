//! Tree → text: the canonical form, in the dialect of TOML, that parses back to the same tree.

use std::fmt;

use super::ast::{Bound, Bounds, Case, Expr, Limit, Literal, Term, Test};
use super::net;
use super::parse::KEYWORDS;
use super::pattern::{Part, Pattern};
use crate::event::{FieldName, Number};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => join(f, parts, " and "),
            Self::Or(parts) => join(f, parts, " or "),
            Self::Not(inner) => {
                f.write_str("not ")?;
                below(f, inner)
            }
            Self::Term(term) => write!(f, "{term}"),
            Self::FreeText(free) => f.write_str(&quoted(&free.text)),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, parts: &[Expr], word: &str) -> fmt::Result {
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            f.write_str(word)?;
        }
        below(f, part)?;
    }
    Ok(())
}

/// An operand: `and` inside `or` needs no parentheses, but is easier to read with them.
fn below(f: &mut fmt::Formatter<'_>, part: &Expr) -> fmt::Result {
    match part {
        Expr::And(_) | Expr::Or(_) => write!(f, "({part})"),
        Expr::Not(_) | Expr::Term(_) | Expr::FreeText(_) => write!(f, "{part}"),
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name(f, &self.field)?;
        match &self.test {
            Test::Exists => f.write_str(": *"),
            Test::Equals(literal, case) => {
                f.write_str(sign(*case))?;
                match literal {
                    Literal::Number(number) => f.write_str(&number_text(*number)),
                    Literal::Text(text) => f.write_str(&bare_or_quoted(text)),
                }
            }
            Test::Like(pattern, case) => write!(f, "{}{}", sign(*case), pattern_text(pattern)),
            Test::Address(address) => write!(f, ": {address}"),
            Test::Network(network) => write!(f, ": {}", network.text()),
            Test::Within(bounds) => within(f, bounds),
            Test::Matches(regex) => {
                let flag = if regex.ignores_case() { "i" } else { "" };
                write!(f, ": /{}/{flag}", slashes_escaped(regex.source()))
            }
            Test::In(set) => {
                let plain =
                    set.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
                if plain { write!(f, ": @{set}") } else { write!(f, ": @{}", quoted(set)) }
            }
            Test::Same(other, case) => write!(f, "{}${other}", sign(*case)),
            Test::Element(inner) => write!(f, ": {{ {inner} }}"),
        }
    }
}

fn sign(case: Case) -> &'static str {
    match case {
        Case::Ignored => ": ",
        Case::Exact => " == ",
    }
}

fn name(f: &mut fmt::Formatter<'_>, field: &FieldName) -> fmt::Result {
    let text = field.to_string();
    if KEYWORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        write!(f, "\"{text}\"")
    } else {
        f.write_str(&text)
    }
}

fn within(f: &mut fmt::Formatter<'_>, bounds: &Bounds) -> fmt::Result {
    match (bounds.lower, bounds.upper) {
        (Some(lower), Some(upper)) => {
            write!(f, ": [{} to {}]", Shown(lower.at), Shown(upper.at))
        }
        (Some(Bound { at, inclusive: true }), None) => write!(f, " >= {}", Shown(at)),
        (Some(Bound { at, inclusive: false }), None) => write!(f, " > {}", Shown(at)),
        (None, Some(Bound { at, inclusive: true })) => write!(f, " <= {}", Shown(at)),
        (None, Some(Bound { at, inclusive: false })) => write!(f, " < {}", Shown(at)),
        (None, None) => f.write_str(": *"),
    }
}

struct Shown(Limit);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Limit::Number(number) => f.write_str(&number_text(number)),
            Limit::Time(time) => write!(f, "{time}"),
        }
    }
}

/// Digits beyond 64 bits would read back as a text.
fn number_text(number: Number) -> String {
    let text = number.to_string();
    match number {
        Number::Float(n) if !text.contains('.') => format!("{n:e}"),
        _ => text,
    }
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A text without quotes if that reads back as the same text.
pub(super) fn bare_or_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-:/@+%".contains(c);
    let is_boolean = matches!(text, "true" | "false");
    let bare = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(plain)
        && (is_boolean || !KEYWORDS.iter().any(|word| text.eq_ignore_ascii_case(word)))
        && Number::parse(text).is_none()
        && net::address(text).is_none()
        && net::Network::parse(text).is_none();
    if bare { text.to_owned() } else { quoted(text) }
}

pub(super) fn pattern_text(pattern: &Pattern) -> String {
    let mut text = String::new();
    for part in pattern.parts() {
        match *part {
            Part::Any => text.push('*'),
            Part::One => text.push('?'),
            Part::Char(c) => {
                let special = c.is_whitespace()
                    || (c.is_ascii_punctuation() && !"_.-:/@".contains(c))
                    || (text.is_empty() && c.is_ascii_punctuation());
                if special {
                    text.push('\\');
                }
                text.push(c);
            }
        }
    }
    text
}

/// A regex's source with every unescaped `/` escaped.
pub(super) fn slashes_escaped(source: &str) -> String {
    let mut text = String::new();
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        match c {
            '/' => text.push_str("\\/"),
            '\\' => {
                text.push(c);
                text.extend(chars.next());
            }
            c => text.push(c),
        }
    }
    text
}

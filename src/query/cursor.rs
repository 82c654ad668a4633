//! The words of a query: where they begin and end, quotes and escapes. What words mean is decided
//! in `parse`.

use std::ops::Range;

use super::parse::{MISTAKES_MAX, Operator};
use super::pattern::Part;
use crate::base::Diagnostic;

/// A place in a query's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

/// A bare value.
#[derive(Debug)]
pub(super) struct Bare {
    pub(super) parts: Vec<Part>,
    /// Whether a character was escaped: then it is text, whatever it looks like.
    pub(super) escaped: bool,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// Where it stands, in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// All that is left.
    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What stands in `range`.
    pub(super) fn slice(&self, range: Range<usize>) -> &'t str {
        self.text.get(range).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Goes past `token` if it stands here.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        let here = self.rest().starts_with(token);
        if here {
            self.at += token.len();
        }
        here
    }

    /// Goes past white space and comments; a word may begin here.
    pub(super) fn skip_space(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.text.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// The keyword that stands here as a whole word, in small letters; the cursor stays.
    pub(super) fn keyword(&self) -> Option<&'static str> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let ends = match rest.get(end..)?.chars().next() {
            None => true,
            Some(c) => c.is_whitespace() || matches!(c, '(' | ')' | '"' | '}' | ']' | '{'),
        };
        super::parse::KEYWORDS.into_iter().find(|word| {
            ends && rest.get(..end).is_some_and(|here| here.eq_ignore_ascii_case(word))
        })
    }

    /// Goes past `word` if that keyword stands here.
    pub(super) fn eat_keyword(&mut self, word: &str) -> bool {
        let here = self.keyword() == Some(word);
        if here {
            self.at += word.len();
        }
        here
    }

    /// A quoted text, the cursor standing on the opening quote. Mistakes are reported, what can be
    /// read is returned.
    pub(super) fn quoted(&mut self, found: &mut Vec<Diagnostic>) -> Option<String> {
        let start = self.at;
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Some(text),
                Some('\\') => text.extend(self.escaped(start, found)),
                Some(c) => text.push(c),
                None => {
                    found.push(
                        Diagnostic::error("unclosed", start..start + 1, "this quote is not closed")
                            .help("add `\"` at the end; a quote inside is written `\\\"`"),
                    );
                    return None;
                }
            }
        }
    }

    /// A bare value: up to white space, `)` or `closing`.
    pub(super) fn bare(&mut self, closing: Option<char>, found: &mut Vec<Diagnostic>) -> Bare {
        let start = self.at;
        let mut bare = Bare { parts: Vec::new(), escaped: false };
        while let Some(c) = self.peek() {
            if c.is_whitespace() || c == ')' || Some(c) == closing {
                break;
            }
            self.next();
            bare.parts.push(match c {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => {
                    bare.escaped = true;
                    match self.escaped(start, found) {
                        Some(c) => Part::Char(c),
                        None => break,
                    }
                }
                c => Part::Char(c),
            });
        }
        bare
    }

    /// The character after a backslash, in a word that began at `start`.
    fn escaped(&mut self, start: usize, found: &mut Vec<Diagnostic>) -> Option<char> {
        let backslash = self.at - 1;
        let c = self.next();
        match c {
            // Each shows its whole word: one word of many mistakes would say megabytes.
            Some(c) if c.is_alphanumeric() && found.len() >= MISTAKES_MAX => {}
            Some(c) if c.is_alphanumeric() => {
                let word = self.word_around(start);
                found.push(
                    Diagnostic::error(
                        "bad-escape",
                        backslash..self.at,
                        format!("expected a sign after `\\`, found `{c}`"),
                    )
                    .help(format!(
                        "`\\` takes away the meaning of the sign that follows; for a backslash write `\\\\`: `{}`",
                        double_backslashes(word)
                    )),
                );
            }
            None => found.push(
                Diagnostic::error(
                    "bad-escape",
                    backslash..self.at,
                    "expected a sign after `\\`, found the end",
                )
                .help("for a backslash write `\\\\`"),
            ),
            Some(_) => {}
        }
        c
    }

    /// The whole word that began at `start`, as far as it can be seen.
    fn word_around(&self, start: usize) -> &'t str {
        let word = self.text.get(start..).unwrap_or_default();
        let end = if word.starts_with('"') {
            let quote = self.rest().find('"').map(|at| self.at - start + at + 1);
            quote.unwrap_or(word.len())
        } else {
            word.find(|c: char| c.is_whitespace() || c == ')').unwrap_or(word.len())
        };
        word.get(..end).unwrap_or_default()
    }

    /// A regex, the cursor standing on the opening slash: what is between the slashes (with `\/` read
    /// as `/`) and the letters that follow. `None` when it is not closed; the cursor is at the end then.
    pub(super) fn regex(&mut self) -> Option<(String, &'t str)> {
        self.next();
        let mut source = String::new();
        loop {
            match self.next()? {
                '/' => break,
                '\\' => match self.next()? {
                    '/' => source.push('/'),
                    c => source.extend(['\\', c]),
                },
                c => source.push(c),
            }
        }
        let start = self.at;
        while self.peek().is_some_and(char::is_alphanumeric) {
            self.next();
        }
        Some((source, self.slice(start..self.at)))
    }

    /// Goes past what may be a field name: up to white space, a comparison or a bracket, quotes and
    /// escapes kept together.
    pub(super) fn name(&mut self) {
        while let Some(c) = self.peek() {
            let rest = self.rest();
            let sign = ["!=", "!~", "!:", "&&", "||"].iter().any(|sign| rest.starts_with(sign));
            if sign
                || c.is_whitespace()
                || matches!(c, ':' | '<' | '>' | '=' | '(' | ')' | '{' | '}')
            {
                return;
            }
            match c {
                '"' => drop(self.quoted(&mut Vec::new())),
                '\\' => {
                    self.next();
                    self.next();
                }
                _ => drop(self.next()),
            }
        }
    }

    /// Goes past a comparison, if one stands here; one of other languages is returned as its place.
    pub(super) fn operator(&mut self) -> Option<Result<Operator, Range<usize>>> {
        const KNOWN: [(&str, Operator); 6] = [
            ("==", Operator::Exact),
            (">=", Operator::Greater { inclusive: true }),
            ("<=", Operator::Less { inclusive: true }),
            (":", Operator::Colon),
            (">", Operator::Greater { inclusive: false }),
            ("<", Operator::Less { inclusive: false }),
        ];
        const FOREIGN: [&str; 11] =
            ["===", "!==", ":=", "!=", "!~", "!:", "<>", "=~", "=>", "=<", "="];
        let start = self.at;
        // `==` is longer than `=`, `===` longer than `==`: foreign signs are looked at first where
        // they are the longer ones.
        let known = KNOWN.into_iter().find(|(sign, _)| self.rest().starts_with(sign));
        let foreign = FOREIGN.into_iter().find(|sign| self.rest().starts_with(sign));
        match (known, foreign) {
            (Some((sign, operator)), foreign) if foreign.is_none_or(|f| f.len() <= sign.len()) => {
                self.eat(sign);
                Some(Ok(operator))
            }
            (_, Some(sign)) => {
                self.eat(sign);
                Some(Err(start..self.at))
            }
            _ => None,
        }
    }

    /// Moves to a place.
    pub(super) fn go(&mut self, at: usize) {
        self.at = at;
    }

    /// Goes to the end of the word that stands here (for messages and to carry on after mistakes):
    /// a quoted text as a whole, else up to white space or a bracket.
    pub(super) fn skip_word(&mut self) {
        let start = self.at;
        while let Some(c) = self.peek() {
            if c.is_whitespace() || matches!(c, '(' | ')' | '}' | ']') {
                break;
            }
            if c == '"' && self.quoted(&mut Vec::new()).is_some() {
                continue;
            }
            self.next();
        }
        if self.at == start {
            self.next();
        }
    }
}

/// The word with every lone backslash before a letter or digit doubled.
fn double_backslashes(word: &str) -> String {
    let mut out = String::new();
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '\\' {
            match chars.peek() {
                Some(next) if next.is_alphanumeric() => out.push('\\'),
                Some(_) => out.extend(chars.next()),
                None => {}
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_begin_only_where_a_word_could() {
        let mut cursor = Cursor::new("  # one\n # two\n x");
        cursor.skip_space();
        assert_eq!(cursor.rest(), "x");
        let mut cursor = Cursor::new("a#b c");
        let bare = cursor.bare(None, &mut Vec::new());
        assert_eq!(bare.parts, ['a', '#', 'b'].map(Part::Char));
    }

    #[test]
    fn the_whole_word_is_shown_with_its_backslashes_doubled() {
        let mut found = Vec::new();
        Cursor::new(r#""C:\Windows\System \"x\"" and"#).quoted(&mut found);
        assert_eq!(found.len(), 2);
        let help = found[0].help.as_deref().unwrap();
        assert!(help.contains(r#"`"C:\\Windows\\System \"`"#), "{help}");
    }
}

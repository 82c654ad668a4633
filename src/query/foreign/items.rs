//! Values as other languages write them, and the same in the form of this one.

use super::super::Query;
use super::super::cursor::Cursor;
use super::super::pattern::{Part, Pattern};
use super::super::print::{bare_or_quoted, pattern_text, slashes_escaped};
use super::words::Asks;

/// A value.
#[derive(Debug, Clone)]
pub(super) struct Item<'t> {
    /// As it stands there.
    pub(super) written: &'t str,
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bare,
    Double,
    Single,
    /// `/…/`, with or without `i`.
    Regex,
    /// `@list` and `$field`.
    Reference,
}

/// Values one after the other.
#[derive(Debug, Default)]
pub(super) struct Items<'t> {
    pub(super) all: Vec<Item<'t>>,
    /// Where the first comma stands.
    pub(super) comma: Option<usize>,
    /// Whether a comma ends a word, as it never does inside a value.
    pub(super) apart: bool,
}

/// Goes past one value. `None`: there is none, or none that can be read; the cursor is anywhere then.
pub(super) fn item<'t>(cursor: &mut Cursor<'t>) -> Option<Item<'t>> {
    let start = cursor.at();
    let (kind, text) = match cursor.peek()? {
        '"' => (Kind::Double, cursor.quoted(&mut Vec::new())?),
        '\'' => {
            cursor.next();
            let end = cursor.rest().find('\'')?;
            let text = cursor.rest().get(..end)?;
            cursor.go(cursor.at() + end + 1);
            (Kind::Single, text.to_owned())
        }
        '(' | ')' | '[' | ']' | '{' | '}' | ',' => return None,
        first => match regex(cursor) {
            Some(source) if first == '/' => (Kind::Regex, source),
            _ => {
                while cursor.peek().is_some_and(|c| !ends_bare(c)) {
                    cursor.next();
                }
                let kind = if matches!(first, '@' | '$') { Kind::Reference } else { Kind::Bare };
                (kind, cursor.slice(start..cursor.at()).to_owned())
            }
        },
    };
    let ends = cursor.peek().is_none_or(|c| ends_bare(c) || c == '}');
    ends.then(|| Item { written: cursor.slice(start..cursor.at()), text, kind })
}

/// Goes past a regex if a whole one stands here; what is between its slashes.
fn regex(cursor: &mut Cursor<'_>) -> Option<String> {
    let mut after = *cursor;
    if after.peek() != Some('/') {
        return None;
    }
    let (source, flags) = after.regex()?;
    let whole = matches!(flags, "" | "i") && after.peek().is_none_or(ends_bare);
    whole.then(|| {
        *cursor = after;
        source
    })
}

fn ends_bare(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ')' | ']')
}

/// Goes past values: in brackets, or as many as commas join. `None`: they are none that can be read, and
/// the cursor stays.
pub(super) fn items<'t>(cursor: &mut Cursor<'t>) -> Option<Items<'t>> {
    let mut after = *cursor;
    let closing = match after.peek()? {
        '(' => Some(')'),
        '[' => Some(']'),
        _ => None,
    };
    if closing.is_some() {
        after.next();
    }
    let mut found = Items::default();
    loop {
        after.skip_space();
        if closing.is_some() && after.peek() == closing {
            after.next();
            break;
        }
        if after.keyword().is_some_and(|word| matches!(word, "and" | "or" | "not" | "to")) {
            return None;
        }
        let item = item(&mut after)?;
        if closing.is_some() && item.bare().is_some_and(|text| text.contains(['(', '['])) {
            // No value, and perhaps the begin of the next list: it is not to be looked at for this one, too.
            return None;
        }
        found.all.push(item);
        let end = after;
        after.skip_space();
        let comma = after.at();
        if after.eat(",") {
            let quote = matches!(found.all.last()?.kind, Kind::Double | Kind::Single);
            let spaced = after.peek().is_none_or(|c| c.is_whitespace() || matches!(c, '"' | '\''));
            found.apart |= quote || spaced || comma > end.at();
            found.comma.get_or_insert(comma);
        } else if closing.is_some() {
            // `in ("a" "b")` and `in ("a" or "b")` are read as well.
            let _joined = after.eat_keyword("or") || after.eat("||") || after.eat("|");
        } else {
            after = end;
            break;
        }
    }
    *cursor = after;
    Some(found)
}

impl Item<'_> {
    /// The value as what a word asks needs it; `wild`: `*` and `?` are signs in quotes, too.
    pub(super) fn as_asked(&self, asks: Asks, wild: bool) -> Option<String> {
        match (asks, self.kind) {
            (_, Kind::Reference) | (Asks::Equals, Kind::Regex) => Some(self.written.to_owned()),
            (Asks::Regex { ignores_case }, _) => self.as_regex(ignores_case),
            (_, Kind::Regex) => None,
            (Asks::Begins, _) => self.pattern(wild, false, true),
            (Asks::Ends, _) => self.pattern(wild, true, false),
            (Asks::Contains, _) => self.pattern(wild, true, true),
            (Asks::Like, _) => Some(like(&self.text)),
            (Asks::Equals, _) => Some(self.plain(wild)),
            (Asks::Network | Asks::Over(_) | Asks::Between, _) => {
                Some(self.text.clone()).filter(|text| !text.contains(char::is_whitespace))
            }
            (Asks::Field, _) => Some(format!("${}", self.text)),
            (Asks::Exists | Asks::Missing, _) => None,
        }
    }

    /// The value itself. Quoted ones keep their quotes, unless these are single.
    pub(super) fn plain(&self, wild: bool) -> String {
        let has_sign = self.text.contains(['*', '?']);
        match self.kind {
            Kind::Double if !(wild && has_sign) => self.written.to_owned(),
            Kind::Single | Kind::Double if wild && has_sign => {
                pattern_text(&Pattern::glob(&self.text))
            }
            Kind::Bare if reads_as_value(self.written) => self.written.to_owned(),
            Kind::Single if self.text.is_empty() => "\"\"".to_owned(),
            _ => bare_or_quoted(&self.text),
        }
    }

    /// The text between wildcards.
    fn pattern(&self, wild: bool, before: bool, behind: bool) -> Option<String> {
        if self.text.is_empty() {
            return None;
        }
        let wild = wild || self.kind == Kind::Bare;
        let own = self.text.chars().map(|c| match c {
            '*' if wild => Part::Any,
            '?' if wild => Part::One,
            c => Part::Char(c),
        });
        let any = |there: bool| there.then_some(Part::Any);
        let parts = any(before).into_iter().chain(own).chain(any(behind));
        Some(pattern_text(&Pattern::new(parts)))
    }

    /// Elsewhere a backslash in a quoted regex is the regex's own.
    fn as_regex(&self, ignores_case: bool) -> Option<String> {
        let source = match self.kind {
            Kind::Regex => {
                let flag = if ignores_case && !self.written.ends_with('i') { "i" } else { "" };
                return Some(format!("{}{flag}", self.written));
            }
            Kind::Double => self.written.trim_matches('"'),
            _ => self.text.as_str(),
        };
        if source.is_empty() {
            return None;
        }
        let flag = if ignores_case { "i" } else { "" };
        Some(format!("/{}/{flag}", slashes_escaped(source)))
    }

    /// Whether it may be the name of a field that an operator or a colon belongs to.
    pub(super) fn looks_like_a_term(&self) -> bool {
        let name = self.written.split_once(':').map(|(name, rest)| (name, rest.is_empty()));
        self.kind == Kind::Bare
            && name.is_some_and(|(name, ends)| {
                ends || (name.contains('.') && !name.starts_with(|c: char| c.is_ascii_digit()))
            })
    }

    /// What it is when it is no text in quotes.
    pub(super) fn bare(&self) -> Option<&str> {
        (self.kind == Kind::Bare).then_some(self.text.as_str())
    }
}

/// The pattern of a SQL `like`: `%` for any run of characters, `_` for one. Where there are only the
/// wildcards of here, they are meant (as in EQL).
fn like(text: &str) -> String {
    if !text.contains(['%', '_']) || (text.contains(['*', '?']) && !text.contains('%')) {
        return pattern_or_text(&Pattern::glob(text));
    }
    let (mut parts, mut chars) = (Vec::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        parts.push(match c {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' if matches!(chars.peek(), Some('%' | '_' | '\\')) => {
                Part::Char(chars.next().unwrap_or(c))
            }
            c => Part::Char(c),
        });
    }
    pattern_or_text(&Pattern::new(parts))
}

fn pattern_or_text(pattern: &Pattern) -> String {
    let plain: Option<String> = pattern
        .parts()
        .iter()
        .map(|part| match part {
            Part::Char(c) => Some(*c),
            Part::Any | Part::One => None,
        })
        .collect();
    match plain {
        Some(text) => bare_or_quoted(&text),
        None => pattern_text(pattern),
    }
}

fn reads_as_value(written: &str) -> bool {
    !written.is_empty() && Query::parse(&format!("x: {written}")).is_ok()
}

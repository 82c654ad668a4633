//! Text → tree: terms and how they are joined. Values are read in `value`.
//!
//! Two dialects share everything but two things. In TOML terms are joined by `and`/`or` and free
//! text is quoted; in the console and on the command line two terms side by side are `and`, bare
//! words are free text, and mappings' aliases name fields. Parsing goes on after a mistake, so that
//! all of them are reported.

use std::collections::BTreeMap;
use std::ops::Range;

use super::ast::{Expr, FreeText, Span, Term, Test};
use super::cursor::Cursor;
use super::pattern::Part;
use super::print::quoted;
use crate::base::Diagnostic;
use crate::event::FieldName;

/// Words that are plain only in quotes.
pub const KEYWORDS: [&str; 7] = ["and", "or", "not", "to", "null", "true", "false"];

/// Bytes of a query's text.
pub const QUERY_BYTES_MAX: usize = 64 * 1024;

/// Levels of parentheses, braces and `not` in one another.
pub const QUERY_DEPTH_MAX: usize = 64;

/// People's own words for fields in console and command line, from the mappings' `[search]`.
///
/// Products may use one word differently; it then stands for any of its fields.
#[derive(Debug, Clone, Default)]
pub struct Aliases(BTreeMap<String, Vec<FieldName>>);

impl Aliases {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a meaning to a word.
    pub fn add(&mut self, word: impl Into<String>, field: FieldName) {
        let fields = self.0.entry(word.into()).or_default();
        if !fields.contains(&field) {
            fields.push(field);
        }
    }

    fn get(&self, word: &str) -> Option<&[FieldName]> {
        self.0.get(word).map(Vec::as_slice)
    }
}

/// Parses; with aliases in the interactive dialect.
pub(super) fn parse(text: &str, aliases: Option<&Aliases>) -> Result<Expr, Vec<Diagnostic>> {
    if text.len() > QUERY_BYTES_MAX {
        let message = format!("expected at most {QUERY_BYTES_MAX} bytes, found {}", text.len());
        return Err(vec![Diagnostic::error("query-too-long", 0..text.len(), message)]);
    }
    let mut parser = Parser {
        cursor: Cursor::new(text),
        aliases,
        found: Vec::new(),
        depth: 0,
        in_element: false,
        last: None,
    };
    let expr = parser.whole();
    let mut found = parser.found;
    found.sort_by_key(|d| d.span.as_ref().map_or(0, |span| span.start));
    match expr {
        Some(expr) if found.is_empty() => Ok(expr),
        _ => {
            if found.is_empty() {
                found.push(Diagnostic::error("query-syntax", 0..text.len(), "expected a query"));
            }
            Err(found)
        }
    }
}

/// The state of one parse.
pub(super) struct Parser<'t, 'a> {
    pub(super) cursor: Cursor<'t>,
    aliases: Option<&'a Aliases>,
    pub(super) found: Vec<Diagnostic>,
    depth: usize,
    /// Inside braces, where `}` ends a bare value and names count from the element.
    pub(super) in_element: bool,
    /// The field and the value of the simple term read last, for messages about what follows it.
    pub(super) last: Option<(Range<usize>, Range<usize>)>,
}

/// What stands before a value.
pub(super) struct Subject<'t> {
    /// More than one for an alias of several fields.
    pub(super) fields: Vec<FieldName>,
    /// The name as written.
    pub(super) name: &'t str,
    pub(super) span: Range<usize>,
    pub(super) operator: Operator,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `:`
    Colon,
    /// `==`
    Exact,
    /// `>` and `>=`
    Greater { inclusive: bool },
    /// `<` and `<=`
    Less { inclusive: bool },
}

/// What the leaves of an expression are.
#[derive(Clone, Copy)]
pub(super) enum Leaf<'s, 't> {
    /// `field: value` and free text.
    Term,
    /// Values of one field: `field: (a or b)`.
    Value(&'s Subject<'t>),
}

/// Signs of other languages for `and`, `or`, `not`.
const FOREIGN: [(&str, &str); 5] =
    [("&&", "and"), ("||", "or"), ("&", "and"), ("|", "or"), (",", "or")];

impl<'t> Parser<'t, '_> {
    fn whole(&mut self) -> Option<Expr> {
        self.cursor.skip_space();
        if self.cursor.peek().is_none() {
            let message = "expected a query, found nothing";
            let help = "for every event: `@timestamp: *`";
            self.found.push(Diagnostic::error("empty-query", 0..0, message).help(help));
            return None;
        }
        let mut expr = self.any_of(Leaf::Term);
        while let Some(c) = self.cursor.peek() {
            // Only a closing bracket that nothing opened stops an expression before the end.
            let at = self.cursor.at();
            self.cursor.next();
            self.error("unmatched", at..at + c.len_utf8(), format!("nothing opens this `{c}`"))
                .help = Some(format!("in a value it is written `\\{c}` or stands in quotes"));
            self.cursor.skip_space();
            if self.cursor.peek().is_some() && !self.at_closing() {
                expr = self.any_of(Leaf::Term);
            }
        }
        expr
    }

    /// Reports an error, to be completed.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.found.push(Diagnostic::error(code, span, message));
        let last = self.found.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "pushed just now")]
        &mut self.found[last]
    }

    fn at_closing(&self) -> bool {
        matches!(self.cursor.peek(), None | Some(')' | '}' | ']'))
    }

    pub(super) fn any_of(&mut self, leaf: Leaf<'_, 't>) -> Option<Expr> {
        let mut parts = vec![self.all_of(leaf)];
        loop {
            self.cursor.skip_space();
            if !self.cursor.eat_keyword("or") && !self.foreign("or") {
                break;
            }
            parts.push(self.all_of(leaf));
        }
        Expr::or(parts.into_iter().flatten())
    }

    fn all_of(&mut self, leaf: Leaf<'_, 't>) -> Option<Expr> {
        let mut parts = vec![self.negated(leaf)];
        loop {
            self.cursor.skip_space();
            let joined = self.cursor.eat_keyword("and") || self.foreign("and");
            if !joined {
                let or = ["||", "|", ","].iter().any(|or| self.cursor.rest().starts_with(or));
                if or || self.at_closing() || self.cursor.keyword() == Some("or") {
                    break;
                }
                let free = matches!(leaf, Leaf::Term) && self.aliases.is_some();
                if !free && self.side_by_side(leaf) {
                    continue;
                }
            }
            parts.push(self.negated(leaf));
        }
        Expr::and(parts.into_iter().flatten())
    }

    /// Goes past a sign that other languages have for `word`, and reports it.
    fn foreign(&mut self, word: &str) -> bool {
        let start = self.cursor.at();
        let Some((sign, _)) = FOREIGN
            .into_iter()
            .find(|(sign, meaning)| *meaning == word && self.cursor.rest().starts_with(sign))
        else {
            return false;
        };
        self.cursor.eat(sign);
        let span = start..self.cursor.at();
        self.error("foreign-sign", span, format!("expected `{word}`, found `{sign}`")).help =
            Some(format!("write `… {word} …`"));
        true
    }

    fn negated(&mut self, leaf: Leaf<'_, 't>) -> Option<Expr> {
        self.cursor.skip_space();
        let start = self.cursor.at();
        let rest = self.cursor.rest();
        let foreign =
            rest.starts_with('!') && !rest.starts_with("!=") && matches!(leaf, Leaf::Term);
        if foreign {
            self.cursor.eat("!");
            self.error("foreign-sign", start..start + 1, "expected `not`, found `!`").help =
                Some(format!("write `not {}`", self.word_at(start + 1)));
        } else if !self.cursor.eat_keyword("not") {
            return self.primary(leaf);
        }
        let inner = self.deeper(start, |parser| parser.negated(leaf))?;
        Some(Expr::Not(Box::new(inner)))
    }

    fn primary(&mut self, leaf: Leaf<'_, 't>) -> Option<Expr> {
        let start = self.cursor.at();
        if self.cursor.eat("(") {
            self.cursor.skip_space();
            if self.cursor.eat(")") {
                let span = start..self.cursor.at();
                self.error("query-syntax", span, "expected something between the parentheses");
                return None;
            }
            let inner = self.deeper(start, |parser| parser.any_of(leaf));
            self.cursor.skip_space();
            if !self.cursor.eat(")") {
                self.error("unclosed", start..start + 1, "this `(` is not closed");
            }
            self.last = None;
            return inner;
        }
        match leaf {
            Leaf::Term => self.term(),
            Leaf::Value(subject) => self.value(subject),
        }
    }

    /// Runs `read` one level down; too deep is reported once, and nothing more is read.
    pub(super) fn deeper<T>(
        &mut self,
        start: usize,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        if self.depth >= QUERY_DEPTH_MAX {
            let message =
                format!("expected at most {QUERY_DEPTH_MAX} levels of brackets and `not`");
            self.error("query-too-deep", start..start + 1, message);
            while self.cursor.next().is_some() {}
            return None;
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// The end of a bracket, bare or reported.
    pub(super) fn closing(&self) -> Option<char> {
        self.in_element.then_some('}')
    }

    fn term(&mut self) -> Option<Expr> {
        let start = self.cursor.at();
        if let Some(word) = self.cursor.keyword() {
            let after = self.after_word(word);
            if !after.trim_start().starts_with(':') {
                self.error(
                    "query-syntax",
                    start..start + word.len(),
                    format!("expected a term, found `{word}`"),
                )
                .help = Some(format!("`{word}` is plain only in quotes: `\"{word}\"`"));
                // `and` and `or` join what follows; the others are taken for the term.
                if !matches!(word, "and" | "or") {
                    self.cursor.eat_keyword(word);
                }
                return None;
            }
        }
        let mut end = self.cursor;
        end.name();
        let mut after = end;
        after.skip_space();
        let Some(operator) = after.operator() else {
            return self.without_operator(start, end.at());
        };
        let name = self.cursor.slice(start..end.at());
        self.cursor = after;
        let fields = self.field(start, name);
        let found = match operator {
            Ok(operator) => {
                let subject = Subject {
                    fields: fields.clone().unwrap_or_default(),
                    name,
                    span: start..end.at(),
                    operator,
                };
                self.values(&subject)
            }
            Err(sign) => self.foreign_comparison(sign, name, start..end.at(), fields.as_ref()),
        };
        fields.and(found)
    }

    fn after_word(&self, word: &str) -> &'t str {
        self.cursor.rest().get(word.len()..).unwrap_or_default()
    }

    /// All that follows an operator: one value or a group.
    fn values(&mut self, subject: &Subject<'t>) -> Option<Expr> {
        self.cursor.skip_space();
        let start = self.cursor.at();
        let expr = match self.cursor.peek() {
            Some('(') => self.primary(Leaf::Value(subject)),
            _ => self.value(subject),
        };
        self.last = Some((subject.span.clone(), start..self.cursor.at()));
        expr
    }

    /// The fields that a name means; what is wrong with it is reported.
    fn field(&mut self, start: usize, name: &'t str) -> Option<Vec<FieldName>> {
        let span = start..start + name.len();
        if name.is_empty() {
            let at = self.cursor.at();
            self.error("query-syntax", start..at, "expected a field name before the comparison");
            return None;
        }
        if KEYWORDS.iter().any(|word| name.eq_ignore_ascii_case(word)) {
            self.error("query-syntax", span, format!("expected a field name, found `{name}`"))
                .help = Some(format!("`{name}` is plain only in quotes: `\"{name}\": …`"));
            return None;
        }
        if !self.in_element
            && let Some(fields) = self.aliases.and_then(|all| all.get(name))
        {
            return Some(fields.to_vec());
        }
        self.parse_name(span, name).map(|field| vec![field])
    }

    /// A field name, escapes in quotes held to the same rule as everywhere.
    pub(super) fn parse_name(&mut self, span: Range<usize>, name: &'t str) -> Option<FieldName> {
        let before = self.found.len();
        let mut quotes = Cursor::new(name);
        let mut mistakes = Vec::new();
        while let Some(c) = quotes.peek() {
            if c == '"' {
                quotes.quoted(&mut mistakes);
            } else {
                quotes.next();
            }
        }
        let place = |within: Range<usize>| span.start + within.start..span.start + within.end;
        self.found.extend(mistakes.into_iter().map(|mistake| mistake.moved(place)));
        if self.found.len() > before {
            return None;
        }
        match FieldName::parse(name) {
            Ok(field) => Some(field),
            Err(message) => {
                self.error("bad-field", span, message);
                None
            }
        }
    }

    /// `=`, `!=` and the like: the value is read as after `:`, and the right form is shown.
    fn foreign_comparison(
        &mut self,
        sign: Range<usize>,
        name: &'t str,
        span: Range<usize>,
        fields: Option<&Vec<FieldName>>,
    ) -> Option<Expr> {
        let subject = Subject {
            fields: fields.cloned().unwrap_or_default(),
            name,
            span,
            operator: Operator::Colon,
        };
        self.cursor.skip_space();
        let start = self.cursor.at();
        let expr = self.values(&subject);
        let value = self.cursor.slice(start..self.cursor.at());
        let written = self.cursor.slice(sign.clone());
        let help = match written {
            "!=" | "!:" | "<>" => format!("write `not {name}: {value}`"),
            "=~" => format!("write `{name}: /{}/`", value.trim_matches(['/', '"'])),
            "!~" => format!("write `not {name}: /{}/`", value.trim_matches(['/', '"'])),
            "=>" => format!("write `{name} >= {value}`"),
            "=<" => format!("write `{name} <= {value}`"),
            _ => {
                format!("write `{name}: {value}` (ignoring case) or `{name} == {value}` (exactly)")
            }
        };
        self.error("foreign-sign", sign, format!("expected a comparison, found `{written}`"))
            .help = Some(help);
        expr
    }

    /// Free text, or a word that is none.
    fn without_operator(&mut self, start: usize, end: usize) -> Option<Expr> {
        let word = self.word_at(start);
        match self.cursor.peek() {
            Some('"') => {
                let text = self.cursor.quoted(&mut self.found)?;
                let span = start..self.cursor.at();
                self.delimited("the closing quote");
                return self.free_text(text, span);
            }
            Some(c @ ('/' | '@' | '$' | '[' | '{')) => {
                self.error(
                    "query-syntax",
                    start..start + word.len().max(1),
                    format!("expected a field before `{c}`"),
                )
                .help = Some(format!("write `field: {word}`; as free text: `{}`", quoted(word)));
                self.cursor.skip_word();
                return None;
            }
            _ => {}
        }
        if self.aliases.is_some() {
            let closing = self.closing();
            let bare = self.cursor.bare(closing, &mut self.found);
            let span = start..self.cursor.at();
            let mut text = String::new();
            for part in bare.parts {
                let Part::Char(c) = part else {
                    self.error("query-syntax", span, "expected a field before a wildcard").help =
                        Some(format!("in any field: `*: *{}*`", word.trim_matches('*')));
                    return None;
                };
                text.push(c);
            }
            return self.free_text(text, span);
        }
        let free = format!("free text is quoted: `{}`", quoted(word));
        let help = match &self.last {
            Some((name, value)) => format!(
                "another value of the same field: `{}: ({} or {word})`; {free}",
                self.cursor.slice(name.clone()),
                self.cursor.slice(value.clone()),
            ),
            None => format!("a field's value follows a colon: `{word}: …`; {free}"),
        };
        let span = start..end.max(start + word.len());
        self.error("query-syntax", span, format!("expected `field: value`, found `{word}`")).help =
            Some(help);
        self.cursor.skip_word();
        None
    }

    fn free_text(&mut self, text: String, span: Range<usize>) -> Option<Expr> {
        self.last = None;
        if text.is_empty() {
            self.error("query-syntax", span, "expected text between the quotes, found none");
            return None;
        }
        if self.in_element {
            self.error("query-syntax", span, "expected `field: value` inside the braces").help =
                Some(
                    "free text looks through the whole record: put it outside of the braces".into(),
                );
            return None;
        }
        Some(Expr::FreeText(FreeText { text: text.into(), span: Span(span) }))
    }

    /// Two things side by side where a joining word is missing. Returns whether what follows is
    /// dealt with; else it is to be read as if `and` stood here.
    fn side_by_side(&mut self, leaf: Leaf<'_, 't>) -> bool {
        let start = self.cursor.at();
        let words = self.loose_words(leaf);
        let (name, value) = match (&self.last, leaf) {
            (Some((name, value)), Leaf::Term) => {
                (self.cursor.slice(name.clone()), self.cursor.slice(value.clone()))
            }
            (_, Leaf::Value(subject)) => (subject.name, ""),
            (None, Leaf::Term) => ("", ""),
        };
        let Some(words) = words else {
            let next = self.word_at(start);
            self.error(
                "query-syntax",
                start..start + next.len().max(1),
                format!("expected `and` or `or` before `{next}`"),
            );
            return false;
        };
        let text = self.cursor.slice(words.clone());
        let as_text = if text.starts_with('"') { text.to_owned() } else { quoted(text) };
        let help = if let Some(first) = value.strip_suffix(',') {
            format!("for any of them write `{name}: ({first} or {})`", text.trim_end_matches(','))
        } else if matches!(leaf, Leaf::Value(_)) {
            format!("for any of them write `{name}: (… or {text})`; a text with spaces is quoted")
        } else if value.is_empty() || value.starts_with(['"', '(', '[', '{', '/']) {
            format!("for free text as well write `… and {as_text}`")
        } else {
            let both = self.cursor.slice(self.last.as_ref().map_or(0, |l| l.1.start)..words.end);
            let whole = quoted(both);
            format!(
                "for one text write `{name}: {whole}`; for free text as well `{name}: {value} and {as_text}`"
            )
        };
        self.error("query-syntax", words, format!("expected `and` or `or` before `{text}`")).help =
            Some(help);
        true
    }

    /// Goes past words that are no terms of their own; where they stand.
    fn loose_words(&mut self, leaf: Leaf<'_, 't>) -> Option<Range<usize>> {
        let start = self.cursor.at();
        let mut end = start;
        loop {
            self.cursor.skip_space();
            let mut after = self.cursor;
            after.name();
            after.skip_space();
            let is_term = matches!(leaf, Leaf::Term) && after.operator().is_some();
            let foreign = FOREIGN.iter().any(|(sign, _)| self.cursor.rest().starts_with(sign));
            let stops = self.at_closing()
                || is_term
                || foreign
                || self.cursor.keyword().is_some()
                || matches!(self.cursor.peek(), Some('(' | '!'));
            if stops {
                break;
            }
            self.cursor.skip_word();
            end = self.cursor.at();
        }
        (end > start).then_some(start..end)
    }

    /// The word that stands at `at`, for messages.
    pub(super) fn word_at(&self, at: usize) -> &'t str {
        let mut cursor = self.cursor;
        cursor.go(at);
        cursor.skip_word();
        self.cursor.slice(at..cursor.at())
    }

    /// Checks that a value ends here.
    pub(super) fn delimited(&mut self, what: &str) {
        let ends = match self.cursor.peek() {
            None | Some(')') => true,
            Some(c) => c.is_whitespace() || Some(c) == self.closing(),
        };
        if !ends {
            let start = self.cursor.at();
            self.cursor.skip_word();
            let span = start..self.cursor.at();
            let rest = self.cursor.slice(span.clone());
            self.error(
                "query-syntax",
                span,
                format!("expected white space after {what}, found `{rest}`"),
            );
        }
    }

    /// A test of the subject's field, or of any of its fields.
    pub(super) fn test(subject: &Subject<'t>, test: &Test, span: Range<usize>) -> Option<Expr> {
        Expr::or(subject.fields.iter().map(|field| {
            Expr::Term(Term {
                field: field.clone(),
                field_span: Span(subject.span.clone()),
                test: test.clone(),
                test_span: Span(span.clone()),
            })
        }))
    }
}

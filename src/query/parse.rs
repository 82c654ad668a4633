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
use super::foreign::Left;
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

/// Mistakes that are told of one query.
pub const MISTAKES_MAX: usize = 100;

/// Parses; with aliases in the interactive dialect.
pub(super) fn parse(text: &str, aliases: Option<&Aliases>) -> Result<Expr, Vec<Diagnostic>> {
    match recover(text, aliases) {
        (Some(expr), found) if found.is_empty() => Ok(expr),
        (_, found) => Err(found),
    }
}

/// The same, with what could be read in spite of mistakes. There is a tree or a mistake, or both.
pub(super) fn recover(text: &str, aliases: Option<&Aliases>) -> (Option<Expr>, Vec<Diagnostic>) {
    if text.len() > QUERY_BYTES_MAX {
        let message = format!("expected at most {QUERY_BYTES_MAX} bytes, found {}", text.len());
        return (None, vec![Diagnostic::error("query-too-long", 0..text.len(), message)]);
    }
    let mut parser = Parser {
        cursor: Cursor::new(text),
        aliases,
        found: Vec::new(),
        depth: 0,
        in_element: false,
        last: None,
        operand: None,
        lost: false,
        is_ahead: false,
    };
    let expr = parser.whole();
    let mut found = parser.found;
    // Nothing was read behind the place where it went too deep, so nothing was closed.
    if found.iter().any(|mistake| mistake.code == "query-too-deep") {
        found.retain(|mistake| mistake.code != "unclosed");
    }
    found.sort_by_key(|d| d.span.as_ref().map_or(0, |span| span.start));
    found.truncate(MISTAKES_MAX);
    if expr.is_none() && found.is_empty() {
        found.push(Diagnostic::error("query-syntax", 0..text.len(), "expected a query"));
    }
    (expr, found)
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
    /// The last operand of `and` or `or` if it has no mistake, for messages about what joins it.
    pub(super) operand: Option<Range<usize>>,
    /// A word that is no term was reported: what stands beside it is not reported as well.
    pub(super) lost: bool,
    /// It only looks ahead, for a message of another parser.
    is_ahead: bool,
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

    /// A parser that goes on from here and reports to nobody; none looks ahead of one that does, or
    /// nested signs would be read again and again.
    pub(super) fn ahead(&self) -> Option<Self> {
        (!self.is_ahead).then(|| Self {
            cursor: self.cursor,
            aliases: self.aliases,
            found: Vec::new(),
            depth: self.depth,
            in_element: self.in_element,
            last: None,
            operand: None,
            lost: false,
            is_ahead: true,
        })
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

    pub(super) fn at_closing(&self) -> bool {
        matches!(self.cursor.peek(), None | Some(')' | '}' | ']'))
    }

    pub(super) fn any_of(&mut self, leaf: Leaf<'_, 't>) -> Option<Expr> {
        let mut parts = vec![self.all_of(leaf)];
        loop {
            self.cursor.skip_space();
            if !self.cursor.eat_keyword("or") && !self.foreign("or", leaf) {
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
            let joined = self.cursor.eat_keyword("and") || self.foreign("and", leaf);
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

    /// One operand of `and` and `or`.
    pub(super) fn negated(&mut self, leaf: Leaf<'_, 't>) -> Option<Expr> {
        self.cursor.skip_space();
        let start = self.cursor.at();
        let before = self.found.len();
        let read = self.denied_or_not(start, leaf);
        self.operand = (self.found.len() == before).then(|| start..self.cursor.at());
        read
    }

    fn denied_or_not(&mut self, start: usize, leaf: Leaf<'_, 't>) -> Option<Expr> {
        let rest = self.cursor.rest();
        let foreign =
            rest.starts_with('!') && !rest.starts_with("!=") && matches!(leaf, Leaf::Term);
        if foreign {
            self.cursor.eat("!");
            self.foreign_not(start);
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
        if self.at_closing() {
            let (found, length) = match self.cursor.peek() {
                Some(c) => (format!("`{c}`"), c.len_utf8()),
                None => ("the end".to_owned(), 0),
            };
            let message = format!("expected a term, found {found}");
            self.error("query-syntax", start..start + length, message);
            return None;
        }
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
        if let Some(Left(field)) = self.foreign_name(start, name) {
            return field;
        }
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
    pub(super) fn values(&mut self, subject: &Subject<'t>) -> Option<Expr> {
        self.cursor.skip_space();
        let start = self.cursor.at();
        if self.listed(subject) {
            self.last = None;
            return None;
        }
        let expr = match self.cursor.peek() {
            Some('(') if matches!(subject.operator, Operator::Colon | Operator::Exact) => {
                self.primary(Leaf::Value(subject))
            }
            _ => self.value(subject),
        };
        self.lost = false;
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
        if let Some(Left(field)) = self.foreign_term(start, end) {
            return field;
        }
        self.no_term(start, end);
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

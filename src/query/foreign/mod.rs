//! Whole terms in other languages: `field in ["a", "b"]`, `field like 'x%'`, `field is null`,
//! `startswith(field, "x")`, Sigma's `field|contains: x`. Each is told with the same term in the form of
//! this language, in the author's own words, and then left behind, so that the rest is checked as well.
//!
//! What is shown has been parsed before: a suggestion that does not read is none, and the general form
//! stands in its place. Single signs (`=`, `&&`) are `mistakes`' business.

use std::ops::Range;

use super::Query;
use super::ast::{Case, Expr, Span, Term, Test};
use super::cursor::Cursor;
use super::parse::{Operator, Parser, Subject};
use super::print::quoted;
use crate::event::{FieldName, schema};

mod items;
#[cfg(test)]
mod tests;
mod words;

use items::{Item, Items};
use words::Asks;

/// Characters of a suggestion at most; of more values a few are shown, and where many belong.
const SHOWN_MAX: usize = 400;

/// Values that are shown when all of them would be too many.
const VALUES_SHOWN: usize = 3;

/// A term as it was meant.
struct Meant<'t> {
    name: &'t str,
    asks: Asks,
    denied: bool,
    /// All of the values, not any.
    all: bool,
    /// Whether values are compared exactly.
    case: Case,
    /// Wildcards are signs in quotes, too.
    wild: bool,
    values: Vec<Item<'t>>,
}

/// What is left of a term that has been told: its field, if that can be checked.
pub(super) struct Left(pub(super) Option<Expr>);

impl<'t> Parser<'t, '_> {
    /// A term with a word in place of a sign, which a name up to `end` may begin. If it is one, it is told,
    /// and the cursor stands behind it; what is left of it is its field.
    pub(super) fn foreign_term(&mut self, start: usize, end: usize) -> Option<Left> {
        let found = self
            .comparison(start, end)
            .or_else(|| self.function(start, end))
            .or_else(|| self.word_before(start, end));
        let Some((meant, word, after)) = found else {
            let told = self.foreign_start(start, end) || self.unknown_function(start, end);
            return told.then_some(Left(None));
        };
        let is_first = word.start > start;
        let field = is_first.then(|| self.field_alone(start..end)).flatten();
        let message =
            format!("expected `field: value`, found `{}`", self.cursor.slice(word.clone()));
        self.error("foreign-word", word, message).help = Some(meant.help());
        self.cursor = after;
        self.last = None;
        Some(Left(field))
    }

    /// A field whose value is not known, so that at least its name is checked.
    fn field_alone(&self, span: Range<usize>) -> Option<Expr> {
        let field = FieldName::parse(self.cursor.slice(span.clone())).ok()?;
        let (field_span, test_span) = (Span(span.clone()), Span(span));
        Some(Expr::Term(Term { field, field_span, test: Test::Exists, test_span }))
    }

    /// `field in (a, b)`, `field is not null`.
    fn comparison(
        &self,
        start: usize,
        end: usize,
    ) -> Option<(Meant<'t>, Range<usize>, Cursor<'t>)> {
        let name = self.name_of(start, end)?;
        let mut cursor = self.cursor;
        cursor.go(end);
        cursor.skip_space();
        let from = cursor.at();
        let words::Asked { asks, denied } = words::between(&mut cursor)?;
        let word = from..cursor.at();
        let values = values(&mut cursor, asks);
        let meant = Meant { denied, ..Meant::new(name, asks, values) };
        Some((meant, word, cursor))
    }

    /// `startswith(field, "x")`.
    fn function(&self, start: usize, end: usize) -> Option<(Meant<'t>, Range<usize>, Cursor<'t>)> {
        let asks = words::function(self.cursor.slice(start..end))?;
        let mut cursor = self.cursor;
        cursor.go(end);
        if cursor.peek() != Some('(') {
            return None;
        }
        let mut values = items::items(&mut cursor)?.all;
        let is_name = |item: &Item<'t>| item.bare().is_some_and(is_name);
        let name = values.iter().position(is_name).map(|at| values.remove(at))?.written;
        Some((Meant::new(name, asks, values), start..end, cursor))
    }

    /// `exists field`.
    fn word_before(
        &self,
        start: usize,
        end: usize,
    ) -> Option<(Meant<'t>, Range<usize>, Cursor<'t>)> {
        let asks = words::before(self.cursor.slice(start..end))?;
        let mut cursor = self.cursor;
        cursor.go(end);
        cursor.skip_space();
        let from = cursor.at();
        cursor.name();
        let name = self.name_of(from, cursor.at())?;
        let mut after = cursor;
        after.skip_space();
        after.operator().is_none().then(|| (Meant::new(name, asks, Vec::new()), start..end, cursor))
    }

    /// EQL's `process where …`, at the start of a query.
    fn foreign_start(&mut self, start: usize, end: usize) -> bool {
        let mut after = self.cursor;
        after.go(end);
        after.skip_space();
        let from = after.at();
        after.skip_word();
        let first = self.cursor.slice(0..start).trim().is_empty();
        if !first || !self.cursor.slice(from..after.at()).eq_ignore_ascii_case("where") {
            return false;
        }
        let written = self.cursor.slice(start..after.at());
        let message = format!("expected `field: value`, found `{written}`");
        self.error("foreign-word", start..after.at(), message).help = Some(format!(
            "leave out `{written}`: a query is the condition alone; which product is asked is in `event.provider` and `event.dataset`"
        ));
        self.cursor = after;
        // What follows is the term that would stand here.
        self.lost = true;
        true
    }

    /// `lower(field) == "x"`: a function that there is not, with whatever it is compared with.
    fn unknown_function(&mut self, start: usize, end: usize) -> bool {
        let name = self.cursor.slice(start..end);
        let mut after = self.cursor;
        after.go(end);
        if after.peek() != Some('(') || !is_name(name) {
            return false;
        }
        let Some(Items { all: values, .. }) = items::items(&mut after) else { return false };
        let called = after;
        after.skip_space();
        let compared = if let Some(sign) = after.operator() {
            after.skip_space();
            items::items(&mut after).map(|items| (sign, items.all))
        } else {
            after = called;
            None
        };
        let is_of_case = words::is_of_case(name);
        let meant = match (values.as_slice(), compared) {
            ([field], Some((Ok(Operator::Colon | Operator::Exact), values))) if is_of_case => {
                Some(Meant::new(field.written, Asks::Equals, values))
            }
            _ => None,
        };
        let help = match meant.filter(|meant| is_name(meant.name)) {
            Some(meant) => format!("`:` ignores case: {}", meant.help()),
            None if is_of_case => "`:` ignores case: write the field and the value".to_owned(),
            None => "there are no functions: a query compares a field with values".to_owned(),
        };
        let message = format!("expected `field: value`, found the function `{name}`");
        self.error("foreign-word", start..end, message).help = Some(help);
        self.cursor = after;
        self.last = None;
        true
    }

    /// A field's name, if this may be one.
    fn name_of(&self, start: usize, end: usize) -> Option<&'t str> {
        Some(self.cursor.slice(start..end)).filter(|name| is_name(name))
    }

    /// A name with Sigma's modifiers, or with a sign of Lucene, and a comparison behind it; the cursor
    /// stands behind that. If it is one, it is told, and its value left behind; what is left is its field.
    pub(super) fn foreign_name(&mut self, start: usize, name: &'t str) -> Option<Left> {
        match name.split_once('|').filter(|(own, _)| is_name(own)) {
            Some((own, modifiers)) => {
                self.sigma(start, own, modifiers);
                Some(Left(self.field_alone(start..start + own.len())))
            }
            None => self.lucene(start, name).then_some(Left(None)),
        }
    }

    /// `field|contains|all: [a, b]`.
    fn sigma(&mut self, start: usize, name: &'t str, modifiers: &'t str) {
        self.cursor.skip_space();
        let span = start + name.len()..start + name.len() + 1 + modifiers.len();
        let message = format!("expected `:` behind a field's name, found `|{modifiers}`");
        let help = match words::modifiers(modifiers.split('|').map(str::trim)) {
            Ok(words::Modifiers { asks, mut denied, all, case }) => {
                let mut values = values(&mut self.cursor, Asks::Equals);
                if asks == Asks::Exists {
                    // Its value says whether there is one or none.
                    denied ^=
                        values.iter().any(|item| item.plain(false).trim_matches('"') == "false");
                    values.clear();
                }
                Meant { denied, all, case, wild: true, ..Meant::new(name, asks, values) }.help()
            }
            Err(word) => {
                self.cursor.skip_word();
                format!(
                    "`{word}` has no form here; those that have: `{name}: x*` (startswith), `{name}: *x` (endswith), `{name}: *x*` (contains), `{name}: /x/` (re)"
                )
            }
        };
        self.error("foreign-word", span, message).help = Some(help);
        self.last = None;
    }

    /// `-field: x`, `_exists_: field`.
    fn lucene(&mut self, start: usize, name: &'t str) -> bool {
        // Only what is a field behind the sign: `-x` alone is a name like any other.
        let known = |own: &str| own.starts_with("raw.") || schema::find(own).is_some();
        let (sign, asks, denied) = match name.chars().next() {
            Some('-') if !self.in_element && name.strip_prefix('-').is_some_and(known) => {
                ("-", Asks::Equals, true)
            }
            Some('+') => ("+", Asks::Equals, false),
            Some('_') if matches!(name, "_exists_" | "_missing_") => (name, Asks::Exists, false),
            _ => return false,
        };
        let own = name.strip_prefix(sign).unwrap_or_default();
        self.cursor.skip_space();
        let mut after = self.cursor;
        let values = values(&mut after, Asks::Equals);
        let meant = if asks == Asks::Exists {
            let [field] = values.as_slice() else { return false };
            let asks = if name == "_missing_" { Asks::Missing } else { asks };
            Meant::new(field.written, asks, Vec::new())
        } else {
            Meant { denied, wild: true, ..Meant::new(own, asks, values) }
        };
        if !is_name(meant.name) {
            return false;
        }
        let message = format!("expected a field's name, found `{sign}`");
        self.error("foreign-word", start..start + sign.len(), message).help = Some(meant.help());
        self.cursor = after;
        self.last = None;
        true
    }

    /// Values with commas between them: `field: (a, b)`, `field: "a", "b"`. Returns whether they were
    /// that; they are told then, and left behind. `a,b` without a space is one value.
    pub(super) fn listed(&mut self, subject: &Subject<'t>) -> bool {
        let case = match subject.operator {
            Operator::Colon => Case::Ignored,
            Operator::Exact => Case::Exact,
            Operator::Greater { .. } | Operator::Less { .. } => return false,
        };
        let mut after = self.cursor;
        if after.peek() == Some('[') {
            return false;
        }
        let Some(Items { all: values, comma: Some(comma), apart: true }) = items::items(&mut after)
        else {
            return false;
        };
        // `field: a, other: b` is two terms.
        let mut behind = after;
        behind.skip_space();
        if values.iter().any(Item::looks_like_a_term) || behind.operator().is_some() {
            return false;
        }
        let meant = Meant { case, ..Meant::new(subject.name, Asks::Equals, values) };
        let help = format!("for any of them {}", meant.help());
        self.error("foreign-sign", comma..comma + 1, "expected `or` between values, found `,`")
            .help = Some(help);
        self.cursor = after;
        true
    }

    /// What to write for a list in brackets, `["a", "b"]` or `("a", "b")`, and where it ends. `None`: there
    /// is none here, or none that can be read.
    pub(super) fn bracketed(&self, name: &'t str, denied: bool) -> Option<(String, Cursor<'t>)> {
        let mut after = self.cursor;
        let is_square = match after.peek()? {
            '[' => true,
            '(' => false,
            _ => return None,
        };
        let Items { all: values, comma, .. } = items::items(&mut after)?;
        let is_one = values.len() == 1;
        if values.is_empty() && is_square {
            let help = format!("for a missing field or an empty array write `{name}: null`");
            return Some((help, after));
        }
        if values.is_empty() || (!is_square && comma.is_none()) {
            return None;
        }
        let help = Meant { denied, ..Meant::new(name, Asks::Equals, values) }.help();
        let help = match (is_one, denied) {
            (true, _) => format!("{help}, or a range such as `{name}: [1 to 5]`"),
            (false, true) => format!("for none of them {help}"),
            (false, false) => format!("for any of them {help}"),
        };
        Some((help, after))
    }

    /// What stands in single quotes here, and where they end.
    pub(super) fn in_single_quotes(&self) -> Option<(&'t str, Cursor<'t>)> {
        let mut after = self.cursor;
        let item = items::item(&mut after)?;
        let inner = item.written.strip_prefix('\'')?.strip_suffix('\'')?;
        Some((inner, after))
    }

    /// A text in single quotes with spaces in it: told, and left behind. Without spaces it is a value,
    /// quotes and all, of which `check` warns.
    pub(super) fn single_quoted(&mut self, subject: &Subject<'t>) -> bool {
        let start = self.cursor.at();
        let Some((inner, after)) =
            self.in_single_quotes().filter(|(inner, _)| inner.contains(char::is_whitespace))
        else {
            return false;
        };
        let sign = if subject.operator == Operator::Exact { " ==" } else { ":" };
        let help = format!("write `{}{sign} {}`", subject.name, quoted(inner));
        let message = "expected double quotes, found single ones";
        self.error("foreign-sign", start..after.at(), message).help = Some(help);
        self.cursor = after;
        true
    }
}

/// What to write for `name sign value`, the sign being another language's.
pub(super) fn compared(name: &str, sign: &str, value: &str) -> String {
    let mut cursor = Cursor::new(value);
    let item = items::item(&mut cursor).filter(|_| cursor.rest().is_empty());
    let as_asked = |asks| item.as_ref().and_then(|item| item.as_asked(asks, false));
    let plain = as_asked(Asks::Equals).unwrap_or_else(|| value.to_owned());
    let is_null = plain.eq_ignore_ascii_case("null");
    let not = if sign.starts_with('!') || sign == "<>" { "not " } else { "" };
    match sign {
        "=>" => format!("write `{name} >= {plain}`"),
        "=<" => format!("write `{name} <= {plain}`"),
        "=~" | "!~" => {
            let regex = as_asked(Asks::Regex { ignores_case: false });
            let regex = regex.unwrap_or_else(|| format!("/{value}/"));
            let text = format!("; for the text itself, ignoring case, `{not}{name}: {plain}`");
            let is_regex = value.starts_with('/');
            format!("write `{not}{name}: {regex}`{}", if is_regex { "" } else { &text })
        }
        _ if is_null && not.is_empty() => format!("write `{name}: null`"),
        _ if is_null => format!("write `{name}: *`"),
        "!==" => format!("write `not {name} == {plain}`"),
        _ if !not.is_empty() => format!("write `not {name}: {plain}`"),
        _ => format!("write `{name}: {plain}` (ignoring case) or `{name} == {plain}` (exactly)"),
    }
}

/// What to write for `name: (first more words)`.
pub(super) fn side_by_side(name: &str, first: &str, more: &str) -> String {
    let values = std::iter::once(first).chain(more.split_whitespace()).collect::<Vec<_>>();
    let any = if_it_reads(format!("{name}: ({})", values.join(" or ")));
    let has_quote = first.contains('"') || more.contains('"');
    let one = if_it_reads(format!("{name}: {}", quoted(&values.join(" "))));
    match (any, one.filter(|_| !has_quote)) {
        (Some(any), Some(one)) => format!("for any of them write `{any}`; for one text `{one}`"),
        (Some(any), None) => format!("for any of them write `{any}`"),
        (None, _) => "values are joined by `or` or `and`; a text with spaces is quoted".to_owned(),
    }
}

/// The values behind a word; the cursor stays where there are none.
fn values<'t>(cursor: &mut Cursor<'t>, asks: Asks) -> Vec<Item<'t>> {
    let mut after = *cursor;
    after.skip_space();
    let found = match asks {
        Asks::Exists | Asks::Missing => None,
        Asks::Between => range(&mut after),
        _ => items::items(&mut after).map(|items| items.all),
    };
    if found.is_some() {
        *cursor = after;
    }
    found.unwrap_or_default()
}

/// `1 and 5`.
fn range<'t>(cursor: &mut Cursor<'t>) -> Option<Vec<Item<'t>>> {
    let bracketed = cursor.eat("(") || cursor.eat("[");
    cursor.skip_space();
    let from = items::item(cursor)?;
    cursor.skip_space();
    let _joined = cursor.eat_keyword("and") || cursor.eat_keyword("to") || cursor.eat(",");
    cursor.skip_space();
    let to = items::item(cursor)?;
    cursor.skip_space();
    let _closed = bracketed && (cursor.eat(")") || cursor.eat("]"));
    Some(vec![from, to])
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && FieldName::parse(text).is_ok()
}

/// A query that parses, as it was written.
fn if_it_reads(text: String) -> Option<String> {
    Query::parse(&text).is_ok().then_some(text)
}

impl<'t> Meant<'t> {
    fn new(name: &'t str, asks: Asks, values: Vec<Item<'t>>) -> Self {
        Self { name, asks, denied: false, all: false, case: Case::Ignored, wild: false, values }
    }

    /// What to write.
    fn help(&self) -> String {
        let Some(form) = self.form(self.asks) else { return self.general() };
        let mut help = format!("write `{form}`");
        let more = match self.asks {
            Asks::Contains if !self.wild => self
                .form(Asks::Equals)
                .map(|whole| format!("; for a whole value, or one of an array, `{whole}`")),
            Asks::Regex { .. } if !self.wild => {
                Some("; it is looked for anywhere in the text, `^…$` is all of it".to_owned())
            }
            _ => None,
        };
        help.extend(more);
        help
    }

    /// The term, if it can be said here.
    fn form(&self, asks: Asks) -> Option<String> {
        let Self { name, denied, .. } = *self;
        let not = if denied { "not " } else { "" };
        let one = |item: &Item<'t>| item.as_asked(asks, self.wild);
        match asks {
            Asks::Exists | Asks::Missing => {
                let there = (asks == Asks::Exists) != denied;
                if_it_reads(format!("{name}: {}", if there { "*" } else { "null" }))
            }
            Asks::Over(sign) => {
                let [value] = self.values.as_slice() else { return None };
                if_it_reads(format!("{not}{name} {sign} {}", one(value)?))
            }
            Asks::Between => {
                let [from, to] = self.values.as_slice() else { return None };
                if_it_reads(format!("{not}{name}: [{} to {}]", one(from)?, one(to)?))
            }
            _ => {
                let values: Vec<String> = self.values.iter().map(one).collect::<Option<_>>()?;
                let sign = match self.case {
                    Case::Ignored => ":",
                    Case::Exact => " ==",
                };
                let join = if self.all { " and " } else { " or " };
                let form = match values.as_slice() {
                    [] => return None,
                    [one] => format!("{not}{name}{sign} {one}"),
                    many => format!("{not}{name}{sign} ({})", many.join(join)),
                };
                let form = if_it_reads(form)?;
                if form.chars().count() <= SHOWN_MAX {
                    return Some(form);
                }
                let first = values.get(..VALUES_SHOWN)?.join(join);
                Some(format!("{not}{name}{sign} ({first}{join}…)"))
                    .filter(|form| form.chars().count() <= SHOWN_MAX)
            }
        }
    }

    /// The form of such terms, where this one cannot be said.
    fn general(&self) -> String {
        let form = match self.asks {
            Asks::Equals => "field: (a or b)",
            Asks::Begins => "field: begins*",
            Asks::Ends => "field: *ends",
            Asks::Contains => "field: *within*",
            Asks::Like => "field: b*g?ns",
            Asks::Regex { .. } => "field: /regex/",
            Asks::Network => "field: 10.0.0.0/8",
            Asks::Over(">") => "field > 5",
            Asks::Over(">=") => "field >= 5",
            Asks::Over("<") => "field < 5",
            Asks::Over(_) => "field <= 5",
            Asks::Between => "field: [1 to 5]",
            Asks::Field => "field: $other.field",
            Asks::Exists => "field: *",
            Asks::Missing => "field: null",
        };
        format!("the form of that is `{form}`")
    }
}

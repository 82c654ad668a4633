//! What stands after a comparison: one value of a field.

use std::ops::Range;

use super::ast::{Bound, Bounds, Case, Expr, Limit, Literal, Test};
use super::net::{self, Network};
use super::parse::{Leaf, Operator, Parser, Subject};
use super::pattern::{Part, Pattern};
use super::print::quoted;
use super::regex::RegexTest;
use crate::base::Timestamp;
use crate::event::Number;

impl<'t> Parser<'t, '_> {
    /// One value, tested as the subject says.
    pub(super) fn value(&mut self, subject: &Subject<'t>) -> Option<Expr> {
        self.cursor.skip_space();
        let start = self.cursor.at();
        let Some(first) = self.cursor.peek().filter(|c| *c != ')') else {
            let message = format!("expected a value of `{}`", subject.name);
            let end = start + usize::from(self.cursor.peek().is_some());
            self.error("query-syntax", start..end, message);
            return None;
        };
        if let Some(word) = self.cursor.keyword()
            && !matches!(word, "null" | "true" | "false")
        {
            self.misplaced_keyword(subject, word, start);
            return None;
        }
        let test = match (first, subject.operator) {
            ('"', _) => self.quoted_value(subject),
            ('/' | '@' | '[' | '{', Operator::Exact) => self.only_after_colon(subject),
            (
                '/' | '@' | '[' | '{' | '$' | '(',
                Operator::Greater { .. } | Operator::Less { .. },
            ) => self.not_ordered(start),
            ('/', _) => self.regex_value(),
            ('@', _) => self.set_value(),
            ('$', operator) => self.field_value(operator),
            ('[', _) => self.range_value(subject),
            ('{', _) => self.element_value(subject),
            ('\'', _) if self.single_quoted(subject) => return None,
            _ => return self.bare_value(subject),
        }?;
        Self::test(subject, &test, start..self.cursor.at())
    }

    fn misplaced_keyword(&mut self, subject: &Subject<'t>, word: &str, start: usize) {
        let help = match word {
            "not" => format!("write `not {}: …`, or in quotes the word: `\"not\"`", subject.name),
            _ => format!("`{word}` is plain only in quotes: `{}: \"{word}\"`", subject.name),
        };
        let message = format!("expected a value of `{}`, found `{word}`", subject.name);
        self.error("query-syntax", start..start + word.len(), message).help = Some(help);
        let mut after = self.cursor;
        after.eat_keyword(word);
        after.skip_space();
        if word == "to" || matches!(after.peek(), None | Some(')' | '}')) {
            // At the end it is the value that was meant; before something else it joins.
            self.cursor.eat_keyword(word);
        } else if word == "not" {
            self.cursor.eat_keyword(word);
            // Read what is denied, so that it is not reported once more.
            let before = self.found.len();
            self.deeper(start, |parser| parser.value(subject));
            self.found.truncate(before);
        }
    }

    fn only_after_colon(&mut self, subject: &Subject<'t>) -> Option<Test> {
        let start = self.cursor.at();
        let first = self.cursor.peek().unwrap_or_default();
        let what = match first {
            '/' => "a regex",
            '@' => "a list",
            '[' => "a range",
            _ => "braces",
        };
        // Read as if after a colon, so that only this is reported.
        let colon = Subject {
            fields: subject.fields.clone(),
            name: subject.name,
            span: subject.span.clone(),
            operator: Operator::Colon,
        };
        let before = self.found.len();
        self.value(&colon);
        if self.found.len() > before {
            return None;
        }
        let end = self.cursor.at();
        let value = self.cursor.slice(start..end);
        self.error(
            "query-syntax",
            start..end,
            format!("expected a text or a field after `==`, found {what}"),
        )
        .help = Some(format!("write `{}: {value}`; for the text itself use quotes", subject.name));
        None
    }

    fn not_ordered(&mut self, start: usize) -> Option<Test> {
        let first = self.cursor.peek();
        self.cursor.skip_word();
        if matches!(first, Some('(' | '[' | '{')) {
            while !matches!(self.cursor.peek(), None | Some(')' | ']' | '}')) {
                self.cursor.next();
            }
            self.cursor.next();
        }
        let span = start..self.cursor.at();
        let found = self.cursor.slice(span.clone());
        self.error("query-syntax", span, format!("expected a number or a time, found `{found}`"));
        None
    }

    fn quoted_value(&mut self, subject: &Subject<'t>) -> Option<Test> {
        let start = self.cursor.at();
        let text = self.cursor.quoted(&mut self.found)?;
        let end = self.cursor.at();
        self.delimited("the closing quote");
        match subject.operator {
            Operator::Colon => Some(Test::Equals(Literal::Text(text.into()), Case::Ignored)),
            Operator::Exact => Some(Test::Equals(Literal::Text(text.into()), Case::Exact)),
            _ => self.ordered(subject.operator, &text, start..end),
        }
    }

    fn bare_value(&mut self, subject: &Subject<'t>) -> Option<Expr> {
        let start = self.cursor.at();
        let keyword = self.cursor.keyword();
        let closing = self.closing();
        let bare = self.cursor.bare(closing, &mut self.found);
        let span = start..self.cursor.at();
        let written = self.cursor.slice(span.clone());
        if written.is_empty() {
            let message = format!("expected a value of `{}`", subject.name);
            self.error("query-syntax", start..start + 1, message);
            return None;
        }
        if let Some(sign) = written.chars().next().filter(|c| matches!(c, '<' | '>' | '=')) {
            let value = written.trim_start_matches(['<', '>', '=']);
            let sign = written
                .get(..written.len() - value.len())
                .unwrap_or_default()
                .len()
                .max(sign.len_utf8());
            let sign = written.get(..sign).unwrap_or_default();
            let right = if sign == "=" { "==" } else { sign };
            self.error("foreign-sign", span, format!("expected a value, found `{sign}`")).help =
                Some(format!(
                    "to compare write `{} {right} {}`; for the text itself use quotes: `{}`",
                    subject.name,
                    if value.is_empty() { "…" } else { value },
                    quoted(written)
                ));
            return None;
        }
        let case = match subject.operator {
            Operator::Colon => Case::Ignored,
            Operator::Exact => Case::Exact,
            Operator::Greater { .. } | Operator::Less { .. } => {
                let test = self.ordered(subject.operator, written, span.clone())?;
                return Self::test(subject, &test, span);
            }
        };
        if keyword == Some("null") && !bare.escaped {
            let exists = Self::test(subject, &Test::Exists, span)?;
            return Some(Expr::Not(Box::new(exists)));
        }
        let test = if bare.parts.iter().any(|part| !matches!(part, Part::Char(_))) {
            let pattern = Pattern::new(bare.parts);
            if pattern.is_any() { Test::Exists } else { Test::Like(pattern, case) }
        } else {
            let char_of = |part: &Part| match part {
                Part::Char(c) => Some(*c),
                Part::One | Part::Any => None,
            };
            let text: String = bare.parts.iter().filter_map(char_of).collect();
            match keyword {
                Some(word) if !bare.escaped => Test::Equals(Literal::Text(word.into()), case),
                _ if bare.escaped => Test::Equals(Literal::Text(text.into()), case),
                _ => self.plain(&text, case, span.clone())?,
            }
        };
        Self::test(subject, &test, span)
    }

    /// A bare value without wildcards and escapes: a number, an address, a network or a text.
    fn plain(&mut self, text: &str, case: Case, span: Range<usize>) -> Option<Test> {
        if let Some(number) = number(text) {
            return Some(Test::Equals(Literal::Number(number), case));
        }
        if case == Case::Ignored {
            if let Some(address) = net::address(text) {
                return Some(Test::Address(address));
            }
            match Network::parse(text) {
                Some(Ok(network)) => return Some(Test::Network(network)),
                Some(Err(why)) => {
                    self.error("bad-network", span, format!("`{text}`: {why}")).help =
                        Some(format!("for the text itself use quotes: `{}`", quoted(text)));
                    return None;
                }
                None => {}
            }
        }
        Some(Test::Equals(Literal::Text(text.into()), case))
    }

    /// One bound from a comparison.
    fn ordered(&mut self, operator: Operator, text: &str, span: Range<usize>) -> Option<Test> {
        let at = self.limit(text, span)?;
        Some(Test::Within(match operator {
            Operator::Greater { inclusive } => {
                Bounds { lower: Some(Bound { at, inclusive }), upper: None }
            }
            Operator::Less { inclusive } => {
                Bounds { lower: None, upper: Some(Bound { at, inclusive }) }
            }
            Operator::Colon | Operator::Exact => return None,
        }))
    }

    fn limit(&mut self, text: &str, span: Range<usize>) -> Option<Limit> {
        let read = |text: &str| {
            let number = Number::parse(text).map(|number| Limit::Number(normal(number)));
            number.or_else(|| Timestamp::parse(text).map(Limit::Time))
        };
        let limit = read(text);
        if limit.is_none() {
            let bare_limit = Some(text.trim_matches('\'')).filter(|bare| read(bare).is_some());
            self.error(
                "query-syntax",
                span,
                format!("expected a number or a time, found `{text}`"),
            )
            .help = Some(match bare_limit {
                Some(bare) => format!("write it without single quotes: `{bare}`"),
                None => "a time is `2026-01-31` or `2026-01-31T09:00:00Z`".to_owned(),
            });
        }
        limit
    }

    fn regex_value(&mut self) -> Option<Test> {
        let start = self.cursor.at();
        let word = self.word_at(start);
        let as_text = format!("for the text itself use quotes: `{}`", quoted(word));
        let Some((source, flags)) = self.cursor.regex() else {
            let message = "this regex is not closed: expected `/` at its end";
            self.error("bad-regex", start..start + 1, message).help = Some(as_text);
            return None;
        };
        let end = self.cursor.at();
        if !matches!(flags, "" | "i") {
            let span = end - flags.len()..end;
            self.delimited("a regex");
            self.error(
                "bad-regex",
                span,
                format!("expected `i` or nothing after a regex, found `{flags}`"),
            )
            .help = Some(as_text);
            return None;
        }
        self.delimited("a regex");
        if source.is_empty() {
            self.error("bad-regex", start..end, "an empty regex meets every value").help =
                Some("write `*` for any value".to_owned());
            return None;
        }
        match RegexTest::new(&source, flags == "i") {
            Ok(regex) => Some(Test::Matches(regex)),
            Err((why, within)) => {
                let from = start + 1;
                // With `\/` in it the places are not the same; the whole regex is then shown.
                let span = if source.len() + 2 + flags.len() == end - start {
                    from + within.start..(from + within.end).max(from + within.start + 1)
                } else {
                    start..end
                };
                self.error("bad-regex", span, format!("not a regex: {why}"));
                None
            }
        }
    }

    fn set_value(&mut self) -> Option<Test> {
        let start = self.cursor.at();
        self.cursor.next();
        let name = if self.cursor.peek() == Some('"') {
            let name = self.cursor.quoted(&mut self.found)?;
            self.delimited("the closing quote");
            name
        } else {
            let from = self.cursor.at();
            self.skip_to_delimiter();
            let name = self.cursor.slice(from..self.cursor.at());
            if !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')) {
                let span = start..self.cursor.at();
                self.error(
                    "query-syntax",
                    span,
                    format!("expected the name of a list, found `{name}`"),
                )
                .help = Some(format!(
                    "an odd name stands in quotes: `@{}`; the text itself too: `{}`",
                    quoted(name),
                    quoted(&format!("@{name}"))
                ));
                return None;
            }
            name.to_owned()
        };
        if name.is_empty() {
            let span = start..self.cursor.at();
            self.error("query-syntax", span, "expected the name of a list after `@`").help =
                Some("for the text itself use quotes: `\"@\"`".to_owned());
            return None;
        }
        Some(Test::In(name.into()))
    }

    fn field_value(&mut self, operator: Operator) -> Option<Test> {
        let start = self.cursor.at();
        self.cursor.next();
        let from = self.cursor.at();
        self.skip_to_delimiter();
        let name = self.cursor.slice(from..self.cursor.at());
        if name.is_empty() {
            self.error("query-syntax", start..from, "expected a field name after `$`").help =
                Some("for the text itself use quotes: `\"$\"`".to_owned());
            return None;
        }
        let case = if operator == Operator::Exact { Case::Exact } else { Case::Ignored };
        let field = self.parse_name(from..from + name.len(), name)?;
        Some(Test::Same(field, case))
    }

    /// Goes to where a value ends, quotes kept together.
    fn skip_to_delimiter(&mut self) {
        let closing = self.closing();
        while let Some(c) = self.cursor.peek() {
            if c.is_whitespace() || c == ')' || Some(c) == closing {
                break;
            }
            if c == '"' {
                drop(self.cursor.quoted(&mut Vec::new()));
            } else {
                self.cursor.next();
            }
        }
    }

    fn range_value(&mut self, subject: &Subject<'t>) -> Option<Test> {
        let start = self.cursor.at();
        let Some(content) = self.cursor.rest().strip_prefix('[').and_then(|rest| {
            let end = rest.find(']')?;
            rest.get(..end)
        }) else {
            self.error("unclosed", start..start + 1, "this `[` is not closed").help =
                Some("a range is `[1 to 5]`; a text that begins with `[` stands in quotes".into());
            self.cursor.skip_word();
            return None;
        };
        let words: Vec<&str> = content.split_whitespace().collect();
        let [from, to, until] = words.as_slice() else {
            return self.not_a_range(subject, start, content);
        };
        if !to.eq_ignore_ascii_case("to") {
            return self.not_a_range(subject, start, content);
        }
        let end = start + content.len() + 2;
        let mut bound = |word: &str, find: fn(&str, &str) -> Option<usize>| {
            if word == "*" {
                return Some(None);
            }
            let at = start + 1 + find(content, word).unwrap_or_default();
            let text = word.strip_prefix('"').and_then(|w| w.strip_suffix('"')).unwrap_or(word);
            let at = self.limit(text, at..at + word.len())?;
            Some(Some(Bound { at, inclusive: true }))
        };
        let lower = bound(from, |text, word| text.find(word));
        let upper = bound(until, |text, word| text.rfind(word));
        self.cursor.go(end);
        self.delimited("a range");
        let (lower, upper) = (lower?, upper?);
        match (lower.map(|b| b.at), upper.map(|b| b.at)) {
            (None, None) => {
                let message = "expected at least one end, found none";
                self.error("query-syntax", start..end, message).help =
                    Some(format!("for any value write `{}: *`", subject.name));
                None
            }
            (Some(Limit::Number(_)), Some(Limit::Time(_)))
            | (Some(Limit::Time(_)), Some(Limit::Number(_))) => {
                self.error("query-syntax", start..end, "expected two numbers or two times");
                None
            }
            _ => Some(Test::Within(Bounds { lower, upper })),
        }
    }

    /// `["a", "b"]`, `[]`: shows the form that is meant.
    fn not_a_range(&mut self, subject: &Subject<'t>, start: usize, content: &str) -> Option<Test> {
        let help = if let Some((help, after)) = self.bracketed(subject.name, false) {
            self.cursor = after;
            help
        } else {
            self.cursor.go(start + content.len() + 2);
            "for any of several values write `field: (a or b)`".to_owned()
        };
        let end = self.cursor.at();
        self.delimited("a range");
        self.error(
            "query-syntax",
            start..end,
            "expected a range such as `[1 to 5]`, found a list",
        )
        .help = Some(help);
        None
    }

    fn element_value(&mut self, subject: &Subject<'t>) -> Option<Test> {
        let start = self.cursor.at();
        self.cursor.next();
        self.cursor.skip_space();
        if self.cursor.eat("}") {
            let span = start..self.cursor.at();
            self.error("query-syntax", span, "expected something between the braces").help =
                Some(format!("for any value write `{}: *`", subject.name));
            return None;
        }
        let was = std::mem::replace(&mut self.in_element, true);
        let inner = self.deeper(start, |parser| parser.any_of(Leaf::Term));
        self.cursor.skip_space();
        if !self.cursor.eat("}") {
            self.error("unclosed", start..start + 1, "this `{` is not closed").help =
                Some("a text that begins with `{` stands in quotes".to_owned());
        }
        self.in_element = was;
        self.delimited("the closing brace");
        if subject.fields.iter().any(crate::event::FieldName::is_pattern) {
            let span = subject.span.clone();
            self.error(
                "bad-field",
                span,
                "expected one array before braces, found a name with `*`",
            );
            return None;
        }
        inner.map(|inner| Test::Element(Box::new(inner)))
    }
}

/// The number that a bare value is. Digits beyond 64 bits are a text: as numbers, two different
/// account ids of thirty digits would be equal.
fn number(text: &str) -> Option<Number> {
    let number = normal(Number::parse(text)?);
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    (!digits || !matches!(number, Number::Float(_))).then_some(number)
}

/// One form for one number: `3.0` is the integer.
pub(super) fn normal(number: Number) -> Number {
    if let Number::Float(_) = number
        && let Some(integer) = Number::parse(&number.to_string())
        && !matches!(integer, Number::Float(_))
    {
        return integer;
    }
    number
}

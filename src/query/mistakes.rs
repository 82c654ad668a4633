//! What authors bring from other languages, or leave out: told with the right form, then read as it
//! was meant, so that the rest is checked as well.

use std::ops::Range;

use super::ast::Expr;
use super::foreign;
use super::parse::{Leaf, Operator, Parser, Subject};
use super::print::quoted;
use crate::event::FieldName;

/// Signs of other languages for `and`, `or`, `not`.
const FOREIGN: [(&str, &str); 5] =
    [("&&", "and"), ("||", "or"), ("&", "and"), ("|", "or"), (",", "or")];

/// Characters of what stands beside a sign that are shown of it at most.
const OPERAND_SHOWN_MAX: usize = 60;

impl<'t> Parser<'t, '_> {
    /// Goes past a sign that other languages have for `word`, and reports it.
    pub(super) fn foreign(&mut self, word: &str, leaf: Leaf<'_, 't>) -> bool {
        let start = self.cursor.at();
        let Some((sign, _)) = FOREIGN
            .into_iter()
            .find(|(sign, meaning)| *meaning == word && self.cursor.rest().starts_with(sign))
        else {
            return false;
        };
        self.cursor.eat(sign);
        let span = start..self.cursor.at();
        let before = self.operand.clone().map(|operand| self.cursor.slice(operand));
        let help = self.joined(before, word, leaf);
        self.error("foreign-sign", span, format!("expected `{word}`, found `{sign}`")).help =
            Some(help);
        true
    }

    /// `!`, which the cursor stands behind.
    pub(super) fn foreign_not(&mut self, start: usize) {
        let denied = self.operand_ahead(Leaf::Term).unwrap_or("…");
        let help = format!("write `not {denied}`");
        self.error("foreign-sign", start..start + 1, "expected `not`, found `!`").help = Some(help);
    }

    /// What stands before and behind the cursor, joined by the right word.
    fn joined(&self, before: Option<&'t str>, word: &str, leaf: Leaf<'_, 't>) -> String {
        let is_short = |text: &&str| !text.is_empty() && text.chars().count() <= OPERAND_SHOWN_MAX;
        let (before, behind) = (before.filter(is_short), self.operand_ahead(leaf));
        if before.is_none() && behind.is_none() {
            return format!("write `{word}`");
        }
        let (before, behind) = (before.unwrap_or("…"), behind.unwrap_or("…"));
        match leaf {
            Leaf::Term => format!("write `{before} {word} {behind}`"),
            Leaf::Value(subject) => format!("write `{}: ({before} {word} {behind})`", subject.name),
        }
    }

    /// What stands next, if it is short and has no mistake.
    fn operand_ahead(&self, leaf: Leaf<'_, 't>) -> Option<&'t str> {
        let mut ahead = self.ahead()?;
        ahead.cursor.skip_space();
        let start = ahead.cursor.at();
        ahead.negated(leaf)?;
        let text = self.cursor.slice(start..ahead.cursor.at());
        let is_fine = ahead.found.is_empty() && text.chars().count() <= OPERAND_SHOWN_MAX;
        is_fine.then_some(text)
    }

    /// `=`, `!=` and the like: the value is read as after `:`, and the right form is shown.
    pub(super) fn foreign_comparison(
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
        let written = self.cursor.slice(sign.clone());
        let message = format!("expected a comparison, found `{written}`");
        self.cursor.skip_space();
        let denied = written.starts_with('!') || written == "<>";
        if let Some((help, after)) = self.bracketed(name, denied) {
            self.cursor = after;
            self.error("foreign-sign", sign, message).help = Some(help);
            return None;
        }
        let (start, before) = (self.cursor.at(), self.found.len());
        let expr = match self.in_single_quotes() {
            Some((_, after)) => {
                self.cursor = after;
                None
            }
            None => self.values(&subject),
        };
        let value = self.cursor.slice(start..self.cursor.at());
        let value = if self.found.len() > before || value.is_empty() { "…" } else { value };
        let help = foreign::compared(name, written, value);
        self.error("foreign-sign", sign, message).help = Some(help);
        expr
    }

    /// A word that is neither a term nor, in this dialect, free text.
    pub(super) fn no_term(&mut self, start: usize, end: usize) {
        let word = self.word_at(start);
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
        self.lost = true;
    }

    /// Two things side by side where a joining word is missing. Returns whether what follows is
    /// dealt with; else it is to be read as if `and` stood here.
    pub(super) fn side_by_side(&mut self, leaf: Leaf<'_, 't>) -> bool {
        let start = self.cursor.at();
        let words = self.loose_words(leaf);
        if std::mem::take(&mut self.lost) {
            return words.is_some();
        }
        let (name, value) = match (&self.last, leaf) {
            (Some((name, value)), Leaf::Term) => {
                (self.cursor.slice(name.clone()), self.cursor.slice(value.clone()))
            }
            (_, Leaf::Value(_)) => ("", ""),
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
        let help = if let Some(spelt) = step_with_spaces(value, text) {
            format!(
                "the name of a step has no spaces: write `{name}: {spelt}`, and the step's `name` alike"
            )
        } else if let Some(first) = value.strip_suffix(',') {
            format!("for any of them write `{name}: ({first} or {})`", text.trim_end_matches(','))
        } else if let Leaf::Value(subject) = leaf {
            let before = self.operand.clone().map_or("…", |operand| self.cursor.slice(operand));
            foreign::side_by_side(subject.name, before, text)
        } else if value.is_empty()
            || value.starts_with(['"', '(', '[', '{', '/'])
            || text.starts_with('"')
        {
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
}

/// `$steps.the login.source.ip`, of which `$steps.the` was read as the value, with a name that is one
/// word.
fn step_with_spaces(value: &str, behind: &str) -> Option<String> {
    let first = value.strip_prefix("$steps.")?;
    let has_field = behind.split_whitespace().next_back()?.contains('.');
    let words: Vec<&str> = behind.split_whitespace().collect();
    (has_field && !first.is_empty() && !first.contains('.'))
        .then(|| format!("{value}_{}", words.join("_")))
}

//! A TOML file read by hand, key by key, so that every mistake gets a span and all are reported.
//!
//! serde stops at the first mistake and loses spans inside `tag`, `flatten` and `untagged`; a
//! [`Table`] is asked for each key it may have, remembers which were asked for, and [`Table::finish`]
//! reports the rest as unknown, with a suggestion.
//!
//! A document that is read as a table of keys ([`Document::root_as`]) is held to it: asking for a key
//! that no [`KeySpec`] describes, or for another type than it says, is a mistake of ours and panics in
//! debug builds. So reference and schema, which are made of these tables, cannot fall behind.
//!
//! ```
//! use hark::base::document::Document;
//! let document = Document::parse("title = 'x'\ncount = 'five'\n");
//! let mut found = hark::base::Diagnostics::new();
//! let mut table = document.root(&mut found);
//! assert_eq!(table.text("title", &mut found).unwrap().value, "x");
//! assert_eq!(table.integer("count", &mut found), None);
//! table.finish(&mut found);
//! assert_eq!(found.errors(), 1);
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::keys::{KeySpec, Shape};
use super::{duration, suggest};

/// A value with the bytes it was written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands in the file, quotes included.
    pub span: Range<usize>,
}

/// A string with what is needed to point into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The string's value, escapes decoded.
    pub value: String,
    /// Where it stands in the file, quotes included.
    pub span: Range<usize>,
    /// Where its first character stands, if the file holds the value letter by letter.
    start: Option<usize>,
}

impl Text {
    /// Where `range` of the value stands in the file; the whole string if escapes blur that.
    pub fn locate(&self, range: Range<usize>) -> Range<usize> {
        match self.start {
            Some(start) => start + range.start..start + range.end,
            None => self.span.clone(),
        }
    }

    /// For texts that stand in no file (arguments, tests): spans are offsets into `value`.
    pub fn bare(value: impl Into<String>) -> Self {
        let value = value.into();
        Self { span: 0..value.len(), start: Some(0), value }
    }
}

/// One parsed file.
pub struct Document<'a> {
    pub(super) source: &'a str,
    pub(super) root: toml::Spanned<DeTable<'a>>,
    syntax: Vec<Diagnostic>,
}

impl<'a> Document<'a> {
    /// Parses TOML 1.1; mistakes of syntax are reported by [`Self::root`], the first of each line.
    pub fn parse(source: &'a str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(source);
        let mut lines = std::collections::BTreeSet::new();
        let mut syntax = Vec::new();
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let line = source.as_bytes().iter().take(span.start).filter(|b| **b == b'\n').count();
            if lines.insert(line) {
                let bare = source.get(span.clone()).unwrap_or_default();
                let help = suggest::in_quotes(bare).filter(|_| error.message().contains("quoted"));
                let mistake = Diagnostic::error("toml-syntax", span, error.message().to_owned());
                syntax.push(Diagnostic { help, ..mistake });
            }
        }
        Self { source, root, syntax }
    }

    /// The top-level table; reports mistakes of syntax.
    pub fn root<'d>(&'d self, found: &mut Diagnostics) -> Table<'d> {
        self.root_of(None, found)
    }

    /// The same, held to the description of what may stand in it.
    pub fn root_as<'d>(&'d self, keys: &'static [KeySpec], found: &mut Diagnostics) -> Table<'d> {
        self.root_of(Some(Shape::Table(keys)), found)
    }

    fn root_of<'d>(&'d self, shape: Option<Shape>, found: &mut Diagnostics) -> Table<'d> {
        found.extend(self.syntax.iter().cloned());
        Table {
            source: self.source,
            entries: self.root.get_ref(),
            span: 0..0,
            path: String::new(),
            listed: false,
            shape,
            known: Vec::new(),
        }
    }

    /// Whether the text is TOML at all.
    pub fn is_well_formed(&self) -> bool {
        self.syntax.is_empty()
    }
}

/// A TOML table that is asked for its keys one by one.
pub struct Table<'d> {
    source: &'d str,
    entries: &'d DeTable<'d>,
    span: Range<usize>,
    /// Dotted path from the root, empty for the root.
    path: String,
    /// Whether it is one of a list: `[[test]]`.
    listed: bool,
    /// What it is described as, if it is.
    shape: Option<Shape>,
    /// The keys it may have, in the order they were asked for.
    known: Vec<&'static str>,
}

/// A value that has not been looked into yet.
#[derive(Clone)]
pub struct Item<'d> {
    source: &'d str,
    value: &'d DeValue<'d>,
    /// Where the value stands.
    pub span: Range<usize>,
    path: String,
    listed: bool,
    /// What it is described as, if it is.
    shape: Option<Shape>,
}

impl<'d> Table<'d> {
    /// Holds the table to a description of its own, where the one around it cannot say.
    #[must_use]
    pub fn held_to(self, keys: &'static [KeySpec]) -> Self {
        Self { shape: Some(Shape::Table(keys)), ..self }
    }

    /// Where the table stands: its header, or its braces; empty for the root.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The dotted path from the root: `alert.severity`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the key is there; does not count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The keys that are there, with their spans, in order of the text.
    pub fn keys(&self) -> Vec<Spanned<String>> {
        let mut keys: Vec<_> = self
            .entries
            .iter()
            .map(|(k, _)| Spanned { value: k.get_ref().to_string(), span: k.span() })
            .collect();
        keys.sort_by_key(|k| k.span.start);
        keys
    }

    /// Where the key itself stands.
    pub fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.entries.get_key_value(key).map(|(k, _)| k.span())
    }

    /// The value of a key of any type, under a name not known in advance (`[lists.NAME]`).
    pub fn any(&self, key: &str) -> Option<Item<'d>> {
        let value = self.entries.get(key)?;
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Some(Item {
            source: self.source,
            value: value.get_ref(),
            span: value.span(),
            path,
            listed: false,
            shape: self.shape.and_then(|shape| shape.entry(key)),
        })
    }

    /// The value of a known key.
    pub fn item(&mut self, key: &'static str) -> Option<Item<'d>> {
        debug_assert!(
            self.shape.is_none_or(|shape| shape.entry(key).is_some()),
            "`{key}`{} is read, and no KeySpec describes it",
            self.place()
        );
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.any(key)
    }

    /// Declares keys as known without reading them, also such as no [`KeySpec`] describes: those that
    /// are refused with a message of their own.
    pub fn allow(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    /// A string.
    pub fn text(&mut self, key: &'static str, found: &mut Diagnostics) -> Option<Text> {
        self.item(key)?.text(found)
    }

    /// A string that must be there.
    pub fn required_text(&mut self, key: &'static str, found: &mut Diagnostics) -> Option<Text> {
        self.require(key, found);
        self.text(key, found)
    }

    /// A whole number.
    pub fn integer(&mut self, key: &'static str, found: &mut Diagnostics) -> Option<Spanned<i64>> {
        self.item(key)?.integer(found)
    }

    /// A whole number of at least 1.
    pub fn count(&mut self, key: &'static str, found: &mut Diagnostics) -> Option<Spanned<u64>> {
        let number = self.integer(key, found)?;
        match u64::try_from(number.value) {
            Ok(value) if value > 0 => Some(Spanned { value, span: number.span }),
            _ => {
                found.push(Diagnostic::error(
                    "out-of-range",
                    number.span,
                    format!("expected a number of at least 1, found `{}`", number.value),
                ));
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str, found: &mut Diagnostics) -> Option<bool> {
        self.item(key)?.boolean(found)
    }

    /// A duration above zero.
    pub fn duration(
        &mut self,
        key: &'static str,
        found: &mut Diagnostics,
    ) -> Option<Spanned<Duration>> {
        let duration = self.duration_or_zero(key, found)?;
        if duration.value.is_zero() {
            found.push(Diagnostic::error(
                "bad-duration",
                duration.span,
                "expected a duration above zero, found `0s`",
            ));
            return None;
        }
        Some(duration)
    }

    /// A duration that may be zero (`lateness`, `learn`, `settle`, times of tests).
    pub fn duration_or_zero(
        &mut self,
        key: &'static str,
        found: &mut Diagnostics,
    ) -> Option<Spanned<Duration>> {
        self.item(key)?.duration(found)
    }

    /// A list of strings; one string alone is not a list.
    pub fn texts(&mut self, key: &'static str, found: &mut Diagnostics) -> Option<Vec<Text>> {
        let items = self.item(key)?.array(found)?;
        Some(items.into_iter().filter_map(|item| item.text(found)).collect())
    }

    /// A table, written as `[key]` or inline.
    pub fn table(&mut self, key: &'static str, found: &mut Diagnostics) -> Option<Table<'d>> {
        self.item(key)?.table(found)
    }

    /// A list of tables: `[[key]]` or an array of inline tables. Missing = none.
    pub fn tables(&mut self, key: &'static str, found: &mut Diagnostics) -> Vec<Table<'d>> {
        let items = self.item(key).and_then(|item| item.array(found)).unwrap_or_default();
        items.into_iter().filter_map(|item| item.table(found)).collect()
    }

    /// Reports a missing key.
    pub fn require(&self, key: &str, found: &mut Diagnostics) {
        if !self.has(key) {
            let place = self.place();
            let message = format!("missing key `{key}`{place}");
            found.push(if self.path.is_empty() {
                Diagnostic::of_file("missing-key", message)
            } else {
                Diagnostic::error("missing-key", self.span.clone(), message)
            });
        }
    }

    /// The table as its header is written, for messages.
    fn place(&self) -> String {
        match (self.path.as_str(), self.listed) {
            ("", _) => String::new(),
            (path, false) => format!(" in `[{path}]`"),
            (path, true) => format!(" in `[[{path}]]`"),
        }
    }

    /// Reports every key that was never asked for.
    pub fn finish(self, found: &mut Diagnostics) {
        self.finish_with(found, |_| None);
    }

    /// The same; `advice` may say more of an unknown key than the nearest known one.
    pub fn finish_with(self, found: &mut Diagnostics, advice: impl Fn(&str) -> Option<String>) {
        for key in self.keys() {
            if self.known.iter().any(|known| *known == key.value) {
                continue;
            }
            let place = self.place();
            let mut diagnostic = Diagnostic::error(
                "unknown-key",
                key.span,
                format!("unknown key `{}`{place}", key.value),
            );
            let help = advice(&key.value).or_else(|| {
                suggest::nearest(&key.value, self.known.iter().copied())
                    .map(|near| format!("did you mean `{near}`?"))
            });
            if let Some(help) = help {
                diagnostic = diagnostic.help(help);
            } else if !self.known.is_empty() && self.known.len() <= 12 {
                diagnostic = diagnostic.help(format!("known keys: {}", self.known.join(", ")));
            }
            found.push(diagnostic);
        }
    }
}

impl<'d> Item<'d> {
    /// The dotted path from the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What TOML calls the value's type.
    pub fn kind(&self) -> &'static str {
        self.value.type_str()
    }

    /// Whether it is a string.
    pub fn is_text(&self) -> bool {
        self.value.is_str()
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Whether it is an array.
    pub fn is_array(&self) -> bool {
        self.value.is_array()
    }

    /// A string; anything else is reported.
    pub fn text(&self, found: &mut Diagnostics) -> Option<Text> {
        self.described("a text", Shape::is_text);
        let Some(value) = self.value.as_str() else {
            self.wrong_type("a string", found);
            return None;
        };
        let written = self.source.get(self.span.clone()).unwrap_or_default();
        // The value stands in the file letter by letter unless an escape or a line joiner was decoded.
        let start =
            written.find(value).map(|at| self.span.start + at).filter(|_| !value.is_empty());
        Some(Text { value: value.to_owned(), span: self.span.clone(), start })
    }

    /// A whole number; anything else is reported.
    pub fn integer(&self, found: &mut Diagnostics) -> Option<Spanned<i64>> {
        self.described("a number", |shape| {
            matches!(shape, Shape::Count | Shape::Whole | Shape::Number)
        });
        let Some(integer) = self.value.as_integer() else {
            self.wrong_type("a whole number", found);
            return None;
        };
        if let Ok(value) = i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix())
        {
            Some(Spanned { value, span: self.span.clone() })
        } else {
            self.wrong_type("a 64-bit number", found);
            None
        }
    }

    /// A number, whole or not; anything else is reported.
    pub fn number(&self, found: &mut Diagnostics) -> Option<Spanned<f64>> {
        self.described("a number", |shape| shape == Shape::Number);
        let text = match self.value {
            DeValue::Float(float) => float.as_str().replace('_', ""),
            DeValue::Integer(_) => {
                #[expect(clippy::cast_precision_loss, reason = "thresholds, not ids")]
                return self
                    .integer(found)
                    .map(|i| Spanned { value: i.value as f64, span: i.span });
            }
            _ => {
                self.wrong_type("a number", found);
                return None;
            }
        };
        text.parse().ok().map(|value| Spanned { value, span: self.span.clone() })
    }

    /// A boolean; anything else is reported.
    pub fn boolean(&self, found: &mut Diagnostics) -> Option<bool> {
        self.described("true or false", |shape| shape == Shape::Boolean);
        let value = self.value.as_bool();
        if value.is_none() {
            self.wrong_type("true or false", found);
        }
        value
    }

    /// A duration, zero included; anything else is reported.
    pub fn duration(&self, found: &mut Diagnostics) -> Option<Spanned<Duration>> {
        self.described("a duration", |shape| shape == Shape::Duration);
        let report = |message: String, found: &mut Diagnostics| {
            found.push(Diagnostic::error("bad-duration", self.span.clone(), message));
        };
        match self.value {
            DeValue::String(text) => match duration::parse(text) {
                Ok(value) => Some(Spanned { value, span: self.span.clone() }),
                Err(message) => {
                    report(message, found);
                    None
                }
            },
            DeValue::Integer(number) => {
                let number = number.as_str();
                report(
                    format!(
                        "expected a duration with a unit, found `{number}`; write \"{number}s\" for seconds or \"{number}m\" for minutes"
                    ),
                    found,
                );
                None
            }
            _ => {
                self.wrong_type("a duration such as \"10m\"", found);
                None
            }
        }
    }

    /// A TOML date or date-time as text (`2027-01-31`, `2026-01-05T12:00:00Z`); a string counts too.
    pub fn date_time(&self, found: &mut Diagnostics) -> Option<Spanned<String>> {
        self.described("a time", |shape| shape == Shape::Time);
        let value = match self.value {
            DeValue::Datetime(value) => value.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => {
                self.wrong_type("a date or time", found);
                return None;
            }
        };
        Some(Spanned { value, span: self.span.clone() })
    }

    /// The elements of an array; anything else is reported.
    pub fn array(&self, found: &mut Diagnostics) -> Option<Vec<Item<'d>>> {
        self.described("a list", |shape| shape.element().is_some());
        let Some(array) = self.value.as_array() else {
            self.wrong_type("a list", found);
            return None;
        };
        Some(
            array
                .iter()
                .map(|value| Item {
                    source: self.source,
                    value: value.get_ref(),
                    span: value.span(),
                    path: self.path.clone(),
                    listed: true,
                    shape: self.shape.and_then(Shape::element),
                })
                .collect(),
        )
    }

    /// A table; anything else is reported.
    pub fn table(&self, found: &mut Diagnostics) -> Option<Table<'d>> {
        self.described("a table", Shape::is_table);
        let Some(table) = self.value.as_table() else {
            self.wrong_type("a table", found);
            return None;
        };
        Some(Table {
            source: self.source,
            entries: table,
            span: self.span.clone(),
            path: self.path.clone(),
            listed: self.listed,
            shape: self.shape.and_then(Shape::table),
            known: Vec::new(),
        })
    }

    /// Holds the description to what the value is read as.
    fn described(&self, read_as: &str, fits: fn(Shape) -> bool) {
        debug_assert!(
            self.shape.is_none_or(|shape| shape.may_be(fits)),
            "`{}` is read as {read_as}, and described as {:?}",
            self.path,
            self.shape
        );
    }

    /// A plain value as JSON, for settings that are passed on as they are, and for whoever looks at a
    /// value of the wrong type to say more of it; dates become strings.
    pub fn json(&self) -> serde_json::Value {
        json(self.value)
    }

    /// Reports that something else was expected.
    pub fn wrong_type(&self, expected: &str, found: &mut Diagnostics) {
        let article = match self.kind() {
            "integer" | "array" => "an",
            _ => "a",
        };
        let kind = match self.kind() {
            "integer" => "integer",
            "datetime" => "date",
            other => other,
        };
        let name = self.path.rsplit('.').next().unwrap_or_default().to_owned();
        let message = format!("`{name}`: expected {expected}, found {article} {kind}");
        let diagnostic = Diagnostic::error("wrong-type", self.span.clone(), message)
            .label(format!("expected {expected}"));
        let meant = match self.value {
            DeValue::String(text) => suggest::in_form(expected, text),
            DeValue::Table(_) if expected == "a list" => Some(format!("[[{}]]", self.path)),
            _ if expected == "a table" && !self.listed => Some(format!("{name} = {{ … }}")),
            _ => None,
        };
        found.push(match meant {
            Some(meant) => diagnostic.help(format!("write `{meant}`")),
            None => diagnostic,
        });
    }
}

fn json(value: &DeValue<'_>) -> serde_json::Value {
    match value {
        DeValue::String(text) => text.to_string().into(),
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
                .unwrap_or_default()
                .into()
        }
        DeValue::Float(number) => {
            number.as_str().replace('_', "").parse::<f64>().unwrap_or_default().into()
        }
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Datetime(value) => value.to_string().into(),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let entries: BTreeMap<String, serde_json::Value> =
                table.iter().map(|(k, v)| (k.get_ref().to_string(), json(v.get_ref()))).collect();
            entries.into_iter().collect()
        }
    }
}

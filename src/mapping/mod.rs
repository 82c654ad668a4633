//! How one product's record becomes an event.
//!
//! A mapping file says which records are the product's, where the common fields stand in them, and
//! what each event means (category, type, outcome). [`Mappings`] are all files, without mistakes,
//! compiled against the layout of what rules and sinks read: a field that nobody reads is not
//! computed. Above `query`, because mappings use queries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::base::diagnostic::SourceText;
use crate::base::{Diagnostic, Diagnostics, Position, Timestamp};
use crate::event::decode::{Decoder, Limits, Malformed};
use crate::event::{Event, FieldName, Layout, Scalar, Wanted};
use crate::query::Sets;

mod common;
mod description;
mod edits;
mod fills;
mod geo;
#[cfg(test)]
mod geo_tests;
mod kafka;
pub mod keys;
mod program;
mod select;
mod syntax;
mod table;
mod time;

pub use common::Common;
pub use description::{Description, Filled, Origin};
pub use edits::Edits;
pub use fills::Fills;
pub use table::{GEOIP, ROWS_MAX, Table, Tables};

use program::{Program, With};
use select::Selector;

/// A record as Kafka gave it.
#[derive(Debug, Clone)]
pub struct RawRecord<'r> {
    /// Where it stands.
    pub position: Position,
    /// The record's own timestamp, if it has one.
    pub timestamp: Option<Timestamp>,
    /// The record's key.
    pub key: Option<&'r [u8]>,
    /// Its headers, in order; one without a value is left out.
    pub headers: Vec<(&'r str, &'r [u8])>,
    /// Its value.
    pub payload: &'r [u8],
}

/// Why a record is no event; [`Reason::code`] is the dead letter's reason and the metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Not JSON, or no object.
    NotJson,
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// Nested deeper than allowed.
    TooDeep,
    /// More bytes than allowed.
    TooBig,
    /// A path that something reads is named twice.
    DuplicateKey,
    /// No mapping takes it.
    NoMapping,
    /// More than one mapping takes it.
    AmbiguousMapping,
    /// Its `@timestamp` is there but cannot be read.
    BadTime,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NotJson,
        Self::NotUtf8,
        Self::TooDeep,
        Self::TooBig,
        Self::DuplicateKey,
        Self::NoMapping,
        Self::AmbiguousMapping,
        Self::BadTime,
    ];

    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotUtf8 => "not_utf8",
            Self::TooDeep => "too_deep",
            Self::TooBig => "too_big",
            Self::DuplicateKey => "duplicate_key",
            Self::NoMapping => "no_mapping",
            Self::AmbiguousMapping => "ambiguous_mapping",
            Self::BadTime => "bad_time",
        }
    }
}

/// A record that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Why.
    pub reason: Reason,
    /// Where or what exactly, for people; bounded.
    pub detail: String,
}

/// Characters of [`Unusable::detail`] at most.
const DETAIL_MAX: usize = 300;

impl Unusable {
    /// With a detail that is cut to what people read.
    pub fn new(reason: Reason, detail: impl AsRef<str>) -> Self {
        Self { reason, detail: detail.as_ref().chars().take(DETAIL_MAX).collect() }
    }
}

impl From<Malformed> for Unusable {
    fn from(malformed: Malformed) -> Self {
        let reason = match malformed {
            Malformed::NotJson(_) => Reason::NotJson,
            Malformed::NotUtf8(_) => Reason::NotUtf8,
            Malformed::TooDeep(_) => Reason::TooDeep,
            Malformed::TooBig(_) => Reason::TooBig,
            Malformed::DuplicateKey(_) => Reason::DuplicateKey,
        };
        Self::new(reason, malformed.to_string())
    }
}

/// The bounds of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Size and depth of a record.
    pub limits: Limits,
    /// How far ahead of now an event's time may be before it is clamped.
    pub max_future_skew: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { limits: Limits::default(), max_future_skew: Duration::from_mins(5) }
    }
}

/// All mappings, ready to run.
#[derive(Debug)]
pub struct Mappings {
    programs: Vec<Program>,
    selector: Selector,
    fills: BTreeSet<FieldName>,
    each: Vec<Fills>,
    /// Some product writes the common fields itself, so any of them may be there.
    fills_any: bool,
    aliases: BTreeMap<String, FieldName>,
    layout: Layout,
    /// Reads the `raw.…` fields of [`Mappings::of_fields`].
    decoder: Decoder,
}

impl Mappings {
    /// Reads and compiles mapping files; a file's stem is the mapping's name. The layout must hold
    /// everything that rules and sinks want by now: fields outside of it are not computed. Every
    /// source that has something to say comes back with it; one with errors is left out.
    pub fn load(
        sources: &[SourceText],
        tables: &Tables,
        layout: &Layout,
        sets: &Sets,
        options: Options,
    ) -> (Self, Vec<(SourceText, Diagnostics)>) {
        let mut all = Self {
            programs: Vec::new(),
            selector: Selector::default(),
            fills: syntax::ALWAYS.map(|name| FieldName::from_keys([name])).into(),
            each: Vec::new(),
            fills_any: false,
            aliases: BTreeMap::new(),
            layout: layout.clone(),
            decoder: Decoder::new(layout, &[], options.limits),
        };
        let with = With { layout, sets, tables, options };
        let mut reported = Vec::new();
        for source in sources {
            let mut found = Diagnostics::new();
            all.add(source, with, &mut found);
            if !found.is_empty() {
                reported.push((source.clone(), found));
            }
        }
        (all, reported)
    }

    fn add(&mut self, source: &SourceText, with: With<'_>, found: &mut Diagnostics) {
        let Some(mapping) = syntax::read(source, found) else { return };
        if self.names().any(|name| name == mapping.name) {
            let message = format!("there is another mapping `{}`", mapping.name);
            found.push(Diagnostic::of_file("duplicate-mapping", message));
            return;
        }
        let program = Program::new(&mapping, with, found);
        for (alias, field) in &mapping.search {
            let first = self.aliases.entry(alias.value.clone()).or_insert_with(|| field.clone());
            if first != field {
                let message = format!("`{}` stands for `{first}` in another mapping", alias.value);
                let warning = Diagnostic::warning("duplicate-alias", alias.span.clone(), message);
                found.push(warning.help("the first one, by file name, wins"));
            }
        }
        if found.has_errors() {
            return;
        }
        let number = self.programs.len();
        self.selector.add(number, &mapping, with.sets, with.options.limits, found);
        if !found.has_errors() {
            self.fills_any |= mapping.common;
            let mut own = mapping.fills();
            if is_located(&mapping, with.tables) {
                own.extend(geo::fields());
            }
            self.each.push(Fills::new(&mapping, own.clone()));
            self.fills.extend(own);
            self.programs.push(program);
        }
    }

    /// Their names, in order: the labels of metrics, and the values of `event.dataset`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.programs.iter().map(|program| &**program.name())
    }

    /// Whether some mapping can fill a field; one that none fills is worth a warning in a rule.
    pub fn fills(&self, field: &FieldName) -> bool {
        self.fills_any || self.fills.contains(field)
    }

    /// What each mapping can fill, in order of their names.
    pub fn each(&self) -> impl Iterator<Item = &Fills> {
        self.each.iter()
    }

    /// The only values that a field of any event can have, in order; `None` when no mapping fills it, or
    /// when records or tables may bring others.
    pub fn only_values(&self, field: &FieldName) -> Option<Vec<&Scalar>> {
        let mut all = Vec::new();
        for fills in &self.each {
            all.extend(fills.only_values(field)?);
        }
        all.sort_by_key(ToString::to_string);
        all.dedup();
        (!all.is_empty()).then_some(all)
    }

    /// Every field that some mapping can fill, in order.
    pub fn filled(&self) -> impl Iterator<Item = &FieldName> {
        self.fills.iter()
    }

    /// People's own words for fields in console and command line (`[search]`).
    pub fn aliases(&self) -> &BTreeMap<String, FieldName> {
        &self.aliases
    }

    /// The event that a record is. `now` is MATCH's clock: a time too far ahead of it is clamped.
    pub fn event(&self, record: &RawRecord<'_>, now: Timestamp) -> Result<Event, Unusable> {
        let name = |number: usize| self.names().nth(number).unwrap_or_default().to_owned();
        let number = self.selector.select(record, name)?;
        match self.programs.get(number) {
            Some(program) => program.run(record, now, &Edits::default()),
            None => Err(Unusable::new(Reason::NoMapping, "")),
        }
    }

    /// The event of a sample in an inline test: through the mapping of that name wherever the
    /// record stands, with changes on the way.
    pub fn sample(
        &self,
        mapping: &str,
        record: &RawRecord<'_>,
        now: Timestamp,
        edits: &Edits,
    ) -> Result<Event, Unusable> {
        if let Some(program) = self.programs.iter().find(|p| **p.name() == *mapping) {
            return program.run(record, now, edits);
        }
        Err(Unusable::new(Reason::NoMapping, format!("there is no mapping `{mapping}`")))
    }

    /// The event of an inline test that gives its fields itself, through no mapping at all.
    pub fn of_fields(
        &self,
        fields: &BTreeMap<FieldName, Value>,
        position: Position,
        time: Timestamp,
    ) -> Result<Event, Unusable> {
        let text = |name: &str| fields.get(&FieldName::from_keys([name])).and_then(Value::as_str);
        let dataset: Arc<str> = text("event.dataset").unwrap_or_default().into();
        let mut event = Event::empty(&self.layout, position, time, dataset);
        let mut record = Value::Object(Map::new());
        for (field, value) in fields {
            if let Some(path) = field.raw_path() {
                edits::put(&mut record, path, value.clone());
            }
        }
        self.decoder.decode(record.to_string().as_bytes(), &mut event)?;
        let own = [
            (FieldName::from_keys(["@timestamp"]), Value::from(time.to_string())),
            (FieldName::from_keys(["event.id"]), event.position.to_string().into()),
            (FieldName::from_keys(["event.kind"]), "event".into()),
        ];
        let own = own.iter().filter(|(field, _)| !fields.contains_key(field));
        let given = fields.iter().filter(|(field, _)| field.raw_path().is_none());
        for (field, value) in given.chain(own.map(|(field, value)| (field, value))) {
            let values = edits::scalars(value);
            for (slot, wanted) in self.layout.iter() {
                let takes = match wanted {
                    // `*` meets nothing of Kafka's, as with a record: a pattern has to say so.
                    Wanted::Values(name) if name.is_pattern() => {
                        name.is_common() == field.is_common() && name.matches(&field.dotted())
                    }
                    Wanted::Values(name) => name == field,
                    Wanted::AnyText => fields.contains_key(field),
                    Wanted::Elements(_) | Wanted::Present(_) => false,
                };
                let text_only = *wanted == Wanted::AnyText;
                let values = values.iter().filter(|v| !text_only || v.as_text().is_some());
                if takes {
                    event.extend(slot, values.cloned());
                }
            }
        }
        Ok(event)
    }
}

/// Whether a mapping's events get the place of their address.
fn is_located(mapping: &syntax::Mapping, tables: &Tables) -> bool {
    let has_database = GEOIP.iter().any(|name| tables.contains_key(*name));
    let address = FieldName::from_keys(geo::ADDRESS.split('.'));
    has_database && (mapping.common || mapping.fills().contains(&address))
}

impl Default for Mappings {
    fn default() -> Self {
        Self::load(&[], &Tables::new(), &Layout::new(), &Sets::default(), Options::default()).0
    }
}

#[cfg(test)]
mod tests;

//! How one product's record becomes an event.
//!
//! A mapping file says which records are the product's, where the common fields stand in them, and
//! what each event means (category, type, outcome). [`Mapping`] is a file without mistakes;
//! [`Mappings`] are all of them, compiled against the layout of what rules and sinks read: a field
//! that nobody reads is not computed. Above `query`, because mappings use queries.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::diagnostic::SourceText;
use crate::base::{Diagnostics, Position, Timestamp};
use crate::event::decode::Limits;
use crate::event::{Event, FieldName, Layout, Scalar};
use crate::query::Sets;

mod table;

pub use table::{Table, Tables};

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

/// What an inline test changes of a sample on its way to an event.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// Stands in place of every time that record and Kafka give.
    pub time: Option<Timestamp>,
    /// Values of common fields, put in after every case, before tables and `[[classify]]`; none
    /// = the field is missing. (`raw.*` is changed in the payload itself.)
    pub set: Vec<(FieldName, Vec<Scalar>)>,
    /// Tables that stand before those of the config.
    pub tables: Tables,
}

/// All mappings, ready to run.
#[derive(Debug, Default)]
pub struct Mappings {
    names: Vec<String>,
}

impl Mappings {
    /// Reads and compiles mapping files; a file's stem is the mapping's name. The layout must hold
    /// everything that rules and sinks want by now: fields outside of it are not computed. Every
    /// source that has something to say comes back with it; one with errors is left out.
    pub fn load(
        _sources: &[SourceText],
        _tables: &Tables,
        _layout: &Layout,
        _sets: &Sets,
        _options: Options,
    ) -> (Self, Vec<(SourceText, Diagnostics)>) {
        (Self::default(), Vec::new())
    }

    /// Their names, in order: the labels of metrics, and the values of `event.dataset`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether some mapping can fill a field; one that none fills is worth a warning in a rule.
    pub fn fills(&self, _field: &FieldName) -> bool {
        false
    }

    /// People's own words for fields in console and command line (`[search]`).
    pub fn aliases(&self) -> BTreeMap<String, FieldName> {
        BTreeMap::new()
    }

    /// The event that a record is. `now` is MATCH's clock: a time too far ahead of it is clamped.
    pub fn event(&self, record: &RawRecord<'_>, now: Timestamp) -> Result<Event, Unusable> {
        self.edited(None, record, now, &Edits::default())
    }

    /// The same for inline tests: through the mapping of that name (a sample's folder) wherever the
    /// record stands, with fields changed on the way.
    pub fn edited(
        &self,
        mapping: Option<&str>,
        record: &RawRecord<'_>,
        _now: Timestamp,
        _edits: &Edits,
    ) -> Result<Event, Unusable> {
        let detail = match mapping {
            Some(name) => format!("there is no mapping `{name}`"),
            None => format!("no mapping takes records of topic `{}`", record.position.topic),
        };
        Err(Unusable { reason: Reason::NoMapping, detail })
    }
}

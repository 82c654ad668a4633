//! What an inline test changes of a sample on its way to an event.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use smallvec::SmallVec;

use crate::base::Timestamp;
use crate::event::{Event, FieldName, Layout, Scalar, Segment, Slot};

use super::table::Tables;
use super::{Reason, Unusable};

/// Changes to one record: `raw.…` before mapping, common fields after every case and before tables
/// and `[[classify]]`.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// Stands in place of every time that record and Kafka give; never clamped.
    pub time: Option<Timestamp>,
    /// Fields and their values: scalars, or lists of them.
    pub set: BTreeMap<FieldName, Value>,
    /// Fields that are missing.
    pub unset: Vec<FieldName>,
    /// Tables that stand before those of the configuration.
    pub tables: Tables,
}

impl Edits {
    /// The record with its `raw.…` changes; `None` when there are none.
    pub(super) fn patch(&self, payload: &[u8]) -> Result<Option<Vec<u8>>, Unusable> {
        let set = self.set.iter().filter_map(|(field, value)| Some((field.raw_path()?, value)));
        let unset = self.unset.iter().filter_map(|field| Some((field.raw_path()?, &Value::Null)));
        let changes: Vec<_> = set.chain(unset).collect();
        if changes.is_empty() {
            return Ok(None);
        }
        let mut record: Value = serde_json::from_slice(payload)
            .map_err(|error| Unusable::new(Reason::NotJson, error.to_string()))?;
        for (path, value) in changes {
            put(&mut record, path, value.clone());
        }
        Ok(Some(record.to_string().into_bytes()))
    }

    /// Changes the common (and `kafka.…`) fields of an event, as far as anything reads them.
    pub(super) fn apply(&self, layout: &Layout, event: &mut Event) {
        let unset = self.unset.iter().map(|field| (field, &Value::Null));
        for (field, value) in self.set.iter().chain(unset) {
            if field.raw_path().is_some() {
                continue;
            }
            if let Some(slot) = layout.find(field).and_then(|id| event.slot_mut(id)) {
                *slot = Slot::Values(scalars(value));
            }
        }
    }
}

/// The values of a field given as JSON: arrays flattened, nulls left out.
pub(super) fn scalars(value: &Value) -> SmallVec<[Scalar; 1]> {
    match value {
        Value::Array(values) => values.iter().flat_map(scalars).collect(),
        one => Scalar::from_json(one).into_iter().collect(),
    }
}

/// Puts a value at a path, making the objects on the way; a JSON document in a string becomes the
/// object that it holds.
pub(super) fn put(at: &mut Value, path: &[Segment], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *at = value;
        return;
    };
    if let Value::String(text) = at
        && let Ok(document @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text)
    {
        *at = document;
    }
    match first {
        Segment::Key(key) => {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            if let Value::Object(entries) = at {
                put(entries.entry(&**key).or_insert(Value::Null), rest, value);
            }
        }
        Segment::Index(index) => {
            if !at.is_array() {
                *at = Value::Array(Vec::new());
            }
            if let Value::Array(elements) = at {
                let index = *index as usize;
                if elements.len() <= index && index < 1000 {
                    elements.resize(index + 1, Value::Null);
                }
                if let Some(element) = elements.get_mut(index) {
                    put(element, rest, value);
                }
            }
        }
    }
}

//! One event, as an array of slots.

use std::sync::Arc;

use smallvec::SmallVec;

use super::layout::{FieldId, Layout, Wanted};
use super::value::Scalar;
use crate::base::{Position, Timestamp};

/// What one slot of an event holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Slot {
    /// The values of a field; none = missing.
    Values(SmallVec<[Scalar; 1]>),
    /// Whole elements, for queries that look into one element of an array.
    Elements(Vec<serde_json::Value>),
}

/// An audit record in the common fields, as far as anything loaded reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Event time: the mapped `@timestamp`, else the record's; clamped when it is from the future.
    pub time: Timestamp,
    /// Whether `time` was clamped.
    pub clamped: bool,
    /// Where the record stands.
    pub position: Position,
    /// The mapping's name, which is `event.dataset`.
    pub mapping: Arc<str>,
    slots: Box<[Slot]>,
}

impl Event {
    /// An event with nothing in its slots.
    pub fn empty(layout: &Layout, position: Position, time: Timestamp, mapping: Arc<str>) -> Self {
        let slots = layout
            .iter()
            .map(|(_, wanted)| match wanted {
                Wanted::Elements(_) => Slot::Elements(Vec::new()),
                Wanted::Values(_) | Wanted::Present(_) | Wanted::AnyText => {
                    Slot::Values(SmallVec::new())
                }
            })
            .collect();
        Self { time, clamped: false, position, mapping, slots }
    }

    /// The values of a field; empty when it is missing.
    pub fn values(&self, field: FieldId) -> &[Scalar] {
        match self.slots.get(field.index()) {
            Some(Slot::Values(values)) => values,
            _ => &[],
        }
    }

    /// The first value of a field.
    pub fn first(&self, field: FieldId) -> Option<&Scalar> {
        self.values(field).first()
    }

    /// The whole elements of an array; empty when it is missing.
    pub fn elements(&self, field: FieldId) -> &[serde_json::Value] {
        match self.slots.get(field.index()) {
            Some(Slot::Elements(elements)) => elements,
            _ => &[],
        }
    }

    /// A slot, to be filled while decoding and mapping.
    pub fn slot_mut(&mut self, field: FieldId) -> Option<&mut Slot> {
        self.slots.get_mut(field.index())
    }

    /// Adds values to a field.
    pub fn extend(&mut self, field: FieldId, values: impl IntoIterator<Item = Scalar>) {
        for value in values {
            self.push(field, value);
        }
    }

    /// Adds a value to a field.
    pub fn push(&mut self, field: FieldId, value: Scalar) {
        if let Some(Slot::Values(values)) = self.slot_mut(field) {
            values.push(value);
        }
    }
}

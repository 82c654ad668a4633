//! A rule's `group_by` on one event: whose signal it is.

use std::collections::BTreeSet;

use crate::event::{Event, FieldId, FieldName, Layout, Scalar};
use crate::state::canonical;

use super::key::Key;

/// The most keys that one event gives one rule: arrays in several `group_by` fields multiply.
pub const KEYS_PER_EVENT: usize = 1_000;

/// The fields whose values make a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Names beside slots, for the canonical form depends on the field.
    names: Vec<String>,
    slots: Vec<FieldId>,
}

impl Group {
    pub(super) fn new(fields: &[FieldName], layout: &mut Layout) -> Self {
        Self {
            names: fields.iter().map(ToString::to_string).collect(),
            slots: fields.iter().map(|field| layout.field(field)).collect(),
        }
    }

    /// The fields' names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The names of the fields that the event has no value of.
    pub(super) fn missing(&self, event: &Event) -> Vec<String> {
        let is_there = |slot: &FieldId| event.values(*slot).iter().any(is_key);
        let fields = self.names.iter().zip(&self.slots);
        fields.filter(|(_, slot)| !is_there(slot)).map(|(name, _)| name.clone()).collect()
    }

    /// Every combination of one value of each field, without repeats; at most one more than
    /// [`KEYS_PER_EVENT`]. None when a field is missing.
    pub(super) fn keys(&self, event: &Event) -> Vec<Key> {
        let mut combinations: Vec<Vec<Scalar>> = vec![Vec::new()];
        for (name, slot) in self.names.iter().zip(&self.slots) {
            let mut seen = BTreeSet::new();
            let values: Vec<&Scalar> = event
                .values(*slot)
                .iter()
                .filter(|value| is_key(value))
                .filter(|value| seen.insert(canonical(name, value)))
                .collect();
            combinations = combinations
                .iter()
                .flat_map(|start| {
                    values
                        .iter()
                        .map(move |value| start.iter().cloned().chain([(*value).clone()]).collect())
                })
                .take(KEYS_PER_EVENT + 1)
                .collect();
        }
        combinations.into_iter().map(|values| Key::new(&self.names, &values)).collect()
    }
}

/// An empty string is missing, as a key.
fn is_key(value: &Scalar) -> bool {
    value.as_text() != Some("")
}

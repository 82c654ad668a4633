//! What anything loaded wants to read: one slot per distinct wish, so that an event is an array.
//!
//! Queries, mappings, group keys, templates and sinks ask the layout for a [`FieldId`] at load;
//! decoding fills exactly these slots and skips everything else of a record.

use std::collections::BTreeMap;

use super::field::FieldName;

/// The number of a slot in every event of this layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(u32);

impl FieldId {
    /// The slot's index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// The scalar values of a field, arrays flattened, nulls left out. A pattern name holds the
    /// values of every field whose dotted name it matches.
    Values(FieldName),
    /// The elements of the array at a path (or the one object there), whole: `raw.target: { … }`.
    Elements(FieldName),
    /// Whether there is anything at a path of the record but null and empty arrays, be it an object:
    /// `raw.details: *`. Holds one `true`, or nothing.
    Present(FieldName),
    /// Every string of the original record: free text.
    AnyText,
}

/// All slots, grown while loading, fixed while running.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    wanted: Vec<Wanted>,
    ids: BTreeMap<Wanted, FieldId>,
}

impl Layout {
    /// No slots.
    pub fn new() -> Self {
        Self::default()
    }

    /// The slot for a wish, made if it is new.
    pub fn want(&mut self, wanted: Wanted) -> FieldId {
        if let Some(id) = self.ids.get(&wanted) {
            return *id;
        }
        let id = FieldId(u32::try_from(self.wanted.len()).unwrap_or(u32::MAX));
        self.ids.insert(wanted.clone(), id);
        self.wanted.push(wanted);
        id
    }

    /// The slot of a field's values.
    pub fn field(&mut self, name: &FieldName) -> FieldId {
        self.want(Wanted::Values(name.clone()))
    }

    /// The slot of a field's values, if anything asked for it.
    pub fn find(&self, name: &FieldName) -> Option<FieldId> {
        self.ids.get(&Wanted::Values(name.clone())).copied()
    }

    /// What a slot holds.
    pub fn wanted(&self, id: FieldId) -> Option<&Wanted> {
        self.wanted.get(id.index())
    }

    /// All wishes with their slots, in order of the slots.
    pub fn iter(&self) -> impl Iterator<Item = (FieldId, &Wanted)> {
        (0..).map(FieldId).zip(&self.wanted)
    }

    /// How many slots.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }
}

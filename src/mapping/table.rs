//! Tables that mappings look values up in: `[tables.people]`, CSV or JSON, small enough for memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::Scalar;

/// One table: rows by key, ignoring case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    rows: BTreeMap<String, BTreeMap<String, Vec<Scalar>>>,
}

/// Tables by name.
pub type Tables = BTreeMap<String, Arc<Table>>;

impl Table {
    /// The values of a column in the row of a key.
    pub fn look_up(&self, key: &str, column: &str) -> Option<&[Scalar]> {
        self.rows.get(&key.to_lowercase())?.get(column).map(Vec::as_slice)
    }
}

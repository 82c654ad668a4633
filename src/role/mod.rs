//! What each role does with its records: match, correlate, notify, deliver.
//!
//! A role is a consumer group. It reads, decides with the core, writes, and its offsets move only
//! after what it wrote is acknowledged; the loop that promises this is `kafka`'s.

pub mod correlate;
pub mod dead_letter;
pub mod deliver;
pub mod r#match;
pub mod notify;
#[cfg(test)]
mod tests;
pub mod versions;

use std::sync::Arc;

use crate::base::Position;
use crate::kafka::Record;
use crate::mapping::RawRecord;

/// A record as mappings take it; `topic` is its topic, shared, so that nothing is copied.
pub(crate) fn raw<'r>(record: &Record<'r>, topic: &Arc<str>) -> RawRecord<'r> {
    debug_assert_eq!(**topic, *record.topic);
    RawRecord {
        position: Position::new(Arc::clone(topic), record.partition, record.offset),
        timestamp: record.timestamp,
        key: record.key,
        headers: record.headers.iter().collect(),
        payload: record.payload.unwrap_or_default(),
    }
}

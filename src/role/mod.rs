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

use crate::kafka::Record;
use crate::mapping::RawRecord;

impl<'r> From<&Record<'r>> for RawRecord<'r> {
    fn from(record: &Record<'r>) -> Self {
        Self {
            position: record.position(),
            timestamp: record.timestamp,
            key: record.key,
            headers: record.headers.iter().collect(),
            payload: record.payload.unwrap_or_default(),
        }
    }
}

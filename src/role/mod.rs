//! What each role does with its records: match, correlate, notify, deliver.
//!
//! A role is a consumer group. It reads, decides with the core, writes, and its offsets move only
//! after what it wrote is acknowledged; the loop that promises this is `kafka`'s.

pub mod dead_letter;
pub mod notify;

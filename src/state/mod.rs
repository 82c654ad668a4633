//! Bounded memory per rule and key: how it is stored, expired, evicted and written as bytes.
//!
//! What is remembered (windows, open alerts) is the business of `detectors` and `alert`; this folder
//! only knows that an entry has a deadline, may be pinned, and lives under a rule and a key.

mod canonical;
pub mod codec;
mod store;
pub mod timeline;

pub use canonical::{CANONICAL_BYTES, canonical};
pub use store::{Entry, Insert, KEYS_PER_RULE, RuleKey, Store, Touch};

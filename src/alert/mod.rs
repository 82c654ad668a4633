//! What a rule found about one key: the record, and its life: it opens, grows, resolves.

mod record;

pub use record::{Alert, AlertStatus, Resolution, RuleInfo, Sample};

//! What a rule found about one key: the record, and its life: it opens, grows, resolves.

mod correlation;
mod record;
mod rules;

pub use correlation::{Correlation, Findings, Limits, Note, Progress, TIMERS_PER_STEP};
pub use record::{Alert, AlertStatus, Resolution, RuleInfo, Sample};
pub use rules::{Judge, Rules};

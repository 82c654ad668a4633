//! What a rule found about one key: the record, and its life: it opens, grows, resolves.

mod correlation;
mod entry;
mod life;
mod pipeline;
mod recent;
mod record;
mod render;
mod rules;
#[cfg(test)]
mod scenarios;
mod values;

pub use correlation::{
    Change, Correlation, Findings, Limits, Note, Progress, Resume, TIMERS_PER_STEP,
};
pub use pipeline::Pipeline;
pub use recent::{EVENTS_PER_KEY, SAMPLES_MAX};
pub use record::{Alert, AlertStatus, Resolution, RuleInfo, Sample};
pub use rules::{Judge, Rules};

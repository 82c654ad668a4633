//! What a rule found about one key: it opens, grows, resolves.
//!
//! [`Correlation`] is the way in: signals and ticks of one partition, in log order, become [`Alert`]
//! records. Inside it, `entry` is all that is remembered of one key: its detector's window, its
//! `recent` events, the `values` that titles show, and each alert's `life`; `render` says what an
//! alert says. [`Rules`] are the versions of rules that signals are judged by; `expected` is whom one
//! expects to hear from, `starts` since when, in this partition. [`Pipeline`] puts matching in front:
//! events in, alerts out.
//!
//! Whom to tell of an alert, and when, is decided elsewhere.

mod about;
mod as_event;
mod correlation;
mod ending;
mod entry;
mod expected;
mod life;
mod pipeline;
mod recent;
mod record;
mod render;
mod rules;
#[cfg(test)]
mod scenarios;
mod starts;
mod values;
mod window;

pub use correlation::{
    Change, Correlation, Findings, Fired, Judging, Limits, Note, Progress, Resume, TIMERS_PER_STEP,
};
pub use entry::ALERTS_PER_KEY;
pub use pipeline::Pipeline;
pub use recent::{EVENTS_PER_KEY, SAMPLES_MAX, TUPLES_PER_KEY};
pub use record::{Alert, AlertStatus, Resolution, RuleInfo, SCHEMA, Sample};
pub use rules::{Judge, Rules};
pub use starts::RuleBegan;

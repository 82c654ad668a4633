//! Past or made-up events through the rules, at once and without Kafka: what `hark replay`,
//! `hark test` and `hark match` say.
//!
//! The first two run [`crate::alert::Pipeline`], the composition that runs live, on a clock that ticks after
//! every event. [`Replay`] takes records as bytes; [`Bench`] runs the `[[test]]`s that rule files
//! carry, and a [`Trial`] that failed tells as a timeline what happened. [`junit`] says the same to
//! machines. [`Search`] is one query over records, without rules; [`Fields`] is what a mapping makes of one. Which files are read, and where the words go, is the shell's business.
//!
//! This folder stands above `alert` rather than in `engine`, for a test is about alerts.

mod cost;
mod fields;
pub mod junit;
mod past;
mod search;
mod story;
#[cfg(test)]
mod tests;
mod through;
mod trial;
mod why;
#[cfg(test)]
mod why_tests;

pub use cost::Stopwatch;
pub use fields::Fields;
pub use past::{Counts, Firing, NUMBERS_MAX, Replay, Summary};
pub use search::{Search, Seen};
pub use through::{TOPIC, Through, Timeless};
pub use trial::{Bench, Samples, Trial, samples_of};

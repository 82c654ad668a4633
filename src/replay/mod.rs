//! Past or made-up events through the rules, at once and without Kafka: what `hark replay` and
//! `hark test` say.
//!
//! Both run [`crate::alert::Pipeline`], the composition that runs live, on a clock that ticks after
//! every event. [`Replay`] takes records as bytes; [`Bench`] runs the `[[test]]`s that rule files
//! carry, and a [`Trial`] that failed tells as a timeline what happened. [`junit`] says the same to
//! machines. Which files are read, and where the words go, is the shell's business.
//!
//! This folder stands above `alert` rather than in `engine`, for a test is about alerts.

pub mod junit;
mod past;
mod story;
#[cfg(test)]
mod tests;
mod trial;

pub use past::{Counts, Firing, Replay, Summary, TOPIC, Through};
pub use trial::{Bench, Samples, Trial, samples_of};

//! The Kafka layer on a real Apache Kafka: topics as the table says, and nothing skipped whatever
//! stops, joins, leaves or dies. What was read and written is judged by kcat and Kafka's own tools.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failure here is the test's; tests measure time as it passes"
)]

#[path = "../support/mod.rs"]
mod support;

mod consumer;
mod failures;
mod places;
mod range;
mod scene;
mod topics;
mod workers;

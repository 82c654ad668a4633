//! What `hark check` says of mistakes: to people, and to other programs.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod advice;
mod cases;
mod codes;
mod configuration;
mod formats;
mod many;
mod order;
#[path = "../support/program.rs"]
mod program;

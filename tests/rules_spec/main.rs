//! `RULES.md` held against the product from outside, by a reader who did not write it: queries (§2),
//! windows and keys (§3), detectors (§4), the life of alerts (§5), its examples word for word, and
//! what hostile texts cost. Each test quotes what it claims; the examples stand at the edges of the
//! claim.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod aggregates;
mod alerts;
mod bounds;
mod detectors;
mod examples;
mod memory;
#[path = "../support/program.rs"]
mod program;
mod queries;
mod reference;
mod sequences;
mod travel;

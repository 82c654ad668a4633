//! What several detectors are made of, or what would hide one of them: windows that wait for the clock,
//! exact sums, bounds, places. None of it is a detector.

pub(super) mod bound;
pub(super) mod expect;
pub(super) mod pairs;
pub(super) mod place;
pub(super) mod sliding;
pub(super) mod tally;
pub(super) mod total;

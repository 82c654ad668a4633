//! How fast the parts of the hot path are, each beside an anchor of the same run: `cargo bench`.
//!
//! `cargo bench -- matching/opsknight` runs what the name meets; `cargo test --benches` runs every
//! bench once, to see that it still works. Machines differ and are noisy, so what counts is the ratio
//! to the anchor, printed at the end; `benches/README.md` says what the anchors are and what was found.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may fail loudly")]

mod decode;
mod lists;
mod matching;
mod pack;
mod ratios;
mod signals;
mod windows;

use criterion::Criterion;
use hark::base::Clock as _;
use hark::base::clock::System;

fn main() {
    let started = System.now();
    let mut criterion = Criterion::default().configure_from_args();
    decode::benches(&mut criterion);
    matching::benches(&mut criterion);
    lists::benches(&mut criterion);
    signals::benches(&mut criterion);
    windows::benches(&mut criterion);
    criterion.final_summary();
    ratios::print(started);
}

/// Whether this run measures, or only sees that every bench works.
fn measures() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

//! Sinks and notifiers against the outside world on real sockets: one contract for all of them,
//! and what is each one's own.

#![expect(clippy::unwrap_used, reason = "a test's helper fails by panicking")]
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]
#![expect(unreachable_pub, reason = "a program of several modules")]

mod contract;
mod datadog;
mod email;
mod made;
mod splunk;
#[path = "../support/mod.rs"]
mod support;
mod webhook;

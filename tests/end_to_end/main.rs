//! The main job on a real Apache Kafka: audit events in; alerts, notifications and forwarded events
//! out. The whole daemon runs as an operator would run it, from a configuration file; what writes
//! its input and receives its output shares no code with it: kcat, aiosmtpd, the crate
//! `standardwebhooks`, doubles of Splunk and Datadog on real sockets. What must come out is counted
//! again by brute force from the raw records ([`recount`]).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a failure here is the test's"
)]

#[path = "../support/mod.rs"]
mod support;

mod broker;
mod cloudtrail;
mod command;
mod crowd;
mod dead_letters;
mod instances;
mod outage;
mod products;
mod recount;
mod replay;
mod restarts;
mod rules_on_rules;
mod silence;
mod sinks;
mod stage;
mod traffic;
mod volume;

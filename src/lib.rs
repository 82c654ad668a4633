//! Hark listens to audit events in Kafka, decides with rules written in TOML what deserves
//! attention, tells people, and forwards everything to the SIEM they already own.
//!
//! ```text
//!  audit topics ──┬─▶ MATCH ────▶ signals ────▶ CORRELATE ───▶ alerts ──▶ NOTIFY ──▶ outbox ──┐
//!  (yours)        │   decode, map,  (by rule     windows,          │   whom to tell,           │
//!                 │   every rule's   and key)    alert life        │   and when                │
//!                 │   condition                                    │                           │
//!                 └────────────────────────────────────────────────┴───────────▶ DELIVER ◀─────┘
//!                                             one group per destination: Splunk, Datadog, e-mail, …
//! ```
//!
//! # The words
//!
//! One word, one meaning, in code, topics, metrics and text: an *event* is an audit record in the
//! common fields; a *mapping* says how one product's record becomes an event; a *rule* says what to
//! watch; a *query* is a condition over fields; a *detector* is a way to fire over time; a *signal*
//! is one event that met one rule's query, on its way to the detector; an *alert* is what a rule
//! found about one key: it opens, grows, resolves; a *notification* is a message to people about
//! alerts; a *notifier* is a channel for it; a *sink* stores events or alerts; *lists* and
//! *schedules* are named sets that queries use, *tables* are what mappings look values up in; an
//! *override* tunes rules without touching their files; a *dead letter* is a record that could not be
//! used, with the reason.
//!
//! # The map
//!
//! A folder uses only folders that stand below it; `tests/architecture.rs` holds that. A plural
//! folder is an open family (a table in `mod.rs`, a file per member), a singular one a mechanism.
//!
//! | shell: meets the world | |
//! |---|---|
//! | `cli` | what a person can ask for; the only place that prints |
//! | `app` | configuration → running daemon; drains and stops |
//! | `config` | the file an operator writes, with environment and secrets; lists and tables that change |
//! | `admin` | health and metrics over HTTP |
//! | `role` | match, correlate, notify, deliver: what each does with its records |
//! | `kafka` | the only folder that names rdkafka: clients, topics, the embedded broker |
//! | `sinks` | Splunk, Datadog, … (family) |
//! | `notifiers` | e-mail, webhook, … (family) |
//! | `delivery` | sending, whatever is sent: outcomes, batches, retries |
//!
//! | core: values in, values out; no clock, no I/O | |
//! |---|---|
//! | `replay` | past or made-up events through the rules at once: replay, the tests in rule files |
//! | `alert` | how an alert opens, grows and resolves |
//! | `engine` | many rules over one stream: which may match, signals, windows driven by event time |
//! | `rule` | the TOML as written → checked → compiled |
//! | `detectors` | threshold, … (family) |
//! | `state` | bounded memory per key |
//! | `mapping` | a product's record → the common fields |
//! | `query` | the query language: parse → check → match |
//! | `event` | the common fields, and reading only the wanted ones from bytes |
//! | `base` | time, durations, diagnostics, secrets, ids, metric names |
//!
//! # What always holds
//!
//! - Nothing is kept on disk: what must not be lost is in Kafka.
//! - Detectors never read a clock; time is data in the log.
//! - An offset is committed only after Kafka has acknowledged everything that came of it.
//! - What cannot be used goes to `dead-letters` with its reason; nothing is dropped in silence.
//! - Everything has a bound with a name and a default.

pub mod admin;
pub mod alert;
pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod detectors;
pub mod engine;
pub mod event;
pub mod kafka;
pub mod mapping;
pub mod notifiers;
pub mod query;
pub mod replay;
pub mod role;
pub mod rule;
pub mod sinks;
pub mod state;

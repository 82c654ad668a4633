//! Kafka, and the only folder that names its client: clusters, topics, reading, writing, and the
//! worker that turns a role's [`Task`] into a consume–produce–commit cycle.
//!
//! What is promised now is at least once with nothing skipped: a source offset is committed only
//! after everything that came of the records before it has been acknowledged by Kafka
//! ([`cycle`], and [`commit`], its last step, whose place transactions will take). What a record means is
//! left to `src/role/`.
//!
//! Reading order: [`settings`], [`cluster`], [`topics`]; [`record`], [`task`]; [`consumer`],
//! [`producer`]; [`worker`], [`cycle`], [`commit`], [`start`], [`health`];
//! [`range`] and `reader` read without a group. [`native`] holds the few calls that the safe
//! client does not offer.

mod client;
pub mod cluster;
mod commit;
pub mod consumer;
mod cycle;
mod error;
pub mod health;
mod native;
pub mod producer;
pub mod range;
mod reader;
pub mod record;
pub mod settings;
mod start;
pub mod task;
pub mod topics;
pub mod worker;

pub use cluster::{Cluster, TopicInfo};
pub use consumer::{Consumer, Polled, Rebalance};
pub use error::Error;
pub use health::{Health, State};
pub use producer::Producer;
pub use range::RangeReader;
pub use reader::read_to_end;
pub use record::{Headers, Memory, OutRecord, Output, Record, Sent, TopicPartition};
pub use settings::Settings;
pub use start::Begin;
pub use task::{
    BOOKMARK_BYTES_MAX, Committed, Log, OwnedSource, Sources, Start, StartPolicy, Task,
};
pub use topics::{Cleanup, Problem, TopicSpec, Topics};
pub use worker::{STOP_DEADLINE, Worker, WorkerSettings, spawn};

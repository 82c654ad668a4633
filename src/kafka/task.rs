//! What a role tells its worker to do: the seam between "which records, in which order, committed
//! when" (this folder) and "what comes of them" (`src/role/`).

use super::Error;
use super::record::{Output, Record, TopicPartition};
use crate::base::Timestamp;

/// The longest bookmark; brokers take 4096 bytes beside an offset by default.
pub const BOOKMARK_BYTES_MAX: usize = 1024;

/// What a role does with its records. One task belongs to one worker thread, so it needs no locks.
///
/// The order of calls is the promise: `assigned` before the first record of a partition, `revoked`
/// after its last, records of a partition in the order of the log. After a failure that may pass,
/// the worker calls `revoked` and `assigned` again for everything it owns and starts over at the
/// last committed positions: whatever was kept in memory since then must be forgotten.
pub trait Task: Send {
    /// A partition is ours from here on. `committed` is where its group stands, if anywhere.
    fn assigned(
        &mut self,
        partition: &TopicPartition,
        committed: Option<&Committed>,
        log: &mut dyn Log,
    ) -> Result<Start, Error>;

    /// A partition is not ours any more; everything it gave rise to has been committed, or is lost
    /// to whoever owns it now.
    fn revoked(&mut self, partition: &TopicPartition);

    /// One record. An error stops the worker, and with it the daemon: a record that cannot be used
    /// is a dead letter, not an error.
    fn record(&mut self, record: &Record<'_>, out: &mut dyn Output) -> Result<(), Error>;

    /// A short text that is committed beside a partition's position and comes back in `assigned`:
    /// what a task needs to rebuild its memory. At most [`BOOKMARK_BYTES_MAX`] bytes, no `;`.
    fn bookmark(&self, partition: &TopicPartition) -> Option<String> {
        let _ = partition;
        None
    }

    /// About once a second, also when nothing arrives: after that cycle's records, and in the same
    /// produce, flush and commit as they.
    fn pulse(&mut self, sources: &Sources, out: &mut dyn Output) -> Result<(), Error> {
        let _ = (sources, out);
        Ok(())
    }
}

/// Where a group stands in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The offset of the next record to be processed.
    pub offset: i64,
    /// The task's own text, committed with it; empty if there is none. See [`Task::bookmark`].
    pub bookmark: String,
}

/// Where reading a newly assigned partition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Where the group stands, else what the worker's [`StartPolicy`] says.
    Committed,
    /// At this offset, whatever the group committed. Before it: the task rebuilds what it kept in
    /// memory, and nothing is committed until it has passed where the group stands.
    Offset(i64),
}

/// Where to begin in a topic that the group has never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartPolicy {
    /// At the oldest record that is still there.
    #[default]
    Earliest,
    /// At what arrives from now on.
    Latest,
    /// At the first record that is not older than this.
    Time(Timestamp),
}

/// What a task may ask about the log of the partition that is being assigned.
pub trait Log {
    /// The first offset whose record is not older than `time`; `None` when there is none.
    fn offset_for_time(&mut self, time: Timestamp) -> Result<Option<i64>, Error>;

    /// The oldest offset that is still there, and the offset after the newest record.
    fn watermarks(&mut self) -> Result<(i64, i64), Error>;
}

/// Where a worker stands, partition by partition, at the moment of a pulse.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The partitions that this worker owns, in order.
    pub owned: Vec<OwnedSource>,
    /// Every partition of every subscribed topic, whoever owns it, in order. Topics that do not
    /// exist (yet) have none.
    pub subscription: Vec<TopicPartition>,
}

/// One owned partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedSource {
    /// Which.
    pub partition: TopicPartition,
    /// The offset of the next record to be read.
    pub position: i64,
    /// The offset after the newest record, as the last fetch saw it; `None` before the first one.
    pub high_watermark: Option<i64>,
}

impl OwnedSource {
    /// Whether everything that was there at the last fetch has been read.
    pub fn at_end(&self) -> bool {
        self.high_watermark.is_some_and(|high| self.position >= high)
    }
}

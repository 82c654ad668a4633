//! The last step of a worker's cycle: what was produced is acknowledged, *then* the positions of its
//! sources are committed. At least once; the step that transactions will take the place of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::consumer::QUERY_TIMEOUT;
use super::record::TopicPartition;
use super::start::Begin;
use super::task::Task;
use super::{Consumer, Error, Producer};
use crate::base::clock;

/// How long everything produced in a cycle may take to be acknowledged: longer than the client's own
/// `message.timeout.ms`, so that its verdict comes first.
const FLUSH_MAX: Duration = Duration::from_secs(40);

/// How long a commit may take, with what it waits for while the group rebalances.
const COMMIT_MAX: Duration = Duration::from_secs(20);

/// What remains of each once the worker was told to stop.
const STOPPING_MAX: Duration = Duration::from_secs(4);

/// Where the group stands, as far as this worker knows.
#[derive(Debug, Default)]
pub(super) struct Commit {
    committed: BTreeMap<TopicPartition, i64>,
    /// What the task had to say when they were committed.
    bookmarks: BTreeMap<TopicPartition, String>,
    /// Partitions whose very first position has yet to be committed.
    unsettled: BTreeSet<TopicPartition>,
}

impl Commit {
    /// Takes note of where a partition begins, and whether the group knows that already.
    pub(super) fn assigned(&mut self, begin: Begin) {
        if begin.committed.is_none() {
            self.unsettled.insert(begin.partition.clone());
        }
        let offset = begin.committed.unwrap_or(begin.offset);
        self.bookmarks.insert(begin.partition.clone(), begin.bookmark);
        self.committed.insert(begin.partition, offset);
    }

    /// Forgets a partition.
    pub(super) fn revoked(&mut self, partition: &TopicPartition) {
        self.committed.remove(partition);
        self.bookmarks.remove(partition);
        self.unsettled.remove(partition);
    }

    /// Commits where partitions begin that the group has never read. Done before anything is read of
    /// them: if it were left to the first batch, a start at the end of a topic could move to a later
    /// end with each failed attempt, and skip what lies between.
    pub(super) fn settle(&mut self, consumer: &Consumer) -> Result<(), Error> {
        let begins: Vec<(TopicPartition, i64)> = self
            .committed()
            .into_iter()
            .filter(|(partition, _)| self.unsettled.contains(partition))
            .collect();
        consumer.commit(&begins, QUERY_TIMEOUT)?;
        self.unsettled.clear();
        Ok(())
    }

    /// Where to go back to after a failure, with what the task said there.
    pub(super) fn again(&self) -> Vec<Begin> {
        let bookmark = |partition| self.bookmarks.get(partition).cloned().unwrap_or_default();
        self.committed
            .iter()
            .map(|(partition, offset)| {
                Begin::again(partition.clone(), *offset, bookmark(partition))
            })
            .collect()
    }

    /// Where the group stands in each owned partition.
    pub(super) fn committed(&self) -> Vec<(TopicPartition, i64)> {
        self.committed.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect()
    }

    /// Ends a cycle well, or says why not; then nothing was committed that is not safe.
    ///
    /// What is committed is the *position*, not the last record's offset + 1: markers of transactions
    /// occupy offsets too, and a group at the end would show a lag of one for ever.
    pub(super) fn finish(
        &mut self,
        consumer: &Consumer,
        producer: &Producer,
        task: &dyn Task,
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        flush(producer, &mut Patience::new(FLUSH_MAX, stopping))?;
        let moved: Vec<(TopicPartition, i64)> = consumer
            .positions()
            .into_iter()
            // A task that rebuilds its memory reads below the committed position, which stays.
            .filter(|(partition, at)| self.committed.get(partition).is_none_or(|was| at > was))
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        let mut bookmarks = Vec::with_capacity(moved.len());
        for (partition, _) in &moved {
            let bookmark = task.bookmark(partition).unwrap_or_default();
            consumer.set_bookmark(partition, bookmark.clone());
            bookmarks.push((partition.clone(), bookmark));
        }
        let mut patience = Patience::new(COMMIT_MAX, stopping);
        consumer.commit_until(&moved, &mut || patience.is_over())?;
        self.committed.extend(moved);
        self.bookmarks.extend(bookmarks);
        Ok(())
    }
}

/// Waits for every acknowledgement.
fn flush(producer: &Producer, patience: &mut Patience<'_>) -> Result<(), Error> {
    while !producer.settle(Duration::from_millis(50)) {
        if patience.is_over() {
            return producer.flush(Duration::ZERO);
        }
    }
    producer.delivered()
}

/// A wait with a bound, which an order to stop shortens.
struct Patience<'a> {
    begun: Instant,
    max: Duration,
    stopping: &'a dyn Fn() -> bool,
    told: Option<Instant>,
}

impl<'a> Patience<'a> {
    fn new(max: Duration, stopping: &'a dyn Fn() -> bool) -> Self {
        Self { begun: clock::instant(), max, stopping, told: None }
    }

    fn is_over(&mut self) -> bool {
        let now = clock::instant();
        if self.told.is_none() && (self.stopping)() {
            self.told = Some(now);
        }
        now.duration_since(self.begun) > self.max
            || self.told.is_some_and(|told| now.duration_since(told) > STOPPING_MAX)
    }
}

//! What a worker's thread does: it turns one consumer, one producer and one task in a cycle: poll a
//! batch → the task → flush → commit → again.
//!
//! What fails in a way that may pass never skips a record: the worker goes back to the last
//! committed position of everything it owns, has the task forget what came after, waits (longer each
//! time) and does it over. What will not pass ends the worker, and its [`Health`] says why; whether
//! the daemon ends with it is the daemon's decision.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use super::commit::Commit;
use super::consumer::Subscription;
use super::record::TopicPartition;
use super::start::Begin;
use super::task::{Committed, Log, OwnedSource, Sources, Start, Task};
use super::worker::WorkerSettings;
use super::{Consumer, Error, Health, Polled, Producer, Rebalance, State};
use crate::base::metrics::Metrics;
use crate::base::{Timestamp, clock, panic_text};

/// The longest that a poll waits, which is how soon an order to stop is heard.
const POLL_MAX: Duration = Duration::from_millis(100);

/// The pause after a first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// How long leaving the group may take.
const LEAVE_MAX: Duration = Duration::from_secs(6);

/// How long records may be dropped in search of a rebalance behind them.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// How old the list of all partitions may become, and how old while the client reports trouble or a
/// topic is missing.
const SUBSCRIPTION_AGE_MAX: Duration = Duration::from_secs(30);
const SUBSCRIPTION_AGE_MAX_IN_TROUBLE: Duration = Duration::from_secs(3);

/// How long a failure is told after the last attempt if there is no record to prove that it is over.
const FAILURE_TOLD: Duration = Duration::from_secs(20);

/// What the worker's thread owns.
pub(super) struct Cycle {
    consumer: Consumer,
    producer: Producer,
    task: Box<dyn Task>,
    settings: WorkerSettings,
    metrics: Metrics,
    health: Health,
    stop: Arc<AtomicBool>,
    commit: Commit,
    /// A rebalance that was reported and has yet to be answered.
    unanswered: Option<Rebalance>,
    /// Whether the group has given this member its first assignment, which may be empty.
    joined: bool,
    /// The last failure and its time, until records have been taken through a whole cycle again.
    failed: Option<(Instant, String)>,
    pause: Duration,
    next_pulse: Instant,
    subscription: Subscription,
    subscription_at: Option<Instant>,
}

impl Cycle {
    /// The cycle of a worker that has yet to join its group.
    pub(super) fn new(
        consumer: Consumer,
        producer: Producer,
        task: Box<dyn Task>,
        settings: WorkerSettings,
        metrics: Metrics,
        health: Health,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            consumer,
            producer,
            task,
            settings,
            metrics,
            health,
            stop,
            commit: Commit::default(),
            unanswered: None,
            joined: false,
            failed: None,
            pause: PAUSE_MIN,
            next_pulse: clock::instant(),
            subscription: Subscription::default(),
            subscription_at: None,
        }
    }

    /// Works until told to stop or unable to go on, leaves the group, and tells.
    pub(super) fn run(mut self, tell: &SyncSender<()>) {
        let worker = self.settings.name.clone();
        let health = self.health.clone();
        let worked = catch_unwind(AssertUnwindSafe(|| self.work()));
        // What is dropped here is the task's too, and may panic as it may.
        let left = catch_unwind(AssertUnwindSafe(|| self.leave()));
        match worked.and_then(|worked| left.map(|()| worked)) {
            Ok(Ok(())) => health.set(State::Stopped),
            Ok(Err(error)) => {
                tracing::error!(worker, %error, "the worker gave up");
                health.set(State::Failed(error.to_string()));
            }
            Err(panic) => {
                let text = panic_text(panic.as_ref());
                tracing::error!(worker, panic = text, "the worker panicked");
                health.set(State::Failed(format!("it panicked: {text}")));
            }
        }
        if tell.try_send(()).is_err() {
            tracing::debug!(worker, "nobody waits for the end of this worker");
        }
    }

    /// Leaves the group before the producer goes, and waits for that with a bound.
    fn leave(self) {
        let Self { consumer, producer, task, .. } = self;
        if !consumer.leave(LEAVE_MAX) {
            tracing::warn!(
                "the group was not told that this member left; it will notice by itself"
            );
        }
        drop(producer);
        drop(task);
    }

    fn work(&mut self) -> Result<(), Error> {
        let mut going_back = false;
        while !self.stopping() {
            let outcome = if going_back { self.go_back() } else { self.cycle() };
            going_back = match outcome {
                Ok(()) => false,
                Err(error) if error.is_retriable() => {
                    self.failed(&error);
                    true
                }
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// Says what failed, and waits. When told to stop it does not: what was not committed will be
    /// read again, nothing is lost by leaving.
    fn failed(&mut self, error: &Error) {
        tracing::warn!(
            worker = self.settings.name,
            %error,
            pause_ms = u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX),
            "going back to the last committed position"
        );
        self.failed = Some((clock::instant(), error.to_string()));
        self.health.set(State::Retrying(error.to_string()));
        let end = clock::instant() + self.pause;
        while clock::instant() < end && !self.stopping() {
            thread::sleep(Duration::from_millis(20));
        }
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// One cycle. A rebalance ends it early: what was begun is finished first.
    fn cycle(&mut self) -> Result<(), Error> {
        let (records, rebalance) = self.batch()?;
        self.unanswered = rebalance;
        if let Some(Rebalance::Revoked { lost: true, .. }) = self.unanswered {
            // Someone else owns the partitions: what came of them since is theirs to redo.
            self.producer = self.producer.renewed()?;
            return self.answer();
        }
        if self.joined && clock::instant() >= self.next_pulse {
            self.next_pulse = clock::instant() + self.settings.pulse_every;
            self.pulse()?;
        }
        let stop = Arc::clone(&self.stop);
        let stopping = move || stop.load(Ordering::SeqCst);
        self.commit.finish(&self.consumer, &self.producer, &*self.task, &stopping)?;
        if records > 0 {
            self.pause = PAUSE_MIN;
            self.failed = None;
        }
        self.answer()
    }

    /// Hands records to the task until the batch is full, old, or interrupted.
    fn batch(&mut self) -> Result<(usize, Option<Rebalance>), Error> {
        let mut records = 0;
        let mut oldest: Option<Instant> = None;
        while records < self.settings.batch_records_max && !self.stopping() {
            let now = clock::instant();
            if self.joined && now >= self.next_pulse {
                break;
            }
            let mut wait = POLL_MAX;
            if self.joined {
                wait = wait.min(self.next_pulse.saturating_duration_since(now));
            }
            if let Some(oldest) = oldest {
                let left = self.settings.batch_age_max.saturating_sub(now.duration_since(oldest));
                if left.is_zero() {
                    break;
                }
                wait = wait.min(left);
            }
            match self.consumer.poll(wait)? {
                Polled::Record(message) => {
                    self.task.record(&message.record(), &mut self.producer)?;
                    records += 1;
                    oldest.get_or_insert(now);
                }
                Polled::Rebalance(rebalance) => return Ok((records, Some(rebalance))),
                Polled::Idle if self.joined => {}
                Polled::Idle => {
                    self.wait_to_join();
                    break;
                }
            }
        }
        Ok((records, None))
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Answers a rebalance, after what was begun has been finished.
    fn answer(&mut self) -> Result<(), Error> {
        match self.unanswered.take() {
            None => Ok(()),
            Some(Rebalance::Revoked { partitions, lost }) => {
                self.note_rebalance();
                tracing::info!(
                    worker = self.settings.name,
                    partitions = names(&partitions),
                    lost,
                    "partitions revoked"
                );
                for partition in &partitions {
                    self.task.revoked(partition);
                    self.commit.revoked(partition);
                    self.forget_lag(partition);
                }
                self.consumer.unassign(&partitions)
            }
            Some(Rebalance::Assigned(partitions)) => {
                if let Err(error) = self.take_over(&partitions) {
                    // The group waits for the answer, so it is tried again.
                    self.unanswered = Some(Rebalance::Assigned(partitions));
                    return Err(error);
                }
                self.commit.settle(&self.consumer)
            }
        }
    }

    fn take_over(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let policy =
            |topic: &str| self.settings.starts.get(topic).copied().unwrap_or(self.settings.start);
        let mut begins = self.consumer.begins(partitions, &policy)?;
        self.introduce(&mut begins)?;
        self.consumer.assign(&begins)?;
        self.note_rebalance();
        tracing::info!(
            worker = self.settings.name,
            partitions = names(partitions),
            "partitions assigned"
        );
        for begin in begins {
            self.commit.assigned(begin);
        }
        self.joined = true;
        self.subscription_at = None;
        Ok(())
    }

    /// Has the task prepare each partition; if one fails, those before it are taken back.
    fn introduce(&mut self, begins: &mut [Begin]) -> Result<(), Error> {
        for index in 0..begins.len() {
            let Some(begin) = begins.get_mut(index) else { break };
            let mut log = PartitionLog { consumer: &self.consumer, partition: &begin.partition };
            let committed = begin
                .committed
                .map(|offset| Committed { offset, bookmark: begin.bookmark.clone() });
            match self.task.assigned(&begin.partition, committed.as_ref(), &mut log) {
                Ok(Start::Committed) => {}
                Ok(Start::Offset(offset)) => begin.offset = offset,
                Err(error) => {
                    for begin in begins.iter().take(index) {
                        self.task.revoked(&begin.partition);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Puts everything back to the last committed positions, as if just assigned.
    fn go_back(&mut self) -> Result<(), Error> {
        // The new producer has none of the old one's records, delivered late or not at all.
        self.producer = self.producer.renewed()?;
        self.answer_all()?;
        let mut begins = self.commit.again();
        if begins.is_empty() {
            return Ok(());
        }
        for begin in &begins {
            self.task.revoked(&begin.partition);
        }
        self.introduce(&mut begins)?;
        let offsets: Vec<(TopicPartition, i64)> =
            begins.into_iter().map(|begin| (begin.partition, begin.offset)).collect();
        self.consumer.seek(&offsets)?;
        self.commit.settle(&self.consumer)
    }

    /// Answers what is pending without a commit. Records that come up are dropped: the seek that
    /// follows brings them back.
    fn answer_all(&mut self) -> Result<(), Error> {
        let end = clock::instant() + DRAIN_MAX;
        self.answer()?;
        while clock::instant() < end {
            match self.consumer.poll(Duration::ZERO)? {
                Polled::Rebalance(rebalance) => {
                    self.unanswered = Some(rebalance);
                    self.answer()?;
                }
                Polled::Record(_) => {}
                Polled::Idle => break,
            }
        }
        Ok(())
    }

    /// Calls the task's pulse with where things stand, and tells health and metrics.
    fn pulse(&mut self) -> Result<(), Error> {
        self.refresh_subscription();
        let owned: Vec<OwnedSource> = self
            .consumer
            .positions()
            .into_iter()
            .map(|(partition, position)| OwnedSource {
                high_watermark: self.consumer.high_watermark(&partition),
                partition,
                position,
            })
            .collect();
        for source in &owned {
            if let Some(high) = source.high_watermark {
                let lag = high.saturating_sub(source.position).max(0);
                let partition = source.partition.partition.to_string();
                let labels = [&self.settings.group, &*source.partition.topic, &*partition];
                self.metrics.lag.with_label_values(&labels).set(lag);
            }
        }
        self.tell_health(owned.len());
        let sources = Sources { owned, subscription: self.subscription.partitions.clone() };
        self.task.pulse(&sources, &mut self.producer)
    }

    fn tell_health(&self, owned: usize) {
        let failure = self.failed.as_ref().filter(|(at, _)| at.elapsed() < FAILURE_TOLD);
        let trouble = self.consumer.trouble().or_else(|| failure.map(|(_, text)| text.clone()));
        self.health.set(match trouble {
            _ if !self.subscription.missing.is_empty() => missing(&self.subscription.missing),
            Some(trouble) => State::Retrying(trouble),
            None => State::Ready(owned),
        });
    }

    /// Says why there is no assignment yet, asking about once in three seconds.
    fn wait_to_join(&mut self) {
        self.refresh_subscription();
        if !self.subscription.missing.is_empty() {
            self.health.set(missing(&self.subscription.missing));
        } else if let Some(trouble) = self.consumer.trouble() {
            self.health.set(State::Waiting(trouble));
        } else {
            self.health.set(State::Waiting("not yet assigned".to_owned()));
        }
    }

    fn refresh_subscription(&mut self) {
        let calm = self.joined
            && self.subscription.missing.is_empty()
            && self.consumer.trouble().is_none();
        let age_max = if calm { SUBSCRIPTION_AGE_MAX } else { SUBSCRIPTION_AGE_MAX_IN_TROUBLE };
        if self.subscription_at.is_some_and(|at| at.elapsed() < age_max) {
            return;
        }
        self.subscription_at = Some(clock::instant());
        // Without an answer the last one stands, and trouble is reported by the client.
        match self.consumer.subscription() {
            Ok(subscription) => {
                self.consumer.clear_trouble();
                self.subscription = subscription;
            }
            Err(error) => tracing::warn!(worker = self.settings.name, %error, "no metadata"),
        }
    }

    fn note_rebalance(&self) {
        self.metrics.rebalances.with_label_values(&[&self.settings.group]).inc();
    }

    fn forget_lag(&self, partition: &TopicPartition) {
        let number = partition.partition.to_string();
        let labels = [&*self.settings.group, &*partition.topic, &*number];
        // It has none before the first pulse.
        drop(self.metrics.lag.remove_label_values(&labels));
    }
}

/// The log of the partition that is being assigned.
struct PartitionLog<'a> {
    consumer: &'a Consumer,
    partition: &'a TopicPartition,
}

impl Log for PartitionLog<'_> {
    fn offset_for_time(&mut self, time: Timestamp) -> Result<Option<i64>, Error> {
        self.consumer.offset_for_time(self.partition, time)
    }

    fn watermarks(&mut self) -> Result<(i64, i64), Error> {
        self.consumer.watermarks(self.partition)
    }
}

fn missing(topics: &[String]) -> State {
    State::Waiting(format!("topic `{}` does not exist yet", topics.join("`, `")))
}

/// Partitions in few words: `audit.ops0:0-3,7 hark.alerts:0`.
fn names(partitions: &[TopicPartition]) -> String {
    let mut topics: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().insert(partition.partition);
    }
    let told = topics.iter().map(|(topic, numbers)| format!("{topic}:{}", runs(numbers)));
    told.collect::<Vec<_>>().join(" ")
}

/// Numbers in order, neighbours as a range: `0-3,7`.
fn runs(numbers: &BTreeSet<i32>) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let told =
        runs.iter().map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        );
    told.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_in_few_words() {
        let told = |partitions: &[(&str, i32)]| {
            let list: Vec<_> =
                partitions.iter().map(|(t, p)| TopicPartition::new(*t, *p)).collect();
            names(&list)
        };
        assert_eq!(told(&[]), "");
        assert_eq!(
            told(&[("b", 1), ("a", 0), ("a", 2), ("a", 1), ("a", 7), ("b", 0)]),
            "a:0-2,7 b:0-1"
        );
    }
}

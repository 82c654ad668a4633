//! One worker: an OS thread that owns one consumer, one producer and one task, and turns them in a
//! cycle: poll a batch → the task → flush → commit → again.
//!
//! What fails in a way that may pass never skips a record: the worker goes back to the last
//! committed position of everything it owns, has the task forget what came after, waits (longer each
//! time) and does it over. What will not pass ends the worker, and its [`Health`] says why; whether
//! the daemon ends with it is the daemon's decision.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::commit::Commit;
use super::consumer::Subscription;
use super::record::TopicPartition;
use super::start::Begin;
use super::task::{Committed, Log, OwnedSource, Sources, Start, StartPolicy, Task};
use super::{Cluster, Consumer, Error, Health, Polled, Producer, Rebalance, State};
use crate::base::metrics::Metrics;
use crate::base::{Timestamp, clock};

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The thread's name, and what logs call the worker.
    pub name: String,
    /// The consumer group, in full.
    pub group: String,
    /// The topics to read.
    pub topics: Vec<String>,
    /// A cycle ends after this many records …
    pub batch_records_max: usize,
    /// … or this long after its first one.
    pub batch_age_max: Duration,
    /// How often the task's `pulse` is called.
    pub pulse_every: Duration,
    /// Where a topic that the group has never read begins …
    pub start: StartPolicy,
    /// … unless it has a policy of its own.
    pub starts: BTreeMap<String, StartPolicy>,
}

impl WorkerSettings {
    /// A worker with the usual bounds.
    pub fn new(name: &str, group: &str, topics: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            group: group.to_owned(),
            topics,
            batch_records_max: 10_000,
            batch_age_max: Duration::from_millis(50),
            pulse_every: Duration::from_secs(1),
            start: StartPolicy::Earliest,
            starts: BTreeMap::new(),
        }
    }
}

/// The longest that a poll waits, which is how soon an order to stop is heard.
const POLL_MAX: Duration = Duration::from_millis(100);

/// The pause after a first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// How long records may be dropped in search of a rebalance behind them.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// How old the list of all partitions may become, and how old while the client reports trouble or a
/// topic is missing.
const SUBSCRIPTION_AGE_MAX: Duration = Duration::from_secs(30);
const SUBSCRIPTION_AGE_MAX_IN_TROUBLE: Duration = Duration::from_secs(3);

/// A running worker. Dropping it tells the thread to stop and does not wait.
pub struct Worker {
    name: String,
    health: Health,
    stop: Arc<AtomicBool>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a worker's thread. What goes wrong from here on is told by `health`.
pub fn spawn(
    cluster: &Arc<Cluster>,
    settings: WorkerSettings,
    task: Box<dyn Task>,
    metrics: Metrics,
    health: Health,
) -> Result<Worker, Error> {
    let consumer = cluster.consumer(&settings.group, &settings.topics)?;
    let producer = cluster.producer()?;
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, done) = sync_channel(1);
    let name = settings.name.clone();
    let thread = Thread {
        consumer,
        producer,
        task,
        metrics,
        health: health.clone(),
        stop: Arc::clone(&stop),
        commit: Commit::default(),
        unanswered: None,
        joined: false,
        pause: PAUSE_MIN,
        next_pulse: clock::instant(),
        subscription: Subscription::default(),
        subscription_at: None,
        settings,
    };
    let thread = thread::Builder::new()
        .name(name.clone())
        .spawn(move || thread.run(&tell))
        .map_err(|error| Error::Fatal { what: "starting a thread", detail: error.to_string() })?;
    Ok(Worker { name, health, stop, done, thread: Some(thread) })
}

impl Worker {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says about itself.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Whether its thread has ended, told to or not.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Tells it to stop; [`Self::stop`] waits for that.
    pub fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Tells it to finish its cycle, commit and leave the group, and waits. When it has not by the
    /// deadline, the thread is left to itself and the caller should end the process.
    pub fn stop(mut self, deadline: Duration) -> Result<(), Error> {
        self.ask_to_stop();
        if self.done.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
            let detail = format!("worker `{}` has not stopped after {deadline:?}", self.name);
            return Err(Error::Retriable { what: "stopping", detail });
        }
        // The thread has nothing left to do but to return; it catches its own panics.
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(worker = self.name, "the worker's thread panicked while ending");
        }
        match self.health.state() {
            State::Failed(detail) => Err(Error::Fatal { what: "working", detail }),
            _ => Ok(()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

/// What the worker's thread owns.
struct Thread {
    // The consumer leaves its group before the producer goes: fields are dropped in this order.
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
    pause: Duration,
    next_pulse: Instant,
    subscription: Subscription,
    subscription_at: Option<Instant>,
}

impl Thread {
    fn run(mut self, tell: &SyncSender<()>) {
        let worker = self.settings.name.clone();
        let health = self.health.clone();
        let worked = catch_unwind(AssertUnwindSafe(|| self.work()));
        // Leaving the group may panic or take long; both after the work, and before "done".
        let left = catch_unwind(AssertUnwindSafe(|| drop(self)));
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

    fn work(&mut self) -> Result<(), Error> {
        let mut failure: Option<Error> = None;
        loop {
            let outcome = match &failure {
                None if self.stopping() => return Ok(()),
                None => self.cycle(),
                Some(_) => self.go_back(),
            };
            failure = match outcome {
                Ok(()) => {
                    if failure.is_some() {
                        tracing::info!(worker = self.settings.name, "working again");
                    }
                    None
                }
                Err(error) if error.is_retriable() => {
                    if self.stopping() {
                        // What was not committed will be read again; nothing is lost by leaving.
                        tracing::warn!(worker = self.settings.name, %error, "stopped without a last commit");
                        return Ok(());
                    }
                    tracing::warn!(
                        worker = self.settings.name,
                        %error,
                        pause_ms = u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX),
                        "going back to the last committed position"
                    );
                    self.health.set(State::Retrying(error.to_string()));
                    self.rest();
                    Some(error)
                }
                Err(error) => return Err(error),
            };
        }
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

    /// Waits before the next attempt; an order to stop ends the wait.
    fn rest(&mut self) {
        let end = clock::instant() + self.pause;
        while clock::instant() < end && !self.stopping() {
            thread::sleep(Duration::from_millis(20));
        }
        self.pause = (self.pause * 2).min(PAUSE_MAX);
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
        self.commit.settle(&self.consumer)?;
        self.health.set(State::Ready(self.commit.committed().len()));
        Ok(())
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
        self.health.set(if self.subscription.missing.is_empty() {
            self.consumer.trouble().map_or(State::Ready(owned.len()), State::Retrying)
        } else {
            missing(&self.subscription.missing)
        });
        let sources = Sources { owned, subscription: self.subscription.partitions.clone() };
        self.task.pulse(&sources, &mut self.producer)
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

fn names(partitions: &[TopicPartition]) -> String {
    let names: Vec<String> = partitions.iter().map(TopicPartition::to_string).collect();
    names.join(" ")
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

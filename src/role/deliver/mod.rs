//! DELIVER: every destination reads its topics through a consumer group of its own, sends, and
//! commits the contiguous prefix of what got through. One thread per destination.
//!
//! A destination that is down only falls behind: its records stay in Kafka, nobody else notices.
//! What is promised is at least once: a record is sent again only if process or network fails
//! between the other side's acceptance and our commit, and it carries the same id.

mod identify;
mod lane;
mod prefix;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use identify::Identify;
pub use lane::{Lane, NotifierLane, SinkLane};

use self::lane::{Finished, Slot};
use self::prefix::Prefix;
use super::dead_letter::DeadLetter;
use crate::base::metrics::Metrics;
use crate::base::{Clock, Position, clock};
use crate::delivery::{Destination, State as DestinationState, Stopper, Verdict};
use crate::kafka::{
    Cluster, Consumer, Error, Health, Output, Polled, Producer, Rebalance, StartPolicy, State,
    TopicPartition,
};

/// How long a poll waits when nothing else is due.
const POLL: Duration = Duration::from_millis(100);
/// How long a poll waits while completions or a batch are due.
const POLL_BUSY: Duration = Duration::from_millis(5);
/// How often the prefix is committed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How long a commit may take.
const COMMIT_MAX: Duration = Duration::from_secs(5);
/// How long what is under way may take when partitions leave us or the daemon stops.
const DRAIN: Duration = Duration::from_secs(5);
/// After being full for this long the partitions are paused, so that polling can go on: the group
/// would take a member that does not poll for dead. Not at once, for pausing throws away what was
/// fetched.
const PAUSE_AFTER: Duration = Duration::from_secs(5);
/// The pause after the cluster failed us.
const TROUBLE: Duration = Duration::from_secs(1);
/// How long dead letters may take to be acknowledged.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// What a destination's thread is given.
pub struct Settings {
    /// The group, prefix included; also the name in logs and readiness.
    pub group: String,
    /// What it reads.
    pub topics: Vec<String>,
    /// Where it begins in topics that it has never read; the oldest record unless named.
    pub starts: BTreeMap<String, StartPolicy>,
    /// Where what the destination refuses goes.
    pub dead_letters: String,
    /// The destination's state machine, for readiness.
    pub destination: Arc<Destination>,
    /// Where counts go.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// A running destination.
pub struct Deliverer {
    group: String,
    health: Health,
    destination: Arc<Destination>,
    stop: Arc<AtomicBool>,
    done: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Deliverer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the clients cannot be made.
    pub fn spawn(
        cluster: &Arc<Cluster>,
        settings: Settings,
        lane: Box<dyn Lane>,
        finished: (SyncSender<Finished>, Receiver<Finished>),
    ) -> Result<Self, Error> {
        let consumer = cluster.consumer(&settings.group, &settings.topics)?;
        let producer = cluster.producer()?;
        let stop = Arc::new(AtomicBool::new(false));
        let health = Health::new();
        let (ended, done) = sync_channel(1);
        let group = settings.group.clone();
        let destination = Arc::clone(&settings.destination);
        let thread = Thread {
            consumer,
            producer,
            lane,
            finished: finished.1,
            sender: finished.0,
            cancel: crate::delivery::stop(),
            epoch: 0,
            prefixes: BTreeMap::new(),
            committed: BTreeMap::new(),
            letters: Vec::new(),
            commit_at: clock::instant(),
            full_since: None,
            paused: false,
            stop: Arc::clone(&stop),
            health: health.clone(),
            settings,
        };
        let thread = std::thread::Builder::new()
            .name(group.clone())
            .spawn(move || {
                thread.run();
                // Nobody waits any more: then nobody needs to know.
                let _nobody = ended.send(()).is_err();
            })
            .map_err(|error| Error::Fatal {
                what: "starting a thread",
                detail: error.to_string(),
            })?;
        Ok(Self { group, health, destination, stop, done, thread })
    }

    /// The group it reads with.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Whether it does its work, and if not why.
    pub fn status(&self) -> (bool, String) {
        let state = self.health.state();
        if !state.is_ready() {
            return (false, state.to_string());
        }
        let destination = self.destination.watch();
        let now = destination.borrow().clone();
        match now {
            DestinationState::Ok => (true, state.to_string()),
            DestinationState::BackingOff(why) => (true, format!("behind, will retry: {why}")),
            DestinationState::Blocked(why) => (false, format!("refused, mend its settings: {why}")),
        }
    }

    /// What it says about itself.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Tells it to stop; [`Self::join`] waits for that.
    pub fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Waits until it has drained and committed, at most until the deadline.
    ///
    /// # Errors
    /// When it has not stopped by then.
    pub fn join(self, deadline: Duration) -> Result<(), Error> {
        self.ask_to_stop();
        if self.done.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
            let detail = format!("`{}` has not stopped after {deadline:?}", self.group);
            return Err(Error::Retriable { what: "stopping", detail });
        }
        if self.thread.join().is_err() {
            tracing::error!(group = self.group, "the destination's thread panicked");
        }
        Ok(())
    }
}

struct Thread {
    consumer: Consumer,
    producer: Producer,
    lane: Box<dyn Lane>,
    finished: Receiver<Finished>,
    sender: SyncSender<Finished>,
    /// Cancels everything under way; renewed after use.
    cancel: (Stopper, crate::delivery::Stop),
    /// Rises when what is under way is given up: its completions count no more.
    epoch: u64,
    prefixes: BTreeMap<TopicPartition, Prefix>,
    committed: BTreeMap<TopicPartition, i64>,
    /// Refused records on their way to the dead letters.
    letters: Vec<(Slot, String)>,
    commit_at: Instant,
    full_since: Option<Instant>,
    paused: bool,
    stop: Arc<AtomicBool>,
    health: Health,
    settings: Settings,
}

impl Thread {
    fn run(mut self) {
        while !self.stop.load(Ordering::SeqCst) {
            match self.turn() {
                Ok(()) => {}
                Err(error) if error.is_retriable() => {
                    tracing::warn!(group = self.settings.group, %error, "the cluster fails, will retry");
                    self.health.set(State::Retrying(error.to_string()));
                    self.go_back();
                }
                Err(error) => {
                    tracing::error!(group = self.settings.group, %error, "the destination gave up");
                    self.health.set(State::Failed(error.to_string()));
                    return;
                }
            }
        }
        self.drain();
        if let Err(error) = self.commit() {
            tracing::warn!(group = self.settings.group, %error, "the last commit failed; some records will be sent again");
        }
        self.give_up();
        self.health.set(State::Stopped);
    }

    /// One round: a record or a rebalance, completions, what is due.
    fn turn(&mut self) -> Result<(), Error> {
        self.take_finished();
        self.bury()?;
        self.lane.dispatch(clock::instant(), &self.sender, &self.cancel.1, self.epoch);
        self.hold_back()?;
        if clock::instant() >= self.commit_at {
            self.commit()?;
            self.commit_at = clock::instant() + COMMIT_EVERY;
            self.show_lag();
        }
        if self.lane.is_full() && !self.paused {
            // Nothing more fits; wait for a completion instead of polling.
            if let Ok(finished) = self.finished.recv_timeout(POLL) {
                self.settle(finished);
            }
            return Ok(());
        }
        let wait = if self.lane.is_idle() { POLL } else { POLL_BUSY };
        let rebalance = match self.consumer.poll(wait)? {
            Polled::Record(message) => {
                let record = message.record();
                let partition = TopicPartition::new(record.topic, record.partition);
                let slot = Slot {
                    partition: partition.clone(),
                    offset: record.offset,
                    payload: record.payload.unwrap_or_default().into(),
                };
                self.prefixes.entry(partition).or_default().begin(record.offset);
                if let Some(finished) = self.lane.accept(&record, slot, self.epoch) {
                    self.judge(finished);
                }
                None
            }
            Polled::Rebalance(rebalance) => Some(rebalance),
            Polled::Idle => None,
        };
        match rebalance {
            Some(rebalance) => self.rebalance(rebalance),
            None => Ok(()),
        }
    }

    fn rebalance(&mut self, rebalance: Rebalance) -> Result<(), Error> {
        self.settings.metrics.rebalances.with_label_values(&[self.settings.group.as_str()]).inc();
        match rebalance {
            Rebalance::Assigned(partitions) => {
                let policy =
                    |topic: &str| self.settings.starts.get(topic).copied().unwrap_or_default();
                let begins = self.consumer.begins(&partitions, &policy)?;
                self.consumer.assign(&begins)?;
                if self.paused {
                    self.consumer.pause(&partitions)?;
                }
            }
            Rebalance::Revoked { partitions, lost } => {
                if !lost {
                    self.drain();
                    if let Err(error) = self.commit() {
                        tracing::warn!(group = self.settings.group, %error, "commit before giving up partitions failed; some records will be sent again");
                    }
                }
                self.give_up();
                self.consumer.unassign(&partitions)?;
                for partition in &partitions {
                    self.prefixes.remove(partition);
                    self.committed.remove(partition);
                }
                // What stays ours and was under way is read again.
                self.seek_back()?;
            }
        }
        self.health.set(State::Ready(self.consumer.positions().len()));
        Ok(())
    }

    /// Gives what is under way a little time to get through.
    fn drain(&mut self) {
        let end = clock::instant() + DRAIN;
        self.lane.flush();
        while !self.lane.is_idle() {
            let now = clock::instant();
            self.lane.dispatch(now, &self.sender, &self.cancel.1, self.epoch);
            let Some(left) = end.checked_duration_since(now).filter(|left| !left.is_zero()) else {
                break;
            };
            if let Ok(finished) = self.finished.recv_timeout(left.min(POLL)) {
                self.settle(finished);
            }
        }
        if let Err(error) = self.bury() {
            tracing::warn!(group = self.settings.group, %error, "dead letters could not be written; the records will be sent again");
        }
    }

    /// Cancels everything under way and forgets it.
    fn give_up(&mut self) {
        self.cancel.0.stop();
        self.cancel = crate::delivery::stop();
        self.epoch += 1;
        self.lane.clear();
        self.letters.clear();
    }

    /// After trouble with the cluster: forget what is under way, read it again. Until that has been
    /// arranged nothing else is read, or what was forgotten would never be finished.
    fn go_back(&mut self) {
        self.give_up();
        while !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(TROUBLE);
            match self.seek_back() {
                Ok(()) => {
                    self.health.set(State::Ready(self.consumer.positions().len()));
                    return;
                }
                Err(error) => {
                    tracing::warn!(group = self.settings.group, %error, "going back failed, will retry");
                }
            }
        }
    }

    fn seek_back(&mut self) -> Result<(), Error> {
        let back: Vec<_> = self
            .prefixes
            .iter()
            .filter(|(_, prefix)| prefix.pending() > 0)
            .filter_map(|(partition, prefix)| Some((partition.clone(), prefix.committable(None)?)))
            .collect();
        if !back.is_empty() {
            self.consumer.seek(&back)?;
        }
        for (partition, _) in back {
            self.prefixes.insert(partition, Prefix::default());
        }
        Ok(())
    }

    fn take_finished(&mut self) {
        while let Ok(finished) = self.finished.try_recv() {
            self.settle(finished);
        }
    }

    fn settle(&mut self, finished: Finished) {
        if finished.epoch != self.epoch {
            return;
        }
        self.lane.finished(&finished);
        self.judge(finished);
    }

    fn judge(&mut self, finished: Finished) {
        for (slot, verdict) in finished.records {
            match verdict {
                Verdict::Delivered => self.done(&slot),
                Verdict::Rejected(reason) => self.letters.push((slot, reason)),
                // Only said when we said stop; the prefix stays where it is.
                Verdict::Cancelled => {}
            }
        }
    }

    fn done(&mut self, slot: &Slot) {
        if let Some(prefix) = self.prefixes.get_mut(&slot.partition) {
            prefix.finish(slot.offset);
        }
    }

    /// Writes refused records to the dead letters; only then do they count as done.
    fn bury(&mut self) -> Result<(), Error> {
        if self.letters.is_empty() {
            return Ok(());
        }
        let now = self.settings.clock.now();
        for (slot, reason) in &self.letters {
            let position =
                Position::new(slot.partition.topic.clone(), slot.partition.partition, slot.offset);
            DeadLetter::new("rejected", reason, &position, now, &slot.payload)
                .by(&self.settings.destination.path())
                .send(&self.settings.dead_letters, &mut Direct(&self.producer))?;
        }
        self.producer.flush(FLUSH_MAX)?;
        for (slot, _) in std::mem::take(&mut self.letters) {
            self.settings.metrics.dead_letters.with_label_values(&["rejected"]).inc();
            self.done(&slot);
        }
        Ok(())
    }

    /// Pauses after having been full for a while, resumes when there is room.
    fn hold_back(&mut self) -> Result<(), Error> {
        let now = clock::instant();
        if !self.lane.is_full() {
            self.full_since = None;
            if self.paused {
                self.consumer.resume(&self.owned())?;
                self.paused = false;
            }
            return Ok(());
        }
        let since = *self.full_since.get_or_insert(now);
        if !self.paused && now.duration_since(since) >= PAUSE_AFTER {
            self.consumer.pause(&self.owned())?;
            self.paused = true;
        }
        Ok(())
    }

    fn owned(&self) -> Vec<TopicPartition> {
        self.consumer.positions().into_iter().map(|(partition, _)| partition).collect()
    }

    fn commit(&mut self) -> Result<(), Error> {
        let mut offsets = Vec::new();
        for (partition, position) in self.consumer.positions() {
            let prefix = self.prefixes.entry(partition.clone()).or_default();
            let Some(offset) = prefix.committable(Some(position)) else { continue };
            if self.committed.get(&partition) != Some(&offset) {
                offsets.push((partition, offset));
            }
        }
        if offsets.is_empty() {
            return Ok(());
        }
        self.consumer.commit(&offsets, COMMIT_MAX)?;
        self.committed.extend(offsets);
        Ok(())
    }

    fn show_lag(&self) {
        for (partition, offset) in &self.committed {
            let Some(high) = self.consumer.high_watermark(partition) else { continue };
            self.settings
                .metrics
                .lag
                .with_label_values(&[
                    self.settings.group.as_str(),
                    &partition.topic,
                    &partition.partition.to_string(),
                ])
                .set((high - offset).max(0));
        }
    }
}

/// A producer as an output.
struct Direct<'a>(&'a Producer);

impl Output for Direct<'_> {
    fn send(&mut self, record: crate::kafka::OutRecord<'_>) -> Result<(), Error> {
        self.0.send(record)
    }
}

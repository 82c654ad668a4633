//! What a destination's thread does: it polls, hands records to its lane, takes completions back,
//! and commits what is done.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use super::Settings;
use super::lane::{Finished, Lane, Slot};
use super::prefix::Prefix;
use crate::base::{Position, clock, panic_text};
use crate::delivery::{Stop, Stopper, Verdict, stop};
use crate::kafka::{
    Consumer, Error, Health, OutRecord, Output, Polled, Producer, Rebalance, State, TopicPartition,
};
use crate::role::dead_letter::DeadLetter;

/// How long a poll waits when nothing else is due.
const POLL: Duration = Duration::from_millis(100);
/// How long a poll waits while completions or a batch are due.
const POLL_BUSY: Duration = Duration::from_millis(5);
/// How often the prefix is committed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How long a commit may take, and the last one before the end.
const COMMIT_MAX: Duration = Duration::from_secs(5);
const LAST_COMMIT_MAX: Duration = Duration::from_secs(3);
/// How long what is under way may take when partitions leave us or the daemon stops.
const DRAIN: Duration = Duration::from_secs(5);
/// How long leaving the group may take.
const LEAVE_MAX: Duration = Duration::from_secs(4);
/// After being full for this long the partitions are paused, so that polling can go on: the group
/// would take a member that does not poll for dead. Not at once, for pausing throws away what was
/// fetched.
const PAUSE_AFTER: Duration = Duration::from_secs(5);
/// A partition with so many records waiting in line is paused; it goes on at a quarter of that.
const WAITING_MAX: usize = 32;
/// How long dead letters may take to be acknowledged.
const FLUSH_MAX: Duration = Duration::from_secs(10);
/// The pause after the cluster failed us.
const TROUBLE: Duration = Duration::from_secs(1);
/// How old the answer to "do the topics exist?" may become, and how old in trouble.
const SUBSCRIPTION_AGE_MAX: Duration = Duration::from_secs(30);
const SUBSCRIPTION_AGE_MAX_IN_TROUBLE: Duration = Duration::from_secs(3);

/// What the thread owns.
pub(super) struct Thread {
    consumer: Consumer,
    producer: Producer,
    lane: Box<dyn Lane>,
    finished: Receiver<Finished>,
    sender: SyncSender<Finished>,
    /// Cancels everything under way; renewed after use.
    cancel: (Stopper, Stop),
    /// Rises when what is under way is given up: its completions count no more.
    epoch: u64,
    prefixes: BTreeMap<TopicPartition, Prefix>,
    committed: BTreeMap<TopicPartition, i64>,
    /// Where the last record stood, which is mostly where the next one stands: its name is shared.
    last: Option<TopicPartition>,
    /// Refused records on their way to the dead letters.
    letters: Vec<(Slot, String)>,
    /// A rebalance that was reported and has yet to be answered.
    unanswered: Option<Rebalance>,
    /// Whether the group has given this member its first assignment, which may be empty.
    joined: bool,
    /// An attempt ended without saying what became of its records.
    cut_off: bool,
    commit_at: Instant,
    /// Why the last commit failed.
    uncommitted: Option<String>,
    full_since: Option<Instant>,
    paused: BTreeSet<TopicPartition>,
    /// Where paused partitions end, of which nothing is fetched, and which was asked about last.
    asked: BTreeMap<TopicPartition, i64>,
    asked_last: Option<TopicPartition>,
    missing: Vec<String>,
    subscription_at: Option<Instant>,
    stop: Arc<AtomicBool>,
    health: Health,
    settings: Settings,
}

impl Thread {
    /// A thread that has yet to join its group.
    pub(super) fn new(
        (consumer, producer): (Consumer, Producer),
        lane: Box<dyn Lane>,
        (sender, finished): (SyncSender<Finished>, Receiver<Finished>),
        (stop_ordered, health): (Arc<AtomicBool>, Health),
        settings: Settings,
    ) -> Self {
        Self {
            consumer,
            producer,
            lane,
            finished,
            sender,
            cancel: stop(),
            epoch: 0,
            prefixes: BTreeMap::new(),
            committed: BTreeMap::new(),
            last: None,
            letters: Vec::new(),
            unanswered: None,
            joined: false,
            cut_off: false,
            commit_at: clock::instant(),
            uncommitted: None,
            full_since: None,
            paused: BTreeSet::new(),
            asked: BTreeMap::new(),
            asked_last: None,
            missing: Vec::new(),
            subscription_at: None,
            stop: stop_ordered,
            health,
            settings,
        }
    }

    /// Works until told to stop or unable to go on, and leaves the group.
    pub(super) fn run(mut self) {
        let (health, group) = (self.health.clone(), self.settings.group.clone());
        match catch_unwind(AssertUnwindSafe(|| self.work())) {
            Ok(Ok(())) => health.set(State::Stopped),
            Ok(Err(error)) => {
                tracing::error!(group, %error, "the destination gave up");
                health.set(State::Failed(error.to_string()));
            }
            Err(panic) => {
                let text = panic_text(panic.as_ref());
                tracing::error!(group, panic = text, "the destination's thread panicked");
                health.set(State::Failed(format!("it panicked: {text}")));
            }
        }
        // Also ends what is still under way: nobody listens to it any more.
        let Self { consumer, .. } = self;
        if !consumer.leave(LEAVE_MAX) {
            tracing::warn!(
                group,
                "the group was not told that this member left; it will notice by itself"
            );
        }
    }

    fn work(&mut self) -> Result<(), Error> {
        let mut going_back = false;
        while !self.stopping() {
            let outcome = if going_back { self.go_back() } else { self.turn() };
            going_back = match outcome {
                Ok(()) => false,
                Err(error) if error.is_retriable() => {
                    tracing::warn!(group = self.settings.group, %error, "the cluster fails, will retry");
                    self.health.set(State::Retrying(error.to_string()));
                    std::thread::sleep(TROUBLE);
                    true
                }
                Err(error) => return Err(error),
            };
        }
        self.drain();
        if let Err(error) = self.commit(LAST_COMMIT_MAX) {
            tracing::warn!(group = self.settings.group, %error, "the last commit failed; some records will be sent again");
        }
        self.give_up();
        Ok(())
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// One round: a record or a rebalance, completions, what is due.
    fn turn(&mut self) -> Result<(), Error> {
        while let Ok(finished) = self.finished.try_recv() {
            self.settle(finished);
        }
        if std::mem::take(&mut self.cut_off) {
            let detail = "an attempt ended without an answer".to_owned();
            return Err(Error::Retriable { what: "sending", detail });
        }
        self.bury()?;
        self.lane.dispatch(clock::instant(), &self.sender, &self.cancel.1, self.epoch);
        self.hold_back()?;
        if clock::instant() >= self.commit_at {
            self.commit_and_tell();
            self.commit_at = clock::instant() + COMMIT_EVERY;
        }
        let mut wait = if self.lane.is_idle() { POLL } else { POLL_BUSY };
        if self.lane.is_full() {
            // Nothing more fits: a completion is what matters.
            if let Ok(finished) = self.finished.recv_timeout(POLL) {
                self.settle(finished);
            }
            if self.paused.is_empty() {
                return Ok(());
            }
            wait = Duration::ZERO;
        }
        match self.consumer.poll(wait)? {
            Polled::Record(message) => {
                let record = message.record();
                let partition = same_or_new(&mut self.last, record.topic, record.partition);
                let slot = Slot {
                    partition: partition.clone(),
                    offset: record.offset,
                    payload: record.payload.unwrap_or_default().into(),
                };
                self.prefixes.entry(partition).or_default().begin(record.offset);
                if let Some(finished) = self.lane.accept(&record, slot, self.epoch) {
                    self.judge(finished);
                }
            }
            Polled::Rebalance(rebalance) => {
                self.unanswered = Some(rebalance);
                return self.answer();
            }
            Polled::Idle => {}
        }
        Ok(())
    }

    /// Answers a rebalance. The group waits for that, so one that fails is answered again.
    fn answer(&mut self) -> Result<(), Error> {
        let Some(rebalance) = self.unanswered.take() else { return Ok(()) };
        let answered = match &rebalance {
            Rebalance::Assigned(partitions) => self.assigned(partitions),
            Rebalance::Revoked { partitions, lost } => self.revoked(partitions, *lost),
        };
        if answered.is_err() {
            self.unanswered = Some(rebalance);
            return answered;
        }
        self.settings.metrics.rebalances.with_label_values(&[self.settings.group.as_str()]).inc();
        if matches!(rebalance, Rebalance::Revoked { .. }) {
            // What stays ours and was under way is read again.
            self.seek_back(false)?;
        }
        self.tell_health();
        Ok(())
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let policy = |topic: &str| self.settings.starts.get(topic).copied().unwrap_or_default();
        let begins = self.consumer.begins(partitions, &policy)?;
        self.consumer.assign(&begins)?;
        self.joined = true;
        Ok(())
    }

    fn revoked(&mut self, partitions: &[TopicPartition], lost: bool) -> Result<(), Error> {
        if !lost {
            self.drain();
            if let Err(error) = self.commit(COMMIT_MAX) {
                tracing::warn!(group = self.settings.group, %error, "commit before giving up partitions failed; some records will be sent again");
            }
        }
        self.give_up();
        self.consumer.unassign(partitions)?;
        for partition in partitions {
            self.prefixes.remove(partition);
            self.committed.remove(partition);
            self.paused.remove(partition);
            self.asked.remove(partition);
            let number = partition.partition.to_string();
            let labels = [self.settings.group.as_str(), &*partition.topic, &number];
            // It has none before the first look.
            drop(self.settings.metrics.lag.remove_label_values(&labels));
        }
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
        self.cancel = stop();
        self.epoch += 1;
        self.lane.clear();
        self.letters.clear();
        self.cut_off = false;
    }

    /// After trouble: forget what is under way, and read it again. Until that has been arranged
    /// nothing else is read, or what was forgotten would never be finished.
    fn go_back(&mut self) -> Result<(), Error> {
        self.give_up();
        // The new producer has none of the old one's records, and none of its errors.
        self.producer = self.producer.renewed()?;
        self.answer()?;
        self.seek_back(true)?;
        self.tell_health();
        Ok(())
    }

    /// Goes back to what is not done; `everywhere` also where nothing is under way, for the client
    /// may have stopped reading there.
    fn seek_back(&mut self, everywhere: bool) -> Result<(), Error> {
        let mut back = Vec::new();
        for (partition, position) in self.consumer.positions() {
            let prefix = self.prefixes.get(&partition);
            if everywhere || prefix.is_some_and(|prefix| prefix.pending() > 0) {
                let done = prefix.and_then(|prefix| prefix.committable(Some(position)));
                back.push((partition, done.unwrap_or(position)));
            }
        }
        if !back.is_empty() {
            self.consumer.seek(&back)?;
        }
        for (partition, _) in back {
            self.prefixes.insert(partition, Prefix::default());
        }
        Ok(())
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
                // We say stop only together with a new epoch: this one stopped by itself.
                Verdict::Cancelled => self.cut_off = true,
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

    /// Pauses what must wait and resumes what need not: everything after the lane has been full for
    /// a while, else partitions in which too many wait behind one that does not get through.
    fn hold_back(&mut self) -> Result<(), Error> {
        let now = clock::instant();
        let full = self.lane.is_full();
        self.full_since = full.then(|| self.full_since.unwrap_or(now));
        let long = self.full_since.is_some_and(|since| now.duration_since(since) >= PAUSE_AFTER);
        let wanted: BTreeSet<TopicPartition> = if long {
            self.consumer.positions().into_iter().map(|(partition, _)| partition).collect()
        } else {
            let waits = |partition: &&TopicPartition| {
                let bound =
                    if self.paused.contains(*partition) { WAITING_MAX / 4 } else { WAITING_MAX };
                self.lane.waiting(partition) >= bound
            };
            self.prefixes.keys().filter(waits).cloned().collect()
        };
        let more: Vec<_> = wanted.difference(&self.paused).cloned().collect();
        if !more.is_empty() {
            self.consumer.pause(&more)?;
            self.paused.extend(more);
        }
        let fewer: Vec<_> = self.paused.difference(&wanted).cloned().collect();
        if !fewer.is_empty() {
            self.consumer.resume(&fewer)?;
            for partition in fewer {
                self.paused.remove(&partition);
                self.asked.remove(&partition);
            }
        }
        Ok(())
    }

    /// A commit that fails is no reason to send anything again: the next one says the same and more.
    fn commit_and_tell(&mut self) {
        self.uncommitted = self.commit(COMMIT_MAX).err().map(|error| error.to_string());
        if let Some(error) = &self.uncommitted {
            tracing::warn!(group = self.settings.group, error, "a commit failed, will retry");
        }
        self.show_lag();
        self.tell_health();
    }

    fn commit(&mut self, max: Duration) -> Result<(), Error> {
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
        self.consumer.commit(&offsets, max)?;
        self.committed.extend(offsets);
        Ok(())
    }

    /// What is not done yet, partition by partition. Nothing is fetched of a paused one, so its end
    /// is asked for, one partition each time.
    fn show_lag(&mut self) {
        let after = |last: &TopicPartition| self.paused.iter().find(|paused| *paused > last);
        let next = self.asked_last.as_ref().and_then(after).or(self.paused.first()).cloned();
        if let Some(partition) = next.clone()
            && let Ok((_, high)) = self.consumer.watermarks(&partition)
        {
            // Without an answer the last known end stands, and trouble is told elsewhere.
            self.asked.insert(partition, high);
        }
        self.asked_last = next;
        for (partition, position) in self.consumer.positions() {
            let done = self.prefixes.get(&partition).and_then(|p| p.committable(Some(position)));
            let fetched = self.consumer.high_watermark(&partition);
            let Some(high) = fetched.max(self.asked.get(&partition).copied()) else { continue };
            let number = partition.partition.to_string();
            let labels = [self.settings.group.as_str(), &*partition.topic, &number];
            let lag = high.saturating_sub(done.unwrap_or(position)).max(0);
            self.settings.metrics.lag.with_label_values(&labels).set(lag);
        }
    }

    fn tell_health(&mut self) {
        let trouble = self.uncommitted.is_some() || self.consumer.trouble().is_some();
        let calm = self.joined && self.missing.is_empty() && !trouble;
        let age_max = if calm { SUBSCRIPTION_AGE_MAX } else { SUBSCRIPTION_AGE_MAX_IN_TROUBLE };
        let now = clock::instant();
        if self.subscription_at.is_none_or(|at| now.duration_since(at) >= age_max) {
            self.subscription_at = Some(now);
            // Without an answer the last one stands, and trouble is reported by the client.
            if let Ok(subscription) = self.consumer.subscription() {
                self.consumer.clear_trouble();
                self.missing = subscription.missing;
            }
        }
        let trouble = self.uncommitted.clone().or_else(|| self.consumer.trouble());
        self.health.set(match trouble {
            _ if !self.missing.is_empty() => {
                State::Waiting(format!("topic `{}` does not exist yet", self.missing.join("`, `")))
            }
            Some(trouble) if self.joined => State::Retrying(trouble),
            Some(trouble) => State::Waiting(trouble),
            None if self.joined => State::Ready(self.consumer.positions().len()),
            None => State::Waiting("not yet assigned".to_owned()),
        });
    }
}

/// The partition that was met last, if it is the same again.
fn same_or_new(last: &mut Option<TopicPartition>, topic: &str, partition: i32) -> TopicPartition {
    match last {
        Some(last) if *last.topic == *topic && last.partition == partition => last.clone(),
        _ => last.insert(TopicPartition::new(topic, partition)).clone(),
    }
}

/// A producer as an output.
struct Direct<'a>(&'a Producer);

impl Output for Direct<'_> {
    fn send(&mut self, record: OutRecord<'_>) -> Result<(), Error> {
        self.0.send(record)
    }
}

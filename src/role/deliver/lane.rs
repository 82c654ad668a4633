//! How records travel to one destination: in batches to a sink, one by one to a notifier.
//!
//! A lane gathers records and starts sending; completions come back over a channel. It knows
//! neither Kafka nor commits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use tokio::runtime::Handle;

use super::Identify;
use crate::base::{Clock as _, clock};
use crate::delivery::{
    Batch, BatchLimits, Destination, Forwarded, Notification, Notifier, Pushed, Sink, Stop, Verdict,
};
use crate::kafka::{Record, TopicPartition};

/// Batches on their way to one sink at a time.
const BATCHES_IN_FLIGHT: usize = 2;

/// A record on its way: where it stands, and its bytes in case it is refused.
#[derive(Debug)]
pub struct Slot {
    /// Its partition.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: i64,
    /// The original bytes.
    pub payload: Box<[u8]>,
}

/// Records that came back.
#[derive(Debug)]
pub struct Finished {
    /// The epoch in which they were sent out.
    pub epoch: u64,
    /// What became of each.
    pub records: Vec<(Slot, Verdict)>,
}

/// The way to one destination.
pub trait Lane: Send {
    /// Takes a record. What is decided at once comes back at once.
    fn accept(&mut self, record: &Record<'_>, slot: Slot, epoch: u64) -> Option<Finished>;
    /// Starts whatever is due.
    fn dispatch(&mut self, now: Instant, finished: &SyncSender<Finished>, stop: &Stop, epoch: u64);
    /// Everything gathered is due now.
    fn flush(&mut self);
    /// Records that were sent out came back.
    fn finished(&mut self, finished: &Finished);
    /// Whether nothing more fits, from wherever it comes.
    fn is_full(&self) -> bool;
    /// How many records of a partition wait in a line of their own, in which one that does not get
    /// through holds up only those behind it.
    fn waiting(&self, partition: &TopicPartition) -> usize;
    /// Whether nothing is gathered or under way.
    fn is_idle(&self) -> bool;
    /// Forgets everything gathered and under way.
    fn clear(&mut self);
}

/// Batches to a sink.
pub struct SinkLane {
    runtime: Handle,
    destination: Arc<Destination>,
    sink: Arc<dyn Sink>,
    limits: BatchLimits,
    identify: Identify,
    open: Batch,
    slots: Vec<Slot>,
    ready: VecDeque<(Batch, Vec<Slot>)>,
    in_flight: usize,
    due_now: bool,
}

impl SinkLane {
    /// A lane with nothing in it.
    pub fn new(
        runtime: Handle,
        destination: Arc<Destination>,
        sink: Arc<dyn Sink>,
        limits: BatchLimits,
        identify: Identify,
    ) -> Self {
        let open = Batch::new(sink.framing(), limits);
        Self {
            runtime,
            destination,
            sink,
            limits,
            identify,
            open,
            slots: Vec::new(),
            ready: VecDeque::new(),
            in_flight: 0,
            due_now: false,
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let fresh = Batch::new(self.sink.framing(), self.limits);
            let batch = std::mem::replace(&mut self.open, fresh);
            self.ready.push_back((batch, std::mem::take(&mut self.slots)));
        }
    }
}

impl Lane for SinkLane {
    fn accept(&mut self, record: &Record<'_>, slot: Slot, epoch: u64) -> Option<Finished> {
        let now = clock::System.now();
        let topic = &slot.partition.topic;
        let (sink, open) = (Arc::clone(&self.sink), &mut self.open);
        let mut push = |forwarded: &Forwarded<'_>| open.push(&*sink, forwarded, now);
        let mut pushed = self.identify.forwarded(record, topic, &mut push);
        if pushed == Pushed::Full {
            self.close();
            let open = &mut self.open;
            let mut push = |forwarded: &Forwarded<'_>| open.push(&*sink, forwarded, now);
            pushed = self.identify.forwarded(record, topic, &mut push);
        }
        match pushed {
            Pushed::Added => {
                self.slots.push(slot);
                None
            }
            Pushed::Full => {
                // An empty batch takes any record; a sink that says otherwise refuses this one.
                let reason = "larger than a batch may be".to_owned();
                Some(Finished { epoch, records: vec![(slot, Verdict::Rejected(reason))] })
            }
            Pushed::Rejected(reason) => {
                Some(Finished { epoch, records: vec![(slot, Verdict::Rejected(reason))] })
            }
        }
    }

    fn dispatch(&mut self, now: Instant, finished: &SyncSender<Finished>, stop: &Stop, epoch: u64) {
        if self.due_now || self.open.due().is_some_and(|due| due <= now) {
            self.close();
        }
        while self.in_flight < BATCHES_IN_FLIGHT {
            let Some((batch, slots)) = self.ready.pop_front() else { break };
            self.in_flight += 1;
            let (destination, sink) = (Arc::clone(&self.destination), Arc::clone(&self.sink));
            let (answer, stop) = (Answer::new(finished, epoch, slots), stop.clone());
            self.runtime.spawn(async move {
                answer.give(destination.deliver(&*sink, &Arc::new(batch), &stop).await);
            });
        }
    }

    fn flush(&mut self) {
        self.due_now = true;
    }

    fn finished(&mut self, _finished: &Finished) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn is_full(&self) -> bool {
        !self.ready.is_empty() && self.in_flight >= BATCHES_IN_FLIGHT
    }

    fn waiting(&self, _partition: &TopicPartition) -> usize {
        0
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.ready.is_empty() && self.open.is_empty()
    }

    fn clear(&mut self) {
        self.open = Batch::new(self.sink.framing(), self.limits);
        self.slots.clear();
        self.ready.clear();
        self.in_flight = 0;
        self.due_now = false;
    }
}

/// Notifications to a notifier: at most one under way per partition of the outbox, so that a resolve
/// never overtakes its opening.
pub struct NotifierLane {
    runtime: Handle,
    destination: Arc<Destination>,
    notifier: Arc<dyn Notifier>,
    name: String,
    waiting: BTreeMap<TopicPartition, VecDeque<(Notification, Slot)>>,
    busy: BTreeMap<TopicPartition, i64>,
}

impl NotifierLane {
    /// A lane with nothing in it, for the notifications of the notifier `name`.
    pub fn new(
        runtime: Handle,
        destination: Arc<Destination>,
        notifier: Arc<dyn Notifier>,
        name: String,
    ) -> Self {
        let (waiting, busy) = (BTreeMap::new(), BTreeMap::new());
        Self { runtime, destination, notifier, name, waiting, busy }
    }
}

impl Lane for NotifierLane {
    fn accept(&mut self, record: &Record<'_>, slot: Slot, epoch: u64) -> Option<Finished> {
        let verdict =
            match serde_json::from_slice::<Notification>(record.payload.unwrap_or_default()) {
                Ok(notification) if notification.notifier == self.name => {
                    let queue = self.waiting.entry(slot.partition.clone()).or_default();
                    queue.push_back((notification, slot));
                    return None;
                }
                // Another notifier's.
                Ok(_) => Verdict::Delivered,
                Err(error) => Verdict::Rejected(format!("not a notification: {error}")),
            };
        Some(Finished { epoch, records: vec![(slot, verdict)] })
    }

    fn dispatch(
        &mut self,
        _now: Instant,
        finished: &SyncSender<Finished>,
        stop: &Stop,
        epoch: u64,
    ) {
        for (partition, queue) in &mut self.waiting {
            if self.busy.contains_key(partition) {
                continue;
            }
            let Some((notification, slot)) = queue.pop_front() else { continue };
            self.busy.insert(partition.clone(), slot.offset);
            let (destination, notifier) =
                (Arc::clone(&self.destination), Arc::clone(&self.notifier));
            let (answer, stop) = (Answer::new(finished, epoch, vec![slot]), stop.clone());
            self.runtime.spawn(async move {
                answer.give(vec![destination.notify(&*notifier, &notification, &stop).await]);
            });
        }
    }

    fn flush(&mut self) {}

    fn finished(&mut self, finished: &Finished) {
        for (slot, _) in &finished.records {
            if self.busy.get(&slot.partition) == Some(&slot.offset) {
                self.busy.remove(&slot.partition);
            }
        }
    }

    fn is_full(&self) -> bool {
        false
    }

    fn waiting(&self, partition: &TopicPartition) -> usize {
        self.waiting.get(partition).map_or(0, VecDeque::len)
    }

    fn is_idle(&self) -> bool {
        self.busy.is_empty() && self.waiting.values().all(VecDeque::is_empty)
    }

    fn clear(&mut self) {
        self.waiting.clear();
        self.busy.clear();
    }
}

/// The completion of what is under way. It is handed back in any case: also when the attempt panics
/// and is dropped, for otherwise its records would be waited for without end.
struct Answer {
    finished: SyncSender<Finished>,
    epoch: u64,
    slots: Vec<Slot>,
}

impl Answer {
    fn new(finished: &SyncSender<Finished>, epoch: u64, slots: Vec<Slot>) -> Self {
        Self { finished: finished.clone(), epoch, slots }
    }

    fn give(mut self, verdicts: Vec<Verdict>) {
        let records = std::mem::take(&mut self.slots).into_iter().zip(verdicts).collect();
        self.tell(records);
    }

    /// The channel has room for everything that can be under way; when nobody listens any more,
    /// nobody needs to know.
    fn tell(&self, records: Vec<(Slot, Verdict)>) {
        let finished = Finished { epoch: self.epoch, records };
        let _nobody_listens = self.finished.try_send(finished).is_err();
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let slots = std::mem::take(&mut self.slots);
        if !slots.is_empty() {
            self.tell(slots.into_iter().map(|slot| (slot, Verdict::Cancelled)).collect());
        }
    }
}

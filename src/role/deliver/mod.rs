//! DELIVER: every destination reads its topics through a consumer group of its own, sends, and
//! commits the contiguous prefix of what got through. One thread per destination.
//!
//! A destination that is down only falls behind: its records stay in Kafka, nobody else notices.
//! What is promised is at least once: a record is sent again only if process or network fails
//! between the other side's acceptance and our commit, and it carries the same id.

mod identify;
mod lane;
mod prefix;
#[cfg(test)]
mod tests;
mod thread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

pub use identify::Identify;
pub use lane::{Lane, NotifierLane, SinkLane};

use self::lane::Finished;
use self::thread::Thread;
use crate::base::Clock;
use crate::base::metrics::Metrics;
use crate::delivery::{Destination, State as DestinationState};
use crate::kafka::{Cluster, Error, Health, StartPolicy, State};

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

/// A running destination. Dropping it tells the thread to stop and does not wait.
pub struct Deliverer {
    group: String,
    health: Health,
    destination: Arc<Destination>,
    stop: Arc<AtomicBool>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
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
        let ordered = (Arc::clone(&stop), health.clone());
        let thread = Thread::new((consumer, producer), lane, finished, ordered, settings);
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
        Ok(Self { group, health, destination, stop, done, thread: Some(thread) })
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
    pub fn join(mut self, deadline: Duration) -> Result<(), Error> {
        self.ask_to_stop();
        if self.done.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
            let detail = format!("`{}` has not stopped after {deadline:?}", self.group);
            return Err(Error::Retriable { what: "stopping", detail });
        }
        // The thread has nothing left to do but to return; it catches its own panics.
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(group = self.group, "the destination's thread panicked while ending");
        }
        match self.health.state() {
            State::Failed(detail) => Err(Error::Fatal { what: "sending", detail }),
            _ => Ok(()),
        }
    }
}

impl Drop for Deliverer {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

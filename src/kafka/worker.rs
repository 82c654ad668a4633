//! A worker, seen from outside: how it is set up, started, watched and stopped. What its thread does
//! is in [`super::cycle`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::cycle::Cycle;
use super::task::{StartPolicy, Task};
use super::{Cluster, Error, Health, State};
use crate::base::metrics::Metrics;

/// A deadline for [`Worker::stop`] that a worker keeps also when every broker is down.
pub const STOP_DEADLINE: Duration = Duration::from_secs(25);

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
    let (health_of_thread, stop_of_thread) = (health.clone(), Arc::clone(&stop));
    let cycle =
        Cycle::new(consumer, producer, task, settings, metrics, health_of_thread, stop_of_thread);
    let thread = thread::Builder::new()
        .name(name.clone())
        .spawn(move || cycle.run(&tell))
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

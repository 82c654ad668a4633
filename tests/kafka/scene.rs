//! The stage of most tests: an input, an output, a group whose workers copy one to the other, and
//! what can be seen of that from outside.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hark::base::metrics::Metrics;
use hark::kafka::topics::Partitions;
use hark::kafka::{
    Cleanup, Cluster, Committed, Error, Health, Log, OutRecord, Output, Record, Settings, Sources,
    Start, State, Task, TopicPartition, TopicSpec, Worker, WorkerSettings, spawn,
};

use crate::support::{eventually, java, kcat, unique};

pub(crate) const SOON: Duration = Duration::from_mins(1);

pub(crate) fn settings(bootstrap: &str) -> Settings {
    let mut settings = Settings { bootstrap: bootstrap.to_owned(), ..Settings::default() };
    // New topics are noticed within a second, and what cannot be delivered is given up soon.
    for (name, value) in
        [("topic.metadata.refresh.interval.ms", "1000"), ("message.timeout.ms", "5000")]
    {
        settings.properties.insert(name.to_owned(), value.to_owned());
    }
    settings
}

pub(crate) fn open(bootstrap: &str) -> Arc<Cluster> {
    Cluster::open(&settings(bootstrap)).unwrap()
}

pub(crate) fn topic(cluster: &Cluster, stem: &str, partitions: u16) -> String {
    let name = unique(stem);
    create(cluster, &name, partitions);
    name
}

pub(crate) fn create(cluster: &Cluster, name: &str, partitions: u16) {
    let spec = TopicSpec {
        name: name.to_owned(),
        partitions: Partitions::Exactly(partitions),
        cleanup: Cleanup::Delete { retention: Duration::from_hours(1) },
        purpose: "a test",
    };
    cluster.ensure(&[spec]).unwrap();
}

/// A scene: an input with some partitions, an output, and a group that copies one to the other.
pub(crate) struct Scene {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) bootstrap: String,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) group: String,
    pub(crate) seen: Arc<Seen>,
    pub(crate) metrics: Metrics,
}

/// What the tasks of a scene went through.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) records: AtomicUsize,
    pub(crate) assigned: AtomicUsize,
    pub(crate) revoked: AtomicUsize,
    pub(crate) pulses: Mutex<Vec<Sources>>,
}

/// Copies records, keyed by where they came from; a record that says so is refused.
pub(crate) struct Copy {
    pub(crate) output: String,
    pub(crate) seen: Arc<Seen>,
    /// Whether it bears `poison`.
    pub(crate) bears_poison: bool,
    /// Sleeps so long at `nap`.
    pub(crate) nap: Duration,
    /// Sleeps so long at every record.
    pub(crate) pace: Duration,
}

impl Task for Copy {
    fn assigned(
        &mut self,
        _partition: &TopicPartition,
        _committed: Option<&Committed>,
        _log: &mut dyn Log,
    ) -> Result<Start, Error> {
        self.seen.assigned.fetch_add(1, Ordering::SeqCst);
        Ok(Start::Committed)
    }

    fn revoked(&mut self, _partition: &TopicPartition) {
        self.seen.revoked.fetch_add(1, Ordering::SeqCst);
    }

    fn record(&mut self, record: &Record<'_>, out: &mut dyn Output) -> Result<(), Error> {
        match record.payload {
            Some(b"poison") if !self.bears_poison => {
                return Err(Error::task("this record is poison"));
            }
            Some(b"nap") => thread::sleep(self.nap),
            _ => thread::sleep(self.pace),
        }
        self.seen.records.fetch_add(1, Ordering::SeqCst);
        let key = format!("{}:{}", record.partition, record.offset);
        out.send(OutRecord {
            topic: &self.output,
            key: Some(key.as_bytes()),
            payload: record.payload,
            ..OutRecord::default()
        })
    }

    fn pulse(&mut self, sources: &Sources, _out: &mut dyn Output) -> Result<(), Error> {
        self.seen.pulses.lock().unwrap().push(sources.clone());
        Ok(())
    }
}

impl Scene {
    pub(crate) fn new(bootstrap: &str, partitions: u16) -> Self {
        let cluster = open(bootstrap);
        let input = topic(&cluster, "in", partitions);
        let output = topic(&cluster, "out", 2);
        Self {
            cluster,
            bootstrap: bootstrap.to_owned(),
            input,
            output,
            group: unique("group"),
            seen: Arc::default(),
            metrics: Metrics::new(),
        }
    }

    /// Sets a property of librdkafka for all clients from here on.
    pub(crate) fn change_property(&mut self, name: &str, value: &str) {
        let mut settings = self.cluster.settings().clone();
        settings.properties.insert(name.to_owned(), value.to_owned());
        self.cluster = Cluster::open(&settings).unwrap();
    }

    pub(crate) fn worker(&self, name: &str) -> Worker {
        self.worker_with(name, |_, _| {})
    }

    pub(crate) fn worker_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut WorkerSettings, &mut Copy),
    ) -> Worker {
        let mut settings = WorkerSettings::new(name, &self.group, vec![self.input.clone()]);
        // Small cycles: more seams at which something can go wrong.
        settings.batch_records_max = 200;
        settings.pulse_every = Duration::from_millis(200);
        let seen = Arc::clone(&self.seen);
        let output = self.output.clone();
        let mut task =
            Copy { output, seen, bears_poison: false, nap: Duration::ZERO, pace: Duration::ZERO };
        change(&mut settings, &mut task);
        let task = Box::new(task);
        spawn(&self.cluster, settings, task, self.metrics.clone(), Health::new()).unwrap()
    }

    pub(crate) fn produce(&self, range: std::ops::Range<usize>) {
        let lines = range.map(|number| format!("record {number}"));
        kcat::produce(&self.bootstrap, &self.input, &[], lines);
    }

    /// Where each record of the input lies, and what it says.
    pub(crate) fn expected(&self) -> BTreeSet<(String, String)> {
        let lines = kcat::consume(&self.bootstrap, &self.input);
        lines.into_iter().map(|l| (format!("{}:{}", l.partition, l.offset), l.payload)).collect()
    }

    /// What was copied, each once, and how many records that took.
    pub(crate) fn copied(&self) -> (BTreeSet<(String, String)>, usize) {
        let lines = kcat::consume(&self.bootstrap, &self.output);
        let count = lines.len();
        (lines.into_iter().map(|l| (l.key, l.payload)).collect(), count)
    }

    /// Waits until everything is copied; returns how many records were copied more than once.
    #[track_caller]
    pub(crate) fn all_copied(&self, count: usize) -> usize {
        let expected = self.expected();
        assert_eq!(expected.len(), count, "the input is not what the test produced");
        eventually(SOON, || {
            let (copied, records) = self.copied();
            assert!(copied.is_subset(&expected), "the output holds what the input does not");
            match expected.difference(&copied).count() {
                0 => Ok(records - copied.len()),
                missing => Err(format!("{missing} of {count} are missing")),
            }
        })
    }

    #[track_caller]
    pub(crate) fn copied_at_least(&self, records: usize) {
        eventually(SOON, || match self.seen.records.load(Ordering::SeqCst) {
            seen if seen >= records => Ok(()),
            seen => Err(seen),
        });
    }

    /// The lag of each partition as Kafka's own tool shows it.
    pub(crate) fn lags(&self) -> Vec<String> {
        let text = java::tool(
            "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            &["--bootstrap-server", &self.bootstrap, "--describe", "--group", &self.group],
        );
        let of_input = text.lines().filter(|line| line.contains(&self.input));
        of_input.map(|line| line.split_whitespace().nth(5).unwrap().to_owned()).collect()
    }
}

#[track_caller]
pub(crate) fn reaches(worker: &Worker, what: &str, is_it: impl Fn(&State) -> bool) -> State {
    eventually(SOON, || {
        let state = worker.health().state();
        if is_it(&state) { Ok(state) } else { Err(format!("expected {what}, found {state}")) }
    })
}

//! The embedded broker: the same layer without a server. What it cannot do is not claimed here.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failure here is the test's; tests measure time as it passes"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hark::base::metrics::Metrics;
use hark::kafka::{
    Cluster, Committed, Error, Health, Log, OutRecord, Output, Record, Settings, Sources, Start,
    State, Task, TopicPartition, Topics, Worker, WorkerSettings, spawn,
};
use support::eventually;

const SOON: Duration = Duration::from_secs(30);

/// Collects what it is given, and passes it on if there is somewhere to.
struct Collect {
    output: Option<String>,
    seen: Arc<Mutex<BTreeSet<String>>>,
    at_end: Arc<Mutex<bool>>,
}

impl Task for Collect {
    fn assigned(
        &mut self,
        _: &TopicPartition,
        _: Option<&Committed>,
        _: &mut dyn Log,
    ) -> Result<Start, Error> {
        Ok(Start::Committed)
    }

    fn revoked(&mut self, _: &TopicPartition) {}

    fn record(&mut self, record: &Record<'_>, out: &mut dyn Output) -> Result<(), Error> {
        let text = String::from_utf8_lossy(record.payload.unwrap_or_default()).into_owned();
        if let Some(topic) = &self.output {
            let headers: Vec<(&str, &[u8])> = record.headers.iter().collect();
            let copy = OutRecord {
                topic,
                payload: record.payload,
                headers: &headers,
                timestamp: record.timestamp,
                ..OutRecord::default()
            };
            out.send(copy)?;
        } else {
            assert_eq!(record.headers.get("source"), Some(&b"test"[..]));
        }
        self.seen.lock().unwrap().insert(text);
        Ok(())
    }

    fn pulse(&mut self, sources: &Sources, _: &mut dyn Output) -> Result<(), Error> {
        assert!(sources.owned.len() <= sources.subscription.len());
        *self.at_end.lock().unwrap() =
            !sources.owned.is_empty() && sources.owned.iter().all(hark::kafka::OwnedSource::at_end);
        Ok(())
    }
}

struct Collected {
    worker: Worker,
    seen: Arc<Mutex<BTreeSet<String>>>,
    at_end: Arc<Mutex<bool>>,
}

fn collect(cluster: &Arc<Cluster>, group: &str, topic: &str, output: Option<&str>) -> Collected {
    let (seen, at_end) = (Arc::default(), Arc::default());
    let task = Collect {
        output: output.map(str::to_owned),
        seen: Arc::clone(&seen),
        at_end: Arc::clone(&at_end),
    };
    let mut settings = WorkerSettings::new(group, group, vec![topic.to_owned()]);
    settings.pulse_every = Duration::from_millis(100);
    let worker = spawn(cluster, settings, Box::new(task), Metrics::new(), Health::new()).unwrap();
    Collected { worker, seen, at_end }
}

fn produce(cluster: &Arc<Cluster>, topic: &str, range: std::ops::Range<usize>) {
    let producer = cluster.producer().unwrap();
    for number in range {
        let payload = format!("record {number}");
        let headers: [(&str, &[u8]); 1] = [("source", b"test")];
        let record = OutRecord {
            topic,
            payload: Some(payload.as_bytes()),
            headers: &headers,
            ..OutRecord::default()
        };
        producer.send(record).unwrap();
    }
    producer.flush(SOON).unwrap();
}

#[track_caller]
fn holds(collected: &Collected, count: usize) {
    eventually(SOON, || match collected.seen.lock().unwrap().len() {
        found if found == count => Ok(()),
        found => Err(format!("{found}, {}", collected.worker.health().state())),
    });
}

#[test]
fn it_is_ready_within_seconds_and_takes_records_through_two_stages() {
    let begun = Instant::now();
    let cluster = Cluster::open(&Settings::default()).unwrap();
    assert!(cluster.is_embedded());
    let topics = ["audit".to_owned(), "copy".to_owned()];
    cluster.create_if_embedded(&topics, 4).unwrap();
    let first = collect(&cluster, "first", "audit", Some("copy"));
    let second = collect(&cluster, "second", "copy", None);
    produce(&cluster, "audit", 0..500);
    holds(&second, 500);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    eventually(
        SOON,
        || if *second.at_end.lock().unwrap() { Ok(()) } else { Err("not at the end") },
    );
    first.worker.stop(SOON).unwrap();
    second.worker.stop(SOON).unwrap();
}

#[test]
fn its_topics_are_made_with_the_partitions_of_the_table() {
    let settings = Settings { partitions: 6, ..Settings::default() };
    let cluster = Cluster::open(&settings).unwrap();
    let topics = Topics::new("hark.");
    cluster.ensure(&topics.specs(&settings)).unwrap();
    cluster.ensure(&topics.specs(&settings)).unwrap();
    for (topic, partitions) in [(&topics.signals, 6), (&topics.control, 1), (&topics.outbox, 8)] {
        assert_eq!(cluster.topic(topic).unwrap().unwrap().partitions, partitions, "{topic}");
    }
    assert_eq!(cluster.topic("never-made").unwrap(), None);
}

#[test]
fn a_group_goes_on_where_it_stood_and_shares_its_partitions() {
    let cluster = Cluster::open(&Settings::default()).unwrap();
    cluster.create_if_embedded(&["audit".to_owned(), "copy".to_owned()], 4).unwrap();
    produce(&cluster, "audit", 0..300);
    let first = collect(&cluster, "group", "audit", Some("copy"));
    holds(&first, 300);
    first.worker.stop(SOON).unwrap();
    produce(&cluster, "audit", 300..400);
    let next = collect(&cluster, "group", "audit", Some("copy"));
    holds(&next, 100);
    let other = collect(&cluster, "group", "audit", Some("copy"));
    for worker in [&next.worker, &other.worker] {
        eventually(SOON, || match worker.health().state() {
            State::Ready(2) => Ok(()),
            state => Err(state),
        });
    }
    next.worker.stop(SOON).unwrap();
    other.worker.stop(SOON).unwrap();
}

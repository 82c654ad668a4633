//! The two threads beside the daemon: one writes the traffic, one reads the alerts.
//!
//! They meet Kafka as any product and any reader of the `alerts` topic would, through a producer and
//! a consumer group of their own, and tell what happens over one bounded channel.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::traffic::{Product, Record, Traffic};
use crate::alert::Alert;
use crate::base::{Clock as _, clock};
use crate::kafka::{Cluster, Consumer, OutRecord, Polled, Producer, Rebalance, StartPolicy};

/// How often the writer looks what is due.
const PACE: Duration = Duration::from_millis(20);

/// How long the reader waits for a record before it looks whether it should stop.
const POLL: Duration = Duration::from_millis(100);

/// How long the last records may take to be acknowledged.
const FLUSH: Duration = Duration::from_secs(20);

/// Happenings that may wait to be shown; beyond, the threads wait.
pub(super) const CHANNEL: usize = 1024;

/// Bytes of a tape; beyond, records only go to Kafka. Some minutes at the usual rate.
const TAPE_MAX: usize = 64 << 20;

/// What was written, one record a line and a file for each topic, for `hark replay`.
#[derive(Debug)]
pub(super) struct Tape {
    files: Vec<(Product, BufWriter<File>)>,
    room: usize,
}

impl Tape {
    /// Empty files in a new folder.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir(folder)?;
        let file = |product: Product| {
            let path = folder.join(format!("{}.jsonl", product.topic()));
            Ok((product, BufWriter::new(File::create_new(path)?)))
        };
        let files = Product::ALL.into_iter().map(file).collect::<io::Result<_>>()?;
        Ok(Self { files, room: TAPE_MAX })
    }

    /// Takes in a record, while there is room.
    fn take(&mut self, record: &Record) -> io::Result<()> {
        self.room = self.room.saturating_sub(record.json.len() + 1);
        let own = self.files.iter_mut().find(|(product, _)| *product == record.product);
        match own {
            Some((_, file)) if self.room > 0 => {
                file.write_all(&record.json)?;
                file.write_all(b"\n")
            }
            _ => Ok(()),
        }
    }

    /// Everything is in the files.
    fn end(mut self) -> io::Result<()> {
        self.files.iter_mut().try_for_each(|(_, file)| file.flush())
    }
}

/// Everything that the two threads tell.
#[derive(Debug)]
pub(super) enum Happening {
    /// So many records of a product were written.
    Wrote(Product, u64),
    /// An attack begins.
    Note(Product, String),
    /// An alert opened, grew or resolved.
    Alert(Box<Alert>),
    /// One of the threads had to give up.
    Failed(anyhow::Error),
}

/// The threads; both end soon after [`Threads::stop_writing`] and [`Threads::stop`].
#[derive(Debug)]
pub(super) struct Threads {
    stop_writer: Arc<AtomicBool>,
    stop_reader: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
}

impl Threads {
    /// Starts both. `alerts` is the topic to read; `tape` takes a copy of what is written.
    pub(super) fn start(
        cluster: &Arc<Cluster>,
        traffic: Traffic,
        tape: Option<Tape>,
        alerts: &str,
        tell: &mpsc::Sender<Happening>,
    ) -> anyhow::Result<Self> {
        let producer = cluster.producer().context("cannot make the demo's producer")?;
        let topics = [alerts.to_owned()];
        let consumer =
            cluster.consumer("hark-demo", &topics).context("cannot make the demo's consumer")?;
        let stop_writer = Arc::new(AtomicBool::new(false));
        let stop_reader = Arc::new(AtomicBool::new(false));
        let writer = {
            let (stop, tell) = (Arc::clone(&stop_writer), tell.clone());
            spawn("demo-writer", move || {
                fail(&tell, write(&producer, traffic, tape, &stop, &tell));
            })?
        };
        let reader = {
            let (stop, tell) = (Arc::clone(&stop_reader), tell.clone());
            spawn("demo-reader", move || fail(&tell, read(&consumer, &stop, &tell)))?
        };
        Ok(Self { stop_writer, stop_reader, writer: Some(writer), reader: Some(reader) })
    }

    /// No more traffic; what was handed over is acknowledged soon.
    pub(super) fn stop_writing(&self) {
        self.stop_writer.store(true, Ordering::Relaxed);
    }

    /// Ends both and waits for them. Their channel must be drained meanwhile, or closed.
    pub(super) fn stop(mut self) {
        self.stop_writing();
        self.stop_reader.store(true, Ordering::Relaxed);
        for thread in [self.writer.take(), self.reader.take()].into_iter().flatten() {
            if thread.join().is_err() {
                tracing::error!("a thread of the demo panicked");
            }
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    Ok(thread::Builder::new().name(name.to_owned()).spawn(run)?)
}

fn fail(tell: &mpsc::Sender<Happening>, outcome: anyhow::Result<()>) {
    if let Err(error) = outcome {
        // Nobody listens any more: then nobody needs to know.
        drop(tell.blocking_send(Happening::Failed(error)));
    }
}

/// Writes what is due, until told to stop or nobody listens any more.
fn write(
    producer: &Producer,
    mut traffic: Traffic,
    mut tape: Option<Tape>,
    stop: &AtomicBool,
    tell: &mpsc::Sender<Happening>,
) -> anyhow::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let now = clock::System.now();
        let mut counts = Product::ALL.map(|product| (product, 0_u64));
        while let Some(record) = traffic.next_until(now) {
            producer.send(OutRecord {
                topic: record.product.topic(),
                payload: Some(&record.json),
                timestamp: Some(record.written),
                ..OutRecord::default()
            })?;
            if let Some(tape) = &mut tape {
                tape.take(&record).context("cannot write the demo's traffic")?;
            }
            for (product, count) in &mut counts {
                *count += u64::from(*product == record.product);
            }
            if let Some(note) = record.note
                && tell.blocking_send(Happening::Note(record.product, note)).is_err()
            {
                return Ok(());
            }
        }
        for (product, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            if tell.blocking_send(Happening::Wrote(product, count)).is_err() {
                return Ok(());
            }
        }
        thread::sleep(PACE);
    }
    if let Some(tape) = tape {
        tape.end().context("cannot write the demo's traffic")?;
    }
    Ok(producer.flush(FLUSH)?)
}

/// Reads alerts, until told to stop or nobody listens any more.
fn read(
    consumer: &Consumer,
    stop: &AtomicBool,
    tell: &mpsc::Sender<Happening>,
) -> anyhow::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        match consumer.poll(POLL)? {
            Polled::Record(message) => {
                let payload = message.record().payload.unwrap_or_default();
                let alert = serde_json::from_slice(payload).context("an alert is not readable")?;
                if tell.blocking_send(Happening::Alert(alert)).is_err() {
                    return Ok(());
                }
            }
            Polled::Rebalance(Rebalance::Assigned(partitions)) => {
                let begins = consumer.begins(&partitions, &|_| StartPolicy::Earliest)?;
                consumer.assign(&begins)?;
            }
            Polled::Rebalance(Rebalance::Revoked { partitions, .. }) => {
                consumer.unassign(&partitions)?;
            }
            Polled::Idle => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::kafka::Settings;

    /// The least that reads as an alert.
    const ALERT: &str = r#"{"id":"a","revision":1,"status":"open","severity":"high","title":"t",
        "rule":{"id":"r","version":"0","title":"t","status":"production"},"key":{},"count":1,
        "firings":1,"value":1,"peak":1,"opened_at":"2026-01-05T12:00:00Z",
        "first_seen":"2026-01-05T12:00:00Z","last_seen":"2026-01-05T12:00:00Z"}"#;

    #[test]
    fn what_is_told_as_written_is_in_the_topics_and_alerts_come_back() {
        let cluster = Cluster::open(&Settings::default()).unwrap();
        let mut topics: Vec<_> = Product::ALL.iter().map(|p| p.topic().to_owned()).collect();
        topics.push("hark.alerts".to_owned());
        cluster.create_if_embedded(&topics, 2).unwrap();
        let (tell, mut told) = mpsc::channel(CHANNEL);
        let now = clock::System.now();
        let traffic = Traffic::new(1, now, now, 500);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape");
        let tape = Tape::create(&path).unwrap();
        let threads = Threads::start(&cluster, traffic, Some(tape), "hark.alerts", &tell).unwrap();
        drop(tell);
        let producer = cluster.producer().unwrap();
        let alert = OutRecord {
            topic: "hark.alerts",
            payload: Some(ALERT.as_bytes()),
            ..OutRecord::default()
        };
        producer.send(alert).unwrap();

        let mut written: BTreeMap<Product, u64> = BTreeMap::new();
        let mut alerts = 0;
        while alerts == 0 || written.values().sum::<u64>() < 500 {
            match told.blocking_recv().unwrap() {
                Happening::Wrote(product, count) => *written.entry(product).or_default() += count,
                Happening::Alert(alert) => {
                    assert_eq!(alert.title, "t");
                    alerts += 1;
                }
                Happening::Note(..) => {}
                Happening::Failed(error) => panic!("{error:#}"),
            }
        }
        threads.stop_writing();
        let stopping = thread::spawn(move || threads.stop());
        while let Some(happening) = told.blocking_recv() {
            if let Happening::Wrote(product, count) = happening {
                *written.entry(product).or_default() += count;
            }
        }
        stopping.join().unwrap();
        for (product, count) in &written {
            let copy = path.join(format!("{}.jsonl", product.topic()));
            assert_eq!(fs::read_to_string(copy).unwrap().lines().count() as u64, *count);
        }

        let reader = cluster.consumer("test", &topics[..5]).unwrap();
        let mut read: BTreeMap<Product, u64> = BTreeMap::new();
        while read != written {
            match reader.poll(Duration::from_secs(20)).unwrap() {
                Polled::Record(message) => {
                    let topic = message.record().topic.to_owned();
                    let product = Product::ALL.into_iter().find(|p| p.topic() == topic).unwrap();
                    *read.entry(product).or_default() += 1;
                }
                Polled::Rebalance(Rebalance::Assigned(partitions)) => {
                    let begins = reader.begins(&partitions, &|_| StartPolicy::Earliest).unwrap();
                    reader.assign(&begins).unwrap();
                }
                Polled::Rebalance(Rebalance::Revoked { partitions, .. }) => {
                    reader.unassign(&partitions).unwrap();
                }
                Polled::Idle => panic!("20 s without a record: read {read:?} of {written:?}"),
            }
        }
    }
}

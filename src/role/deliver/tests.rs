//! A destination's thread on the embedded broker, with what goes wrong on purpose.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use futures_util::future::BoxFuture;
use tokio::runtime::Runtime;

use super::lane::{Finished, Lane, Slot};
use super::{Deliverer, Identify, NotifierLane, Settings, SinkLane};
use crate::alert::Alert;
use crate::base::Timestamp;
use crate::base::clock::{self, Clock};
use crate::base::metrics::Metrics;
use crate::delivery::{
    BatchLimits, Destination, Family, Forwarded, Framing, Notification, NotificationKind, Notifier,
    Outcome, Retry, Sink, Stop,
};
use crate::kafka::{self, Cluster, OutRecord, Record, TopicPartition};
use crate::mapping::{Mappings, Options, Tables};
use crate::query::Sets;

const SOON: Duration = Duration::from_secs(30);
const TOPIC: &str = "in";

struct Scene {
    cluster: Arc<Cluster>,
    metrics: Metrics,
    runtime: Runtime,
}

impl Scene {
    fn new() -> Self {
        let cluster = Cluster::open(&kafka::Settings::default()).unwrap();
        cluster.create_if_embedded(&[TOPIC.to_owned(), "dead".to_owned()], 2).unwrap();
        Self { cluster, metrics: Metrics::new(), runtime: Runtime::new().unwrap() }
    }

    fn produce(&self, partition: i32, payloads: impl IntoIterator<Item = Vec<u8>>) {
        let producer = self.cluster.producer().unwrap();
        for payload in payloads {
            let (topic, payload) = (TOPIC, Some(payload.as_slice()));
            let record =
                OutRecord { topic, partition: Some(partition), payload, ..OutRecord::default() };
            producer.send(record).unwrap();
        }
        producer.flush(SOON).unwrap();
    }

    fn destination(&self, family: Family) -> Arc<Destination> {
        let wait = Duration::from_millis(20);
        let retry = Retry { initial: wait, max: wait, probe: wait, ..Retry::default() };
        let clock = Arc::new(clock::System);
        Arc::new(Destination::new(family, "d", retry, self.metrics.clone(), clock, 0))
    }

    fn start(&self, destination: &Arc<Destination>, lane: Box<dyn Lane>) -> Deliverer {
        let settings = Settings {
            group: "g".to_owned(),
            topics: vec![TOPIC.to_owned()],
            starts: BTreeMap::new(),
            dead_letters: "dead".to_owned(),
            destination: Arc::clone(destination),
            metrics: self.metrics.clone(),
            clock: Arc::new(clock::System),
        };
        Deliverer::spawn(&self.cluster, settings, lane, sync_channel(64)).unwrap()
    }

    fn sink(&self, sink: impl Sink + 'static) -> Deliverer {
        let destination = self.destination(Family::Sinks);
        let (layout, id) = Identify::layout();
        let (sets, options) = (Sets::default(), Options::default());
        let (mappings, _) = Mappings::load(&[], &Tables::new(), &layout, &sets, options);
        let clock: Arc<dyn Clock> = Arc::new(clock::System);
        let identify = Identify::new(Arc::new(mappings), id, "alerts".to_owned(), clock);
        let limits = BatchLimits { records: 10, bytes: 100_000, age: Duration::from_millis(20) };
        let runtime = self.runtime.handle().clone();
        let lane = SinkLane::new(runtime, destination.clone(), Arc::new(sink), limits, identify);
        self.start(&destination, Box::new(lane))
    }

    fn lag(&self) -> i64 {
        let of = |partition| self.metrics.lag.with_label_values(&["g", TOPIC, partition]).get();
        of("0") + of("1")
    }
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end: Instant = clock::instant() + SOON;
    while !holds() {
        assert!(clock::instant() < end, "{what}: not after {SOON:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A sink that takes what `act` says, told the number of the attempt.
struct Made<F> {
    attempts: AtomicUsize,
    taken: Arc<Mutex<Vec<String>>>,
    act: F,
}

impl<F: Fn(usize) -> Outcome> Made<F> {
    fn new(act: F) -> (Self, Arc<Mutex<Vec<String>>>) {
        let taken = Arc::default();
        (Self { attempts: AtomicUsize::new(0), taken: Arc::clone(&taken), act }, taken)
    }
}

impl<F> fmt::Debug for Made<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Made")
    }
}

impl<F: Fn(usize) -> Outcome + Send + Sync> Sink for Made<F> {
    fn framing(&self) -> Framing {
        Framing { open: b"", between: b"\n", close: b"" }
    }

    fn encode(
        &self,
        record: &Forwarded<'_>,
        _: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        out.extend_from_slice(record.payload);
        Ok(())
    }

    fn send(&self, body: Vec<u8>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let outcome = (self.act)(self.attempts.fetch_add(1, Ordering::SeqCst));
            if outcome == Outcome::Delivered {
                let mut text = String::new();
                GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
                self.taken.lock().unwrap().extend(text.lines().map(str::to_owned));
            }
            outcome
        })
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    range.map(|number| number.to_string().into_bytes()).collect()
}

/// What was taken, each once.
fn distinct(taken: &Mutex<Vec<String>>) -> usize {
    taken.lock().unwrap().iter().collect::<std::collections::BTreeSet<_>>().len()
}

#[test]
fn an_assignment_that_fails_is_answered_again() {
    let scene = Scene::new();
    scene.produce(0, numbers(0..25));
    scene.cluster.refuse_committed_offsets(2);
    let (sink, taken) = Made::new(|_| Outcome::Delivered);
    let deliverer = scene.sink(sink);
    eventually("25 records", || distinct(&taken) == 25);
    eventually("readiness", || deliverer.status() == (true, "ready: 2 partitions".to_owned()));
    deliverer.join(SOON).unwrap();
}

#[test]
fn an_attempt_that_panics_is_made_again() {
    let scene = Scene::new();
    scene.produce(0, numbers(0..25));
    let (sink, taken) = Made::new(|attempt| {
        assert!(attempt > 2, "on purpose");
        Outcome::Delivered
    });
    let deliverer = scene.sink(sink);
    eventually("25 records", || distinct(&taken) == 25);
    deliverer.join(SOON).unwrap();
}

#[test]
fn what_a_destination_never_took_is_its_lag() {
    let scene = Scene::new();
    scene.produce(0, numbers(0..100));
    let (sink, taken) = Made::new(|_| Outcome::blocked("no"));
    let deliverer = scene.sink(sink);
    eventually("a lag of 100", || scene.lag() == 100);
    // Paused by now, so nothing is fetched that could tell of new records.
    std::thread::sleep(Duration::from_secs(6));
    scene.produce(0, numbers(100..150));
    eventually("a lag of 150", || scene.lag() == 150);
    assert_eq!(taken.lock().unwrap().len(), 0);
    let (ready, why) = deliverer.status();
    assert!(!ready && why.contains("refused"), "{why}");
    deliverer.join(Duration::from_secs(20)).unwrap();
}

/// Panics at the first record.
struct Panics;

impl Lane for Panics {
    fn accept(&mut self, _: &Record<'_>, _: Slot, _: u64) -> Option<Finished> {
        panic!("on purpose")
    }
    fn dispatch(&mut self, _: Instant, _: &SyncSender<Finished>, _: &Stop, _: u64) {}
    fn flush(&mut self) {}
    fn finished(&mut self, _: &Finished) {}
    fn is_full(&self) -> bool {
        false
    }
    fn waiting(&self, _: &TopicPartition) -> usize {
        0
    }
    fn is_idle(&self) -> bool {
        true
    }
    fn clear(&mut self) {}
}

#[test]
fn a_thread_that_panicked_is_not_ready() {
    let scene = Scene::new();
    scene.produce(0, numbers(0..1));
    let deliverer = scene.start(&scene.destination(Family::Sinks), Box::new(Panics));
    eventually("a failure", || deliverer.status().1.contains("it panicked: on purpose"));
    assert!(!deliverer.status().0);
    assert!(deliverer.join(SOON).is_err());
}

/// Fails for the alert `stuck`, counts the others.
#[derive(Debug)]
struct Selective(Arc<AtomicUsize>);

impl Notifier for Selective {
    fn send<'a>(&'a self, notification: &'a Notification, _: Timestamp) -> BoxFuture<'a, Outcome> {
        let outcome = if notification.alert.id == "stuck" {
            Outcome::retry("not this one")
        } else {
            self.0.fetch_add(1, Ordering::SeqCst);
            Outcome::Delivered
        };
        Box::pin(async move { outcome })
    }
}

fn notification(id: &str) -> Vec<u8> {
    let now = Timestamp::from_millis(0);
    let told = Notification::new("d", NotificationKind::Opened, now, Alert::bare(id));
    serde_json::to_vec(&told).unwrap()
}

#[test]
fn one_that_does_not_get_through_holds_up_only_those_behind_it() {
    let scene = Scene::new();
    let sent = Arc::new(AtomicUsize::new(0));
    let destination = scene.destination(Family::Notifiers);
    let notifier = Arc::new(Selective(Arc::clone(&sent)));
    let runtime = scene.runtime.handle().clone();
    let lane = NotifierLane::new(runtime, Arc::clone(&destination), notifier, "d".to_owned());
    let deliverer = scene.start(&destination, Box::new(lane));
    let stuck = std::iter::once(notification("stuck"));
    scene.produce(0, stuck.chain((0..2000).map(|n| notification(&n.to_string()))));
    eventually("something behind it", || scene.lag() == 2001);
    std::thread::sleep(Duration::from_secs(1));
    scene.produce(1, (0..200).map(|n| notification(&n.to_string())));
    eventually("all of the other partition", || sent.load(Ordering::SeqCst) == 200);
    deliverer.join(Duration::from_secs(20)).unwrap();
}

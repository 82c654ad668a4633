//! The Kafka layer on a real Apache Kafka: topics as the table says, and nothing skipped whatever
//! stops, joins, leaves or dies. What was read and written is judged by kcat and Kafka's own tools.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failure here is the test's; tests measure time as it passes"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hark::base::Timestamp;
use hark::base::metrics::Metrics;
use hark::kafka::topics::Partitions;
use hark::kafka::{
    Cleanup, Cluster, Committed, Consumer, Error, Health, Log, OutRecord, Output, OwnedSource,
    Polled, Rebalance, Record, Settings, Sources, Start, StartPolicy, State, Task, TopicPartition,
    TopicSpec, Topics, Worker, WorkerSettings, spawn,
};
use support::broker::Broker;
use support::{eventually, java, kafka, kcat, unique};

const SOON: Duration = Duration::from_mins(1);

fn settings(bootstrap: &str) -> Settings {
    let mut settings = Settings { bootstrap: bootstrap.to_owned(), ..Settings::default() };
    // New topics are noticed within a second, and what cannot be delivered is given up soon.
    for (name, value) in
        [("topic.metadata.refresh.interval.ms", "1000"), ("message.timeout.ms", "5000")]
    {
        settings.properties.insert(name.to_owned(), value.to_owned());
    }
    settings
}

fn open(bootstrap: &str) -> Arc<Cluster> {
    Cluster::open(&settings(bootstrap)).unwrap()
}

fn topic(cluster: &Cluster, stem: &str, partitions: u16) -> String {
    let name = unique(stem);
    let spec = TopicSpec {
        name: name.clone(),
        partitions: Partitions::Exactly(partitions),
        cleanup: Cleanup::Delete { retention: Duration::from_hours(1) },
        purpose: "a test",
    };
    cluster.ensure(&[spec]).unwrap();
    name
}

/// A scene: an input with some partitions, an output, and a group that copies one to the other.
struct Scene {
    cluster: Arc<Cluster>,
    bootstrap: String,
    input: String,
    output: String,
    group: String,
    seen: Arc<Seen>,
    metrics: Metrics,
}

/// What the tasks of a scene went through.
#[derive(Default)]
struct Seen {
    records: AtomicUsize,
    assigned: AtomicUsize,
    revoked: AtomicUsize,
    pulses: Mutex<Vec<Sources>>,
}

/// Copies records, keyed by where they came from; a record that says so is refused.
struct Copy {
    output: String,
    seen: Arc<Seen>,
    /// Refuses `poison` only so often.
    patience: usize,
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
        if record.payload == Some(b"poison") && self.patience == 0 {
            return Err(Error::task("this record is poison"));
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
    fn new(bootstrap: &str, partitions: u16) -> Self {
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

    fn worker(&self, name: &str) -> Worker {
        self.worker_with(name, |_, _| {})
    }

    fn worker_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut WorkerSettings, &mut Copy),
    ) -> Worker {
        let mut settings = WorkerSettings::new(name, &self.group, vec![self.input.clone()]);
        // Small cycles: more seams at which something can go wrong.
        settings.batch_records_max = 200;
        settings.pulse_every = Duration::from_millis(200);
        let seen = Arc::clone(&self.seen);
        let mut task = Copy { output: self.output.clone(), seen, patience: 0 };
        change(&mut settings, &mut task);
        let task = Box::new(task);
        spawn(&self.cluster, settings, task, self.metrics.clone(), Health::new()).unwrap()
    }

    fn produce(&self, range: std::ops::Range<usize>) {
        let lines = range.map(|number| format!("record {number}"));
        kcat::produce(&self.bootstrap, &self.input, &[], lines);
    }

    /// Where each record of the input lies, and what it says.
    fn expected(&self) -> BTreeSet<(String, String)> {
        let lines = kcat::consume(&self.bootstrap, &self.input);
        lines.into_iter().map(|l| (format!("{}:{}", l.partition, l.offset), l.payload)).collect()
    }

    /// What was copied, each once, and how many records that took.
    fn copied(&self) -> (BTreeSet<(String, String)>, usize) {
        let lines = kcat::consume(&self.bootstrap, &self.output);
        let count = lines.len();
        (lines.into_iter().map(|l| (l.key, l.payload)).collect(), count)
    }

    /// Waits until everything is copied; returns how many records were copied more than once.
    #[track_caller]
    fn all_copied(&self, count: usize) -> usize {
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
    fn copied_at_least(&self, records: usize) {
        eventually(SOON, || match self.seen.records.load(Ordering::SeqCst) {
            seen if seen >= records => Ok(()),
            seen => Err(seen),
        });
    }

    /// The lag of each partition as Kafka's own tool shows it.
    fn lags(&self) -> Vec<String> {
        let text = java::tool(
            "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            &["--bootstrap-server", &self.bootstrap, "--describe", "--group", &self.group],
        );
        let of_input = text.lines().filter(|line| line.contains(&self.input));
        of_input.map(|line| line.split_whitespace().nth(5).unwrap().to_owned()).collect()
    }
}

#[track_caller]
fn reaches(worker: &Worker, what: &str, is_it: impl Fn(&State) -> bool) -> State {
    eventually(SOON, || {
        let state = worker.health().state();
        if is_it(&state) { Ok(state) } else { Err(format!("expected {what}, found {state}")) }
    })
}

#[test]
fn topics_are_created_as_the_table_says() {
    let mut settings = settings(kafka());
    settings.prefix = format!("{}.", unique("table"));
    settings.partitions = 3;
    let cluster = Cluster::open(&settings).unwrap();
    let topics = Topics::new(&settings.prefix);
    let specs = topics.specs(&settings);
    cluster.ensure(&specs).unwrap();
    cluster.ensure(&specs).unwrap();

    let described = java::tool(
        "org.apache.kafka.tools.TopicCommand",
        &["--bootstrap-server", kafka(), "--describe"],
    );
    let of = |name: &str| {
        let start = format!("Topic: {name}\t");
        let line =
            described.lines().find(|line| line.starts_with(&start) && line.contains("Configs:"));
        line.unwrap_or_else(|| panic!("{name} is missing in\n{described}")).to_owned()
    };
    for (name, partitions, config) in [
        (&topics.signals, 3, "cleanup.policy=delete,retention.ms=604800000,retention.bytes=-1"),
        (&topics.state, 3, "cleanup.policy=compact"),
        (&topics.alerts, 3, "cleanup.policy=delete,retention.ms=2592000000,retention.bytes=-1"),
        (&topics.control, 1, "cleanup.policy=compact"),
        (&topics.notify_state, 1, "cleanup.policy=compact"),
        (&topics.outbox, 8, "cleanup.policy=delete,retention.ms=604800000,retention.bytes=-1"),
        (&topics.receipts, 8, "cleanup.policy=delete,retention.ms=604800000,retention.bytes=-1"),
        (&topics.events, 1, "cleanup.policy=delete,retention.ms=604800000,retention.bytes=-1"),
        (
            &topics.dead_letters,
            1,
            "cleanup.policy=delete,retention.ms=2592000000,retention.bytes=-1",
        ),
    ] {
        let line = of(name);
        assert!(line.contains(&format!("PartitionCount: {partitions}\t")), "{line}");
        for setting in config.split(',') {
            assert!(line.contains(setting), "expected {setting} in {line}");
        }
    }
}

#[test]
fn a_wrong_setup_is_refused_with_the_fix_of_each_mistake() {
    let cluster = open(kafka());
    let settings = cluster.settings().clone();
    let topics = Topics::new(&format!("{}.", unique("wrong")));
    let specs = topics.specs(&settings);
    // The same topics made by hand, with every mistake there is.
    let by_hand: Vec<TopicSpec> = specs
        .iter()
        .cloned()
        .map(|mut spec| {
            if spec.name == topics.signals {
                spec.partitions = Partitions::Exactly(5);
            } else if [&topics.state, &topics.alerts].contains(&&spec.name) {
                spec.cleanup = Cleanup::Delete { retention: Duration::from_hours(1) };
            } else if spec.name == topics.control {
                spec.partitions = Partitions::Exactly(2);
            }
            spec
        })
        .collect();
    cluster.ensure(&by_hand).unwrap();

    let problems = cluster.ensure(&specs).unwrap_err();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expect = |topic: &str, what: &str, fix: &str| {
        let found = problems.iter().any(|problem| {
            problem.topic == topic && problem.what.contains(what) && problem.fix.contains(fix)
        });
        assert!(found, "expected {what} about {topic} in {text:#?}");
    };
    assert_eq!(problems.len(), 4, "{text:#?}");
    expect(&topics.signals, "32 partitions, found 5", "kafka.partitions = 5");
    expect(&topics.state, "cleanup.policy `compact`, found `delete`", "cleanup.policy=compact");
    expect(&topics.alerts, "2592000000 or more, found 3600000", "retention.ms=2592000000");
    expect(&topics.control, "1 partitions, found 2", "choose another `kafka.prefix`");
}

#[test]
fn a_graceful_stop_and_start_copies_each_record_exactly_once() {
    let scene = Scene::new(kafka(), 4);
    scene.produce(0..3_000);
    let worker = scene.worker("first");
    scene.copied_at_least(500);
    worker.stop(SOON).unwrap();
    let (_, before) = scene.copied();
    assert!(before >= 500, "{before}");
    scene.produce(3_000..5_000);
    let worker = scene.worker("second");
    assert_eq!(scene.all_copied(5_000), 0, "nothing failed, so nothing is copied twice");
    worker.stop(SOON).unwrap();
}

#[test]
fn a_worker_that_joins_and_leaves_loses_and_doubles_nothing() {
    let scene = Scene::new(kafka(), 4);
    scene.produce(0..1_000);
    let first = scene.worker("first");
    reaches(&first, "all four partitions", |state| *state == State::Ready(4));
    let second = scene.worker("second");
    for round in 1..=20 {
        scene.produce(round * 1_000..(round + 1) * 1_000);
        if round == 8 {
            reaches(&first, "half of the partitions", |state| *state == State::Ready(2));
            reaches(&second, "half of the partitions", |state| *state == State::Ready(2));
        }
    }
    second.stop(SOON).unwrap();
    scene.produce(21_000..22_000);
    reaches(&first, "all four partitions again", |state| *state == State::Ready(4));
    assert_eq!(scene.all_copied(22_000), 0, "partitions move after what was begun is committed");
    first.stop(SOON).unwrap();
    assert!(scene.seen.revoked.load(Ordering::SeqCst) >= 2);
    let rebalances = scene.metrics.rebalances.with_label_values(&[&scene.group]).get();
    assert!(rebalances >= 3, "{rebalances}");
}

#[test]
fn a_broker_killed_and_restarted_in_the_middle_loses_nothing() {
    let mut broker = Broker::start();
    let scene = Scene::new(&broker.bootstrap(), 4);
    scene.produce(0..20_000);
    let worker = scene.worker("survivor");
    scene.copied_at_least(4_000);
    broker.kill();
    // Long enough that what was produced is given up, and the worker says so.
    reaches(&worker, "trouble", |state| matches!(state, State::Retrying(_)));
    broker.restart();
    scene.produce(20_000..21_000);
    scene.all_copied(21_000);
    reaches(&worker, "all well again", |state| *state == State::Ready(4));
    worker.stop(SOON).unwrap();
    assert_eq!(scene.lags(), ["0", "0", "0", "0"]);
}

#[test]
fn a_worker_that_dies_without_a_commit_leaves_everything_to_the_next() {
    let scene = Scene::new(kafka(), 1);
    scene.produce(0..700);
    kcat::produce(&scene.bootstrap, &scene.input, &[], ["poison"]);
    scene.produce(700..1_000);
    let worker = scene.worker("first");
    let state = reaches(&worker, "a failure", |state| matches!(state, State::Failed(_)));
    assert_eq!(state, State::Failed("this record is poison".to_owned()));
    eventually(SOON, || if worker.is_finished() { Ok(()) } else { Err("running") });
    let error = worker.stop(SOON).unwrap_err();
    assert!(error.to_string().contains("this record is poison"), "{error}");

    let worker = scene.worker_with("second", |_, copy| copy.patience = 1);
    let twice = scene.all_copied(1_001);
    assert!(twice <= 200, "at most the batch that was not committed, found {twice}");
    worker.stop(SOON).unwrap();
}

#[test]
fn a_panic_in_a_task_is_told_and_commits_nothing() {
    struct Panics;
    impl Task for Panics {
        fn assigned(
            &mut self,
            _: &TopicPartition,
            _: Option<&Committed>,
            _: &mut dyn Log,
        ) -> Result<Start, Error> {
            Ok(Start::Committed)
        }
        fn revoked(&mut self, _: &TopicPartition) {}
        fn record(&mut self, record: &Record<'_>, _: &mut dyn Output) -> Result<(), Error> {
            panic!("cannot bear offset {}", record.offset)
        }
    }
    let scene = Scene::new(kafka(), 1);
    scene.produce(0..10);
    let settings = WorkerSettings::new("panics", &scene.group, vec![scene.input.clone()]);
    let metrics = scene.metrics.clone();
    let worker = spawn(&scene.cluster, settings, Box::new(Panics), metrics, Health::new()).unwrap();
    let state = reaches(&worker, "a failure", |state| matches!(state, State::Failed(_)));
    assert_eq!(state, State::Failed("it panicked: cannot bear offset 0".to_owned()));
    let worker = scene.worker("next");
    scene.all_copied(10);
    worker.stop(SOON).unwrap();
}

#[test]
fn while_the_output_is_missing_nothing_is_skipped_and_the_task_starts_over() {
    let mut scene = Scene::new(kafka(), 2);
    scene.output = unique("late-output");
    scene.produce(0..100);
    let worker = scene.worker("patient");
    let state = reaches(&worker, "trouble", |state| matches!(state, State::Retrying(_)));
    assert!(state.to_string().contains(&scene.output), "{state}");
    eventually(SOON, || match scene.seen.assigned.load(Ordering::SeqCst) {
        assigned if assigned >= 4 => Ok(()),
        assigned => Err(assigned),
    });
    let spec = TopicSpec {
        name: scene.output.clone(),
        partitions: Partitions::Exactly(1),
        cleanup: Cleanup::Delete { retention: Duration::from_hours(1) },
        purpose: "a test",
    };
    scene.cluster.ensure(&[spec]).unwrap();
    scene.all_copied(100);
    reaches(&worker, "all well", |state| *state == State::Ready(2));
    worker.stop(SOON).unwrap();
}

#[test]
fn a_group_at_the_end_has_no_lag_behind_transaction_markers() {
    let scene = Scene::new(kafka(), 2);
    // Kafka's own producer: ten transactions, whose markers occupy offsets at the end.
    java::tool(
        "org.apache.kafka.tools.ProducerPerformance",
        &[
            "--bootstrap-server",
            &scene.bootstrap,
            "--topic",
            &scene.input,
            "--num-records",
            "100",
            "--record-size",
            "10",
            "--throughput",
            "-1",
            "--transactional-id",
            &unique("transactions"),
            "--transaction-duration-ms",
            "1",
        ],
    );
    let worker = scene.worker("reader");
    scene.copied_at_least(100);
    let last = eventually(SOON, || {
        let pulses = scene.seen.pulses.lock().unwrap();
        let last = pulses.last().ok_or("no pulse yet")?.clone();
        let at_end = last.owned.len() == 2 && last.owned.iter().all(OwnedSource::at_end);
        if at_end { Ok(last) } else { Err("not at the end") }
    });
    let both: Vec<TopicPartition> =
        (0..2).map(|number| TopicPartition::new(&*scene.input, number)).collect();
    assert_eq!(last.subscription, both);
    for number in ["0", "1"] {
        let lag = scene.metrics.lag.with_label_values(&[&*scene.group, &*scene.input, number]);
        assert_eq!(lag.get(), 0);
    }
    // Pulses commit too, so the markers are behind the group by now.
    eventually(SOON, || match scene.lags() {
        lags if lags == ["0", "0"] => Ok(()),
        lags => Err(lags),
    });
    worker.stop(SOON).unwrap();
    assert_eq!(scene.all_copied(100), 0);
}

#[test]
fn a_position_that_is_gone_stops_the_worker_and_names_the_range() {
    let scene = Scene::new(kafka(), 1);
    scene.produce(0..100);
    let worker = scene.worker("first");
    scene.all_copied(100);
    worker.stop(SOON).unwrap();
    scene.produce(100..300);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("offsets.json");
    let json = format!(
        r#"{{"version":1,"partitions":[{{"topic":"{}","partition":0,"offset":250}}]}}"#,
        scene.input
    );
    std::fs::write(&file, json).unwrap();
    java::tool(
        "org.apache.kafka.tools.DeleteRecordsCommand",
        &["--bootstrap-server", &scene.bootstrap, "--offset-json-file", file.to_str().unwrap()],
    );
    let worker = scene.worker("second");
    let state = reaches(&worker, "a failure", |state| matches!(state, State::Failed(_)));
    let text = state.to_string();
    for part in [&*format!("{}:0", scene.input), "is 100", "250 to 300", "150 records"] {
        assert!(text.contains(part), "expected {part} in {text}");
    }
}

#[test]
fn the_first_start_at_the_end_is_settled_once() {
    let scene = Scene::new(kafka(), 2);
    scene.produce(0..50);
    let latest = |settings: &mut WorkerSettings, _: &mut Copy| settings.start = StartPolicy::Latest;
    let worker = scene.worker_with("first", latest);
    reaches(&worker, "both partitions", |state| *state == State::Ready(2));
    worker.stop(SOON).unwrap();
    scene.produce(50..80);
    let worker = scene.worker_with("second", latest);
    scene.copied_at_least(30);
    worker.stop(SOON).unwrap();
    let (copied, _) = scene.copied();
    let expected: BTreeSet<String> = (50..80).map(|number| format!("record {number}")).collect();
    assert_eq!(copied.into_iter().map(|(_, payload)| payload).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_partition_added_after_a_start_at_the_end_is_read_from_its_beginning() {
    let scene = Scene::new(kafka(), 1);
    scene.produce(0..50);
    let latest = |settings: &mut WorkerSettings, _: &mut Copy| settings.start = StartPolicy::Latest;
    let worker = scene.worker_with("first", latest);
    reaches(&worker, "the partition", |state| *state == State::Ready(1));
    worker.stop(SOON).unwrap();
    java::tool(
        "org.apache.kafka.tools.TopicCommand",
        &[
            "--bootstrap-server",
            &scene.bootstrap,
            "--alter",
            "--topic",
            &scene.input,
            "--partitions",
            "2",
        ],
    );
    let lines = (0..20).map(|number| format!("new {number}"));
    kcat::produce(&scene.bootstrap, &scene.input, &["-p", "1"], lines);
    let worker = scene.worker_with("second", latest);
    scene.copied_at_least(20);
    worker.stop(SOON).unwrap();
    let (copied, _) = scene.copied();
    assert_eq!(copied.len(), 20);
    assert!(
        copied.iter().all(|(key, payload)| key.starts_with("1:") && payload.starts_with("new"))
    );
}

#[test]
fn a_missing_topic_is_named_until_it_is_created() {
    let mut scene = Scene::new(kafka(), 1);
    scene.input = unique("not-yet");
    let worker = scene.worker("waiting");
    let state = reaches(
        &worker,
        "the topic's name",
        |state| matches!(state, State::Waiting(why) if why.contains("not-yet")),
    );
    assert!(state.to_string().contains("does not exist"), "{state}");
    let spec = TopicSpec {
        name: scene.input.clone(),
        partitions: Partitions::Exactly(1),
        cleanup: Cleanup::Delete { retention: Duration::from_hours(1) },
        purpose: "a test",
    };
    scene.cluster.ensure(&[spec]).unwrap();
    scene.produce(0..10);
    scene.all_copied(10);
    reaches(&worker, "readiness", |state| *state == State::Ready(1));
    worker.stop(SOON).unwrap();
}

#[test]
fn a_dead_broker_at_start_is_a_clear_error_and_no_hang() {
    let mut settings = settings("127.0.0.1:1");
    settings.connect_timeout = Duration::from_secs(2);
    let begun = Instant::now();
    let error = Cluster::open(&settings).err().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let text = error.to_string();
    assert!(matches!(error, Error::Unreachable { .. }), "{text}");
    assert!(text.contains("127.0.0.1:1") && text.contains("refused"), "{text}");
}

#[test]
fn a_worker_stops_within_its_deadline_while_the_broker_is_down() {
    let mut broker = Broker::start();
    let scene = Scene::new(&broker.bootstrap(), 2);
    scene.produce(0..5_000);
    let worker = scene.worker("stopped");
    scene.copied_at_least(1_000);
    broker.kill();
    scene.seen.pulses.lock().unwrap().clear();
    let begun = Instant::now();
    worker.stop(Duration::from_secs(20)).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    broker.restart();
    let worker = scene.worker("next");
    scene.all_copied(5_000);
    worker.stop(SOON).unwrap();
}

/// Polls until the consumer owns `count` partitions, answering as a role with its own loop does.
fn join(consumer: &Consumer, count: usize) {
    let mut owned = 0;
    eventually(SOON, || {
        match consumer.poll(Duration::from_millis(50)).unwrap() {
            Polled::Rebalance(Rebalance::Assigned(partitions)) => {
                consumer
                    .assign(&consumer.begins(&partitions, &|_| StartPolicy::Earliest).unwrap())
                    .unwrap();
                owned += partitions.len();
            }
            Polled::Rebalance(Rebalance::Revoked { partitions, .. }) => {
                consumer.unassign(&partitions).unwrap();
                owned -= partitions.len();
            }
            Polled::Record(_) => panic!("a record before the assignment is complete"),
            Polled::Idle => {}
        }
        if owned == count { Ok(()) } else { Err(owned) }
    });
}

fn next_offset(consumer: &Consumer) -> i64 {
    eventually(SOON, || match consumer.poll(Duration::from_millis(50)).unwrap() {
        Polled::Record(message) => Ok(message.record().offset),
        _ => Err("no record"),
    })
}

#[test]
fn a_consumer_alone_commits_a_prefix_and_goes_on_there() {
    let scene = Scene::new(kafka(), 1);
    scene.produce(0..100);
    let partition = TopicPartition::new(&*scene.input, 0);
    let topics = vec![scene.input.clone()];
    let consumer = scene.cluster.consumer(&scene.group, &topics).unwrap();
    join(&consumer, 1);
    for offset in 0..40 {
        assert_eq!(next_offset(&consumer), offset);
    }
    assert_eq!(consumer.position(&partition), Some(40));
    assert_eq!(consumer.high_watermark(&partition), Some(100));
    consumer.commit(&[(partition.clone(), 25)], SOON).unwrap();
    drop(consumer);

    let consumer = scene.cluster.consumer(&scene.group, &topics).unwrap();
    join(&consumer, 1);
    assert_eq!(consumer.position(&partition), Some(25), "before anything is delivered");
    assert_eq!(next_offset(&consumer), 25);
    consumer.pause(std::slice::from_ref(&partition)).unwrap();
    for _ in 0..5 {
        assert!(matches!(consumer.poll(Duration::from_millis(50)).unwrap(), Polled::Idle));
    }
    consumer.resume(std::slice::from_ref(&partition)).unwrap();
    assert_eq!(next_offset(&consumer), 26);
    consumer.seek(&[(partition.clone(), 3)]).unwrap();
    assert_eq!(consumer.position(&partition), Some(3), "a seek forgets the old position");
    assert_eq!(next_offset(&consumer), 3);
    assert_eq!(consumer.watermarks(&partition).unwrap(), (0, 100));
    let early = Timestamp::from_millis(0);
    assert_eq!(consumer.offset_for_time(&partition, early).unwrap(), Some(0));
    assert_eq!(consumer.offset_for_time(&partition, Timestamp::MAX).unwrap(), None);
}

#[test]
fn a_consumer_dropped_before_it_answered_a_rebalance_still_leaves() {
    let scene = Scene::new(kafka(), 2);
    let topics = vec![scene.input.clone()];
    let consumer = scene.cluster.consumer(&scene.group, &topics).unwrap();
    eventually(SOON, || match consumer.poll(Duration::from_millis(50)).unwrap() {
        Polled::Rebalance(Rebalance::Assigned(_)) => Ok(()),
        _ => Err("no assignment"),
    });
    let begun = Instant::now();
    drop(consumer);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let worker = scene.worker("next");
    reaches(&worker, "both partitions", |state| *state == State::Ready(2));
    worker.stop(SOON).unwrap();
}

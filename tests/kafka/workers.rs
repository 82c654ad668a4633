//! Workers that come and go as they should: nothing is lost, and nothing done twice.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hark::kafka::{OwnedSource, State, TopicPartition, WorkerSettings};

use crate::scene::{Copy, SOON, Scene, create, reaches};
use crate::support::{eventually, java, kafka, unique};

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
    scene.produce(0..50_000);
    // Slow, in long cycles: partitions move in the middle of one.
    let slow = |settings: &mut WorkerSettings, copy: &mut Copy| {
        settings.batch_records_max = 10_000;
        settings.batch_age_max = Duration::from_millis(400);
        settings.pulse_every = Duration::from_secs(1);
        copy.pace = Duration::from_micros(400);
    };
    let first = scene.worker_with("first", slow);
    reaches(&first, "all four partitions", |state| *state == State::Ready(4));
    // Often enough that some move while there is something to finish.
    for _ in 0..4 {
        let second = scene.worker_with("second", slow);
        reaches(&second, "half of the partitions", |state| *state == State::Ready(2));
        reaches(&first, "half of the partitions", |state| *state == State::Ready(2));
        second.stop(SOON).unwrap();
        reaches(&first, "all four partitions", |state| *state == State::Ready(4));
    }
    let left = 50_000 - scene.seen.records.load(Ordering::SeqCst);
    assert!(left > 0, "the partitions moved after the work was done, which proves nothing");
    first.stop(SOON).unwrap();
    let fast = scene.worker("fast");
    assert_eq!(scene.all_copied(50_000), 0, "partitions move after what was begun is committed");
    fast.stop(SOON).unwrap();
    assert!(scene.seen.revoked.load(Ordering::SeqCst) >= 8);
    let rebalances = scene.metrics.rebalances.with_label_values(&[&scene.group]).get();
    assert!(rebalances >= 13, "{rebalances}");
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
    create(&scene.cluster, &scene.input, 1);
    scene.produce(0..10);
    scene.all_copied(10);
    reaches(&worker, "readiness", |state| *state == State::Ready(1));
    worker.stop(SOON).unwrap();
}

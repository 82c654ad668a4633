//! Brokers, workers and tasks that fail: nothing is lost, and the reason is told.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hark::kafka::{
    Committed, Error, Health, Log, Output, Record, Start, State, Task, TopicPartition,
    WorkerSettings, spawn,
};

use crate::scene::{SOON, Scene, create, reaches};
use crate::support::broker::Broker;
use crate::support::{eventually, kafka, kcat, unique};

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

    let worker = scene.worker_with("second", |_, copy| copy.bears_poison = true);
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
    create(&scene.cluster, &scene.output, 1);
    scene.all_copied(100);
    reaches(&worker, "all well", |state| *state == State::Ready(2));
    worker.stop(SOON).unwrap();
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

#[test]
fn a_worker_that_sleeps_past_its_session_leaves_its_records_to_others() {
    let mut scene = Scene::new(kafka(), 2);
    // The shortest that brokers allow.
    for name in ["session.timeout.ms", "max.poll.interval.ms"] {
        scene.change_property(name, "6000");
    }
    scene.produce(0..500);
    kcat::produce(&scene.bootstrap, &scene.input, &[], ["nap"]);
    scene.produce(500..1_000);
    let sleeper = scene.worker_with("sleeper", |_, copy| copy.nap = Duration::from_secs(12));
    scene.copied_at_least(100);
    let other = scene.worker("other");
    scene.all_copied(1_001);
    reaches(&other, "all partitions", |state| *state == State::Ready(2));
    assert_eq!(scene.lags(), ["0", "0"]);
    // It wakes up, learns that it lost them, and comes back as a member like any other.
    reaches(&sleeper, "its share", |state| *state == State::Ready(1));
    reaches(&other, "its share", |state| *state == State::Ready(1));
    scene.produce(1_001..1_200);
    scene.all_copied(1_200);
    sleeper.stop(SOON).unwrap();
    other.stop(SOON).unwrap();
    assert_eq!(scene.lags(), ["0", "0"]);
}

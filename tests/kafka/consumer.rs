//! A consumer without a worker, as a role with a loop of its own uses it.

use std::time::{Duration, Instant};

use hark::base::Timestamp;
use hark::kafka::{Consumer, Polled, Rebalance, StartPolicy, State, TopicPartition};

use crate::scene::{SOON, Scene, reaches};
use crate::support::{eventually, kafka};

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
fn a_position_that_a_broker_refuses_for_a_while_is_read_on_from() {
    let scene = Scene::new(kafka(), 1);
    scene.produce(0..100);
    let partition = TopicPartition::new(&*scene.input, 0);
    let consumer =
        scene.cluster.consumer(&scene.group, std::slice::from_ref(&scene.input)).unwrap();
    join(&consumer, 1);
    assert_eq!(next_offset(&consumer), 0);
    // As after a crash: the log ends before the position, until the broker has recovered. The client
    // is told that the position is out of range, and stops fetching for good.
    consumer.seek(&[(partition.clone(), 130)]).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Long enough for the refusal, short enough for the patience with a broker.
            std::thread::sleep(Duration::from_secs(2));
            scene.produce(100..200);
        });
        assert_eq!(next_offset(&consumer), 130);
    });
    assert_eq!(next_offset(&consumer), 131);
    consumer.seek(&[(partition.clone(), 3)]).unwrap();
    assert_eq!(next_offset(&consumer), 3);
    assert_eq!(consumer.position(&partition), Some(4));
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

#[test]
fn a_consumer_dropped_before_it_answered_a_revocation_still_leaves() {
    let scene = Scene::new(kafka(), 2);
    let topics = vec![scene.input.clone()];
    let consumer = scene.cluster.consumer(&scene.group, &topics).unwrap();
    join(&consumer, 2);
    let worker = scene.worker("other");
    eventually(SOON, || match consumer.poll(Duration::from_millis(50)).unwrap() {
        Polled::Rebalance(Rebalance::Revoked { .. }) => Ok(()),
        _ => Err("no revocation"),
    });
    let begun = Instant::now();
    drop(consumer);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    reaches(&worker, "both partitions", |state| *state == State::Ready(2));
    worker.stop(SOON).unwrap();
}

#[test]
fn a_partition_that_was_paused_when_it_left_is_read_when_it_comes_back() {
    let scene = Scene::new(kafka(), 1);
    scene.produce(0..10);
    let partitions = [TopicPartition::new(&*scene.input, 0)];
    let consumer =
        scene.cluster.consumer(&scene.group, std::slice::from_ref(&scene.input)).unwrap();
    join(&consumer, 1);
    assert_eq!(next_offset(&consumer), 0);
    consumer.pause(&partitions).unwrap();
    consumer.unassign(&partitions).unwrap();
    let begins = consumer.begins(&partitions, &|_| StartPolicy::Earliest).unwrap();
    consumer.assign(&begins).unwrap();
    assert_eq!(next_offset(&consumer), 0);
}

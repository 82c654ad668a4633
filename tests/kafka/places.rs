//! Where reading begins: at the first start, after one, and when the place is gone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use hark::kafka::{
    Committed, Error, Health, Log, Output, Record, Start, StartPolicy, State, Task, TopicPartition,
    WorkerSettings, spawn,
};

use crate::scene::{Copy, SOON, Scene, reaches};
use crate::support::{eventually, java, kafka, kcat};

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

/// Remembers the highest record it has seen as its bookmark, and on every start reads from the
/// beginning to rebuild what it knows.
struct Rebuilds {
    seen: Arc<Mutex<Vec<Run>>>,
}

/// What an assignment brought, and the offsets that came after it.
type Run = (Option<Committed>, Vec<i64>);

impl Task for Rebuilds {
    fn assigned(
        &mut self,
        _: &TopicPartition,
        committed: Option<&Committed>,
        _: &mut dyn Log,
    ) -> Result<Start, Error> {
        self.seen.lock().unwrap().push((committed.cloned(), Vec::new()));
        Ok(Start::Offset(0))
    }

    fn revoked(&mut self, _: &TopicPartition) {}

    fn record(&mut self, record: &Record<'_>, _: &mut dyn Output) -> Result<(), Error> {
        self.seen.lock().unwrap().last_mut().unwrap().1.push(record.offset);
        Ok(())
    }

    fn bookmark(&self, _: &TopicPartition) -> Option<String> {
        Some(format!("after {:?}", self.seen.lock().unwrap().last()?.1.last()?))
    }
}

#[test]
fn a_bookmark_comes_back_and_a_rebuild_moves_nobody_back() {
    let scene = Scene::new(kafka(), 1);
    scene.produce(0..50);
    let seen: Arc<Mutex<Vec<Run>>> = Arc::default();
    let run = |count: i64| {
        let task = Box::new(Rebuilds { seen: Arc::clone(&seen) });
        let mut settings = WorkerSettings::new("rebuilds", &scene.group, vec![scene.input.clone()]);
        // Small batches, so that a cycle ends below the committed position.
        settings.batch_records_max = 7;
        let metrics = scene.metrics.clone();
        seen.lock().unwrap().clear();
        let worker = spawn(&scene.cluster, settings, task, metrics, Health::new()).unwrap();
        eventually(SOON, || match seen.lock().unwrap().last() {
            Some((_, offsets)) if offsets.last() == Some(&(count - 1)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        worker.stop(SOON).unwrap();
        let last = seen.lock().unwrap().last().unwrap().clone();
        assert_eq!(last.1, (0..count).collect::<Vec<i64>>());
        assert_eq!(scene.lags(), ["0"]);
        last.0
    };
    assert_eq!(run(50), None);
    let committed =
        |offset: i64| Some(Committed { offset, bookmark: format!("after {}", offset - 1) });
    assert_eq!(run(50), committed(50));
    scene.produce(50..60);
    assert_eq!(run(60), committed(50));
    assert_eq!(run(60), committed(60));
}

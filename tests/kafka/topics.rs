//! Hark's own topics, and a cluster that is not there.

use std::time::{Duration, Instant};

use hark::kafka::topics::Partitions;
use hark::kafka::{Cleanup, Cluster, Error, TopicSpec, Topics};

use crate::scene::{open, settings};
use crate::support::{java, kafka, unique};

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

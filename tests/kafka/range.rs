//! Ranges of time of topics, over partitions whose records were written in disorder.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hark::base::Timestamp;
use hark::kafka::{Cluster, Error, OutRecord, RangeReader, Record};

use crate::scene::{open, topic};
use crate::support::kafka;

/// A moment of the last hour, in tenths of a second: a broker soon removes what is older than these
/// topics keep it, and refuses what is from the future.
fn at(tenth: i64) -> Timestamp {
    static BEGIN: LazyLock<i64> = LazyLock::new(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(now.as_millis()).unwrap() - 55 * 60_000
    });
    Timestamp::from_millis(*BEGIN + 100 * tenth)
}

/// Writes each record to its partition with its time, which is also what it says.
fn write(cluster: &Arc<Cluster>, topic: &str, records: &[(i32, i64)]) {
    let producer = cluster.producer().unwrap();
    for (partition, tenth) in records {
        let payload = tenth.to_string();
        let record = OutRecord {
            topic,
            partition: Some(*partition),
            key: Some(b"k"),
            payload: Some(payload.as_bytes()),
            headers: &[("h", b"v")],
            timestamp: Some(at(*tenth)),
        };
        producer.send(record).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// `partition:offset:text` of each record in a range, in order.
fn read(
    cluster: &Arc<Cluster>,
    topics: &[String],
    from: Option<i64>,
    to: Option<i64>,
) -> Vec<String> {
    let mut reader = RangeReader::open(cluster, topics, from.map(at), to.map(at)).unwrap();
    let mut all = Vec::new();
    let tell = |record: &Record<'_>, topic: &Arc<str>| {
        assert_eq!((&**topic, record.key), (record.topic, Some(&b"k"[..])));
        assert_eq!(record.headers.get("h"), Some(&b"v"[..]));
        let text = std::str::from_utf8(record.payload.unwrap()).unwrap();
        (record.timestamp, format!("{}:{}:{text}", record.partition, record.offset))
    };
    let expected = reader.records();
    while let Some(text) = reader.next(tell).unwrap() {
        all.push(text);
    }
    assert_eq!((reader.passed(), all.len() as u64), (expected, expected));
    all
}

#[test]
fn partitions_are_merged_by_time_and_ranges_that_meet_have_each_record_once() {
    let cluster = open(kafka());
    let name = topic(&cluster, "range", 3);
    // In partition 1 a record came late; partition 2 has none.
    write(&cluster, &name, &[(0, 0), (0, 10), (0, 20), (0, 30), (1, 5), (1, 25), (1, 15), (1, 35)]);
    let topics = [name];
    let all = ["0:0:0", "1:0:5", "0:1:10", "0:2:20", "1:1:25", "1:2:15", "0:3:30", "1:3:35"];
    assert_eq!(read(&cluster, &topics, None, None), all);
    assert_eq!(read(&cluster, &topics, Some(-100), Some(100)), all);
    assert_eq!(read(&cluster, &topics, Some(10), Some(30)), all[2..6]);
    assert_eq!(read(&cluster, &topics, Some(36), None), [""; 0]);
    assert_eq!(read(&cluster, &topics, None, Some(0)), [""; 0]);
    for edge in [-1, 0, 1, 10, 15, 16, 25, 35, 36] {
        let mut halves = read(&cluster, &topics, None, Some(edge));
        halves.extend(read(&cluster, &topics, Some(edge), None));
        halves.sort();
        let mut all = all.map(str::to_owned);
        all.sort();
        assert_eq!(halves, all, "at {edge}");
    }
}

#[test]
fn several_topics_are_one_range_and_a_topic_named_twice_is_read_once() {
    let cluster = open(kafka());
    let (a, b) = (topic(&cluster, "range-a", 1), topic(&cluster, "range-b", 1));
    write(&cluster, &a, &[(0, 1), (0, 3)]);
    write(&cluster, &b, &[(0, 2), (0, 4)]);
    let topics = [a.clone(), b, a];
    assert_eq!(read(&cluster, &topics, None, None), ["0:0:1", "0:0:2", "0:1:3", "0:1:4"]);
    let missing = RangeReader::<()>::open(&cluster, &["nowhere".to_owned()], None, None);
    assert!(matches!(missing, Err(Error::MissingTopic(topic)) if topic == "nowhere"));
}

#[test]
fn a_large_range_is_read_whole_though_one_partition_ends_long_before_the_others() {
    let cluster = open(kafka());
    let name = topic(&cluster, "range", 2);
    let records: Vec<(i32, i64)> = (0..30_000).map(|n| (i32::from(n > 10), n)).collect();
    write(&cluster, &name, &records);
    let all = read(&cluster, &[name], None, None);
    assert_eq!(all.len(), records.len());
    let text = |line: &String| line.rsplit(':').next().unwrap().parse::<i64>().unwrap();
    assert!(all.iter().map(text).eq(0..30_000));
}

//! Reading what stands in topics between two moments, in order of time, without a group: nothing is
//! committed, nothing is written.
//!
//! A range is one of offsets: in each partition from the first record at or after the one moment to
//! the first at or after the other, by the time that Kafka keeps for records. So two ranges that
//! meet have each record once, also where producers wrote in disorder. Partitions are merged by the
//! time that the caller reads from a record, which is the event's own: a log that was written all at
//! once has its order back. Each partition keeps its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{self, Events, Kind};
use super::consumer::{Message, QUERY_TIMEOUT};
use super::reader::{NO_GROUP, NO_PROGRESS_MAX, POLL, watermarks};
use super::record::{Record, TopicPartition};
use super::{Cluster, Error};
use crate::base::{Timestamp, clock};

/// What the client may hold for all partitions together before they are merged; each partition has
/// at least [`PARTITION_KB_MIN`] of its own, and may pass its share by one fetch.
const HELD_KB: usize = 64 * 1024;
/// The least that the client may hold for a partition.
const PARTITION_KB_MIN: usize = 256;

/// Partitions that one range may have: each has a queue of its own.
pub const PARTITIONS_MAX: usize = 4_096;

/// Records of several topics between two moments.
pub struct RangeReader<T> {
    /// Ahead of the client that they belong to, which so is dropped last.
    parts: Vec<Part<T>>,
    client: Arc<BaseConsumer<Events>>,
    /// The time of each part's head, the earliest on top, those without one first of all; the number
    /// of its part settles ties.
    heads: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Parts without a head: all at first, then the one whose head was taken.
    waiting: Vec<usize>,
    records: u64,
    passed: u64,
}

/// A partition's share.
struct Part<T> {
    partition: TopicPartition,
    queue: PartitionQueue<Events>,
    /// The offset of the next record, or of the gap before it.
    next: i64,
    /// The offset at which the range ends.
    end: i64,
    /// What the caller made of the first record that it was not given back yet.
    head: Option<T>,
}

impl<T> RangeReader<T> {
    /// Looks up where the range begins and ends in every partition of the topics; without `from` it
    /// is the beginning of the log, without `to` its end as it is now.
    ///
    /// # Errors
    /// When a topic does not exist, or brokers do not answer.
    pub fn open(
        cluster: &Arc<Cluster>,
        topics: &[String],
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let partitions = partitions(cluster, topics)?;
        let share = (HELD_KB / partitions.len().max(1)).max(PARTITION_KB_MIN);
        let mut config = client::configuration(
            cluster.settings(),
            cluster.bootstrap(),
            Kind::Consumer(NO_GROUP),
        );
        config.set("enable.partition.eof", "true");
        config.set("queued.max.messages.kbytes", share.to_string());
        let client = BaseConsumer::from_config_and_context(&config, Events::default());
        let client = Arc::new(client.map_err(client::refused)?);
        let log = partitions
            .iter()
            .map(|p| watermarks(&client, &p.topic, p.partition).map_err(|error| failed(&error)))
            .collect::<Result<Vec<_>, _>>()?;
        let starts = from.map(|from| offsets_at(&client, &partitions, from)).transpose()?;
        let ends = to.map(|to| offsets_at(&client, &partitions, to)).transpose()?;
        let (mut parts, mut list) = (Vec::new(), TopicPartitionList::new());
        for (number, (partition, (low, high))) in partitions.into_iter().zip(log).enumerate() {
            // Where no record is at or after a time, the log's end is meant.
            let at = |offsets: &Vec<Option<i64>>| offsets.get(number).copied().flatten();
            let next = starts.as_ref().map_or(low, |found| at(found).unwrap_or(high).max(low));
            let end = ends.as_ref().and_then(at).unwrap_or(high);
            if next >= end {
                continue;
            }
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(next))
                .map_err(|error| failed(&error))?;
            // Before the assignment, so that no record ever goes to the queue of all.
            let queue = client.split_partition_queue(&partition.topic, partition.partition);
            let queue = queue.ok_or_else(|| Error::MissingTopic(partition.topic.to_string()))?;
            parts.push(Part { partition, queue, next, end, head: None });
        }
        client.assign(&list).map_err(|error| failed(&error))?;
        let records = parts.iter().map(|part| part.end.abs_diff(part.next)).sum();
        let waiting = (0..parts.len()).collect();
        Ok(Self { parts, client, heads: BinaryHeap::new(), waiting, records, passed: 0 })
    }

    /// How many offsets the range has: as many records as it holds, or a few more.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// How many of them have been passed.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// What `read` made of the next record of all partitions by the time that it told with it; `None`
    /// at the end. A record without a time is in nobody's way: it comes at once.
    ///
    /// # Errors
    /// When nothing arrives for 20 s, or a record was removed before it was read.
    pub fn next(&mut self, mut read: impl Read<T>) -> Result<Option<T>, Error> {
        while let Some(number) = self.waiting.pop() {
            let Some(part) = self.parts.get_mut(number) else { continue };
            let before = part.next;
            if let Some(time) = part.fill(&self.client, &mut read)? {
                self.heads.push(Reverse((time, number)));
            }
            self.passed += part.next.abs_diff(before);
        }
        let Some(Reverse((_, number))) = self.heads.pop() else { return Ok(None) };
        self.waiting.push(number);
        Ok(self.parts.get_mut(number).and_then(|part| part.head.take()))
    }
}

impl<T> Part<T> {
    /// Waits for the next record, whose time it returns, or the end.
    fn fill(
        &mut self,
        client: &BaseConsumer<Events>,
        read: &mut impl Read<T>,
    ) -> Result<Option<Timestamp>, Error> {
        let deadline = clock::instant() + NO_PROGRESS_MAX;
        while self.next < self.end {
            match self.queue.poll(POLL) {
                None => {}
                Some(Ok(message)) => {
                    let message = Message::new(message);
                    let record = message.record();
                    if record.offset >= self.end {
                        self.next = self.end;
                        break;
                    }
                    self.next = record.offset + 1;
                    let (time, head) = read(&record, &self.partition.topic);
                    self.head = Some(head);
                    return Ok(Some(time.unwrap_or(Timestamp::MIN)));
                }
                // What is left up to the end are markers of transactions and removed records.
                Some(Err(KafkaError::PartitionEOF(_))) => self.next = self.end,
                Some(Err(error)) => return Err(failed(&error)),
            }
            // Serves the client's callbacks; records come through the queue of their partition.
            if let Some(Err(error)) = client.poll(Duration::ZERO) {
                tracing::debug!(%error, "the client reports trouble while a range is read");
            }
            if self.next < self.end && clock::instant() > deadline {
                let trouble = client.context().trouble();
                let trouble = trouble.map_or_else(String::new, |trouble| format!(": {trouble}"));
                let partition = &self.partition;
                let detail =
                    format!("{partition}: nothing arrived for {NO_PROGRESS_MAX:?}{trouble}");
                return Err(Error::Retriable { what: READING, detail });
            }
        }
        Ok(None)
    }
}

/// What a record is to the caller, who is given its topic's name to share, and when it happened.
pub trait Read<T>: FnMut(&Record<'_>, &Arc<str>) -> (Option<Timestamp>, T) {}

impl<T, F: FnMut(&Record<'_>, &Arc<str>) -> (Option<Timestamp>, T)> Read<T> for F {}

const READING: &str = "reading a range of time";

fn failed(error: &KafkaError) -> Error {
    Error::Retriable { what: READING, detail: error.to_string() }
}

/// All partitions of the topics, each once, in order.
fn partitions(cluster: &Cluster, topics: &[String]) -> Result<Vec<TopicPartition>, Error> {
    let mut partitions = Vec::new();
    for topic in topics {
        let info = cluster.topic(topic)?.ok_or_else(|| Error::MissingTopic(topic.clone()))?;
        let shared: Arc<str> = topic.as_str().into();
        let numbers = 0..i32::try_from(info.partitions).unwrap_or(i32::MAX);
        partitions.extend(numbers.map(|number| TopicPartition::new(shared.clone(), number)));
    }
    partitions.sort();
    partitions.dedup();
    if partitions.len() > PARTITIONS_MAX {
        let found = partitions.len();
        return Err(Error::Settings(format!(
            "expected at most {PARTITIONS_MAX} partitions in all topics together, found {found}; \
             name fewer topics"
        )));
    }
    Ok(partitions)
}

/// For each partition the offset of the first record at or after `time`, if there is one.
fn offsets_at(
    client: &BaseConsumer<Events>,
    partitions: &[TopicPartition],
    time: Timestamp,
) -> Result<Vec<Option<i64>>, Error> {
    // Kafka has no records before 1970; a negative number would mean something else to it.
    let time = Offset::Offset(time.as_millis().max(0));
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(&partition.topic, partition.partition, time)
            .map_err(|error| failed(&error))?;
    }
    let found = client.offsets_for_times(list, QUERY_TIMEOUT).map_err(|error| failed(&error))?;
    let offset = |partition: &TopicPartition| {
        let element = found.find_partition(&partition.topic, partition.partition);
        let Some(element) = element else { return Ok(None) };
        element.error().map_err(|error| failed(&error))?;
        match element.offset() {
            Offset::Offset(offset) => Ok(Some(offset)),
            _ => Ok(None),
        }
    };
    partitions.iter().map(offset).collect()
}

//! Reading a topic as it is now, from its beginning to its end, without a group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{self, Events, Kind};
use super::consumer::{Message, QUERY_TIMEOUT};
use super::{Cluster, Error, Record};
use crate::base::clock;

/// How long nothing may arrive before reading is given up.
pub(super) const NO_PROGRESS_MAX: Duration = Duration::from_secs(20);
/// How long one poll waits.
pub(super) const POLL: Duration = Duration::from_millis(100);
/// A reader has no group, yet the client wants a name for one.
pub(super) const NO_GROUP: &str = "hark-reader";

/// Hands every record that is in `topic` now to `each`, partition by partition in the order of the
/// log. Records that are written meanwhile may or may not be among them.
///
/// # Errors
/// When the topic does not exist, or nothing arrives for 20 s before the end is reached.
pub fn read_to_end(
    cluster: &Arc<Cluster>,
    topic: &str,
    each: &mut dyn FnMut(&Record<'_>),
) -> Result<(), Error> {
    let retriable =
        |detail: String| Error::Retriable { what: "reading a topic to its end", detail };
    let info = cluster.topic(topic)?.ok_or_else(|| Error::MissingTopic(topic.to_owned()))?;
    let config =
        client::configuration(cluster.settings(), cluster.bootstrap(), Kind::Consumer(NO_GROUP));
    let reader = BaseConsumer::from_config_and_context(&config, Events::default())
        .map_err(client::refused)?;
    let mut list = TopicPartitionList::new();
    let mut ends = BTreeMap::new();
    for partition in 0..i32::try_from(info.partitions).unwrap_or(i32::MAX) {
        let (low, high) =
            watermarks(&reader, topic, partition).map_err(|error| retriable(error.to_string()))?;
        if low < high {
            list.add_partition_offset(topic, partition, Offset::Offset(low))
                .map_err(|error| retriable(error.to_string()))?;
            ends.insert(partition, high);
        }
    }
    reader.assign(&list).map_err(|error| retriable(error.to_string()))?;
    let mut deadline = clock::instant() + NO_PROGRESS_MAX;
    while !ends.is_empty() {
        if let Some(Ok(message)) = reader.poll(POLL) {
            each(&Message::new(message).record());
            deadline = clock::instant() + NO_PROGRESS_MAX;
        }
        // Markers and removed records at the end are passed without a record, so the reader's
        // position says whether a partition is done, not what arrived.
        let positions = reader.position().map_err(|error| retriable(error.to_string()))?;
        ends.retain(|partition, end| {
            let element = positions.find_partition(topic, *partition);
            !element.is_some_and(|e| matches!(e.offset(), Offset::Offset(at) if at >= *end))
        });
        if clock::instant() > deadline {
            return Err(retriable(format!("`{topic}`: nothing arrived for {NO_PROGRESS_MAX:?}")));
        }
    }
    Ok(())
}

/// Where a partition begins and ends. A topic that was made a moment ago, or whose broker has just
/// come back, has no leader yet, which is no reason not to start.
pub(super) fn watermarks(
    reader: &BaseConsumer<Events>,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64), KafkaError> {
    let deadline = clock::instant() + NO_PROGRESS_MAX;
    loop {
        match reader.fetch_watermarks(topic, partition, QUERY_TIMEOUT) {
            Err(error) if clock::instant() < deadline => {
                tracing::debug!(topic, partition, %error, "not answered yet, asking again");
                thread::sleep(POLL);
            }
            answer => return answer,
        }
    }
}

//! Reading: one member of a group. Used by the worker, and alone by roles with a loop of their own.
//!
//! Whoever polls owns the rebalances too: [`Consumer::poll`] reports one, and nothing moves until it
//! is answered with [`Consumer::assign`] or [`Consumer::unassign`], also if it names no partition.
//! In between the caller finishes what it has begun; seconds are fine. One thread uses a consumer.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::client::{self, Events, Kind};
use super::record::{Headers, Record, TopicPartition};
use super::start::{BOOKMARK, Begin};
use super::{Cluster, Error, native};
use crate::base::{Timestamp, clock};

/// How long one question to the brokers may take.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a broker that came back may take to find the end of its log.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

/// How long a worker's regular question about its topics may take: it delays an order to stop.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// What a poll brought.
pub enum Polled<'a> {
    /// A record.
    Record(Message<'a>),
    /// The group's partitions move; to be answered before anything else moves.
    Rebalance(Rebalance),
    /// Nothing within the time given, or only something the client deals with itself.
    Idle,
}

/// A record together with the buffer it lies in.
pub struct Message<'a>(BorrowedMessage<'a>);

impl<'a> Message<'a> {
    pub(super) fn new(message: BorrowedMessage<'a>) -> Self {
        Self(message)
    }

    /// The record.
    pub fn record(&self) -> Record<'_> {
        let message = &self.0;
        Record {
            topic: message.topic(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().and_then(Timestamp::try_from_millis),
            key: message.key(),
            payload: message.payload(),
            headers: Headers::kafka(message.headers()),
        }
    }
}

/// How the group's partitions move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebalance {
    /// These come to us; answered with [`Consumer::assign`].
    Assigned(Vec<TopicPartition>),
    /// These leave us; answered with [`Consumer::unassign`].
    Revoked {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// They are already someone else's: nothing of them may be committed any more.
        lost: bool,
    },
}

/// The topics of a subscription as the cluster knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Every partition, in order.
    pub partitions: Vec<TopicPartition>,
    /// Topics that do not exist.
    pub missing: Vec<String>,
}

/// A member of a group.
pub struct Consumer {
    client: BaseConsumer<Events>,
    cluster: Arc<Cluster>,
    group: String,
    topics: Vec<String>,
    owned: Mutex<BTreeMap<TopicPartition, Owned>>,
}

/// What is remembered about an owned partition.
#[derive(Debug, Clone)]
struct Owned {
    /// Where reading began or was sought to: the position until something was delivered.
    from: i64,
    /// The text that goes with each commit; see [`super::start`].
    note: String,
    /// The task's own text behind it.
    bookmark: String,
}

impl Consumer {
    pub(super) fn open(
        cluster: Arc<Cluster>,
        group: &str,
        topics: &[String],
    ) -> Result<Self, Error> {
        let settings = cluster.settings();
        let config = client::configuration(settings, cluster.bootstrap(), Kind::Consumer(group));
        let client = BaseConsumer::from_config_and_context(&config, Events::default())
            .map_err(client::refused)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        client
            .subscribe(&names)
            .map_err(|error| Error::Fatal { what: "subscribing", detail: error.to_string() })?;
        Ok(Self {
            client,
            cluster,
            group: group.to_owned(),
            topics: topics.to_vec(),
            owned: Mutex::default(),
        })
    }

    /// The group it is a member of.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The topics it is subscribed to.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The cluster it reads from.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// What comes next, waiting at most `timeout`. An error that passes by itself is kept for
    /// [`Self::trouble`]; one that is returned will not pass.
    pub fn poll(&self, timeout: Duration) -> Result<Polled<'_>, Error> {
        if let Some(rebalance) = self.client.context().next_rebalance() {
            return Ok(Polled::Rebalance(rebalance));
        }
        match self.client.poll(timeout) {
            Some(Ok(message)) => return Ok(Polled::Record(Message(message))),
            Some(Err(error)) => self.judge(&error)?,
            None => {}
        }
        Ok(self.client.context().next_rebalance().map_or(Polled::Idle, Polled::Rebalance))
    }

    fn judge(&self, error: &KafkaError) -> Result<(), Error> {
        let fatal = |detail: String| Err(Error::Fatal { what: "reading", detail });
        match error {
            KafkaError::MessageConsumptionFatal(code) => fatal(code.to_string()),
            _ => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    self.find_lost()
                }
                _ => Ok(()),
            },
        }
    }

    /// The broker says that a position is gone; this finds out which, and what is lost. If all are
    /// there, as after a crash that the broker has recovered from, reading goes on: the client has
    /// stopped fetching the partition and has to be told.
    fn find_lost(&self) -> Result<(), Error> {
        for (partition, position) in self.positions() {
            let (low, high) = self.recovered_watermarks(&partition, position)?;
            let lost = if position < low {
                format!("{} records were removed before they were read", low - position)
            } else if position > high {
                "the log is shorter than what was read of it: the topic was deleted and made anew, \
                 or brokers lost records"
                    .to_owned()
            } else {
                continue;
            };
            return Err(Error::Lost { partition, position, low, high, lost });
        }
        tracing::warn!(
            group = self.group,
            "a broker refused a position that it holds, fetching anew"
        );
        self.fetch_anew(&self.positions())
    }

    /// The watermarks once the log reaches up to `position`, or as they are after a while: a broker
    /// that was killed answers before it has found the end of its log again.
    fn recovered_watermarks(
        &self,
        partition: &TopicPartition,
        position: i64,
    ) -> Result<(i64, i64), Error> {
        let end = clock::instant() + RECOVERY_MAX;
        loop {
            let (low, high) = self.watermarks(partition)?;
            if position <= high || clock::instant() >= end {
                return Ok((low, high));
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Has the client fetch owned partitions from these offsets, also those that it has stopped
    /// fetching after an error, which a seek does not reach.
    fn fetch_anew(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), Error> {
        let partitions: Vec<TopicPartition> = offsets.iter().map(|(p, _)| p.clone()).collect();
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            add(&mut list, partition, *offset)?;
        }
        self.client
            .incremental_unassign(&list_of(&partitions))
            .and_then(|()| self.client.incremental_assign(&list))
            .map_err(|error| failed("fetching anew", &error))?;
        self.remember(offsets);
        Ok(())
    }

    fn remember(&self, offsets: &[(TopicPartition, i64)]) {
        let mut owned = self.owned();
        for (partition, offset) in offsets {
            if let Some(owned) = owned.get_mut(partition) {
                owned.from = *offset;
            }
        }
    }

    /// The last error that has not been seen to pass.
    pub fn trouble(&self) -> Option<String> {
        self.client.context().trouble()
    }

    /// Says that the cluster has answered since.
    pub fn clear_trouble(&self) {
        self.client.context().clear_trouble();
    }

    /// Answers an assignment: reading begins at these places.
    pub fn assign(&self, begins: &[Begin]) -> Result<(), Error> {
        let mut list = TopicPartitionList::with_capacity(begins.len());
        {
            let mut owned = self.owned();
            for begin in begins {
                add(&mut list, &begin.partition, begin.offset)?;
                let remembered = Owned {
                    from: begin.offset,
                    note: begin.note.clone(),
                    bookmark: begin.bookmark.clone(),
                };
                owned.insert(begin.partition.clone(), remembered);
            }
        }
        self.client.incremental_assign(&list).map_err(|error| failed("assigning", &error))
    }

    /// Answers a revocation: these partitions are given up.
    pub fn unassign(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let list = list_of(partitions);
        // The client remembers a pause beyond the assignment: the partition would come back paused.
        self.resume(partitions)?;
        self.owned().retain(|partition, _| !partitions.contains(partition));
        self.client.incremental_unassign(&list).map_err(|error| failed("unassigning", &error))
    }

    /// The owned partitions and the offset of the next record of each.
    pub fn positions(&self) -> Vec<(TopicPartition, i64)> {
        let known = self.client.position().ok();
        let position = |partition: &TopicPartition| {
            let list = known.as_ref()?;
            let element = list.find_partition(&partition.topic, partition.partition)?;
            match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }
        };
        // Nothing delivered since the start or the last seek: there is no position yet.
        self.owned()
            .iter()
            .map(|(partition, owned)| {
                (partition.clone(), position(partition).unwrap_or(owned.from))
            })
            .collect()
    }

    /// The offset of the next record of an owned partition.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.positions().into_iter().find(|(owned, _)| owned == partition).map(|(_, at)| at)
    }

    /// The offset after the newest record as the last fetch saw it, without asking anyone.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        native::watermarks(self.client.client(), &partition.topic, partition.partition)
            .map(|(_, high)| high)
    }

    /// The oldest offset that is still there, and the one after the last stable record; asks the
    /// broker.
    pub fn watermarks(&self, partition: &TopicPartition) -> Result<(i64, i64), Error> {
        self.client
            .fetch_watermarks(&partition.topic, partition.partition, QUERY_TIMEOUT)
            .map_err(|error| failed("asking for watermarks", &error))
    }

    /// The first offset whose record is not older than `time`; `None` when there is none. The
    /// embedded cluster cannot tell and always says `None`.
    pub fn offset_for_time(
        &self,
        partition: &TopicPartition,
        time: Timestamp,
    ) -> Result<Option<i64>, Error> {
        let mut list = TopicPartitionList::new();
        add(&mut list, partition, time.as_millis().max(0))?;
        let answer = self
            .client
            .offsets_for_times(list, QUERY_TIMEOUT)
            .map_err(|error| failed("asking for an offset by time", &error))?;
        let element = answer.find_partition(&partition.topic, partition.partition);
        Ok(element.and_then(|element| match element.offset() {
            Offset::Offset(offset) if offset >= 0 => Some(offset),
            _ => None,
        }))
    }

    /// What the group has committed, and the note with it. Waits while a transaction's outcome is
    /// pending, so the answer is final.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, (i64, String)>, Error> {
        let answer = self
            .client
            .committed_offsets(list_of(partitions), QUERY_TIMEOUT)
            .map_err(|error| failed("asking for committed offsets", &error))?;
        let mut committed = BTreeMap::new();
        for element in answer.elements() {
            element.error().map_err(|error| failed("asking for committed offsets", &error))?;
            if let Offset::Offset(offset) = element.offset() {
                let partition = TopicPartition::new(element.topic(), element.partition());
                committed.insert(partition, (offset, element.metadata().to_owned()));
            }
        }
        Ok(committed)
    }

    /// Commits these offsets, each the next to be read, and waits for the group's answer, at most
    /// `max`. Partitions that are not owned are left out: someone else's position is not ours to set.
    pub fn commit(&self, offsets: &[(TopicPartition, i64)], max: Duration) -> Result<(), Error> {
        let end = clock::instant() + max;
        self.commit_until(offsets, &mut || clock::instant() >= end)
    }

    /// [`Self::commit`], but waiting until `enough` says so.
    pub(super) fn commit_until(
        &self,
        offsets: &[(TopicPartition, i64)],
        enough: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        {
            let owned = self.owned();
            for (partition, offset) in offsets {
                let Some(owned) = owned.get(partition) else { continue };
                let mut element = list.add_partition(&partition.topic, partition.partition);
                element
                    .set_offset(Offset::Offset(*offset))
                    .map_err(|error| failed("committing", &error))?;
                let text = if owned.bookmark.is_empty() {
                    owned.note.clone()
                } else {
                    format!("{}{BOOKMARK}{}", owned.note, owned.bookmark)
                };
                element.set_metadata(text);
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        loop {
            if self.client.assignment_lost() {
                let detail = "the group went on without this member".to_owned();
                return Err(Error::Retriable { what: "committing", detail });
            }
            match native::commit(self.client.client(), &list, enough) {
                Ok(()) => return Ok(()),
                Err(code) if passes(code) && !enough() => {
                    thread::sleep(Duration::from_millis(50));
                }
                Err(code) => {
                    let detail = code.to_string();
                    return Err(Error::Retriable { what: "committing", detail });
                }
            }
        }
    }

    /// Sets the text that goes with the next commits of an owned partition, behind the consumer's
    /// own note.
    pub(super) fn set_bookmark(&self, partition: &TopicPartition, bookmark: String) {
        if let Some(owned) = self.owned().get_mut(partition) {
            owned.bookmark = bookmark;
        }
    }

    /// Goes to these offsets of owned partitions; what was fetched of them is dropped.
    pub fn seek(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), Error> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            add(&mut list, partition, *offset)?;
        }
        let answer = self
            .client
            .seek_partitions(list, QUERY_TIMEOUT)
            .map_err(|error| failed("seeking", &error))?;
        let mut stopped = Vec::new();
        for element in answer.elements() {
            match element.error() {
                Ok(()) => {}
                // The client does not fetch it: stopped after an error.
                Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::State) => {
                    stopped.push((element.topic().to_owned(), element.partition()));
                }
                Err(error) => return Err(failed("seeking", &error)),
            }
        }
        self.remember(offsets);
        let is_stopped = |(partition, _): &&(TopicPartition, i64)| {
            stopped.iter().any(|(t, p)| **t == *partition.topic && *p == partition.partition)
        };
        let stopped: Vec<_> = offsets.iter().filter(is_stopped).cloned().collect();
        if stopped.is_empty() { Ok(()) } else { self.fetch_anew(&stopped) }
    }

    /// Delivers nothing more of these partitions until [`Self::resume`].
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.client.pause(&list_of(partitions)).map_err(|error| failed("pausing", &error))
    }

    /// Goes on delivering.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.client.resume(&list_of(partitions)).map_err(|error| failed("resuming", &error))
    }

    /// Whether the group has gone on without this member.
    pub fn is_lost(&self) -> bool {
        self.client.assignment_lost()
    }

    /// Leaves the group, waiting at most `max`; says whether it has. With every broker down it may
    /// take as long as the group's session, after which the group knows anyway: then it goes on in
    /// the background.
    pub fn leave(self, max: Duration) -> bool {
        let (tell, left) = sync_channel(1);
        let leaving = thread::Builder::new().name("leaving".to_owned()).spawn(move || {
            drop(self);
            tell.try_send(())
        });
        // Without a thread, the closure and the consumer in it are dropped: that is leaving too.
        leaving.is_err() || left.recv_timeout(max).is_ok()
    }

    /// Every partition of the subscribed topics, whoever owns it; asks the cluster.
    pub fn subscription(&self) -> Result<Subscription, Error> {
        let mut subscription = Subscription::default();
        for name in &self.topics {
            let metadata = self
                .client
                .fetch_metadata(Some(name), METADATA_TIMEOUT)
                .map_err(|error| failed("asking for metadata", &error))?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            match topic.map(|topic| (topic, topic.error())) {
                Some((topic, None)) => {
                    let shared: Arc<str> = Arc::from(name.as_str());
                    subscription.partitions.extend(
                        topic.partitions().iter().map(|p| TopicPartition {
                            topic: Arc::clone(&shared),
                            partition: p.id(),
                        }),
                    );
                }
                None
                | Some((
                    _,
                    Some(
                        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                        | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
                    ),
                )) => subscription.missing.push(name.clone()),
                Some((_, Some(error))) => {
                    let detail = format!("topic `{name}`: {}", RDKafkaErrorCode::from(error));
                    return Err(Error::Retriable { what: "asking for metadata", detail });
                }
            }
        }
        subscription.partitions.sort();
        Ok(subscription)
    }

    fn owned(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Consumer {
    /// Leaves the group. A revocation that this brings is answered by the callback itself; without
    /// an answer the client would wait for ever. One that was reported before needs none any more.
    fn drop(&mut self) {
        self.client.context().close();
    }
}

fn list_of(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    list
}

fn add(
    list: &mut TopicPartitionList,
    partition: &TopicPartition,
    offset: i64,
) -> Result<(), Error> {
    list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(offset))
        .map_err(|error| failed("naming an offset", &error))
}

fn failed(what: &'static str, error: &KafkaError) -> Error {
    let detail = error.to_string();
    Error::Retriable { what, detail }
}

/// A refusal to commit that waiting a moment may end: the group is between two generations, or its
/// coordinator moves.
fn passes(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::WaitingForCoordinator
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
    )
}

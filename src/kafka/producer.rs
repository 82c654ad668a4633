//! Writing: an idempotent producer whose records are certain only after [`Producer::flush`].

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::client::{self, Events, Kind, Undelivered};
use super::record::{OutRecord, Output, RECORD_BYTES_MAX, check_size};
use super::{Cluster, Error};
use crate::base::clock;

/// How long [`Producer::send`] waits for room in the local queue. Beyond the time after which an
/// unacknowledged record is given up, so that a full queue always moves before.
const ROOM_TIMEOUT: Duration = Duration::from_secs(40);

/// A producer. It belongs to one thread, which also hears its delivery reports.
pub struct Producer {
    client: BaseProducer<Events>,
    /// Keeps an embedded cluster alive as long as someone speaks to it.
    cluster: Arc<Cluster>,
}

impl Producer {
    pub(super) fn open(cluster: Arc<Cluster>) -> Result<Self, Error> {
        let config = client::configuration(cluster.settings(), cluster.bootstrap(), Kind::Producer);
        let client = BaseProducer::from_config_and_context(&config, Events::default())
            .map_err(client::refused)?;
        Ok(Self { client, cluster })
    }

    /// A new producer in place of this one; whatever this one had not delivered is dropped with it.
    pub fn renewed(&self) -> Result<Self, Error> {
        Self::open(Arc::clone(&self.cluster))
    }

    /// Hands a record over, waiting for room in the local queue if there is none.
    pub fn send(&self, record: OutRecord<'_>) -> Result<(), Error> {
        check_size(&record)?;
        let end = clock::instant() + ROOM_TIMEOUT;
        let mut queued = base_record(&record);
        loop {
            let (error, unsent) = match self.client.send(queued) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || clock::instant() > end {
                return Err(not_sent(record.topic, &error));
            }
            queued = unsent;
            self.client.poll(Duration::from_millis(5));
        }
    }

    /// Waits until every record handed over is acknowledged, and says whether all were.
    pub fn flush(&self, max: Duration) -> Result<(), Error> {
        if self.settle(max) {
            return self.delivered();
        }
        let detail = self.client.context().trouble().unwrap_or_else(|| {
            format!("{} records unacknowledged after {max:?}", self.client.in_flight_count())
        });
        Err(Error::Retriable { what: "producing", detail })
    }

    /// Waits until the fate of every record is known; false when time runs out first. rdkafka's own
    /// flush costs a flat 100 ms, this one what the broker takes.
    pub(super) fn settle(&self, max: Duration) -> bool {
        let end = clock::instant() + max;
        loop {
            self.client.poll(Duration::ZERO);
            if self.client.in_flight_count() == 0 {
                return true;
            }
            if clock::instant() > end {
                return false;
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// The delivery errors since the last time this was asked.
    pub(super) fn delivered(&self) -> Result<(), Error> {
        let undelivered = self.client.context().take_undelivered();
        if undelivered.is_empty() {
            self.client.context().clear_trouble();
        }
        // What will not pass by itself decides.
        let is_fatal = |record: &&Undelivered| {
            matches!(
                record.code,
                RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::InvalidRecord
                    | RDKafkaErrorCode::Fatal
            )
        };
        let Some(record) = undelivered.iter().find(is_fatal).or(undelivered.first()) else {
            return Ok(());
        };
        let detail = format!(
            "{} of {} bytes was not delivered to topic `{}`: {}",
            if undelivered.len() == 1 { "a record" } else { "more than one record, one" },
            record.bytes,
            record.topic,
            record.code,
        );
        let what = "producing";
        // A fatal error of the client is over with a new client; one of the record is not.
        Err(match record.code {
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidRecord => {
                Error::Fatal { what, detail }
            }
            _ => Error::Retriable { what, detail },
        })
    }
}

impl Output for Producer {
    fn send(&mut self, record: OutRecord<'_>) -> Result<(), Error> {
        Self::send(self, record)
    }
}

fn base_record<'a>(record: &OutRecord<'a>) -> BaseRecord<'a, [u8], [u8]> {
    let headers = (!record.headers.is_empty()).then(|| {
        let empty = OwnedHeaders::new_with_capacity(record.headers.len());
        record.headers.iter().fold(empty, |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        })
    });
    BaseRecord {
        topic: record.topic,
        partition: record.partition,
        payload: record.payload,
        key: record.key,
        timestamp: record.timestamp.map(crate::base::Timestamp::as_millis),
        headers,
        delivery_opaque: (),
    }
}

fn not_sent(topic: &str, error: &KafkaError) -> Error {
    let (what, detail) = ("producing", format!("topic `{topic}`: {error}"));
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => Error::TooLarge {
            topic: topic.to_owned(),
            bytes: RECORD_BYTES_MAX,
            max: RECORD_BYTES_MAX,
        },
        Some(RDKafkaErrorCode::InvalidArgument) => Error::Fatal { what, detail },
        _ => Error::Retriable { what, detail },
    }
}

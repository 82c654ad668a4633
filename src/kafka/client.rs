//! How librdkafka is configured, and what its clients have to say.
//!
//! Every property here was learnt on real brokers; DESIGN §5 has the list. What the operator sets
//! lies between the defaults and what carries a guarantee.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::consumer::Rebalance;
use super::record::TopicPartition;
use super::{Error, Settings};

/// What every client starts from; an operator's properties may change it.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "hark"),
    ("socket.timeout.ms", "6000"),
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
    ("reconnect.backoff.max.ms", "1000"),
    ("log.connection.close", "false"),
    // How soon a new topic or partition is noticed.
    ("topic.metadata.refresh.interval.ms", "30000"),
];

/// Defaults of consumers: bounded prefetch, and groups that notice a death within seconds.
const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    ("session.timeout.ms", "20000"),
    ("heartbeat.interval.ms", "1000"),
    ("max.poll.interval.ms", "300000"),
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "32768"),
    ("fetch.queue.backoff.ms", "20"),
];

/// The embedded cluster takes a whole session time-out for each rebalance but the first.
const EMBEDDED_CONSUMER: &[(&str, &str)] =
    &[("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")];

/// What consumers need for the guarantee.
const CONSUMER_FIXED: &[(&str, &str)] = &[
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("isolation.level", "read_committed"),
    ("auto.offset.reset", "error"),
    ("allow.auto.create.topics", "false"),
];

/// Defaults of producers: nothing lingers, because the worker flushes at the end of each cycle.
const PRODUCER_DEFAULTS: &[(&str, &str)] = &[
    ("linger.ms", "0"),
    ("compression.type", "lz4"),
    ("message.timeout.ms", "30000"),
    ("queue.buffering.max.messages", "100000"),
    ("queue.buffering.max.kbytes", "65536"),
    // As the Java clients do it, so that a key has one partition whoever writes it.
    ("partitioner", "murmur2_random"),
];

/// What producers need for the guarantee.
const PRODUCER_FIXED: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    // A broker's default; `record::RECORD_BYTES_MAX` is below it.
    ("message.max.bytes", "1048588"),
];

/// The kind of client that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// For metadata and administration.
    Admin,
    /// A member of this group.
    Consumer(&'a str),
    /// An idempotent producer.
    Producer,
}

/// A client's configuration: defaults, then the operator's properties, then what is fixed.
pub(super) fn configuration(settings: &Settings, bootstrap: &str, kind: Kind<'_>) -> ClientConfig {
    let (defaults, fixed) = match kind {
        Kind::Admin => (&[][..], &[][..]),
        Kind::Consumer(_) => (CONSUMER_DEFAULTS, CONSUMER_FIXED),
        Kind::Producer => (PRODUCER_DEFAULTS, PRODUCER_FIXED),
    };
    let mut config = ClientConfig::new();
    for (name, value) in DEFAULTS.iter().chain(defaults) {
        config.set(*name, *value);
    }
    if settings.is_embedded() && matches!(kind, Kind::Consumer(_)) {
        for (name, value) in EMBEDDED_CONSUMER {
            config.set(*name, *value);
        }
    }
    // librdkafka warns on every start about a property of the other kind of client.
    let other = match kind {
        Kind::Admin => [CONSUMER_DEFAULTS, PRODUCER_DEFAULTS].concat(),
        Kind::Consumer(_) => PRODUCER_DEFAULTS.to_vec(),
        Kind::Producer => CONSUMER_DEFAULTS.to_vec(),
    };
    for (name, value) in &settings.properties {
        if !other.iter().any(|(foreign, _)| foreign == name) {
            config.set(name, value);
        }
    }
    for (name, value) in fixed {
        config.set(*name, *value);
    }
    if let Kind::Consumer(group) = kind {
        config.set("group.id", group);
    }
    config.set("bootstrap.servers", bootstrap);
    config
}

/// The client's refusal of its configuration, without the value: it may be a password.
pub(super) fn refused(error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, description, name, _) => {
            Error::Settings(format!("librdkafka refuses the property `{name}`: {description}"))
        }
        other => Error::Settings(format!("librdkafka refuses the configuration: {other}")),
    }
}

/// What a client's callbacks report. They run inside `poll` and only write it down.
#[derive(Debug, Default)]
pub(super) struct Events {
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// The last error that was reported and has not been seen to pass.
    trouble: Mutex<Option<String>>,
    undelivered: Mutex<Vec<Undelivered>>,
    /// Set before a consumer is dropped: from then on a revocation is answered at once, for nobody
    /// will come back to it and the drop would wait for ever.
    closing: AtomicBool,
}

/// A record that did not reach its topic.
#[derive(Debug, Clone)]
pub(super) struct Undelivered {
    pub(super) topic: String,
    pub(super) bytes: usize,
    pub(super) code: RDKafkaErrorCode,
}

/// Undelivered records that are kept for the message; the rest repeat it.
const UNDELIVERED_MAX: usize = 16;

impl Events {
    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    pub(super) fn clear_trouble(&self) {
        *lock(&self.trouble) = None;
    }

    pub(super) fn take_undelivered(&self) -> Vec<Undelivered> {
        std::mem::take(&mut *lock(&self.undelivered))
    }

    /// From here on rebalances are answered inside the callback.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, text = message, "kafka client"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(facility, text = message, "kafka client");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, text = message, "kafka client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // A broker that is away is reported here at every attempt, many times a second, and in the
        // log above once in a while: that is the place where people read of it.
        let of_the_connection = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::Resolve
                    | RDKafkaErrorCode::RequestTimedOut
                    | RDKafkaErrorCode::OperationTimedOut
            )
        );
        if of_the_connection {
            tracing::debug!(%error, reason, "kafka client reports trouble with a connection");
        } else {
            tracing::warn!(%error, reason, "kafka client reports trouble");
        }
        let mut trouble = lock(&self.trouble);
        // "All brokers are down" says less than the reason of each that came before it.
        let is_summary = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if !(is_summary && trouble.is_some()) {
            *trouble = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Events {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions: Vec<TopicPartition> = list
            .elements()
            .iter()
            .map(|element| TopicPartition::new(element.topic(), element.partition()))
            .collect();
        let assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            let answered = if assigned {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.incremental_unassign(list)
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "a rebalance while closing was not answered");
            }
            return;
        }
        lock(&self.rebalances).push_back(if assigned {
            Rebalance::Assigned(partitions)
        } else {
            Rebalance::Revoked { partitions, lost: consumer.assignment_lost() }
        });
    }
}

impl ProducerContext for Events {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let mut undelivered = lock(&self.undelivered);
        if undelivered.len() < UNDELIVERED_MAX {
            undelivered.push(Undelivered {
                topic: message.topic().to_owned(),
                bytes: message.payload_len().saturating_add(message.key_len()),
                code: error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
            });
        }
    }
}

/// A callback that panicked has written its line or not; either is fine to read.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafka_knows_every_property() {
        let settings = Settings::default();
        for kind in [Kind::Admin, Kind::Consumer("g"), Kind::Producer] {
            configuration(&settings, "127.0.0.1:9", kind).create_native_config().unwrap();
        }
    }

    #[test]
    fn an_operator_changes_defaults_and_never_what_is_fixed() {
        let mut settings = Settings::default();
        settings.properties.insert("session.timeout.ms".to_owned(), "30000".to_owned());
        settings.properties.insert("isolation.level".to_owned(), "read_uncommitted".to_owned());
        let config = configuration(&settings, "127.0.0.1:9", Kind::Consumer("g"));
        assert_eq!(config.get("session.timeout.ms"), Some("30000"));
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
    }

    #[test]
    fn a_property_of_the_wrong_kind_of_client_is_left_out() {
        let mut settings = Settings::default();
        settings.properties.insert("linger.ms".to_owned(), "5".to_owned());
        let of = |kind| {
            configuration(&settings, "127.0.0.1:9", kind).get("linger.ms").map(str::to_owned)
        };
        assert_eq!(of(Kind::Consumer("g")), None);
        assert_eq!(of(Kind::Producer), Some("5".to_owned()));
    }

    #[test]
    fn a_refused_property_is_named_without_its_value() {
        let mut settings = Settings::default();
        settings.properties.insert("sasl.passwrd".to_owned(), "hunter2".to_owned());
        let config = configuration(&settings, "127.0.0.1:9", Kind::Admin);
        let error = refused(config.create_native_config().err().unwrap()).to_string();
        assert!(error.contains("sasl.passwrd") && !error.contains("hunter2"), "{error}");
    }
}

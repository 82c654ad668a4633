//! A Kafka cluster, real or embedded: connecting, and seeing that Hark's topics are as they must be.
//!
//! The embedded one is librdkafka's mock cluster in this process: the same client code, no server.
//! It is for trying Hark out and for tests of everything except exactly-once, retention and
//! compaction, and says so when it starts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaRespErr;

use super::client::{self, Events, Kind};
use super::settings::EMBEDDED;
use super::topics::{Problem, TopicSpec};
use super::{Consumer, Error, Producer, Settings, native};
use crate::base::clock;

/// How long a question about topics may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the embedded cluster waits for further members before a group's first assignment.
const EMBEDDED_REBALANCE_DELAY: Duration = Duration::from_millis(100);

/// A connection to a cluster, from which consumers and producers are made.
pub struct Cluster {
    settings: Settings,
    bootstrap: String,
    /// Asks for metadata; when embedded, also owns the mock cluster, which lives as long as this.
    client: BaseConsumer<Events>,
}

/// What the cluster says about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// How many partitions it has.
    pub partitions: usize,
    /// On how many brokers its first partition lies.
    pub replication: usize,
}

impl Cluster {
    /// Connects, waiting for the first answer of a broker as long as the settings say.
    pub fn open(settings: &Settings) -> Result<Arc<Self>, Error> {
        settings.check()?;
        let cluster = if settings.is_embedded() {
            Self::embedded(settings)?
        } else {
            let bootstrap = settings.addresses();
            let config = client::configuration(settings, &bootstrap, Kind::Admin);
            let client = BaseConsumer::from_config_and_context(&config, Events::default())
                .map_err(client::refused)?;
            Self { settings: settings.clone(), bootstrap, client }
        };
        cluster.wait_for_broker()?;
        Ok(Arc::new(cluster))
    }

    fn embedded(settings: &Settings) -> Result<Self, Error> {
        let mut config = client::configuration(settings, "127.0.0.1:1", Kind::Admin);
        config.set("test.mock.num.brokers", "1");
        let client = BaseConsumer::from_config_and_context(&config, Events::default())
            .map_err(client::refused)?;
        native::set_mock_rebalance_delay(client.client(), EMBEDDED_REBALANCE_DELAY);
        let bootstrap = client
            .client()
            .mock_cluster()
            .map(|mock| mock.bootstrap_servers())
            .ok_or_else(|| Error::Settings("the embedded broker did not start".to_owned()))?;
        tracing::warn!(
            bootstrap,
            "kafka is embedded: nothing is kept after exit, a partition holds the last 5 MB only, \
             no retention, compaction, transactions, TLS or SASL; for more than trying Hark out, set \
             `kafka.bootstrap` to a real cluster"
        );
        Ok(Self { settings: settings.clone(), bootstrap, client })
    }

    fn wait_for_broker(&self) -> Result<(), Error> {
        let timeout = self.settings.connect_timeout;
        let end = clock::instant() + timeout;
        loop {
            let left = end.saturating_duration_since(clock::instant());
            // A slice at a time, so that what the client reports in the meantime is heard.
            let slice = left.min(Duration::from_secs(1)).max(Duration::from_millis(10));
            let answer = self.client.fetch_metadata(Some(PROBE_TOPIC), slice);
            self.listen();
            let Err(error) = answer else {
                self.client.context().clear_trouble();
                return Ok(());
            };
            if left.is_zero() {
                return Err(Error::Unreachable {
                    bootstrap: self.settings.bootstrap.clone(),
                    seconds: timeout.as_secs(),
                    detail: self.client.context().trouble().unwrap_or_else(|| error.to_string()),
                });
            }
            // The client answers at once while it is between two attempts to connect.
            thread::sleep(left.min(Duration::from_millis(100)));
        }
    }

    /// Hears what the client has to report; it is served by no other thread.
    fn listen(&self) {
        for _ in 0..100 {
            // An error that is returned here was reported to `Events` too.
            if self.client.poll(Duration::ZERO).is_none() {
                break;
            }
        }
    }

    /// Whether this is the in-process broker.
    pub fn is_embedded(&self) -> bool {
        self.settings.is_embedded()
    }

    /// The addresses that another client of the same cluster would use.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A member of a group, subscribed to these topics.
    pub fn consumer(self: &Arc<Self>, group: &str, topics: &[String]) -> Result<Consumer, Error> {
        Consumer::open(Arc::clone(self), group, topics)
    }

    /// An idempotent producer.
    pub fn producer(self: &Arc<Self>) -> Result<Producer, Error> {
        Producer::open(Arc::clone(self))
    }

    /// What the cluster says about a topic; `None` when there is no such topic.
    pub fn topic(&self, name: &str) -> Result<Option<TopicInfo>, Error> {
        let metadata = self.metadata(name)?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
            return Ok(None);
        };
        match topic.error() {
            None => Ok(Some(TopicInfo {
                partitions: topic.partitions().len(),
                replication: topic.partitions().first().map_or(0, |p| p.replicas().len()),
            })),
            Some(
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
            ) => Ok(None),
            Some(error) => {
                let code = RDKafkaErrorCode::from(error);
                let (what, detail) = ("asking about a topic", format!("topic `{name}`: {code}"));
                Err(match code {
                    RDKafkaErrorCode::LeaderNotAvailable => Error::Retriable { what, detail },
                    _ => Error::Fatal { what, detail },
                })
            }
        }
    }

    fn metadata(&self, topic: &str) -> Result<Metadata, Error> {
        let answer = self.client.fetch_metadata(Some(topic), ADMIN_TIMEOUT);
        self.listen();
        answer.map_err(|error| Error::Retriable {
            what: "asking for metadata",
            detail: self.client.context().trouble().unwrap_or_else(|| error.to_string()),
        })
    }

    /// Sees to it that topics of Hark's own exist and are as their specs say: creates what is
    /// missing, and names everything that is wrong, each with its fix.
    pub fn ensure(&self, specs: &[TopicSpec]) -> Result<(), Vec<Problem>> {
        if self.is_embedded() {
            for spec in specs {
                self.create_embedded(&spec.name, spec.partitions.count())
                    .map_err(|error| vec![problem(spec, &error)])?;
            }
            return Ok(());
        }
        let config = client::configuration(&self.settings, &self.bootstrap, Kind::Admin);
        let admin: AdminClient<Events> =
            AdminClient::from_config_and_context(&config, Events::default())
                .map_err(|error| problems(specs, &client::refused(error)))?;
        self.create_missing(&admin, specs)?;
        self.check_all(&admin, specs)
    }

    /// Creates topics of the operator in the embedded cluster, where nobody else can; on a real one
    /// they are the operator's, and this does nothing.
    pub fn create_if_embedded(&self, topics: &[String], partitions: u16) -> Result<(), Error> {
        if self.is_embedded() {
            for topic in topics {
                self.create_embedded(topic, partitions)?;
            }
        }
        Ok(())
    }

    fn create_embedded(&self, topic: &str, partitions: u16) -> Result<(), Error> {
        let failed = |detail| Error::Fatal { what: "creating an embedded topic", detail };
        let mock = self.client.client().mock_cluster();
        let mock = mock.ok_or_else(|| failed(format!("`{EMBEDDED}` has no broker")))?;
        match mock.create_topic(topic, i32::from(partitions), 1) {
            Ok(()) | Err(KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
            Err(error) => Err(failed(format!("topic `{topic}`: {error}"))),
        }
    }

    /// Has the embedded broker refuse the next questions for committed offsets, in a way that the
    /// client does not retry by itself.
    #[cfg(test)]
    pub(crate) fn refuse_committed_offsets(&self, times: usize) {
        use rdkafka::types::RDKafkaApiKey;
        let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; times];
        let mock = self.client.client().mock_cluster();
        mock.unwrap().request_errors(RDKafkaApiKey::OffsetFetch, &errors);
    }

    fn create_missing(
        &self,
        admin: &AdminClient<Events>,
        specs: &[TopicSpec],
    ) -> Result<(), Vec<Problem>> {
        let mut missing = Vec::new();
        for spec in specs {
            match self.topic(&spec.name) {
                Ok(Some(_)) => {}
                Ok(None) => missing.push(spec),
                Err(error) => return Err(vec![problem(spec, &error)]),
            }
        }
        let Some(first) = missing.first() else { return Ok(()) };
        let brokers = self.brokers().map_err(|error| vec![problem(first, &error)])?;
        let replication = self.settings.replication.unwrap_or(if brokers >= 3 { 3 } else { 1 });
        if replication == 1 {
            tracing::warn!(
                brokers,
                "creating topics with one replica: what a broker loses is lost; for production use \
                 three brokers or set `kafka.replication`"
            );
        }
        let configs: Vec<_> = missing.iter().map(|spec| spec.configuration(replication)).collect();
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .zip(&configs)
            .map(|(spec, config)| {
                let topic = NewTopic::new(
                    &spec.name,
                    i32::from(spec.partitions.count()),
                    TopicReplication::Fixed(i32::from(replication)),
                );
                config.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
            })
            .collect();
        let refused = |spec: &TopicSpec, why: String| Problem {
            topic: spec.name.clone(),
            what: format!("it does not exist and could not be created: {why}"),
            fix: spec.create_command(&self.bootstrap, replication),
        };
        let answer = wait(admin.create_topics(&new, &admin_options()));
        let mut problems = Vec::new();
        match answer {
            Err(error) => {
                problems.extend(missing.iter().map(|spec| refused(spec, error.to_string())));
            }
            Ok(results) => {
                for result in results {
                    match result {
                        // Another instance may have been quicker.
                        Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                        Err((name, code)) => {
                            if let Some(spec) = missing.iter().find(|spec| spec.name == name) {
                                problems.push(refused(spec, code.to_string()));
                            }
                        }
                    }
                }
            }
        }
        if problems.is_empty() { self.wait_until_known(&missing) } else { Err(problems) }
    }

    /// A broker may answer "created" before all brokers know of it.
    fn wait_until_known(&self, specs: &[&TopicSpec]) -> Result<(), Vec<Problem>> {
        let end = clock::instant() + ADMIN_TIMEOUT;
        for spec in specs {
            loop {
                let known = self.topic(&spec.name);
                if let Ok(Some(info)) = &known
                    && info.partitions == usize::from(spec.partitions.count())
                {
                    break;
                }
                if clock::instant() > end {
                    let error = known.err().unwrap_or(Error::MissingTopic(spec.name.clone()));
                    return Err(vec![problem(spec, &error)]);
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    fn check_all(
        &self,
        admin: &AdminClient<Events>,
        specs: &[TopicSpec],
    ) -> Result<(), Vec<Problem>> {
        let resources: Vec<_> =
            specs.iter().map(|spec| ResourceSpecifier::Topic(&spec.name)).collect();
        let answers = wait(admin.describe_configs(&resources, &admin_options())).map_err(|e| {
            let detail = e.to_string();
            problems(specs, &Error::Retriable { what: "asking for topic configurations", detail })
        })?;
        let mut found = Vec::new();
        for (spec, answer) in specs.iter().zip(answers) {
            let config: BTreeMap<String, String> = match answer {
                Ok(resource) => resource
                    .entries
                    .into_iter()
                    .filter_map(|entry| Some((entry.name, entry.value?)))
                    .collect(),
                Err(code) => {
                    // Without DESCRIBE_CONFIGS what can be seen is judged, and the rest is said.
                    tracing::warn!(topic = spec.name, %code, "the topic's configuration is not shown to Hark, so it is not checked");
                    BTreeMap::new()
                }
            };
            match self.topic(&spec.name) {
                Ok(Some(info)) => {
                    found.extend(spec.judge(&self.bootstrap, info.partitions, &config));
                }
                Ok(None) => found.push(problem(spec, &Error::MissingTopic(spec.name.clone()))),
                Err(error) => found.push(problem(spec, &error)),
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    fn brokers(&self) -> Result<usize, Error> {
        Ok(self.metadata(PROBE_TOPIC)?.brokers().len())
    }
}

/// A topic that is asked for when only brokers matter: the answer stays small on a large cluster.
/// Asking does not create it, for `allow.auto.create.topics` is false by default.
const PROBE_TOPIC: &str = "hark-probe";

fn admin_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT))
}

fn problem(spec: &TopicSpec, error: &Error) -> Problem {
    Problem {
        topic: spec.name.clone(),
        what: error.to_string(),
        fix: "see that Kafka is up and that Hark's user may describe and create its topics"
            .to_owned(),
    }
}

fn problems(specs: &[TopicSpec], error: &Error) -> Vec<Problem> {
    specs.iter().map(|spec| problem(spec, error)).collect()
}

/// Waits for an answer of the admin client, whose own thread completes it. Start is no place for a
/// runtime: Hark may be called from within one.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

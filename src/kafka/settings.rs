//! What an operator says about Kafka, checked as far as that needs no broker.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::Error;
use crate::base::duration;
use crate::base::keys::{KeySpec, Shape};
use crate::base::secret;

/// The word that stands for the in-process broker.
pub const EMBEDDED: &str = "embedded";

/// The keys of `[kafka]`.
pub const KEYS: &[KeySpec] = &[
    KeySpec::optional(
        "bootstrap",
        Shape::Text,
        "embedded",
        "`host:port,host:port`, or `embedded` for the broker in this process, which forgets all on exit.",
    ),
    KeySpec::optional(
        "prefix",
        Shape::Like("^[A-Za-z0-9._-]{1,100}$"),
        "hark.",
        "What the names of Hark's own topics and groups begin with.",
    ),
    KeySpec::optional(
        "partitions",
        Shape::Count,
        "32",
        "Partitions of `signals`, `state` and `alerts`: how many can share the work, up to 1,024. It cannot change afterwards.",
    ),
    KeySpec::optional(
        "replication",
        Shape::Count,
        "3 where there are three brokers, else 1",
        "Copies of each topic that Hark creates.",
    ),
    KeySpec::optional(
        "signals_retention",
        Shape::Duration,
        "7d",
        "How long `signals` is kept: longer than the longest window of any rule by a day.",
    ),
    KeySpec::optional(
        "alerts_retention",
        Shape::Duration,
        "30d",
        "How long `alerts` and `dead-letters` are kept.",
    ),
    KeySpec::optional(
        "connect_timeout",
        Shape::Duration,
        "10s",
        "How long to wait for the first answer of a broker at start.",
    ),
    KeySpec::optional(
        "properties",
        Shape::Map(&Shape::Any(&[Shape::Text, Shape::Number, Shape::Boolean, secret::SHAPE])),
        "",
        "Handed to librdkafka as they are: TLS, SASL, sizes of buffers. Secrets by reference; those that carry Hark's guarantees are refused.",
    ),
];

/// The section `[kafka]` of the configuration.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `host:port,host:port`, or `embedded` for the in-process broker that forgets all on exit.
    pub bootstrap: String,
    /// What the names of Hark's own topics and groups begin with.
    pub prefix: String,
    /// Passed to librdkafka as they are: TLS, SASL, buffer sizes.
    pub properties: BTreeMap<String, String>,
    /// Replication factor of the topics that Hark creates; by default 3 where there are three
    /// brokers, else 1.
    pub replication: Option<u16>,
    /// Partitions of `signals`, `state` and `alerts`: how many CORRELATE workers can share the work.
    /// It cannot change afterwards.
    pub partitions: u16,
    /// How long `signals` is kept: longer than the longest window of any rule by a day.
    #[serde(with = "duration::text")]
    pub signals_retention: Duration,
    /// How long `alerts` and `dead-letters` are kept.
    #[serde(with = "duration::text")]
    pub alerts_retention: Duration,
    /// How long to wait for the first answer of a broker at start.
    #[serde(with = "duration::text")]
    pub connect_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bootstrap: EMBEDDED.to_owned(),
            prefix: "hark.".to_owned(),
            properties: BTreeMap::new(),
            replication: None,
            partitions: 32,
            signals_retention: Duration::from_hours(7 * 24),
            alerts_retention: Duration::from_hours(30 * 24),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Settings {
    /// Values of properties are not printed: passwords and keys are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bootstrap,
            prefix,
            properties,
            replication,
            partitions,
            signals_retention,
            alerts_retention,
            connect_timeout,
        } = self;
        let properties: Vec<&String> = properties.keys().collect();
        f.debug_struct("Settings")
            .field("bootstrap", bootstrap)
            .field("prefix", prefix)
            .field("properties", &properties)
            .field("replication", replication)
            .field("partitions", partitions)
            .field("signals_retention", signals_retention)
            .field("alerts_retention", alerts_retention)
            .field("connect_timeout", connect_timeout)
            .finish()
    }
}

/// Properties that carry the guarantees, and what an operator who sets them probably wants.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "set `bootstrap` instead"),
    ("metadata.broker.list", "set `bootstrap` instead"),
    ("group.id", "groups are named after `prefix` and role"),
    (
        "group.instance.id",
        "members are dynamic: a static one can leave partitions without an owner",
    ),
    ("group.protocol", "Hark speaks the classic protocol"),
    ("partition.assignment.strategy", "Hark needs cooperative-sticky"),
    ("enable.auto.commit", "offsets are committed only after what came of the records is safe"),
    (
        "enable.auto.offset.store",
        "offsets are committed only after what came of the records is safe",
    ),
    (
        "auto.offset.reset",
        "set where a topic's first start begins; a position that is gone must stop Hark",
    ),
    ("isolation.level", "Hark reads committed records only"),
    ("enable.idempotence", "Hark's producers are idempotent"),
    ("acks", "Hark waits for all in-sync replicas"),
    ("request.required.acks", "Hark waits for all in-sync replicas"),
    ("transactional.id", "it is derived from the instance's name"),
    ("enable.partition.eof", "Hark compares with the high watermark"),
    ("test.mock.num.brokers", "set `bootstrap = \"embedded\"` instead"),
];

impl Settings {
    /// Whether the in-process broker is asked for.
    pub fn is_embedded(&self) -> bool {
        self.bootstrap.trim() == EMBEDDED
    }

    /// Every mistake that can be seen without a broker.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |text: String| Err(Error::Settings(text));
        if self.bootstrap.trim().is_empty() {
            return refuse(
                "expected `bootstrap` as `host:port` or `embedded`, found nothing".to_owned(),
            );
        }
        if !self.is_embedded() {
            for address in self.bootstrap.split(',') {
                let port = address.trim().rsplit_once(':').and_then(|(_, p)| p.parse::<u16>().ok());
                if port.is_none_or(|port| port == 0) {
                    return refuse(format!(
                        "expected `bootstrap` as `host:port`, found `{address}`; Kafka's usual port is 9092"
                    ));
                }
            }
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.prefix.is_empty() || self.prefix.len() > 100 || !self.prefix.chars().all(legal) {
            return refuse(format!(
                "expected `prefix` of 1 to 100 letters, digits, `.`, `_` or `-`, found `{}`",
                self.prefix
            ));
        }
        if self.partitions == 0 || self.partitions > 1024 {
            return refuse(format!(
                "expected `partitions` from 1 to 1024, found {}",
                self.partitions
            ));
        }
        if self.replication == Some(0) {
            return refuse("expected `replication` of 1 or more, found 0".to_owned());
        }
        for name in self.properties.keys() {
            if let Some((_, instead)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
                return refuse(format!("the property `{name}` cannot be set: {instead}"));
            }
        }
        Ok(())
    }

    /// The addresses as the client wants them: without spaces, and without the dot that may end a
    /// host name, for the client would look for it in the certificate.
    pub(super) fn addresses(&self) -> String {
        let strip = |address: &str| {
            let address = address.trim();
            match address.rsplit_once(':') {
                Some((host, port)) => format!("{}:{port}", host.trim_end_matches('.')),
                None => address.to_owned(),
            }
        };
        self.bootstrap.split(',').map(strip).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::keys;

    fn refused(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.check().unwrap_err().to_string()
    }

    #[test]
    fn the_default_is_embedded_and_sound() {
        let settings: Settings = toml::from_str("").unwrap();
        settings.check().unwrap();
        assert!(settings.is_embedded());
        assert_eq!(settings.prefix, "hark.");
    }

    #[test]
    fn the_defaults_are_told_as_they_are() {
        let Settings {
            bootstrap,
            prefix,
            properties: _,
            replication: _,
            partitions,
            signals_retention,
            alerts_retention,
            connect_timeout,
        } = Settings::default();
        let real = [
            ("bootstrap", bootstrap),
            ("prefix", prefix),
            ("partitions", partitions.to_string()),
            ("signals_retention", duration::print(signals_retention)),
            ("alerts_retention", duration::print(alerts_retention)),
            ("connect_timeout", duration::print(connect_timeout)),
        ];
        for (name, default) in real {
            assert_eq!(keys::find(KEYS, name).unwrap().default, default, "{name}");
        }
    }

    #[test]
    fn a_property_that_carries_a_guarantee_is_refused_with_the_reason() {
        for (name, instead) in RESERVED {
            let text = refused(|s| {
                s.properties.insert((*name).to_owned(), "x".to_owned());
            });
            assert!(text.contains(name) && text.contains(instead), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert!(refused(|s| s.bootstrap = "kafka".to_owned()).contains("found `kafka`"));
        assert!(refused(|s| s.bootstrap = "a:9092,b:x".to_owned()).contains("found `b:x`"));
        assert!(refused(|s| s.prefix = "hark/".to_owned()).contains("`hark/`"));
        assert!(refused(|s| s.partitions = 0).contains("found 0"));
        assert!(toml::from_str::<Settings>("bootstrp = 'x'").is_err());
    }

    #[test]
    fn a_host_may_end_in_a_dot() {
        let settings =
            Settings { bootstrap: "a.example.:9092, b:9093".to_owned(), ..Settings::default() };
        settings.check().unwrap();
        assert_eq!(settings.addresses(), "a.example:9092,b:9093");
    }

    #[test]
    fn a_password_is_never_printed() {
        let settings: Settings =
            toml::from_str("properties = { 'sasl.password' = 'hunter2' }").unwrap();
        let text = format!("{settings:?}");
        assert!(text.contains("sasl.password") && !text.contains("hunter2"), "{text}");
    }
}

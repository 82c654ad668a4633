//! Hark's own topics: their names, how each must be set up, and what is wrong with one that is not.
//!
//! Creating and describing them is left to [`super::cluster`]; the topics of the operator are never
//! created on a real cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Settings;
use super::record::RECORD_BYTES_MAX;

/// The names, with the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// What MATCH found, on its way to CORRELATE.
    pub signals: String,
    /// Windows and open alerts of CORRELATE.
    pub state: String,
    /// What people read.
    pub alerts: String,
    /// Rule versions, silences, acknowledgements, settings.
    pub control: String,
    /// What NOTIFY told whom.
    pub notify_state: String,
    /// Notifications on their way to DELIVER.
    pub outbox: String,
    /// What became of them.
    pub receipts: String,
    /// Hark's own events.
    pub events: String,
    /// Records that could not be used.
    pub dead_letters: String,
}

impl Topics {
    /// The names under a prefix, which is used as it is: `hark.` gives `hark.alerts`.
    pub fn new(prefix: &str) -> Self {
        let name = |name: &str| format!("{prefix}{name}");
        Self {
            signals: name("signals.g1"),
            state: name("state.g1"),
            alerts: name("alerts"),
            control: name("control"),
            notify_state: name("notify-state"),
            outbox: name("outbox"),
            receipts: name("receipts"),
            events: name("events"),
            dead_letters: name("dead-letters"),
        }
    }

    /// The table: each topic with its partitions, its cleanup and what it is for.
    pub fn specs(&self, settings: &Settings) -> Vec<TopicSpec> {
        const WEEK: Duration = Duration::from_hours(7 * 24);
        let shared = Partitions::Exactly(settings.partitions);
        let one = Partitions::Exactly(1);
        let eight = Partitions::AtLeast(8);
        let signals = Cleanup::Delete { retention: settings.signals_retention };
        let alerts = Cleanup::Delete { retention: settings.alerts_retention };
        let week = Cleanup::Delete { retention: WEEK };
        let spec = |name: &str, partitions, cleanup, purpose| TopicSpec {
            name: name.to_owned(),
            partitions,
            cleanup,
            purpose,
        };
        vec![
            spec(&self.signals, shared, signals, "matches on their way to detection"),
            spec(&self.state, shared, Cleanup::Compact, "windows and open alerts"),
            spec(&self.alerts, shared, alerts, "alerts, for people and sinks"),
            spec(&self.control, one, Cleanup::Compact, "rule versions and settings"),
            spec(&self.notify_state, one, Cleanup::Compact, "what was told when"),
            spec(&self.outbox, eight, week, "notifications to be sent"),
            spec(&self.receipts, eight, week, "what became of notifications"),
            spec(&self.events, Partitions::AtLeast(1), week, "Hark's own events"),
            spec(
                &self.dead_letters,
                Partitions::AtLeast(1),
                alerts,
                "records that could not be used",
            ),
        ]
    }
}

/// Whether Kafka can have a topic of that name.
pub fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&name.len()) && !matches!(name, "." | "..") && name.chars().all(legal)
}

/// How a topic must be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its full name.
    pub name: String,
    /// How many partitions.
    pub partitions: Partitions,
    /// What Kafka may remove.
    pub cleanup: Cleanup,
    /// What it is for, in a few words.
    pub purpose: &'static str,
}

/// How many partitions a topic must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitions {
    /// This many: records are placed by hash, or there must be one owner.
    Exactly(u16),
    /// This many are created; more do no harm.
    AtLeast(u16),
}

impl Partitions {
    /// How many are created.
    pub const fn count(self) -> u16 {
        match self {
            Self::Exactly(count) | Self::AtLeast(count) => count,
        }
    }

    fn accepts(self, found: usize) -> bool {
        match self {
            Self::Exactly(count) => found == usize::from(count),
            // Fewer still work, only less apart; a topic made by hand with one is no mistake.
            Self::AtLeast(_) => found >= 1,
        }
    }
}

/// What Kafka may remove from a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// Records older than this.
    Delete {
        /// How long they are kept at least.
        retention: Duration,
    },
    /// Records of a key before its last: the topic is a table.
    Compact,
}

/// Something that is wrong with a topic, and how to put it right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The topic's full name.
    pub topic: String,
    /// What was expected and what was found.
    pub what: String,
    /// The command or setting that helps.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic `{}`: {}; to fix it: {}", self.topic, self.what, self.fix)
    }
}

impl TopicSpec {
    /// The topic's configuration as it is created.
    pub(super) fn configuration(&self, replication: u16) -> Vec<(&'static str, String)> {
        let mut config = match self.cleanup {
            Cleanup::Delete { retention } => vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", retention.as_millis().to_string()),
                ("retention.bytes", "-1".to_owned()),
            ],
            Cleanup::Compact => vec![("cleanup.policy", "compact".to_owned())],
        };
        if replication >= 3 {
            config.push(("min.insync.replicas", "2".to_owned()));
        }
        config
    }

    /// The command that creates it by hand.
    pub(super) fn create_command(&self, bootstrap: &str, replication: u16) -> String {
        let config: Vec<String> = self
            .configuration(replication)
            .iter()
            .map(|(name, value)| format!("--config {name}={value}"))
            .collect();
        format!(
            "kafka-topics.sh --bootstrap-server {bootstrap} --create --topic {} --partitions {} --replication-factor {replication} {}",
            self.name,
            self.partitions.count(),
            config.join(" "),
        )
    }

    /// Compares a topic as it is with how it must be. `config` holds what the broker said; a setting
    /// that it did not say is not judged.
    pub(super) fn judge(
        &self,
        bootstrap: &str,
        partitions: usize,
        config: &BTreeMap<String, String>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |what: String, fix: String| {
            problems.push(Problem { topic: self.name.clone(), what, fix });
        };
        let alter = |setting: String| {
            format!(
                "kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics --entity-name {} --add-config {setting}",
                self.name
            )
        };
        if !self.partitions.accepts(partitions) {
            let expected = self.partitions.count();
            let fix = match expected {
                1 => {
                    "stop Hark, delete the topic and start again, or choose another `kafka.prefix`"
                        .to_owned()
                }
                _ => format!(
                    "set `kafka.partitions = {partitions}`, or choose another `kafka.prefix`"
                ),
            };
            problem(format!("expected {expected} partitions, found {partitions}"), fix);
        }
        let found = |name: &str| config.get(name).map(String::as_str);
        let number = |name: &str| found(name).and_then(|value| value.parse::<i128>().ok());
        let policy = match self.cleanup {
            Cleanup::Delete { .. } => "delete",
            Cleanup::Compact => "compact",
        };
        if let Some(value) = found("cleanup.policy")
            && value != policy
        {
            problem(
                format!("expected cleanup.policy `{policy}`, found `{value}`"),
                alter(format!("cleanup.policy={policy}")),
            );
        }
        if let Cleanup::Delete { retention } = self.cleanup {
            let needed = retention.as_millis();
            if let Some(kept) = number("retention.ms")
                && kept >= 0
                && kept.unsigned_abs() < needed
            {
                problem(
                    format!("expected retention.ms of {needed} or more, found {kept}"),
                    alter(format!("retention.ms={needed}")),
                );
            }
            if let Some(kept) = number("retention.bytes")
                && kept >= 0
            {
                problem(
                    format!(
                        "expected retention by time only, found retention.bytes {kept}: records may go before their time"
                    ),
                    alter("retention.bytes=-1".to_owned()),
                );
            }
        }
        let needed = i128::try_from(RECORD_BYTES_MAX).unwrap_or(i128::MAX) + 1024;
        if let Some(max) = number("max.message.bytes")
            && max < needed
        {
            problem(
                format!("expected max.message.bytes of {needed} or more, found {max}"),
                alter("max.message.bytes=1048588".to_owned()),
            );
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn spec(name: &str) -> TopicSpec {
        let settings = Settings::default();
        let specs = Topics::new("hark.").specs(&settings);
        specs.into_iter().find(|spec| spec.name == name).unwrap()
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "an expectation reads best at the end of a call"
    )]
    fn check(name: &str, partitions: usize, config: &[(&str, &str)], expected: Expect) {
        let config = config.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let problems: Vec<String> = spec(name)
            .judge("k:9092", partitions, &config)
            .iter()
            .map(Problem::to_string)
            .collect();
        expected.assert_eq(&problems.join("\n"));
    }

    #[test]
    fn the_table_names_every_topic_once() {
        let settings = Settings::default();
        let mut names: Vec<String> =
            Topics::new("hark.").specs(&settings).into_iter().map(|spec| spec.name).collect();
        names.sort();
        expect![[r#"["hark.alerts", "hark.control", "hark.dead-letters", "hark.events", "hark.notify-state", "hark.outbox", "hark.receipts", "hark.signals.g1", "hark.state.g1"]"#]]
            .assert_eq(&format!("{names:?}"));
    }

    #[test]
    fn a_topic_as_the_table_says_has_no_problem() {
        for spec in Topics::new("x.").specs(&Settings::default()) {
            let config = spec
                .configuration(3)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            let partitions = usize::from(spec.partitions.count());
            assert_eq!(spec.judge("k:9092", partitions, &config), [], "{}", spec.name);
        }
    }

    #[test]
    fn a_wrong_partition_count_names_the_setting_that_fits() {
        check(
            "hark.alerts",
            8,
            &[],
            expect![
                "topic `hark.alerts`: expected 32 partitions, found 8; to fix it: set `kafka.partitions = 8`, or choose another `kafka.prefix`"
            ],
        );
        check(
            "hark.control",
            3,
            &[],
            expect![
                "topic `hark.control`: expected 1 partitions, found 3; to fix it: stop Hark, delete the topic and start again, or choose another `kafka.prefix`"
            ],
        );
        check("hark.outbox", 3, &[], expect![""]);
    }

    #[test]
    fn a_wrong_cleanup_or_retention_comes_with_the_command() {
        check(
            "hark.state.g1",
            32,
            &[("cleanup.policy", "compact,delete")],
            expect![
                "topic `hark.state.g1`: expected cleanup.policy `compact`, found `compact,delete`; to fix it: kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name hark.state.g1 --add-config cleanup.policy=compact"
            ],
        );
        check(
            "hark.signals.g1",
            32,
            &[("retention.ms", "604799999")],
            expect![
                "topic `hark.signals.g1`: expected retention.ms of 604800000 or more, found 604799999; to fix it: kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name hark.signals.g1 --add-config retention.ms=604800000"
            ],
        );
        check("hark.signals.g1", 32, &[("retention.ms", "-1")], expect![""]);
        check(
            "hark.signals.g1",
            32,
            &[("retention.bytes", "1000000")],
            expect![
                "topic `hark.signals.g1`: expected retention by time only, found retention.bytes 1000000: records may go before their time; to fix it: kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name hark.signals.g1 --add-config retention.bytes=-1"
            ],
        );
        check(
            "hark.alerts",
            32,
            &[("max.message.bytes", "1000")],
            expect![
                "topic `hark.alerts`: expected max.message.bytes of 1001024 or more, found 1000; to fix it: kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name hark.alerts --add-config max.message.bytes=1048588"
            ],
        );
    }
}

//! What CORRELATE knows of rules beside its own files, in the `control` topic.
//!
//! *Rule versions* are written before a version is used, and read when a signal names one that is not
//! loaded. So instances with different rules during a roll-out, and signals that were written before a
//! rule was edited, are judged by the rule that made them. *Starts*: since when each version has been
//! watching, per signals partition; written with the alerts of that moment, read with the partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::RuleBegan;
use crate::base::Timestamp;
use crate::base::diagnostic::SourceText;
use crate::kafka::{Cluster, Error, OutRecord, read_to_end};
use crate::query::Sets;
use crate::rule::{self, Context, Rule};

/// How long writing all versions may take.
const FLUSH_MAX: Duration = Duration::from_secs(30);

/// A version as it stands in `control`.
#[derive(Debug, Serialize, Deserialize)]
struct Version {
    /// The rule's id.
    id: String,
    /// The path under which messages show it.
    path: String,
    /// The rule file, letter by letter, and behind it the overrides that held for it.
    text: String,
}

/// A version's start in one partition, as it stands in `control`.
#[derive(Debug, Serialize, Deserialize)]
struct Began {
    /// The rule's id.
    rule: String,
    /// The version's fingerprint, in hexadecimal.
    fingerprint: String,
    /// Since when it has been watching.
    at: Timestamp,
    /// Since when each key is expected, by its hash in hexadecimal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    expected: BTreeMap<String, Timestamp>,
}

/// The start of rule versions by signals partition.
pub type Starts = BTreeMap<i32, Vec<RuleBegan>>;

/// Where versions of rules are found.
pub trait Versions: Send {
    /// The version, if anybody ever used it.
    fn find(&mut self, rule: &str, version: u64) -> Result<Option<Arc<Rule>>, Error>;
    /// Every start that was written down and committed until now.
    fn starts(&mut self) -> Result<Starts, Error>;
    /// The lists and schedules that its queries may name.
    fn sets(&self) -> &Sets;
}

/// The `control` topic.
pub struct Control {
    cluster: Arc<Cluster>,
    topic: String,
    sets: Sets,
    /// Everything read so far; the topic is read again for a version that is not in here.
    known: BTreeMap<String, Version>,
    /// The starts read so far, by partition and key.
    starts: BTreeMap<(i32, String), RuleBegan>,
    /// Versions that are not there either, so that each is looked for once.
    missing: BTreeSet<String>,
}

fn key(rule: &str, version: u64) -> String {
    format!("rule/{rule}/{version:016x}")
}

impl Control {
    /// The topic of that name.
    pub fn new(cluster: Arc<Cluster>, topic: String, sets: Sets) -> Self {
        let (known, starts, missing) = Default::default();
        Self { cluster, topic, sets, known, starts, missing }
    }

    /// Writes the versions that are not there yet, and waits until Kafka has them.
    ///
    /// # Errors
    /// When the topic cannot be read or written.
    pub fn publish<'r>(
        &mut self,
        rules: impl IntoIterator<Item = &'r Arc<Rule>>,
    ) -> Result<(), Error> {
        self.read()?;
        let producer = self.cluster.producer()?;
        let mut written = 0;
        for rule in rules {
            let key = key(&rule.id, rule.hash);
            if self.known.contains_key(&key) {
                continue;
            }
            let version = Version {
                id: rule.id.to_string(),
                path: rule.source.path.display().to_string(),
                text: rule.source.text.to_string(),
            };
            let payload = serde_json::to_vec(&version).map_err(Error::task)?;
            producer.send(OutRecord {
                topic: &self.topic,
                key: Some(key.as_bytes()),
                payload: Some(&payload),
                ..OutRecord::default()
            })?;
            written += 1;
        }
        producer.flush(FLUSH_MAX)?;
        tracing::debug!(written, "rule versions published");
        Ok(())
    }

    fn read(&mut self) -> Result<(), Error> {
        let (known, starts) = (&mut self.known, &mut self.starts);
        read_to_end(&self.cluster, &self.topic, &mut |record| {
            let (Some(key), Some(payload)) = (record.key, record.payload) else { return };
            let Ok(key) = std::str::from_utf8(key) else { return };
            if key.starts_with("rule/")
                && let Ok(version) = serde_json::from_slice(payload)
            {
                known.insert(key.to_owned(), version);
            } else if let Some((partition, began)) = read_start(key, payload) {
                starts.insert((partition, key.to_owned()), began);
            }
        })
    }
}

impl Versions for Control {
    fn find(&mut self, rule: &str, version: u64) -> Result<Option<Arc<Rule>>, Error> {
        let key = key(rule, version);
        if self.missing.contains(&key) {
            return Ok(None);
        }
        if !self.known.contains_key(&key) {
            self.read()?;
        }
        let Some(found) = self.known.get(&key) else {
            self.missing.insert(key);
            return Ok(None);
        };
        let source = SourceText::new(&found.path, found.text.as_str());
        let context = Context { sets: &self.sets, mappings: None };
        let (parsed, mistakes) = rule::parse_overridden(&source, &found.id, &context);
        let parsed = parsed.filter(|parsed| parsed.hash == version).map(Arc::new);
        if parsed.is_none() {
            // This program reads the text otherwise than the one that wrote it.
            tracing::error!(
                rule,
                version = format!("{version:016x}"),
                ?mistakes,
                "a stored rule version cannot be used"
            );
            self.missing.insert(key);
        }
        Ok(parsed)
    }

    fn starts(&mut self) -> Result<Starts, Error> {
        self.read()?;
        let mut all = Starts::new();
        for ((partition, _), began) in &self.starts {
            all.entry(*partition).or_default().push(began.clone());
        }
        Ok(all)
    }

    fn sets(&self) -> &Sets {
        &self.sets
    }
}

/// Key and value of a start in `control`.
pub(super) fn write_start(partition: i32, began: &RuleBegan) -> Result<(String, Vec<u8>), Error> {
    let RuleBegan { rule, fingerprint, at, expected } = began;
    let fingerprint = format!("{fingerprint:016x}");
    let key = format!("start/{partition}/{rule}/{fingerprint}");
    let expected = expected.iter().map(|(key, since)| (format!("{key:016x}"), *since)).collect();
    let began = Began { rule: rule.to_string(), fingerprint, at: *at, expected };
    Ok((key, serde_json::to_vec(&began).map_err(Error::task)?))
}

/// A start, if this is one.
pub(super) fn read_start(key: &str, payload: &[u8]) -> Option<(i32, RuleBegan)> {
    let (partition, _) = key.strip_prefix("start/")?.split_once('/')?;
    let Began { rule, fingerprint, at, expected } = serde_json::from_slice(payload).ok()?;
    let hash = |text: &str| u64::from_str_radix(text, 16).ok();
    let expected =
        expected.iter().map(|(key, since)| Some((hash(key)?, *since))).collect::<Option<_>>()?;
    let fingerprint = hash(&fingerprint)?;
    Some((partition.parse().ok()?, RuleBegan { rule: rule.into(), fingerprint, at, expected }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_reads_back_and_nothing_else_is_one() {
        let at = Timestamp::from_millis(1_767_614_400_000);
        let expected = [(1, at), (u64::MAX, Timestamp::MAX)].into();
        let began = RuleBegan { rule: "common/a".into(), fingerprint: 7, at, expected };
        let (key, payload) = write_start(31, &began).unwrap();
        expect_test::expect![[r#"start/31/common/a/0000000000000007 {"rule":"common/a","fingerprint":"0000000000000007","at":"2026-01-05T12:00:00Z","expected":{"0000000000000001":"2026-01-05T12:00:00Z","ffffffffffffffff":"9999-12-30T22:00:00Z"}}"#]]
            .assert_eq(&format!("{key} {}", String::from_utf8_lossy(&payload)));
        assert_eq!(read_start(&key, &payload), Some((31, began)));
        assert_eq!(read_start("start/x/common/a/7", &payload), None);
        assert_eq!(read_start("rule/31/a", &payload), None);
        assert_eq!(read_start(&key, b"{}"), None);
    }
}

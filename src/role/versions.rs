//! What CORRELATE knows of rules beside its own files, in the `control` topic.
//!
//! *Rule versions* are written before a version is used, and read when a signal names one that is not
//! loaded. So instances with different rules during a roll-out, and signals that were written before a
//! rule was edited, are judged by the rule that made them. *Starts*: since when each version has been
//! watching, per signals partition, and each key that it expects in a record of its own, for a list may
//! hold thousands and change by one; written with the alerts of that moment, read with the partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::alert::RuleBegan;
use crate::base::Timestamp;
use crate::base::diagnostic::SourceText;
use crate::engine::Key;
use crate::event::Scalar;
use crate::kafka::{Cluster, Error, OutRecord, read_to_end};
use crate::query::Sets;
use crate::rule::{self, Context, Rule};
use crate::state::codec::Reader;

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

/// A version's start in one partition, or one of the keys that it expects there, as it stands in
/// `control`.
#[derive(Debug, Serialize, Deserialize)]
struct Began {
    /// The rule's id.
    rule: String,
    /// The version's fingerprint, in hexadecimal.
    fingerprint: String,
    /// Since when it has been watching.
    at: Timestamp,
    /// One key that it expects; none in the record of the start itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expects: Option<Expects>,
}

/// A key that a rule expects to hear from.
#[derive(Debug, Serialize, Deserialize)]
struct Expects {
    /// Its values, for who reads this.
    shown: Vec<serde_json::Value>,
    /// All that it is, in hexadecimal.
    key: String,
    /// Since when.
    since: Timestamp,
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
            let Some(Ok(key)) = record.key.map(std::str::from_utf8) else { return };
            if let Some(partition) = start_of(key) {
                let place = (partition, key.to_owned());
                match record.payload.map(read_start) {
                    Some(Some(began)) => drop(starts.insert(place, began)),
                    // Not expected any more.
                    None => drop(starts.remove(&place)),
                    Some(None) => {}
                }
            } else if key.starts_with("rule/")
                && let Some(payload) = record.payload
                && let Ok(version) = serde_json::from_slice(payload)
            {
                known.insert(key.to_owned(), version);
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

/// A record's key, and its value; none where the record before is to be forgotten.
type Written = (String, Option<Vec<u8>>);

/// The records of a start in `control`.
pub(super) fn write_start(partition: i32, began: &RuleBegan) -> Result<Vec<Written>, Error> {
    let RuleBegan { rule, fingerprint, at, expected, released } = began;
    let fingerprint = format!("{fingerprint:016x}");
    let start = format!("start/{partition}/{rule}/{fingerprint}");
    let place = |key: &Key| format!("{start}/{:016x}", xxh3_64(key.bytes()));
    let payload = |expects: Option<Expects>| {
        let (rule, fingerprint) = (rule.to_string(), fingerprint.clone());
        let began = Began { rule, fingerprint, at: *at, expects };
        serde_json::to_vec(&began).map_err(Error::task)
    };
    let mut records = vec![(start.clone(), Some(payload(None)?))];
    records.extend(released.iter().map(|key| (place(key), None)));
    for (key, since) in expected {
        let mut bytes = Vec::new();
        key.encode(&mut bytes);
        let shown = key.shown().iter().map(Scalar::to_json).collect();
        let expects = Expects { shown, key: to_hex(&bytes), since: *since };
        records.push((place(key), Some(payload(Some(expects))?)));
    }
    Ok(records)
}

/// The partition that a key of `control` tells a start of, if it does.
pub(super) fn start_of(key: &str) -> Option<i32> {
    let (partition, _) = key.strip_prefix("start/")?.split_once('/')?;
    partition.parse().ok()
}

/// What the value of a start says.
pub(super) fn read_start(payload: &[u8]) -> Option<RuleBegan> {
    let Began { rule, fingerprint, at, expects } = serde_json::from_slice(payload).ok()?;
    let fingerprint = u64::from_str_radix(&fingerprint, 16).ok()?;
    let mut expected = BTreeMap::new();
    if let Some(Expects { key, since, .. }) = expects {
        let bytes = from_hex(&key)?;
        let mut bytes = Reader::new(&bytes);
        expected.insert(Key::decode(&mut bytes).ok()?, since);
        bytes.end().ok()?;
    }
    Some(RuleBegan { rule: rule.into(), fingerprint, at, expected, released: BTreeSet::new() })
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits = |at| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_and_the_keys_that_it_expects_read_back_and_nothing_else_does() {
        let at = Timestamp::from_millis(1_767_614_400_000);
        let key = |name: &str| Key::new(&["user.name"], &[name.into()]);
        let expected = [(key("Bob"), at), (key("ärger"), Timestamp::MAX)].into();
        let released = [key("eve")].into();
        let began = RuleBegan { rule: "common/a".into(), fingerprint: 7, at, expected, released };
        let records = write_start(31, &began).unwrap();
        let text = |payload: &Option<Vec<u8>>| match payload {
            Some(payload) => String::from_utf8_lossy(payload).into_owned(),
            None => "removed".to_owned(),
        };
        let told: Vec<String> =
            records.iter().map(|(key, value)| format!("{key}\n    {}", text(value))).collect();
        expect_test::expect![[r#"
            start/31/common/a/0000000000000007
                {"rule":"common/a","fingerprint":"0000000000000007","at":"2026-01-05T12:00:00Z"}
            start/31/common/a/0000000000000007/94e401fa5156b359
                removed
            start/31/common/a/0000000000000007/378eccc66814e17f
                {"rule":"common/a","fingerprint":"0000000000000007","at":"2026-01-05T12:00:00Z","expects":{"shown":["Bob"],"key":"0403626f62010503426f62","since":"2026-01-05T12:00:00Z"}}
            start/31/common/a/0000000000000007/3d0bd1a5074bdfb6
                {"rule":"common/a","fingerprint":"0000000000000007","at":"2026-01-05T12:00:00Z","expects":{"shown":["ärger"],"key":"0706c3a472676572010506c3a472676572","since":"9999-12-30T22:00:00Z"}}"#]].assert_eq(&told.join("\n"));

        let mut back = RuleBegan { expected: BTreeMap::new(), ..began.clone() };
        for (key, payload) in &records {
            assert_eq!(start_of(key), Some(31));
            let Some(payload) = payload else { continue };
            let read = read_start(payload).unwrap();
            assert_eq!((&read.rule, read.fingerprint, read.at), (&began.rule, 7, at));
            back.expected.extend(read.expected);
        }
        assert_eq!(back, began);
        let shown = |began: &RuleBegan| {
            began.expected.keys().map(|key| key.shown().to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(shown(&back), shown(&began), "as they are spelt");
        assert_eq!((start_of("start/x/common/a/7"), start_of("rule/31/a")), (None, None));
        assert_eq!(read_start(b"{}"), None);
        for cut in ["7", "0", "zz", "é"] {
            let text = format!(
                r#"{{"rule":"a","fingerprint":"7","at":"{at}","expects":{{"shown":[],"key":"{cut}","since":"{at}"}}}}"#
            );
            assert_eq!(read_start(text.as_bytes()), None, "{cut}");
        }
    }
}

//! Rule versions in the `control` topic: written before a version is used, read when a signal names
//! one that is not loaded. So instances with different rules during a roll-out, and signals that
//! were written before a rule was edited, are judged by the rule that made them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// Where versions of rules are found.
pub trait Versions: Send {
    /// The version, if anybody ever used it.
    fn find(&mut self, rule: &str, version: u64) -> Result<Option<Arc<Rule>>, Error>;
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
    /// Versions that are not there either, so that each is looked for once.
    missing: BTreeSet<String>,
}

fn key(rule: &str, version: u64) -> String {
    format!("rule/{rule}/{version:016x}")
}

impl Control {
    /// The topic of that name.
    pub fn new(cluster: Arc<Cluster>, topic: String, sets: Sets) -> Self {
        Self { cluster, topic, sets, known: BTreeMap::new(), missing: BTreeSet::new() }
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
        let known = &mut self.known;
        read_to_end(&self.cluster, &self.topic, &mut |record| {
            let (Some(key), Some(payload)) = (record.key, record.payload) else { return };
            let Ok(key) = std::str::from_utf8(key) else { return };
            if key.starts_with("rule/")
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

    fn sets(&self) -> &Sets {
        &self.sets
    }
}

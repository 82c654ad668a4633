//! Since when rules have been watching, in one signals partition (RULES §4, *Start*).
//!
//! A start is the clock at which a version of a rule became active. Of what decides on the clock it must
//! outlive the process: what must have seen its whole period would be silent after every restart, and
//! keys that never had an event would be expected anew. So these are handed over to be written down,
//! and come back when the partition does. What decides on arrival has no use for its start.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::Timestamp;
use crate::detectors::Decides;
use crate::engine::{Key, partition_of};
use crate::state::codec::{self, Broken, Reader};

use super::rules::Judge;

/// A version of a rule, as far as memory goes: its id and fingerprint.
type Version = (Arc<str>, u64);

/// A rule began to watch in a partition, or to expect other keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleBegan {
    /// The rule's id.
    pub rule: Arc<str>,
    /// The fingerprint of its version.
    pub fingerprint: u64,
    /// The clock at which the version became active.
    pub at: Timestamp,
    /// Since when each of its keys is expected, by the hash of its bytes: a list may grow while its
    /// rule runs. Only those that the partition owns.
    pub expected: BTreeMap<u64, Timestamp>,
}

/// The starts of all versions that a partition has seen.
#[derive(Debug)]
pub(super) struct Starts {
    /// Which of how many partitions this is.
    place: (u32, u32),
    known: BTreeMap<Version, Start>,
    /// Versions that were begun, and whether while records were new.
    begun: BTreeMap<Version, bool>,
    /// What is to be written down.
    news: Vec<RuleBegan>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Start {
    at: Timestamp,
    /// As in [`RuleBegan`]; `None`: events have met the version, but it was not begun here.
    expected: Option<BTreeMap<u64, Timestamp>>,
}

impl Starts {
    /// None yet, in partition `place.0` out of `place.1`.
    pub(super) fn new(place: (u32, u32)) -> Self {
        Self { place, known: BTreeMap::new(), begun: BTreeMap::new(), news: Vec::new() }
    }

    /// Since when a version is watching a key; from `now` on if it was not yet.
    pub(super) fn of(&mut self, judge: &Judge, key: &Key, now: Timestamp) -> Timestamp {
        let fresh = || Start { at: now, expected: None };
        let start = self.known.entry(version(judge)).or_insert_with(fresh);
        let expected = start.expected.as_ref().and_then(|expected| expected.get(&hash(key)));
        expected.copied().unwrap_or(start.at)
    }

    /// The version is active: from `now` on, unless it was before. Gives the keys that it expects here
    /// and since when, the first time that it is asked. While the log is only read again (not `live`)
    /// nothing begins that had not begun when it was written.
    pub(super) fn begin<'j>(
        &mut self,
        judge: &'j Judge,
        now: Timestamp,
        live: bool,
    ) -> Vec<(&'j Key, Timestamp)> {
        let version = version(judge);
        if self.begun.get(&version).is_some_and(|before| *before || !live) {
            return Vec::new();
        }
        self.begun.insert(version.clone(), live);
        let (index, of) = self.place;
        let own = |key: &&Key| partition_of(&judge.rule().id, key.bytes(), of) == index;
        let keys = judge.expected().filter(own);
        let known = self.known.get(&version);
        let before = known.and_then(|known| known.expected.as_ref());
        if !live {
            let since = |key: &'j Key| Some((key, *before?.get(&hash(key))?));
            return keys.filter_map(since).collect();
        }
        let at = known.map_or(now, |known| known.at);
        let since = |key: &Key| match before {
            None => at,
            // New in its list.
            Some(before) => before.get(&hash(key)).copied().unwrap_or(now),
        };
        let keys: Vec<_> = keys.map(|key| (key, since(key))).collect();
        let expected: BTreeMap<_, _> = keys.iter().map(|(key, at)| (hash(key), *at)).collect();
        if judge.rule().decides() == Decides::OnTheClock && before != Some(&expected) {
            let (rule, fingerprint) = version.clone();
            self.news.push(RuleBegan { rule, fingerprint, at, expected: expected.clone() });
        }
        self.known.insert(version, Start { at, expected: Some(expected) });
        keys
    }

    /// What began since the last call, in order of the rules.
    pub(super) fn take_news(&mut self) -> Vec<RuleBegan> {
        std::mem::take(&mut self.news)
    }

    /// What was written down before.
    pub(super) fn restore(&mut self, began: RuleBegan) {
        let RuleBegan { rule, fingerprint, at, expected } = began;
        self.known.insert((rule, fingerprint), Start { at, expected: Some(expected) });
    }

    /// Appends an encoding that [`Self::restore_encoded`] reads.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        codec::put_len(out, self.known.len());
        for ((rule, fingerprint), start) in &self.known {
            codec::put_text(out, rule);
            out.extend_from_slice(&fingerprint.to_le_bytes());
            codec::put_time(out, start.at);
            out.push(u8::from(start.expected.is_some()));
            if let Some(expected) = &start.expected {
                codec::put_len(out, expected.len());
                for (key, since) in expected {
                    out.extend_from_slice(&key.to_le_bytes());
                    codec::put_time(out, *since);
                }
            }
        }
    }

    /// Reads what was written.
    pub(super) fn restore_encoded(&mut self, bytes: &mut Reader<'_>) -> Result<(), Broken> {
        let mut known = BTreeMap::new();
        for _ in 0..bytes.count()? {
            let version = (bytes.text()?.into(), bytes.fixed()?);
            let at = bytes.time()?;
            let expected = if bytes.byte()? == 0 {
                None
            } else {
                let mut expected = BTreeMap::new();
                for _ in 0..bytes.count()? {
                    expected.insert(bytes.fixed()?, bytes.time()?);
                }
                Some(expected)
            };
            known.insert(version, Start { at, expected });
        }
        self.known = known;
        Ok(())
    }
}

fn version(judge: &Judge) -> Version {
    (judge.rule().id.clone(), judge.rule().fingerprint)
}

fn hash(key: &Key) -> u64 {
    xxh3_64(key.bytes())
}

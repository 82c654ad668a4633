//! Since when rules have been watching, and whom they expect, in one signals partition (RULES §4,
//! *Start*, *absence*).
//!
//! A start is the clock at which a version of a rule became active. Of what decides on the clock it must
//! outlive the process: what must have seen its whole period would be silent after every restart, and
//! keys that never had an event would be expected anew. So these are handed over to be written down,
//! and come back when the partition does. What decides on arrival has no use for its start.
//!
//! The keys that a rule expects may come from a list, and lists change while the rule runs. At the first
//! tick that is new and finds another list, the keys that have come are expected from the clock of then,
//! and those that have left are not any more. Which tick that is depends on when this process read the
//! file; so it is written down with what came of that tick, key by key. From then on it is a fact: who
//! reads the log again, whatever list it has, expects those that were expected when the log was last
//! worked on, and compares them with its list only when that is behind it.
//!
//! Of a key that has left nothing is kept, for nothing can depend on it: its alert is told to be over at
//! that very tick. If it comes back, it is expected from then on. Two processes that have different lists
//! differ about the keys of a partition that goes from one to the other: it goes by the list of whoever
//! has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::Timestamp;
use crate::detectors::Decides;
use crate::engine::{Key, partition_of};
use crate::state::codec::{self, Broken, Reader};

use super::expected::Keys;
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
    /// The keys that are expected now and were not before, and since when: a list may grow while its
    /// rule runs. Only those that the partition owns.
    pub expected: BTreeMap<Key, Timestamp>,
    /// The keys that were expected before and are not now.
    pub released: BTreeSet<Key>,
}

/// What is to be done about the keys that a rule expects.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// They are to be watched, since then.
    pub(super) expected: Vec<(Key, Timestamp)>,
    /// They are not to be watched any more.
    pub(super) released: Vec<Key>,
    /// The list has so many entries, which is too many: nothing came of it.
    pub(super) refused: Option<usize>,
}

/// The starts of all versions that a partition has seen.
#[derive(Debug)]
pub(super) struct Starts {
    /// Which of how many partitions this is.
    place: (u32, u32),
    known: BTreeMap<Version, Start>,
    /// Versions that were begun.
    begun: BTreeMap<Version, Begun>,
    /// Whom versions expected when their first event came, until they are begun.
    early: BTreeMap<Version, Arc<Keys>>,
    /// What is to be written down.
    news: Vec<RuleBegan>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Start {
    at: Timestamp,
    /// Since when each key is expected; `None`: events have met the version, but it was not begun here.
    expected: Option<BTreeMap<Key, Timestamp>>,
}

/// How a version was last begun.
#[derive(Debug)]
enum Begun {
    /// While the log was read again: as it is written down.
    Again,
    /// While records were new: with these keys.
    Live(Arc<Keys>),
}

impl Starts {
    /// None yet, in partition `place.0` out of `place.1`.
    pub(super) fn new(place: (u32, u32)) -> Self {
        Self {
            place,
            known: BTreeMap::new(),
            begun: BTreeMap::new(),
            early: BTreeMap::new(),
            news: Vec::new(),
        }
    }

    /// Since when a version is watching a key, and whether it expects it; from `now` on if it was not
    /// watching yet. Before the first tick, which begins the version, it goes by the keys as they are at
    /// its first event: it is to expect them from that event's time on, and what a key says by then must
    /// count.
    pub(super) fn of(&mut self, judge: &Judge, key: &Key, now: Timestamp) -> (Timestamp, bool) {
        let fresh = || Start { at: now, expected: None };
        let version = version(judge);
        let start = self.known.entry(version.clone()).or_insert_with(fresh);
        let Some(expected) = &start.expected else {
            let keys = self.early.entry(version).or_insert_with(|| judge.expected().now());
            return (start.at, keys.contains(key));
        };
        let since = expected.get(key);
        (since.copied().unwrap_or(start.at), since.is_some())
    }

    /// The version is active: from `now` on, unless it was before. Says what is to be done about the
    /// keys that it expects here, the first time that it is asked and whenever they have changed. While
    /// the log is only read again (not `live`) nothing begins that had not begun when it was written.
    pub(super) fn begin(&mut self, judge: &Judge, now: Timestamp, live: bool) -> Changes {
        let version = version(judge);
        match self.begun.get(&version) {
            Some(Begun::Live(keys)) if !live || judge.expected().is_current(keys) => {
                return Changes::default();
            }
            Some(Begun::Again) if !live => return Changes::default(),
            _ => {}
        }
        let known = self.known.get(&version);
        let before = known.and_then(|known| known.expected.as_ref());
        if !live {
            self.begun.insert(version, Begun::Again);
            let before = before.into_iter().flatten();
            let expected = before.map(|(key, since)| (key.clone(), *since)).collect();
            return Changes { expected, ..Changes::default() };
        }

        // If the list has changed since the first event, the next tick finds that out.
        let early = self.early.remove(&version);
        let keys = early.unwrap_or_else(|| judge.expected().now());
        let (index, of) = self.place;
        let own = keys.iter().filter(|key| partition_of(&version.0, key.bytes(), of) == index);
        let at = known.map_or(now, |known| known.at);
        let since = |key: &Key| match before {
            None => at,
            // New in its list.
            Some(before) => before.get(key).copied().unwrap_or(now),
        };
        let expected: BTreeMap<Key, Timestamp> = own.map(|key| (key.clone(), since(key))).collect();
        let is_new = |key: &Key| before.is_none_or(|before| !before.contains_key(key));
        let came = expected.iter().filter(|(key, _)| is_new(key));
        let came: BTreeMap<Key, Timestamp> = came.map(|(key, at)| (key.clone(), *at)).collect();
        let left = before.into_iter().flat_map(BTreeMap::keys);
        let released: BTreeSet<Key> =
            left.filter(|key| !expected.contains_key(*key)).cloned().collect();

        // Memory that was not made here must hear of all of them, once.
        let first = !matches!(self.begun.get(&version), Some(Begun::Live(_)));
        let changes = Changes {
            expected: if first { &expected } else { &came }.clone().into_iter().collect(),
            released: released.iter().cloned().collect(),
            refused: keys.refused(),
        };
        let has_news = before.is_none() || !came.is_empty() || !released.is_empty();
        if judge.rule().decides() == Decides::OnTheClock && has_news {
            let (rule, fingerprint) = version.clone();
            self.news.push(RuleBegan { rule, fingerprint, at, expected: came, released });
        }
        self.begun.insert(version.clone(), Begun::Live(keys));
        self.known.insert(version, Start { at, expected: Some(expected) });
        changes
    }

    /// What began since the last call, in order of the rules.
    pub(super) fn take_news(&mut self) -> Vec<RuleBegan> {
        std::mem::take(&mut self.news)
    }

    /// What was written down before, in the order in which it was.
    pub(super) fn restore(&mut self, began: RuleBegan) {
        let RuleBegan { rule, fingerprint, at, expected, released } = began;
        let fresh = || Start { at, expected: None };
        let start = self.known.entry((rule, fingerprint)).or_insert_with(fresh);
        start.at = at;
        let known = start.expected.get_or_insert_default();
        // One by one: they may be told in thousands of pieces.
        for key in &released {
            known.remove(key);
        }
        known.extend(expected);
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
                    key.encode(out);
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
                    expected.insert(Key::decode(bytes)?, bytes.time()?);
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

//! Whom a rule expects to hear from, whether it ever had an event of theirs or not: the keys that
//! `[absence] expect` names.
//!
//! Those that stand in the rule never change while it runs. The entries of a list do: its contents are
//! swapped whole between two steps. They are looked at when somebody asks, which partitions do at every
//! tick; since when a key is expected is then each partition's business ([`Starts`](super::starts)).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::{Diagnostic, Live};
use crate::detectors::{Detector, EXPECTED_MAX};
use crate::engine::Key;
use crate::query::{List, Sets};
use crate::rule::Rule;

/// Whom one version of a rule expects.
#[derive(Debug)]
pub(super) struct Expected {
    /// The fields that keys are values of.
    names: Vec<String>,
    /// The list whose entries they are, if they come of one.
    list: Option<Live<List>>,
    /// As of when somebody last asked.
    keys: Live<Keys>,
}

/// The keys, as of one moment.
#[derive(Debug, Default)]
pub(super) struct Keys {
    all: BTreeSet<Key>,
    /// The contents of the list that was looked at; none without a list.
    of: Option<Arc<List>>,
    /// So many entries are in it, more than can be expected, and the keys are those before.
    refused: Option<usize>,
}

impl Expected {
    /// Those of a rule. More than [`EXPECTED_MAX`] are a mistake.
    pub(super) fn new(rule: &Rule, sets: &Sets) -> Result<Self, Diagnostic> {
        let names: Vec<String> = rule.group_by.iter().map(ToString::to_string).collect();
        let detector = rule.detector.as_deref();
        let list = detector.and_then(Detector::expected_list).and_then(|name| sets.live_list(name));
        let keys = if let Some(list) = &list {
            Keys::of_list(list.get(), &names)
        } else {
            let keys = detector.map_or_else(Vec::new, |detector| detector.expected(sets));
            let all = keys.iter().map(|values| Key::new(&names, values)).collect();
            Keys { all, ..Keys::default() }
        };
        if let Some(found) = keys.refused {
            // It has grown since the rule was read: what a rule file names was checked with it.
            let message = format!("expected at most {EXPECTED_MAX} keys, found {found}");
            return Err(Diagnostic::of_file("bad-expect", message));
        }
        Ok(Self { names, list, keys: Live::new(keys) })
    }

    /// The keys as of now. A list that has grown beyond [`EXPECTED_MAX`] changes nothing but
    /// [`Keys::refused`].
    pub(super) fn now(&self) -> Arc<Keys> {
        let before = self.keys.get();
        let Some(list) = self.list.as_ref().filter(|_| !self.is_current(&before)) else {
            return before;
        };
        let made = Keys::of_list(list.get(), &self.names);
        let all = if made.refused.is_some() { before.all.clone() } else { made.all };
        self.keys.replace(Keys { all, ..made });
        self.keys.get()
    }

    /// Whether these are still the keys.
    pub(super) fn is_current(&self, keys: &Keys) -> bool {
        let Some(list) = &self.list else { return true };
        keys.of.as_ref().is_some_and(|of| list.with(|now| std::ptr::eq(now, Arc::as_ptr(of))))
    }
}

impl Keys {
    /// The entries of a list, each a value of one field.
    fn of_list(list: Arc<List>, names: &[String]) -> Self {
        let refused = Some(list.len()).filter(|entries| *entries > EXPECTED_MAX);
        let entries = if refused.is_some() { Vec::new() } else { list.entries() };
        let all = entries.into_iter().map(|entry| Key::new(names, &[entry.into()])).collect();
        Self { all, of: Some(list), refused }
    }

    /// Whether this is one of them.
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.all.contains(key)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.all.iter()
    }

    /// How many entries the list has now, if those are more than can be expected.
    pub(super) fn refused(&self) -> Option<usize> {
        self.refused
    }
}

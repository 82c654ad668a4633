//! What an alert is about beside its key: for `[new_value]` the tuple of values that was new, unless the
//! rule says `[alert] per = "key"`.
//!
//! Events are told apart by a hash of each of their tuples; an alert knows the tuple itself, for two
//! alerts are one only when the bytes are equal.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::Timestamp;
use crate::detectors::{Firing, Occurrence};
use crate::engine::Fields;
use crate::rule::Per;
use crate::state::codec::{self, Broken, Reader};

use super::rules::Judge;
use super::values::Values;

/// The tuple that an alert is about.
#[derive(Debug, Clone)]
pub(super) struct About {
    tuple: Arc<[u8]>,
    hash: u64,
    /// Distinct values of the events with this tuple: those of the key are also others'.
    pub(super) values: Values,
}

impl Judge {
    /// The tuple to which an alert of this firing belongs; `None`: to the key alone.
    pub(super) fn tuple<'f>(&self, firing: &'f Firing) -> Option<&'f Arc<[u8]>> {
        firing.tuple.as_ref().filter(|_| self.rule().alert.per == Per::Tuple)
    }

    /// The hashes of an event's tuples, if alerts are about them.
    pub(super) fn tuples(&self, occurrence: Option<&Occurrence>) -> Vec<u64> {
        let detector = self.rule().detector.as_ref();
        let detector = detector.filter(|_| self.rule().alert.per == Per::Tuple);
        let tuples = detector.zip(occurrence).map(|(detector, event)| detector.tuples(event));
        tuples.into_iter().flatten().map(|tuple| xxh3_64(&tuple)).collect()
    }
}

impl About {
    /// About this tuple.
    pub(super) fn new(tuple: &Arc<[u8]>) -> Self {
        Self { tuple: tuple.clone(), hash: xxh3_64(tuple), values: Values::default() }
    }

    /// The tuple itself.
    pub(super) fn tuple(&self) -> &Arc<[u8]> {
        &self.tuple
    }

    /// By which events with it are known.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Takes the values that titles show of an event with the tuple.
    pub(super) fn take(&mut self, judge: &Judge, fields: &Fields, time: Timestamp) {
        judge.show(&mut self.values, fields, time);
    }

    /// Appends an encoding that [`Self::decode`] reads.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        codec::put_bytes(out, &self.tuple);
        self.values.encode(out);
    }

    /// Reads what was written.
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let about = Self::new(&bytes.bytes()?.into());
        Ok(Self { values: Values::decode(bytes)?, ..about })
    }
}

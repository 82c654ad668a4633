//! Keys: the values of a rule's `group_by` fields, in one canonical form, and the signals partition
//! that owns them.

use std::cmp::Ordering;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::event::Scalar;
use crate::state::codec::{self, Broken, Reader};
use crate::state::{CANONICAL_BYTES, canonical};

/// Whom a signal is about. Keys are equal, and in order, as their canonical bytes are.
#[derive(Debug, Clone)]
pub struct Key {
    bytes: Arc<[u8]>,
    shown: Arc<[Scalar]>,
}

impl Key {
    /// The key of these values of these `group_by` fields, in the same order; none = the one key
    /// of a rule without `group_by`.
    pub fn new<F: AsRef<str>>(fields: &[F], values: &[Scalar]) -> Self {
        let mut bytes = Vec::new();
        for (field, value) in fields.iter().zip(values) {
            codec::put_text(&mut bytes, &canonical(field.as_ref(), value));
        }
        let shown = values.iter().map(|value| value.shortened(CANONICAL_BYTES)).collect();
        Self { bytes: bytes.into(), shown }
    }

    /// The canonical bytes: what decides whether two keys are one.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// The values as some event spelt them, in the order of `group_by`.
    pub fn shown(&self) -> &[Scalar] {
        &self.shown
    }

    /// Appends an encoding that [`Self::decode`] reads.
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::put_bytes(out, &self.bytes);
        codec::put_len(out, self.shown.len());
        for value in &*self.shown {
            codec::put_scalar(out, value);
        }
    }

    /// Reads a key.
    pub fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let canonical = bytes.bytes()?.into();
        let mut shown = Vec::new();
        for _ in 0..bytes.count()? {
            shown.push(bytes.scalar()?);
        }
        Ok(Self { bytes: canonical, shown: shown.into() })
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

/// The signals partition, out of `partitions`, that owns a rule's key. Frozen: records that are in
/// Kafka were placed by it.
pub fn partition_of(rule: &str, key: &[u8], partitions: u32) -> u32 {
    let mut bytes = Vec::with_capacity(rule.len() + 1 + key.len());
    bytes.extend_from_slice(rule.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(key);
    // The remainder is below a u32.
    u32::try_from(xxh3_64(&bytes) % u64::from(partitions.max(1))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Number;

    fn key(field: &str, value: Scalar) -> Key {
        Key::new(&[field], &[value])
    }

    #[test]
    fn one_person_is_one_key_however_spelt() {
        let shouted = key("user.email", "EVE@X".into());
        assert_eq!(shouted, key("user.email", "eve@x".into()));
        assert_eq!(shouted.shown(), [Scalar::from("EVE@X")]);
        assert_eq!(key("user.target.name", "Bob".into()), key("user.target.name", "bob".into()));
        assert_ne!(key("raw.user", "Bob".into()), key("raw.user", "bob".into()));
        assert_ne!(key("user.id", "A1".into()), key("user.id", "a1".into()));
    }

    #[test]
    fn a_number_is_its_shortest_text() {
        let number = |n| key("user.id", Scalar::Number(n));
        assert_eq!(number(Number::Float(3.0)), number(Number::Int(3)));
        assert_eq!(number(Number::Int(3)), key("user.id", "3".into()));
        assert_ne!(number(Number::Int(3)), key("user.id", "3.0".into()));
        assert_eq!(key("user.id", Scalar::Bool(true)), key("user.id", "true".into()));
    }

    #[test]
    fn parts_do_not_run_together() {
        let pair = |a: &str, b: &str| Key::new(&["a", "b"], &[a.into(), b.into()]);
        assert_ne!(pair("x", "yz"), pair("xy", "z"));
        assert_ne!(pair("x", ""), pair("", "x"));
    }

    #[test]
    fn a_long_value_is_cut_and_stays_itself() {
        let long = |last: char| format!("{}{last}", "é".repeat(CANONICAL_BYTES));
        let (one, other) = (key("a", (&*long('1')).into()), key("a", (&*long('2')).into()));
        assert_ne!(one, other);
        assert!(one.bytes().len() < CANONICAL_BYTES + 40);
        assert!(one.shown()[0].as_text().unwrap().ends_with('…'));
    }

    #[test]
    fn places_are_frozen() {
        let place = |rule, value: &str, partitions| {
            partition_of(rule, key("user.name", value.into()).bytes(), partitions)
        };
        let places = [
            partition_of("common/failed-logins", b"", 32),
            place("common/failed-logins", "mallory", 32),
            place("common/failed-logins", "Mallory", 32),
            place("common/failed-logins", "mallory", 7),
            place("opsknight/role-change", "bob", 32),
            place("opsknight/role-change", "bob", 1),
        ];
        expect_test::expect!["[9, 14, 14, 1, 30, 0]"].assert_eq(&format!("{places:?}"));
    }
}

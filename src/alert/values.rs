//! Distinct values of some fields over one key's events, for `values(…)` in titles.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::Timestamp;
use crate::event::Scalar;
use crate::rule::template::VALUES_MAX;
use crate::state::codec::{self, Broken, Reader};

/// By field: at most [`VALUES_MAX`] values, those that were seen last.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(BTreeMap<Arc<str>, Vec<Kept>>);

#[derive(Debug, Clone)]
struct Kept {
    value: Scalar,
    first: Timestamp,
    last: Timestamp,
}

impl Values {
    /// Takes a value that an event at `time` had.
    pub(super) fn take(&mut self, field: &Arc<str>, value: &Scalar, time: Timestamp) {
        let kept = self.0.entry(field.clone()).or_default();
        if let Some(known) = kept.iter_mut().find(|known| known.value == *value) {
            known.first = known.first.min(time);
            known.last = known.last.max(time);
            return;
        }
        kept.push(Kept { value: value.clone(), first: time, last: time });
        if kept.len() > VALUES_MAX {
            let oldest = (0..).zip(&*kept).min_by_key(|(_, known)| known.last).map(|(n, _)| n);
            if let Some(oldest) = oldest {
                kept.remove(oldest);
            }
        }
    }

    /// Lets go of values that were last seen before `time`.
    pub(super) fn settle(&mut self, time: Timestamp) {
        self.0.retain(|_, kept| {
            kept.retain(|known| known.last >= time);
            !kept.is_empty()
        });
    }

    /// The values seen between two times, by field, in the order in which they were first seen.
    pub(super) fn between(
        &self,
        first: Timestamp,
        last: Timestamp,
    ) -> impl Iterator<Item = (&Arc<str>, Vec<Scalar>)> {
        self.0.iter().map(move |(field, kept)| {
            let mut seen: Vec<&Kept> =
                kept.iter().filter(|known| known.last >= first && known.first <= last).collect();
            seen.sort_by_key(|known| known.first);
            (field, seen.into_iter().map(|known| known.value.clone()).collect())
        })
    }

    /// Appends an encoding that [`Self::decode`] reads.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        codec::put_len(out, self.0.len());
        for (field, kept) in &self.0 {
            codec::put_text(out, field);
            codec::put_len(out, kept.len());
            for known in kept {
                codec::put_scalar(out, &known.value);
                codec::put_time(out, known.first);
                codec::put_time(out, known.last);
            }
        }
    }

    /// Reads what was written.
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let mut values = BTreeMap::new();
        for _ in 0..bytes.count()? {
            let field = bytes.text()?.into();
            let mut kept = Vec::new();
            for _ in 0..bytes.count()? {
                let (value, first, last) = (bytes.scalar()?, bytes.time()?, bytes.time()?);
                kept.push(Kept { value, first, last });
            }
            values.insert(field, kept);
        }
        Ok(Self(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn taken(values: &[(&str, i64)]) -> Values {
        let mut all = Values::default();
        for (value, time) in values {
            all.take(&"source.ip".into(), &Scalar::from(*value), at(*time));
        }
        all
    }

    fn between(values: &Values, first: i64, last: i64) -> String {
        let all: Vec<_> = values.between(at(first), at(last)).flat_map(|(_, v)| v).collect();
        all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn values_stand_in_the_order_of_their_first_event() {
        let values = taken(&[("b", 5), ("a", 7), ("b", 9), ("c", 3)]);
        assert_eq!(between(&values, 0, 99), "c b a");
        assert_eq!(between(&values, 8, 99), "b");
        assert_eq!(between(&values, 0, 4), "c");
    }

    #[test]
    fn the_one_seen_longest_ago_makes_room() {
        let many: Vec<String> = (0..=VALUES_MAX).map(|n| n.to_string()).collect();
        let pairs: Vec<(&str, i64)> = many.iter().map(String::as_str).zip(0..).collect();
        let shown = between(&taken(&pairs), 0, 99);
        assert_eq!(shown.split(' ').count(), VALUES_MAX);
        assert!(shown.starts_with("1 2 "));
    }

    #[test]
    fn they_read_back_and_settle() {
        let values = taken(&[("b", 5), ("a", 7)]);
        let mut bytes = Vec::new();
        values.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let mut back = Values::decode(&mut reader).unwrap();
        reader.end().unwrap();
        assert_eq!(between(&back, 0, 99), "b a");
        back.settle(at(6));
        assert_eq!(between(&back, 0, 99), "a");
    }
}

//! How products write times.

use crate::base::Timestamp;
use crate::event::{Number, Scalar};

/// One way to write a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `2026-01-05T12:00:00Z`, any offset; a date is midnight UTC.
    Rfc3339,
    /// `2026-01-05T12:00:00` or with a space: no offset, meant as UTC (what a database says of a
    /// `timestamp without time zone`).
    Utc,
    /// A number since 1970, in fractions of a second: this many to the second.
    Epoch(i64),
}

/// The names in `time = […]`.
pub(super) const FORMATS: &[(&str, Format)] = &[
    ("rfc3339", Format::Rfc3339),
    ("utc", Format::Utc),
    ("epoch_s", Format::Epoch(1)),
    ("epoch_ms", Format::Epoch(1_000)),
    ("epoch_us", Format::Epoch(1_000_000)),
    ("epoch_ns", Format::Epoch(1_000_000_000)),
];

impl Format {
    /// The time that a value says in this way, cut off to milliseconds.
    pub(super) fn read(self, value: &Scalar) -> Option<Timestamp> {
        match self {
            Self::Rfc3339 => value.as_time(),
            Self::Utc => {
                let text = value.as_text()?;
                let time = text.get(10..)?;
                if time.contains(['Z', 'z', '+', '-', '[']) {
                    return None;
                }
                Timestamp::parse(&format!("{text}Z"))
            }
            Self::Epoch(per_second) => epoch(value.as_number()?, per_second),
        }
    }
}

fn epoch(number: Number, per_second: i64) -> Option<Timestamp> {
    let per_second = i128::from(per_second);
    let millis = match number {
        Number::Int(n) => (i128::from(n) * 1_000).div_euclid(per_second),
        Number::Large(n) => (i128::from(n) * 1_000).div_euclid(per_second),
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "per_second is small, and `as` saturates, which is out of range below"
        )]
        Number::Float(n) => (n * 1_000.0 / per_second as f64).floor() as i128,
    };
    Timestamp::try_from_millis(i64::try_from(millis).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, value: impl Into<serde_json::Value>) -> Option<String> {
        let (_, format) = FORMATS.iter().find(|(name, _)| *name == format).unwrap();
        format.read(&Scalar::from_json(&value.into()).unwrap()).map(|time| time.to_string())
    }

    #[test]
    fn the_same_moment_in_every_way() {
        let moment = Some("2026-01-05T12:00:00.120Z".to_owned());
        assert_eq!(read("rfc3339", "2026-01-05T14:00:00.12+02:00"), moment);
        assert_eq!(read("utc", "2026-01-05T12:00:00.120"), moment);
        assert_eq!(read("utc", "2026-01-05 12:00:00.12"), moment);
        assert_eq!(read("epoch_s", 1_767_614_400.12), moment);
        assert_eq!(read("epoch_ms", 1_767_614_400_120_i64), moment);
        assert_eq!(read("epoch_ms", "1767614400120"), moment);
        assert_eq!(read("epoch_us", 1_767_614_400_120_999_i64), moment);
        assert_eq!(read("epoch_ns", 1_767_614_400_120_999_999_i64), moment);
    }

    #[test]
    fn what_is_written_otherwise_is_not_guessed_at() {
        assert_eq!(read("rfc3339", 1_767_614_400_120_i64), None);
        assert_eq!(read("rfc3339", "2026-01-05T12:00:00"), None);
        assert_eq!(read("utc", "2026-01-05T12:00:00+02:00"), None);
        assert_eq!(read("utc", "2026-01-05T12:00:00Z"), None);
        assert_eq!(read("epoch_ms", "2026"), Some("1970-01-01T00:00:02.026Z".to_owned()));
        assert_eq!(read("epoch_ms", "soon"), None);
        assert_eq!(read("epoch_ms", u64::MAX), None);
        assert_eq!(read("epoch_s", 1e300), None);
        assert_eq!(read("epoch_ms", true), None);
    }
}

//! A moment in time, as Hark computes with it: whole milliseconds since 1970-01-01T00:00:00Z.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since the Unix epoch, UTC. Finer fractions of a text are cut off (towards the past).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0000-01-01T00:00:00Z, the earliest moment a text can name.
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// 9999-12-30T22:00:00Z, the latest moment that calendars here know: later ones would be
    /// another year in some zone.
    pub const MAX: Self = Self(253_402_207_200_000);

    /// From milliseconds since the epoch; out of range is clamped to [`Self::MIN`]..=[`Self::MAX`].
    pub const fn from_millis(millis: i64) -> Self {
        if millis < Self::MIN.0 {
            Self::MIN
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// From milliseconds since the epoch; `None` outside of [`Self::MIN`]..=[`Self::MAX`].
    pub fn try_from_millis(millis: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&millis).then_some(Self(millis))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The time between `earlier` and `self`; zero when `earlier` is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses RFC 3339 (`2026-01-01T09:00:00Z`, any offset, `T`, `t` or a space) or a date, which
    /// means midnight UTC. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() < 10 || !bytes.first()?.is_ascii_digit() {
            return None;
        }
        if bytes.len() == 10 {
            let date: jiff::civil::Date = text.parse().ok()?;
            let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            return Self::try_from_millis(zoned.timestamp().as_millisecond());
        }
        // jiff reads more than RFC 3339 (no seconds, an offset without a colon, a bracketed zone); what
        // is accepted here is what other engines will read too.
        if !is_time_of_day(bytes.get(10..)?) {
            return None;
        }
        // RFC 3339 has fractions of any length, jiff of nanoseconds at most.
        let start = text.get(..text.len().min(NANOSECOND_BYTES))?;
        let rest = text.get(start.len()..)?.trim_start_matches(|c: char| c.is_ascii_digit());
        let stamp: jiff::Timestamp = match text.as_bytes().get(19) {
            Some(b'.') if !rest.is_empty() => format!("{start}{rest}").parse().ok()?,
            _ => text.parse().ok()?,
        };
        Self::try_from_millis(stamp.as_nanosecond().div_euclid(1_000_000).try_into().ok()?)
    }

    /// The same moment for jiff, which knows calendars and zones.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or_default()
    }
}

/// Bytes of a time up to the ninth digit of its fraction.
const NANOSECOND_BYTES: usize = "2026-01-05T12:00:00.000000000".len();

/// Whether this has the shape of what follows the date in RFC 3339: `T12:00:00.5+02:00`.
fn is_time_of_day(text: &[u8]) -> bool {
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                shape => byte == shape,
            })
    };
    let Some((clock, rest)) = text.split_at_checked(9) else { return false };
    let [b'T' | b't' | b' ', clock @ ..] = clock else { return false };
    let zone = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            fraction.get(digits..).unwrap_or_default()
        }
        zone => zone,
    };
    fits(clock, b"00:00:00")
        && match zone {
            [b'Z' | b'z'] => true,
            [b'+' | b'-', offset @ ..] => fits(offset, b"00:00"),
            _ => false,
        }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC; milliseconds only when there are any: `2026-01-05T12:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.0.rem_euclid(1000) == 0 { 0 } else { 3 };
        write!(f, "{:.digits$}", self.to_jiff())
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| {
            format!("expected a time such as `2026-01-31T09:00:00Z` or a date, found `{text}`")
        })
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_reads() {
        for text in ["2026-01-05T12:00:00Z", "1969-12-31T23:59:59.999Z", "2026-03-29T01:00:00.120Z"]
        {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_ends_of_time_print_what_they_read() {
        for end in [Timestamp::MIN, Timestamp::MAX, Timestamp::from_millis(i64::MAX)] {
            assert_eq!(Timestamp::parse(&end.to_string()), Some(end));
        }
    }

    #[test]
    fn offsets_are_converted_and_fractions_cut_off() {
        let read = |text| Timestamp::parse(text).unwrap().to_string();
        assert_eq!(read("2026-01-05T12:00:00.9999+02:00"), "2026-01-05T10:00:00.999Z");
        assert_eq!(read("2026-01-05 12:00:00z"), "2026-01-05T12:00:00Z");
        assert_eq!(read("2026-01-05"), "2026-01-05T00:00:00Z");
        assert_eq!(read("2026-01-05T12:00:00.12099999999999999Z"), "2026-01-05T12:00:00.120Z");
        assert_eq!(read("2026-01-05T12:00:00.1234567891+00:30"), "2026-01-05T11:30:00.123Z");
        assert_eq!(read("1969-12-31T23:59:59.9999Z"), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "12:00",
            "2026-13-01",
            "2026-01-05T12:00:00",
            "2026-01-05T12:00:00Z[UTC]",
            "1767614400000",
            "2026-W02-1",
            "2026-01-05T12Z",
            "2026-01-05T12:00Z",
            "2026-01-05T12:00:00+01",
            "2026-01-05T12:00:00+0100",
            "2026-01-05T12:00:00+01:00:30",
            "2026-01-05T12:00:00,5Z",
            "2026-01-05T120000Z",
            "2026-01-05T12:00:00Zx",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}

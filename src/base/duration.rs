//! Durations as people write them in rules and config: `90s`, `10m`, `1h30m`, `24h`, `7d`.

use std::time::Duration;

/// Units in falling order, each at most once in a text; `ms` exists for time-outs in config.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Parses a duration. The error is a sentence for the author, quoting what was found.
///
/// Bounds: at most 36,500 days; a bare number is refused (RULES §3), so is a sign or a fraction.
pub fn parse(text: &str) -> Result<Duration, String> {
    let refuse = || {
        let form = "expected a duration such as `90s`, `10m`, `1h30m` or `7d`";
        match in_words(text) {
            Some(meant) => format!("{form}, found `{text}`; write `{meant}`"),
            None => format!("{form}, found `{text}`"),
        }
    };
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "expected a duration with a unit, found `{text}`; write `{text}s` for seconds or `{text}m` for minutes"
        ));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| refuse())?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let index = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(refuse)?;
        if index < next_unit {
            return Err(refuse());
        }
        next_unit = index + 1;
        let millis = UNITS.get(index).map_or(0, |(_, millis)| *millis);
        total = number.checked_mul(millis).and_then(|n| total.checked_add(n)).ok_or_else(refuse)?;
        rest = tail;
    }
    if text.is_empty() {
        return Err(refuse());
    }
    if total > 36_500 * 86_400_000 {
        return Err(format!("expected at most 36500d, found `{text}`"));
    }
    Ok(Duration::from_millis(total))
}

/// One number and a unit in words (`10 min`, `1 hour`, `2 weeks`), in the form that is meant.
fn in_words(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).filter(|(number, _)| !number.is_empty())?;
    let unit = match unit.trim() {
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "w" | "week" | "weeks" => {
            return Some(format!("{}d", number.parse::<u64>().ok()?.checked_mul(7)?));
        }
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

/// The shortest text that [`parse`] reads back: `1h30m`, `0s`.
pub fn print(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in UNITS {
        let count = millis / size;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
            millis %= size;
        }
    }
    text
}

/// For serde: `#[serde(with = "crate::base::duration::text")]`.
pub mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    /// Writes the text form.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::print(*duration))
    }

    /// Reads the text form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let secs = |text| parse(text).unwrap().as_secs();
        assert_eq!(secs("90s"), 90);
        assert_eq!(secs("1h30m"), 5400);
        assert_eq!(secs("7d"), 604_800);
        assert_eq!(parse("250ms").unwrap().as_millis(), 250);
    }

    #[test]
    fn refuses_bare_numbers_signs_and_disorder() {
        for text in [
            "",
            "10",
            "-5m",
            "1.5h",
            "5 m",
            "10x",
            "30m1h",
            "5m5m",
            "99999999d",
            "99999999999999999999s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("10").unwrap_err().contains("`10m` for minutes"));
        for (written, meant) in [
            ("10min", "10m"),
            ("1 hour", "1h"),
            ("5 m", "5m"),
            ("2 Weeks", "14d"),
            ("90 secs", "90s"),
        ] {
            let told = parse(written).unwrap_err();
            assert!(told.ends_with(&format!("found `{written}`; write `{meant}`")), "{told}");
            assert!(parse(meant).is_ok(), "{meant}");
        }
        assert!(parse("a day").unwrap_err().ends_with("found `a day`"));
    }

    #[test]
    fn print_is_the_inverse_of_parse() {
        for text in ["90s", "1m", "1h30m", "24h", "7d", "1d2h3m4s5ms", "0s"] {
            let duration = parse(text).unwrap();
            assert_eq!(parse(&print(duration)).unwrap(), duration);
        }
        assert_eq!(print(Duration::from_mins(90)), "1h30m");
    }
}

//! A record's bytes as they can stand inside JSON: an object as it is, anything else as a string.

use std::borrow::Cow;
use std::io::Write as _;

use serde_json::value::RawValue;

/// What a record's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A JSON object, letter by letter as its product wrote it.
    Object(&'a str),
    /// Anything else: text, a JSON scalar or array, or bytes that are not even UTF-8 (shown with
    /// the replacement character, the only thing ever changed).
    Text(Cow<'a, str>),
}

impl<'a> Payload<'a> {
    /// Looks at a record's bytes. `None` if nothing is there: empty, or only white space.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii();
        if bytes.is_empty() {
            return None;
        }
        if bytes.first() == Some(&b'{')
            && let Ok(value) = serde_json::from_slice::<&RawValue>(bytes)
        {
            return Some(Self::Object(value.get()));
        }
        Some(Self::Text(String::from_utf8_lossy(bytes)))
    }

    /// Appends it as a JSON value.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Object(object) => out.extend_from_slice(object.as_bytes()),
            Self::Text(text) => write_string(text, out),
        }
    }
}

/// Appends a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing a string to memory cannot fail.
    let _infallible = serde_json::to_writer(out, text).is_err();
}

/// Appends `,"key":"text"`; nothing if the text is empty.
pub fn write_member(key: &'static str, text: &str, out: &mut Vec<u8>) {
    if text.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    write_string(text, out);
}

/// Appends milliseconds as seconds with a fraction of three digits.
pub fn write_seconds(millis: i64, out: &mut Vec<u8>) {
    let sign = if millis < 0 { "-" } else { "" };
    let (seconds, rest) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    // Writing to memory cannot fail.
    let _infallible = write!(out, "{sign}{seconds}.{rest:03}").is_err();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        Payload::of(bytes)?.write(&mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_object_is_spliced_letter_by_letter() {
        let odd =
            r#"{ "n": 1e999, "big": 123456789012345678901234567890, "a":1, "a":2, "u":"\ud800" }"#;
        assert_eq!(written(odd.as_bytes()).as_deref(), Some(odd));
        assert_eq!(written(b"\xef\xbb\xbf {\"a\":1}\n").as_deref(), Some("{\"a\":1}"));
    }

    #[test]
    fn whatever_is_no_object_becomes_a_string() {
        for (bytes, expected) in [
            (b"plain \"text\"".as_slice(), r#""plain \"text\"""#),
            (b"[1,2]", r#""[1,2]""#),
            (b"{\"a\":1", r#""{\"a\":1""#),
            (b"{\"a\":1}{}", r#""{\"a\":1}{}""#),
            (b"{\"a\":\"\xff\"}", "\"{\\\"a\\\":\\\"\u{fffd}\\\"}\""),
            (b"null", r#""null""#),
        ] {
            let written = written(bytes).unwrap();
            assert_eq!(written, expected);
            assert!(serde_json::from_str::<String>(&written).is_ok());
        }
        assert_eq!(written(b""), None);
        assert_eq!(written(b" \n"), None);
    }

    #[test]
    fn seconds_keep_their_milliseconds() {
        for (millis, text) in
            [(1_767_614_400_120, "1767614400.120"), (5, "0.005"), (-1500, "-1.500"), (0, "0.000")]
        {
            let mut out = Vec::new();
            write_seconds(millis, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}

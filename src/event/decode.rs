//! Bytes in, wanted slots out: the one place where a record is read.
//!
//! The guards come first (size, UTF-8, depth), then the walk. Today `serde_json` walks (`visit`); a
//! scanner of our own would stand beside it and hand it whatever surprises: it would be called from
//! [`Decoder::decode`] alone, and the property test here would hold the two equal.
//!
//! How a record is read is written down in RULES §2: arrays are walked through, dots in keys are
//! path steps, null is the same as missing, and a path that something reads and that is named twice
//! makes the record malformed, for other engines read such records otherwise. Whole elements are
//! found under a key of their own only: `{"t.x": 1}` has no element at `t`. What nobody reads is
//! held to JSON's grammar but not looked into: a lone surrogate or a number beyond all floats does
//! no harm there.

use std::fmt;

use super::field::FieldName;
use super::layout::Layout;
use super::plan::Plan;
use super::record::Event;
use super::visit;

/// How much of a record is read at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a record.
    pub bytes: usize,
    /// Levels of objects and arrays in one another; at most [`Limits::MAX_DEPTH`].
    pub depth: usize,
}

impl Limits {
    /// The walk recurses once per level; more than this is refused whatever the setting says.
    pub const MAX_DEPTH: usize = 100;
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 20, depth: 64 }
    }
}

/// What is wrong with a record's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// Not JSON, or JSON but not an object.
    NotJson(String),
    /// Not UTF-8 from this byte on.
    NotUtf8(usize),
    /// More levels than allowed.
    TooDeep(usize),
    /// This many bytes, more than allowed.
    TooBig(usize),
    /// This path, which something reads, is named twice.
    DuplicateKey(String),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(why) => f.write_str(why),
            Self::NotUtf8(at) => write!(f, "expected UTF-8, found other bytes at {at}"),
            Self::TooDeep(limit) => write!(f, "nested deeper than {limit} levels"),
            Self::TooBig(bytes) => write!(f, "{bytes} bytes"),
            Self::DuplicateKey(path) => write!(f, "`{path}` is named twice"),
        }
    }
}

/// Reads records into the slots of one layout.
#[derive(Debug)]
pub struct Decoder {
    plan: Plan,
    limits: Limits,
}

impl Decoder {
    /// A decoder for a layout that does not grow any more. `json` are the `raw.…` paths where a
    /// JSON document may arrive as a string.
    pub fn new(layout: &Layout, json: &[FieldName], limits: Limits) -> Self {
        Self { plan: Plan::new(layout, json), limits }
    }

    /// Fills the `raw.…` slots of an event of the same layout. After an error the event is not to
    /// be used.
    pub fn decode(&self, payload: &[u8], event: &mut Event) -> Result<(), Malformed> {
        if payload.len() > self.limits.bytes {
            return Err(Malformed::TooBig(payload.len()));
        }
        let text = std::str::from_utf8(payload)
            .map_err(|error| Malformed::NotUtf8(error.valid_up_to()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let depth = self.limits.depth.min(Limits::MAX_DEPTH);
        if is_deeper(text, depth) {
            return Err(Malformed::TooDeep(depth));
        }
        match text.trim_start_matches([' ', '\t', '\r', '\n']).chars().next() {
            Some('{') => visit::walk(&self.plan, depth, text, event),
            Some(other) => Err(Malformed::NotJson(format!("expected an object, found `{other}`"))),
            None => Err(Malformed::NotJson("expected an object, found nothing".to_owned())),
        }
    }
}

/// Whether brackets outside of strings nest deeper than `limit`. Exact for JSON; for anything else
/// some answer, for then the parser refuses it.
pub(super) fn is_deeper(text: &str, limit: usize) -> bool {
    // Fewer opening brackets than levels, strings included, cannot nest too deep; nearly every
    // record ends here. `[` and `{` differ in one bit; short runs let the sum stay in bytes.
    let opening = |run: &[u8]| run.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    if text.as_bytes().chunks(255).map(|run| usize::from(opening(run))).sum::<usize>() <= limit {
        return false;
    }
    let mut depth = 0_usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => {
                        bytes.next();
                    }
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
    }
    false
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;

//! The values that fields hold: JSON's scalars without null, which is the same as missing.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::base::Timestamp;

/// One value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// `true` or `false`; equal to the texts `true` and `false`.
    Bool(bool),
    /// A number of the record.
    Number(Number),
    /// A text of the record, escapes decoded; shared, for it goes from the record to the common
    /// fields and on with every signal.
    Text(Arc<str>),
}

/// A JSON number, exact for 64-bit integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer in range.
    Int(i64),
    /// An integer above `i64::MAX`.
    Large(u64),
    /// Anything else; always finite.
    Float(f64),
}

/// Never NaN.
impl Eq for Number {}

impl Number {
    /// Reads a text in JSON's grammar of numbers (`3`, `-0.5e3`; not `03`, `+3`, `.5`, `NaN`).
    pub fn parse(text: &str) -> Option<Self> {
        // Space around a number is JSON's, but not the number's.
        let (first, last) = (text.as_bytes().first()?, text.as_bytes().last()?);
        if !(*first == b'-' || first.is_ascii_digit()) || !last.is_ascii_digit() {
            return None;
        }
        serde_json::from_str::<serde_json::Number>(text).ok().as_ref().and_then(Self::from_json)
    }

    /// From a parsed JSON number.
    pub fn from_json(number: &serde_json::Number) -> Option<Self> {
        if let Some(int) = number.as_i64() {
            Some(Self::Int(int))
        } else if let Some(large) = number.as_u64() {
            Some(Self::Large(large))
        } else {
            number.as_f64().filter(|f| f.is_finite()).map(Self::Float)
        }
    }

    /// The nearest floating point number.
    #[expect(clippy::cast_precision_loss, reason = "asked for by name")]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(n) => n as f64,
            Self::Large(n) => n as f64,
            Self::Float(n) => n,
        }
    }

    /// Compares by value: integers exactly, also against floats.
    pub fn compare(self, other: Self) -> Ordering {
        match (self.as_i128(), other.as_i128()) {
            (Some(a), Some(b)) => a.cmp(&b),
            (Some(a), None) => compare_mixed(a, other.as_f64()),
            (None, Some(b)) => compare_mixed(b, self.as_f64()).reverse(),
            (None, None) => self.as_f64().total_cmp(&other.as_f64()),
        }
    }

    /// The integer this number is, also when it was written `3.0` or `3e2`.
    #[expect(clippy::cast_possible_truncation, reason = "guarded by the range")]
    fn as_i128(self) -> Option<i128> {
        match self {
            Self::Int(n) => Some(n.into()),
            Self::Large(n) => Some(n.into()),
            Self::Float(n) => (n.fract() == 0.0 && n.abs() < 1e30).then_some(n as i128),
        }
    }
}

/// `a` against a float that is not an integer or is beyond 1e30.
fn compare_mixed(a: i128, b: f64) -> Ordering {
    if b.abs() >= 1e30 {
        return if b > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    #[expect(clippy::cast_possible_truncation, reason = "|b| < 1e30")]
    let floor = b.floor() as i128;
    if a <= floor { Ordering::Less } else { Ordering::Greater }
}

impl fmt::Display for Number {
    /// The shortest text: `3` for `3`, `3.0` and `3e0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_i128(), self) {
            (Some(n), _) => write!(f, "{n}"),
            (None, Self::Float(n)) => write!(f, "{n}"),
            (None, _) => Ok(()),
        }
    }
}

impl Scalar {
    /// From a JSON scalar; `None` for null, arrays and objects.
    pub fn from_json(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::Bool(b) => Some(Self::Bool(*b)),
            serde_json::Value::Number(n) => Number::from_json(n).map(Self::Number),
            serde_json::Value::String(s) => Some(Self::Text(s.as_str().into())),
            serde_json::Value::Null
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => None,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Bool(b) => (*b).into(),
            Self::Number(Number::Int(n)) => (*n).into(),
            Self::Number(Number::Large(n)) => (*n).into(),
            Self::Number(Number::Float(n)) => (*n).into(),
            Self::Text(t) => t.as_ref().into(),
        }
    }

    /// The start of a text that is longer than `bytes`, with `…` behind it; `None` when all of it fits.
    pub fn cut(&self, bytes: usize) -> Option<Self> {
        let text = self.as_text().filter(|text| text.len() > bytes)?;
        let start = text.get(..text.floor_char_boundary(bytes)).unwrap_or_default();
        Some(Self::Text(format!("{start}…").into()))
    }

    /// What is shown of it where there is room for so many bytes of text: [`Self::cut`], or all of it.
    #[must_use]
    pub fn shortened(&self, bytes: usize) -> Self {
        self.cut(bytes).unwrap_or_else(|| self.clone())
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(t) => Some(t),
            Self::Bool(_) | Self::Number(_) => None,
        }
    }

    /// The number it is or, for a text, reads as.
    pub fn as_number(&self) -> Option<Number> {
        match self {
            Self::Number(n) => Some(*n),
            Self::Text(t) => Number::parse(t),
            Self::Bool(_) => None,
        }
    }

    /// The time that a text reads as (RFC 3339 or a date).
    pub fn as_time(&self) -> Option<Timestamp> {
        self.as_text().and_then(Timestamp::parse)
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(t) => f.write_str(t),
        }
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Self::Large(number), Self::Int)
    }
}

impl From<u64> for Scalar {
    fn from(number: u64) -> Self {
        Self::Number(number.into())
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

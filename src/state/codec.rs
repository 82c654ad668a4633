//! Compact bytes: varints, zigzag, length-prefixed texts and scalars. Reading never panics, whatever
//! the bytes: every fault is a [`Broken`] that says what was expected.

use std::sync::Arc;

use crate::base::{Position, Timestamp};
use crate::event::{Number, Scalar};

/// Bytes that are not what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("broken bytes: expected {0}")]
pub struct Broken(pub &'static str);

/// Appends an unsigned number, seven bits a byte, the lowest first.
pub fn put_u64(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a signed number; small ones of either sign stay short.
pub fn put_i64(out: &mut Vec<u8>, number: i64) {
    put_u64(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Appends a count or an index.
pub fn put_len(out: &mut Vec<u8>, len: usize) {
    put_u64(out, len as u64);
}

/// Appends bytes with their length before them.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a text with its length before it.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Appends a time.
pub fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    put_i64(out, time.as_millis());
}

/// Appends a value of a field.
pub fn put_scalar(out: &mut Vec<u8>, scalar: &Scalar) {
    match scalar {
        Scalar::Bool(false) => out.push(0),
        Scalar::Bool(true) => out.push(1),
        Scalar::Number(Number::Int(n)) => {
            out.push(2);
            put_i64(out, *n);
        }
        Scalar::Number(Number::Large(n)) => {
            out.push(3);
            put_u64(out, *n);
        }
        Scalar::Number(Number::Float(n)) => {
            out.push(4);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Scalar::Text(text) => {
            out.push(5);
            put_text(out, text);
        }
    }
}

/// Appends a record's place.
pub fn put_position(out: &mut Vec<u8>, position: &Position) {
    put_text(out, &position.topic);
    put_i64(out, position.partition.into());
    put_i64(out, position.offset);
}

/// Reads what the `put_` functions wrote, from the front.
#[derive(Debug, Clone)]
pub struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// Starts at the front.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.0.split_first().ok_or(Broken("another byte"))?;
        self.0 = rest;
        Ok(*first)
    }

    /// An unsigned number of at most 64 bits.
    pub fn u64(&mut self) -> Result<u64, Broken> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Broken("a number of 64 bits"))
    }

    /// A signed number.
    pub fn i64(&mut self) -> Result<i64, Broken> {
        let number = self.u64()?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    /// A count, each counted thing having at least one byte: never more than the bytes that are left,
    /// so that no length makes a reader reserve what was never sent.
    pub fn count(&mut self) -> Result<usize, Broken> {
        let len = usize::try_from(self.u64()?).map_err(|_| Broken("a length"))?;
        if len > self.0.len() { Err(Broken("a length within the record")) } else { Ok(len) }
    }

    /// Exactly `len` bytes without a length before them.
    pub fn take(&mut self, len: usize) -> Result<&'b [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Broken("more bytes"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Eight bytes as they stand: hashes.
    pub fn fixed(&mut self) -> Result<u64, Broken> {
        let bytes = self.take(8)?.try_into().map_err(|_| Broken("eight bytes"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Bytes with their length before them.
    pub fn bytes(&mut self) -> Result<&'b [u8], Broken> {
        let len = self.count()?;
        self.take(len)
    }

    /// A text with its length before it.
    pub fn text(&mut self) -> Result<&'b str, Broken> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Broken("text in UTF-8"))
    }

    /// A time.
    pub fn time(&mut self) -> Result<Timestamp, Broken> {
        Timestamp::try_from_millis(self.i64()?).ok_or(Broken("a time between the years 0 and 9999"))
    }

    /// A value of a field.
    pub fn scalar(&mut self) -> Result<Scalar, Broken> {
        Ok(match self.byte()? {
            0 => Scalar::Bool(false),
            1 => Scalar::Bool(true),
            2 => Scalar::Number(Number::Int(self.i64()?)),
            3 => Scalar::Number(Number::Large(self.u64()?)),
            4 => {
                let float = f64::from_bits(self.fixed()?);
                if !float.is_finite() {
                    return Err(Broken("a finite number"));
                }
                Scalar::Number(Number::Float(float))
            }
            5 => Scalar::Text(self.text()?.into()),
            _ => return Err(Broken("a kind of value")),
        })
    }

    /// A record's place.
    pub fn position(&mut self) -> Result<Position, Broken> {
        let topic: Arc<str> = self.text()?.into();
        let partition = i32::try_from(self.i64()?).map_err(|_| Broken("a partition"))?;
        Ok(Position { topic, partition, offset: self.i64()? })
    }

    /// Everything that is left.
    pub fn rest(self) -> &'b [u8] {
        self.0
    }

    /// Says that nothing may be left.
    pub fn end(self) -> Result<(), Broken> {
        if self.0.is_empty() { Ok(()) } else { Err(Broken("the end of the record")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_read_back(unsigned: u64, signed: i64) {
            let mut bytes = Vec::new();
            put_u64(&mut bytes, unsigned);
            put_i64(&mut bytes, signed);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.u64(), Ok(unsigned));
            prop_assert_eq!(reader.i64(), Ok(signed));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn texts_and_floats_read_back(text: String, float in prop::num::f64::NORMAL) {
            let mut bytes = Vec::new();
            put_scalar(&mut bytes, &Scalar::from(text.as_str()));
            put_scalar(&mut bytes, &Scalar::Number(Number::Float(float)));
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.scalar(), Ok(Scalar::from(text.as_str())));
            prop_assert_eq!(reader.scalar(), Ok(Scalar::Number(Number::Float(float))));
        }
    }

    #[test]
    fn the_edges_of_numbers() {
        for number in [0, 1, 127, 128, u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_u64(&mut bytes, number);
            assert_eq!(Reader::new(&bytes).u64(), Ok(number));
        }
        // Eleven bytes, and ten bytes of which the last holds more than the 64th bit.
        assert!(Reader::new(&[0xff; 11]).u64().is_err());
        assert!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).u64().is_err()
        );
    }

    #[test]
    fn a_length_beyond_the_record_is_refused_before_anything_is_reserved() {
        let mut bytes = Vec::new();
        put_u64(&mut bytes, u64::MAX >> 1);
        assert_eq!(Reader::new(&bytes).count(), Err(Broken("a length within the record")));
    }
}

//! Records as roles see them: in from a partition, out to a topic. No client types, so that a role's
//! tests need no broker.

use std::fmt;
use std::sync::Arc;

use rdkafka::message::{BorrowedHeaders, Headers as _};

use super::Error;
use crate::base::{Position, Timestamp};

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name, shared.
    pub topic: Arc<str>,
    /// The partition's number, 0 or more.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition from its parts.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    /// `topic:partition`, the beginning of a [`Position`]'s text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.topic, self.partition)
    }
}

/// A record that was read. It borrows from the client's buffer: nothing is copied.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Where it was read.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The record's own time: when it was produced or appended, as the topic is configured.
    pub timestamp: Option<Timestamp>,
    /// The key's bytes.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: Headers<'a>,
}

impl Record<'_> {
    /// Its place as a value that outlives it.
    pub fn position(&self) -> Position {
        Position::new(self.topic, self.partition, self.offset)
    }
}

/// A record's headers.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a>(Source<'a>);

#[derive(Clone, Copy, Default)]
enum Source<'a> {
    #[default]
    None,
    Kafka(&'a BorrowedHeaders),
    List(&'a [(&'a str, &'a [u8])]),
}

impl<'a> Headers<'a> {
    pub(super) fn kafka(headers: Option<&'a BorrowedHeaders>) -> Self {
        Self(headers.map_or(Source::None, Source::Kafka))
    }

    /// Headers from a list, for records that come from a test.
    pub const fn list(headers: &'a [(&'a str, &'a [u8])]) -> Self {
        Self(Source::List(headers))
    }

    /// Name and value of each; a header without value has an empty one.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let source = self.0;
        let count = match source {
            Source::None => 0,
            Source::Kafka(headers) => headers.count(),
            Source::List(list) => list.len(),
        };
        (0..count).filter_map(move |index| match source {
            Source::None => None,
            Source::Kafka(headers) => {
                let header = headers.try_get(index)?;
                Some((header.key, header.value.unwrap_or_default()))
            }
            Source::List(list) => list.get(index).copied(),
        })
    }

    /// The first header of that name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A record to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutRecord<'a> {
    /// Where it goes.
    pub topic: &'a str,
    /// Its partition; `None` leaves it to the hash of the key.
    pub partition: Option<i32>,
    /// The key's bytes.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The record's time; `None` means now.
    pub timestamp: Option<Timestamp>,
}

impl OutRecord<'_> {
    /// The bytes that count against [`RECORD_BYTES_MAX`].
    pub fn bytes(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum();
        self.key
            .map_or(0, <[u8]>::len)
            .saturating_add(self.payload.map_or(0, <[u8]>::len))
            .saturating_add(headers)
    }
}

/// The largest record that Hark produces: below a broker's default `message.max.bytes` of 1 MiB,
/// with room for what the batch around it costs.
pub const RECORD_BYTES_MAX: usize = 1_000_000;

/// Where a role puts what it produces.
pub trait Output {
    /// Hands a record over. It is only certain to be written when the worker's cycle ends well;
    /// until then no source offset moves. [`Error::TooLarge`] is the one error that a role may want
    /// to answer itself; it passes every other on.
    fn send(&mut self, record: OutRecord<'_>) -> Result<(), Error>;
}

/// A record that [`Memory`] was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where it goes.
    pub topic: String,
    /// Its partition, if the sender chose one.
    pub partition: Option<i32>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes.
    pub payload: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The record's time, if the sender chose one.
    pub timestamp: Option<Timestamp>,
}

/// An output that keeps what it was given, for tests of roles.
#[derive(Debug, Default)]
pub struct Memory {
    /// What was sent, in order.
    pub sent: Vec<Sent>,
}

impl Output for Memory {
    fn send(&mut self, record: OutRecord<'_>) -> Result<(), Error> {
        check_size(&record)?;
        self.sent.push(Sent {
            topic: record.topic.to_owned(),
            partition: record.partition,
            key: record.key.map(<[u8]>::to_vec),
            payload: record.payload.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect(),
            timestamp: record.timestamp,
        });
        Ok(())
    }
}

/// Refuses what a broker would refuse, before it is queued.
pub(super) fn check_size(record: &OutRecord<'_>) -> Result<(), Error> {
    let bytes = record.bytes();
    if bytes <= RECORD_BYTES_MAX {
        return Ok(());
    }
    Err(Error::TooLarge { topic: record.topic.to_owned(), bytes, max: RECORD_BYTES_MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_record_passes_and_one_byte_more_does_not() {
        let payload = vec![b'x'; RECORD_BYTES_MAX];
        let mut out = Memory::default();
        let record = OutRecord { topic: "t", payload: Some(&payload), ..OutRecord::default() };
        out.send(record).unwrap();
        let error = out.send(OutRecord { key: Some(b"k"), ..record }).unwrap_err();
        assert!(matches!(error, Error::TooLarge { bytes, .. } if bytes == RECORD_BYTES_MAX + 1));
        assert_eq!(out.sent.len(), 1);
    }

    #[test]
    fn headers_are_found_by_name_in_order() {
        let list: [(&str, &[u8]); 3] = [("a", b"1"), ("b", b"2"), ("a", b"3")];
        let headers = Headers::list(&list);
        assert_eq!(headers.get("a"), Some(&b"1"[..]));
        assert_eq!(headers.get("c"), None);
        assert_eq!(headers.iter().count(), 3);
        assert_eq!(Headers::default().iter().count(), 0);
    }
}

//! Records on their way to a sink, encoded and gathered into batches.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::Outcome;
use crate::base::document::Table;
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics, Severity, Timestamp, clock};

/// What a forwarded record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedKind {
    /// A record of an audit topic, as its product wrote it.
    Event,
    /// A record of the `alerts` topic.
    Alert,
}

impl ForwardedKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Alert => "alert",
        }
    }
}

/// One record for a sink: the bytes as they stand in Kafka, and what is known about them.
#[derive(Debug, Clone)]
pub struct Forwarded<'a> {
    /// By which a repeat is recognised: the mapped `event.id`, else `topic:partition:offset`; an alert's id and revision.
    pub id: &'a str,
    /// Event or alert.
    pub kind: ForwardedKind,
    /// When it happened.
    pub time: Timestamp,
    /// Where it stands in Kafka.
    pub topic: &'a str,
    /// Where it stands in Kafka.
    pub partition: i32,
    /// Where it stands in Kafka.
    pub offset: i64,
    /// The mapping's name; empty if none fits.
    pub dataset: &'a str,
    /// One line for people; empty if there is none.
    pub title: &'a str,
    /// How bad it is, if that is known.
    pub severity: Option<Severity>,
    /// The original bytes.
    pub payload: &'a [u8],
}

/// The key `batch` of every sink; defaults and bounds are each sink's own.
pub const BATCH: KeySpec = KeySpec::optional(
    "batch",
    Shape::Table(&[
        KeySpec::optional("records", Shape::Count, "", "At most so many records."),
        KeySpec::optional("bytes", Shape::Count, "", "At most so many bytes, before compression."),
        KeySpec::optional("age", Shape::Duration, "", "Sent at the latest after this long."),
    ]),
    "",
    "How much goes into one request.",
);

/// How much goes into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// At most so many records.
    pub records: usize,
    /// At most so many bytes before compression, unless one record alone is larger.
    pub bytes: usize,
    /// Sent when its first record has waited so long, however small it is.
    pub age: Duration,
}

impl BatchLimits {
    /// Reads `batch = { records, bytes, age }`; `self` has the defaults, `most` what the receiver takes.
    #[must_use]
    pub fn read(mut self, table: &mut Table<'_>, most: &Self, found: &mut Diagnostics) -> Self {
        let Some(mut table) = table.table("batch", found) else { return self };
        for (key, place, most) in
            [("records", &mut self.records, most.records), ("bytes", &mut self.bytes, most.bytes)]
        {
            let Some(count) = table.count(key, found) else { continue };
            match usize::try_from(count.value) {
                Ok(value) if value <= most => *place = value,
                _ => found.push(Diagnostic::error(
                    "out-of-range",
                    count.span,
                    format!("expected at most {most}, found `{}`", count.value),
                )),
            }
        }
        if let Some(age) = table.duration("age", found) {
            if age.value <= most.age {
                self.age = age.value;
            } else {
                found.push(Diagnostic::error(
                    "out-of-range",
                    age.span,
                    format!("expected at most {}", crate::base::duration::print(most.age)),
                ));
            }
        }
        table.finish(found);
        self
    }
}

/// The bytes around the records of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// Before the first: `[`.
    pub open: &'static [u8],
    /// Between two: `,`.
    pub between: &'static [u8],
    /// After the last: `]`.
    pub close: &'static [u8],
}

/// A system that stores records. It makes one attempt; [`super::Destination`] does the rest.
pub trait Sink: fmt::Debug + Send + Sync {
    /// How records stand together in a request.
    fn framing(&self) -> Framing;

    /// Appends one record to `out`; an error is the reason why the sink cannot take it. `now` is for
    /// receivers that refuse what is too old.
    fn encode(
        &self,
        record: &Forwarded<'_>,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<(), String>;

    /// Tries once to send a body: framed records, gzipped.
    fn send(&self, body: Vec<u8>) -> BoxFuture<'_, Outcome>;
}

/// What became of a record offered to a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It is in.
    Added,
    /// It did not fit; send the batch and offer it to the next one.
    Full,
    /// The sink cannot take it at all, because.
    Rejected(String),
}

/// Encoded records, back to back, ready to be sent together or in parts.
#[derive(Debug)]
pub struct Batch {
    framing: Framing,
    limits: BatchLimits,
    /// The records with the framing's `between` already between them.
    bytes: Vec<u8>,
    /// Where each record stands in `bytes`.
    records: Vec<Range<usize>>,
    /// When the first record came in.
    opened: Option<Instant>,
}

impl Batch {
    /// An empty batch.
    pub fn new(framing: Framing, limits: BatchLimits) -> Self {
        Self { framing, limits, bytes: Vec::new(), records: Vec::new(), opened: None }
    }

    /// Offers a record. One that alone is larger than a batch may be travels alone.
    pub fn push(&mut self, sink: &dyn Sink, record: &Forwarded<'_>, now: Timestamp) -> Pushed {
        if self.records.len() >= self.limits.records {
            return Pushed::Full;
        }
        let before = self.bytes.len();
        if !self.records.is_empty() {
            self.bytes.extend_from_slice(self.framing.between);
        }
        let start = self.bytes.len();
        if let Err(reason) = sink.encode(record, now, &mut self.bytes) {
            self.bytes.truncate(before);
            return Pushed::Rejected(reason);
        }
        let whole = self.framing.open.len() + self.bytes.len() + self.framing.close.len();
        if whole > self.limits.bytes && !self.records.is_empty() {
            self.bytes.truncate(before);
            return Pushed::Full;
        }
        self.records.push(start..self.bytes.len());
        self.opened.get_or_insert_with(clock::instant);
        Pushed::Added
    }

    /// How many records are in.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none is in.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// When it has to go even if it is not full; `None` while it is empty.
    pub fn due(&self) -> Option<Instant> {
        self.opened.and_then(|opened| opened.checked_add(self.limits.age))
    }

    /// The body of a request with the records of `range`.
    pub fn body(&self, range: &Range<usize>) -> [&[u8]; 3] {
        let start = self.records.get(range.start).map_or(0, |r| r.start);
        let end =
            self.records.get(range.start..range.end).and_then(<[_]>::last).map_or(start, |r| r.end);
        [self.framing.open, self.bytes.get(start..end).unwrap_or_default(), self.framing.close]
    }
}

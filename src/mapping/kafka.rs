//! The `kafka.…` fields: what a record says beside its payload.

use crate::event::{Event, FieldId, FieldName, Layout, Number, Scalar, Segment, Wanted};

use super::RawRecord;

/// The `kafka.…` fields that a layout wants.
#[derive(Debug)]
pub(super) struct KafkaFields(Vec<(FieldId, Part)>);

#[derive(Debug)]
enum Part {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Header(String),
    /// Everything whose name the pattern meets.
    Pattern(FieldName),
}

impl KafkaFields {
    pub(super) fn new(layout: &Layout) -> Self {
        let of = |wanted: &Wanted| match wanted {
            Wanted::Values(name) => part(name),
            Wanted::Elements(_) | Wanted::Present(_) | Wanted::AnyText => None,
        };
        Self(layout.iter().filter_map(|(slot, wanted)| Some((slot, of(wanted)?))).collect())
    }

    pub(super) fn fill(&self, record: &RawRecord<'_>, event: &mut Event) {
        for (slot, part) in &self.0 {
            match part {
                Part::Header(name) => {
                    for (own, value) in &record.headers {
                        if own == name {
                            event.extend(*slot, text(value));
                        }
                    }
                }
                Part::Pattern(pattern) => {
                    for (name, own) in PARTS {
                        if pattern.matches(name) {
                            event.extend(*slot, single(own, record));
                        }
                    }
                    for (name, value) in &record.headers {
                        if pattern.matches(&format!("kafka.headers.{name}")) {
                            event.extend(*slot, text(value));
                        }
                    }
                }
                single_part => event.extend(*slot, single(single_part, record)),
            }
        }
    }
}

const PARTS: &[(&str, Part)] = &[
    ("kafka.topic", Part::Topic),
    ("kafka.partition", Part::Partition),
    ("kafka.offset", Part::Offset),
    ("kafka.timestamp", Part::Timestamp),
    ("kafka.key", Part::Key),
];

/// `*` alone is every common field and all of raw, but nothing of Kafka's; a pattern has to say so.
fn part(name: &FieldName) -> Option<Part> {
    match name.segments() {
        [Segment::Key(first), ..] if first.as_ref() != "kafka" => None,
        _ if name.is_pattern() => Some(Part::Pattern(name.clone())),
        [_, Segment::Key(second)] => match second.as_ref() {
            "topic" => Some(Part::Topic),
            "partition" => Some(Part::Partition),
            "offset" => Some(Part::Offset),
            "timestamp" => Some(Part::Timestamp),
            "key" => Some(Part::Key),
            _ => None,
        },
        [_, Segment::Key(second), ..] if second.as_ref() == "headers" => {
            name.dotted().strip_prefix("kafka.headers.").map(|name| Part::Header(name.to_owned()))
        }
        _ => None,
    }
}

fn single(part: &Part, record: &RawRecord<'_>) -> Option<Scalar> {
    let position = &record.position;
    match part {
        Part::Topic => Some((&*position.topic).into()),
        Part::Partition => Some(Scalar::Number(Number::Int(position.partition.into()))),
        Part::Offset => Some(Scalar::Number(Number::Int(position.offset))),
        Part::Timestamp => record.timestamp.map(|time| time.to_string().as_str().into()),
        Part::Key => record.key.and_then(text),
        Part::Header(_) | Part::Pattern(_) => None,
    }
}

/// Bytes that are no UTF-8 have no value that a query could compare.
fn text(bytes: &[u8]) -> Option<Scalar> {
    std::str::from_utf8(bytes).ok().map(Scalar::from)
}

//! From a record of the past, in a file or in a topic, to an event: through its own mapping, a named one, or none.

use std::sync::Arc;

use crate::base::{Position, Timestamp};
use crate::event::Event;
use crate::mapping::{Common, Edits, Mappings, RawRecord, Reason, Unusable};

/// The topic that records are said to stand in, unless another is named.
pub const TOPIC: &str = "replay";

/// How records become events.
#[derive(Debug)]
pub enum Through {
    /// Each record through the mapping that takes it, as if it stood in this topic.
    Detected(Mappings, Arc<str>),
    /// All of them through the mapping of that name.
    Named(Mappings, Arc<str>),
    /// Through none: they are events in common fields already.
    Nothing(Common),
}

/// What becomes of a record without a time of its own: a file has no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeless {
    /// It is no event: windows could not place it.
    Refused,
    /// It is an event at the end of time, for those who do not ask for its time.
    Taken,
}

impl Through {
    /// The event that record number `index` is.
    pub fn event(&self, payload: &[u8], index: u64, timeless: Timeless) -> Result<Event, Unusable> {
        let position = self.position(index);
        let record =
            RawRecord { position, timestamp: None, key: None, headers: Vec::new(), payload };
        // There is no present here, so that nothing is cut to it; and a record without a time of
        // its own would be one from the end of time.
        let now = Timestamp::MAX;
        let event = match self {
            Self::Detected(mappings, _) => mappings.event(&record, now)?,
            Self::Named(mappings, name) => {
                mappings.sample(name, &record, now, &Edits::default())?
            }
            Self::Nothing(common) => {
                let default = (timeless == Timeless::Taken).then_some(now);
                common.event(payload, record.position, default)?
            }
        };
        if event.time == now && timeless == Timeless::Refused {
            let mapping = &event.mapping;
            let why = format!("no time of its own that the mapping `{mapping}` finds");
            return Err(Unusable::new(Reason::BadTime, why));
        }
        Ok(event)
    }

    /// The event that a record is which stands in a topic, as live: a time too far ahead of `now` is
    /// cut to it, and a record without a time of its own has its topic's.
    pub fn event_of_topic(
        &self,
        record: &RawRecord<'_>,
        now: Timestamp,
    ) -> Result<Event, Unusable> {
        match self {
            Self::Detected(mappings, _) => mappings.event(record, now),
            Self::Named(mappings, name) => mappings.sample(name, record, now, &Edits::default()),
            Self::Nothing(common) => {
                common.event(record.payload, record.position.clone(), record.timestamp)
            }
        }
    }

    /// Where record number `index` is said to stand.
    pub fn position(&self, index: u64) -> Position {
        let offset = i64::try_from(index).unwrap_or(i64::MAX);
        let topic = match self {
            Self::Detected(_, topic) => topic.clone(),
            Self::Named(..) | Self::Nothing(_) => TOPIC.into(),
        };
        Position { topic, partition: 0, offset }
    }
}

/// What the tests of this folder read records through.
#[cfg(test)]
pub(super) mod door {
    use super::Through;
    use crate::base::diagnostic::SourceText;
    use crate::event::Layout;
    use crate::mapping::{Common, Mappings, Options, Tables};
    use crate::query::Sets;

    const DOOR: &str = r#"
detect = 'raw.door: *'
[fields]
"@timestamp" = "when"
"user.name"  = "who"
"#;

    /// Records are common fields already.
    pub(in crate::replay) fn common(layout: &Layout) -> Through {
        Through::Nothing(Common::new(layout, Options::default()))
    }

    /// One mapping, of records with a `door`.
    pub(in crate::replay) fn detected(layout: &Layout) -> Through {
        let door = [SourceText::new("door.toml", DOOR)];
        let (sets, options) = (Sets::new(), Options::default());
        let (mappings, found) = Mappings::load(&door, &Tables::new(), layout, &sets, options);
        assert!(found.is_empty(), "{found:?}");
        Through::Detected(mappings, "t".into())
    }
}

//! One query over records of the past, a record at a time: what `hark match` asks.
//!
//! A record that no mapping takes is no event, and a rule would never see it; whoever searches wants
//! to. So it is looked at as it stands: its `raw.…` fields and its text are there, the common fields
//! are missing. Its time is missing, too, and only a query that asks for times refuses it.

use crate::base::{Diagnostic, Timestamp};
use crate::event::decode::{Decoder, Limits};
use crate::event::{Event, FieldName, Layout};
use crate::mapping::{Reason, Unusable};
use crate::query::ast::is_time;
use crate::query::{Matcher, Query, Sets};

use super::through::{Through, Timeless};

/// A compiled query, and the way from a record to an event.
#[derive(Debug)]
pub struct Search {
    matcher: Matcher,
    through: Through,
    timeless: Timeless,
    /// For records that no mapping takes.
    layout: Layout,
    decoder: Decoder,
    reads_common: bool,
}

/// What the query says of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whether the record meets it.
    pub met: bool,
    /// The query reads common fields, and no one mapping takes the record, so that all of them were
    /// missing.
    pub unmapped: bool,
}

impl Search {
    /// Compiles the query; unknown lists and schedules are reported. `through` makes the way from a
    /// record to an event, for the layout of what the query reads.
    pub fn new(
        query: &Query,
        sets: &Sets,
        limits: Limits,
        through: impl FnOnce(&Layout) -> Through,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut layout = Layout::new();
        let matcher = query.compile(&mut layout, sets)?;
        let through = through(&layout);
        let fields = query.fields();
        let mapped = !matches!(through, Through::Nothing(_));
        let timestamp = |field: &FieldName| {
            // A mapping tells patterns the time that it found; of lines in common fields they see
            // what is there.
            is_time(field) || (mapped && field.is_pattern() && field.matches("@timestamp"))
        };
        let timeless =
            if fields.iter().any(timestamp) { Timeless::Refused } else { Timeless::Taken };
        let decoder = Decoder::new(&layout, &[], limits);
        let reads_common = fields.iter().any(FieldName::is_common);
        Ok(Self { matcher, through, timeless, layout, decoder, reads_common })
    }

    /// What the query says of record number `index`; why the record cannot be read.
    pub fn record(&self, payload: &[u8], index: u64) -> Result<Seen, Unusable> {
        let (event, unmapped) = match self.through.event(payload, index, self.timeless) {
            Ok(event) => (event, false),
            Err(why) => (self.as_it_stands(payload, index, why)?, self.reads_common),
        };
        Ok(Seen { met: self.matcher.matches(&event), unmapped })
    }

    /// The event of a record that no mapping takes, or `why` it is none all the same.
    fn as_it_stands(&self, payload: &[u8], index: u64, why: Unusable) -> Result<Event, Unusable> {
        let unmapped = matches!(why.reason, Reason::NoMapping | Reason::AmbiguousMapping);
        if !unmapped || self.timeless == Timeless::Refused {
            return Err(why);
        }
        let position = self.through.position(index);
        let mut event = Event::empty(&self.layout, position, Timestamp::MAX, "".into());
        self.decoder.decode(payload, &mut event)?;
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::through::door;

    fn search(query: &str, common: bool) -> Search {
        let query = Query::parse(query).unwrap();
        let through = |layout: &Layout| {
            if common { door::common(layout) } else { door::detected(layout) }
        };
        Search::new(&query, &Sets::new(), Limits::default(), through).unwrap()
    }

    /// `met`, `unmapped`, or the reason that a record cannot be read.
    fn seen(query: &str, common: bool, record: &str) -> Result<(bool, bool), &'static str> {
        let seen = search(query, common).record(record.as_bytes(), 0);
        seen.map(|seen| (seen.met, seen.unmapped)).map_err(|why| why.reason.code())
    }

    #[test]
    fn a_record_goes_through_its_mapping() {
        let record = r#"{"door": 1, "who": "Eve", "when": "2026-01-05T12:00:00Z"}"#;
        for query in ["user.name: eve and raw.door: 1 and \"EVE\"", "@timestamp > 2026-01-01"] {
            assert_eq!(seen(query, false, record), Ok((true, false)), "{query}");
        }
    }

    #[test]
    fn a_record_that_no_mapping_takes_is_looked_at_as_it_stands() {
        let record = r#"{"who": "Eve"}"#;
        assert_eq!(seen("raw.who: eve and \"EVE\"", false, record), Ok((true, false)));
        assert_eq!(seen("user.name: eve", false, record), Ok((false, true)));
        assert_eq!(seen("not user.name: eve", false, record), Ok((true, true)));
        assert_eq!(seen("raw.who: eve and @timestamp: *", false, record), Err("no_mapping"));
        assert_eq!(seen("raw.who: eve", false, "{who}"), Err("not_json"));
    }

    #[test]
    fn a_time_is_needed_only_where_the_query_asks_for_it() {
        let (door, common) = (r#"{"door": 1, "who": "Eve"}"#, r#"{"user.name": "Eve"}"#);
        for (record, is_common) in [(door, false), (common, true)] {
            assert_eq!(seen("user.name: eve", is_common, record), Ok((true, false)));
            assert_eq!(seen("@timestamp > 2026-01-01", is_common, record), Err("bad_time"));
            assert_eq!(seen("user.name: $@timestamp", is_common, record), Err("bad_time"));
        }
        assert_eq!(seen("*: eve and not *: *9*", true, common), Ok((true, false)));
        assert_eq!(seen("*: eve", false, door), Err("bad_time"));
        let bad = r#"{"@timestamp": "yesterday", "user.name": "Eve"}"#;
        assert_eq!(seen("user.name: eve", true, bad), Err("bad_time"));
    }
}

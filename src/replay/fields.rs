//! What a mapping makes of a record, in common fields: what whoever writes a mapping looks at.

use serde_json::{Map, Value};

use crate::base::Timestamp;
use crate::event::{FieldId, FieldName, Layout, Scalar};
use crate::mapping::Unusable;

use super::through::{Through, Timeless};

const TIME: &str = "@timestamp";

/// The way from a record to fields.
#[derive(Debug)]
pub struct Fields {
    through: Through,
    shown: Vec<(String, FieldId)>,
}

impl Fields {
    /// `wanted` are the fields that are shown where a record has them; `through` makes the way from a
    /// record to an event, for the layout of these.
    pub fn new<'f>(
        wanted: impl IntoIterator<Item = &'f FieldName>,
        through: impl FnOnce(&Layout) -> Through,
    ) -> Self {
        let mut layout = Layout::new();
        let shown = wanted.into_iter().map(|field| (field.dotted(), layout.field(field))).collect();
        Self { through: through(&layout), shown }
    }

    /// The fields of record number `index` by their dotted names: a value, or a list of several. A
    /// record without a time of its own has no `@timestamp`. One that no mapping takes has no fields,
    /// and why not is the error.
    ///
    /// They read back as the same event through [`Through::Nothing`], but for what only the record
    /// itself has: `raw.…` and free text.
    pub fn of(&self, payload: &[u8], index: u64) -> Result<Map<String, Value>, Unusable> {
        let event = self.through.event(payload, index, Timeless::Taken)?;
        let mut fields = Map::new();
        for (name, field) in &self.shown {
            let mut values: Vec<Value> = event.values(*field).iter().map(Scalar::to_json).collect();
            if values.len() > 1 {
                fields.insert(name.clone(), values.into());
            } else if let Some(only) = values.pop() {
                fields.insert(name.clone(), only);
            }
        }
        fields.remove(TIME);
        if event.time != Timestamp::MAX {
            fields.insert(TIME.to_owned(), event.time.to_string().into());
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::through::door;

    /// The fields of a record as a line, or the reason that it has none.
    fn shown(common: bool, record: &str) -> Result<String, &'static str> {
        let wanted = ["@timestamp", "user.name", "source.ip", "event.dataset"];
        let wanted = wanted.map(|name| FieldName::from_keys([name]));
        let fields = Fields::new(&wanted, |layout| {
            if common { door::common(layout) } else { door::detected(layout) }
        });
        let fields = fields.of(record.as_bytes(), 0);
        fields.map(|fields| Value::from(fields).to_string()).map_err(|why| why.reason.code())
    }

    #[test]
    fn they_read_back_as_the_same_event() {
        let record = r#"{"door": 1, "who": ["Eve", "Ann"], "when": "2026-01-05T13:00:00+01:00"}"#;
        let fields = shown(false, record).unwrap();
        let time = r#""@timestamp":"2026-01-05T12:00:00Z""#;
        let expected = format!(r#"{{{time},"event.dataset":"door","user.name":["Eve","Ann"]}}"#);
        assert_eq!(fields, expected);
        assert_eq!(shown(true, &fields), Ok(fields));
    }

    #[test]
    fn a_record_without_a_time_has_none_and_one_without_a_mapping_nothing() {
        let timeless = r#"{"event.dataset":"door","user.name":"Eve"}"#;
        assert_eq!(shown(false, r#"{"door": 1, "who": "Eve"}"#), Ok(timeless.to_owned()));
        assert_eq!(shown(true, timeless), Ok(timeless.to_owned()));
        assert_eq!(shown(false, r#"{"who": "Eve"}"#), Err("no_mapping"));
    }
}

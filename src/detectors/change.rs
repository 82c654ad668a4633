//! `[change]`: the value of a field differs from the one before it.
//!
//! An event is compared with the key's last event before it in (time, position) that has the field, if
//! that is no more than `within` before; without `within`, however long ago that was. An array compares
//! as a set; values are told apart as keys are: numbers by their shortest text, people without case. An
//! event without the field takes no part. The event that differs fires, with both values.
//!
//! How events wait for the clock stands in [`pairs`](super::shared::pairs). Of values only what is shown is
//! kept, and a hash of all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use super::shared::pairs::{Compare, Pairs};
use super::{
    Decides, Detector, DetectorSpec, EVENTS_MAX, Firing, KeyState, Occurrence, Reading, RuleStart,
    one_field,
};
use crate::base::document::Table;
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostics, duration};
use crate::event::{FieldName, Scalar};
use crate::state::codec::{self, Broken, Reader};
use crate::state::timeline::Moment;
use crate::state::{CANONICAL_BYTES, canonical};

/// The detector's entry in the family's table.
pub const SPEC: DetectorSpec = DetectorSpec {
    table: "change",
    summary: "Fires when the value of `field` differs from the key's previous one; both are in the alert.",
    example: r#"title    = "The country of a session changed"
severity = "high"
when     = 'event.category: authentication and event.outcome: success'
group_by = ["user.name"]

[change]
field  = "source.geo.country_iso_code"
within = "4h"

[alert]
title = "{{ user.name }} moved from {{ alert.previous }} to {{ alert.value }}"
"#,
    decides: Decides::OnTheClock,
    keys: &[
        KeySpec::required(
            "field",
            Shape::Field,
            "The field whose value is compared; an array as a set.",
        ),
        KeySpec::optional(
            "within",
            Shape::Duration,
            "however long ago",
            "How old the previous value may be.",
        ),
    ],
    parse,
};

/// The most values of an array that are shown; all of them are compared.
pub const VALUES_SHOWN: usize = 16;

/// The settings of one rule.
#[derive(Debug, Clone)]
struct Change {
    field: FieldName,
    /// Its name, for people's names are compared without case.
    name: String,
    within: Option<Duration>,
}

/// What an event has in the field.
#[derive(Debug, Clone)]
struct Value {
    /// Of the set of all its values.
    hash: u128,
    /// As the event spelt them, without repeats.
    shown: Vec<Scalar>,
    /// It has more or longer ones than are shown.
    more: bool,
}

fn parse(
    mut table: Table<'_>,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    let field = one_field(&mut table, "field", reading, found);
    let written = table.has("within");
    let within = table.duration("within", found).map(|within| within.value);
    table.finish(found);
    let field = field?;
    if written && within.is_none() {
        return None;
    }
    Some(Box::new(Change { name: field.to_string(), field, within }))
}

impl Detector for Change {
    fn spec(&self) -> &'static DetectorSpec {
        &SPEC
    }

    fn canonical(&self) -> String {
        let within = self.within.map_or_else(|| "-".to_owned(), duration::print);
        format!("field={} within={within}", self.name)
    }

    fn span(&self) -> Duration {
        self.within.unwrap_or_default()
    }

    fn within(&self) -> Option<Duration> {
        self.within
    }

    fn keeps(&self) -> usize {
        EVENTS_MAX
    }

    fn fields(&self) -> Vec<FieldName> {
        vec![self.field.clone()]
    }

    fn fresh(&self, _start: RuleStart) -> Box<dyn KeyState> {
        Box::new(Pairs::new(self.clone()))
    }

    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken> {
        Ok(Box::new(Pairs::decode(self.clone(), bytes)?))
    }
}

impl Change {
    /// What an event has in the field; `None` when that is nothing.
    fn value(&self, occurrence: &Occurrence) -> Option<Value> {
        let values = occurrence.values.first()?;
        let mut distinct = BTreeSet::new();
        let (mut shown, mut more) = (Vec::new(), false);
        for value in values {
            if !distinct.insert(canonical(&self.name, value)) {
                continue;
            }
            let cut = value.cut(CANONICAL_BYTES);
            more |= cut.is_some() || shown.len() >= VALUES_SHOWN;
            if shown.len() < VALUES_SHOWN {
                shown.push(cut.unwrap_or_else(|| value.clone()));
            }
        }
        let mut all = Vec::new();
        for text in &distinct {
            codec::put_text(&mut all, text);
        }
        (!distinct.is_empty()).then(|| Value { hash: xxh3_128(&all), shown, more })
    }
}

impl Compare for Change {
    type Note = Value;

    fn reach(&self) -> Option<Duration> {
        self.within
    }

    fn note(&self, occurrence: &Occurrence) -> Option<Value> {
        self.value(occurrence)
    }

    fn compare(&self, before: &Moment<Value>, event: &Moment<Value>) -> Option<Firing> {
        (before.note.hash != event.note.hash).then(|| Firing {
            time: event.time,
            position: Some(event.position.clone()),
            after: None,
            first: event.time,
            count: 1,
            value: event.note.to_json(),
            previous: Some(before.note.to_json()),
            tuple: None,
            approximate: before.note.more || event.note.more,
        })
    }

    fn encode(value: &Value, out: &mut Vec<u8>) {
        value.encode(out);
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Value, Broken> {
        Value::decode(bytes)
    }
}

impl Value {
    fn to_json(&self) -> serde_json::Value {
        match self.shown.as_slice() {
            [one] => one.to_json(),
            many => many.iter().map(Scalar::to_json).collect(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.push(u8::from(self.more));
        codec::put_len(out, self.shown.len());
        for value in &self.shown {
            codec::put_scalar(out, value);
        }
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let hash = bytes.take(16)?.try_into().map_err(|_| Broken("sixteen bytes"))?;
        let more = bytes.byte()? != 0;
        let mut shown = Vec::new();
        for _ in 0..bytes.count()? {
            shown.push(bytes.scalar()?);
        }
        Ok(Self { hash: u128::from_le_bytes(hash), shown, more })
    }
}

//! `[cardinality]`: at least so many distinct values among the events of one key within so much time.
//!
//! The window slides on event time, both ends included, and ends at an event: an event fires when
//! it and those before it in (time, position) have `count` distinct values within `within`, whether
//! or not it brings a value of its own. Several `fields` are counted as tuples; an array gives each of
//! its elements, several arrays every combination. An event without one of the fields adds no value.
//! Values are told apart as keys are: numbers by their shortest text, people without case.
//!
//! Which events fire does not depend on the order of arrival, as far back as the newest 4 × `count`
//! events that are kept. Of a value only 128 bits of hash are kept. Events that bring many values at
//! once are bounded as well ([`VALUES_PER_EVENT`], and 16 × `count` values of a key, but at least
//! [`VALUES_KEPT_MIN`]): beyond that, what is told is a lower bound and says so.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use foldhash::quality::RandomState;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Decides, Detector, DetectorSpec, Firing, KEPT, KeyState, Occurrence, Reading, RuleStart,
    Verdicts, bounded_count, field_list,
};
use crate::base::document::Table;
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostics, Timestamp, duration};
use crate::event::FieldName;
use crate::state::canonical;
use crate::state::codec::{self, Broken, Reader};
use crate::state::timeline::{Placed, Timeline};

/// The detector's entry in the family's table.
pub const SPEC: DetectorSpec = DetectorSpec {
    table: "cardinality",
    summary: "Fires on every event that leaves at least `count` distinct values of `fields` within `within`.",
    example: r#"title    = "Password spraying: many users fail to log in from one address"
severity = "high"
when     = 'event.category: authentication and event.outcome: failure'
group_by = ["source.ip"]

[cardinality]
fields = ["user.name"]
count  = 10
within = "10m"
"#,
    decides: Decides::OnArrival,
    keys: &[
        KeySpec::required(
            "fields",
            Shape::Fields,
            "The fields whose values are counted; of several, distinct combinations. At most 8.",
        ),
        KeySpec::required(
            "count",
            Shape::Count,
            "How many distinct values at least, from 1 to 10,000.",
        ),
        KeySpec::required(
            "within",
            Shape::Duration,
            "The longest time from the first of their events to the last.",
        ),
    ],
    parse,
};

/// The highest `count`: four times as many events are kept of a key.
pub const COUNT_MAX: usize = 10_000;

/// The most values that one event adds: arrays in several fields multiply.
pub const VALUES_PER_EVENT: usize = 1_000;

/// So many values of a key are kept whatever the `count`.
pub const VALUES_KEPT_MIN: usize = 4_000;

/// So many times `count` values are kept of a key.
const VALUES_KEPT: usize = 16;

const FORMAT: u8 = 1;

/// The settings of one rule.
#[derive(Debug, Clone)]
struct Cardinality {
    fields: Vec<FieldName>,
    /// Their names, for people's names are compared without case.
    names: Vec<String>,
    /// From 1 to [`COUNT_MAX`].
    count: usize,
    within: Duration,
}

/// What is remembered of one key.
#[derive(Debug)]
struct Events {
    cardinality: Cardinality,
    /// The newest ones, at most [`KEPT`] × `count`.
    kept: Timeline<Note>,
    /// How many values they have, repeats included.
    values: usize,
}

#[derive(Debug, Default)]
struct Note {
    /// Hashes of the distinct values, sorted.
    values: Box<[u128]>,
    /// It had more than [`VALUES_PER_EVENT`].
    more: bool,
    fired: bool,
}

/// How often each value stands in a window that moves forward.
#[derive(Debug, Default)]
struct Window {
    times: HashMap<u128, u32, RandomState>,
    /// Events whose values are not all known.
    incomplete: usize,
}

fn parse(
    mut table: Table<'_>,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    let fields = field_list(&mut table, "fields", reading, found);
    let count = bounded_count(&mut table, "count", COUNT_MAX, found);
    table.require("within", found);
    let within = table.duration("within", found);
    table.finish(found);
    let (fields, count, within) = (fields?, count?, within?.value);
    let names = fields.iter().map(ToString::to_string).collect();
    Some(Box::new(Cardinality { fields, names, count, within }))
}

impl Detector for Cardinality {
    fn spec(&self) -> &'static DetectorSpec {
        &SPEC
    }

    fn canonical(&self) -> String {
        let (fields, within) = (self.names.join(","), duration::print(self.within));
        format!("fields={fields} count={} within={within}", self.count)
    }

    fn span(&self) -> Duration {
        self.within
    }

    fn keeps(&self) -> usize {
        KEPT * self.count
    }

    fn fields(&self) -> Vec<FieldName> {
        self.fields.clone()
    }

    fn fresh(&self, _start: RuleStart) -> Box<dyn KeyState> {
        Box::new(Events { cardinality: self.clone(), kept: Timeline::default(), values: 0 })
    }

    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken> {
        Ok(Box::new(Events::decode(self.clone(), bytes)?))
    }
}

impl Cardinality {
    /// The distinct values of an event: every combination of one element of each field.
    fn values(&self, occurrence: &Occurrence) -> Note {
        let mut tuples: BTreeSet<Vec<u8>> = BTreeSet::from([Vec::new()]);
        let mut more = false;
        for (at, name) in self.names.iter().enumerate() {
            let mut longer = BTreeSet::new();
            let elements = occurrence.values.get(at).map_or(&[][..], Vec::as_slice);
            let elements: BTreeSet<String> = elements.iter().map(|v| canonical(name, v)).collect();
            // In order of the values, so that it does not depend on the event's which are cut.
            'tuples: for start in &tuples {
                for element in &elements {
                    if longer.len() >= VALUES_PER_EVENT {
                        more = true;
                        break 'tuples;
                    }
                    let mut tuple = start.clone();
                    codec::put_text(&mut tuple, element);
                    longer.insert(tuple);
                }
            }
            tuples = longer;
        }
        let mut values: Vec<u128> = tuples.iter().map(|tuple| xxh3_128(tuple)).collect();
        values.sort_unstable();
        let more = more && !values.is_empty();
        Note { values: values.into(), more, fired: false }
    }

    /// How many values are kept of a key.
    fn room_for_values(&self) -> usize {
        (VALUES_KEPT * self.count).max(VALUES_KEPT_MIN)
    }
}

impl KeyState for Events {
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts) {
        let full = self.cardinality.keeps();
        let note = self.cardinality.values(occurrence);
        let added = note.values.len();
        let (time, position) = (occurrence.time, &occurrence.position);
        let Placed::At(at) = self.kept.insert(time, position, note, full) else { return };
        self.values += added;
        self.judge_from(at, out);
        let room = self.cardinality.room_for_values();
        while self.kept.len() > full || (self.values > room && self.kept.len() > 1) {
            let cut = self.kept.cut_oldest().map_or(0, |oldest| oldest.note.values.len());
            self.values = self.values.saturating_sub(cut);
        }
    }

    fn advance(&mut self, _clock: Timestamp, _out: &mut Verdicts) {
        // Everything was decided on arrival.
    }

    fn expires_at(&self) -> Timestamp {
        // An event counts while it is no older than the clock less `within`, and its window reaches
        // back by `within` once more.
        let within = self.cardinality.within;
        let newest = self.kept.newest().unwrap_or(Timestamp::MIN);
        newest + within + within + Duration::from_millis(1)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        self.kept.encode(out, |out, note| {
            out.push(u8::from(note.fired) | u8::from(note.more) << 1);
            codec::put_len(out, note.values.len());
            for value in &note.values {
                out.extend_from_slice(&value.to_le_bytes());
            }
        });
    }
}

impl Events {
    /// Judges the windows that end at the event at `from` or, containing it, at a later one.
    fn judge_from(&mut self, from: usize, out: &mut Verdicts) {
        let (count, within) = (self.cardinality.count, self.cardinality.within);
        let Some(added) = self.kept.get(from).map(|event| event.time) else { return };
        if self.values < count {
            return;
        }
        let mut window = Window::default();
        let mut start = self.kept.start(added, within);
        let mut end = start;
        let mut at = from;
        while let Some(last) = self.kept.get(at) {
            let (time, fired) = (last.time, last.note.fired);
            if time.since(added) > within {
                break;
            }
            while let Some(event) = self.kept.get(end).filter(|_| end <= at) {
                window.add(&event.note);
                end += 1;
            }
            let leaves = self.kept.start(time, within);
            while let Some(event) = self.kept.get(start).filter(|_| start < leaves) {
                window.remove(&event.note);
                start += 1;
            }
            let distinct = window.times.len();
            if !fired && distinct >= count {
                let first = self.kept.get(start).map_or(time, |event| event.time);
                let approximate = window.incomplete > 0 || self.kept.is_cut(time, within);
                if let Some(last) = self.kept.get_mut(at) {
                    last.note.fired = true;
                    out.push(Firing {
                        time,
                        position: Some(last.position.clone()),
                        after: None,
                        first,
                        count: (at + 1 - start) as u64,
                        value: distinct.into(),
                        previous: None,
                        tuple: None,
                        approximate,
                    });
                }
            }
            at += 1;
        }
    }

    fn decode(cardinality: Cardinality, bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != FORMAT {
            return Err(Broken("a cardinality's memory of version 1"));
        }
        let kept = Timeline::decode(&mut bytes, cardinality.keeps(), |bytes| {
            let flags = bytes.byte()?;
            let mut values = Vec::new();
            for _ in 0..bytes.count()? {
                let value = bytes.take(16)?.try_into().map_err(|_| Broken("sixteen bytes"))?;
                values.push(u128::from_le_bytes(value));
            }
            if !values.is_sorted_by(|a, b| a < b) || values.len() > VALUES_PER_EVENT {
                return Err(Broken("distinct values, sorted"));
            }
            Ok(Note { values: values.into(), more: flags & 2 != 0, fired: flags & 1 != 0 })
        })?;
        bytes.end()?;
        let values = (0..kept.len()).filter_map(|at| kept.get(at)).map(|e| e.note.values.len());
        let values = values.sum();
        Ok(Self { cardinality, kept, values })
    }
}

impl Window {
    fn add(&mut self, note: &Note) {
        self.incomplete += usize::from(note.more);
        for value in &note.values {
            *self.times.entry(*value).or_default() += 1;
        }
    }

    fn remove(&mut self, note: &Note) {
        self.incomplete -= usize::from(note.more);
        for value in &note.values {
            if let Some(times) = self.times.get_mut(value) {
                *times -= 1;
                if *times == 0 {
                    self.times.remove(value);
                }
            }
        }
    }
}

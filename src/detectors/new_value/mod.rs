//! `[new_value]`: a value that this key has never shown before.
//!
//! The values of `fields` together are one *tuple*; an array gives each of its elements, several arrays
//! every combination. Values are told apart as keys are: numbers by their shortest text, people without
//! case. An event without one of the fields takes no part.
//!
//! Of the events that meet the rule's `when`, one fires once for each of its tuples that is not known
//! for its key. Known is a tuple that fired, or was seen while learning, or met `learn_when` and was
//! first seen more than `settle` before the judged event: an attacker's own login must not teach the
//! address that the next step is judged by. `learn_when` stands for itself, without the rule's `when`.
//! With `forget`, a tuple last seen longer ago than that is as if never seen.
//!
//! It learns, and is silent, while less than `learn` has passed since the rule's start, or since the
//! key's first event (`learn_per_key`; a key that may be judged by that is never forgotten for being
//! quiet). How long the rule would have watched does not matter to tests either.
//!
//! One more event can make a tuple known, so an event is judged when the rule's clock has passed it.
//! Until then it waits; at most [`EVENTS_MAX`] events of a key with as many tuples: beyond that the
//! oldest is judged early, and says so. Of a key [`TUPLES_MAX`](known) tuples are remembered, of an event
//! [`TUPLES_PER_EVENT`] count.

mod known;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use self::known::{Known, Memory, Sighting};
use super::{
    Decides, Detector, DetectorSpec, EVENTS_MAX, Firing, KeyState, Occurrence, Part, Parts,
    Reading, RuleStart, Verdicts, field_list,
};
use crate::base::document::{Table, Text};
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics, Position, Timestamp, duration};
use crate::event::{FieldName, Scalar};
use crate::query::Query;
use crate::query::ast::{Expr, Test};
use crate::state::codec::{self, Broken, Reader};
use crate::state::timeline::{Placed, Timeline};
use crate::state::{CANONICAL_BYTES, canonical};

/// The detector's entry in the family's table.
pub const SPEC: DetectorSpec = DetectorSpec {
    table: "new_value",
    summary: "Fires once for every value of `fields` that was never seen before for this key.",
    example: r#"title    = "API key created from an address never seen for this user"
severity = "high"
group_by = ["user.name"]
when     = 'event.action: api_key.created'

# A login teaches its address a day later.
[new_value]
fields     = ["source.ip"]
learn_when = 'event.category: authentication and event.outcome: success'
learn      = "14d"
forget     = "90d"
"#,
    decides: Decides::OnTheClock,
    keys: &[
        KeySpec::required(
            "fields",
            Shape::Fields,
            "The fields whose values must be new; of several, the combination. At most 8.",
        ),
        KeySpec::optional(
            "learn",
            Shape::Duration,
            "0s",
            "How long everything is taken for known, without an alert, from the rule's start on.",
        ),
        KeySpec::optional(
            "learn_per_key",
            Shape::Boolean,
            "false",
            "Whether `learn` counts from the key's first event instead.",
        ),
        KeySpec::optional(
            "learn_when",
            Shape::Query,
            "the rule's `when`",
            "Which events teach values that are then known; the rule's `when` need not hold.",
        ),
        KeySpec::optional(
            "settle",
            Shape::Duration,
            "24h",
            "How long ago `learn_when` must have shown a value first for it to be known.",
        ),
        KeySpec::optional(
            "forget",
            Shape::Duration,
            "never",
            "After how long without being seen a value is new again.",
        ),
    ],
    parse,
};

/// The most tuples that one event has: arrays in several fields multiply.
pub const TUPLES_PER_EVENT: usize = 1_000;

/// `settle`, unless the rule says otherwise.
pub const SETTLE: Duration = Duration::from_hours(24);

const FORMAT: u8 = 1;

/// The settings of one rule.
#[derive(Debug)]
struct NewValue {
    fields: Vec<FieldName>,
    learn_when: Option<Query>,
    settings: Arc<Settings>,
}

/// What every key's memory needs of them.
#[derive(Debug)]
struct Settings {
    /// Names of the fields, for people's names are compared without case.
    names: Vec<String>,
    learn: Duration,
    per_key: bool,
    memory: Memory,
}

/// What is remembered of one key.
#[derive(Debug)]
struct Values {
    settings: Arc<Settings>,
    /// The rule's start.
    start: Timestamp,
    /// The key's first event, where learning counts from it.
    first: Option<Timestamp>,
    known: Known,
    /// The last event that was judged.
    judged: Option<(Timestamp, Position)>,
    /// Those that the clock has not passed.
    waiting: Timeline<Waiting>,
    /// How many tuples they have.
    tuples: usize,
}

/// An event that waits.
#[derive(Debug)]
struct Waiting {
    /// Whether it meets the rule's `when`; else it only teaches.
    judged: bool,
    /// It had more tuples than [`TUPLES_PER_EVENT`].
    more: bool,
    tuples: Vec<Tuple>,
}

#[derive(Debug)]
struct Tuple {
    /// What decides whether two tuples are one.
    bytes: Arc<[u8]>,
    /// The values as the event spelt them; none where they will not be told.
    shown: Vec<Scalar>,
}

fn parse(
    mut table: Table<'_>,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    let errors = found.errors();
    let fields = field_list(&mut table, "fields", reading, found);
    let learn = table.duration_or_zero("learn", found).map(|learn| learn.value);
    let per_key = table.boolean("learn_per_key", found).unwrap_or_default();
    let learn_when = table.text("learn_when", found);
    let learn_when = learn_when.and_then(|text| teacher(&text, reading, found));
    let settle = table.duration_or_zero("settle", found).map_or(SETTLE, |settle| settle.value);
    let forget = table.duration("forget", found).map(|forget| forget.value);
    table.finish(found);
    let fields = fields.filter(|_| found.errors() == errors)?;
    let settings = Settings {
        names: fields.iter().map(ToString::to_string).collect(),
        learn: learn.unwrap_or_default(),
        per_key,
        memory: Memory { settle, forget },
    };
    Some(Box::new(NewValue { fields, learn_when, settings: Arc::new(settings) }))
}

/// Reads `learn_when`, with a warning if it asks for nothing but that there are fields.
fn teacher(text: &Text, reading: &dyn Reading, found: &mut Diagnostics) -> Option<Query> {
    let query = reading.query(text, found)?;
    if only_exists(query.expr()) {
        let message = "this sends nearly all traffic through the detector";
        found.push(
            Diagnostic::warning("learns-from-everything", text.span.clone(), message)
                .help("say which events can be trusted to teach, such as `event.category: authentication and event.outcome: success`"),
        );
    }
    Some(query)
}

fn only_exists(expr: &Expr) -> bool {
    match expr {
        Expr::And(all) | Expr::Or(all) => all.iter().all(only_exists),
        Expr::Term(term) => matches!(term.test, Test::Exists),
        Expr::Not(_) | Expr::FreeText(_) => false,
    }
}

impl Detector for NewValue {
    fn spec(&self) -> &'static DetectorSpec {
        &SPEC
    }

    fn canonical(&self) -> String {
        let Settings { names, learn, per_key, memory: Memory { settle, forget } } = &*self.settings;
        format!(
            "fields={} learn={} per_key={per_key} learn_when={:?} settle={} forget={}",
            names.join(","),
            duration::print(*learn),
            self.learn_when.as_ref().map(ToString::to_string),
            duration::print(*settle),
            forget.map_or_else(|| "-".to_owned(), duration::print),
        )
    }

    fn span(&self) -> Duration {
        Duration::ZERO
    }

    fn within(&self) -> Option<Duration> {
        None
    }

    fn parts(&self) -> Vec<Part<'_>> {
        let when = self.learn_when.as_ref();
        let teaches = when.map(|when| Part { when: Some(when), with_rule: false, ..Part::RULE });
        std::iter::once(Part::RULE).chain(teaches).collect()
    }

    fn counted(&self) -> Parts {
        Parts::FIRST
    }

    fn keeps(&self) -> usize {
        EVENTS_MAX
    }

    fn fields(&self) -> Vec<FieldName> {
        self.fields.clone()
    }

    fn is_about_tuples(&self) -> bool {
        true
    }

    fn tuples(&self, occurrence: &Occurrence) -> Vec<Arc<[u8]>> {
        let (tuples, _) = self.settings.tuples(occurrence);
        tuples.into_iter().map(|tuple| tuple.bytes).collect()
    }

    fn fresh(&self, start: RuleStart) -> Box<dyn KeyState> {
        Box::new(Values {
            settings: self.settings.clone(),
            start: start.at,
            first: None,
            known: Known::default(),
            judged: None,
            waiting: Timeline::default(),
            tuples: 0,
        })
    }

    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken> {
        Ok(Box::new(Values::decode(self.settings.clone(), bytes)?))
    }
}

impl Settings {
    /// Every combination of one value of each field, without repeats and in the order of the event's
    /// values; and whether there are more than [`TUPLES_PER_EVENT`].
    fn tuples(&self, occurrence: &Occurrence) -> (Vec<Tuple>, bool) {
        let mut tuples: Vec<(Vec<u8>, Vec<Scalar>)> = vec![(Vec::new(), Vec::new())];
        let mut more = false;
        for (at, name) in self.names.iter().enumerate() {
            let values = occurrence.values.get(at).map_or(&[][..], Vec::as_slice);
            let mut seen = BTreeSet::new();
            let mut longer = Vec::new();
            let texts: Vec<(String, &Scalar)> = values
                .iter()
                .map(|value| (canonical(name, value), value))
                .filter(|(text, _)| seen.insert(text.clone()))
                .collect();
            more |= tuples.len().saturating_mul(texts.len()) > TUPLES_PER_EVENT;
            let all = tuples.iter().flat_map(|start| texts.iter().map(move |own| (start, own)));
            for ((bytes, shown), (text, value)) in all.take(TUPLES_PER_EVENT) {
                let mut bytes = bytes.clone();
                codec::put_text(&mut bytes, text);
                let value = value.shortened(CANONICAL_BYTES);
                longer.push((bytes, shown.iter().cloned().chain([value]).collect()));
            }
            tuples = longer;
        }
        let tuple = |(bytes, shown): (Vec<u8>, _)| Tuple { bytes: bytes.into(), shown };
        (tuples.into_iter().map(tuple).collect(), more)
    }
}

impl KeyState for Values {
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts) {
        let (mut tuples, more) = self.settings.tuples(occurrence);
        let (time, position) = (occurrence.time, &occurrence.position);
        let over = self.judged.as_ref().is_some_and(|(t, p)| (time, position) <= (*t, p));
        if tuples.is_empty() || over {
            // Without a tuple it takes no part; what is older than one that was judged for want of
            // room comes too late.
            return;
        }
        let judged = occurrence.parts.meets(Parts::FIRST);
        if !judged {
            for tuple in &mut tuples {
                tuple.shown = Vec::new();
            }
        }
        let added = tuples.len();
        let event = Waiting { judged, more, tuples };
        if self.waiting.insert(time, position, event, usize::MAX) == Placed::Known {
            return;
        }
        self.tuples += added;
        let full = |values: &Self| {
            values.waiting.len() > EVENTS_MAX
                || values.tuples > EVENTS_MAX && values.waiting.len() > 1
        };
        while full(self) {
            self.judge_oldest(true, out);
        }
    }

    fn advance(&mut self, clock: Timestamp, out: &mut Verdicts) {
        while self.waiting.get(0).is_some_and(|oldest| oldest.time < clock) {
            self.judge_oldest(false, out);
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.waiting.get(0).map(|oldest| oldest.time + Duration::from_millis(1))
    }

    fn depends_on(&self) -> Option<(Timestamp, Timestamp)> {
        let waiting = self.waiting.get(0).map(|oldest| oldest.time);
        let oldest = self.first.into_iter().chain(self.known.oldest()).chain(waiting).min()?;
        let judged = self.judged.as_ref().map(|(time, _)| *time);
        Some((oldest, self.waiting.newest().or(judged).unwrap_or(oldest)))
    }

    fn expires_at(&self) -> Timestamp {
        let Some((_, newest)) = self.depends_on() else { return Timestamp::MIN };
        match self.settings.memory.forget {
            Some(forget) if !self.settings.counts_from_first() => {
                newest + forget + Duration::from_millis(1)
            }
            _ => Timestamp::MAX,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        codec::put_time(out, self.start);
        out.push(u8::from(self.first.is_some()) | u8::from(self.judged.is_some()) << 1);
        if let Some(first) = self.first {
            codec::put_time(out, first);
        }
        if let Some((time, position)) = &self.judged {
            codec::put_time(out, *time);
            codec::put_position(out, position);
        }
        self.known.encode(out);
        self.waiting.encode(out, |out, event| event.encode(out));
    }
}

impl Settings {
    /// Whether a key's first event decides what its later ones mean.
    fn counts_from_first(&self) -> bool {
        self.per_key && !self.learn.is_zero()
    }
}

impl Values {
    /// Judges the oldest of those that wait.
    fn judge_oldest(&mut self, early: bool, out: &mut Verdicts) {
        let Some(event) = self.waiting.take_oldest() else { return };
        let (time, memory) = (event.time, self.settings.memory);
        let Waiting { judged, more, tuples } = event.note;
        self.tuples = self.tuples.saturating_sub(tuples.len());
        if self.settings.counts_from_first() {
            self.first.get_or_insert(time);
        }
        let start = self.first.unwrap_or(self.start);
        let learning = time.since(start) < self.settings.learn;
        for tuple in tuples {
            let sighting = Sighting { time, judged, learning };
            let approximate = early || more || self.known.is_cut(time, memory);
            if self.known.sight(xxh3_128(&tuple.bytes), sighting, memory) {
                out.push(Firing {
                    time,
                    position: Some(event.position.clone()),
                    after: None,
                    first: time,
                    count: 1,
                    value: match tuple.shown.as_slice() {
                        [one] => one.to_json(),
                        several => several.iter().map(Scalar::to_json).collect(),
                    },
                    previous: None,
                    tuple: Some(tuple.bytes),
                    approximate,
                });
            }
        }
        self.judged = Some((time, event.position));
    }

    fn decode(settings: Arc<Settings>, bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != FORMAT {
            return Err(Broken("a new value's memory of version 1"));
        }
        let start = bytes.time()?;
        let flags = bytes.byte()?;
        let first = if flags & 1 == 0 { None } else { Some(bytes.time()?) };
        let judged = if flags & 2 == 0 { None } else { Some((bytes.time()?, bytes.position()?)) };
        let known = Known::decode(&mut bytes)?;
        let waiting = Timeline::decode(&mut bytes, EVENTS_MAX, Waiting::decode)?;
        bytes.end()?;
        let all = (0..waiting.len()).filter_map(|at| waiting.get(at));
        let tuples = all.map(|event| event.note.tuples.len()).sum();
        Ok(Self { settings, start, first, known, judged, waiting, tuples })
    }
}

impl Waiting {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.judged) | u8::from(self.more) << 1);
        codec::put_len(out, self.tuples.len());
        for tuple in &self.tuples {
            codec::put_bytes(out, &tuple.bytes);
            codec::put_len(out, tuple.shown.len());
            for value in &tuple.shown {
                codec::put_scalar(out, value);
            }
        }
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let flags = bytes.byte()?;
        let mut tuples = Vec::new();
        for _ in 0..bytes.count()? {
            let canonical = bytes.bytes()?.into();
            let mut shown = Vec::new();
            for _ in 0..bytes.count()? {
                shown.push(bytes.scalar()?);
            }
            tuples.push(Tuple { bytes: canonical, shown });
        }
        if tuples.is_empty() || tuples.len() > TUPLES_PER_EVENT {
            return Err(Broken("the tuples of an event"));
        }
        Ok(Self { judged: flags & 1 != 0, more: flags & 2 != 0, tuples })
    }
}

//! What the tests of detectors share: a rule around a table, events, and a memory that is written and
//! read back at any moment.

use std::time::Duration;

use super::{Detector, DetectorSpec, KeyState, Occurrence, Parts, Reading, RuleStart, Verdicts};
use crate::base::document::{Document, Text};
use crate::base::{Diagnostic, Diagnostics, Position, Timestamp};
use crate::event::{FieldName, Scalar};
use crate::query::{Query, Sets};

/// A rule that began long ago.
pub const START: RuleStart = RuleStart { at: Timestamp::from_millis(i64::MIN / 4), warm: false };

/// A rule with nothing but a `when` and this `group_by`; every field exists.
#[derive(Debug)]
pub struct Around {
    /// Its `group_by`.
    pub group_by: Vec<FieldName>,
    /// Whether it has a `when`.
    pub when: bool,
    /// Its lists and schedules.
    pub sets: Sets,
}

impl Default for Around {
    fn default() -> Self {
        Self { group_by: vec![field("user.name")], when: true, sets: Sets::default() }
    }
}

impl Reading for Around {
    fn query(&self, text: &Text, found: &mut Diagnostics) -> Option<Query> {
        let place = |diagnostic: Diagnostic| diagnostic.moved(|span| text.locate(span));
        let mistakes = match Query::parse(&text.value) {
            Ok(query) => return Some(query),
            Err(mistakes) => mistakes,
        };
        found.extend(mistakes.into_iter().map(place));
        None
    }

    fn step_query(&self, text: &Text, found: &mut Diagnostics) -> Option<Query> {
        self.query(text, found)
    }

    fn field(&self, text: &Text, found: &mut Diagnostics) -> Option<FieldName> {
        match FieldName::parse(&text.value) {
            Ok(field) => Some(field),
            Err(message) => {
                found.push(Diagnostic::error("bad-field", text.span.clone(), message));
                None
            }
        }
    }

    fn key_field(&self, text: &Text, found: &mut Diagnostics) -> Option<FieldName> {
        self.field(text, found)
    }

    fn group_by(&self) -> &[FieldName] {
        &self.group_by
    }

    fn has_when(&self) -> bool {
        self.when
    }

    fn sets(&self) -> &Sets {
        &self.sets
    }
}

/// A field by its text.
pub fn field(name: &str) -> FieldName {
    FieldName::parse(name).unwrap()
}

/// Reads a detector out of a whole rule file, with what is wrong as `span message`.
pub fn read_in(
    spec: &DetectorSpec,
    around: &Around,
    text: &str,
) -> (Option<Box<dyn Detector>>, Vec<String>) {
    let document = Document::parse(text);
    let mut found = Diagnostics::new();
    let mut root = document.root(&mut found);
    let table = root.table(spec.table, &mut found).unwrap();
    let detector = (spec.parse)(table, around, &mut found);
    let messages = found.iter().map(|d| format!("{:?} {}", d.span, d.message)).collect();
    (detector, messages)
}

/// The same in a plain rule.
pub fn read(spec: &DetectorSpec, text: &str) -> (Option<Box<dyn Detector>>, Vec<String>) {
    read_in(spec, &Around::default(), text)
}

/// A detector without mistakes.
pub fn detector(spec: &DetectorSpec, text: &str) -> Box<dyn Detector> {
    let (detector, messages) = read(spec, text);
    detector.unwrap_or_else(|| panic!("{messages:?}"))
}

/// A moment in milliseconds.
pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// An event at `time` ms, from the record at `offset`.
pub fn occurrence(time: i64, offset: i64, values: Vec<Vec<Scalar>>) -> Occurrence {
    let position = Position::new("audit", 0, offset);
    Occurrence { time: at(time), position, parts: Parts::FIRST, values }
}

/// What a memory says of one more event.
pub fn observe(state: &mut dyn KeyState, occurrence: &Occurrence) -> Verdicts {
    let mut said = Verdicts::new();
    state.observe(occurrence, &mut said);
    said
}

/// What a memory says when the clock moves to `clock` ms.
pub fn advance(state: &mut dyn KeyState, clock: i64) -> Verdicts {
    let mut said = Verdicts::new();
    state.advance(at(clock), &mut said);
    said
}

/// The memory, written and read back.
pub fn again(detector: &dyn Detector, state: &dyn KeyState) -> Box<dyn KeyState> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    let back = detector.restore(&bytes).unwrap();
    let mut twice = Vec::new();
    back.encode(&mut twice);
    assert_eq!(bytes, twice, "what is read back is written alike");
    assert_eq!((back.expires_at(), back.wake_at()), (state.expires_at(), state.wake_at()));
    back
}

/// The memory as it is written. Nothing that is shorter, longer or of another version is read back.
pub fn written_or_refused(detector: &dyn Detector, state: &dyn KeyState) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    assert!(detector.restore(&bytes).is_ok());
    for len in 0..bytes.len() {
        assert!(detector.restore(&bytes[..len]).is_err(), "{len}");
    }
    assert!(detector.restore(&[&bytes[..], &[0]].concat()).is_err());
    assert!(detector.restore(&[&[u8::MAX], &bytes[1..]].concat()).is_err());
    bytes
}

/// A time in ms.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

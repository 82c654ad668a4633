//! The record of the `signals` topic, which MATCH writes and CORRELATE reads.
//!
//! One record holds all signals that one event made for one signals partition, or one tick. The
//! fields that several signals share are written once. The first byte is the version of the format.

use std::sync::Arc;

use crate::base::{Position, Timestamp};
use crate::detectors::Parts;
use crate::event::Scalar;
use crate::state::codec::{self, Broken, Reader};

use super::key::Key;

/// The version of the format that [`Record::encode`] writes.
pub const VERSION: u8 = 2;

const KIND_SIGNALS: u8 = 1;
const KIND_TICK: u8 = 2;
const FLAG_CLAMPED: u8 = 1;

/// What stands in one record.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// An event met rules.
    Signals(Signals),
    /// Time went on.
    Tick(Tick),
}

/// All signals of one event for one signals partition.
#[derive(Debug, Clone, PartialEq)]
pub struct Signals {
    /// Where the event's record stands.
    pub position: Position,
    /// Event time.
    pub time: Timestamp,
    /// Whether the event claimed to be from the future, and `time` was cut.
    pub clamped: bool,
    /// One for each rule and key.
    pub signals: Vec<Signal>,
}

/// One event that met one rule for one key, on its way to the detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// The rule's id.
    pub rule: Arc<str>,
    /// The rule's version: its hash.
    pub version: u64,
    /// Which parts of the rule the event met for this key.
    pub parts: Parts,
    /// Whose it is.
    pub key: Key,
    /// What detector, titles, severity cases and samples may read.
    pub fields: Fields,
}

/// Some fields of an event, by name, in the order of the rule that carries them. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields(Vec<(Arc<str>, Arc<[Scalar]>)>);

/// How far time has come at the sources that one MATCH worker owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// Who says it: instance and worker.
    pub worker: Arc<str>,
    /// What it says of each source partition it owns and can say something of.
    pub sources: Vec<SourceTime>,
    /// All source partitions of the subscription, whoever owns them.
    pub subscription: Vec<Source>,
}

/// A partition of a topic that MATCH reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
}

/// The time that one source stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTime {
    /// Which source.
    pub source: Source,
    /// No event before this time is expected any more.
    pub time: Timestamp,
    /// Whether everything in it had been read.
    pub at_end: bool,
}

impl Source {
    /// A source from its parts.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl Fields {
    /// Adds a field, which must not be there yet; without values it is not added.
    pub fn push(&mut self, name: Arc<str>, values: Arc<[Scalar]>) {
        if !values.is_empty() {
            self.0.push((name, values));
        }
    }

    /// The values of a field, by the text that `FieldName` prints; empty when it is missing.
    pub fn get(&self, name: &str) -> &[Scalar] {
        self.0.iter().find(|(have, _)| **have == *name).map_or(&[], |(_, values)| values)
    }

    /// All fields that have values.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<[Scalar]>)> {
        self.0.iter().map(|(name, values)| (name, values))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends an encoding that [`Self::decode`] reads.
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::put_len(out, self.0.len());
        for (name, values) in &self.0 {
            put_field(out, name, values);
        }
    }

    /// Reads fields.
    pub fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let mut fields = Vec::new();
        for _ in 0..bytes.count()? {
            fields.push(field(bytes)?);
        }
        Ok(Self(fields))
    }
}

impl Record {
    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Signals(signals) => signals.write(&mut out),
            Self::Tick(tick) => {
                out.extend([VERSION, KIND_TICK]);
                tick.encode(&mut out);
            }
        }
        out
    }

    /// Reads a record; any bytes give a record or a reason.
    pub fn decode(bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != VERSION {
            return Err(Broken("a signals record of version 2"));
        }
        let record = match bytes.byte()? {
            KIND_SIGNALS => Self::Signals(Signals::decode(&mut bytes)?),
            KIND_TICK => Self::Tick(Tick::decode(&mut bytes)?),
            _ => return Err(Broken("signals or a tick")),
        };
        bytes.end()?;
        Ok(record)
    }
}

impl Signals {
    /// Appends the bytes of the record that they are.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend([VERSION, KIND_SIGNALS]);
        codec::put_position(out, &self.position);
        codec::put_time(out, self.time);
        out.push(if self.clamped { FLAG_CLAMPED } else { 0 });

        // Signals of one event carry mostly the same fields: a table once, and places in it.
        let mut table: Vec<&(Arc<str>, Arc<[Scalar]>)> = Vec::new();
        let mut places: Vec<Vec<usize>> = Vec::new();
        for signal in &self.signals {
            let mut of_signal = Vec::new();
            for entry in &signal.fields.0 {
                let place = table.iter().position(|have| *have == entry).unwrap_or_else(|| {
                    table.push(entry);
                    table.len() - 1
                });
                of_signal.push(place);
            }
            places.push(of_signal);
        }
        codec::put_len(out, table.len());
        for (name, values) in table {
            put_field(out, name, values);
        }
        codec::put_len(out, self.signals.len());
        for (signal, places) in self.signals.iter().zip(places) {
            codec::put_text(out, &signal.rule);
            out.extend_from_slice(&signal.version.to_le_bytes());
            codec::put_u64(out, signal.parts.0);
            signal.key.encode(out);
            codec::put_len(out, places.len());
            for place in places {
                codec::put_len(out, place);
            }
        }
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let position = bytes.position()?;
        let time = bytes.time()?;
        let flags = bytes.byte()?;
        let Fields(table) = Fields::decode(bytes)?;
        let mut signals = Vec::new();
        for _ in 0..bytes.count()? {
            let rule = bytes.text()?.into();
            let version = bytes.fixed()?;
            let parts = Parts(bytes.u64()?);
            let key = Key::decode(bytes)?;
            let mut fields = Vec::new();
            for _ in 0..bytes.count()? {
                let place = usize::try_from(bytes.u64()?).ok();
                let entry = place.and_then(|place| table.get(place));
                fields.push(entry.ok_or(Broken("a field of the record"))?.clone());
            }
            signals.push(Signal { rule, version, parts, key, fields: Fields(fields) });
        }
        Ok(Self { position, time, clamped: flags & FLAG_CLAMPED != 0, signals })
    }
}

impl Tick {
    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_text(out, &self.worker);
        codec::put_len(out, self.sources.len());
        for source in &self.sources {
            source.source.encode(out);
            codec::put_time(out, source.time);
            out.push(u8::from(source.at_end));
        }
        codec::put_len(out, self.subscription.len());
        for source in &self.subscription {
            source.encode(out);
        }
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let worker = bytes.text()?.into();
        let mut sources = Vec::new();
        for _ in 0..bytes.count()? {
            let source = Source::decode(bytes)?;
            sources.push(SourceTime { source, time: bytes.time()?, at_end: bytes.byte()? != 0 });
        }
        let mut subscription = Vec::new();
        for _ in 0..bytes.count()? {
            subscription.push(Source::decode(bytes)?);
        }
        Ok(Self { worker, sources, subscription })
    }
}

impl Source {
    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_text(out, &self.topic);
        codec::put_i64(out, self.partition.into());
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let topic = bytes.text()?.into();
        let partition = i32::try_from(bytes.i64()?).map_err(|_| Broken("a partition"))?;
        Ok(Self { topic, partition })
    }
}

fn put_field(out: &mut Vec<u8>, name: &str, values: &[Scalar]) {
    codec::put_text(out, name);
    codec::put_len(out, values.len());
    for value in values {
        codec::put_scalar(out, value);
    }
}

fn field(bytes: &mut Reader<'_>) -> Result<(Arc<str>, Arc<[Scalar]>), Broken> {
    let name = bytes.text()?.into();
    let mut values = Vec::new();
    for _ in 0..bytes.count()? {
        values.push(bytes.scalar()?);
    }
    Ok((name, values.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Number;
    use proptest::prelude::*;

    fn signals() -> Signals {
        let mut fields = Fields::default();
        fields.push("user.name".into(), [Scalar::from("Eve")].into());
        fields.push("event.code".into(), [Scalar::Number(Number::Int(-3))].into());
        let mut fewer = Fields::default();
        fewer.push("event.code".into(), [Scalar::Number(Number::Int(-3))].into());
        let signal = |rule: &str, fields| Signal {
            rule: rule.into(),
            version: 0x0123_4567_89ab_cdef,
            parts: Parts(0b101),
            key: Key::new(&["user.name"], &[Scalar::from("Eve")]),
            fields,
        };
        Signals {
            position: Position::new("audit", 3, 77),
            time: Timestamp::from_millis(1_767_614_400_123),
            clamped: true,
            signals: vec![signal("a", fields), signal("common/b", fewer)],
        }
    }

    fn tick() -> Tick {
        Tick {
            worker: "host-1.0".into(),
            sources: vec![SourceTime {
                source: Source::new("audit", 3),
                time: Timestamp::from_millis(-5),
                at_end: true,
            }],
            subscription: vec![Source::new("audit", 3), Source::new("audit", 4)],
        }
    }

    #[test]
    fn records_read_back() {
        for record in [Record::Signals(signals()), Record::Tick(tick())] {
            assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn the_format_is_frozen() {
        let mut one = signals();
        one.signals.truncate(1);
        let hex = |record: Record| {
            record.encode().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
        };
        expect_test::expect!["0201056175646974069a01f699bae0f166010209757365722e6e616d650105034576650a6576656e742e636f6465010205010161efcdab8967452301050403657665010503457665020001"].assert_eq(&hex(Record::Signals(one)));
        expect_test::expect![
            "020208686f73742d312e3001056175646974060901020561756469740605617564697408"
        ]
        .assert_eq(&hex(Record::Tick(tick())));
    }

    #[test]
    fn every_prefix_and_every_longer_text_is_refused() {
        for record in [Record::Signals(signals()), Record::Tick(tick())] {
            let mut bytes = record.encode();
            for len in 0..bytes.len() {
                assert!(Record::decode(&bytes[..len]).is_err(), "{len}");
            }
            bytes.push(0);
            assert!(Record::decode(&bytes).is_err());
        }
    }

    #[test]
    fn fields_that_signals_share_are_written_once() {
        let record = Record::Signals(signals()).encode();
        let name = b"event.code";
        assert_eq!(record.windows(name.len()).filter(|w| w == name).count(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_record_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(record) = Record::decode(&bytes) {
                prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
            }
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0..400usize, to: u8, tick_or_signals: bool) {
            let record =
                if tick_or_signals { Record::Tick(tick()) } else { Record::Signals(signals()) };
            let mut bytes = record.encode();
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(record) = Record::decode(&bytes) {
                prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
            }
        }
    }
}

//! The roles chained without a broker: what one writes the next one reads. Only the edges are made
//! up (the records and the clock); rules, mappings, signals, alerts and notifications are real.

mod lists;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::alert::Rules;
use crate::base::clock::Manual;
use crate::base::diagnostic::SourceText;
use crate::base::metrics::Metrics;
use crate::base::{Gate, Severity, Timestamp};
use crate::delivery::Notification;
use crate::detectors::{Detector, DetectorSpec, KeyState, Occurrence, RuleStart, Verdicts};
use crate::engine::Program;
use crate::event::Layout;
use crate::kafka::{
    Committed, Error, Headers, Log, Memory, OwnedSource, Record, Sent, Sources, Start, Task,
    TopicPartition,
};
use crate::mapping::{Mappings, Options, Tables};
use crate::query::Sets;
use crate::role::correlate::{self, Correlate};
use crate::role::dead_letter::DeadLetter;
use crate::role::r#match::{self, Match};
use crate::role::notify::{Notify, Recipient};
use crate::role::versions::{Starts, Versions, read_start, start_of};
use crate::rule::{self, Context, Rule};
use crate::state::codec::Broken;

const PARTITIONS: u32 = 3;
const NOW: i64 = 1_790_000_000_000;

const MAPPING: &str = r#"
topics = ["audit"]
time = ["epoch_ms"]
[fields]
"@timestamp"   = "at"
"event.action" = "action"
"user.name"    = "user"
"#;

const RULE: &str = r#"
title    = "Failures"
severity = "high"
when     = 'event.action: failed'
group_by = ["user.name"]
threshold = { count = 3, within = "10m" }
"#;

/// The topic `control`, of which only the last record of a key counts.
#[derive(Clone, Default)]
struct Control(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

struct NoVersions(Sets, Control);

impl Versions for NoVersions {
    fn find(&mut self, _: &str, _: u64) -> Result<Option<Arc<Rule>>, Error> {
        Ok(None)
    }

    fn starts(&mut self) -> Result<Starts, Error> {
        let mut starts = Starts::new();
        for (key, payload) in &*self.1.0.lock().unwrap() {
            let began = read_start(payload).unwrap();
            starts.entry(start_of(key).unwrap()).or_default().push(began);
        }
        Ok(starts)
    }

    fn sets(&self) -> &Sets {
        &self.0
    }
}

/// A partition's log as a list.
#[derive(Default)]
struct Shelf(Vec<Vec<u8>>);

impl Log for Shelf {
    fn offset_for_time(&mut self, _: Timestamp) -> Result<Option<i64>, Error> {
        Ok(None)
    }

    fn watermarks(&mut self) -> Result<(i64, i64), Error> {
        Ok((0, i64::try_from(self.0.len()).unwrap()))
    }
}

struct World {
    clock: Manual,
    rule: Arc<Rule>,
    /// What its queries may name; lists can be swapped.
    sets: Sets,
    matching: Match,
    correlating: Correlate,
    notifying: Notify,
    control: Control,
    audit: i64,
    signals: BTreeMap<i32, Shelf>,
    alerts: BTreeMap<i32, i64>,
    dead: Vec<DeadLetter>,
    told: Vec<String>,
    redo_after_failure: bool,
}

fn read_rule(text: &str, sets: &Sets) -> Arc<Rule> {
    let (rule, found) = rule::parse(&SourceText::new("r.toml", text), "r", &Context::new(sets));
    assert!(!found.has_errors(), "{found:?}");
    Arc::new(rule.unwrap())
}

fn correlating(rule: &Arc<Rule>, sets: &Sets, clock: &Manual, control: &Control) -> Correlate {
    Correlate::new(correlate::Settings {
        rules: Rules::compile([rule.clone()], sets).unwrap(),
        versions: Box::new(NoVersions(sets.clone(), control.clone())),
        partitions: PARTITIONS,
        control: "control".into(),
        alerts: "alerts".into(),
        dead_letters: "dead".into(),
        clock: Arc::new(clock.clone()),
        metrics: Metrics::new(),
        gate: Gate::default(),
    })
}

impl World {
    fn new() -> Self {
        Self::of(RULE, Duration::ZERO)
    }

    fn of(rule: &str, delay: Duration) -> Self {
        Self::with(rule, delay, Sets::default())
    }

    fn with(rule: &str, delay: Duration, sets: Sets) -> Self {
        let clock = Manual::new(Timestamp::from_millis(NOW));
        let rule = read_rule(rule, &sets);
        let mut layout = Layout::new();
        let program = Program::compile([rule.clone()], &mut layout, &sets).unwrap();
        let source = SourceText::new("test.toml", MAPPING);
        let (mappings, found) =
            Mappings::load(&[source], &Tables::new(), &layout, &sets, Options::default());
        assert!(found.is_empty(), "{found:?}");
        let mut matching = Match::new(r#match::Settings {
            alerts: None,
            worker: "w".into(),
            mappings: Arc::new(mappings),
            program: Arc::new(program),
            signals: "signals".into(),
            partitions: PARTITIONS,
            dead_letters: "dead".into(),
            delays: [("audit".to_owned(), delay)].into(),
            clock: Arc::new(clock.clone()),
            metrics: Metrics::new(),
            gate: Gate::default(),
            sets: sets.clone(),
        });
        let audit = TopicPartition::new("audit", 0);
        matching.assigned(&audit, None, &mut Shelf::default()).unwrap();
        let control = Control::default();
        let mut correlating = correlating(&rule, &sets, &clock, &control);
        let mut notifying = Notify::new(
            vec![Recipient {
                name: "soc".into(),
                severities: Severity::ALL.into_iter().collect(),
                resolved: true,
            }],
            "outbox".into(),
            "dead".into(),
            Arc::new(clock.clone()),
            Metrics::new(),
        );
        for partition in 0..3 {
            let at = |topic| TopicPartition::new(topic, partition);
            correlating.assigned(&at("signals"), None, &mut Shelf::default()).unwrap();
            notifying.assigned(&at("alerts"), None, &mut Shelf::default()).unwrap();
        }
        Self {
            clock,
            rule,
            sets,
            matching,
            correlating,
            notifying,
            control,
            audit: 0,
            signals: BTreeMap::new(),
            alerts: BTreeMap::new(),
            dead: Vec::new(),
            told: Vec::new(),
            redo_after_failure: false,
        }
    }

    /// An audit record goes all the way.
    fn audit(&mut self, payload: &[u8]) {
        let record = record("audit", 0, self.audit, payload);
        self.audit += 1;
        let mut out = Memory::default();
        self.matching.record(&record, &mut out).unwrap();
        self.on(out.sent);
    }

    fn event(&mut self, action: &str, user: &str, seconds: i64) {
        let at = NOW + seconds * 1000;
        self.audit(format!(r#"{{"at":{at},"action":"{action}","user":"{user}"}}"#).as_bytes());
    }

    /// The clock goes to `seconds` after the start, and MATCH ticks.
    fn tick(&mut self, seconds: i64) {
        self.clock.set(Timestamp::from_millis(NOW + seconds * 1000));
        let audit = TopicPartition::new("audit", 0);
        let owned = OwnedSource {
            partition: audit.clone(),
            position: self.audit,
            high_watermark: Some(self.audit),
        };
        let mut out = Memory::default();
        let sources = Sources { owned: vec![owned], subscription: vec![audit] };
        self.matching.pulse(&sources, &mut out).unwrap();
        self.on(out.sent);
    }

    /// A worker's way back: the partition is revoked and assigned again where it was committed, and
    /// the records before that are read once more.
    fn build_anew(&mut self, number: i32, committed: i64) {
        let partition = TopicPartition::new("signals", number);
        self.correlating.revoked(&partition);
        let shelf = self.signals.get_mut(&number).unwrap();
        let committed = Committed { offset: committed, bookmark: "0 -".to_owned() };
        self.correlating.assigned(&partition, Some(&committed), shelf).unwrap();
        let before = usize::try_from(committed.offset).unwrap();
        for (offset, payload) in (0..).zip(&shelf.0).take(before) {
            let mut out = Memory::default();
            let record = record("signals", number, offset, payload);
            self.correlating.record(&record, &mut out).unwrap();
            assert_eq!(out.sent, [], "rebuilding tells nothing");
        }
    }

    /// What was written is read by whoever reads that topic.
    fn on(&mut self, sent: Vec<Sent>) {
        for sent in sent {
            let Some(payload) = sent.payload else {
                assert_eq!(sent.topic, "control", "nothing is removed elsewhere");
                let key = String::from_utf8(sent.key.unwrap()).unwrap();
                self.control.0.lock().unwrap().remove(&key);
                continue;
            };
            let mut out = Memory::default();
            match sent.topic.as_str() {
                "signals" => {
                    let partition = sent.partition.unwrap();
                    let shelf = self.signals.entry(partition).or_default();
                    let offset = i64::try_from(shelf.0.len()).unwrap();
                    shelf.0.push(payload.clone());
                    let record = record("signals", partition, offset, &payload);
                    let judged = self.correlating.record(&record, &mut out);
                    if self.redo_after_failure && judged.is_err() {
                        out.sent.clear();
                        self.build_anew(partition, offset);
                        self.correlating.record(&record, &mut out).unwrap();
                    } else {
                        judged.unwrap();
                    }
                }
                "alerts" => {
                    let partition = sent.partition.unwrap();
                    let offset = self.alerts.entry(partition).or_default();
                    let record = record("alerts", partition, *offset, &payload);
                    *offset += 1;
                    self.notifying.record(&record, &mut out).unwrap();
                }
                "outbox" => {
                    let told: Notification = serde_json::from_slice(&payload).unwrap();
                    self.told.push(format!(
                        "{} {} {} count {}",
                        told.notifier,
                        told.kind.name(),
                        told.alert.key["user.name"],
                        told.alert.count
                    ));
                }
                "control" => {
                    let key = String::from_utf8(sent.key.unwrap()).unwrap();
                    self.control.0.lock().unwrap().insert(key, payload);
                }
                "dead" => self.dead.push(serde_json::from_slice(&payload).unwrap()),
                other => panic!("nobody reads {other}"),
            }
            self.on(out.sent);
        }
    }
}

fn record<'a>(topic: &'a str, partition: i32, offset: i64, payload: &'a [u8]) -> Record<'a> {
    Record {
        topic,
        partition,
        offset,
        timestamp: Some(Timestamp::from_millis(NOW)),
        key: None,
        payload: Some(payload),
        headers: Headers::default(),
    }
}

#[test]
fn three_failures_are_told_once_and_their_end_too() {
    let mut world = World::new();
    world.tick(0);
    for seconds in 0..4 {
        world.event("failed", "eve", seconds);
        world.event("ok", "eve", seconds);
        world.event("failed", "bob", -3000 * seconds);
    }
    assert_eq!(world.told, ["soc opened \"eve\" count 3"]);
    world.tick(300);
    assert_eq!(world.told.len(), 1, "the window is not over");
    world.tick(1300);
    world.tick(2000);
    assert_eq!(world.told.get(1).map(String::as_str), Some("soc resolved \"eve\" count 4"));
    assert_eq!(world.dead, []);
}

#[test]
fn what_cannot_be_used_is_a_dead_letter_and_the_stream_goes_on() {
    let mut world = World::new();
    world.event("failed", "eve", 0);
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let big = format!(r#"{{"user":"{}"}}"#, "x".repeat(1 << 20));
    let bad: [(&[u8], &str); 6] = [
        (b"oops", "not_json"),
        (b"{\"user\":\"\xff\"}", "not_utf8"),
        (deep.as_bytes(), "too_deep"),
        (big.as_bytes(), "too_big"),
        (br#"{"user":"a","user":"b"}"#, "duplicate_key"),
        (br#"{"at":"when?","user":"b"}"#, "bad_time"),
    ];
    for (payload, _) in &bad {
        world.audit(payload);
    }
    world.event("failed", "eve", 1);
    world.event("failed", "eve", 2);
    let reasons: Vec<_> = world.dead.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(reasons, bad.map(|(_, reason)| reason));
    let third = &world.dead[2];
    assert_eq!((third.topic.as_str(), third.partition, third.offset), ("audit", 0, 3));
    assert_eq!(world.dead[3].payload.as_ref().unwrap().len(), 64 * 1024);
    assert_eq!(world.told, ["soc opened \"eve\" count 3"]);
}

#[test]
fn a_tick_goes_to_every_signals_partition_after_the_signals() {
    let mut world = World::new();
    world.event("failed", "eve", 0);
    world.tick(1);
    assert_eq!(world.signals.len(), 3);
    for shelf in world.signals.values() {
        let last = crate::engine::Record::decode(shelf.0.last().unwrap()).unwrap();
        let crate::engine::Record::Tick(tick) = last else { panic!("{last:?}") };
        assert_eq!(tick.sources.len(), 1);
        assert!(tick.sources.iter().all(|source| source.at_end));
    }
}

#[test]
fn a_signal_of_an_unknown_version_is_a_dead_letter() {
    let mut world = World::new();
    let other = read_rule(&RULE.replace("count = 3", "count = 2"), &world.sets);
    world.correlating = correlating(&other, &world.sets, &world.clock, &world.control);
    for partition in 0..3 {
        let partition = TopicPartition::new("signals", partition);
        world.correlating.assigned(&partition, None, &mut Shelf::default()).unwrap();
    }
    world.event("failed", "eve", 0);
    assert_eq!(world.dead.first().map(|letter| letter.reason.as_str()), Some("unknown_rule"));
}

#[test]
fn a_correlator_that_is_assigned_anew_goes_on_in_the_middle_of_a_window() {
    // Stopped after each record in turn; what comes out must be what an uninterrupted one tells.
    let script = |world: &mut World, stop_after: Option<usize>| {
        let steps: [&dyn Fn(&mut World); 9] = [
            &|w| w.tick(0),
            &|w| w.event("failed", "eve", 1),
            &|w| w.event("failed", "mia", 2),
            &|w| w.event("failed", "eve", 3),
            &|w| w.tick(4),
            &|w| w.event("failed", "eve", 5),
            &|w| w.tick(700),
            &|w| w.tick(1300),
            &|w| w.tick(2000),
        ];
        for (n, step) in steps.iter().enumerate() {
            step(world);
            if stop_after == Some(n) {
                restart(world);
            }
        }
    };
    let mut whole = World::new();
    script(&mut whole, None);
    assert_eq!(whole.told, ["soc opened \"eve\" count 3", "soc resolved \"eve\" count 3"]);
    for n in 0..9 {
        let mut broken = World::new();
        script(&mut broken, Some(n));
        assert_eq!(broken.told, whole.told, "stopped after step {n}");
    }
}

const SILENCE: &str = r#"
title    = "Silence"
severity = "high"
when     = 'event.action: *'
group_by = ["user.name"]
absence  = { within = "1m", expect = ["eve", "mia", "zoe"] }
"#;

#[test]
fn keys_that_should_report_are_missed_once_whoever_owns_them_and_however_often_it_changes() {
    let script = |world: &mut World, stop_after: Option<usize>| {
        let steps: [&dyn Fn(&mut World); 10] = [
            &|w| w.tick(0),
            &|w| w.event("ok", "eve", 10),
            &|w| w.tick(65),
            &|w| w.tick(76),
            &|w| w.tick(86),
            &|w| w.event("ok", "eve", 100),
            &|w| w.event("ok", "eve", 130),
            &|w| w.tick(170),
            &|w| w.tick(250),
            &|w| w.tick(90_000),
        ];
        for (n, step) in steps.iter().enumerate() {
            step(world);
            if stop_after == Some(n) {
                restart(world);
            }
        }
        world.told.sort();
    };
    let mut whole = World::of(SILENCE, Duration::ZERO);
    script(&mut whole, None);
    expect_test::expect![[r#"
        soc opened "eve" count 0
        soc opened "eve" count 0
        soc opened "mia" count 0
        soc opened "zoe" count 0
        soc resolved "eve" count 0
        soc resolved "eve" count 0
        soc resolved "mia" count 0
        soc resolved "zoe" count 0"#]]
    .assert_eq(&whole.told.join("\n"));
    let told = whole.control.0.lock().unwrap().len();
    assert_eq!(told, 6, "one start for each partition, and one for each key");
    for n in 0..10 {
        let mut broken = World::of(SILENCE, Duration::ZERO);
        script(&mut broken, Some(n));
        assert_eq!(broken.told, whole.told, "stopped after step {n}");
        assert_eq!(*broken.control.0.lock().unwrap(), *whole.control.0.lock().unwrap());
    }
}

/// A new CORRELATE takes the partitions over where the old one committed, and catches up.
fn restart(world: &mut World) {
    let mut fresh = correlating(&world.rule, &world.sets, &world.clock, &world.control);
    for number in 0..3 {
        let partition = TopicPartition::new("signals", number);
        let shelf = world.signals.entry(number).or_default();
        let end = i64::try_from(shelf.0.len()).unwrap();
        let bookmark = world.correlating.bookmark(&partition).unwrap_or_default();
        let committed = Committed { offset: end, bookmark };
        let start = fresh.assigned(&partition, Some(&committed), shelf).unwrap();
        let from = match start {
            Start::Committed => end,
            Start::Offset(offset) => offset,
        };
        for (offset, payload) in (0..).zip(&shelf.0).skip(usize::try_from(from).unwrap()) {
            let mut out = Memory::default();
            fresh.record(&record("signals", number, offset, payload), &mut out).unwrap();
            assert_eq!(out.sent, [], "rebuilding tells nothing");
        }
    }
    world.correlating = fresh;
}

#[test]
fn delay_trails_the_reported_time() {
    let mut world = World::of(RULE, Duration::from_mins(5));
    world.tick(1000);
    let shelf = world.signals.values().next().unwrap();
    let record = crate::engine::Record::decode(shelf.0.last().unwrap()).unwrap();
    let crate::engine::Record::Tick(tick) = record else { panic!("{record:?}") };
    let time = tick.sources.first().unwrap().time;
    assert_eq!(time.as_millis(), NOW + (1000 - 300 - 5) * 1000);
}

/// The threshold, but it panics on the sight of events at one moment.
#[derive(Debug)]
struct Panics(Box<dyn Detector>, Timestamp);

#[derive(Debug)]
struct PanicsState(Box<dyn KeyState>, Timestamp);

impl Detector for Panics {
    fn spec(&self) -> &'static DetectorSpec {
        self.0.spec()
    }

    fn canonical(&self) -> String {
        self.0.canonical()
    }

    fn span(&self) -> Duration {
        self.0.span()
    }

    fn keeps(&self) -> usize {
        self.0.keeps()
    }

    fn fields(&self) -> Vec<crate::event::FieldName> {
        self.0.fields()
    }

    fn fresh(&self, start: RuleStart) -> Box<dyn KeyState> {
        Box::new(PanicsState(self.0.fresh(start), self.1))
    }

    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken> {
        self.0.restore(bytes)
    }
}

impl KeyState for PanicsState {
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts) {
        assert_ne!(occurrence.time, self.1, "a bug, planted by a test");
        self.0.observe(occurrence, out);
    }

    fn advance(&mut self, clock: Timestamp, out: &mut Verdicts) {
        self.0.advance(clock, out);
    }

    fn expires_at(&self) -> Timestamp {
        self.0.expires_at()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

#[test]
fn a_rule_that_panics_loses_one_signal_to_the_dead_letters_and_goes_on() {
    let mut world = World::new();
    let bad = Timestamp::from_millis(NOW + 2000);
    let mut rule = Arc::into_inner(read_rule(RULE, &Sets::default())).unwrap();
    rule.detector = rule.detector.map(|detector| Box::new(Panics(detector, bad)) as _);
    world.rule = Arc::new(rule);
    world.correlating = correlating(&world.rule, &world.sets, &world.clock, &world.control);
    for partition in 0..3 {
        let partition = TopicPartition::new("signals", partition);
        world.correlating.assigned(&partition, None, &mut Shelf::default()).unwrap();
    }
    world.event("failed", "eve", 0);
    world.event("failed", "eve", 1);
    // The worker does as it does after any failure that may pass: everything anew from the log.
    world.redo_after_failure = true;
    world.event("failed", "eve", 2);
    let reasons: Vec<_> = world.dead.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(reasons, ["rule_panicked"]);
    assert_eq!(world.told, Vec::<String>::new());
    world.event("failed", "eve", 3);
    assert_eq!(world.told, ["soc opened \"eve\" count 3"]);
    for _ in 0..6 {
        world.event("failed", "mia", 2);
    }
    assert_eq!(world.dead.last().unwrap().reason, "rule_switched_off");
    assert_eq!(world.dead.len(), 7, "nothing is lost in silence");
}

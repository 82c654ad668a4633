//! CORRELATE: one signal after another into windows of five in ten minutes, over many keys; the whole
//! of it, with memory by key, timers and alerts (`correlate`), and the detector alone (`detector`).
//! The anchor is what one would write by hand: a hash map of queues of times.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::sync::Arc;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use hark::alert::{Correlation, Findings, Limits, Progress, Rules};
use hark::base::diagnostic::SourceText;
use hark::base::{Position, Timestamp};
use hark::detectors::{KeyState, Occurrence, Parts, RuleStart, Verdicts};
use hark::engine::{Fields, Key, Record, Signal, Signals, Source, SourceTime, Tick};
use hark::query::Sets;
use hark::rule::{self, Rule};

use crate::ratios::ANCHOR;

const RULE: &str = "title = 'Many'
severity = 'high'
when = 'event.action: *'
group_by = ['user.name']
threshold = { count = 5, within = '10m' }";

/// How many updates one measured step makes.
const STEP: usize = 1_000;
const WITHIN_MS: i64 = 600_000;
const COUNT: usize = 5;

pub(crate) fn benches(criterion: &mut Criterion) {
    let sizes = if crate::measures() { [10_000, 1_000_000] } else { [10, 100] };
    for (name, keys) in ["10k keys", "1M keys"].into_iter().zip(sizes) {
        let mut group = criterion.benchmark_group(format!("windows/{name}"));
        group.throughput(Throughput::Elements(STEP as u64));
        group.sample_size(20);
        measure::<ByHand>(&mut group, ANCHOR, keys);
        measure::<Detectors>(&mut group, "detector", keys);
        measure::<Correlate>(&mut group, "correlate", keys);
        group.finish();
    }
}

/// Something that keeps a window for each key.
trait Windows {
    fn new(keys: usize) -> Self;
    /// Takes an event; whether it completes a window.
    fn take(&mut self, key: usize, time: i64) -> bool;
    /// Time has come so far.
    fn tick(&mut self, _time: i64) {}
}

fn measure<W: Windows>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, keys: usize) {
    // Made only if it is measured, once, and gone before the next: a million keys are large.
    let mut made: Option<(Stream, W)> = None;
    group.bench_function(name, |bench| {
        let (stream, windows) = made.get_or_insert_with(|| {
            let (mut stream, mut windows) = (Stream::new(keys), W::new(keys));
            for key in 0..keys {
                let time = stream.now();
                windows.take(key, time);
            }
            (stream, windows)
        });
        bench.iter(|| {
            for _ in 0..STEP {
                let (key, time) = (stream.key(), stream.now());
                black_box(windows.take(key, time));
            }
            windows.tick(stream.now());
        });
    });
}

/// Keys in an order that no cache foresees; each comes every twenty minutes or so, so that windows
/// hold one or two events and hardly any fires.
struct Stream {
    keys: usize,
    now: f64,
    random: u64,
}

impl Stream {
    fn new(keys: usize) -> Self {
        Self { keys, now: 1_767_614_400_000.0, random: 0x9e37_79b9_7f4a_7c15 }
    }

    fn key(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random).unwrap() % self.keys
    }

    /// The time of the next event.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small")]
    fn now(&mut self) -> i64 {
        self.now += 1_200_000.0 / self.keys as f64;
        self.now as i64
    }
}

fn name(key: usize) -> String {
    format!("user-{key:07}@example.org")
}

/// A hash map of queues.
struct ByHand {
    names: Vec<String>,
    windows: HashMap<String, VecDeque<i64>>,
}

impl Windows for ByHand {
    fn new(keys: usize) -> Self {
        Self { names: (0..keys).map(name).collect(), windows: HashMap::new() }
    }

    fn take(&mut self, key: usize, time: i64) -> bool {
        let window = self.windows.entry(self.names[key].clone()).or_default();
        while window.front().is_some_and(|first| time - first > WITHIN_MS) {
            window.pop_front();
        }
        window.push_back(time);
        window.len() >= COUNT
    }
}

/// The detector's memory of each key, found for nothing.
struct Detectors {
    windows: Vec<Box<dyn KeyState>>,
    position: Position,
    said: Verdicts,
}

impl Windows for Detectors {
    fn new(keys: usize) -> Self {
        let rule = rule();
        let detector = rule.detector.as_ref().unwrap();
        let start = RuleStart { at: Timestamp::MIN, warm: false };
        let windows = (0..keys).map(|_| detector.fresh(start)).collect();
        Self { windows, position: Position::new("audit.bench", 0, 0), said: Verdicts::new() }
    }

    fn take(&mut self, key: usize, time: i64) -> bool {
        self.position.offset += 1;
        let position = self.position.clone();
        let time = Timestamp::from_millis(time);
        let occurrence = Occurrence { time, position, parts: Parts::FIRST, values: Vec::new() };
        self.said.clear();
        self.windows[key].observe(&occurrence, &mut self.said);
        !self.said.is_empty()
    }
}

/// A signals partition as CORRELATE holds it.
struct Correlate {
    rule: Arc<Rule>,
    rules: Rules,
    correlation: Correlation,
    keys: Vec<Key>,
    source: Source,
    offset: i64,
    found: Findings,
}

impl Windows for Correlate {
    fn new(keys: usize) -> Self {
        let rule = rule();
        Self {
            rules: Rules::compile([rule.clone()], &Sets::default()).unwrap(),
            rule,
            correlation: Correlation::new(Limits::default()),
            keys: (0..keys).map(|key| Key::new(&["user.name"], &[(&*name(key)).into()])).collect(),
            source: Source::new("audit.bench", 0),
            offset: 0,
            found: Findings::default(),
        }
    }

    fn take(&mut self, key: usize, time: i64) -> bool {
        self.offset += 1;
        let signal = Signal {
            rule: self.rule.id.clone(),
            version: self.rule.hash,
            parts: Parts::FIRST,
            key: self.keys[key].clone(),
            fields: Fields::default(),
        };
        let record = Record::Signals(Signals {
            position: Position::new(self.source.topic.clone(), 0, self.offset),
            time: Timestamp::from_millis(time),
            clamped: false,
            signals: vec![signal],
        });
        self.correlation.stand_at(self.offset);
        self.apply(&record)
    }

    fn tick(&mut self, time: i64) {
        let time = Timestamp::from_millis(time);
        let source = SourceTime { source: self.source.clone(), time, at_end: false };
        let subscription = vec![self.source.clone()];
        let tick = Tick { worker: "bench".into(), sources: vec![source], subscription };
        self.apply(&Record::Tick(tick));
    }
}

impl Correlate {
    fn apply(&mut self, record: &Record) -> bool {
        self.found.clear();
        let mut progress = self.correlation.apply(record, &self.rules, &mut self.found);
        while progress == Progress::More {
            progress = self.correlation.resume(&self.rules, &mut self.found);
        }
        !self.found.alerts.is_empty()
    }
}

fn rule() -> Arc<Rule> {
    let sets = Sets::default();
    let source = SourceText::new("many.toml", RULE);
    let (rule, found) = rule::parse(&source, "many", &rule::Context::new(&sets));
    Arc::new(rule.unwrap_or_else(|| panic!("{found:?}")))
}

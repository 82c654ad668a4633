//! Windows and alerts against the brute-force recount, over random streams: late, reordered and
//! repeated signals, several rules, keys and sources, clocks that jump, any number of partitions.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use hark::alert::{
    Alert, AlertStatus, Correlation, Findings, Limits, Note, Progress, Resume, Rules,
};
use hark::base::diagnostic::SourceText;
use hark::base::id::Id;
use hark::base::{Position, Timestamp};
use hark::engine::{Fields, Key, Record, Signal, Signals, Source, SourceTime, Tick, partition_of};
use hark::event::Scalar;
use hark::query::Sets;
use hark::rule::{self, Rule};
use hark::state::{RuleKey, codec};
use proptest::prelude::*;

#[path = "support/recount.rs"]
mod recount;

use recount::{Recounted, Settings, Step, recount};

/// One event of the generated stream, which meets some of the rules.
#[derive(Debug, Clone)]
struct Happening {
    time: i64,
    source: (&'static str, i32),
    key: u8,
    rules: u8,
    /// One bit for each value that it has.
    values: u8,
    /// How far it is moved back in the log.
    delay: usize,
    /// It is delivered again so many places later.
    again: Option<usize>,
    /// The stream's clock then stands so far behind the latest event.
    tick: Option<i64>,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let source = prop::sample::select(vec![("a", 0), ("a", 1), ("b", 0)]);
    let one = (
        0..9_000i64,
        source,
        0..3u8,
        (1..128u8, 0..8u8),
        prop_oneof![3 => Just(0), 1 => 0..12usize],
        prop_oneof![4 => Just(None), 1 => (1..4usize).prop_map(Some)],
        prop_oneof![2 => Just(None), 1 => (0..15_000i64).prop_map(Some)],
    );
    let gaps = prop_oneof![6 => Just(0), 1 => 0..120_000i64];
    // On a coarse grid the edges of windows and lives are met, and times tie.
    let grid = prop::sample::select(vec![1, 1_000, 2_000, 5_000]);
    (prop::collection::vec((one, gaps), 1..60), grid).prop_map(|(all, grid)| {
        let mut now = 0;
        let mut happenings = Vec::new();
        for ((step, source, key, (rules, values), delay, again, tick), gap) in all {
            now += step + gap;
            let time = now / grid * grid;
            let tick = tick.map(|behind: i64| behind / grid * grid);
            happenings.push(Happening { time, source, key, rules, values, delay, again, tick });
        }
        happenings
    })
}

/// What the log holds, in its order.
#[derive(Debug, Clone)]
enum Logged {
    Event { time: i64, place: recount::Place, key: u8, rules: u8, values: u8 },
    Clock(i64),
}

fn log(happenings: &[Happening]) -> Vec<Logged> {
    let mut offsets: BTreeMap<(&str, i32), i64> = BTreeMap::new();
    let mut placed: Vec<(usize, Logged, Option<i64>)> = Vec::new();
    for (n, happening) in happenings.iter().enumerate() {
        let offset = offsets.entry(happening.source).or_default();
        let place = (happening.source.0.to_owned(), happening.source.1, *offset);
        *offset += 1;
        let event = Logged::Event {
            time: happening.time,
            place,
            key: happening.key,
            rules: happening.rules,
            values: happening.values,
        };
        if let Some(later) = happening.again {
            placed.push((n + happening.delay + later, event.clone(), None));
        }
        placed.push((n + happening.delay, event, happening.tick));
    }
    placed.sort_by_key(|(at, ..)| *at);
    let (mut latest, mut clock) = (i64::MIN, i64::MIN);
    let mut log = Vec::new();
    for (_, mut event, tick) in placed {
        if let Logged::Event { time, rules, .. } = &mut event {
            latest = latest.max(*time);
            // Without a detector nothing is late, but what is older than twice `keep_open` is no
            // longer known one by one: such events are left to a test of their own.
            let undetected = |rule: &Settings| {
                rule.threshold.is_none() && rule.change.is_none() && rule.novel.is_none()
            };
            for (n, rule) in settings().iter().enumerate().filter(|(_, rule)| undetected(rule)) {
                if *time < clock.saturating_sub(rule.lateness + 2 * rule.keep_open) {
                    *rules &= !(1 << n);
                }
            }
        }
        log.push(event);
        if let Some(behind) = tick {
            clock = clock.max(latest - behind);
            log.push(Logged::Clock(clock));
        }
    }
    log
}

/// Two thresholds (the second without `group_by` and with long-lived alerts), every event by key,
/// every event alone, distinct values, changed ones and new ones.
const RULES: [(&str, &str); 7] = [
    ("a", "group_by = ['user.name']\nlateness = '2s'\nthreshold = { count = 3, within = '10s' }"),
    (
        "b",
        "lateness = '0s'\nthreshold = { count = 2, within = '5s' }\nalert = { keep_open = '12s', max_open = '30s' }",
    ),
    ("c", "group_by = ['user.name']\nalert = { keep_open = '40s', max_open = '90s' }"),
    ("d", "lateness = '5s'"),
    (
        "e",
        "group_by = ['user.name']\nlateness = '3s'\ncardinality = { fields = ['source.ip'], count = 2, within = '8s' }",
    ),
    (
        "f",
        "group_by = ['user.name']\nlateness = '4s'\nchange = { field = 'source.ip', within = '9s' }\nalert = { keep_open = '11s', max_open = '40s' }",
    ),
    (
        "g",
        "group_by = ['user.name']\nlateness = '1s'\nnew_value = { fields = ['source.ip'], forget = '20s' }\nalert = { keep_open = '25s', max_open = '45s' }",
    ),
];

/// The distinct values of an event.
fn values(bits: u8) -> Vec<String> {
    (0..3).filter(|n| bits >> n & 1 == 1).map(|n| format!("10.0.0.{n}")).collect()
}

fn settings() -> [Settings; 7] {
    let base = Settings {
        threshold: None,
        distinct: false,
        change: None,
        novel: None,
        grouped: false,
        lateness: 0,
        keep_open: 0,
        max_open: 86_400_000,
    };
    [
        Settings {
            threshold: Some((3, 10_000)),
            grouped: true,
            lateness: 2_000,
            keep_open: 10_000,
            ..base
        },
        Settings { threshold: Some((2, 5_000)), keep_open: 12_000, max_open: 30_000, ..base },
        Settings { grouped: true, lateness: 10_000, keep_open: 40_000, max_open: 90_000, ..base },
        Settings { lateness: 5_000, keep_open: 300_000, ..base },
        Settings {
            threshold: Some((2, 8_000)),
            distinct: true,
            grouped: true,
            lateness: 3_000,
            keep_open: 8_000,
            ..base
        },
        Settings {
            change: Some(9_000),
            grouped: true,
            lateness: 4_000,
            keep_open: 11_000,
            max_open: 40_000,
            ..base
        },
        Settings {
            novel: Some(20_000),
            grouped: true,
            lateness: 1_000,
            keep_open: 25_000,
            max_open: 45_000,
            ..base
        },
    ]
}

fn rules() -> Vec<Arc<Rule>> {
    let read = |(id, rest): &(&str, &str)| {
        let text = format!("title = 't {id}'\nseverity = 'low'\nwhen = 'user.name: *'\n{rest}\n");
        let source = SourceText::new(format!("{id}.toml"), text);
        let sets = Sets::default();
        let (rule, found) = rule::parse(&source, id, &rule::Context::new(&sets));
        Arc::new(rule.unwrap_or_else(|| panic!("{found:?}")))
    };
    RULES.iter().map(read).collect()
}

/// The signals partitions of a run, fed through the records' bytes.
struct Run {
    rules: Vec<Arc<Rule>>,
    known: Rules,
    partitions: Vec<Correlation>,
    out: Vec<Findings>,
    /// Everything written to each partition.
    written: Vec<Vec<Record>>,
}

impl Run {
    fn new(partitions: u32, limits: Limits) -> Self {
        let rules = rules();
        let known = Rules::compile(rules.iter().cloned(), &Sets::default()).unwrap();
        Self {
            rules,
            known,
            partitions: (0..partitions).map(|_| Correlation::new(limits)).collect(),
            out: (0..partitions).map(|_| Findings::default()).collect(),
            written: vec![Vec::new(); usize::try_from(partitions).unwrap()],
        }
    }

    fn apply(&mut self, partition: usize, record: &Record) {
        let record = Record::decode(&record.encode()).unwrap();
        let offset = i64::try_from(self.written[partition].len()).unwrap();
        self.written[partition].push(record.clone());
        self.partitions[partition].stand_at(offset);
        let out = &mut self.out[partition];
        let mut progress = self.partitions[partition].apply(&record, &self.known, out);
        while progress == Progress::More {
            progress = self.partitions[partition].resume(&self.known, out);
        }
    }

    fn step(&mut self, step: &Logged) {
        match step {
            Logged::Clock(time) => {
                for partition in 0..self.partitions.len() {
                    self.apply(partition, &tick(*time));
                }
            }
            Logged::Event { time, place, key, rules, values: bits } => {
                let mut fields = Fields::default();
                let addresses: Vec<_> =
                    values(*bits).iter().map(|v| Scalar::from(v.as_str())).collect();
                fields.push("source.ip".into(), addresses.into());
                let mut by_partition: BTreeMap<u32, Vec<Signal>> = BTreeMap::new();
                for (n, rule) in self.rules.iter().enumerate().filter(|(n, _)| rules >> n & 1 == 1)
                {
                    let key = key_of(n, *key);
                    let partitions = u32::try_from(self.partitions.len()).unwrap();
                    let partition = partition_of(&rule.id, key.bytes(), partitions);
                    by_partition.entry(partition).or_default().push(Signal {
                        rule: rule.id.clone(),
                        version: rule.hash,
                        parts: hark::detectors::Parts::FIRST,
                        key,
                        fields: fields.clone(),
                    });
                }
                for (partition, signals) in by_partition {
                    let position = Position::new(&*place.0, place.1, place.2);
                    let time = Timestamp::from_millis(*time);
                    let record =
                        Record::Signals(Signals { position, time, clamped: false, signals });
                    self.apply(usize::try_from(partition).unwrap(), &record);
                }
            }
        }
    }

    fn run(mut self, log: &[Logged]) -> Vec<Findings> {
        for step in log {
            self.step(step);
        }
        self.step(&Logged::Clock(Timestamp::MAX.as_millis()));
        for partition in &self.partitions {
            assert_eq!(partition.keys(), 0, "after an endless silence nothing is remembered");
        }
        self.out
    }

    /// Forgets everything and reads the log again, in silence, from where that is enough.
    fn read_again(&mut self) {
        for (partition, log) in self.partitions.iter_mut().zip(&self.written) {
            let resume: Resume = partition.resume_point().to_string().parse().unwrap();
            *partition = Correlation::resumed(Limits::default(), &resume);
            let from = resume.offset.map_or(log.len(), |offset| usize::try_from(offset).unwrap());
            let mut out = Findings::default();
            for (offset, record) in (0..).zip(log).skip(from) {
                partition.stand_at(offset);
                let _known_to_be_done = partition.apply(record, &self.known, &mut out);
            }
        }
    }

    /// Writes everything that is remembered, as the changelog would, and starts anew from it.
    fn restart(&mut self, limits: Limits, written: &mut [BTreeMap<RuleKey, Vec<u8>>]) {
        for (partition, written) in self.partitions.iter_mut().zip(written) {
            for change in partition.take_changes() {
                match change.value {
                    Some(value) => written.insert((change.rule, change.key), value),
                    None => written.remove(&(change.rule, change.key)),
                };
            }
            let mut restored = Correlation::new(limits);
            for ((rule, key), value) in &*written {
                restored.restore_key(rule.clone(), key.clone(), value).unwrap();
            }
            restored.restore_clock(&partition.encode_clock()).unwrap();
            restored.track_changes();
            *partition = restored;
        }
    }
}

fn tick(time: i64) -> Record {
    let source = Source::new("a", 0);
    let time = Timestamp::from_millis(time);
    Record::Tick(Tick {
        worker: "w".into(),
        sources: vec![SourceTime { source: source.clone(), time, at_end: false }],
        subscription: vec![source],
    })
}

fn key_of(rule: usize, key: u8) -> Key {
    if settings()[rule].grouped {
        Key::new(&["user.name"], &[Scalar::from(format!("User {key}").as_str())])
    } else {
        Key::new::<&str>(&[], &[])
    }
}

/// What the recount says of all rules, by alert id.
fn expected(log: &[Logged]) -> BTreeMap<String, (Recounted, String)> {
    let mut all = BTreeMap::new();
    for (n, settings) in settings().iter().enumerate() {
        let mut keys: BTreeMap<String, Key> = BTreeMap::new();
        let mut steps = Vec::new();
        for step in log {
            match step {
                Logged::Clock(time) => steps.push(Step::Clock(*time)),
                Logged::Event { time, place, key, rules, values: bits } if rules >> n & 1 == 1 => {
                    let own = key_of(n, *key);
                    let name = format!("{:?}", own.shown());
                    keys.insert(name.clone(), own);
                    let (time, place) = (*time, place.clone());
                    steps.push(Step::Event { key: name, time, place, values: values(*bits) });
                }
                Logged::Event { .. } => {}
            }
        }
        for alert in recount(settings, &steps) {
            let (topic, partition, offset) = &alert.opener;
            let mut id =
                Id::new("alert").part(RULES[n].0.as_bytes()).part(keys[&alert.key].bytes());
            if let Some(value) = &alert.tuple {
                let mut tuple = Vec::new();
                codec::put_text(&mut tuple, value);
                id = id.part(&tuple);
            }
            let id = id.part(format!("{topic}:{partition}:{offset}").as_bytes()).finish();
            assert!(all.insert(id, (alert, RULES[n].0.to_owned())).is_none());
        }
    }
    all
}

/// The last state of each alert; on the way, that revisions rise by one and nothing follows a resolve.
fn last_states(findings: &[Findings]) -> BTreeMap<String, Alert> {
    let mut last: BTreeMap<String, Alert> = BTreeMap::new();
    for alert in findings.iter().flat_map(|f| &f.alerts) {
        let before = last.insert(alert.id.clone(), alert.clone());
        let revision = before.as_ref().map_or(0, |before| before.revision);
        assert_eq!(alert.revision, revision + 1);
        if let Some(before) = before {
            assert_eq!(before.status, AlertStatus::Open);
            assert!(before.severity <= alert.severity && before.count <= alert.count);
            assert_eq!((before.opened_at, &before.key), (alert.opened_at, &alert.key));
        }
    }
    last
}

fn compare(found: &BTreeMap<String, Alert>, expected: &BTreeMap<String, (Recounted, String)>) {
    let found: BTreeMap<_, _> = found.iter().map(|(id, a)| (id.clone(), facts(a))).collect();
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(id, (alert, rule))| {
            let Recounted { key, opener: _, resolution, .. } = alert;
            let facts = format!(
                "{rule} {key} opened {} first {} last {} count {} firings {} value {} peak {} over {} {resolution}",
                alert.opened_at,
                alert.first_seen,
                alert.last_seen,
                alert.count,
                alert.firings,
                alert.value,
                alert.peak,
                alert.resolved_at
            );
            (id.clone(), facts)
        })
        .collect();
    assert_eq!(found, expected);
}

fn facts(alert: &Alert) -> String {
    let shown: Vec<Scalar> = alert.key.values().filter_map(Scalar::from_json).collect();
    format!(
        "{} {:?} opened {} first {} last {} count {} firings {} value {} peak {} over {} {:?}",
        alert.rule.id,
        shown,
        alert.opened_at.as_millis(),
        alert.first_seen.as_millis(),
        alert.last_seen.as_millis(),
        alert.count,
        alert.firings,
        alert.value,
        alert.peak,
        alert.resolved_at.unwrap().as_millis(),
        alert.resolution.unwrap()
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn alerts_are_those_of_the_recount(happenings in happenings(), partitions in 1..8u32) {
        let log = log(&happenings);
        let findings = Run::new(partitions, Limits::default()).run(&log);
        compare(&last_states(&findings), &expected(&log));
    }

    #[test]
    fn any_number_of_partitions_gives_the_same_records(happenings in happenings()) {
        let log = log(&happenings);
        let records = |partitions| {
            let findings = Run::new(partitions, Limits::default()).run(&log);
            let all = findings.into_iter().flat_map(|f| f.alerts);
            all.map(|a| ((a.id.clone(), a.revision), a)).collect::<BTreeMap<_, _>>()
        };
        let one = records(1);
        prop_assert_eq!(&records(3), &one);
        prop_assert_eq!(&records(32), &one);
    }

    #[test]
    fn a_restart_at_any_place_changes_nothing(
        happenings in happenings(),
        stops in prop::collection::btree_set(0..120usize, 1..4),
    ) {
        let log = log(&happenings);
        let uninterrupted = Run::new(2, Limits::default()).run(&log);
        let mut run = Run::new(2, Limits::default());
        for partition in &mut run.partitions {
            partition.track_changes();
        }
        let mut written = vec![BTreeMap::new(); 2];
        for (n, step) in log.iter().enumerate() {
            if stops.contains(&n) {
                run.restart(Limits::default(), &mut written);
            }
            run.step(step);
        }
        prop_assert_eq!(run.run(&[]), uninterrupted);
    }

    #[test]
    fn reading_the_log_again_changes_nothing(
        happenings in happenings(),
        stops in prop::collection::btree_set(0..120usize, 1..4),
    ) {
        let log = log(&happenings);
        let uninterrupted = Run::new(2, Limits::default()).run(&log);
        let mut run = Run::new(2, Limits::default());
        for (n, step) in log.iter().enumerate() {
            if stops.contains(&n) {
                run.read_again();
            }
            run.step(step);
        }
        prop_assert_eq!(run.run(&[]), uninterrupted);
    }

    #[test]
    fn the_bound_of_timers_changes_nothing(happenings in happenings()) {
        let log = log(&happenings);
        let all_at_once = Run::new(1, Limits::default()).run(&log);
        let limits = Limits { timers_per_step: 1, ..Limits::default() };
        prop_assert_eq!(Run::new(1, limits).run(&log), all_at_once);
    }
}

#[test]
fn without_a_detector_nothing_is_too_late_for_an_alert() {
    let mut run = Run::new(1, Limits::default());
    run.step(&event(0, 0, 0b1100, 0));
    run.step(&Logged::Clock(10_000_000));
    run.step(&event(5_000, 1, 0b1100, 0));
    let opened: Vec<_> = run.out[0]
        .alerts
        .iter()
        .filter(|alert| alert.revision == 1)
        .map(|alert| (alert.rule.id.as_str(), alert.opened_at.as_millis()))
        .collect();
    assert_eq!(opened, [("c", 0), ("d", 0), ("c", 5_000), ("d", 5_000)]);
    assert_eq!(run.out[0].notes, []);
}

/// What is found when the log is read again at its end, which must be what is found without.
fn found_in_spite_of_reading_again(log: &[Logged]) -> Vec<Findings> {
    let mut run = Run::new(1, Limits::default());
    for step in log {
        run.step(step);
    }
    run.read_again();
    let found = run.run(&[]);
    assert_eq!(found, Run::new(1, Limits::default()).run(log));
    found
}

fn event(time: i64, offset: i64, rules: u8, values: u8) -> Logged {
    Logged::Event { time, place: ("a".into(), 0, offset), key: 0, rules, values }
}

#[test]
fn a_repeat_of_an_event_that_is_over_stays_over_when_the_log_is_read_again() {
    found_in_spite_of_reading_again(&[
        event(0, 0, 0b100, 0),
        Logged::Clock(65_000),
        // Its alert has resolved, but it is still known.
        event(0, 0, 0b100, 0),
        Logged::Clock(90_000),
        event(97_000, 1, 0b100, 0),
        Logged::Clock(97_000),
        event(97_000, 1, 0b100, 0),
    ]);
}

#[test]
fn a_repeat_stays_over_though_the_log_is_read_again_from_between() {
    found_in_spite_of_reading_again(&[
        event(0, 0, 0b100, 0),
        Logged::Clock(65_000),
        // Of another rule, which still knows it when the one before is forgotten.
        event(80_000, 1, 0b10_0000, 1),
        event(0, 0, 0b100, 0),
        Logged::Clock(90_001),
    ]);
}

#[test]
fn an_alert_about_a_change_survives_what_it_changed_from() {
    let found = found_in_spite_of_reading_again(&[
        event(110_000, 0, 0b10_0000, 0b01),
        Logged::Clock(110_000),
        event(119_000, 1, 0b10_0000, 0b10),
        Logged::Clock(133_000),
        // By now the address before is forgotten.
        event(133_000, 2, 0b10_0000, 0),
    ]);
    assert_eq!(found[0].alerts.len(), 2, "opened and resolved");
}

#[test]
fn a_value_that_was_known_is_not_new_when_the_log_is_read_again() {
    found_in_spite_of_reading_again(&[
        event(0, 0, 0b100_0000, 0b10),
        event(4_000, 1, 0b100_0000, 0b10),
        Logged::Clock(28_000),
        // By now both are forgotten.
        event(28_000, 2, 0b100_0000, 0),
    ]);
}

#[test]
fn what_is_late_repeated_or_unknown_is_told() {
    let mut run = Run::new(1, Limits::default());
    let event = |time, offset| event(time, offset, 1, 0);
    run.step(&event(100_000, 1));
    run.step(&event(100_000, 1));
    run.step(&Logged::Clock(112_000));
    // Rule `a`: its clock stands at 110 s and its window is 10 s.
    run.step(&event(100_000, 2));
    run.step(&event(99_999, 3));
    let position = |offset| Position::new("a", 0, offset);
    assert_eq!(
        run.out[0].notes,
        [
            Note::Duplicate { rule: "a".into(), position: position(1) },
            Note::Late { rule: "a".into(), position: position(3) },
        ]
    );
    run.out[0].clear();
    run.known = Rules::new();
    run.step(&event(112_000, 4));
    let version = run.rules[0].hash;
    assert_eq!(
        run.out[0].notes,
        [Note::UnknownRule { rule: "a".into(), version, position: position(4) }]
    );
}

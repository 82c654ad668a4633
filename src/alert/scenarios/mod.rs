//! The life of alerts at its edges, told as timelines: `event 5` is an event of the key at second 5,
//! `clock 9` a tick; behind it stands every record that it makes.

mod absence;
mod lists;
mod memory;
mod sustained;
mod tuples;
mod waiting;

use std::sync::Arc;

use expect_test::{Expect, expect};

use super::*;
use crate::base::diagnostic::SourceText;
use crate::base::{Position, Timestamp};
use crate::detectors::Parts;
use crate::engine::{Fields, Key, Record, Signal, Signals, Source, SourceTime, Tick};
use crate::event::Scalar;
use crate::query::Sets;
use crate::rule::{self, Rule};

const EVERY: &str =
    "group_by = ['user.name']\nlateness = '0s'\nalert = { keep_open = '10s', max_open = '60s' }";
const THREE: &str =
    "group_by = ['user.name']\nlateness = '0s'\nthreshold = { count = 3, within = '10s' }";

/// One partition, one rule (or versions of it), one key unless said otherwise.
struct Scene {
    known: Rules,
    rule: Arc<Rule>,
    partition: Correlation,
    offset: i64,
    told: Vec<String>,
    fired: Vec<Fired>,
}

impl Scene {
    fn new(settings: &str) -> Self {
        Self::within(settings, Limits::default())
    }

    fn within(settings: &str, limits: Limits) -> Self {
        let rule = read(settings);
        let mut known = Rules::new();
        known.add(&rule, &Sets::default()).unwrap();
        let partition = Correlation::new(limits);
        Self { known, rule, partition, offset: 0, told: Vec::new(), fired: Vec::new() }
    }

    /// The rule's next version.
    fn edit(&mut self, settings: &str) {
        self.rule = read(settings);
        self.known.add(&self.rule, &Sets::default()).unwrap();
    }

    /// Runs lines of `event SECONDS [KEY [ADDRESS,…]]`, `meets` (an event that meets the second part
    /// too), `lesson` (one that meets nothing else), `again` (the last event once more) and
    /// `clock SECONDS`.
    fn run(&mut self, script: &str) -> &mut Self {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split_whitespace();
            let what = words.next().unwrap();
            let time = seconds(words.next().unwrap());
            self.offset += i64::from(matches!(what, "event" | "meets" | "lesson"));
            let user = words.next().unwrap_or("Eve");
            let own = format!("10.0.0.{}", self.offset);
            let addresses = words.next().unwrap_or(&own);
            let record = match what {
                "event" | "again" => self.met(time, self.offset, user, addresses, Parts::FIRST),
                "meets" => self.met(time, self.offset, user, addresses, Parts(0b11)),
                "lesson" => self.met(time, self.offset, user, addresses, Parts(0b10)),
                _ => tick(time),
            };
            let mut out = Findings::with_firings();
            let progress = self.partition.apply(&record, &self.known, &mut out);
            assert_eq!(progress, Progress::Done);
            self.told.push(line.to_owned());
            for alert in &out.alerts {
                self.told.push(format!("    {}", shown(alert)));
            }
            self.fired.extend(out.firings.into_iter().flatten());
            for note in &out.notes {
                let note = format!("{note:?}");
                self.told.push(format!("    {}", note.split_whitespace().next().unwrap()));
            }
        }
        self
    }

    /// Writes everything that is remembered, as the changelog would, and starts anew from it.
    fn restart(&mut self) {
        let clock = self.partition.encode_clock();
        let changes = self.partition.take_changes();
        self.partition = Correlation::new(Limits::default());
        for change in changes {
            let value = change.value.unwrap();
            self.partition.restore_key(change.rule, change.key, &value).unwrap();
        }
        self.partition.restore_clock(&clock).unwrap();
    }

    fn event(&self, time: Timestamp, offset: i64, user: &str) -> Record {
        self.met(time, offset, user, &format!("10.0.0.{offset}"), Parts::FIRST)
    }

    fn met(
        &self,
        time: Timestamp,
        offset: i64,
        user: &str,
        addresses: &str,
        parts: Parts,
    ) -> Record {
        let mut fields = Fields::default();
        fields.push("user.name".into(), [Scalar::from(user)].into());
        fields.push("source.ip".into(), addresses.split(',').map(Scalar::from).collect());
        let group: Vec<String> = self.rule.group_by.iter().map(ToString::to_string).collect();
        let values: &[Scalar] = if group.is_empty() { &[] } else { &[user.into()] };
        let signal = Signal {
            rule: self.rule.id.clone(),
            version: self.rule.hash,
            parts,
            key: Key::new(&group, values),
            fields,
        };
        let position = Position::new("audit", 0, offset);
        Record::Signals(Signals { position, time, clamped: false, signals: vec![signal] })
    }

    fn tells(&self, expected: &Expect) {
        expected.assert_eq(&format!("{}\n", self.told.join("\n")));
    }
}

/// The same event, that met these parts of its rule.
fn meeting(mut record: Record, parts: Parts) -> Record {
    if let Record::Signals(signals) = &mut record {
        signals.signals.iter_mut().for_each(|signal| signal.parts = parts);
    }
    record
}

fn check(settings: &str, script: &str, expected: &Expect) {
    Scene::new(settings).run(script).tells(expected);
}

fn read(settings: &str) -> Arc<Rule> {
    let text = format!("title = 'T'\nseverity = 'low'\nwhen = 'user.name: *'\n{settings}\n");
    let sets = Sets::default();
    let source = SourceText::new("r.toml", text);
    let (rule, found) = rule::parse(&source, "r", &rule::Context::new(&sets));
    Arc::new(rule.unwrap_or_else(|| panic!("{found:?}")))
}

fn tick(time: Timestamp) -> Record {
    let source = Source::new("audit", 0);
    Record::Tick(Tick {
        worker: "w".into(),
        sources: vec![SourceTime { source: source.clone(), time, at_end: false }],
        subscription: vec![source],
    })
}

/// `20.001`, as a time.
fn seconds(text: &str) -> Timestamp {
    let (seconds, millis) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: i64 = seconds.parse().unwrap();
    Timestamp::from_millis(seconds * 1000 + millis.parse::<i64>().unwrap())
}

fn at_second(time: Timestamp) -> String {
    match (time.as_millis() / 1000, time.as_millis() % 1000) {
        (seconds, 0) => seconds.to_string(),
        (seconds, millis) => format!("{seconds}.{millis:03}"),
    }
}

fn shown(alert: &Alert) -> String {
    let over = match (alert.resolved_at, alert.resolution) {
        (Some(at), Some(why)) => format!(", over at {} ({why:?})", at_second(at)),
        _ => String::new(),
    };
    format!(
        "{} r{} {:?}: {}count {} of {}..{}, firings {}{over}",
        at_second(alert.opened_at),
        alert.revision,
        alert.status,
        if alert.approximate { "≥ " } else { "" },
        alert.count,
        at_second(alert.first_seen),
        at_second(alert.last_seen),
        alert.firings
    )
}

#[test]
fn a_firing_keep_open_after_the_last_grows_and_a_later_one_opens_another() {
    check(
        EVERY,
        "event 0\n event 10\n event 20.001\n clock 100",
        &expect![[r"
        event 0
            0 r1 Open: count 1 of 0..0, firings 1
        event 10
            0 r2 Open: count 2 of 0..10, firings 2
        event 20.001
            20.001 r1 Open: count 1 of 20.001..20.001, firings 1
        clock 100
            0 r3 Resolved: count 2 of 0..10, firings 2, over at 20 (Quiet)
            20.001 r2 Resolved: count 1 of 20.001..20.001, firings 1, over at 30.001 (Quiet)
    "]],
    );
}

#[test]
fn a_firing_keep_open_before_the_opening_grows_and_an_earlier_one_opens_another() {
    check(
        EVERY,
        "event 100\n event 90\n event 79.999\n clock 200",
        &expect![[r"
        event 100
            100 r1 Open: count 1 of 100..100, firings 1
        event 90
            100 r2 Open: count 2 of 90..100, firings 2
        event 79.999
            79.999 r1 Open: count 1 of 79.999..79.999, firings 1
        clock 200
            79.999 r2 Resolved: count 1 of 79.999..79.999, firings 1, over at 89.999 (Quiet)
            100 r3 Resolved: count 2 of 90..100, firings 2, over at 110 (Quiet)
    "]],
    );
}

#[test]
fn among_those_it_fits_the_last_opened_one_grows() {
    // 85 fits the alert of 80 (to 90) and that of 95 (from 85).
    check(
        EVERY,
        "event 95\n event 80\n event 85\n clock 200",
        &expect![[r"
        event 95
            95 r1 Open: count 1 of 95..95, firings 1
        event 80
            80 r1 Open: count 1 of 80..80, firings 1
        event 85
            80 r2 Open: count 2 of 80..85, firings 1
            95 r2 Open: count 2 of 85..95, firings 2
        clock 200
            80 r3 Resolved: count 2 of 80..85, firings 1, over at 90 (Quiet)
            95 r3 Resolved: count 2 of 85..95, firings 2, over at 105 (Quiet)
    "]],
    );
}

#[test]
fn after_max_open_a_firing_opens_another() {
    let script = "event 0\n event 9\n event 18\n event 27\n event 36\n event 45\n event 54\n event 60\n event 60.001\n clock 200";
    check(
        EVERY,
        script,
        &expect![[r"
        event 0
            0 r1 Open: count 1 of 0..0, firings 1
        event 9
            0 r2 Open: count 2 of 0..9, firings 2
        event 18
        event 27
            0 r3 Open: count 4 of 0..27, firings 4
        event 36
        event 45
        event 54
        event 60
            0 r4 Open: count 8 of 0..60, firings 8
        event 60.001
            60.001 r1 Open: count 1 of 60.001..60.001, firings 1
        clock 200
            0 r5 Resolved: count 8 of 0..60, firings 8, over at 60 (MaxOpen)
            60.001 r2 Resolved: count 1 of 60.001..60.001, firings 1, over at 70.001 (Quiet)
    "]],
    );
}

#[test]
fn a_resolve_is_told_when_the_clock_is_past_it() {
    check(
        EVERY,
        "clock 0\n event 0\n clock 10\n clock 10.001",
        &expect![[r"
        clock 0
        event 0
            0 r1 Open: count 1 of 0..0, firings 1
        clock 10
        clock 10.001
            0 r2 Resolved: count 1 of 0..0, firings 1, over at 10 (Quiet)
    "]],
    );
}

#[test]
fn a_resolve_waits_keep_open_after_the_last_firing_arrived() {
    // The alert of 5 was over at 15, the clock stands at 25: others may be as late as it was.
    check(
        EVERY,
        "clock 25\n event 5\n clock 34.999\n event 14\n clock 35\n clock 44.999\n clock 45",
        &expect![[r"
            clock 25
            event 5
                5 r1 Open: count 1 of 5..5, firings 1
            clock 34.999
            event 14
                5 r2 Open: count 2 of 5..14, firings 2
            clock 35
            clock 44.999
                5 r3 Resolved: count 2 of 5..14, firings 2, over at 24 (Quiet)
            clock 45
        "]],
    );
}

#[test]
fn lateness_holds_the_rules_clock_back() {
    let settings = THREE.replace("'0s'", "'7s'");
    check(
        &settings,
        "clock 0\n event 1\n event 2\n event 3\n clock 20\n clock 20.001",
        &expect![[r"
            clock 0
            event 1
            event 2
            event 3
                3 r1 Open: count 3 of 1..3, firings 1
            clock 20
            clock 20.001
                3 r2 Resolved: count 3 of 1..3, firings 1, over at 13 (Quiet)
        "]],
    );
    // The rule's clock stands at 93, and its window is 10 s.
    check(
        &settings,
        "clock 100\n event 83\n event 82.999",
        &expect![[r"
        clock 100
        event 83
        event 82.999
            Late
    "]],
    );
}

#[test]
fn it_is_told_when_its_count_reaches_a_power_of_two() {
    let mut scene = Scene::new(EVERY);
    for second in 0..17 {
        scene.run(&format!("event {second}"));
    }
    scene.run("clock 100").tells(&expect![[r"
        event 0
            0 r1 Open: count 1 of 0..0, firings 1
        event 1
            0 r2 Open: count 2 of 0..1, firings 2
        event 2
        event 3
            0 r3 Open: count 4 of 0..3, firings 4
        event 4
        event 5
        event 6
        event 7
            0 r4 Open: count 8 of 0..7, firings 8
        event 8
        event 9
        event 10
        event 11
        event 12
        event 13
        event 14
        event 15
            0 r5 Open: count 16 of 0..15, firings 16
        event 16
        clock 100
            0 r6 Resolved: count 17 of 0..16, firings 17, over at 26 (Quiet)
    "]]);
}

#[test]
fn it_counts_what_did_not_fire_from_the_first_window_to_the_end() {
    let settings = "group_by = ['user.name']\nlateness = '0s'\nthreshold = { count = 3, within = '2s' }\nalert = { keep_open = '10s' }";
    // 0 is in no window; 11 and 13 are counted at the end, 13.001 is not.
    check(
        settings,
        "event 0\n event 1\n event 2\n event 3\n event 11\n event 13\n event 13.001\n clock 100",
        &expect![[r"
            event 0
            event 1
            event 2
                2 r1 Open: count 3 of 0..2, firings 1
            event 3
                2 r2 Open: count 4 of 0..3, firings 2
            event 11
            event 13
            event 13.001
            clock 100
                2 r3 Resolved: count 6 of 0..13, firings 2, over at 13 (Quiet)
        "]],
    );
    // A late event completes the window that ends at 3 and moves the first event back.
    check(
        settings,
        "event 2\n event 3\n event 4\n event 1\n clock 100",
        &expect![[r"
        event 2
        event 3
        event 4
            4 r1 Open: count 3 of 2..4, firings 1
        event 1
            4 r2 Open: count 4 of 1..4, firings 2
        clock 100
            4 r3 Resolved: count 4 of 1..4, firings 2, over at 14 (Quiet)
    "]],
    );
}

#[test]
fn one_event_is_one_alert_over_at_once() {
    check(
        "",
        "event 5\n again 5\n event 5\n event 1\n clock 100",
        &expect![[r"
        event 5
            5 r1 Resolved: count 1 of 5..5, firings 1, over at 5 (OneEvent)
        again 5
            Duplicate
        event 5
            5 r1 Resolved: count 1 of 5..5, firings 1, over at 5 (OneEvent)
        event 1
            1 r1 Resolved: count 1 of 1..1, firings 1, over at 1 (OneEvent)
        clock 100
    "]],
    );
}

#[test]
fn a_repeated_delivery_changes_nothing() {
    check(
        EVERY,
        "event 5\n again 5\n clock 10\n again 5\n clock 100",
        &expect![[r"
        event 5
            5 r1 Open: count 1 of 5..5, firings 1
        again 5
            Duplicate
        clock 10
        again 5
            Duplicate
        clock 100
            5 r2 Resolved: count 1 of 5..5, firings 1, over at 15 (Quiet)
    "]],
    );
}

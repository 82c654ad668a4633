//! Records of the past through all rules: events, alerts and firings as they would have been live,
//! and what each rule made of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::alert::{Alert, AlertStatus, Findings, Fired, Note, Pipeline};
use crate::base::{Position, Timestamp};
use crate::engine::matching::Fault;
use crate::event::{Event, Layout};
use crate::mapping::{RawRecord, Reason, Unusable};
use crate::query::Sets;
use crate::rule::Rule;

use super::cost::{Costs, Stopwatch};
use super::through::{Through, Timeless};

/// Records whose numbers are remembered for firings that name them later, when their places do not
/// tell: some 200 MB at most. A firing of an older one has no number.
pub const NUMBERS_MAX: usize = 1 << 20;

/// Rules and everything they have seen so far.
#[derive(Debug)]
pub struct Replay {
    pipeline: Pipeline,
    through: Through,
    findings: Findings,
    /// The latest record of each alert that is not over.
    open: BTreeMap<String, Alert>,
    summary: Summary,
    /// Rules that fire because nothing comes.
    watchers: BTreeSet<Arc<str>>,
    /// Alerts, by id, that opened because nothing came after the last record.
    afterwards: BTreeSet<String>,
    /// `None` while a record's place is its number.
    numbers: Option<Numbers>,
    costs: Option<Costs>,
}

/// The numbers of the latest records that met some rule, by where they stand in their topics.
#[derive(Debug, Default)]
struct Numbers {
    by_place: BTreeMap<Position, u64>,
    /// In order of arrival.
    places: VecDeque<Position>,
}

/// What became of the records.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Summary {
    /// How many there were.
    pub records: u64,
    /// Those that came too late for the windows of at least one rule that they met.
    pub late: u64,
    /// Those that were no events, by reason: how many, and the first of them with what it said.
    pub unusable: BTreeMap<Reason, (u64, u64, String)>,
    /// The earliest and the latest event time.
    pub times: Option<(Timestamp, Timestamp)>,
    /// What each rule made of them, by id; rules that are switched off are not among them.
    pub rules: BTreeMap<Arc<str>, Counts>,
}

/// What one rule made of the records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Events that met its query; alerts are events to the rules that ask for them.
    pub matched: u64,
    /// Those of them without one of its `group_by` fields.
    pub unkeyed: u64,
    /// Firings.
    pub fired: u64,
    /// Alerts that opened.
    pub alerts: u64,
    /// Those of them that opened because nothing came after the last record: [`Replay::is_afterwards`].
    pub afterwards: u64,
    /// Events that met its query and came too late for its windows.
    pub late: u64,
    /// Keys that were forgotten, and signals that were dropped, for want of room.
    pub crowded: u64,
    /// The time that was spent for it, judged by a sample of the records; zero without
    /// [`Replay::measured`].
    pub cost: Duration,
}

/// A firing as it is written: `{"firing": {…}}`.
#[derive(Debug, Serialize)]
pub struct Firing<'f> {
    firing: Body<'f>,
}

#[derive(Debug, Serialize)]
struct Body<'f> {
    rule: &'f str,
    time: Timestamp,
    key: &'f BTreeMap<String, serde_json::Value>,
    /// The number of the record that fired, from 0; null when the clock did.
    index: Option<u64>,
    count: u64,
    value: &'f serde_json::Value,
}

impl Replay {
    /// Compiles the rules that are switched on. `through` makes the way from a record to an event,
    /// for the layout of what they read.
    pub fn new(
        rules: &[Arc<Rule>],
        sets: &Sets,
        through: impl FnOnce(&Layout) -> Through,
    ) -> Result<Self, Vec<Fault>> {
        let mut layout = Layout::new();
        let pipeline = Pipeline::compile(rules, &mut layout, sets, 1)?;
        let running = rules.iter().filter(|rule| rule.enabled);
        let watches =
            |rule: &Rule| rule.detector.as_ref().is_some_and(|detector| detector.watches());
        let watchers = running.clone().filter(|rule| watches(rule)).map(|rule| rule.id.clone());
        let watchers = watchers.collect();
        let rules = running.map(|rule| (rule.id.clone(), Counts::default())).collect();
        Ok(Self {
            pipeline,
            through: through(&layout),
            findings: Findings::with_firings(),
            open: BTreeMap::new(),
            summary: Summary { rules, ..Summary::default() },
            watchers,
            afterwards: BTreeSet::new(),
            numbers: None,
            costs: None,
        })
    }

    /// From now on [`Counts::cost`] is measured, with a stopwatch, for there is no clock here.
    #[must_use]
    pub fn measured(self, stopwatch: Stopwatch) -> Self {
        Self { costs: Some(Costs::new(stopwatch)), ..self }
    }

    /// The clock trails the highest event time by so much: the longest delay of the sources.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { pipeline: self.pipeline.delayed(delay), ..self }
    }

    /// Records stand in topics, and firings will be asked for their numbers all the same.
    #[must_use]
    pub fn numbered(self) -> Self {
        Self { numbers: Some(Numbers::default()), ..self }
    }

    /// Takes the next record, which stands nowhere but in a file; what it led to is then in
    /// [`Self::firings`] and [`Self::over`], until the next one.
    pub fn record(&mut self, payload: &[u8]) {
        self.record_at(self.summary.records, payload);
    }

    /// The same for the record of that number, where they are not taken in the order of their
    /// numbers.
    pub fn record_at(&mut self, index: u64, payload: &[u8]) {
        let event = self.through.event(payload, index, Timeless::Refused);
        self.take(index, event);
    }

    /// The time of a record that stands nowhere but in a file; `None`: it is no event.
    pub fn time_of(&self, payload: &[u8]) -> Option<Timestamp> {
        self.through.event(payload, 0, Timeless::Refused).ok().map(|event| event.time)
    }

    /// The event that a record is which stands in a topic, for [`Self::event`]: as live, a time too
    /// far ahead of `now` is cut to it, and a record without a time of its own has its topic's.
    pub fn read(&self, record: &RawRecord<'_>, now: Timestamp) -> Result<Event, Unusable> {
        self.through.event_of_topic(record, now)
    }

    /// Takes the next record as it was read, in place of [`Self::record`].
    pub fn event(&mut self, event: Result<Event, Unusable>) {
        let (index, place) =
            (self.summary.records, event.as_ref().ok().map(|e| e.position.clone()));
        self.take(index, event);
        if let Some((numbers, place)) = self.numbers.as_mut().zip(place)
            && !self.pipeline.met().is_empty()
        {
            numbers.insert(place, index);
        }
    }

    fn take(&mut self, index: u64, event: Result<Event, Unusable>) {
        self.findings.clear();
        let weight = Costs::weight(self.summary.records);
        self.summary.records += 1;
        match event {
            Ok(event) => {
                let time = event.time;
                let times = self.summary.times.get_or_insert((time, time));
                *times = (times.0.min(time), times.1.max(time));
                match self.costs.as_mut().zip(weight) {
                    None => self.pipeline.event(&event, &mut self.findings),
                    Some((costs, weight)) => {
                        let mut lap = costs.laps(weight);
                        self.pipeline.event_in_laps(&event, &mut self.findings, &mut lap);
                    }
                }
                self.count_matches();
                self.count_findings();
                let late = |note: &Note| matches!(note, Note::Late { .. });
                self.summary.late += u64::from(self.findings.notes.iter().any(late));
            }
            Err(Unusable { reason, detail }) => {
                let told = self.summary.unusable.entry(reason).or_insert((0, index, detail));
                told.0 += 1;
            }
        }
    }

    /// Lets time go on after the last record: for so long, or until nothing can change any more.
    pub fn finish(&mut self, run_for: Option<Duration>) {
        self.findings.clear();
        match (run_for, self.pipeline.clock()) {
            (None, _) => self.pipeline.finish(&mut self.findings),
            (Some(more), Some(clock)) => self.pipeline.advance(clock + more, &mut self.findings),
            (Some(_), None) => {}
        }
        self.count_matches();
        self.count_findings();
        self.count_afterwards();
        for alert in self.pipeline.standing() {
            self.open.insert(alert.id.clone(), alert);
        }
        for (rule, cost) in self.costs.iter().flat_map(Costs::rules) {
            if let Some(counts) = self.summary.rules.get_mut(rule) {
                counts.cost = *cost;
            }
        }
    }

    /// A firing as it is written.
    pub fn told<'f>(&self, fired: &'f Fired) -> Firing<'f> {
        let Fired { rule, key, firing } = fired;
        let index = firing.position.as_ref().and_then(|position| match &self.numbers {
            None => u64::try_from(position.offset).ok(),
            Some(numbers) => numbers.by_place.get(position).copied(),
        });
        let (time, count, value) = (firing.time, firing.count, &firing.value);
        Firing { firing: Body { rule, time, key, index, count, value } }
    }

    /// The firings that the last record (or the end) led to, in the order in which they were found.
    pub fn firings(&self) -> &[Fired] {
        self.findings.firings.as_deref().unwrap_or_default()
    }

    /// The alerts that the last record (or the end) ended.
    pub fn over(&self) -> impl Iterator<Item = &Alert> {
        self.findings.alerts.iter().filter(|alert| alert.status == AlertStatus::Resolved)
    }

    /// The alerts that are open; exact as far as they have been told, and after
    /// [`Self::finish`] altogether.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.open.values()
    }

    /// Whether it opened after the last record, for no other reason than that nothing came any more:
    /// by `[absence]` or a spike down, or by an alert that did. What an absent last step says is no
    /// such thing, for the event that it waits behind is in the records.
    pub fn is_afterwards(&self, alert: &Alert) -> bool {
        self.afterwards.contains(&alert.id)
    }

    /// What became of the records so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    fn count_matches(&mut self) {
        let rules = &mut self.summary.rules;
        for rule in self.pipeline.judged() {
            if let Some(counts) = rules.get_mut(rule) {
                counts.matched += 1;
            }
        }
        for rule in self.pipeline.unkeyed() {
            if let Some(counts) = rules.get_mut(rule) {
                counts.matched += 1;
                counts.unkeyed += 1;
            }
        }
    }

    fn count_afterwards(&mut self) {
        let Some((_, last)) = self.summary.times else { return };
        let opened = self.findings.alerts.iter().filter(|alert| alert.revision == 1);
        for alert in opened.filter(|alert| alert.opened_at > last) {
            let by_silence = match alert.opened_by() {
                Some(opener) => self.afterwards.contains(opener),
                None => self.watchers.contains(alert.rule.id.as_str()),
            };
            if !by_silence {
                continue;
            }
            self.afterwards.insert(alert.id.clone());
            if let Some(counts) = self.summary.rules.get_mut(alert.rule.id.as_str()) {
                counts.afterwards += 1;
            }
        }
    }

    fn count_findings(&mut self) {
        let Self { findings, summary, open, .. } = self;
        let mut count = |rule: &str, change: fn(&mut Counts)| {
            summary.rules.get_mut(rule).map(change);
        };
        for alert in &findings.alerts {
            if alert.revision == 1 {
                count(&alert.rule.id, |counts| counts.alerts += 1);
            }
            match alert.status {
                AlertStatus::Open => open.insert(alert.id.clone(), alert.clone()),
                AlertStatus::Resolved => open.remove(&alert.id),
            };
        }
        for fired in findings.firings.iter().flatten() {
            count(&fired.rule, |counts| counts.fired += 1);
        }
        // An event with several keys is one event.
        let mut late = BTreeSet::new();
        for note in &findings.notes {
            match note {
                Note::Late { rule, position } => {
                    if late.insert((rule, position)) {
                        count(rule, |counts| counts.late += 1);
                    }
                }
                Note::Evicted { rule } | Note::Refused { rule, position: _ } => {
                    count(rule, |counts| counts.crowded += 1);
                }
                // No record is read twice, nothing is restored, all rules are known, no list changes.
                Note::Duplicate { .. }
                | Note::Unreadable { .. }
                | Note::UnknownRule { .. }
                | Note::TooManyExpected { .. } => {}
            }
        }
    }
}

impl Numbers {
    fn insert(&mut self, place: Position, number: u64) {
        if self.places.len() == NUMBERS_MAX
            && let Some(oldest) = self.places.pop_front()
        {
            self.by_place.remove(&oldest);
        }
        self.places.push_back(place.clone());
        self.by_place.insert(place, number);
    }
}

impl Summary {
    /// How many records were no events.
    pub fn unused(&self) -> u64 {
        self.unusable.values().map(|(count, _, _)| count).sum()
    }

    /// How many alerts opened.
    pub fn alerts(&self) -> u64 {
        self.rules.values().map(|counts| counts.alerts).sum()
    }

    /// How many of them opened because nothing came after the last record.
    pub fn afterwards(&self) -> u64 {
        self.rules.values().map(|counts| counts.afterwards).sum()
    }
}

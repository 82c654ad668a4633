//! Records of the past through all rules: events, alerts and firings as they would have been live,
//! and what each rule made of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::alert::{Alert, AlertStatus, Findings, Fired, Note, Pipeline};
use crate::base::Timestamp;
use crate::engine::matching::Fault;
use crate::event::Layout;
use crate::mapping::{Reason, Unusable};
use crate::query::Sets;
use crate::rule::Rule;

use super::through::{Through, Timeless};

/// Rules and everything they have seen so far.
#[derive(Debug)]
pub struct Replay {
    pipeline: Pipeline,
    through: Through,
    findings: Findings,
    /// The latest record of each alert that is not over.
    open: BTreeMap<String, Alert>,
    summary: Summary,
}

/// What became of the records.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Summary {
    /// How many there were.
    pub records: u64,
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
    /// Events that met its query.
    pub matched: u64,
    /// Those of them without one of its `group_by` fields.
    pub unkeyed: u64,
    /// Firings.
    pub fired: u64,
    /// Alerts that opened.
    pub alerts: u64,
    /// Signals that came too late for its windows.
    pub late: u64,
    /// Keys that were forgotten, and signals that were dropped, for want of room.
    pub crowded: u64,
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
    index: Option<i64>,
    count: u64,
    value: &'f serde_json::Value,
}

impl<'f> From<&'f Fired> for Firing<'f> {
    fn from(fired: &'f Fired) -> Self {
        let Fired { rule, key, firing } = fired;
        let index = firing.position.as_ref().map(|position| position.offset);
        let (time, count, value) = (firing.time, firing.count, &firing.value);
        Self { firing: Body { rule, time, key, index, count, value } }
    }
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
        let rules = running.map(|rule| (rule.id.clone(), Counts::default())).collect();
        Ok(Self {
            pipeline,
            through: through(&layout),
            findings: Findings::with_firings(),
            open: BTreeMap::new(),
            summary: Summary { rules, ..Summary::default() },
        })
    }

    /// Takes the next record; what it led to is then in [`Self::firings`] and [`Self::over`], until
    /// the next one.
    pub fn record(&mut self, payload: &[u8]) {
        self.findings.clear();
        let index = self.summary.records;
        self.summary.records += 1;
        match self.through.event(payload, index, Timeless::Refused) {
            Ok(event) => {
                let time = event.time;
                let times = self.summary.times.get_or_insert((time, time));
                *times = (times.0.min(time), times.1.max(time));
                self.pipeline.event(&event, &mut self.findings);
                self.count_matches();
                self.count_findings();
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
        self.count_findings();
        for alert in self.pipeline.standing() {
            self.open.insert(alert.id.clone(), alert);
        }
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

    /// What became of the records so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    fn count_matches(&mut self) {
        let rules = &mut self.summary.rules;
        let mut counted = None;
        for (rule, _) in self.pipeline.met() {
            // An event that gave a rule several keys met it once.
            if counted != Some(rule)
                && let Some(counts) = rules.get_mut(rule)
            {
                counts.matched += 1;
            }
            counted = Some(rule);
        }
        for rule in self.pipeline.unkeyed() {
            if let Some(counts) = rules.get_mut(rule) {
                counts.matched += 1;
                counts.unkeyed += 1;
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
        for note in &findings.notes {
            match note {
                Note::Late { rule, position: _ } => count(rule, |counts| counts.late += 1),
                Note::Evicted { rule } | Note::Refused { rule, position: _ } => {
                    count(rule, |counts| counts.crowded += 1);
                }
                // No record is read twice, nothing is restored, and all rules are known.
                Note::Duplicate { .. } | Note::Unreadable { .. } | Note::UnknownRule { .. } => {}
            }
        }
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
}

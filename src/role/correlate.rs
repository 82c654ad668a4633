//! CORRELATE: signals and ticks in, alerts out. Windows and open alerts, per signals partition.
//!
//! What a partition knows is kept in memory. When it is assigned again it is rebuilt from the log,
//! without writing anything, from where the oldest key that is still alive was born: the bookmark
//! beside the committed offset. Detectors read no clock, so what comes out is what was there. The
//! changelog topic will take the place of reading again.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::dead_letter::DeadLetter;
use super::versions::{Versions, write_start};
use crate::alert::{
    Alert, AlertStatus, Correlation, Findings, Judging, Limits, Note, Progress, Resume, Rules,
};
use crate::base::metrics::Metrics;
use crate::base::{Clock, Gate};
use crate::detectors::EXPECTED_MAX;
use crate::engine::{self, PANICS_MAX};
use crate::kafka::{Committed, Error, Log, OutRecord, Output, Record, Start, Task, TopicPartition};

impl Fence {
    fn panicked(&mut self, judging: &Judging, record: &Record<'_>) {
        let rule = &judging.rule;
        let panics = self.panics.entry(rule.clone()).or_default();
        *panics += 1;
        tracing::error!(rule = rule.as_ref(), panics, timer = judging.timer, "a rule panicked");
        if judging.timer || *panics >= PANICS_MAX {
            tracing::error!(rule = rule.as_ref(), "the rule is switched off until the next start");
            self.off.insert(rule.clone());
        } else {
            self.skip.insert((record.partition, record.offset, rule.clone()));
        }
    }
}

/// What CORRELATE works with.
pub struct Settings {
    /// The rules as this process has them; versions that signals name beside these are looked up.
    pub rules: Rules,
    /// Where other versions are found.
    pub versions: Box<dyn Versions>,
    /// How many partitions the topic of signals has.
    pub partitions: u32,
    /// The topic of rule versions and of their starts.
    pub control: String,
    /// The topic of alerts.
    pub alerts: String,
    /// The topic of dead letters.
    pub dead_letters: String,
    /// For the time of dead letters only.
    pub clock: Arc<dyn Clock>,
    /// Where counts go.
    pub metrics: Metrics,
    /// Held while judging: lists change between two steps.
    pub gate: Gate,
}

/// The role's task.
pub struct Correlate {
    settings: Settings,
    partitions: BTreeMap<i32, Partition>,
    findings: Findings,
    fence: Fence,
    /// Versions that were found and do not compile, so that each is tried once.
    broken: BTreeSet<(Arc<str>, u64)>,
    /// Partitions that have yet to be told since when rules watch in them.
    unstarted: BTreeSet<i32>,
}

/// What a rule's panics have led to. A panic leaves a partition's memory in doubt, so the worker
/// builds it anew from the log, and this time the signal that did it is left out.
#[derive(Default)]
struct Fence {
    /// Signals that made a rule panic: partition, offset, rule. At most [`PANICS_MAX`] of a rule.
    skip: BTreeSet<(i32, i64, Arc<str>)>,
    panics: BTreeMap<Arc<str>, u32>,
    /// Rules that are switched off: they panicked too often, or while a timer ran, which the log
    /// has no record of to leave out.
    off: BTreeSet<Arc<str>>,
}

struct Partition {
    correlation: Correlation,
    /// Records before this offset only rebuild what was known.
    live_from: i64,
}

impl Correlate {
    /// A task that owns nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            partitions: BTreeMap::new(),
            findings: Findings::default(),
            fence: Fence::default(),
            broken: BTreeSet::new(),
            unstarted: BTreeSet::new(),
        }
    }

    /// Tells new partitions since when rules watch in them: once for all that came together, and
    /// before the first record.
    fn restore_starts(&mut self) -> Result<(), Error> {
        if self.unstarted.is_empty() {
            return Ok(());
        }
        for (number, starts) in self.settings.versions.starts()? {
            let partition = self.partitions.get_mut(&number);
            if let Some(partition) = partition.filter(|_| self.unstarted.contains(&number)) {
                for began in starts {
                    partition.correlation.restore_start(began);
                }
            }
        }
        self.unstarted.clear();
        Ok(())
    }

    /// Writes down what started with this record.
    fn keep_starts(&mut self, record: &Record<'_>, out: &mut dyn Output) -> Result<(), Error> {
        let Some(partition) = self.partitions.get_mut(&record.partition) else { return Ok(()) };
        for began in partition.correlation.take_began() {
            let (expected, released) = (began.expected.len(), began.released.len());
            if expected + released > 0 {
                tracing::info!(rule = %began.rule, partition = record.partition, expected, released, "a rule expects to hear from other keys");
            }
            for (key, payload) in write_start(record.partition, &began)? {
                out.send(OutRecord {
                    topic: &self.settings.control,
                    key: Some(key.as_bytes()),
                    payload: payload.as_deref(),
                    ..OutRecord::default()
                })?;
            }
        }
        Ok(())
    }

    /// Runs `step` on a partition; a panic becomes an error that makes the worker start over.
    fn fenced(
        &mut self,
        record: &Record<'_>,
        step: impl FnOnce(&mut Correlation, &Rules, &mut Findings) -> Progress,
    ) -> Result<Progress, Error> {
        let Some(partition) = self.partitions.get_mut(&record.partition) else {
            return Ok(Progress::Done);
        };
        let (rules, findings) = (&self.settings.rules, &mut self.findings);
        let correlation = &mut partition.correlation;
        let _steady = self.settings.gate.hold();
        let ran = catch_unwind(AssertUnwindSafe(|| step(correlation, rules, findings)));
        ran.map_err(|panic| {
            let Some(judging) = partition.correlation.judging().cloned() else {
                // Not a rule's doing: nothing to leave out the next time.
                resume_unwind(panic)
            };
            self.findings.clear();
            self.fence.panicked(&judging, record);
            let detail = format!("rule {} panicked at {}", judging.rule, record.position());
            Error::Retriable { what: "judging a signal", detail }
        })
    }

    /// Takes out what must not be judged again, and says so in dead letters.
    fn leave_out(
        &mut self,
        signals: &mut engine::Signals,
        record: &Record<'_>,
        live: bool,
        out: &mut dyn Output,
    ) -> Result<(), Error> {
        if self.fence.panics.is_empty() {
            return Ok(());
        }
        let fenced = |signal: &engine::Signal| {
            let signal_at = (record.partition, record.offset, signal.rule.clone());
            self.fence.off.contains(&signal.rule) || self.fence.skip.contains(&signal_at)
        };
        let (left_out, kept) = std::mem::take(&mut signals.signals).into_iter().partition(fenced);
        signals.signals = kept;
        if live {
            let rules: BTreeSet<Arc<str>> = Vec::into_iter(left_out).map(|s| s.rule).collect();
            for rule in rules {
                let (reason, why) = if self.fence.off.contains(&rule) {
                    ("rule_switched_off", "was switched off after it panicked")
                } else {
                    ("rule_panicked", "panicked")
                };
                let detail =
                    format!("rule {rule} {why}; the event {} was not counted", signals.position);
                self.bury(reason, &detail, record, out)?;
            }
        }
        Ok(())
    }

    /// Whether a record was worked on before, and is read again to rebuild what was known.
    fn rebuilds(&self, record: &Record<'_>) -> bool {
        let partition = self.partitions.get(&record.partition);
        partition.is_some_and(|partition| record.offset < partition.live_from)
    }

    /// Looks up the rule versions that a record names and nobody has loaded.
    fn learn_versions(&mut self, signals: &engine::Signals) -> Result<(), Error> {
        for signal in &signals.signals {
            let version = (signal.rule.clone(), signal.version);
            if self.settings.rules.get(&signal.rule, signal.version).is_none()
                && !self.broken.contains(&version)
                && let Some(rule) = self.settings.versions.find(&signal.rule, signal.version)?
            {
                tracing::info!(rule = %signal.rule, version = format!("{:016x}", signal.version), "judging by another version of a rule");
                // Its signals become dead letters then, with the reason: the others go on.
                if let Err(fault) = self.settings.rules.add(&rule, self.settings.versions.sets()) {
                    tracing::error!(rule = %fault.rule, mistakes = ?fault.diagnostics, "a stored rule version does not compile");
                    self.broken.insert(version);
                }
            }
        }
        Ok(())
    }

    /// Writes what was found, unless it was written before.
    fn emit(&mut self, record: &Record<'_>, live: bool, out: &mut dyn Output) -> Result<(), Error> {
        let findings = std::mem::take(&mut self.findings);
        if live {
            for alert in &findings.alerts {
                self.count(alert);
                self.write(alert, record, out)?;
            }
            for note in &findings.notes {
                self.note(note, record, out)?;
            }
        }
        self.findings = findings;
        self.findings.clear();
        Ok(())
    }

    /// Writes an alert; one that is larger than a record may be goes without its samples.
    fn write(&self, alert: &Alert, record: &Record<'_>, out: &mut dyn Output) -> Result<(), Error> {
        let mut send = |alert: &Alert| {
            let payload = serde_json::to_vec(alert).map_err(Error::task)?;
            out.send(OutRecord {
                topic: &self.settings.alerts,
                partition: Some(record.partition),
                key: Some(alert.id.as_bytes()),
                payload: Some(&payload),
                ..OutRecord::default()
            })
        };
        let too_large = match send(alert) {
            Err(error @ Error::TooLarge { .. }) => error,
            sent => return sent,
        };
        tracing::warn!(rule = alert.rule.id, alert = alert.id, %too_large, "an alert goes without its samples");
        match send(&Alert { samples: Vec::new(), ..alert.clone() }) {
            Err(Error::TooLarge { bytes, max, .. }) => {
                let detail = format!("alert {} has {bytes} bytes, more than {max}", alert.id);
                self.bury("alert_too_big", &detail, record, out)
            }
            sent => sent,
        }
    }

    fn count(&self, alert: &Alert) {
        let count = |status: &str| {
            self.settings.metrics.alerts.with_label_values(&[alert.rule.id.as_str(), status]).inc();
        };
        if alert.revision == 1 {
            count("opened");
        }
        if alert.status == AlertStatus::Resolved {
            count("resolved");
        }
    }

    fn note(&self, note: &Note, record: &Record<'_>, out: &mut dyn Output) -> Result<(), Error> {
        let metrics = &self.settings.metrics;
        match note {
            Note::Late { rule, position } => {
                metrics.late.with_label_values(&[rule.as_ref()]).inc();
                tracing::debug!(%rule, %position, "late, not counted");
                Ok(())
            }
            Note::Unreadable { rule } => {
                tracing::error!(%rule, "a window could not be read and started anew");
                Ok(())
            }
            // Delivered again by a MATCH that had to go back: counted once, which is the point.
            Note::Duplicate { .. } => Ok(()),
            Note::Evicted { rule } => {
                metrics.evicted.with_label_values(&[rule.as_ref()]).inc();
                tracing::warn!(%rule, "too many keys, the one touched longest ago is forgotten");
                Ok(())
            }
            Note::TooManyExpected { rule, found } => {
                tracing::error!(%rule, found, most = EXPECTED_MAX, "the list of those that must report has too many entries, the rule goes on to expect what was in it before");
                Ok(())
            }
            Note::Refused { rule, position } => self.bury(
                "too_many_open_alerts",
                &format!(
                    "rule {rule}: every key it may remember has an open alert (event {position})"
                ),
                record,
                out,
            ),
            Note::UnknownRule { rule, version, position } => self.bury(
                "unknown_rule",
                &format!(
                    "rule {rule}, version {version:016x}, is known to nobody (event {position})"
                ),
                record,
                out,
            ),
        }
    }

    fn bury(
        &self,
        reason: &str,
        detail: &str,
        record: &Record<'_>,
        out: &mut dyn Output,
    ) -> Result<(), Error> {
        tracing::error!(reason, detail, "a signal could not be used");
        self.settings.metrics.dead_letters.with_label_values(&[reason]).inc();
        DeadLetter::new(
            reason,
            detail,
            &record.position(),
            self.settings.clock.now(),
            record.payload.unwrap_or_default(),
        )
        .send(&self.settings.dead_letters, out)
    }
}

impl Task for Correlate {
    fn assigned(
        &mut self,
        partition: &TopicPartition,
        committed: Option<&Committed>,
        log: &mut dyn Log,
    ) -> Result<Start, Error> {
        let (correlation, start, live_from) = match committed {
            None => (Correlation::new(Limits::default()), Start::Committed, 0),
            Some(committed) => {
                let (low, _) = log.watermarks()?;
                let resume: Resume =
                    committed.bookmark.parse().unwrap_or(Resume { offset: None, clock: None });
                let begin = resume.offset.unwrap_or(committed.offset);
                if begin < low {
                    tracing::warn!(%partition, begin, low, "signals that open windows or alerts depend on were removed; these begin anew with what is left");
                }
                let begin = begin.clamp(low.min(committed.offset), committed.offset);
                let correlation = Correlation::resumed(Limits::default(), &resume);
                (correlation, Start::Offset(begin), committed.offset)
            }
        };
        let place = u32::try_from(partition.partition).unwrap_or_default();
        let mut correlation = correlation.placed(place, self.settings.partitions);
        self.unstarted.insert(partition.partition);
        self.fence.off.iter().for_each(|rule| correlation.switch_off(rule.clone()));
        self.partitions.insert(partition.partition, Partition { correlation, live_from });
        Ok(start)
    }

    fn revoked(&mut self, partition: &TopicPartition) {
        self.partitions.remove(&partition.partition);
        self.unstarted.remove(&partition.partition);
    }

    fn record(&mut self, record: &Record<'_>, out: &mut dyn Output) -> Result<(), Error> {
        self.restore_starts()?;
        let mut decoded = match engine::Record::decode(record.payload.unwrap_or_default()) {
            Ok(decoded) => decoded,
            // One that only helps to rebuild what was known is buried already.
            Err(_) if self.rebuilds(record) => return Ok(()),
            Err(broken) => return self.bury("bad_signal", &broken.to_string(), record, out),
        };
        let Some(partition) = self.partitions.get_mut(&record.partition) else { return Ok(()) };
        let live = record.offset >= partition.live_from;
        partition.correlation.stand_at(record.offset);
        partition.correlation.set_live(live);
        if let engine::Record::Signals(signals) = &mut decoded {
            self.leave_out(signals, record, live, out)?;
            self.learn_versions(signals)?;
        }
        let mut progress =
            self.fenced(record, |partition, rules, out| partition.apply(&decoded, rules, out))?;
        self.emit(record, live, out)?;
        while progress == Progress::More {
            progress = self.fenced(record, Correlation::resume)?;
            self.emit(record, live, out)?;
        }
        self.keep_starts(record, out)
    }

    fn bookmark(&self, partition: &TopicPartition) -> Option<String> {
        Some(self.partitions.get(&partition.partition)?.correlation.resume_point().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::versions::Starts;
    use super::*;

    use crate::base::Timestamp;
    use crate::base::clock::Manual;
    use crate::kafka::{Headers, Memory};
    use crate::query::Sets;
    use crate::rule::Rule;

    struct NoVersions(Sets);

    impl Versions for NoVersions {
        fn find(&mut self, _: &str, _: u64) -> Result<Option<Arc<Rule>>, Error> {
            Ok(None)
        }

        fn starts(&mut self) -> Result<Starts, Error> {
            Ok(Starts::new())
        }

        fn sets(&self) -> &Sets {
            &self.0
        }
    }

    fn role() -> Correlate {
        Correlate::new(Settings {
            rules: Rules::new(),
            versions: Box::new(NoVersions(Sets::default())),
            partitions: 1,
            control: "control".into(),
            alerts: "alerts".into(),
            dead_letters: "dead".into(),
            clock: Arc::new(Manual::new(Timestamp::from_millis(0))),
            metrics: Metrics::new(),
            gate: Gate::default(),
        })
    }

    fn record(offset: i64) -> Record<'static> {
        Record {
            topic: "signals",
            partition: 0,
            offset,
            timestamp: None,
            key: None,
            payload: Some(b"no signal"),
            headers: Headers::default(),
        }
    }

    fn topics(out: &Memory) -> Vec<&str> {
        out.sent.iter().map(|sent| sent.topic.as_str()).collect()
    }

    #[test]
    fn what_cannot_be_read_is_buried_once_and_not_again_while_rebuilding() {
        let (mut role, mut out) = (role(), Memory::default());
        let correlation = Correlation::new(Limits::default());
        role.partitions.insert(0, Partition { correlation, live_from: 5 });
        role.record(&record(4), &mut out).unwrap();
        assert_eq!(topics(&out), [""; 0]);
        role.record(&record(5), &mut out).unwrap();
        assert_eq!(topics(&out), ["dead"]);
    }

    #[test]
    fn an_alert_that_is_too_large_goes_without_samples_and_else_is_a_dead_letter() {
        let alert = |title: usize, samples: usize| Alert {
            title: "x".repeat(title),
            samples: vec![
                serde_json::from_value(serde_json::json!({
                    "position": "t:0:1",
                    "time": "2026-01-01T00:00:00Z",
                    "fields": { "user.name": "x".repeat(samples) },
                }))
                .unwrap(),
            ],
            ..Alert::bare("a")
        };
        let (role, mut out) = (role(), Memory::default());
        role.write(&alert(10, 10), &record(0), &mut out).unwrap();
        role.write(&alert(10, 1_000_000), &record(1), &mut out).unwrap();
        role.write(&alert(1_000_000, 10), &record(2), &mut out).unwrap();
        assert_eq!(topics(&out), ["alerts", "alerts", "dead"]);
        let samples = |sent: usize| {
            let payload = out.sent[sent].payload.as_ref().unwrap();
            serde_json::from_slice::<Alert>(payload).unwrap().samples.len()
        };
        assert_eq!((samples(0), samples(1)), (1, 0));
    }
}

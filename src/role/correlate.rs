//! CORRELATE: signals and ticks in, alerts out. Windows and open alerts, per signals partition.
//!
//! What a partition knows is kept in memory. When it is assigned again it is rebuilt from the log,
//! without writing anything, from where the oldest key that is still alive was born: the bookmark
//! beside the committed offset. Detectors read no clock, so what comes out is what was there. The
//! changelog topic will take the place of reading again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dead_letter::DeadLetter;
use super::versions::Versions;
use crate::alert::{
    Alert, AlertStatus, Correlation, Findings, Limits, Note, Progress, Resume, Rules,
};
use crate::base::Clock;
use crate::base::metrics::Metrics;
use crate::engine;
use crate::kafka::{Committed, Error, Log, OutRecord, Output, Record, Start, Task, TopicPartition};

/// What CORRELATE works with.
pub struct Settings {
    /// The rules as this process has them; versions that signals name beside these are looked up.
    pub rules: Rules,
    /// Where other versions are found.
    pub versions: Box<dyn Versions>,
    /// The topic of alerts.
    pub alerts: String,
    /// The topic of dead letters.
    pub dead_letters: String,
    /// For the time of dead letters only.
    pub clock: Arc<dyn Clock>,
    /// Where counts go.
    pub metrics: Metrics,
}

/// The role's task.
pub struct Correlate {
    settings: Settings,
    partitions: BTreeMap<i32, Partition>,
    findings: Findings,
}

struct Partition {
    correlation: Correlation,
    /// Records before this offset only rebuild what was known.
    live_from: i64,
}

impl Correlate {
    /// A task that owns nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, partitions: BTreeMap::new(), findings: Findings::default() }
    }

    /// Looks up the rule versions that a record names and nobody has loaded.
    fn learn_versions(&mut self, signals: &engine::Signals) -> Result<(), Error> {
        for signal in &signals.signals {
            if self.settings.rules.get(&signal.rule, signal.version).is_none()
                && let Some(rule) = self.settings.versions.find(&signal.rule, signal.version)?
            {
                tracing::info!(rule = %signal.rule, version = format!("{:016x}", signal.version), "judging by another version of a rule");
                // Its signals become dead letters then, with the reason: the others go on.
                if let Err(fault) = self.settings.rules.add(&rule, self.settings.versions.sets()) {
                    tracing::error!(rule = %fault.rule, mistakes = ?fault.diagnostics, "a stored rule version does not compile");
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
                let payload = serde_json::to_vec(alert).map_err(Error::task)?;
                out.send(OutRecord {
                    topic: &self.settings.alerts,
                    partition: Some(record.partition),
                    key: Some(alert.id.as_bytes()),
                    payload: Some(&payload),
                    ..OutRecord::default()
                })?;
            }
            for note in &findings.notes {
                self.note(note, record, out)?;
            }
        }
        self.findings = findings;
        self.findings.clear();
        Ok(())
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
                let begin = begin.clamp(low.min(committed.offset), committed.offset);
                let correlation = Correlation::resumed(Limits::default(), &resume);
                (correlation, Start::Offset(begin), committed.offset)
            }
        };
        self.partitions.insert(partition.partition, Partition { correlation, live_from });
        Ok(start)
    }

    fn revoked(&mut self, partition: &TopicPartition) {
        self.partitions.remove(&partition.partition);
    }

    fn record(&mut self, record: &Record<'_>, out: &mut dyn Output) -> Result<(), Error> {
        let decoded = match engine::Record::decode(record.payload.unwrap_or_default()) {
            Ok(decoded) => decoded,
            Err(broken) => return self.bury("bad_signal", &broken.to_string(), record, out),
        };
        if let engine::Record::Signals(signals) = &decoded {
            self.learn_versions(signals)?;
        }
        let Some(partition) = self.partitions.get_mut(&record.partition) else { return Ok(()) };
        let live = record.offset >= partition.live_from;
        partition.correlation.stand_at(record.offset);
        let mut progress =
            partition.correlation.apply(&decoded, &self.settings.rules, &mut self.findings);
        self.emit(record, live, out)?;
        while progress == Progress::More {
            let Some(partition) = self.partitions.get_mut(&record.partition) else { break };
            progress = partition.correlation.resume(&self.settings.rules, &mut self.findings);
            self.emit(record, live, out)?;
        }
        Ok(())
    }

    fn bookmark(&self, partition: &TopicPartition) -> Option<String> {
        Some(self.partitions.get(&partition.partition)?.correlation.resume_point().to_string())
    }
}

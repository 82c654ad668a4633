//! NOTIFY: which alerts are told to whom. One notification when an alert opens (or first becomes
//! severe enough for the notifier), one when it resolves if the notifier asks for it.
//!
//! What was told is kept in memory. After a restart it is rebuilt by reading the log again, without
//! telling anybody, from the oldest alert that is still open: the bookmark beside the committed
//! offset. Grouping, silences and repetition come with a state topic of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::dead_letter::DeadLetter;
use crate::alert::{Alert, AlertStatus, Resolution};
use crate::base::metrics::Metrics;
use crate::base::{Clock, Severity};
use crate::delivery::{Notification, NotificationKind};
use crate::kafka::{Committed, Error, Log, OutRecord, Output, Record, Start, Task, TopicPartition};
use crate::rule::Status;

/// Alerts that are open and were told; beyond it the oldest is forgotten, and its resolve untold.
const OPEN_MAX: usize = 1_000_000;

/// Who is told: the part of a notifier's settings that NOTIFY decides by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The notifier's name.
    pub name: String,
    /// Only alerts of these severities.
    pub severities: BTreeSet<Severity>,
    /// Whether a resolve is told as well.
    pub resolved: bool,
}

/// What NOTIFY knows of one open alert.
#[derive(Debug)]
struct Known {
    /// Where its first record stands.
    offset: i64,
    /// The recipients that were told that it opened, by index.
    told: BTreeSet<usize>,
}

/// One partition of `alerts`.
#[derive(Debug, Default)]
struct Partition {
    open: BTreeMap<String, Known>,
    /// Records before this offset only rebuild what was told.
    live_from: i64,
}

/// The role's task.
pub struct Notify {
    recipients: Vec<Recipient>,
    outbox: String,
    dead_letters: String,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    partitions: BTreeMap<i32, Partition>,
}

impl Notify {
    /// A task that tells `recipients` through the topic `outbox`.
    pub fn new(
        recipients: Vec<Recipient>,
        outbox: String,
        dead_letters: String,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        Self { recipients, outbox, dead_letters, clock, metrics, partitions: BTreeMap::new() }
    }

    fn decide(
        &mut self,
        alert: &Alert,
        record: &Record<'_>,
        out: &mut dyn Output,
    ) -> Result<(), Error> {
        let partition = self.partitions.entry(record.partition).or_default();
        let live = record.offset >= partition.live_from;
        // Of a rule on trial, or one that only feeds others, nobody is told; nor is it remembered as
        // told, so that people hear of an open alert once its rule is in production.
        let production = alert.rule.status == Status::Production.name();
        let recipients = if production { self.recipients.as_slice() } else { &[] };
        let due = partition.due(alert, record.offset, recipients);
        if !live {
            return Ok(());
        }
        for (recipient, kind) in due {
            let now = self.clock.now();
            let mut notification = Notification::new(&recipient.name, kind, now, alert.clone());
            match self.send(&notification, out) {
                // An alert that is just as large as a record may be: its samples stay behind.
                Err(Error::TooLarge { .. }) => {
                    notification.alert.samples.clear();
                    match self.send(&notification, out) {
                        Err(error @ Error::TooLarge { .. }) => {
                            self.bury("notification_too_big", &error, record, out)?;
                        }
                        sent => sent?,
                    }
                }
                sent => sent?,
            }
        }
        Ok(())
    }

    fn send(&self, notification: &Notification, out: &mut dyn Output) -> Result<(), Error> {
        let payload = serde_json::to_vec(notification).map_err(Error::task)?;
        out.send(OutRecord {
            topic: &self.outbox,
            // All of one alert in one partition: a resolve never overtakes its opening.
            key: Some(notification.alert.id.as_bytes()),
            payload: Some(&payload),
            ..OutRecord::default()
        })
    }

    fn bury(
        &self,
        reason: &str,
        detail: &dyn fmt::Display,
        record: &Record<'_>,
        out: &mut dyn Output,
    ) -> Result<(), Error> {
        self.metrics.dead_letters.with_label_values(&[reason]).inc();
        let payload = record.payload.unwrap_or_default();
        let (detail, now) = (detail.to_string(), self.clock.now());
        DeadLetter::new(reason, &detail, &record.position(), now, payload)
            .send(&self.dead_letters, out)
    }
}

impl Partition {
    /// Who is to be told what of this state of an alert; and remembers that they were.
    fn due<'r>(
        &mut self,
        alert: &Alert,
        offset: i64,
        recipients: &'r [Recipient],
    ) -> Vec<(&'r Recipient, NotificationKind)> {
        // One event, one alert, over at once: it is told like an opening and has no resolve.
        let at_once = alert.resolution == Some(Resolution::OneEvent);
        let known = self
            .open
            .entry(alert.id.clone())
            .or_insert_with(|| Known { offset, told: BTreeSet::new() });
        let mut due = Vec::new();
        for (index, recipient) in recipients.iter().enumerate() {
            if recipient.severities.contains(&alert.severity) && known.told.insert(index) {
                due.push((recipient, NotificationKind::Opened));
            }
            let over = alert.status == AlertStatus::Resolved && !at_once;
            if over && recipient.resolved && known.told.contains(&index) {
                due.push((recipient, NotificationKind::Resolved));
            }
        }
        if alert.status == AlertStatus::Resolved {
            self.open.remove(&alert.id);
        } else if self.open.len() > OPEN_MAX {
            let oldest = self.open.iter().min_by_key(|(_, known)| known.offset);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                self.open.remove(&id);
            }
        }
        due
    }
}

impl Task for Notify {
    fn assigned(
        &mut self,
        partition: &TopicPartition,
        committed: Option<&Committed>,
        log: &mut dyn Log,
    ) -> Result<Start, Error> {
        let Some(committed) = committed else {
            self.partitions.insert(partition.partition, Partition::default());
            return Ok(Start::Committed);
        };
        let (low, _) = log.watermarks()?;
        let bookmark: i64 = committed.bookmark.parse().unwrap_or(committed.offset);
        let begin = bookmark.clamp(low.min(committed.offset), committed.offset);
        let fresh = Partition { live_from: committed.offset, ..Partition::default() };
        self.partitions.insert(partition.partition, fresh);
        Ok(Start::Offset(begin))
    }

    fn revoked(&mut self, partition: &TopicPartition) {
        self.partitions.remove(&partition.partition);
    }

    fn record(&mut self, record: &Record<'_>, out: &mut dyn Output) -> Result<(), Error> {
        let payload = record.payload.unwrap_or_default();
        match serde_json::from_slice::<Alert>(payload) {
            Ok(alert) => self.decide(&alert, record, out),
            Err(error) => {
                let partition = self.partitions.get(&record.partition);
                // One that only helps to rebuild what was told is buried already.
                if partition.is_some_and(|partition| record.offset < partition.live_from) {
                    return Ok(());
                }
                self.bury("bad_alert", &error, record, out)
            }
        }
    }

    fn bookmark(&self, partition: &TopicPartition) -> Option<String> {
        let partition = self.partitions.get(&partition.partition)?;
        partition.open.values().map(|known| known.offset).min().map(|offset| offset.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::base::clock::Manual;
    use crate::kafka::{Headers, Memory};

    fn recipient(name: &str, min_severity: Severity, resolved: bool) -> Recipient {
        let severities = Severity::ALL.into_iter().filter(|s| *s >= min_severity).collect();
        Recipient { name: name.into(), severities, resolved }
    }

    fn role() -> Notify {
        let recipients =
            vec![recipient("all", Severity::Info, true), recipient("grave", Severity::High, false)];
        let clock = Arc::new(Manual::new(Timestamp::from_millis(0)));
        let mut role =
            Notify::new(recipients, "outbox".into(), "dead".into(), clock, Metrics::new());
        role.partitions.insert(0, Partition::default());
        role
    }

    fn alert(id: &str, severity: Severity, status: AlertStatus) -> Alert {
        Alert { status, severity, ..Alert::bare(id) }
    }

    /// Feeds alerts as records from offset 0 on; gives `notifier kind` of every notification.
    fn told(role: &mut Notify, alerts: &[Alert]) -> Vec<String> {
        let mut out = Memory::default();
        for (offset, alert) in (0..).zip(alerts) {
            let payload = serde_json::to_vec(alert).unwrap();
            let record = Record {
                topic: "alerts",
                partition: 0,
                offset,
                timestamp: None,
                key: None,
                payload: Some(&payload),
                headers: Headers::default(),
            };
            role.record(&record, &mut out).unwrap();
        }
        let name = |payload: &Option<Vec<u8>>| {
            let n: Notification = serde_json::from_slice(payload.as_ref().unwrap()).unwrap();
            format!("{} {} {}", n.notifier, n.kind.name(), n.alert.id)
        };
        out.sent.iter().map(|sent| name(&sent.payload)).collect()
    }

    #[test]
    fn an_opening_is_told_once_and_a_resolve_to_those_who_ask() {
        let open = alert("a", Severity::High, AlertStatus::Open);
        let over = alert("a", Severity::High, AlertStatus::Resolved);
        assert_eq!(
            told(&mut role(), &[open.clone(), open, over]),
            ["all opened a", "grave opened a", "all resolved a"]
        );
    }

    #[test]
    fn who_asks_for_grave_alerts_is_told_when_one_becomes_grave() {
        let low = alert("a", Severity::Low, AlertStatus::Open);
        let high = alert("a", Severity::High, AlertStatus::Open);
        assert_eq!(
            told(&mut role(), &[low, high.clone(), high]),
            ["all opened a", "grave opened a"]
        );
    }

    #[test]
    fn one_event_is_told_as_an_opening_only() {
        let mut once = alert("a", Severity::High, AlertStatus::Resolved);
        once.resolution = Some(Resolution::OneEvent);
        assert_eq!(told(&mut role(), &[once]), ["all opened a", "grave opened a"]);
    }

    #[test]
    fn alerts_of_staging_rules_and_building_blocks_are_told_to_nobody() {
        for status in Status::ALL.into_iter().filter(|status| *status != Status::Production) {
            let mut open = alert("a", Severity::Critical, AlertStatus::Open);
            open.rule.status = status.name().into();
            let over = Alert { status: AlertStatus::Resolved, ..open.clone() };
            assert!(told(&mut role(), &[open, over]).is_empty(), "{}", status.name());
        }
    }

    #[test]
    fn an_alert_whose_rule_comes_into_production_is_told_then() {
        let mut staging = alert("a", Severity::High, AlertStatus::Open);
        staging.rule.status = "staging".into();
        let open = alert("a", Severity::High, AlertStatus::Open);
        let over = alert("a", Severity::High, AlertStatus::Resolved);
        assert_eq!(
            told(&mut role(), &[staging, open, over]),
            ["all opened a", "grave opened a", "all resolved a"]
        );
    }

    #[test]
    fn records_before_the_committed_offset_rebuild_and_tell_nobody() {
        let mut role = role();
        role.partitions.insert(0, Partition { live_from: 2, ..Partition::default() });
        let open = alert("a", Severity::High, AlertStatus::Open);
        let over = alert("a", Severity::High, AlertStatus::Resolved);
        assert_eq!(told(&mut role, &[open.clone(), open, over]), ["all resolved a"]);
    }

    #[test]
    fn an_alert_as_large_as_a_record_is_a_dead_letter_and_those_behind_it_are_told() {
        let mut big = alert("a", Severity::Low, AlertStatus::Open);
        let bytes = serde_json::to_vec(&big).unwrap().len();
        big.title = "x".repeat(crate::kafka::record::RECORD_BYTES_MAX - bytes);
        let payload = serde_json::to_vec(&big).unwrap();
        let (mut role, mut out) = (role(), Memory::default());
        let record = Record {
            topic: "alerts",
            partition: 0,
            offset: 0,
            timestamp: None,
            key: None,
            payload: Some(&payload),
            headers: Headers::default(),
        };
        role.record(&record, &mut out).unwrap();
        let topics: Vec<_> = out.sent.iter().map(|sent| sent.topic.as_str()).collect();
        assert_eq!(topics, ["dead"]);
    }

    #[test]
    fn the_bookmark_is_the_oldest_open_alert() {
        let mut role = role();
        let partition = TopicPartition::new("alerts", 0);
        let open = |id| alert(id, Severity::High, AlertStatus::Open);
        told(&mut role, &[open("a"), open("b"), alert("a", Severity::High, AlertStatus::Resolved)]);
        assert_eq!(role.bookmark(&partition).as_deref(), Some("1"));
        told(&mut role, &[alert("b", Severity::High, AlertStatus::Resolved)]);
        assert_eq!(role.bookmark(&partition), None);
    }
}

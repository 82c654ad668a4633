//! MATCH: audit records in, signals out, and about once a second a tick to every signals partition.
//!
//! The only role that reads a wall clock, and it writes what it read into the log. It keeps nothing:
//! a record that cannot be used becomes a dead letter, and the stream goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::dead_letter::DeadLetter;
use crate::alert::Alert;
use crate::base::metrics::Metrics;
use crate::base::{Clock, Gate, Timestamp};
use crate::engine::{self, Matched, Origin, Program, Source, Tick, Ticker};
use crate::event::Layout;
use crate::kafka::{
    Committed, Error, Log, OutRecord, Output, Record, Sources, Start, Task, TopicPartition,
};
use crate::mapping::{Mappings, RawRecord, Unusable};
use crate::query::{Schedule, Sets};

/// What MATCH works with; all of it fixed while it runs.
pub struct Settings {
    /// Who ticks: instance and worker.
    pub worker: Arc<str>,
    /// Turns records into events.
    pub mappings: Arc<Mappings>,
    /// Turns events into signals.
    pub program: Arc<Program>,
    /// The topic of alerts and the layout of the rules, if some rules build on alerts of others.
    pub alerts: Option<(String, Arc<Layout>)>,
    /// The topic of signals.
    pub signals: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// The topic of dead letters.
    pub dead_letters: String,
    /// How much later than they happen a topic's events arrive as a whole; zero unless named.
    pub delays: BTreeMap<String, Duration>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where counts go.
    pub metrics: Metrics,
    /// Held from reading a record to its signals: lists and tables change between two records.
    pub gate: Gate,
    /// The lists and schedules that rules and mappings name; schedules count events without a zone.
    pub sets: Sets,
}

/// The role's task.
pub struct Match {
    settings: Settings,
    ticker: Ticker,
    /// Topic names seen, shared by all positions.
    topics: BTreeMap<String, Arc<str>>,
    matched: Matched,
    /// The last record of signals; its memory is used again for the next.
    payload: Vec<u8>,
    zones: Zones,
}

/// The schedules that judge each event in a zone of its own.
struct Zones {
    /// With how many events had no usable one at the last record.
    schedules: Vec<(String, Arc<Schedule>, u64)>,
}

impl Zones {
    fn new(sets: &Sets) -> Self {
        let own = sets.schedules().filter(|(_, schedule)| schedule.zone_field().is_some());
        let seen = |(name, schedule): (&str, &Arc<Schedule>)| {
            (name.to_owned(), Arc::clone(schedule), schedule.bad_zones())
        };
        Self { schedules: own.map(seen).collect() }
    }

    /// After each record: one event, however many rules asked for it.
    fn count(&mut self, metrics: &Metrics) {
        for (name, schedule, seen) in &mut self.schedules {
            let now = schedule.bad_zones();
            if std::mem::replace(seen, now) != now {
                metrics.bad_zones.with_label_values(&[name.as_str()]).inc();
            }
        }
    }
}

impl Match {
    /// A task that owns nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            zones: Zones::new(&settings.sets),
            settings,
            ticker: Ticker::new(),
            topics: BTreeMap::new(),
            matched: Matched::default(),
            payload: Vec::new(),
        }
    }

    fn topic(&mut self, name: &str) -> Arc<str> {
        if let Some(topic) = self.topics.get(name) {
            return topic.clone();
        }
        let topic: Arc<str> = name.into();
        self.topics.insert(name.to_owned(), topic.clone());
        topic
    }

    fn dead_letter(
        &self,
        reason: &str,
        detail: &str,
        raw: &RawRecord<'_>,
        now: Timestamp,
        out: &mut dyn Output,
    ) -> Result<(), Error> {
        self.settings.metrics.dead_letters.with_label_values(&[reason]).inc();
        DeadLetter::new(reason, detail, &raw.position, now, raw.payload)
            .send(&self.settings.dead_letters, out)
    }

    /// Another rule's alert is an event when it opens.
    fn alert(
        &mut self,
        raw: &RawRecord<'_>,
        layout: &Layout,
        now: Timestamp,
        out: &mut dyn Output,
    ) -> Result<(), Error> {
        let alert = match serde_json::from_slice::<Alert>(raw.payload) {
            Ok(alert) => alert,
            Err(error) => {
                return self.dead_letter("bad_alert", &error.to_string(), raw, now, out);
            }
        };
        let Some((event, origin)) = alert.as_event(layout) else { return Ok(()) };
        {
            let _steady = self.settings.gate.hold();
            let (program, partitions) = (&self.settings.program, self.settings.partitions);
            program.signals(&event, origin, partitions, &mut self.matched);
        }
        self.send(event.time, raw, now, out)
    }

    /// Notes how far an event's source has come, and sends what the event means to the rules.
    fn send(
        &mut self,
        time: Timestamp,
        raw: &RawRecord<'_>,
        now: Timestamp,
        out: &mut dyn Output,
    ) -> Result<(), Error> {
        let source = Source::new(raw.position.topic.clone(), raw.position.partition);
        self.ticker.observe(&source, time);
        let mut payload = std::mem::take(&mut self.payload);
        let sent = self.send_signals(raw, now, &mut payload, out);
        self.payload = payload;
        sent
    }

    /// Counts and sends what the event became; `self.matched` holds it.
    fn send_signals(
        &self,
        raw: &RawRecord<'_>,
        now: Timestamp,
        payload: &mut Vec<u8>,
        out: &mut dyn Output,
    ) -> Result<(), Error> {
        let metrics = &self.settings.metrics;
        for rule in &self.matched.unkeyed {
            metrics.unkeyed.with_label_values(&[rule.as_ref()]).inc();
        }
        for rule in &self.matched.cut {
            tracing::warn!(rule = rule.as_ref(), position = %raw.position, "event has too many keys, the first are used");
        }
        for rule in &self.matched.panicked {
            tracing::error!(rule = rule.as_ref(), position = %raw.position, "a rule panicked on an event");
            let detail = format!("rule {rule} panicked; the event was judged by all others");
            self.dead_letter("rule_panicked", &detail, raw, now, out)?;
        }
        for (partition, signals) in &self.matched.records {
            payload.clear();
            signals.write(payload);
            match self.send_to(*partition, payload, out) {
                Err(Error::TooLarge { bytes, max, .. }) => {
                    let detail =
                        format!("the signals of this event have {bytes} bytes, more than {max}");
                    self.dead_letter("signals_too_big", &detail, raw, now, out)?;
                }
                sent => sent?,
            }
            for signal in &signals.signals {
                metrics.matches.with_label_values(&[signal.rule.as_ref()]).inc();
            }
        }
        Ok(())
    }

    fn send_to(&self, partition: u32, payload: &[u8], out: &mut dyn Output) -> Result<(), Error> {
        out.send(OutRecord {
            topic: &self.settings.signals,
            partition: i32::try_from(partition).ok(),
            payload: Some(payload),
            ..OutRecord::default()
        })
    }
}

impl Task for Match {
    fn assigned(
        &mut self,
        partition: &TopicPartition,
        _committed: Option<&Committed>,
        _log: &mut dyn Log,
    ) -> Result<Start, Error> {
        let delay = self.settings.delays.get(partition.topic.as_ref()).copied().unwrap_or_default();
        self.ticker.add(Source::new(partition.topic.clone(), partition.partition), delay);
        Ok(Start::Committed)
    }

    fn revoked(&mut self, partition: &TopicPartition) {
        self.ticker.remove(&Source::new(partition.topic.clone(), partition.partition));
        let labels = [&*partition.topic, &*partition.partition.to_string()];
        // Another worker's from here on; it has none before the first tick.
        drop(self.settings.metrics.clock_lag.remove_label_values(&labels));
    }

    fn record(&mut self, record: &Record<'_>, out: &mut dyn Output) -> Result<(), Error> {
        let now = self.settings.clock.now();
        let raw = super::raw(record, &self.topic(record.topic));
        if let Some((topic, layout)) = &self.settings.alerts
            && *record.topic == **topic
        {
            let layout = layout.clone();
            return self.alert(&raw, &layout, now, out);
        }
        let judged = {
            // Given back before anything is sent, for sending may wait.
            let _steady = self.settings.gate.hold();
            let (program, partitions) = (&self.settings.program, self.settings.partitions);
            self.settings.mappings.event(&raw, now).inspect(|event| {
                program.signals(event, Origin::Audit, partitions, &mut self.matched);
            })
        };
        self.zones.count(&self.settings.metrics);
        let event = match judged {
            Ok(event) => event,
            Err(Unusable { reason, detail }) => {
                return self.dead_letter(reason.code(), &detail, &raw, now, out);
            }
        };
        let metrics = &self.settings.metrics;
        metrics.events.with_label_values(&[event.mapping.as_ref()]).inc();
        if event.clamped {
            metrics.clamped.with_label_values(&[event.mapping.as_ref()]).inc();
        }
        self.send(event.time, &raw, now, out)
    }

    fn pulse(&mut self, sources: &Sources, out: &mut dyn Output) -> Result<(), Error> {
        let now = self.settings.clock.now();
        let at_end: BTreeMap<Source, bool> = sources
            .owned
            .iter()
            .map(|owned| {
                let partition = &owned.partition;
                (Source::new(partition.topic.clone(), partition.partition), owned.at_end())
            })
            .collect();
        let times = self.ticker.report(now, |source| at_end.get(source).copied().unwrap_or(false));
        for time in &times {
            #[expect(clippy::cast_precision_loss, reason = "a gauge for people")]
            let behind = (now.as_millis() - time.time.as_millis()) as f64 / 1000.0;
            let (topic, partition) =
                (time.source.topic.as_ref(), time.source.partition.to_string());
            self.settings.metrics.clock_lag.with_label_values(&[topic, &partition]).set(behind);
        }
        let subscription = sources
            .subscription
            .iter()
            .map(|partition| Source::new(partition.topic.clone(), partition.partition))
            .collect();
        let tick = Tick { worker: self.settings.worker.clone(), sources: times, subscription };
        let payload = engine::Record::Tick(tick).encode();
        (0..self.settings.partitions)
            .try_for_each(|partition| self.send_to(partition, &payload, out))
    }
}

//! What each part of the daemon is started with: configuration and prepared rules become the
//! settings of workers and tasks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::anyhow;

use super::{FINISHED_MAX, Parts, Prepared, Role};
use crate::alert::Rules;
use crate::base::Clock;
use crate::base::metrics::Metrics;
use crate::config::Config;
use crate::delivery::{Destination, Family};
use crate::kafka::{Cluster, Health, StartPolicy, Task, Topics, WorkerSettings, spawn};
use crate::role::correlate::{self, Correlate};
use crate::role::deliver::{self, Deliverer, Identify, Lane, NotifierLane, SinkLane};
use crate::role::r#match::{self, Match};
use crate::role::notify::{Notify, Recipient};
use crate::role::versions::Control;

/// How old alerts may be, by the time of their records, when rules first build on them.
const ALERTS_READ_BACK: Duration = Duration::from_mins(1);

/// What starting a part needs.
pub(super) struct Starting<'a> {
    pub(super) config: &'a Config,
    pub(super) topics: &'a Topics,
    pub(super) cluster: &'a Arc<Cluster>,
    pub(super) metrics: &'a Metrics,
    pub(super) clock: &'a Arc<dyn Clock>,
}

impl Starting<'_> {
    fn group(&self, name: &str) -> String {
        format!("{}{name}", self.config.kafka.prefix)
    }

    /// MATCH's worker: the audit topics, each with its own first start, and the alerts if rules build on
    /// them.
    pub(super) fn reader(&self, prepared: &Prepared) -> WorkerSettings {
        let sources = self.config.sources.iter().map(|s| (s.topic.clone(), s.start));
        // Rules on rules look forward: alerts of long ago are history, however the sources begin. A
        // little back, for another instance may have been the first to start.
        let from = StartPolicy::Time(self.clock.now() - ALERTS_READ_BACK);
        let alerts = prepared.alerts.is_some().then(|| (self.topics.alerts.clone(), from));
        let starts: BTreeMap<String, StartPolicy> = sources.chain(alerts).collect();
        let topics = starts.keys().cloned().collect();
        let group = self.group(Role::Match.name());
        WorkerSettings { starts, ..WorkerSettings::new(&group, &group, topics) }
    }

    /// A worker on one of Hark's own topics.
    pub(super) fn on(&self, role: Role, topic: &str) -> WorkerSettings {
        let group = self.group(role.name());
        WorkerSettings::new(&group, &group, vec![topic.to_owned()])
    }

    pub(super) fn worker(
        &self,
        role: Role,
        parts: &mut Parts,
        settings: WorkerSettings,
        task: Box<dyn Task>,
    ) -> anyhow::Result<()> {
        let worker = spawn(self.cluster, settings, task, self.metrics.clone(), Health::new())?;
        parts.workers.push((role, worker));
        Ok(())
    }

    pub(super) fn matching(&self, prepared: &Prepared) -> Box<dyn Task> {
        Box::new(Match::new(r#match::Settings {
            worker: format!("{}.match.0", self.config.instance).into(),
            mappings: Arc::clone(&prepared.mappings),
            program: Arc::clone(&prepared.program),
            alerts: prepared
                .alerts
                .as_ref()
                .map(|layout| (self.topics.alerts.clone(), Arc::clone(layout))),
            signals: self.topics.signals.clone(),
            partitions: self.config.kafka.partitions.into(),
            dead_letters: self.topics.dead_letters.clone(),
            delays: self.config.sources.iter().map(|s| (s.topic.clone(), s.delay)).collect(),
            clock: Arc::clone(self.clock),
            metrics: self.metrics.clone(),
            gate: self.config.watch.gate(),
            sets: self.config.sets.clone(),
        }))
    }

    /// Where rule versions are written and found.
    pub(super) fn control(&self) -> Control {
        let (cluster, sets) = (Arc::clone(self.cluster), self.config.sets.clone());
        Control::new(cluster, self.topics.control.clone(), sets)
    }

    pub(super) fn correlating(&self, prepared: &Prepared) -> anyhow::Result<Box<dyn Task>> {
        let rules = Rules::compile(prepared.rules.enabled().cloned(), &self.config.sets)
            .map_err(|faults| anyhow!("rules that were checked do not compile: {faults:?}"))?;
        Ok(Box::new(Correlate::new(correlate::Settings {
            rules,
            versions: Box::new(self.control()),
            partitions: self.config.kafka.partitions.into(),
            control: self.topics.control.clone(),
            alerts: self.topics.alerts.clone(),
            dead_letters: self.topics.dead_letters.clone(),
            clock: Arc::clone(self.clock),
            metrics: self.metrics.clone(),
            gate: self.config.watch.gate(),
        })))
    }

    pub(super) fn notifying(&self) -> Box<dyn Task> {
        let recipients = self.config.notifiers.iter().map(|notifier| Recipient {
            name: notifier.name.clone(),
            severities: notifier.severities.clone(),
            resolved: notifier.resolved,
        });
        Box::new(Notify::new(
            recipients.collect(),
            self.topics.outbox.clone(),
            self.topics.dead_letters.clone(),
            Arc::clone(self.clock),
            self.metrics.clone(),
        ))
    }

    /// One thread for each sink and each notifier.
    pub(super) fn deliverers(&self, parts: &mut Parts, prepared: &Prepared) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Handle::current();
        for sink in &self.config.sinks {
            let destination = self.destination(Family::Sinks, &sink.name, sink.retry);
            let (mappings, event_id) = &prepared.identify;
            let identify = Identify::new(
                Arc::clone(mappings),
                *event_id,
                self.topics.alerts.clone(),
                Arc::clone(self.clock),
            );
            let lane = SinkLane::new(
                runtime.clone(),
                Arc::clone(&destination),
                Arc::clone(&sink.sink),
                sink.batch,
                identify,
            );
            let mut topics = Vec::new();
            if sink.events {
                topics.extend(self.config.sources.iter().map(|source| source.topic.clone()));
            }
            if sink.alerts {
                topics.push(self.topics.alerts.clone());
            }
            let group = self.group(&format!("deliver.sink.{}", sink.name));
            parts.deliverers.push(self.deliverer(group, topics, destination, Box::new(lane))?);
        }
        for notifier in &self.config.notifiers {
            let destination = self.destination(Family::Notifiers, &notifier.name, notifier.retry);
            let lane = NotifierLane::new(
                runtime.clone(),
                Arc::clone(&destination),
                Arc::clone(&notifier.notifier),
                notifier.name.clone(),
            );
            let group = self.group(&format!("deliver.notifier.{}", notifier.name));
            let topics = vec![self.topics.outbox.clone()];
            parts.deliverers.push(self.deliverer(group, topics, destination, Box::new(lane))?);
        }
        Ok(())
    }

    pub(super) fn destination(
        &self,
        family: Family,
        name: &str,
        retry: crate::delivery::Retry,
    ) -> Arc<Destination> {
        // Instances that start together must not come back together.
        let seed = xxhash_rust::xxh3::xxh3_64(self.config.instance.as_bytes())
            ^ u64::from(std::process::id())
            ^ self.clock.now().as_millis().unsigned_abs();
        let (metrics, clock) = (self.metrics.clone(), Arc::clone(self.clock));
        Arc::new(Destination::new(family, name, retry, metrics, clock, seed))
    }

    pub(super) fn deliverer(
        &self,
        group: String,
        topics: Vec<String>,
        destination: Arc<Destination>,
        lane: Box<dyn Lane>,
    ) -> anyhow::Result<Deliverer> {
        let starts: BTreeMap<_, _> =
            self.config.sources.iter().map(|s| (s.topic.clone(), s.start)).collect();
        let settings = deliver::Settings {
            group,
            topics,
            starts,
            dead_letters: self.topics.dead_letters.clone(),
            destination,
            metrics: self.metrics.clone(),
            clock: Arc::clone(self.clock),
        };
        Ok(Deliverer::spawn(self.cluster, settings, lane, sync_channel(FINISHED_MAX))?)
    }
}

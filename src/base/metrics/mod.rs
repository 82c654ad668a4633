//! Every metric Hark has about itself. Names, units, labels and help stand in one [`table`], which the
//! registry and the reference are made from; here are the instruments that the code counts with.

mod table;

use prometheus::{Encoder as _, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

pub use table::{Kind, LABELS, METRICS, MetricSpec, PROCESS};

/// The registry and its instruments. Cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Events decoded and mapped.
    pub events: IntCounterVec,
    /// Records that could not be used.
    pub dead_letters: IntCounterVec,
    /// Signals sent, one per rule, key and event.
    pub matches: IntCounterVec,
    /// Matching events without one of the rule's `group_by` fields.
    pub unkeyed: IntCounterVec,
    /// Signals that came too late to be counted.
    pub late: IntCounterVec,
    /// Keys forgotten because a rule had too many.
    pub evicted: IntCounterVec,
    /// Events that claimed to be from the future.
    pub clamped: IntCounterVec,
    /// Alerts opened and resolved.
    pub alerts: IntCounterVec,
    /// Attempts to send, by what became of them.
    pub notifications: IntCounterVec,
    /// Records forwarded, by what became of them.
    pub sink_records: IntCounterVec,
    /// Requests to a sink, by what became of them.
    pub sink_requests: IntCounterVec,
    /// 1 for the state it is in: ok, `backing_off`, blocked.
    pub destination_state: IntGaugeVec,
    /// Records between committed position and high watermark.
    pub lag: IntGaugeVec,
    /// How far a source's reported time is behind now; the largest holds the clock.
    pub clock_lag: GaugeVec,
    /// Assignments and revocations seen.
    pub rebalances: IntCounterVec,
    /// Changed files of lists and tables: taken, refused.
    pub reference_reads: IntCounterVec,
    /// 1 while a list's or table's file cannot be used.
    pub reference_stale: IntGaugeVec,
    /// Entries of a list, rows of a table, as they are in use.
    pub reference_entries: IntGaugeVec,
    /// Events without a usable time zone of their own.
    pub bad_zones: IntCounterVec,
    /// Always 1, with the version.
    pub build_info: IntGaugeVec,
}

impl Metrics {
    /// All instruments, registered; process metrics (`process_*`) too.
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |spec: &MetricSpec| {
            registered(&registry, IntCounterVec::new(options(spec), spec.labels))
        };
        let gauge =
            |spec: &MetricSpec| registered(&registry, IntGaugeVec::new(options(spec), spec.labels));
        #[cfg(target_os = "linux")]
        {
            let process = prometheus::process_collector::ProcessCollector::for_self();
            registered_as_is(&registry, Box::new(process));
        }
        let build_info = gauge(&table::BUILD_INFO);
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            events: counter(&table::EVENTS),
            dead_letters: counter(&table::DEAD_LETTERS),
            matches: counter(&table::MATCHES),
            unkeyed: counter(&table::UNKEYED),
            late: counter(&table::LATE),
            evicted: counter(&table::EVICTED),
            clamped: counter(&table::CLAMPED),
            alerts: counter(&table::ALERTS),
            notifications: counter(&table::NOTIFICATIONS),
            sink_records: counter(&table::SINK_RECORDS),
            sink_requests: counter(&table::SINK_REQUESTS),
            destination_state: gauge(&table::DESTINATION_STATE),
            lag: gauge(&table::LAG),
            clock_lag: {
                let spec = &table::CLOCK_LAG;
                registered(&registry, GaugeVec::new(options(spec), spec.labels))
            },
            rebalances: counter(&table::REBALANCES),
            reference_reads: counter(&table::REFERENCE_READS),
            reference_stale: gauge(&table::REFERENCE_STALE),
            reference_entries: gauge(&table::REFERENCE_ENTRIES),
            bad_zones: counter(&table::BAD_ZONES),
            build_info,
            registry,
        }
    }

    /// The text exposition format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut out = Vec::new();
        // Encoding fails only on an empty family, which the registry never gathers.
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            return format!("# {error}\n");
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn options(spec: &MetricSpec) -> Opts {
    Opts::new(spec.name, spec.help)
}

fn registered<T: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<T>,
) -> T {
    #[expect(clippy::expect_used, reason = "names are constants of a table; a test makes them all")]
    let made = made.expect("a metric's name and labels are valid");
    registered_as_is(registry, Box::new(made.clone()));
    made
}

fn registered_as_is(registry: &Registry, collector: Box<dyn prometheus::core::Collector>) {
    #[expect(
        clippy::expect_used,
        reason = "names are constants of a table; a test makes them all"
    )]
    registry.register(collector).expect("each metric is registered once");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prometheus::core::{Collector, Desc};

    use super::*;

    /// What a collector registers, as the table would say it.
    fn told(collector: &dyn Collector) -> Vec<(String, Vec<String>, String)> {
        let told =
            |desc: &&Desc| (desc.fq_name.clone(), desc.variable_labels.clone(), desc.help.clone());
        collector.desc().iter().map(told).collect()
    }

    fn rows(table: &[MetricSpec]) -> BTreeSet<(String, Vec<String>, String)> {
        let row = |spec: &MetricSpec| {
            let labels = spec.labels.iter().map(|&label| label.to_owned()).collect();
            (spec.name.to_owned(), labels, spec.help.to_owned())
        };
        table.iter().map(row).collect()
    }

    #[test]
    fn every_metric_registers_and_renders() {
        let metrics = Metrics::new();
        metrics.events.with_label_values(&["ops0"]).inc_by(3);
        assert!(metrics.render().contains("hark_events_total{mapping=\"ops0\"} 3"));
    }

    #[test]
    fn what_is_registered_and_the_table_are_the_same() {
        // Every field by name: whoever adds one has to come here.
        let Metrics {
            registry: _,
            events,
            dead_letters,
            matches,
            unkeyed,
            late,
            evicted,
            clamped,
            alerts,
            notifications,
            sink_records,
            sink_requests,
            destination_state,
            lag,
            clock_lag,
            rebalances,
            reference_reads,
            reference_stale,
            reference_entries,
            bad_zones,
            build_info,
        } = Metrics::new();
        let counters: [&dyn Collector; 14] = [
            &events,
            &dead_letters,
            &matches,
            &unkeyed,
            &late,
            &evicted,
            &clamped,
            &alerts,
            &notifications,
            &sink_records,
            &sink_requests,
            &rebalances,
            &reference_reads,
            &bad_zones,
        ];
        let gauges: [&dyn Collector; 6] = [
            &destination_state,
            &lag,
            &clock_lag,
            &reference_stale,
            &reference_entries,
            &build_info,
        ];
        for (kind, collectors) in [(Kind::Counter, &counters[..]), (Kind::Gauge, &gauges)] {
            let registered: BTreeSet<_> = collectors.iter().flat_map(|one| told(*one)).collect();
            let specs: Vec<_> = METRICS.iter().filter(|spec| spec.kind == kind).copied().collect();
            assert_eq!(registered, rows(&specs));
            assert_eq!((registered.len(), specs.len()), (collectors.len(), collectors.len()));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_process_tells_is_in_the_table() {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        let told: BTreeSet<_> = told(&process).into_iter().collect();
        assert_eq!(told, rows(PROCESS));
    }

    #[test]
    fn names_tell_the_kind_and_every_label_is_explained() {
        for spec in METRICS.iter().chain(PROCESS) {
            assert_eq!(spec.name.ends_with("_total"), spec.kind == Kind::Counter, "{}", spec.name);
            assert!(spec.help.ends_with('.'), "{}", spec.name);
        }
        let used: BTreeSet<_> = METRICS.iter().flat_map(|spec| spec.labels).copied().collect();
        let explained: BTreeSet<_> = LABELS.iter().map(|(label, _)| *label).collect();
        assert_eq!(used, explained);
        assert_eq!(explained.len(), LABELS.len(), "a label is explained once");
    }
}

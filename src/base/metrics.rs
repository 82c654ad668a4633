//! Every metric Hark has about itself: one place for names, units and labels.
//!
//! Label values are bounded: mappings, rules, destinations, roles, topics and reasons, all known at
//! load; never a user, an address or anything else that an event brings.

use prometheus::{Encoder as _, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// The registry and its instruments. Cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// `hark_events_total{mapping}`: events decoded and mapped.
    pub events: IntCounterVec,
    /// `hark_dead_letters_total{reason}`: records that could not be used.
    pub dead_letters: IntCounterVec,
    /// `hark_matches_total{rule}`: signals sent, one per rule, key and event.
    pub matches: IntCounterVec,
    /// `hark_unkeyed_total{rule}`: matching events without one of the rule's `group_by` fields.
    pub unkeyed: IntCounterVec,
    /// `hark_late_total{rule}`: signals that came too late to be counted.
    pub late: IntCounterVec,
    /// `hark_evicted_keys_total{rule}`: keys forgotten because a rule had too many.
    pub evicted: IntCounterVec,
    /// `hark_clamped_times_total{mapping}`: events that claimed to be from the future.
    pub clamped: IntCounterVec,
    /// `hark_alerts_total{rule,status}`: alerts opened and resolved.
    pub alerts: IntCounterVec,
    /// `hark_notifications_total{notifier,outcome}`: attempts to send, by what became of them.
    pub notifications: IntCounterVec,
    /// `hark_sink_records_total{sink,outcome}`: records forwarded, by what became of them.
    pub sink_records: IntCounterVec,
    /// `hark_sink_requests_total{sink,outcome}`: requests to a sink, by what became of them.
    pub sink_requests: IntCounterVec,
    /// `hark_destination_state{destination,state}`: 1 for the state it is in: ok, `backing_off`, blocked.
    pub destination_state: IntGaugeVec,
    /// `hark_consumer_lag{group,topic,partition}`: records between committed position and high watermark.
    pub lag: IntGaugeVec,
    /// `hark_clock_lag_seconds{topic,partition}`: how far a source's reported time is behind now; the largest holds the clock.
    pub clock_lag: GaugeVec,
    /// `hark_rebalances_total{group}`: assignments and revocations seen.
    pub rebalances: IntCounterVec,
    /// `hark_reference_reads_total{name,outcome}`: changed files of lists and tables: taken, refused.
    pub reference_reads: IntCounterVec,
    /// `hark_reference_stale{name}`: 1 while a list's or table's file cannot be used.
    pub reference_stale: IntGaugeVec,
    /// `hark_reference_entries{name}`: entries of a list, rows of a table, as they are in use.
    pub reference_entries: IntGaugeVec,
    /// `hark_schedule_bad_zones_total{schedule}`: events without a usable time zone of their own.
    pub bad_zones: IntCounterVec,
}

impl Metrics {
    /// All instruments, registered; process metrics (`process_*`) too.
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        #[cfg(target_os = "linux")]
        {
            let process = prometheus::process_collector::ProcessCollector::for_self();
            registered_as_is(&registry, Box::new(process));
        }
        Self {
            events: counter("hark_events_total", "Events decoded and mapped.", &["mapping"]),
            dead_letters: counter(
                "hark_dead_letters_total",
                "Records that could not be used, by reason.",
                &["reason"],
            ),
            matches: counter(
                "hark_matches_total",
                "Signals sent: one per rule, key and event.",
                &["rule"],
            ),
            unkeyed: counter(
                "hark_unkeyed_total",
                "Matching events without a group_by field of the rule.",
                &["rule"],
            ),
            late: counter("hark_late_total", "Signals too late to be counted.", &["rule"]),
            evicted: counter(
                "hark_evicted_keys_total",
                "Keys forgotten because a rule had too many.",
                &["rule"],
            ),
            clamped: counter(
                "hark_clamped_times_total",
                "Events whose time was too far in the future.",
                &["mapping"],
            ),
            alerts: counter(
                "hark_alerts_total",
                "Alerts by what happened to them.",
                &["rule", "status"],
            ),
            notifications: counter(
                "hark_notifications_total",
                "Attempts to notify, by outcome.",
                &["notifier", "outcome"],
            ),
            sink_records: counter(
                "hark_sink_records_total",
                "Records forwarded, by outcome.",
                &["sink", "outcome"],
            ),
            sink_requests: counter(
                "hark_sink_requests_total",
                "Requests to a sink, by outcome.",
                &["sink", "outcome"],
            ),
            destination_state: gauge(
                "hark_destination_state",
                "1 for the state that a destination is in.",
                &["destination", "state"],
            ),
            lag: gauge(
                "hark_consumer_lag",
                "Records between position and high watermark.",
                &["group", "topic", "partition"],
            ),
            clock_lag: registered(
                &registry,
                GaugeVec::new(
                    Opts::new("hark_clock_lag_seconds", "How far a source's time is behind now."),
                    &["topic", "partition"],
                ),
            ),
            rebalances: counter("hark_rebalances_total", "Rebalances seen.", &["group"]),
            reference_reads: counter(
                "hark_reference_reads_total",
                "Changed files of lists and tables, by what became of them.",
                &["name", "outcome"],
            ),
            reference_stale: gauge(
                "hark_reference_stale",
                "1 while a list's or table's file cannot be used and what it held before is.",
                &["name"],
            ),
            reference_entries: gauge(
                "hark_reference_entries",
                "Entries of a list or rows of a table, as they are in use.",
                &["name"],
            ),
            bad_zones: counter(
                "hark_schedule_bad_zones_total",
                "Events judged in the schedule's zone because their own was missing or unknown.",
                &["schedule"],
            ),
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

fn registered<T: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<T>,
) -> T {
    #[expect(
        clippy::expect_used,
        reason = "names are constants of this file; a test makes them all"
    )]
    let made = made.expect("a metric's name and labels are valid");
    registered_as_is(registry, Box::new(made.clone()));
    made
}

fn registered_as_is(registry: &Registry, collector: Box<dyn prometheus::core::Collector>) {
    #[expect(
        clippy::expect_used,
        reason = "names are constants of this file; a test makes them all"
    )]
    registry.register(collector).expect("each metric is registered once");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_registers_and_renders() {
        let metrics = Metrics::new();
        metrics.events.with_label_values(&["ops0"]).inc_by(3);
        assert!(metrics.render().contains("hark_events_total{mapping=\"ops0\"} 3"));
    }
}

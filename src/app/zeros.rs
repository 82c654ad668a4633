//! Counters begin at 0 and not at their first event: of what was never there, no rate can be taken, and
//! an alert on the first dead letter would miss it.
//!
//! A role has those that it counts itself; labels that only events or the cluster bring are left out.

use prometheus::IntCounterVec;

use super::{Prepared, Role};
use crate::base::metrics::Metrics;
use crate::config::Config;
use crate::delivery::Outcome;
use crate::role::dead_letter;

/// Shows the counters of `roles`, for every rule, mapping, reason, sink and notifier that there is.
pub(super) fn show(metrics: &Metrics, roles: &[Role], prepared: &Prepared, config: &Config) {
    for reason in dead_letter::reasons() {
        begin(&metrics.dead_letters, &[reason]);
    }
    for role in roles {
        match role {
            Role::Match => {
                for mapping in prepared.mappings.names() {
                    begin(&metrics.events, &[mapping]);
                    begin(&metrics.clamped, &[mapping]);
                }
                for rule in prepared.rules.enabled() {
                    begin(&metrics.matches, &[&rule.id]);
                    begin(&metrics.unkeyed, &[&rule.id]);
                }
            }
            Role::Correlate => {
                for rule in prepared.rules.enabled() {
                    begin(&metrics.alerts, &[&rule.id, "opened"]);
                    begin(&metrics.alerts, &[&rule.id, "resolved"]);
                    begin(&metrics.late, &[&rule.id]);
                    begin(&metrics.evicted, &[&rule.id]);
                }
            }
            Role::Notify => {}
            Role::Deliver => {
                for outcome in Outcome::NAMES {
                    for notifier in &config.notifiers {
                        begin(&metrics.notifications, &[&notifier.name, outcome]);
                    }
                    for sink in &config.sinks {
                        begin(&metrics.sink_requests, &[&sink.name, outcome]);
                    }
                }
                for sink in &config.sinks {
                    begin(&metrics.sink_records, &[&sink.name, "delivered"]);
                    begin(&metrics.sink_records, &[&sink.name, "rejected"]);
                }
            }
        }
    }
}

/// A counter is shown from when it was first asked for.
fn begin(counter: &IntCounterVec, labels: &[&str]) {
    counter.with_label_values(labels);
}

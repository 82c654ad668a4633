//! The table of Hark's metrics: the registry is made from it, and so is the reference.

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and begins at 0 with the process.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Kind {
    /// As Prometheus calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One metric as it is registered and told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricSpec {
    /// The name, with its unit; that of a counter ends in `_total`.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// Its labels, in order of their values; each is explained in [`LABELS`].
    pub labels: &'static [&'static str],
    /// What it counts or measures, as a sentence.
    pub help: &'static str,
}

impl MetricSpec {
    const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Counter, labels, help }
    }

    const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Gauge, labels, help }
    }
}

/// All metrics, in order of the reference: detection, delivery, Kafka, what rules refer to.
pub const METRICS: &[MetricSpec] = &[
    EVENTS,
    DEAD_LETTERS,
    CLAMPED,
    MATCHES,
    UNKEYED,
    LATE,
    EVICTED,
    ALERTS,
    NOTIFICATIONS,
    SINK_RECORDS,
    SINK_REQUESTS,
    DESTINATION_STATE,
    LAG,
    CLOCK_LAG,
    REBALANCES,
    REFERENCE_READS,
    REFERENCE_STALE,
    REFERENCE_ENTRIES,
    BAD_ZONES,
    BUILD_INFO,
];

/// What the process itself tells, on Linux only.
pub const PROCESS: &[MetricSpec] = &[
    MetricSpec::counter(
        "process_cpu_seconds_total",
        &[],
        "Total user and system CPU time spent in seconds.",
    ),
    MetricSpec::gauge("process_open_fds", &[], "Number of open file descriptors."),
    MetricSpec::gauge("process_max_fds", &[], "Maximum number of open file descriptors."),
    MetricSpec::gauge("process_virtual_memory_bytes", &[], "Virtual memory size in bytes."),
    MetricSpec::gauge("process_resident_memory_bytes", &[], "Resident memory size in bytes."),
    MetricSpec::gauge(
        "process_start_time_seconds",
        &[],
        "Start time of the process since unix epoch in seconds.",
    ),
    MetricSpec::gauge("process_threads", &[], "Number of OS threads in the process."),
];

/// Every label with what its values are. They come from the configuration, the rules and the cluster,
/// so that there are few: never a user, an address or anything else that an event brings.
pub const LABELS: &[(&str, &str)] = &[
    ("mapping", "a mapping's name"),
    ("reason", "why, as it stands in the dead letter"),
    ("rule", "a rule's id"),
    ("status", "`opened` or `resolved`"),
    ("notifier", "a notifier's name in the configuration"),
    ("sink", "a sink's name in the configuration"),
    ("outcome", "what became of it; the metric says which there are"),
    ("destination", "a sink or notifier, such as `sinks.siem`"),
    ("state", "`ok`, `backing_off` (it fails) or `blocked` (it refuses our credentials)"),
    ("group", "a consumer group"),
    ("topic", "a topic"),
    ("partition", "a partition's number"),
    ("name", "a list or table, such as `lists.scanners`"),
    ("schedule", "a schedule's name"),
    ("version", "Hark's version"),
];

pub(super) const EVENTS: MetricSpec =
    MetricSpec::counter("hark_events_total", &["mapping"], "Events decoded and mapped.");

pub(super) const DEAD_LETTERS: MetricSpec = MetricSpec::counter(
    "hark_dead_letters_total",
    &["reason"],
    "Records that could not be used, by reason.",
);

pub(super) const CLAMPED: MetricSpec = MetricSpec::counter(
    "hark_clamped_times_total",
    &["mapping"],
    "Events whose time was too far in the future and was clamped.",
);

pub(super) const MATCHES: MetricSpec = MetricSpec::counter(
    "hark_matches_total",
    &["rule"],
    "Signals sent: one per rule, key and event.",
);

pub(super) const UNKEYED: MetricSpec = MetricSpec::counter(
    "hark_unkeyed_total",
    &["rule"],
    "Matching events without a group_by field of the rule.",
);

pub(super) const LATE: MetricSpec =
    MetricSpec::counter("hark_late_total", &["rule"], "Signals too late to be counted.");

pub(super) const EVICTED: MetricSpec = MetricSpec::counter(
    "hark_evicted_keys_total",
    &["rule"],
    "Keys forgotten because a rule had too many.",
);

pub(super) const ALERTS: MetricSpec = MetricSpec::counter(
    "hark_alerts_total",
    &["rule", "status"],
    "Alerts that opened and that resolved.",
);

pub(super) const NOTIFICATIONS: MetricSpec = MetricSpec::counter(
    "hark_notifications_total",
    &["notifier", "outcome"],
    "Attempts to notify, by outcome: delivered, retry, rejected, blocked.",
);

pub(super) const SINK_RECORDS: MetricSpec = MetricSpec::counter(
    "hark_sink_records_total",
    &["sink", "outcome"],
    "Records forwarded, by outcome: delivered, rejected.",
);

pub(super) const SINK_REQUESTS: MetricSpec = MetricSpec::counter(
    "hark_sink_requests_total",
    &["sink", "outcome"],
    "Requests to a sink, by outcome: delivered, retry, rejected, blocked.",
);

pub(super) const DESTINATION_STATE: MetricSpec = MetricSpec::gauge(
    "hark_destination_state",
    &["destination", "state"],
    "1 for the state that a destination is in, 0 for the others.",
);

pub(super) const LAG: MetricSpec = MetricSpec::gauge(
    "hark_consumer_lag",
    &["group", "topic", "partition"],
    "Records between position and high watermark.",
);

pub(super) const CLOCK_LAG: MetricSpec = MetricSpec::gauge(
    "hark_clock_lag_seconds",
    &["topic", "partition"],
    "How far a source's reported time is behind now; the largest holds the clock of all rules.",
);

pub(super) const REBALANCES: MetricSpec = MetricSpec::counter(
    "hark_rebalances_total",
    &["group"],
    "Assignments and revocations of partitions seen.",
);

pub(super) const REFERENCE_READS: MetricSpec = MetricSpec::counter(
    "hark_reference_reads_total",
    &["name", "outcome"],
    "Changed files of lists and tables, by outcome: taken, refused.",
);

pub(super) const REFERENCE_STALE: MetricSpec = MetricSpec::gauge(
    "hark_reference_stale",
    &["name"],
    "1 while a list's or table's file cannot be used and what it held before is.",
);

pub(super) const REFERENCE_ENTRIES: MetricSpec = MetricSpec::gauge(
    "hark_reference_entries",
    &["name"],
    "Entries of a list or rows of a table, as they are in use.",
);

pub(super) const BUILD_INFO: MetricSpec =
    MetricSpec::gauge("hark_build_info", &["version"], "Always 1: which version runs.");

pub(super) const BAD_ZONES: MetricSpec = MetricSpec::counter(
    "hark_schedule_bad_zones_total",
    &["schedule"],
    "Events judged in the schedule's zone because their own was missing or unknown.",
);

//! The keys of the configuration as tables: what the walk over it is held to, and what the reference
//! and the editors' schema are made from. What a section hands on to another part stands with that part.

use crate::base::keys::{KeySpec, Shape};
use crate::query;
use crate::{kafka, notifiers, sinks};

/// Everything that may stand in the configuration, in order of the reference.
pub const CONFIG: &[KeySpec] = &[
    KeySpec::optional(
        "instance",
        Shape::Text,
        "the host's name",
        "This process's name in logs and client ids.",
    ),
    KeySpec::optional(
        "rules",
        Shape::Text,
        "rules",
        "The folder of the rules, from this file's folder: every `*.toml` below it is one.",
    ),
    KeySpec::optional(
        "mappings",
        Shape::Text,
        "mappings",
        "The folder of the mappings, from this file's folder.",
    ),
    KeySpec::optional(
        "samples",
        Shape::Text,
        "samples",
        "The folder of the records that rules' tests call by name: `<mapping>/<name>.json`.",
    ),
    KeySpec::optional(
        "kafka",
        Shape::Table(kafka::settings::KEYS),
        "the embedded broker",
        "The cluster.",
    ),
    KeySpec::required(
        "sources",
        Shape::Map(&Shape::Table(SOURCE)),
        "The audit topics to read, by name: `[sources.\"audit.okta\"]`. At least one.",
    ),
    KeySpec::optional(
        "lists",
        Shape::Map(&Shape::Table(query::LIST)),
        "",
        "What queries call `@NAME`: texts, addresses and networks.",
    ),
    KeySpec::optional(
        "schedules",
        Shape::Map(&Shape::Table(query::SCHEDULE)),
        "",
        "What queries call `@timestamp: @NAME`: days and hours that keep coming back. Lists and schedules share their names.",
    ),
    KeySpec::optional(
        "tables",
        Shape::Map(&Shape::Table(TABLE)),
        "",
        "What mappings look values up in.",
    ),
    KeySpec::optional(
        "geoip",
        Shape::Table(GEOIP),
        "",
        "Where `source.ip` is and whose: what fills `source.geo.*` and `source.as.*` where a record does not.",
    ),
    KeySpec::optional(
        "notifiers",
        Shape::Map(&Shape::OneOf(&notifiers::KINDS)),
        "",
        "Who is told of alerts: `[notifiers.NAME.KIND]`.",
    ),
    KeySpec::optional(
        "sinks",
        Shape::Map(&Shape::OneOf(&sinks::KINDS)),
        "",
        "What events and alerts are forwarded to: `[sinks.NAME.KIND]`.",
    ),
    KeySpec::optional("admin", Shape::Table(ADMIN), "", "Health and metrics over HTTP."),
    KeySpec::optional("log", Shape::Table(LOG), "", "The daemon's own log."),
    KeySpec::optional("limits", Shape::Table(LIMITS), "", "What a record may cost."),
    KeySpec::optional("check", Shape::Table(CHECK), "", "What `hark check` says."),
];

const GEOIP: &[KeySpec] = &[
    KeySpec::optional(
        "file",
        Shape::Text,
        "",
        "A MaxMind database of cities or countries (`.mmdb`), from this file's folder; read at the start.",
    ),
    KeySpec::optional(
        "asn",
        Shape::Text,
        "",
        "The same of autonomous systems: who owns an address.",
    ),
];

const SOURCE: &[KeySpec] = &[
    KeySpec::optional(
        "start",
        Shape::Any(&[Shape::Word(&["earliest", "latest"]), Shape::Time]),
        "earliest",
        "Where a topic begins that was never read before.",
    ),
    KeySpec::optional(
        "delay",
        Shape::Duration,
        "0s",
        "How much later than they happen this product's events arrive as a whole.",
    ),
];

const TABLE: &[KeySpec] = &[
    KeySpec::required(
        "file",
        Shape::Text,
        "CSV, whose first line names the columns, or `.json`, a list of objects; watched. At most 1,000,000 rows.",
    ),
    KeySpec::required("key", Shape::Text, "The column that rows are found by, ignoring case."),
];

const ADMIN: &[KeySpec] = &[KeySpec::required(
    "listen",
    Shape::Text,
    "An address such as `127.0.0.1:9464`: `/healthz`, `/readyz`, `/metrics`. There is no authentication.",
)];

const LOG: &[KeySpec] = &[
    KeySpec::optional("format", Shape::Word(&["text", "json"]), "text", "How lines are written."),
    KeySpec::optional(
        "filter",
        Shape::Text,
        "info",
        "What is written: `info`, or `hark=debug,warn`.",
    ),
];

const LIMITS: &[KeySpec] = &[
    KeySpec::optional("event_bytes", Shape::Count, "1048576", "Bytes of a record."),
    KeySpec::optional(
        "event_depth",
        Shape::Count,
        "64",
        "Levels of objects and arrays in one another, up to 100.",
    ),
    KeySpec::optional(
        "max_future_skew",
        Shape::Duration,
        "5m",
        "How far ahead of its arrival an event may claim to be; beyond, it counts as of then.",
    ),
];

const CHECK: &[KeySpec] = &[KeySpec::optional(
    "allow",
    Shape::List(&Shape::Warning),
    "",
    "Warnings that nobody here wants to see, in any file.",
)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{duration, keys};
    use crate::config::read::MAX_FUTURE_SKEW;
    use crate::event::decode::Limits;
    use crate::kafka::StartPolicy;
    use crate::mapping::ROWS_MAX;

    fn default(keys: &[KeySpec], name: &str) -> &'static str {
        keys::find(keys, name).unwrap().default
    }

    #[test]
    fn defaults_and_bounds_are_told_as_they_are() {
        let limits = Limits::default();
        assert_eq!(default(LIMITS, "event_bytes"), limits.bytes.to_string());
        assert_eq!(default(LIMITS, "event_depth"), limits.depth.to_string());
        let depth = keys::find(LIMITS, "event_depth").unwrap().summary;
        assert!(depth.ends_with(&format!("up to {}.", Limits::MAX_DEPTH)));
        assert_eq!(default(LIMITS, "max_future_skew"), duration::print(MAX_FUTURE_SKEW));
        assert_eq!(StartPolicy::default(), StartPolicy::Earliest, "as `start` says");
        assert_eq!(ROWS_MAX, 1_000_000, "as `file` says");
    }
}

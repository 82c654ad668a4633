//! The systems that store events and alerts, one file each.
//!
//! A sink is a family member: one new file, and two lines here (`mod x;` and its `SPEC`). It says
//! how a record is encoded and makes one attempt to send; batching, retries, taking refused batches
//! apart and metrics are `delivery`'s.

use std::sync::Arc;

use crate::base::document::{Spanned, Table};
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics, Secrets};
use crate::delivery::{self, BATCH, BatchLimits, RETRY, Retry, Sink};

mod datadog_logs;
mod splunk_hec;

/// Makes a sink from its table.
pub type Build = fn(Table<'_>, &mut Diagnostics, &dyn Secrets) -> Option<Arc<dyn Sink>>;

/// A family member: plain data, from which parsing, `check` and the reference are made.
#[derive(Debug)]
pub struct SinkSpec {
    /// The table under `[sinks.NAME]`: `splunk_hec`.
    pub kind: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// A complete table; a test loads it.
    pub example: &'static str,
    /// The keys of the table: its own, those of every sink ([`COMMON`]), those of HTTP.
    pub keys: &'static [KeySpec],
    /// The size of a batch if nothing else is set.
    pub batch: BatchLimits,
    /// The largest batch that the receiver takes.
    pub batch_max: BatchLimits,
    /// Reads what is its own in the table, reporting every mistake; unknown keys too.
    pub build: Build,
}

/// All sinks, in order of the reference.
pub const SINKS: &[&SinkSpec] = &[&splunk_hec::SPEC, &datadog_logs::SPEC];

/// The keys of `[sinks.NAME]`: its kind.
#[expect(clippy::indexing_slicing, reason = "constants cannot iterate; a slip does not compile")]
pub const KINDS: [KeySpec; SINKS.len()] = {
    let mut kinds = [KeySpec::optional("", Shape::Text, "", ""); SINKS.len()];
    let mut n = 0;
    while n < SINKS.len() {
        let spec = SINKS[n];
        kinds[n] = KeySpec::optional(spec.kind, Shape::Table(spec.keys), "", spec.summary);
        n += 1;
    }
    kinds
};

/// The keys that every sink has beside its own.
const COMMON: &[KeySpec] = &[
    KeySpec::optional(
        "events",
        Shape::Boolean,
        "true",
        "Whether it gets the records of the audit topics, as they are.",
    ),
    KeySpec::optional(
        "alerts",
        Shape::Boolean,
        "false",
        "Whether it gets the records of the topic `alerts`.",
    ),
    BATCH,
    RETRY,
];

/// A sink as an operator set it up.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The name: `siem` in `[sinks.siem.splunk_hec]`.
    pub name: String,
    /// Which sink it is.
    pub spec: &'static SinkSpec,
    /// Whether it gets the records of the audit topics.
    pub events: bool,
    /// Whether it gets the records of the `alerts` topic.
    pub alerts: bool,
    /// How much goes into one request.
    pub batch: BatchLimits,
    /// How it is tried again.
    pub retry: Retry,
    /// The sink itself.
    pub sink: Arc<dyn Sink>,
}

/// Reads the table `[sinks]`, all mistakes at once; what has errors is left out.
pub fn read(table: &Table<'_>, found: &mut Diagnostics, secrets: &dyn Secrets) -> Vec<Configured> {
    let kinds: Vec<_> = SINKS.iter().map(|spec| spec.kind).collect();
    let members = delivery::members(table, &kinds, found);
    members.into_iter().filter_map(|member| read_one(member, found, secrets)).collect()
}

fn read_one(
    (name, kind, mut table): (Spanned<String>, usize, Table<'_>),
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Option<Configured> {
    let spec = SINKS.get(kind)?;
    let errors = found.errors();
    let events = table.boolean("events", found).unwrap_or(true);
    let alerts = table.boolean("alerts", found).unwrap_or(false);
    if !events && !alerts {
        found.push(
            Diagnostic::error("nothing-to-send", name.span, "this sink would get nothing")
                .help("set `events = true` or `alerts = true`, or remove it"),
        );
    }
    let batch = spec.batch.read(&mut table, &spec.batch_max, found);
    let retry = Retry::read(&mut table, found);
    let sink = (spec.build)(table, found, secrets)?;
    (found.errors() == errors).then_some(Configured {
        name: name.value,
        spec,
        events,
        alerts,
        batch,
        retry,
        sink,
    })
}

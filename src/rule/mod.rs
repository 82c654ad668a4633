//! A rule: the TOML as written, checked into a value that cannot be invalid.
//!
//! `syntax` reads the file with spans; what comes out is [`Rule`]. Running it is `engine`'s business.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Severity, Timestamp};
use crate::detectors::Detector;
use crate::event::FieldName;
use crate::query::Query;

mod template;

pub use template::Template;

/// How a rule takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its alerts are told.
    Production,
    /// Runs for real, is counted and listed, notifies nobody.
    Staging,
    /// Its alerts feed other rules only.
    BuildingBlock,
}

/// A rule that has no mistakes.
#[derive(Debug)]
pub struct Rule {
    /// Path under the rules root without `.toml`, or the `id` key.
    pub id: Arc<str>,
    /// Hash over everything in the file that changes what it does or shows; names the version.
    pub hash: u64,
    /// Hash over query, exceptions, group, detector, lateness: what window state depends on.
    pub fingerprint: u64,
    /// The rule's title; the alert's when there is no `[alert] title`.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// Its own severity.
    pub severity: Severity,
    /// `production` unless said otherwise.
    pub status: Status,
    /// `false` switches it off.
    pub enabled: bool,
    /// Free labels.
    pub tags: Vec<String>,
    /// ATT&CK technique ids.
    pub threat: Vec<String>,
    /// A link or Markdown.
    pub runbook: Option<String>,
    /// Known harmless causes.
    pub false_positives: Vec<String>,
    /// Further reading.
    pub references: Vec<String>,
    /// Who looks after it.
    pub owner: Option<String>,
    /// The condition on one event.
    pub when: Query,
    /// Events that are dropped from this rule.
    pub exceptions: Vec<Exception>,
    /// The fields whose values make the key, in order; empty = one key.
    pub group_by: Vec<FieldName>,
    /// `None`: every matching event fires.
    pub detector: Option<Box<dyn Detector>>,
    /// How much later than the stream's clock an event may come.
    pub lateness: Duration,
    /// How alerts live and look.
    pub alert: AlertSettings,
}

/// Events that a rule does not count.
#[derive(Debug)]
pub struct Exception {
    /// Which events.
    pub when: Query,
    /// Why.
    pub reason: String,
    /// Last moment (inclusive, event time) at which it holds.
    pub until: Option<Timestamp>,
}

/// The `[alert]` table, with its defaults filled in.
#[derive(Debug)]
pub struct AlertSettings {
    /// How long after the last firing the alert resolves.
    pub keep_open: Duration,
    /// How long after its opening it resolves at the latest.
    pub max_open: Duration,
    /// The alert's title; `None`: the rule's.
    pub title: Option<Template>,
    /// The alert's summary.
    pub summary: Option<Template>,
    /// Severity by case, first match wins; conditions read the firing event and `alert.*`.
    pub cases: Vec<SeverityCase>,
}

/// One `[[alert.severity]]`.
#[derive(Debug)]
pub struct SeverityCase {
    /// On the firing event's common fields and `alert.*`.
    pub when: Query,
    /// The severity if it holds.
    pub level: Severity,
}

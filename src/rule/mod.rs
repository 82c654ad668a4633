//! A rule: the TOML as written, checked into a value that cannot be invalid.
//!
//! [`parse`] walks one file and reports every mistake with its place; what comes out is a [`Rule`].
//! [`RuleSet`] is all files of a rules root together, with the overrides that tune some of them laid
//! over; [`check`] is what `hark check` says about them.
//! Files are read by the shell, which gives texts; running a rule is `engine`'s business.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::base::diagnostic::SourceText;
use crate::base::{Severity, Timestamp};
use crate::detectors::{Decides, Detector, Part};
use crate::event::FieldName;
use crate::query::Query;

mod alert;
pub mod attack;
mod check;
mod condition;
mod elsewhere;
mod fields;
mod fingerprint;
pub mod keys;
mod lint;
mod load;
mod loops;
mod overrides;
mod syntax;
pub mod template;
pub mod test_case;
mod values;

pub use check::{CheckInput, CheckReport, check};
pub use fields::advise_search;
pub use lint::Advice;
pub use load::{RuleFile, RuleSet};
pub use overrides::OVERRIDES_MAX;
pub use syntax::{Context, GROUP_BY_MAX, ID_CHARS_MAX, LATENESS, parse, parse_overridden};
pub use template::{Template, TemplateContext};
pub use test_case::RuleTest;

/// What titles, summaries and severity cases can read of the alert, beside the firing event.
pub const ALERT_FIELDS: [&str; 10] = [
    "alert.approximate",
    "alert.count",
    "alert.firings",
    "alert.first_seen",
    "alert.last_seen",
    "alert.opened_at",
    "alert.peak",
    "alert.previous",
    "alert.severity",
    "alert.value",
];

/// What an alert, read as an event by other rules, has beside [`ALERT_FIELDS`], `event.kind` and the
/// fields of its key and of the event that opened it (RULES §4, *Rules on rules*).
pub const EVENT_OF_ALERT: [&str; 2] = ["rule.id", "rule.tags"];

/// Whether the alert itself has this field, and not the event.
pub fn is_alert_field(field: &FieldName) -> bool {
    ALERT_FIELDS.contains(&field.dotted().as_str())
}

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

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Production, Self::Staging, Self::BuildingBlock];

    /// The name in rule files and alerts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::BuildingBlock => "building_block",
        }
    }
}

/// A rule that has no mistakes.
#[derive(Debug)]
pub struct Rule {
    /// Path under the rules root without `.toml`, or the `id` key.
    pub id: Arc<str>,
    /// The file it was read from, followed by the overrides that hold for it: what is stored of a
    /// version, so that any instance can read it.
    pub source: SourceText,
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
    /// The condition on one event; what the detector's parts ask comes on top ([`Rule::parts`]). Only
    /// a rule whose detector has parts can be without.
    pub when: Option<Query>,
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
    /// The tests that the file carries.
    pub tests: Vec<RuleTest>,
}

/// One of the conditions by which events take part in a rule, as MATCH judges it.
#[derive(Debug, Clone, PartialEq)]
pub struct RulePart {
    /// The name of the step or part, if it has one.
    pub name: Option<String>,
    /// Everything that an event must meet, the rule's own `when` included.
    pub when: Query,
    /// The fields whose values make the key, in order.
    pub group_by: Vec<FieldName>,
}

impl RulePart {
    /// Whether alerts are among the events that it sees.
    pub fn reads_alerts(&self) -> bool {
        self.when.needs_alerts()
    }
}

impl Rule {
    /// The conditions by which events take part, in the order that a signal counts them: the rule's
    /// `when` alone, or with what each step or part of its detector asks.
    pub fn parts(&self) -> Vec<RulePart> {
        let parts = self.detector.as_ref().map_or_else(|| vec![Part::RULE], |d| d.parts());
        let part = |part: Part<'_>| {
            let own = self.when.as_ref().filter(|_| part.with_rule).cloned();
            let when = match (own, part.when.cloned()) {
                (Some(own), Some(more)) => own.and(more),
                (own, more) => own.or(more)?,
            };
            Some(RulePart {
                name: part.name.map(str::to_owned),
                when,
                group_by: part.group_by.unwrap_or(&self.group_by).to_vec(),
            })
        };
        parts.into_iter().filter_map(part).collect()
    }

    /// Whether it builds on alerts of other rules.
    pub fn reads_alerts(&self) -> bool {
        self.parts().iter().any(RulePart::reads_alerts)
    }

    /// When the rule says that it has found something.
    pub fn decides(&self) -> Decides {
        self.detector.as_ref().map_or(Decides::OnArrival, |detector| detector.decides())
    }

    /// The event fields that an alert of this rule reads at each firing: those of titles, summaries
    /// and severity cases, and the key's. Sorted, without `alert.*`.
    pub fn shown_fields(&self) -> Vec<FieldName> {
        let mut fields: BTreeSet<FieldName> = self.group_by.iter().cloned().collect();
        for template in self.alert.templates() {
            fields.extend(template.fields());
        }
        for case in &self.alert.cases {
            fields.extend(case.when.fields());
        }
        fields.retain(|field| !is_alert_field(field));
        fields.into_iter().collect()
    }

    /// The event fields of which an alert keeps distinct values, for `values(…)`. Sorted.
    pub fn values_fields(&self) -> Vec<FieldName> {
        let fields: BTreeSet<FieldName> =
            self.alert.templates().flat_map(Template::values_fields).collect();
        fields.into_iter().collect()
    }
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
    /// What an alert belongs to.
    pub per: Per,
    /// The alert's title; `None`: the rule's.
    pub title: Option<Template>,
    /// The alert's summary.
    pub summary: Option<Template>,
    /// Severity by case, first match wins; conditions read the firing event and `alert.*`.
    pub cases: Vec<SeverityCase>,
}

/// What an alert belongs to, beside its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// The key.
    Key,
    /// The key and the tuple of values that the detector found: for `[new_value]`, unless the rule
    /// says otherwise.
    Tuple,
}

impl Per {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Key, Self::Tuple];

    /// The name in rule files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Tuple => "tuple",
        }
    }
}

impl AlertSettings {
    /// Title and summary, as far as there are any.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.title.iter().chain(&self.summary)
    }
}

/// One `[[alert.severity]]`.
#[derive(Debug)]
pub struct SeverityCase {
    /// On the firing event's common fields and `alert.*`.
    pub when: Query,
    /// The severity if it holds.
    pub level: Severity,
}

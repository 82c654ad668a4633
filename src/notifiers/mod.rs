//! The channels that tell people, one file each.
//!
//! A notifier is a family member: one new file, and two lines here (`mod x;` and its `SPEC`). It
//! makes one attempt to tell one thing; retries and metrics are `delivery`'s. Which alerts it is
//! told is the same for all and read here.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::document::{Spanned, Table, Text};
use crate::base::keys::{KeySpec, Shape};
use crate::base::severity::WORDS;
use crate::base::{Diagnostic, Diagnostics, Secrets, Severity, suggest};
use crate::delivery::{self, NotificationKind, Notifier, RETRY, Retry};

mod email;
mod log;
mod webhook;

/// Makes a notifier from its table.
pub type Build = fn(Table<'_>, &mut Diagnostics, &dyn Secrets) -> Option<Arc<dyn Notifier>>;

/// A family member: plain data, from which parsing, `check` and the reference are made.
#[derive(Debug)]
pub struct NotifierSpec {
    /// The table under `[notifiers.NAME]`: `email`.
    pub kind: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// A complete table; a test loads it.
    pub example: &'static str,
    /// The keys of the table: its own, and those of every notifier ([`COMMON`]).
    pub keys: &'static [KeySpec],
    /// Reads what is its own in the table, reporting every mistake; unknown keys too.
    pub build: Build,
}

/// All notifiers, in order of the reference.
pub const NOTIFIERS: &[&NotifierSpec] = &[&log::SPEC, &email::SPEC, &webhook::SPEC];

/// The keys of `[notifiers.NAME]`: its kind.
#[expect(clippy::indexing_slicing, reason = "constants cannot iterate; a slip does not compile")]
pub const KINDS: [KeySpec; NOTIFIERS.len()] = {
    let mut kinds = [KeySpec::optional("", Shape::Text, "", ""); NOTIFIERS.len()];
    let mut n = 0;
    while n < NOTIFIERS.len() {
        let spec = NOTIFIERS[n];
        kinds[n] = KeySpec::optional(spec.kind, Shape::Table(spec.keys), "", spec.summary);
        n += 1;
    }
    kinds
};

/// The keys that every notifier has beside its own.
const COMMON: &[KeySpec] = &[
    KeySpec::optional(
        "min_severity",
        Shape::Word(WORDS),
        "info",
        "It is told of alerts of at least this severity.",
    ),
    KeySpec::optional(
        "severities",
        Shape::List(&Shape::Word(WORDS)),
        "",
        "Instead of `min_severity`: exactly these.",
    ),
    KeySpec::optional(
        "resolved",
        Shape::Boolean,
        "false",
        "Whether it is also told that an alert is over.",
    ),
    RETRY,
];

/// A notifier as an operator set it up.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The name: `soc` in `[notifiers.soc.email]`.
    pub name: String,
    /// Which notifier it is.
    pub spec: &'static NotifierSpec,
    /// The severities it is told.
    pub severities: BTreeSet<Severity>,
    /// Whether it is told that an alert is over.
    pub resolved: bool,
    /// How it is tried again.
    pub retry: Retry,
    /// The notifier itself.
    pub notifier: Arc<dyn Notifier>,
}

impl Configured {
    /// Whether it is told about this.
    pub fn wants(&self, kind: NotificationKind, severity: Severity) -> bool {
        self.severities.contains(&severity)
            && match kind {
                NotificationKind::Opened => true,
                NotificationKind::Resolved => self.resolved,
            }
    }
}

/// Reads the table `[notifiers]`, all mistakes at once; what has errors is left out.
pub fn read(table: &Table<'_>, found: &mut Diagnostics, secrets: &dyn Secrets) -> Vec<Configured> {
    let kinds: Vec<_> = NOTIFIERS.iter().map(|spec| spec.kind).collect();
    let members = delivery::members(table, &kinds, found);
    members.into_iter().filter_map(|member| read_one(member, found, secrets)).collect()
}

fn read_one(
    (name, kind, mut table): (Spanned<String>, usize, Table<'_>),
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Option<Configured> {
    let spec = NOTIFIERS.get(kind)?;
    let errors = found.errors();
    let severities = read_severities(&mut table, found);
    let resolved = table.boolean("resolved", found).unwrap_or(false);
    let retry = Retry::read(&mut table, found);
    let notifier = (spec.build)(table, found, secrets)?;
    (found.errors() == errors).then_some(Configured {
        name: name.value,
        spec,
        severities,
        resolved,
        retry,
        notifier,
    })
}

/// Reads `min_severity`, or `severities` to name them one by one; all of them if neither is there.
fn read_severities(table: &mut Table<'_>, found: &mut Diagnostics) -> BTreeSet<Severity> {
    let level = |text: Text, found: &mut Diagnostics| {
        let level = text.value.parse::<Severity>();
        level
            .map_err(|why| {
                let mistake = Diagnostic::error("bad-severity", text.span, why);
                found.push(
                    match suggest::nearest(&text.value, Severity::ALL.map(Severity::name)) {
                        Some(near) => mistake.help(format!("did you mean `{near}`?")),
                        None => mistake,
                    },
                );
            })
            .ok()
    };
    let least = table.text("min_severity", found).and_then(|text| level(text, found));
    let named = table.texts("severities", found);
    if let Some(span) = table.key_span("min_severity").filter(|_| named.is_some()) {
        found.push(Diagnostic::error(
            "bad-severity",
            span,
            "expected one of `min_severity` and `severities`, found both",
        ));
    }
    match named {
        Some(named) => named.into_iter().filter_map(|text| level(text, found)).collect(),
        None => {
            Severity::ALL.into_iter().filter(|s| least.is_none_or(|least| *s >= least)).collect()
        }
    }
}

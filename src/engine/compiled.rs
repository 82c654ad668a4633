//! One rule, compiled: whether an event meets it, for which keys, and what of the event travels on to
//! the detector.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::group::Group;
use super::key::Key;
use super::signal::Fields;
use crate::base::{Diagnostic, Timestamp};
use crate::detectors::Parts;
use crate::event::{Event, FieldId, FieldName, Layout, Scalar};
use crate::query::{Matcher, Sets};
use crate::rule::{Rule, Status};

/// Fields that every signal carries when the event has them: what samples show, whatever the rule.
pub const SAMPLE_FIELDS: [&str; 28] = [
    "event.action",
    "event.category",
    "event.dataset",
    "event.id",
    "event.outcome",
    "event.provider",
    "event.reason",
    "event.type",
    "message",
    "organization.id",
    "organization.name",
    "session.id",
    "source.ip",
    "source.geo.city_name",
    "source.geo.country_iso_code",
    "source.as.organization.name",
    "target.id",
    "target.name",
    "target.type",
    "user.email",
    "user.id",
    "user.name",
    "user.roles",
    "user.target.email",
    "user.target.id",
    "user.target.name",
    "user.target.roles",
    "user_agent.original",
];

/// The longest text of a sample field that travels; what a detector or a severity case reads is whole.
pub const SAMPLE_TEXT_BYTES: usize = 1_024;

/// The most values of a sample field that travel.
pub const SAMPLE_VALUES: usize = 16;

/// After this many panics a rule is switched off: it costs more than it can still find.
pub const PANICS_MAX: u32 = 5;

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An audit topic.
    Audit,
    /// Another rule's alert, which only conditions on alerts see.
    Alert {
        /// Whether that rule is in staging: then only rules in staging see it.
        staging: bool,
    },
}

#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) rule: Arc<Rule>,
    /// The conditions by which events take part.
    parts: Vec<Condition>,
    /// The different ways to name the key; mostly one.
    groups: Vec<Group>,
    exceptions: Vec<(Matcher, Option<Timestamp>)>,
    carried: Vec<Carried>,
    /// How often its judgement panicked.
    panics: AtomicU32,
}

/// One part of a rule.
#[derive(Debug)]
struct Condition {
    when: Matcher,
    /// Whether alerts are among the events that it sees.
    reads_alerts: bool,
    /// Which of the rule's groups names the key.
    group: usize,
}

/// What an event means to one rule.
pub(super) enum Judged {
    Unmet,
    Unkeyed,
    Met(Vec<(Key, Parts)>, Fields),
    Panicked,
}

/// A field that travels with the signal.
#[derive(Debug)]
struct Carried {
    name: Arc<str>,
    slot: FieldId,
    /// Decisions depend on it: never shortened.
    whole: bool,
}

impl Compiled {
    pub(super) fn new(
        rule: Arc<Rule>,
        layout: &mut Layout,
        sets: &Sets,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut groups = Vec::new();
        let mut parts = Vec::new();
        for part in rule.parts() {
            let when = part.when.compile(layout, sets)?;
            let group = Group::new(&part.group_by, layout);
            let known = groups.iter().position(|have| *have == group);
            let group = known.unwrap_or_else(|| {
                groups.push(group);
                groups.len() - 1
            });
            parts.push(Condition { when, reads_alerts: part.reads_alerts(), group });
        }
        let mut exceptions = Vec::new();
        for exception in &rule.exceptions {
            exceptions.push((exception.when.compile(layout, sets)?, exception.until));
        }
        let carried = carried(&rule, layout);
        let panics = AtomicU32::new(0);
        Ok(Self { rule, parts, groups, exceptions, carried, panics })
    }

    pub(super) fn is_off(&self) -> bool {
        self.panics.load(Ordering::Relaxed) >= PANICS_MAX
    }

    /// What the event means to the rule. One rule's bug must not cost the others their signals.
    pub(super) fn judge(&self, event: &Event, origin: Origin) -> Judged {
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let met = self.met(event, origin);
            if met.is_empty() || self.excepts(event) {
                return Judged::Unmet;
            }
            #[cfg(test)]
            assert!(&*self.rule.id != "test/panics", "a bug, planted by a test");
            let keys = self.keys(event, met);
            if keys.is_empty() { Judged::Unkeyed } else { Judged::Met(keys, self.fields(event)) }
        }));
        judged.unwrap_or_else(|_| {
            self.panics.fetch_add(1, Ordering::Relaxed);
            Judged::Panicked
        })
    }

    /// Whether some of its conditions see alerts.
    pub(super) fn reads_alerts(&self) -> bool {
        self.parts.iter().any(|part| part.reads_alerts)
    }

    /// Whether events from there are any of its business.
    pub(super) fn sees(&self, origin: Origin) -> bool {
        match origin {
            Origin::Audit => true,
            Origin::Alert { staging } => !staging || self.rule.status == Status::Staging,
        }
    }

    /// The parts that the event meets, whosever it is.
    fn met(&self, event: &Event, origin: Origin) -> Parts {
        let audit = origin == Origin::Audit;
        let met = |(_, part): &(usize, &Condition)| {
            (audit || part.reads_alerts) && part.when.matches(event)
        };
        let parts = self.parts.iter().enumerate().filter(met);
        parts.fold(Parts::default(), |parts, (n, _)| parts.with(n))
    }

    fn excepts(&self, event: &Event) -> bool {
        self.exceptions.iter().any(|(when, until)| {
            until.is_none_or(|until| event.time <= until) && when.matches(event)
        })
    }

    /// The keys for which the event met something, each with the parts; without repeats, and at most
    /// one more than [`KEYS_PER_EVENT`] for each group.
    fn keys(&self, event: &Event, met: Parts) -> Vec<(Key, Parts)> {
        let of_group = |group: usize| {
            let own =
                self.parts.iter().enumerate().filter(|(n, p)| p.group == group && met.has(*n));
            own.fold(Parts::default(), |parts, (n, _)| parts.with(n))
        };
        let mut all: Vec<(Key, Parts)> = Vec::new();
        for (n, group) in self.groups.iter().enumerate() {
            let parts = of_group(n);
            if parts.is_empty() {
                continue;
            }
            for key in group.keys(event) {
                // Several groups are rare, and then keys are few.
                let same =
                    if n == 0 { None } else { all.iter_mut().find(|(have, _)| *have == key) };
                match same {
                    Some((_, known)) => *known = Parts(known.0 | parts.0),
                    None => all.push((key, parts)),
                }
            }
        }
        all
    }

    fn fields(&self, event: &Event) -> Fields {
        let mut fields = Fields::default();
        for carried in &self.carried {
            let values = event.values(carried.slot);
            let values = if carried.whole {
                values.into()
            } else {
                let shown = |value: &Scalar| value.shortened(SAMPLE_TEXT_BYTES);
                values.iter().take(SAMPLE_VALUES).map(shown).collect()
            };
            fields.push(carried.name.clone(), values);
        }
        fields
    }
}

/// The union of what the rule reads after matching and what samples show, in order of the names.
fn carried(rule: &Rule, layout: &mut Layout) -> Vec<Carried> {
    let mut wanted: BTreeMap<FieldName, bool> = BTreeMap::new();
    for name in SAMPLE_FIELDS {
        wanted.insert(FieldName::from_keys([name]), false);
    }
    let read = rule.detector.iter().flat_map(|detector| detector.fields());
    let keys = rule.parts().into_iter().flat_map(|part| part.group_by);
    for field in read.chain(keys).chain(rule.shown_fields()) {
        wanted.insert(field, true);
    }
    for field in rule.values_fields() {
        wanted.entry(field).or_insert(false);
    }
    let slot = |(field, whole): (FieldName, bool)| Carried {
        name: field.to_string().into(),
        slot: layout.field(&field),
        whole,
    };
    wanted.into_iter().map(slot).collect()
}

//! `[sequence]`: steps of one key, one after the other.
//!
//! An *assignment* gives each present step `count` events that match it (any of its matches, whatever
//! stands between them), every event of a step before every event of the next in (time, position), so
//! that no event serves twice. The first and the last event of one step are no more than its `within`
//! apart, the last of one step and the first of the next no more than `max_gap`, the first and the
//! last of all no more than the sequence's `within`, or without it the sum of all `within` and
//! `max_gap`; all ends included. A sequence fires on each event that ends an assignment. Nothing is
//! consumed. What is told is the latest assignment: each step as late as the following ones allow,
//! which also is the one that begins last. `count` is how many events it has, one number for a rule.
//!
//! *Absent steps.* Between two steps: no match after the last event of the one and before the first
//! event of the other. As the first: no match in [event − `within`, event), before the first event of
//! the next step; that event must be `within` after the rule's start or more. As the last: no match
//! in (event, event + `within`]: a firing of the clock at the end of that time, for each event that
//! ends an assignment. An event that matches an absent step as well as another one does not stand
//! before or after itself.
//!
//! `$steps.name.field` reads the latest event before the judged one that matches that step, part of an
//! assignment or not. Without such an event the comparison is false. MATCH cannot know it: a step
//! with *k* such comparisons has 2^*k* parts, one for each way they may turn out, and the memory of
//! the key tells which of them it is; alerts count an event until it turns out that it was none. At most [`VALUES_MAX`] values of a field are compared.
//!
//! *When.* Plain steps are decided on arrival ([`arrival`]); with an absent step or `$steps`, on the
//! clock ([`clock`]): until it has passed an event, the one before may be missing. Both find
//! assignments in [`chain`]. Steps with a `count` keep their newest 4 × `count` events,
//! others [10,000](super::EVENTS_MAX).

mod arrival;
mod chain;
mod clock;
#[cfg(test)]
mod law_tests;
mod read;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::{Decides, Detector, DetectorSpec, KEPT, KeyState, Part, Parts, RuleStart, room};
use crate::base::duration;
use crate::base::keys::{KeySpec, Shape};
use crate::event::FieldName;
use crate::query::Query;
use crate::query::ast::Case;
use crate::state::codec::Broken;

/// The detector's entry in the family's table.
pub const SPEC: DetectorSpec = DetectorSpec {
    table: "sequence",
    summary: "Fires on every event that matches the last step when earlier events match the steps before it, in order.",
    example: r#"title    = "Login succeeded after repeated failures"
severity = "high"
when     = 'event.category: authentication'
group_by = ["user.name"]

[[sequence.step]]
name   = "failures"
when   = 'event.outcome: failure'
count  = 5
within = "10m"

[[sequence.step]]
name    = "login"
when    = 'event.outcome: success'
max_gap = "30m"
"#,
    decides: Decides::OnArrival,
    keys: &[
        KeySpec::optional(
            "within",
            Shape::Duration,
            "the sum of all `within` and `max_gap`, which then bound every step",
            "The longest time from the first event to the last.",
        ),
        KeySpec::required("step", Shape::Tables(STEP), "The steps, in order; two or more."),
    ],
    parse: read::parse,
};

const STEP: &[KeySpec] = &[
    KeySpec::optional(
        "name",
        Shape::Text,
        "",
        "What later steps call it: letters, digits, `_` and `-`; no two alike.",
    ),
    KeySpec::optional(
        "when",
        Shape::Query,
        "the rule's `when`",
        "What its events match beside the rule's `when`; `$steps.name.field` reads an earlier step's latest match.",
    ),
    KeySpec::optional("count", Shape::Count, "1", "How many events it takes, from 1 to 10,000."),
    KeySpec::optional(
        "within",
        Shape::Duration,
        "the sequence's",
        "The longest time from the first of its events to the last; how long an absent step lasts.",
    ),
    KeySpec::optional(
        "max_gap",
        Shape::Duration,
        "the sequence's `within`",
        "The longest time from the previous step's last event to its first.",
    ),
    KeySpec::optional(
        "absent",
        Shape::Boolean,
        "false",
        "Whether it must not happen: between its neighbours, or for `within` before or after.",
    ),
    KeySpec::optional(
        "group_by",
        Shape::Fields,
        "the rule's",
        "The fields that name the key for this step, one for each of the rule's.",
    ),
];

/// The highest `count` of a step: four times as many events are kept of a key.
pub const COUNT_MAX: usize = 10_000;

/// The most comparisons with earlier steps in one step.
pub const STEP_TERMS_MAX: usize = 3;

/// The most values of one field that a comparison with an earlier step looks at.
pub const VALUES_MAX: usize = 1_000;

/// The settings of one rule, shared by all keys.
#[derive(Debug)]
struct Plan {
    /// Two or more, at least one of them present, no two absent ones side by side.
    steps: Vec<Step>,
    /// As written.
    within: Option<Duration>,
    /// From an assignment's first event to its last.
    span: Duration,
    /// The fields whose values are read: what `$steps` compares.
    fields: Vec<FieldName>,
    /// What is remembered of latest matches: of which step, and which of `fields`.
    remembered: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Step {
    name: Option<String>,
    /// As written.
    when: Option<Query>,
    /// What MATCH asks: `when`, or with comparisons one query for each way they may turn out; bit *n*
    /// of the index says how the comparison *n* did.
    asked: Vec<Way>,
    /// The first of its parts.
    first_part: usize,
    terms: Vec<Term>,
    absent: bool,
    /// From 1 to [`COUNT_MAX`].
    count: usize,
    within: Option<Duration>,
    max_gap: Option<Duration>,
    group_by: Option<Vec<FieldName>>,
}

/// A way in which an event can match a step.
#[derive(Debug)]
struct Way {
    /// The step's name, and how the comparisons must turn out if there are any.
    name: Option<String>,
    when: Option<Query>,
}

/// A comparison with an earlier step's latest match.
#[derive(Debug)]
struct Term {
    /// Which of the plan's fields.
    own: usize,
    /// Which of the values that are remembered.
    other: usize,
    case: Case,
}

impl Plan {
    /// The last step that has events.
    fn last(&self) -> usize {
        self.steps.iter().rposition(|step| !step.absent).unwrap_or_default()
    }

    /// The step before, present or not, and the nearest one before that has events.
    fn before(&self, step: usize) -> (Option<&Step>, Option<usize>) {
        let before = step.checked_sub(1).and_then(|before| self.steps.get(before));
        let present = self.steps.iter().take(step).rposition(|step| !step.absent);
        (before, present)
    }

    /// How long no match of a leading absent step may have come.
    fn leading(&self) -> Option<Duration> {
        self.steps.first().filter(|step| step.absent).and_then(|step| step.within)
    }

    /// How long no match of a trailing absent step may come, and which step that is.
    fn trailing(&self) -> Option<(usize, Duration)> {
        let at = self.steps.len().checked_sub(1)?;
        let step = self.steps.get(at).filter(|step| step.absent)?;
        Some((at, step.within?))
    }

    /// Events of an assignment.
    fn count(&self) -> u64 {
        self.steps.iter().filter(|step| !step.absent).map(|step| step.count as u64).sum()
    }

    /// The parts of the steps that have events.
    fn counted(&self) -> Parts {
        let present = self.steps.iter().filter(|step| !step.absent);
        let parts = present.flat_map(|step| step.first_part..step.first_part + step.asked.len());
        parts.fold(Parts::default(), Parts::with)
    }

    /// Whether something can only be known when the clock has passed it.
    fn waits(&self) -> bool {
        self.steps.iter().any(|step| step.absent || !step.terms.is_empty())
    }

    /// How far apart events can lie that matter to one another, those that must be absent included.
    fn reach(&self) -> Duration {
        if self.within.is_none() {
            // The sum has them already.
            return self.span;
        }
        let after = self.trailing().map(|(_, within)| within);
        let around = self.leading().unwrap_or_default() + after.unwrap_or_default();
        self.span.saturating_add(around)
    }
}

impl Step {
    /// How many of its events are kept.
    fn room(&self) -> usize {
        room(self.count)
    }

    /// What MATCH asks.
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let group_by = self.group_by.as_deref();
        self.asked.iter().map(move |way| Part {
            name: way.name.as_deref(),
            when: way.when.as_ref(),
            with_rule: true,
            group_by,
        })
    }

    /// All of its settings in one text.
    fn canonical(&self, out: &mut String) {
        let time = |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), duration::print);
        let when = self.when.as_ref().map(ToString::to_string);
        let group_by = self
            .group_by
            .as_ref()
            .map(|fields| fields.iter().map(ToString::to_string).collect::<Vec<_>>());
        let (name, absent, count) = (&self.name, self.absent, self.count);
        let (within, max_gap) = (time(self.within), time(self.max_gap));
        // Writing to a String cannot fail.
        let _infallible = write!(
            out,
            " step(name={name:?} when={when:?} count={count} within={within} max_gap={max_gap} absent={absent} group_by={group_by:?})"
        );
    }
}

/// A rule's detector.
#[derive(Debug)]
struct Sequence(Arc<Plan>);

impl Detector for Sequence {
    fn spec(&self) -> &'static DetectorSpec {
        &SPEC
    }

    fn fires_without_event(&self) -> bool {
        self.0.trailing().is_some()
    }

    fn decides(&self) -> Decides {
        if self.0.waits() { Decides::OnTheClock } else { Decides::OnArrival }
    }

    fn canonical(&self) -> String {
        let mut text = match self.0.within {
            Some(within) => format!("within={}", duration::print(within)),
            None => format!("span={}", duration::print(self.0.span)),
        };
        self.0.steps.iter().for_each(|step| step.canonical(&mut text));
        text
    }

    fn span(&self) -> Duration {
        self.0.reach()
    }

    fn within(&self) -> Option<Duration> {
        Some(self.0.span)
    }

    fn parts(&self) -> Vec<Part<'_>> {
        self.0.steps.iter().flat_map(Step::parts).collect()
    }

    fn counted(&self) -> Parts {
        self.0.counted()
    }

    fn keeps(&self) -> usize {
        let present = self.0.steps.iter().filter(|step| !step.absent);
        present.map(|step| KEPT * step.count).sum()
    }

    fn fields(&self) -> Vec<FieldName> {
        self.0.fields.clone()
    }

    fn fresh(&self, start: RuleStart) -> Box<dyn KeyState> {
        let plan = self.0.clone();
        if plan.waits() {
            Box::new(clock::Memory::new(plan, start))
        } else {
            Box::new(arrival::Memory::new(plan))
        }
    }

    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken> {
        let plan = self.0.clone();
        Ok(if plan.waits() {
            Box::new(clock::Memory::decode(plan, bytes)?)
        } else {
            Box::new(arrival::Memory::decode(plan, bytes)?)
        })
    }
}

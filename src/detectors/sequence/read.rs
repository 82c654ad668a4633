//! The table of a rule file: its steps one by one, then how they bound one another and what they ask
//! of one another.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::{COUNT_MAX, Plan, STEP_TERMS_MAX, Sequence, Step, Term, Way};
use crate::base::document::{Table, Text};
use crate::base::{Diagnostic, Diagnostics, suggest};
use crate::detectors::{Detector, PARTS_MAX, Reading, bounded_count, part_group_by};
use crate::event::FieldName;
use crate::query::{Query, StepTerm};

/// A step as it is written, and where.
struct Written {
    span: Range<usize>,
    name: Option<Text>,
    when: Option<(Text, Query)>,
    absent: bool,
    count: usize,
    within: Option<Duration>,
    /// Where it stands, whatever it is.
    within_span: Option<Range<usize>>,
    max_gap: Option<Duration>,
    max_gap_span: Option<Range<usize>>,
    group_by: Option<Vec<FieldName>>,
}

/// Reads the table.
pub(super) fn parse(
    mut table: Table<'_>,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    let before = found.errors();
    let within = table.duration("within", found).map(|within| within.value);
    table.require("step", found);
    let steps: Vec<Written> = table
        .tables("step", found)
        .into_iter()
        .map(|step| Written::read(step, reading, found))
        .collect();
    let (span, is_bounded) = (table.span(), table.has("within"));
    let any = table.has("step");
    table.finish(found);
    if any {
        check_places(&steps, &span, found);
        check_names(&steps, found);
        if !is_bounded {
            check_bounds(&steps, found);
        }
    }
    let plan = plan(&steps, within, &span, found);
    (found.errors() == before).then(|| Box::new(Sequence(Arc::new(plan))) as Box<dyn Detector>)
}

impl Written {
    fn read(mut table: Table<'_>, reading: &dyn Reading, found: &mut Diagnostics) -> Self {
        let span = table.span();
        let name = table.text("name", found).and_then(|name| plain_name(name, found));
        if !table.has("when") && !reading.has_when() {
            let message = "missing key `when` in `[[sequence.step]]`";
            found.push(
                Diagnostic::error("missing-key", span.clone(), message)
                    .help("only a rule with a `when` of its own can have steps without one"),
            );
        }
        let when = table.text("when", found);
        let when =
            when.and_then(|text| reading.step_query(&text, found).map(|query| (text, query)));
        let absent = table.boolean("absent", found).unwrap_or_default();
        let count = if table.has("count") {
            if absent {
                let at = table.key_span("count").unwrap_or_else(|| span.clone());
                let message = "an absent step has no events to count";
                found.push(Diagnostic::error("bad-step", at, message).help("take `count` out"));
            }
            bounded_count(&mut table, "count", COUNT_MAX, found)
        } else {
            table.allow(&["count"]);
            Some(1)
        };
        let within_span = table.key_span("within");
        let within = table.duration("within", found).map(|within| within.value);
        let max_gap_span = table.key_span("max_gap");
        let max_gap = table.duration("max_gap", found).map(|gap| gap.value);
        let group_by = part_group_by(&mut table, reading, found);
        table.finish(found);
        Self {
            span,
            name,
            when,
            absent,
            count: count.unwrap_or(1),
            within,
            within_span,
            max_gap,
            max_gap_span,
            group_by,
        }
    }

    /// As messages call it.
    fn title(&self, n: usize) -> String {
        match &self.name {
            Some(name) => name.value.clone(),
            None => format!("step {}", n + 1),
        }
    }
}

/// A name that `$steps.name` can spell.
fn plain_name(name: Text, found: &mut Diagnostics) -> Option<Text> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.value.is_empty() && name.value.chars().all(plain) {
        return Some(name);
    }
    let message =
        format!("expected a name of letters, digits, `_` and `-`, found `{}`", name.value);
    let mistake = Diagnostic::error("bad-step", name.span, message);
    let spelt: String = name.value.trim().chars().map(|c| if plain(c) { c } else { '_' }).collect();
    found.push(if spelt.chars().any(|c| c.is_ascii_alphanumeric()) {
        mistake.help(format!(
            "later steps read its event as `$steps.{spelt}.user.name`: write `{spelt}`"
        ))
    } else {
        mistake
    });
    None
}

/// What a step can have where it stands.
fn check_places(steps: &[Written], span: &Range<usize>, found: &mut Diagnostics) {
    if steps.len() < 2 {
        let message = format!("expected at least two steps, found {}", steps.len());
        found.push(
            Diagnostic::error("bad-step", span.clone(), message)
                .help("for events of one kind use `[threshold]`, or no detector for each of them"),
        );
        return;
    }
    if steps.iter().all(|step| step.absent) {
        let message = "expected a step that is not absent";
        found.push(Diagnostic::error("bad-step", span.clone(), message));
        return;
    }
    let first = steps.iter().position(|step| !step.absent);
    for (n, step) in steps.iter().enumerate() {
        let outermost = n == 0 || n + 1 == steps.len();
        let mut refuse = |at: &Range<usize>, message: &str, help: &str| {
            found.push(Diagnostic::error("bad-step", at.clone(), message).help(help));
        };
        if step.absent && n > 0 && steps.get(n - 1).is_some_and(|before| before.absent) {
            refuse(
                &step.span,
                "two absent steps side by side",
                "make them one: join what must not happen with `or`",
            );
        }
        if step.absent && outermost && step.within_span.is_none() {
            refuse(
                &step.span,
                "missing key `within` of an absent step that is the first or the last",
                "say for how long it must not happen: `within = \"10m\"`",
            );
        }
        if let Some(at) = step.within_span.as_ref().filter(|_| step.absent && !outermost) {
            refuse(
                at,
                "an absent step between two others has no `within`",
                "it lasts from the one to the other; `max_gap` of the next step bounds it",
            );
        }
        let Some(at) = &step.max_gap_span else { continue };
        if step.absent {
            refuse(at, "an absent step has no `max_gap`", "write it in the next step");
        } else if first == Some(n) {
            refuse(
                at,
                "the first step has no `max_gap`",
                "it is the time after the previous step's last event",
            );
        }
    }
}

fn check_names(steps: &[Written], found: &mut Diagnostics) {
    let mut names = BTreeSet::new();
    for name in steps.iter().filter_map(|step| step.name.as_ref()) {
        if !names.insert(name.value.as_str()) {
            let message = format!("two steps have the name `{}`", name.value);
            found.push(Diagnostic::error("duplicate-part", name.span.clone(), message));
        }
    }
}

/// Without a `within` of the sequence, every step has its own bounds.
fn check_bounds(steps: &[Written], found: &mut Diagnostics) {
    let first = steps.iter().position(|step| !step.absent);
    let help = "or give the whole sequence one: `within` in `[sequence]`";
    for (n, step) in steps.iter().enumerate().filter(|(_, step)| !step.absent) {
        let mut missing = |key: &str, why: String| {
            let message = format!("missing key `{key}` in `[[sequence.step]]`: {why}");
            found.push(Diagnostic::error("missing-key", step.span.clone(), message).help(help));
        };
        if first != Some(n) && step.max_gap_span.is_none() {
            let title = step.title(n);
            missing(
                "max_gap",
                format!("nothing says how long after the one before `{title}` may come"),
            );
        }
        if step.count > 1 && step.within_span.is_none() {
            missing(
                "within",
                format!("nothing says how far apart its {} events may be", step.count),
            );
        }
    }
}

fn plan(
    written: &[Written],
    within: Option<Duration>,
    span: &Range<usize>,
    found: &mut Diagnostics,
) -> Plan {
    let bounds = written.iter().flat_map(|step| [step.within, step.max_gap]).flatten();
    let sum = bounds.fold(Duration::ZERO, Duration::saturating_add);
    let mut plan = Plan {
        steps: Vec::new(),
        within,
        span: within.unwrap_or(sum),
        fields: Vec::new(),
        remembered: Vec::new(),
    };
    let mut next_part = 0;
    for (n, step) in written.iter().enumerate() {
        let terms = terms(n, written, found);
        let when = step.when.as_ref().map(|(_, query)| query);
        let asked = match when {
            Some(when) if !terms.is_empty() => ways(&step.title(n), when, &terms),
            when => {
                let name = step.name.as_ref().map(|name| name.value.clone());
                vec![Way { name, when: when.cloned() }]
            }
        };
        let compared = terms.iter().filter_map(|term| plan.compare(term, written)).collect();
        let first_part = next_part;
        next_part += asked.len();
        plan.steps.push(Step {
            name: step.name.as_ref().map(|name| name.value.clone()),
            when: when.cloned(),
            asked,
            first_part,
            terms: compared,
            absent: step.absent,
            count: step.count,
            within: step.within,
            max_gap: step.max_gap,
            group_by: step.group_by.clone(),
        });
    }
    if next_part > PARTS_MAX {
        let message = format!("expected at most {PARTS_MAX} ways to take part, found {next_part}");
        found.push(Diagnostic::error("bad-step", span.clone(), message).help(
            "a step is one way; with one, two or three `$steps` comparisons it is 2, 4 or 8",
        ));
    }
    plan
}

/// One query for each way in which comparisons may turn out, the first of them changing fastest.
fn ways(title: &str, when: &Query, terms: &[StepTerm]) -> Vec<Way> {
    let way = |way: usize| {
        let holds = |term: usize| way >> term & 1 == 1;
        let each = terms
            .iter()
            .enumerate()
            .map(|(n, term)| if holds(n) { term.to_string() } else { format!("not {term}") });
        let name = format!("{title}, if {}", each.collect::<Vec<_>>().join(" and "));
        Way { name: Some(name), when: Some(when.assume(terms, &holds)) }
    };
    (0..1 << terms.len()).map(way).collect()
}

/// A step's comparisons with earlier ones; those that cannot be are reported.
fn terms(n: usize, steps: &[Written], found: &mut Diagnostics) -> Vec<StepTerm> {
    let Some((text, when)) = steps.get(n).and_then(|step| step.when.as_ref()) else {
        return Vec::new();
    };
    let place = |diagnostic: Diagnostic| diagnostic.moved(|span| text.locate(span));
    let terms = match when.step_terms() {
        Ok(terms) => terms,
        Err(mistakes) => {
            found.extend(mistakes.into_iter().map(place));
            return Vec::new();
        }
    };
    if let Some(over) = terms.get(STEP_TERMS_MAX) {
        let message = format!("expected at most {STEP_TERMS_MAX} comparisons with earlier steps");
        found.push(place(
            Diagnostic::error("bad-step", over.place(), message)
                .help("compare with fewer fields, or put a step between"),
        ));
        return Vec::new();
    }
    let errors = found.errors();
    for term in &terms {
        if let Some(mistake) = not_earlier(n, term, steps) {
            found.push(place(mistake));
        }
    }
    if found.errors() == errors { terms } else { Vec::new() }
}

/// Why a comparison does not name an earlier step that has events.
fn not_earlier(n: usize, term: &StepTerm, steps: &[Written]) -> Option<Diagnostic> {
    let name = term.step.as_ref();
    let is = |step: &Written| step.name.as_ref().is_some_and(|own| own.value == name);
    let mistake = |message: String| Diagnostic::error("unknown-step", term.place(), message);
    let known = steps.iter().take(n).filter(|step| !step.absent);
    let known: Vec<&str> =
        known.filter_map(|step| Some(step.name.as_ref()?.value.as_str())).collect();
    let help = match (suggest::nearest(name, known.iter().copied()), known.as_slice()) {
        (Some(near), _) => format!("did you mean `$steps.{near}.{}`?", term.other),
        (None, []) => "an earlier step needs a `name` to be asked for".to_owned(),
        (None, known) => format!("earlier steps: {}", known.join(", ")),
    };
    match steps.iter().position(is) {
        Some(at) if at < n && !steps.get(at).is_some_and(|step| step.absent) => None,
        Some(at) if at < n => {
            Some(mistake(format!("the step `{name}` is absent: it has no events")).help(help))
        }
        Some(at) if at == n => {
            Some(mistake(format!("the step `{name}` is this one, not an earlier one")).help(help))
        }
        Some(_) => Some(mistake(format!("the step `{name}` comes later")).help(help)),
        None => Some(mistake(format!("unknown step `{name}`")).help(help)),
    }
}

impl Plan {
    /// Where a comparison finds its values; new places are made.
    fn compare(&mut self, term: &StepTerm, steps: &[Written]) -> Option<Term> {
        let is = |step: &Written| step.name.as_ref().is_some_and(|n| *n.value == *term.step);
        let step = steps.iter().position(is)?;
        let own = self.field(&term.field);
        let other = (step, self.field(&term.other));
        let known = self.remembered.iter().position(|have| *have == other);
        let other = known.unwrap_or_else(|| {
            self.remembered.push(other);
            self.remembered.len() - 1
        });
        Some(Term { own, other, case: term.case })
    }

    fn field(&mut self, field: &FieldName) -> usize {
        let known = self.fields.iter().position(|have| have == field);
        known.unwrap_or_else(|| {
            self.fields.push(field.clone());
            self.fields.len() - 1
        })
    }
}

//! The `[alert]` table: how long an alert lives, and how it looks.

use std::time::Duration;

use super::fields::{self, Scope};
use super::template::Template;
use super::{AlertSettings, Context, Per, SeverityCase, condition, syntax};
use crate::base::document::{Spanned, Table, Text};
use crate::base::keys::{KeySpec, Shape};
use crate::base::severity::WORDS;
use crate::base::{Diagnostic, Diagnostics, duration};
use crate::detectors::{Detector, Parts};
use crate::event::FieldName;

/// `keep_open` of a rule without a span of its own, and at most of one whose alerts stay open until
/// its condition is false.
const KEEP_OPEN: Duration = Duration::from_mins(5);
/// `max_open`, unless the rule's span is longer.
const MAX_OPEN: Duration = Duration::from_hours(24);

/// The keys of `[alert]`.
pub(super) const KEYS: &[KeySpec] = &[
    KeySpec::optional(
        "keep_open",
        Shape::Duration,
        "the detector's `within`, or 5m",
        "How long after its last firing an alert is over; at least the detector's `within`. What looks down and `[absence]` count from when the condition became false, 5m or `within` if that is shorter.",
    ),
    KeySpec::optional(
        "max_open",
        Shape::Duration,
        "24h, or `within` if that is longer",
        "How long an alert may be open; a later firing opens a new one. At least `keep_open`.",
    ),
    KeySpec::optional(
        "per",
        Shape::Word(&["key", "tuple"]),
        "tuple",
        "Only beside `[new_value]`: whether each new value has an alert of its own, or the key has one.",
    ),
    KeySpec::optional(
        "title",
        Shape::Text,
        "the rule's title",
        "One line for people: a template over the latest firing event and `alert.*`.",
    ),
    KeySpec::optional("summary", Shape::Text, "", "More for people: a template of several lines."),
    KeySpec::optional(
        "severity",
        Shape::Tables(SEVERITY),
        "the rule's severity",
        "Other severities for some firings; the first that matches wins, and an alert only rises.",
    ),
];

/// One `[[alert.severity]]`.
const SEVERITY: &[KeySpec] = &[
    KeySpec::required("when", Shape::Query, "A query over `alert.*` and the firing event."),
    KeySpec::required("level", Shape::Word(WORDS), "The severity of such a firing."),
];

/// The fields that an alert has about something that did not happen.
#[derive(Clone, Copy)]
struct Only<'a> {
    group_by: &'a [FieldName],
    /// Whether there are events before of which `values()` knows.
    values: bool,
}

/// Reads the table; the detector says how long alerts live without it.
pub(super) fn read(
    table: Option<Table<'_>>,
    detector: Option<&dyn Detector>,
    group_by: &[FieldName],
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> AlertSettings {
    // The fields that there are, where not every field of an event may be.
    let silent = detector.filter(|detector| detector.fires_without_event());
    let only =
        silent.map(|detector| Only { group_by, values: detector.counted().meets(Parts::ALL) });
    let within = detector.and_then(Detector::within);
    let sustained = detector.is_some_and(Detector::looks_down);
    let is_about_tuples = detector.is_some_and(Detector::is_about_tuples);
    let shortest = within.unwrap_or(KEEP_OPEN);
    let mut settings = AlertSettings {
        // What stays open until its condition is false has only to wait for it to come back.
        keep_open: if sustained { shortest.min(KEEP_OPEN) } else { shortest },
        max_open: within.unwrap_or_default().max(MAX_OPEN),
        per: if is_about_tuples { Per::Tuple } else { Per::Key },
        title: None,
        summary: None,
        cases: Vec::new(),
    };
    let Some(mut table) = table else { return settings };
    let keep_open = table.duration("keep_open", found);
    let max_open = table.duration("max_open", found);
    if let Some(text) = table.text("per", found) {
        settings.per = per(&text, is_about_tuples, found).unwrap_or(settings.per);
    }
    settings.title = table
        .text("title", found)
        .and_then(|text| template(&text, Template::line(&text), only, context, found));
    settings.summary = table
        .text("summary", found)
        .and_then(|text| template(&text, Template::parse(&text), only, context, found));
    for case in table.tables("severity", found) {
        settings.cases.extend(read_case(case, context, found));
    }
    table.finish(found);
    let shortest = within.filter(|_| !sustained);
    lifetimes(&mut settings, keep_open, max_open, shortest, found);
    settings
}

/// What an alert belongs to; there is a choice only where the detector finds tuples.
fn per(text: &Text, is_about_tuples: bool, found: &mut Diagnostics) -> Option<Per> {
    if !is_about_tuples {
        let message =
            "expected `per` only beside `[new_value]`: all other alerts belong to the key";
        let mistake = Diagnostic::error("bad-per", text.span.clone(), message);
        found.push(mistake.help("leave it out"));
        return None;
    }
    syntax::choice(text, "bad-per", Per::ALL.iter().map(|per| (per.name(), *per)), found)
}

fn lifetimes(
    settings: &mut AlertSettings,
    keep_open: Option<Spanned<Duration>>,
    max_open: Option<Spanned<Duration>>,
    shortest: Option<Duration>,
    found: &mut Diagnostics,
) {
    if let Some(keep_open) = keep_open {
        if let Some(within) = shortest.filter(|within| keep_open.value < *within) {
            found.push(
                Diagnostic::error(
                    "keep-open-too-short",
                    keep_open.span.clone(),
                    format!(
                        "expected `keep_open` of at least the detector's span of {}, found `{}`",
                        duration::print(within),
                        duration::print(keep_open.value)
                    ),
                )
                .help("else one window could open two alerts; leave it out for the shortest"),
            );
        }
        settings.keep_open = keep_open.value;
    }
    if let Some(max_open) = max_open {
        if max_open.value < settings.keep_open {
            found.push(Diagnostic::error(
                "max-open-too-short",
                max_open.span,
                format!(
                    "expected `max_open` of at least `keep_open` ({}), found `{}`",
                    duration::print(settings.keep_open),
                    duration::print(max_open.value)
                ),
            ));
        }
        settings.max_open = max_open.value;
    } else {
        settings.max_open = settings.max_open.max(settings.keep_open);
    }
}

fn template(
    text: &Text,
    parsed: Result<Template, Vec<Diagnostic>>,
    only: Option<Only<'_>>,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> Option<Template> {
    let template = match parsed {
        Ok(template) => template,
        Err(mistakes) => {
            found.extend(mistakes);
            return None;
        }
    };
    for used in template.used() {
        let span = text.locate(used.span.clone());
        let known = fields::advise(&used.field, Scope::Alert, context).is_none();
        fields::check(&used.field, span.clone(), Scope::Alert, context, found);
        if known
            && !super::is_alert_field(&used.field)
            && let Some(only) = only.filter(|only| !only.group_by.contains(&used.field))
        {
            let name = used.field.dotted();
            let message = format!(
                "`{name}` will be missing: this alert is about something that did not happen, and has the \
                 fields of `group_by` and no others"
            );
            let help = if only.values {
                format!(
                    "`values('{name}')` has what the events before had; or put `{name}` into `group_by`"
                )
            } else {
                format!("leave it out, or put `{name}` into `group_by`")
            };
            found.push(Diagnostic::warning("field-of-no-event", span, message).help(help));
        }
    }
    for used in template.used_values() {
        fields::check(&used.field, text.locate(used.span.clone()), Scope::Event, context, found);
    }
    Some(template)
}

fn read_case(
    mut table: Table<'_>,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> Option<SeverityCase> {
    let when = table.required_text("when", found);
    let level = table.required_text("level", found);
    table.finish(found);
    let when = when.and_then(|text| condition::read(&text, Scope::Alert, context, found));
    let level = level.and_then(|text| syntax::severity(&text, found));
    Some(SeverityCase { when: when?, level: level? })
}

//! Field names in rule files: read, known or unknown, filled by some mapping or by none.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::diagnostic::Gravity;
use crate::base::document::{Item, Table, Text};
use crate::base::{Diagnostic, Diagnostics, suggest};
use crate::event::{FieldName, habits, schema};
use crate::mapping::Mappings;
use crate::query::{FieldAdvice, is_of_step};

use super::{ALERT_FIELDS, Context, EVENT_OF_ALERT};

/// What a name may stand for at the place where it was found, and what it is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A field of the event.
    Event,
    /// A field of the event without which it takes no part.
    Key,
    /// A field of the event, or behind `$` one of an earlier step's event (`$steps.login.source.ip`).
    Step,
    /// A field of the event, or one of the alert (`alert.count`).
    Alert,
    /// A field that a test sets: whether a mapping fills it does not matter.
    Test,
}

/// Reads a name and checks that such a field exists.
pub(super) fn read(
    text: &Text,
    scope: Scope,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> Option<FieldName> {
    match FieldName::parse(&text.value) {
        Ok(field) => {
            check(&field, text.locate(0..text.value.len()), scope, context, found);
            Some(field)
        }
        Err(message) => {
            found.push(Diagnostic::error("bad-field", text.span.clone(), message));
            None
        }
    }
}

/// Reports a field that exists nowhere, with the nearest one that does, and warns of one that no
/// mapping fills.
pub(super) fn check(
    field: &FieldName,
    span: Range<usize>,
    scope: Scope,
    context: &Context<'_>,
    found: &mut Diagnostics,
) {
    if let Some(FieldAdvice { code, gravity, message, help }) = advise(field, scope, context) {
        let diagnostic = Diagnostic { gravity, ..Diagnostic::error(code, span, message) };
        found.push(Diagnostic { help, ..diagnostic });
    }
}

/// What is to be said of a field, wherever it stands.
pub(super) fn advise(
    field: &FieldName,
    scope: Scope,
    context: &Context<'_>,
) -> Option<FieldAdvice> {
    let name = field.dotted();
    let of_alert = name.starts_with("alert.");
    if of_alert && scope == Scope::Alert {
        return (!super::is_alert_field(field)).then(|| unknown(&name, ALERT_FIELDS, None));
    }
    if of_alert || name.starts_with("rule.") {
        let known = EVENT_OF_ALERT.iter().chain(&ALERT_FIELDS).copied();
        let fits = known
            .clone()
            .any(|have| if field.is_pattern() { field.matches(have) } else { have == name });
        return (!fits).then(|| unknown(&name, known, None));
    }
    if is_of_step(field) {
        // Whether there is such a step is the sequence's business; the field is the event's.
        return match scope {
            Scope::Step => field.below(2).and_then(|own| advise(&own, Scope::Event, context)),
            _ => Some(step_elsewhere(&name)),
        };
    }
    if !schema::is_valid(field) {
        let unknown = unknown_of_event(&name, context.mappings);
        let of_alert = format!("alert.{name}");
        let is_of_alert = scope == Scope::Alert && ALERT_FIELDS.contains(&of_alert.as_str());
        let help = is_of_alert.then(|| format!("did you mean `{of_alert}`?"));
        return Some(FieldAdvice { help: help.or(unknown.help), ..unknown });
    }
    unfilled(field, scope, context.mappings)
}

/// What is to be said of a field in a query that people type, with no rule around it; with mappings
/// also whether any of them fills it.
pub fn advise_search(field: &FieldName, mappings: Option<&Mappings>) -> Option<FieldAdvice> {
    if !schema::is_valid(field) {
        return Some(unknown_of_event(&field.dotted(), mappings));
    }
    unfilled(field, Scope::Event, mappings)
}

/// The refusal of a step's event where there are no steps.
fn step_elsewhere(name: &str) -> FieldAdvice {
    FieldAdvice {
        code: "unknown-field",
        gravity: Gravity::Error,
        message: format!("unknown field `{name}`: there are no earlier steps here"),
        help: Some("`$steps.name.field` stands in the `when` of a `[[sequence.step]]`".to_owned()),
    }
}

fn unknown_of_event(name: &str, mappings: Option<&Mappings>) -> FieldAdvice {
    unknown(name, schema::fields().map(|field| field.name), mappings)
}

fn unknown(
    name: &str,
    known: impl IntoIterator<Item = &'static str>,
    mappings: Option<&Mappings>,
) -> FieldAdvice {
    let raw = format!("a field of the original record is written `raw.{name}`");
    let help = match suggest::nearest(name, known) {
        // What people know of alerts from elsewhere: `alert.rule`, `alert.rule_id`.
        _ if name.starts_with("alert.rule") => "the rule of an alert is `rule.id`".to_owned(),
        near => match (of_records(name, mappings), habits::of_elsewhere(name), near) {
            // Whoever knows the name beats whatever looks like it.
            (Some(told), ..) => told,
            (None, Some(field), Some(near)) if field == near && is_a_words_slip(name, near) => {
                format!("did you mean `{near}`?")
            }
            (None, Some(field), _) => format!("the common field is `{field}`; {raw}"),
            (None, None, Some(near)) if is_a_words_slip(name, near) => {
                format!("did you mean `{near}`?")
            }
            (None, None, Some(near)) if !is_in_camel_case(name) => {
                format!("{raw}; or did you mean `{near}`?")
            }
            (None, None, _) => raw,
        },
    };
    FieldAdvice {
        code: "unknown-field",
        gravity: Gravity::Error,
        message: format!("unknown field `{name}`"),
        help: Some(help),
    }
}

/// Common fields that are named for one path of records, at most.
const FIELDS_SHOWN_MAX: usize = 3;

/// What the mappings have a record's own field as.
fn of_records(name: &str, mappings: Option<&Mappings>) -> Option<String> {
    let mut path = None;
    let mut fields: Vec<(&FieldName, Vec<&str>)> = Vec::new();
    for fills in mappings?.each() {
        for (own, field) in fills.read_from(name) {
            path.get_or_insert(own);
            match fields.iter_mut().find(|(known, _)| *known == field) {
                Some((_, names)) => names.push(fills.name()),
                None => fields.push((field, vec![fills.name()])),
            }
        }
    }
    let path = path?;
    // What most of them say comes first; among equals, the order of the files.
    fields.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    fields.truncate(FIELDS_SHOWN_MAX);
    let told = fields.chunk_by(|(_, one), (_, other)| one == other).map(|alike| {
        let own: Vec<String> = alike.iter().map(|(field, _)| format!("`{field}`")).collect();
        let own = own.join(" or ");
        match alike.first().map(|(_, names)| names.as_slice()).unwrap_or_default() {
            [first, second, _, ..] => {
                format!("`{first}`, `{second}` and other mappings have it as {own}")
            }
            [first, second] => format!("`{first}` and `{second}` have it as {own}"),
            [one] => format!("`{one}` has it as {own}"),
            [] => String::new(),
        }
    });
    let told: Vec<String> = told.collect();
    Some(format!("{}; as it stands in the record it is `{path}`", told.join(", ")))
}

/// `eventName`, as records write it and no common field is written.
fn is_in_camel_case(name: &str) -> bool {
    name.chars().zip(name.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase())
}

/// The name to write in the place of one that was given: itself if it is a field.
pub(super) fn instead(name: &str, context: &Context<'_>) -> String {
    if FieldName::parse(name).is_ok_and(|field| schema::is_valid(&field)) {
        return name.to_owned();
    }
    let each = context.mappings.into_iter().flat_map(Mappings::each);
    let of_records = each.flat_map(|fills| fills.read_from(name)).next();
    let certain = of_records.map(|(_, field)| field.to_string());
    let certain = certain.or_else(|| habits::of_elsewhere(name).map(str::to_owned));
    let near = || schema::nearest(name).filter(|near| is_a_words_slip(name, near));
    certain.or_else(|| near().map(str::to_owned)).unwrap_or_else(|| format!("raw.{name}"))
}

/// Whether a name without a dot is not just near to a common field's, which nearly all have one: the
/// names of records (`eventName`) are not to be taken for slips of others (`agent.name`).
fn is_a_words_slip(name: &str, near: &str) -> bool {
    let plain = |text: &str| text.replace(['.', '_', '-', '@'], "").to_lowercase();
    name.contains('.') || !near.contains('.') || plain(name) == plain(near)
}

/// The warning for a field that is never there, because no loaded mapping fills it.
fn unfilled(field: &FieldName, scope: Scope, mappings: Option<&Mappings>) -> Option<FieldAdvice> {
    let mappings = mappings?;
    if scope == Scope::Test || !field.is_common() || field.is_pattern() || mappings.fills(field) {
        return None;
    }
    let (code, message) = match scope {
        Scope::Key => (
            "unfilled-key",
            format!("no mapping fills `{field}`, so no event takes part in this rule"),
        ),
        _ => ("unfilled-field", format!("no mapping fills `{field}`: it is always missing")),
    };
    Some(FieldAdvice { code, gravity: Gravity::Warning, message, help: None })
}

/// A map from fields to values in a test, where `user.name = "x"` and `"user.name" = "x"` mean the
/// same.
pub(super) fn map<'d>(
    table: &Table<'d>,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> BTreeMap<FieldName, Item<'d>> {
    let mut fields = BTreeMap::new();
    collect(table, "", context, &mut fields, found);
    fields
}

fn collect<'d>(
    table: &Table<'d>,
    prefix: &str,
    context: &Context<'_>,
    fields: &mut BTreeMap<FieldName, Item<'d>>,
    found: &mut Diagnostics,
) {
    for key in table.keys() {
        let Some(item) = table.any(&key.value) else { continue };
        let name = format!("{prefix}{}", quoted_if_odd(&key.value));
        if item.is_table() {
            if let Some(below) = item.table(found) {
                collect(&below, &format!("{name}."), context, fields, found);
            }
            continue;
        }
        let field = match FieldName::parse(&name) {
            Ok(field) => field,
            Err(message) => {
                found.push(Diagnostic::error("bad-field", key.span, message));
                continue;
            }
        };
        check(&field, key.span.clone(), Scope::Test, context, found);
        if fields.insert(field, item).is_some() {
            found.push(Diagnostic::error(
                "duplicate-field",
                key.span,
                format!("the field `{name}` is given twice"),
            ));
        }
    }
}

/// A TOML key as a part of a field name: `user.name` stays, `x id` needs quotes.
fn quoted_if_odd(key: &str) -> String {
    match FieldName::parse(key) {
        Ok(_) => key.to_owned(),
        Err(_) => format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

//! Field names in rule files: read, known or unknown, filled by some mapping or by none.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::diagnostic::Gravity;
use crate::base::document::{Item, Table, Text};
use crate::base::{Diagnostic, Diagnostics, suggest};
use crate::event::{FieldName, schema};
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
        return (!super::is_alert_field(field)).then(|| unknown(&name, ALERT_FIELDS));
    }
    if of_alert || name.starts_with("rule.") {
        let known = EVENT_OF_ALERT.iter().chain(&ALERT_FIELDS).copied();
        let fits = known
            .clone()
            .any(|have| if field.is_pattern() { field.matches(have) } else { have == name });
        return (!fits).then(|| unknown(&name, known));
    }
    if is_of_step(field) {
        // Whether there is such a step is the sequence's business; the field is the event's.
        return match scope {
            Scope::Step => field.below(2).and_then(|own| advise(&own, Scope::Event, context)),
            _ => Some(step_elsewhere(&name)),
        };
    }
    if !schema::is_valid(field) {
        let unknown = unknown(&name, schema::fields().map(|field| field.name));
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
        return Some(unknown(&field.dotted(), schema::fields().map(|field| field.name)));
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

fn unknown(name: &str, known: impl IntoIterator<Item = &'static str>) -> FieldAdvice {
    let raw = format!("a field of the original record is written `raw.{name}`");
    let help = match suggest::nearest(name, known) {
        // What people know of alerts from elsewhere: `alert.rule`, `alert.rule_id`.
        _ if name.starts_with("alert.rule") => "the rule of an alert is `rule.id`".to_owned(),
        Some(near) if is_a_words_slip(name, near) => format!("did you mean `{near}`?"),
        Some(near) => format!("{raw}; or did you mean `{near}`?"),
        None => raw,
    };
    FieldAdvice {
        code: "unknown-field",
        gravity: Gravity::Error,
        message: format!("unknown field `{name}`"),
        help: Some(help),
    }
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

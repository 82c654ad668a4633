//! Field names in rule files: read, known or unknown, and maps of fields.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::document::{Item, Table, Text};
use crate::base::{Diagnostic, Diagnostics, suggest};
use crate::event::FieldName;

use super::ALERT_FIELDS;

/// What a name may stand for at the place where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A field of the event.
    Event,
    /// A field of the event, or one of the alert (`alert.count`).
    Alert,
}

/// Reads a name and checks that such a field exists.
pub(super) fn read(text: &Text, scope: Scope, found: &mut Diagnostics) -> Option<FieldName> {
    match FieldName::parse(&text.value) {
        Ok(field) => {
            check(&field, text.locate(0..text.value.len()), scope, found);
            Some(field)
        }
        Err(message) => {
            found.push(Diagnostic::error("bad-field", text.span.clone(), message));
            None
        }
    }
}

/// Reports a field that exists nowhere, with the nearest one that does.
pub(super) fn check(field: &FieldName, span: Range<usize>, scope: Scope, found: &mut Diagnostics) {
    let name = field.dotted();
    let of_alerts = name.starts_with("alert.") || name.starts_with("rule.");
    if of_alerts && scope == Scope::Event {
        found.push(
            Diagnostic::error(
                "not-available",
                span,
                format!("rules on alerts (`{name}`) are not available in this version"),
            )
            .help("a rule can watch audit events only"),
        );
        return;
    }
    if super::is_alert_field(field) || is_known(field) {
        return;
    }
    let mut diagnostic =
        Diagnostic::error("unknown-field", span, format!("unknown field `{field}`"));
    let alert = ALERT_FIELDS.iter().filter(|_| scope == Scope::Alert).copied();
    diagnostic = match suggest::nearest(&name, known_names().chain(alert)) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!(
            "a field of the original record is written `raw.{field}`; `labels.*` are free names"
        )),
    };
    found.push(diagnostic);
}

/// A map from fields to values, where `user.name = "x"` and `"user.name" = "x"` mean the same.
pub(super) fn map<'d>(
    table: &Table<'d>,
    scope: Scope,
    found: &mut Diagnostics,
) -> BTreeMap<FieldName, Item<'d>> {
    let mut fields = BTreeMap::new();
    collect(table, "", scope, &mut fields, found);
    fields
}

fn collect<'d>(
    table: &Table<'d>,
    prefix: &str,
    scope: Scope,
    fields: &mut BTreeMap<FieldName, Item<'d>>,
    found: &mut Diagnostics,
) {
    for key in table.keys() {
        let Some(item) = table.any(&key.value) else { continue };
        let name = format!("{prefix}{}", key.value);
        if item.is_table() {
            if let Some(below) = item.table(found) {
                collect(&below, &format!("{name}."), scope, fields, found);
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
        check(&field, key.span.clone(), scope, found);
        if fields.insert(field, item).is_some() {
            found.push(Diagnostic::error(
                "duplicate-field",
                key.span,
                format!("the field `{name}` is given twice"),
            ));
        }
    }
}

/// The common fields, until the schema's table is here.
const COMMON: [&str; 22] = [
    "@timestamp",
    "event.action",
    "event.category",
    "event.dataset",
    "event.id",
    "event.kind",
    "event.outcome",
    "event.provider",
    "event.reason",
    "event.type",
    "message",
    "organization.id",
    "organization.name",
    "session.id",
    "source.ip",
    "target.id",
    "target.name",
    "target.type",
    "user.email",
    "user.id",
    "user.name",
    "user_agent.original",
];

fn known_names() -> impl Iterator<Item = &'static str> {
    COMMON.into_iter()
}

fn is_known(field: &FieldName) -> bool {
    let name = field.dotted();
    let free = ["raw.", "labels.", "kafka.", "user.", "source."];
    field.is_pattern() || COMMON.contains(&&*name) || free.iter().any(|f| name.starts_with(f))
}

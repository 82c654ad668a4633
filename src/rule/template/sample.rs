//! The alert that examples of templates are rendered for.

use std::collections::BTreeMap;

use crate::event::{FieldName, Scalar};

use super::TemplateContext;

/// The fields of it, several values as a list.
pub const FIELDS: &[(&str, &[&str])] = &[
    ("user.name", &["mallory"]),
    ("user.roles", &["admin", "ops"]),
    ("source.ip", &["203.0.113.7"]),
    ("message", &["invalid password\nattempt 5"]),
    ("alert.severity", &["high"]),
    ("alert.opened_at", &["2026-01-05T12:08:00.000Z"]),
];

/// The distinct values of `source.ip` over its events.
pub const ADDRESSES: &[&str] = &["203.0.113.7", "203.0.113.8"];

/// Five failed logins of mallory from two addresses; `user.email` is missing.
pub fn alert() -> TemplateContext {
    let texts = |all: &[&str]| all.iter().map(|text| Scalar::from(*text)).collect::<Vec<_>>();
    let mut context = TemplateContext::default();
    let mut put = |name: &str, values: Vec<Scalar>| {
        if let Ok(field) = FieldName::parse(name) {
            context.fields.insert(field, values);
        }
    };
    for (name, values) in FIELDS {
        put(name, texts(values));
    }
    put("alert.count", vec![Scalar::from(5_u64)]);
    put("alert.approximate", vec![Scalar::Bool(false)]);
    put("alert.value", Scalar::from_json(&serde_json::json!(0.26)).into_iter().collect());
    let address = FieldName::parse("source.ip").map(|field| (field, texts(ADDRESSES)));
    context.values = BTreeMap::from_iter(address);
    context
}

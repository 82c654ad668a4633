//! Whom `[absence]` expects to hear from: keys written in the rule, or the entries of a list.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::base::document::{Item, Text};
use crate::base::{Diagnostic, Diagnostics, suggest};
use crate::detectors::Reading;
use crate::event::{FieldName, Scalar};
use crate::query::Sets;

/// The most keys that one rule can expect.
pub const EXPECTED_MAX: usize = 10_000;

/// The keys that must report.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::detectors) enum Expect {
    /// One value for each field of `group_by`, each.
    Keys(Vec<Vec<Scalar>>),
    /// The list of that name, of a rule with one such field.
    List(String),
}

impl Expect {
    /// Reads `expect`: a list of values, or of tuples for several fields; or `@name`.
    pub(in crate::detectors) fn read(
        item: &Item<'_>,
        reading: &dyn Reading,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        let fields = reading.group_by();
        if fields.is_empty() {
            let message = "`expect` names keys, and a rule without `group_by` has only one";
            found.push(
                Diagnostic::error("bad-expect", item.span.clone(), message)
                    .help("leave `expect` out: the one key is expected anyway"),
            );
            return None;
        }
        if item.is_text() {
            return list(&item.text(found)?, fields, reading.sets(), found);
        }
        let items = item.array(found)?;
        let wrong = match items.len() {
            0 => Some("expected at least one key, found none".to_owned()),
            n if n > EXPECTED_MAX => {
                Some(format!("expected at most {EXPECTED_MAX} keys, found {n}"))
            }
            _ => None,
        };
        if let Some(message) = wrong {
            found.push(Diagnostic::error("bad-expect", item.span.clone(), message));
            return None;
        }
        let keys: Vec<_> = items.iter().filter_map(|item| key(item, fields, found)).collect();
        (keys.len() == items.len()).then_some(Self::Keys(keys))
    }

    /// The keys themselves, those of a list as it is now.
    pub(in crate::detectors) fn keys(&self, sets: &Sets) -> Vec<Vec<Scalar>> {
        match self {
            Self::Keys(keys) => keys.clone(),
            Self::List(name) => {
                let list = sets.list(name).unwrap_or_default();
                list.entries().into_iter().map(|entry| vec![entry.into()]).collect()
            }
        }
    }

    /// The list whose entries they are.
    pub(in crate::detectors) fn list(&self) -> Option<&str> {
        match self {
            Self::Keys(_) => None,
            Self::List(name) => Some(name),
        }
    }

    /// In one canonical text; what a list holds is no part of a rule.
    pub(in crate::detectors) fn canonical(&self) -> String {
        match self {
            Self::Keys(keys) => {
                let json = |key: &Vec<Scalar>| key.iter().map(Scalar::to_json).collect::<Value>();
                keys.iter().map(json).collect::<Value>().to_string()
            }
            Self::List(name) => format!("@{name}"),
        }
    }
}

fn list(text: &Text, fields: &[FieldName], sets: &Sets, found: &mut Diagnostics) -> Option<Expect> {
    let wrong = |code, message: String| Diagnostic::error(code, text.span.clone(), message);
    let Some(name) = text.value.strip_prefix('@') else {
        let message = format!("expected a list of keys, or `@name`, found `{}`", text.value);
        found.push(wrong("bad-expect", message));
        return None;
    };
    found.push(if fields.len() > 1 {
        let message =
            format!("a list names keys of one field, and `group_by` has {}", fields.len());
        wrong("bad-expect", message).help("write the keys themselves: `expect = [[\"a\", \"b\"]]`")
    } else if let Some(list) = sets.list(name) {
        if list.len() <= EXPECTED_MAX {
            return Some(Expect::List(name.to_owned()));
        }
        let message = format!("expected at most {EXPECTED_MAX} keys, found {}", list.len());
        wrong("bad-expect", message).help("a rule may ask a list as long as that in its `when`")
    } else if sets.schedule(name).is_some() {
        wrong("not-a-list", format!("expected a list, found the schedule `{name}`"))
    } else {
        unknown("list", name, text, sets)
    });
    None
}

/// A name that nobody has given.
pub(in crate::detectors) fn unknown(
    kind: &str,
    name: &str,
    text: &Text,
    sets: &Sets,
) -> Diagnostic {
    let code = if kind == "list" { "unknown-list" } else { "unknown-schedule" };
    let mistake = Diagnostic::error(code, text.span.clone(), format!("unknown {kind} `{name}`"));
    match suggest::nearest(name, sets.names()) {
        Some(near) => mistake.help(format!("did you mean `@{near}`?")),
        None => mistake.help(format!("`[{kind}s.{name}]` is written in the configuration")),
    }
}

/// One key: a value, a list of values in the order of `group_by`, or a table by field.
fn key(item: &Item<'_>, fields: &[FieldName], found: &mut Diagnostics) -> Option<Vec<Scalar>> {
    let json = item.json();
    let values: Vec<Option<Value>> = match &json {
        Value::Array(values) => values.iter().cloned().map(Some).collect(),
        Value::Object(_) => {
            let mut by_field = BTreeMap::new();
            flatten("", &json, &mut by_field);
            let values = fields.iter().map(|field| by_field.remove(&field.dotted())).collect();
            if by_field.is_empty() { values } else { Vec::new() }
        }
        value => vec![Some(value.clone())],
    };
    let scalar = |value: Option<Value>| {
        let value = value.as_ref().and_then(Scalar::from_json)?;
        // What is empty is missing: no event has such a key.
        (value.as_text() != Some("")).then_some(value)
    };
    let key: Option<Vec<Scalar>> = values.into_iter().map(scalar).collect();
    let key = key.filter(|key| key.len() == fields.len());
    if key.is_none() {
        let names: Vec<String> = fields.iter().map(ToString::to_string).collect();
        let message = match names.as_slice() {
            [one] => format!("expected a value of `{one}`"),
            many => format!("expected one value for each of `{}`", many.join("`, `")),
        };
        found.push(Diagnostic::error("bad-expect", item.span.clone(), message));
    }
    key
}

/// `{ user = { name = "x" } }` is `{ "user.name" = "x" }`.
fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, out);
            }
        }
        value => {
            out.insert(path.to_owned(), value.clone());
        }
    }
}

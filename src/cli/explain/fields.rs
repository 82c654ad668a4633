//! `hark explain` without a rule: what the mapping makes of each record.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{Arguments, Format, read, refuse};
use crate::cli::way::Way;
use crate::cli::workshop::{self, Materials};
use crate::cli::{print, say_error};
use crate::event::{FieldName, Layout, schema};
use crate::mapping::Mappings;
use crate::replay::Fields;

/// Whether every record has fields; `None`: nothing could be read.
pub(super) fn explain(arguments: &Arguments) -> Option<bool> {
    let Materials { config, mappings } = Materials::read(&arguments.config)?;
    let way = arguments.way.choose(&mappings, &config).map_err(|why| say_error(&why)).ok()?;
    // Once for the fields that they fill; and again below for what to compute.
    let known = workshop::load(&way.sources, &config, &Layout::new())?;
    let fields = Fields::new(&wanted(&way, &known), |layout| way.through(layout, &config));
    let mut all = true;
    for (index, record) in (0..).zip(&read(arguments)?) {
        match fields.of(record, index) {
            Ok(found) => match arguments.format {
                Format::Json => print(&Value::from(found).to_string()),
                Format::Tree => print(&list(&found, index)),
            },
            Err(why) => {
                refuse(index, &why, record);
                all = false;
            }
        }
    }
    Some(all)
}

/// The fields that records can have: those that their mappings fill, or any common one.
fn wanted(way: &Way<'_>, mappings: &Mappings) -> BTreeSet<FieldName> {
    let filled = mappings.filled().filter(|field| field.is_common()).cloned();
    let any = schema::fields().map(|field| FieldName::from_keys([field.name]));
    let any = any.filter(|field| way.sources.is_empty() || mappings.fills(field));
    filled.chain(any).collect()
}

/// A line for each field, for people.
fn list(fields: &Map<String, Value>, index: u64) -> String {
    let mapping = fields.get("event.dataset").and_then(Value::as_str);
    let mapping = mapping.map_or_else(|| "no mapping".to_owned(), |name| format!("mapping {name}"));
    let width = fields.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    let mut text = format!("event {index}, {mapping}\n");
    for (name, value) in fields {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "  {name:<width$}  {value}");
    }
    if !fields.contains_key("@timestamp") {
        text.push_str("  no time of its own: `@timestamp` is missing\n");
    }
    text
}

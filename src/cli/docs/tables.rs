//! Tables of Markdown: the keys of a file, with what stands behind each.

use std::fmt::Write as _;

use crate::base::keys::{KeySpec, Shape};

/// A heading with the keys below it, then those of the tables in it, each with a heading of its own.
/// `path` is how the table is written, empty for the top of the file; `inner` says of a table whether
/// its keys are told here.
pub(super) fn keys(path: &str, keys: &[KeySpec], inner: fn(&str) -> bool) -> String {
    let mut text = String::new();
    if !path.is_empty() {
        let _infallible = writeln!(text, "### `{path}`\n");
    }
    text.push_str(&rows(keys));
    let above = path.trim_matches(['[', ']']);
    for key in keys {
        let name =
            if above.is_empty() { key.name.to_owned() } else { format!("{above}.{}", key.name) };
        if inner(&name) {
            text.push_str(&below(&name, key.shape, inner));
        }
    }
    text
}

fn below(name: &str, shape: Shape, inner: fn(&str) -> bool) -> String {
    match shape {
        Shape::Table(all) => keys(&format!("[{name}]"), all, inner),
        Shape::OneOf(all) => keys(&format!("[{name}]"), all, inner),
        Shape::Tables(all) => keys(&format!("[[{name}]]"), all, inner),
        Shape::Map(entry) | Shape::ByField(entry) => {
            let entry_name = if matches!(shape, Shape::Map(_)) {
                format!("{name}.NAME")
            } else {
                format!("{name}.FIELD")
            };
            below(&entry_name, *entry, inner)
        }
        Shape::Any(shapes) => shapes.iter().map(|one| below(name, *one, inner)).collect(),
        _ => String::new(),
    }
}

/// The keys alone.
pub(super) fn rows(keys: &[KeySpec]) -> String {
    let rows = keys.iter().map(|key| {
        let default = if key.required { "required" } else { key.default };
        vec![
            format!("`{}`", key.name),
            words(key.shape),
            default.to_owned(),
            key.summary.to_owned(),
        ]
    });
    table(&["key", "is", "default", "means"], rows)
}

/// What stands behind a key, in words.
fn words(shape: Shape) -> String {
    match shape {
        Shape::Text | Shape::Like(_) => "a text".to_owned(),
        Shape::Word(words) => quoted(words).join(" or "),
        Shape::Boolean => "`true` or `false`".to_owned(),
        Shape::Count => "a whole number from 1".to_owned(),
        Shape::Whole => "a whole number".to_owned(),
        Shape::Number => "a number".to_owned(),
        Shape::Duration => "a duration such as `10m`".to_owned(),
        Shape::Time => "a date or time".to_owned(),
        Shape::Query => "a query".to_owned(),
        Shape::Field => "a field".to_owned(),
        Shape::Warning => "the code of a warning".to_owned(),
        Shape::Value => "a value, or several".to_owned(),
        Shape::Fields => "a list of fields".to_owned(),
        Shape::Texts => "a list of texts".to_owned(),
        Shape::List(element) => format!("a list, each {}", words(*element)),
        Shape::Table(_) => "a table".to_owned(),
        Shape::OneOf(keys) => {
            let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
            format!("a table with one of {}", quoted(&names).join(", "))
        }
        Shape::Tables(_) => "tables".to_owned(),
        Shape::Map(entry) => format!("a table by name, each {}", words(*entry)),
        Shape::ByField(entry) => format!("a table by field, each {}", words(*entry)),
        Shape::ByPath(_) => "a table by path, such as `threshold.count`".to_owned(),
        Shape::Any(shapes) => {
            let all: Vec<String> = shapes.iter().map(|shape| words(*shape)).collect();
            all.join(", or ")
        }
    }
}

fn quoted(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| format!("`{word}`")).collect()
}

/// A table with a head.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| {
        // What would end a cell is written so that it does not.
        let cells: Vec<String> =
            cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = line(head.iter().map(|&word| word.to_owned()).collect());
    text.push_str(&line(head.iter().map(|_| "---".to_owned()).collect()));
    text.extend(rows.into_iter().map(line));
    text.push('\n');
    text
}

/// A block of code.
pub(super) fn code(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```\n\n", text.trim_matches('\n'))
}

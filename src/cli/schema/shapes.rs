//! From tables of keys to JSON Schema, draft 7: the one that editors' TOML plug-ins read.
//!
//! A schema is no stricter than reading: what it refuses, `hark check` refuses too. The other way
//! round it cannot be; whether a query makes sense, an editor does not know.

use serde_json::{Map, Value, json};

use crate::base::diagnostic::{Gravity, lints::lints};
use crate::base::duration;
use crate::base::keys::{KeySpec, Shape};
use crate::event::schema::{self, FieldSpec};

/// Keys of a rule that no override may set.
const FIXED: [&str; 2] = ["id", "test"];

/// A file's schema as far as the table of its keys tells it.
pub(super) fn file(name: &str, title: &str, description: &str, keys: &'static [KeySpec]) -> Value {
    let Value::Object(mut schema) = table(keys) else { return Value::Null };
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("$id".to_owned(), json!(format!("urn:hark:schema:{name}")));
    schema.insert("title".to_owned(), json!(title));
    schema.insert("description".to_owned(), json!(description));
    let mut definitions = definitions();
    if let Some(source) = keys.iter().find_map(source) {
        add(&mut definitions, "", json!({ SOURCE: source, SOURCES: by_name(&reference(SOURCE)) }));
    }
    if Value::from(schema.clone()).to_string().contains(VALUES) {
        add(&mut definitions, "", json!({ VALUES: by_name(&reference("value")) }));
    }
    schema.insert("definitions".to_owned(), definitions);
    Value::Object(schema)
}

/// The values of a table by fields, if they are more than plain ones.
fn source(key: &KeySpec) -> Option<Value> {
    let Shape::ByField(entry) = key.shape else { return None };
    (*entry != Shape::Value).then(|| shape(*entry))
}

/// The fields that are offered by name: those of Hark's own and those with names elsewhere. Any other
/// common field may be written as well.
fn offered() -> impl Iterator<Item = &'static FieldSpec> {
    schema::fields().filter(|field| {
        let own = schema::OWN.iter().any(|own| own.name == field.name);
        own || !field.ocsf.is_empty() || !field.cim.is_empty() || !field.datadog.is_empty()
    })
}

fn definitions() -> Value {
    let fields: Vec<&str> = offered().map(|field| field.name).collect();
    let warnings = lints().filter(|lint| lint.gravity == Gravity::Warning);
    let warnings: Vec<&str> = warnings.map(|lint| lint.code).collect();
    json!({
        "duration": {
            "type": "string",
            "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
            "minLength": 2,
            "examples": ["90s", "10m", "1h30m", "7d"],
        },
        "time": {
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}",
            "examples": ["2027-01-31", "2027-01-31T18:00:00Z"],
        },
        "query": {
            "type": "string",
            "minLength": 1,
            "examples": ["event.category: authentication and event.outcome: failure"],
        },
        "field": { "anyOf": [{ "enum": fields }, { "type": "string", "minLength": 1 }] },
        "warning": { "enum": warnings },
        // Whatever a record may hold: of `raw` a test can give objects, too.
        "value": { "type": ["string", "number", "boolean", "array", "object"] },
    })
}

/// A table with these keys and no others.
fn table(keys: &[KeySpec]) -> Value {
    let properties: Map<String, Value> =
        keys.iter().map(|key| (key.name.to_owned(), described(key, shape(key.shape)))).collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut table =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let Some(table) = table.as_object_mut().filter(|_| !required.is_empty()) {
        table.insert("required".to_owned(), json!(required));
    }
    table
}

/// A key's schema with what a person is told of it. What stands beside a `$ref` does not count in
/// draft 7, so a reference goes into an `allOf`.
fn described(key: &KeySpec, shape: Value) -> Value {
    let Value::Object(mut own) = shape else { return shape };
    if let Some(reference) = own.remove("$ref") {
        own.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
    }
    let default = match key.default {
        "" => String::new(),
        default => format!(" Default: {default}."),
    };
    own.insert("description".to_owned(), json!(format!("{}{default}", key.summary)));
    if let Some(default) = default_value(key) {
        own.insert("default".to_owned(), default);
    }
    Value::Object(own)
}

/// The default as a value, where its words are one.
fn default_value(key: &KeySpec) -> Option<Value> {
    let text = key.default;
    match key.shape {
        Shape::Boolean => text.parse::<bool>().ok().map(Value::from),
        Shape::Count | Shape::Whole => text.parse::<u64>().ok().map(Value::from),
        Shape::Duration => duration::parse(text).ok().map(|_| text.into()),
        Shape::Word(words) => words.contains(&text).then(|| text.into()),
        _ => None,
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn shape(shape: Shape) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Like(pattern) => json!({ "type": "string", "pattern": pattern }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Count => json!({ "type": "integer", "minimum": 1 }),
        Shape::Whole => json!({ "type": "integer", "minimum": 0 }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Duration => reference("duration"),
        Shape::Time => reference("time"),
        Shape::Query => reference("query"),
        Shape::Field => reference("field"),
        Shape::Warning => reference("warning"),
        Shape::Value => reference("value"),
        Shape::Fields => list(&reference("field")),
        Shape::Texts => list(&json!({ "type": "string" })),
        Shape::List(element) => list(&self::shape(*element)),
        Shape::Table(keys) => table(keys),
        Shape::OneOf(keys) => {
            let Value::Object(mut one) = table(keys) else { return Value::Null };
            one.insert("minProperties".to_owned(), json!(1));
            one.insert("maxProperties".to_owned(), json!(1));
            Value::Object(one)
        }
        Shape::Tables(keys) => list(&table(keys)),
        Shape::Map(entry) => {
            json!({ "type": "object", "additionalProperties": self::shape(*entry) })
        }
        Shape::ByField(entry) => by_field(*entry),
        Shape::ByPath(keys) => by_path(keys),
        Shape::Any(shapes) => {
            let any: Vec<Value> = shapes.iter().map(|one| self::shape(*one)).collect();
            json!({ "anyOf": any })
        }
    }
}

/// Values by field, which is the same in many places.
fn by_field(entry: Shape) -> Value {
    reference(if entry == Shape::Value { VALUES } else { SOURCES })
}

/// What values by field are called, and those that say where a value comes from, and one of these.
const VALUES: &str = "values-by-field";
const SOURCES: &str = "sources-by-field";
const SOURCE: &str = "source";

/// A table by field. A name that is no whole one may be a part, with a table of the rest below it.
fn by_name(entry: &Value) -> Value {
    let whole = offered().filter(|field| field.kind != schema::Kind::Object);
    let properties: Map<String, Value> = whole
        .map(|field| {
            let own = json!({ "description": field.meaning, "allOf": [entry] });
            (field.name.to_owned(), own)
        })
        .collect();
    let other = json!({ "anyOf": [entry, { "type": "object" }] });
    json!({ "type": "object", "properties": properties, "additionalProperties": other })
}

/// What may stand at each dotted path into a table, and at its keys.
fn by_path(keys: &[KeySpec]) -> Value {
    let mut properties = Map::new();
    for key in keys.iter().filter(|key| !FIXED.contains(&key.name)) {
        let Shape::Table(below) = key.shape else {
            properties.insert(key.name.to_owned(), described(key, shape(key.shape)));
            continue;
        };
        let inner = by_path(below);
        let paths = inner.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let paths = paths.into_iter().map(|(path, shape)| (format!("{}.{path}", key.name), shape));
        properties.extend(paths);
        properties.insert(key.name.to_owned(), described(key, inner));
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// Adds what a table of keys cannot say at a place of the schema: which keys go together.
pub(super) fn add(schema: &mut Value, pointer: &str, more: Value) {
    let place = schema.pointer_mut(pointer).and_then(Value::as_object_mut);
    debug_assert!(place.is_some(), "no object at {pointer}");
    if let (Some(place), Value::Object(more)) = (place, more) {
        place.extend(more);
    }
}

/// Exactly one of these keys.
pub(super) fn exactly_one(names: &[&str]) -> Value {
    let each: Vec<Value> = names.iter().map(|name| json!({ "required": [name] })).collect();
    json!({ "oneOf": each })
}

/// At least one of these keys.
pub(super) fn at_least_one(names: &[&str]) -> Value {
    let each: Vec<Value> = names.iter().map(|name| json!({ "required": [name] })).collect();
    json!({ "anyOf": each })
}

//! `hark schema`: JSON Schema of the files that people write, for editors with a TOML plug-in.
//!
//! What a schema says comes from the same tables of keys that reading is held to (`base::keys`); here
//! stands what a table cannot say: which keys go together. `config/schema/` holds the output, which a
//! test keeps up to date.

mod shapes;

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::print;
use crate::base::Diagnostics;
use crate::base::document::Document;
use crate::base::keys::{self, KeySpec};
use crate::detectors::DETECTORS;
use crate::{config, mapping, rule};

use shapes::{add, at_least_one, exactly_one};

/// What `hark schema` is told.
#[derive(Debug, Args)]
#[command(
    about = "Print the JSON Schema of rules, mappings or the configuration, for editors.",
    after_help = "Examples:\n  hark schema rule                                  as in config/schema/rule.schema.json\n  hark schema config\n\nAn editor with a TOML plug-in (taplo, Even Better TOML) completes and checks a\nfile whose first line is `#:schema path/to/rule.schema.json`; a .taplo.toml does so for whole folders."
)]
pub struct Arguments {
    /// The kind of file.
    #[arg(value_enum, value_name = "KIND")]
    kind: Kind,
}

/// A kind of file that people write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A rule, or a file of overrides.
    Rule,
    /// A mapping.
    Mapping,
    /// The configuration.
    Config,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rule, Self::Mapping, Self::Config];

    /// The word for it on the command line and in names of files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Mapping => "mapping",
            Self::Config => "config",
        }
    }

    /// The schema of such a file, draft 7.
    pub fn schema(self) -> Value {
        match self {
            Self::Rule => of_rule(),
            Self::Mapping => of_mapping(),
            Self::Config => of_config(),
        }
    }
}

/// Prints the schema.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    print(&format!("{:#}", arguments.kind.schema()));
    ExitCode::SUCCESS
}

/// The keys of a rule file, or of an override file: one or the other.
const RULE_OR_OVERRIDES: &[KeySpec] = &keys::join::<
    { rule::keys::RULE.len() + rule::keys::OVERRIDE_FILE.len() },
>(&[rule::keys::RULE, rule::keys::OVERRIDE_FILE]);

fn of_rule() -> Value {
    let about = "One rule, or a file of [[override]] tables and nothing else.";
    let mut schema = shapes::file("rule", "Hark rule", about, RULE_OR_OVERRIDES);
    let Some(root) = schema.as_object_mut() else { return schema };
    let required: Vec<&str> =
        rule::keys::RULE.iter().filter(|key| key.required).map(|key| key.name).collect();
    root.insert("required".to_owned(), json!([]));
    let mut one_detector: Vec<Value> =
        DETECTORS.iter().map(|spec| json!({ "required": [spec.table] })).collect();
    one_detector.push(json!({ "not": { "anyOf": one_detector.clone() } }));
    root.insert("if".to_owned(), json!({ "required": ["override"] }));
    root.insert("then".to_owned(), json!({ "maxProperties": 1 }));
    root.insert(
        "else".to_owned(),
        json!({
            "required": required,
            "allOf": [at_least_one(&["when", "sequence", "temporal"]), { "oneOf": one_detector }],
        }),
    );
    for spec in DETECTORS {
        let example = example(spec.example, spec.table);
        add(&mut schema, &format!("/properties/{}", spec.table), json!({ "examples": [example] }));
    }
    let events = "/properties/test/items/properties/events/items";
    add(&mut schema, events, exactly_one(&["sample", "fields"]));
    add(&mut schema, "/properties/override/items", at_least_one(&["set", "exception"]));
    schema
}

fn of_mapping() -> Value {
    let about = "How one product's record becomes an event in the common fields.";
    let mut schema = shapes::file("mapping", "Hark mapping", about, mapping::keys::MAPPING);
    add(&mut schema, "", at_least_one(&["fields", "common"]));
    // Third after one path and several.
    let table = "/definitions/source/anyOf/2";
    add(&mut schema, table, exactly_one(&["path", "join", "value", "table"]));
    schema
}

fn of_config() -> Value {
    let about = "The file an operator writes. Environment and --set are laid over it.";
    let mut schema = shapes::file("config", "Hark configuration", about, config::keys::CONFIG);
    add(&mut schema, "/properties/lists/additionalProperties", at_least_one(&["values", "file"]));
    schema
}

/// A table of an example as JSON.
fn example(text: &str, table: &str) -> Value {
    let document = Document::parse(text);
    let root = document.root(&mut Diagnostics::new());
    root.any(table).map(|item| item.json()).unwrap_or_default()
}

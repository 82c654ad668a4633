//! Layers: the file, then `HARK__…` from the environment, then `--set key=value`. The only place that
//! reads the environment.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::{Diagnostic, Diagnostics};

/// Everything that may say something about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The file's path, as the operator wrote it.
    pub path: PathBuf,
    /// The file's text.
    pub text: String,
    /// Variables of the environment that start with `HARK__`, and all others, for secrets.
    pub environment: BTreeMap<String, String>,
    /// `--set key.path=value`, later ones win.
    pub sets: Vec<String>,
}

/// Names that start so set a key: `HARK__KAFKA__BOOTSTRAP=host:9092` sets `kafka.bootstrap`.
pub const ENVIRONMENT_PREFIX: &str = "HARK__";

impl Layers {
    /// Reads the file and the environment of this process.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn from_process(path: &Path, sets: Vec<String>) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            text: fs::read_to_string(path)?,
            environment: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
            sets,
        })
    }

    /// Whether anything but the file has a say.
    pub fn has_overrides(&self) -> bool {
        !self.sets.is_empty() || self.environment.keys().any(|k| k.starts_with(ENVIRONMENT_PREFIX))
    }

    /// What is said of variables that look as if they set a key, and do not: `HARK_KAFKA__PREFIX` lacks
    /// an underscore. One that the file names itself is a secret's.
    pub(super) fn strays(&self) -> Diagnostics {
        let stray = |name: &&String| {
            let key = name.strip_prefix("HARK_").filter(|key| !key.starts_with('_'));
            key.is_some_and(|key| key.contains("__")) && !self.text.contains(name.as_str())
        };
        let report = |name: &String| {
            let message = format!(
                "environment variable `{name}` sets nothing: expected a name that begins with `{ENVIRONMENT_PREFIX}`"
            );
            let meant = name.replacen("HARK_", ENVIRONMENT_PREFIX, 1);
            Diagnostic::of_file("bad-override", message).help(format!("did you mean `{meant}`?"))
        };
        self.environment.keys().filter(stray).map(report).collect()
    }

    /// File, environment and `--set` as one TOML text.
    ///
    /// # Errors
    /// A diagnostic that names the override that cannot be read.
    pub(super) fn merged(&self) -> Result<String, Diagnostic> {
        let refuse = |what: String| Diagnostic::of_file("bad-override", what);
        let layering = |error: String| {
            refuse(format!("cannot layer environment and --set over the file: {error}"))
        };
        let environment: BTreeMap<String, String> = self
            .environment
            .iter()
            .filter(|(k, _)| k.starts_with(ENVIRONMENT_PREFIX))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let builder = config::Config::builder()
            .add_source(config::File::from_str(&self.text, config::FileFormat::Toml))
            .add_source(
                config::Environment::with_prefix("HARK")
                    .prefix_separator("__")
                    .separator("__")
                    .try_parsing(true)
                    .source(Some(environment.into_iter().collect())),
            );
        let merged = builder.build().and_then(config::Config::try_deserialize);
        let mut merged: toml::Table = merged.map_err(|error| layering(error.to_string()))?;
        for set in &self.sets {
            let (path, value) = read_set(set).map_err(refuse)?;
            put(&mut merged, &path, value);
        }
        toml::to_string(&merged).map_err(|error| layering(error.to_string()))
    }
}

/// The key's parts and the value of a `--set`, or what is wrong with it.
fn read_set(set: &str) -> Result<(Vec<String>, toml::Value), String> {
    let Some((key, value)) = split(set) else {
        return Err(format!(
            "--set: expected key=value, found `{set}`; example: --set kafka.bootstrap=localhost:9092"
        ));
    };
    // A key is written as in the file, quotes and all, so it is read by who reads the file.
    let mut path = Vec::new();
    let mut rest = toml::from_str::<toml::Table>(&format!("{key} = true")).ok();
    while let Some((name, below)) = rest.take().and_then(|table| table.into_iter().next()) {
        path.push(name);
        rest = below.as_table().cloned();
    }
    if path.is_empty() {
        return Err(format!(
            "--set: expected a key such as kafka.bootstrap, found `{key}`; a name that has dots itself stands in quotes: --set 'sources.\"audit.example\".delay=5m'"
        ));
    }
    Ok((path, override_value(value)))
}

/// What stands before and behind the first `=` that is not in quotes.
fn split(set: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let at = set.find(|c: char| {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        quote.is_none() && c == '='
    })?;
    let (key, value) = set.split_at_checked(at)?;
    Some((key.trim(), value.strip_prefix('=')?.trim()))
}

/// Sets a value: a table is laid over one that is there key by key, anything else replaces it.
fn put(table: &mut toml::Table, path: &[String], value: toml::Value) {
    let Some((name, rest)) = path.split_first() else { return };
    match (table.get_mut(name), value) {
        (Some(toml::Value::Table(own)), toml::Value::Table(more)) if rest.is_empty() => {
            for (name, value) in more {
                put(own, &[name], value);
            }
        }
        (_, value) if rest.is_empty() => {
            table.insert(name.clone(), value);
        }
        (Some(toml::Value::Table(own)), value) => put(own, rest, value),
        (_, value) => {
            let mut below = toml::Table::new();
            put(&mut below, rest, value);
            table.insert(name.clone(), toml::Value::Table(below));
        }
    }
}

/// A `--set` value: TOML where it reads as TOML (`5`, `true`, `["a"]`, `{ env = "X" }`), else a string.
fn override_value(text: &str) -> toml::Value {
    let parsed = toml::from_str::<toml::Table>(&format!("v = {text}"));
    let value = parsed.ok().and_then(|mut table| table.remove("v"));
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(text: &str, environment: &[(&str, &str)], sets: &[&str]) -> Layers {
        Layers {
            path: "hark.toml".into(),
            text: text.to_owned(),
            environment: environment
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            sets: sets.iter().map(|s| (*s).to_owned()).collect(),
        }
    }

    fn value(layers: &Layers, path: &[&str]) -> Option<toml::Value> {
        let table: toml::Table = toml::from_str(&layers.merged().unwrap()).unwrap();
        let mut value = toml::Value::Table(table);
        for key in path {
            value = value.get(key)?.clone();
        }
        Some(value)
    }

    #[test]
    fn the_environment_beats_the_file_and_set_beats_both() {
        let text =
            "[kafka]\nbootstrap = 'file:1'\nprefix = 'p.'\n[kafka.properties]\n'a.b' = 'c'\n";
        let environment =
            [("HARK__KAFKA__BOOTSTRAP", "env:2"), ("PATH", "/bin"), ("HARK__ADMIN__LISTEN", "x")];
        let both = layers(text, &environment, &["kafka.bootstrap=set:3", "kafka.properties.x=1"]);
        assert_eq!(value(&both, &["kafka", "bootstrap"]), Some("set:3".into()));
        assert_eq!(value(&both, &["kafka", "prefix"]), Some("p.".into()));
        assert_eq!(value(&both, &["kafka", "properties", "a.b"]), Some("c".into()));
        assert_eq!(value(&both, &["admin", "listen"]), Some("x".into()));
        assert_eq!(value(&both, &["path"]), None);
        let environment_only = layers(text, &environment, &[]);
        assert_eq!(value(&environment_only, &["kafka", "bootstrap"]), Some("env:2".into()));
        assert!(both.has_overrides() && !layers(text, &[("PATH", "x")], &[]).has_overrides());
    }

    #[test]
    fn set_values_are_toml_where_they_read_as_toml() {
        let layers = layers(
            "",
            &[],
            &["a.n=5", "a.s=host:9092", "a.l=[\"x\", \"y\"]", "a.t={ env = \"X\" }"],
        );
        assert_eq!(value(&layers, &["a", "n"]), Some(5.into()));
        assert_eq!(value(&layers, &["a", "s"]), Some("host:9092".into()));
        assert_eq!(value(&layers, &["a", "t", "env"]), Some("X".into()));
        assert_eq!(value(&layers, &["a", "l"]).unwrap().as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_name_with_dots_stands_in_quotes_as_in_the_file() {
        let text = "[sources.'audit.a']\ndelay = '1m'\n";
        let sets = [
            "sources.\"audit.x\"={}",
            "sources . 'audit.a'.start = earliest",
            "kafka.properties.'a=b'=c=d",
            "kafka.properties={ 'x.y' = 1 }",
        ];
        let layers = layers(text, &[], &sets);
        let empty = toml::Value::Table(toml::Table::new());
        assert_eq!(value(&layers, &["sources", "audit.x"]), Some(empty));
        assert_eq!(value(&layers, &["sources", "audit.a", "delay"]), Some("1m".into()));
        assert_eq!(value(&layers, &["sources", "audit.a", "start"]), Some("earliest".into()));
        assert_eq!(value(&layers, &["kafka", "properties", "a=b"]), Some("c=d".into()));
        assert_eq!(value(&layers, &["kafka", "properties", "x.y"]), Some(1.into()));
    }

    #[test]
    fn a_key_that_is_none_says_how_one_is_written() {
        for set in ["=5", "a..b=5", "sources.\"a=5", "a b=5", "[a]=5"] {
            let message = layers("", &[], &[set]).merged().unwrap_err().message;
            assert!(message.starts_with("--set: expected "), "{set}: {message}");
        }
    }

    #[test]
    fn a_variable_that_lacks_an_underscore_is_told_unless_the_file_names_it() {
        let names = [
            "HARK_KAFKA__PREFIX",
            "HARK_MAIL__PASSWORD",
            "HARK_TEST_KAFKA",
            "HARK__A__B",
            "XHARK_A__B",
        ];
        let text = "password = { env = 'HARK_MAIL__PASSWORD' }";
        let found = layers(text, &names.map(|name| (name, "x")), &[]).strays();
        let told: Vec<_> = found.iter().map(|d| (d.message.as_str(), d.help.as_deref())).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].0.contains("`HARK_KAFKA__PREFIX` sets nothing"), "{told:?}");
        assert_eq!(told[0].1, Some("did you mean `HARK__KAFKA__PREFIX`?"));
    }

    #[test]
    fn a_set_without_a_value_says_what_it_should_be() {
        let message = layers("", &[], &["kafka.bootstrap"]).merged().unwrap_err().message;
        assert!(message.contains("expected key=value, found `kafka.bootstrap`"), "{message}");
    }
}

//! Layers: the file, then `HARK__…` from the environment, then `--set key=value`; and the files that
//! the configuration names. The only place that reads the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::diagnostic::SourceText;
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

    /// File, environment and `--set` as one TOML text.
    ///
    /// # Errors
    /// A diagnostic that names the override that cannot be read.
    pub fn merged(&self) -> Result<String, Diagnostic> {
        let refuse = |what: String| Diagnostic::of_file("bad-override", what);
        let environment: BTreeMap<String, String> = self
            .environment
            .iter()
            .filter(|(k, _)| k.starts_with(ENVIRONMENT_PREFIX))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let mut builder = config::Config::builder()
            .add_source(config::File::from_str(&self.text, config::FileFormat::Toml))
            .add_source(
                config::Environment::with_prefix("HARK")
                    .prefix_separator("__")
                    .separator("__")
                    .try_parsing(true)
                    .source(Some(environment.into_iter().collect())),
            );
        for set in &self.sets {
            let Some((key, value)) = set.split_once('=') else {
                return Err(refuse(format!(
                    "--set: expected key=value, found `{set}`; example: --set kafka.bootstrap=localhost:9092"
                )));
            };
            builder =
                builder.set_override(key.trim(), override_value(value.trim())).map_err(|e| {
                    refuse(format!(
                        "--set {set}: {e}; a key is a dotted path such as kafka.bootstrap"
                    ))
                })?;
        }
        let merged: toml::Table =
            builder.build().and_then(config::Config::try_deserialize).map_err(|e| {
                refuse(format!("cannot layer environment and --set over the file: {e}"))
            })?;
        toml::to_string(&merged)
            .map_err(|e| refuse(format!("cannot layer environment and --set over the file: {e}")))
    }
}

/// A `--set` value: TOML where it reads as TOML (`5`, `true`, `["a"]`, `{ env = "X" }`), else a string.
fn override_value(text: &str) -> config::Value {
    let parsed = toml::from_str::<toml::Table>(&format!("v = {text}"));
    let value = parsed.ok().and_then(|mut table| table.remove("v"));
    to_config(value.unwrap_or_else(|| toml::Value::String(text.to_owned())))
}

fn to_config(value: toml::Value) -> config::Value {
    use config::ValueKind;
    let kind = match value {
        toml::Value::String(s) => ValueKind::String(s),
        toml::Value::Integer(i) => ValueKind::I64(i),
        toml::Value::Float(f) => ValueKind::Float(f),
        toml::Value::Boolean(b) => ValueKind::Boolean(b),
        toml::Value::Datetime(d) => ValueKind::String(d.to_string()),
        toml::Value::Array(items) => ValueKind::Array(items.into_iter().map(to_config).collect()),
        toml::Value::Table(table) => {
            ValueKind::Table(table.into_iter().map(|(k, v)| (k, to_config(v))).collect())
        }
    };
    config::Value::new(Some(&"--set".to_owned()), kind)
}

/// Bytes of any file that the configuration names.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A text file, or why it cannot be had.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|_| {
        format!("cannot read `{}`: stream did not contain valid UTF-8", path.display())
    })
}

/// Any file, or why it cannot be had.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let refuse = |error: io::Error| format!("cannot read `{}`: {error}", path.display());
    let bytes = fs::metadata(path).map_err(refuse)?.len();
    if bytes > FILE_BYTES_MAX {
        let path = path.display();
        return Err(format!("`{path}` has {bytes} bytes, expected at most {FILE_BYTES_MAX}"));
    }
    fs::read(path).map_err(refuse)
}

/// One file under its path; what cannot be read is reported.
pub fn read_file(path: &Path, found: &mut Diagnostics) -> Option<SourceText> {
    match read_text(path) {
        Ok(text) => Some(SourceText::new(path, text)),
        Err(why) => {
            found.push(Diagnostic::of_file("unreadable", why));
            None
        }
    }
}

/// All `*.toml` files below `root`, in order of their paths; hidden ones are left out. What cannot
/// be read is reported; a missing root is one mistake, not a surprise later.
pub fn read_tree(root: &Path, found: &mut Diagnostics) -> Vec<SourceText> {
    let mut paths = Vec::new();
    walk(root, DEPTH_MAX, &mut paths, found);
    paths.sort();
    paths.iter().filter_map(|path| read_file(path, found)).collect()
}

/// The names of all samples below a folder, `<mapping>/<name>` for each `<mapping>/<name>.json`; `None`
/// when there is no such folder, which is so where rules run but are not tested.
pub fn sample_names(root: &Path) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in fs::read_dir(root).ok()?.flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let (folder, file) = (folder.file_name(), file.file_name());
            if let Some(name) = file.to_string_lossy().strip_suffix(".json") {
                names.insert(format!("{}/{name}", folder.to_string_lossy()));
            }
        }
    }
    Some(names)
}

/// Folders deeper than this are not looked into: a loop of links must end.
const DEPTH_MAX: usize = 16;

fn walk(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>, found: &mut Diagnostics) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let message = format!("cannot read `{}`: {error}", folder.display());
            return found.push(Diagnostic::of_file("unreadable", message));
        }
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth > 0 {
                walk(&path, depth - 1, paths, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
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
    fn a_set_without_a_value_says_what_it_should_be() {
        let message = layers("", &[], &["kafka.bootstrap"]).merged().unwrap_err().message;
        assert!(message.contains("expected key=value, found `kafka.bootstrap`"), "{message}");
    }
}

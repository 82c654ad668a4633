//! The file an operator writes: every part's settings in one place, layered, with secrets resolved.
//!
//! Reading never stops at the first mistake. The file is walked with spans first, so that a mistake
//! gets its caret; then the layers are merged and the same walk reads the result.

pub mod keys;
mod layers;
mod load;
mod read;
mod secrets;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use layers::{ENVIRONMENT_PREFIX, Layers};
pub use load::{read_file, read_tree, sample_names};
pub use secrets::Environment;
pub use watch::Watch;

use crate::base::Diagnostics;
use crate::base::diagnostic::{Gravity, SourceText, allow};
use crate::base::secret;
use crate::event::decode::Limits;
use crate::kafka::{self, StartPolicy};
use crate::mapping::{Options, Tables};
use crate::query::Sets;
use crate::{notifiers, sinks};

/// A configuration without mistakes.
#[derive(Debug)]
pub struct Config {
    /// This process's name in logs and client ids; the host name unless set.
    pub instance: String,
    /// The cluster.
    pub kafka: kafka::Settings,
    /// The audit topics, in order of their names.
    pub sources: Vec<Source>,
    /// Root of the rule files.
    pub rules: PathBuf,
    /// Root of the mapping files; empty: there are none.
    pub mappings: PathBuf,
    /// Root of the records that rules' tests call by name: `<mapping>/<name>.json`.
    pub samples: PathBuf,
    /// Lists and schedules.
    pub sets: Sets,
    /// What mappings look things up in.
    pub tables: Tables,
    /// The files of lists and tables, which may change while the daemon runs.
    pub watch: Watch,
    /// Where notifications go.
    pub notifiers: Vec<notifiers::Configured>,
    /// Where events and alerts are forwarded to.
    pub sinks: Vec<sinks::Configured>,
    /// Where the admin interface listens; `None` = nowhere.
    pub admin: Option<SocketAddr>,
    /// How the daemon writes its own log.
    pub log: Log,
    /// What a record may cost.
    pub limits: Limits,
    /// How far ahead an event may claim to be.
    pub max_future_skew: Duration,
    /// Names of the warnings that nobody here wants to see.
    pub allow: Vec<String>,
}

impl Config {
    /// Whether there is a folder of mappings at all: not where nobody has written a configuration.
    pub fn has_mappings(&self) -> bool {
        !self.mappings.as_os_str().is_empty()
    }

    /// The bounds that records are read with.
    pub fn options(&self) -> Options {
        Options { limits: self.limits, max_future_skew: self.max_future_skew }
    }
}

/// One audit topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The topic's name, as it is in the cluster.
    pub topic: String,
    /// How much later than they happen this product's events arrive as a whole.
    pub delay: Duration,
    /// Where the topic begins when it was never read before.
    pub start: StartPolicy,
}

/// The daemon's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// JSON lines instead of text.
    pub json: bool,
    /// A filter in the syntax of `tracing`: `info`, `hark=debug,warn`.
    pub filter: String,
}

/// What a configuration with mistakes still tells: where rules, mappings and samples are. Good for
/// checking those, and for nothing else.
#[derive(Debug)]
pub struct Rest {
    /// The configuration without what is mistaken.
    pub config: Config,
    /// Whether all its lists, schedules and tables are there. If not, that a rule names one which is
    /// not may be no mistake of the rule's.
    pub references: bool,
}

/// What a configuration is read for: it decides which secrets have to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To run: every secret is needed.
    Run,
    /// To be checked, where its secrets may not be: a missing one is a warning.
    Check,
    /// To try rules and queries out on files: no secret is needed.
    Try,
    /// To try them out on what Kafka holds: only Kafka's own secrets are needed.
    TryOnKafka,
}

impl Purpose {
    /// What a missing secret is: one of Kafka's, one of a destination's.
    const fn missing_secrets(self) -> [Option<Gravity>; 2] {
        match self {
            Self::Run => [Some(Gravity::Error); 2],
            Self::Check => [Some(Gravity::Warning); 2],
            Self::Try => [None; 2],
            Self::TryOnKafka => [Some(Gravity::Error), None],
        }
    }
}

/// What came of reading: the configuration if it has no errors, and what there is to say, by source.
#[derive(Debug)]
pub struct Loaded {
    /// `None` when there are errors.
    pub config: Option<Config>,
    /// What can be told in spite of errors; `None` when there are none, or too bad ones.
    pub rest: Option<Rest>,
    /// Diagnostics with the text they point into: the file, then the merged layers.
    pub found: Vec<(SourceText, Diagnostics)>,
}

/// What trying rules out needs where nobody has written a configuration yet: defaults, and no
/// mappings. Nothing can be run with it.
pub fn without_file() -> Config {
    let environment = Environment::new(BTreeMap::new(), PathBuf::new());
    let read = read::read("", Path::new(""), &environment, Purpose::Try, &mut Diagnostics::new());
    Config { mappings: PathBuf::new(), ..read.config }
}

/// Reads all layers to run with them, every mistake at once; warnings that the configuration allows
/// itself are left out.
pub fn load(layers: &Layers) -> Loaded {
    load_for(layers, Purpose::Run)
}

/// The same for whatever purpose. A destination whose secret is missing and not needed is left out.
pub fn load_for(layers: &Layers, purpose: Purpose) -> Loaded {
    let mut loaded = load_all(layers, purpose);
    if let Some(config) = loaded.config.as_ref().or(loaded.rest.as_ref().map(|rest| &rest.config)) {
        for (_, found) in &mut loaded.found {
            *found = allow::without(std::mem::take(found), &config.allow);
        }
    }
    loaded
}

fn load_all(layers: &Layers, purpose: Purpose) -> Loaded {
    let folder = layers.path.parent().map_or_else(PathBuf::new, Path::to_owned);
    let environment = Environment::new(layers.environment.clone(), folder.clone());
    let mut in_file = Diagnostics::new();
    let from_file = read::read(&layers.text, &folder, &environment, purpose, &mut in_file);
    let file = SourceText::new(&layers.path, secret::masked(&layers.text, &in_file));
    let strays = layers.strays();
    let of_environment = |found| (SourceText::new(&layers.path, ""), found);
    if !layers.has_overrides() {
        let mistaken = in_file.has_errors() || !strays.is_empty();
        return loaded(from_file, mistaken, vec![of_environment(strays), (file, in_file)]);
    }
    let mut merged_found = Diagnostics::new();
    let mut name = layers.path.clone().into_os_string();
    name.push(format!(" with {ENVIRONMENT_PREFIX}* and --set"));
    let merged = match layers.merged() {
        Ok(text) => text,
        Err(diagnostic) => {
            let mut found = strays;
            found.push(diagnostic);
            let found = vec![(file, in_file), of_environment(found)];
            return Loaded { config: None, rest: None, found };
        }
    };
    let from_all = read::read(&merged, &folder, &environment, purpose, &mut merged_found);
    let merged = secret::masked(&merged, &merged_found);
    // An override may add what the file lacks; what the file has in excess it cannot take away.
    let mut kept = Diagnostics::new();
    kept.extend(in_file.into_iter().filter(|d| d.code == "unknown-key" || d.code == "toml-syntax"));
    let mistaken = kept.has_errors() || merged_found.has_errors() || !strays.is_empty();
    // What the file itself does wrong is shown there; the merged text would only show it again.
    if kept.has_errors() {
        merged_found = Diagnostics::new();
    }
    let merged_source = SourceText::new(PathBuf::from(name), merged);
    let found = vec![of_environment(strays), (file, kept), (merged_source, merged_found)];
    loaded(from_all, mistaken, found)
}

fn loaded(read: read::Read, mistaken: bool, found: Vec<(SourceText, Diagnostics)>) -> Loaded {
    let read::Read { config, folders, references } = read;
    if mistaken {
        return Loaded {
            config: None,
            rest: folders.then_some(Rest { config, references }),
            found,
        };
    }
    Loaded { config: Some(config), rest: None, found }
}

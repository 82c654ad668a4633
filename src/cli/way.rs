//! The way from a record in a file to an event, as it is asked for at the command line: `--mapping`
//! and `--topic`.

use clap::Args;

use super::workshop;
use crate::base::diagnostic::SourceText;
use crate::config::Config;
use crate::event::Layout;
use crate::mapping::{Common, Mappings};
use crate::replay::{TOPIC, Through};

/// Each record's own mapping.
const AUTO: &str = "auto";
/// No mapping at all.
const NONE: &str = "none";

/// What every command that reads records is told about them.
#[derive(Debug, Args)]
pub(super) struct WayArguments {
    /// The mapping for all records; `auto` is each record's own, `none` is for records that are in
    /// common fields already.
    #[arg(long, value_name = "auto|NAME|none", default_value = AUTO)]
    mapping: String,
    /// The topic that records are said to come from, for mappings that go by it.
    #[arg(long, value_name = "TOPIC", default_value = TOPIC)]
    topic: String,
}

/// What was asked for, with the mapping files that it needs.
pub(super) struct Way<'a> {
    arguments: &'a WayArguments,
    /// Of a named mapping only its own.
    pub(super) sources: Vec<SourceText>,
}

impl WayArguments {
    /// Whether records are in common fields already.
    pub(super) fn is_none(&self) -> bool {
        self.mapping == NONE
    }

    /// Takes of all mapping files those that are needed, or says that there is none of that name. That
    /// there is none at all, where one is asked for, is told at once: else all records would seem wrong.
    pub(super) fn choose(&self, all: &[SourceText], config: &Config) -> Result<Way<'_>, String> {
        if all.is_empty() && !self.is_none() {
            let or = "or say --mapping none for records that are in common fields already";
            workshop::tell_no_mappings(config, or);
        }
        let name = |source: &SourceText| {
            source.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
        };
        let sources: Vec<SourceText> = match self.mapping.as_str() {
            NONE => Vec::new(),
            AUTO => all.to_vec(),
            own => all.iter().filter(|source| name(source) == own).cloned().collect(),
        };
        if sources.is_empty() && ![NONE, AUTO].contains(&self.mapping.as_str()) {
            let known: Vec<String> = all.iter().map(name).collect();
            let known = known.iter().map(String::as_str).chain([AUTO, NONE]);
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(format!("expected a mapping ({known}), found `{}`", self.mapping));
        }
        Ok(Way { arguments: self, sources })
    }
}

impl Way<'_> {
    /// The way, for the layout of what is read. Mistakes in mappings have been told before.
    pub(super) fn through(&self, layout: &Layout, config: &Config) -> Through {
        let mappings = || {
            let (tables, sets) = (&config.tables, &config.sets);
            Mappings::load(&self.sources, tables, layout, sets, config.options()).0
        };
        match self.arguments.mapping.as_str() {
            NONE => Through::Nothing(Common::new(layout, config.options())),
            AUTO => Through::Detected(mappings(), self.arguments.topic.as_str().into()),
            own => Through::Named(mappings(), own.into()),
        }
    }
}

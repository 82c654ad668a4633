//! What the commands that try rules out have in common: configuration, rules and mappings, read and
//! checked, without a Kafka in sight.

use std::path::{Path, PathBuf};

use super::{CONFIG, ConfigArguments, say, say_error};
use crate::app;
use crate::base::Diagnostics;
use crate::base::diagnostic::SourceText;
use crate::config::{self, Config};
use crate::rule::RuleSet;

/// Everything that rules are tried out with.
pub(super) struct Workshop {
    pub(super) config: Config,
    pub(super) rules: RuleSet,
    pub(super) mappings: Vec<SourceText>,
}

impl Workshop {
    /// Reads configuration, mappings and rules (`paths` instead of the configured ones); mistakes
    /// are told, and then there is nothing. Warnings are `hark check`'s business. Without any
    /// configuration file the defaults will do, and there are no mappings.
    pub(super) fn open(arguments: &ConfigArguments, paths: &[PathBuf]) -> Option<Self> {
        let config = Self::config(arguments)?;
        let report = app::check(&config, paths);
        if report.errors() > 0 {
            let mistaken = report.files.iter().filter(|(_, found)| found.has_errors());
            say(&mistaken.cloned().collect::<Vec<_>>());
            say_error(&format!("{}; nothing was run", report.summary()));
            return None;
        }
        let mappings = app::read_mappings(&config, &mut Diagnostics::new());
        Some(Self { config, rules: report.rules, mappings })
    }

    fn config(arguments: &ConfigArguments) -> Option<Config> {
        if arguments.config == Path::new(CONFIG) && !arguments.config.exists() {
            return Some(config::without_file());
        }
        let loaded = arguments.load()?;
        if loaded.config.is_none() {
            say(&loaded.found);
            say_error("the configuration has errors; nothing was run");
        }
        loaded.config
    }
}

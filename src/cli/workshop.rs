//! What the commands that try rules and queries out have in common: configuration, rules and
//! mappings, read and checked, without a Kafka in sight.

use std::path::{Path, PathBuf};

use super::{CONFIG, ConfigArguments, print_error, say, say_error};
use crate::app;
use crate::base::clock::System;
use crate::base::diagnostic::SourceText;
use crate::base::{Clock as _, Diagnostics};
use crate::config::{self, Config, Purpose};
use crate::event::Layout;
use crate::mapping::Mappings;
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
        Self::open_for(Purpose::Try, arguments, paths)
    }

    /// The same for what may need some of the configuration's secrets.
    pub(super) fn open_for(
        purpose: Purpose,
        arguments: &ConfigArguments,
        paths: &[PathBuf],
    ) -> Option<Self> {
        let config = config(arguments, purpose)?;
        let report = app::check(&config, paths, System.now());
        if report.errors() > 0 {
            let mistaken = report.files.iter().filter(|(_, found)| found.has_errors());
            say(&mistaken.cloned().collect::<Vec<_>>());
            if paths.is_empty() && !config.has_mappings() && !config.rules.is_dir() {
                print_error(&format!(
                    "note: there is no configuration ({CONFIG}), which says where rules and mappings are; name it with --config FILE\n"
                ));
            }
            say_error(&format!("{}; nothing was run", report.summary()));
            return None;
        }
        Some(Self { config, rules: report.rules, mappings: report.mappings })
    }
}

/// Everything that queries are tried out with: no rules.
pub(super) struct Materials {
    pub(super) config: Config,
    pub(super) mappings: Vec<SourceText>,
}

impl Materials {
    /// Reads configuration and mapping files; what cannot be read is told, and then there is nothing.
    pub(super) fn read(arguments: &ConfigArguments) -> Option<Self> {
        let config = config(arguments, Purpose::Try)?;
        let mut unreadable = Diagnostics::new();
        let mappings = app::read_mappings(&config, &mut unreadable);
        if unreadable.has_errors() {
            say(&[(SourceText::new(&config.mappings, ""), unreadable)]);
            return None;
        }
        Some(Self { config, mappings })
    }
}

/// Compiles mappings for a layout; mistakes are told, and then there is nothing.
pub(super) fn load(sources: &[SourceText], config: &Config, layout: &Layout) -> Option<Mappings> {
    let (tables, sets, options) = (&config.tables, &config.sets, config.options());
    let (mappings, found) = Mappings::load(sources, tables, layout, sets, options);
    let mistaken: Vec<_> = found.into_iter().filter(|(_, found)| found.has_errors()).collect();
    if !mistaken.is_empty() {
        say(&mistaken);
        say_error("the mappings have errors; nothing was run");
        return None;
    }
    Some(mappings)
}

/// Says why there is no mapping, what comes of that, and what to do: name a configuration, `or` else.
pub(super) fn tell_no_mappings(config: &Config, or: &str) {
    let why = if config.has_mappings() {
        format!("there is no mapping file in {}", config.mappings.display())
    } else {
        format!("there is no configuration ({CONFIG})")
    };
    print_error(&format!(
        "note: {why}, so no mapping is loaded, and no record gets common fields: name a configuration with --config FILE, {or}\n"
    ));
}

/// The configuration, or that of nobody's having written one.
fn config(arguments: &ConfigArguments, purpose: Purpose) -> Option<Config> {
    // What --set changes is a configuration, which then must be there.
    let unnamed = arguments.config == Path::new(CONFIG) && arguments.sets.is_empty();
    if unnamed && !arguments.config.exists() {
        return Some(config::without_file());
    }
    let loaded = arguments.load(purpose)?;
    if loaded.config.is_none() {
        say(&loaded.found);
        say_error("the configuration has errors; nothing was run");
    }
    loaded.config
}

//! `hark check`: is everything that Hark would load right? Every mistake at once, with its place.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{ConfigArguments, print, say};
use crate::app;

/// What `hark check` is told.
#[derive(Debug, Args)]
#[command(
    about = "Check configuration, mappings and rules; every mistake with its place.",
    after_help = "Exit code 0: no errors (warnings may be shown). 1: errors.\n\nExamples:\n  hark check\n  hark check --config config/production.toml\n  hark check rules/common/failed-logins.toml        only this rule, with the configuration's lists and schedules"
)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Rule files or folders to check instead of the configured rules.
    #[arg(value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Treat warnings as errors.
    #[arg(long)]
    deny_warnings: bool,
}

/// Checks, prints, and says how it went.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Some(loaded) = arguments.config.load() else { return ExitCode::FAILURE };
    say(&loaded.found);
    let Some(config) = &loaded.config else {
        let errors: usize = loaded.found.iter().map(|(_, found)| found.errors()).sum();
        let s = if errors == 1 { "" } else { "s" };
        print(&format!("{errors} error{s} in the configuration; rules and mappings not checked"));
        return ExitCode::FAILURE;
    };
    let report = app::check(config, &arguments.rules);
    say(&report.files);
    print(&report.summary());
    if report.errors() > 0 || (arguments.deny_warnings && report.warnings() > 0) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

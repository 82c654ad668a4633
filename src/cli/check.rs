//! `hark check`: is everything that Hark would load right? Every mistake at once, with its place.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{ConfigArguments, print, say};
use crate::app;
use crate::base::clock::System;
use crate::base::diagnostic::json::{self, Looked};
use crate::base::diagnostic::{SourceText, sarif};
use crate::base::{Clock as _, Diagnostic, Diagnostics};

/// What `hark check` is told.
#[derive(Debug, Args)]
#[command(
    about = "Check configuration, mappings and rules; every mistake with its place.",
    after_help = "Exit code 0: no errors (warnings may be shown). 1: errors.\n\nExamples:\n  hark check\n  hark check --config config/production.toml\n  hark check rules/common/failed-logins.toml        only this rule, with the configuration's lists and schedules\n  hark check --format sarif > hark.sarif            for code scanning in CI"
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
    /// How to write what was found.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: the lines with carets on standard error, one line of summary on standard output.
    Text,
    /// One object with every diagnostic, its code, place and help, and a summary.
    Json,
    /// SARIF 2.1.0, which GitHub, GitLab and editors read.
    Sarif,
}

/// What was found, in whatever format it will be written.
struct Findings {
    files: Vec<(SourceText, Diagnostics)>,
    looked: Looked,
    summary: String,
}

/// Checks, prints, and says how it went.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let found = look(arguments);
    match arguments.format {
        Format::Text => {
            say(&found.files);
            print(&found.summary);
        }
        Format::Json => print(&json::render(&found.files, found.looked)),
        Format::Sarif => print(&sarif::render(&found.files)),
    }
    let errors = found.errors() > 0;
    let warnings = found.files.iter().any(|(_, found)| found.warnings() > 0);
    if errors || (arguments.deny_warnings && warnings) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

impl Findings {
    fn errors(&self) -> usize {
        self.files.iter().map(|(_, found)| found.errors()).sum()
    }
}

fn look(arguments: &Arguments) -> Findings {
    let path = &arguments.config.config;
    let loaded = match arguments.config.read() {
        Ok(loaded) => loaded,
        Err(error) => {
            let unreadable = Diagnostic::of_file("unreadable", format!("cannot be read: {error}"))
                .help("name the configuration with --config FILE");
            let found = [unreadable].into_iter().collect();
            return without_config(vec![(SourceText::new(path, ""), found)]);
        }
    };
    let Some(config) = &loaded.config else { return without_config(loaded.found) };
    let report = app::check(config, &arguments.rules, System.now());
    let looked = Looked { rules: Some(report.rule_files), mappings: Some(report.mappings.len()) };
    let summary = report.summary();
    let mut files = loaded.found;
    files.extend(report.files);
    Findings { files, looked, summary }
}

/// Where rules and mappings are, a configuration with mistakes does not say.
fn without_config(files: Vec<(SourceText, Diagnostics)>) -> Findings {
    let mut found = Findings { files, looked: Looked::default(), summary: String::new() };
    let errors = found.errors();
    let s = if errors == 1 { "" } else { "s" };
    found.summary =
        format!("{errors} error{s} in the configuration; rules and mappings not checked");
    found
}

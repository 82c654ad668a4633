//! `hark check`: is everything that Hark would load right? Every mistake at once, with its place.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{ConfigArguments, print, say};
use crate::app;
use crate::base::clock::System;
use crate::base::diagnostic::json::{self, Looked};
use crate::base::diagnostic::{SourceText, sarif};
use crate::base::{Clock as _, Diagnostic, Diagnostics};
use crate::config::{Loaded, Purpose, Rest};

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
    let loaded = match arguments.config.read(Purpose::Check) {
        Ok(loaded) => loaded,
        Err(error) => {
            let unreadable = Diagnostic::of_file("unreadable", format!("cannot be read: {error}"))
                .help("name the configuration with --config FILE");
            let found = [unreadable].into_iter().collect();
            return without_config(vec![(SourceText::new(path, ""), found)]);
        }
    };
    let Loaded { config, rest, found } = loaded;
    let mistakes: usize = found.iter().map(|(_, found)| found.errors()).sum();
    let (config, references) = match (config, rest) {
        (Some(config), _) => (config, true),
        (None, Some(Rest { config, references })) => (config, references),
        (None, None) => return without_config(found),
    };
    let mut report = app::check(&config, &arguments.rules, System.now());
    if !references {
        for (_, found) in &mut report.files {
            *found = without_doubtful(std::mem::take(found));
        }
    }
    report.files.splice(0..0, found);
    let looked = Looked { rules: Some(report.rule_files), mappings: Some(report.mappings.len()) };
    let mut summary = report.summary();
    match mistakes {
        0 => {}
        1 => summary.push_str("; 1 of the errors is in the configuration"),
        n => {
            let _infallible = write!(summary, "; {n} of the errors are in the configuration");
        }
    }
    if !references {
        summary.push_str(", so lists, schedules and tables that rules name were not looked for");
    }
    Findings { files: report.files, looked, summary }
}

/// Leaves out that a list, schedule or table is not there: those of the configuration are mistaken.
fn without_doubtful(found: Diagnostics) -> Diagnostics {
    const DOUBTFUL: [&str; 3] = ["unknown-list", "unknown-schedule", "unknown-table"];
    found.into_iter().filter(|diagnostic| !DOUBTFUL.contains(&diagnostic.code)).collect()
}

/// Where rules and mappings are, a configuration with such mistakes does not say.
fn without_config(files: Vec<(SourceText, Diagnostics)>) -> Findings {
    let mut found = Findings { files, looked: Looked::default(), summary: String::new() };
    let errors = found.errors();
    let s = if errors == 1 { "" } else { "s" };
    found.summary =
        format!("{errors} error{s} in the configuration; rules and mappings not checked");
    found
}

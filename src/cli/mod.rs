//! What a person can ask for at the command line; the only folder that prints.
//!
//! Exit codes: 0 done; 1 mistakes found, or the work failed; 2 the command line itself is wrong.
//! `hark match` has those of `grep`.

pub mod check;
pub mod demo;
pub mod docs;
mod envelope;
pub mod explain;
mod input;
pub mod r#match;
pub mod replay;
pub mod run;
pub mod schema;
mod shipped;
mod table;
pub mod test;
mod way;
mod workshop;

use std::ffi::OsString;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand};

use crate::base::Diagnostics;
use crate::base::diagnostic::{SourceText, render};
use crate::config::{self, Layers, Loaded, Purpose};

/// Streaming detection engine for audit events in Kafka.
#[derive(Debug, Parser)]
#[command(
    name = "hark",
    version,
    about = "Streaming detection engine for audit events in Kafka: rules in TOML, alerts to people, events to the SIEM.",
    after_help = "Examples:\n  hark demo                                         watch it work, nothing to install\n  hark check                                        are configuration, mappings and rules right?\n  hark test                                         do the rules hold the tests they carry?\n  hark replay tests/data/invictus_cloudtrail.jsonl.gz\n                                                    which alerts would there have been?\n  hark match action:stoplogging tests/data/invictus_cloudtrail.jsonl.gz\n                                                    which records does a query match?\n  hark explain --rule common/failed-logins --event tests/samples/ops0/user_login_failed.json\n                                                    why does this event match, or not?\n  hark run --config config/hark.toml                run the daemon\n  hark run --set kafka.bootstrap=localhost:9092     the same against a real Kafka\n  hark run --role match,correlate --set kafka.bootstrap=localhost:9092\n                                                    two of the four roles in this process\n\nEvery command has --help."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: consume, detect, notify, forward.
    Run(run::Arguments),
    /// Check configuration, mappings and rules; every mistake with its place.
    Check(check::Arguments),
    /// Run the tests that rule files carry.
    Test(test::Arguments),
    /// Run past events through the rules: which alerts would there have been?
    Replay(replay::Arguments),
    /// Print the records that a query matches, like grep.
    Match(r#match::Arguments),
    /// Say term by term why an event takes part in a rule, or what its mapping makes of it.
    Explain(explain::Arguments),
    /// Write the reference: rules, detectors, queries, fields, mappings, configuration, metrics, diagnostics, products.
    Docs(docs::Arguments),
    /// Print the JSON Schema of rules, mappings or the configuration, for editors.
    Schema(schema::Arguments),
    /// Watch the daemon at work on made-up traffic, with nothing to install.
    ///
    /// Runs the same daemon as `hark run`, on an embedded broker: audit events of five products go
    /// in, alerts come out, and a receiver in this process plays mail server, webhook, Splunk and
    /// Datadog. Nothing leaves this machine.
    Demo(demo::Arguments),
}

/// The configuration file unless another is named.
const CONFIG: &str = "config/hark.toml";
/// The variable that names another.
const CONFIG_VARIABLE: &str = "HARK_CONFIG";

/// Where the configuration comes from: the same for every command that reads one.
#[derive(Debug, Args)]
struct ConfigArguments {
    /// The configuration file.
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = CONFIG,
        env = CONFIG_VARIABLE,
        value_parser = OsStringValueParser::new().try_map(config_path)
    )]
    config: PathBuf,
    /// Set one key over file and environment, such as sources."audit.example".delay=5m; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

/// A variable that is set to nothing is as good as not set; a path that is nothing is a mistake.
fn config_path(path: OsString) -> Result<PathBuf, &'static str> {
    let empty = |value: OsString| value.is_empty();
    match path.is_empty() {
        false => Ok(path.into()),
        true if std::env::var_os(CONFIG_VARIABLE).is_some_and(empty) => Ok(CONFIG.into()),
        true => Err("expected the path of a file, found nothing"),
    }
}

/// Reads the command line, does what it says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Match(arguments) => r#match::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Docs(arguments) => docs::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    }
}

impl ConfigArguments {
    /// Reads all layers; a file that cannot be read is told, and what to do.
    fn load(&self, purpose: Purpose) -> Option<Loaded> {
        match self.read(purpose) {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                say_error(&format!(
                    "cannot read the configuration {}: {error}; name it with --config FILE",
                    self.config.display()
                ));
                None
            }
        }
    }

    /// Reads all layers; the error is that of reading the file.
    fn read(&self, purpose: Purpose) -> std::io::Result<Loaded> {
        Ok(config::load_for(&Layers::from_process(&self.config, self.sets.clone())?, purpose))
    }
}

/// Prints diagnostics with their carets on standard error.
fn say(found: &[(SourceText, Diagnostics)]) {
    let colour = colour(&std::io::stderr());
    for (source, diagnostics) in found {
        if !diagnostics.is_empty() {
            print_error(&render(source, diagnostics, colour));
        }
    }
}

/// One line on standard error.
fn say_error(text: &str) {
    print_error(&format!("error: {text}\n"));
}

fn print_error(text: &str) {
    // There is nobody left to tell that standard error is gone.
    let _gone = std::io::stderr().write_all(text.as_bytes());
}

/// Prints a line, or lines. Whoever closes the pipe (`| head`) has seen enough: that is no mistake.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        say_error(&format!("cannot write to standard output: {error}"));
    }
}

/// Whether colours make sense there: a terminal, and nobody said `NO_COLOR`.
fn colour(stream: &impl std::io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_examples_of_the_help_are_understood() {
        let mut seen = 0;
        let mut commands = vec![Arguments::command()];
        commands.extend(Arguments::command().get_subcommands().cloned());
        for mut command in commands {
            let help = command.render_long_help().to_string();
            for example in help.lines().filter_map(|line| line.strip_prefix("  hark ")) {
                // The words end where the explanation begins, two spaces on, or another program.
                let words = example.split("  ").next().unwrap().split_whitespace();
                let words = words.take_while(|word| *word != "|");
                Arguments::try_parse_from(std::iter::once("hark").chain(words)).unwrap();
                seen += 1;
            }
        }
        assert!(seen >= 10, "{seen} examples");
    }
}

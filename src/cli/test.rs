//! `hark test`: do the rules hold the tests that they carry?

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::table::counted;
use super::workshop::{Workshop, tell_no_mappings};
use super::{ConfigArguments, colour, print, say_error};
use crate::base::{clock, suggest};
use crate::replay::{Bench, Samples, Trial, junit, samples_of};
use crate::rule::{Rule, RuleSet};

/// What `hark test` is told.
#[derive(Debug, Args)]
#[command(
    about = "Run the tests that rule files carry.",
    after_help = "Each [[test]] runs on the engine that runs live, on a clock of its own. A test that fails shows what\nhappened on a timeline: events, firings, alerts, and what was expected. Rules are tested as they are\nwritten, without [[override]]s.\n\nExit code 0: all passed. 1: a test failed, or rules, mappings or configuration have mistakes.\n\nExamples:\n  hark test\n  hark test rules/common\n  hark test rules/common/failed-logins.toml --list\n  hark test --junit target/rules.xml                for CI"
)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Rule files or folders to test instead of the configured rules.
    #[arg(value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Samples that tests call by name, instead of the configured folder.
    #[arg(long, value_name = "DIR")]
    samples: Option<PathBuf>,
    /// Name every test, not only those that fail.
    #[arg(long)]
    list: bool,
    /// Also write the results as `JUnit` XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Tests, prints, and says how it went.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let began = clock::instant();
    let Some(workshop) = Workshop::open(&arguments.config, &arguments.rules) else {
        return ExitCode::FAILURE;
    };
    let root = arguments.samples.as_ref().unwrap_or(&workshop.config.samples);
    // A rule's tests say what it does as its author wrote it, whatever was tuned since.
    let written = workshop.rules.as_written();
    let called = samples_of(written.rules()).len() as u64;
    if called > 0 && !root.is_dir() {
        let samples = counted(called, "sample");
        say_error(&format!(
            "the tests call {samples}, and there is no folder {}; name it with --samples DIR, or a configuration that says where it is with --config FILE; nothing was run",
            root.display()
        ));
        return ExitCode::FAILURE;
    }
    if called > 0 && workshop.mappings.is_empty() {
        tell_no_mappings(&workshop.config, "for tests call samples");
    }
    let samples = read_samples(root, written.rules());
    let bench = Bench {
        mappings: &workshop.mappings,
        tables: &workshop.config.tables,
        sets: &workshop.config.sets,
        options: workshop.config.options(),
        samples: &samples,
    };
    let trials = match bench.run(written.rules()) {
        Ok(trials) => trials,
        Err(faults) => {
            say_error(&format!("rules that were checked do not compile: {faults:?}"));
            return ExitCode::FAILURE;
        }
    };
    let took = began.elapsed();
    tell(&trials, arguments.list);
    print(&summary(&trials, &written, workshop.rules.overridden(), took));
    if let Some(path) = &arguments.junit
        && let Err(error) = std::fs::write(path, junit::report(&trials, took))
    {
        say_error(&format!("cannot write {}: {error}", path.display()));
        return ExitCode::FAILURE;
    }
    if trials.iter().all(Trial::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What each sample holds: `<root>/<mapping>/<name>.json`.
fn read_samples(root: &Path, rules: &[Arc<Rule>]) -> Samples {
    let read = |name: &str| {
        let path = root.join(format!("{name}.json"));
        std::fs::read(&path).map_err(|error| {
            let near = nearest_sample(root, name).filter(|_| error.kind() == ErrorKind::NotFound);
            let help = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            format!("cannot read the sample {}: {error}{help}", path.display())
        })
    };
    samples_of(rules).into_iter().map(|name| (name.to_owned(), read(name))).collect()
}

/// The sample that there is and that has nearly this name, in the folder of the same mapping.
fn nearest_sample(root: &Path, name: &str) -> Option<String> {
    let (mapping, own) = name.split_once('/')?;
    let files = std::fs::read_dir(root.join(mapping)).ok()?.flatten();
    let names = files.filter_map(|file| {
        let name = file.file_name().into_string().ok()?;
        name.strip_suffix(".json").map(str::to_owned)
    });
    let names: BTreeSet<String> = names.collect();
    let near = suggest::nearest(own, names.iter().map(String::as_str))?;
    Some(format!("{mapping}/{near}"))
}

fn tell(trials: &[Trial], list: bool) {
    for trial in trials {
        if !trial.passed() {
            let timeline = trial.timeline();
            let (claim, story) = timeline.split_once('\n').unwrap_or((&timeline, ""));
            let mut text = format!("FAILED  {claim}\n        {}\n{story}", trial.place());
            if colour(&std::io::stdout()) {
                text = text.replace('✗', "\x1b[31m✗\x1b[0m").replace('✓', "\x1b[32m✓\x1b[0m");
                text = text.replacen("FAILED", "\x1b[1;31mFAILED\x1b[0m", 1);
            }
            print(&text);
        } else if list {
            print(&format!("passed  {}: {}", trial.rule.id, trial.name));
        }
    }
}

/// `91 tests of 42 rules passed in 0.12 s; 3 rules have no test, 1 is switched off`.
fn summary(trials: &[Trial], rules: &RuleSet, overridden: usize, took: Duration) -> String {
    let failed = trials.iter().filter(|trial| !trial.passed()).count() as u64;
    let tests = counted(trials.len() as u64, "test");
    let tested = rules.enabled().filter(|rule| !rule.tests.is_empty()).count() as u64;
    let (of, seconds) = (counted(tested, "rule"), took.as_secs_f64());
    let mut line = match failed {
        0 => format!("{tests} of {of} passed in {seconds:.2} s"),
        _ => format!("{failed} of {tests} of {of} failed in {seconds:.2} s"),
    };
    let untested = rules.enabled().filter(|rule| rule.tests.is_empty()).count();
    let off = rules.rules().iter().filter(|rule| !rule.enabled).count();
    let mut more = Vec::new();
    match untested {
        0 => {}
        1 => more.push("1 rule has no test".to_owned()),
        n => more.push(format!("{n} rules have no test")),
    }
    match off {
        0 => {}
        1 => more.push("1 rule is switched off".to_owned()),
        n => more.push(format!("{n} rules are switched off")),
    }
    match overridden {
        0 => {}
        1 => more.push("1 rule is overridden, and tested as written".to_owned()),
        n => more.push(format!("{n} rules are overridden, and tested as written")),
    }
    if !more.is_empty() {
        line.push_str("; ");
        line.push_str(&more.join(", "));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_that_is_not_there_names_the_one_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("door")).unwrap();
        std::fs::write(folder.path().join("door/opened.json"), "{}").unwrap();
        assert_eq!(nearest_sample(folder.path(), "door/openned").unwrap(), "door/opened");
        assert_eq!(nearest_sample(folder.path(), "door/x"), None);
        assert_eq!(nearest_sample(folder.path(), "gate/opened"), None);
    }
}

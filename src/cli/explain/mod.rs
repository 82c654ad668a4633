//! `hark explain`: why an event takes part in a rule, or does not, term by term.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::envelope;
use super::input::documents;
use super::way::WayArguments;
use super::workshop::Workshop;
use super::{ConfigArguments, colour, print, print_error, say_error};
use crate::base::clock::System;
use crate::base::{Clock as _, Timestamp, suggest};
use crate::engine::{RuleExplainer, RuleExplanation};
use crate::event::Layout;
use crate::mapping::Reason;
use crate::replay::Timeless;
use crate::rule::Rule;

mod picture;

/// The most bytes of events at once: it is for a few, and `hark match` picks them out.
const BYTES_MAX: usize = 16 << 20;

/// What `hark explain` is told.
#[derive(Debug, Args)]
#[command(
    about = "Say term by term why an event takes part in a rule, or does not.",
    after_help = "Every part of the query is shown with its verdict and the values that it saw, then exceptions, the\nkey, and the detector that the event goes to. What a window makes of several events is shown by\nhark replay --firings.\n\nEvents are JSON objects, one a line or spread over several, in a file (also .gz and .zst) or on\nstandard input; one without a time of its own is judged as of now.\n\n--format json writes one object for each event: {\"index\", \"rule\", \"title\", \"enabled\", \"time\",\n\"mapping\", \"outcome\": \"takes_part\", \"unmet\", \"excepted\" or \"unkeyed\", \"parts\", \"exceptions\",\n\"detector\"}.\n\nExit code 0: every event was explained, whatever came of it. 1: one could not be read, or rules,\nmappings or configuration have mistakes.\n\nExamples:\n  hark explain --rule common/failed-logins --event event.json\n  hark explain --rule rules/mine/key-spree.toml --event - --format json\n  hark match actor:bob yesterday.jsonl.gz | hark explain --rule common/failed-logins --event -"
)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The rule: its id, or its file.
    #[arg(long, value_name = "ID|FILE")]
    rule: String,
    /// The events; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    #[command(flatten)]
    way: WayArguments,
    /// How to write what is found.
    #[arg(long, value_enum, default_value = "tree")]
    format: Format,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Tree,
    Json,
}

/// What programs read.
#[derive(Serialize)]
struct Told<'t> {
    index: u64,
    #[serde(flatten)]
    told: &'t RuleExplanation,
}

/// Explains, prints, and says how it went.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match explain(arguments) {
        Some(true) => ExitCode::SUCCESS,
        Some(false) | None => ExitCode::FAILURE,
    }
}

/// Whether every event could be explained; `None`: nothing could.
fn explain(arguments: &Arguments) -> Option<bool> {
    let (workshop, rule) = find(arguments)?;
    let config = &workshop.config;
    let told = |why: String| say_error(&why);
    let way = arguments.way.choose(&workshop.mappings, config).map_err(told).ok()?;
    let mut layout = Layout::new();
    let explainer = RuleExplainer::new(&rule, &mut layout, &config.sets);
    let explainer =
        explainer.map_err(|found| told(format!("the rule does not compile: {found:?}")));
    let explainer = explainer.ok()?;
    let through = way.through(&layout, config);
    let events =
        documents(&arguments.event, BYTES_MAX).map_err(|why| told(why.to_string())).ok()?;
    if events.is_empty() {
        say_error("there is no event; give it as a JSON object");
        return None;
    }
    let (now, mut all) = (System.now(), true);
    let colour = colour(&io::stdout());
    for (index, document) in (0..).zip(&events) {
        let mut event = match through.event(document, index, Timeless::Taken) {
            Ok(event) => event,
            Err(why) => {
                let help = match why.reason {
                    Reason::NoMapping | Reason::AmbiguousMapping => "; name one with --mapping",
                    _ => "",
                };
                let (reason, detail) = (why.reason.code(), why.detail);
                let advice = envelope::advice(document);
                let help = advice.map_or(help.to_owned(), |advice| format!("; {advice}"));
                print_error(&format!("event {index}: {reason}: {detail}{help}\n"));
                all = false;
                continue;
            }
        };
        let timeless = event.time == Timestamp::MAX;
        if timeless {
            event.time = now;
        }
        let told = explainer.explain(&event);
        match arguments.format {
            Format::Json => {
                let line = serde_json::to_string(&Told { index, told: &told });
                print(&line.unwrap_or_default());
            }
            Format::Tree => print(&picture::draw(&told, index, timeless, colour)),
        }
    }
    Some(all)
}

/// The rule, with everything that it is judged by; what is wrong is told.
fn find(arguments: &Arguments) -> Option<(Workshop, Arc<Rule>)> {
    let path = PathBuf::from(&arguments.rule);
    if path.is_file() {
        let workshop = Workshop::open(&arguments.config, &[path])?;
        let rule = workshop.rules.rules().first().cloned();
        return rule.map(|rule| (workshop, rule));
    }
    let workshop = Workshop::open(&arguments.config, &[])?;
    let rules = workshop.rules.rules();
    if let Some(rule) = rules.iter().find(|rule| *rule.id == *arguments.rule).cloned() {
        return Some((workshop, rule));
    }
    let near = suggest::nearest(&arguments.rule, rules.iter().map(|rule| &*rule.id));
    let help = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let stands = workshop.config.rules.display();
    say_error(&format!(
        "there is no rule `{}` in {stands}, and no such file{help}",
        arguments.rule
    ));
    None
}

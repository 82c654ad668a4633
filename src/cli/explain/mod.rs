//! `hark explain`: why an event takes part in a rule, or does not, term by term; without a rule, what
//! its mapping makes of it.

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
use crate::mapping::{Reason, Unusable};
use crate::replay::Timeless;
use crate::rule::Rule;

mod fields;
mod picture;

/// The most bytes of events at once: it is for a few, and `hark match` picks them out.
const BYTES_MAX: usize = 16 << 20;

/// What `hark explain` is told.
#[derive(Debug, Args)]
#[command(
    about = "Say term by term why an event takes part in a rule, or what its mapping makes of it.",
    after_help = "Every part of the query is shown with its verdict and the values that it saw, then exceptions, the\nkey, and the detector that the event goes to. What a window makes of several events is shown by\nhark replay --firings.\n\nWithout --rule each event is shown in the common fields that its mapping fills, or why no mapping\ntakes it; so whoever writes a mapping sees what it does. --format json then writes an object of\nfields for each, which hark replay and hark match read with --mapping none.\n\nEvents are JSON objects, one a line or spread over several, in a file (also .gz and .zst) or on\nstandard input; one without a time of its own is judged as of now.\n\n--format json with a rule writes one object for each event: {\"index\", \"rule\", \"title\", \"enabled\", \"time\",\n\"mapping\", \"outcome\": \"takes_part\", \"unmet\", \"excepted\" or \"unkeyed\", \"parts\", \"exceptions\",\n\"detector\"}.\n\nExit code 0: every event was explained, whatever came of it. 1: one could not be read, or rules,\nmappings or configuration have mistakes.\n\nExamples:\n  hark explain --rule common/failed-logins --event tests/samples/ops0/user_login_failed.json\n  hark explain --event tests/samples/blocksecops/user_login_failed.json     the common fields that its mapping fills\n  hark explain --event tests/samples/opsknight/login_failed.json --mapping opsknight\n  hark match user:bert-jan tests/data/invictus_cloudtrail.jsonl.gz | hark explain --rule cloudtrail/root-used --event -"
)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The rule: its id, or its file; without one, the event's common fields are shown.
    #[arg(long, value_name = "ID|FILE")]
    rule: Option<String>,
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
    let explained = match &arguments.rule {
        Some(rule) => explain(arguments, rule),
        None => fields::explain(arguments),
    };
    match explained {
        Some(true) => ExitCode::SUCCESS,
        Some(false) | None => ExitCode::FAILURE,
    }
}

/// Whether every event could be explained; `None`: nothing could.
fn explain(arguments: &Arguments, rule: &str) -> Option<bool> {
    let (workshop, rule) = find(arguments, rule)?;
    let config = &workshop.config;
    let told = |why: String| say_error(&why);
    let way = arguments.way.choose(&workshop.mappings, config).map_err(told).ok()?;
    let mut layout = Layout::new();
    let explainer = RuleExplainer::new(&rule, &mut layout, &config.sets);
    let explainer =
        explainer.map_err(|found| told(format!("the rule does not compile: {found:?}")));
    let explainer = explainer.ok()?;
    let through = way.through(&layout, config);
    let events = read(arguments)?;
    let (now, mut all) = (System.now(), true);
    let colour = colour(&io::stdout());
    for (index, document) in (0..).zip(&events) {
        let mut event = match through.event(document, index, Timeless::Taken) {
            Ok(event) => event,
            Err(why) => {
                refuse(index, &why, document);
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

/// The events, at least one; what is wrong is told.
fn read(arguments: &Arguments) -> Option<Vec<Vec<u8>>> {
    let events = documents(&arguments.event, BYTES_MAX);
    let events = events.map_err(|why| say_error(&why.to_string())).ok()?;
    if events.is_empty() {
        say_error("there is no event; give it as a JSON object");
        return None;
    }
    Some(events)
}

/// Why an event cannot be read, and what to do.
fn refuse(index: u64, why: &Unusable, document: &[u8]) {
    let help = match why.reason {
        Reason::NoMapping | Reason::AmbiguousMapping => {
            "; name one with --mapping, or with --topic the topic that a mapping goes by"
        }
        _ => "",
    };
    let advice = envelope::advice(document);
    let help = advice.map_or(help.to_owned(), |advice| format!("; {advice}"));
    print_error(&format!("event {index}: {}: {}{help}\n", why.reason.code(), why.detail));
}

/// The rule, with everything that it is judged by; what is wrong is told.
fn find(arguments: &Arguments, name: &str) -> Option<(Workshop, Arc<Rule>)> {
    let path = PathBuf::from(name);
    if path.is_file() {
        let workshop = Workshop::open(&arguments.config, &[path])?;
        let rule = workshop.rules.rules().first().cloned();
        return rule.map(|rule| (workshop, rule));
    }
    let workshop = Workshop::open(&arguments.config, &[])?;
    let rules = workshop.rules.rules();
    if let Some(rule) = rules.iter().find(|rule| *rule.id == *name).cloned() {
        return Some((workshop, rule));
    }
    let near = suggest::nearest(name, rules.iter().map(|rule| &*rule.id));
    let help = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let stands = workshop.config.rules.display();
    say_error(&format!("there is no rule `{name}` in {stands}, and no such file{help}"));
    None
}

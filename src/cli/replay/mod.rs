//! `hark replay`: past events through the rules. Which alerts would there have been?

mod found;
mod past;
mod progress;
mod sorted;
mod summary;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use self::found::Findings;
use self::past::{Fate, Moment, Past, Unused};
use self::progress::Progress;
use super::table::counted;
use super::way::WayArguments;
use super::workshop::Workshop;
use super::{ConfigArguments, print_error, say_error};
use crate::base::{clock, duration};
use crate::config::Purpose;
use crate::event::Layout;
use crate::replay::{Replay, Summary};

/// What `--help` says below the options.
const AFTER_HELP: &str = "\
Events are JSON, one a line, in files (also .gz and .zst) or on standard input; of a file that is
an array, or has one as CloudTrail's in S3 do, `jq -c '.Records[]'` makes lines. They are taken as
they stand, which should be oldest first: --sort puts them in order of time, and leaves those of
one time as they stand. The clock is theirs: it ticks after every record, and after the last one
it runs until every alert is over. Nobody is notified.

What opens after the last record only because nothing came any more ([absence], a spike down, and
rules about such alerts) stands in a table of its own. It is not in the records, so that
--deny-alerts lets it pass, unless --run-for says how long nothing came. A sequence's absent last
step counts, for the event before it is in the records.

--kafka reads the named topics instead, or all that [sources] names, with the [kafka] settings
of the configuration: in each partition from the first record at or after --from (else the
beginning) to the first at or after --to (else the end), by the time that Kafka keeps for
records. Partitions are merged by the events' own time. There is no consumer group, nothing is
committed and nothing is written.

--mapping none takes lines that are in common fields already, dotted or nested, with @timestamp
in RFC 3339 or epoch milliseconds; an object under \"raw\" is the original record.

--format json writes one object a line: each alert as it stands on the alerts topic, when it is
over; with --firings {\"firing\": {\"rule\", \"time\", \"key\": {field: value}, \"index\", \"count\",
\"value\"}}, where index is the number of the record that fired, from 0, and null when the clock
did. What silence after the last record led to is among them; of alerts, `alerts_afterwards` of
the summary says how many.

The summary says for each rule how many events matched, had no key, came too late and fired, how
many alerts opened, and what the rule cost: time for each record, in the table as in `cost_ns` of
JSON, and its share of the time of all rules, measured on a sample of the records. It follows a
table on standard output; beside JSON, or as JSON itself (--summary json), it goes to standard
error. How many records came too late for the windows of a rule is a warning there, or its `late`.

Exit code 0: every record was used. 1: one was not, an input could not be read, there are
mistakes in rules, mappings or configuration, or an alert opened under --deny-alerts. 2: the
command line is wrong.

Examples:
  hark replay tests/data/invictus_cloudtrail.jsonl.gz
  hark replay --sort newest-first.jsonl
  hark replay --rules rules/mine/key-spree.toml --mapping opsknight audit.jsonl
  hark replay --kafka --from -7d                    all sources, the last seven days
  hark replay --kafka audit.ops0 audit.squadcast --from 2026-01-01T00:00Z --to 2026-01-02
  hark replay --mapping none --format json --firings events.jsonl
  hark replay --deny-alerts a-quiet-day.jsonl.gz    for CI";

/// What `hark replay` is told.
#[derive(Debug, Args)]
#[command(
    about = "Run past events through the rules: which alerts would there have been?",
    after_help = AFTER_HELP
)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Files of events; `-` or none is standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Read topics instead of files; none named: every topic of [sources].
    #[arg(long, value_name = "TOPIC", num_args = 0.., conflicts_with_all = ["files", "topic"])]
    kafka: Option<Vec<String>>,
    /// With --kafka: begin at a time, or so long ago (`-7d`).
    #[arg(
        long,
        value_name = "TIME",
        value_parser = Moment::parse,
        requires = "kafka",
        conflicts_with = "files",
        allow_hyphen_values = true
    )]
    from: Option<Moment>,
    /// With --kafka: end before a time.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = Moment::parse,
        requires = "kafka",
        conflicts_with = "files",
        allow_hyphen_values = true
    )]
    to: Option<Moment>,
    /// Rule files or folders instead of the configured rules; may be repeated.
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    way: WayArguments,
    /// How to write what is found.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// How to sum up what each rule made of the events.
    #[arg(long, value_enum, default_value = "table")]
    summary: Summing,
    /// Every firing of every rule instead of alerts.
    #[arg(long)]
    firings: bool,
    /// How long the clock goes on after the last record, instead of until every alert is over.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    run_for: Option<Duration>,
    /// Put records in order of time first, which holds all of them in memory, at most 1 GiB.
    #[arg(long, conflicts_with = "kafka")]
    sort: bool,
    /// Exit with 1 if an alert opens; not for silence after the last record, unless --run-for.
    #[arg(long)]
    deny_alerts: bool,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// The summary for people, for programs, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Summing {
    Table,
    Json,
    None,
}

/// Why a replay ended before its end.
enum Stopped {
    Told(String),
    /// Whoever read our output has read enough.
    NobodyListens,
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyListens,
            _ => Self::Told(format!("cannot write: {error}")),
        }
    }
}

/// Replays, prints, and says how it went.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let purpose = if arguments.kafka.is_some() { Purpose::TryOnKafka } else { Purpose::Try };
    let Some(workshop) = Workshop::open_for(purpose, &arguments.config, &arguments.rules) else {
        return ExitCode::FAILURE;
    };
    match replay(arguments, &workshop) {
        Ok(summary) => {
            let opened = match arguments.run_for {
                // What silence after the last record says is not in the records.
                None => summary.alerts() - summary.afterwards(),
                Some(_) => summary.alerts(),
            };
            let denied = arguments.deny_alerts && opened > 0;
            if denied {
                say_error(&format!("{} opened", counted(opened, "alert")));
            }
            if denied || summary.unused() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(Stopped::NobodyListens) => ExitCode::SUCCESS,
        Err(Stopped::Told(why)) => {
            say_error(&why);
            ExitCode::FAILURE
        }
    }
}

fn replay(arguments: &Arguments, workshop: &Workshop) -> Result<Summary, Stopped> {
    let config = &workshop.config;
    let mut found = Findings::new(arguments);
    let way = arguments.way.choose(&workshop.mappings, config).map_err(Stopped::Told)?;
    let through = |layout: &Layout| way.through(layout, config);
    let replay = Replay::new(workshop.rules.rules(), &config.sets, through)
        .map_err(|faults| Stopped::Told(format!("the rules do not compile: {faults:?}")))?;
    let mut past = Past::open(arguments, config).map_err(Stopped::Told)?;
    let began = clock::instant();
    let mut replay = past.prepare(replay, arguments.firings);
    if arguments.summary != Summing::None {
        replay = replay.measured(Box::new(move || began.elapsed()));
    }
    let mut progress = Progress::new();
    let mut first_unused = None;
    loop {
        let next = past.next(&mut replay).inspect_err(|_| progress.end());
        match next.map_err(Stopped::Told)? {
            Fate::NoMore => break,
            Fate::Unused(unused) => {
                first_unused.get_or_insert(unused);
            }
            Fate::Used | Fate::Waits => {}
        }
        found.take(&replay)?;
        progress.tell(|| past.done(), replay.summary());
    }
    replay.finish(arguments.run_for);
    progress.end();
    found.take(&replay)?;
    found.end(&replay)?;
    match (arguments.summary, arguments.format) {
        (Summing::None, _) => {}
        (Summing::Json, _) => print_error(&summary::json(replay.summary())),
        (Summing::Table, Format::Json) => print_error(&summary::table(replay.summary())),
        (Summing::Table, Format::Table) => {
            found.write(&format!("\n{}", summary::table(replay.summary())))?;
        }
    }
    if let Some(Unused { index, place, advice }) = first_unused {
        let advice = advice.map(|advice| format!(": {advice}")).unwrap_or_default();
        print_error(&format!(
            "the first record that could not be used is number {index}, in {place}{advice}\n"
        ));
    }
    // The summary for programs says it itself.
    if replay.summary().late > 0 && arguments.summary != Summing::Json {
        print_error(&late(replay.summary().late, arguments.kafka.is_some()));
    }
    Ok(replay.summary().clone())
}

/// That records were left out for their order, which may have cost alerts, and what to do.
fn late(records: u64, kafka: bool) -> String {
    let records = counted(records, "record");
    let what_to_do = if kafka {
        "as they would live; `delay` of a source or `lateness` of a rule gives them time"
    } else {
        "so that alerts may be missing: records should come oldest first, and files in order of \
         time; --sort puts them so, and `tac` turns a newest-first file around"
    };
    format!(
        "warning: {records} came too late for the windows of a rule and did not count there, {what_to_do}\n"
    )
}

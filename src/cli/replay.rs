//! `hark replay`: past events through the rules. Which alerts would there have been?

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::input::{Input, named};
use super::table::{counted, grouped, lines};
use super::way::WayArguments;
use super::workshop::Workshop;
use super::{ConfigArguments, print_error, say_error};
use crate::alert::{Alert, Fired};
use crate::base::{Timestamp, clock, duration};
use crate::event::Layout;
use crate::replay::{Firing, Replay, Summary};

/// Rows of a table that are kept to be shown; `--format json` has no such bound.
const ROWS_MAX: usize = 10_000;
/// How often the progress bar moves.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What `hark replay` is told.
#[derive(Debug, Args)]
#[command(
    about = "Run past events through the rules: which alerts would there have been?",
    after_help = "Events are JSON, one a line, in files (also .gz and .zst) or on standard input, and are taken in that\norder; time is theirs: the clock ticks after every record, and after the last one it runs until every\nalert is over. Nobody is notified.\n\n--mapping none takes lines that are in common fields already, dotted or nested, with @timestamp in\nRFC 3339 or epoch milliseconds; an object under \"raw\" is the original record.\n\n--format json writes one object a line: each alert as it stands on the alerts topic, when it is over;\nwith --firings {\"firing\": {\"rule\", \"time\", \"key\": {field: value}, \"index\", \"count\", \"value\"}}, where index\nis the number of the record that fired, from 0, and null when the clock did.\n\nExit code 0: every record was used. 1: one was not, an input could not be read, there are mistakes in\nrules, mappings or configuration, or an alert opened under --deny-alerts.\n\nExamples:\n  hark replay yesterday.jsonl.gz\n  hark replay --rules rules/mine/key-spree.toml --mapping opsknight audit.jsonl\n  hark replay --mapping none --format json --firings events.jsonl\n  hark replay --deny-alerts a-quiet-day.jsonl.gz    for CI"
)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Files of events; `-` or none is standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Rule files or folders instead of the configured rules; may be repeated.
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    way: WayArguments,
    /// How to write what is found.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Every firing of every rule instead of alerts.
    #[arg(long)]
    firings: bool,
    /// How long the clock goes on after the last record, instead of until every alert is over.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    run_for: Option<Duration>,
    /// Exit with 1 if an alert opens.
    #[arg(long)]
    deny_alerts: bool,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
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
    let Some(workshop) = Workshop::open(&arguments.config, &arguments.rules) else {
        return ExitCode::FAILURE;
    };
    match replay(arguments, &workshop) {
        Ok(summary) => {
            let denied = arguments.deny_alerts && summary.alerts() > 0;
            if denied {
                say_error(&format!("{} opened", counted(summary.alerts(), "alert")));
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
    let way = arguments.way.choose(&workshop.mappings).map_err(Stopped::Told)?;
    let through = |layout: &Layout| way.through(layout, config);
    let mut replay = Replay::new(workshop.rules.rules(), &config.sets, through)
        .map_err(|faults| Stopped::Told(format!("the rules do not compile: {faults:?}")))?;
    let mut input = Input::new(&arguments.files, config.limits.bytes);
    let mut progress = Progress::new();
    let mut first_unused = None;
    loop {
        let unused = replay.summary().unused();
        match input.next().map_err(|why| Stopped::Told(why.to_string()))? {
            None => break,
            Some(line) => {
                replay.record(line.record());
                if replay.summary().unused() > unused {
                    let index = replay.summary().records - 1;
                    first_unused.get_or_insert_with(|| (index, named(line.path)));
                }
            }
        }
        found.take(&replay)?;
        progress.tell(&input, replay.summary());
    }
    replay.finish(arguments.run_for);
    progress.end();
    found.take(&replay)?;
    found.end(&replay)?;
    found.summary(replay.summary())?;
    if let Some((index, path)) = first_unused {
        print_error(&format!(
            "the first record that could not be used is number {index}, in {path}\n"
        ));
    }
    Ok(replay.summary().clone())
}

/// What is found, on its way to standard output.
struct Findings<'a> {
    arguments: &'a Arguments,
    out: io::BufWriter<io::Stdout>,
    alerts: Vec<Alert>,
    firings: Vec<Fired>,
    /// Those that there was no room for.
    more: usize,
}

impl<'a> Findings<'a> {
    fn new(arguments: &'a Arguments) -> Self {
        let out = io::BufWriter::new(io::stdout());
        Self { arguments, out, alerts: Vec::new(), firings: Vec::new(), more: 0 }
    }

    /// Takes what the last record led to.
    fn take(&mut self, replay: &Replay) -> io::Result<()> {
        if self.arguments.firings {
            for fired in replay.firings() {
                match self.arguments.format {
                    Format::Json => self.json(&Firing::from(fired))?,
                    Format::Table if self.firings.len() < ROWS_MAX => {
                        self.firings.push(fired.clone());
                    }
                    Format::Table => self.more += 1,
                }
            }
            return Ok(());
        }
        for alert in replay.over() {
            self.alert(alert)?;
        }
        Ok(())
    }

    fn alert(&mut self, alert: &Alert) -> io::Result<()> {
        match self.arguments.format {
            Format::Json => self.json(alert)?,
            Format::Table if self.alerts.len() < ROWS_MAX => self.alerts.push(alert.clone()),
            Format::Table => self.more += 1,
        }
        Ok(())
    }

    /// All has been read: what is still open, and the table.
    fn end(&mut self, replay: &Replay) -> io::Result<()> {
        if !self.arguments.firings {
            let mut open: Vec<&Alert> = replay.open().collect();
            open.sort_by_cached_key(|alert| order(alert));
            for alert in open {
                self.alert(alert)?;
            }
        }
        if self.arguments.format == Format::Table {
            let table = if self.arguments.firings { self.firings() } else { self.alerts() };
            self.out.write_all(table.as_bytes())?;
            if self.more > 0 {
                let more = grouped(self.more as u64);
                writeln!(self.out, "… and {more} more; --format json writes all of them")?;
            }
        }
        self.out.flush()
    }

    fn json(&mut self, what: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, what)?;
        self.out.write_all(b"\n")
    }

    fn alerts(&mut self) -> String {
        self.alerts.sort_by_cached_key(order);
        let row = |alert: &Alert| {
            let over = alert.resolved_at.map_or_else(
                || "open".to_owned(),
                |resolved| duration::print(resolved.since(alert.opened_at)),
            );
            let count = format!("{}{}", if alert.approximate { "≥" } else { "" }, alert.count);
            let (severity, rule) = (alert.severity.to_string(), alert.rule.id.clone());
            let (opened, key) = (alert.opened_at.to_string(), key(&alert.key));
            vec![opened, over, severity, count, rule, key, alert.title.clone()]
        };
        let rows: Vec<_> = self.alerts.iter().map(row).collect();
        let headings = ["OPENED", "OPEN FOR", "SEVERITY", "COUNT", "RULE", "KEY", "TITLE"];
        if rows.is_empty() { "no alerts\n".to_owned() } else { lines(&headings, &[1, 3], &rows) }
    }

    fn firings(&self) -> String {
        let row = |fired: &Fired| {
            let firing = &fired.firing;
            let index =
                firing.position.as_ref().map_or("clock".to_owned(), |p| p.offset.to_string());
            let value = match &firing.value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let (rule, count) = (fired.rule.to_string(), firing.count.to_string());
            vec![firing.time.to_string(), index, rule, key(&fired.key), count, value]
        };
        let rows: Vec<_> = self.firings.iter().map(row).collect();
        let headings = ["TIME", "RECORD", "RULE", "KEY", "COUNT", "VALUE"];
        if rows.is_empty() { "no firings\n".to_owned() } else { lines(&headings, &[1, 4], &rows) }
    }

    /// What each rule made of the records; where programs read the output it goes to standard error.
    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        let text = summarised(summary);
        match self.arguments.format {
            Format::Table => write!(self.out, "\n{text}")?,
            Format::Json => print_error(&text),
        }
        self.out.flush()
    }
}

fn order(alert: &Alert) -> (Timestamp, String, String) {
    (alert.opened_at, alert.rule.id.clone(), key(&alert.key))
}

fn key(key: &BTreeMap<String, serde_json::Value>) -> String {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    key.values().map(text).collect::<Vec<_>>().join(", ")
}

fn summarised(summary: &Summary) -> String {
    use std::fmt::Write as _;

    let (mut rows, mut quiet) = (Vec::new(), 0);
    for (rule, counts) in &summary.rules {
        if counts.matched == 0 && counts.fired == 0 {
            quiet += 1;
            continue;
        }
        let numbers = [counts.matched, counts.unkeyed, counts.late, counts.fired, counts.alerts];
        rows.push([rule.to_string()].into_iter().chain(numbers.map(grouped)).collect());
    }
    // Writing to a String cannot fail.
    let mut text = String::new();
    if !rows.is_empty() {
        let headings = ["RULE", "MATCHED", "NO KEY", "LATE", "FIRED", "ALERTS"];
        text.push_str(&lines(&headings, &[1, 2, 3, 4, 5], &rows));
    }
    if quiet > 0 {
        let _infallible = writeln!(text, "{} matched nothing", counted(quiet, "rule"));
    }
    let times = summary.times.map(|(first, last)| format!(", {first} to {last}"));
    let (records, alerts) =
        (counted(summary.records, "record"), counted(summary.alerts(), "alert"));
    let _infallible = writeln!(text, "{records}{}, {alerts}", times.unwrap_or_default());
    for (reason, (count, index, detail)) in &summary.unusable {
        let (records, reason) = (counted(*count, "record"), reason.code());
        let _infallible =
            writeln!(text, "{records} not used: {reason}, first number {index}: {detail}");
    }
    text
}

/// A bar on a terminal; nothing anywhere else.
struct Progress {
    terminal: bool,
    told: std::time::Instant,
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        let terminal = io::stderr().is_terminal();
        Self { terminal, told: clock::instant(), shown: false }
    }

    fn tell(&mut self, input: &Input, summary: &Summary) {
        // The clock is not asked for each record.
        if !self.terminal || !summary.records.is_multiple_of(256) {
            return;
        }
        if self.told.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.told = clock::instant();
        self.shown = true;
        let bar = match input.total.filter(|total| *total > 0) {
            None => String::new(),
            Some(total) => {
                let done = (input.read() * 100 / total).min(100);
                let full = "━".repeat(usize::try_from(done / 4).unwrap_or(25));
                format!("{full:<25} {done:>3} %  ")
            }
        };
        let time = summary.times.map(|(_, last)| last.to_string()).unwrap_or_default();
        let records = counted(summary.records, "record");
        let alerts = counted(summary.alerts(), "alert");
        print_error(&format!("\r\x1b[K{bar}{records}, {alerts}, {time}"));
    }

    fn end(&self) {
        if self.shown {
            print_error("\r\x1b[K");
        }
    }
}

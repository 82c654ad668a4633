//! `hark demo`: the same daemon as `hark run`, on the embedded broker, with made-up traffic and
//! somebody at the other end of every wire, so that a stranger sees in a minute what Hark does.
//!
//! Real: the configuration, mappings, rules, roles, notifiers and sinks. Made up: what the products
//! write ([`traffic`]) and who receives mail, webhooks and logs ([`receiver`]). Embedded: Kafka.

mod live;
mod receiver;
mod screen;
mod setup;
mod traffic;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use tokio::sync::mpsc;

use self::live::{CHANNEL, Happening, Tape, Threads};
use self::receiver::Receiver;
use self::screen::{Look, Screen};
use self::setup::{Folder, Office, TRAFFIC};
use self::traffic::{DEFAULT_RATE, MAX_RATE, Product, Traffic};
use super::{say, say_error};
use crate::app::{Daemon, Role};
use crate::base::{Clock as _, clock, duration};
use crate::config::{self, Log};

/// How often the status line is drawn.
const DRAW: Duration = Duration::from_millis(250);

/// How often a pipe gets the status, and everybody what was received last.
const REPORT: Duration = Duration::from_secs(10);

/// How long the end waits for what is still on its way.
const DRAIN: Duration = Duration::from_secs(20);

/// Nothing new for this long means that nothing is on its way any more.
const SETTLE: Duration = Duration::from_secs(1);

/// What `hark demo` is told.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0: it ran. 1: it could not start, or had to give up.\n\nExamples:\n  hark demo                                         until Ctrl-C\n  hark demo --for 60s --rate 2000                   a busy minute\n  hark demo --for 60s | tee demo.txt                plain lines for a pipe\n  hark demo --keep my-hark                          leave all of it in a folder, to go on from there"
)]
pub struct Arguments {
    /// Events per second.
    #[arg(long, default_value_t = DEFAULT_RATE, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RATE)))]
    rate: u32,
    /// How long to run, such as 60s; without it, until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    length: Option<Duration>,
    /// The same seed gives the same people and the same attacks.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave configuration, mappings, rules, their samples and the traffic in this new folder, to go
    /// on from there.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// What the daemon may say on standard error, such as `info` or `hark=debug`.
    #[arg(long, value_name = "FILTER", default_value = "error")]
    log: String,
}

/// Runs the demo.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match prepared(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn prepared(arguments: &Arguments) -> anyhow::Result<()> {
    super::run::start_log(&Log { json: false, filter: arguments.log.clone() })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(play(arguments))
}

async fn play(arguments: &Arguments) -> anyhow::Result<()> {
    let office = Office::at(clock::System.now());
    let receiver = Receiver::start().await.context("cannot listen on the loopback address")?;
    let folder = Folder::create(arguments.keep.as_deref())
        .and_then(|folder| folder.fill().map(|()| folder))
        .context("cannot write the demo's configuration")?;
    let daemon = start(&folder, &office, &receiver).await?;
    let admin = daemon.admin().context("the admin interface is not there")?;

    let mut screen = Screen::new(Look::of_stdout());
    let text = banner(&screen, arguments, &office, &receiver, admin, &folder);
    screen.show(&text);
    let (tell, told) = mpsc::channel(CHANNEL);
    let traffic = Traffic::new(arguments.seed, clock::System.now(), office.night, arguments.rate);
    let cluster = daemon.cluster();
    let tape = folder.traffic().map(|path| Tape::create(&path)).transpose();
    let tape = tape.context("cannot write the demo's traffic")?;
    let threads = Threads::start(cluster, traffic, tape, &daemon.topics().alerts, &tell)?;
    drop(tell);

    let began = clock::instant();
    let outcome = watch(arguments.length, told, &threads, &receiver, &daemon, &mut screen).await;
    let took = began.elapsed();
    // They end within a poll: the channel was closed with `watch`.
    let joined = tokio::task::spawn_blocking(move || threads.stop()).await;
    let stopped = daemon.stop().await;
    screen.clear();
    let text = screen.summary(took, &receiver.received());
    screen.show(&text);
    let text = next(&screen, &folder);
    screen.show(&text);
    outcome.and(stopped).and(joined.map_err(Into::into))
}

/// The daemon, from the folder's configuration and the receivers, as `hark run` would start it.
async fn start(folder: &Folder, office: &Office, receiver: &Receiver) -> anyhow::Result<Daemon> {
    let loaded = config::load(&folder.layers(office, receiver)?);
    say(&loaded.found);
    let config = loaded.config.context("the demo's own configuration has errors")?;
    Daemon::start(config, &Role::ALL, Arc::new(clock::System)).await.map_err(|failure| {
        say(&failure.found);
        failure.error
    })
}

/// Shows what happens until the time is over, Ctrl-C or a failure; then waits for what is on its way.
async fn watch(
    length: Option<Duration>,
    mut told: mpsc::Receiver<Happening>,
    threads: &Threads,
    receiver: &Receiver,
    daemon: &Daemon,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    let began = clock::instant();
    let mut draw = tokio::time::interval(DRAW);
    let mut report = tokio::time::interval_at((began + REPORT).into(), REPORT);
    let mut rate = Rate::new(began);
    let over = async {
        match length {
            Some(length) => tokio::time::sleep(length).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let interrupted = super::run::told_to_stop();
    tokio::pin!(interrupted);
    let mut end: Option<Instant> = None;
    let mut settled = (receiver.received(), began);
    loop {
        tokio::select! {
            happening = told.recv() => match happening {
                Some(Happening::Failed(error)) => return Err(error),
                Some(happening) => show(screen, began.elapsed(), happening),
                None => return Ok(()),
            },
            _ = draw.tick() => {
                let per_second = rate.at(clock::instant(), screen.written());
                let status = screen.status(began.elapsed(), per_second, &receiver.received());
                screen.draw(&status);
            }
            _ = report.tick() => {
                let received = receiver.received();
                if !screen.is_live() {
                    let status = screen.status(began.elapsed(), rate.latest, &received);
                    screen.show(&status);
                }
                let latest = screen.latest(&received);
                screen.show(&latest);
            }
            () = &mut over, if end.is_none() => end = Some(clock::instant()),
            _ = &mut interrupted, if end.is_none() => end = Some(clock::instant()),
            error = daemon.failure() => return Err(error),
        }
        if screen.is_gone() {
            return Ok(());
        }
        let Some(end) = end else { continue };
        threads.stop_writing();
        let received = receiver.received();
        if received != settled.0 {
            settled = (received, clock::instant());
        }
        let arrived = settled.0.splunk.records.min(settled.0.datadog.records);
        let complete = arrived >= screen.written() && settled.1.elapsed() > SETTLE;
        if complete || end.elapsed() > DRAIN {
            return Ok(());
        }
    }
}

fn show(screen: &mut Screen, since_start: Duration, happening: Happening) {
    match happening {
        Happening::Wrote(product, count) => screen.wrote(product, count),
        Happening::Note(product, note) => {
            let line = screen.note(since_start, product, &note);
            screen.show(&line);
        }
        Happening::Alert(alert) => {
            if let Some(line) = screen.alert(since_start, &alert) {
                screen.show(&line);
            }
        }
        // Ends the loop before it gets here.
        Happening::Failed(_) => {}
    }
}

/// Events per second, over the last second or so.
struct Rate {
    since: Instant,
    written: u64,
    latest: f64,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { since: now, written: 0, latest: 0.0 }
    }

    fn at(&mut self, now: Instant, written: u64) -> f64 {
        let took = now.duration_since(self.since);
        if took >= Duration::from_secs(1) {
            let events = u32::try_from(written - self.written).unwrap_or(u32::MAX);
            self.latest = f64::from(events) / took.as_secs_f64();
            (self.since, self.written) = (now, written);
        }
        self.latest
    }
}

fn banner(
    screen: &Screen,
    arguments: &Arguments,
    office: &Office,
    receiver: &Receiver,
    admin: SocketAddr,
    folder: &Folder,
) -> String {
    let products: Vec<_> = Product::ALL.iter().map(|product| product.title()).collect();
    let (last, others) = products.split_last().map_or(("", &[][..]), |(l, o)| (*l, o));
    let line =
        |name: &str, text: String| format!("  {}  {text}\n", screen.dim(&format!("{name:<9}")));
    let length = arguments.length.map_or_else(
        || "until Ctrl-C".to_owned(),
        |length| format!("for {}", screen::words(length)),
    );
    [
        format!("{}  {length}\n\n", screen.bold("hark demo")),
        line(
            "traffic",
            format!(
                "made up: {} and {last}, {} events/s, seed {}",
                others.join(", "),
                arguments.rate,
                arguments.seed
            ),
        ),
        line(
            "",
            format!(
                "the office is in {}, where it is {}; business hours are 06:00-22:00",
                office.city(),
                office.wall
            ),
        ),
        line("daemon", "real: the mappings, rules, notifiers and sinks of `hark run`".to_owned()),
        line(
            "Kafka",
            "embedded: in this process, keeps the last 5 MB of a partition, forgets all at the end"
                .to_owned(),
        ),
        line(
            "receivers",
            format!(
                "played: webhook, Splunk and Datadog on http://{}, mail on {}",
                receiver.http, receiver.smtp
            ),
        ),
        line(
            "look",
            format!("http://{admin}/metrics  http://{admin}/readyz  {}", folder.config().display()),
        ),
    ]
    .concat()
        + "\n"
}

/// What to type after the demo: commands that work as they stand.
fn next(screen: &Screen, folder: &Folder) -> String {
    let line = |command: &str, what: &str| format!("  {command:<66} {what}");
    let mut lines = vec![String::new(), screen.dim("  next")];
    if folder.is_kept() {
        // The topic says which product wrote it where two of them write alike.
        let topic = Product::OpsKnight.topic();
        let replay = format!("hark replay --topic {topic} {TRAFFIC}/{topic}.jsonl");
        lines.extend([
            line(&format!("cd {}", quoted(folder.path())), "the rules are in rules/, change one"),
            line("hark check", "are configuration, mappings and rules right?"),
            line("hark test", "do the rules still hold the tests they carry?"),
            line(&replay, "which alerts does the traffic come to now?"),
            line("hark run", "alerts go to its log; with"),
            line("  --set kafka.bootstrap=localhost:9092", "on a Kafka of yours"),
        ]);
    } else {
        lines.extend([
            line("hark demo --keep my-hark", "leaves rules, samples and traffic, to play with"),
            line("hark --help", "everything else"),
        ]);
    }
    lines.join("\n")
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_would_read_it_otherwise() {
        let quoted = |path: &str| quoted(Path::new(path));
        assert_eq!(quoted("../my-hark"), "../my-hark");
        assert_eq!(quoted("it's mine"), r"'it'\''s mine'");
    }

    #[test]
    fn the_rate_is_that_of_the_last_second() {
        let start = clock::instant();
        let mut rate = Rate::new(start);
        assert!(rate.at(start + Duration::from_millis(500), 400) < 1.0, "too early to say");
        assert!((rate.at(start + Duration::from_secs(2), 600) - 300.0).abs() < 0.01);
        assert!((rate.at(start + Duration::from_secs(3), 700) - 100.0).abs() < 0.01);
    }
}

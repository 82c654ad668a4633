//! `hark run`: the daemon, until it is told to stop.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{ConfigArguments, say, say_error};
use crate::app::{Daemon, Role};
use crate::base::clock;
use crate::config::{Log, Purpose};

/// What `hark run` is told.
#[derive(Debug, Args)]
#[command(
    about = "Run the daemon: consume, detect, notify, forward.",
    after_help = "SIGTERM, SIGHUP and Ctrl-C stop it in good order: what was read is finished and committed.\nExit code 0: stopped when told to. 1: could not start, or had to give up; the last log line says why.\n\nExamples:\n  hark run\n  hark run --config /etc/hark/hark.toml\n  hark run --role match,correlate --set kafka.bootstrap=localhost:9092"
)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Roles to run in this process: match, correlate, notify, deliver.
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<Role>,
}

/// Runs until told to stop.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Some(loaded) = arguments.config.load(Purpose::Run) else { return ExitCode::FAILURE };
    say(&loaded.found);
    let Some(config) = loaded.config else {
        say_error("the configuration has errors; nothing was started");
        return ExitCode::FAILURE;
    };
    if let Err(error) = start_log(&config.log) {
        say_error(&format!("cannot start the log: {error}"));
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say_error(&format!("cannot start threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let roles =
        if arguments.roles.is_empty() { Role::ALL.to_vec() } else { arguments.roles.clone() };
    if config.kafka.is_embedded() && !Role::ALL.iter().all(|role| roles.contains(role)) {
        say_error(
            "an embedded broker is reached by nobody but this process, so the roles that are left out would be done by no one: run all of them, or set kafka.bootstrap",
        );
        return ExitCode::FAILURE;
    }
    let outcome = runtime.block_on(async {
        // Heard from the beginning: in a container, where it is the first process, an order that
        // nobody listens to is not carried out but lost, and starting may take a while.
        let mut told = std::pin::pin!(told_to_stop());
        let started = tokio::select! {
            // In this order: what begins second could be told before anybody listens.
            biased;
            signal = &mut told => {
                tracing::info!(signal, "told to stop while starting");
                return Ok(());
            }
            started = Daemon::start(config, &roles, Arc::new(clock::System)) => started,
        };
        let daemon = match started {
            Ok(daemon) => daemon,
            Err(failure) => {
                say(&failure.found);
                return Err(failure.error);
            }
        };
        let failure = tokio::select! {
            signal = told => {
                tracing::info!(signal, "stopping");
                None
            }
            failure = daemon.failure() => {
                tracing::info!("stopping");
                Some(failure)
            }
        };
        let stopped = daemon.stop().await;
        failure.map_or(stopped, Err)
    });
    // What still waits for a broker is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            say_error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The daemon's own log, on standard error.
pub(super) fn start_log(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A terminal that was closed takes the log with it: to complain there would be a panic.
        .log_internal_errors(false);
    let started = if log.json {
        subscriber.json().flatten_event(true).try_init()
    } else {
        subscriber.with_ansi(super::colour(&std::io::stderr())).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("{error}"))
}

/// Ends at the first SIGTERM, Ctrl-C, or SIGHUP (its terminal was closed), with the signal's name.
pub(super) async fn told_to_stop() -> &'static str {
    use tokio::signal::unix::SignalKind;
    // Whoever starts it with `nohup` wants it to outlive the terminal.
    let hangup = async {
        if hangup_is_ignored() {
            std::future::pending::<()>().await;
        }
        one(SignalKind::hangup(), "SIGHUP").await;
    };
    tokio::select! {
        () = one(SignalKind::terminate(), "SIGTERM") => "SIGTERM",
        () = one(SignalKind::interrupt(), "Ctrl-C") => "Ctrl-C",
        () = hangup => "SIGHUP",
    }
}

/// Ends at the first signal of a kind.
async fn one(kind: tokio::signal::unix::SignalKind, name: &str) {
    match tokio::signal::unix::signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "cannot listen for {name}");
            std::future::pending::<()>().await;
        }
    }
}

/// Whether this process was started to take no notice of SIGHUP. Linux alone says so.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit of the mask is that of signal 1.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|m| m & 1 == 1)
}

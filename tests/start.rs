//! Starting, when something is in the way.
#![expect(clippy::disallowed_methods, reason = "tests measure time as it passes")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[path = "support/program.rs"]
mod program;

/// `hark run` with the shipped configuration, on a Kafka where nobody answers.
fn run(arguments: &[&str]) -> Command {
    let mut command = program::command();
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["run", "--set", "kafka.bootstrap=127.0.0.1:1"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_taken_admin_address_is_told_before_anything_is_begun() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("admin.listen={}", taken.local_addr().unwrap());
    let ended = run(&["--set", &listen]).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("admin.listen") && !told.contains("127.0.0.1:1 "), "{told}");
}

#[test]
fn an_order_to_stop_is_heard_while_hark_waits_for_kafka() {
    let mut hark = run(&["--set", "admin.listen=127.0.0.1:0", "--set", "kafka.connect_timeout=5m"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(hark.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("admin interface listens")));
    let begun = Instant::now();
    let sent = Command::new("kill").args(["-TERM", &hark.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let ended = hark.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "{:?}", lines.collect::<Vec<_>>());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn some_of_the_roles_are_refused_on_a_broker_that_nobody_else_can_reach() {
    let ended = run(&["--set", "kafka.bootstrap=embedded", "--role", "match,deliver"]).output();
    let ended = ended.unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("run all of them, or set kafka.bootstrap"), "{told}");
}

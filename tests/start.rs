//! Starting, when something is in the way.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests measure time as it passes, and may panic"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
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
    send("-TERM", &hark);
    let ended = hark.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "{:?}", lines.collect::<Vec<_>>());
    // Long before `connect_timeout`, on however slow a machine.
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}

fn send(signal: &str, to: &Child) {
    let sent = Command::new("kill").args([signal, &to.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn what_is_counted_is_shown_from_the_start_at_0() {
    let mut hark = run(&["--set", "kafka.bootstrap=embedded", "--set", "admin.listen=127.0.0.1:0"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(hark.stderr.take().unwrap()).lines().map(Result::unwrap);
    let listens = lines.find(|line| line.contains("admin interface listens")).unwrap();
    assert!(lines.any(|line| line.contains("hark runs")));
    let address = listens.split("127.0.0.1:").nth(1).unwrap().trim();
    let mut admin = TcpStream::connect(format!("127.0.0.1:{address}")).unwrap();
    admin.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut shown = String::new();
    admin.read_to_string(&mut shown).unwrap();
    for line in [
        r#"hark_alerts_total{rule="common/failed-logins",status="opened"} 0"#,
        r#"hark_matches_total{rule="common/failed-logins"} 0"#,
        r#"hark_dead_letters_total{reason="no_mapping"} 0"#,
        r#"hark_dead_letters_total{reason="rejected"} 0"#,
        r#"hark_events_total{mapping="opsknight"} 0"#,
        r#"hark_notifications_total{notifier="console",outcome="blocked"} 0"#,
        concat!(r#"hark_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "no `{line}` in\n{shown}");
    }
    send("-TERM", &hark);
    let rest: Vec<String> = lines.collect();
    assert_eq!(hark.wait().unwrap().code(), Some(0), "{rest:?}");
}

/// `hark run` on its own broker, started through another program, and its log up to where it runs.
fn running(through: &[&str]) -> (Child, impl Iterator<Item = String>) {
    let hark = env!("CARGO_BIN_EXE_hark");
    let mut words = through.iter().copied().chain([hark, "run"]);
    let mut hark = Command::new(words.next().unwrap())
        .args(words)
        .args(["--set", "admin.listen=127.0.0.1:0"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(hark.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("hark runs")));
    (hark, lines)
}

#[test]
fn who_starts_it_without_rules_or_mappings_is_warned() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("x.toml"),
        "rules = 'none'\nmappings = 'none'\n[sources.a]\n",
    )
    .unwrap();
    std::fs::create_dir(folder.path().join("none")).unwrap();
    let config = folder.path().join("x.toml");
    let mut hark =
        run(&["--config", config.to_str().unwrap(), "--set", "kafka.connect_timeout=1ms"]);
    let ended = hark.output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    for what in ["no rule file", "no mapping file"] {
        let warned = |line: &&str| line.contains("WARN") && line.contains(what);
        assert_eq!(told.lines().filter(warned).count(), 1, "{told}");
    }
}

#[test]
fn a_closed_terminal_stops_it_in_good_order() {
    let (mut hark, lines) = running(&[]);
    send("-HUP", &hark);
    let rest: Vec<String> = lines.collect();
    assert_eq!(hark.wait().unwrap().code(), Some(0), "{rest:?}");
    assert!(
        rest.iter().any(|line| line.contains("stopping") && line.contains("SIGHUP")),
        "{rest:?}"
    );
    assert!(rest.iter().any(|line| line.contains("stopped")), "{rest:?}");
}

#[test]
fn it_stops_in_good_order_when_nobody_is_left_to_read_its_log() {
    let (mut hark, lines) = running(&[]);
    drop(lines);
    send("-HUP", &hark);
    assert_eq!(hark.wait().unwrap().code(), Some(0));
}

#[test]
fn who_starts_it_with_nohup_keeps_it_when_the_terminal_closes() {
    let (mut hark, lines) = running(&["nohup"]);
    send("-HUP", &hark);
    send("-TERM", &hark);
    let rest: Vec<String> = lines.collect();
    assert_eq!(hark.wait().unwrap().code(), Some(0), "{rest:?}");
    assert!(
        rest.iter().any(|line| line.contains("stopping") && line.contains("SIGTERM")),
        "{rest:?}"
    );
}

#[test]
fn some_of_the_roles_are_refused_on_a_broker_that_nobody_else_can_reach() {
    let ended = run(&["--set", "kafka.bootstrap=embedded", "--role", "match,deliver"]).output();
    let ended = ended.unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("run all of them, or set kafka.bootstrap"), "{told}");
}

//! Records that nobody can use: each becomes a dead letter with reason, place and bytes, and the
//! records around it do their work. What the admin interface says of it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::recount::{HOUR, recount};
use crate::stage::{Stage, Wishes, now, position};
use crate::support::{java, kafka, kcat};
use crate::traffic::{Act, Deed, Product};

const LIMITS: &str = "[limits]\nevent_bytes = 5000\nevent_depth = 20\n";

/// Bytes of a record, and the reason why it cannot be used.
fn bad_records() -> Vec<(Vec<u8>, &'static str)> {
    let row = |id: &str, more: &str| {
        format!(
            r#"{{"id":"{id}","action":"LOGIN_FAILED","entityId":"bad@x.example"{more},"createdAt":"2026-01-05T12:00:00Z"}}"#
        )
    };
    let deep = format!(r#","details":{}1{}"#, r#"{"a":"#.repeat(30), "}".repeat(30));
    let big = format!(r#","details":{{"note":"{}"}}"#, "é".repeat(5000));
    let mut broken = row("broken", "").into_bytes();
    let at = broken.iter().position(|byte| *byte == b'@').unwrap();
    broken[at] = 0xff;
    vec![
        (b"{oops".to_vec(), "not_json"),
        (b"LOGIN_FAILED bad@x.example".to_vec(), "not_json"),
        (broken, "not_utf8"),
        (row("deep", &deep).into_bytes(), "too_deep"),
        (row("big", &big).into_bytes(), "too_big"),
        (row("twice", r#","createdAt":"2026-01-05T11:00:00Z""#).into_bytes(), "duplicate_key"),
        (row("when", "").replace("2026-01-05T12:00:00Z", "yesterday").into_bytes(), "bad_time"),
    ]
}

#[test]
fn bad_records_become_dead_letters_and_the_good_ones_around_them_alert() {
    let topics = vec!["audit.opsknight", "audit.unheard-of"];
    let wishes = Wishes { topics, more: LIMITS.to_owned(), ..Wishes::default() };
    let stage = Stage::new(kafka(), &wishes);
    let bad = bad_records();
    let mut lines = Vec::new();
    let mut records: Vec<Vec<u8>> = Vec::new();
    for (n, (record, _)) in (0_u8..).zip(&bad) {
        let (product, deed) = (Product::OpsKnight, Deed::FailedLogin);
        let (who, address, number) = ("victim", "203.0.113.9", usize::from(n));
        let time = now() - 60_000 + 100 * i64::from(n);
        let line = Act { product, deed, who, address, time, number }.line("k").unwrap();
        records.extend([line.payload.clone().into_bytes(), record.clone()]);
        lines.push(line);
    }
    // Good and bad by turns, in one partition.
    let opsknight = stage.topic("audit.opsknight");
    kcat::produce(&stage.bootstrap, &opsknight, &["-p", "0"], &records);
    kcat::produce(&stage.bootstrap, &stage.topic("audit.unheard-of"), &[], [r#"{"hello":1}"#]);

    let running = stage.start();
    let expected = recount(&lines, &(now() - 24 * HOUR..now() + HOUR), now());
    assert_eq!(expected.len(), 1);
    let alerts = stage.alerts_are(&expected);
    stage.all_told(&alerts, false);
    stage.all_forwarded();

    let letters = stage.dead_letters();
    let found: BTreeSet<_> = letters
        .iter()
        .map(|letter| (position(letter), letter["reason"].as_str().unwrap(), bytes(letter)))
        .collect();
    let mut wanted: BTreeSet<_> = bad
        .iter()
        .enumerate()
        .map(|(n, (record, reason))| {
            (format!("{opsknight}:0:{}", 2 * n + 1), *reason, record.clone())
        })
        .collect();
    let unmapped = letters.iter().find(|letter| letter["reason"] == "no_mapping").unwrap();
    assert!(position(unmapped).starts_with(&stage.topic("audit.unheard-of")));
    wanted.insert((position(unmapped), "no_mapping", br#"{"hello":1}"#.to_vec()));
    assert_eq!(found, wanted);
    assert_eq!(letters.len(), wanted.len(), "none twice");
    assert!(letters.iter().all(|letter| !letter["detail"].as_str().unwrap().is_empty()));

    let (status, metrics) = running.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        r#"hark_dead_letters_total{reason="not_json"} 2"#.to_owned(),
        r#"hark_dead_letters_total{reason="not_utf8"} 1"#.to_owned(),
        r#"hark_dead_letters_total{reason="no_mapping"} 1"#.to_owned(),
        format!(r#"hark_events_total{{mapping="opsknight"}} {}"#, lines.len()),
        r#"hark_alerts_total{rule="common/failed-logins",status="opened"} 1"#.to_owned(),
        r#"hark_notifications_total{notifier="people",outcome="delivered"} 1"#.to_owned(),
        r#"hark_notifications_total{notifier="bot",outcome="delivered"} 1"#.to_owned(),
    ] {
        assert!(metrics.contains(&line), "no `{line}` in\n{metrics}");
    }
    promtool(&metrics);
    assert_eq!(running.get("/healthz"), (200, "ok\n".to_owned()));
    running.is_ready();
    assert_eq!(running.get("/nowhere").0, 404);
    running.stop();
    stage.nothing_twice();
}

/// The payload that a dead letter has kept.
fn bytes(letter: &Value) -> Vec<u8> {
    match (&letter["payload"], &letter["payload_base64"]) {
        (Value::String(text), Value::Null) => text.clone().into_bytes(),
        (Value::Null, Value::String(text)) => STANDARD.decode(text).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Prometheus' own tool finds nothing to say.
fn promtool(metrics: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    promtool.stderr(Stdio::piped());
    let mut child =
        promtool.spawn().unwrap_or_else(|error| java::missing(&promtool, "prometheus", &error));
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "promtool says: {said}\n{metrics}");
}

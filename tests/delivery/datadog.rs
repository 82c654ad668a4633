//! Datadog's log intake, against a double that counts as Datadog documents it.

use expect_test::expect;
use hark::base::clock::System;
use hark::base::{Clock as _, Severity, Timestamp};
use hark::delivery::{Batch, ForwardedKind, Pushed, Verdict};

use super::made::{self, QUICK};
use super::support::datadog::Datadog;

fn settings(datadog: &Datadog, more: &str) -> String {
    format!(
        "[sinks.dd.datadog_logs]\nurl = '{}'\napi_key = {{ env = 'DD_KEY' }}\n{QUICK}{more}",
        datadog.url()
    )
}

#[tokio::test]
async fn an_event_is_an_attribute_letter_by_letter_beside_what_names_it() {
    let datadog = Datadog::start();
    let more = "tags = ['env:prod', 'team:sec']\nhostname = 'h1'\nsource = 'audit'\n";
    let sink = made::sink(&settings(&datadog, more));
    let written = r#"{"service":"theirs", "status":"ok",  "timestamp":1, "a":1, "a":2}"#;
    let record = made::record("evt-1", written.as_bytes());
    assert_eq!(sink.deliver(std::slice::from_ref(&record)).await, [Verdict::Delivered]);
    let log = datadog.logs().remove(0);
    assert_eq!(log.audit.unwrap().get(), written);
    assert_eq!((log.event_id.as_str(), log.message.as_deref()), ("evt-1", Some("evt-1")));
    assert_eq!(log.timestamp, Some(record.time.as_millis()));
    assert_eq!((log.ddsource.as_str(), log.service.as_deref()), ("audit", Some("opsknight")));
    assert_eq!(log.ddtags.as_deref(), Some("env:prod,team:sec"));
    assert_eq!((log.hostname.as_deref(), log.status), (Some("h1"), None));
    let hark = serde_json::json!({
        "kind": "event", "time": record.time, "dataset": "opsknight",
        "topic": "audit", "partition": 3, "offset": 42,
    });
    assert_eq!(log.hark, hark);
}

#[tokio::test]
async fn an_alert_has_a_message_and_a_status() {
    let datadog = Datadog::start();
    let sink = made::sink(&settings(&datadog, "service = 'audit'\n"));
    let mut alert = made::record("alert-1:1", b"{\"id\":\"alert-1\"}");
    alert.kind = ForwardedKind::Alert;
    alert.severity = Some(Severity::Medium);
    alert.title = "Many failed logins";
    sink.deliver(&[alert]).await;
    let log = datadog.logs().remove(0);
    assert_eq!(log.alert.unwrap().get(), "{\"id\":\"alert-1\"}");
    assert_eq!(log.message.as_deref(), Some("Many failed logins"));
    assert_eq!((log.status.as_deref(), log.service.as_deref()), (Some("warning"), Some("audit")));
}

#[tokio::test]
async fn a_record_longer_than_datadog_keeps_says_that_it_was_cut() {
    for filler in ["x", "\\\"", "\\u0001", "😀", "\\\\"] {
        let datadog = Datadog::start();
        let sink = made::sink(&settings(&datadog, ""));
        let big = format!("{{\"a\":\"{}\"}}", filler.repeat(1_100_000 / filler.len()));
        let texts = format!("\u{1}\"\\{}", filler.repeat(1_100_000 / filler.len()));
        for payload in [&big, &texts] {
            let verdicts = sink.deliver(&[made::record("big", payload.as_bytes())]).await;
            assert_eq!(verdicts, [Verdict::Delivered]);
        }
        assert_eq!(datadog.spoilt(), Vec::<String>::new(), "{filler}");
        for (log, payload) in datadog.logs().iter().zip([&big, &texts]) {
            assert_eq!(log.hark["original_bytes"], payload.len());
            let message = log.message.as_ref().unwrap();
            assert!(payload.starts_with(message.as_str()), "the beginning, whole characters");
            assert!(message.len() > 150_000, "as much as fits: {}", message.len());
        }
    }
}

#[tokio::test]
async fn what_is_older_than_datadog_takes_keeps_its_time_in_an_attribute() {
    let datadog = Datadog::start();
    let sink = made::sink(&settings(&datadog, ""));
    let mut old = made::record("old", b"{}");
    old.time = Timestamp::parse("2026-01-05T12:00:00.5Z").unwrap();
    sink.deliver(&[old, made::record("new", b"{}")]).await;
    assert_eq!(datadog.spoilt(), Vec::<String>::new());
    let logs = datadog.logs();
    assert_eq!(logs[0].timestamp, None);
    assert_eq!(logs[0].hark["time"], "2026-01-05T12:00:00.500Z");
    assert!(logs[1].timestamp.is_some());
}

#[tokio::test]
async fn full_batches_stay_under_the_limits_whatever_needs_escaping() {
    let datadog = Datadog::start();
    let sink = made::sink(&settings(&datadog, "batch = { bytes = 5000000 }\n"));
    let nasty = "\u{1}\"\\\u{7f}😀".repeat(500);
    let record = made::record("n", nasty.as_bytes());
    let mut sent = 0;
    for _ in 0..3 {
        let mut batch = Batch::new(sink.configured.sink.framing(), sink.configured.batch);
        while batch.push(sink.configured.sink.as_ref(), &record, System.now()) == Pushed::Added {}
        sent += batch.len();
        let batch = std::sync::Arc::new(batch);
        let verdicts =
            sink.destination.deliver(sink.configured.sink.as_ref(), &batch, &sink.stop.1).await;
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Delivered));
    }
    assert_eq!(datadog.server.count(), 3, "no batch had to be split");
    assert_eq!(datadog.count(), sent);
    for request in datadog.server.requests() {
        let bytes = request.decoded().unwrap().len();
        assert!((4_900_000..=5_000_000).contains(&bytes), "full, and not too full: {bytes}");
    }
}

#[tokio::test]
async fn one_poison_log_dies_alone() {
    let datadog = Datadog::start();
    datadog.poison("poison");
    let sink = made::sink(&settings(&datadog, ""));
    let records: Vec<_> = (0..1000)
        .map(|n| made::record("x", if n == 999 { b"{\"poison\":1}" } else { b"{\"other_\":1}" }))
        .collect();
    let mut verdicts = sink.deliver(&records).await;
    assert!(matches!(verdicts.pop(), Some(Verdict::Rejected(why)) if why.contains("400")));
    assert_eq!(verdicts, vec![Verdict::Delivered; 999]);
    assert_eq!(datadog.count(), 999);
}

#[test]
fn every_mistake_in_its_table_gets_a_caret() {
    let text = "[sinks.dd.datadog_logs]
site = 'datadog.eu'
api_key = { file = '/nowhere/key' }
tags = ['a,b', 5]
batch = { records = 1001 }
";
    expect![[r#"
        error[bad-site]: unknown site `datadog.eu`
         --> hark.toml:2:8
          |
        2 | site = 'datadog.eu'
          |        ^^^^^^^^^^^^
          |
          = help: did you mean `datadoghq.eu`?

        error[missing-secret]: cannot read `/nowhere/key`: No such file or directory (os error 2)
         --> hark.toml:3:20
          |
        3 | api_key = { file = '/nowhere/key' }
          |                    ^^^^^^^^^^^^^^
          |
          = help: set the variable or mount the file where Hark runs

        error[bad-tag]: expected a tag such as `env:prod`, found `a,b`
         --> hark.toml:4:9
          |
        4 | tags = ['a,b', 5]
          |         ^^^^^

        error[wrong-type]: `tags`: expected a string, found an integer
         --> hark.toml:4:16
          |
        4 | tags = ['a,b', 5]
          |                ^ expected a string

        error[out-of-range]: expected at most 1000, found `1001`
         --> hark.toml:5:21
          |
        5 | batch = { records = 1001 }
          |                     ^^^^

    "#]]
    .assert_eq(&made::mistakes(text));
}

//! Splunk's HTTP Event Collector, against a double that answers as Splunk documents it.

use std::time::Duration;

use expect_test::expect;
use hark::base::Severity;
use hark::delivery::{ForwardedKind, State, Verdict};

use super::made::{self, QUICK};
use super::support::hec::{Hec, Indexed};
use super::support::http::Reply;

fn settings(hec: &Hec, more: &str) -> String {
    format!(
        "[sinks.siem.splunk_hec]\nurl = '{}'\ntoken = {{ env = 'HEC_TOKEN' }}\n{QUICK}{more}",
        hec.url()
    )
}

#[tokio::test]
async fn an_event_arrives_as_it_was_written_with_what_names_it() {
    let hec = Hec::start();
    let sink = made::sink(&settings(&hec, "index = 'audit'\nhost = 'h1'\n"));
    let written = r#"{"b": 1e999,  "a":"ü\ud83d\ude00", "a":2}"#;
    let verdicts = sink.deliver(&[made::record("evt-1", written.as_bytes())]).await;
    assert_eq!(verdicts, [Verdict::Delivered]);
    let indexed = hec.indexed().remove(0);
    assert_eq!(indexed.event(), written);
    assert_eq!(indexed.id(), "evt-1");
    assert_eq!(indexed.fields["topic"], "audit");
    assert_eq!(indexed.fields["dataset"], "opsknight");
    assert!(indexed.time.to_string().ends_with(".12"), "{}", indexed.time);
    let meta = (indexed.index, indexed.host, indexed.source, indexed.sourcetype);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(meta, (some("audit"), some("h1"), some("hark"), some("hark:audit")));
}

#[tokio::test]
async fn an_alert_has_its_own_source_type_and_severity() {
    let hec = Hec::start();
    let sink = made::sink(&settings(&hec, ""));
    let mut alert = made::record("alert-1:1", b"{\"id\":\"alert-1\"}");
    alert.kind = ForwardedKind::Alert;
    alert.severity = Some(Severity::High);
    sink.deliver(&[alert]).await;
    let indexed = hec.indexed().remove(0);
    assert_eq!(indexed.sourcetype.as_deref(), Some("hark:alert"));
    assert_eq!(indexed.fields["severity"], "high");
    assert_eq!(indexed.index, None);
}

#[tokio::test]
async fn what_is_no_json_object_arrives_as_text() {
    let hec = Hec::start();
    let sink = made::sink(&settings(&hec, ""));
    let records: Vec<_> = [b"plain \"text\"".as_slice(), b"[1]", b"{\"a\":", b"\xff\xfe", b"7"]
        .into_iter()
        .map(|payload| made::record("x", payload))
        .collect();
    assert_eq!(sink.deliver(&records).await, vec![Verdict::Delivered; 5]);
    let events: Vec<_> = hec.indexed().iter().map(|i| i.event().to_owned()).collect();
    assert_eq!(
        events,
        [r#""plain \"text\"""#, "\"[1]\"", "\"{\\\"a\\\":\"", "\"\u{fffd}\u{fffd}\"", "\"7\""]
    );
}

#[tokio::test]
async fn the_event_that_splunk_names_is_dead_and_its_999_neighbours_arrive() {
    for names_the_event in [true, false] {
        for code in [6, 12, 13, 15] {
            let hec = Hec::start();
            hec.poison("poison", code, names_the_event);
            let sink = made::sink(&settings(&hec, ""));
            let ids: Vec<_> = (0..1000).map(|n| format!("id-{n:03}")).collect();
            let records: Vec<_> = ids
                .iter()
                .map(|id| {
                    let payload: &[u8] =
                        if id == "id-700" { b"{\"poison\":1}" } else { b"{\"n\":1}" };
                    made::record(id, payload)
                })
                .collect();
            let verdicts = sink.deliver(&records).await;
            for (id, verdict) in ids.iter().zip(&verdicts) {
                let dead = matches!(verdict, Verdict::Rejected(_));
                assert_eq!(dead, id == "id-700", "{id}: {verdict:?}");
            }
            // What stood before the refused one was indexed and came again, under the same id.
            let mut arrived: Vec<_> = hec.indexed().iter().map(Indexed::id).collect();
            arrived.sort();
            arrived.dedup();
            let expected: Vec<_> = ids.iter().filter(|id| *id != "id-700").cloned().collect();
            assert_eq!(arrived, expected);
            let requests = hec.server.count();
            assert!(requests <= if names_the_event { 4 } else { 24 }, "{requests} requests");
        }
    }
}

#[tokio::test]
async fn a_batch_above_the_servers_limit_is_split_until_it_fits() {
    let hec = Hec::start();
    hec.max_content_length(2_000);
    let sink = made::sink(&settings(&hec, ""));
    let big = format!("{{\"big\":\"{}\"}}", "x".repeat(5_000));
    let mut records = vec![made::record("small", b"{\"n\":1}"); 50];
    records.push(made::record("big", big.as_bytes()));
    let mut verdicts = sink.deliver(&records).await;
    let last = verdicts.pop().unwrap();
    assert!(matches!(last, Verdict::Rejected(why) if why.contains("413")));
    assert_eq!(verdicts, vec![Verdict::Delivered; 50]);
    assert_eq!(hec.count(), 50);
}

#[tokio::test]
async fn a_disabled_token_blocks_until_somebody_enables_it() {
    let hec = Hec::start();
    hec.disable(super::support::hec::TOKEN);
    let sink = made::sink(&settings(&hec, ""));
    let mut watch = sink.destination.watch();
    let records = [made::record("a", b"{}")];
    let mending = async {
        let blocked = watch.wait_for(|state| matches!(state, State::Blocked(_))).await.unwrap();
        let State::Blocked(reason) = blocked.clone() else { panic!("not blocked") };
        drop(blocked);
        assert!(reason.contains("Token disabled"), "{reason}");
        hec.enable(super::support::hec::TOKEN);
    };
    let (verdicts, ()) = tokio::join!(sink.deliver(&records), mending);
    assert_eq!(verdicts, [Verdict::Delivered]);
    assert_eq!(hec.count(), 1);
}

#[tokio::test]
async fn a_wrong_index_blocks_and_kills_no_event() {
    let hec = Hec::start();
    let sink = made::sink(&settings(&hec, "index = 'audti'\n"));
    let mut watch = sink.destination.watch();
    let records = [made::record("a", b"{}")];
    let stopping = async {
        watch.wait_for(|state| matches!(state, State::Blocked(_))).await.unwrap();
        sink.stop.0.stop();
    };
    let (verdicts, ()) = tokio::join!(sink.deliver(&records), stopping);
    assert_eq!(verdicts, [Verdict::Cancelled]);
}

#[tokio::test]
async fn after_a_lost_answer_the_repeat_carries_the_same_id() {
    let hec = Hec::start();
    hec.server.script([Reply::HangUpAfterBody, Reply::Silence]);
    let sink = made::sink(&settings(&hec, made::IMPATIENT));
    assert_eq!(sink.deliver(&[made::record("evt-9", b"{}")]).await, [Verdict::Delivered]);
    let bodies: Vec<_> = hec.server.requests().iter().map(|r| r.decoded().unwrap()).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|b| String::from_utf8_lossy(b).contains("\"event_id\":\"evt-9\"")));
}

#[test]
fn batches_keep_to_records_bytes_and_age() {
    use hark::base::Clock as _;
    use hark::base::clock::{System, instant};
    use hark::delivery::{Batch, Pushed};
    let hec = Hec::start();
    let text = settings(&hec, "batch = { records = 3, bytes = 1000, age = '2s' }\n");
    let sink = made::sink(&text);
    let (sink, limits) = (sink.configured.sink, sink.configured.batch);
    let mut batch = Batch::new(sink.framing(), limits);
    assert_eq!(batch.due(), None);
    let small = made::record("a", b"{\"n\":1}");
    let before = instant();
    for _ in 0..3 {
        assert_eq!(batch.push(sink.as_ref(), &small, System.now()), Pushed::Added);
    }
    assert_eq!(batch.push(sink.as_ref(), &small, System.now()), Pushed::Full);
    let wait = batch.due().unwrap() - before;
    assert!(wait >= Duration::from_secs(2) && wait < Duration::from_secs(3), "{wait:?}");

    let large = format!("{{\"n\":\"{}\"}}", "x".repeat(2_000));
    let large = made::record("b", large.as_bytes());
    let mut batch = Batch::new(sink.framing(), limits);
    assert_eq!(batch.push(sink.as_ref(), &small, System.now()), Pushed::Added);
    assert_eq!(batch.push(sink.as_ref(), &large, System.now()), Pushed::Full);
    let mut alone = Batch::new(sink.framing(), limits);
    assert_eq!(alone.push(sink.as_ref(), &large, System.now()), Pushed::Added);
    assert_eq!(alone.push(sink.as_ref(), &small, System.now()), Pushed::Full);
    let empty = made::record("c", b" ");
    let rejected = Pushed::Rejected("the record is empty".to_owned());
    assert_eq!(batch.push(sink.as_ref(), &empty, System.now()), rejected);
    assert_eq!(batch.len(), 1);
    let body = batch.body(&(0..1)).concat();
    assert!(
        serde_json::from_slice::<serde_json::Value>(&body).is_ok(),
        "nothing of the others is left"
    );
}

#[test]
fn every_mistake_in_its_table_gets_a_caret() {
    let text = "[sinks.siem.splunk_hec]
url = 'splunk:8088'
token = '11111111-2222'
indx = 'audit'
batch = { records = 0, byts = 5 }
events = false
";
    expect![[r#"
        error[nothing-to-send]: this sink would get nothing
         --> hark.toml:1:8
          |
        1 | [sinks.siem.splunk_hec]
          |        ^^^^
          |
          = help: set `events = true` or `alerts = true`, or remove it

        error[bad-url]: expected an address such as `https://host:8088`, found `splunk:8088`
         --> hark.toml:2:7
          |
        2 | url = 'splunk:8088'
          |       ^^^^^^^^^^^^^

        error[plain-secret]: `token` is a secret and may not stand in this file
         --> hark.toml:3:9
          |
        3 | token = '11111111-2222'
          |         ^^^^^^^^^^^^^^^ expected a table
          |
          = help: write where it is: `{ env = "NAME" }` or `{ file = "path" }`

        error[unknown-key]: unknown key `indx` in `[sinks.siem.splunk_hec]`
         --> hark.toml:4:1
          |
        4 | indx = 'audit'
          | ^^^^
          |
          = help: did you mean `index`?

        error[out-of-range]: expected a number of at least 1, found `0`
         --> hark.toml:5:21
          |
        5 | batch = { records = 0, byts = 5 }
          |                     ^

        error[unknown-key]: unknown key `byts` in `[sinks.siem.splunk_hec.batch]`
         --> hark.toml:5:24
          |
        5 | batch = { records = 0, byts = 5 }
          |                        ^^^^
          |
          = help: did you mean `bytes`?

    "#]]
    .assert_eq(&made::mistakes(text));
}

#[test]
fn a_token_over_plain_http_is_warned_about_unless_it_stays_here() {
    let text = |url: &str| {
        format!("[sinks.siem.splunk_hec]\nurl = '{url}'\ntoken = {{ env = 'HEC_TOKEN' }}\n")
    };
    assert!(made::mistakes(&text("http://splunk:8088")).contains("plain-http"));
    assert_eq!(made::mistakes(&text("http://127.0.0.1:8088")), "");
    assert_eq!(made::mistakes(&text("http://[::1]:8088")), "");
    assert_eq!(made::mistakes(&text("https://splunk:8088")), "");
}

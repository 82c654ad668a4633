//! What every sink and every notifier over HTTP does with each kind of answer: driven from the
//! tables of the families, so that a new member meets it too.

use std::time::{Duration, Instant};

use hark::delivery::{State, Verdict};
use hark::notifiers::NOTIFIERS;
use hark::sinks::SINKS;

use super::made::{self, QUICK};
use super::support::http::{Reply, Request, Server};

/// The smallest settings of a sink.
fn sink_at(kind: &str, url: &str) -> made::SinkUnderTest {
    sink_with(kind, url, "")
}

fn sink_with(kind: &str, url: &str, more: &str) -> made::SinkUnderTest {
    let own = match kind {
        "splunk_hec" => "token = { env = 'HEC_TOKEN' }",
        "datadog_logs" => "api_key = { env = 'DD_KEY' }",
        other => panic!("give the contract the smallest settings of `{other}`"),
    };
    made::sink(&format!("[sinks.siem.{kind}]\nurl = '{url}'\n{own}\n{QUICK}{more}"))
}

/// The same for a notifier; `None` for those that do not speak HTTP.
fn notifier_at(kind: &str, url: &str, more: &str) -> Option<made::NotifierUnderTest> {
    let own = match kind {
        "webhook" => "secret = { env = 'WHSEC' }",
        "log" | "email" => return None,
        other => panic!("give the contract the smallest settings of `{other}`"),
    };
    let text = format!("[notifiers.soc.{kind}]\nurl = '{url}'\n{own}\n{QUICK}{more}");
    Some(made::notifier(&text))
}

fn accept(_: &Request) -> Reply {
    Reply::status(202)
}

/// What comes back, and what it is taken for.
type Row = (&'static str, fn() -> Reply, &'static str);

/// What an answer is taken for; the server accepts whatever comes after it.
const TABLE: &[Row] = &[
    ("200", || Reply::status(200), "delivered"),
    ("202", || Reply::status(202), "delivered"),
    ("204", || Reply::status(204), "delivered"),
    ("301", || Reply::status(301).with("location", "/elsewhere"), "blocked"),
    ("307", || Reply::status(307).with("location", "/elsewhere"), "blocked"),
    ("400", || Reply::status(400), "rejected"),
    ("401", || Reply::status(401), "blocked"),
    ("403", || Reply::status(403), "blocked"),
    ("404", || Reply::status(404), "blocked"),
    ("405", || Reply::status(405), "blocked"),
    ("408", || Reply::status(408), "retry"),
    ("410", || Reply::status(410), "blocked"),
    ("413", || Reply::status(413), "rejected"),
    ("422", || Reply::status(422), "rejected"),
    ("429", || Reply::status(429), "retry"),
    ("429 with a time", || Reply::status(429).with("retry-after", "0"), "retry"),
    ("500", || Reply::status(500), "retry"),
    ("502 with HTML", || Reply::json(502, "<html>Bad gateway</html>"), "retry"),
    ("503", || Reply::status(503), "retry"),
    ("a huge answer", || Reply::json(500, "x".repeat(5_000_000)), "retry"),
    ("silence", || Reply::Silence, "retry"),
    ("a reset before the body is read", || Reply::HangUpBeforeBody, "retry"),
    ("a reset after the body is read", || Reply::HangUpAfterBody, "retry"),
];

fn patience(what: &str) -> &'static str {
    if what == "silence" { made::IMPATIENT } else { "" }
}

#[tokio::test]
async fn every_sink_takes_every_answer_as_the_table_says() {
    for spec in SINKS {
        for (what, reply, outcome) in TABLE {
            let server = Server::start(accept);
            let sink = sink_with(spec.kind, &server.url(), patience(what));
            server.script([reply()]);
            let verdicts = sink.deliver(&[made::record("a", b"{\"n\":1}")]).await;
            let context = format!("{}: {what}: {verdicts:?}", spec.kind);
            match *outcome {
                "rejected" => {
                    assert!(matches!(verdicts.as_slice(), [Verdict::Rejected(_)]), "{context}");
                }
                _ => assert_eq!(verdicts, [Verdict::Delivered], "{context}"),
            }
            let line = format!("hark_sink_requests_total{{outcome=\"{outcome}\",sink=\"siem\"}}");
            assert_eq!(sink.metric(&line), 1, "{context}\n{}", sink.metrics.render());
            assert_eq!(*sink.destination.watch().borrow(), State::Ok, "{context}");
        }
    }
}

#[tokio::test]
async fn every_notifier_over_http_takes_every_answer_as_the_table_says() {
    for spec in NOTIFIERS {
        for (what, reply, outcome) in TABLE {
            let server = Server::start(accept);
            let Some(notifier) = notifier_at(spec.kind, &server.url(), patience(what)) else {
                continue;
            };
            server.script([reply()]);
            let verdict = notifier.notify(&made::notification("x")).await;
            let context = format!("{}: {what}: {verdict:?}", spec.kind);
            match *outcome {
                "rejected" => assert!(matches!(verdict, Verdict::Rejected(_)), "{context}"),
                _ => assert_eq!(verdict, Verdict::Delivered, "{context}"),
            }
            let line =
                format!("hark_notifications_total{{notifier=\"soc\",outcome=\"{outcome}\"}}");
            assert_eq!(notifier.metric(&line), 1, "{context}");
        }
    }
}

#[tokio::test]
async fn a_sink_that_is_down_is_tried_until_it_is_back_and_nothing_is_lost() {
    for spec in SINKS {
        let server = Server::start(accept);
        let sink = sink_at(spec.kind, &server.url());
        server.script(
            (0..20).map(|n| if n % 2 == 0 { Reply::status(503) } else { Reply::HangUpAfterBody }),
        );
        let records = [made::record("a", b"{\"n\":1}"), made::record("b", b"{\"n\":2}")];
        assert_eq!(sink.deliver(&records).await, [Verdict::Delivered, Verdict::Delivered]);
        let bodies: Vec<_> = server.requests().iter().map(|r| r.decoded().unwrap()).collect();
        assert_eq!(bodies.len(), 21);
        assert!(bodies.iter().all(|body| *body == bodies[0]), "every attempt sends the same");
    }
}

#[tokio::test]
async fn a_blocked_sink_is_asked_again_and_never_acknowledges() {
    for spec in SINKS {
        let server = Server::start(|_| Reply::status(403));
        let sink = sink_at(spec.kind, &server.url());
        let batch = sink.batch(&[made::record("a", b"{\"n\":1}")]);
        let mut watch = sink.destination.watch();
        let deliver = sink.destination.deliver(sink.configured.sink.as_ref(), &batch, &sink.stop.1);
        let stopping = async {
            watch.wait_for(|state| matches!(state, State::Blocked(_))).await.unwrap();
            let gauge = "hark_destination_state{destination=\"sinks.siem\",state=\"blocked\"}";
            assert_eq!(sink.metric(gauge), 1);
            while server.count() < 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            sink.stop.0.stop();
        };
        let (verdicts, ()) = tokio::join!(deliver, stopping);
        assert_eq!(verdicts, [Verdict::Cancelled], "{}", spec.kind);
        assert_eq!(sink.metric("hark_sink_records_total{outcome=\"delivered\",sink=\"siem\"}"), 0);
        assert_eq!(sink.metric("hark_sink_records_total{outcome=\"rejected\",sink=\"siem\"}"), 0);
    }
}

#[tokio::test]
async fn one_refused_record_is_found_and_all_others_are_delivered() {
    for spec in SINKS {
        for status in [400, 413, 422] {
            let server = Server::start(move |request| {
                let body = String::from_utf8(request.decoded().unwrap()).unwrap();
                Reply::status(if body.contains("poison") { status } else { 202 })
            });
            let sink = sink_at(spec.kind, &server.url());
            let payloads: Vec<_> =
                (0..100)
                    .map(|n| {
                        if n == 63 { "{\"poison\":1}".to_owned() } else { format!("{{\"n\":{n}}}") }
                    })
                    .collect();
            let ids: Vec<_> = (0..100).map(|n| format!("id-{n}")).collect();
            let records: Vec<_> =
                ids.iter().zip(&payloads).map(|(id, p)| made::record(id, p.as_bytes())).collect();
            let verdicts = sink.deliver(&records).await;
            for (n, verdict) in verdicts.iter().enumerate() {
                match n {
                    63 => assert!(
                        matches!(verdict, Verdict::Rejected(why) if why.contains(&status.to_string()))
                    ),
                    _ => assert_eq!(*verdict, Verdict::Delivered, "{n}"),
                }
            }
            assert!(server.count() <= 2 * 8, "found by halving, in {} requests", server.count());
            assert_eq!(
                sink.metric("hark_sink_records_total{outcome=\"delivered\",sink=\"siem\"}"),
                99
            );
            assert_eq!(
                sink.metric("hark_sink_records_total{outcome=\"rejected\",sink=\"siem\"}"),
                1
            );
        }
    }
}

#[tokio::test]
async fn what_fails_for_a_day_is_given_up_only_while_others_get_through() {
    for spec in SINKS {
        let server = Server::start(|request| {
            let body = String::from_utf8(request.decoded().unwrap()).unwrap();
            Reply::status(if body.contains("stumble") { 500 } else { 202 })
        });
        let mut sink = sink_at(spec.kind, &server.url());
        let clock = made::manual("2026-01-05T12:00:00Z");
        sink = made::SinkUnderTest::new(sink.configured, std::sync::Arc::new(clock.clone()));
        let records = ["{\"n\":0}", "{\"stumble\":1}", "{\"n\":2}", "{\"n\":3}"]
            .map(|payload| made::record("x", payload.as_bytes()));
        let batch = sink.batch(&records);
        let deliver = sink.destination.deliver(sink.configured.sink.as_ref(), &batch, &sink.stop.1);
        let delivered = "hark_sink_requests_total{outcome=\"delivered\",sink=\"siem\"}";
        let a_day_later = async {
            after_more_requests(&server).await;
            assert_eq!(sink.metric(delivered), 0, "the whole batch is tried at first");
            clock.set(at("2026-01-05T15:00:00Z"));
            while sink.metric(delivered) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            after_more_requests(&server).await;
            clock.set(at("2026-01-06T14:59:59Z"));
            after_more_requests(&server).await;
            clock.set(at("2026-01-06T15:00:01Z"));
        };
        let (verdicts, ()) = tokio::join!(deliver, a_day_later);
        assert!(
            matches!(&verdicts[1], Verdict::Rejected(why) if why.starts_with("given up after 1d")),
            "{verdicts:?}"
        );
        for n in [0, 2, 3] {
            assert_eq!(verdicts[n], Verdict::Delivered);
        }
    }
}

fn at(time: &str) -> hark::base::Timestamp {
    hark::base::Timestamp::parse(time).unwrap()
}

async fn after_more_requests(server: &Server) {
    let before = server.count();
    while server.count() < before + 10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_destination_that_is_down_altogether_never_gives_up_a_record() {
    let server = Server::start(|_| Reply::status(500));
    let sink = sink_at("splunk_hec", &server.url());
    let clock = made::manual("2026-01-05T12:00:00Z");
    let sink = made::SinkUnderTest::new(sink.configured, std::sync::Arc::new(clock.clone()));
    let batch = sink.batch(&[made::record("a", b"{\"n\":1}")]);
    let deliver = sink.destination.deliver(sink.configured.sink.as_ref(), &batch, &sink.stop.1);
    let a_day_later = async {
        after_more_requests(&server).await;
        clock.set(at("2026-02-05T12:00:00Z"));
        after_more_requests(&server).await;
        sink.stop.0.stop();
    };
    let (verdicts, ()) = tokio::join!(deliver, a_day_later);
    assert_eq!(verdicts, [Verdict::Cancelled]);
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let server = Server::start(accept);
    let sink = sink_at("datadog_logs", &server.url());
    server.script([Reply::status(429).with("retry-after", "1")]);
    #[expect(clippy::disallowed_methods, reason = "the wait itself is measured")]
    let start = Instant::now();
    assert_eq!(sink.deliver(&[made::record("a", b"{}")]).await, [Verdict::Delivered]);
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn an_attempt_under_way_is_let_finish_when_stop_is_said() {
    let server = Server::start(accept);
    let sink = sink_at("splunk_hec", &server.url());
    server.script([Reply::Late(Duration::from_millis(100), Box::new(Reply::status(200)))]);
    let records = [made::record("a", b"{}")];
    let deliver = sink.deliver(&records);
    let stopping = async {
        while server.count() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sink.stop.0.stop();
    };
    let (verdicts, ()) = tokio::join!(deliver, stopping);
    assert_eq!(verdicts, [Verdict::Delivered]);
}

#[test]
fn every_example_loads_and_shows_no_secret() {
    for spec in SINKS {
        let text = with_test_secrets(spec.example);
        let shown = made::debug_of(&text, "sinks").replace(&format!("{:?}", spec.example), "");
        assert!(shown.contains(spec.kind), "{shown}");
        assert_no_secret(&shown);
    }
    for spec in NOTIFIERS {
        let text = with_test_secrets(spec.example);
        let shown = made::debug_of(&text, "notifiers").replace(&format!("{:?}", spec.example), "");
        assert!(shown.contains(spec.kind), "{shown}");
        assert_no_secret(&shown);
    }
}

/// An example with its secrets taken from the tests' environment, and without files of another machine.
fn with_test_secrets(example: &str) -> String {
    let lines = example.lines().filter(|line| !line.starts_with("ca "));
    let text = lines.collect::<Vec<_>>().join("\n");
    [
        ("env = \"SPLUNK_HEC_TOKEN\"", "env = \"HEC_TOKEN\""),
        ("file = \"/run/secrets/dd-api-key\"", "env = \"DD_KEY\""),
        ("env = \"HARK_WEBHOOK_SECRET\"", "env = \"WHSEC\""),
        ("env = \"HARK_WEBHOOK_OLD_SECRET\"", "env = \"WHSEC_OLD\""),
        ("env = \"SOAR_AUTHORIZATION\"", "env = \"WRONG\""),
        ("env = \"HARK_SMTP_PASSWORD\"", "env = \"WRONG\""),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to))
}

fn assert_no_secret(shown: &str) {
    use super::support::{datadog, hec};
    let whsec = made::WHSEC.trim_start_matches("whsec_");
    for secret in [hec::TOKEN, datadog::KEY, whsec, "wrong", "soar.example.com"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

//! Webhooks, against a receiver that believes only what an independent implementation verifies.

use std::sync::atomic::{AtomicI64, Ordering};

use expect_test::expect;
use hark::base::{Clock, Severity, Timestamp, clock};
use hark::delivery::{NotificationKind, Verdict};

use super::made::{self, QUICK, WHSEC, WHSEC_OLD};
use super::support::http::{Reply, Server};
use super::support::webhook::Receiver;

fn settings(url: &str, more: &str) -> String {
    format!("[notifiers.soar.webhook]\nurl = '{url}'\n{QUICK}{more}")
}

#[tokio::test]
async fn an_independent_implementation_verifies_the_signature() {
    let receiver = Receiver::start(WHSEC);
    let headers = "headers = { 'x-team' = 'soc', authorization = { env = 'WRONG' } }\n";
    let text = settings(&receiver.url(), &format!("secret = {{ env = 'WHSEC' }}\n{headers}"));
    let notifier = made::notifier(&text);
    let mut notification = made::notification("ünïcode \"title\"");
    assert_eq!(notifier.notify(&notification).await, Verdict::Delivered);
    notification.kind = NotificationKind::Resolved;
    notification.alert.resolution = Some(hark::alert::Resolution::MaxOpen);
    assert_eq!(notifier.notify(&notification).await, Verdict::Delivered);

    let received = receiver.received();
    assert!(received[0].body.get("ending").is_none());
    let ending = received[1].body["ending"].as_str().unwrap();
    assert!(ending.contains("no all-clear"), "{ending}");
    assert_eq!(received[0].body["type"], "alert.opened");
    assert_eq!(received[0].body["timestamp"], "2026-01-05T12:00:01Z");
    assert_eq!(received[1].body["data"], serde_json::to_value(&notification.alert).unwrap());
    assert_eq!(received[1].body["type"], "alert.resolved");
    let header = |name| received[0].request.header(name);
    assert_eq!(header("idempotency-key"), Some(notification.id.as_str()));
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!((header("x-team"), header("authorization")), (Some("soc"), Some("wrong")));
    assert!(header("user-agent").unwrap().starts_with("hark/"));
}

#[tokio::test]
async fn during_rotation_both_secrets_sign() {
    for secret in [WHSEC, WHSEC_OLD] {
        let receiver = Receiver::start(secret);
        let more = "secret = [{ env = 'WHSEC' }, { env = 'WHSEC_OLD' }]\n";
        let notifier = made::notifier(&settings(&receiver.url(), more));
        assert_eq!(notifier.notify(&made::notification("x")).await, Verdict::Delivered);
        assert_eq!(receiver.received().len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_secret_blocks() {
    let receiver = Receiver::start(WHSEC_OLD);
    let notifier = made::notifier(&settings(&receiver.url(), "secret = { env = 'WHSEC' }\n"));
    let notification = made::notification("x");
    let stopping = async {
        let mut watch = notifier.destination.watch();
        watch.wait_for(|state| state.name() == "blocked").await.unwrap();
        notifier.stop.0.stop();
    };
    let (verdict, ()) = tokio::join!(notifier.notify(&notification), stopping);
    assert_eq!(verdict, Verdict::Cancelled);
    assert!(receiver.received().is_empty());
}

/// A clock that moves on with every look at it, as the world's does between attempts.
struct Ticking(AtomicI64);
impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1000, Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_retry_has_the_same_id_and_body_and_the_time_of_its_own_attempt() {
    let receiver = Receiver::start(WHSEC);
    receiver.server.script([Reply::status(503), Reply::HangUpAfterBody]);
    let text = settings(&receiver.url(), "secret = { env = 'WHSEC' }\n");
    let notifier = made::notifier(&text);
    let start = clock::System.now().as_millis();
    let ticking = std::sync::Arc::new(Ticking(start.into()));
    let notifier = made::NotifierUnderTest::new(notifier.configured, ticking);
    assert_eq!(notifier.notify(&made::notification("x")).await, Verdict::Delivered);
    let requests = receiver.server.requests();
    assert_eq!(requests.len(), 3);
    let mut times = std::collections::BTreeSet::new();
    for request in &requests {
        assert_eq!(request.header("webhook-id"), requests[0].header("webhook-id"));
        assert_eq!(request.body, requests[0].body);
        times.insert(request.header("webhook-timestamp").unwrap().to_owned());
    }
    assert_eq!(times.len(), 3);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(|_| Reply::status(200));
    let server = Server::start(|_| Reply::status(200));
    server.script([Reply::status(307).with("location", elsewhere.url())]);
    let notifier = made::notifier(&settings(&server.url(), ""));
    assert_eq!(notifier.notify(&made::notification("x")).await, Verdict::Delivered);
    assert_eq!((server.count(), elsewhere.count()), (2, 0));
    assert_eq!(server.requests()[0].header("webhook-signature"), None, "no secret, no signature");
}

#[tokio::test]
async fn a_private_certificate_authority_is_trusted_where_it_is_named_and_nowhere_else() {
    let authority = super::support::tls::Authority::new();
    let server = Server::start_tls(authority.server_config(), |_| Reply::status(200));
    let named = settings(&server.url(), &format!("ca = '{}'\n", authority.ca.display()));
    let verdict = made::notifier(&named).notify(&made::notification("x")).await;
    assert_eq!(verdict, Verdict::Delivered);

    let stranger = made::notifier(&settings(&server.url(), ""));
    let notification = made::notification("x");
    let stopping = async {
        let mut watch = stranger.destination.watch();
        let state = watch.wait_for(|state| state.name() != "ok").await.unwrap().clone();
        assert!(format!("{state:?}").contains("certificate"), "{state:?}");
        stranger.stop.0.stop();
    };
    let (verdict, ()) = tokio::join!(stranger.notify(&notification), stopping);
    assert_eq!(verdict, Verdict::Cancelled);

    let insecure = made::notifier(&settings(&server.url(), "insecure = true\n"));
    assert_eq!(insecure.notify(&notification).await, Verdict::Delivered);
}

#[test]
fn who_is_told_what_is_the_same_for_every_notifier() {
    let wants = |text: &str| {
        let notifier = made::notifier(&format!("[notifiers.n.log]\n{text}\n")).configured;
        let told = |kind| {
            let severities = Severity::ALL.into_iter().filter(|s| notifier.wants(kind, *s));
            severities.map(Severity::name).collect::<Vec<_>>().join(" ")
        };
        (told(NotificationKind::Opened), told(NotificationKind::Resolved))
    };
    let all = "info low medium high critical".to_owned();
    assert_eq!(wants(""), (all.clone(), String::new()));
    assert_eq!(wants("resolved = true"), (all.clone(), all));
    let high = "high critical".to_owned();
    assert_eq!(wants("min_severity = 'high'\nresolved = true"), (high.clone(), high));
    assert_eq!(wants("severities = ['low', 'critical']").0, "low critical");
}

#[test]
fn every_mistake_in_its_table_gets_a_caret() {
    let text = "[notifiers.soar.webhook]
url = { env = 'NOWHERE' }
secret = [{ env = 'WRONG' }, 'whsec_abc']
headers = { 'webhook-id' = 'x', 'bad name' = 'x', 'x-number' = 5, 'x-line' = \"a\\nb\" }
min_severity = 'hgih'
severities = ['low']
timout = '5s'
";
    expect![[r#"
        error[missing-secret]: environment variable `NOWHERE` is not set
         --> hark.toml:2:15
          |
        2 | url = { env = 'NOWHERE' }
          |               ^^^^^^^^^
          |
          = help: set the variable or mount the file where Hark runs

        error[bad-secret]: expected `whsec_` and the base64 of 24 to 64 random bytes
         --> hark.toml:3:11
          |
        3 | secret = [{ env = 'WRONG' }, 'whsec_abc']
          |           ^^^^^^^^^^^^^^^^^
          |
          = help: make one with: echo "whsec_$(openssl rand -base64 32)"

        error[plain-secret]: `secret` is a secret and may not stand in this file
         --> hark.toml:3:30
          |
        3 | secret = [{ env = 'WRONG' }, 'whsec_abc']
          |                              ^^^^^^^^^^^ expected a table
          |
          = help: write where it is: `{ env = "NAME" }` or `{ file = "path" }`

        error[bad-header]: expected the name of a free header, found `webhook-id`
         --> hark.toml:4:13
          |
        4 | headers = { 'webhook-id' = 'x', 'bad name' = 'x', 'x-number' = 5, 'x-line' = "a\nb" }
          |             ^^^^^^^^^^^^

        error[bad-header]: expected the name of a free header, found `bad name`
         --> hark.toml:4:33
          |
        4 | headers = { 'webhook-id' = 'x', 'bad name' = 'x', 'x-number' = 5, 'x-line' = "a\nb" }
          |                                 ^^^^^^^^^^

        error[wrong-type]: `x-number`: expected a string or a secret, found an integer
         --> hark.toml:4:64
          |
        4 | headers = { 'webhook-id' = 'x', 'bad name' = 'x', 'x-number' = 5, 'x-line' = "a\nb" }
          |                                                                ^ expected a string or a secret

        error[bad-header]: this value cannot stand in a header
         --> hark.toml:4:78
          |
        4 | headers = { 'webhook-id' = 'x', 'bad name' = 'x', 'x-number' = 5, 'x-line' = "a\nb" }
          |                                                                              ^^^^^^

        error[bad-severity]: expected one of `min_severity` and `severities`, found both
         --> hark.toml:5:1
          |
        5 | min_severity = 'hgih'
          | ^^^^^^^^^^^^

        error[bad-severity]: expected one of info, low, medium, high, critical, found `hgih`
         --> hark.toml:5:16
          |
        5 | min_severity = 'hgih'
          |                ^^^^^^
          |
          = help: did you mean `high`?

        error[unknown-key]: unknown key `timout` in `[notifiers.soar.webhook]`
         --> hark.toml:7:1
          |
        7 | timout = '5s'
          | ^^^^^^
          |
          = help: did you mean `timeout`?

    "#]]
    .assert_eq(&made::mistakes(text));
}

//! E-mail, against aiosmtpd (a real server of other people's making) and a rude stub.

use expect_test::expect;
use hark::delivery::{NotificationKind, State, Verdict};

use super::made;
use super::support::smtp::{AfterData, Aiosmtpd, Options, Stub};
use super::support::tls::Authority;

fn settings(port: u16, more: &str) -> String {
    let to = if more.contains("to = ") { "" } else { "to = ['soc@example.com']\n" };
    format!(
        "[notifiers.soc.email]\nserver = 'localhost'\nport = {port}\n{to}\
         from = 'Hark <hark@alerts.example.com>'\n\
         retry = {{ initial = '2ms', max = '8ms', probe = '4ms' }}\n{more}"
    )
}

const PLAIN: &str = "tls = 'none'\n";

/// What the notifier says of itself when it first fails.
async fn first_trouble(notifier: &made::NotifierUnderTest) -> State {
    let notification = made::notification("x");
    let stopping = async {
        let mut watch = notifier.destination.watch();
        let state = watch.wait_for(|state| *state != State::Ok).await.unwrap().clone();
        notifier.stop.0.stop();
        state
    };
    let (verdict, state) = tokio::join!(notifier.notify(&notification), stopping);
    assert_eq!(verdict, Verdict::Cancelled);
    state
}

#[tokio::test]
async fn a_mail_says_what_happened_in_text_and_html() {
    let server = Aiosmtpd::start(&Options::default());
    let text = settings(
        server.port,
        &format!("{PLAIN}to = ['soc@example.com', 'Ön Call <oncall@example.com>']\n"),
    );
    let notifier = made::notifier(&text);
    let opened = made::notification("7 failed logins of mallory@example.com");
    let mut resolved = made::notification("7 failed logins of mallory@example.com");
    resolved.kind = NotificationKind::Resolved;
    resolved.id = "0123".to_owned();
    assert_eq!(notifier.notify(&opened).await, Verdict::Delivered);
    assert_eq!(notifier.notify(&resolved).await, Verdict::Delivered);

    let mails = server.wait_for(2);
    let mail = &mails[0];
    assert_eq!(mail.defects, Vec::<String>::new());
    assert_eq!(mail.from, "hark@alerts.example.com");
    assert_eq!(mail.to, ["soc@example.com", "oncall@example.com"]);
    let headers: Vec<_> = mail.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    expect![[r#"
        From: Hark <hark@alerts.example.com>
        Subject: [HIGH] 7 failed logins of mallory@example.com
        Date: Mon, 05 Jan 2026 12:00:01 +0000
        Message-ID: <d64eae5938d18fd9081fd0aa5b780ad9@alerts.example.com>
        In-Reply-To: <5f2b7c1de0a94e3388a1b2c3d4e5f607.root@alerts.example.com>
        References: <5f2b7c1de0a94e3388a1b2c3d4e5f607.root@alerts.example.com>
        To: soc@example.com, Ön Call <oncall@example.com>
        Auto-Submitted: auto-generated
        X-Auto-Response-Suppress: All
        List-Id: <alerts.alerts.example.com>
        X-Priority: 1
        X-Severity: high
        X-Alert-Id: 5f2b7c1de0a94e3388a1b2c3d4e5f607
        X-Rule-Id: opsknight/failed-logins
        MIME-Version: 1.0
        Content-Type: multipart/alternative; boundary="hark-d64eae5938d18fd9081fd0aa5b780ad9""#]]
    .assert_eq(&headers.join("\n"));
    expect![[r#"
        Alert opened: 7 failed logins of mallory@example.com

        Somebody guesses passwords

        severity     high
        user.email   mallory@example.com
        events       7
        value        7
        opened       2026-01-05T12:00:00Z
        first event  2026-01-05T11:55:00Z
        last event   2026-01-05T12:00:30Z
        rule         Many failed logins (opsknight/failed-logins)
        techniques   T1110
        runbook      https://wiki.example.com/failed-logins?a=1&b=2
        alert        5f2b7c1de0a94e3388a1b2c3d4e5f607

        Event 2026-01-05T12:00:00Z at audit:3:42
          user.email = mallory@example.com
    "#]]
    .assert_eq(&mail.text);
    expect![[r#"
        <!doctype html><html><body style="font-family:sans-serif;font-size:14px;color:#1d2939"><h2 style="font-size:18px;border-left:6px solid #b42318;padding-left:10px">Alert opened: 7 failed logins of mallory@example.com</h2><p>Somebody guesses passwords</p><table style="border-collapse:collapse"><tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">severity</td><td>high</td></tr>
        <tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">user.email</td><td>mallory@example.com</td></tr>
        <tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">events</td><td>7</td></tr>
        <tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">value</td><td>7</td></tr>
        <tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">opened</td><td>2026-01-05T12:00:00Z</td></tr>
        <tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">first event</td><td>2026-01-05T11:55:00Z</td></tr>
        <tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">last event</td><td>2026-01-05T12:00:30Z</td></tr>
        <tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">rule</td><td>Many failed logins (opsknight/failed-logins)</td></tr>
        <tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">techniques</td><td>T1110</td></tr>
        <tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">runbook</td><td>https://wiki.example.com/failed-logins?a=1&amp;b=2</td></tr>
        <tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">alert</td><td>5f2b7c1de0a94e3388a1b2c3d4e5f607</td></tr>
        </table><h3 style="font-size:14px;margin:18px 0 4px">Event 2026-01-05T12:00:00Z at audit:3:42</h3><table style="border-collapse:collapse"><tr><td style="padding:2px 14px 2px 0;color:#667085;vertical-align:top">user.email</td><td>mallory@example.com</td></tr>
        </table></body></html>
    "#]].assert_eq(&mail.html);
    assert_eq!(mails[1].header("subject"), ["[RESOLVED] 7 failed logins of mallory@example.com"]);
    assert_eq!(mails[1].header("references"), mail.header("references"), "one thread");
    assert_ne!(mails[1].header("message-id"), mail.header("message-id"));
}

#[tokio::test]
async fn nothing_that_an_event_says_adds_a_header_a_line_or_a_tag() {
    let server = Aiosmtpd::start(&Options::default());
    let notifier = made::notifier(&settings(server.port, PLAIN));
    let evil =
        "x\r\nBcc: victim@example.com\r\n\r\n<script>alert('1')</script> \u{202e}gnp.exe\u{0}";
    let mut notification = made::notification(&format!("{evil}{}", "long ".repeat(100)));
    notification.alert.summary = evil.to_owned();
    notification.alert.rule.id = evil.to_owned();
    notification.alert.samples[0].fields.insert(evil.to_owned(), evil.into());
    notification.alert.key.insert("user.name".to_owned(), serde_json::json!([evil, {"a": evil}]));
    assert_eq!(notifier.notify(&notification).await, Verdict::Delivered);
    let mail = server.wait_for(1).remove(0);
    assert_eq!(mail.defects, Vec::<String>::new());
    assert_eq!(mail.to, ["soc@example.com"]);
    assert!(mail.header("bcc").is_empty());
    let subject = mail.header("subject")[0];
    assert!(subject.chars().count() <= 200, "{subject}");
    assert!(!subject.contains(['\r', '\n', '\0', '\u{202e}']), "{subject}");
    assert!(!mail.html.contains("<script"), "{}", mail.html);
    assert!(mail.html.contains("&lt;script&gt;alert(&#39;1&#39;)"), "{}", mail.html);
    for body in [&mail.text, &mail.html] {
        assert!(!body.contains(['\0', '\u{202e}']), "{body}");
        assert!(body.lines().all(|line| !line.starts_with("Bcc:")), "{body}");
    }
}

#[tokio::test]
async fn starttls_with_a_private_authority_and_a_login() {
    let authority = Authority::new();
    let server = Aiosmtpd::start(&Options {
        tls: Some((&authority.certificate, &authority.key)),
        login: Some(("hark", "corrèct horse")),
    });
    let ca = format!("ca = '{}'\n", authority.ca.display());
    let login = "username = 'hark'\npassword = { env = 'PASSWORD' }\n";
    let notifier = made::notifier(&settings(server.port, &format!("{ca}{login}")));
    assert_eq!(notifier.notify(&made::notification("x")).await, Verdict::Delivered);
    let mail = server.wait_for(1).remove(0);
    assert!(mail.tls);
    assert_eq!(mail.user.as_deref(), Some("hark"));

    let wrong = "username = 'hark'\npassword = { env = 'WRONG' }\n";
    let trouble =
        first_trouble(&made::notifier(&settings(server.port, &format!("{ca}{wrong}")))).await;
    assert!(
        matches!(&trouble, State::Blocked(why) if why.starts_with("authentication")),
        "{trouble:?}"
    );

    let trouble = first_trouble(&made::notifier(&settings(server.port, &ca))).await;
    assert!(
        matches!(&trouble, State::Blocked(why) if why.contains("uthentication")),
        "{trouble:?}"
    );

    let stranger = first_trouble(&made::notifier(&settings(server.port, login))).await;
    assert!(
        matches!(&stranger, State::BackingOff(why) if why.contains("certificate")),
        "{stranger:?}"
    );
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn a_server_without_starttls_gets_no_mail_in_the_clear() {
    let server = Aiosmtpd::start(&Options::default());
    let trouble = first_trouble(&made::notifier(&settings(server.port, ""))).await;
    assert!(matches!(&trouble, State::Blocked(why) if why.contains("STARTTLS")), "{trouble:?}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn one_refused_address_does_not_keep_the_mail_from_the_others() {
    let server = Aiosmtpd::start(&Options::default());
    let to = "to = ['refused@example.com', 'soc@example.com']\n";
    let notifier = made::notifier(&settings(server.port, &format!("{PLAIN}{to}")));
    assert_eq!(notifier.notify(&made::notification("x")).await, Verdict::Delivered);
    assert_eq!(server.wait_for(1)[0].to, ["soc@example.com"]);

    let to = "to = ['refused@example.com', 'refused2@example.com']\n";
    let notifier = made::notifier(&settings(server.port, &format!("{PLAIN}{to}")));
    let verdict = notifier.notify(&made::notification("x")).await;
    assert!(matches!(&verdict, Verdict::Rejected(why) if why.contains("550")), "{verdict:?}");
}

#[tokio::test]
async fn an_address_that_is_put_off_is_tried_again_alone() {
    let server = Aiosmtpd::start(&Options::default());
    let to = "to = ['soc@example.com', 'later@example.com']\n";
    let notifier = made::notifier(&settings(server.port, &format!("{PLAIN}{to}")));
    assert_eq!(notifier.notify(&made::notification("x")).await, Verdict::Delivered);
    let mails = server.wait_for(2);
    assert_eq!(mails[0].to, ["soc@example.com"]);
    assert_eq!(mails[1].to, ["later@example.com"]);
    assert_eq!(mails[0].header("message-id"), mails[1].header("message-id"));
    assert_eq!(notifier.metric("hark_notifications_total{notifier=\"soc\",outcome=\"retry\"}"), 1);
}

#[tokio::test]
async fn after_a_lost_answer_the_same_message_goes_again() {
    let stub = Stub::start(&[AfterData::HangUp, AfterData::Silence, AfterData::Accept]);
    let more = format!("{PLAIN}{}", made::IMPATIENT);
    let notifier = made::notifier(&settings(stub.port(), &more));
    assert_eq!(notifier.notify(&made::notification("x")).await, Verdict::Delivered);
    let messages = stub.messages();
    assert_eq!(messages.len(), 3);
    assert!(messages[0].contains("Message-ID: <"));
    assert!(messages.iter().all(|message| *message == messages[0]), "byte for byte");
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let trouble = first_trouble(&made::notifier(&settings(port, PLAIN))).await;
    assert!(matches!(trouble, State::BackingOff(_)), "{trouble:?}");
}

#[test]
fn every_mistake_in_its_table_gets_a_caret() {
    let text = "[notifiers.soc.email]
server = 'mail.example.com'
tls = 'none'
port = 70000
username = 'hark'
from = 'hark'
to = ['soc@example.com', 'soc at example']
ca = '/nowhere/ca.pem'
subject = 'x'
";
    expect![[r#"
        error[missing-key]: missing key `password` in `[notifiers.soc.email]`
         --> hark.toml:1:1
          |
        1 | [notifiers.soc.email]
          | ^^^^^^^^^^^^^^^^^^^^^

        error[plain-smtp]: mail to `mail.example.com` would go unencrypted
         --> hark.toml:3:7
          |
        3 | tls = 'none'
          |       ^^^^^^
          |
          = help: use "starttls" or "tls"; `insecure = true` allows it all the same

        error[out-of-range]: expected a port from 1 to 65535, found `70000`
         --> hark.toml:4:8
          |
        4 | port = 70000
          |        ^^^^^

        error[bad-address]: expected an address such as `SOC <soc@example.com>`, found `hark`
         --> hark.toml:6:8
          |
        6 | from = 'hark'
          |        ^^^^^^

        error[bad-address]: expected an address such as `SOC <soc@example.com>`, found `soc at example`
         --> hark.toml:7:26
          |
        7 | to = ['soc@example.com', 'soc at example']
          |                          ^^^^^^^^^^^^^^^^

        error[bad-ca]: cannot read `/nowhere/ca.pem`: No such file or directory (os error 2)
         --> hark.toml:8:6
          |
        8 | ca = '/nowhere/ca.pem'
          |      ^^^^^^^^^^^^^^^^^

        error[unknown-key]: unknown key `subject` in `[notifiers.soc.email]`
         --> hark.toml:9:1
          |
        9 | subject = 'x'
          | ^^^^^^^

    "#]].assert_eq(&made::mistakes(text));
}

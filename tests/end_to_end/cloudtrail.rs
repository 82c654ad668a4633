//! A real log of another product: `CloudTrail` during a simulated attack, through the mapping that
//! ships. What must be found is counted from the JSON itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::recount::{HOUR, MINUTE, Rule, Told, millis};
use crate::stage::{Stage, Wishes, now, root};
use crate::support::kafka;
use crate::traffic::Line;

const RULES: [(&str, &str); 5] = [
    (
        "cloudtrail/denied.toml",
        r#"
title = "Many refused calls"
severity = "high"
when = 'event.outcome: failure and event.reason: (AccessDenied or Client.UnauthorizedOperation)'
group_by = ["user.id"]
threshold = { count = 5, within = "5m" }
alert = { keep_open = "7m" }
"#,
    ),
    (
        "cloudtrail/new-access.toml",
        r#"
title = "Somebody gets access"
severity = "medium"
alert = { title = "{{ user.name }}: {{ event.action }} for {{ user.target.name }}" }
when = 'event.category: iam and event.action: (CreateUser or AttachUserPolicy or CreateAccessKey) and event.outcome: success'
"#,
    ),
    (
        "cloudtrail/bucket-deleted.toml",
        r#"
title = "Bucket deleted"
severity = "low"
when = 'event.type: deletion and event.action == DeleteBucket'
group_by = ["target.name"]
alert = { keep_open = "1h" }
"#,
    ),
    (
        "cloudtrail/login-without-mfa.toml",
        r#"
title = "Login to the console without a second factor"
severity = "high"
when = 'event.category: authentication and event.outcome: success and raw.additionalEventData.MFAUsed: No'
group_by = ["user.name"]
"#,
    ),
    (
        "cloudtrail/from-outside.toml",
        r#"
title = "Calls from outside"
severity = "info"
when = 'source.ip: * and not source.ip: (10.0.0.0/8 or 172.16.0.0/12 or 192.168.0.0/16)'
group_by = ["source.ip"]
alert = { keep_open = "10m" }
"#,
    ),
];

fn rule(id: &'static str, severity: &'static str) -> Rule {
    Rule { id, severity, threshold: None, keep_open: Some(HOUR), rises: None }
}

/// Which rule counts a record, and under which key, by the words of AWS.
fn counted(record: &Value) -> Vec<(Rule, Value)> {
    let user = &record["userIdentity"];
    let error = record["errorCode"].as_str();
    let mut counted = Vec::new();
    if matches!(error, Some("AccessDenied" | "Client.UnauthorizedOperation")) {
        let rule = Rule {
            threshold: Some((5, 5 * MINUTE)),
            keep_open: Some(7 * MINUTE),
            ..rule("cloudtrail/denied", "high")
        };
        counted.push((rule, json!({ "user.id": user["arn"] })));
    }
    match record["eventName"].as_str().unwrap() {
        "CreateUser" | "AttachUserPolicy" | "CreateAccessKey" if error.is_none() => {
            let rule = Rule { keep_open: None, ..rule("cloudtrail/new-access", "medium") };
            counted.push((rule, json!({})));
        }
        "DeleteBucket" => {
            let bucket = &record["requestParameters"]["bucketName"];
            let rule = rule("cloudtrail/bucket-deleted", "low");
            counted.push((rule, json!({ "target.name": bucket })));
        }
        "ConsoleLogin"
            if record["additionalEventData"]["MFAUsed"] == "No"
                && record["responseElements"]["ConsoleLogin"] == "Success" =>
        {
            let rule = Rule {
                keep_open: Some(5 * MINUTE),
                ..rule("cloudtrail/login-without-mfa", "high")
            };
            counted.push((rule, json!({ "user.name": user["userName"] })));
        }
        _ => {}
    }
    let from = record["sourceIPAddress"].as_str().unwrap();
    let inside = from.starts_with("10.") || from.starts_with("192.168.");
    if from.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !inside {
        let rule = Rule { keep_open: Some(10 * MINUTE), ..rule("cloudtrail/from-outside", "info") };
        counted.push((rule, json!({ "source.ip": from })));
    }
    counted
}

#[test]
fn in_a_real_cloudtrail_log_exactly_what_is_in_it_is_found() {
    let log = File::open(root().join("tests/data/invictus_cloudtrail.jsonl.gz")).unwrap();
    let log: Vec<String> =
        BufReader::new(GzDecoder::new(log)).lines().collect::<Result<_, _>>().unwrap();
    assert_eq!(log.len(), 2900);

    let mut keys: BTreeMap<(&str, String), (Rule, Vec<i64>)> = BTreeMap::new();
    let mut lines = Vec::new();
    for payload in log {
        let record: Value = serde_json::from_str(&payload).unwrap();
        let time = millis(record["eventTime"].as_str().unwrap());
        for (rule, key) in counted(&record) {
            let of_key = keys.entry((rule.id, key.to_string())).or_insert((rule, Vec::new()));
            of_key.1.push(time);
        }
        // As CloudTrail's own exports do it: an account is a partition.
        let key = record["recipientAccountId"].as_str().unwrap().to_owned();
        lines.push(Line { topic: "audit.cloudtrail", key, time, payload });
    }
    let expected: Vec<Told> =
        keys.iter().flat_map(|((_, key), (rule, times))| rule.alerts(key, times, now())).collect();
    let of = |id: &str| expected.iter().filter(|alert| alert.rule == id).count();
    assert_eq!(of("cloudtrail/denied"), 3);
    assert_eq!(of("cloudtrail/new-access"), 7);
    assert_eq!(of("cloudtrail/login-without-mfa"), 1);

    let rules = RULES.map(|(path, text)| (path, text.to_owned())).to_vec();
    let wishes =
        Wishes { topics: vec!["audit.cloudtrail"], rules: Some(rules), ..Wishes::default() };
    let stage = Stage::new(kafka(), &Wishes { mail_resolved: true, ..wishes });
    stage.produce(&lines);
    let running = stage.start();
    let alerts = stage.alerts_are(&expected);
    stage.all_told(&alerts, true);
    stage.all_forwarded();
    running.stop();
    stage.nothing_twice();
    stage.no_dead_letters();

    // What people read is about what is in the log.
    let mails = stage.mail.mails();
    let subjects: Vec<&str> = mails.iter().flat_map(|mail| mail.header("subject")).collect();
    for subject in [
        "[MEDIUM] bert-jan: AttachUserPolicy for malicious-iam-user",
        "[HIGH] Login to the console without a second factor",
        "[RESOLVED] Many refused calls",
    ] {
        assert!(subjects.contains(&subject), "no `{subject}` in {subjects:#?}");
    }
}

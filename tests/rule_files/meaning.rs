//! What a file without mistakes means: its keys, defaults, bounds, and the two hashes of a version.

use hark::base::diagnostic::{SourceText, render};
use hark::detectors::DETECTORS;
use hark::query::Sets;
use hark::rule::template::TEMPLATE_CHARS_MAX;
use hark::rule::test_case::TIMES_MAX;
use hark::rule::{Context, GROUP_BY_MAX, ID_CHARS_MAX, parse};

use super::{ok, read, rule};

#[test]
fn every_key_of_the_reference_is_read() {
    let rule = ok(r#"
title       = "Repeated failed logins"
description = "Five or more failed logins by one user within ten minutes."
severity    = "informational"
tags        = ["soc2.cc6.1"]
threat      = ["T1110", "T1110.003"]
runbook     = "https://wiki.example.com/runbooks/failed-logins"
references  = ["https://attack.mitre.org/techniques/T1110/"]
false_positives = ["a service account with an expired password"]
owner       = "soc"
enabled     = false
status      = "building_block"
lateness    = "0s"
id          = "own/name-1.x"
when        = 'event.category: authentication and event.outcome: failure'
group_by    = ["user.name", "source.ip"]

[alert]
keep_open = "1h"
title     = "{{ alert.count }} failed logins for {{ user.name }} from {{ values('source.ip') | join(', ') }}"
summary   = "{{ user_agent.original }}"

[[alert.severity]]
when  = 'alert.count >= 50 or user.roles: admin'
level = "critical"

[[exception]]
when   = 'source.ip: 198.51.100.0/24'
reason = "weekly credential scan"
until  = 2027-01-31
"#);
    assert_eq!(&*rule.id, "own/name-1.x");
    assert_eq!(rule.severity.name(), "info");
    assert_eq!(rule.status.name(), "building_block");
    assert!(!rule.enabled);
    assert_eq!(rule.exceptions[0].until.unwrap().to_string(), "2027-01-31T23:59:59.999Z");
    assert_eq!(rule.alert.keep_open.as_secs(), 3600);
    assert_eq!(rule.alert.max_open.as_secs(), 86_400);
    let shown: Vec<String> = rule.shown_fields().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["source.ip", "user.name", "user.roles", "user_agent.original"]);
    assert_eq!(rule.values_fields()[0].to_string(), "source.ip");
}

#[test]
fn an_exception_until_a_time_ends_at_it() {
    for (written, until) in [
        ("2027-01-31T18:00:00Z", "2027-01-31T18:00:00Z"),
        ("2027-01-31T18:00:00+02:00", "2027-01-31T16:00:00Z"),
        ("2027-01-31T18:00:00", "2027-01-31T18:00:00Z"),
        ("\"2027-01-31\"", "2027-01-31T23:59:59.999Z"),
    ] {
        let exception =
            format!("[[exception]]\nwhen = 'user.name: x'\nreason = 'y'\nuntil = {written}");
        let rule = ok(&rule(&exception));
        assert_eq!(rule.exceptions[0].until.unwrap().to_string(), until);
    }
}

#[test]
fn the_fingerprint_is_what_counts_and_the_hash_is_everything() {
    let version = |text: &str| {
        let rule = ok(text);
        (rule.fingerprint, rule.hash)
    };
    let plain = rule("[threshold]\ncount = 5\nwithin = '10m'");
    let (fingerprint, hash) = version(&plain);
    let spelling = format!("# a comment\n{}", plain.replace("'10m'", "\"600s\""));
    assert_eq!(version(&spelling), (fingerprint, hash), "spelling is no change");
    for (from, to) in [("\"x\"", "\"y\""), ("\"low\"", "\"high\""), ("[thr", "tags = ['a']\n[thr")]
    {
        let (same, other) = version(&plain.replace(from, to));
        assert_eq!(same, fingerprint, "{to} keeps the counters");
        assert_ne!(other, hash, "{to} is another version");
    }
    for (from, to) in [
        ("'10m'", "'11m'"),
        ("count = 5", "count = 6"),
        ("action: x", "action: y"),
        ("[thr", "lateness = '1m'\n[thr"),
        ("[thr", "group_by = ['user.name']\n[thr"),
        ("[thr", "exception = [{ when = 'user.name: bob', reason = 'r' }]\n[thr"),
    ] {
        let (other, version) = version(&plain.replace(from, to));
        assert_ne!(other, fingerprint, "{to} starts the counters again");
        assert_ne!(version, hash, "{to} is another version");
    }
}

#[test]
fn the_example_of_every_detector_is_a_rule_without_mistakes() {
    assert!(!DETECTORS.is_empty());
    for spec in DETECTORS {
        let rule = ok(spec.example);
        assert_eq!(rule.detector.unwrap().spec().table, spec.table);
    }
}

#[test]
fn bounds_hold_at_their_edge() {
    let id = |n: usize| rule(&format!("id = '{}'", "a".repeat(n)));
    ok(&id(ID_CHARS_MAX));
    assert!(read(&id(ID_CHARS_MAX + 1)).0.is_none());
    let fields = [
        "user.name",
        "user.id",
        "user.email",
        "source.ip",
        "event.action",
        "event.dataset",
        "target.id",
        "target.type",
        "target.name",
    ];
    let grouped = |n: usize| rule(&format!("group_by = {:?}", &fields[..n]));
    ok(&grouped(GROUP_BY_MAX));
    assert!(read(&grouped(GROUP_BY_MAX + 1)).1.contains("at most 8 fields"));
    let title = |n: usize| rule(&format!("[alert]\ntitle = '{}'", "a".repeat(n)));
    ok(&title(TEMPLATE_CHARS_MAX));
    assert!(read(&title(TEMPLATE_CHARS_MAX + 1)).0.is_none());
    let times = |n: u64| {
        rule(&format!(
            "[[test]]\nname = 'x'\nexpect = []\nevents = [{{ sample = 'a/b', times = {n} }}]"
        ))
    };
    ok(&times(TIMES_MAX));
    assert!(read(&times(TIMES_MAX + 1)).0.is_none());
}

#[test]
fn keep_open_may_be_as_long_as_the_window_and_not_shorter() {
    let open =
        |keep: &str| rule(&format!("[threshold]\ncount = 2\nwithin = '2d'\n[alert]\n{keep}"));
    let longest = ok(&open("keep_open = '2d'")).alert;
    assert_eq!(longest.max_open.as_secs(), 2 * 86_400, "no shorter than the window");
    assert_eq!(ok(&open("")).alert.keep_open.as_secs(), 2 * 86_400);
    assert!(read(&open("keep_open = '47h'")).1.contains("keep-open-too-short"));
}

#[test]
fn the_example_of_the_reference_is_a_rule() {
    let text = r#"
title       = "Repeated failed logins"
description = "Five or more failed logins by one user within ten minutes."
severity    = "high"                          # info (= informational) | low | medium | high | critical
tags        = ["soc2.cc6.1"]
threat      = ["T1110"]
runbook     = "https://wiki.example.com/runbooks/failed-logins"
false_positives = ["a service account with an expired password"]

when     = 'event.category: authentication and event.outcome: failure'
group_by = ["user.name"]

[threshold]
count  = 5
within = "10m"

[alert]
title = "{{ alert.count }} failed logins for {{ user.name }} from {{ values('source.ip') | join(', ') }}"

[[exception]]
when   = 'source.ip: @vulnerability-scanners'
reason = "weekly credential scan"
until  = 2027-01-31

[[test]]
name   = "the fifth failure inside ten minutes opens one alert"
events = [{ sample = "opsknight/login_failed", times = 5, every = "2m", set = { "user.name" = "mallory" } }]
expect = [{ at = "8m", key = { user.name = "mallory" }, count = 5 }]

[[test]]
name   = "five failures over more than ten minutes do not"
events = [{ sample = "opsknight/login_failed", times = 5, every = "2m31s" }]
expect = []
"#;
    let mut sets = Sets::default();
    let (list, refused) = hark::query::List::new(["198.51.100.0/24"]);
    assert!(refused.is_empty());
    sets.insert_list("vulnerability-scanners", list);
    let source = SourceText::new("rules/common/failed-logins.toml", text);
    let (rule, found) = parse(&source, "common/failed-logins", &Context::new(&sets));
    assert_eq!(render(&source, &found, false), "");
    let rule = rule.unwrap();
    assert_eq!(rule.tests.len(), 2);
    let key = &rule.tests[0].expect[0].key;
    assert_eq!(key.keys().map(ToString::to_string).collect::<Vec<_>>(), ["user.name"]);
    assert_eq!(
        rule.tests[0].expect[0].at.unwrap().from(rule.tests[0].start).to_string(),
        "2026-01-05T12:08:00Z"
    );
}

#[test]
fn what_is_told_when_it_ends_stays_open_for_five_minutes_at_most_or_as_long_as_is_written() {
    let open = |side: &str, within: &str, keep: &str| {
        let metric = "[metric]\nfield = 'event.duration'\nfunction = 'max'\n";
        ok(&rule(&format!("{metric}{side} = 5\nwithin = '{within}'\n[alert]\n{keep}"))).alert
    };
    for down in ["below", "at_most"] {
        assert_eq!(open(down, "1h", "").keep_open.as_secs(), 300);
        assert_eq!(open(down, "2m", "").keep_open.as_secs(), 120);
        assert_eq!(open(down, "1h", "keep_open = '1s'").keep_open.as_secs(), 1);
        assert_eq!(open(down, "2d", "").max_open.as_secs(), 2 * 86_400);
    }
    for up in ["above", "at_least"] {
        assert_eq!(open(up, "1h", "").keep_open.as_secs(), 3_600);
    }
    let short = rule(
        "[metric]\nfield = 'event.duration'\nfunction = 'max'\nabove = 5\nwithin = '1h'\n[alert]\nkeep_open = '1s'",
    );
    assert!(read(&short).1.contains("keep-open-too-short"));
}

//! `hark match` and `hark explain` as people and scripts meet them: the binary itself, the bytes it
//! prints and its exit codes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Read as _;
use std::process::Output;

use expect_test::{Expect, expect};

#[path = "support/program.rs"]
mod program;

use program::{root, run as hark, text};

/// Common fields, dotted and nested; odd spacing that must survive; lines that are no records.
const EVENTS: &str = "{\"@timestamp\": \"2026-01-05T12:00:00Z\", \"user\": {\"name\": \"Eve\"}, \"event.action\":\t\"login\"}  \r
\n{\"user.name\":\"bob\",\"event.action\":\"user.deleted\",\"raw\":{\"door\":[1,2]}}
oops
{\"user.name\":\"eve\",\"event.action\":\"logout\",\"made.up\":\"x\"}
{\"@timestamp\": \"yesterday\", \"user.name\": \"eve\"}
";

const TRAIL: &str = "tests/data/invictus_cloudtrail.jsonl.gz";

fn check(output: &Output, code: i32, expected: &Expect) {
    expected.assert_eq(&format!("{}--\n{}", text(&output.stdout), text(&output.stderr)));
    assert_eq!(output.status.code(), Some(code));
}

/// Searches [`EVENTS`] where nobody has written a configuration.
fn of_events(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("events.jsonl"), EVENTS).unwrap();
    let command = ["match", "--mapping", "none"];
    hark(folder.path(), &[&command, arguments, &["events.jsonl"]].concat(), "")
}

#[test]
fn what_matches_is_printed_byte_by_byte() {
    let output = of_events(&["user.name: eve login"]);
    assert_eq!(
        text(&output.stdout),
        format!("{}\n", EVENTS.lines().next().unwrap().to_owned() + "\r")
    );
    check(
        &of_events(&["user.name: eve not login"]),
        0,
        &expect![[r#"
            {"user.name":"eve","event.action":"logout","made.up":"x"}
            --
            events.jsonl:4: not_json: expected an object, found `o`
            events.jsonl:6: bad_time: `yesterday` is neither RFC 3339 nor milliseconds since 1970
            2 lines could not be used
        "#]],
    );
}

#[test]
fn records_are_numbered_from_0_over_all_inputs() {
    let output = of_events(&["user.name: (eve or bob)", "--indexes", "events.jsonl"]);
    assert_eq!((text(&output.stdout), output.status.code()), ("0\n1\n3\n5\n6\n8\n", Some(0)));
    let output = of_events(&["user.name: (eve or bob)", "--count", "events.jsonl"]);
    assert_eq!(text(&output.stdout), "6\n");
    let output = hark(&root(), &["match", "made.up: x", "--mapping", "none", "--indexes"], EVENTS);
    assert_eq!(text(&output.stdout), "3\n", "standard input");
}

#[test]
fn the_exit_code_is_that_of_grep() {
    let code = |arguments: &[&str]| {
        let output = of_events(arguments);
        (text(&output.stdout).to_owned(), output.status.code().unwrap())
    };
    assert_eq!(code(&["user.name: mallory"]), (String::new(), 1));
    assert_eq!(code(&["user.name: mallory", "--count"]), ("0\n".to_owned(), 1));
    assert_eq!(code(&["user.name = eve"]).1, 2);
    assert_eq!(code(&["user.name: eve", "--count", "--indexes"]).1, 2);
    let found = code(&["raw.door: 2", "--indexes", "nowhere.jsonl"]);
    assert_eq!(found, ("1\n".to_owned(), 2), "the other inputs are read all the same");
}

#[test]
fn a_broken_query_is_shown_with_carets() {
    check(
        &of_events(&["user.name: eve and (event.action = login"]),
        2,
        &expect![[r"
            --
            error[unclosed]: this `(` is not closed
             --> query:1:20
              |
            1 | user.name: eve and (event.action = login
              |                    ^

            error[foreign-sign]: expected a comparison, found `=`
             --> query:1:34
              |
            1 | user.name: eve and (event.action = login
              |                                  ^
              |
              = help: write `event.action: login` (ignoring case) or `event.action == login` (exactly)

        "]],
    );
    check(
        &hark(&root(), &["match", "usr.name: eve @timestamp: @office-hurs", TRAIL], ""),
        2,
        &expect![[r#"
            --
            error[unknown-field]: unknown field `usr.name`
             --> query:1:1
              |
            1 | usr.name: eve @timestamp: @office-hurs
              | ^^^^^^^^
              |
              = help: did you mean `user.name`?

            error[unknown-schedule]: unknown schedule `office-hurs`
             --> query:1:27
              |
            1 | usr.name: eve @timestamp: @office-hurs
              |                           ^^^^^^^^^^^^
              |
              = help: `[schedules.office-hurs]` is written in the configuration; for the text itself use quotes: `"@office-hurs"`

        "#]],
    );
    check(
        &hark(&root(), &["match", "eve", "--mapping", "cloudtrial"], ""),
        2,
        &expect![[r"
        --
        error: expected a mapping (blocksecops, cloudtrail, github, google_workspace, kubernetes, okta, ops0, opsknight, opssentinal, squadcast, auto, none), found `cloudtrial`
    "]],
    );
}

#[test]
fn people_search_a_real_log_in_their_own_words() {
    let count = |query: &str, more: &[&str]| {
        let output = hark(&root(), &[&["match", "--count", query, TRAIL], more].concat(), "");
        assert_eq!(text(&output.stderr), "", "{query}");
        text(&output.stdout).trim().parse::<u64>().unwrap()
    };
    let mut log = String::new();
    let file = std::fs::File::open(root().join(TRAIL)).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut log).unwrap();
    let lines = |needle: &str| log.lines().filter(|line| line.contains(needle)).count() as u64;
    let stopped = lines(r#""eventName":"StopLogging""#);
    assert!(stopped > 0);
    for query in ["action:stoplogging", "event.action: StopLogging", "raw.eventName == StopLogging"]
    {
        assert_eq!(count(query, &[]), stopped, "{query}");
        assert_eq!(count(query, &["--mapping", "cloudtrail"]), stopped, "{query}");
    }
    assert_eq!(
        count("bert-jan StopLogging", &[]),
        count("bert-jan and user:bert-jan StopLogging", &[])
    );
    assert_eq!(count("@timestamp: *", &[]), 2_900, "all of them, without a warning");
    let working = count("@timestamp: @business-hours", &[]);
    assert_eq!(working + count("not @timestamp: @business-hours", &[]), 2_900);
}

#[test]
fn records_that_no_mapping_takes_are_searched_as_they_stand() {
    let line = "{\"door\": {\"who\": \"Eve\"}}\n";
    check(
        &hark(&root(), &["match", "raw.door.who: eve"], line),
        0,
        &expect![[r#"
            {"door": {"who": "Eve"}}
            --
        "#]],
    );
    check(
        &hark(&root(), &["match", "user.name: eve"], line),
        1,
        &expect![[r"
        --
        1 record without common fields, for no one mapping takes them; the first is standard input:1
    "]],
    );
}

#[test]
fn what_a_mapping_makes_of_a_record_is_shown_and_read_back() {
    let explain = |more: &[&str]| hark(&root(), &[&["explain"], more].concat(), "");
    let ops0 = "tests/samples/ops0/user_login_failed.json";
    check(
        &explain(&["--event", ops0]),
        0,
        &expect![[r#"
        event 0, mapping ops0
          @timestamp                 "2026-01-05T12:00:00Z"
          event.action               "user.login_failed"
          event.category             "authentication"
          event.dataset              "ops0"
          event.id                   "evt_39fc9d3960a3"
          event.kind                 "event"
          event.outcome              "failure"
          event.provider             "ops0"
          event.type                 "start"
          http.request.id            "req_1f3c652515"
          http.request.method        "POST"
          http.response.status_code  401
          source.ip                  "192.0.2.100"
          url.path                   "/api/auth"
          user.email                 "john@example.com"
          user.id                    "usr_7c1f0a"
          user.name                  "john@example.com"
          user_agent.original        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

        --
    "#]],
    );
    let opsknight = "tests/samples/opsknight/login_failed.json";
    let named = ["--event", opsknight, "--mapping", "opsknight", "--format", "json"];
    check(
        &explain(&named),
        0,
        &expect![[r#"
        {"@timestamp":"2026-01-05T12:00:00Z","event.action":"LOGIN_FAILED","event.category":"authentication","event.dataset":"opsknight","event.id":"cmc9mertrall6eyy67gvl745","event.kind":"event","event.outcome":"failure","event.provider":"opsknight","event.reason":"INVALID_PASSWORD","event.type":"start","source.ip":"203.0.113.66","user.email":"mallory@example.com","user.name":"mallory@example.com","user_agent.original":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
        --
    "#]],
    );
    // Its sibling writes the same, so that the record alone does not say whose it is.
    check(
        &explain(&["--event", opsknight]),
        1,
        &expect![[r"
        --
        event 0: no_mapping: no mapping takes this record of topic `replay`; name one with --mapping, or with --topic the topic that a mapping goes by
    "]],
    );
    let by_topic = ["--event", opsknight, "--topic", "audit.opsknight", "--format", "json"];
    let fields = |output: Output| -> serde_json::Value {
        let mut fields: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        fields.as_object_mut().unwrap().remove("event.id");
        fields
    };
    assert_eq!(fields(explain(&by_topic)), fields(explain(&named)));

    let line = explain(&named);
    let back = ["explain", "--event", "-", "--mapping", "none", "--format", "json"];
    assert_eq!(text(&hark(&root(), &back, text(&line.stdout)).stdout), text(&line.stdout));
    let matched = ["match", "--mapping", "none", "--count", "event.outcome: failure"];
    assert_eq!(text(&hark(&root(), &matched, text(&line.stdout)).stdout), "1\n");
}

/// A rule with everything that an explanation shows.
const RULE: &str = r#"title = "Repeated failed logins"
severity = "high"
when = '''event.action: (failed or locked) and not user.name: @robots and source.ip: 10.0.0.0/8
  and raw.targets: { type: user and id: $user.id } and "wrong password"'''
group_by = ["user.name"]
threshold = { count = 5, within = "10m" }

[[exception]]
when = 'source.ip: 10.9.0.0/16'
reason = "weekly scan"
until = 2026-01-31
"#;

const LOGINS: &str = r#"{"@timestamp": "2026-01-05T12:00:00Z", "event.action": "failed", "user": {"name": "mallory", "id": 7},
 "source.ip": ["10.0.0.1", "192.0.2.1"], "raw": {"why": "Wrong password", "targets": [{"type": "Role", "id": 1}, {"type": "User", "id": "7"}]}}
{"@timestamp": "2026-01-05T12:00:01Z", "event.action": "login", "user.name": "r2d2", "raw": {"targets": [{"type": "User"}]}}
{"@timestamp": "2026-01-05T12:00:02Z", "event.action": "locked", "source.ip": "10.9.1.1", "user.id": "u", "raw": {"why": "wrong password!", "targets": {"type": "user", "id": "u"}}}
"#;

fn explained(more: &[&str], events: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let lists = "[sources.\"audit\"]\n[lists.robots]\nvalues = [\"r2d2\"]\n";
    std::fs::create_dir_all(folder.path().join("config")).unwrap();
    std::fs::create_dir_all(folder.path().join("rules/mine")).unwrap();
    std::fs::create_dir_all(folder.path().join("mappings")).unwrap();
    let top = "rules = \"../rules\"\nmappings = \"../mappings\"\n";
    std::fs::write(folder.path().join("config/hark.toml"), format!("{top}{lists}")).unwrap();
    std::fs::write(folder.path().join("rules/mine/logins.toml"), RULE).unwrap();
    let command = ["explain", "--event", "-", "--mapping", "none"];
    hark(folder.path(), &[&command, more].concat(), events)
}

#[test]
fn every_term_says_what_it_saw() {
    check(
        &explained(&["--rule", "mine/logins"], LOGINS),
        0,
        &expect![[r#"
            ✓ event 0 takes part in mine/logins (Repeated failed logins)
              2026-01-05T12:00:00Z, no mapping
              ✓ all of
                ✓ any of
                  ✓ event.action: failed                        event.action = "failed"
                  ✗ event.action: locked                        event.action = "failed"
                ✓ not user.name: @robots                        user.name = "mallory"
                ✓ source.ip: 10.0.0.0/8                         source.ip = "10.0.0.1", "192.0.2.1"
                ✓ raw.targets: { type: user and id: $user.id }  raw.targets has 2 elements
                  ✓ element                                     {"id":"7","type":"User"}
                    ✓ all of
                      ✓ type: user                              type = "User"
                      ✓ id: $user.id                            id = "7"; user.id = 7
                ✓ "wrong password"                              in "Wrong password"
              • key                                             user.name = "mallory"
              ✗ exception does not hold: weekly scan, until 2026-01-31T23:59:59.999Z
                ✗ source.ip: 10.9.0.0/16                        source.ip = "10.0.0.1", "192.0.2.1"
              → counts towards [threshold] count = 5, within = "10m"

            ✗ event 1 does not match mine/logins (Repeated failed logins)
              2026-01-05T12:00:01Z, no mapping
              ✗ all of
                ✗ any of
                  ✗ event.action: failed                        event.action = "login"
                  ✗ event.action: locked                        event.action = "login"
                ✗ not user.name: @robots                        user.name = "r2d2"
                ✗ source.ip: 10.0.0.0/8                         source.ip is missing
                ✗ raw.targets: { type: user and id: $user.id }  raw.targets has 1 element
                  ✗ element                                     {"type":"User"}
                    ✗ all of
                      ✓ type: user                              type = "User"
                      ✗ id: $user.id                            id is missing; user.id is missing
                ✗ "wrong password"                              no text of the record contains it
              • key                                             user.name = "r2d2"
              ✗ exception does not hold: weekly scan, until 2026-01-31T23:59:59.999Z
                ✗ source.ip: 10.9.0.0/16                        source.ip is missing

            ✗ event 2 matches, but is excepted from mine/logins (Repeated failed logins)
              2026-01-05T12:00:02Z, no mapping
              ✓ all of
                ✓ any of
                  ✗ event.action: failed                        event.action = "locked"
                  ✓ event.action: locked                        event.action = "locked"
                ✓ not user.name: @robots                        user.name is missing
                ✓ source.ip: 10.0.0.0/8                         source.ip = "10.9.1.1"
                ✓ raw.targets: { type: user and id: $user.id }  raw.targets has 1 element
                  ✓ element                                     {"id":"u","type":"user"}
                    ✓ all of
                      ✓ type: user                              type = "user"
                      ✓ id: $user.id                            id = "u"; user.id = "u"
                ✓ "wrong password"                              in "wrong password!"
              ✗ group_by user.name                              missing
              ✓ exception holds: weekly scan, until 2026-01-31T23:59:59.999Z
                ✓ source.ip: 10.9.0.0/16                        source.ip = "10.9.1.1"

            --
        "#]],
    );
}

#[test]
fn an_excepted_event_names_the_exception_and_programs_read_the_same() {
    let robot = LOGINS
        .lines()
        .last()
        .unwrap()
        .replace("\"user.id\"", "\"user.name\": \"eve\", \"user.id\"");
    let tree = explained(&["--rule", "rules/mine/logins.toml"], &robot);
    assert!(text(&tree.stdout).starts_with("✗ event 0 matches, but is excepted from mine/logins"));
    let later = robot.replace("2026-01-05", "2026-02-05");
    let json =
        explained(&["--rule", "mine/logins", "--format", "json"], &format!("{robot}\n{later}\n"));
    let told: Vec<serde_json::Value> =
        text(&json.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |told: &serde_json::Value| {
        (told["index"].clone(), told["outcome"].clone(), told["exceptions"][0]["ended"].clone())
    };
    let told: Vec<_> = told.iter().map(of).collect();
    assert_eq!(
        serde_json::json!(told),
        serde_json::json!([[0, "excepted", false], [1, "takes_part", true]])
    );
}

#[test]
fn every_part_of_a_rule_is_explained() {
    let rule = r#"title = "Factor changed after failures"
severity = "high"
group_by = ["user.name"]
[temporal]
within = "1h"
[[temporal.of]]
name = "failures"
when = 'event.action: (failed or locked)'
count = 5
[[temporal.of]]
name = "factor"
when = 'event.action: *factor*'
group_by = ["user.target.name"]
"#;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("factor.toml"), rule).unwrap();
    let explain = ["explain", "--rule", "factor.toml", "--event", "-", "--mapping", "none"];
    let output = hark(folder.path(), &explain, LOGINS.lines().next().unwrap());
    assert_eq!(output.status.code(), Some(1), "half an event is none");
    let first = LOGINS.split("\n{").next().unwrap();
    check(
        &hark(folder.path(), &explain, first),
        0,
        &expect![[r#"
            ✓ event 0 takes part in factor (Factor changed after failures)
              2026-01-05T12:00:00Z, no mapping
              ✓ part `failures`
                ✓ any of
                  ✓ event.action: failed  event.action = "failed"
                  ✗ event.action: locked  event.action = "failed"
                • key                     user.name = "mallory"
              ✗ part `factor`
                ✗ event.action: *factor*  event.action = "failed"
              → counts as `failures` towards [temporal] within = "1h"

            --
        "#]],
    );
}

#[test]
fn what_cannot_be_explained_is_told() {
    check(
        &explained(&["--rule", "mine/login"], LOGINS),
        1,
        &expect![[r"
        --
        error: there is no rule `mine/login` in rules, and no such file; did you mean `mine/logins`?
    "]],
    );
    check(
        &explained(&["--rule", "mine/logins"], "oops\n"),
        1,
        &expect![[r"
        --
        event 0: not_json: expected an object, found `o`
    "]],
    );
    check(
        &explained(&["--rule", "mine/logins"], " \n"),
        1,
        &expect![[r"
        --
        error: there is no event; give it as a JSON object
    "]],
    );
}

#[test]
fn a_shipped_rule_is_explained_on_a_sample_through_its_mapping() {
    let arguments = ["explain", "--rule", "common/failed-logins", "--event"];
    let output = hark(
        &root(),
        &[&arguments[..], &["tests/samples/opsknight/login_failed.json", "--mapping", "opsknight"]]
            .concat(),
        "",
    );
    check(
        &output,
        0,
        &expect![[r#"
            ✓ event 0 takes part in common/failed-logins (Repeated failed logins)
              2026-01-05T12:00:00Z, mapping opsknight
              ✓ all of
                ✓ event.category: authentication  event.category = "authentication"
                ✓ event.outcome: failure          event.outcome = "failure"
              • key                               user.name = "mallory@example.com"
              → counts towards [threshold] count = 5, within = "10m"

            --
        "#]],
    );
}

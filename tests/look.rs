//! `hark match` as people and scripts meet it: the binary itself, the bytes it prints and its exit
//! codes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use expect_test::{Expect, expect};

/// Common fields, dotted and nested; odd spacing that must survive; lines that are no records.
const EVENTS: &str = "{\"@timestamp\": \"2026-01-05T12:00:00Z\", \"user\": {\"name\": \"Eve\"}, \"event.action\":\t\"login\"}  \r
\n{\"user.name\":\"bob\",\"event.action\":\"user.deleted\",\"raw\":{\"door\":[1,2]}}
oops
{\"user.name\":\"eve\",\"event.action\":\"logout\",\"made.up\":\"x\"}
{\"@timestamp\": \"yesterday\", \"user.name\": \"eve\"}
";

const TRAIL: &str = "tests/data/invictus_cloudtrail.jsonl.gz";

fn hark(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hark"));
    command.args(arguments).current_dir(folder).env_remove("HARK_CONFIG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

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

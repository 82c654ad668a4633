//! What the timeline of a failed test says of events that count for nothing.

use expect_test::{Expect, expect};

use super::tests::run;

/// The timeline of the one test that a rule carries, which fails.
fn check(rule: &str, expected: &Expect) {
    let trials = run(&[&format!("title = \"a\"\nseverity = \"low\"\n{rule}")]);
    assert_eq!(trials.len(), 1);
    assert!(!trials[0].passed());
    expected.assert_eq(&trials[0].timeline());
}

#[test]
fn the_first_term_that_does_not_hold_is_said_with_what_it_saw() {
    check(
        r#"
when = 'event.action: fail* and event.outcome: failure and not user.name: (eve or @robots)'
[[test]]
name = "it fires"
events = [
  { sample = "door/failed", times = 3, every = "1m" },
  { sample = "door/failed", at = "5m", set = { "event.outcome" = "success" } },
  { sample = "door/failed", at = "6m", set = { "event.outcome" = "failure" } },
  { fields = { "event.action" = "opened" }, at = "7m" },
]
expect = [{}]"#,
        &expect![[r#"
            a: it fires
              expected 1 alert, found none
                0s…2m  event     door/failed 1 to 3 of 3  does not match `event.outcome: failure`: event.outcome is missing
                   5m  event     door/failed  does not match `event.outcome: failure`: event.outcome = "success"
                   6m  event     door/failed  does not match `not (user.name: eve or user.name: @robots)`: user.name = "eve"
                   7m  event     event.action: opened  does not match `event.action: fail*`: event.action = "opened"
                   7m  expected  ✗ an alert: no such alert
        "#]],
    );
}

#[test]
fn of_steps_the_nearest_one_is_named() {
    check(
        r#"
group_by = ["user.name"]
[sequence]
within = "1h"
[[sequence.step]]
name = "failures"
when = 'event.action: failed and event.outcome: failure'
[[sequence.step]]
when = 'event.action: opened'
[[test]]
name = "it fires"
events = [
  { fields = { "event.action" = "failed", "event.outcome" = "success", "user.name" = "eve" } },
  { fields = { "event.action" = "open", "user.name" = "eve" }, at = "1m" },
  { fields = { "event.action" = "opened", "user.name" = "eve" }, at = "2m" },
]
expect = [{ at = "2m" }]"#,
        &expect![[r#"
            a: it fires
              expected 1 alert, found none
                0s  event     event.action: failed, event.outcome: success, us…  matches no part; of `failures` not `event.outcome: failure`: event.outcome = "success"
                1m  event     event.action: open, user.name: eve  matches no part; of part 2 not `event.action: opened`: event.action = "open"
                2m  event     event.action: opened, user.name: eve  matches part 2  user.name: eve
                2m  expected  ✗ at 2m: no such alert
                1 event matches, and [sequence] within = "1h" does not fire for any key
        "#]],
    );
}

#[test]
fn an_exception_is_named_and_so_are_the_fields_that_the_key_lacks() {
    check(
        r#"
when = 'event.action: fail*'
group_by = ["source.ip", "user.name", "user.id"]
[[exception]]
when = 'user.name: @robots'
reason = "weekly scan"
[[exception]]
when = 'user.name: old'
reason = "ended long ago"
until = 2020-01-01
[[test]]
name = "it fires"
events = [
  { sample = "door/failed", set = { "user.name" = "R2D2" } },
  { sample = "door/failed", at = "1m", set = { "user.name" = "old" } },
  { sample = "door/failed", at = "2m", unset = ["user.name"], set = { "source.ip" = "10.0.0.1" } },
]
expect = [{}]"#,
        &expect![[r#"
            a: it fires
              expected 1 alert, found none
                0s  event     door/failed  matches, but is dropped by the exception `weekly scan`: `user.name: @robots`, user.name = "R2D2"
                1m  event     door/failed  matches, but has no key: source.ip and user.id of group_by are missing
                2m  event     door/failed  matches, but has no key: user.name and user.id of group_by are missing
                2m  expected  ✗ an alert: no such alert
        "#]],
    );
}

#[test]
fn a_detector_that_never_fires_is_named_with_its_numbers() {
    check(
        r#"
when = 'event.action: fail*'
group_by = ["user.name"]
threshold = { count = 3, within = "5m" }
[[test]]
name = "it fires"
events = [{ sample = "door/failed", times = 3, every = "6m" }]
expect = [{}]"#,
        &expect![[r#"
            a: it fires
              expected 1 alert, found none
                0s…12m  event     door/failed 1 to 3 of 3  matches  user.name: eve
                    0s  expected  ✗ an alert: no such alert
                3 events match, and [threshold] count = 3, within = "5m" does not fire for any key
        "#]],
    );
}

#[test]
fn a_spike_that_never_fires_says_how_long_a_key_has_to_be_known() {
    check(
        r#"
when = 'event.action: fail*'
group_by = ["user.name"]
spike = { factor = 2, within = "5m", min_events = 3 }
[[test]]
name = "it fires"
events = [{ sample = "door/failed", times = 3, every = "1m" }]
expect = [{}]"#,
        &expect![[r#"
            a: it fires
              expected 1 alert, found none
                0s…2m  event     door/failed 1 to 3 of 3  matches  user.name: eve
                   0s  expected  ✗ an alert: no such alert
                3 events match, and [spike] factor = 2, within = "5m", min_events = 3 does not fire for any key: it is silent until a key's first event is `within` + `baseline` ago
        "#]],
    );
}

#[test]
fn of_many_reasons_the_nearest_are_kept_and_the_rest_is_counted() {
    let rule = r#"
when = 'event.action: fail* and user.name: bob'
[[test]]
name = "it fires"
events = [
  { fields = { "event.action" = "opened {{ n }}", "user.name" = "eve" }, times = 100, every = "1s" },
  { sample = "door/failed", times = 7, every = "1s", at = "2m", set = { "user.name" = "u{{ n }}" } },
  { fields = { "event.action" = "opened", "user.name" = "bob" }, at = "3m" },
]
"#;
    check(
        &format!("{rule}expect = [{{}}]"),
        &expect![[r#"
            a: it fires
              expected 1 alert, found none
                       0s  event     event.action: opened {{ n }}, user.name: eve 1 of 100  does not match `event.action: fail*`: event.action = "opened 1"
                 1s…1m39s  event     event.action: opened {{ n }}, user.name: eve 2 to 100 of 100  does not match
                       2m  event     door/failed 1 of 7  does not match `user.name: bob`: user.name = "u1"
                     2m1s  event     door/failed 2 of 7  does not match `user.name: bob`: user.name = "u2"
                2m2s…2m6s  event     door/failed 3 to 7 of 7  does not match
                       3m  event     event.action: opened, user.name: bob  does not match `event.action: fail*`: event.action = "opened"
                       3m  expected  ✗ an alert: no such alert
                why is said of the events that come nearest; 104 more events do not match
        "#]],
    );
    // Where none is expected, the question is why one opened.
    check(
        &format!("{rule}expect = []")
            .replace("times = 7", "times = 1")
            .replace("\"u{{ n }}\"", "\"bob\""),
        &expect![[r"
            a: it fires
              expected no alert, found 1
                0s…1m39s  event     event.action: opened {{ n }}, user.name: eve 1 to 100 of 100  does not match
                      2m  event     door/failed  matches  fires, count 1
                      2m  opens     ✗ not expected: low alert `a`
                      2m  resolves  `a`, one event, one alert, count 1
                      3m  event     event.action: opened, user.name: bob  does not match
        "]],
    );
}

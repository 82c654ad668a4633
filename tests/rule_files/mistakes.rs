//! What an author is told: the text with its carets, one kind of mistake each.

use expect_test::expect;

use super::{check, read, rule};

#[test]
fn five_mistakes_get_five_carets_at_once() {
    check(
        r#"titel = "Failed logins"
title = "Failed logins"
severity = "hihg"
when = 'event.outcome: failure and user.nmae: *'
group_by = ["user.name", 5]

[threshold]
count = 5
within = "10 minutes"
"#,
        &expect![[r#"
            error[unknown-key]: unknown key `titel`
             --> rules/x.toml:1:1
              |
            1 | titel = "Failed logins"
              | ^^^^^
              |
              = help: did you mean `title`?

            error[bad-severity]: expected one of info, low, medium, high, critical, found `hihg`
             --> rules/x.toml:3:13
              |
            3 | severity = "hihg"
              |             ^^^^
              |
              = help: did you mean `high`?

            error[unknown-field]: unknown field `user.nmae`
             --> rules/x.toml:4:36
              |
            4 | when = 'event.outcome: failure and user.nmae: *'
              |                                    ^^^^^^^^^
              |
              = help: did you mean `user.name`?

            error[wrong-type]: `group_by`: expected a string, found an integer
             --> rules/x.toml:5:26
              |
            5 | group_by = ["user.name", 5]
              |                          ^ expected a string

            error[bad-duration]: expected a duration such as `90s`, `10m`, `1h30m` or `7d`, found `10 minutes`; write `10m`
             --> rules/x.toml:9:10
              |
            9 | within = "10 minutes"
              |          ^^^^^^^^^^^^

        "#]],
    );
}

#[test]
fn a_missing_key() {
    check(
        "description = 'x'",
        &expect![[r#"
        error[missing-key]: rules/x.toml: missing key `title`

        error[missing-key]: rules/x.toml: missing key `severity`

        error[missing-key]: rules/x.toml: missing key `when`

    "#]],
    );
}

#[test]
fn what_is_not_toml() {
    check(
        "title = \"x\nseverity = low\n",
        &expect![[r#"
            error[toml-syntax]: invalid basic string, expected `"`
             --> rules/x.toml:1:11
              |
            1 | title = "x
              |           ^

            error[toml-syntax]: string values must be quoted, expected literal string
             --> rules/x.toml:2:12
              |
            2 | severity = low
              |            ^^^
              |
              = help: write it in quotes: `"low"`

        "#]],
    );
}

#[test]
fn a_wrong_type() {
    check(
        &rule("tags = \"soc2\"\nenabled = \"yes\"\nowner = 5"),
        &expect![[r#"
            error[wrong-type]: `tags`: expected a list, found a string
             --> rules/x.toml:4:8
              |
            4 | tags = "soc2"
              |        ^^^^^^ expected a list
              |
              = help: write `["soc2"]`

            error[wrong-type]: `enabled`: expected true or false, found a string
             --> rules/x.toml:5:11
              |
            5 | enabled = "yes"
              |           ^^^^^ expected true or false

            error[wrong-type]: `owner`: expected a string, found an integer
             --> rules/x.toml:6:9
              |
            6 | owner = 5
              |         ^ expected a string

        "#]],
    );
}

#[test]
fn a_word_out_of_a_set() {
    check(
        &rule("status = \"stagin\""),
        &expect![[r#"
        error[bad-status]: expected one of production, staging, building_block, found `stagin`
         --> rules/x.toml:4:11
          |
        4 | status = "stagin"
          |           ^^^^^^
          |
          = help: did you mean `staging`?

    "#]],
    );
}

#[test]
fn a_key_that_slipped_below_a_table() {
    check(
        &rule("[alert]\ntitle = \"x\"\nruns = 1\ntags = [\"a\"]"),
        &expect![[r#"
            error[unknown-key]: unknown key `runs` in `[alert]`
             --> rules/x.toml:6:1
              |
            6 | runs = 1
              | ^^^^
              |
              = help: known keys: keep_open, max_open, per, title, summary, severity

            error[unknown-key]: unknown key `tags` in `[alert]`
             --> rules/x.toml:7:1
              |
            7 | tags = ["a"]
              | ^^^^
              |
              = help: `tags` belongs above the first table: in TOML, keys below a `[table]` are that table's

        "#]],
    );
}

#[test]
fn group_by() {
    check(
        &rule(
            "group_by = [\"user.name\", \"user.name\", \"user.*\", \"usr.name\", \"user..name\"]",
        ),
        &expect![[r#"
            error[bad-group-by]: the field `user.name` is named twice
             --> rules/x.toml:4:26
              |
            4 | group_by = ["user.name", "user.name", "user.*", "usr.name", "user..name"]
              |                          ^^^^^^^^^^^

            error[bad-group-by]: expected one field, found a pattern
             --> rules/x.toml:4:39
              |
            4 | group_by = ["user.name", "user.name", "user.*", "usr.name", "user..name"]
              |                                       ^^^^^^^^

            error[unknown-field]: unknown field `usr.name`
             --> rules/x.toml:4:50
              |
            4 | group_by = ["user.name", "user.name", "user.*", "usr.name", "user..name"]
              |                                                  ^^^^^^^^
              |
              = help: did you mean `user.name`?

            error[bad-field]: expected a field name such as `user.name`, found `user..name`: empty key
             --> rules/x.toml:4:61
              |
            4 | group_by = ["user.name", "user.name", "user.*", "usr.name", "user..name"]
              |                                                             ^^^^^^^^^^^^

        "#]],
    );
}

#[test]
fn two_detectors() {
    check(
        &rule("[threshold]\ncount = 5\nwithin = \"5m\"\n[ratio]\nabove = 3"),
        &expect![[r#"
            error[two-detectors]: expected one detector, found `[ratio]` beside `[threshold]`
             --> rules/x.toml:7:2
              |
            7 | [ratio]
              |  ^^^^^
              |
              = help: a rule has at most one detector; make it two rules

        "#]],
    );
}

#[test]
fn an_exception_needs_a_reason() {
    check(
        &rule(
            "[[exception]]\nwhen = 'user.name: bob'\nuntil = 2027-01-31\n[[exception]]\nreason = ' '\nwhen = 'usr: x'\nuntil = 'soon'",
        ),
        &expect![[r#"
            error[missing-key]: missing key `reason` in `[[exception]]`
             --> rules/x.toml:4:1
              |
            4 | [[exception]]
              | ^^^^^^^^^^^^^

            error[empty]: expected a text, found an empty one
             --> rules/x.toml:8:10
              |
            8 | reason = ' '
              |          ^^^

            error[unknown-field]: unknown field `usr`
             --> rules/x.toml:9:9
              |
            9 | when = 'usr: x'
              |         ^^^
              |
              = help: a field of the original record is written `raw.usr`

            error[bad-time]: expected a date such as 2027-01-31 or a time such as 2027-01-31T18:00:00Z, found `soon`
              --> rules/x.toml:10:9
               |
            10 | until = 'soon'
               |         ^^^^^^

        "#]],
    );
}

#[test]
fn ids() {
    check(
        &rule("id = \"hark.own\""),
        &expect![[r#"
        error[bad-id]: expected an id such as `common/failed-logins`, found `hark.own`: `hark.` is reserved for Hark itself
         --> rules/x.toml:4:7
          |
        4 | id = "hark.own"
          |       ^^^^^^^^

    "#]],
    );
    check(
        &rule("id = \"a b\""),
        &expect![[r#"
        error[bad-id]: expected an id such as `common/failed-logins`, found `a b`: ` ` is not a letter, digit, `-`, `_`, `.` or `/`
         --> rules/x.toml:4:7
          |
        4 | id = "a b"
          |       ^^^

    "#]],
    );
}

#[test]
fn techniques() {
    check(
        &rule("threat = [\"T1110\", \"T1110.3\", \"1110\"]"),
        &expect![[r#"
        error[bad-threat]: expected an ATT&CK technique such as `T1110` or `T1110.003`, found `T1110.3`
         --> rules/x.toml:4:20
          |
        4 | threat = ["T1110", "T1110.3", "1110"]
          |                    ^^^^^^^^^

        error[bad-threat]: expected an ATT&CK technique such as `T1110` or `T1110.003`, found `1110`
         --> rules/x.toml:4:31
          |
        4 | threat = ["T1110", "T1110.3", "1110"]
          |                               ^^^^^^

    "#]],
    );
}

#[test]
fn the_alert() {
    check(
        &rule(
            r#"[threshold]
count = 5
within = "10m"
[alert]
keep_open = "5m"
max_open = "1m"
title = "{{ alert.cuont }} of {{ user.nmae }} from {{ values('source.pi') }}"
summary = """
Seen {{ alert.count }} times.
{% if alert.count > 5 }never closed"""
[[alert.severity]]
when = 'alert.cuont > 5'
level = "urgent"
[[alert.severity]]
when = 'alert.count > 5'
"#,
        ),
        &expect![[r#"
            error[keep-open-too-short]: expected `keep_open` of at least the detector's span of 10m, found `5m`
             --> rules/x.toml:8:13
              |
            8 | keep_open = "5m"
              |             ^^^^
              |
              = help: else one window could open two alerts; leave it out for the shortest

            error[max-open-too-short]: expected `max_open` of at least `keep_open` (5m), found `1m`
             --> rules/x.toml:9:12
              |
            9 | max_open = "1m"
              |            ^^^^

            error[unknown-field]: unknown field `alert.cuont`
              --> rules/x.toml:10:13
               |
            10 | title = "{{ alert.cuont }} of {{ user.nmae }} from {{ values('source.pi') }}"
               |             ^^^^^^^^^^^
               |
               = help: did you mean `alert.count`?

            error[unknown-field]: unknown field `user.nmae`
              --> rules/x.toml:10:34
               |
            10 | title = "{{ alert.cuont }} of {{ user.nmae }} from {{ values('source.pi') }}"
               |                                  ^^^^^^^^^
               |
               = help: did you mean `user.name`?

            error[unknown-field]: unknown field `source.pi`
              --> rules/x.toml:10:63
               |
            10 | title = "{{ alert.cuont }} of {{ user.nmae }} from {{ values('source.pi') }}"
               |                                                               ^^^^^^^^^
               |
               = help: did you mean `source.ip`?

            error[bad-template]: template: unexpected `}`, expected end of block
              --> rules/x.toml:13:23
               |
            13 | {% if alert.count > 5 }never closed"""
               |                       ^

            error[unknown-field]: unknown field `alert.cuont`
              --> rules/x.toml:15:9
               |
            15 | when = 'alert.cuont > 5'
               |         ^^^^^^^^^^^
               |
               = help: did you mean `alert.count`?

            error[bad-severity]: expected one of info, low, medium, high, critical, found `urgent`
              --> rules/x.toml:16:10
               |
            16 | level = "urgent"
               |          ^^^^^^

            error[missing-key]: missing key `level` in `[[alert.severity]]`
              --> rules/x.toml:17:1
               |
            17 | [[alert.severity]]
               | ^^^^^^^^^^^^^^^^^^

        "#]],
    );
}

#[test]
fn tests_in_the_file() {
    check(
        &rule(
            r#"[[test]]
events = [{ sample = "login", times = 5, every = 2 }]
expect = []
[[test]]
name = "x"
events = [
  { fields = { usr.name = "x", "user.name" = "a", user.name = "b" }, at = "soon" },
  { at = "-5m" },
]
expect = [{ at = "5", status = "closed", colour = 1 }]
"#,
        ),
        &expect![[r#"
            error[missing-key]: missing key `name` in `[[test]]`
             --> rules/x.toml:4:1
              |
            4 | [[test]]
              | ^^^^^^^^

            error[bad-test]: expected a sample such as `opsknight/login_failed`, found `login`
             --> rules/x.toml:5:22
              |
            5 | events = [{ sample = "login", times = 5, every = 2 }]
              |                      ^^^^^^^

            error[bad-duration]: expected a duration with a unit, found `2`; write "2s" for seconds or "2m" for minutes
             --> rules/x.toml:5:50
              |
            5 | events = [{ sample = "login", times = 5, every = 2 }]
              |                                                  ^

            error[unknown-field]: unknown field `usr.name`
              --> rules/x.toml:10:20
               |
            10 |   { fields = { usr.name = "x", "user.name" = "a", user.name = "b" }, at = "soon" },
               |                    ^^^^
               |
               = help: did you mean `user.name`?

            error[duplicate-field]: the field `user.name` is given twice
              --> rules/x.toml:10:56
               |
            10 |   { fields = { usr.name = "x", "user.name" = "a", user.name = "b" }, at = "soon" },
               |                                                        ^^^^

            error[bad-duration]: expected a duration such as `90s`, `10m`, `1h30m` or `7d`, found `soon`
              --> rules/x.toml:10:75
               |
            10 |   { fields = { usr.name = "x", "user.name" = "a", user.name = "b" }, at = "soon" },
               |                                                                           ^^^^^^

            error[bad-test]: expected `sample` or `fields`, found neither
              --> rules/x.toml:11:3
               |
            11 |   { at = "-5m" },
               |   ^^^^^^^^^^^^^^

            error[bad-duration]: expected a duration with a unit, found `5`; write `5s` for seconds or `5m` for minutes
              --> rules/x.toml:13:18
               |
            13 | expect = [{ at = "5", status = "closed", colour = 1 }]
               |                  ^^^

            error[bad-status]: expected one of open, resolved, found `closed`
              --> rules/x.toml:13:32
               |
            13 | expect = [{ at = "5", status = "closed", colour = 1 }]
               |                                ^^^^^^^^

            error[unknown-key]: unknown key `colour` in `[[test.expect]]`
              --> rules/x.toml:13:42
               |
            13 | expect = [{ at = "5", status = "closed", colour = 1 }]
               |                                          ^^^^^^
               |
               = help: known keys: at, key, count, value, severity, title, resolved_at, status

        "#]],
    );
}

#[test]
fn an_override_in_a_rules_own_file_is_refused() {
    check(
        &rule("[[override]]\nrules = [\"a/*\"]\nset = { severity = \"low\" }"),
        &expect![[r#"
            error[misplaced-override]: expected a rule alone, found `[[override]]` in its file
             --> rules/x.toml:4:3
              |
            4 | [[override]]
              |   ^^^^^^^^
              |
              = help: overrides stand in a file that holds nothing else, such as `overrides.toml` in the rules folder

        "#]],
    );
}

#[test]
fn a_field_that_alerts_do_not_have() {
    check(
        &rule("group_by = [\"rule.idd\"]"),
        &expect![[r#"
            error[unknown-field]: unknown field `rule.idd`
             --> rules/x.toml:4:14
              |
            4 | group_by = ["rule.idd"]
              |              ^^^^^^^^
              |
              = help: did you mean `rule.id`?

        "#]],
    );
}

#[test]
fn bad_queries_point_into_the_file() {
    check(
        r#"title = "x"
severity = "low"
when = """
event.reason: invalid password and
source.ip: @vulnerability-scaners"""
exception = [
  { when = "user.name = bob", reason = "x" },
  { when = "user.name: \"bob", reason = "x" },
  { when = "source.ip: @office", reason = "x" },
  { when = "event.kind: alert", reason = "x" },
]
"#,
        &expect![[r#"
            error[query-syntax]: expected `and` or `or` before `password`
             --> rules/x.toml:4:23
              |
            4 | event.reason: invalid password and
              |                       ^^^^^^^^
              |
              = help: for one text write `event.reason: "invalid password"`; for free text as well `event.reason: invalid and "password"`

            error[foreign-sign]: expected a comparison, found `=`
             --> rules/x.toml:7:23
              |
            7 |   { when = "user.name = bob", reason = "x" },
              |                       ^
              |
              = help: write `user.name: bob` (ignoring case) or `user.name == bob` (exactly)

            error[unclosed]: this quote is not closed
             --> rules/x.toml:8:12
              |
            8 |   { when = "user.name: \"bob", reason = "x" },
              |            ^^^^^^^^^^^^^^^^^^
              |
              = help: add `"` at the end; a quote inside is written `\"`

            error[unknown-list]: unknown list `office`
             --> rules/x.toml:9:24
              |
            9 |   { when = "source.ip: @office", reason = "x" },
              |                        ^^^^^^^
              |
              = help: `[lists.office]` is written in the configuration; for the text itself use quotes: `"@office"`

        "#]],
    );
}

#[test]
fn a_doubtful_query_is_a_warning_and_the_rule_is_used() {
    let text = rule("[[exception]]\nreason = 'x'\nwhen = 'user.name: bob and not user.name: bob'");
    let (rule, said) = read(&text);
    assert!(rule.is_some());
    expect![[r#"
        warning[never-true]: this is never true: `user.name: bob and not user.name: bob`
         --> rules/x.toml:6:32
          |
        6 | when = 'user.name: bob and not user.name: bob'
          |                                ^^^^^^^^^^^^^^

    "#]]
    .assert_eq(&said);
}

#[test]
fn what_other_tools_write_is_told_with_what_is_written_here() {
    let of = |more: &str| format!("title = 'x'\nseverity = 'low'\n{more}");
    for (more, told) in [
        (
            "when = 'event.action: x'\n[aggregate]\nsum = 1",
            "the detectors are threshold, cardinality, ",
        ),
        ("when = 'event.action: x'\ngroup_by = 'user.name'", "write `[\"user.name\"]`"),
        ("when = 'event.action: x'\n[exception]\nwhen = 'user.name: x'", "write `[[exception]]`"),
        ("when = 'event.action: x'\n[threshold]\ncount = '5'\nwithin = '1h'", "write `5`"),
        (
            "when = 'event.outcome: *'\n[ratio]\nof = 'event.outcome: failure'\nabove = '30 %'\nwithin = '1h'\nmin_events = 5",
            "write `0.3`",
        ),
        ("when = 'alert.rule: x'", "the rule of an alert is `rule.id`"),
        (
            "when = 'eventName: x'",
            "the common field is `event.action`; a field of the original record is written `raw.eventName`",
        ),
        ("when = 'user_name: x'", "did you mean `user.name`?"),
    ] {
        let (_, found) = read(&of(more));
        assert!(found.contains(&format!("= help: {told}")), "{more}: {found}");
    }
}

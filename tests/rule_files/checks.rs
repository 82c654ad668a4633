//! Mappings and rules checked together, as `hark check` does.

use expect_test::expect;
use hark::base::diagnostic::SourceText;
use hark::mapping::Tables;
use hark::query::Sets;
use hark::rule::{Advice, CheckInput, CheckReport, RuleFile, check};

const MAPPING: &str = r#"
topics = ["audit"]
[fields]
"@timestamp" = "time"
"user.name"  = "actor"
"event.action" = "action"
"#;

pub(super) fn checked(rules: &[(&str, &str)]) -> CheckReport {
    let files: Vec<RuleFile> = rules
        .iter()
        .map(|(relative, text)| RuleFile {
            relative: (*relative).to_owned(),
            source: SourceText::new(format!("rules/{relative}"), *text),
        })
        .collect();
    check(&CheckInput {
        mappings: &[SourceText::new("mappings/own.toml", MAPPING)],
        tables: &Tables::new(),
        rules: &files,
        sets: &Sets::default(),
        advice: Advice {
            allow: &["missing-test".to_owned(), "missing-runbook".to_owned()],
            ..Advice::default()
        },
    })
}

#[test]
fn a_field_that_no_mapping_fills_is_a_warning() {
    let report = checked(&[(
        "a.toml",
        r#"title = "a"
severity = "low"
when = 'event.action: x and (source.ip: * or raw.ip: * or labels.x: y)'
group_by = ["user.email"]
[alert]
title = "{{ user.name }} {{ values('user.id') }} {{ event.dataset }} {{ alert.count }}"
[[test]]
name = "what a test sets need not be filled"
events = [{ fields = { user.id = "x" } }]
expect = []
"#,
    )]);
    assert_eq!((report.errors(), report.rules.rules().len()), (0, 1));
    expect![[r#"
        warning[unfilled-field]: no mapping fills `source.ip`: it is always missing
         --> rules/a.toml:3:30
          |
        3 | when = 'event.action: x and (source.ip: * or raw.ip: * or labels.x: y)'
          |                              ^^^^^^^^^

        warning[unfilled-field]: no mapping fills `labels.x`: it is always missing
         --> rules/a.toml:3:59
          |
        3 | when = 'event.action: x and (source.ip: * or raw.ip: * or labels.x: y)'
          |                                                           ^^^^^^^^

        warning[unfilled-key]: no mapping fills `user.email`, so no event takes part in this rule
         --> rules/a.toml:4:14
          |
        4 | group_by = ["user.email"]
          |              ^^^^^^^^^^

        warning[unfilled-field]: no mapping fills `user.id`: it is always missing
         --> rules/a.toml:6:37
          |
        6 | title = "{{ user.name }} {{ values('user.id') }} {{ event.dataset }} {{ alert.count }}"
          |                                     ^^^^^^^

        1 rule and 1 mapping checked: no errors, 4 warnings
    "#]]
    .assert_eq(&(report.render(false) + &report.summary() + "\n"));
}

#[test]
fn every_file_with_a_mistake_is_named_and_the_others_are_used() {
    let report = checked(&[
        ("a.toml", "title = 'a'\nseverity = 'low'\nwhen = 'event.action: x'"),
        ("b.toml", "title = 'a'\nseverity = 'low'\nwhen = 'event.action: x'"),
        ("c.toml", "id = 'a'\ntitle = 'c'\nseverity = 'low'\nwhen = 'event.action: x'"),
        ("d.toml", "title = 'd'\nseverity = 'low'\nwhen = 'event.acton: x'"),
        ("e.toml", "title = 'e'\nseverity = 'low'\nwhen = 'event.action: x'"),
    ]);
    let ids: Vec<&str> = report.rules.rules().iter().map(|rule| &*rule.id).collect();
    assert_eq!(ids, ["b", "e"]);
    expect![[r#"
        error[duplicate-id]: rules/a.toml: the id `a` is also that of rules/c.toml
         |
         = help: an id names one rule: its alerts and its memory go by it

        error[duplicate-id]: rules/c.toml: the id `a` is also that of rules/a.toml
         |
         = help: an id names one rule: its alerts and its memory go by it

        error[unknown-field]: unknown field `event.acton`
         --> rules/d.toml:3:9
          |
        3 | when = 'event.acton: x'
          |         ^^^^^^^^^^^
          |
          = help: did you mean `event.action`?

        5 rules and 1 mapping checked: 3 errors
    "#]]
    .assert_eq(&(report.render(false) + &report.summary() + "\n"));
}

#[test]
fn nothing_to_say_is_an_empty_report_and_one_line() {
    let report = checked(&[("a.toml", "title = 'a'\nseverity = 'low'\nwhen = 'event.action: x'")]);
    assert_eq!(report.render(false), "");
    assert_eq!(report.summary(), "1 rule and 1 mapping checked: no errors");
}

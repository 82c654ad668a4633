//! What `check` advises of rules that are valid: as precise as it can be, for a false alarm teaches
//! people to look away.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};
use hark::base::Timestamp;
use hark::base::diagnostic::SourceText;
use hark::mapping::Tables;
use hark::query::{Schedule, Sets};
use hark::rule::{Advice, CheckInput, RuleFile, check};

use crate::cases::TESTS;

const OKTA: &str = r#"
topics = ["okta"]
[fields]
"user.name"      = "actor"
"event.action"   = "type"
"event.provider" = { value = "okta" }
[[classify]]
when = 'event.action: login'
set  = { "event.category" = "authentication" }
"#;

const GITHUB: &str = r#"
topics = ["github"]
[fields]
"user.name"      = "actor"
"user.target.id" = "member"
"event.action"   = "action"
"event.provider" = { value = "github" }
[[classify]]
when = 'event.action: member'
set  = { "event.category" = "iam" }
"#;

/// Every warning as `code: message [what it points at]`.
fn advice_on(rule: &str, advice: Advice<'_>) -> String {
    let mappings = [SourceText::new("okta.toml", OKTA), SourceText::new("github.toml", GITHUB)];
    let mut sets = Sets::default();
    let zone = hark::event::FieldName::parse("user.timezone").unwrap();
    sets.insert_schedule("office", Schedule::new("UTC").unwrap().with_zone_field(Some(zone)));
    let source = SourceText::new("rules/x.toml", rule);
    let rules = [RuleFile { relative: "x.toml".to_owned(), source }];
    let tables = Tables::new();
    let report = check(&CheckInput {
        mappings: &mappings,
        tables: &tables,
        rules: &rules,
        sets: &sets,
        advice,
    });
    let mut told = String::new();
    for (source, found) in &report.files {
        for d in found.clone().sorted() {
            let at = d.span.and_then(|span| source.text.get(span)).unwrap_or_default();
            writeln!(told, "{}: {} [{at}]", d.code, d.message).unwrap();
        }
    }
    told
}

fn check_rule(lines: &str, expected: &Expect) {
    let title = if lines.contains("severity =") { "" } else { "severity = 'low'\n" };
    expected.assert_eq(&advice_on(&format!("title = 'x'\n{title}{lines}\n{TESTS}"), now()));
}

/// The helps of what is said of a rule.
fn helps_of(lines: &str) -> Vec<String> {
    let mappings = [SourceText::new("okta.toml", OKTA), SourceText::new("github.toml", GITHUB)];
    let text = format!("title = 'x'\nseverity = 'low'\n{lines}\n{TESTS}");
    let source = SourceText::new("rules/x.toml", text);
    let rules = [RuleFile { relative: "x.toml".to_owned(), source }];
    let (tables, sets) = (Tables::new(), Sets::default());
    let report = check(&CheckInput {
        mappings: &mappings,
        tables: &tables,
        rules: &rules,
        sets: &sets,
        advice: now(),
    });
    let found = report.files.into_iter().flat_map(|(_, found)| found.sorted());
    found.map(|d| format!("{}: {}", d.code, d.help.unwrap_or_default())).collect()
}

#[test]
fn a_name_of_a_record_is_told_with_the_common_field_that_the_mappings_have_it_as() {
    for (name, help) in [
        (
            "actor",
            "`okta` and `github` have it as `user.name`; as it stands in the record it is `raw.actor`",
        ),
        (
            "Member",
            "`github` has it as `user.target.id`; as it stands in the record it is `raw.member`",
        ),
        (
            "src_ip",
            "the common field is `source.ip`; a field of the original record is written `raw.src_ip`",
        ),
        ("eventSource", "a field of the original record is written `raw.eventSource`"),
        ("user.nmae", "did you mean `user.name`?"),
    ] {
        let told = helps_of(&format!("when = '{name}: x'"));
        assert_eq!(told, [format!("unknown-field: {help}")], "{name}");
    }
    assert_eq!(
        helps_of("when = 'event.action: x'\ngroup_by = 'member'"),
        [
            "wrong-type: write `[\"user.target.id\"]`; `github` has it as `user.target.id`; as it stands in the record it is `raw.member`"
        ]
    );
    assert_eq!(
        helps_of("when = 'event.action: x'\ngroup_by = 'user.name'"),
        ["wrong-type: write `[\"user.name\"]`"]
    );
}

#[test]
fn a_value_that_no_mapping_gives_is_told_and_one_that_records_may_bring_is_not() {
    check_rule(
        "when = 'event.dataset: (okta.system or git*) and event.provider == oktta'",
        &expect![[r"
            unknown-value: there is no mapping `okta.system`, and `event.dataset` is the mapping's name [okta.system]
            unknown-value: no mapping gives `event.provider` the value `oktta`, so no event has it [oktta]
        "]],
    );
    check_rule(
        "when = 'event.dataset: aws* and not event.provider: gitlab'",
        &expect![[r"
            unknown-value: there is no mapping `aws*`, and `event.dataset` is the mapping's name [aws*]
            unknown-value: no mapping gives `event.provider` the value `gitlab`, so no event has it [gitlab]
        "]],
    );
    check_rule(
        "when = 'event.category: malware'",
        &expect![[r"
            unknown-value: no mapping gives `event.category` the value `malware`, so no event has it [malware]
        "]],
    );
    for fine in [
        "event.dataset: OKTA and event.provider: git*",
        "event.action: whatever",
        "event.category: (authentication or session)",
        "event.category: iam and not event.category: session",
        "event.dataset: *",
        "raw.event.dataset: aws",
    ] {
        check_rule(&format!("when = '{fine}'"), &expect![""]);
    }
}

#[test]
fn what_the_rule_asks_of_every_step_is_held_against_each_of_them() {
    let sequence = |when: &str, last: &str| {
        format!(
            "when = '{when}'\ngroup_by = ['user.name']\n[sequence]\nwithin = '1h'\n[[sequence.step]]\nname = 'tries'\nwhen = 'event.action: a'\n[[sequence.step]]\nname = 'login'\nwhen = '{last}'"
        )
    };
    check_rule(
        &sequence("event.dataset: okta", "event.action: b and event.dataset: github"),
        &expect![[r"
            never-true: this is never true: `event.dataset` has one value, and `okta` is asked for as well, by the rule's `when`, which holds in `login` too ['event.dataset: okta']
        "]],
    );
    check_rule(&sequence("event.dataset: okta", "event.action: b"), &expect![""]);
}

#[test]
fn who_learns_nothing_is_told_unless_that_is_meant() {
    let rule = |more: &str| {
        format!("when = 'event.action: a'\n[new_value]\nfields = ['user.name']\n{more}")
    };
    check_rule(
        &rule(""),
        &expect![[r"
            learns-nothing: without `learn` the first value of everything fires, old habits too [new_value]
        "]],
    );
    for fine in ["learn = '1h'", "learn = '0s'", "learn_when = 'event.action: b'"] {
        check_rule(&rule(fine), &expect![""]);
    }
}

#[test]
fn a_rule_that_builds_on_one_outside_of_the_files_that_are_checked_is_right() {
    let others = ["common/failed-logins".to_owned()].into();
    let told = |when: &str| {
        let rule = format!("title = 'x'\nseverity = 'low'\nwhen = '{when}'\n{TESTS}");
        advice_on(&rule, Advice { all_rules: false, other_rules: Some(&others), ..now() })
    };
    assert_eq!(told("rule.id: common/*"), "");
    assert!(told("rule.id: comon/*").starts_with("unknown-rule: "));
}

#[test]
fn a_field_that_no_mapping_fills_is_told_once_in_a_condition() {
    check_rule(
        "when = 'process.name: (a or b) and not process.name: c'",
        &expect![[r"
            unfilled-field: no mapping fills `process.name`: it is always missing [process.name]
        "]],
    );
}

#[test]
fn an_exception_of_an_override_that_has_ended_is_told_in_its_own_file() {
    let override_until = |until: &str| {
        let text = format!(
            "[[override]]\nrules = ['x']\n[[override.exception]]\nwhen = 'user.name: b'\nreason = 'r'\nuntil = {until}\n"
        );
        let rule = format!("title = 'x'\nseverity = 'low'\nwhen = 'event.action: a'\n{TESTS}");
        let file = |name: &str, text: &str| RuleFile {
            relative: name.to_owned(),
            source: SourceText::new(name, text),
        };
        let rules = [file("x.toml", &rule), file("overrides.toml", &text)];
        let (tables, sets) = (Tables::new(), Sets::default());
        let input = CheckInput {
            mappings: &[],
            tables: &tables,
            rules: &rules,
            sets: &sets,
            advice: now(),
        };
        check(&input).render(false)
    };
    expect![[r"
        warning[exception-ended]: this exception ended with 2020-01-01
         --> overrides.toml:6:9
          |
        6 | until = 2020-01-01
          |         ^^^^^^^^^^
          |
          = help: take it out, or give it a later `until`

    "]]
    .assert_eq(&override_until("2020-01-01"));
    assert_eq!(override_until("2026-02-01"), "");
}

fn now() -> Advice<'static> {
    Advice {
        now: Timestamp::parse("2026-02-01T00:00:00Z"),
        signals_retention: Some(Duration::from_hours(24)),
        all_rules: true,
        other_rules: None,
        samples: None,
        allow: &[],
    }
}

#[test]
fn a_key_is_impossible_when_the_condition_keeps_it_out() {
    check_rule(
        "when = 'event.action: a and not user.name: *'\ngroup_by = ['user.name']",
        &expect![[r"
            impossible-key: the condition lets only events without `user.name` through, so none takes part [user.name]
        "]],
    );
    check_rule(
        "when = 'not (event.action: a or user.name: *)'\ngroup_by = ['user.name']",
        &expect![[r"
            impossible-key: the condition lets only events without `user.name` through, so none takes part [user.name]
        "]],
    );
    // One way through is enough.
    for possible in [
        "event.action: a or not user.name: *",
        "event.action: a and not user.name: bob",
        "event.action: a and not (user.name: * and event.action: b)",
        "event.action: a and not not user.name: *",
    ] {
        check_rule(&format!("when = '{possible}'\ngroup_by = ['user.name']"), &expect![""]);
    }
}

#[test]
fn a_key_is_impossible_when_no_product_that_the_condition_lets_through_fills_it() {
    for okta_alone in [
        "event.dataset: okta",
        "event.provider: Okta and event.action: x",
        "event.action: x and (event.dataset: okta or event.category: authentication)",
    ] {
        check_rule(
            &format!("when = '{okta_alone}'\ngroup_by = ['user.target.id']"),
            &expect![[r"
                impossible-key: only events of okta can meet the condition, and `user.target.id` is not filled there, so none takes part [user.target.id]
            "]],
        );
    }
    for both in [
        "event.action: x",
        "event.dataset: (okta or github)",
        "event.dataset: okta or event.category: iam",
        "not event.dataset: github and event.action: x",
    ] {
        check_rule(&format!("when = '{both}'\ngroup_by = ['user.target.id']"), &expect![""]);
    }
    // Of neither: nothing can be said of the key.
    for neither in ["oth*", "other"] {
        let rule = format!(
            "title = 'x'\nseverity = 'low'\nwhen = 'event.dataset: {neither}'\ngroup_by = ['user.target.id']\n{TESTS}"
        );
        let told = advice_on(&rule, now());
        assert!(told.starts_with("unknown-value: ") && told.lines().count() == 1, "{told}");
    }
}

#[test]
fn retention_may_be_as_long_as_span_and_lateness_together() {
    let within = |within: &str| {
        format!("when = 'event.action: a'\n[threshold]\ncount = 2\nwithin = '{within}'")
    };
    check_rule(&within("86390s"), &expect![""]);
    check_rule(
        &within("86391s"),
        &expect![[r"
            longer-than-retention: this rule looks back 1d1s (its span and lateness), but signals are kept for 1d ['86391s']
        "]],
    );
}

#[test]
fn an_exception_holds_through_its_last_day() {
    let until = |until: &str| {
        format!(
            "when = 'event.action: a'\n[[exception]]\nwhen = 'user.name: b'\nreason = 'r'\nuntil = {until}"
        )
    };
    check_rule(&until("2026-02-01"), &expect![""]);
    check_rule(&until("2026-02-01T00:00:00Z"), &expect![""]);
    check_rule(
        &until("2026-01-31"),
        &expect![[r"
            exception-ended: this exception ended with 2026-01-31 [2026-01-31]
        "]],
    );
}

#[test]
fn a_runbook_is_for_what_wakes_somebody() {
    let rule = |more: &str| format!("when = 'event.action: a'\n{more}");
    check_rule(&rule("severity = 'medium'"), &expect![""]);
    check_rule(&rule("severity = 'high'\nstatus = 'building_block'"), &expect![""]);
    check_rule(&rule("severity = 'high'\nrunbook = 'call Ann'"), &expect![""]);
    check_rule(
        &rule("severity = 'high'\nrunbook = ' '"),
        &expect![[r"
            missing-runbook: severity `high` without a runbook ['high']
        "]],
    );
}

#[test]
fn each_technique_is_looked_up() {
    check_rule(
        "when = 'event.action: a'\nthreat = ['T1110', 'T1110.003', 'T1043', 'T1086', 'T1110.999']",
        &expect![[r"
            revoked-technique: ATT&CK has given up `T1043` (Commonly Used Port) [T1043]
            revoked-technique: ATT&CK has revoked `T1086` (PowerShell) [T1086]
            unknown-technique: ATT&CK Enterprise 18.1 has no technique `T1110.999` [T1110.999]
        "]],
    );
}

#[test]
fn a_severity_case_is_told_what_alerts_do_not_carry() {
    let case = |when: &str| {
        format!("when = 'event.action: a'\n[[alert.severity]]\nwhen = '{when}'\nlevel = 'low'")
    };
    for seen in ["alert.count > 5", "labels.*: x", "raw.a: b and user.name: $raw.c"] {
        let told =
            advice_on(&format!("title = 'x'\nseverity = 'low'\n{}\n{TESTS}", case(seen)), now());
        assert!(!told.contains("blind"), "{told}");
    }
    check_rule(
        &case("\"root\" or raw.t: { a: b }"),
        &expect![[r#"
            blind-severity-case: an alert does not carry the original record's text, so this is never true here ["root"]
            blind-severity-case: an alert does not carry the elements of arrays, so this is never true here [raw.t: { a: b }]
        "#]],
    );
    check_rule(
        &case("not @timestamp: @office"),
        &expect![[r"
            blind-severity-case: an alert does not carry `user.timezone`, so the schedule's own time zone is used here [@office]
        "]],
    );
}

#[test]
fn tests_are_missed_by_kind() {
    let told = |tests: &str| {
        advice_on(
            &format!("title = 'x'\nseverity = 'low'\nwhen = 'event.action: a'\n{tests}"),
            now(),
        )
    };
    let (fires, silent) = TESTS.split_at(TESTS.rfind("[[test]]").unwrap());
    assert!(told("").starts_with("missing-test: this rule has no tests ['x']"));
    assert!(told(fires).starts_with("missing-test: this rule has no test that must not fire"));
    assert!(told(silent).starts_with("missing-test: this rule has no test that fires"));
    assert_eq!(told(TESTS), "");
}

#[test]
fn what_is_allowed_is_not_told_and_what_is_allowed_in_vain_is() {
    let rule = |allow: &str| {
        format!("title = 'x'\nseverity = 'high'\nwhen = 'event.action: a'\nallow = {allow}\n")
    };
    assert_eq!(advice_on(&rule("['missing-test', 'missing-runbook']"), now()), "");
    expect![[r"
        unused-allow: nothing here needs `never-true` to be allowed [never-true]
        missing-runbook: severity `high` without a runbook ['high']
    "]]
    .assert_eq(&{
        let mut told: Vec<String> = advice_on(&rule("['missing-test', 'never-true']"), now())
            .lines()
            .map(str::to_owned)
            .collect();
        told.reverse();
        told.join("\n") + "\n"
    });
    // The configuration's own are for all files, so none of them is in vain.
    let allow = ["missing-test".to_owned(), "missing-runbook".to_owned(), "insecure".to_owned()];
    assert_eq!(advice_on(&rule("[]"), Advice { allow: &allow, ..now() }), "");
}

#[test]
fn a_file_with_errors_is_not_told_that_it_allows_too_much() {
    let told =
        advice_on("title = 'x'\nallow = ['missing-test']\nwhen = 'event.action: a'\n", now());
    assert_eq!(told, "missing-key: missing key `severity` []\n");
}

#[test]
fn a_test_that_calls_a_sample_that_is_not_there_is_told_where() {
    let samples = ["okta/login".to_owned(), "okta/logout".to_owned()].into();
    let advice = |samples| Advice { samples, allow: &[], ..now() };
    let rule = "title = 'T'\nseverity = 'low'\nwhen = 'event.action: x'\n\
                [[test]]\nname = 'a'\nexpect = []\n\
                events = [{ sample = 'okta/login' }, { sample = 'okta/logins' }]\n\
                [[test]]\nname = 'b'\nexpect = [{}]\n\
                [[test.events]]\nfields = { 'event.action' = 'x' }\n\
                [[test.events]]\nsample = \"entra/nothing_of_the_kind\"\n";
    assert_eq!(
        advice_on(rule, advice(Some(&samples))),
        "missing-sample: there is no sample `okta/logins` [okta/logins]\n\
         missing-sample: there is no sample `entra/nothing_of_the_kind` [entra/nothing_of_the_kind]\n"
    );
    // Where rules run but are not tested, nobody asks.
    assert_eq!(advice_on(rule, advice(None)), "");
}

#[test]
fn a_rule_on_the_alerts_of_one_that_is_not_there_is_told_so() {
    let rule = |when: &str| format!("title = 'x'\nseverity = 'low'\nwhen = '{when}'\n{TESTS}");
    let told = |when: &str, all_rules| advice_on(&rule(when), Advice { all_rules, ..now() });
    assert!(told("rule.id: common/failed-login", true).starts_with(
        "unknown-rule: no rule has the id `common/failed-login`, so none of its alerts is ever seen"
    ));
    assert!(
        told("rule.id: comon/*", true).starts_with("unknown-rule: no rule has the id `comon/*`")
    );
    assert_eq!(told("rule.id: common/failed-login", false), "", "of some files nobody can say");
}

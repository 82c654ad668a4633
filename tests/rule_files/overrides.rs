//! Override files: what they change, what they are told, and that a stored version is the whole truth.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};
use hark::base::Severity;
use hark::query::Sets;
use hark::rule::{CheckReport, Context, Rule, parse_overridden};

use super::checks::checked;

const LOGINS: &str = r#"title = "Failed logins"
severity = "high"
when = 'event.action: login_failed'
group_by = ["user.name"]

[threshold]
count = 5
within = "10m"

[alert]
keep_open = "30m"

[[exception]]
when = 'user.name: probe'
reason = "monitoring"

[[test]]
name = "five"
events = [{ fields = { "event.action" = "login_failed", "user.name" = "eve" }, times = 5 }]
expect = [{ count = 5 }]
"#;
const DELETED: &str = "title = \"Deleted\"\nseverity = \"low\"\nwhen = 'event.action: deleted'\n";

/// Both rules, and override files beside them.
fn tuned(overrides: &[(&str, &str)]) -> CheckReport {
    let rules = [("own/logins.toml", LOGINS), ("own/deleted.toml", DELETED)];
    checked(&[&rules[..], overrides].concat())
}

/// The rule after overrides that have no mistakes.
#[track_caller]
fn logins(overrides: &[(&str, &str)]) -> std::sync::Arc<Rule> {
    let report = tuned(overrides);
    assert_eq!(report.render(false), "");
    report.rules.get("own/logins").unwrap().clone()
}

fn check(overrides: &str, expected: &Expect) {
    let report = tuned(&[("tuning.toml", overrides)]);
    expected.assert_eq(&(report.render(false) + &report.summary() + "\n"));
}

#[test]
fn the_example_of_the_manual_tunes_a_pack() {
    let rule = logins(&[(
        "overrides.toml",
        "[[override]]\nrules = [\"own/logi*\"]\nset   = { \"threshold.count\" = 10, \"severity\" = \"medium\" }\n",
    )]);
    assert_eq!(rule.severity, Severity::Medium);
    assert_eq!(rule.detector.as_ref().unwrap().canonical(), {
        let ten = LOGINS.replace("count = 5\nwithin", "count = 10\nwithin");
        let alone = checked(&[("own/logins.toml", &ten)]);
        alone.rules.get("own/logins").unwrap().detector.as_ref().unwrap().canonical()
    });
}

#[test]
fn each_key_that_people_tune_can_be_set() {
    let rule = logins(&[(
        "a.toml",
        r#"
        [[override]]
        rules = ["own/logins"]
        [override.set]
        enabled = false
        status = "staging"
        lateness = "1m"
        owner = "soc"
        tags = ["tuned"]
        alert.keep_open = "2h"
        alert.severity = [{ when = 'alert.count >= 50', level = "critical" }]
        "#,
    )]);
    assert!(!rule.enabled);
    assert_eq!(rule.status.name(), "staging");
    assert_eq!(rule.lateness, Duration::from_mins(1));
    assert_eq!((rule.owner.as_deref(), &*rule.tags), (Some("soc"), &["tuned".to_owned()][..]));
    assert_eq!(rule.alert.keep_open, Duration::from_hours(2));
    assert_eq!(rule.alert.cases.len(), 1);
    assert_eq!(rule.severity, Severity::High, "what is not set stays");
}

#[test]
fn files_count_in_order_of_their_paths_and_later_overrides_win() {
    let set = |severity: &str| {
        format!("[[override]]\nrules = [\"*\"]\nset = {{ severity = \"{severity}\" }}\n")
    };
    let (low, both) = (set("low"), set("medium") + &set("critical"));
    assert_eq!(logins(&[("a.toml", &low), ("b.toml", &both)]).severity, Severity::Critical);
    assert_eq!(logins(&[("a.toml", &both), ("b.toml", &low)]).severity, Severity::Low);
}

#[test]
fn exceptions_are_added_or_replaced() {
    let reasons = |text: &str| {
        let rule = logins(&[("a.toml", text)]);
        rule.exceptions.iter().map(|e| e.reason.clone()).collect::<Vec<_>>()
    };
    let added = "[[override]]\nrules = [\"own/logins\"]\n[[override.exception]]\nwhen = 'source.ip: 10.0.0.0/8'\nreason = \"office\"\nuntil = 2027-01-31\n";
    assert_eq!(
        reasons(&added.replace("source.ip: 10.0.0.0/8", "user.name: x")),
        ["monitoring", "office"]
    );
    let replaced = "[[override]]\nrules = [\"own/logins\"]\nset = { exception = [{ when = 'user.name: x', reason = \"r\" }] }\n";
    assert_eq!(reasons(replaced), ["r"]);
}

#[test]
fn a_version_as_it_is_stored_gives_the_same_rule_again() {
    let text = "# ours\n[[override]] # the first\nrules = [\"own/logins\"]\nset = { \"threshold.count\" = 10 }\n\n[[override]]\nrules = [\"*\"]\nset.severity = \"info\"\n[[override.exception]]\nwhen = 'user.name: x'\nreason = \"r\"";
    let rule = logins(&[("a\n\u{7}.toml", text)]);
    let sets = Sets::default();
    let (again, found) = parse_overridden(&rule.source, &rule.id, &Context::new(&sets));
    assert!(found.is_empty(), "{found:?}");
    let again = again.unwrap();
    assert_eq!((again.hash, again.fingerprint), (rule.hash, rule.fingerprint));
    let as_written = logins(&[]);
    assert_ne!(again.hash, as_written.hash);
    assert_ne!(again.fingerprint, as_written.fingerprint, "ten are counted otherwise than five");
}

#[test]
fn what_windows_remember_survives_an_override_that_only_shows_differently() {
    let text = "[[override]]\nrules = [\"own/*\"]\nset = { severity = \"info\" }\n";
    let (rule, as_written) = (logins(&[("a.toml", text)]), logins(&[]));
    assert_eq!(rule.fingerprint, as_written.fingerprint);
    assert_ne!(rule.hash, as_written.hash);
}

#[test]
fn a_rule_as_written_stays_at_hand_for_its_tests() {
    let text = "[[override]]\nrules = [\"own/logins\"]\nset = { \"threshold.count\" = 10 }\n";
    let report = tuned(&[("a.toml", text)]);
    assert_eq!((report.rules.overridden(), report.rule_files), (1, 2));
    assert_eq!(report.summary(), "2 rules (1 overridden) and 1 mapping checked: no errors");
    let written = report.rules.as_written();
    assert_eq!(written.rules().len(), 2);
    assert_eq!(written.get("own/logins").unwrap().hash, logins(&[]).hash);
}

#[test]
fn every_mistake_is_told_in_the_override_file_once_however_many_rules_it_meets() {
    check(
        r#"[[override]]
rules = ["own/*"]
set = { severty = "low", "alert.keep_opn" = "1h", status = "stagin" }

[[override]]
rules = ["own/logins"]
set = { "threshold.count" = 0, "alert.keep_open" = 5 }
[[override.exception]]
when = 'user.nmae: x'

[[override]]
rules = ["own/deleted"]
set = { "threshold.count" = 3 }
"#,
        &expect![[r#"
            error[unknown-key]: unknown key `severty`
             --> rules/tuning.toml:3:9
              |
            3 | set = { severty = "low", "alert.keep_opn" = "1h", status = "stagin" }
              |         ^^^^^^^ in the rule `own/logins` and 1 other
              |
              = help: did you mean `severity`?

            error[unknown-key]: unknown key `keep_opn` in `[alert]`
             --> rules/tuning.toml:3:33
              |
            3 | set = { severty = "low", "alert.keep_opn" = "1h", status = "stagin" }
              |                                 ^^^^^^^^ in the rule `own/logins` and 1 other
              |
              = help: did you mean `keep_open`?

            error[bad-status]: expected one of production, staging, building_block, found `stagin`
             --> rules/tuning.toml:3:61
              |
            3 | set = { severty = "low", "alert.keep_opn" = "1h", status = "stagin" }
              |                                                             ^^^^^^ in the rule `own/logins` and 1 other
              |
              = help: did you mean `staging`?

            error[out-of-range]: expected a number of at least 1, found `0`
             --> rules/tuning.toml:7:29
              |
            7 | set = { "threshold.count" = 0, "alert.keep_open" = 5 }
              |                             ^ in the rule `own/logins`

            error[bad-duration]: expected a duration with a unit, found `5`; write "5s" for seconds or "5m" for minutes
             --> rules/tuning.toml:7:52
              |
            7 | set = { "threshold.count" = 0, "alert.keep_open" = 5 }
              |                                                    ^ in the rule `own/logins`

            error[missing-key]: missing key `reason` in `[[exception]]`
             --> rules/tuning.toml:8:1
              |
            8 | [[override.exception]]
              | ^^^^^^^^^^^^^^^^^^^^^^ in the rule `own/logins`

            error[unknown-field]: unknown field `user.nmae`
             --> rules/tuning.toml:9:9
              |
            9 | when = 'user.nmae: x'
              |         ^^^^^^^^^ in the rule `own/logins`
              |
              = help: did you mean `user.name`?

            error[missing-key]: missing key `within` in `[threshold]`
              --> rules/tuning.toml:13:10
               |
            13 | set = { "threshold.count" = 3 }
               |          ^^^^^^^^^ in the rule `own/deleted`

            2 rules and 1 mapping checked: 8 errors
        "#]],
    );
}

#[test]
fn a_mistake_that_only_the_combination_makes_says_so() {
    check(
        "[[override]]\nrules = [\"own/logins\"]\nset = { \"threshold.within\" = \"1h\" }\n",
        &expect![[r#"
            error[keep-open-too-short]: expected `keep_open` of at least the detector's span of 1h, found `30m`
              --> rules/own/logins.toml:11:13
               |
            11 | keep_open = "30m"
               |             ^^^^^
               |
               = help: else one window could open two alerts; leave it out for the shortest; the rule as written is right; this comes with rules/tuning.toml

            2 rules and 1 mapping checked: 1 error
        "#]],
    );
}

#[test]
fn an_override_file_with_mistakes_of_its_own_changes_nothing() {
    check(
        r#"severities = 1
[[override]]
rules = []
set = { "id" = "x", test = [], severity = "low" }
[[override]]
rule = ["own/*"]
[[override]]
rules = "own/*"
set = 5
"#,
        &expect![[r#"
            error[unknown-key]: unknown key `severities`
             --> rules/tuning.toml:1:1
              |
            1 | severities = 1
              | ^^^^^^^^^^
              |
              = help: an override file holds `[[override]]` tables and nothing else

            error[bad-override]: `rules`: expected at least one glob over ids such as `opsknight/*`, found none
             --> rules/tuning.toml:3:1
              |
            3 | rules = []
              | ^^^^^

            error[bad-override]: `id` cannot be overridden
             --> rules/tuning.toml:4:9
              |
            4 | set = { "id" = "x", test = [], severity = "low" }
              |         ^^^^
              |
              = help: a rule's alerts and its memory go by its id

            error[bad-override]: `test` cannot be overridden
             --> rules/tuning.toml:4:21
              |
            4 | set = { "id" = "x", test = [], severity = "low" }
              |                     ^^^^
              |
              = help: a rule's tests say what it does as written; they are run without overrides

            error[missing-key]: missing key `rules` in `[[override]]`
             --> rules/tuning.toml:5:1
              |
            5 | [[override]]
              | ^^^^^^^^^^^^

            error[missing-key]: expected `set` or `[[override.exception]]`, found neither
             --> rules/tuning.toml:5:1
              |
            5 | [[override]]
              | ^^^^^^^^^^^^

            error[unknown-key]: unknown key `rule` in `[[override]]`
             --> rules/tuning.toml:6:1
              |
            6 | rule = ["own/*"]
              | ^^^^
              |
              = help: did you mean `rules`?

            error[wrong-type]: `rules`: expected a list, found a string
             --> rules/tuning.toml:8:9
              |
            8 | rules = "own/*"
              |         ^^^^^^^ expected a list
              |
              = help: write `["own/*"]`

            error[wrong-type]: `set`: expected a table, found an integer
             --> rules/tuning.toml:9:7
              |
            9 | set = 5
              |       ^ expected a table
              |
              = help: write `set = { … }`

            2 rules and 1 mapping checked: 9 errors
        "#]],
    );
    check(
        "override = [{ rules = [\"*\"], set = { severity = \"low\" } }]\n",
        &expect![[r#"
        error[bad-override]: expected a table with the header `[[override]]`, found another form
         --> rules/tuning.toml:1:13
          |
        1 | override = [{ rules = ["*"], set = { severity = "low" } }]
          |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

        2 rules and 1 mapping checked: 1 error
    "#]],
    );
    check(
        "[[override]]\nrules = [\"*\"\nset = { severity = \"low\" }\n",
        &expect![[r#"
            error[toml-syntax]: missing comma between array elements, expected `,`
             --> rules/tuning.toml:3:1
              |
            3 | set = { severity = "low" }
              | ^

            error[wrong-type]: `rules`: expected a string, found a table
             --> rules/tuning.toml:3:7
              |
            3 | set = { severity = "low" }
              |       ^^^^^^^^^^^^^^^^^^^^ expected a string

            2 rules and 1 mapping checked: 2 errors
        "#]],
    );
}

#[test]
fn a_glob_that_names_no_rule_is_a_warning() {
    check(
        "[[override]]\nrules = [\"own/logins\", \"own/login\", \"other/*\"]\nset = { severity = \"low\" }\n",
        &expect![[r#"
            warning[override-meets-no-rule]: no rule that was read has an id like `own/login`
             --> rules/tuning.toml:2:25
              |
            2 | rules = ["own/logins", "own/login", "other/*"]
              |                         ^^^^^^^^^
              |
              = help: did you mean `own/logins`?

            warning[override-meets-no-rule]: no rule that was read has an id like `other/*`
             --> rules/tuning.toml:2:38
              |
            2 | rules = ["own/logins", "own/login", "other/*"]
              |                                      ^^^^^^^
              |
              = help: an id is a rule's path below the rules folder, without `.toml`; `*` stands for any characters

            2 rules (1 overridden) and 1 mapping checked: no errors, 2 warnings
        "#]],
    );
}

#[test]
fn a_rule_with_a_mistake_of_its_own_is_told_without_its_overrides() {
    let broken = LOGINS.replace("count = 5\nwithin", "count = \"5\"\nwithin");
    let report = checked(&[
        ("a.toml", "[[override]]\nrules = [\"own/logins\"]\nset = { \"threshold.count\" = 10 }\n"),
        ("own/logins.toml", &broken),
    ]);
    let mut told = report.render(false);
    writeln!(told, "{}", report.summary()).unwrap();
    expect![[r#"
        error[wrong-type]: `count`: expected a whole number, found a string
         --> rules/own/logins.toml:7:9
          |
        7 | count = "5"
          |         ^^^ expected a whole number
          |
          = help: write `5`

        1 rule and 1 mapping checked: 1 error
    "#]]
    .assert_eq(&told);
}

#[test]
fn more_overrides_than_the_bound_are_refused() {
    let one = "[[override]]\nrules = [\"*\"]\nset = { severity = \"low\" }\n";
    let many = one.repeat(hark::rule::OVERRIDES_MAX);
    assert_eq!(logins(&[("a.toml", &many)]).severity, Severity::Low);
    let report = tuned(&[("a.toml", &many), ("b.toml", one)]);
    assert_eq!(report.errors(), 1);
    assert!(report.render(false).contains("expected at most 1000 overrides"));
}

#[test]
fn a_file_whose_overrides_are_commented_out_is_no_rule() {
    let report = tuned(&[("a.toml", "# [[override]]\n# rules = [\"*\"]\n")]);
    assert_eq!(
        report.render(false) + &report.summary(),
        "2 rules and 1 mapping checked: no errors"
    );
}

//! Every mistake of a file is told at once, in a rule, a mapping and a configuration alike.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use hark::base::Diagnostics;
use hark::base::diagnostic::{SourceText, render};
use hark::config::{self, Layers};
use hark::mapping::Tables;
use hark::query::Sets;
use hark::rule::{Advice, CheckInput, RuleFile, check};

fn told(found: &[(SourceText, Diagnostics)], expected: &Expect) {
    let text: String = found.iter().map(|(source, found)| render(source, found, false)).collect();
    expected.assert_eq(&text);
}

#[test]
fn of_a_rule() {
    let text = r#"titel    = "Passwords sprayed"
title    = "Passwords sprayed"
severity = "hihg"
threat   = ["T1110.003", "spraying"]
when     = 'event.outcome: failure and user.nmae: *'
group_by = ["source.adress"]

[cardinality]
fields = ["user.nam"]
count  = "many"
within = "10 min"
lateness = "1m"

[alert]
title = "{{ alert.cuont }} users"
[[alert.severity]]
when  = 'alert.count > 50 &&'
level = "worst"
"#;
    let source = SourceText::new("rules/spraying.toml", text);
    let rules = [RuleFile { relative: "spraying.toml".to_owned(), source }];
    let (tables, sets, advice) = (Tables::new(), Sets::default(), Advice::default());
    let report =
        check(&CheckInput { mappings: &[], tables: &tables, rules: &rules, sets: &sets, advice });
    told(
        &report.files,
        &expect![[r#"
        error[unknown-key]: unknown key `titel`
         --> rules/spraying.toml:1:1
          |
        1 | titel    = "Passwords sprayed"
          | ^^^^^
          |
          = help: did you mean `title`?

        error[bad-severity]: expected one of info, low, medium, high, critical, found `hihg`
         --> rules/spraying.toml:3:13
          |
        3 | severity = "hihg"
          |             ^^^^
          |
          = help: did you mean `high`?

        error[bad-threat]: expected an ATT&CK technique such as `T1110` or `T1110.003`, found `spraying`
         --> rules/spraying.toml:4:26
          |
        4 | threat   = ["T1110.003", "spraying"]
          |                          ^^^^^^^^^^

        error[unknown-field]: unknown field `user.nmae`
         --> rules/spraying.toml:5:40
          |
        5 | when     = 'event.outcome: failure and user.nmae: *'
          |                                        ^^^^^^^^^
          |
          = help: did you mean `user.name`?

        error[unknown-field]: unknown field `source.adress`
         --> rules/spraying.toml:6:14
          |
        6 | group_by = ["source.adress"]
          |              ^^^^^^^^^^^^^
          |
          = help: did you mean `source.address`?

        error[unknown-field]: unknown field `user.nam`
         --> rules/spraying.toml:9:12
          |
        9 | fields = ["user.nam"]
          |            ^^^^^^^^
          |
          = help: did you mean `user.name`?

        error[wrong-type]: `count`: expected a whole number, found a string
          --> rules/spraying.toml:10:10
           |
        10 | count  = "many"
           |          ^^^^^^ expected a whole number

        error[bad-duration]: expected a duration such as `90s`, `10m`, `1h30m` or `7d`, found `10 min`
          --> rules/spraying.toml:11:10
           |
        11 | within = "10 min"
           |          ^^^^^^^^

        error[unknown-key]: unknown key `lateness` in `[cardinality]`
          --> rules/spraying.toml:12:1
           |
        12 | lateness = "1m"
           | ^^^^^^^^
           |
           = help: `lateness` belongs above the first table: in TOML, keys below a `[table]` are that table's

        error[unknown-field]: unknown field `alert.cuont`
          --> rules/spraying.toml:15:13
           |
        15 | title = "{{ alert.cuont }} users"
           |             ^^^^^^^^^^^
           |
           = help: did you mean `alert.count`?

        error[foreign-sign]: expected `and`, found `&&`
          --> rules/spraying.toml:17:27
           |
        17 | when  = 'alert.count > 50 &&'
           |                           ^^
           |
           = help: write `… and …`

        error[query-syntax]: expected a term, found the end
          --> rules/spraying.toml:17:29
           |
        17 | when  = 'alert.count > 50 &&'
           |                             ^

        error[bad-severity]: expected one of info, low, medium, high, critical, found `worst`
          --> rules/spraying.toml:18:10
           |
        18 | level = "worst"
           |          ^^^^^

    "#]],
    );
}

#[test]
fn of_a_mapping() {
    let text = r#"topic = ["audit.example"]
detect = 'raw.action: * and event.action: x'
time   = ["iso"]
json   = ["details.*"]

[fields]
"@timestamp" = 5
"user.nmae"  = "actor"
"source.ip"  = { path = "ip", regex = "(" }
"user.id"    = { lower = true }

[[case]]
when   = 'event.acton: login'
fields = { "user.name" = "a", user.name = "b" }

[[classify]]
when = 'event.action = login'
"#;
    let mappings = [SourceText::new("mappings/example.toml", text)];
    let (tables, sets, advice) = (Tables::new(), Sets::default(), Advice::default());
    let report = check(&CheckInput {
        mappings: &mappings,
        tables: &tables,
        rules: &[],
        sets: &sets,
        advice,
    });
    told(
        &report.files,
        &expect![[r#"
            error[unknown-key]: unknown key `topic`
             --> mappings/example.toml:1:1
              |
            1 | topic = ["audit.example"]
              | ^^^^^
              |
              = help: did you mean `topics`?

            error[not-available]: `event.action` is not known yet when a record is told apart
             --> mappings/example.toml:2:29
              |
            2 | detect = 'raw.action: * and event.action: x'
              |                             ^^^^^^^^^^^^
              |
              = help: use `raw.…`, `kafka.topic` or `kafka.headers.…`

            error[bad-time-format]: expected one of rfc3339, utc, epoch_s, epoch_ms, epoch_us, epoch_ns, found `iso`
             --> mappings/example.toml:3:11
              |
            3 | time   = ["iso"]
              |           ^^^^^

            error[bad-path]: expected one path, found the pattern `details.*`
             --> mappings/example.toml:4:11
              |
            4 | json   = ["details.*"]
              |           ^^^^^^^^^^^

            error[wrong-type]: `@timestamp`: expected a path, a list of paths or a table such as { value = "x" }, found an integer
             --> mappings/example.toml:7:16
              |
            7 | "@timestamp" = 5
              |                ^ expected a path, a list of paths or a table such as { value = "x" }

            error[unknown-field]: unknown field `user.nmae`
             --> mappings/example.toml:8:1
              |
            8 | "user.nmae"  = "actor"
              | ^^^^^^^^^^^
              |
              = help: did you mean `user.name`?

            error[bad-regex]: unclosed group
             --> mappings/example.toml:9:39
              |
            9 | "source.ip"  = { path = "ip", regex = "(" }
              |                                       ^^^

            error[bad-source]: expected `path`, `join`, `value` or `table`, found none of them
              --> mappings/example.toml:10:16
               |
            10 | "user.id"    = { lower = true }
               |                ^^^^^^^^^^^^^^^^

            error[unknown-field]: unknown field `event.acton`
              --> mappings/example.toml:13:11
               |
            13 | when   = 'event.acton: login'
               |           ^^^^^^^^^^^
               |
               = help: did you mean `event.action`?

            error[duplicate-field]: the field `user.name` is given twice
              --> mappings/example.toml:14:36
               |
            14 | fields = { "user.name" = "a", user.name = "b" }
               |                                    ^^^^

            error[missing-key]: missing key `set` in `[[classify]]`
              --> mappings/example.toml:16:1
               |
            16 | [[classify]]
               | ^^^^^^^^^^^^

            error[foreign-sign]: expected a comparison, found `=`
              --> mappings/example.toml:17:22
               |
            17 | when = 'event.action = login'
               |                      ^
               |
               = help: write `event.action: login` (ignoring case) or `event.action == login` (exactly)

        "#]],
    );
}

#[test]
fn of_a_configuration() {
    let text = r#"rule = "../rules"

[kafka]
bootstrap = "broker"
signals_retention = 7

[sources."audit.*"]
delay = "5 minutes"

[schedules.office]
timezone = "Europe/Berln"
hours    = ["9-17"]

[lists.office]
values = ["10.1.2.3/8"]

[notifiers.Console.log]
min_severity = "hihg"

[sinks.siem.splunk_hek]

[check]
allow = ["missing-tests", "unknown-key"]
"#;
    let layers = Layers {
        path: "hark.toml".into(),
        text: text.to_owned(),
        environment: BTreeMap::new(),
        sets: Vec::new(),
    };
    told(
        &config::load(&layers).found,
        &expect![[r#"
            error[unknown-key]: unknown key `rule`
             --> hark.toml:1:1
              |
            1 | rule = "../rules"
              | ^^^^
              |
              = help: did you mean `rules`?

            error[bad-kafka]: expected `bootstrap` as `host:port`, found `broker`; Kafka's usual port is 9092
             --> hark.toml:4:13
              |
            4 | bootstrap = "broker"
              |             ^^^^^^^^

            error[bad-duration]: expected a duration with a unit, found `7`; write "7s" for seconds or "7m" for minutes
             --> hark.toml:5:21
              |
            5 | signals_retention = 7
              |                     ^

            error[bad-topic]: expected a topic's name: letters, digits, `.`, `_` and `-`, found `audit.*`
             --> hark.toml:7:10
              |
            7 | [sources."audit.*"]
              |          ^^^^^^^^^
              |
              = help: each audit topic is named; patterns are not understood

            error[bad-duration]: expected a duration such as `90s`, `10m`, `1h30m` or `7d`, found `5 minutes`
             --> hark.toml:8:9
              |
            8 | delay = "5 minutes"
              |         ^^^^^^^^^^^

            error[duplicate-name]: `office` is the name of a list already
              --> hark.toml:10:12
               |
            10 | [schedules.office]
               |            ^^^^^^
               |
               = help: lists and schedules share their names: `@name` means one of them

            error[bad-timezone]: expected an IANA time zone such as `Europe/Berlin`, found `Europe/Berln`, did you mean `Europe/Berlin`?
              --> hark.toml:11:12
               |
            11 | timezone = "Europe/Berln"
               |            ^^^^^^^^^^^^^^

            error[bad-schedule]: expected hours such as `09:00-17:00`, found `9-17`
              --> hark.toml:12:13
               |
            12 | hours    = ["9-17"]
               |             ^^^^^^

            error[bad-network]: `10.1.2.3/8`: bits are set beyond the prefix; the network is `10.0.0.0/8`
              --> hark.toml:15:11
               |
            15 | values = ["10.1.2.3/8"]
               |           ^^^^^^^^^^^^

            error[bad-name]: expected lower-case letters, digits, `-` and `_`, found `Console`
              --> hark.toml:17:12
               |
            17 | [notifiers.Console.log]
               |            ^^^^^^^
               |
               = help: at most 64 of them, starting with a letter

            error[bad-severity]: expected one of info, low, medium, high, critical, found `hihg`
              --> hark.toml:18:16
               |
            18 | min_severity = "hihg"
               |                ^^^^^^
               |
               = help: did you mean `high`?

            error[unknown-kind]: unknown kind `splunk_hek` in `[sinks.siem]`
              --> hark.toml:20:13
               |
            20 | [sinks.siem.splunk_hek]
               |             ^^^^^^^^^^
               |
               = help: did you mean `splunk_hec`?

            error[unknown-lint]: unknown warning `missing-tests`
              --> hark.toml:23:11
               |
            23 | allow = ["missing-tests", "unknown-key"]
               |           ^^^^^^^^^^^^^
               |
               = help: did you mean `missing-test`?

            error[unknown-lint]: `unknown-key` is an error, and cannot be allowed
              --> hark.toml:23:28
               |
            23 | allow = ["missing-tests", "unknown-key"]
               |                            ^^^^^^^^^^^
               |
               = help: put it right, or switch the rule off with `enabled = false`

        "#]],
    );
}

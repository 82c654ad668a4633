//! Every mistake of a file is told at once, in a rule, a mapping and a configuration alike.

use std::collections::BTreeMap;
use std::path::Path;

use expect_test::expect_file;
use hark::base::Diagnostics;
use hark::base::diagnostic::{SourceText, render};
use hark::config::{self, Layers};
use hark::mapping::Tables;
use hark::query::Sets;
use hark::rule::{Advice, CheckInput, RuleFile, check};

/// Holds what is told to `tests/golden/mistakes_of_….txt`.
fn told(found: &[(SourceText, Diagnostics)], name: &str) {
    let text: String = found.iter().map(|(source, found)| render(source, found, false)).collect();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    expect_file![golden.join(format!("mistakes_of_{name}.txt"))].assert_eq(&text);
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
    told(&checked("spraying.toml", text), "rule");
}

/// What is said of one rule.
fn checked(name: &str, text: &str) -> Vec<(SourceText, Diagnostics)> {
    let source = SourceText::new(format!("rules/{name}"), text);
    let rules = [RuleFile { relative: name.to_owned(), source }];
    let (tables, sets, advice) = (Tables::new(), Sets::default(), Advice::default());
    check(&CheckInput { mappings: &[], tables: &tables, rules: &rules, sets: &sets, advice }).files
}

#[test]
fn of_a_rule_as_other_tools_would_have_it() {
    let text = r#"name     = "Admin role granted"
severity = high
mitre    = ["T1110"]
query    = "user.roles contains 'admin'"
when     = "user.nmae in ['root', 'svc'] && event.action == 'grant' and event.outcome|contains: 'fail'"
group_by = "user.name"
timeframe = "1h"
threshold = 5

[alert]
title = "{{ count }} grants"
[[alert.severity]]
when  = "alert.count > '50'"
level = "critical"

[filter]
when = 'user.name: a,b'
"#;
    told(&checked("grants.toml", text), "foreign_rule");
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
    told(&report.files, "mapping");
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
    told(&config::load(&layers).found, "configuration");
}

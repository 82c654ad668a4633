//! Mistakes stand in the order of the file, however early or late they were found: those inside the
//! queries of steps and parts between those of the keys around them. The same in every format.

use hark::base::diagnostic::json::{self, Looked};
use hark::base::diagnostic::{SourceText, render, sarif};
use hark::mapping::Tables;
use hark::query::Sets;
use hark::rule::{Advice, CheckInput, CheckReport, RuleFile, check};
use serde_json::Value;

/// A mistake in a key, then one in a query, then a key again, through every kind of table that has
/// queries; each line that has one says so.
const RULES: [&str; 4] = [
    r#"title = "Steps"
severity = "hihg"                           # 1
when = 'user.nmae: *'                       # 1
group_by = ["user.nam"]                     # 1
[sequence]
withn = "1h"                                # 1
[[sequence.step]]
name = "failures"
when = 'event.outcome = failure'            # 1
cuont = 3                                   # 1
[[sequence.step]]
nme = "login"                               # 1
when = """event.outcome: success and
  user.nmae: $user.nam"""                   # 2
max_gap = "3 min"                           # 1
[alert]
colour = "red"                              # 1
[[alert.severity]]
when = 'alert.cuont > 4'                    # 1
level = "hgh"                               # 1
[[exception]]
when = "user.name = \"bob\""                # 1
reasn = "x"                                 # 1
until = "soon"                              # 1
[[test]]
name = "fires"
events = [{ fields = { "user.nmae" = "x" }, att = "5m" }]    # 2
expect = [{ cuont = 4 }]                    # 1
"#,
    r#"title = "Parts"
severity = "low"
[temporal]
withn = "1h"                                # 1
[[temporal.of]]
nme = "a"                                   # 1
when = 'event.action: a && event.action: b' # 1
cuont = 3                                   # 1
[[temporal.of]]
when = 'user.nmae: x'                       # 1
group_by = ["user.nam"]                     # 1
"#,
    r#"title = "Share"
severity = "low"
when = 'event.action: x'
[ratio]
min_event = 5                               # 1
of = 'user.nmae == x'                       # 1
abov = 0.3                                  # 1
within = "3"                                # 1
"#,
    r#"title = "News"
severity = "low"
when = 'event.action: x'
[new_value]
fields = ["user.nmae"]                      # 1
leran = "14d"                               # 1
learn_when = 'user.nmae: x and user.nam: x' # 2
settle = "a day"                            # 1
"#,
];

fn report(text: &str) -> CheckReport {
    let source = SourceText::new("rules/x.toml", text);
    let rules = [RuleFile { relative: "x.toml".to_owned(), source }];
    let (tables, sets, advice) = (Tables::new(), Sets::default(), Advice::default());
    check(&CheckInput { mappings: &[], tables: &tables, rules: &rules, sets: &sets, advice })
}

/// The lines that have mistakes, one of each mistake, as the text says it.
fn lines_in_text(report: &CheckReport) -> Vec<u64> {
    let told: String =
        report.files.iter().map(|(source, found)| render(source, found, false)).collect();
    let places = told.lines().filter_map(|line| line.split_once("--> rules/x.toml:"));
    places.map(|(_, place)| place.split(':').next().unwrap().parse().unwrap()).collect()
}

fn lines_in_json(report: &CheckReport) -> Vec<u64> {
    let json: Value =
        serde_json::from_str(&json::render(&report.files, Looked::default())).unwrap();
    let all = json["diagnostics"].as_array().unwrap();
    all.iter().map(|found| found["start"]["line"].as_u64().unwrap()).collect()
}

fn lines_in_sarif(report: &CheckReport) -> Vec<u64> {
    let log: Value = serde_json::from_str(&sarif::render(&report.files)).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let place = |result: &Value| result["locations"][0]["physicalLocation"]["region"].clone();
    results.iter().map(|result| place(result)["startLine"].as_u64().unwrap()).collect()
}

#[test]
fn mistakes_of_keys_and_inside_queries_are_told_line_by_line() {
    for text in RULES {
        let report = report(text);
        let in_text = lines_in_text(&report);
        assert!(in_text.is_sorted(), "{in_text:?}\n{}", report.render(false));
        assert_eq!(lines_in_json(&report), in_text);
        assert_eq!(lines_in_sarif(&report), in_text);
        for (line, n) in text.lines().zip(1..) {
            let Some((_, wanted)) = line.split_once("# ") else { continue };
            let told = in_text.iter().filter(|told| **told == n).count();
            assert_eq!(told.to_string(), wanted, "{n}: {line}\n{}", report.render(false));
        }
    }
}

#[test]
fn a_mistake_of_the_whole_file_stands_before_those_with_a_place() {
    let report = report("severity = 'low'\ntreat = ['T1110']\nwhen = 'event.action = x'\n");
    let told = report.render(false);
    let at = |words: &str| told.find(words).unwrap_or_else(|| panic!("{words}\n{told}"));
    assert!(at("missing key `title`") < at("unknown key `treat`"));
    assert!(at("unknown key `treat`") < at("expected a comparison"));
}

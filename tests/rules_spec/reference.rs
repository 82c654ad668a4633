//! The reference's examples are whole rules, and the tests that they carry hold.

use std::sync::Arc;

use hark::base::diagnostic::SourceText;
use hark::detectors::DETECTORS;
use hark::mapping::{Options, Tables};
use hark::query::Sets;
use hark::replay::{Bench, Samples};
use hark::rule::{Context, parse};

#[test]
fn the_tests_in_the_example_of_every_detector_hold() {
    let (tables, sets, samples) = (Tables::new(), Sets::new(), Samples::new());
    let bench = Bench {
        mappings: &[],
        tables: &tables,
        sets: &sets,
        options: Options::default(),
        samples: &samples,
    };
    let mut held = 0;
    for spec in DETECTORS {
        let source = SourceText::new(format!("{}.toml", spec.table), spec.example);
        let (rule, found) = parse(&source, spec.table, &Context::new(&sets));
        let rule = rule.unwrap_or_else(|| panic!("{found:?}"));
        for trial in bench.run(&[Arc::new(rule)]).unwrap() {
            assert!(trial.passed(), "{}", trial.timeline());
            held += 1;
        }
    }
    assert!(held >= 6, "only {held} tests");
}

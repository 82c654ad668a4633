//! Results of tests as `JUnit`'s XML, which every CI system reads: a suite for each rule, a case for
//! each test.

use std::fmt::Write as _;
use std::time::Duration;

use super::Trial;

/// The whole report; `took` is how long all of it took together.
pub fn report(trials: &[Trial], took: Duration) -> String {
    let failed = |trials: &[Trial]| trials.iter().filter(|trial| !trial.passed()).count();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (tests, failures, seconds) = (trials.len(), failed(trials), took.as_secs_f64());
    // Writing to a String cannot fail.
    let _infallible = writeln!(
        xml,
        "<testsuites name=\"hark\" tests=\"{tests}\" failures=\"{failures}\" time=\"{seconds:.3}\">"
    );
    for suite in trials.chunk_by(|a, b| a.rule.id == b.rule.id) {
        let Some(first) = suite.first() else { continue };
        let rule = escaped(&first.rule.id);
        let (tests, failures) = (suite.len(), failed(suite));
        let _infallible = writeln!(
            xml,
            "  <testsuite name=\"{rule}\" tests=\"{tests}\" failures=\"{failures}\">"
        );
        for trial in suite {
            let name = escaped(&trial.name);
            let file = escaped(&trial.rule.source.path.display().to_string());
            let case = format!("classname=\"{rule}\" name=\"{name}\" file=\"{file}\"");
            if trial.passed() {
                let _infallible = writeln!(xml, "    <testcase {case}/>");
                continue;
            }
            let (message, text) =
                (escaped(&trial.mistakes().join("; ")), escaped(&trial.timeline()));
            let _infallible = writeln!(
                xml,
                "    <testcase {case}>\n      <failure message=\"{message}\">{text}</failure>\n    </testcase>"
            );
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Text as it may stand in XML 1.0, which has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

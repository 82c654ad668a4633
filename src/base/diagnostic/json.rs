//! Diagnostics for programs: `hark check --format json`.
//!
//! The contract, to which keys may be added and from which none is taken away: one object,
//!
//! ```json
//! {
//!   "diagnostics": [{
//!     "path": "rules/x.toml", "code": "unknown-key", "gravity": "error",
//!     "message": "unknown key `severty`", "label": null, "help": "did you mean `severity`?",
//!     "span": {"start": 12, "end": 19},
//!     "start": {"line": 2, "column": 1}, "end": {"line": 2, "column": 8}
//!   }],
//!   "summary": {"rules": 1, "mappings": 5, "errors": 1, "warnings": 0}
//! }
//! ```
//!
//! Files stand in the order of the check (configuration, mappings, rules), diagnostics in the order
//! of the text. `gravity` is `error` or `warning`. `span` counts bytes, its end is not part of it;
//! lines and columns count from 1, columns in characters, and `end` is the place behind the last
//! one. All three are null for a mistake of the whole file. `rules` and `mappings` are null when
//! mistakes in the configuration kept them from being looked at.

use serde::Serialize;

use super::place::{Place, places, whole_characters};
use super::{Diagnostics, SourceText};

/// How many files were looked at; `None`: none, for the configuration says not where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looked {
    /// Rule files.
    pub rules: Option<usize>,
    /// Mapping files.
    pub mappings: Option<usize>,
}

#[derive(Serialize)]
struct Report<'a> {
    diagnostics: Vec<Entry<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct Entry<'a> {
    path: String,
    code: &'static str,
    gravity: &'static str,
    message: &'a str,
    label: Option<&'a str>,
    help: Option<&'a str>,
    span: Option<Span>,
    start: Option<Place>,
    end: Option<Place>,
}

#[derive(Serialize)]
struct Span {
    start: usize,
    end: usize,
}

#[derive(Serialize)]
struct Summary {
    rules: Option<usize>,
    mappings: Option<usize>,
    errors: usize,
    warnings: usize,
}

/// The whole report, indented, without a newline at its end.
pub fn render(files: &[(SourceText, Diagnostics)], looked: Looked) -> String {
    let sorted: Vec<_> = files.iter().map(|(s, found)| (s, found.clone().sorted())).collect();
    let mut diagnostics = Vec::new();
    for (source, found) in &sorted {
        for diagnostic in found {
            let places = diagnostic.span.as_ref().map(|span| places(&source.text, span));
            let span = diagnostic.span.as_ref().map(|span| whole_characters(&source.text, span));
            let label = Some(diagnostic.label.as_str());
            diagnostics.push(Entry {
                path: source.path.display().to_string(),
                code: diagnostic.code,
                gravity: diagnostic.gravity.name(),
                message: &diagnostic.message,
                label: label.filter(|label| !label.is_empty()),
                help: diagnostic.help.as_deref(),
                span: span.map(|span| Span { start: span.start, end: span.end }),
                start: places.map(|(start, _)| start),
                end: places.map(|(_, end)| end),
            });
        }
    }
    let summary = Summary {
        rules: looked.rules,
        mappings: looked.mappings,
        errors: files.iter().map(|(_, found)| found.errors()).sum(),
        warnings: files.iter().map(|(_, found)| found.warnings()).sum(),
    };
    // Strings and numbers alone: there is nothing in it that JSON has no form for.
    serde_json::to_string_pretty(&Report { diagnostics, summary }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Diagnostic;
    use expect_test::expect;

    #[test]
    fn every_diagnostic_says_its_place_in_bytes_lines_and_columns() {
        let source = SourceText::new("rules/x.toml", "title = \"ü\"; severty = \"high\"\n");
        let found: Diagnostics = [
            Diagnostic::error("unknown-key", 14..21, "unknown key `severty`").help("a key"),
            Diagnostic::of_file("missing-key", "missing key `when`"),
            Diagnostic::warning("always-true", 0..5, "always true").label("here"),
        ]
        .into_iter()
        .collect();
        let looked = Looked { rules: Some(1), mappings: None };
        expect![[r#"
            {
              "diagnostics": [
                {
                  "path": "rules/x.toml",
                  "code": "missing-key",
                  "gravity": "error",
                  "message": "missing key `when`",
                  "label": null,
                  "help": null,
                  "span": null,
                  "start": null,
                  "end": null
                },
                {
                  "path": "rules/x.toml",
                  "code": "always-true",
                  "gravity": "warning",
                  "message": "always true",
                  "label": "here",
                  "help": null,
                  "span": {
                    "start": 0,
                    "end": 5
                  },
                  "start": {
                    "line": 1,
                    "column": 1
                  },
                  "end": {
                    "line": 1,
                    "column": 6
                  }
                },
                {
                  "path": "rules/x.toml",
                  "code": "unknown-key",
                  "gravity": "error",
                  "message": "unknown key `severty`",
                  "label": null,
                  "help": "a key",
                  "span": {
                    "start": 14,
                    "end": 21
                  },
                  "start": {
                    "line": 1,
                    "column": 14
                  },
                  "end": {
                    "line": 1,
                    "column": 21
                  }
                }
              ],
              "summary": {
                "rules": 1,
                "mappings": null,
                "errors": 2,
                "warnings": 1
              }
            }"#]]
        .assert_eq(&render(&[(source, found)], looked));
    }
}

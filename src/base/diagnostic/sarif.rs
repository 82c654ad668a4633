//! Diagnostics for code scanning: SARIF 2.1.0 (OASIS), which GitHub, GitLab and editors read.
//!
//! One run of one tool. Its rules are the codes that occur, in order of their names; a result points
//! at its rule, and at a region with lines and columns from 1, where the end is the place behind the
//! last character (§3.30). A mistake of a whole file has no region.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};

use super::place::{places, whole_characters};
use super::{Diagnostic, Diagnostics, SourceText, lints};

/// Where the schema of the format stands, as §3.13.3 wants it.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The whole log, indented, without a newline at its end.
pub fn render(files: &[(SourceText, Diagnostics)]) -> String {
    let codes: BTreeSet<&'static str> =
        files.iter().flat_map(|(_, found)| found.iter().map(|d| d.code)).collect();
    let codes: Vec<&str> = codes.into_iter().collect();
    let rules: Vec<Value> = codes.iter().map(|code| rule(code)).collect();
    let mut results = Vec::new();
    for (source, found) in files {
        for diagnostic in found.clone().sorted() {
            // Every code is in the list that was made of them.
            let index = codes.binary_search(&diagnostic.code).unwrap_or_default();
            results.push(result(source, &diagnostic, index));
        }
    }
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "hark",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}")
}

/// What is to be said of a code, whatever the place.
fn rule(code: &str) -> Value {
    let Some(lint) = lints::find(code) else { return json!({ "id": code }) };
    let help = format!(
        "{}\n\nInstead of:\n\n{}\n\nwrite:\n\n{}\n",
        lint.summary,
        indented(lint.wrong),
        indented(lint.right)
    );
    json!({
        "id": code,
        "shortDescription": { "text": lint.summary },
        // In Markdown four blanks make a block of code; as plain text it reads as well.
        "help": { "text": help, "markdown": help },
        "defaultConfiguration": { "level": lint.gravity.name() },
    })
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn result(source: &SourceText, diagnostic: &Diagnostic, index: usize) -> Value {
    let mut location = json!({ "artifactLocation": { "uri": uri(&source.path) } });
    if let (Some(span), Some(location)) = (&diagnostic.span, location.as_object_mut()) {
        location.insert("region".to_owned(), region(&source.text, span));
    }
    let text = match &diagnostic.help {
        Some(help) => format!("{}\nhelp: {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    json!({
        "ruleId": diagnostic.code,
        "ruleIndex": index,
        "level": diagnostic.gravity.name(),
        "message": { "text": text },
        "locations": [{ "physicalLocation": location }],
    })
}

fn region(text: &str, span: &Range<usize>) -> Value {
    let (start, end) = places(text, span);
    let bytes = whole_characters(text, span);
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "byteOffset": bytes.start,
        "byteLength": bytes.len(),
    })
}

/// A path as a URI reference: `/` between its parts, odd characters as `%20`; relative to wherever
/// the check was started, as the path is.
fn uri(path: &Path) -> String {
    let path = path.to_string_lossy().replace('\\', "/");
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~') {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_reference_that_is_legal_everywhere() {
        for (path, wanted) in [
            ("rules/common/failed-logins.toml", "rules/common/failed-logins.toml"),
            ("rules/a b#c%.toml", "rules/a%20b%23c%25.toml"),
            ("rules\\x.toml", "rules/x.toml"),
            ("c:x.toml", "c%3Ax.toml"),
            ("/etc/hark/é.toml", "file:///etc/hark/%C3%A9.toml"),
        ] {
            assert_eq!(uri(Path::new(path)), wanted);
        }
    }
}

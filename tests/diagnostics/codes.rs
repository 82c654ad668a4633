//! The table of codes and the sources name the same ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hark::base::diagnostic::lints::lints;

/// All sources but those of the table, without their tests.
fn sources() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if is_source(&path) && !name.contains("/lints/") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                found.push((name, code));
            }
        }
    }
    found
}

fn is_source(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    path.extension().is_some_and(|end| end == "rs")
        && !(stem == "tests" || stem.ends_with("_tests"))
}

/// What stands between the quotes right behind one of these, white space aside, is a code.
const MAKERS: [&str; 7] = [
    "Diagnostic::error(",
    "Diagnostic::warning(",
    "Diagnostic::of_file(",
    ".error(",
    "warn(",
    "choice(text,",
    "code:",
];

/// The codes that a text gives to diagnostics, as far as they stand right there.
fn given(code: &str) -> BTreeSet<&str> {
    let mut codes = BTreeSet::new();
    for maker in MAKERS {
        for (at, _) in code.match_indices(maker) {
            let rest = code.get(at + maker.len()..).unwrap().trim_start();
            let Some(word) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            if word.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
                codes.insert(word);
            }
        }
    }
    codes
}

#[test]
fn every_code_that_is_given_stands_in_the_table() {
    let known: BTreeSet<&str> = lints().map(|lint| lint.code).collect();
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let sources = sources();
    let mut seen = 0;
    for (path, code) in &sources {
        for code in given(code) {
            seen += 1;
            if !known.contains(code) {
                missing.entry(code.to_owned()).or_default().push(path.clone());
            }
        }
    }
    assert!(seen > 100, "only {seen}: are diagnostics made in another way now?");
    assert!(
        missing.is_empty(),
        "these codes have no entry in src/base/diagnostic/lints/: {missing:#?}"
    );
}

#[test]
fn every_code_of_the_table_is_given_somewhere() {
    let sources = sources();
    let unused: Vec<&str> = lints()
        .map(|lint| lint.code)
        .filter(|code| !sources.iter().any(|(_, text)| text.contains(&format!("\"{code}\""))))
        .collect();
    assert!(unused.is_empty(), "no source names these codes any more: {unused:?}");
}

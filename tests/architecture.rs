//! Holds the shape of `src/`: which folder may use which, who may touch the world, who may print.
//!
//! It reads the sources as text, after a small lexer has taken out comments and literals, and
//! follows `use` trees, `super::` and paths in the middle of code. That is less than a compiler
//! knows (a macro could still hide a path), and enough to name file and line of an honest mistake.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The folders and files of `src/`, from the top down: each uses only what stands below it.
const LAYERS: &[&str] = &[
    "main",
    "cli",
    "app",
    "config",
    "admin",
    "role",
    "kafka",
    "sinks",
    "notifiers",
    "delivery",
    // Core from here on.
    "replay",
    "alert",
    "engine",
    "rule",
    "detectors",
    "state",
    "mapping",
    "query",
    "event",
    "base",
];

/// The uppermost folder of the core: values in, values out.
const CORE_STARTS_AT: &str = "replay";

/// What the core may not name: the outside world and the clock. Addresses (`std::net::IpAddr`)
/// are values and stay allowed; sockets are not.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "rdkafka",
    "rdkafka_sys",
    "reqwest",
    "lettre",
    "axum",
    "clap",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::io::stdin",
    "std::os",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::time::SystemTime",
    "std::time::Instant",
    "SystemTime",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "jiff::tz::TimeZone::system",
];

/// What only one folder may name.
const ONLY_IN: &[(&str, &str)] = &[
    ("rdkafka", "kafka"),
    ("rdkafka_sys", "kafka"),
    ("clap", "cli"),
    ("std::io::stdout", "cli"),
    ("std::io::stderr", "cli"),
];

/// Macros that print, which is `cli`'s business.
const PRINTING: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// A file that may name one thing all the same, and why. An exception that nobody uses is an error.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/base/clock.rs", "std::time::SystemTime", "the one place that reads the wall clock"),
    ("src/base/clock.rs", "std::time::Instant", "the one place that reads the monotonic clock"),
];

/// More lines than this, tests included, are not read at one sitting.
const MOST_LINES: usize = 600;

/// Files that are longer for a reason that stands beside them here.
const LONG_FILES: &[(&str, &str)] = &[];

#[test]
fn every_folder_uses_only_what_stands_below_it() {
    let (offences, unused) = judge(&sources());
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
    assert!(unused.is_empty(), "exceptions that nobody needs any more: {unused:?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{path}:1: begins without `//!`");
    }
}

#[test]
fn no_file_outgrows_one_sitting() {
    let mut long: BTreeSet<&str> = LONG_FILES.iter().map(|(path, _)| *path).collect();
    let mut report = String::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > MOST_LINES && !long.remove(path.as_str()) {
            writeln!(report, "{path}: {lines} lines, more than {MOST_LINES}: split it").unwrap();
        }
    }
    assert!(report.is_empty(), "\n{report}");
    assert!(long.is_empty(), "listed as long, but gone or short again: {long:?}");
}

#[test]
fn the_map_in_lib_names_every_module() {
    let all = sources();
    let lib = &all.iter().find(|(path, _)| path == "src/lib.rs").unwrap().1;
    let map: String = lib.lines().filter(|l| l.starts_with("//!")).collect();
    for (path, _) in &all {
        let layer = layer_of(path);
        assert!(LAYERS.contains(&layer) || layer == "lib", "{path}: no layer called `{layer}`");
        let named = layer == "lib" || layer == "main" || map.contains(&format!("`{layer}`"));
        assert!(named, "src/lib.rs: its map does not name `{layer}`");
    }
}

#[test]
fn a_planted_upward_import_is_caught_with_file_and_line() {
    // Written with a gap, so that this text is never mistaken for code of ours.
    let planted =
        |path: &str, text: &str| judge(&[(path.to_owned(), text.to_owned())]).0.join("\n");
    for (path, text, wanted) in [
        (
            "src/base/time.rs",
            "\nuse crate::engine::Engine;\n",
            "src/base/time.rs:2: `base` uses `engine`",
        ),
        (
            "src/base/time.rs",
            "use crate::{\n  event,\n  kafka::{self, Producer},\n};",
            "src/base/time.rs:2: `base` uses `event`\nsrc/base/time.rs:3: `base` uses `kafka`",
        ),
        (
            "src/sinks/x.rs",
            "fn f() {\n  crate::cli::x();\n}",
            "src/sinks/x.rs:2: `sinks` uses `cli`",
        ),
        (
            "src/query/parse/a.rs",
            "use super::super::super::rule::Rule;",
            "src/query/parse/a.rs:1: `query` uses `rule`",
        ),
        (
            "src/query/mod.rs",
            "mod tests {\n use super::super::alert::Alert; }",
            "src/query/mod.rs:2: `query` uses `alert`",
        ),
        (
            "src/rule/mod.rs",
            "use std::{collections::BTreeMap, fs};",
            "src/rule/mod.rs:1: the core names `std::fs`",
        ),
        (
            "src/rule/mod.rs",
            "use std::net::{IpAddr, TcpStream};",
            "src/rule/mod.rs:1: the core names `std::net::TcpStream`",
        ),
        (
            "src/engine/mod.rs",
            "let t = std::time::SystemTime::now();",
            "src/engine/mod.rs:1: the core names `std::time::SystemTime`",
        ),
        (
            "src/role/x.rs",
            "use rdkafka::Message as _;",
            "src/role/x.rs:1: `rdkafka` belongs to `kafka` alone",
        ),
        (
            "src/role/x.rs",
            "\n\n println!(\"x\");",
            "src/role/x.rs:3: prints (`println!`), which only `cli` does",
        ),
        ("src/app.rs", "use crate::cli::Args;", "src/app.rs:1: `app` uses `cli`"),
        ("src/nowhere/x.rs", "", "src/nowhere/x.rs:1: `nowhere` is in no layer"),
    ] {
        assert_eq!(planted(path, text), wanted, "{text}");
    }
}

#[test]
fn comments_strings_and_downward_imports_are_no_offence() {
    let text = r##"
        //! crate::cli::Args and println!("x")
        /* use crate::cli; /* nested */ crate::app::x */
        use super::event::Event;
        use crate::base::{Timestamp, Severity};
        use std::net::IpAddr;
        const A: &str = "crate::cli::x \" println!(";
        const B: &str = r#"use crate::app;"#;
        const E: &[u8] = br#"crate::cli "x" "#;
        const C: char = '"'; const D: char = '\''; fn f<'a>(x: &'a str) { /* crate::cli::y */ }
        pub(crate) fn g() {}
        mod tests { use super::*; use super::g; }
    "##;
    let (offences, _) = judge(&[("src/query/mod.rs".to_owned(), text.to_owned())]);
    assert_eq!(offences, Vec::<String>::new());
}

/// Every Rust file under `src/`: its path from the crate's root and its text, in order of path.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join("src"), &mut found);
    found.sort();
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// The layer that a file belongs to: the folder or file directly under `src/`.
fn layer_of(path: &str) -> &str {
    let first = path.trim_start_matches("src/").split('/').next().unwrap();
    first.trim_end_matches(".rs")
}

/// All offences, in order of file and line, and the exceptions that were not needed.
fn judge(sources: &[(String, String)]) -> (Vec<String>, Vec<&'static str>) {
    let rank = |layer: &str| LAYERS.iter().position(|l| *l == layer);
    let core = rank(CORE_STARTS_AT);
    let mut offences = Vec::new();
    let mut unused: BTreeSet<usize> = (0..EXCEPTIONS.len()).collect();
    for (path, text) in sources {
        let layer = layer_of(path);
        if layer == "lib" {
            continue;
        }
        let Some(own) = rank(layer) else {
            offences.push(format!("{path}:1: `{layer}` is in no layer"));
            continue;
        };
        let mut told = BTreeSet::new();
        for named in names(path, text) {
            let Named { line, path: name, printing } = &named;
            let starts = |with: &str| {
                name.strip_prefix(with)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            };
            if let Some(i) = EXCEPTIONS.iter().position(|(f, what, _)| f == path && starts(what)) {
                unused.remove(&i);
                continue;
            }
            let inner = name.strip_prefix("crate::").map(|rest| rest.split("::").next().unwrap());
            let offence = if *printing && layer != "cli" {
                format!("prints (`{name}!`), which only `cli` does")
            } else if let Some(other) = inner.filter(|o| rank(o).is_some_and(|other| other < own)) {
                format!("`{layer}` uses `{other}`")
            } else if let Some(what) = NOT_IN_CORE.iter().find(|w| Some(own) >= core && starts(w)) {
                format!("the core names `{what}`")
            } else if let Some((what, only)) =
                ONLY_IN.iter().find(|(what, only)| starts(what) && *only != layer)
            {
                format!("`{what}` belongs to `{only}` alone")
            } else {
                continue;
            };
            if told.insert((*line, offence.clone())) {
                offences.push(format!("{path}:{line}: {offence}"));
            }
        }
    }
    (offences, unused.into_iter().map(|i| EXCEPTIONS[i].1).collect())
}

/// A path as written in code, made absolute (`crate::…`) where it says `super` or `self`.
struct Named {
    line: usize,
    path: String,
    printing: bool,
}

/// Every path of a file, `use` trees taken apart.
fn names(file: &str, text: &str) -> Vec<Named> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut module = module_of(file);
    // Inline modules: the brace depth at which each ends.
    let mut inline: Vec<usize> = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < tokens.len() {
        let word = |i: usize| tokens.get(i).map_or("", |(_, t)| t.as_str());
        match word(at) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if inline.last() == Some(&depth) {
                    inline.pop();
                    module.pop();
                }
            }
            "mod" if word(at + 2) == "{" => {
                module.push(word(at + 1).to_owned());
                inline.push(depth);
                depth += 1;
                at += 2;
            }
            "use" => {
                at = tree(&tokens, at + 1, &module, &mut found, &[]);
                continue;
            }
            first if is_name(first) && (at == 0 || word(at - 1) != "::" && word(at - 1) != ".") => {
                let mut path = vec![first.to_owned()];
                let line = tokens[at].0;
                while word(at + 1) == "::" && is_name(word(at + 2)) {
                    path.push(word(at + 2).to_owned());
                    at += 2;
                }
                let printing =
                    word(at + 1) == "!" && PRINTING.contains(&path.last().unwrap().as_str());
                found.push(Named { line, path: absolute(&path, &module), printing });
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads one tree of a `use` from `at`; pushes each of its leaves; returns where it ended.
fn tree(
    tokens: &[(usize, String)],
    mut at: usize,
    module: &[String],
    found: &mut Vec<Named>,
    before: &[String],
) -> usize {
    let mut path = before.to_vec();
    let mut line = tokens.get(at).map_or(0, |t| t.0);
    while let Some((own, word)) = tokens.get(at) {
        match word.as_str() {
            "::" => {}
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|(_, t)| t != "}") {
                    let end = tree(tokens, at, module, found, &path);
                    // A comma, or something that begins no tree: one step at least.
                    let step = end == at || tokens.get(end).is_some_and(|(_, t)| t == ",");
                    at = end + usize::from(step);
                }
                return at + 1;
            }
            "as" => at += 1,
            "*" | "self" if !path.is_empty() => {}
            name if is_name(name) => {
                path.push(name.to_owned());
                line = *own;
            }
            // `,` and `}` belong to the tree around this one, `;` ends it.
            _ => break,
        }
        at += 1;
    }
    if !path.is_empty() {
        found.push(Named { line, path: absolute(&path, module), printing: false });
    }
    at
}

/// The module that a file is: `src/query/parse.rs` → `query`, `parse`.
fn module_of(file: &str) -> Vec<String> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    inner.split('/').filter(|part| *part != "lib" && *part != "main").map(str::to_owned).collect()
}

fn absolute(path: &[String], module: &[String]) -> String {
    let supers = path.iter().take_while(|p| *p == "super").count();
    let own = usize::from(path[0] == "self");
    if supers + own == 0 {
        return path.join("::");
    }
    let kept = module.len().saturating_sub(supers);
    let whole = ["crate"].into_iter().chain(module[..kept].iter().map(String::as_str));
    whole.chain(path[supers + own..].iter().map(String::as_str)).collect::<Vec<_>>().join("::")
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single signs with their lines; comments, strings, characters and lifetimes are gone.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut i, mut line, mut found) = (0, 1, Vec::new());
    while i < chars.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => i += chars[i..].iter().take_while(|c| **c != '\n').count(),
            '/' if at(i + 1) == '*' => {
                let mut open = 1;
                i += 2;
                while open > 0 && i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (open, i) = (open + 1, i + 2),
                        ('*', '/') => (open, i) = (open - 1, i + 2),
                        _ => i += 1,
                    }
                }
            }
            'r' | 'b' | 'c' if raw_string(&chars, i).is_some() => {
                let (quote, hashes) = raw_string(&chars, i).unwrap();
                i = quote + 1;
                while i < chars.len() && !(at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#')) {
                    i += 1;
                }
                i += 1 + hashes;
            }
            '"' => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += 1 + usize::from(at(i) == '\\');
                }
                i += 1;
            }
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            // A lifetime: its name follows and is skipped with it.
            '\'' => {
                let rest = chars[i + 1..].iter();
                i += 1 + rest.take_while(|c| c.is_alphanumeric() || **c == '_').count();
            }
            ':' if at(i + 1) == ':' => {
                found.push((line, "::".to_owned()));
                i += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                found.push((line, chars[start..i].iter().collect()));
            }
            c => {
                if !c.is_whitespace() {
                    found.push((line, c.to_string()));
                }
                i += 1;
            }
        }
        i = i.min(chars.len());
        line += chars[start..i].iter().filter(|c| **c == '\n').count();
    }
    found
}

/// Where a raw string that begins at `from` has its opening quote, and its number of `#`.
fn raw_string(chars: &[char], from: usize) -> Option<(usize, usize)> {
    let r = from + usize::from(chars[from] != 'r');
    let hashes = chars.get(r + 1..)?.iter().take_while(|c| **c == '#').count();
    let quote = r + 1 + hashes;
    (chars.get(r) == Some(&'r') && chars.get(quote) == Some(&'"')).then_some((quote, hashes))
}

//! kcat, a client that shares no code of ours: what it writes and reads is the test's truth.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::java;

/// A record as kcat read it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub payload: String,
}

/// Whether a broker answers there.
pub fn answers(bootstrap: &str) -> Result<(), String> {
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", bootstrap, "-L", "-m", "2"]);
    let output = java::run(&mut kcat, "kcat");
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Writes one record per line, which may be any bytes; returns when all are acknowledged.
/// `arguments` may name a partition (`-p 3`), a separator of key and payload (`-K :`), headers
/// (`-H name=value`) and more.
pub fn produce<S: AsRef<[u8]>>(
    bootstrap: &str,
    topic: &str,
    arguments: &[&str],
    lines: impl IntoIterator<Item = S>,
) {
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", bootstrap, "-t", topic, "-P", "-X", "enable.idempotence=true"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = kcat.spawn().unwrap_or_else(|error| java::missing(&kcat, "kcat", &error));
    let mut text = Vec::new();
    for line in lines {
        text.extend_from_slice(line.as_ref());
        text.push(b'\n');
    }
    let mut input = child.stdin.take().unwrap();
    input.write_all(&text).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kcat could not write to `{topic}`:\n{errors}");
}

/// Everything that is committed in a topic at this moment, by partition and offset.
pub fn consume(bootstrap: &str, topic: &str) -> Vec<Line> {
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", bootstrap, "-t", topic, "-C", "-e", "-q", "-o", "beginning"]).args([
        "-X",
        "isolation.level=read_committed",
        "-f",
        "%p\\t%o\\t%k\\t%s\\n",
    ]);
    let output = java::run(&mut kcat, "kcat");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kcat could not read `{topic}`:\n{errors}");
    let mut lines: Vec<Line> = String::from_utf8_lossy(&output.stdout).lines().map(parse).collect();
    lines.sort();
    lines
}

fn parse(line: &str) -> Line {
    let mut parts = line.splitn(4, '\t');
    let mut next = || parts.next().unwrap_or_else(|| panic!("kcat printed `{line}`"));
    Line {
        partition: next().parse().unwrap(),
        offset: next().parse().unwrap(),
        key: next().to_owned(),
        payload: next().to_owned(),
    }
}

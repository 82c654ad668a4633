//! The program as a person or a script runs it.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "shared by several test binaries, each of which uses a part; a failure here is a test's"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program, in an environment where nobody has said anything else to it.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hark"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HARK_")) {
        command.env_remove(name);
    }
    command
}

/// What comes of it in a folder, when it reads `input`.
pub fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = command();
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What it wrote.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

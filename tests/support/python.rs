//! A Python that has aiosmtpd, the independent mail server: in an environment of its own under
//! `target/`, made once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::java::run;

const AIOSMTPD: &str = "aiosmtpd==1.4.6";

/// The interpreter to start with `-m aiosmtpd` or a script that imports it.
pub fn python() -> PathBuf {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-python");
    fs::create_dir_all(&home).unwrap();
    let lock = File::create(home.join("lock")).unwrap();
    lock.lock().unwrap();
    let environment = home.join("venv");
    let python = environment.join("bin/python3");
    // The environment counts as made when the package can be imported: pip may be interrupted.
    let mut import = Command::new(&python);
    import.args(["-c", "import aiosmtpd"]);
    if python.exists() && run(&mut import, "python3").status.success() {
        return python;
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&environment);
    succeed(&mut make, "python3 python3-venv");
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", AIOSMTPD]);
    succeed(&mut install, "python3-venv");
    python
}

fn succeed(command: &mut Command, package: &str) {
    let output = run(command, package);
    assert!(
        output.status.success(),
        "{command:?} failed (on Debian: apt-get install {package}):\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

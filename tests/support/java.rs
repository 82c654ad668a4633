//! Apache Kafka's jars, fetched once from Maven Central, and its command line tools.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The folder of jars. The first test binary that needs it fetches it, the others wait.
pub fn jars() -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let home = target.join("kafka-4.3.1");
    let jars = home.join("libs");
    fs::create_dir_all(&home).unwrap();
    let lock = File::create(home.join("lock")).unwrap();
    lock.lock().unwrap();
    if jars.is_dir() {
        return jars;
    }
    // Maven may be interrupted half-way: only a whole folder gets the name that is looked for.
    let partial = home.join("partial");
    if partial.is_dir() {
        fs::remove_dir_all(&partial).unwrap();
    }
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/kafka/pom.xml");
    let mut maven = Command::new("mvn");
    maven
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(&pom)
        .arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies")
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", partial.display()));
    let output = run(&mut maven, "maven");
    assert!(
        output.status.success(),
        "mvn could not fetch Apache Kafka 4.3.1 from Maven Central:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    fs::rename(&partial, &jars).unwrap();
    jars
}

/// The class path of all jars.
pub fn class_path() -> String {
    format!("{}/*", jars().display())
}

/// Runs one of Kafka's own tools and returns what it prints.
pub fn tool(class: &str, arguments: &[&str]) -> String {
    let mut java = Command::new("java");
    java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", &class_path()])
        .arg(class)
        .args(arguments);
    let output = run(&mut java, "default-jre-headless");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{class} {arguments:?} failed:\n{text}{errors}");
    text
}

/// Runs a program to its end; a missing one is a failure that names the package.
pub fn run(command: &mut Command, package: &str) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| missing(command, package, &error))
}

/// Fails with what to install.
pub fn missing(command: &Command, package: &str, error: &std::io::Error) -> ! {
    panic!(
        "`{}` cannot be started: {error}\n\
         The tests need it. Install everything they need with `tests/run`, or only this with\n    \
         apt-get install {package}",
        command.get_program().display(),
    )
}

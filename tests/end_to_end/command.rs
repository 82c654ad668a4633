//! The program as a person starts it: `hark run` in processes of its own, and `hark check`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::crowd::{Crowd, Hours};
use crate::recount::recount;
use crate::stage::{SOON, Stage, Wishes, hours, now};
use crate::support::broker::free_port;
use crate::support::program::command;
use crate::support::{eventually, kafka};

/// `hark run`, as a process.
pub(crate) struct Hark {
    process: Child,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Hark {
    /// Starts it on a stage and waits until everything in it is ready.
    pub(crate) fn run(stage: &Stage, arguments: &[&str]) -> Self {
        let admin: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let mut process = command()
            .args(["run", "--config"])
            .arg(stage.configuration())
            .args(["--set", &format!("admin.listen={admin}")])
            .args(arguments)
            .envs(Stage::environment())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (lines, writes) = (BufReader::new(process.stderr.take().unwrap()), Arc::clone(&log));
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                writes.lock().unwrap().push(line);
            }
        });
        let mut hark = Self { process, admin, log };
        eventually(SOON, || match stage.get(admin, "/readyz") {
            Ok((200, _)) => Ok(()),
            other => {
                let ended = hark.process.try_wait().unwrap();
                assert!(ended.is_none(), "it ended with {ended:?}:\n{}", hark.log());
                Err(format!("{other:?}\n{}", hark.log()))
            }
        });
        hark
    }

    /// The last of its log.
    pub(crate) fn log(&self) -> String {
        let log = self.log.lock().unwrap();
        log[log.len().saturating_sub(40)..].join("\n")
    }

    /// Ends it as a power failure would.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends it as systemd or Kubernetes would, and demands that it ends well.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
        let status: ExitStatus = eventually(SOON, || match self.process.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err(self.log()),
        });
        assert_eq!(status.code(), Some(0), "{}", self.log());
        eventually(SOON, || match self.log() {
            log if log.contains("stopped") => Ok(()),
            log => Err(log),
        });
    }
}

impl Drop for Hark {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn two_processes_with_two_sets_of_roles_do_the_job_together_and_stop_when_told() {
    let day = Hours::until(now());
    let wishes = Wishes { business_hours: hours(&day.business), ..Wishes::default() };
    let stage = Stage::new(kafka(), &wishes);
    let mut crowd = Crowd::new(17);
    crowd.attacks(3, &day);
    crowd.work(2_000, &day, &day.past);
    let mut lines = crowd.take();
    stage.produce(&lines);
    let matching = Hark::run(&stage, &["--role", "match", "--set", "instance=one"]);
    let rest = Hark::run(&stage, &["--role", "correlate,notify,deliver", "--set", "instance=two"]);
    let live = crowd.live(1_000, 1, &day);
    stage.produce(&live);
    lines.extend(live);
    let alerts = stage.alerts_are(&recount(&lines, &day.business, day.now));
    stage.all_told(&alerts, false);
    stage.all_forwarded();
    matching.stop();
    rest.stop();
    stage.nothing_twice();
    stage.no_dead_letters();
}

const FIVE_MISTAKES: &str = r#"
title = "Five mistakes"
severity = "hihg"
when = 'event.categroy: authentication'
gruop_by = ["user.name"]

[threshold]
count = "five"
within = "10 minutes"
"#;

#[test]
fn check_shows_a_caret_under_each_of_five_mistakes() {
    let stage = Stage::new(kafka(), &Wishes::default());
    let file = stage.path().join("five-mistakes.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        let output = command()
            .args(["check", "--config"])
            .arg(stage.configuration())
            .arg(&file)
            .envs(Stage::environment())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said, String::from_utf8(output.stdout).unwrap())
    };
    let (code, said, summary) = check(FIVE_MISTAKES);
    assert_eq!(code, Some(1), "{said}{summary}");
    let carets = said.lines().filter(|line| line.trim_start_matches([' ', '|']).starts_with('^'));
    assert_eq!(carets.count(), 5, "{said}");
    assert!(summary.contains("5 errors"), "{summary}");

    let right = "title = 'Right'\nseverity = 'low'\nwhen = 'event.outcome: failure'\nallow = ['missing-test']\n";
    let (code, said, summary) = check(right);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(summary.starts_with("1 rule ") && summary.ends_with("no errors\n"), "{summary}");
}

//! The README's first command, as a stranger types it: alerts of all five products within a minute,
//! and a summary whose numbers agree with each other.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

#[path = "support/program.rs"]
mod program;

const PRODUCTS: [&str; 5] = ["OpsKnight", "OpsSentinal", "ops0", "Squadcast", "BlockSecOps"];

/// What the README promises.
const A_MINUTE: Duration = Duration::from_mins(1);

#[test]
fn alerts_of_all_five_products_arrive_within_a_minute_and_ctrl_c_ends_with_a_summary() {
    let mut demo = program::command()
        .args(["demo", "--rate", "100"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (line, lines) = mpsc::sync_channel(10_000);
    let out = BufReader::new(demo.stdout.take().unwrap());
    let reading = thread::spawn(move || {
        for read in out.lines() {
            if line.send(read.unwrap()).is_err() {
                return;
            }
        }
    });

    let deadline = instant() + A_MINUTE;
    let mut alerted: BTreeSet<&str> = BTreeSet::new();
    let mut attacked: BTreeSet<&str> = BTreeSet::new();
    let mut shown = String::new();
    while alerted.len() < PRODUCTS.len() {
        let left = deadline.checked_duration_since(instant());
        let line = left.and_then(|left| lines.recv_timeout(left).ok()).unwrap_or_else(|| {
            let mut log = String::new();
            demo.kill().unwrap();
            demo.stderr.take().unwrap().read_to_string(&mut log).unwrap();
            panic!("after a minute only {alerted:?} had alerts:\n{shown}\n{log}")
        });
        let product = PRODUCTS.into_iter().find(|product| line.contains(&format!("  {product} ")));
        if line.contains('▲') {
            assert!(attacked.contains(product.unwrap()), "an honest day has no alert:\n{line}");
            alerted.extend(product);
        } else if line.contains('·') {
            attacked.extend(product);
        }
        shown.push_str(&line);
        shown.push('\n');
    }
    assert!(!shown.contains('\x1b'), "escape codes in a pipe:\n{shown}");

    let metrics = metrics(&shown);
    assert!(metrics.contains("\nhark_events_total{mapping=\"ops0\"}"), "{metrics}");
    assert!(
        metrics
            .lines()
            .filter(|line| line.starts_with("hark_dead_letters_total"))
            .all(|line| line.ends_with(" 0")),
        "made-up records are readable:\n{metrics}"
    );

    let id = demo.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let summary: Vec<String> = lines.iter().collect();
    reading.join().unwrap();
    assert!(demo.wait().unwrap().success(), "{shown}\n{}", summary.join("\n"));

    let numbers = |row: &str| -> Vec<u64> {
        let line = summary.iter().rfind(|line| line.trim_start().starts_with(row));
        let line = line.unwrap_or_else(|| panic!("no `{row}` in:\n{}", summary.join("\n")));
        let cells = line.trim_start().strip_prefix(row).unwrap().split_whitespace();
        cells.map(|cell| cell.replace(',', "").parse().unwrap()).collect()
    };
    let together = numbers("together");
    let mut sums = vec![0; together.len()];
    // There is such a row only when alerts came of alerts.
    let none = "no one product";
    let other = summary.iter().any(|line| line.contains(none)).then_some(none);
    for product in PRODUCTS.into_iter().chain(other) {
        numbers(product).iter().zip(&mut sums).for_each(|(number, sum)| *sum += number);
    }
    assert_eq!(sums, together, "{}", summary.join("\n"));
    let [events, alerts, resolved] = together[..] else { panic!("{together:?}") };
    // Every event in both sinks, every alert in both channels, when it opened and when it was over.
    for receiver in ["Splunk", "Datadog"] {
        assert_eq!(numbers(receiver)[1], events, "{receiver}:\n{}", summary.join("\n"));
    }
    for receiver in ["mail server", "webhook"] {
        let told = numbers(receiver)[1];
        let fits = (alerts..=alerts + resolved).contains(&told);
        assert!(fits, "{receiver} was told {told} times:\n{}", summary.join("\n"));
    }
}

#[test]
fn what_it_leaves_behind_is_played_with_by_the_commands_that_it_names() {
    let parent = tempfile::tempdir().unwrap();
    let demo = ["demo", "--for", "15s", "--keep", "my-hark"];
    let output = program::run(parent.path(), &demo, "");
    let shown = program::text(&output.stdout);
    assert!(output.status.success(), "{shown}\n{}", program::text(&output.stderr));
    let (_, next) = shown.split_once("\n  next\n").unwrap();
    let commands = next.lines().filter_map(|line| line.trim_start().split("  ").next());
    let commands: Vec<&str> = commands.collect();
    let ["cd my-hark", "hark check", "hark test", replay, "hark run", set] = commands[..] else {
        panic!("{commands:?}")
    };
    let kept = parent.path().join("my-hark");
    let run = |words: &str| {
        let words: Vec<&str> = words.split_whitespace().skip(1).collect();
        let output = program::run(&kept, &words, "");
        let (out, err) = (program::text(&output.stdout), program::text(&output.stderr));
        assert!(output.status.success(), "{words:?}\n{out}\n{err}");
        assert!(!err.contains("warning") && !err.contains("error"), "{words:?}\n{err}");
        out.to_owned()
    };
    assert!(run("hark check").contains("no errors"));
    assert!(run("hark test").contains(" passed in "));
    let replayed = run(replay);
    assert!(replayed.contains("  common/failed-logins  "), "{replayed}");
    run(
        "hark match --count --mapping opsknight event.outcome:failure traffic/audit.opsknight.jsonl",
    );

    // Whichever port is free: others run beside this test.
    let mut daemon = program::command()
        .args(["run", "--set", "admin.listen=127.0.0.1:0"])
        .current_dir(&kept)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = String::new();
    let lines = BufReader::new(daemon.stderr.take().unwrap()).lines();
    for line in lines.map(Result::unwrap) {
        log.push_str(&line);
        log.push('\n');
        if line.contains("hark runs") {
            let id = daemon.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        }
    }
    assert!(daemon.wait().unwrap().success(), "{log}");
    assert!(log.contains("hark runs") && !log.contains("ERROR"), "{log}");
    let set = set.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(set, "--set kafka.bootstrap=localhost:9092");
    run(&format!("hark check {set}"));
}

/// What the address on the screen answers.
fn metrics(shown: &str) -> String {
    let address = shown.split("http://").find_map(|rest| rest.split_once("/metrics"));
    let Some((address, _)) = address else { panic!("no address of metrics in:\n{shown}") };
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    ask().unwrap_or_else(|error| panic!("{address}: {error}"))
}

fn instant() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test that waits for a process has a deadline")]
    Instant::now()
}

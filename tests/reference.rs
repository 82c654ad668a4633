//! What operators change without touching a rule, on the embedded broker. Lists and tables while the
//! daemon runs: what is appended to a file holds for the next event, whom a rule expects is who stands in
//! the file, a file with a mistake changes nothing, and a `ConfigMap`'s way of swapping links is seen. And
//! overrides, from their file to the alert and to the version that is stored.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failure here is the test's; tests measure time as it passes"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hark::app::{Daemon, Role};
use hark::base::diagnostic::SourceText;
use hark::base::{Gate, Live, clock};
use hark::config::{self, Config, Layers};
use hark::detectors::EXPECTED_MAX;
use hark::kafka::{OutRecord, read_to_end};
use hark::rule::{Context, parse_overridden};
use support::eventually;

const SOON: Duration = Duration::from_mins(1);

const CONFIG: &str = r#"
rules    = "rules"
mappings = "mappings"

[kafka]
bootstrap  = "embedded"
partitions = 2

[sources."audit.own"]

[lists.blocked]
values = ["192.0.2.1"]
file   = "blocked.txt"

[lists.team]
file = "team.txt"

[tables.people]
file = "volume/people.json"
key  = "name"

[notifiers.console.log]
min_severity = "info"

[schedules.office]
timezone   = "UTC"
zone_field = "user.timezone"
"#;

const MAPPING: &str = r#"
topics = ["audit.own"]

[fields]
"@timestamp"    = "at"
"user.name"     = "who"
"source.ip"     = "ip"
"user.roles"    = { table = "people", by = "user.name", column = "roles" }
"user.timezone" = "zone"
"#;

const BLOCKED: &str = r#"
title    = "From a blocked address"
severity = "low"
when     = '@timestamp: @office and source.ip: @blocked'
"#;

const ADMIN: &str = r#"
title    = "An administrator"
severity = "low"
when     = '@timestamp: @office and user.roles: admin'
[[alert.severity]]
when  = 'source.ip: @blocked'
level = "critical"
"#;

const SILENT: &str = r#"
title    = "Not heard of"
severity = "low"
when     = 'user.name: *'
group_by = ["user.name"]
lateness = "0s"
absence  = { within = "1s", expect = "@team" }
"#;

/// A daemon and the folder of its configuration.
struct Stage {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    daemon: Daemon,
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// As Kubernetes mounts a `ConfigMap`: `people.json` → `..data/people.json`, `..data` → a folder that
/// is named anew at each change.
fn mount(folder: &Path, version: &str, people: &str) {
    let volume = folder.join("volume");
    write(folder, &format!("volume/..{version}/people.json"), people);
    symlink(format!("..{version}"), volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if !volume.join("people.json").exists() {
        symlink("..data/people.json", volume.join("people.json")).unwrap();
    }
}

fn load(folder: &Path) -> Config {
    let layers = Layers {
        path: folder.join("hark.toml"),
        text: CONFIG.to_owned(),
        environment: std::iter::empty().collect(),
        sets: Vec::new(),
    };
    let loaded = config::load(&layers);
    loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.found))
}

impl Stage {
    fn start(overrides: &str) -> Self {
        Self::start_with(&[("mine/tuning.toml", overrides)])
    }

    /// With these files beside two rules.
    fn start_with(rules: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        write(path, "mappings/own.toml", MAPPING);
        write(path, "rules/blocked.toml", BLOCKED);
        write(path, "rules/admin.toml", ADMIN);
        for (name, text) in rules {
            write(path, &format!("rules/{name}"), text);
        }
        write(path, "blocked.txt", "# nobody yet\n");
        write(path, "team.txt", "ann\nbea\n");
        mount(path, "first", "[]");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let config = load(path);
        let started = Daemon::start(config, &Role::ALL, Arc::new(clock::System));
        let daemon = runtime.block_on(started).unwrap_or_else(|failure| panic!("{failure}"));
        Self { folder, runtime, daemon }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// An event of now.
    fn event(&self, who: &str, ip: &str, zone: &str) {
        let at = jiff::Timestamp::now();
        let payload = format!(r#"{{"at":"{at}","who":"{who}","ip":"{ip}","zone":"{zone}"}}"#);
        let producer = self.daemon.cluster().producer().unwrap();
        let record = OutRecord {
            topic: "audit.own",
            payload: Some(payload.as_bytes()),
            ..OutRecord::default()
        };
        producer.send(record).unwrap();
        producer.flush(SOON).unwrap();
    }

    /// Waits until MATCH has judged so many events.
    #[track_caller]
    fn judged(&self, events: u64) {
        let own = self.daemon.metrics().events.with_label_values(&["own"]);
        eventually(SOON, || if own.get() == events { Ok(()) } else { Err(own.get()) });
    }

    /// Waits until so many files of the name have come to `outcome`.
    #[track_caller]
    fn read(&self, name: &str, outcome: &str, times: u64) {
        let reads = self.daemon.metrics().reference_reads.with_label_values(&[name, outcome]);
        eventually(SOON, || if reads.get() == times { Ok(()) } else { Err(reads.get()) });
    }

    /// The JSON values on a topic, with their keys.
    fn values(&self, topic: &str) -> Vec<(String, serde_json::Value)> {
        let mut values = Vec::new();
        read_to_end(self.daemon.cluster(), topic, &mut |record| {
            let key = String::from_utf8(record.key.unwrap_or_default().to_vec()).unwrap();
            values.push((key, serde_json::from_slice(record.payload.unwrap()).unwrap()));
        })
        .unwrap();
        values
    }

    /// Waits until the alerts are these, each as `rule severity user`.
    #[track_caller]
    fn alerts_are(&self, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(|told| (*told).to_owned()).collect();
        eventually(SOON, || {
            let alerts = self.values(&self.daemon.topics().alerts);
            let told = alerts.iter().map(|(_, alert)| {
                let text = |pointer: &str| alert.pointer(pointer).unwrap().as_str().unwrap();
                let user = text("/samples/0/fields/user.name");
                format!("{} {} {user}", text("/rule/id"), text("/severity"))
            });
            let found: BTreeSet<String> = told.collect();
            if found == expected { Ok(()) } else { Err(found) }
        });
    }

    fn stop(self) {
        self.runtime.block_on(self.daemon.stop()).unwrap();
    }
}

#[test]
fn what_changes_in_a_file_holds_for_the_next_event_and_a_mistake_changes_nothing() {
    let stage = Stage::start("# Not one [[override]] yet.\n");
    let metrics = stage.daemon.metrics().clone();
    let stale = metrics.reference_stale.with_label_values(&["lists.blocked"]);
    let entries = metrics.reference_entries.with_label_values(&["lists.blocked"]);
    assert_eq!((stale.get(), entries.get()), (0, 1), "the address in the configuration");

    stage.event("ann", "198.51.100.7", "UTC");
    stage.event("bea", "192.0.2.1", "UTC");
    stage.judged(2);
    stage.alerts_are(&["blocked low bea"]);

    // An address is appended.
    let mut text = fs::read_to_string(stage.path().join("blocked.txt")).unwrap();
    text.push_str("198.51.100.0/24\n");
    fs::write(stage.path().join("blocked.txt"), &text).unwrap();
    stage.read("lists.blocked", "taken", 1);
    assert_eq!(entries.get(), 2);
    stage.event("cid", "198.51.100.7", "UTC");
    stage.judged(3);
    stage.alerts_are(&["blocked low bea", "blocked low cid"]);

    // A slip: nothing changes, and it is told until it is put right.
    write(stage.path(), "blocked.txt", "10.1.2.3/8\n");
    stage.read("lists.blocked", "refused", 1);
    assert_eq!((stale.get(), entries.get()), (1, 2));
    stage.event("dan", "198.51.100.8", "UTC");
    stage.judged(4);
    fs::remove_file(stage.path().join("blocked.txt")).unwrap();
    stage.read("lists.blocked", "refused", 2);
    stage.event("eva", "198.51.100.8", "Mars/Olympus");
    stage.judged(5);
    let before = ["blocked low bea", "blocked low cid", "blocked low dan", "blocked low eva"];
    stage.alerts_are(&before);

    // A table behind a link that is swapped, and a severity case that asks the list.
    let volume = stage.path().join("volume");
    mount(stage.path(), "second", r#"[{ "name": "fay", "roles": ["admin"] }]"#);
    fs::remove_dir_all(volume.join("..first")).unwrap();
    stage.read("tables.people", "taken", 1);
    write(stage.path(), "blocked.txt", "203.0.113.5 # put right\n");
    stage.read("lists.blocked", "taken", 2);
    assert_eq!((stale.get(), entries.get()), (0, 2));
    stage.event("fay", "198.51.100.8", "UTC");
    stage.event("Fay", "203.0.113.5", "UTC");
    stage.judged(7);
    let after = ["admin low fay", "admin critical Fay", "blocked low Fay"];
    stage.alerts_are(&[&before[..], &after].concat());

    // Two rules asked for the zone of one event; one event is counted.
    let zones = metrics.bad_zones.with_label_values(&["office"]);
    assert_eq!(zones.get(), 1);
    stage.stop();
}

#[test]
fn whom_a_rule_expects_is_who_stands_in_the_file_now() {
    let stage = Stage::start_with(&[("silent.toml", SILENT)]);
    let told = |expected: &[&str]| {
        let expected: BTreeSet<String> = expected.iter().map(|told| (*told).to_owned()).collect();
        eventually(SOON, || {
            let alerts = stage.values(&stage.daemon.topics().alerts);
            let told = alerts.iter().map(|(_, alert)| {
                let why = alert["resolution"].as_str().unwrap_or("open");
                format!("{} {why}", alert["key"]["user.name"].as_str().unwrap())
            });
            let found: BTreeSet<String> = told.collect();
            if found == expected { Ok(()) } else { Err(found) }
        });
    };
    told(&["ann open", "bea open"]);

    // One leaves and one comes.
    write(stage.path(), "team.txt", "bea\nCid\n");
    stage.read("lists.team", "taken", 1);
    told(&["ann open", "bea open", "ann not_expected", "Cid open"]);

    // More than can be expected: the file is refused, and everybody stays.
    let many: Vec<String> = (0..=EXPECTED_MAX).map(|n| format!("user{n}")).collect();
    write(stage.path(), "team.txt", &many.join("\n"));
    stage.read("lists.team", "refused", 1);
    let stale = stage.daemon.metrics().reference_stale.with_label_values(&["lists.team"]);
    assert_eq!(stale.get(), 1);
    write(stage.path(), "team.txt", "Cid\n");
    stage.read("lists.team", "taken", 2);
    told(&["ann open", "bea open", "ann not_expected", "Cid open", "bea not_expected"]);
    assert_eq!(stale.get(), 0);

    // `control` knows who is left; a key that is not expected any more was taken out.
    let mut expected = BTreeSet::new();
    read_to_end(stage.daemon.cluster(), &stage.daemon.topics().control, &mut |record| {
        let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
        let Some(payload) = record.payload else {
            assert!(expected.remove(&key), "what goes was there");
            return;
        };
        let start: serde_json::Value = serde_json::from_slice(payload).unwrap();
        if start["expects"].is_object() {
            expected.insert(key);
        }
    })
    .unwrap();
    assert_eq!(expected.len(), 1, "{expected:?}");
    stage.stop();
}

#[test]
fn what_is_read_while_the_gate_is_held_belongs_together() {
    let (left, right) = (Live::new(0_u64), Live::new(0_u64));
    let (gate, over) = (Gate::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=2_000 {
                gate.change(|| (left.replace(n), right.replace(n)));
            }
            over.store(true, Ordering::Release);
        });
        while !over.load(Ordering::Acquire) {
            let _held = gate.hold();
            let first = *left.get();
            std::thread::yield_now();
            assert_eq!(*right.get(), first);
        }
    });
    assert_eq!((*left.get(), *right.get()), (2_000, 2_000));
}

#[test]
fn an_override_reaches_alerts_and_the_stored_version_and_staging_tells_nobody() {
    let stage = Stage::start(
        r#"
        [[override]]
        rules = ["block*"]
        set   = { severity = "medium", status = "staging" }
        [[override.exception]]
        when   = 'user.name: probe'
        reason = "monitoring"
        "#,
    );
    mount(stage.path(), "second", r#"[{ "name": "bea", "roles": ["admin"] }]"#);
    stage.read("tables.people", "taken", 1);
    stage.event("probe", "192.0.2.1", "UTC");
    stage.event("bea", "192.0.2.1", "UTC");
    stage.judged(2);
    stage.alerts_are(&["blocked medium bea", "admin critical bea"]);

    // It is counted and listed as what it is; who is told is told of the other rule's alone.
    let alerts = stage.values(&stage.daemon.topics().alerts);
    let status = |rule: &str| {
        let alert = alerts.iter().find(|(_, alert)| alert["rule"]["id"] == rule).unwrap();
        alert.1["rule"]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!((&*status("blocked"), &*status("admin")), ("staging", "production"));
    let opened = |rule| stage.daemon.metrics().alerts.with_label_values(&[rule, "opened"]).get();
    assert_eq!((opened("blocked"), opened("admin")), (1, 1));
    let outbox = &stage.daemon.topics().outbox;
    let told = eventually(SOON, || match stage.values(outbox) {
        told if told.is_empty() => Err("nothing"),
        told => Ok(told),
    });
    let rules: Vec<_> = told.iter().map(|(_, told)| &told["alert"]["rule"]["id"]).collect();
    assert_eq!(rules, ["admin"]);

    // What is stored of the version is the whole truth about it.
    let stored = stage.values(&stage.daemon.topics().control);
    let (key, version) = stored.iter().find(|(key, _)| key.starts_with("rule/blocked/")).unwrap();
    let source = SourceText::new("rules/blocked.toml", version["text"].as_str().unwrap());
    let config = load(stage.path());
    let (rule, found) = parse_overridden(&source, "blocked", &Context::new(&config.sets));
    assert!(found.is_empty(), "{found:?}");
    let rule = rule.unwrap();
    assert_eq!(*key, format!("rule/blocked/{:016x}", rule.hash));
    assert_eq!((rule.severity.name(), rule.exceptions.len()), ("medium", 1));
    stage.stop();
}

//! The rules for Kubernetes against the audit events that Falco tests its own rules with: where both
//! have a rule for the same thing, they agree on every event.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::time::Duration;

use hark::base::Timestamp;
use serde_json::{Map, Value};

use super::{Run, mappings, of_products, root, rules, sets};

/// A rule of ours, and those of Falco that it stands for.
const SAME: [(&str, &[&str]); 6] = [
    ("kubernetes/anonymous-request-allowed", &["Anonymous Request Allowed"]),
    ("kubernetes/cluster-admin-bound", &["Attach to cluster-admin Role"]),
    ("kubernetes/namespace-deleted", &["K8s Namespace Deleted"]),
    (
        "kubernetes/pod-with-power-over-its-node",
        &["Create Privileged Pod", "Create HostNetwork Pod", "Create Sensitive Mount Pod"],
    ),
    (
        "kubernetes/role-for-everything",
        &["ClusterRole With Wildcard Created", "ClusterRole With Pod Exec Created"],
    ),
    ("kubernetes/shell-in-pod", &["Attach/Exec Pod"]),
];

/// The events, each with the rules of Falco that fire for it.
fn events() -> Vec<(BTreeSet<String>, Value)> {
    let packed = std::fs::read(root().join("tests/data/falco_k8s.jsonl.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    let row = |line: &str| {
        let mut row: Map<String, Value> = serde_json::from_str(line).unwrap();
        let mut take = |key: &str| row.remove(key).unwrap();
        (serde_json::from_value(take("falco")).unwrap(), take("event"))
    };
    text.lines().map(row).collect()
}

#[test]
fn rules_for_kubernetes_agree_with_falcos_own_tests() {
    let (events, mappings, sets) = (events(), mappings(), sets());
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("kubernetes")).unwrap();
    for (n, (_, event)) in events.iter().enumerate() {
        let path = folder.path().join(format!("kubernetes/{n}.json"));
        std::fs::write(path, event.to_string()).unwrap();
    }
    let own = of_products(&mappings, &["kubernetes"].into());
    let start = Timestamp::parse("2026-01-05T00:00:00Z").unwrap();
    // Half a day apart, each event is an alert of its own.
    let time = |n: usize| start + Duration::from_hours(12) * u32::try_from(n).unwrap();
    let times: Vec<Timestamp> = (0..events.len()).map(time).collect();
    let (mut compared, rules) = (0, rules());
    for (id, theirs) in SAME {
        let rule = rules.iter().find(|rule| rule.id.to_string() == id).unwrap();
        let mut run = Run::new(rule, &own, &sets, folder.path());
        for (n, time) in times.iter().enumerate() {
            run.sample(&format!("kubernetes/{n}"), *time);
        }
        let fired: BTreeSet<_> = run.finish().iter().map(|alert| alert.opened_at).collect();
        for ((names, event), time) in events.iter().zip(&times) {
            let expected = theirs.iter().any(|name| names.contains(*name));
            assert_eq!(fired.contains(time), expected, "{id}, Falco: {names:?}, event: {event}");
            compared += usize::from(expected);
        }
    }
    assert!(compared >= 12, "only {compared} events that fire");
}

//! The rules for Kubernetes against the audit events that Falco tests its own rules with: where both
//! have a rule for the same thing, they agree on every event.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::time::Duration;

use hark::mapping::{Options, Tables};
use hark::replay::{Bench, Samples};
use serde_json::{Map, Value};

use super::{happening, mappings, of_products, root, rules, sets};

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
    let name = |n: usize| format!("kubernetes/{n}");
    let sample = |(n, (_, event)): (usize, &(_, Value))| (name(n), Ok(event.to_string().into()));
    let samples: Samples = events.iter().enumerate().map(sample).collect();
    let (own, tables) = (of_products(&mappings, &["kubernetes"].into()), Tables::new());
    let options = Options::default();
    let bench = Bench { mappings: &own, tables: &tables, sets: &sets, options, samples: &samples };
    // Half a day apart, each event is an alert of its own.
    let after = |n: usize| Duration::from_hours(12) * u32::try_from(n).unwrap();
    let all = (0..events.len()).map(|n| (after(n), name(n)));
    let test = happening("2026-01-05T00:00:00Z", all);
    let times: Vec<_> = (0..events.len()).map(|n| test.start + after(n)).collect();
    let (mut compared, rules) = (0, rules());
    for (id, theirs) in SAME {
        let rule = rules.iter().find(|rule| rule.id.to_string() == id).unwrap();
        let trial = bench.one(rule, &test).unwrap();
        let fired: BTreeSet<_> = trial.alerts().iter().map(|alert| alert.opened_at).collect();
        for ((names, event), time) in events.iter().zip(&times) {
            let expected = theirs.iter().any(|name| names.contains(*name));
            assert_eq!(fired.contains(time), expected, "{id}, Falco: {names:?}, event: {event}");
            compared += usize::from(expected);
        }
    }
    assert!(compared >= 12, "only {compared} events that fire");
}

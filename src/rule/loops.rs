//! Rules on rules: which rule may read whose alerts, and that none reads its own in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Rule, Status};
use crate::event::{FieldName, Scalar};
use crate::query::Sets;

/// Whether alerts of `source` may be events to `reader`: as far as its queries can tell without
/// having seen one, and alerts of a rule in staging for rules in staging only.
fn feeds(source: &Rule, reader: &Rule, sets: &Sets) -> bool {
    if source.status == Status::Staging && reader.status != Status::Staging {
        return false;
    }
    let known = BTreeMap::from([
        (FieldName::from_keys(["rule.id"]), vec![Scalar::from(&*source.id)]),
        (
            FieldName::from_keys(["rule.tags"]),
            source.tags.iter().map(|tag| Scalar::from(tag.as_str())).collect(),
        ),
        (FieldName::from_keys(["event.kind"]), vec![Scalar::from("alert")]),
    ]);
    reader.parts().iter().any(|part| part.reads_alerts() && part.when.could_match(&known, sets))
}

/// For each rule that could end up reading its own alerts, the shortest way from it back to itself:
/// ids, its own at both ends.
pub(super) fn loops(rules: &[&Rule], sets: &Sets) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
    let readers: Vec<&Rule> = rules.iter().copied().filter(|rule| rule.reads_alerts()).collect();
    // What is read by nobody ends no loop, and what reads nobody begins none.
    let read_by = |source: &Rule| -> Vec<Arc<str>> {
        let readers = readers.iter().filter(|reader| feeds(source, reader, sets));
        readers.map(|reader| reader.id.clone()).collect()
    };
    let next: BTreeMap<Arc<str>, Vec<Arc<str>>> =
        readers.iter().map(|rule| (rule.id.clone(), read_by(rule))).collect();
    let mut found = BTreeMap::new();
    for start in next.keys() {
        if let Some(path) = way_back(start, &next) {
            found.insert(start.clone(), path);
        }
    }
    found
}

/// Breadth first, so that what is told is the shortest.
fn way_back(start: &Arc<str>, next: &BTreeMap<Arc<str>, Vec<Arc<str>>>) -> Option<Vec<Arc<str>>> {
    let mut seen = BTreeSet::new();
    let mut paths = vec![vec![start.clone()]];
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            for to in path.last().and_then(|last| next.get(last)).into_iter().flatten() {
                let mut path = path.clone();
                path.push(to.clone());
                if to == start {
                    return Some(path);
                }
                if seen.insert(to.clone()) {
                    longer.push(path);
                }
            }
        }
        paths = longer;
    }
    None
}

//! Medians of this run as ratios to the anchor of their group.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hark::base::Timestamp;
use serde_json::Value;

/// The name that each group's anchor has.
pub(crate) const ANCHOR: &str = "anchor";

/// Prints every group that was measured since `started`.
pub(crate) fn print(started: Timestamp) {
    let mut groups: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for (group, bench, median) in medians(&results(), started) {
        groups.entry(group).or_default().insert(bench, median);
    }
    for (group, benches) in groups {
        let Some(anchor) = benches.get(ANCHOR) else { continue };
        for (bench, median) in benches.iter().filter(|(name, _)| *name != ANCHOR) {
            let ratio = anchor / median;
            #[expect(clippy::print_stdout, reason = "this is what a bench is for")]
            {
                println!("{group}: {bench} = {ratio:.2} x the speed of the anchor");
            }
        }
    }
}

/// Where criterion keeps results: beside the profile's folder in which this binary lies.
fn results() -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    binary.ancestors().nth(3).unwrap().join("criterion")
}

/// Group, bench and nanoseconds of what was written since `started`.
fn medians(root: &Path, started: Timestamp) -> Vec<(String, String, f64)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
        if folder.file_name().is_none_or(|name| name != "new") {
            continue;
        }
        let estimates = folder.join("estimates.json");
        let written = fs::metadata(&estimates).and_then(|file| file.modified()).ok();
        let since = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).ok();
        let fresh = written.and_then(since).is_some_and(|written| {
            i64::try_from(written.as_millis()).is_ok_and(|millis| millis >= started.as_millis())
        });
        if !fresh {
            continue;
        }
        let read =
            |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let (names, numbers) = (read(folder.join("benchmark.json")), read(estimates));
        let name = |key: &str| names[key].as_str().unwrap_or_default().to_owned();
        let median = numbers["median"]["point_estimate"].as_f64().unwrap();
        found.push((name("group_id"), name("function_id"), median));
    }
    found
}

//! The files that the configuration names: rules, mappings, samples, and what else is read as text.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::diagnostic::SourceText;
use crate::base::{Diagnostic, Diagnostics};

/// Bytes of any file that the configuration names.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A text file, or why it cannot be had.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|_| {
        format!("cannot read `{}`: stream did not contain valid UTF-8", path.display())
    })
}

/// Any file, or why it cannot be had.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let refuse = |error: io::Error| format!("cannot read `{}`: {error}", path.display());
    let bytes = fs::metadata(path).map_err(refuse)?.len();
    if bytes > FILE_BYTES_MAX {
        let path = path.display();
        return Err(format!("`{path}` has {bytes} bytes, expected at most {FILE_BYTES_MAX}"));
    }
    fs::read(path).map_err(refuse)
}

/// One file under its path; what cannot be read is reported.
pub fn read_file(path: &Path, found: &mut Diagnostics) -> Option<SourceText> {
    match read_text(path) {
        Ok(text) => Some(SourceText::new(path, text)),
        Err(why) => {
            found.push(Diagnostic::of_file("unreadable", why));
            None
        }
    }
}

/// All `*.toml` files below `root`, in order of their paths; hidden ones are left out. What cannot
/// be read is reported; a missing root is one mistake, not a surprise later.
pub fn read_tree(root: &Path, found: &mut Diagnostics) -> Vec<SourceText> {
    let mut paths = Vec::new();
    walk(root, DEPTH_MAX, &mut paths, found);
    paths.sort();
    paths.iter().filter_map(|path| read_file(path, found)).collect()
}

/// The names of all samples below a folder, `<mapping>/<name>` for each `<mapping>/<name>.json`; `None`
/// when there is no such folder, which is so where rules run but are not tested.
pub fn sample_names(root: &Path) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in fs::read_dir(root).ok()?.flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let (folder, file) = (folder.file_name(), file.file_name());
            if let Some(name) = file.to_string_lossy().strip_suffix(".json") {
                names.insert(format!("{}/{name}", folder.to_string_lossy()));
            }
        }
    }
    Some(names)
}

/// Folders deeper than this are not looked into: a loop of links must end.
const DEPTH_MAX: usize = 16;

fn walk(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>, found: &mut Diagnostics) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let message = format!("cannot read `{}`: {error}", folder.display());
            return found.push(Diagnostic::of_file("unreadable", message));
        }
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth > 0 {
                walk(&path, depth - 1, paths, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
}

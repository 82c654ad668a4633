//! The mappings and rules that Hark ships, and the samples that the rules' tests name, carried in the
//! binary, so that the demo runs anywhere, what it leaves behind can be tested, and the reference
//! tells of products anywhere. A new rule, mapping or sample is carried without a word here.

use include_dir::{Dir, DirEntry, include_dir};

static MAPPINGS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/config/mappings");
static RULES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/rules");

static SAMPLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/tests/samples");

/// `config/mappings/`: the path below it and the text of each file, in order.
pub(super) fn mappings() -> Vec<(String, &'static str)> {
    files(&MAPPINGS)
}

/// `rules/`: the path below it and the text of each file, in order.
pub(super) fn rules() -> Vec<(String, &'static str)> {
    files(&RULES)
}

/// `tests/samples/`: the path below it and the text of each file, in order.
pub(super) fn samples() -> Vec<(String, &'static str)> {
    files(&SAMPLES)
}

fn files(root: &Dir<'static>) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    let mut entries: Vec<&DirEntry<'static>> = root.entries().iter().collect();
    while let Some(entry) = entries.pop() {
        match entry {
            DirEntry::Dir(folder) => entries.extend(folder.entries()),
            DirEntry::File(file) => {
                let path = file.path().to_string_lossy().replace('\\', "/");
                found.extend(file.contents_utf8().map(|text| (path, text)));
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_in_folders_and_mappings_are_carried() {
        let paths = |files: Vec<(String, &str)>| files.into_iter().map(|f| f.0).collect::<Vec<_>>();
        assert!(paths(rules()).contains(&"common/failed-logins.toml".to_owned()));
        assert!(paths(mappings()).contains(&"squadcast.toml".to_owned()));
        assert!(paths(samples()).contains(&"opsknight/login_failed.json".to_owned()));
        let everything = rules().len() + mappings().len();
        assert!(everything > 12, "{everything}");
    }
}

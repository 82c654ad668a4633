//! The mappings and rules that Hark ships, carried in the binary, so that the demo runs anywhere.

/// Files below one folder of the repository: name and text of each.
macro_rules! files {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder, "/", $name)))),*]
    };
}

/// `config/mappings/`.
pub(super) const MAPPINGS: &[(&str, &str)] = files!("config/mappings":
    "blocksecops.toml"
    "ops0.toml"
    "opsknight.toml"
    "opssentinal.toml"
    "squadcast.toml"
);

/// `rules/`.
pub(super) const RULES: &[(&str, &str)] = files!("rules":
    "common/access-after-hours.toml"
    "common/all-sessions-revoked.toml"
    "common/failed-logins-by-address.toml"
    "common/failed-logins.toml"
    "common/login-blocked.toml"
    "common/mass-deletion.toml"
    "common/project-or-service-deleted.toml"
    "common/role-change.toml"
    "opssentinal/mass-deletion.toml"
);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(folder: &str, carried: &[(&str, &str)]) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "toml") {
                    found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        let carried: Vec<_> = carried.iter().map(|(name, _)| *name).collect();
        assert_eq!(carried, found, "{folder} and the list in {} differ", file!());
    }

    #[test]
    fn every_shipped_mapping_and_rule_is_carried() {
        check("config/mappings", MAPPINGS);
        check("rules", RULES);
    }
}

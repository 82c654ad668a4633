//! Where secrets come from: the environment, and files that an operator mounts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::diagnostic::Gravity;
use crate::base::{SecretSource, Secrets};

/// The environment and the folder that relative paths start from.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    folder: PathBuf,
    missing: Option<Gravity>,
}

/// A secret file larger than this is some other file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

impl Environment {
    /// Variables by name; `folder` is where the configuration file stands. Every secret is needed.
    pub fn new(variables: BTreeMap<String, String>, folder: PathBuf) -> Self {
        Self { variables, folder, missing: Some(Gravity::Error) }
    }

    /// The same where a missing secret is a mistake as grave as this, or none.
    #[must_use]
    pub(super) fn where_missing_is(&self, missing: Option<Gravity>) -> Self {
        Self { missing, ..self.clone() }
    }
}

impl std::fmt::Debug for Environment {
    /// The variables' values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Secrets for Environment {
    fn resolve(&self, source: &SecretSource) -> Result<String, String> {
        match source {
            SecretSource::Env(name) => self
                .variables
                .get(name)
                .cloned()
                .ok_or_else(|| format!("environment variable `{name}` is not set")),
            SecretSource::File(path) => {
                let path = self.folder.join(path);
                let refuse =
                    |error: std::io::Error| format!("cannot read `{}`: {error}", path.display());
                let length = std::fs::metadata(&path).map_err(refuse)?.len();
                if length > FILE_BYTES_MAX {
                    return Err(format!(
                        "`{}` has {length} bytes; a secret has at most {FILE_BYTES_MAX}",
                        path.display()
                    ));
                }
                std::fs::read_to_string(&path).map_err(refuse)
            }
        }
    }

    fn missing(&self) -> Option<Gravity> {
        self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_beside_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "s3cret\n").unwrap();
        let variables = [("A".to_owned(), "b".to_owned())].into_iter().collect();
        let environment = Environment::new(variables, folder.path().to_owned());
        let resolve = |source| environment.resolve(&source);
        assert_eq!(resolve(SecretSource::Env("A".into())).unwrap(), "b");
        assert!(resolve(SecretSource::Env("C".into())).unwrap_err().contains("`C` is not set"));
        assert_eq!(resolve(SecretSource::File("token".into())).unwrap(), "s3cret\n");
        assert!(resolve(SecretSource::File("none".into())).unwrap_err().contains("cannot read"));
        assert!(!format!("{environment:?}").contains("\"b\""));
    }
}

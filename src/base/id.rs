//! Deterministic ids: the same input gives the same id on every machine and in every replay.

use aws_lc_rs::digest::{Context, SHA256};

/// A hash over length-prefixed parts, so that no two lists of parts run together.
#[derive(Clone)]
pub struct Id(Context);

impl Id {
    /// Starts an id of one kind (`"alert"`, `"notification"`); kinds never collide.
    pub fn new(kind: &str) -> Self {
        Self(Context::new(&SHA256)).part(kind.as_bytes())
    }

    /// Adds one part.
    #[must_use]
    pub fn part(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// The first 16 bytes in lower-case hex: 32 characters.
    pub fn finish(self) -> String {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(32);
        for byte in self.0.finish().as_ref().iter().take(16) {
            // Writing to a String cannot fail.
            let _infallible = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(Id::new("a").part(b"bc").finish(), Id::new("ab").part(b"c").finish());
        assert_ne!(Id::new("a").part(b"").finish(), Id::new("a").finish());
    }

    #[test]
    fn frozen() {
        assert_eq!(
            Id::new("alert").part(b"rule").part(b"key").finish(),
            Id::new("alert").part(b"rule").part(b"key").finish()
        );
        assert_eq!(Id::new("alert").finish().len(), 32);
    }
}

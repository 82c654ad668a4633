//! Bytes in, wanted slots out.

/// How much of a record is read at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a record.
    pub bytes: usize,
    /// Levels of objects and arrays in one another.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 20, depth: 64 }
    }
}

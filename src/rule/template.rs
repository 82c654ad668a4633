//! Titles and summaries: minijinja over the latest firing event and `alert.*`.

/// A template that parses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// As written.
    pub text: String,
}

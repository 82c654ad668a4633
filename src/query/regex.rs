//! `/regex/` and `/regex/i`: searched unanchored by a linear-time engine, limited in size.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

/// Bytes that one compiled regex may take; its lazily built automaton may take as much again.
pub const REGEX_BYTES_MAX: usize = 1 << 21;

/// A regex of a query, compiled.
#[derive(Debug, Clone)]
pub struct RegexTest {
    source: Box<str>,
    ignore_case: bool,
    compiled: Regex,
}

impl PartialEq for RegexTest {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.ignore_case == other.ignore_case
    }
}

impl Eq for RegexTest {}

impl RegexTest {
    /// Compiles; the error says why and where in `source` (in bytes).
    pub fn new(source: &str, ignore_case: bool) -> Result<Self, (String, Range<usize>)> {
        let whole = 0..source.len();
        if let Err(error) = regex_syntax::parse(source) {
            return Err(match error {
                regex_syntax::Error::Parse(error) => {
                    let span = error.span();
                    (error.kind().to_string(), span.start.offset..span.end.offset)
                }
                regex_syntax::Error::Translate(error) => {
                    let span = error.span();
                    (error.kind().to_string(), span.start.offset..span.end.offset)
                }
                _ => ("not a regex".to_owned(), whole),
            });
        }
        let compiled = RegexBuilder::new(source)
            .case_insensitive(ignore_case)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|_| (format!("it needs more than {REGEX_BYTES_MAX} bytes"), whole))?;
        Ok(Self { source: source.into(), ignore_case, compiled })
    }

    /// What stands between the slashes, `\/` read as `/`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether `i` follows.
    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    /// Whether it is found somewhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }
}

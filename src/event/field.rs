//! Field names as people write them: `user.name`, `raw.details."x-id"[0].y`, `labels.*`.

use std::fmt;

/// One step of a path below `raw`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// A key of an object; never contains a dot, for dots in a record's keys are read as path steps.
    Key(Box<str>),
    /// An element of an array, from 0.
    Index(u32),
}

/// A field name, in one canonical form: equal names have equal segments.
///
/// A name with an unquoted `*` is a pattern; its `*` crosses dots.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldName {
    segments: Vec<Segment>,
    /// `*` in a key is a wildcard, not a letter.
    pattern: bool,
}

impl FieldName {
    /// Parses a name. The error is a sentence for the author.
    ///
    /// Keys are separated by dots; a key with characters other than letters, digits, `_`, `-`, `@`
    /// stands in double quotes, where `\` escapes the next character; `[n]` picks an element and
    /// never stands first.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut pattern = false;
        let mut rest = text.chars().peekable();
        let refuse = |why: &str| {
            Err(format!("expected a field name such as `user.name`, found `{text}`: {why}"))
        };
        loop {
            if let Some('"') = rest.peek() {
                rest.next();
                let mut key = String::new();
                loop {
                    match rest.next() {
                        Some('"') => break,
                        Some('\\') => key.extend(rest.next()),
                        Some(c) => key.push(c),
                        None => return refuse("the quote is not closed"),
                    }
                }
                if key.contains('*') && pattern {
                    return refuse("`*` as a letter and as a wildcard in one name");
                }
                if key.split('.').any(str::is_empty) {
                    return refuse("empty key");
                }
                segments.extend(key.split('.').map(|part| Segment::Key(part.into())));
            } else {
                let mut key = String::new();
                while let Some(c) = rest.peek().copied() {
                    match c {
                        '.' | '[' => break,
                        '*' => pattern = true,
                        c if c.is_alphanumeric() || matches!(c, '_' | '-' | '@') => {}
                        c => {
                            return refuse(&format!("`{c}` needs double quotes around the key"));
                        }
                    }
                    key.push(c);
                    rest.next();
                }
                if key.is_empty() {
                    return refuse("empty key");
                }
                segments.push(Segment::Key(key.into()));
            }
            while rest.peek() == Some(&'[') {
                rest.next();
                let mut digits = String::new();
                loop {
                    match rest.next() {
                        Some(']') => break,
                        Some(c) if c.is_ascii_digit() => digits.push(c),
                        _ => return refuse("an index is a number in brackets"),
                    }
                }
                if pattern {
                    return refuse("an index cannot follow a `*`");
                }
                match digits.parse() {
                    Ok(index) => segments.push(Segment::Index(index)),
                    Err(_) => return refuse("an index is a number in brackets"),
                }
            }
            match rest.next() {
                Some('.') => {}
                None => break,
                Some(_) => return refuse("a dot is missing"),
            }
        }
        Ok(Self { segments, pattern })
    }

    /// A name from plain keys, none of them a wildcard.
    pub fn from_keys<'k>(keys: impl IntoIterator<Item = &'k str>) -> Self {
        let segments = keys
            .into_iter()
            .flat_map(|key| key.split('.'))
            .map(|key| Segment::Key(key.into()))
            .collect();
        Self { segments, pattern: false }
    }

    /// A pattern of any text (a topic's name, say) in which `*` stands for anything.
    pub fn wildcard(text: &str) -> Self {
        Self { segments: vec![Segment::Key(text.into())], pattern: true }
    }

    /// A name from segments as they are.
    pub(super) fn from_segments(segments: &[Segment], pattern: bool) -> Self {
        Self { segments: segments.to_vec(), pattern }
    }

    /// All segments.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The path below `raw`, if it names something of the original record.
    pub fn raw_path(&self) -> Option<&[Segment]> {
        match self.segments.split_first() {
            Some((Segment::Key(first), rest)) if first.as_ref() == "raw" && !rest.is_empty() => {
                Some(rest)
            }
            _ => None,
        }
    }

    /// The name without its first segments; `None` when nothing would be left.
    pub fn below(&self, segments: usize) -> Option<Self> {
        let rest = self.segments.get(segments..).filter(|rest| !rest.is_empty())?;
        Some(Self { segments: rest.to_vec(), pattern: self.pattern })
    }

    /// Whether it is a name under `raw`, `kafka`, or (all others) a common field.
    pub fn is_common(&self) -> bool {
        !matches!(self.segments.first(), Some(Segment::Key(k)) if matches!(k.as_ref(), "raw" | "kafka"))
    }

    /// Whether it has a wildcard.
    pub fn is_pattern(&self) -> bool {
        self.pattern
    }

    /// Whether this pattern (its `*` crossing dots) meets a dotted name; a plain name meets itself.
    pub fn matches(&self, dotted: &str) -> bool {
        let own = self.dotted();
        if self.pattern { wildcard(own.as_bytes(), dotted.as_bytes()) } else { own == dotted }
    }

    /// The plain dotted text without quotes, as a common field is looked up: `user.name`.
    pub fn dotted(&self) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Key(key) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(key);
                }
                Segment::Index(index) => {
                    text.push('[');
                    text.push_str(&index.to_string());
                    text.push(']');
                }
            }
        }
        text
    }
}

impl fmt::Display for FieldName {
    /// A text that [`FieldName::parse`] reads back as the same name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => {
                    if n > 0 {
                        f.write_str(".")?;
                    }
                    let plain = key.chars().all(|c| {
                        c.is_alphanumeric()
                            || matches!(c, '_' | '-' | '@')
                            || (c == '*' && self.pattern)
                    });
                    if plain {
                        f.write_str(key)?;
                    } else {
                        write!(f, "\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether `*` (any run of bytes, also none) in `pattern` can stand for what `text` has there.
pub(super) fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and how much of the text it has swallowed so far.
    let mut star = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(same) if same == byte => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, swallowed)) => {
                    star = Some((at, swallowed + 1));
                    p = at + 1;
                    t = swallowed + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_reads() {
        for text in [
            "user.name",
            "@timestamp",
            "raw.target[0].id",
            "raw.\"x id\".y",
            "labels.*",
            "*",
            "raw.a.b.c",
        ] {
            assert_eq!(FieldName::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            FieldName::parse("raw.\"a.b\".c").unwrap(),
            FieldName::parse("raw.a.b.c").unwrap()
        );
        assert_ne!(FieldName::parse("raw.\"*\"").unwrap(), FieldName::parse("raw.*").unwrap());
    }

    #[test]
    fn a_star_crosses_dots() {
        let meets = |pattern, text| FieldName::parse(pattern).unwrap().matches(text);
        assert!(meets("labels.*", "labels.a.b") && !meets("labels.*", "labels"));
        assert!(meets("*.name", "user.target.name") && !meets("*.name", "user.names"));
        assert!(meets("a*b*c", "a.b.x.b.c") && !meets("a*b*c", "a.c.b"));
        assert!(meets("user.name", "user.name") && !meets("user.name", "user.name.x"));
    }

    #[test]
    fn refuses_what_is_no_name() {
        for text in ["", "a.*[0]", ".", "a.", ".a", "a b", "a[", "a[x]", "[0]", "\"a", "a\"b\""] {
            assert!(FieldName::parse(text).is_err(), "{text}");
        }
    }
}

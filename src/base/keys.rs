//! The keys of a TOML table as plain data: what the reference and the editors' schema are made from.
//!
//! Reading a table is `document`'s business; here stands only what a person is told about it.

/// One key of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// As it is written.
    pub name: &'static str,
    /// What stands behind it.
    pub shape: Shape,
    /// Whether the table must have it.
    pub required: bool,
    /// What holds without it, in the words of a rule file; empty when that needs no words.
    pub default: &'static str,
    /// One sentence: what it means, with unit and bounds.
    pub summary: &'static str,
}

/// What stands behind a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number from 1 on.
    Count,
    /// A number.
    Number,
    /// A time such as `10m`.
    Duration,
    /// A date or a time.
    Time,
    /// A query.
    Query,
    /// The name of a field.
    Field,
    /// Names of fields.
    Fields,
    /// Several texts.
    Texts,
    /// A table with these keys.
    Table(&'static [KeySpec]),
    /// Several tables with these keys.
    Tables(&'static [KeySpec]),
    /// A table from names of the author's choice to values of this shape.
    Map(&'static Shape),
    /// Any of these.
    Any(&'static [Shape]),
}

impl KeySpec {
    /// A key that must be there.
    pub const fn required(name: &'static str, shape: Shape, summary: &'static str) -> Self {
        Self { name, shape, required: true, default: "", summary }
    }

    /// A key that may be left out; `default` says what holds then.
    pub const fn optional(
        name: &'static str,
        shape: Shape,
        default: &'static str,
        summary: &'static str,
    ) -> Self {
        Self { name, shape, required: false, default, summary }
    }
}

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
    /// A text of this form: a regular expression that every engine reads alike.
    Like(&'static str),
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number from 1 on.
    Count,
    /// A whole number from 0 on.
    Whole,
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
    /// The code of a warning.
    Warning,
    /// A text, number, boolean or time, or several.
    Value,
    /// Names of fields.
    Fields,
    /// Several texts.
    Texts,
    /// Several values of this shape.
    List(&'static Shape),
    /// A table with these keys.
    Table(&'static [KeySpec]),
    /// A table with exactly one of these keys.
    OneOf(&'static [KeySpec]),
    /// Several tables with these keys.
    Tables(&'static [KeySpec]),
    /// A table from names of the author's choice to values of this shape.
    Map(&'static Shape),
    /// A table from names of fields to values of this shape; `user.name = …` is a name in parts.
    ByField(&'static Shape),
    /// A table from dotted paths into a table with these keys to what stands there.
    ByPath(&'static [KeySpec]),
    /// Any of these.
    Any(&'static [Shape]),
}

impl Shape {
    /// Whether it is so, or one of those that it may be.
    pub fn may_be(self, is: fn(Self) -> bool) -> bool {
        match self {
            Self::Any(shapes) => shapes.iter().any(|shape| shape.may_be(is)),
            Self::Value => is(self) || Self::PLAIN.iter().any(|shape| shape.may_be(is)),
            own => is(own),
        }
    }

    /// What a [`Self::Value`] may be.
    const PLAIN: &[Self] = &[Self::Text, Self::Number, Self::Boolean, Self::Time];

    /// Whether it is written as a text and no more is known of it than its form.
    pub fn is_text(self) -> bool {
        matches!(
            self,
            Self::Text | Self::Like(_) | Self::Word(_) | Self::Query | Self::Field | Self::Warning
        )
    }

    /// Whether it is one table.
    pub fn is_table(self) -> bool {
        self.table().is_some()
    }

    /// The table that it is, or may be.
    pub fn table(self) -> Option<Self> {
        match self {
            Self::Table(_) | Self::OneOf(_) | Self::Map(_) | Self::ByField(_) | Self::ByPath(_) => {
                Some(self)
            }
            Self::Any(shapes) => shapes.iter().find_map(|shape| shape.table()),
            _ => None,
        }
    }

    /// The shape of each element, if it is a list or may be one.
    pub fn element(self) -> Option<Self> {
        match self {
            Self::Texts => Some(Self::Text),
            Self::Fields => Some(Self::Field),
            Self::Tables(keys) => Some(Self::Table(keys)),
            Self::List(shape) => Some(*shape),
            Self::Value => Some(Self::Any(Self::PLAIN)),
            Self::Any(shapes) => shapes.iter().find_map(|shape| shape.element()),
            _ => None,
        }
    }

    /// What may stand in it under a key, if it is a table that may have the key and one key says all:
    /// a field's name may be in parts.
    pub fn entry(self, key: &str) -> Option<Self> {
        match self {
            Self::Table(keys) | Self::OneOf(keys) => find(keys, key).map(|spec| spec.shape),
            Self::Map(shape) => Some(*shape),
            _ => None,
        }
    }
}

/// The key of that name.
pub fn find(keys: &[KeySpec], name: &str) -> Option<KeySpec> {
    keys.iter().find(|key| key.name == name).copied()
}

/// Several lists of keys as one; `N` must be how many they are together.
#[expect(clippy::indexing_slicing, reason = "constants cannot iterate; a slip does not compile")]
pub const fn join<const N: usize>(lists: &[&[KeySpec]]) -> [KeySpec; N] {
    let mut all = [KeySpec::optional("", Shape::Text, "", ""); N];
    let (mut list, mut to) = (0, 0);
    while list < lists.len() {
        let mut from = 0;
        while from < lists[list].len() {
            all[to] = lists[list][from];
            from += 1;
            to += 1;
        }
        list += 1;
    }
    assert!(to == N, "N is how many keys the lists have together");
    all
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

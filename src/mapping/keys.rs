//! The keys of a mapping file as tables: what the walk over it is held to, and what the reference and
//! the editors' schema are made from.

use crate::base::keys::{KeySpec, Shape};

/// Everything that may stand at the top of a mapping file, in order of the reference.
pub const MAPPING: &[KeySpec] = &[
    KeySpec::optional(
        "topics",
        Shape::Texts,
        "",
        "Topics whose records are all this product's; `*` stands for anything.",
    ),
    KeySpec::optional(
        "detect",
        Shape::Query,
        "",
        "What says of a record of any other topic that it is this product's: a query over `raw.*` and `kafka.*`.",
    ),
    KeySpec::optional(
        "common",
        Shape::Boolean,
        "false",
        "The record is in the common fields already: what `[fields]` does not name is taken as it is.",
    ),
    KeySpec::optional(
        "json",
        Shape::Texts,
        "",
        "Paths whose value may be a text that holds JSON, which is read as if it stood there.",
    ),
    KeySpec::optional(
        "null",
        Shape::Texts,
        "",
        "Texts that are as good as missing in mapped fields; `raw.*` keeps them.",
    ),
    KeySpec::optional(
        "time",
        Shape::List(&Shape::Word(TIME_FORMATS)),
        "[\"rfc3339\"]",
        "How times are written; the first that fits. `utc` has no offset and means UTC.",
    ),
    KeySpec::optional(
        "fields",
        Shape::ByField(&Shape::Any(WHERE)),
        "",
        "Where each common field stands in the record: a path, several (the first that has a value), or a table. Required unless `common`.",
    ),
    KeySpec::optional(
        "case",
        Shape::Tables(CASE),
        "",
        "Other fields for some records; all cases that match, in order.",
    ),
    KeySpec::optional(
        "classify",
        Shape::Tables(CLASSIFY),
        "",
        "What an event means: category, type, outcome. All that match, in order, later ones win.",
    ),
    KeySpec::optional(
        "search",
        Shape::Map(&Shape::Field),
        "",
        "People's own words for fields, on the command line: `actor = \"user.name\"`.",
    ),
];

/// The keys of a table that says where a field's value comes from: one of `path`, `join`, `value` and
/// `table`, and what goes with it.
pub(super) const SOURCE: &[KeySpec] = &[
    KeySpec::optional(
        "path",
        Shape::Any(PATHS),
        "",
        "A path into the record, or several: the first that has a value.",
    ),
    KeySpec::optional(
        "regex",
        Shape::Text,
        "",
        "With `path`: what is taken of the value is the first group, or the whole match.",
    ),
    KeySpec::optional(
        "join",
        Shape::Any(PATHS),
        "",
        "Paths whose values are put together; missing when one of them is.",
    ),
    KeySpec::optional("with", Shape::Text, "nothing", "With `join`: what stands between them."),
    KeySpec::optional(
        "lower",
        Shape::Boolean,
        "false",
        "With `path` and `join`: in lower-case letters.",
    ),
    KeySpec::optional(
        "upper",
        Shape::Boolean,
        "false",
        "With `path` and `join`: in upper-case letters.",
    ),
    KeySpec::optional("value", Shape::Value, "", "The same for every record."),
    KeySpec::optional(
        "table",
        Shape::Text,
        "",
        "A table of the configuration, `[tables.NAME]`; only in the file's own `[fields]`.",
    ),
    KeySpec::optional("by", Shape::Field, "", "With `table`: the field that names the row."),
    KeySpec::optional("column", Shape::Text, "", "With `table`: the column that is taken."),
];

/// Where a field's value comes from.
const WHERE: &[Shape] = &[Shape::Text, Shape::Texts, Shape::Table(SOURCE)];

/// One path, or several.
const PATHS: &[Shape] = &[Shape::Text, Shape::Texts];

/// One `[[case]]`.
const CASE: &[KeySpec] = &[
    KeySpec::required("when", Shape::Query, "The records that it is about."),
    KeySpec::required(
        "fields",
        Shape::ByField(&Shape::Any(WHERE)),
        "Fields as in `[fields]`; the empty path takes one away.",
    ),
];

/// One `[[classify]]`.
const CLASSIFY: &[KeySpec] = &[
    KeySpec::required("when", Shape::Query, "The events that it is about."),
    KeySpec::required("set", Shape::ByField(&Shape::Value), "The values that fields get."),
];

/// The words of `time`.
const TIME_FORMATS: &[&str] = &["rfc3339", "utc", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::time::FORMATS;

    #[test]
    fn every_way_to_write_times_is_told() {
        assert!(FORMATS.iter().map(|(name, _)| name).eq(TIME_FORMATS));
    }
}

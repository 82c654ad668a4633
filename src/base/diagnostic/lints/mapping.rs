//! What can be wrong in a mapping file.

use super::{Home, Lint, error, warning};

pub(super) const LINTS: &[Lint] = &[
    warning(
        "no-records",
        Home::Mapping,
        "Neither topics nor a condition lead any record to this mapping.",
        "topics = []",
        "topics = [\"audit.example\"]",
    ),
    error(
        "not-available",
        Home::Mapping,
        "This cannot be had, or not in this place or version.",
        "detect = 'event.action: x'",
        "detect = 'raw.action: x'",
    ),
    error(
        "bad-path",
        Home::Mapping,
        "A path names one place in the record.",
        "[fields]\n\"user.name\" = \"actor.*\"",
        "[fields]\n\"user.name\" = \"actor.name\"",
    ),
    error(
        "bad-time-format",
        Home::Mapping,
        "A time is read in one of a few formats.",
        "time = [\"iso8601\"]",
        "time = [\"rfc3339\"]",
    ),
    error(
        "bad-source",
        Home::Mapping,
        "The keys do not say, or say twice, where the value comes from.",
        "[fields]\n\"user.name\" = { lower = true }",
        "[fields]\n\"user.name\" = { path = \"actor\", lower = true }",
    ),
    error(
        "unknown-table",
        Home::Mapping,
        "No such table is in the configuration, but one of nearly that name.",
        "[fields]\n\"user.name\" = \"actor\"\n\"user.email\" = { table = \"poeple\", by = \"user.name\", column = \"email\" }",
        "[fields]\n\"user.name\" = \"actor\"\n\"user.email\" = { table = \"people\", by = \"user.name\", column = \"email\" }",
    ),
    error(
        "duplicate-mapping",
        Home::Elsewhere,
        "Two mappings have one name, the file's; events are told apart by it.",
        "mappings/a/okta.toml and mappings/b/okta.toml",
        "a file name of its own for each",
    ),
    warning(
        "no-mappings",
        Home::Elsewhere,
        "There is no mapping at all, so no record becomes an event that a rule could match.",
        "mappings = \"mapping\", where no mapping file is",
        "mappings = \"mappings\"",
    ),
    warning(
        "duplicate-alias",
        Home::Elsewhere,
        "A search word stands for two fields; the first mapping's wins.",
        "[search] actor = \"user.name\" in one mapping, actor = \"user.id\" in another",
        "the same field in both",
    ),
];

//! What can be wrong in any TOML file: syntax, keys, types, ranges.

use super::{Home, Lint, error};

pub(super) const LINTS: &[Lint] = &[
    error(
        "toml-syntax",
        Home::Rule,
        "The file is not TOML; what stands behind the mistake may go unread.",
        "description = \"five failed logins",
        "description = \"five failed logins\"",
    ),
    error(
        "unknown-key",
        Home::Rule,
        "No such key is read here, so it would do nothing.",
        "desription = \"five failed logins\"",
        "description = \"five failed logins\"",
    ),
    error(
        "missing-key",
        Home::Rule,
        "A key that must be there is not.",
        "[threshold]\ncount = 5",
        "[threshold]\ncount = 5\nwithin = \"10m\"",
    ),
    error(
        "wrong-type",
        Home::Rule,
        "The value is of another type than the key wants.",
        "group_by = \"user.name\"",
        "group_by = [\"user.name\"]",
    ),
    error(
        "out-of-range",
        Home::Rule,
        "The number is smaller or larger than it may be.",
        "[threshold]\ncount = 0\nwithin = \"10m\"",
        "[threshold]\ncount = 1\nwithin = \"10m\"",
    ),
    error(
        "bad-duration",
        Home::Rule,
        "A duration has numbers with units, and nothing else.",
        "lateness = \"10 minutes\"",
        "lateness = \"10m\"",
    ),
    error(
        "bad-time",
        Home::Rule,
        "A time is a date or an RFC 3339 time.",
        "[[exception]]\nwhen = 'user.name: scanner'\nreason = \"weekly scan\"\nuntil = \"next year\"",
        "[[exception]]\nwhen = 'user.name: scanner'\nreason = \"weekly scan\"\nuntil = 2099-01-31",
    ),
    error(
        "bad-field",
        Home::Rule,
        "This cannot be the name of a field.",
        "group_by = [\"user..name\"]",
        "group_by = [\"user.name\"]",
    ),
    error(
        "bad-regex",
        Home::Query,
        "The regular expression cannot be read, or is too large.",
        "user.name: /(root|admin/",
        "user.name: /(root|admin)/",
    ),
    error(
        "unreadable",
        Home::Elsewhere,
        "A file or folder that is to be checked cannot be read.",
        "hark check rules/mispelt.toml",
        "hark check rules/misspelt.toml",
    ),
];

//! What can be wrong in the table of a detector.

use super::{Home, Lint, error};

pub(super) const LINTS: &[Lint] = &[
    error(
        "two-detectors",
        Home::Rule,
        "A rule has at most one detector.",
        "[threshold]\ncount = 5\nwithin = \"10m\"\n[change]\nfield = \"source.ip\"",
        "[threshold]\ncount = 5\nwithin = \"10m\"",
    ),
    error(
        "duplicate-part",
        Home::Rule,
        "Two parts of one rule have the same name: nobody could tell them apart.",
        "[temporal]\nwithin = \"1h\"\nof = [{ name = \"a\", when = 'event.action: x' }, { name = \"a\", when = 'event.action: y' }]",
        "[temporal]\nwithin = \"1h\"\nof = [{ name = \"a\", when = 'event.action: x' }, { name = \"b\", when = 'event.action: y' }]",
    ),
    error(
        "bad-step",
        Home::Rule,
        "A sequence has two steps or more, and each can only have what makes sense where it stands.",
        "[sequence]\nwithin = \"1h\"\n[[sequence.step]]",
        "[sequence]\nwithin = \"1h\"\n[[sequence.step]]\n[[sequence.step]]",
    ),
    error(
        "unknown-step",
        Home::Rule,
        "`$steps` names an earlier step that has events.",
        "[sequence]\nwithin = \"1h\"\n[[sequence.step]]\nname = \"login\"\n[[sequence.step]]\nwhen = 'source.ip: $steps.logon.source.ip'",
        "[sequence]\nwithin = \"1h\"\n[[sequence.step]]\nname = \"login\"\n[[sequence.step]]\nwhen = 'source.ip: $steps.login.source.ip'",
    ),
    error(
        "bad-function",
        Home::Rule,
        "There is no such function over the numbers of a window.",
        "[metric]\nfield = \"raw.bytes\"\nfunction = \"mean\"\nabove = 1000\nwithin = \"10m\"",
        "[metric]\nfield = \"raw.bytes\"\nfunction = \"avg\"\nabove = 1000\nwithin = \"10m\"",
    ),
    error(
        "two-bounds",
        Home::Rule,
        "A detector looks up or down, beyond one bound.",
        "[metric]\nfield = \"raw.bytes\"\nfunction = \"sum\"\nabove = 1000\nbelow = 10\nwithin = \"10m\"",
        "[metric]\nfield = \"raw.bytes\"\nfunction = \"sum\"\nabove = 1000\nwithin = \"10m\"",
    ),
    error(
        "bad-quantity",
        Home::Rule,
        "A speed or a distance is a number with a unit: km/h or mph, km or mi.",
        "group_by = [\"user.name\"]\n[impossible_travel]\nspeed = 900",
        "group_by = [\"user.name\"]\n[impossible_travel]\nspeed = \"900km/h\"",
    ),
    error(
        "bad-expect",
        Home::Rule,
        "An expected key has one value for each field of `group_by`.",
        "group_by = [\"user.name\"]\n[absence]\nwithin = \"6h\"\nexpect = [[\"backup\", \"scanner\"]]",
        "group_by = [\"user.name\"]\n[absence]\nwithin = \"6h\"\nexpect = [\"backup\", \"scanner\"]",
    ),
];

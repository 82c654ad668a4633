//! The keys of a rule file as tables: what the walk over it is held to, and what the reference and the
//! editors' schema are made from. What a detector's table may have stands with the detector.

use crate::base::keys::{self, KeySpec, Shape};
use crate::base::severity::WORDS;
use crate::detectors::DETECTORS;

use super::{alert, test_case};

/// Everything that may stand at the top of a rule file, in order of the reference.
pub const RULE: &[KeySpec] = &keys::join::<{ ABOUT.len() + DETECTORS.len() + AROUND.len() }>(&[
    ABOUT,
    &DETECTOR_TABLES,
    AROUND,
]);

/// Everything that may stand in an override file.
pub const OVERRIDE_FILE: &[KeySpec] = &[KeySpec::required(
    "override",
    Shape::Tables(OVERRIDE),
    "One per tuning: the rules it names, and what is different for them; later ones win.",
)];

const ABOUT: &[KeySpec] = &[
    KeySpec::required("title", Shape::Text, "What was found, in one line; never empty."),
    KeySpec::required("severity", Shape::Word(WORDS), "How bad it is."),
    KeySpec::optional("description", Shape::Text, "", "What the rule looks for, and why."),
    KeySpec::optional(
        "when",
        Shape::Query,
        "",
        "The events that it is about; required unless `[sequence]` or `[temporal]` say so.",
    ),
    KeySpec::optional(
        "group_by",
        Shape::Fields,
        "one key for the whole rule",
        "The fields that name the key: one alert for each of their values. At most 8.",
    ),
    KeySpec::optional(
        "id",
        Shape::Like(ID),
        "the path under the rules folder",
        "What alerts and memory go by; at most 120 characters; `hark.` is reserved.",
    ),
    KeySpec::optional("enabled", Shape::Boolean, "true", "Whether the rule runs at all."),
    KeySpec::optional(
        "status",
        Shape::Word(&["production", "staging", "building_block"]),
        "production",
        "`staging` runs for real, is counted and listed, and notifies nobody; the alerts of a `building_block` feed other rules only.",
    ),
    KeySpec::optional("owner", Shape::Text, "", "Who looks after the rule."),
    KeySpec::optional("tags", Shape::Texts, "", "Words of your own, such as `soc2.cc6.1`."),
    KeySpec::optional(
        "threat",
        Shape::List(&Shape::Like(r"^T[0-9]{4}(\.[0-9]{3})?$")),
        "",
        "MITRE ATT&CK techniques, such as `T1110` or `T1110.003`.",
    ),
    KeySpec::optional(
        "runbook",
        Shape::Text,
        "",
        "What to do about an alert: an address, or the steps as Markdown.",
    ),
    KeySpec::optional("references", Shape::Texts, "", "Where to read more."),
    KeySpec::optional("false_positives", Shape::Texts, "", "What looks alike and is harmless."),
    KeySpec::optional(
        "lateness",
        Shape::Duration,
        "10s",
        "How much later than the stream's clock an event may come and still count; may be zero.",
    ),
    KeySpec::optional(
        "allow",
        Shape::List(&Shape::Warning),
        "",
        "Warnings of `hark check` that were read and are fine here.",
    ),
];

const AROUND: &[KeySpec] = &[
    KeySpec::optional(
        "exception",
        Shape::Tables(EXCEPTION),
        "",
        "Events that the rule leaves out before they are counted, learned or compared.",
    ),
    KeySpec::optional(
        "alert",
        Shape::Table(alert::KEYS),
        "",
        "How long an alert lives, and how it looks.",
    ),
    KeySpec::optional(
        "test",
        Shape::Tables(test_case::KEYS),
        "",
        "What the rule must find and what not; run by `hark test`.",
    ),
];

/// One `[[exception]]`.
pub(super) const EXCEPTION: &[KeySpec] = &[
    KeySpec::required("when", Shape::Query, "The events that are left out."),
    KeySpec::required("reason", Shape::Text, "Why that is right; never empty."),
    KeySpec::optional(
        "until",
        Shape::Time,
        "for ever",
        "The last day or moment on which it holds, in UTC, on event time; an ended one is a warning.",
    ),
];

/// One `[[override]]`.
const OVERRIDE: &[KeySpec] = &[
    KeySpec::required("rules", Shape::Texts, "Globs over ids, such as `okta/*`; at least one."),
    KeySpec::optional(
        "set",
        Shape::ByPath(RULE),
        "",
        "Keys of the rules with other values: `\"threshold.count\" = 10`. All but `id` and `test`. This or an exception must be there.",
    ),
    KeySpec::optional(
        "exception",
        Shape::Tables(EXCEPTION),
        "",
        "Exceptions that are added to those of the rules.",
    ),
];

/// An id as the walk accepts it, but for its length and the reserved beginning.
const ID: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$";

/// The detectors' tables, of which a rule has at most one.
#[expect(clippy::indexing_slicing, reason = "constants cannot iterate; a slip does not compile")]
const DETECTOR_TABLES: [KeySpec; DETECTORS.len()] = {
    let mut tables = [KeySpec::optional("", Shape::Text, "", ""); DETECTORS.len()];
    let mut n = 0;
    while n < DETECTORS.len() {
        let spec = DETECTORS[n];
        tables[n] = KeySpec::optional(spec.table, Shape::Table(spec.keys), "", spec.summary);
        n += 1;
    }
    tables
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Severity;
    use crate::base::duration;
    use crate::rule::{GROUP_BY_MAX, ID_CHARS_MAX, LATENESS, Per, Status};

    fn key(name: &str) -> KeySpec {
        keys::find(RULE, name).unwrap()
    }

    #[test]
    fn defaults_and_bounds_are_told_as_they_are() {
        assert_eq!(key("lateness").default, duration::print(LATENESS));
        assert!(key("group_by").summary.contains(&format!("At most {GROUP_BY_MAX}.")));
        assert!(key("id").summary.contains(&format!("at most {ID_CHARS_MAX} characters")));
        let Shape::Word(statuses) = key("status").shape else { panic!("words") };
        assert_eq!(statuses, Status::ALL.map(Status::name));
        let Shape::Word(per) = keys::find(alert::KEYS, "per").unwrap().shape else {
            panic!("words")
        };
        assert_eq!(per, Per::ALL.map(Per::name));
        for word in WORDS {
            word.parse::<Severity>().unwrap();
        }
        assert!(Severity::ALL.iter().all(|severity| WORDS.contains(&severity.name())));
    }
}

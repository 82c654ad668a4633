//! The alert as it stands on the `alerts` topic: JSON that people and pipelines read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Severity, Timestamp};

/// The JSON Schema of the records, for people and programs that read the topic.
pub const SCHEMA: &str = include_str!("alert.schema.json");

/// Whether an alert is still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// Firings that fit still grow it.
    Open,
    /// Over; it never changes again.
    Resolved,
}

/// Why an alert resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// No firing for `keep_open`.
    Quiet,
    /// It stood for `max_open`.
    MaxOpen,
    /// Its rule was removed.
    RuleRemoved,
    /// A rule with neither detector nor group: one alert per event, over at once.
    OneEvent,
    /// Its key has left the list of those that the rule expects to hear from.
    NotExpected,
}

/// The parts of a rule that a reader of the alert needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleInfo {
    /// The rule's id.
    pub id: String,
    /// Its version, 16 hex digits.
    pub version: String,
    /// Its title.
    pub title: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `production`, `staging` or `building_block`.
    pub status: String,
    /// Free labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// ATT&CK technique ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threat: Vec<String>,
    /// A link or Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// Known harmless causes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub false_positives: Vec<String>,
}

/// One of the events behind an alert: where it is, and the fields worth showing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// `topic:partition:offset`.
    pub position: String,
    /// Event time.
    pub time: Timestamp,
    /// Common fields by dotted name; several values = an array.
    pub fields: BTreeMap<String, serde_json::Value>,
}

/// One state of one alert. `(id, revision)` names it; a later revision replaces an earlier one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Deterministic: hash of rule, key and the event that opened it.
    pub id: String,
    /// From 1, rising with every record emitted of this alert.
    pub revision: u64,
    /// Open or resolved.
    pub status: AlertStatus,
    /// The highest severity of its firings so far.
    pub severity: Severity,
    /// One line for people.
    pub title: String,
    /// More for people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The rule.
    pub rule: RuleInfo,
    /// The values it is about, by field, in the order of `group_by`'s names.
    pub key: BTreeMap<String, serde_json::Value>,
    /// Matching events of the key since `first_seen`.
    pub count: u64,
    /// How often the rule fired.
    pub firings: u64,
    /// The detector's number or new value at the last firing.
    pub value: serde_json::Value,
    /// The value before the new one, at the last firing of a detector that compares with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<serde_json::Value>,
    /// The largest (for what looks down, the smallest) value.
    pub peak: serde_json::Value,
    /// Whether a bound made `count` or `value` a lower bound.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approximate: bool,
    /// Time of the completing window's last event.
    pub opened_at: Timestamp,
    /// The earliest event in the windows of its firings.
    pub first_seen: Timestamp,
    /// The latest matching event.
    pub last_seen: Timestamp,
    /// When it was over, by event time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// Why it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// The event that opened it first, then the latest ones; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// Why templates failed when it was worded last, one line each. Not written: people read it in the
    /// words themselves; rule tests read it here.
    #[serde(skip)]
    pub template_failures: Vec<String>,
}

#[cfg(test)]
impl Alert {
    /// For tests: one that has just opened, of severity high, with nothing that can be left out.
    pub(crate) fn bare(id: &str) -> Self {
        let zero = Timestamp::from_millis(0);
        Self {
            id: id.to_owned(),
            revision: 1,
            status: AlertStatus::Open,
            severity: Severity::High,
            title: "t".to_owned(),
            summary: String::new(),
            rule: RuleInfo { status: "production".to_owned(), ..RuleInfo::default() },
            key: BTreeMap::new(),
            count: 1,
            firings: 1,
            value: serde_json::Value::Null,
            previous: None,
            peak: serde_json::Value::Null,
            approximate: false,
            opened_at: zero,
            first_seen: zero,
            last_seen: zero,
            resolved_at: None,
            resolution: None,
            samples: Vec::new(),
            template_failures: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn alert() -> Alert {
        let text = || "x".to_owned();
        let time = Timestamp::from_millis(1);
        let fields = BTreeMap::from([("user.name".to_owned(), json!(["eve", "bob"]))]);
        Alert {
            id: text(),
            revision: 1,
            status: AlertStatus::Open,
            severity: Severity::High,
            title: text(),
            summary: text(),
            rule: RuleInfo {
                id: text(),
                version: text(),
                title: text(),
                description: text(),
                status: text(),
                tags: vec![text()],
                threat: vec![text()],
                runbook: Some(text()),
                false_positives: vec![text()],
            },
            key: BTreeMap::new(),
            count: 1,
            firings: 1,
            value: json!(1),
            previous: Some(json!(0)),
            peak: json!(1),
            approximate: true,
            opened_at: time,
            first_seen: time,
            last_seen: time,
            resolved_at: Some(time),
            resolution: Some(Resolution::Quiet),
            samples: vec![Sample { position: text(), time, fields }],
            template_failures: Vec::new(),
        }
    }

    /// The least that a record can hold.
    fn names(object: &Value) -> Vec<String> {
        let mut names: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    }

    fn required(schema: &Value) -> Vec<String> {
        let mut names: Vec<String> = serde_json::from_value(schema["required"].clone()).unwrap();
        names.sort();
        names
    }

    #[test]
    fn records_read_back() {
        for alert in [alert(), Alert::bare("a")] {
            let json = serde_json::to_vec(&alert).unwrap();
            assert_eq!(serde_json::from_slice::<Alert>(&json).unwrap(), alert);
        }
    }

    #[test]
    fn the_schema_names_every_field_and_requires_those_that_are_always_there() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let (full, bare) = (json!(alert()), json!(Alert::bare("a")));
        let of = |part: &Value, full: &Value, bare: Option<&Value>| {
            assert_eq!(names(&part["properties"]), names(full));
            if let Some(bare) = bare {
                assert_eq!(required(part), names(bare));
            }
        };
        of(&schema, &full, Some(&bare));
        of(&schema["properties"]["rule"], &full["rule"], Some(&bare["rule"]));
        of(&schema["properties"]["samples"]["items"], &full["samples"][0], None);
    }

    #[test]
    fn the_schema_names_every_word() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let words = |name: &str| schema["properties"][name]["enum"].clone();
        assert_eq!(words("status"), json!([AlertStatus::Open, AlertStatus::Resolved]));
        assert_eq!(words("severity"), json!(Severity::ALL));
        let resolutions = [
            Resolution::Quiet,
            Resolution::MaxOpen,
            Resolution::RuleRemoved,
            Resolution::OneEvent,
            Resolution::NotExpected,
        ];
        assert_eq!(words("resolution"), json!(resolutions));
    }
}

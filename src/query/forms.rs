//! The forms a query can have, as plain data: the reference is made of it, and a test holds each row to
//! an event that meets its example and one that does not.

/// One form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// As it is written.
    pub form: &'static str,
    /// When it is true.
    pub meaning: &'static str,
    /// A query of this form.
    pub example: &'static str,
    /// An event that meets the example, as JSON: common fields by name, the record under `raw`.
    pub met_by: &'static str,
    /// One that does not.
    pub not_met_by: &'static str,
}

/// All forms, in order of the reference. The lists and schedules that examples name are those of the
/// tests: `scanners` holds 198.51.100.0/24, `business-hours` are weekdays from 9 to 17 in New York.
pub const FORMS: &[Form] = &[
    Form {
        form: "`field: value`",
        meaning: "equals, ignoring case; on an array, any element",
        example: "event.action: login",
        met_by: r#"{"event.action": "Login"}"#,
        not_met_by: r#"{"event.action": "logins"}"#,
    },
    Form {
        form: "`field == \"Value\"`",
        meaning: "the same, exact in case; with wildcards, too",
        example: "event.action == set*Policy",
        met_by: r#"{"event.action": "setBucketPolicy"}"#,
        not_met_by: r#"{"event.action": "setbucketpolicy"}"#,
    },
    Form {
        form: "`field: dep*.fail?d`",
        meaning: "unquoted `*` and `?` are wildcards; in quotes they are plain",
        example: "event.action: dep*.fail?d",
        met_by: r#"{"event.action": "deploy.failed"}"#,
        not_met_by: r#"{"event.action": "deploy.failled"}"#,
    },
    Form {
        form: "`field: *`",
        meaning: "exists and is not null; an empty text exists, an empty array does not",
        example: "user.name: *",
        met_by: r#"{"user.name": ""}"#,
        not_met_by: r#"{"user.name": []}"#,
    },
    Form {
        form: "`field: null`",
        meaning: "exactly `not field: *`",
        example: "user.name: null",
        met_by: "{}",
        not_met_by: r#"{"user.name": "bob"}"#,
    },
    Form {
        form: "`field: (a or b)`, `field: (a and not b)`",
        meaning: "the same as `field: a or field: b`; on arrays possibly of different elements",
        example: "user.roles: (admin and not guest)",
        met_by: r#"{"user.roles": ["admin", "dev"]}"#,
        not_met_by: r#"{"user.roles": ["admin", "guest"]}"#,
    },
    Form {
        form: "`field > 5`, `>=`, `<`, `<=`, `field: [1 to *]`",
        meaning: "numbers, texts that are numbers, and times; one element meets both bounds",
        example: "raw.size: [10 to 20]",
        met_by: r#"{"raw": {"size": "15"}}"#,
        not_met_by: r#"{"raw": {"size": [5, 25]}}"#,
    },
    Form {
        form: "`source.ip: 10.0.0.0/8`",
        meaning: "an address in the network, or the same text; in quotes and with `==` it is text",
        example: "source.ip: 10.0.0.0/8",
        met_by: r#"{"source.ip": "::ffff:10.1.2.3"}"#,
        not_met_by: r#"{"source.ip": "11.1.2.3"}"#,
    },
    Form {
        form: "`field: /regex/`, `/regex/i`",
        meaning: "a search, not anchored, in linear time; `i` ignores case",
        example: "event.reason: /bad (password|code)/i",
        met_by: r#"{"event.reason": "a Bad Password"}"#,
        not_met_by: r#"{"event.reason": "bad luck"}"#,
    },
    Form {
        form: "`field: @name`",
        meaning: "in the named list, ignoring case; an address in one of its networks",
        example: "source.ip: @scanners",
        met_by: r#"{"source.ip": "198.51.100.9"}"#,
        not_met_by: r#"{"source.ip": "198.51.101.9"}"#,
    },
    Form {
        form: "`@timestamp: @business-hours`",
        meaning: "the event's time lies in the named schedule",
        example: "@timestamp: @business-hours",
        met_by: r#"{"@timestamp": "2026-01-05T15:00:00Z"}"#,
        not_met_by: r#"{"@timestamp": "2026-01-05T05:00:00Z"}"#,
    },
    Form {
        form: "`user.id: $user.target.id`",
        meaning: "equals another field of the same event, `==` exactly; on arrays a common element",
        example: "user.id: $user.target.id",
        met_by: r#"{"user.id": "u1", "user.target.id": "U1"}"#,
        not_met_by: r#"{"user.id": "u1", "user.target.id": "u2"}"#,
    },
    Form {
        form: "`raw.target: { type: User and id: $user.id }`",
        meaning: "one element of the array meets all of it",
        example: "raw.target: { type: User and id: 7 }",
        met_by: r#"{"raw": {"target": [{"type": "App", "id": 6}, {"type": "User", "id": 7}]}}"#,
        not_met_by: r#"{"raw": {"target": [{"type": "App", "id": 7}, {"type": "User", "id": 6}]}}"#,
    },
    Form {
        form: "`\"free text\"`",
        meaning: "some text of the original record contains it, ignoring case",
        example: "\"drop table\"",
        met_by: r#"{"raw": {"sql": "x; DROP TABLE y"}}"#,
        not_met_by: r#"{"raw": {"sql": "drop the table"}}"#,
    },
    Form {
        form: "`not`, `and`, `or`, `( )`",
        meaning: "in any case, bound in this order; a missing field makes its term false",
        example: "not user.name: bob and (event.action: a or event.action: b)",
        met_by: r#"{"event.action": "b"}"#,
        not_met_by: r#"{"user.name": "bob", "event.action": "b"}"#,
    },
];

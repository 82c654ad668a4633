//! The common fields: which names a rule may use, what they hold, and what other systems call them.
//!
//! The table is ECS as Elastic publishes it (`ecs.tsv`) plus the few names of our own ([`OWN`]);
//! [`ELSEWHERE`] puts the OCSF, Splunk CIM and Datadog names beside those that audit rules use most.
//! Whether anything *fills* a field is the mappings' business, not decided here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::field::FieldName;
use crate::base::suggest;

/// What a field's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A word or id, compared whole.
    Keyword,
    /// Words for people.
    Text,
    /// An IP address, v4 or v6.
    Ip,
    /// A time.
    Date,
    /// A number, whole or not.
    Number,
    /// `true` or `false`.
    Bool,
    /// A place on earth.
    Place,
    /// Anything below it is a field too: `labels.*`.
    Object,
}

impl Kind {
    fn of_ecs(name: &str) -> Self {
        match name {
            "date" => Self::Date,
            "long" | "float" | "scaled_float" => Self::Number,
            "ip" => Self::Ip,
            "boolean" => Self::Bool,
            "match_only_text" => Self::Text,
            "geo_point" => Self::Place,
            "object" | "nested" | "flattened" => Self::Object,
            _ => Self::Keyword,
        }
    }

    /// Its name in the reference.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Text => "text",
            Self::Ip => "ip",
            Self::Date => "date",
            Self::Number => "number",
            Self::Bool => "bool",
            Self::Place => "place",
            Self::Object => "object",
        }
    }
}

/// One common field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpec {
    /// The dotted name.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// One line.
    pub meaning: &'static str,
    /// What OCSF calls it; empty where it has no name of its own.
    pub ocsf: &'static str,
    /// What Splunk's Common Information Model calls it.
    pub cim: &'static str,
    /// What Datadog's standard attributes call it.
    pub datadog: &'static str,
}

const fn own(name: &'static str, kind: Kind, meaning: &'static str) -> FieldSpec {
    FieldSpec { name, kind, meaning, ocsf: "", cim: "", datadog: "" }
}

/// The names that ECS does not have, or has in another shape.
pub const OWN: &[FieldSpec] = &[
    own("target.type", Kind::Keyword, "What kind of thing was acted on, in the product's word."),
    own("target.id", Kind::Keyword, "Id of the thing that was acted on."),
    own("target.name", Kind::Keyword, "Name of the thing that was acted on."),
    own("session.id", Kind::Keyword, "Id of the actor's session."),
    own("user.timezone", Kind::Keyword, "IANA time zone of the actor, for schedules."),
    own("user.type", Kind::Keyword, "What the actor is: user, service, system."),
    own("raw", Kind::Object, "The original record: raw.some.path."),
    own("kafka.topic", Kind::Keyword, "The topic that the record was read from."),
    own("kafka.partition", Kind::Number, "The partition that the record was read from."),
    own("kafka.offset", Kind::Number, "The record's offset."),
    own("kafka.timestamp", Kind::Date, "The record's own timestamp."),
    own("kafka.key", Kind::Keyword, "The record's key, if it is text."),
    own("kafka.headers", Kind::Object, "The record's headers, those that are text."),
    own("rule.tags", Kind::Keyword, "An alert's rule: its tags."),
    own("rule.title", Kind::Keyword, "An alert's rule: its title."),
    own("rule.status", Kind::Keyword, "An alert's rule: production, staging, building_block."),
    own("alert.id", Kind::Keyword, "The alert's id."),
    own("alert.status", Kind::Keyword, "open or resolved."),
    own("alert.severity", Kind::Keyword, "info, low, medium, high, critical."),
    own("alert.title", Kind::Text, "The alert's one line for people."),
    own("alert.summary", Kind::Text, "More for people."),
    own("alert.count", Kind::Number, "Matching events of the key since first_seen."),
    own("alert.firings", Kind::Number, "How often the rule fired."),
    own("alert.value", Kind::Keyword, "The detector's number or new value at the last firing."),
    own("alert.peak", Kind::Keyword, "The largest value; the smallest for what looks down."),
    own("alert.approximate", Kind::Bool, "Whether a bound made count or value a lower bound."),
    own("alert.opened_at", Kind::Date, "When it opened."),
    own("alert.first_seen", Kind::Date, "The earliest event in the windows of its firings."),
    own("alert.last_seen", Kind::Date, "The latest matching event."),
    own("alert.resolved_at", Kind::Date, "When it was over."),
    own("alert.key", Kind::Object, "The values the alert is about."),
];

/// Name in ECS or ours, then in OCSF, Splunk CIM, Datadog.
const ELSEWHERE: &[(&str, &str, &str, &str)] = &[
    ("@timestamp", "time", "_time", "timestamp"),
    ("event.ingested", "metadata.logged_time", "_indextime", ""),
    ("event.id", "metadata.uid", "event_id", "event_id"),
    ("event.kind", "category_uid", "tag", ""),
    ("event.category", "class_uid", "tag", "evt.category"),
    ("event.type", "activity_id", "tag", ""),
    ("event.action", "activity_name", "action", "evt.name"),
    ("event.outcome", "status", "status", "evt.outcome"),
    ("event.reason", "status_detail", "reason", "error.message"),
    ("event.severity", "severity_id", "severity", "status"),
    ("event.provider", "metadata.product.vendor_name", "vendor_product", "ddsource"),
    ("event.dataset", "metadata.log_name", "sourcetype", "ddsource"),
    ("event.code", "status_code", "signature_id", ""),
    ("event.original", "raw_data", "_raw", "message"),
    ("message", "message", "_raw", "message"),
    ("user.id", "actor.user.uid", "user_id", "usr.id"),
    ("user.name", "actor.user.name", "user", "usr.name"),
    ("user.email", "actor.user.email_addr", "user_email", "usr.email"),
    ("user.full_name", "actor.user.full_name", "user_name", "usr.full_name"),
    ("user.domain", "actor.user.domain", "user_domain", ""),
    ("user.roles", "actor.user.groups", "user_category", "usr.roles"),
    ("user.type", "actor.user.type", "user_type", "usr.type"),
    ("user.timezone", "actor.user.timezone", "", ""),
    ("user.target.id", "user.uid", "object_id", "target.usr.id"),
    ("user.target.name", "user.name", "object", "target.usr.name"),
    ("user.target.email", "user.email_addr", "object", "target.usr.email"),
    ("user.target.roles", "user.groups", "object_attrs", "target.usr.roles"),
    ("user.changes.roles", "user_result.groups", "object_attrs", ""),
    ("target.type", "resources.type", "object_category", "target.type"),
    ("target.id", "resources.uid", "object_id", "target.id"),
    ("target.name", "resources.name", "object", "target.name"),
    ("session.id", "actor.session.uid", "session_id", "session_id"),
    ("source.ip", "src_endpoint.ip", "src_ip", "network.client.ip"),
    ("source.port", "src_endpoint.port", "src_port", "network.client.port"),
    ("source.domain", "src_endpoint.domain", "src_dns", ""),
    (
        "source.geo.country_iso_code",
        "src_endpoint.location.country",
        "src_country",
        "network.client.geoip.country.iso_code",
    ),
    (
        "source.geo.city_name",
        "src_endpoint.location.city",
        "src_city",
        "network.client.geoip.city.name",
    ),
    (
        "source.geo.location",
        "src_endpoint.location.coordinates",
        "src_lat,src_long",
        "network.client.geoip.location",
    ),
    (
        "source.as.number",
        "src_endpoint.autonomous_system.number",
        "",
        "network.client.geoip.as.number",
    ),
    (
        "source.as.organization.name",
        "src_endpoint.autonomous_system.name",
        "",
        "network.client.geoip.as.name",
    ),
    ("network.forwarded_ip", "http_request.x_forwarded_for", "", "http.forwarded_for"),
    ("destination.ip", "dst_endpoint.ip", "dest_ip", "network.destination.ip"),
    ("destination.port", "dst_endpoint.port", "dest_port", "network.destination.port"),
    ("user_agent.original", "http_request.user_agent", "http_user_agent", "http.useragent"),
    ("http.request.method", "http_request.http_method", "http_method", "http.method"),
    ("http.request.id", "http_request.uid", "", "http.request_id"),
    ("http.response.status_code", "http_response.code", "status", "http.status_code"),
    ("url.full", "http_request.url.url_string", "url", "http.url"),
    ("url.path", "http_request.url.path", "uri_path", "http.url_details.path"),
    ("organization.id", "metadata.tenant_uid", "vendor_account", "organization.id"),
    ("organization.name", "cloud.org.name", "vendor_account", "organization.name"),
    ("group.id", "group.uid", "object_id", ""),
    ("group.name", "group.name", "object", ""),
    ("cloud.account.id", "cloud.account.uid", "vendor_account", "cloud.account.id"),
    ("cloud.region", "cloud.region", "vendor_region", "cloud.region"),
    ("cloud.provider", "cloud.provider", "vendor", "cloud.provider"),
    ("service.name", "metadata.product.name", "app", "service"),
    ("host.name", "device.hostname", "dest", "host"),
    ("trace.id", "trace.uid", "trace_id", "dd.trace_id"),
    ("error.message", "status_detail", "result", "error.message"),
    ("error.code", "status_code", "result_id", "error.kind"),
    ("log.level", "severity", "severity", "status"),
    ("rule.id", "finding_info.analytic.uid", "signature_id", ""),
    ("rule.name", "finding_info.analytic.name", "signature", ""),
    ("threat.technique.id", "finding_info.attacks.technique.uid", "mitre_technique_id", ""),
    ("alert.id", "finding_info.uid", "id", ""),
    ("alert.severity", "severity", "severity", "status"),
    ("alert.title", "finding_info.title", "signature", ""),
];

static BY_NAME: LazyLock<BTreeMap<&'static str, FieldSpec>> = LazyLock::new(|| {
    let ecs = include_str!("ecs.tsv").lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let (name, kind, meaning) = (columns.next()?, columns.next()?, columns.next()?);
        Some(own(name, Kind::of_ecs(kind), meaning))
    });
    let mut all: BTreeMap<_, _> = ecs.chain(OWN.iter().copied()).map(|f| (f.name, f)).collect();
    for &(name, ocsf, cim, datadog) in ELSEWHERE {
        if let Some(spec) = all.get_mut(name) {
            *spec = FieldSpec { ocsf, cim, datadog, ..*spec };
        }
    }
    all
});

/// All common fields, in order of their names.
pub fn fields() -> impl Iterator<Item = &'static FieldSpec> {
    BY_NAME.values()
}

/// The field that a dotted name means. Below an object (`labels.team`, `raw.a.b`) any name is valid
/// and means the object's entry; below a place `lat` and `lon` are, for it may be written as an object
/// of these. Patterns are not looked up here.
pub fn find(name: &str) -> Option<&'static FieldSpec> {
    if let Some(spec) = BY_NAME.get(name) {
        return Some(spec);
    }
    name.match_indices('.').find_map(|(dot, _)| {
        let (spec, rest) = (BY_NAME.get(name.get(..dot)?)?, name.get(dot + 1..)?);
        let is_part = spec.kind == Kind::Place && matches!(rest, "lat" | "lon");
        (is_part || spec.kind == Kind::Object).then_some(spec)
    })
}

/// Whether a name may be used: a known field, something below an object, or a pattern that at
/// least one field meets.
pub fn is_valid(name: &FieldName) -> bool {
    if !name.is_pattern() {
        return find(&name.dotted()).is_some();
    }
    let pattern = name.dotted();
    let literal = pattern.split('*').next().unwrap_or_default();
    BY_NAME.values().any(|field| {
        name.matches(field.name)
            || (field.kind == Kind::Object
                && literal.strip_prefix(field.name).is_some_and(|rest| rest.starts_with('.')))
    })
}

/// The field that a mistyped name probably means.
pub fn nearest(name: &str) -> Option<&'static str> {
    // The same last word elsewhere (`actor.name`) is less likely meant than a slip of the finger.
    suggest::nearest(name, BY_NAME.keys().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_elsewhere_belongs_to_a_field() {
        for (name, ..) in ELSEWHERE {
            assert!(BY_NAME.contains_key(name), "{name}");
        }
    }

    #[test]
    fn own_names_are_not_in_ecs_already() {
        for field in OWN {
            let twice =
                include_str!("ecs.tsv").lines().any(|l| l.split('\t').next() == Some(field.name));
            assert!(!twice, "{}", field.name);
        }
    }

    #[test]
    fn names_that_audit_rules_use_are_known() {
        for name in [
            "@timestamp",
            "event.action",
            "event.category",
            "user.name",
            "user.target.roles",
            "user.effective.name",
            "user.changes.email",
            "source.ip",
            "source.geo.country_iso_code",
            "source.as.number",
            "client.ip",
            "host.name",
            "cloud.account.id",
            "organization.id",
            "group.name",
            "http.request.method",
            "url.path",
            "file.path",
            "process.name",
            "network.direction",
            "observer.name",
            "service.name",
            "orchestrator.resource.name",
            "container.id",
            "user_agent.original",
            "session.id",
            "threat.technique.id",
            "error.message",
            "log.level",
            "related.ip",
            "target.id",
            "labels.team",
            "raw.a.b",
            "kafka.headers.x",
            "rule.id",
            "alert.count",
            "message",
            "tags",
            "user_agent.os.name",
        ] {
            assert!(find(name).is_some(), "{name}");
        }
        assert!(find("source.geo.location.lat").is_some());
        assert_eq!(find("source.geo.location.latitude"), None);
        assert_eq!(find("user.nmae"), None);
        assert_eq!(find("actor"), None);
        assert_eq!(nearest("user.nmae"), Some("user.name"));
        assert_eq!(nearest("source.ipp"), Some("source.ip"));
    }

    #[test]
    fn patterns_are_valid_when_something_can_meet_them() {
        for (name, valid) in
            [("labels.*", true), ("*", true), ("user.*", true), ("raw.x.*", true), ("usr.*", false)]
        {
            assert_eq!(is_valid(&FieldName::parse(name).unwrap()), valid, "{name}");
        }
    }
}

//! Names that people bring from elsewhere, and the common field that is certainly meant: how other
//! schemas (OCSF, Splunk's CIM, Datadog, Google's UDM), Sigma's rules and most products' records spell
//! it. What a loaded mapping knows of its own records is better than this.

use super::schema::{self, FieldSpec};

/// Names in lower case without `_` and `-`, and the field that each means.
const HABITS: &[(&str, &[&str])] = &[
    ("@timestamp", &["timestamp", "time", "eventtime", "metadata.eventtimestamp"]),
    ("event.action", &["action", "eventaction", "eventname", "metadata.producteventtype"]),
    ("event.category", &["category", "eventcategory"]),
    (
        "event.outcome",
        &["outcome", "result", "eventoutcome", "eventresult", "securityresult.action"],
    ),
    ("event.provider", &["provider", "product", "vendor", "vendorproduct", "metadata.productname"]),
    ("event.dataset", &["logsource", "sourcetype", "dataset"]),
    (
        "source.ip",
        &[
            "ip",
            "src",
            "srcip",
            "sourceip",
            "clientip",
            "ipaddr",
            "ipaddress",
            "remoteip",
            "remoteaddr",
            "sourceipaddress",
            "callerip",
            "principal.ip",
            "src.ip",
        ],
    ),
    ("source.port", &["srcport", "sourceport", "clientport", "principal.port"]),
    (
        "destination.ip",
        &["dst", "dstip", "destip", "destinationip", "target.ip", "dst.ip", "dest.ip"],
    ),
    ("destination.port", &["dstport", "destport", "destinationport", "target.port"]),
    ("source.geo.country_iso_code", &["country", "countrycode", "srccountry", "sourcecountry"]),
    (
        "user.name",
        &[
            "user",
            "username",
            "actor",
            "actorname",
            "login",
            "subjectusername",
            "principal.user.userdisplayname",
        ],
    ),
    ("user.id", &["uid", "userid", "actorid", "principal.user.userid", "usr.id"]),
    (
        "user.email",
        &[
            "email",
            "mail",
            "useremail",
            "actoremail",
            "emailaddress",
            "principal.user.emailaddresses",
        ],
    ),
    ("user.target.name", &["targetusername", "targetuser"]),
    ("user.target.id", &["target.user.userid", "targetuserid"]),
    ("user.target.email", &["target.user.emailaddresses", "targetuseremail"]),
    ("user.roles", &["role", "roles", "userrole", "userroles"]),
    (
        "user_agent.original",
        &["useragent", "httpuseragent", "network.http.useragent", "http.useragent"],
    ),
    ("host.name", &["host", "hostname", "computer", "computername", "principal.hostname"]),
    ("process.command_line", &["commandline", "cmdline", "processcommandline"]),
    ("process.executable", &["image"]),
    ("process.parent.executable", &["parentimage"]),
    ("cloud.region", &["region", "awsregion"]),
    ("cloud.account.id", &["accountid", "awsaccountid"]),
];

/// The common field that a name from elsewhere means, where there is only one that it can mean.
pub fn of_elsewhere(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return None;
    }
    let plain = name.to_lowercase().replace(['_', '-'], "");
    let habit = HABITS.iter().find(|(_, names)| names.contains(&plain.as_str()));
    if let Some((field, _)) = habit {
        return Some(field);
    }
    let is_it = |field: &&FieldSpec| {
        [field.ocsf, field.cim, field.datadog].iter().any(|own| own.eq_ignore_ascii_case(name))
    };
    let mut fields = schema::fields().filter(is_it);
    let first = fields.next()?;
    fields.next().is_none().then_some(first.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_habit_means_one_field_that_there_is_and_is_none_itself() {
        let mut seen = BTreeSet::new();
        for (field, names) in HABITS {
            assert!(schema::find(field).is_some_and(|spec| spec.name == *field), "{field}");
            for name in *names {
                assert!(seen.insert(name), "{name} is listed twice");
                assert!(schema::find(name).is_none(), "{name} is a field");
                assert!(!name.contains(['_', '-']) && *name == name.to_lowercase(), "{name}");
            }
        }
    }

    #[test]
    fn names_of_other_schemas_are_known_unless_they_mean_several_fields() {
        for (name, field) in [
            ("src_ip", Some("source.ip")),
            ("SourceIPAddress", Some("source.ip")),
            ("usr.email", Some("user.email")),
            ("src_endpoint.ip", Some("source.ip")),
            ("principal.user.email_addresses", Some("user.email")),
            ("http_user_agent", Some("user_agent.original")),
            ("object_id", None),
            ("status", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(of_elsewhere(name), field, "{name}");
        }
    }
}

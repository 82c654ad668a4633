//! Splunk through its HTTP Event Collector: the event endpoint, plain acceptance (no indexer
//! acknowledgement).
//!
//! HEC has no key against doubles: every record carries `event_id` as an indexed field, so that a
//! repeat can be recognised. What stands before a refused event of a batch may have been indexed
//! and is sent again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;

use super::{COMMON, SinkSpec};
use crate::base::document::Table;
use crate::base::keys::{KeySpec, Shape, join};
use crate::base::{Diagnostic, Diagnostics, Secrets, Timestamp, secret};
use crate::delivery::http::{self, Answer, Client};
use crate::delivery::payload::{Payload, write_member, write_seconds, write_string};
use crate::delivery::{BatchLimits, Forwarded, Framing, Outcome, Sink};

/// This sink's entry in the family.
pub(super) const SPEC: SinkSpec = SinkSpec {
    kind: "splunk_hec",
    summary: "Splunk Enterprise or Cloud, through the HTTP Event Collector.",
    example: r#"
[sinks.siem.splunk_hec]
url        = "https://splunk.example.com:8088"
token      = { env = "SPLUNK_HEC_TOKEN" }
index      = "audit"                      # without it: the token's default index
sourcetype = "hark:audit"                 # the default; alerts get "hark:alert" unless it is set
source     = "hark"
host       = "hark-1"
alerts     = true                         # forward alerts, too
ca         = "/etc/hark/splunk-ca.pem"    # a private certificate authority
timeout    = "30s"
batch      = { records = 1000, bytes = 1000000, age = "1s" }
retry      = { initial = "1s", max = "5m", probe = "1m", give_up = "24h" }
"#,
    keys: &join::<{ OWN.len() + COMMON.len() + http::KEYS.len() }>(&[OWN, COMMON, http::KEYS]),
    // 1 MB is what every release of Splunk takes.
    batch: BatchLimits { records: 1000, bytes: 1_000_000, age: Duration::from_secs(1) },
    batch_max: BatchLimits { records: 100_000, bytes: 100_000_000, age: Duration::from_mins(5) },
    build,
};

const OWN: &[KeySpec] = &[
    KeySpec::required(
        "url",
        Shape::Text,
        "The collector's address; a path of its own (behind a proxy) is kept.",
    ),
    KeySpec::required("token", secret::SHAPE, "The collector's token."),
    KeySpec::optional("index", Shape::Text, "the token's", "The index that takes the records."),
    KeySpec::optional(
        "sourcetype",
        Shape::Text,
        "hark:audit, hark:alert",
        "The source type, of events and alerts alike if it is set.",
    ),
    KeySpec::optional("source", Shape::Text, "hark", "The source."),
    KeySpec::optional("host", Shape::Text, "", "The host."),
];

/// Where the event endpoint is, under the collector's address.
const PATH: &str = "/services/collector/event";

#[derive(Debug)]
struct SplunkHec {
    client: Client,
    url: Url,
    headers: HeaderMap,
    /// `,"index":"…","source":"…","host":"…"`: the same for every record.
    constant: Vec<u8>,
    /// The source type if one is set for events and alerts alike.
    sourcetype: Option<String>,
}

/// What the collector answers, whatever the status.
#[derive(Debug, Default, Deserialize)]
struct Reply {
    code: Option<u32>,
    #[serde(rename = "invalid-event-number")]
    invalid_event: Option<usize>,
}

fn build(
    mut table: Table<'_>,
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Option<Arc<dyn Sink>> {
    table.require("url", found);
    table.require("token", found);
    let url = http::read_url(&mut table, "url", found).map(endpoint);
    let token = secret::read(&mut table, "token", found, secrets);
    let mut constant = Vec::new();
    for key in ["index", "source", "host"] {
        let text = table.text(key, found).map(|text| text.value);
        let text =
            text.unwrap_or_else(|| if key == "source" { "hark".to_owned() } else { String::new() });
        write_member(key, &text, &mut constant);
    }
    let sourcetype = table.text("sourcetype", found).map(|text| text.value);
    let client = Client::read(&mut table, found, secrets);
    let token_span = table.key_span("token").unwrap_or_default();
    table.finish(found);

    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let Some(authorization) = http::secret_header("Splunk ", &token?) else {
        found.push(Diagnostic::error(
            "bad-secret",
            token_span,
            "this token cannot stand in a header",
        ));
        return None;
    };
    headers.insert(AUTHORIZATION, authorization);
    Some(Arc::new(SplunkHec { client: client?, url: url?, headers, constant, sourcetype }))
}

/// The event endpoint under an address; one that names a path of its own (behind a proxy) keeps it.
fn endpoint(mut url: Url) -> Url {
    if !url.path().contains("/services/collector") {
        let path = format!("{}{PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    url
}

impl Sink for SplunkHec {
    fn framing(&self) -> Framing {
        Framing { open: b"", between: b"\n", close: b"" }
    }

    fn encode(
        &self,
        record: &Forwarded<'_>,
        _now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let payload = Payload::of(record.payload).ok_or("the record is empty")?;
        out.extend_from_slice(b"{\"time\":");
        write_seconds(record.time.as_millis(), out);
        out.extend_from_slice(b",\"sourcetype\":");
        match &self.sourcetype {
            Some(sourcetype) => write_string(sourcetype, out),
            None => write_string(&format!("hark:{}", sourcetype_of(record)), out),
        }
        out.extend_from_slice(&self.constant);
        out.extend_from_slice(b",\"fields\":{\"event_id\":");
        write_string(record.id, out);
        write_member("topic", record.topic, out);
        write_member("dataset", record.dataset, out);
        if let Some(severity) = record.severity {
            write_member("severity", severity.name(), out);
        }
        out.extend_from_slice(b"},\"event\":");
        payload.write(out);
        out.push(b'}');
        Ok(())
    }

    fn send(&self, body: Vec<u8>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            match self.client.post(&self.url, self.headers.clone(), body).await {
                Ok(answer) => judge(&answer),
                Err(reason) => Outcome::retry(reason),
            }
        })
    }
}

fn sourcetype_of(record: &Forwarded<'_>) -> &'static str {
    match record.kind {
        crate::delivery::ForwardedKind::Event => "audit",
        crate::delivery::ForwardedKind::Alert => "alert",
    }
}

/// The status decides; the code tells which 400 speaks of a record and which of our settings.
fn judge(answer: &Answer) -> Outcome {
    let reply: Reply = serde_json::from_str(&answer.body).unwrap_or_default();
    match (answer.outcome(), reply.code) {
        // Disabled, missing or invalid token; incorrect index; channel and acknowledgement; query authentication.
        (Outcome::Rejected { reason, .. }, Some(1..=4 | 7 | 10 | 11 | 14 | 16 | 21 | 22)) => {
            Outcome::Blocked { reason }
        }
        (Outcome::Rejected { reason, .. }, _) => {
            Outcome::Rejected { reason, record: reply.invalid_event }
        }
        (outcome, _) => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_stands_under_any_address() {
        let at = |text: &str| endpoint(Url::parse(text).unwrap()).to_string();
        assert_eq!(at("https://h:8088"), "https://h:8088/services/collector/event");
        assert_eq!(at("https://h/splunk/"), "https://h/splunk/services/collector/event");
        assert_eq!(at("https://h/services/collector"), "https://h/services/collector");
    }

    #[test]
    fn a_400_about_our_settings_blocks_and_one_about_a_record_names_it() {
        let outcome = |status, body: &str| {
            judge(&Answer { status, retry_after: None, location: None, body: body.to_owned() })
        };
        for code in [1, 2, 3, 4, 7, 10, 11, 14, 16] {
            let body = format!(r#"{{"text":"x","code":{code},"invalid-event-number":0}}"#);
            assert_eq!(outcome(400, &body).name(), "blocked", "{code}");
        }
        for code in [5, 6, 12, 13, 15, 99] {
            let body = format!(r#"{{"text":"x","code":{code},"invalid-event-number":3}}"#);
            assert!(
                matches!(outcome(400, &body), Outcome::Rejected { record: Some(3), .. }),
                "{code}"
            );
        }
        assert!(matches!(outcome(400, "<html>"), Outcome::Rejected { record: None, .. }));
        assert_eq!(outcome(503, r#"{"text":"Server is busy","code":9}"#).name(), "retry");
        assert_eq!(outcome(403, r#"{"text":"Invalid token","code":4}"#).name(), "blocked");
        assert_eq!(outcome(200, r#"{"text":"Success","code":0}"#), Outcome::Delivered);
    }
}

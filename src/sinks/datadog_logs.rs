//! Datadog Logs, through the v2 intake.
//!
//! A log's attributes are ours at the top (`ddsource`, `timestamp`, `event_id`, `hark.*`); the
//! original object stands, letter by letter, in the attribute `audit` (`alert` for alerts), where
//! its own `service`, `status` or `timestamp` cannot be taken for Datadog's reserved ones. What is
//! no object becomes the `message`.
//!
//! Datadog cuts a log above 1 MB and says 202 all the same, which would leave half an object. Such
//! a record goes as a text instead: as much of the original as fits in `message`, and
//! `hark.original_bytes` says that it was cut and how long it was; the whole is in Kafka, at the
//! position that the log names. In the same way it would drop a log from long ago (a replay, an
//! outage caught up with): such a one shows the time of its arrival, and its own in `hark.time`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::Url;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::{COMMON, SinkSpec};
use crate::base::document::{Table, Text};
use crate::base::keys::{KeySpec, Shape, join};
use crate::base::{Diagnostic, Diagnostics, Secrets, Severity, Timestamp, secret, suggest};
use crate::delivery::http::{self, Client};
use crate::delivery::payload::{Payload, write_member, write_string};
use crate::delivery::{BatchLimits, Forwarded, ForwardedKind, Framing, Outcome, Sink};

/// This sink's entry in the family.
pub(super) const SPEC: SinkSpec = SinkSpec {
    kind: "datadog_logs",
    summary: "Datadog Logs, through the v2 HTTP intake.",
    example: r#"
[sinks.datadog.datadog_logs]
site     = "datadoghq.eu"                 # or url = "https://…/api/v2/logs" for a private link
api_key  = { file = "/run/secrets/dd-api-key" }
service  = "audit"                        # without it: the dataset
source   = "hark"                         # ddsource; chooses the pipeline
tags     = ["env:prod", "team:security"]
hostname = "hark-1"
events   = true
alerts   = true
batch    = { records = 1000, bytes = 4250000, age = "5s" }
"#,
    keys: &join::<{ OWN.len() + COMMON.len() + http::KEYS.len() }>(&[OWN, COMMON, http::KEYS]),
    batch: BatchLimits { records: 1000, bytes: 4_250_000, age: Duration::from_secs(5) },
    batch_max: BatchLimits { records: 1000, bytes: 5_000_000, age: Duration::from_mins(5) },
    build,
};

const OWN: &[KeySpec] = &[
    KeySpec::optional(
        "site",
        Shape::Word(&SITES),
        "",
        "Where your organization is, as in the address of Datadog's pages; this or `url`.",
    ),
    KeySpec::optional(
        "url",
        Shape::Text,
        "",
        "The whole address of the intake, for a private link; this or `site`.",
    ),
    KeySpec::required("api_key", secret::SHAPE, "The API key."),
    KeySpec::optional(
        "service",
        Shape::Text,
        "the mapping's name",
        "The service, the same for all records.",
    ),
    KeySpec::optional("source", Shape::Text, "hark", "`ddsource`, which chooses the pipeline."),
    KeySpec::optional("hostname", Shape::Text, "", "The host."),
    KeySpec::optional("tags", Shape::Texts, "", "Tags such as `env:prod`."),
];

/// The sites whose address is known; any other is written as `url`.
const SITES: [&str; 9] = [
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
    "uk1.datadoghq.com",
    "datadoghq.eu",
    "ddog-gov.com",
    "us2.ddog-gov.com",
];

/// Datadog cuts longer logs; counted as sent, escapes included.
const LOG_BYTES_MAX: usize = 1_000_000;

/// Datadog drops logs that are older than 18 hours; what is older than this goes without a
/// `timestamp` of its own. The rest is room for retries of a batch that is encoded already.
const AGE_MAX: Duration = Duration::from_hours(12);

#[derive(Debug)]
struct DatadogLogs {
    client: Client,
    url: Url,
    headers: HeaderMap,
    /// `"ddsource":"…","hostname":"…","ddtags":"…"`: the same for every record.
    constant: Vec<u8>,
    /// The service if one is set for all.
    service: Option<String>,
}

fn build(
    mut table: Table<'_>,
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Option<Arc<dyn Sink>> {
    table.require("api_key", found);
    let url = read_intake(&mut table, found);
    let key = secret::read(&mut table, "api_key", found, secrets);
    let source = table.text("source", found).map_or_else(|| "hark".to_owned(), |t| t.value);
    let mut constant = b"\"ddsource\":".to_vec();
    write_string(&source, &mut constant);
    let hostname = table.text("hostname", found).map(|t| t.value).unwrap_or_default();
    write_member("hostname", &hostname, &mut constant);
    let tags = table.texts("tags", found).unwrap_or_default();
    write_member("ddtags", &read_tags(&tags, found), &mut constant);
    let service = table.text("service", found).map(|t| t.value);
    let client = Client::read(&mut table, found, secrets);
    let key_span = table.key_span("api_key").unwrap_or_default();
    table.finish(found);

    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let Some(key) = http::secret_header("", &key?) else {
        found.push(Diagnostic::error("bad-secret", key_span, "this key cannot stand in a header"));
        return None;
    };
    headers.insert("dd-api-key", key);
    Some(Arc::new(DatadogLogs { client: client?, url: url?, headers, constant, service }))
}

fn read_intake(table: &mut Table<'_>, found: &mut Diagnostics) -> Option<Url> {
    let url = http::read_url(table, "url", found);
    let site = table.text("site", found);
    if table.has("url") {
        if let Some(site) = site {
            found.push(Diagnostic::error(
                "bad-site",
                site.span,
                "expected one of `site` and `url`, found both",
            ));
        }
        return url;
    }
    let Some(site) = site else {
        table.require("site", found);
        return None;
    };
    if !SITES.contains(&site.value.as_str()) {
        let help = match suggest::nearest(&site.value, SITES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}; write another as `url`", SITES.join(", ")),
        };
        let message = format!("unknown site `{}`", site.value);
        found.push(Diagnostic::error("bad-site", site.span, message).help(help));
        return None;
    }
    http::parse_url(&format!("https://http-intake.logs.{}/api/v2/logs", site.value))
}

/// Tags as Datadog wants them: `env:prod,team:security`.
fn read_tags(tags: &[Text], found: &mut Diagnostics) -> String {
    for tag in tags {
        if tag.value.is_empty() || tag.value.contains(',') {
            found.push(Diagnostic::error(
                "bad-tag",
                tag.span.clone(),
                format!("expected a tag such as `env:prod`, found `{}`", tag.value),
            ));
        }
    }
    tags.iter().map(|tag| tag.value.as_str()).collect::<Vec<_>>().join(",")
}

impl Sink for DatadogLogs {
    fn framing(&self) -> Framing {
        Framing { open: b"[", between: b",", close: b"]" }
    }

    fn encode(
        &self,
        record: &Forwarded<'_>,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let payload = Payload::of(record.payload).ok_or("the record is empty")?;
        let start = out.len();
        self.write_head(record, now, out);
        let head_end = out.len();
        match &payload {
            Payload::Object(object) => {
                let attribute = match record.kind {
                    ForwardedKind::Event => "audit",
                    ForwardedKind::Alert => "alert",
                };
                out.extend_from_slice(format!("}},\"{attribute}\":").as_bytes());
                out.extend_from_slice(object.as_bytes());
                let title = if record.title.is_empty() { record.id } else { record.title };
                write_member("message", title, out);
            }
            Payload::Text(text) => {
                out.extend_from_slice(b"}");
                write_member("message", text, out);
            }
        }
        out.push(b'}');
        if out.len() - start > LOG_BYTES_MAX {
            out.truncate(head_end);
            out.extend_from_slice(
                format!(",\"original_bytes\":{}}}", record.payload.len()).as_bytes(),
            );
            let text = match &payload {
                Payload::Object(text) => text,
                Payload::Text(text) => text.as_ref(),
            };
            let room = LOG_BYTES_MAX.saturating_sub(out.len() - start + ",\"message\":\"\"}".len());
            write_member("message", fitting(text, room), out);
            out.push(b'}');
        }
        Ok(())
    }

    fn send(&self, body: Vec<u8>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            match self.client.post(&self.url, self.headers.clone(), body).await {
                Ok(answer) => answer.outcome(),
                Err(reason) => Outcome::retry(reason),
            }
        })
    }
}

impl DatadogLogs {
    /// Everything but the payload; the object `hark` is left open.
    fn write_head(&self, record: &Forwarded<'_>, now: Timestamp, out: &mut Vec<u8>) {
        out.push(b'{');
        out.extend_from_slice(&self.constant);
        let service = self.service.as_deref().unwrap_or(record.dataset);
        write_member("service", service, out);
        if now.since(record.time) < AGE_MAX {
            let millis = record.time.as_millis();
            out.extend_from_slice(format!(",\"timestamp\":{millis}").as_bytes());
        }
        write_member("event_id", record.id, out);
        if let Some(severity) = record.severity {
            write_member("status", status(severity), out);
        }
        out.extend_from_slice(b",\"hark\":{\"kind\":");
        write_string(record.kind.name(), out);
        write_member("time", &record.time.to_string(), out);
        write_member("dataset", record.dataset, out);
        write_member("topic", record.topic, out);
        let place = format!(",\"partition\":{},\"offset\":{}", record.partition, record.offset);
        out.extend_from_slice(place.as_bytes());
        if let Some(severity) = record.severity {
            write_member("severity", severity.name(), out);
        }
    }
}

/// A severity in Datadog's words.
const fn status(severity: Severity) -> &'static str {
    match severity {
        Severity::Info | Severity::Low => "info",
        Severity::Medium => "warning",
        Severity::High => "error",
        Severity::Critical => "critical",
    }
}

/// The longest beginning of `text` that needs at most `room` bytes inside a JSON string.
fn fitting(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            c if u32::from(c) < 0x20 => 6,
            c => c.len_utf8(),
        };
        if used > room {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

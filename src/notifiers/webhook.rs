//! A POST with JSON to any address, as Standard Webhooks describes it.
//!
//! `webhook-id` stays the same over retries, `webhook-timestamp` is the time of the attempt,
//! `webhook-signature` is an HMAC-SHA256 over both and the body, one for each secret: while a secret
//! is being exchanged, both sign. The body is the same in every attempt.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::{COMMON, NotifierSpec};
use crate::alert::Alert;
use crate::base::document::{Item, Table};
use crate::base::keys::{KeySpec, Shape, join};
use crate::base::{Diagnostic, Diagnostics, Secret, Secrets, Timestamp, secret};
use crate::delivery::http::{self, Client};
use crate::delivery::{Notification, NotificationKind, Notifier, Outcome};

/// This notifier's entry in the family.
pub(super) const SPEC: NotifierSpec = NotifierSpec {
    kind: "webhook",
    summary: "A signed POST with JSON to any address (Standard Webhooks).",
    example: r#"
[notifiers.soar.webhook]
url          = "https://soar.example.com/hooks/hark"     # or { env = "…" }, if it is a secret
secret       = [{ env = "HARK_WEBHOOK_SECRET" }, { env = "HARK_WEBHOOK_OLD_SECRET" }]
headers      = { "x-team" = "soc", "authorization" = { env = "SOAR_AUTHORIZATION" } }
min_severity = "medium"
resolved     = true
timeout      = "15s"
retry        = { initial = "5s", max = "10m", give_up = "24h" }
"#,
    keys: &join::<{ OWN.len() + COMMON.len() + http::KEYS.len() }>(&[OWN, COMMON, http::KEYS]),
    build,
};

const OWN: &[KeySpec] = &[
    KeySpec::required(
        "url",
        Shape::Any(&[Shape::Text, secret::SHAPE]),
        "Where to post; a secret if it holds a token.",
    ),
    KeySpec::optional(
        "secret",
        Shape::Any(&[secret::SHAPE, Shape::List(&secret::SHAPE)]),
        "unsigned",
        "What signs: `whsec_` and the base64 of 24 to 64 random bytes. While one is being exchanged, several.",
    ),
    KeySpec::optional(
        "headers",
        Shape::Map(&Shape::Any(&[Shape::Text, secret::SHAPE])),
        "",
        "What every request carries besides.",
    ),
];

/// How a signing secret starts.
const SECRET_PREFIX: &str = "whsec_";
/// The bytes a signing secret has: fewer are guessable, more are a mistake.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Headers that are ours, and that settings may not set.
const RESERVED: [&str; 9] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "idempotency-key",
    "content-type",
    "content-length",
    "host",
    "connection",
    "transfer-encoding",
];

#[derive(Debug)]
struct Webhook {
    client: Client,
    /// It may hold a token, as the addresses of chat systems do.
    url: Secret<Url>,
    /// The first is the newest; every one signs.
    secrets: Vec<Secret<Vec<u8>>>,
    /// What every request carries.
    headers: HeaderMap,
}

/// The body.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: Timestamp,
    data: &'a Alert,
    /// Why the alert is over, in words; whoever shows it need not know every `data.resolution`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ending: Option<String>,
}

fn build(
    mut table: Table<'_>,
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Option<Arc<dyn Notifier>> {
    table.require("url", found);
    let url = table.item("url").and_then(|item| read_address(&item, found, secrets));
    let keys = read_keys(&mut table, found, secrets);
    let headers = read_headers(&mut table, found, secrets);
    let client = Client::read(&mut table, found, secrets);
    table.finish(found);
    Some(Arc::new(Webhook { client: client?, url: Secret::new(url?), secrets: keys, headers }))
}

fn read_address(item: &Item<'_>, found: &mut Diagnostics, secrets: &dyn Secrets) -> Option<Url> {
    if item.is_text() {
        return http::check_url(&item.text(found)?, found);
    }
    let secret = secret::read_item(item, found, secrets)?;
    let url = http::parse_url(secret.expose());
    if url.is_none() {
        found.push(Diagnostic::error(
            "bad-url",
            item.span.clone(),
            "expected this secret to hold an address such as `https://host/path`",
        ));
    }
    url
}

/// Reads `secret`: one, or a list of them.
fn read_keys(
    table: &mut Table<'_>,
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Vec<Secret<Vec<u8>>> {
    let Some(item) = table.item("secret") else { return Vec::new() };
    let items = if item.is_array() { item.array(found).unwrap_or_default() } else { vec![item] };
    items
        .iter()
        .filter_map(|item| {
            let secret = secret::read_item(item, found, secrets)?;
            let key = secret
                .expose()
                .strip_prefix(SECRET_PREFIX)
                .and_then(|text| STANDARD.decode(text).ok())
                .filter(|key| SECRET_BYTES.contains(&key.len()));
            if key.is_none() {
                found.push(
                    Diagnostic::error(
                        "bad-secret",
                        item.span.clone(),
                        "expected `whsec_` and the base64 of 24 to 64 random bytes",
                    )
                    .help("make one with: echo \"whsec_$(openssl rand -base64 32)\""),
                );
            }
            key.map(Secret::new)
        })
        .collect()
}

/// Reads `headers`, with plain or secret values.
fn read_headers(
    table: &mut Table<'_>,
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let Some(written) = table.table("headers", found) else { return headers };
    for key in written.keys() {
        let Some(item) = written.any(&key.value) else { continue };
        let name = HeaderName::from_bytes(key.value.as_bytes()).ok();
        let Some(name) = name.filter(|name| !RESERVED.contains(&name.as_str())) else {
            let message = format!("expected the name of a free header, found `{}`", key.value);
            found.push(Diagnostic::error("bad-header", key.span, message));
            continue;
        };
        let value = if item.is_text() {
            let Some(text) = item.text(found) else { continue };
            HeaderValue::from_str(&text.value).ok()
        } else if item.is_table() {
            let Some(secret) = secret::read_item(&item, found, secrets) else { continue };
            http::secret_header("", &secret)
        } else {
            item.wrong_type("a string or a secret", found);
            continue;
        };
        match value {
            Some(value) => {
                headers.insert(name, value);
            }
            None => found.push(Diagnostic::error(
                "bad-header",
                item.span,
                "this value cannot stand in a header",
            )),
        }
    }
    headers
}

impl Notifier for Webhook {
    fn send<'a>(
        &'a self,
        notification: &'a Notification,
        now: Timestamp,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let body = match serde_json::to_vec(&body(notification)) {
                Ok(body) => body,
                Err(error) => return Outcome::rejected(format!("not JSON: {error}")),
            };
            let timestamp = now.as_millis().div_euclid(1000).to_string();
            let signature = sign(&self.secrets, &notification.id, &timestamp, &body);
            let mut headers = self.headers.clone();
            for (name, value) in [
                ("webhook-id", notification.id.as_str()),
                ("idempotency-key", notification.id.as_str()),
                ("webhook-timestamp", timestamp.as_str()),
                ("webhook-signature", signature.as_str()),
            ] {
                match HeaderValue::from_str(value) {
                    Ok(_) if value.is_empty() => {}
                    Ok(value) => {
                        headers.insert(name, value);
                    }
                    Err(_) => return Outcome::rejected(format!("`{name}` cannot be a header")),
                }
            }
            match self.client.post(self.url.expose(), headers, body).await {
                Ok(answer) => answer.outcome(),
                Err(reason) => Outcome::retry(reason),
            }
        })
    }
}

fn body(notification: &Notification) -> Body<'_> {
    Body {
        r#type: match notification.kind {
            NotificationKind::Opened => "alert.opened",
            NotificationKind::Resolved => "alert.resolved",
        },
        timestamp: notification.created,
        data: &notification.alert,
        ending: notification.alert.ending(),
    }
}

/// One `v1,…` for each secret, with spaces between; empty without secrets.
fn sign(secrets: &[Secret<Vec<u8>>], id: &str, timestamp: &str, body: &[u8]) -> String {
    let signatures: Vec<_> = secrets
        .iter()
        .map(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
            let mut context = hmac::Context::with_key(&key);
            context.update(format!("{id}.{timestamp}.").as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        })
        .collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_published_vector_says() {
        let key = STANDARD.decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let signature = sign(
            &[Secret::new(key)],
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            "1649367553",
            br#"{"email":"test@example.com","username":"test_user"}"#,
        );
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }
}

//! The one HTTP client: time-outs, no redirects, no proxy unless configured, answers read up to a
//! bound; and the table that says what an answer means.

use std::error::Error as _;
use std::sync::Once;
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Proxy, Url};

use super::Outcome;
use crate::base::clock::Clock as _;
use crate::base::document::{Table, Text};
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics, Secret, SecretSource, Secrets, Timestamp, clock};

/// How much of an answer is read; the rest is of no interest to anybody.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How much of an answer is quoted in reasons.
const EXCERPT_CHARS_MAX: usize = 200;
/// A connection that takes longer is not going to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What we call ourselves.
const USER_AGENT: &str = concat!("hark/", env!("CARGO_PKG_VERSION"));

/// How long an attempt may take, unless `timeout` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The keys that every destination over HTTP has.
pub const KEYS: &[KeySpec] = &[
    KeySpec::optional("timeout", Shape::Duration, "30s", "How long an attempt may take."),
    CA,
    KeySpec::optional(
        "proxy",
        Shape::Text,
        "none, whatever the environment says",
        "The address of a proxy.",
    ),
    INSECURE,
];

/// The key `ca` of everything that speaks TLS.
pub const CA: KeySpec = KeySpec::optional(
    "ca",
    Shape::Text,
    "",
    "A file of certificates, in PEM, that are trusted besides the system's.",
);

/// The key `insecure` of everything that speaks TLS.
pub const INSECURE: KeySpec = KeySpec::optional(
    "insecure",
    Shape::Boolean,
    "false",
    "Takes any certificate: whoever is on the way can read and change what is sent. A warning at every start.",
);

/// Makes aws-lc the cryptography of every TLS connection of this process; any number of times.
///
/// Without this, a second provider linked in by some dependency would make the first use panic.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that one is installed already.
        let _already = rustls::crypto::aws_lc_rs::default_provider().install_default().is_err();
    });
}

/// An HTTP client made from a destination's settings.
#[derive(Debug, Clone)]
pub struct Client(reqwest::Client);

impl Client {
    /// Reads `timeout`, `ca`, `proxy` and `insecure`.
    pub fn read(
        table: &mut Table<'_>,
        found: &mut Diagnostics,
        secrets: &dyn Secrets,
    ) -> Option<Self> {
        install_crypto();
        let timeout = table.duration("timeout", found).map_or(TIMEOUT, |d| d.value);
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout.min(CONNECT_TIMEOUT))
            // Trying again is our own business, with our own bounds.
            .retry(reqwest::retry::never())
            .no_proxy();
        if let Some((text, pem)) = read_ca(table, found, secrets) {
            match Certificate::from_pem_bundle(pem.as_bytes()) {
                Ok(certificates) if !certificates.is_empty() => {
                    builder = builder.tls_certs_merge(certificates);
                }
                _ => found.push(bad_ca(&text)),
            }
        }
        if let Some(text) = table.text("proxy", found) {
            match Proxy::all(text.value.as_str()) {
                Ok(proxy) => builder = builder.proxy(proxy),
                Err(_) => found.push(bad_url(&text)),
            }
        }
        if read_insecure(table, found) {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        match builder.build() {
            Ok(client) => Some(Self(client)),
            Err(error) => {
                found.push(Diagnostic::error("http-client", table.span(), chain(&error)));
                None
            }
        }
    }

    /// Posts a body. An error is the reason why no answer came.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let request = self.0.post(url.clone()).headers(headers).body(body);
        let mut response = request.send().await.map_err(|error| chain(&error.without_url()))?;
        let mut bytes = Vec::new();
        // An answer whose status has come is an answer, even if its body breaks off.
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = ANSWER_BYTES_MAX.saturating_sub(bytes.len());
            bytes.extend_from_slice(chunk.get(..chunk.len().min(room)).unwrap_or_default());
            if bytes.len() >= ANSWER_BYTES_MAX {
                break;
            }
        }
        let header = |name: HeaderName| {
            response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
        };
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after: header(RETRY_AFTER).and_then(|text| {
                // A date is one of their clock: what matters is how far it is from their now.
                let now = header(DATE).and_then(|date| http_date(&date));
                retry_after(&text, now.unwrap_or_else(|| clock::System.now()))
            }),
            location: header(LOCATION),
            body: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// How long they asked to be left alone.
    pub retry_after: Option<Duration>,
    /// Where a redirect points.
    pub location: Option<String>,
    /// The body, as far as [`ANSWER_BYTES_MAX`].
    pub body: String,
}

impl Answer {
    /// What the status alone means. Only what speaks of the *content* rejects a record; every other
    /// refusal is about us (address, credentials, method) and blocks, so that a wrong setting can
    /// never turn a whole stream into dead letters.
    pub fn outcome(&self) -> Outcome {
        match self.status {
            200..=299 => Outcome::Delivered,
            408 | 425 | 429 | 500..=599 => {
                Outcome::Retry { after: self.retry_after, reason: self.reason() }
            }
            400 | 413 | 422 => Outcome::rejected(self.reason()),
            _ => Outcome::blocked(self.reason()),
        }
    }

    /// The status and the beginning of the body, in one line.
    pub fn reason(&self) -> String {
        let name = reqwest::StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("unknown status");
        let mut reason = format!("{} {name}", self.status);
        if let (300..=399, Some(location)) = (self.status, &self.location) {
            reason.push_str(": redirects are not followed, it points to ");
            reason.push_str(&one_line(location));
        } else if !self.body.trim().is_empty() {
            reason.push_str(": ");
            reason.push_str(&one_line(&self.body));
        }
        reason
    }
}

/// Reads an `http://` or `https://` address; without TLS only loopback goes without a warning.
pub fn read_url(table: &mut Table<'_>, key: &'static str, found: &mut Diagnostics) -> Option<Url> {
    let text = table.text(key, found)?;
    check_url(&text, found)
}

/// The same for an address that was read already.
pub fn check_url(text: &Text, found: &mut Diagnostics) -> Option<Url> {
    let Some(url) = parse_url(&text.value) else {
        found.push(bad_url(text));
        return None;
    };
    if url.scheme() == "http" && !url.host_str().is_some_and(is_loopback) {
        found.push(
            Diagnostic::warning(
                "plain-http",
                text.span.clone(),
                "events and credentials go over the network unencrypted",
            )
            .help("use `https://`"),
        );
    }
    Some(url)
}

/// An address with a host, over HTTP or HTTPS.
pub fn parse_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

fn bad_url(text: &Text) -> Diagnostic {
    Diagnostic::error(
        "bad-url",
        text.span.clone(),
        format!("expected an address such as `https://host:8088`, found `{}`", text.value),
    )
}

/// Whether a host name or address is this machine.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Reads the file that `ca` names: certificates, in PEM, that are trusted besides the system's.
pub fn read_ca(
    table: &mut Table<'_>,
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Option<(Text, String)> {
    let text = table.text("ca", found)?;
    match secrets.resolve(&SecretSource::File(text.value.clone().into())) {
        Ok(pem) => Some((text, pem)),
        Err(why) => {
            found.push(Diagnostic::error("bad-ca", text.span, why));
            None
        }
    }
}

/// What is said of a `ca` file that is none.
pub fn bad_ca(text: &Text) -> Diagnostic {
    Diagnostic::error(
        "bad-ca",
        text.span.clone(),
        format!("`{}` holds no PEM certificate", text.value),
    )
}

/// Reads `insecure`, which is never set without a warning at every start.
pub fn read_insecure(table: &mut Table<'_>, found: &mut Diagnostics) -> bool {
    let insecure = table.boolean("insecure", found).unwrap_or(false);
    if insecure {
        found.push(
            Diagnostic::warning(
                "insecure",
                table.key_span("insecure").unwrap_or_default(),
                "anybody on the way can read and change what is sent",
            )
            .help("trust a private certificate authority with `ca = \"file.pem\"` instead"),
        );
    }
    insecure
}

/// A header whose value is never shown. `None` if the value cannot stand in a header.
pub fn secret_header(prefix: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `Retry-After`: seconds, or a date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(http_date(text)?.since(now))
}

fn http_date(text: &str) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp::from_millis(date.timestamp().as_millisecond()))
}

/// An error with its causes, in one line.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    one_line(&text)
}

/// The beginning of a text from outside, fit for a log.
fn one_line(text: &str) -> String {
    let clean = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(EXCERPT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn answer(status: u16) -> Answer {
        Answer { status, retry_after: None, location: None, body: String::new() }
    }

    #[test]
    fn only_what_speaks_of_the_content_rejects() {
        let names = |wanted: &str| -> Vec<u16> {
            (100..600).filter(|status| answer(*status).outcome().name() == wanted).collect()
        };
        assert_eq!(names("rejected"), [400, 413, 422]);
        assert_eq!(names("delivered"), (200..300).collect::<Vec<_>>());
        assert_eq!(
            names("retry").iter().filter(|s| **s < 500).collect::<Vec<_>>(),
            [&408, &425, &429]
        );
        assert!(names("blocked").contains(&401) && names("blocked").contains(&302));
    }

    #[test]
    fn a_reason_is_one_short_line() {
        fn check(answer: &Answer, expected: &Expect) {
            expected.assert_eq(&answer.reason());
        }
        check(&answer(503), &expect!["503 Service Unavailable"]);
        check(
            &Answer { body: "{\n \"text\": \"busy\"\r\n}".to_owned(), ..answer(503) },
            &expect![[r#"503 Service Unavailable: {  "text": "busy"  }"#]],
        );
        check(
            &Answer { location: Some("https://b/".to_owned()), ..answer(301) },
            &expect!["301 Moved Permanently: redirects are not followed, it points to https://b/"],
        );
        let long = Answer { body: "ü".repeat(100_000), ..answer(500) };
        assert!(long.reason().chars().count() < 250);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::parse("2015-10-21T07:27:00Z").unwrap();
        let read = |text| retry_after(text, now).map(|d| d.as_secs());
        assert_eq!(read("120"), Some(120));
        assert_eq!(read(" 0 "), Some(0));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(read("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-5"), None);
    }
}

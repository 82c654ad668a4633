//! What stands at the other end in the demo: a webhook receiver, a Splunk HTTP event collector, a
//! Datadog log intake and a mail server, on loopback, in this process.
//!
//! Hark's real notifiers and sinks talk to it over real sockets; nothing of theirs is replaced.
//! It takes everything, counts it and keeps the latest. It is no test double: it refuses nothing
//! and checks neither tokens nor signatures.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use base64::Engine as _;
use flate2::read::GzDecoder;
use serde::de::IgnoredAny;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The largest request, packed and unpacked.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// The largest mail.
const MAX_MAIL: u64 = 4 * 1024 * 1024;

/// The four listeners; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Receiver {
    /// Where webhook, Splunk and Datadog requests go: `http://{http}`.
    pub(super) http: SocketAddr,
    /// Where mail goes.
    pub(super) smtp: SocketAddr,
    received: Arc<Mutex<Received>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What has arrived so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) mails: Inbox,
    pub(super) webhooks: Inbox,
    pub(super) splunk: Inbox,
    pub(super) datadog: Inbox,
}

/// What has arrived at one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inbox {
    /// How often somebody called.
    pub(super) requests: u64,
    /// How many mails, messages or log records they brought.
    pub(super) records: u64,
    /// The last one: a mail's subject, a message's or record's JSON.
    pub(super) latest: String,
}

impl Inbox {
    fn took(&mut self, records: u64, latest: Option<String>) {
        self.requests += 1;
        self.records += records;
        if let Some(latest) = latest {
            self.latest = latest;
        }
    }
}

type Shared = Arc<Mutex<Received>>;

impl Receiver {
    /// Listens on free ports of the loopback address.
    pub(super) async fn start() -> std::io::Result<Self> {
        let received = Shared::default();
        let web = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mail = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (http, smtp) = (web.local_addr()?, mail.local_addr()?);
        let app = Router::new()
            .route("/webhook", post(webhook))
            .route("/services/collector/event", post(splunk))
            .route(
                "/services/collector/health",
                get(|| async { r#"{"text":"HEC is healthy","code":17}"# }),
            )
            .route("/api/v2/logs", post(datadog))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(Arc::clone(&received));
        let serve_web = tokio::spawn(async move {
            // Ends only with the task: accept errors are retried inside.
            if let Err(error) = axum::serve(web, app).await {
                tracing::warn!(%error, "demo receiver stopped");
            }
        });
        let serve_mail = tokio::spawn(accept_mail(mail, Arc::clone(&received)));
        Ok(Self { http, smtp, received, tasks: vec![serve_web, serve_mail] })
    }

    /// What has arrived so far.
    pub(super) fn received(&self) -> Received {
        lock(&self.received).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Received> {
    // The counters are whole at every moment: a panic elsewhere leaves nothing half done.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn webhook(State(shared): State<Shared>, body: Bytes) -> StatusCode {
    lock(&shared).webhooks.took(1, Some(String::from_utf8_lossy(&body).into_owned()));
    StatusCode::NO_CONTENT
}

/// Concatenated JSON objects, as the event collector takes them.
async fn splunk(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let Some(body) = unpacked(&headers, &body) else {
        return (StatusCode::BAD_REQUEST, r#"{"text":"Invalid data format","code":6}"#);
    };
    let mut records = 0;
    let mut last = 0..0;
    let mut stream = serde_json::Deserializer::from_slice(&body).into_iter::<IgnoredAny>();
    loop {
        let start = stream.byte_offset();
        match stream.next() {
            Some(Ok(_)) => {
                records += 1;
                last = start..stream.byte_offset();
            }
            Some(Err(_)) => {
                return (StatusCode::BAD_REQUEST, r#"{"text":"Invalid data format","code":6}"#);
            }
            None => break,
        }
    }
    let latest = body.get(last).map(|r| String::from_utf8_lossy(r).trim().to_owned());
    lock(&shared).splunk.took(records, latest);
    (StatusCode::OK, r#"{"text":"Success","code":0}"#)
}

/// A JSON array of logs, as version 2 of the intake takes it.
async fn datadog(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let logs = unpacked(&headers, &body).and_then(|body| {
        serde_json::from_slice::<Vec<Box<serde_json::value::RawValue>>>(&body).ok()
    });
    let Some(logs) = logs else {
        return (StatusCode::BAD_REQUEST, r#"{"errors":[{"title":"Bad Request"}]}"#);
    };
    let latest = logs.last().map(|log| log.get().to_owned());
    lock(&shared).datadog.took(logs.len() as u64, latest);
    (StatusCode::ACCEPTED, "{}")
}

/// The body as it was before gzip, if it was; `None` when it does not unpack, or to too much.
fn unpacked(headers: &HeaderMap, body: &[u8]) -> Option<Vec<u8>> {
    if headers.get("content-encoding").is_none_or(|encoding| encoding != "gzip") {
        return Some(body.to_vec());
    }
    let mut out = Vec::new();
    let most = MAX_BODY as u64 * 4;
    let read = GzDecoder::new(body).take(most + 1).read_to_end(&mut out).ok()?;
    (read as u64 <= most).then_some(out)
}

async fn accept_mail(listener: TcpListener, shared: Shared) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let shared = Arc::clone(&shared);
            // A connection that breaks is the caller's business; it will try again.
            tokio::spawn(async move { drop(smtp(stream, &shared).await) });
        }
    }
}

/// One SMTP conversation: as much of RFC 5321 as a client needs to get rid of a mail.
async fn smtp(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read.take(MAX_MAIL));
    write.write_all(b"220 hark demo\r\n").await?;
    let mut line = String::new();
    loop {
        line.clear();
        read.get_mut().set_limit(MAX_MAIL);
        if read.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250-hark demo\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => "250 ok\r\n",
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                let subject = mail(&mut read).await?;
                lock(shared).mails.took(1, Some(subject));
                "250 taken\r\n"
            }
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "502 not here\r\n",
        };
        write.write_all(answer.as_bytes()).await?;
    }
}

/// Reads a mail to its lonely dot; gives back its subject.
async fn mail(
    read: &mut BufReader<tokio::io::Take<tokio::net::tcp::OwnedReadHalf>>,
) -> std::io::Result<String> {
    let mut headers: Vec<String> = Vec::new();
    let mut in_headers = true;
    let mut line = Vec::new();
    loop {
        line.clear();
        if read.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\r', '\n']);
        match text {
            "." => break,
            "" => in_headers = false,
            _ if !in_headers => {}
            // A line that begins with white space continues the header above.
            _ if text.starts_with([' ', '\t']) => {
                if let Some(last) = headers.last_mut() {
                    last.push_str(text);
                }
            }
            _ => headers.push(text.to_owned()),
        }
    }
    let subject = headers.iter().find_map(|h| h.strip_prefix("Subject:"));
    Ok(subject.map_or_else(|| "(no subject)".to_owned(), decoded))
}

/// A header's text, with encoded words (RFC 2047, base64 in UTF-8) decoded.
fn decoded(header: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut was_encoded = false;
    for word in header.split_ascii_whitespace() {
        let encoded = word
            .strip_prefix("=?utf-8?b?")
            .and_then(|rest| rest.strip_suffix("?="))
            .and_then(|rest| base64::engine::general_purpose::STANDARD.decode(rest).ok());
        match (encoded, words.last_mut()) {
            // White space between two encoded words is none.
            (Some(bytes), Some(last)) if was_encoded => {
                last.push_str(&String::from_utf8_lossy(&bytes));
            }
            (Some(bytes), _) => {
                words.push(String::from_utf8_lossy(&bytes).into_owned());
                was_encoded = true;
            }
            (None, _) => {
                words.push(word.to_owned());
                was_encoded = false;
            }
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    async fn post_to(receiver: &Receiver, path: &str, gzip: bool, body: &[u8]) -> u16 {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(body).unwrap();
        let mut request = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .post(format!("http://{}{path}", receiver.http));
        request = if gzip {
            request.header("content-encoding", "gzip").body(packed.finish().unwrap())
        } else {
            request.body(body.to_vec())
        };
        request.send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn splunk_batches_are_counted_by_record() {
        let receiver = Receiver::start().await.unwrap();
        let body = br#"{"event":1}{"event":2}
            {"event":{"a":"}{"}}"#;
        assert_eq!(post_to(&receiver, "/services/collector/event", true, body).await, 200);
        let splunk = receiver.received().splunk;
        assert_eq!((splunk.requests, splunk.records), (1, 3));
        assert_eq!(splunk.latest, r#"{"event":{"a":"}{"}}"#);
        assert_eq!(post_to(&receiver, "/services/collector/event", false, b"{").await, 400);
        assert_eq!(receiver.received().splunk.records, 3);
    }

    #[tokio::test]
    async fn datadog_batches_are_counted_by_record() {
        let receiver = Receiver::start().await.unwrap();
        assert_eq!(post_to(&receiver, "/api/v2/logs", true, br#"[{"a":1},{"a":2}]"#).await, 202);
        let datadog = receiver.received().datadog;
        assert_eq!((datadog.records, datadog.latest.as_str()), (2, r#"{"a":2}"#));
        assert_eq!(post_to(&receiver, "/api/v2/logs", false, b"{}").await, 400);
    }

    #[tokio::test]
    async fn a_webhook_is_kept_as_it_came() {
        let receiver = Receiver::start().await.unwrap();
        assert_eq!(post_to(&receiver, "/webhook", false, br#"{"type":"x"}"#).await, 204);
        assert_eq!(receiver.received().webhooks.latest, r#"{"type":"x"}"#);
    }

    #[tokio::test]
    async fn lettre_can_deliver_two_mails_over_one_connection() {
        use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
        let receiver = Receiver::start().await.unwrap();
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
            .port(receiver.smtp.port())
            .build();
        for subject in
            ["plain", "≥ 5 failed logins for Zoë, who has a rather long name as names go"]
        {
            let mail = Message::builder()
                .from("hark@example.com".parse().unwrap())
                .to("soc@example.com".parse().unwrap())
                .subject(subject)
                .body("a\n.\nb".to_owned())
                .unwrap();
            transport.send(mail).await.unwrap();
            assert_eq!(receiver.received().mails.latest, subject);
        }
        assert_eq!(receiver.received().mails.records, 2);
    }
}

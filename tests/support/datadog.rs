//! A double of Datadog's log intake v2, from its documentation: key, gzip, limits counted before
//! compression, logs above 1 MB cut, logs older than 18 hours dropped, and 202 in any case.

use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::http::{Reply, Request, Server};

/// One log as it was taken.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub ddsource: String,
    pub ddtags: Option<String>,
    pub hostname: Option<String>,
    pub service: Option<String>,
    pub status: Option<String>,
    pub timestamp: Option<i64>,
    pub event_id: String,
    pub message: Option<String>,
    pub hark: serde_json::Value,
    /// Letter by letter.
    pub audit: Option<Box<RawValue>>,
    /// Letter by letter.
    pub alert: Option<Box<RawValue>>,
}

#[derive(Debug, Default)]
struct Taken {
    logs: Vec<Log>,
    /// Ids of logs that Datadog would have cut or dropped without a word.
    spoilt: Vec<String>,
}

/// The intake.
pub struct Datadog {
    pub server: Server,
    taken: Arc<Mutex<Taken>>,
    poison: Arc<Mutex<Option<String>>>,
}

/// The key that it knows.
pub const KEY: &str = "0123456789abcdef0123456789abcdef";
const BODY_BYTES_MAX: usize = 5_000_000;
const LOGS_MAX: usize = 1000;
const LOG_BYTES_MAX: usize = 1_000_000;
const AGE_MILLIS_MAX: i64 = 18 * 3_600_000;

impl Datadog {
    pub fn start() -> Self {
        let taken: Arc<Mutex<Taken>> = Arc::default();
        let poison: Arc<Mutex<Option<String>>> = Arc::default();
        let (takes, refuses) = (Arc::clone(&taken), Arc::clone(&poison));
        let server = Server::start(move |request| {
            let poison = refuses.lock().unwrap().clone();
            match take(request, poison.as_deref()) {
                Ok(more) => {
                    let mut taken = takes.lock().unwrap();
                    taken.logs.extend(more.logs);
                    taken.spoilt.extend(more.spoilt);
                    Reply::json(202, "{}")
                }
                Err((status, why)) => Reply::json(
                    status,
                    format!(r#"{{"errors":[{{"status":"{status}","title":"{why}"}}]}}"#),
                ),
            }
        });
        Self { server, taken, poison }
    }

    /// The address of the intake.
    pub fn url(&self) -> String {
        format!("{}/api/v2/logs", self.server.url())
    }

    /// Every log taken, repeats included, in order.
    pub fn logs(&self) -> Vec<Log> {
        self.taken.lock().unwrap().logs.clone()
    }

    /// The ids of everything taken, repeats included, in order.
    pub fn ids(&self) -> Vec<String> {
        self.taken.lock().unwrap().logs.iter().map(|log| log.event_id.clone()).collect()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.taken.lock().unwrap().logs.len()
    }

    /// What Datadog would have cut or dropped without a word.
    pub fn spoilt(&self) -> Vec<String> {
        self.taken.lock().unwrap().spoilt.clone()
    }

    /// From now on refuses requests with `text` in them.
    pub fn poison(&self, text: &str) {
        *self.poison.lock().unwrap() = Some(text.to_owned());
    }
}

fn take(request: &Request, poison: Option<&str>) -> Result<Taken, (u16, &'static str)> {
    if request.method != "POST" || request.path != "/api/v2/logs" {
        return Err((404, "Not Found"));
    }
    match request.header("dd-api-key") {
        None => return Err((401, "Unauthorized")),
        Some(KEY) => {}
        Some(_) => return Err((403, "Forbidden")),
    }
    if request.header("content-type") != Some("application/json") {
        return Err((415, "Unsupported Media Type"));
    }
    let body = request.decoded().map_err(|_| (400, "Bad Request"))?;
    if body.len() > BODY_BYTES_MAX {
        return Err((413, "Payload Too Large"));
    }
    let raw: Vec<Box<RawValue>> =
        serde_json::from_slice(&body).map_err(|_| (400, "Bad Request"))?;
    if raw.len() > LOGS_MAX {
        return Err((413, "Payload Too Large"));
    }
    if poison.is_some_and(|poison| raw.iter().any(|log| log.get().contains(poison))) {
        return Err((400, "Bad Request"));
    }
    let now = hark::base::Clock::now(&hark::base::clock::System).as_millis();
    let mut taken = Taken::default();
    for log in raw {
        let parsed: Log = serde_json::from_str(log.get()).map_err(|_| (400, "Bad Request"))?;
        let old = parsed.timestamp.is_some_and(|time| now - time > AGE_MILLIS_MAX);
        if old || log.get().len() > LOG_BYTES_MAX {
            taken.spoilt.push(parsed.event_id.clone());
        }
        taken.logs.push(parsed);
    }
    Ok(taken)
}

//! A double of Splunk's HTTP Event Collector, from Splunk's documentation: tokens, concatenated
//! JSON, gzip, its codes, its size limit, and events before a refused one indexed all the same.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::http::{Reply, Request, Server};

/// One indexed event.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indexed {
    pub time: serde_json::Number,
    pub host: Option<String>,
    pub source: Option<String>,
    pub sourcetype: Option<String>,
    pub index: Option<String>,
    /// Letter by letter.
    pub event: Option<Box<RawValue>>,
    #[serde(default)]
    pub fields: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Indexed {
    /// The id by which repeats are recognised.
    pub fn id(&self) -> String {
        self.fields.get("event_id").and_then(|id| id.as_str()).unwrap_or_default().to_owned()
    }

    pub fn event(&self) -> &str {
        self.event.as_ref().map_or("", |event| event.get())
    }
}

/// What the collector knows and does.
#[derive(Debug, Clone)]
struct Behaviour {
    tokens: Vec<String>,
    disabled: Vec<String>,
    indexes: Vec<String>,
    /// An event with this text in it is refused with this code.
    poison: Option<(String, u32)>,
    /// Whether a refusal names the event.
    names_the_event: bool,
    max_content_length: usize,
    /// Answers with this status whatever comes.
    answers_with: Option<u16>,
}

/// The collector.
pub struct Hec {
    pub server: Server,
    behaviour: Arc<Mutex<Behaviour>>,
    indexed: Arc<Mutex<Vec<Indexed>>>,
}

/// The token that it knows from the start.
pub const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

impl Hec {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    /// Starts where it was, or was expected, before.
    pub fn start_at(address: SocketAddr) -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour {
            tokens: vec![TOKEN.to_owned()],
            disabled: Vec::new(),
            indexes: vec!["main".to_owned(), "audit".to_owned()],
            poison: None,
            names_the_event: true,
            max_content_length: 1_000_000,
            answers_with: None,
        }));
        let indexed = Arc::new(Mutex::new(Vec::new()));
        let (knows, index) = (Arc::clone(&behaviour), Arc::clone(&indexed));
        let server = Server::start_at(address, move |request| {
            let behaviour = knows.lock().unwrap().clone();
            let (good, reply) = behaviour.answer(request);
            index.lock().unwrap().extend(good);
            reply
        });
        Self { server, behaviour, indexed }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Everything indexed, repeats included, in order.
    pub fn indexed(&self) -> Vec<Indexed> {
        self.indexed.lock().unwrap().clone()
    }

    /// The ids of everything indexed, repeats included, in order.
    pub fn ids(&self) -> Vec<String> {
        self.indexed.lock().unwrap().iter().map(Indexed::id).collect()
    }

    /// From now on answers every request with this status and indexes nothing; `None`: as it should.
    pub fn answer_with(&self, status: Option<u16>) {
        self.behaviour.lock().unwrap().answers_with = status;
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.indexed.lock().unwrap().len()
    }

    /// From now on refuses events with `text` in them.
    pub fn poison(&self, text: &str, code: u32, names_the_event: bool) {
        let mut behaviour = self.behaviour.lock().unwrap();
        behaviour.poison = Some((text.to_owned(), code));
        behaviour.names_the_event = names_the_event;
    }

    pub fn disable(&self, token: &str) {
        self.behaviour.lock().unwrap().disabled.push(token.to_owned());
    }

    pub fn enable(&self, token: &str) {
        self.behaviour.lock().unwrap().disabled.retain(|disabled| disabled != token);
    }

    pub fn max_content_length(&self, bytes: usize) {
        self.behaviour.lock().unwrap().max_content_length = bytes;
    }
}

impl Behaviour {
    /// What of the request is indexed, and the answer.
    fn answer(&self, request: &Request) -> (Vec<Indexed>, Reply) {
        if let Some(status) = self.answers_with {
            return (Vec::new(), Reply::json(status, r#"{"text":"as the test says","code":9}"#));
        }
        let none = |status, code, text: &str| {
            (Vec::new(), Reply::json(status, format!(r#"{{"text":"{text}","code":{code}}}"#)))
        };
        let paths = ["/services/collector/event", "/services/collector"];
        if request.method != "POST" || !paths.contains(&request.path.as_str()) {
            return (
                Vec::new(),
                Reply::json(404, "{\"text\":\"The requested URL was not found\",\"code\":404}"),
            );
        }
        let Some(authorization) = request.header("authorization") else {
            return none(401, 2, "Token is required");
        };
        let Some(token) = authorization.strip_prefix("Splunk ") else {
            return none(401, 3, "Invalid authorization");
        };
        if self.disabled.iter().any(|disabled| disabled == token) {
            return none(403, 1, "Token disabled");
        }
        if !self.tokens.iter().any(|known| known == token) {
            return none(403, 4, "Invalid token");
        }
        let Ok(body) = request.decoded() else { return none(400, 6, "Invalid data format") };
        if body.len() > self.max_content_length {
            return (Vec::new(), Reply::json(413, "Content-Length too large"));
        }
        if body.trim_ascii().is_empty() {
            return none(400, 5, "No data");
        }
        let mut good = Vec::new();
        for event in serde_json::Deserializer::from_slice(&body).into_iter::<Indexed>() {
            let code = match &event {
                Err(_) => Some((6, "Invalid data format")),
                Ok(event) => self.refuses(event),
            };
            if let Some((code, text)) = code {
                let number = if self.names_the_event {
                    format!(",\"invalid-event-number\":{}", good.len())
                } else {
                    String::new()
                };
                let body = format!(r#"{{"text":"{text}","code":{code}{number}}}"#);
                return (good, Reply::json(400, body));
            }
            good.extend(event);
        }
        (good, Reply::json(200, r#"{"text":"Success","code":0}"#))
    }

    fn refuses(&self, indexed: &Indexed) -> Option<(u32, &'static str)> {
        let event = indexed.event();
        if let Some((text, code)) = &self.poison
            && event.contains(text)
        {
            return Some((*code, "Poison"));
        }
        if event.is_empty() {
            return Some((12, "Event field is required"));
        }
        if event == "\"\"" {
            return Some((13, "Event field cannot be blank"));
        }
        if indexed.index.as_ref().is_some_and(|index| !self.indexes.contains(index)) {
            return Some((7, "Incorrect index"));
        }
        let flat = |value: &serde_json::Value| value.is_string() || value.is_array();
        (!indexed.fields.values().all(flat)).then_some((15, "Error in handling indexed fields"))
    }
}

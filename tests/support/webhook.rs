//! A receiver of webhooks that believes only what the independent crate `standardwebhooks` verifies.

use std::sync::{Arc, Mutex};

use super::http::{Reply, Request, Server};

/// One delivery that was verified.
#[derive(Debug, Clone)]
pub struct Received {
    pub id: String,
    /// Unix seconds of the attempt.
    pub timestamp: i64,
    pub body: serde_json::Value,
    pub request: Request,
}

/// The receiver.
pub struct Receiver {
    pub server: Server,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Knows one secret, `whsec_…`.
    pub fn start(secret: &str) -> Self {
        let webhook = standardwebhooks::Webhook::new(secret).unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let receives = Arc::clone(&received);
        let server = Server::start(move |request| {
            // The crate's own header map, of the `http` version that it uses.
            let mut headers = reqwest::header::HeaderMap::new();
            for (name, value) in &request.headers {
                headers.insert(
                    reqwest::header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    value.parse().unwrap(),
                );
            }
            if webhook.verify(&request.body, &headers).is_err() {
                return Reply::json(401, "bad signature");
            }
            let header = |name| request.header(name).unwrap_or_default();
            receives.lock().unwrap().push(Received {
                id: header("webhook-id").to_owned(),
                timestamp: header("webhook-timestamp").parse().unwrap_or_default(),
                body: serde_json::from_slice(&request.body).unwrap_or_default(),
                request: request.clone(),
            });
            Reply::status(204)
        });
        Self { server, received }
    }

    pub fn url(&self) -> String {
        format!("{}/hooks/hark", self.server.url())
    }

    /// Every verified delivery, repeats included, in order.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

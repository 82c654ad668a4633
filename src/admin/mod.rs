//! The admin HTTP interface: is it alive, is it ready and if not why, and what has it done.
//!
//! It listens on loopback unless told otherwise, for it has no authentication of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::base::metrics::Metrics;

/// Whether one part of one role does its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `match`, `correlate`, `notify` or `deliver`.
    pub role: String,
    /// The worker: its name is the consumer group's, or the destination's.
    pub name: String,
    /// Whether it does its work.
    pub ready: bool,
    /// Why not; or what it is doing.
    pub reason: String,
}

/// What the interface asks the daemon.
pub trait Status: Send + Sync {
    /// Every part of every role that runs in this process.
    fn parts(&self) -> Vec<Part>;
}

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    status: Arc<dyn Status>,
}

/// A running interface.
#[derive(Debug)]
pub struct Admin {
    /// Where it listens; the port is the real one, also when 0 was asked for.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Admin {
    /// Starts listening; stops when `stopped` becomes true.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn start(
        listen: SocketAddr,
        metrics: Metrics,
        status: Arc<dyn Status>,
        mut stopped: watch::Receiver<bool>,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let routes = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics_text))
            .with_state(Shared { metrics, status });
        let task = tokio::spawn(async move {
            let stop = async move {
                // An error means that the daemon is gone, which is a reason to stop as well.
                let _gone = stopped.wait_for(|stopped| *stopped).await.map(|stopped| *stopped);
            };
            if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop).await {
                tracing::error!(%error, "admin interface stopped");
            }
        });
        Ok(Self { address, task })
    }

    /// Waits until it has stopped.
    pub async fn finished(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "admin interface failed");
        }
    }
}

/// The process answers. A part that has failed for good ends the process, so there is no more to say.
async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 when every part does its work, else 503; the body says which does not, and why.
async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    let parts = shared.status.parts();
    let ready = parts.iter().all(|part| part.ready);
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(serde_json::json!({ "ready": ready, "parts": parts })))
}

async fn metrics_text(State(shared): State<Shared>) -> impl IntoResponse {
    const VERSION: (HeaderName, &str) =
        (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([VERSION], shared.metrics.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Vec<Part>);

    impl Status for Fixed {
        fn parts(&self) -> Vec<Part> {
            self.0.clone()
        }
    }

    async fn ask(parts: Vec<Part>, path: &str) -> (u16, String) {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let (stop, stopped) = watch::channel(false);
        let listen = "127.0.0.1:0".parse().unwrap();
        let admin =
            Admin::start(listen, Metrics::new(), Arc::new(Fixed(parts)), stopped).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{}{path}", admin.address)).send().await.unwrap();
        let result = (answer.status().as_u16(), answer.text().await.unwrap());
        stop.send(true).unwrap();
        drop(client);
        admin.finished().await;
        result
    }

    fn part(ready: bool, reason: &str) -> Part {
        Part { role: "match".into(), name: "hark.match".into(), ready, reason: reason.into() }
    }

    #[tokio::test]
    async fn not_ready_says_which_part_and_why() {
        let (code, body) = ask(vec![part(true, ""), part(false, "no broker")], "/readyz").await;
        assert_eq!(code, 503);
        assert!(body.contains("\"ready\":false") && body.contains("no broker"), "{body}");
    }

    #[tokio::test]
    async fn ready_when_every_part_is() {
        assert_eq!(ask(vec![part(true, "")], "/readyz").await.0, 200);
        assert_eq!(ask(vec![part(false, "no broker")], "/healthz").await.0, 200);
    }

    #[tokio::test]
    async fn metrics_are_in_the_text_format() {
        let (code, body) = ask(vec![], "/metrics").await;
        assert_eq!(code, 200);
        assert!(body.contains("process_resident_memory_bytes"), "{body}");
    }
}

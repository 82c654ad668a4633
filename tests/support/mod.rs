//! What the tests need of the world: a real Apache Kafka ([`kafka`], [`broker::Broker`]), an
//! independent client ([`kcat`]), a mail server ([`smtp`]), doubles of Splunk ([`hec`]) and
//! [`datadog`], a receiver of webhooks ([`webhook`]), names that no other test uses, and patience
//! with a bound.
//!
//! `HARK_TEST_KAFKA=host:port` uses a running cluster in place of one started here, except in tests
//! that kill their broker. What is missing on the machine is a failure that says what to install;
//! `tests/run` installs it.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::missing_docs_in_private_items,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "shared by several test binaries, each of which uses a part; a failure here is a test's"
)]

pub mod broker;
pub mod datadog;
pub mod hec;
pub mod http;
pub mod java;
pub mod kcat;
pub mod program;
pub mod python;
pub mod smtp;
pub mod tls;
pub mod webhook;

use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The addresses of a Kafka that all tests of this binary share.
pub fn kafka() -> &'static str {
    static SHARED: OnceLock<String> = OnceLock::new();
    SHARED.get_or_init(|| match std::env::var("HARK_TEST_KAFKA") {
        Ok(running) => running,
        Err(_) => broker::Broker::start().share(),
    })
}

/// A name that no other test, process or earlier run uses: the cluster may outlive this run.
pub fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    format!("{stem}-{}-{}-{number}", now.as_millis(), std::process::id())
}

/// Asks until the answer is `Ok`, and panics with the last `Err` when that takes longer than `max`.
#[track_caller]
pub fn eventually<T, E: Debug>(max: Duration, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let end = Instant::now() + max;
    loop {
        match ask() {
            Ok(value) => return value,
            Err(last) if Instant::now() > end => panic!("not within {max:?}: {last:?}"),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

//! How the shell asks what time it is. The core never does: time is passed to it as a value.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::time::Timestamp;

/// A source of the present time; [`System`] in the daemon, [`Manual`] in tests.
pub trait Clock: Send + Sync {
    /// The present, in whole milliseconds.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Clock for System {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that reads the wall clock"
        )]
        let now = std::time::SystemTime::now();
        let millis = match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Timestamp::from_millis(millis)
    }
}

/// A monotonic instant, for time-outs and intervals; never for event time.
pub fn instant() -> std::time::Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the monotonic clock"
    )]
    std::time::Instant::now()
}

/// A clock that stands still until it is told to move.
#[derive(Debug, Clone)]
pub struct Manual(Arc<AtomicI64>);

impl Manual {
    /// A clock that stands at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(at.as_millis())))
    }

    /// Moves the clock to `at`, also backwards.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for Manual {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

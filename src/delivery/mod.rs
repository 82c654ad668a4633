//! Sending, whatever is sent: what can become of it, batches, retries, the state of a destination,
//! and the one HTTP client.
//!
//! A [`Sink`] stores events and alerts in batches, a [`Notifier`] tells people one thing at a time;
//! both make *one attempt* and say what became of it as an [`Outcome`]. [`Destination`] turns
//! attempts into a [`Verdict`] for each record: it waits, tries again, takes a refused batch apart
//! until the culprit is alone, and knows whether the other side is up.
//!
//! Which records are read, what is committed and where refused records go is `role::deliver`'s
//! business; nothing here knows Kafka.

mod backoff;
mod batch;
mod destination;
pub mod http;
mod notification;
pub mod payload;
mod settings;
mod stop;

pub use backoff::{Backoff, RETRY, RETRY_AFTER_MAX, Retry};
pub use batch::{BATCH, Batch, BatchLimits, Forwarded, ForwardedKind, Framing, Pushed, Sink};
pub use destination::{Destination, Family, State, Verdict};
pub use notification::{Notification, NotificationKind, Notifier};
pub use settings::{NAME_BYTES_MAX, members};
pub use stop::{Stop, Stopper, stop};

use std::time::Duration;

/// What became of one attempt to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The other side has it.
    Delivered,
    /// Not now: it is down, overloaded or unreachable. Whether it has the records is unknown.
    Retry {
        /// How long it asked to be left alone.
        after: Option<Duration>,
        /// What happened, for the log.
        reason: String,
    },
    /// It refuses what was sent, and would refuse it again.
    Rejected {
        /// What it said.
        reason: String,
        /// Which record of the batch it complained about, if it said so, from 0.
        record: Option<usize>,
    },
    /// It refuses *us*: credentials or address are wrong. A person has to mend that; nothing is lost meanwhile.
    Blocked {
        /// What it said.
        reason: String,
    },
}

impl Outcome {
    /// All labels in metrics.
    pub const NAMES: [&'static str; 4] = ["delivered", "retry", "rejected", "blocked"];

    /// The label in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry { .. } => "retry",
            Self::Rejected { .. } => "rejected",
            Self::Blocked { .. } => "blocked",
        }
    }

    /// Retry after a wait of one's own choosing.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { after: None, reason: reason.into() }
    }

    /// Rejected as a whole.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into(), record: None }
    }

    /// Blocked.
    pub fn blocked(reason: impl Into<String>) -> Self {
        Self::Blocked { reason: reason.into() }
    }
}

//! One thing to tell one notifier, as it stands on the `outbox` topic, and who can tell it.

use std::fmt;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::alert::Alert;
use crate::base::Timestamp;
use crate::base::id::Id;

/// What happened to the alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotificationKind {
    /// It opened.
    Opened,
    /// It is over.
    Resolved,
}

impl NotificationKind {
    /// The word in texts and payloads: `opened`, `resolved`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Resolved => "resolved",
        }
    }
}

/// A finished decision to tell something; sending needs nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The same over all attempts and replays, so that a receiver can recognise a repeat. Hex.
    pub id: String,
    /// The notifier's name in the settings.
    pub notifier: String,
    /// What happened.
    pub kind: NotificationKind,
    /// When it was decided.
    pub created: Timestamp,
    /// What it is about, as it stood then.
    pub alert: Alert,
}

impl Notification {
    /// A notification with its id.
    pub fn new(notifier: &str, kind: NotificationKind, created: Timestamp, alert: Alert) -> Self {
        let id = Id::new("notification")
            .part(notifier.as_bytes())
            .part(kind.name().as_bytes())
            .part(alert.id.as_bytes())
            .finish();
        Self { id, notifier: notifier.to_owned(), kind, created, alert }
    }
}

/// A channel to people. It makes one attempt; [`super::Destination`] does the rest.
pub trait Notifier: fmt::Debug + Send + Sync {
    /// Tries once. `now` is the time of this attempt.
    fn send<'a>(&'a self, notification: &'a Notification, now: Timestamp)
    -> BoxFuture<'a, Outcome>;
}

//! A record that could not be used, as it stands on the `dead-letters` topic: JSON, with the reason.

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use crate::base::{Position, Timestamp};
use crate::kafka::{Error, OutRecord, Output};
use crate::mapping;

/// How much of the record is kept.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// The reasons of roles; those why a record does not become an event are [`mapping::Reason`]'s.
const OF_ROLES: [&str; 10] = [
    "bad_alert",
    "rule_panicked",
    "signals_too_big",
    "bad_signal",
    "rule_switched_off",
    "alert_too_big",
    "too_many_open_alerts",
    "unknown_rule",
    "notification_too_big",
    "rejected",
];

/// Every reason that there is.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    mapping::Reason::ALL.into_iter().map(mapping::Reason::code).chain(OF_ROLES)
}

/// Why, whence, and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// A stable code: `not_json`, `no_mapping`, `rejected` …
    pub reason: String,
    /// What exactly, for people.
    pub detail: String,
    /// The destination that refused it; absent for a record that could not be read at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Where the record stands.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When it was put here.
    pub at: Timestamp,
    /// Length of the whole payload in bytes.
    pub bytes: usize,
    /// The first 64 KiB as text, if they are UTF-8 (cut at a character).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The first 64 KiB in Base64, if they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
}

impl DeadLetter {
    /// Wraps the payload, cut to [`PAYLOAD_BYTES_MAX`].
    pub fn new(
        reason: &str,
        detail: &str,
        position: &Position,
        at: Timestamp,
        payload: &[u8],
    ) -> Self {
        debug_assert!(reasons().any(|known| known == reason), "`{reason}` is in no table");
        let kept = payload.get(..PAYLOAD_BYTES_MAX).unwrap_or(payload);
        let text = match std::str::from_utf8(kept) {
            Ok(text) => Some(text.to_owned()),
            // A character cut in two at the very end is not a reason to show Base64.
            Err(error) if kept.len() < payload.len() && error.error_len().is_none() => {
                kept.get(..error.valid_up_to()).map(|cut| String::from_utf8_lossy(cut).into_owned())
            }
            Err(_) => None,
        };
        let payload_base64 =
            text.is_none().then(|| base64::engine::general_purpose::STANDARD.encode(kept));
        Self {
            reason: reason.to_owned(),
            detail: detail.to_owned(),
            destination: None,
            topic: position.topic.to_string(),
            partition: position.partition,
            offset: position.offset,
            at,
            bytes: payload.len(),
            payload: text,
            payload_base64,
        }
    }

    /// The same, refused by a destination.
    #[must_use]
    pub fn by(mut self, destination: &str) -> Self {
        self.destination = Some(destination.to_owned());
        self
    }

    /// Writes it to the topic.
    ///
    /// # Errors
    /// Whatever the output cannot do; never that the letter is too large: escapes can make 64 KiB
    /// of payload six times as long, which is still below what a record may have.
    pub fn send(&self, topic: &str, out: &mut dyn Output) -> Result<(), Error> {
        let payload = serde_json::to_vec(self).map_err(Error::task)?;
        out.send(OutRecord { topic, payload: Some(&payload), ..OutRecord::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: &[u8]) -> DeadLetter {
        let position = Position::new("audit.ops0", 3, 42);
        DeadLetter::new("not_json", "expected value", &position, Timestamp::from_millis(0), payload)
    }

    #[test]
    fn keeps_text_as_text_and_bytes_as_base64() {
        assert_eq!(letter(b"{oops").payload.as_deref(), Some("{oops"));
        assert_eq!(letter(b"\xff\xfe").payload_base64.as_deref(), Some("//4="));
        assert_eq!(letter(b"\xff\xfe").payload, None);
    }

    #[test]
    fn keeps_the_first_64_kib_and_never_half_a_character() {
        let long = "é".repeat(PAYLOAD_BYTES_MAX);
        let shifted = format!("x{long}");
        let kept = letter(shifted.as_bytes());
        assert_eq!(kept.payload.unwrap().len(), PAYLOAD_BYTES_MAX - 1);
        assert_eq!(kept.bytes, shifted.len());
        assert_eq!(letter(long.as_bytes()).payload.unwrap().len(), PAYLOAD_BYTES_MAX);
    }
}

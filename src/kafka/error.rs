//! What can go wrong between Hark and Kafka, sorted by what a caller does about it.

use super::record::TopicPartition;

/// A failure of the Kafka layer. [`Error::is_retriable`] is the question a worker asks.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot work; the text says which one, and what to write instead.
    #[error("{0}")]
    Settings(String),
    /// No broker answered.
    #[error(
        "no broker of `{bootstrap}` answered within {seconds} s: {detail}; check `bootstrap` and that Kafka runs there"
    )]
    Unreachable {
        /// The addresses as configured.
        bootstrap: String,
        /// How long was waited.
        seconds: u64,
        /// The client's last word on it.
        detail: String,
    },
    /// A topic that must exist does not.
    #[error("topic `{0}` does not exist; create it, or correct its name")]
    MissingTopic(String),
    /// A position that the group had committed is no longer in the log.
    #[error(
        "{partition}: the next record to read is {position}, but the log holds {low} to {high}: {lost}; \
         to go on without them, move the group with `kafka-consumer-groups.sh --reset-offsets`"
    )]
    Lost {
        /// The partition.
        partition: TopicPartition,
        /// The position that is gone.
        position: i64,
        /// The first offset that is still there.
        low: i64,
        /// The offset after the last record.
        high: i64,
        /// The range in words.
        lost: String,
    },
    /// A record is larger than Kafka takes.
    #[error(
        "a record of {bytes} bytes for topic `{topic}` is larger than the {max} bytes that Hark produces at most"
    )]
    TooLarge {
        /// Where it should have gone.
        topic: String,
        /// Key, payload and headers together.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Something that may pass: the broker is away, moving, or slow.
    #[error("{what}: {detail}")]
    Retriable {
        /// What was attempted.
        what: &'static str,
        /// What the client said.
        detail: String,
    },
    /// Something that will not pass by itself: authorisation, a fatal client error.
    #[error("{what}: {detail}")]
    Fatal {
        /// What was attempted.
        what: &'static str,
        /// What the client said.
        detail: String,
    },
    /// The role's own refusal, from [`Error::task`].
    #[error("{0}")]
    Task(String),
}

impl Error {
    /// A role's own error: it stops the worker.
    pub fn task(error: impl std::fmt::Display) -> Self {
        Self::Task(error.to_string())
    }

    /// Whether going back to the last committed position and trying again can help.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Retriable { .. })
    }
}

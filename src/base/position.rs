//! Where a record stands in Kafka.

use std::fmt;
use std::sync::Arc;

/// A record's place: topic, partition, offset. The order is the one in which ties in time are broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Topic name, shared because a batch holds it thousands of times.
    pub topic: Arc<str>,
    /// Partition number, 0 or more.
    pub partition: i32,
    /// Offset in the partition, 0 or more.
    pub offset: i64,
}

impl Position {
    /// A position from its parts.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32, offset: i64) -> Self {
        Self { topic: topic.into(), partition, offset }
    }
}

impl fmt::Display for Position {
    /// `topic:partition:offset`, which is also the `event.id` of a record that has none of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.topic, self.partition, self.offset)
    }
}

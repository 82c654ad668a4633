//! Where a newly assigned partition begins: at what the group committed, else as the policy says.
//!
//! The policy holds once per topic, at the group's first start. `latest` is the delicate one: two
//! workers get their halves of a topic seconds apart, and a partition added next month must not lose
//! what is in it before Hark looks. So the first commit carries the moment of that first start as
//! its note, each later commit repeats it, and a partition without a commit whose siblings have a
//! note begins at that moment rather than at its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Error;
use super::consumer::Consumer;
use super::record::TopicPartition;
use super::task::StartPolicy;
use crate::base::{Clock as _, Timestamp, clock};

/// Where reading a partition begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset to be read.
    pub offset: i64,
    /// What the group had committed, if anything.
    pub committed: Option<i64>,
    /// The text that goes with each commit.
    pub(super) note: String,
    /// The task's own text that was committed beside the offset.
    pub(super) bookmark: String,
}

impl Begin {
    /// The same place again, after a failure. Its note is remembered since the assignment.
    pub(super) const fn again(partition: TopicPartition, offset: i64, bookmark: String) -> Self {
        Self { partition, offset, committed: Some(offset), note: String::new(), bookmark }
    }
}

/// Begins with the time of the first start.
const NOTE: &str = "first-start=";

/// What stands between the note and a task's own text.
pub(super) const BOOKMARK: &str = ";bookmark=";

impl Consumer {
    /// Where these partitions begin; `policy` is asked by topic. Asks the brokers; an error here passes with them.
    pub fn begins(
        &self,
        partitions: &[TopicPartition],
        policy: &dyn Fn(&str) -> StartPolicy,
    ) -> Result<Vec<Begin>, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let committed = self.committed(partitions)?;
        let mut firsts = BTreeMap::new();
        let mut begins = Vec::with_capacity(partitions.len());
        for partition in partitions {
            if let Some((offset, note)) = committed.get(partition) {
                begins.push(Begin {
                    partition: partition.clone(),
                    offset: *offset,
                    committed: Some(*offset),
                    note: note.split(BOOKMARK).next().unwrap_or_default().to_owned(),
                    bookmark: note.split_once(BOOKMARK).map_or("", |(_, text)| text).to_owned(),
                });
                continue;
            }
            let first = if let Some(first) = firsts.get(&partition.topic) {
                *first
            } else {
                let first = self.first_start(&partition.topic)?;
                firsts.insert(Arc::clone(&partition.topic), first);
                first
            };
            begins.push(self.first(partition, policy(&partition.topic), first)?);
        }
        Ok(begins)
    }

    /// When the group first read the topic, if any partition of it has the note.
    fn first_start(&self, topic: &Arc<str>) -> Result<Option<Timestamp>, Error> {
        let siblings: Vec<TopicPartition> = self
            .subscription()?
            .partitions
            .into_iter()
            .filter(|sibling| sibling.topic == *topic)
            .collect();
        let committed = self.committed(&siblings)?;
        Ok(committed.values().filter_map(|(_, note)| read_note(note)).min())
    }

    fn first(
        &self,
        partition: &TopicPartition,
        policy: StartPolicy,
        first: Option<Timestamp>,
    ) -> Result<Begin, Error> {
        let (low, high) = self.watermarks(partition)?;
        let offset = match (policy, first) {
            (StartPolicy::Earliest, _) => low,
            (StartPolicy::Latest, None) => high,
            (StartPolicy::Latest, Some(time)) | (StartPolicy::Time(time), _) => {
                self.offset_for_time(partition, time)?.unwrap_or(high)
            }
        };
        let note = format!("{NOTE}{}", first.unwrap_or_else(|| clock::System.now()).as_millis());
        let (partition, bookmark) = (partition.clone(), String::new());
        Ok(Begin { partition, offset, committed: None, note, bookmark })
    }
}

fn read_note(note: &str) -> Option<Timestamp> {
    let time = note.strip_prefix(NOTE)?.split(';').next()?;
    Timestamp::try_from_millis(time.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back_and_anything_else_is_none() {
        let time = Timestamp::from_millis(1_790_000_000_123);
        assert_eq!(read_note(&format!("{NOTE}{}", time.as_millis())), Some(time));
        assert_eq!(read_note(&format!("{NOTE}{}{BOOKMARK}5", time.as_millis())), Some(time));
        for text in ["", "first-start=", "first-start=x", "another tool's text"] {
            assert_eq!(read_note(text), None, "{text}");
        }
    }
}

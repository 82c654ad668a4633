//! Which offset may be committed while records are still under way: the contiguous prefix.

use std::collections::BTreeSet;

/// The records of one partition that were handed out and have not come back.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    pending: BTreeSet<i64>,
    /// The offset after the last record handed out.
    next: Option<i64>,
}

impl Prefix {
    /// A record was handed out. Offsets rise within a partition.
    pub(super) fn begin(&mut self, offset: i64) {
        self.pending.insert(offset);
        self.next = Some(offset + 1);
    }

    /// A record came back: delivered, or dead-lettered and acknowledged.
    pub(super) fn finish(&mut self, offset: i64) {
        self.pending.remove(&offset);
    }

    /// How many are under way.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The offset up to which (exclusive) all is done. `position` is where the consumer stands,
    /// which passes transaction markers; it counts only when nothing is under way.
    pub(super) fn committable(&self, position: Option<i64>) -> Option<i64> {
        match self.pending.first() {
            Some(first) => Some(*first),
            None => position.max(self.next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_holds_the_prefix() {
        let mut prefix = Prefix::default();
        for offset in 5..9 {
            prefix.begin(offset);
        }
        prefix.finish(6);
        prefix.finish(7);
        assert_eq!(prefix.committable(Some(9)), Some(5));
        prefix.finish(5);
        assert_eq!(prefix.committable(Some(9)), Some(8));
        prefix.finish(8);
        assert_eq!(
            prefix.committable(Some(12)),
            Some(12),
            "markers after the last record are passed"
        );
        assert_eq!(prefix.pending(), 0);
    }

    #[test]
    fn nothing_handed_out_commits_where_the_consumer_stands() {
        assert_eq!(Prefix::default().committable(None), None);
        assert_eq!(Prefix::default().committable(Some(3)), Some(3));
    }
}

//! `--sort`: records held in memory until all of them are there, then taken in order of time.
//!
//! They are held as they stand in the file and read twice: that is what can be bounded in bytes, and
//! what a record means may depend on nothing but its own bytes.

use std::path::PathBuf;

use super::super::input::{Input, named};
use super::past::Fate;
use crate::base::Timestamp;
use crate::replay::Replay;

/// What is held at most: the records' bytes, not compressed, and [`Held`] for each.
pub(super) const SORT_BYTES_MAX: usize = 1 << 30;

/// Records on their way into order.
pub(super) struct Sorted {
    /// `None` when all has been read.
    input: Option<Input>,
    /// The inputs that held records stand in.
    paths: Vec<PathBuf>,
    held: Vec<Held>,
    /// How many bytes that is, of how many.
    bytes: usize,
    bytes_max: usize,
    /// In order of time.
    ordered: std::vec::IntoIter<Held>,
    records: u64,
}

/// A record that waits.
struct Held {
    /// Those that are no events have none and come first: they are told, and do nothing else.
    time: Option<Timestamp>,
    /// Its number in the order of the inputs.
    index: u64,
    /// Which of the inputs it stands in.
    path: usize,
    record: Box<[u8]>,
}

impl Sorted {
    pub(super) fn new(input: Input, bytes_max: usize) -> Self {
        let (held, ordered) = (Vec::new(), Vec::new().into_iter());
        Self {
            input: Some(input),
            paths: Vec::new(),
            held,
            bytes: 0,
            bytes_max,
            ordered,
            records: 0,
        }
    }

    /// Reads one record more, or hands the next one to the replay when all are there.
    pub(super) fn next(&mut self, replay: &mut Replay) -> Result<Fate, String> {
        let Some(input) = &mut self.input else { return Ok(self.hand_over(replay)) };
        let Some(line) = input.next().map_err(|why| why.to_string())? else {
            self.input = None;
            let mut held = std::mem::take(&mut self.held);
            // Records of one time stay in the order in which they stand.
            held.sort_by_key(|held| (held.time, held.index));
            self.ordered = held.into_iter();
            return Ok(Fate::Waits);
        };
        let record = line.record();
        self.bytes += record.len() + size_of::<Held>();
        if self.bytes > self.bytes_max {
            let (max, path) = (self.bytes_max >> 20, named(line.path));
            return Err(format!(
                "--sort holds at most {max} MiB of records in memory, and there are more: it ended at \
                 line {} of {path}; turn a newest-first file around with `tac` instead of --sort, or \
                 replay days one by one",
                line.number
            ));
        }
        if self.paths.last().is_none_or(|path| path != line.path) {
            self.paths.push(line.path.to_owned());
        }
        let (path, time) = (self.paths.len() - 1, replay.time_of(record));
        self.held.push(Held { time, index: self.records, path, record: record.into() });
        self.records += 1;
        Ok(Fate::Waits)
    }

    fn hand_over(&mut self, replay: &mut Replay) -> Fate {
        let Some(held) = self.ordered.next() else { return Fate::NoMore };
        replay.record_at(held.index, &held.record);
        if held.time.is_some() {
            return Fate::Used;
        }
        let place = self.paths.get(held.path).map(|path| named(path)).unwrap_or_default();
        Fate::unused(held.index, place, &held.record)
    }

    /// How much of how much: bytes read, then records taken.
    pub(super) fn done(&self) -> Option<(u64, u64)> {
        match &self.input {
            Some(input) => input.total.map(|total| (input.read(), total)),
            None => Some((self.records - self.ordered.len() as u64, self.records)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Layout;
    use crate::mapping::{Common, Options};
    use crate::query::Sets;
    use crate::replay::Through;

    /// The times of the records in the order in which they are taken, and the fate of each; or why not.
    fn sorted(lines: &str, bytes_max: usize) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, lines).unwrap();
        let common = |layout: &Layout| Through::Nothing(Common::new(layout, Options::default()));
        let mut replay = Replay::new(&[], &Sets::new(), common).unwrap();
        let mut sorted = Sorted::new(Input::new(&[path], 1_000), bytes_max);
        let mut all = Vec::new();
        loop {
            match sorted.next(&mut replay)? {
                Fate::NoMore => return Ok(all),
                Fate::Waits => assert!(all.is_empty()),
                Fate::Unused(unused) => all.push(format!("{} unused", unused.index)),
                Fate::Used => all.push(replay.summary().times.unwrap().1.to_string()),
            }
            let (done, of) = sorted.done().unwrap();
            assert!(done <= of);
        }
    }

    #[test]
    fn records_come_in_order_of_time_and_those_without_first() {
        let line = |day: u8| format!("{{\"@timestamp\":\"2026-01-0{day}\"}}\n");
        let lines = [&line(3), "oops\n", &line(1), "\n", &line(2)].concat();
        let told =
            ["1 unused", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"];
        assert_eq!(sorted(&lines, SORT_BYTES_MAX).unwrap(), told);
    }

    #[test]
    fn what_memory_may_not_hold_is_refused_with_its_line() {
        let held = 2 * (2 + size_of::<Held>());
        assert_eq!(sorted("{}\n{}\n", held).map(|all| all.len()), Ok(2));
        let why = sorted("{}\n{}\n", held - 1).unwrap_err();
        assert!(
            why.starts_with("--sort holds at most 0 MiB") && why.contains("line 2 of"),
            "{why}"
        );
    }
}

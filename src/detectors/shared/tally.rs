//! How many events there were before any moment: exact up to a bound, and beyond it by runs of them.

use std::collections::VecDeque;

use crate::base::Timestamp;
use crate::state::codec::{self, Broken, Reader};

/// The most moments that are told apart.
pub(in crate::detectors) const RUNS_MAX: usize = 10_000;

/// Counted events in order of time.
#[derive(Debug, Default)]
pub(in crate::detectors) struct Tally {
    runs: VecDeque<Run>,
    /// How many have been let go.
    gone: u64,
}

/// Events that are counted together: of one moment, or of several when room is short.
#[derive(Debug, Clone, Copy)]
struct Run {
    from: Timestamp,
    to: Timestamp,
    /// How many events there were up to its end.
    through: u64,
}

/// A number of events, and whether it is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::detectors) struct Counted {
    pub(in crate::detectors) events: u64,
    pub(in crate::detectors) exact: bool,
}

impl Tally {
    /// Counts an event that is no older than those before.
    pub(in crate::detectors) fn push(&mut self, time: Timestamp) {
        let through = self.total() + 1;
        match self.runs.back_mut().filter(|last| last.to >= time) {
            Some(last) => last.through = through,
            None => self.runs.push_back(Run { from: time, to: time, through }),
        }
        if self.runs.len() > RUNS_MAX {
            // Two by two: what has to be approximate is so by a run at each edge of a window.
            let runs: Vec<Run> = self.runs.drain(..).collect();
            let merged = |pair: &[Run]| {
                let (first, last) = (pair.first()?, pair.last()?);
                Some(Run { from: first.from, ..*last })
            };
            self.runs = runs.chunks(2).filter_map(merged).collect();
        }
    }

    /// How many events were older than `time`. A run that `time` divides counts by its middle.
    pub(in crate::detectors) fn before(&self, time: Timestamp) -> Counted {
        let at = self.runs.partition_point(|run| run.to < time);
        let whole = at.checked_sub(1).and_then(|at| self.runs.get(at)).map(|run| run.through);
        let events = whole.unwrap_or(self.gone);
        match self.runs.get(at).filter(|run| run.from < time) {
            None => Counted { events, exact: true },
            Some(run) => {
                let middle = i64::midpoint(run.from.as_millis(), run.to.as_millis());
                let events = if middle < time.as_millis() { run.through } else { events };
                Counted { events, exact: false }
            }
        }
    }

    /// How many events there were.
    pub(in crate::detectors) fn total(&self) -> u64 {
        self.runs.back().map_or(self.gone, |run| run.through)
    }

    /// The earliest event from `time` on.
    pub(in crate::detectors) fn earliest(&self, time: Timestamp) -> Option<Timestamp> {
        let at = self.runs.partition_point(|run| run.to < time);
        self.runs.get(at).map(|run| run.from.max(time))
    }

    /// The first moment from `time` on at which events were counted.
    pub(in crate::detectors) fn moment(&self, time: Timestamp) -> Option<Timestamp> {
        let at = self.runs.partition_point(|run| run.to < time);
        self.runs.get(at).map(|run| run.to)
    }

    /// The latest event.
    pub(in crate::detectors) fn newest(&self) -> Option<Timestamp> {
        self.runs.back().map(|run| run.to)
    }

    /// Lets go of what is older than `time`.
    pub(in crate::detectors) fn forget(&mut self, time: Timestamp) {
        while let Some(oldest) = self.runs.front().filter(|run| run.to < time) {
            self.gone = oldest.through;
            self.runs.pop_front();
        }
    }

    /// Appends an encoding that [`Self::decode`] reads.
    pub(in crate::detectors) fn encode(&self, out: &mut Vec<u8>) {
        codec::put_u64(out, self.gone);
        codec::put_len(out, self.runs.len());
        for run in &self.runs {
            codec::put_time(out, run.from);
            codec::put_time(out, run.to);
            codec::put_u64(out, run.through);
        }
    }

    /// Reads what was written.
    pub(in crate::detectors) fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let gone = bytes.u64()?;
        let mut runs: VecDeque<Run> = VecDeque::new();
        for _ in 0..bytes.count()? {
            let run = Run { from: bytes.time()?, to: bytes.time()?, through: bytes.u64()? };
            let (before, through) = runs.back().map_or((None, gone), |b| (Some(b.to), b.through));
            let in_order = before.is_none_or(|before| before < run.from) && run.from <= run.to;
            if !in_order || run.through <= through || runs.len() >= RUNS_MAX {
                return Err(Broken("counted events in order"));
            }
            runs.push_back(run);
        }
        Ok(Self { runs, gone })
    }
}

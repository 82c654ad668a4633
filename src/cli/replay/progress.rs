//! How far a replay has come: one line on a terminal, and nothing anywhere else.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use super::super::print_error;
use super::super::table::{counted, grouped};
use crate::base::clock;
use crate::replay::Summary;

/// How often the line changes.
const EVERY: Duration = Duration::from_millis(100);
/// How long a replay runs before it says when it will end: the first guesses are bad ones.
const GUESS_AFTER: Duration = Duration::from_secs(1);
/// The bar's length in characters.
const BAR: u64 = 24;

/// The line.
pub(super) struct Progress {
    terminal: bool,
    began: Instant,
    told: Instant,
    shown: bool,
}

/// What the line says.
struct Stand<'s> {
    /// How much of how much has been read, in whatever unit, if that is known.
    done: Option<(u64, u64)>,
    took: Duration,
    summary: &'s Summary,
}

impl Progress {
    pub(super) fn new() -> Self {
        let (terminal, now) = (io::stderr().is_terminal(), clock::instant());
        Self { terminal, began: now, told: now, shown: false }
    }

    /// Shows how far it has come, if it is time to; `done` of all as [`Stand::done`].
    pub(super) fn tell(&mut self, done: impl Fn() -> Option<(u64, u64)>, summary: &Summary) {
        // The clock is not asked for each record.
        if !self.terminal || !summary.records.is_multiple_of(64) || self.told.elapsed() < EVERY {
            return;
        }
        self.told = clock::instant();
        self.shown = true;
        let took = self.told.duration_since(self.began);
        let width = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(w, _)| w.0);
        let line = Stand { done: done(), took, summary }.line(usize::from(width));
        print_error(&format!("\r\x1b[K{line}"));
    }

    /// Takes the line away, so that what is said next stands alone.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            print_error("\r\x1b[K");
        }
    }
}

impl Stand<'_> {
    /// The parts that fit into so many columns, the most wanted first.
    fn line(&self, width: usize) -> String {
        let seconds = self.took.as_secs_f64().max(0.001);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "for people"
        )]
        let rate = (self.summary.records as f64 / seconds) as u64;
        let mut parts = Vec::new();
        if let Some((done, all)) = self.done.filter(|(_, all)| *all > 0) {
            let done = done.min(all);
            #[expect(clippy::cast_precision_loss, reason = "for people")]
            let share = done as f64 / all as f64;
            let (percent, full) = (done.saturating_mul(100) / all, done.saturating_mul(BAR) / all);
            let bar: String = (0..BAR).map(|n| if n < full { '━' } else { '╌' }).collect();
            parts.push(format!("{bar} {percent:>3} %"));
            if self.took >= GUESS_AFTER && done > 0 {
                let left = self.took.mul_f64(1.0 / share - 1.0);
                parts.push(format!("{} left", short(left)));
            }
        }
        parts.push(counted(self.summary.records, "record"));
        parts.push(format!("{} a second", grouped(rate)));
        parts.push(counted(self.summary.alerts(), "alert"));
        parts.extend(self.summary.times.map(|(_, last)| format!("at {last}")));
        let mut line = parts.remove(0);
        for part in parts {
            if line.chars().count() + 2 + part.chars().count() >= width {
                break;
            }
            line.push_str("  ");
            line.push_str(&part);
        }
        line
    }
}

/// A duration in whole seconds: `3m 05s`.
fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(done: Option<(u64, u64)>, took: Duration, width: usize) -> String {
        let summary = Summary { records: 12_000, ..Summary::default() };
        Stand { done, took, summary: &summary }.line(width)
    }

    #[test]
    fn the_line_tells_share_rest_and_rate_as_far_as_there_is_room() {
        let took = Duration::from_secs(30);
        assert_eq!(
            line(Some((25, 100)), took, 120),
            "━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  25 %  1m 30s left  12,000 records  400 a second  0 alerts"
        );
        assert_eq!(line(Some((25, 100)), took, 50).chars().count(), 43);
        assert_eq!(line(None, took, 120), "12,000 records  400 a second  0 alerts");
        assert!(line(Some((7, 100)), Duration::ZERO, 120).contains("   7 %  12,000 records"));
        assert!(line(Some((0, 0)), took, 120).starts_with("12,000 records"));
        assert!(line(Some((9, 3)), took, 120).contains(" 100 %  0s left"));
    }

    #[test]
    fn a_rest_is_told_in_two_units_at_most() {
        let short = |seconds| short(Duration::from_secs(seconds));
        assert_eq!(
            [59, 60, 3_599, 3_600, 90_061].map(short),
            ["59s", "1m 00s", "59m 59s", "1h 00m", "25h 01m"]
        );
    }
}

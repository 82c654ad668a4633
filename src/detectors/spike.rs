//! `[spike]`: many more events than before, or many fewer.
//!
//! A window of `within` is held against the mean of the windows in the `baseline` before it. *Up*: an
//! event at t fires when [t − `within`, t] holds, up to that event, at least `min_events` and at least
//! `factor` × the mean over [t − `within` − `baseline`, t − `within`). *Down*: the clock fires once, at the
//! first T at which the mean over (T − `within` − `baseline`, T − `within`] is at least `min_events` and
//! (T − `within`, T] holds at most the mean ÷ `factor`; again only after that was false. The alert is over
//! as of the moment at which it became false.
//!
//! Both are silent until the rule, and the key since its first event, have been seen for `within` +
//! `baseline`; so the time of that event is kept for ever. Numbers are compared exactly, as they are
//! written. Of events whose moments are more than 10,000 neighbours are counted together, and a
//! firing whose windows divide such a run says so.

use std::time::Duration;

use super::shared::tally::Tally;
use super::{
    Decides, Detector, DetectorSpec, EVENTS_MAX, Firing, KeyState, Occurrence, Reading, RuleStart,
    Verdicts, bounded_count,
};
use crate::base::document::Table;
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics, Position, Timestamp, duration};
use crate::event::FieldName;
use crate::state::codec::{self, Broken, Reader};
use crate::state::timeline::Timeline;

/// The detector's entry in the family's table.
pub const SPEC: DetectorSpec = DetectorSpec {
    table: "spike",
    summary: "Fires when a window holds `factor` times as many events as those before it, or as few; silent until the key's first event is `within` + `baseline` ago.",
    example: r#"title    = "Far more denied requests than usual"
severity = "medium"
when     = 'event.outcome: failure'
group_by = ["user.name"]

[spike]
factor     = 5
within     = "1h"
baseline   = "24h"
min_events = 50
"#,
    decides: Decides::OnTheClock,
    keys: &[
        KeySpec::required(
            "factor",
            Shape::Number,
            "How many times as many as the mean, or as few; from 1 to 1,000,000, with at most six decimals.",
        ),
        KeySpec::optional(
            "direction",
            Shape::Word(&["up", "down"]),
            "up",
            "Whether to look for many more events, or for many fewer.",
        ),
        KeySpec::required("within", Shape::Duration, "The length of the window."),
        KeySpec::optional(
            "baseline",
            Shape::Duration,
            "`within`",
            "The time before the window that the mean is taken over: a multiple of `within`. A key is judged once its first event is `within` + `baseline` ago.",
        ),
        KeySpec::required(
            "min_events",
            Shape::Count,
            "How many events the window (up) or the mean (down) has at least, up to 1,000,000.",
        ),
    ],
    parse,
};

/// The highest `min_events`.
pub const MIN_EVENTS_MAX: usize = 1_000_000;
/// The highest `factor`.
pub const FACTOR_MAX: f64 = 1_000_000.0;
/// What a factor is counted in.
const PARTS: u64 = 1_000_000;

/// What stands between a moment and the next.
const NEXT: Duration = Duration::from_millis(1);

const FORMAT: u8 = 1;

/// The settings of one rule.
#[derive(Debug, Clone, Copy)]
struct Spike {
    /// In [`PARTS`].
    factor: u64,
    down: bool,
    within: Duration,
    /// How many windows the baseline has.
    windows: u64,
    min_events: u64,
}

/// What is remembered of one key.
#[derive(Debug)]
struct Counts {
    spike: Spike,
    /// The rule's start; `None`: as if it had been watching for ever.
    rule: Option<Timestamp>,
    /// The key's first event.
    first: Option<Timestamp>,
    /// Events that the clock has not passed.
    pending: Timeline<()>,
    /// Those before.
    tally: Tally,
    /// The last event that was judged; up only.
    judged: Option<(Timestamp, Position)>,
    /// Every T before is decided; down only.
    decided: Timestamp,
    /// The condition was true at the last of them.
    low: bool,
}

fn parse(
    mut table: Table<'_>,
    _reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    let factor = factor(&mut table, found);
    let down = match table.text("direction", found) {
        None => (!table.has("direction")).then_some(false),
        Some(text) => match text.value.as_str() {
            "up" => Some(false),
            "down" => Some(true),
            other => {
                let message = format!("expected one of up, down, found `{other}`");
                found.push(Diagnostic::error("out-of-range", text.span, message));
                None
            }
        },
    };
    table.require("within", found);
    let within = table.duration("within", found);
    let written = table.has("baseline");
    let baseline = table.duration("baseline", found);
    let min_events = bounded_count(&mut table, "min_events", MIN_EVENTS_MAX, found);
    table.finish(found);
    let (within, min_events) = (within?.value, min_events? as u64);
    let windows = match baseline {
        None if written => return None,
        None => 1,
        Some(baseline) => {
            let (whole, part) = (baseline.value.as_millis(), within.as_millis().max(1));
            if whole % part != 0 {
                let message = format!(
                    "expected a multiple of `within` ({}), found `{}`",
                    duration::print(within),
                    duration::print(baseline.value)
                );
                found.push(Diagnostic::error("out-of-range", baseline.span, message));
                return None;
            }
            u64::try_from(whole / part).ok()?
        }
    };
    Some(Box::new(Spike { factor: factor?, down: down?, within, windows, min_events }))
}

/// The factor as it is written, in [`PARTS`].
fn factor(table: &mut Table<'_>, found: &mut Diagnostics) -> Option<u64> {
    table.require("factor", found);
    let number = table.item("factor")?.number(found)?;
    #[expect(clippy::cast_precision_loss, reason = "a million is exact")]
    let parts = number.value * PARTS as f64;
    let exact = (1.0..=FACTOR_MAX).contains(&number.value)
        && (parts.round() - parts).abs() < 0.001
        && parts.is_finite();
    if !exact {
        let message = format!(
            "expected a number from 1 to 1000000 with at most six decimals, found `{}`",
            number.value
        );
        found.push(Diagnostic::error("out-of-range", number.span, message));
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
    Some(parts.round() as u64)
}

impl Detector for Spike {
    fn spec(&self) -> &'static DetectorSpec {
        &SPEC
    }

    fn canonical(&self) -> String {
        let Self { factor, down, within, windows, min_events } = self;
        let direction = if *down { "down" } else { "up" };
        let within = duration::print(*within);
        format!(
            "factor={factor}/{PARTS} direction={direction} within={within} windows={windows} min_events={min_events}"
        )
    }

    fn span(&self) -> Duration {
        self.within + self.baseline()
    }

    fn within(&self) -> Option<Duration> {
        Some(self.within)
    }

    fn keeps(&self) -> usize {
        EVENTS_MAX
    }

    fn fields(&self) -> Vec<FieldName> {
        Vec::new()
    }

    fn looks_down(&self) -> bool {
        self.down
    }

    fn watches(&self) -> bool {
        self.down
    }

    fn fresh(&self, start: RuleStart) -> Box<dyn KeyState> {
        Box::new(Counts {
            spike: *self,
            rule: (!start.warm).then_some(start.at),
            first: None,
            pending: Timeline::default(),
            tally: Tally::default(),
            judged: None,
            decided: Timestamp::MIN,
            low: false,
        })
    }

    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken> {
        Ok(Box::new(Counts::decode(*self, bytes)?))
    }
}

impl Spike {
    fn baseline(&self) -> Duration {
        self.within.saturating_mul(u32::try_from(self.windows).unwrap_or(u32::MAX))
    }

    /// Whether so many events are at least `factor` × the mean of so many in the baseline.
    fn is_high(&self, held: u64, baseline: u64) -> bool {
        let held = u128::from(held) * u128::from(self.windows) * u128::from(PARTS);
        held >= u128::from(self.factor) * u128::from(baseline)
    }

    /// Whether so many events are at most the mean ÷ `factor`.
    fn is_low(&self, held: u64, baseline: u64) -> bool {
        let held = u128::from(held) * u128::from(self.windows) * u128::from(self.factor);
        held <= u128::from(PARTS) * u128::from(baseline)
    }
}

impl KeyState for Counts {
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts) {
        let (time, position) = (occurrence.time, &occurrence.position);
        let judged = self.judged.as_ref().is_some_and(|(t, p)| (time, position) <= (*t, p));
        if judged || (self.spike.down && time < self.decided) {
            // Later ones were judged for want of room: nothing is taken back.
            return;
        }
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.pending.insert(time, position, (), usize::MAX);
        if self.pending.len() > EVENTS_MAX
            && let Some(middle) = self.pending.get(EVENTS_MAX / 2).map(|event| event.time)
        {
            // At least one event goes, whatever their times are.
            self.decide(middle + NEXT, true, out);
        }
    }

    fn advance(&mut self, clock: Timestamp, out: &mut Verdicts) {
        self.decide(clock, false, out);
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let next = if self.spike.down { self.next_moment() } else { self.oldest_pending() };
        next.map(|next| next + NEXT)
    }

    fn depends_on(&self) -> Option<(Timestamp, Timestamp)> {
        let newest = self.pending.newest().max(self.tally.newest());
        self.first.map(|first| (first, newest.unwrap_or(first)))
    }

    fn expires_at(&self) -> Timestamp {
        // How long the key has been seen can always matter.
        if self.first.is_some() { Timestamp::MAX } else { Timestamp::MIN }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        let flags = [self.rule.is_some(), self.first.is_some(), self.judged.is_some(), self.low];
        out.push(flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
        for time in self.rule.iter().chain(&self.first) {
            codec::put_time(out, *time);
        }
        if let Some((time, position)) = &self.judged {
            codec::put_time(out, *time);
            codec::put_position(out, position);
        }
        codec::put_time(out, self.decided);
        self.pending.encode(out, |_, ()| {});
        self.tally.encode(out);
    }
}

impl Counts {
    /// Decides everything before `clock`.
    fn decide(&mut self, clock: Timestamp, early: bool, out: &mut Verdicts) {
        if self.spike.down {
            while let Some(time) = self.next_moment().filter(|time| *time < clock) {
                self.look_down(time, early, out);
            }
            self.decided = self.decided.max(clock);
            self.tally.forget(self.decided - self.spike.span());
        } else {
            while self.oldest_pending().is_some_and(|time| time < clock) {
                self.look_up(early, out);
            }
        }
    }

    fn oldest_pending(&self) -> Option<Timestamp> {
        self.pending.get(0).map(|event| event.time)
    }

    /// From when on rule and key have been seen for long enough.
    fn seen(&self) -> Option<Timestamp> {
        Some(self.first?.max(self.rule.unwrap_or(Timestamp::MIN)) + self.spike.span())
    }

    /// Judges the oldest event that waits.
    fn look_up(&mut self, early: bool, out: &mut Verdicts) {
        let Some(event) = self.pending.take_oldest() else { return };
        let time = event.time;
        self.tally.push(time);
        self.tally.forget(time - self.spike.span());
        let start = self.tally.before(time - self.spike.within);
        let base = self.tally.before(time - self.spike.span());
        let held = self.tally.total() - start.events;
        let baseline = start.events.saturating_sub(base.events);
        let fires = self.seen().is_some_and(|seen| time >= seen)
            && held >= self.spike.min_events
            && self.spike.is_high(held, baseline);
        if fires {
            let first = self.tally.earliest(time - self.spike.within);
            let position = Some(event.position.clone());
            let approximate = early || !start.exact || !base.exact;
            out.push(firing(time, position, first.unwrap_or(time), held, approximate));
        }
        self.judged = Some((time, event.position));
    }

    /// The first undecided T at which something can change.
    fn next_moment(&self) -> Option<Timestamp> {
        let (within, span) = (self.spike.within, self.spike.span());
        let seen = self.seen()?;
        let leaves = self.tally.moment(self.decided - within).map(|time| time + within);
        let is_gone = self.tally.moment(self.decided - span).map(|time| time + span);
        let seen = Some(seen).filter(|seen| *seen >= self.decided);
        [seen, self.oldest_pending(), leaves, is_gone].into_iter().flatten().min()
    }

    /// Judges the moment `time`, the next one at which something can change.
    fn look_down(&mut self, time: Timestamp, early: bool, out: &mut Verdicts) {
        while self.oldest_pending().is_some_and(|oldest| oldest <= time) {
            if let Some(event) = self.pending.take_oldest() {
                self.tally.push(event.time);
            }
        }
        let start = self.tally.before(time - self.spike.within + NEXT);
        let base = self.tally.before(time - self.spike.span() + NEXT);
        let held = self.tally.total() - start.events;
        let baseline = start.events.saturating_sub(base.events);
        let low = self.seen().is_some_and(|seen| time >= seen)
            && baseline >= self.spike.min_events.saturating_mul(self.spike.windows)
            && self.spike.is_low(held, baseline);
        if low && !self.low {
            let first = self.tally.earliest(time - self.spike.within + NEXT);
            let approximate = early || !start.exact || !base.exact;
            out.push(firing(time, None, first.unwrap_or(time), held, approximate));
        } else if !low && self.low {
            out.ended(time);
        }
        self.low = low;
        self.decided = time + NEXT;
    }

    fn decode(spike: Spike, bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != FORMAT {
            return Err(Broken("a spike's memory of version 1"));
        }
        let flags = bytes.byte()?;
        let rule = if flags & 1 == 0 { None } else { Some(bytes.time()?) };
        let first = if flags & 2 == 0 { None } else { Some(bytes.time()?) };
        let judged = if flags & 4 == 0 { None } else { Some((bytes.time()?, bytes.position()?)) };
        let decided = bytes.time()?;
        let pending = Timeline::decode(&mut bytes, EVENTS_MAX, |_| Ok(()))?;
        let tally = Tally::decode(&mut bytes)?;
        bytes.end()?;
        let low = flags & 8 != 0;
        Ok(Self { spike, rule, first, pending, tally, judged, decided, low })
    }
}

fn firing(
    time: Timestamp,
    position: Option<Position>,
    first: Timestamp,
    held: u64,
    approximate: bool,
) -> Firing {
    Firing {
        time,
        position,
        after: None,
        first,
        count: held,
        value: held.into(),
        previous: None,
        tuple: None,
        approximate,
    }
}

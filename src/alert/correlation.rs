//! The composition that CORRELATE runs for each signals partition: records in log order → clock →
//! timers → windows → alerts. Tests and replay run the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::base::{Position, Timestamp};
use crate::detectors::{Decides, Firing, RuleStart};
use crate::engine::{Key, Record, Signal, Signals, Source, StreamClock};
use crate::rule::Rule;
use crate::state::codec::{self, Broken, Reader};
use crate::state::{Insert, KEYS_PER_RULE, Store, Touch};

use super::entry::{Arrival, Entry, Known, Outcome};
use super::recent::{maybe_time, put_maybe_time};
use super::record::Alert;
use super::rules::{Judge, Rules};
use super::starts::{RuleBegan, Starts};

/// How many timers run before their alerts are handed over.
pub const TIMERS_PER_STEP: usize = 10_000;

/// The last moment at which a timer can run: one millisecond short of the last of all times, which
/// stands for never.
const LAST_TIMER: Timestamp = Timestamp::from_millis(Timestamp::MAX.as_millis() - 1);

const CLOCK_FORMAT: u8 = 2;

/// The bounds of one signals partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Keys that one rule remembers.
    pub keys_per_rule: usize,
    /// Timers that run before [`Progress::More`] is returned.
    pub timers_per_step: usize,
}

/// Everything that one signals partition knows.
#[derive(Debug)]
pub struct Correlation {
    limits: Limits,
    clock: StreamClock,
    /// How far timers ran: behind the clock only while [`Progress::More`] is pending.
    ran: Option<Timestamp>,
    keys: Store<Entry>,
    /// Since when each rule has been watching.
    starts: Starts,
    /// Whether records are new; else they only make the same memory again.
    live: bool,
    /// Whether rules are judged as if they had been watching for ever ([`RuleStart::warm`]).
    warm: bool,
    /// The rule that is being judged, for whoever catches its panic.
    judging: Option<Judging>,
    /// Rules whose code is not run any more, not even to word the end of their alerts.
    off: BTreeSet<Arc<str>>,
}

/// A rule at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judging {
    /// Which.
    pub rule: Arc<str>,
    /// Whether a timer woke it; else the record's signal did.
    pub timer: bool,
}

/// A key whose memory changed, for the changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The rule.
    pub rule: Arc<str>,
    /// The key's canonical bytes.
    pub key: Arc<[u8]>,
    /// What [`Correlation::restore_key`] reads; `None` when nothing is remembered any more.
    pub value: Option<Vec<u8>>,
}

/// From where the log makes the same memory again: what is committed beside an offset as long as
/// there is no changelog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The record that made the oldest key that is still remembered; `None`: none is.
    pub offset: Option<i64>,
    /// The stream's clock before that record, or now.
    pub clock: Option<Timestamp>,
}

impl fmt::Display for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
        write!(f, "{} {}", text(self.offset), text(self.clock.map(Timestamp::as_millis)))
    }
}

impl FromStr for Resume {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| match text {
            "-" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| ()),
        };
        let (offset, clock) = text.split_once(' ').ok_or(())?;
        let clock = number(clock)?.map(Timestamp::from_millis);
        Ok(Self { offset: number(offset)?, clock })
    }
}

/// What came of records; the caller takes it and clears it.
#[derive(Debug, Default, PartialEq)]
pub struct Findings {
    /// Alert records, in the order in which they are to be written.
    pub alerts: Vec<Alert>,
    /// What is to be counted or told.
    pub notes: Vec<Note>,
    /// Every firing, in the order in which they were found; `None` while nobody wants to know.
    pub firings: Option<Vec<Fired>>,
}

/// A rule fired for a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// The rule.
    pub rule: Arc<str>,
    /// The key's values by field, as in an alert.
    pub key: BTreeMap<String, serde_json::Value>,
    /// What its detector said.
    pub firing: Firing,
}

/// Something that happened to a signal or a key other than an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A signal came too late for its rule's windows and was dropped.
    Late {
        /// The rule.
        rule: Arc<str>,
        /// Which event.
        position: Position,
    },
    /// A signal was delivered again and not counted.
    Duplicate {
        /// The rule.
        rule: Arc<str>,
        /// Which event.
        position: Position,
    },
    /// The rule has as many keys as it may: the one touched longest ago was forgotten.
    Evicted {
        /// The rule.
        rule: Arc<str>,
    },
    /// The rule has as many keys as it may and all have open alerts: the signal was dropped.
    Refused {
        /// The rule.
        rule: Arc<str>,
        /// Which event.
        position: Position,
    },
    /// What was remembered of a window could not be read, and it started anew.
    Unreadable {
        /// The rule.
        rule: Arc<str>,
    },
    /// The list that the rule expects has grown beyond
    /// [`EXPECTED_MAX`](crate::detectors::EXPECTED_MAX): it goes on to expect what was in it before.
    TooManyExpected {
        /// The rule.
        rule: Arc<str>,
        /// How many entries.
        found: usize,
    },
    /// The signal names a version of a rule that is not known here, and was not judged.
    UnknownRule {
        /// The rule.
        rule: Arc<str>,
        /// The version.
        version: u64,
        /// Which event.
        position: Position,
    },
}

/// Whether all is done that the record asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what is left must be resumed before the next record"]
pub enum Progress {
    /// Yes.
    Done,
    /// More timers are due: hand over what was found, then [`Correlation::resume`].
    More,
}

impl Default for Limits {
    fn default() -> Self {
        Self { keys_per_rule: KEYS_PER_RULE, timers_per_step: TIMERS_PER_STEP }
    }
}

impl Findings {
    /// Empty ones that will hold firings, too.
    pub fn with_firings() -> Self {
        Self { firings: Some(Vec::new()), ..Self::default() }
    }

    /// Forgets what was taken.
    pub fn clear(&mut self) {
        self.alerts.clear();
        self.notes.clear();
        if let Some(firings) = &mut self.firings {
            firings.clear();
        }
    }

    /// Keeps a firing, if anybody wants to know.
    pub(super) fn fired(&mut self, judge: &Judge, key: &Key, firing: &Firing) {
        if let Some(firings) = &mut self.firings {
            let (rule, key) = (judge.rule().id.clone(), judge.key(key));
            firings.push(Fired { rule, key, firing: firing.clone() });
        }
    }
}

impl Correlation {
    /// A partition of which nothing is known yet, the only one unless [`Self::placed`].
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            clock: StreamClock::new(),
            ran: None,
            keys: Store::new(limits.keys_per_rule),
            starts: Starts::new((0, 1)),
            live: true,
            warm: false,
            judging: None,
            off: BTreeSet::new(),
        }
    }

    /// A partition that is about to read the log again from where `resume` says.
    pub fn resumed(limits: Limits, resume: &Resume) -> Self {
        let clock = StreamClock::restored([], resume.clock);
        Self { clock, ran: resume.clock, ..Self::new(limits) }
    }

    /// The same as partition `index` of `of`: it watches the expected keys that it owns.
    #[must_use]
    pub fn placed(self, index: u32, of: u32) -> Self {
        Self { starts: Starts::new((index, of)), ..self }
    }

    /// The same, judging as if the rules had been watching for ever ([`RuleStart::warm`]).
    #[must_use]
    pub fn warm(self) -> Self {
        Self { warm: true, ..self }
    }

    /// From where the log would make the same memory again.
    pub fn resume_point(&self) -> Resume {
        match self.keys.oldest_birth() {
            Some((offset, clock)) => Resume { offset: Some(offset), clock },
            None => Resume { offset: None, clock: self.ran },
        }
    }

    /// The next record stands at `offset` in the log: for [`Self::resume_point`].
    pub fn stand_at(&mut self, offset: i64) {
        self.keys.stand_at(offset, self.ran);
    }

    /// Whether the next records are new, as all are unless said otherwise. No rule starts while they
    /// only make the same memory again.
    pub fn set_live(&mut self, live: bool) {
        self.live = live;
    }

    /// A rule's start, as [`Self::take_began`] told it; into a partition that has taken no record yet.
    pub fn restore_start(&mut self, began: RuleBegan) {
        self.starts.restore(began);
    }

    /// The starts that must outlive this process: those since the last call, in order of the rules.
    pub fn take_began(&mut self) -> Vec<RuleBegan> {
        self.starts.take_news()
    }

    /// Takes the next record of the partition. What it finds is added to `out`.
    pub fn apply(&mut self, record: &Record, rules: &Rules, out: &mut Findings) -> Progress {
        // Timers of an earlier tick come before whatever stands later in the log.
        while self.run_timers(rules, out) == Progress::More {}
        match record {
            Record::Tick(tick) => {
                self.clock.tick(tick);
                self.begin(rules, out);
                self.run_timers(rules, out)
            }
            Record::Signals(signals) => {
                for signal in &signals.signals {
                    self.take(signals, signal, rules, out);
                }
                Progress::Done
            }
        }
    }

    /// The rule that was being judged when a panic ended [`Self::apply`] or [`Self::resume`]. What
    /// the partition remembers is not to be trusted after that.
    pub fn judging(&self) -> Option<&Judging> {
        self.judging.as_ref()
    }

    /// Runs no code of this rule any more; its alerts end with the words last told.
    pub fn switch_off(&mut self, rule: Arc<str>) {
        self.off.insert(rule);
    }

    /// Goes on with the timers of the last tick.
    pub fn resume(&mut self, rules: &Rules, out: &mut Findings) -> Progress {
        self.run_timers(rules, out)
    }

    /// No timer is due before this; `None`: none is set that will ever run.
    pub fn due(&self) -> Option<Timestamp> {
        self.keys.due().filter(|due| *due <= LAST_TIMER)
    }

    /// Runs the timer that is due next, if it is by `until`, before a tick says that time has come so
    /// far: between two timers there is a place for alerts that the first of them opened.
    pub fn run_next(&mut self, until: Timestamp, rules: &Rules, out: &mut Findings) -> bool {
        // A deadline beyond all time is never reached, whatever a tick says.
        let Some((time, rule, key)) = self.keys.next_due(until.min(LAST_TIMER)) else {
            return false;
        };
        self.ran = self.ran.max(Some(time));
        self.judging = Some(Judging { rule: rule.clone(), timer: true });
        let off = self.off.contains(&rule);
        let judges = |version| {
            let judge = rules.get(&rule, version).filter(|_| !off)?;
            Some(Known { judge: judge.clone(), runs: rules.runs(judge) })
        };
        let mut unreadable = false;
        self.keys.wake(time, &rule, &key, |entry| {
            let woken = entry.wake(time, &judges, out);
            unreadable = woken.unreadable;
            woken.needed
        });
        if unreadable && !off {
            out.notes.push(Note::Unreadable { rule });
        }
        true
    }

    /// The clock of the partition: how far time has come, and what holds it.
    pub fn clock(&self) -> &StreamClock {
        &self.clock
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    fn take(&mut self, event: &Signals, signal: &Signal, rules: &Rules, out: &mut Findings) {
        let (rule, position) = (signal.rule.clone(), event.position.clone());
        let Some(judge) = rules.get(&signal.rule, signal.version) else {
            out.notes.push(Note::UnknownRule { rule, version: signal.version, position });
            return;
        };
        let clock = self.ran.unwrap_or(Timestamp::MIN) - judge.rule().lateness;
        if is_late(judge.rule(), event.time, clock) {
            out.notes.push(Note::Late { rule, position });
            return;
        }
        self.judging = Some(Judging { rule: rule.clone(), timer: false });
        let first = self.ran.unwrap_or(event.time);
        let (at, expected) = self.starts.of(judge, &signal.key, first);
        let start = RuleStart { at, warm: self.warm };
        let arrival = Arrival { judge, event, signal, clock, start, expected };
        // What counts on arrival needs every event that it had; what judges each one does not.
        let counts = judge.rule().detector.is_some();
        let monotone = counts && judge.rule().decides() == Decides::OnArrival;
        let touch = Touch { time: event.time, monotone };
        let (outcome, insert) =
            self.keys.touch(&signal.rule, signal.key.bytes(), touch, Entry::default, |entry| {
                entry.take(&arrival, out)
            });
        match insert {
            Insert::Known | Insert::New => {}
            Insert::Evicted => out.notes.push(Note::Evicted { rule: rule.clone() }),
            Insert::Refused => {
                out.notes.push(Note::Refused { rule: rule.clone(), position: position.clone() });
            }
        }
        match outcome {
            None | Some(Outcome::Judged) => {}
            Some(Outcome::Duplicate) => out.notes.push(Note::Duplicate { rule, position }),
            Some(Outcome::Unreadable) => out.notes.push(Note::Unreadable { rule }),
        }
    }

    /// Runs what is due at the clock, in order of (time, rule, key), within the bound.
    fn run_timers(&mut self, rules: &Rules, out: &mut Findings) -> Progress {
        let Some(now) = self.clock.now() else { return Progress::Done };
        for _ in 0..self.limits.timers_per_step {
            if !self.run_next(now, rules, out) {
                self.ran = self.ran.max(Some(now));
                return Progress::Done;
            }
        }
        Progress::More
    }

    /// Rules that have not been watching yet are from now on, and with them the keys they expect; and
    /// those whose list has changed expect what it holds now.
    fn begin(&mut self, rules: &Rules, out: &mut Findings) {
        let Some(now) = self.clock.now() else { return };
        let first = self.ran.unwrap_or(now);
        for judge in rules.active() {
            let rule = &judge.rule().id;
            if self.off.contains(rule) {
                continue;
            }
            // What is made now has no say in what the clock has passed.
            let clock = self.ran.map(|ran| ran - judge.rule().lateness);
            let changes = self.starts.begin(judge, first, self.live);
            if let Some(found) = changes.refused {
                out.notes.push(Note::TooManyExpected { rule: rule.clone(), found });
            }
            for key in changes.released {
                self.judging = Some(Judging { rule: rule.clone(), timer: true });
                let release = |entry: &mut Entry| entry.release(judge, first, out);
                self.keys.interrupt(first, rule, key.bytes(), release);
            }
            for (key, at) in changes.expected {
                self.judging = Some(Judging { rule: rule.clone(), timer: true });
                let start = RuleStart { at, warm: self.warm };
                let touch = Touch { time: Timestamp::MAX, monotone: false };
                let (_, insert) =
                    self.keys.touch(rule, key.bytes(), touch, Entry::default, |entry| {
                        entry.expect(judge, &key, start, clock.unwrap_or(Timestamp::MIN));
                    });
                if matches!(insert, Insert::Evicted | Insert::Refused) {
                    out.notes.push(Note::Evicted { rule: rule.clone() });
                }
            }
        }
    }

    /// Every alert that is open, as a record would tell it now; by rule and key. Changes nothing.
    pub fn standing(&self, rules: &Rules) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for (rule, key) in self.keys.keys() {
            if let Some((entry, _)) = self.keys.get(&rule, &key) {
                let judge = rules.get(&rule, entry.version());
                entry.standing(judge.map(Arc::as_ref), &mut alerts);
            }
        }
        alerts
    }

    /// From now on [`Self::take_changes`] knows which keys changed.
    pub fn track_changes(&mut self) {
        self.keys.track_changes();
    }

    /// The keys that changed since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let changed = self.keys.take_changed();
        let encoded = |rule: &str, key: &[u8]| {
            let (entry, touched) = self.keys.get(rule, key)?;
            let mut value = touched.to_le_bytes().to_vec();
            value.extend(entry.encode());
            Some(value)
        };
        changed
            .into_iter()
            .map(|(rule, key)| Change { value: encoded(&rule, &key), rule, key })
            .collect()
    }

    /// Puts a key back as a [`Change`] wrote it; into a partition that has taken no record yet.
    pub fn restore_key(
        &mut self,
        rule: Arc<str>,
        key: Arc<[u8]>,
        value: &[u8],
    ) -> Result<(), Broken> {
        let mut bytes = Reader::new(value);
        let touched = bytes.fixed()?;
        let entry = Entry::decode(bytes.rest())?;
        self.keys.restore(rule, key, touched, entry);
        Ok(())
    }

    /// The clock's encoding: where each source stands, how far timers ran, and when rules started.
    pub fn encode_clock(&self) -> Vec<u8> {
        let mut out = vec![CLOCK_FORMAT];
        put_maybe_time(&mut out, self.ran);
        let sources: Vec<_> = self.clock.sources().collect();
        codec::put_len(&mut out, sources.len());
        for (source, time) in sources {
            codec::put_text(&mut out, &source.topic);
            codec::put_i64(&mut out, source.partition.into());
            put_maybe_time(&mut out, time);
        }
        self.starts.encode(&mut out);
        out
    }

    /// Puts the clock back as [`Self::encode_clock`] wrote it.
    pub fn restore_clock(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != CLOCK_FORMAT {
            return Err(Broken("a clock of version 2"));
        }
        let ran = maybe_time(&mut bytes)?;
        let mut sources = Vec::new();
        for _ in 0..bytes.count()? {
            let topic = bytes.text()?;
            let partition = i32::try_from(bytes.i64()?).map_err(|_| Broken("a partition"))?;
            sources.push((Source::new(topic, partition), maybe_time(&mut bytes)?));
        }
        self.starts.restore_encoded(&mut bytes)?;
        bytes.end()?;
        self.ran = ran;
        self.clock = StreamClock::restored(sources, ran);
        Ok(())
    }
}

/// Whether an event is too old for the rule's windows (RULES §3).
fn is_late(rule: &Rule, time: Timestamp, clock: Timestamp) -> bool {
    let Some(detector) = &rule.detector else { return false };
    match detector.decides() {
        Decides::OnArrival => time < clock - detector.span(),
        Decides::OnTheClock => time < clock,
    }
}

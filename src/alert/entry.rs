//! All that is remembered of one key of one rule: windows, recent events, alerts that are not over.
//!
//! Windows belong to a fingerprint, so that two versions of a rule that count differently do not
//! share them; alerts belong to the rule, so that editing it does not close them.

use std::time::Duration;

use crate::base::Timestamp;
use crate::detectors::{Firing, KeyState, Occurrence};
use crate::engine::{Fields, Signal, Signals};
use crate::event::Scalar;
use crate::rule::Rule;
use crate::state;
use crate::state::codec::{self, Broken, Reader};

use super::correlation::Findings;
use super::life::{Life, duration, put_duration};
use super::recent::{EVENTS_PER_KEY, Recent, Taken};
use super::record::Alert;
use super::render::{refresh_samples, sample};
use super::rules::Judge;
use super::values::Values;

const FORMAT: u8 = 1;

/// What is remembered of one key.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The version of the rule that last judged it, which also words its last alert.
    version: u64,
    /// That version's lateness: between the stream's clock and the rule's.
    lateness: Duration,
    /// How far before the rule's clock an event may still matter.
    reach: Duration,
    windows: Vec<Window>,
    recent: Recent,
    values: Values,
    /// In order of their openings.
    lives: Vec<Life>,
}

/// A detector's memory.
#[derive(Debug)]
struct Window {
    fingerprint: u64,
    expires_at: Timestamp,
    memory: Memory,
}

/// What was restored is read when an event needs it: until then nobody need know the rule.
#[derive(Debug)]
enum Memory {
    Live(Box<dyn KeyState>),
    Encoded(Box<[u8]>),
}

/// A signal on its way into an entry.
pub(super) struct Arrival<'a> {
    pub(super) judge: &'a Judge,
    pub(super) event: &'a Signals,
    pub(super) signal: &'a Signal,
    /// The rule's clock.
    pub(super) clock: Timestamp,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was judged.
    Judged,
    /// It was delivered before.
    Duplicate,
    /// It was judged, but the window it belongs to could not be read and started anew.
    Unreadable,
}

impl state::Entry for Entry {
    fn due(&self) -> Timestamp {
        let told = self.lives.iter().map(Life::due).min();
        told.unwrap_or_else(|| self.expires_at()) + self.lateness
    }

    fn pinned(&self) -> bool {
        !self.lives.is_empty()
    }

    fn newest(&self) -> Timestamp {
        self.recent.newest().unwrap_or(Timestamp::MIN)
    }

    fn oldest(&self) -> Timestamp {
        let first_seen = self.lives.iter().map(|life| life.alert.first_seen);
        first_seen.chain(self.recent.oldest()).min().unwrap_or(Timestamp::MAX)
    }
}

impl Entry {
    /// The version of the rule that last judged it.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Takes a signal that is not late, and tells the alerts it makes or changes.
    pub(super) fn take(&mut self, arrival: &Arrival<'_>, out: &mut Findings) -> Outcome {
        let Arrival { judge, event, signal, clock } = *arrival;
        let rule = judge.rule();
        self.version = rule.hash;
        self.lateness = rule.lateness;
        self.reach = reach(rule);
        self.settle(clock);

        let room = rule.detector.as_ref().map_or(0, |d| d.keeps()).max(EVENTS_PER_KEY);
        let place = (event.time, &event.position);
        let lives = &mut self.lives;
        let taken = self.recent.take(place, signal.step, &signal.fields, room, |time| {
            for life in lives.iter_mut() {
                life.let_go(time);
            }
        });
        match taken {
            Taken::Duplicate => return Outcome::Duplicate,
            Taken::TooOld => self.lives.iter_mut().for_each(|life| life.miss(event.time)),
            Taken::New | Taken::NewStep => {}
        }
        for field in &judge.values {
            for value in signal.fields.get(field) {
                self.values.take(field, value, event.time);
            }
        }

        let mut firings = Vec::new();
        let outcome = self.fire(arrival, &mut firings);
        for firing in &firings {
            out.fired(judge, signal, firing);
            self.assign(arrival, firing, &mut out.alerts);
        }
        for life in &mut self.lives {
            life.recount(&self.recent);
            if life.is_news() {
                tell(life, Some(judge), &self.recent, &self.values, &mut out.alerts);
            }
        }
        outcome
    }

    /// Tells the resolves that are due at a time of the stream's clock; whether anything is left to
    /// remember.
    pub(super) fn wake(
        &mut self,
        time: Timestamp,
        judge: Option<&Judge>,
        out: &mut Vec<Alert>,
    ) -> bool {
        let clock = time - self.lateness;
        let (over, open) =
            std::mem::take(&mut self.lives).into_iter().partition(|l| l.due() <= clock);
        self.lives = open;
        for mut life in Vec::into_iter(over) {
            life.recount(&self.recent);
            life.resolve();
            tell(&mut life, judge, &self.recent, &self.values, out);
        }
        self.settle(clock);
        !self.lives.is_empty() || self.expires_at() > clock
    }

    /// Tells its open alerts as they stand, and remembers nothing of having done so.
    pub(super) fn standing(&self, judge: Option<&Judge>, out: &mut Vec<Alert>) {
        for life in &self.lives {
            let mut life = life.clone();
            life.recount(&self.recent);
            tell(&mut life, judge, &self.recent, &self.values, out);
        }
    }

    /// What the detector makes of the event.
    fn fire(&mut self, arrival: &Arrival<'_>, firings: &mut Vec<Firing>) -> Outcome {
        let Arrival { judge, event, signal, clock: _ } = *arrival;
        let rule = judge.rule();
        let Some(detector) = &rule.detector else {
            firings.push(Firing {
                time: event.time,
                position: Some(event.position.clone()),
                first: event.time,
                count: 1,
                value: Some(Scalar::from(1)),
                approximate: false,
            });
            return Outcome::Judged;
        };
        let mut outcome = Outcome::Judged;
        let known = self.windows.iter_mut().position(|w| w.fingerprint == rule.fingerprint);
        let mut window = match known.map(|at| self.windows.swap_remove(at)) {
            Some(window) => window,
            None => Window {
                fingerprint: rule.fingerprint,
                expires_at: Timestamp::MIN,
                memory: Memory::Live(detector.fresh()),
            },
        };
        let mut memory = match window.memory {
            Memory::Live(memory) => memory,
            Memory::Encoded(bytes) => detector.restore(&bytes).unwrap_or_else(|_| {
                outcome = Outcome::Unreadable;
                detector.fresh()
            }),
        };
        let occurrence = Occurrence {
            time: event.time,
            position: event.position.clone(),
            step: signal.step,
            values: judge.reads.iter().map(|name| signal.fields.get(name).to_vec()).collect(),
        };
        memory.observe(&occurrence, firings);
        window.expires_at = memory.expires_at();
        window.memory = Memory::Live(memory);
        self.windows.push(window);
        self.windows.sort_by_key(|w| w.fingerprint);
        outcome
    }

    /// Gives a firing to the last opened alert that it fits, or opens one.
    fn assign(&mut self, arrival: &Arrival<'_>, firing: &Firing, out: &mut Vec<Alert>) {
        let Arrival { judge, event, signal, clock } = *arrival;
        let own = firing.position.as_ref() == Some(&event.position);
        let remembered = match &firing.position {
            Some(_) if own => Some(&signal.fields),
            Some(position) => self.recent.fields(firing.time, position),
            None => None,
        };
        let fields = remembered.cloned().unwrap_or_default();

        if judge.is_one_event() {
            let mut life = Life::open(judge, signal, firing, &fields, clock, None);
            show_opener(&mut life, firing, &fields);
            life.raise(judge.severity(&life, firing.time, firing.position.as_ref(), &fields));
            life.resolve_at_once();
            let mut values = Values::default();
            for field in &judge.values {
                fields.get(field).iter().for_each(|v| values.take(field, v, event.time));
            }
            tell(&mut life, Some(judge), &Recent::default(), &values, out);
            return;
        }
        let fit = self.lives.iter().rposition(|life| life.fits(firing.time));
        let at = if let Some(at) = fit {
            at
        } else {
            let mut life = Life::open(judge, signal, firing, &fields, clock, self.recent.cut());
            show_opener(&mut life, firing, &fields);
            let at = self.lives.partition_point(|l| l.alert.opened_at <= firing.time);
            self.lives.insert(at, life);
            at
        };
        let Some(life) = self.lives.get_mut(at) else { return };
        if fit.is_some() {
            life.grow(judge, firing, &fields, clock);
        }
        life.recount(&self.recent);
        life.raise(judge.severity(life, firing.time, firing.position.as_ref(), &fields));
    }

    /// Lets go of what nothing that may still come can reach.
    fn settle(&mut self, clock: Timestamp) {
        let before = clock - self.reach;
        let lives = &mut self.lives;
        self.recent.settle(before, |time| lives.iter_mut().for_each(|life| life.settle(time)));
        let shown = self.lives.iter().map(|life| life.alert.first_seen).min();
        self.values.settle(shown.map_or(before, |first| first.min(before)));
        self.windows.retain(|window| window.expires_at > clock);
    }

    /// The rule's clock from which on nothing of it can matter, alerts aside.
    fn expires_at(&self) -> Timestamp {
        let events = state::Entry::newest(self) + self.reach + Duration::from_millis(1);
        self.windows.iter().map(|w| w.expires_at).fold(events, Timestamp::max)
    }

    /// Its versioned encoding.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend_from_slice(&self.version.to_le_bytes());
        put_duration(&mut out, self.lateness);
        put_duration(&mut out, self.reach);
        codec::put_len(&mut out, self.windows.len());
        for window in &self.windows {
            out.extend_from_slice(&window.fingerprint.to_le_bytes());
            codec::put_time(&mut out, window.expires_at);
            match &window.memory {
                Memory::Encoded(bytes) => codec::put_bytes(&mut out, bytes),
                Memory::Live(memory) => {
                    let mut bytes = Vec::new();
                    memory.encode(&mut bytes);
                    codec::put_bytes(&mut out, &bytes);
                }
            }
        }
        self.recent.encode(&mut out);
        self.values.encode(&mut out);
        codec::put_len(&mut out, self.lives.len());
        for life in &self.lives {
            life.encode(&mut out);
        }
        out
    }

    /// Reads what was written.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != FORMAT {
            return Err(Broken("a key's memory of version 1"));
        }
        let version = bytes.fixed()?;
        let (lateness, reach) = (duration(&mut bytes)?, duration(&mut bytes)?);
        let mut windows = Vec::new();
        for _ in 0..bytes.count()? {
            let (fingerprint, expires_at) = (bytes.fixed()?, bytes.time()?);
            let memory = Memory::Encoded(bytes.bytes()?.into());
            windows.push(Window { fingerprint, expires_at, memory });
        }
        let (recent, values) = (Recent::decode(&mut bytes)?, Values::decode(&mut bytes)?);
        let mut lives = Vec::new();
        for _ in 0..bytes.count()? {
            lives.push(Life::decode(&mut bytes)?);
        }
        bytes.end()?;
        Ok(Self { version, lateness, reach, windows, recent, values, lives })
    }
}

/// How far before the rule's clock an event may still matter: an event counts while it is no older
/// than the clock less the detector's span, and its window reaches back by that span once more.
/// Without a detector nothing is late; repeated deliveries are known for as long as alerts stay open.
/// A key is never forgotten before its last alert is over, however that alert came about.
fn reach(rule: &Rule) -> Duration {
    let keep_open = rule.alert.keep_open;
    let span = rule.detector.as_ref().map_or(keep_open, |detector| detector.span());
    span.saturating_mul(2).max(keep_open)
}

fn show_opener(life: &mut Life, firing: &Firing, fields: &Fields) {
    if let Some(position) = &firing.position {
        life.alert.samples.push(sample(position, firing.time, fields));
    }
}

/// Hands over the record as it now stands. Without the rule the words are those last told.
fn tell(
    life: &mut Life,
    judge: Option<&Judge>,
    recent: &Recent,
    values: &Values,
    out: &mut Vec<Alert>,
) {
    refresh_samples(life, recent);
    if let Some(judge) = judge {
        judge.word(life, values);
    }
    life.told();
    out.push(life.alert.clone());
}

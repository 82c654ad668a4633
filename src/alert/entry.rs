//! All that is remembered of one key of one rule: windows, recent events, alerts that are not over.
//!
//! Windows belong to a fingerprint, so that two versions of a rule that count differently do not
//! share them; alerts belong to the rule, so that editing it does not close them.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Timestamp;
use crate::detectors::{Decides, Firing, Occurrence, Parts, RuleStart, Verdict, Verdicts};
use crate::engine::{Fields, Key, Signal, Signals};
use crate::rule::Rule;
use crate::state;
use crate::state::codec::{self, Broken, Reader};

use super::correlation::Findings;
use super::life::{Life, duration, put_duration};
use super::recent::{EVENTS_PER_KEY, Matching, Recent, Taken, maybe_time, put_maybe_time};
use super::record::{Alert, Resolution};
use super::render::{show_opener, spelt, tell};
use super::rules::Judge;
use super::values::Values;
use super::window::{Memory, Window, fresh};

/// The most alerts of one key whose resolve has not been told; only what alerts on each of many values
/// has more than a few. Beyond that the one that would be over first is told to be, and its count
/// says that it is a lower bound.
pub const ALERTS_PER_KEY: usize = 1_000;

const FORMAT: u8 = 5;

/// What is remembered of one key.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The version of the rule that last judged it, which also words its last alert.
    version: u64,
    /// The key as the last event spelt it.
    key: Option<Key>,
    /// That version's lateness: between the stream's clock and the rule's.
    lateness: Duration,
    /// How far before the rule's clock an event may still matter.
    reach: Duration,
    /// Until this time of the stream's clock an event that came after its time may have opened an
    /// alert, if not here then where it is read again without those before it.
    lingers: Option<Timestamp>,
    windows: Vec<Window>,
    recent: Recent,
    values: Values,
    /// In order of their openings.
    lives: Vec<Life>,
}

/// A signal on its way into an entry.
pub(super) struct Arrival<'a> {
    pub(super) judge: &'a Judge,
    pub(super) event: &'a Signals,
    pub(super) signal: &'a Signal,
    /// The rule's clock.
    pub(super) clock: Timestamp,
    /// Since when the rule has been watching the key.
    pub(super) start: RuleStart,
    /// Whether it expects it.
    pub(super) expected: bool,
}

/// A version of a rule that is known.
pub(super) struct Known {
    pub(super) judge: Arc<Judge>,
    /// Whether this process runs it, or one that remembers the same.
    pub(super) runs: bool,
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

/// What is left of a key that was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Woken {
    /// Whether there is anything to remember.
    pub(super) needed: bool,
    /// Whether something that waited was lost, because its rule's version or its bytes are not known.
    pub(super) unreadable: bool,
}

impl state::Entry for Entry {
    fn due(&self) -> Timestamp {
        let told = self.lives.iter().map(|life| life.due() + self.lateness).min();
        let decides = self.windows.iter().filter_map(Window::due).min();
        told.into_iter().chain(decides).min().unwrap_or_else(|| self.expires_at())
    }

    fn pinned(&self) -> Option<Timestamp> {
        self.lives.iter().map(|life| life.alert.first_seen).min()
    }

    fn newest(&self) -> Timestamp {
        let of_windows = self.windows.iter().filter_map(|w| w.events).map(|(_, newest)| newest);
        of_windows.chain(self.recent.newest()).max().unwrap_or(Timestamp::MIN)
    }

    fn matters_until(&self) -> Timestamp {
        // `reach` is no less than `keep_open`.
        self.expires_at() + self.reach
    }

    fn oldest(&self) -> Timestamp {
        if self.lingers.is_some() {
            return Timestamp::MIN;
        }
        let of_windows = self.windows.iter().filter_map(|w| w.events).map(|(oldest, _)| oldest);
        let all = self.pinned().into_iter().chain(of_windows).chain(self.recent.oldest());
        all.min().unwrap_or(Timestamp::MAX)
    }
}

impl Entry {
    /// The version of the rule that last judged it.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Takes a signal that is not late, and tells the alerts it makes or changes.
    pub(super) fn take(&mut self, arrival: &Arrival<'_>, out: &mut Findings) -> Outcome {
        let Arrival { judge, event, signal, clock, .. } = *arrival;
        let rule = judge.rule();
        self.version = rule.hash;
        self.key = Some(signal.key.clone());
        self.lateness = rule.lateness;
        self.reach = reach(rule);
        self.settle(clock + rule.lateness);
        if event.time < clock {
            self.lingers = Some(clock + rule.lateness + rule.alert.keep_open);
        }

        let occurrence = judge.occurrence(event, signal);
        let counted = rule.detector.as_ref().map_or(Parts::ALL, |d| d.counted());
        if counted.meets(signal.parts) {
            let tuples = judge.tuples(occurrence.as_ref());
            if self.remember(arrival, &tuples) == Taken::Duplicate {
                return Outcome::Duplicate;
            }
        }

        let mut said = Verdicts::new();
        let outcome = self.fire(arrival, occurrence.as_ref(), &mut said);
        self.hear(judge, &said, clock, Some(arrival), out);
        outcome
    }

    /// Keeps an event that alerts count.
    fn remember(&mut self, arrival: &Arrival<'_>, tuples: &[u64]) -> Taken {
        let Arrival { judge, event, signal, .. } = *arrival;
        let rule = judge.rule();
        let room = rule.detector.as_ref().map_or(0, |d| d.keeps()).max(EVENTS_PER_KEY);
        let waits = rule.decides() == Decides::OnTheClock;
        let undecided = self.undecided().min(if waits { event.time } else { Timestamp::MAX });
        let matching = Matching {
            time: event.time,
            position: &event.position,
            parts: signal.parts,
            tuples,
            fields: &signal.fields,
        };
        let lives = &mut self.lives;
        let taken = self.recent.take(matching, room, undecided, |seen| {
            for life in lives.iter_mut() {
                life.let_go(seen);
            }
        });
        match taken {
            Taken::Duplicate => return taken,
            Taken::TooOld => self.lives.iter_mut().for_each(|life| life.miss(&matching)),
            Taken::New | Taken::NewPart => {}
        }
        self.lives.iter_mut().for_each(|life| life.meet(judge, &matching));
        judge.show(&mut self.values, &signal.fields, event.time);
        taken
    }

    /// Makes alerts of what a detector said, and tells what is new.
    fn hear(
        &mut self,
        judge: &Judge,
        said: &Verdicts,
        clock: Timestamp,
        arrival: Option<&Arrival<'_>>,
        out: &mut Findings,
    ) {
        for (time, position) in said.all_unmatched() {
            self.recent.forget(*time, position);
        }
        for verdict in said.iter() {
            let firing = match verdict {
                Verdict::Fired(firing) => firing,
                Verdict::Ended(time) => {
                    self.lives.iter_mut().for_each(|life| life.ended(*time));
                    continue;
                }
            };
            let own = arrival.filter(|a| firing.position.as_ref() == Some(&a.event.position));
            let fields = match own {
                Some(own) => own.signal.fields.clone(),
                None => self.fields_of(firing, judge.rule()),
            };
            let known = arrival.map_or(self.key.as_ref(), |arrival| Some(&arrival.signal.key));
            let key = match arrival {
                Some(_) => known.cloned(),
                None => known.map(|key| spelt(key, judge.rule(), &fields)),
            };
            let Some(key) = key else { continue };
            out.fired(judge, &key, firing);
            self.assign(judge, &key, firing, &fields, clock, &mut out.alerts);
        }
        self.tell_news(judge, &mut out.alerts);
    }

    /// Decides what waited for a time of the stream's clock, then tells the resolves that are due.
    /// `judges` finds a version of the rule.
    pub(super) fn wake(
        &mut self,
        time: Timestamp,
        judges: &dyn Fn(u64) -> Option<Known>,
        out: &mut Findings,
    ) -> Woken {
        let mut woken = Woken { needed: false, unreadable: false };
        let mut windows = std::mem::take(&mut self.windows);
        windows.retain_mut(|window| {
            if window.due().is_none_or(|due| due > time) {
                return true;
            }
            let clock = time - window.lateness;
            let known = judges(window.version);
            if known.as_ref().is_some_and(|known| known.judge.watches() && !known.runs) {
                return false;
            }
            let decided = known.is_some_and(|known| self.decide(window, clock, &known.judge, out));
            woken.unreadable |= !decided;
            decided
        });
        self.windows = windows;
        self.recent.release(self.undecided());

        let known = judges(self.version);
        let judge = known.as_ref().map(|known| &*known.judge);
        let clock = time - self.lateness;
        let (over, open) =
            std::mem::take(&mut self.lives).into_iter().partition(|l| l.due() <= clock);
        self.lives = open;
        for mut life in Vec::into_iter(over) {
            life.recount(&self.recent);
            life.resolve();
            tell(&mut life, judge, &self.recent, &self.values, &mut out.alerts);
            if life.alert.resolution == Some(Resolution::MaxOpen) && life.still_holds() {
                self.close(time, judges);
            }
        }
        self.settle(time);
        woken.needed = !self.lives.is_empty() || self.expires_at() > time;
        woken
    }

    /// Lets a window decide what its clock has passed; `false` when its memory cannot be read.
    fn decide(
        &mut self,
        window: &mut Window,
        clock: Timestamp,
        judge: &Judge,
        out: &mut Findings,
    ) -> bool {
        let Some(detector) = &judge.rule().detector else { return false };
        if window.memory.live(&**detector).is_err() {
            return false;
        }
        let mut said = Verdicts::new();
        if let Memory::Live(memory) = &mut window.memory {
            memory.advance(clock, &mut said);
        }
        window.note();
        self.hear(judge, &said, clock, None, out);
        true
    }

    /// Lets windows know that an alert was closed because it was open for too long. What their clocks
    /// have passed at this time of the stream is behind them then, though nothing happened since.
    fn close(&mut self, time: Timestamp, judges: &dyn Fn(u64) -> Option<Known>) {
        for window in &mut self.windows {
            let Some(known) = judges(window.version) else { continue };
            let Some(detector) = &known.judge.rule().detector else { continue };
            if window.memory.live(&**detector).is_ok()
                && let Memory::Live(memory) = &mut window.memory
            {
                memory.advance(time - window.lateness, &mut Verdicts::new());
                memory.closed();
            }
            window.note();
        }
    }

    /// Tells the alerts that have something new.
    fn tell_news(&mut self, judge: &Judge, out: &mut Vec<Alert>) {
        for life in &mut self.lives {
            if !life.take_touched() {
                continue;
            }
            life.recount(&self.recent);
            if life.is_news() {
                tell(life, Some(judge), &self.recent, &self.values, out);
            }
        }
    }

    /// What the key remembers of a firing's event; of a firing of the clock it is the key's own fields.
    fn fields_of(&self, firing: &Firing, rule: &Rule) -> Fields {
        let Some(position) = &firing.position else {
            let mut fields = Fields::default();
            let shown = self.key.iter().flat_map(Key::shown);
            for (name, value) in rule.group_by.iter().zip(shown) {
                fields.push(name.to_string().into(), [value.clone()].into());
            }
            return fields;
        };
        self.recent.fields(firing.time, position).cloned().unwrap_or_default()
    }

    /// The time of the oldest event that a window has yet to decide; the last of all times if none.
    fn undecided(&self) -> Timestamp {
        let wakes = self.windows.iter().filter_map(|window| window.wake_at).min();
        wakes.map_or(Timestamp::MAX, |wake| wake - Duration::from_millis(1))
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
    fn fire(
        &mut self,
        arrival: &Arrival<'_>,
        occurrence: Option<&Occurrence>,
        said: &mut Verdicts,
    ) -> Outcome {
        let Arrival { judge, event, clock, start, expected, .. } = *arrival;
        let rule = judge.rule();
        let (Some(detector), Some(occurrence)) = (&rule.detector, occurrence) else {
            said.push(Firing {
                time: event.time,
                position: Some(event.position.clone()),
                after: None,
                first: event.time,
                count: 1,
                value: 1.into(),
                previous: None,
                tuple: None,
                approximate: false,
            });
            return Outcome::Judged;
        };
        let mut outcome = Outcome::Judged;
        let fresh = || fresh(&**detector, start, expected, clock);
        let mut window = self.take_window(rule).unwrap_or_else(|| Window::new(rule, fresh()));
        if window.memory.live(&**detector).is_err() {
            outcome = Outcome::Unreadable;
            window.memory = Memory::Live(fresh());
        }
        if let Memory::Live(memory) = &mut window.memory {
            memory.observe(occurrence, said);
        }
        self.put_window(window);
        outcome
    }

    /// The rule expects to hear of the key, from `start` on, whether it has had events or not. `clock` is
    /// the rule's.
    pub(super) fn expect(&mut self, judge: &Judge, key: &Key, start: RuleStart, clock: Timestamp) {
        let rule = judge.rule();
        let Some(detector) = &rule.detector else { return };
        self.version = rule.hash;
        self.key.get_or_insert_with(|| key.clone());
        (self.lateness, self.reach) = (rule.lateness, reach(rule));
        let fresh = || fresh(&**detector, start, true, clock);
        let mut window = self.take_window(rule).unwrap_or_else(|| Window::new(rule, fresh()));
        if window.memory.live(&**detector).is_err() {
            window.memory = Memory::Live(fresh());
        }
        if let Memory::Live(memory) = &mut window.memory {
            memory.expect(start.at);
        }
        self.put_window(window);
    }

    /// The rule does not expect to hear of the key any more, from `at` on, a time of the stream's clock.
    /// No firing can come that an alert about its silence would grow by, so it is told to be over now.
    /// Gives whether there is anything left to remember.
    pub(super) fn release(&mut self, judge: &Judge, at: Timestamp, out: &mut Findings) -> bool {
        let rule = judge.rule();
        let window = rule.detector.as_ref().zip(self.take_window(rule));
        if let Some((detector, mut window)) = window
            && window.memory.live(&**detector).is_ok()
            && let Memory::Live(memory) = &mut window.memory
        {
            let mut said = Verdicts::new();
            memory.release(at, &mut said);
            self.put_window(window);
            self.hear(judge, &said, at, None, out);
        }
        let (over, open) =
            std::mem::take(&mut self.lives).into_iter().partition(Life::is_sustained);
        self.lives = open;
        for mut life in Vec::into_iter(over) {
            let held = life.release(at);
            life.recount(&self.recent);
            life.resolve();
            if held {
                life.alert.resolution = Some(Resolution::NotExpected);
            }
            tell(&mut life, Some(judge), &self.recent, &self.values, &mut out.alerts);
        }
        self.settle(at);
        !self.lives.is_empty() || self.expires_at() > at
    }

    /// The window of a version, which is to be put back.
    fn take_window(&mut self, rule: &Rule) -> Option<Window> {
        let at = self.windows.iter().position(|w| w.fingerprint == rule.fingerprint)?;
        let mut window = self.windows.swap_remove(at);
        (window.version, window.lateness) = (rule.hash, rule.lateness);
        Some(window)
    }

    fn put_window(&mut self, mut window: Window) {
        window.note();
        self.windows.push(window);
        self.windows.sort_by_key(|w| w.fingerprint);
    }

    /// Gives a firing to the last opened alert that it fits, or opens one.
    fn assign(
        &mut self,
        judge: &Judge,
        key: &Key,
        firing: &Firing,
        fields: &Fields,
        clock: Timestamp,
        out: &mut Vec<Alert>,
    ) {
        if judge.is_one_event() {
            let mut life = Life::open(judge, key, firing, fields, clock, None);
            show_opener(&mut life, firing, fields, &self.recent);
            life.raise(judge.severity(&life, firing.time, firing.position.as_ref(), fields));
            life.resolve_at_once();
            let mut values = Values::default();
            judge.show(&mut values, fields, firing.time);
            tell(&mut life, Some(judge), &Recent::default(), &values, out);
            return;
        }
        let tuple = judge.tuple(firing);
        let fit = self.lives.iter().rposition(|life| life.fits(firing.time, tuple));
        let at = if let Some(at) = fit {
            at
        } else {
            let cut = self.recent.cut().max(self.forgotten(judge, clock));
            let mut life = Life::open(judge, key, firing, fields, clock, cut);
            show_opener(&mut life, firing, fields, &self.recent);
            life.look_back(judge, &self.recent);
            self.make_room(judge, out);
            let at = self.lives.partition_point(|l| l.alert.opened_at <= firing.time);
            self.lives.insert(at, life);
            at
        };
        let forgotten = self.forgotten(judge, clock);
        let Some(life) = self.lives.get_mut(at) else { return };
        if fit.is_some() {
            life.reach_back(firing.first, forgotten);
            life.grow(judge, firing, fields, clock);
        }
        life.recount(&self.recent);
        life.raise(judge.severity(life, firing.time, firing.position.as_ref(), fields));
    }

    /// The latest time of which events may have been let go before an alert opens or grows back to it.
    /// Without a detector nothing is late, so that one may; with one, no firing reaches back so far.
    fn forgotten(&self, judge: &Judge, clock: Timestamp) -> Option<Timestamp> {
        let before = judge.rule().detector.is_none().then_some(clock - self.reach)?;
        Some(before - Duration::from_millis(1))
    }

    /// Ends the alert that would be over first, if there are as many as there may be.
    fn make_room(&mut self, judge: &Judge, out: &mut Vec<Alert>) {
        if self.lives.len() < ALERTS_PER_KEY {
            return;
        }
        let first = self.lives.iter().enumerate().min_by_key(|(_, life)| life.due());
        let Some((at, _)) = first else { return };
        let mut life = self.lives.remove(at);
        life.cut_short();
        life.recount(&self.recent);
        life.resolve();
        tell(&mut life, Some(judge), &self.recent, &self.values, out);
    }

    /// Lets go of what nothing that may still come can reach, at a time of the stream's clock.
    fn settle(&mut self, time: Timestamp) {
        let before = (time - self.lateness - self.reach).min(self.undecided());
        let lives = &mut self.lives;
        self.recent.settle(before, |seen| lives.iter_mut().for_each(|life| life.settle(seen)));
        let shown = self.lives.iter().map(|life| life.alert.first_seen).min();
        self.values.settle(shown.map_or(before, |first| first.min(before)));
        self.windows.retain(|window| window.expires_at + window.lateness > time);
        self.lingers = self.lingers.filter(|until| *until > time);
    }

    /// The stream's clock from which on nothing of it can matter, alerts aside.
    fn expires_at(&self) -> Timestamp {
        let newest = self.recent.newest().unwrap_or(Timestamp::MIN);
        let events = newest + self.reach + Duration::from_millis(1) + self.lateness;
        let windows = self.windows.iter().map(|w| w.expires_at + w.lateness);
        windows.chain(self.lingers).fold(events, Timestamp::max)
    }

    /// Its versioned encoding.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend_from_slice(&self.version.to_le_bytes());
        out.push(u8::from(self.key.is_some()));
        if let Some(key) = &self.key {
            key.encode(&mut out);
        }
        put_duration(&mut out, self.lateness);
        put_duration(&mut out, self.reach);
        put_maybe_time(&mut out, self.lingers);
        codec::put_len(&mut out, self.windows.len());
        for window in &self.windows {
            window.encode(&mut out);
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
            return Err(Broken("a key's memory of version 5"));
        }
        let version = bytes.fixed()?;
        let key = if bytes.byte()? == 0 { None } else { Some(Key::decode(&mut bytes)?) };
        let (lateness, reach) = (duration(&mut bytes)?, duration(&mut bytes)?);
        let lingers = maybe_time(&mut bytes)?;
        let mut windows = Vec::new();
        for _ in 0..bytes.count()? {
            windows.push(Window::decode(&mut bytes)?);
        }
        let (recent, values) = (Recent::decode(&mut bytes)?, Values::decode(&mut bytes)?);
        let mut lives = Vec::new();
        for _ in 0..bytes.count()? {
            lives.push(Life::decode(&mut bytes)?);
        }
        bytes.end()?;
        Ok(Self { version, key, lateness, reach, lingers, windows, recent, values, lives })
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

//! `[absence]`: a key that should report stays silent.
//!
//! A key is watched from its first event on; the keys that `expect` names (then no others), and the
//! one key of a rule without `group_by`, from the rule's start; an entry that comes to a list later, from
//! the clock at which it came. The clock fires once, at the first
//! T ≥ start + `within` at which (T − `within`, T] holds fewer than `fewer_than` events and lies
//! wholly inside `during`; and again only after an event has satisfied it: after which the window that
//! ends with it holds enough. The alert is over as of that event.
//!
//! When an alert was closed for its age, the key is forgotten until its next event; one that is
//! expected stays, and fires again only after it was satisfied.
//!
//! A key that is not expected any more, for it left its list, is watched no longer: what the clock had not
//! passed by then is not told, unless it is that an event has ended the silence. Of keys that are not
//! expected where others are, no more than the newest `fewer_than` events are kept, until the clock has
//! passed them: should the key be expected now, they are its first ones. That is all one needs to know of
//! them, unless events run further ahead of the clock than `within`.
//!
//! Of an event only time and place are kept, and only while a window can reach it. Of events that
//! stand closely together the middle ones are not kept, which changes no answer: see
//! [`Watch::is_redundant`]. Should more than [`EVENTS_MAX`] be left, the older half is decided before
//! the clock has passed it, and what fires then says so.

use std::sync::Arc;
use std::time::Duration;

use super::shared::expect::{self, Expect};
use super::{
    Decides, Detector, DetectorSpec, EVENTS_MAX, Firing, KeyState, Occurrence, Parts, Reading,
    RuleStart, Verdicts, bounded_count,
};
use crate::base::document::Table;
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics, Timestamp, duration};
use crate::event::{FieldName, Scalar};
use crate::query::{Schedule, Sets};
use crate::state::codec::{self, Broken, Reader};
use crate::state::timeline::{Placed, Timeline};

/// The detector's entry in the family's table.
pub const SPEC: DetectorSpec = DetectorSpec {
    table: "absence",
    summary: "Fires when a key has had fewer than `fewer_than` events for as long as `within`.",
    example: r#"title    = "A product sends no audit events"
severity = "high"
when     = 'event.provider: *'
group_by = ["event.provider"]

[absence]
within = "6h"
expect = ["opsknight", "squadcast"]
"#,
    decides: Decides::OnTheClock,
    keys: &[
        KeySpec::required("within", Shape::Duration, "How long the silence lasts."),
        KeySpec::optional(
            "fewer_than",
            Shape::Count,
            "1",
            "Fewer events than this are silence, from 1 to 1,000.",
        ),
        KeySpec::optional(
            "expect",
            Shape::Any(&[Shape::Texts, Shape::Text]),
            "every key once it was seen",
            "The keys that must report, at most 10,000: values of the `group_by` field (for several fields a list or a table of values each), or `@name` for the entries of a list: those that come to its file later are expected from then on, those that leave it no longer.",
        ),
        KeySpec::optional(
            "during",
            Shape::Text,
            "always",
            "The schedule that a whole window must lie in, `@name`.",
        ),
    ],
    parse,
};

/// The highest `fewer_than`.
pub const FEWER_THAN_MAX: usize = 1_000;

/// One millisecond: what stands between a moment and the next.
const NEXT: Duration = Duration::from_millis(1);

const FORMAT: u8 = 2;

/// The settings of one rule.
#[derive(Debug)]
struct Absence {
    settings: Settings,
    expect: Option<Expect>,
    /// The schedule's name; what it says is no part of the rule.
    during: Option<String>,
}

/// What every key needs to know.
#[derive(Debug, Clone)]
struct Settings {
    within: Duration,
    /// From 1 to [`FEWER_THAN_MAX`].
    fewer_than: usize,
    during: Option<Arc<Schedule>>,
    /// The rule has no `group_by`: its one key is expected.
    one_key: bool,
    /// Keys that are not expected are nobody's business.
    only_expected: bool,
}

/// What is remembered of one key.
#[derive(Debug)]
struct Watch {
    settings: Settings,
    expected: bool,
    /// From when it is watched; `None`: it is not.
    since: Option<Timestamp>,
    /// It has fired, and was not satisfied since.
    silent: bool,
    /// Every T before is decided.
    decided: Timestamp,
    /// The T that is to be looked at next: nothing happens before.
    next: Option<Timestamp>,
    /// What the windows from `decided` on can reach, and the newest event before that.
    events: Timeline<()>,
}

fn parse(
    mut table: Table<'_>,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    table.require("within", found);
    let within = table.duration("within", found);
    let fewer_than = if table.has("fewer_than") {
        bounded_count(&mut table, "fewer_than", FEWER_THAN_MAX, found)
    } else {
        table.allow(&["fewer_than"]);
        Some(1)
    };
    let expect = table.item("expect").map(|item| Expect::read(&item, reading, found));
    let during = table.item("during").map(|item| {
        let text = item.text(found)?;
        let name = text.value.strip_prefix('@').unwrap_or(&text.value);
        let sets = reading.sets();
        if let Some(schedule) = sets.schedule(name) {
            return Some((name.to_owned(), schedule.clone()));
        }
        found.push(if sets.list(name).is_some() {
            let message = format!("expected a schedule, found the list `{name}`");
            Diagnostic::error("not-a-schedule", text.span.clone(), message)
        } else {
            expect::unknown("schedule", name, &text, sets)
        });
        None
    });
    table.finish(found);
    let (within, fewer_than) = (within?, fewer_than?);
    let expect = if let Some(expect) = expect { Some(expect?) } else { None };
    let during = if let Some(during) = during { Some(during?) } else { None };
    if let Some((name, schedule)) = &during
        && schedule.first_inside(Timestamp::default(), within.value).is_none()
    {
        let written = duration::print(within.value);
        let message = format!("`{name}` is never open for longer than {written}: this cannot fire");
        found.push(Diagnostic::error("out-of-range", within.span, message));
        return None;
    }
    let settings = Settings {
        within: within.value,
        fewer_than,
        during: during.as_ref().map(|(_, schedule)| schedule.clone()),
        one_key: reading.group_by().is_empty(),
        only_expected: expect.is_some(),
    };
    let during = during.map(|(name, _)| name);
    Some(Box::new(Absence { settings, expect, during }))
}

impl Detector for Absence {
    fn spec(&self) -> &'static DetectorSpec {
        &SPEC
    }

    fn canonical(&self) -> String {
        let within = duration::print(self.settings.within);
        let expect = self.expect.as_ref().map_or_else(|| "-".to_owned(), Expect::canonical);
        let during = self.during.as_ref().map_or_else(|| "-".to_owned(), |name| format!("@{name}"));
        let fewer_than = self.settings.fewer_than;
        format!("within={within} fewer_than={fewer_than} during={during} expect={expect}")
    }

    fn span(&self) -> Duration {
        self.settings.within
    }

    fn counted(&self) -> Parts {
        // An alert about silence counts nothing.
        Parts::default()
    }

    fn keeps(&self) -> usize {
        0
    }

    fn fields(&self) -> Vec<FieldName> {
        Vec::new()
    }

    fn looks_down(&self) -> bool {
        true
    }

    fn watches(&self) -> bool {
        true
    }

    fn expected(&self, sets: &Sets) -> Vec<Vec<Scalar>> {
        match &self.expect {
            Some(expect) => expect.keys(sets),
            None if self.settings.one_key => vec![Vec::new()],
            None => Vec::new(),
        }
    }

    fn expected_list(&self) -> Option<&str> {
        self.expect.as_ref()?.list()
    }

    fn fresh(&self, start: RuleStart) -> Box<dyn KeyState> {
        let settings = self.settings.clone();
        let one_key = settings.one_key;
        let mut watch = Watch {
            settings,
            expected: false,
            since: None,
            silent: false,
            decided: Timestamp::MIN,
            next: None,
            events: Timeline::default(),
        };
        if one_key {
            watch.expect(start.at);
        }
        Box::new(watch)
    }

    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken> {
        Ok(Box::new(Watch::decode(self.settings.clone(), bytes)?))
    }
}

impl KeyState for Watch {
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts) {
        let time = occurrence.time;
        let placed = self.events.insert(time, &occurrence.position, (), usize::MAX);
        let Placed::At(at) = placed else { return };
        if self.is_nobodys() {
            self.keep_newest();
            return;
        }
        self.thin_around(at);
        let begins = self.since.is_none_or(|since| time < since);
        if begins && !self.expected {
            self.since = Some(time);
            self.next = self.first_absent();
        } else if self.silent && time >= self.decided {
            self.next = Some(self.next.map_or(time, |next| next.min(time)));
        }
        // Else one more event can only make it later, and `next` need not be exact.
        if self.events.len() > EVENTS_MAX
            && let Some(middle) = self.events.get(EVENTS_MAX / 2).map(|event| event.time)
        {
            self.decide(middle, true, out);
        }
    }

    fn advance(&mut self, clock: Timestamp, out: &mut Verdicts) {
        self.decide(clock, false, out);
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.next.map(|next| next + NEXT)
    }

    fn expect(&mut self, since: Timestamp) {
        if !self.expected {
            self.expected = true;
            self.since = Some(since);
            self.next = self.upcoming();
        }
    }

    fn release(&mut self, at: Timestamp, out: &mut Verdicts) {
        if self.silent
            && let Some(time) = self.first_satisfied().filter(|time| *time <= at)
        {
            out.ended(time);
        }
        (self.expected, self.silent, self.since, self.next) = (false, false, None, None);
        self.keep_newest();
    }

    fn closed(&mut self) {
        if !self.silent || self.expected {
            return;
        }
        // Forgotten; what waits to be decided is its next event.
        self.silent = false;
        for _ in 0..self.events.before(self.decided) {
            self.events.take_oldest();
        }
        self.since = self.events.get(0).map(|event| event.time);
        self.next = self.first_absent();
    }

    fn depends_on(&self) -> Option<(Timestamp, Timestamp)> {
        let oldest = self.events.get(0)?.time;
        Some((oldest, self.events.newest()?))
    }

    fn expires_at(&self) -> Timestamp {
        // Silence can go on for ever, and is to be told whenever it begins.
        if self.since.is_some() {
            return Timestamp::MAX;
        }
        self.events.newest().map_or(Timestamp::MIN, |newest| newest + NEXT)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        let flags = [self.expected, self.silent, self.since.is_some(), self.next.is_some()];
        out.push(flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
        for time in self.since.iter().chain(&self.next) {
            codec::put_time(out, *time);
        }
        codec::put_time(out, self.decided);
        self.events.encode(out, |_, ()| {});
    }
}

impl Watch {
    /// Says what happened at every T before `clock`.
    fn decide(&mut self, clock: Timestamp, early: bool, out: &mut Verdicts) {
        while let Some(time) = self.upcoming().filter(|time| *time < clock) {
            if self.silent {
                out.ended(time);
            } else {
                out.push(self.firing(time, early));
            }
            self.silent = !self.silent;
            self.decided = time + NEXT;
        }
        self.decided = self.decided.max(clock);
        self.prune();
        self.next = self.upcoming();
    }

    /// The first undecided T at which something happens, as far as the events so far tell.
    fn upcoming(&self) -> Option<Timestamp> {
        if self.silent { self.first_satisfied() } else { self.first_absent() }
    }

    /// The first undecided T at which the window holds too few events and lies inside `during`.
    fn first_absent(&self) -> Option<Timestamp> {
        let Settings { within, fewer_than, .. } = self.settings;
        let mut time = self.decided.max(self.since? + within);
        loop {
            if let Some(during) = &self.settings.during {
                time = during.first_inside(time, within)?;
            }
            // The event that makes the window's count enough, if one does.
            let enough = self.events.before(time + NEXT).checked_sub(fewer_than);
            match enough.and_then(|at| self.events.get(at)).map(|event| event.time) {
                Some(event) if time.since(event) < within => time = event + within,
                _ => return Some(time),
            }
            if time == Timestamp::MAX {
                return None;
            }
        }
    }

    /// The first undecided event with which the window that ends there holds enough.
    fn first_satisfied(&self) -> Option<Timestamp> {
        let Settings { within, fewer_than, .. } = self.settings;
        let from = self.events.before(self.decided).max(fewer_than - 1);
        (from..self.events.len()).find_map(|at| {
            let last = self.events.get(at)?.time;
            let first = self.events.get(at + 1 - fewer_than)?.time;
            (last.since(first) < within).then_some(last)
        })
    }

    fn firing(&self, time: Timestamp, approximate: bool) -> Firing {
        // (T − within, T]
        let start = self.events.before(time - self.settings.within + NEXT);
        let held = self.events.before(time + NEXT).saturating_sub(start);
        let first = self.events.get(start).filter(|_| held > 0).map_or(time, |event| event.time);
        Firing {
            time,
            position: None,
            after: None,
            first,
            count: 0,
            value: held.into(),
            previous: None,
            tuple: None,
            approximate,
        }
    }

    /// Lets go of what no window from now on can reach, but for one: memory that is made again from
    /// the log on must be watching by then.
    fn prune(&mut self) {
        let reached = self.events.before(self.decided - self.settings.within + NEXT);
        for _ in 1..reached {
            self.events.take_oldest();
        }
    }

    /// Whether it is a key that is not expected where others are.
    fn is_nobodys(&self) -> bool {
        self.settings.only_expected && !self.expected
    }

    /// Lets go of what more events than make enough came after.
    fn keep_newest(&mut self) {
        while self.events.len() > self.settings.fewer_than {
            self.events.take_oldest();
        }
    }

    fn thin_around(&mut self, at: usize) {
        let fewer_than = self.settings.fewer_than;
        // In order of arrival it is the one so many before the new one; from the back, for places
        // move.
        for at in [at.checked_add(fewer_than), Some(at), at.checked_sub(fewer_than)] {
            if let Some(at) = at.filter(|at| self.is_redundant(*at)) {
                self.events.remove(at);
            }
        }
    }

    /// Whether the answer is the same without this event, at every T, whatever else may come. It is when
    /// so many events before it as make enough and so many after it lie no more than `within` apart: a
    /// window that holds this event holds all of those after it, or all of those before.
    fn is_redundant(&self, at: usize) -> bool {
        let Settings { within, fewer_than, .. } = self.settings;
        let before = at.checked_sub(fewer_than).and_then(|at| self.events.get(at));
        let after = self.events.get(at + fewer_than);
        before.zip(after).is_some_and(|(before, after)| after.time.since(before.time) <= within)
    }

    fn decode(settings: Settings, bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != FORMAT {
            return Err(Broken("an absence's memory of version 2"));
        }
        let flags = bytes.byte()?;
        let since = if flags & 4 == 0 { None } else { Some(bytes.time()?) };
        let next = if flags & 8 == 0 { None } else { Some(bytes.time()?) };
        let decided = bytes.time()?;
        let events = Timeline::decode(&mut bytes, EVENTS_MAX, |_| Ok(()))?;
        bytes.end()?;
        let (expected, silent) = (flags & 1 != 0, flags & 2 != 0);
        Ok(Self { settings, expected, since, silent, decided, next, events })
    }
}

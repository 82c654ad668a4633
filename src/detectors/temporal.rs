//! `[temporal]`: several things happened to one key within so much time, in whatever order.
//!
//! Each `[[temporal.of]]` is a *part*: a condition (the rule's `when` holds for it as well) and how many
//! events must meet it. The window slides on event time, both ends included, and ends at an event of
//! any part: that event fires when, among it and those before it in (time, position), at least
//! `at_least` parts have their `count` within `within`. One event counts for every part it meets, and
//! nothing is consumed. A part may name the key by other fields than the rule's `group_by`.
//!
//! Which events fire does not depend on the order of arrival, as far back as the newest events that
//! are kept of each part: 4 × `count`, or [10,000](super::EVENTS_MAX) of a part that needs only one.
//! An event is remembered as long as one of its parts keeps it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Decides, Detector, DetectorSpec, Firing, KEPT, KeyState, Occurrence, PARTS_MAX, Part, Parts,
    Reading, RuleStart, Verdicts, part_group_by, room,
};
use crate::base::document::{Spanned, Table};
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics, Timestamp, duration};
use crate::event::FieldName;
use crate::query::Query;
use crate::state::codec::{self, Broken, Reader};
use crate::state::timeline::{Placed, Timeline};

/// The detector's entry in the family's table.
pub const SPEC: DetectorSpec = DetectorSpec {
    table: "temporal",
    summary: "Fires on every event that leaves all parts (or `at_least` of them) met within `within`, in any order.",
    example: r#"title    = "Account taken over: new factor, new address, new key"
severity = "high"
group_by = ["user.name"]

[temporal]
within   = "1h"
at_least = 2

[[temporal.of]]
name = "a second factor changed"
when = 'event.category: iam and event.action: *factor*'

[[temporal.of]]
name  = "failed logins"
when  = 'event.category: authentication and event.outcome: failure'
count = 5

[[temporal.of]]
name     = "somebody else changed the user"
when     = 'event.category: iam and user.target.name: *'
group_by = ["user.target.name"]
"#,
    decides: Decides::OnArrival,
    keys: &[
        KeySpec::required(
            "within",
            Shape::Duration,
            "The longest time from the first event of the parts to the last.",
        ),
        KeySpec::required("of", Shape::Tables(OF), "The parts, from 1 to 64."),
        KeySpec::optional(
            "at_least",
            Shape::Count,
            "all of them",
            "How many of the parts must have happened.",
        ),
    ],
    parse,
};

/// The keys of one part.
const OF: &[KeySpec] = &[
    KeySpec::optional("name", Shape::Text, "", "What people call the part; each name once."),
    KeySpec::optional(
        "when",
        Shape::Query,
        "the rule's `when` alone",
        "What an event must meet, beside the rule's `when` if it has one.",
    ),
    KeySpec::optional("count", Shape::Count, "1", "How many events must meet it."),
    KeySpec::optional(
        "group_by",
        Shape::Fields,
        "the rule's `group_by`",
        "The fields that name the key for this part, one for each of the rule's, in the same order.",
    ),
];

/// The most that the `count`s of all parts may add up to.
pub const COUNT_MAX: usize = 100_000;

const FORMAT: u8 = 1;

/// The settings of one rule.
#[derive(Debug)]
struct Temporal {
    bounds: Bounds,
    of: Vec<Of>,
}

/// One part as its author wrote it.
#[derive(Debug)]
struct Of {
    name: Option<String>,
    when: Option<Query>,
    count: usize,
    group_by: Option<Vec<FieldName>>,
}

/// What every key's memory needs of the settings.
#[derive(Debug, Clone)]
struct Bounds {
    within: Duration,
    at_least: usize,
    /// Of each part.
    counts: Arc<[usize]>,
}

/// What is remembered of one key.
#[derive(Debug)]
struct Events {
    bounds: Bounds,
    /// The events that some part keeps.
    kept: Timeline<Note>,
    /// Where the newest events of each part stand, as many as there is [`room`] for.
    parts: Vec<Timeline<()>>,
}

#[derive(Debug)]
struct Note {
    /// The parts that keep it.
    parts: Parts,
    fired: bool,
}

fn parse(
    mut table: Table<'_>,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    table.require("within", found);
    let within = table.duration("within", found);
    table.require("of", found);
    let span = table.item("of").map(|of| of.span);
    let written = table.tables("of", found);
    let all = written.len();
    let mut names = BTreeSet::new();
    let of: Vec<Of> =
        written.into_iter().filter_map(|part| read(part, reading, &mut names, found)).collect();
    let has_at_least = table.has("at_least");
    let at_least = table.count("at_least", found);
    table.finish(found);
    let span = span?;
    if all == 0 || all > PARTS_MAX {
        let message = format!("expected from 1 to {PARTS_MAX} parts, found {all}");
        found.push(Diagnostic::error("out-of-range", span, message));
        return None;
    }
    let at_least = match at_least {
        Some(at_least) => fitting(&at_least, all, found)?,
        None if has_at_least => return None,
        None => all,
    };
    let counts: Arc<[usize]> = of.iter().map(|part| part.count).collect();
    if counts.iter().fold(0_usize, |sum, count| sum.saturating_add(*count)) > COUNT_MAX {
        let message = format!("expected counts of at most {COUNT_MAX} in all parts together");
        found.push(Diagnostic::error("out-of-range", span, message));
        return None;
    }
    let bounds = Bounds { within: within?.value, at_least, counts };
    (of.len() == all).then(|| Box::new(Temporal { bounds, of }) as Box<dyn Detector>)
}

/// How many parts must be met, if there are as many.
fn fitting(at_least: &Spanned<u64>, parts: usize, found: &mut Diagnostics) -> Option<usize> {
    let fitting = usize::try_from(at_least.value).ok().filter(|value| *value <= parts);
    if fitting.is_none() {
        let message = format!(
            "expected `at_least` of at most the number of parts ({parts}), found `{}`",
            at_least.value
        );
        found.push(Diagnostic::error("out-of-range", at_least.span.clone(), message));
    }
    fitting
}

/// Reads one part; `None` when something in it is wrong, which has been reported.
fn read(
    mut table: Table<'_>,
    reading: &dyn Reading,
    names: &mut BTreeSet<String>,
    found: &mut Diagnostics,
) -> Option<Of> {
    let errors = found.errors();
    let name = table.text("name", found);
    if let Some(name) = &name
        && !names.insert(name.value.clone())
    {
        let message = format!("two parts have the name `{}`", name.value);
        found.push(Diagnostic::error("duplicate-part", name.span.clone(), message));
    }
    if !reading.has_when() && !table.has("when") {
        let message = "expected a `when`, for the rule has none that holds for every part";
        found.push(Diagnostic::error("missing-key", table.span(), message));
    }
    let when = table.text("when", found).and_then(|text| reading.query(&text, found));
    let count = table.count("count", found).map_or(1, |count| count.value);
    let group_by = part_group_by(&mut table, reading, found);
    table.finish(found);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let name = name.map(|name| name.value);
    (found.errors() == errors).then_some(Of { name, when, count, group_by })
}

impl Of {
    fn part(&self) -> Part<'_> {
        Part {
            name: self.name.as_deref(),
            when: self.when.as_ref(),
            with_rule: true,
            group_by: self.group_by.as_deref(),
        }
    }
}

impl Detector for Temporal {
    fn spec(&self) -> &'static DetectorSpec {
        &SPEC
    }

    fn canonical(&self) -> String {
        let Bounds { within, at_least, .. } = &self.bounds;
        let mut text = format!("within={} at_least={at_least}", duration::print(*within));
        for Of { name, when, count, group_by } in &self.of {
            let when = when.as_ref().map(ToString::to_string);
            let group_by: Option<Vec<String>> =
                group_by.as_ref().map(|fields| fields.iter().map(ToString::to_string).collect());
            // Writing to a String cannot fail.
            let _infallible = write!(
                text,
                " of(name={name:?} when={when:?} count={count} group_by={group_by:?})"
            );
        }
        text
    }

    fn span(&self) -> Duration {
        self.bounds.within
    }

    fn parts(&self) -> Vec<Part<'_>> {
        self.of.iter().map(Of::part).collect()
    }

    fn keeps(&self) -> usize {
        self.bounds.counts.iter().map(|count| KEPT * count).sum()
    }

    fn fields(&self) -> Vec<FieldName> {
        Vec::new()
    }

    fn fresh(&self, _start: RuleStart) -> Box<dyn KeyState> {
        Box::new(Events::new(self.bounds.clone()))
    }

    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken> {
        Ok(Box::new(Events::decode(self.bounds.clone(), bytes)?))
    }
}

impl KeyState for Events {
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts) {
        let (time, position) = (occurrence.time, &occurrence.position);
        let mut keep = Parts::default();
        let counts = self.bounds.counts.clone();
        for (n, (part, count)) in self.parts.iter_mut().zip(&*counts).enumerate() {
            if occurrence.parts.has(n)
                && let Placed::At(_) = part.insert(time, position, (), room(*count))
            {
                keep = keep.with(n);
            }
        }
        if keep.is_empty() {
            return;
        }
        let at = match self.kept.find(time, position) {
            Ok(at) => at,
            Err(at) => {
                let note = Note { parts: Parts::default(), fired: false };
                self.kept.insert(time, position, note, usize::MAX);
                at
            }
        };
        if let Some(event) = self.kept.get_mut(at) {
            event.note.parts = Parts(event.note.parts.0 | keep.0);
        }
        self.judge_from(at, out);
        self.make_room();
    }

    fn advance(&mut self, _clock: Timestamp, _out: &mut Verdicts) {
        // Everything was decided on arrival.
    }

    fn expires_at(&self) -> Timestamp {
        // An event counts while it is no older than the clock less `within`, and its window reaches
        // back by `within` once more.
        let within = self.bounds.within;
        let newest = self.kept.newest().unwrap_or(Timestamp::MIN);
        newest + within + within + Duration::from_millis(1)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        self.kept.encode(out, |out, note| {
            codec::put_u64(out, note.parts.0);
            out.push(u8::from(note.fired));
        });
        for part in &self.parts {
            out.push(u8::from(part.cut().is_some()));
            if let Some(cut) = part.cut() {
                codec::put_time(out, cut);
            }
        }
    }
}

impl Events {
    fn new(bounds: Bounds) -> Self {
        let parts = bounds.counts.iter().map(|_| Timeline::default()).collect();
        Self { bounds, kept: Timeline::default(), parts }
    }

    /// Judges the windows that end at the event at `from` or, containing it, at a later one.
    fn judge_from(&mut self, from: usize, out: &mut Verdicts) {
        let within = self.bounds.within;
        let Some(added) = self.kept.get(from).map(|event| event.time) else { return };
        let mut at = from;
        while let Some(last) = self.kept.get(at) {
            let (time, position) = (last.time, last.position.clone());
            if time.since(added) > within {
                break;
            }
            let met = if last.note.fired { 0 } else { self.met(at) };
            if met >= self.bounds.at_least {
                let start = self.kept.start(time, within);
                let first = self.kept.get(start).map_or(time, |event| event.time);
                let approximate = self.parts.iter().any(|part| part.is_cut(time, within));
                if let Some(last) = self.kept.get_mut(at) {
                    last.note.fired = true;
                }
                out.push(Firing {
                    time,
                    position: Some(position),
                    after: None,
                    first,
                    count: (at + 1 - start) as u64,
                    value: met.into(),
                    previous: None,
                    tuple: None,
                    approximate,
                });
            }
            at += 1;
        }
    }

    /// How many parts have happened in the window that ends at the event at an index.
    fn met(&self, at: usize) -> usize {
        let Some(last) = self.kept.get(at) else { return 0 };
        let (time, within) = (last.time, self.bounds.within);
        let is_met = |(part, count): &(&Timeline<()>, &usize)| {
            let upto = part.find(time, &last.position).map_or_else(|at| at, |at| at + 1);
            let earliest = upto.checked_sub(**count).and_then(|at| part.get(at));
            earliest.is_some_and(|earliest| time.since(earliest.time) <= within)
        };
        self.parts.iter().zip(&*self.bounds.counts).filter(is_met).count()
    }

    /// Lets each part's oldest events go that it has no room for, and those that no part keeps.
    fn make_room(&mut self) {
        for (n, (part, count)) in self.parts.iter_mut().zip(&*self.bounds.counts).enumerate() {
            while part.len() > room(*count) {
                let Some(oldest) = part.cut_oldest() else { break };
                let Ok(at) = self.kept.find(oldest.time, &oldest.position) else { continue };
                let Some(event) = self.kept.get_mut(at) else { continue };
                event.note.parts = event.note.parts.without(n);
                if event.note.parts.is_empty() {
                    self.kept.remove(at);
                }
            }
        }
    }

    fn decode(bounds: Bounds, bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != FORMAT {
            return Err(Broken("a temporal's memory of version 1"));
        }
        let all = bounds.counts.iter().map(|count| room(*count)).sum();
        let kept = Timeline::decode(&mut bytes, all, |bytes| {
            Ok(Note { parts: Parts(bytes.u64()?), fired: bytes.byte()? != 0 })
        })?;
        let mut events = Self::new(bounds);
        let known = events.parts.iter().enumerate().fold(Parts::default(), |p, (n, _)| p.with(n));
        for at in 0..kept.len() {
            let Some(event) = kept.get(at) else { continue };
            let parts = event.note.parts;
            if parts.is_empty() || Parts(parts.0 | known.0) != known {
                return Err(Broken("events of the rule's parts"));
            }
            for (n, part) in events.parts.iter_mut().enumerate().filter(|(n, _)| parts.has(*n)) {
                let room = events.bounds.counts.get(n).map_or(0, |count| room(*count));
                part.insert(event.time, &event.position, (), room);
                if part.len() > room {
                    return Err(Broken("no more events than a part keeps"));
                }
            }
        }
        events.kept = kept;
        for part in &mut events.parts {
            if bytes.byte()? != 0 {
                part.note_cut(bytes.time()?);
            }
        }
        bytes.end()?;
        Ok(events)
    }
}

//! One alert's life by event time (RULES §5): it opens with a firing, grows with those that fit, and
//! is over `keep_open` after the last one, or `max_open` after its opening.
//!
//! When it was over is decided by firings alone; the rule's clock only decides when that is told.

use std::sync::Arc;
use std::time::Duration;

use crate::base::id::Id;
use crate::base::{Position, Severity, Timestamp};
use crate::detectors::Firing;
use crate::engine::{Fields, Key};
use crate::event::Scalar;
use crate::rule::Rule;
use crate::state::codec::{self, Broken, Reader};

use super::about::About;
use super::recent::{Matching, Recent, Seen, maybe_time, put_maybe_time};
use super::record::{Alert, AlertStatus, Resolution, RuleInfo};
use super::rules::Judge;

/// An alert whose resolve has not been told.
#[derive(Debug, Clone)]
pub(super) struct Life {
    /// The record, as far as firings and counts make it; words and samples are those last told.
    pub(super) alert: Alert,
    /// The latest firing by (time, position), and what its event had.
    last: (Timestamp, Option<Position>),
    pub(super) fields: Fields,
    /// The rule's clock when a firing last arrived.
    arrived: Timestamp,
    keep_open: Duration,
    max_open: Duration,
    /// For what stays open until its condition is false.
    sustained: Option<Sustained>,
    counted: Counted,
    /// What it is about beside the key.
    about: Option<About>,
    /// Whether something came since it was last counted.
    touched: bool,
    /// Whether the latest firing's value is a lower bound.
    value_approximate: bool,
    /// Count and severity when it was last told.
    told: Option<(u64, Severity)>,
}

/// What is known of a condition that is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sustained {
    /// When it became false after the last firing, if it has.
    ended: Option<Timestamp>,
}

/// Events that are counted, though the key does not remember them one by one any more.
#[derive(Debug, Clone, Default)]
struct Counted {
    events: u64,
    last: Option<Timestamp>,
    /// Events that were let go without being counted: the latest of those before the alert's first,
    /// the earliest of those after its end. Should it ever reach them, its count is a lower bound.
    missed_before: Option<Timestamp>,
    missed_after: Option<Timestamp>,
    lost: bool,
}

impl Life {
    /// Opens an alert. `fields` are those of the firing's event.
    pub(super) fn open(
        judge: &Judge,
        key: &Key,
        firing: &Firing,
        fields: &Fields,
        clock: Timestamp,
        cut: Option<Timestamp>,
    ) -> Self {
        let rule = judge.rule();
        let opener = match &firing.position {
            Some(position) => position.to_string(),
            None => format!("@{}", firing.time.as_millis()),
        };
        let mut id = Id::new("alert").part(rule.id.as_bytes()).part(key.bytes());
        let about = judge.tuple(firing).map(About::new);
        if let Some(about) = &about {
            id = id.part(about.tuple());
        }
        let value = firing.value.clone();
        let alert = Alert {
            id: id.part(opener.as_bytes()).finish(),
            revision: 0,
            status: AlertStatus::Open,
            severity: Severity::Info,
            title: String::new(),
            summary: String::new(),
            rule: RuleInfo::default(),
            key: judge.key(key),
            count: firing.count,
            firings: 1,
            value: value.clone(),
            previous: firing.previous.clone(),
            peak: value,
            approximate: firing.approximate,
            opened_at: firing.time,
            first_seen: firing.first,
            last_seen: firing.time,
            resolved_at: None,
            resolution: None,
            samples: Vec::new(),
            template_failures: Vec::new(),
        };
        Self {
            alert,
            last: (firing.time, firing.position.clone()),
            fields: fields.clone(),
            arrived: clock,
            keep_open: rule.alert.keep_open,
            max_open: rule.alert.max_open,
            sustained: sustained(rule),
            counted: Counted { missed_before: cut, ..Counted::default() },
            about,
            touched: true,
            value_approximate: firing.approximate,
            told: None,
        }
    }

    /// Whether a firing at `time`, about this tuple if any, belongs to it.
    pub(super) fn fits(&self, time: Timestamp, tuple: Option<&Arc<[u8]>>) -> bool {
        self.about.as_ref().map(About::tuple) == tuple
            && time + self.keep_open >= self.alert.opened_at
            && time <= self.reaches()
    }

    /// Whether an event with these tuples is one of those that it counts.
    fn concerns(&self, tuples: &[u64]) -> bool {
        self.about.as_ref().is_none_or(|about| tuples.contains(&about.hash()))
    }

    /// Takes note of one more event of the key.
    pub(super) fn meet(&mut self, judge: &Judge, event: &Matching<'_>) {
        if self.concerns(event.tuples) {
            self.touched = true;
            if let Some(about) = &mut self.about {
                about.take(judge, event.fields, event.time);
            }
        }
    }

    /// Takes the values of those events that came before it opened, while they waited.
    pub(super) fn look_back(&mut self, judge: &Judge, recent: &Recent) {
        let Some(about) = &mut self.about else { return };
        for seen in recent.latest(self.alert.first_seen, Timestamp::MAX, Some(about.hash())) {
            if let Some(fields) = &seen.fields {
                about.take(judge, fields, seen.time);
            }
        }
    }

    /// What is known of the events that it is about, if those are not all of its key's.
    pub(super) fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// Takes a firing that fits.
    pub(super) fn grow(
        &mut self,
        judge: &Judge,
        firing: &Firing,
        fields: &Fields,
        clock: Timestamp,
    ) {
        let alert = &mut self.alert;
        alert.firings += 1;
        alert.first_seen = alert.first_seen.min(firing.first);
        let value = firing.value.clone();
        let down = self.sustained.is_some();
        if is_beyond(&value, &alert.peak, down) {
            alert.peak = value.clone();
        }
        let place = (firing.time, firing.position.clone());
        if place >= self.last {
            self.last = place;
            self.fields = fields.clone();
            alert.value = value;
            alert.previous.clone_from(&firing.previous);
            self.value_approximate = firing.approximate;
        }
        self.arrived = clock;
        self.touched = true;
        if let Some(sustained) = &mut self.sustained {
            // True again.
            sustained.ended = sustained.ended.filter(|ended| *ended > firing.time);
        }
        self.keep_open = judge.rule().alert.keep_open;
        self.max_open = judge.rule().alert.max_open;
    }

    /// Raises the severity, never lowers it.
    pub(super) fn raise(&mut self, severity: Severity) {
        self.alert.severity = self.alert.severity.max(severity);
    }

    /// A firing at `first` is about to grow it: if that lies before all it has seen so far, events up
    /// to `forgotten` may be missing in between.
    pub(super) fn reach_back(&mut self, first: Timestamp, forgotten: Option<Timestamp>) {
        let before = self.alert.first_seen - Duration::from_millis(1);
        if first <= before {
            let missed = forgotten.map(|forgotten| forgotten.min(before));
            self.counted.missed_before = self.counted.missed_before.max(missed);
        }
    }

    /// The condition became false at `time`; only told of what stays open until then.
    pub(super) fn ended(&mut self, time: Timestamp) {
        if let Some(sustained) = self.sustained.as_mut().filter(|_| time >= self.last.0) {
            sustained.ended = sustained.ended.or(Some(time));
        }
    }

    /// When it is over if no more firings come, and why.
    pub(super) fn end(&self) -> (Timestamp, Resolution) {
        let oldest = self.alert.opened_at + self.max_open;
        let quiet = match self.sustained {
            None => Some(self.last.0),
            Some(sustained) => sustained.ended,
        };
        let (over, resolution) = match quiet.map(|quiet| quiet + self.keep_open) {
            Some(over) if over <= oldest => (over, Resolution::Quiet),
            _ => (oldest, Resolution::MaxOpen),
        };
        // What is told to end was over then, however long one waited for it to come back.
        let ended = self.sustained.and_then(|sustained| sustained.ended);
        (ended.map_or(over, |ended| ended.min(over)), resolution)
    }

    /// The last moment at which a firing is one of its own.
    fn reaches(&self) -> Timestamp {
        let oldest = self.alert.opened_at + self.max_open;
        let quiet = match self.sustained {
            None => self.last.0 + self.keep_open,
            Some(sustained) => sustained.ended.map_or(oldest, |ended| ended + self.keep_open),
        };
        quiet.min(oldest)
    }

    /// Whether it stays open until its condition becomes false, which it has not yet.
    pub(super) fn still_holds(&self) -> bool {
        self.sustained.is_some_and(|sustained| sustained.ended.is_none())
    }

    /// Whether it is of the kind that stays open until its condition is false.
    pub(super) fn is_sustained(&self) -> bool {
        self.sustained.is_some()
    }

    /// From which rule clock on its resolve is told: past the end, and `keep_open` further than when
    /// the last firing arrived, for others may be as late as that one was. Where the condition still
    /// holds, firings come from the clock, never late, and the key is to be forgotten on time.
    pub(super) fn due(&self) -> Timestamp {
        let past = self.reaches() + Duration::from_millis(1);
        if self.still_holds() {
            return past;
        }
        past.max(self.arrived + self.keep_open)
    }

    /// Whether a bound made `count` a lower bound.
    pub(super) fn is_count_bound(&self) -> bool {
        self.counted.lost
    }

    /// Whether a bound made the latest firing's `value` a lower bound.
    pub(super) fn is_value_bound(&self) -> bool {
        self.value_approximate
    }

    /// Time and place of the latest firing.
    pub(super) fn last(&self) -> (Timestamp, Option<&Position>) {
        (self.last.0, self.last.1.as_ref())
    }

    /// Counts what the key remembers together with what it let go.
    pub(super) fn recount(&mut self, recent: &Recent) {
        let (first, end) = (self.alert.first_seen, self.end().0);
        let tuple = self.about.as_ref().map(About::hash);
        self.alert.count = self.counted.events + recent.count(first, end, tuple);
        let latest = recent.latest(first, end, tuple).next().map(|e| e.time);
        let latest = latest.max(self.counted.last);
        self.alert.last_seen = latest.unwrap_or(self.last.0);
        self.counted.lost |= self.counted.missed_before.is_some_and(|t| t >= first)
            || self.counted.missed_after.is_some_and(|t| t <= end);
        self.alert.approximate = self.counted.lost || self.value_approximate;
    }

    /// Whether it must be counted again to know whether there is something to tell; asked once after
    /// each event. What is about a tuple has to look at each event, and there may be many of those.
    pub(super) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched) || self.about.is_none()
    }

    /// It makes room for another, and will not see what is still to come.
    pub(super) fn cut_short(&mut self) {
        self.counted.lost = true;
    }

    /// The key lets an event go that nothing that may still come can reach.
    pub(super) fn settle(&mut self, seen: &Seen) {
        if self.concerns(&seen.tuples) {
            self.count(seen.time);
        }
    }

    fn count(&mut self, time: Timestamp) {
        if time >= self.alert.first_seen && time <= self.end().0 {
            self.counted.events += 1;
            self.counted.last = self.counted.last.max(Some(time));
        }
    }

    /// The key lets an event go for want of room.
    pub(super) fn let_go(&mut self, seen: &Seen) {
        let time = seen.time;
        if !self.concerns(&seen.tuples) {
            return;
        }
        if time < self.alert.first_seen {
            self.counted.missed_before = self.counted.missed_before.max(Some(time));
        } else if time > self.end().0 {
            let earliest = self.counted.missed_after.map_or(time, |t| t.min(time));
            self.counted.missed_after = Some(earliest);
        } else {
            self.count(time);
        }
    }

    /// An event came of which nobody can say whether it was counted.
    pub(super) fn miss(&mut self, event: &Matching<'_>) {
        let time = event.time;
        self.counted.lost |=
            self.concerns(event.tuples) && time >= self.alert.first_seen && time <= self.end().0;
    }

    /// Whether there is something to tell: it is new, its severity rose, or its count reached a power
    /// of two.
    pub(super) fn is_news(&self) -> bool {
        self.told.is_none_or(|(count, severity)| {
            self.alert.severity > severity || self.alert.count.max(1).ilog2() > count.max(1).ilog2()
        })
    }

    /// The record is being told: the next revision.
    pub(super) fn told(&mut self) {
        self.alert.revision += 1;
        self.told = Some((self.alert.count, self.alert.severity));
    }

    /// It is over.
    pub(super) fn resolve(&mut self) {
        let (end, resolution) = self.end();
        self.alert.status = AlertStatus::Resolved;
        self.alert.resolved_at = Some(end);
        self.alert.resolution = Some(resolution);
    }

    /// It is over as of `at`, or before: nobody expects its key any more. Gives whether it was that which
    /// ended it.
    pub(super) fn release(&mut self, at: Timestamp) -> bool {
        let held = self.still_holds();
        self.ended(at);
        held
    }

    /// One event, one alert, over at once.
    pub(super) fn resolve_at_once(&mut self) {
        self.alert.status = AlertStatus::Resolved;
        self.alert.resolved_at = Some(self.alert.opened_at);
        self.alert.resolution = Some(Resolution::OneEvent);
    }

    /// Appends an encoding that [`Self::decode`] reads.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        // A record of texts, numbers and times always has a JSON form.
        codec::put_bytes(out, &serde_json::to_vec(&self.alert).unwrap_or_default());
        codec::put_time(out, self.last.0);
        out.push(u8::from(self.last.1.is_some()));
        if let Some(position) = &self.last.1 {
            codec::put_position(out, position);
        }
        self.fields.encode(out);
        codec::put_time(out, self.arrived);
        put_duration(out, self.keep_open);
        put_duration(out, self.max_open);
        out.push(u8::from(self.sustained.is_some()));
        put_maybe_time(out, self.sustained.and_then(|sustained| sustained.ended));
        codec::put_u64(out, self.counted.events);
        put_maybe_time(out, self.counted.last);
        put_maybe_time(out, self.counted.missed_before);
        put_maybe_time(out, self.counted.missed_after);
        out.push(u8::from(self.counted.lost) | u8::from(self.value_approximate) << 1);
        let (count, severity) = self.told.unwrap_or((0, Severity::Info));
        codec::put_u64(out, count);
        codec::put_text(out, severity.name());
        out.push(u8::from(self.about.is_some()));
        if let Some(about) = &self.about {
            about.encode(out);
        }
    }

    /// Reads what was written.
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let alert =
            serde_json::from_slice(bytes.bytes()?).map_err(|_| Broken("an alert in JSON"))?;
        let time = bytes.time()?;
        let position = if bytes.byte()? == 0 { None } else { Some(bytes.position()?) };
        let fields = Fields::decode(bytes)?;
        let arrived = bytes.time()?;
        let (keep_open, max_open) = (duration(bytes)?, duration(bytes)?);
        let (flags, ended) = (bytes.byte()?, maybe_time(bytes)?);
        let sustained = (flags & 1 != 0).then_some(Sustained { ended });
        let (events, last) = (bytes.u64()?, maybe_time(bytes)?);
        let (missed_before, missed_after) = (maybe_time(bytes)?, maybe_time(bytes)?);
        let flags = bytes.byte()?;
        let count = bytes.u64()?;
        let severity = bytes.text()?.parse().map_err(|_| Broken("a severity"))?;
        let about = if bytes.byte()? == 0 { None } else { Some(About::decode(bytes)?) };
        Ok(Self {
            alert,
            last: (time, position),
            fields,
            arrived,
            keep_open,
            max_open,
            sustained,
            counted: Counted { events, last, missed_before, missed_after, lost: flags & 1 != 0 },
            about,
            touched: true,
            value_approximate: flags & 2 != 0,
            told: Some((count, severity)),
        })
    }
}

fn sustained(rule: &Rule) -> Option<Sustained> {
    rule.detector.as_ref().filter(|detector| detector.looks_down()).map(|_| Sustained::default())
}

/// Whether a firing's value goes beyond the peak so far; values without an order do not.
fn is_beyond(value: &serde_json::Value, peak: &serde_json::Value, down: bool) -> bool {
    match (Scalar::from_json(value), Scalar::from_json(peak)) {
        (Some(Scalar::Number(value)), Some(Scalar::Number(peak))) => {
            let order = value.compare(peak);
            if down { order.is_lt() } else { order.is_gt() }
        }
        _ => false,
    }
}

pub(super) fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    codec::put_u64(out, u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
}

pub(super) fn duration(bytes: &mut Reader<'_>) -> Result<Duration, Broken> {
    Ok(Duration::from_millis(bytes.u64()?))
}

//! What the alerts of one rule must be, by brute force: the oracle that Hark is held against.
//!
//! Written from the rules' semantics alone (windows §3, threshold, cardinality, change and `new_value`
//! §4, alerts §5) and sharing no code with the engine: it keeps every event, looks at all of them again
//! for each new one, and is slow. It takes the signals and clock ticks of one rule in the order of the log.

use std::collections::{BTreeMap, BTreeSet};

/// What the oracle needs to know of a rule; times in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `count` and `within`; `None` = every matching event fires.
    pub(crate) threshold: Option<(usize, i64)>,
    /// Whether distinct values are counted instead of events.
    pub(crate) distinct: bool,
    /// `within` of a rule that fires when the values differ from those before.
    pub(crate) change: Option<i64>,
    /// `forget` of a rule that fires on each value that is new, with an alert for each.
    pub(crate) novel: Option<i64>,
    /// Whether there is a `group_by`.
    pub(crate) grouped: bool,
    pub(crate) lateness: i64,
    pub(crate) keep_open: i64,
    pub(crate) max_open: i64,
}

/// Topic, partition, offset: in this order they break ties.
pub(crate) type Place = (String, i32, i64);

/// One step of the log.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The rule's query met an event of this key.
    Event { key: String, time: i64, place: Place, values: Vec<String> },
    /// The stream's clock now stands here.
    Clock(i64),
}

/// An alert, as it must stand when all is over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Recounted {
    pub(crate) key: String,
    /// The new value, where each has an alert of its own.
    pub(crate) tuple: Option<String>,
    pub(crate) opener: Place,
    pub(crate) opened_at: i64,
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
    pub(crate) count: usize,
    pub(crate) firings: usize,
    /// As JSON.
    pub(crate) value: String,
    pub(crate) peak: String,
    pub(crate) resolved_at: i64,
    pub(crate) resolution: &'static str,
}

/// All alerts of one rule, sorted, after the log and an endless silence.
pub(crate) fn recount(settings: &Settings, log: &[Step]) -> Vec<Recounted> {
    let mut keys: BTreeMap<String, Key> = BTreeMap::new();
    let mut clock = i64::MIN / 4;
    let mut over = Vec::new();
    for step in log {
        match step {
            Step::Clock(time) => {
                clock = clock.max(*time);
                for (key, state) in &mut keys {
                    state.decide(settings, key, clock - settings.lateness, &mut over);
                    state.announce(settings, key, clock - settings.lateness, &mut over);
                }
            }
            Step::Event { key, time, place, values } => {
                let now = clock - settings.lateness;
                let waits = settings.change.is_some() || settings.novel.is_some();
                let late = match settings.threshold {
                    Some((_, within)) => *time < now - within,
                    None => waits && *time < now,
                };
                if late {
                    continue;
                }
                let state = keys.entry(key.clone()).or_default();
                let event = (*time, place.clone());
                if state.all.contains(&event) {
                    continue;
                }
                state.all.push(event.clone());
                state.values.insert(event.clone(), values.clone());
                if waits {
                    continue;
                }
                if settings.threshold.is_none() && !settings.grouped {
                    over.push(at_once(key, event));
                } else {
                    state.take(settings, event, now);
                }
            }
        }
    }
    for (key, state) in &mut keys {
        state.decide(settings, key, i64::MAX / 4, &mut over);
        state.announce(settings, key, i64::MAX / 4, &mut over);
    }
    over.sort();
    over
}

fn at_once(key: &str, (time, place): (i64, Place)) -> Recounted {
    Recounted {
        key: key.to_owned(),
        tuple: None,
        opener: place,
        opened_at: time,
        first_seen: time,
        last_seen: time,
        count: 1,
        firings: 1,
        value: "1".to_owned(),
        peak: "1".to_owned(),
        resolved_at: time,
        resolution: "OneEvent",
    }
}

#[derive(Default)]
struct Key {
    /// Every event that was not late, once.
    all: Vec<(i64, Place)>,
    /// The values of each.
    values: BTreeMap<(i64, Place), Vec<String>>,
    /// What the detector still knows, and which of it fired.
    kept: Vec<(i64, Place)>,
    fired: Vec<(i64, Place)>,
    open: Vec<Open>,
}

struct Open {
    tuple: Option<String>,
    opener: Place,
    opened_at: i64,
    /// Time, place and value of each firing.
    firings: Vec<(i64, Place, Value)>,
    first_seen: i64,
    /// The rule's clock when the last of them arrived.
    arrived: i64,
}

struct Fired {
    event: (i64, Place),
    tuple: Option<String>,
    first: i64,
    value: Value,
}

/// Numbers have an order, texts have none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(usize),
    Text(String),
}

impl Value {
    fn print(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl Key {
    fn take(&mut self, settings: &Settings, event: (i64, Place), now: i64) {
        let fired = self.judge(settings, event);
        self.assign(settings, fired, now);
    }

    /// Whatever the clock has passed and was not decided before, each when the clock passes it.
    fn decide(&mut self, settings: &Settings, key: &str, now: i64, over: &mut Vec<Recounted>) {
        let mut passed: Vec<_> = self.all.iter().filter(|event| event.0 < now).cloned().collect();
        passed.retain(|event| !self.values[event].is_empty());
        passed.sort();
        if let Some(forget) = settings.novel {
            self.decide_novel(settings, key, &passed, forget, over);
        }
        let Some(within) = settings.change else { return };
        for pair in passed.windows(2) {
            let (before, event) = (&pair[0], &pair[1]);
            if self.fired.contains(event) || event.0 - before.0 > within {
                continue;
            }
            let (old, new) = (&self.values[before], &self.values[event]);
            if old == new {
                continue;
            }
            self.fired.push(event.clone());
            let value = match new.as_slice() {
                [one] => format!("\"{one}\""),
                many => format!("[\"{}\"]", many.join("\",\"")),
            };
            self.announce(settings, key, event.0, over);
            let (event, first, value) = (event.clone(), event.0, Value::Text(value));
            self.assign(settings, vec![Fired { event, tuple: None, first, value }], first + 1);
        }
    }

    /// Each value that none of those that the clock passed before had within `forget`.
    fn decide_novel(
        &mut self,
        settings: &Settings,
        key: &str,
        passed: &[(i64, Place)],
        forget: i64,
        over: &mut Vec<Recounted>,
    ) {
        for (n, event) in passed.iter().enumerate() {
            if self.fired.contains(event) {
                continue;
            }
            self.fired.push(event.clone());
            self.announce(settings, key, event.0, over);
            for value in self.values[event].clone() {
                let seen = |before: &(i64, Place)| {
                    event.0 - before.0 <= forget && self.values[before].contains(&value)
                };
                if passed[..n].iter().any(seen) {
                    continue;
                }
                let (event, first) = (event.clone(), event.0);
                let told = Value::Text(format!("\"{value}\""));
                let fired = Fired { event, tuple: Some(value), first, value: told };
                self.assign(settings, vec![fired], first + 1);
            }
        }
    }

    fn assign(&mut self, settings: &Settings, all: Vec<Fired>, now: i64) {
        for fired in all {
            let time = fired.event.0;
            let fits = |open: &Open| {
                open.tuple == fired.tuple
                    && time >= open.opened_at - settings.keep_open
                    && time <= open.end(settings).0
            };
            // Of those that it fits, the one that opened last.
            let mut best: Option<usize> = None;
            for (n, open) in self.open.iter().enumerate() {
                if fits(open) && best.is_none_or(|b| open.opened_at > self.open[b].opened_at) {
                    best = Some(n);
                }
            }
            let n = best.unwrap_or_else(|| {
                self.open.push(Open {
                    tuple: fired.tuple.clone(),
                    opener: fired.event.1.clone(),
                    opened_at: time,
                    firings: Vec::new(),
                    first_seen: fired.first,
                    arrived: now,
                });
                self.open.len() - 1
            });
            let open = &mut self.open[n];
            open.firings.push((time, fired.event.1, fired.value));
            open.first_seen = open.first_seen.min(fired.first);
            open.arrived = now;
        }
    }

    /// The firings that the event makes, its own and those of windows it completes.
    fn judge(&mut self, settings: &Settings, event: (i64, Place)) -> Vec<Fired> {
        let Some((count, within)) = settings.threshold else {
            let first = event.0;
            return vec![Fired { event, tuple: None, first, value: Value::Number(1) }];
        };
        let full = self.kept.len() >= 4 * count;
        if full && self.kept.iter().all(|kept| event < *kept) {
            return Vec::new();
        }
        self.kept.push(event);
        self.kept.sort();
        let mut found = Vec::new();
        for last in &self.kept {
            let window: Vec<_> =
                self.kept.iter().filter(|e| *e <= last && last.0 - e.0 <= within).collect();
            let value = if settings.distinct {
                let values = window.iter().flat_map(|event| &self.values[*event]);
                values.collect::<BTreeSet<_>>().len()
            } else {
                window.len()
            };
            if value >= count && !self.fired.contains(last) {
                let value = Value::Number(value);
                let (event, first) = (last.clone(), window[0].0);
                found.push(Fired { event, tuple: None, first, value });
            }
        }
        self.fired.extend(found.iter().map(|fired| fired.event.clone()));
        if self.kept.len() > 4 * count {
            self.kept.remove(0);
        }
        found
    }

    fn announce(&mut self, settings: &Settings, key: &str, now: i64, over: &mut Vec<Recounted>) {
        let (told, open) = std::mem::take(&mut self.open).into_iter().partition(|open| {
            now > open.end(settings).0 && now - open.arrived >= settings.keep_open
        });
        self.open = open;
        let told: Vec<Open> = told;
        for alert in told {
            let (resolved_at, resolution) = alert.end(settings);
            let counted: Vec<i64> = self
                .all
                .iter()
                .filter(|event| alert.tuple.iter().all(|own| self.values[*event].contains(own)))
                .map(|(time, _)| *time)
                .filter(|time| *time >= alert.first_seen && *time <= resolved_at)
                .collect();
            let latest = alert.firings.iter().max().unwrap();
            over.push(Recounted {
                key: key.to_owned(),
                tuple: alert.tuple.clone(),
                opener: alert.opener.clone(),
                opened_at: alert.opened_at,
                first_seen: alert.first_seen,
                last_seen: *counted.iter().max().unwrap(),
                count: counted.len(),
                firings: alert.firings.len(),
                value: latest.2.print(),
                peak: alert.peak().print(),
                resolved_at,
                resolution,
            });
        }
    }
}

impl Open {
    /// The highest value; the first one where they have no order.
    fn peak(&self) -> &Value {
        let mut peak = &self.firings[0].2;
        for (_, _, value) in &self.firings {
            if let (Value::Number(value_number), Value::Number(number)) = (value, peak)
                && value_number > number
            {
                peak = value;
            }
        }
        peak
    }

    fn end(&self, settings: &Settings) -> (i64, &'static str) {
        let last = self.firings.iter().map(|firing| firing.0).max().unwrap();
        let (quiet, oldest) = (last + settings.keep_open, self.opened_at + settings.max_open);
        if quiet <= oldest { (quiet, "Quiet") } else { (oldest, "MaxOpen") }
    }
}

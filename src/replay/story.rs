//! What happened in a test, told so that one sees at a glance why it failed: events, firings, alerts
//! and expectations on one timeline.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

use crate::alert::{Alert, Resolution};
use crate::base::{Timestamp, duration};
use crate::detectors::Firing;
use crate::rule::test_case::Expected;

use super::trial::differences;
use super::why::Unmet;

/// Lines of a timeline at most; of a longer one the middle is left out.
const LINES_MAX: usize = 60;

type Key = BTreeMap<String, Value>;

/// One test, when all was over.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) rule: Arc<str>,
    pub(super) name: String,
    pub(super) start: Timestamp,
    /// What each entry of `events` is called.
    pub(super) origins: Vec<String>,
    /// In order of arrival.
    pub(super) moments: Vec<Moment>,
    /// Final states, by opening, then key.
    pub(super) alerts: Vec<Alert>,
    pub(super) pairs: Pairs,
    /// Why it failed; empty when it did not.
    pub(super) mistakes: Vec<String>,
    /// What the detector made of events that matched, if that was nothing.
    pub(super) silent: Option<String>,
    /// How many events do not match without its being said why, while it is said of others.
    pub(super) unexplained: usize,
}

/// Something that happened.
#[derive(Debug)]
pub(super) enum Moment {
    Event(Happened, Fate),
    /// The clock fired, with no event.
    Clock(Key, Firing),
    Opens(Alert),
    Resolves(Alert),
}

/// An event of a test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Happened {
    /// Which entry of `events` it is, and which repetition of how many.
    pub(super) entry: usize,
    pub(super) n: u64,
    pub(super) of: u64,
    pub(super) time: Timestamp,
    /// How far time had come when it arrived.
    pub(super) after: Option<Timestamp>,
}

/// What became of an event.
#[derive(Debug)]
pub(super) enum Fate {
    Unusable(String),
    /// With the reason, if there is to be one.
    Unmet(Option<Unmet>),
    /// It met the rule's query, and this exception dropped it.
    Excepted(String),
    /// It met the rule's query, but has no key; the fields that it lacks, as far as they are known.
    Unkeyed(Vec<String>),
    Late,
    Met {
        /// What the parts are called that it counts as, where that is asked.
        parts: Vec<String>,
        keys: Vec<Key>,
        fired: Vec<(Key, Firing)>,
    },
}

/// Expectations beside alerts.
#[derive(Debug)]
pub(super) struct Pairs {
    expected: Vec<Pair>,
    /// How many alerts there were.
    found: usize,
    /// The alerts are those expected, but listed in another order.
    in_disorder: bool,
}

/// One expectation.
#[derive(Debug)]
struct Pair {
    /// In words.
    text: String,
    /// When it should have come true, if it says so.
    at: Option<Timestamp>,
    /// The number of the alert that it is held against.
    alert: Option<usize>,
    differences: Vec<String>,
}

/// Holds alerts against expectations, both by opening, then key.
pub(super) fn verdict(expected: &[Expected], alerts: &[Alert], start: Timestamp) -> Pairs {
    let fits = |n: usize, alert: usize| {
        let pair = expected.get(n).zip(alerts.get(alert));
        pair.is_some_and(|(expected, alert)| differences(expected, alert, start).is_empty())
    };
    // In order when there are as many as expected; else those that fit find each other first.
    let mut partner: Vec<Option<usize>> = vec![None; expected.len()];
    let mut free: Vec<usize> = (0..alerts.len()).collect();
    for (n, partner) in partner.iter_mut().enumerate() {
        *partner = free.iter().position(|alert| fits(n, *alert)).map(|at| free.remove(at));
    }
    let all_fit = free.is_empty() && partner.iter().all(Option::is_some);
    let in_order = (0..expected.len()).all(|n| fits(n, n));
    if expected.len() == alerts.len() {
        partner = (0..alerts.len()).map(Some).collect();
    } else {
        let mut free = free.into_iter();
        for partner in partner.iter_mut().filter(|partner| partner.is_none()) {
            *partner = free.next();
        }
    }
    let pairs = expected.iter().zip(partner).map(|(expected, partner)| {
        let alert = partner.and_then(|n| alerts.get(n));
        let differences = alert.map(|alert| differences(expected, alert, start));
        let at = expected.at.map(|at| at.from(start));
        let (text, differences) = (described(expected, start), differences.unwrap_or_default());
        Pair { text, at, alert: partner, differences }
    });
    Pairs { expected: pairs.collect(), found: alerts.len(), in_disorder: all_fit && !in_order }
}

impl Pairs {
    /// Why the test failed.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.expected.len() != self.found {
            let expected = match self.expected.len() {
                0 => "no alert".to_owned(),
                1 => "1 alert".to_owned(),
                n => format!("{n} alerts"),
            };
            let found = if self.found == 0 { "none".to_owned() } else { self.found.to_string() };
            all.push(format!("expected {expected}, found {found}"));
        }
        if self.in_disorder {
            all.push("expected alerts are listed by their opening, then key".to_owned());
        }
        for (n, Pair { differences, .. }) in self.expected.iter().enumerate() {
            let which =
                if self.expected.len() == 1 { String::new() } else { format!("{}. ", n + 1) };
            all.extend(differences.iter().map(|difference| format!("{which}{difference}")));
        }
        all
    }
}

/// One line of the timeline.
struct Line {
    time: Timestamp,
    until: Option<Timestamp>,
    word: &'static str,
    text: String,
}

impl Story {
    /// The rule and the test, what was wrong, and the timeline.
    pub(super) fn render(&self) -> String {
        let mut text = format!("{}: {}\n", self.rule, self.name);
        for mistake in &self.mistakes {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "  {mistake}");
        }
        let times = |line: &Line| match line.until {
            Some(until) => format!("{}…{}", self.offset(line.time), self.offset(until)),
            None => self.offset(line.time),
        };
        let lines = self.lines();
        let width = lines.iter().map(|line| times(line).chars().count()).max().unwrap_or(0);
        let left_out = lines.len().saturating_sub(LINES_MAX);
        for (n, line) in lines.iter().enumerate() {
            if left_out > 0 && (LINES_MAX / 2..LINES_MAX / 2 + left_out).contains(&n) {
                if n == LINES_MAX / 2 {
                    let _infallible = writeln!(text, "    … {left_out} lines");
                }
                continue;
            }
            let (time, word) = (times(line), line.word);
            let _infallible = writeln!(text, "    {time:>width$}  {word:<8}  {}", line.text);
        }
        if let Some(silent) = &self.silent {
            let _infallible = writeln!(text, "    {silent}");
        }
        if self.unexplained > 0 {
            let (s, verb) = if self.unexplained == 1 { ("", "does") } else { ("s", "do") };
            let _infallible = writeln!(
                text,
                "    why is said of the events that come nearest; {} more event{s} {verb} not match",
                self.unexplained
            );
        }
        text
    }

    fn offset(&self, time: Timestamp) -> String {
        offset(time, self.start)
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut moments: Vec<(Timestamp, &Moment)> =
            self.moments.iter().map(|moment| (moment.time(), moment)).collect();
        // By time, and as they came where that ties: an event before the alert that it opens.
        moments.sort_by_key(|(time, _)| *time);
        let mut rest = moments.as_slice();
        while let Some(((time, first), mut after)) = rest.split_first() {
            let mut last = *first;
            while let Some(((_, next), more)) =
                after.split_first().filter(|((_, next), _)| last.runs_on(next))
            {
                (last, after) = (*next, more);
            }
            rest = after;
            let until = Some(last.time()).filter(|until| until != time);
            let (word, text) = self.told(first, last);
            lines.push(Line { time: *time, until, word, text });
        }
        self.put_expectations(&mut lines);
        lines
    }

    /// Moments from the first to the last of a run (often one and the same), in words.
    fn told(&self, first: &Moment, last: &Moment) -> (&'static str, String) {
        match (first, last) {
            (Moment::Event(event, fate), Moment::Event(end, fate_of_last)) => {
                let mut text = self.origins.get(event.entry).cloned().unwrap_or_default();
                if event.of > 1 {
                    let to = if end.n > event.n { format!(" to {}", end.n) } else { String::new() };
                    let _infallible = write!(text, " {}{to} of {}", event.n, event.of);
                }
                if let Some(after) = event.after.filter(|after| *after > event.time) {
                    let _infallible = write!(text, " (arrives after {})", self.offset(after));
                }
                ("event", format!("{text}  {}", fate.words(fate_of_last)))
            }
            (Moment::Clock(key, firing), _) => {
                ("fires", format!("the clock{}, count {}", of_key(key), firing.count))
            }
            (Moment::Opens(alert), _) => {
                let expected = self.alerts.iter().position(|known| known.id == alert.id);
                let paired =
                    |n: usize| self.pairs.expected.iter().any(|pair| pair.alert == Some(n));
                let mark = if expected.is_some_and(paired) { "" } else { "✗ not expected: " };
                let title = &alert.title;
                ("opens", format!("{mark}{} alert `{title}`{}", alert.severity, of_key(&alert.key)))
            }
            (Moment::Resolves(alert), _) => {
                let why = match alert.resolution {
                    Some(Resolution::MaxOpen) => "open for max_open",
                    Some(Resolution::NotExpected) => "not expected any more",
                    Some(Resolution::OneEvent) => "one event, one alert",
                    Some(Resolution::Quiet | Resolution::RuleRemoved) | None => {
                        "quiet for keep_open"
                    }
                };
                ("resolves", format!("`{}`, {why}, count {}", alert.title, alert.count))
            }
            // A run is of events only.
            (Moment::Event(..), _) => ("event", String::new()),
        }
    }

    /// Puts each expectation where it should have come true, behind what happened then.
    fn put_expectations(&self, lines: &mut Vec<Line>) {
        for Pair { text, at, alert, differences } in &self.pairs.expected {
            let found = alert.and_then(|n| self.alerts.get(n));
            let latest = lines.iter().map(|line| line.time).max().unwrap_or(self.start);
            let time = at.or(found.map(|alert| alert.opened_at)).unwrap_or(latest);
            let text = match (found, differences.as_slice()) {
                (None, _) => format!("✗ {text}: no such alert"),
                (Some(_), []) => format!("✓ {text}"),
                (Some(_), differences) => format!("✗ {}", differences.join("; ")),
            };
            let place = lines.partition_point(|line| line.time <= time);
            lines.insert(place, Line { time, until: None, word: "expected", text });
        }
    }
}

impl Moment {
    fn time(&self) -> Timestamp {
        match self {
            Self::Event(event, _) => event.time,
            Self::Clock(_, firing) => firing.time,
            Self::Opens(alert) => alert.opened_at,
            Self::Resolves(alert) => alert.resolved_at.unwrap_or(alert.opened_at),
        }
    }

    /// Whether `next` is more of the same: the next repetition, with the same fate.
    fn runs_on(&self, next: &Self) -> bool {
        let (Self::Event(event, fate), Self::Event(other, other_fate)) = (self, next) else {
            return false;
        };
        let in_order = |event: &Happened| event.after.is_none_or(|after| after <= event.time);
        event.entry == other.entry
            && event.n + 1 == other.n
            && in_order(event)
            && in_order(other)
            && fate.is_like(other_fate)
    }
}

impl Fate {
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Late, Self::Late) => true,
            (Self::Unmet(why), Self::Unmet(other)) => why == other,
            (Self::Unkeyed(fields), Self::Unkeyed(others)) => fields == others,
            (Self::Unusable(why), Self::Unusable(other))
            | (Self::Excepted(why), Self::Excepted(other)) => why == other,
            (
                Self::Met { parts, keys, fired },
                Self::Met { parts: other_parts, keys: others, fired: also },
            ) => {
                let same = parts == other_parts && keys == others;
                same && fired.len() == also.len() && fired.len() <= 1
            }
            _ => false,
        }
    }

    /// In words; `last` is the end of a run of the same.
    fn words(&self, last: &Self) -> String {
        match (self, last) {
            (Self::Unusable(why), _) => format!("✗ cannot be made: {why}"),
            (Self::Unmet(None), _) => "does not match".to_owned(),
            (Self::Unmet(Some(Unmet { term, seen, part: None, .. })), _) => {
                format!("does not match `{term}`: {seen}")
            }
            (Self::Unmet(Some(Unmet { term, seen, part: Some(part), .. })), _) => {
                format!("matches no part; of {part} not `{term}`: {seen}")
            }
            (Self::Excepted(why), _) => format!("matches, but is dropped by the exception {why}"),
            (Self::Unkeyed(fields), _) if fields.is_empty() => {
                "matches, but has no key: a field of group_by is missing".to_owned()
            }
            (Self::Unkeyed(fields), _) => {
                let verb = if fields.len() == 1 { "is" } else { "are" };
                let fields = fields.join(" and ");
                format!("matches, but has no key: {fields} of group_by {verb} missing")
            }
            (Self::Late, _) => "matches, but comes too late to be counted".to_owned(),
            (Self::Met { parts, keys, fired }, last) => {
                let keys: Vec<String> =
                    keys.iter().map(shown).filter(|key| !key.is_empty()).collect();
                let mut text = "matches".to_owned();
                if !parts.is_empty() {
                    let _infallible = write!(text, " {}", parts.join(" and "));
                }
                if !keys.is_empty() {
                    let _infallible = write!(text, "  {}", keys.join(" and "));
                }
                let count = |fired: &[(Key, Firing)]| {
                    fired.iter().map(|(_, firing)| firing.count.to_string()).collect::<Vec<_>>()
                };
                let mut counts = count(fired).join(", ");
                if let Self::Met { fired: of_last, .. } = last
                    && of_last.len() == 1
                    && count(of_last) != count(fired)
                {
                    let _infallible = write!(counts, " to {}", count(of_last).join(", "));
                }
                if !fired.is_empty() {
                    let _infallible = write!(text, "  fires, count {counts}");
                }
                text
            }
        }
    }
}

/// `user.name: eve, source.ip: 10.0.0.1`.
pub(super) fn shown(key: &Key) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let parts: Vec<String> = key.iter().map(|(f, v)| format!("{f}: {}", text(v))).collect();
    parts.join(", ")
}

fn of_key(key: &Key) -> String {
    if key.is_empty() { String::new() } else { format!("  {}", shown(key)) }
}

/// An expectation as one would say it.
fn described(expected: &Expected, start: Timestamp) -> String {
    let Expected { at, key, count, value, severity, title, resolved_at, status } = expected;
    let mut parts = Vec::new();
    let key = key.iter().map(|(field, value)| (field.dotted(), value.clone())).collect();
    parts.extend(at.map(|at| format!("at {}", offset(at.from(start), start))));
    parts.extend(Some(shown(&key)).filter(|key| !key.is_empty()));
    parts.extend(count.map(|count| format!("count {count}")));
    parts.extend(value.as_ref().map(|value| format!("value {value}")));
    parts.extend(severity.map(|severity| format!("severity {severity}")));
    parts.extend(title.as_ref().map(|title| format!("title `{title}`")));
    parts.extend(resolved_at.map(|at| format!("resolved at {}", offset(at.from(start), start))));
    parts.extend(status.as_ref().map(|status| format!("status {status}")));
    if parts.is_empty() { "an alert".to_owned() } else { parts.join(", ") }
}

/// A time as tests write it: `8m`, `-15d`.
pub(super) fn offset(time: Timestamp, start: Timestamp) -> String {
    if time < start {
        format!("-{}", duration::print(start.since(time)))
    } else {
        duration::print(time.since(start))
    }
}

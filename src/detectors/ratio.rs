//! `[ratio]`: the share of one key's events that meet a query, among all of them within so much time.
//!
//! The window slides on event time, both ends included, and ends at an event: the share is that of it
//! and those before it in (time, position) that are no more than `within` before. With `above` an
//! event fires when it meets `of` itself and leaves the share above the bound; with `below` every event
//! fires that leaves it below. Fewer than `min_events` events say nothing. How events wait, how a
//! condition ends and what is kept stands in [`sliding`].

use std::time::Duration;

use super::shared::bound::{Bound, Side};
use super::shared::sliding::{self, Measure, Sliding, Window};
use super::{
    Decides, Detector, DetectorSpec, EVENTS_MAX, KeyState, Occurrence, Part, Reading, RuleStart,
    bounded_count,
};
use crate::base::document::Table;
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics};
use crate::event::{FieldName, Number, Scalar};
use crate::query::Query;
use crate::state::codec::{Broken, Reader};

/// The detector's entry in the family's table.
pub const SPEC: DetectorSpec = DetectorSpec {
    table: "ratio",
    summary: "Fires while the share of events that meet `of` is above or below a bound.",
    example: r#"title    = "Most logins from one address fail"
severity = "medium"
when     = 'event.category: authentication and event.outcome: (success or failure)'
group_by = ["source.ip"]

[ratio]
of         = 'event.outcome: failure'
above      = 0.8
within     = "15m"
min_events = 5

[alert]
title = "{{ alert.value }} of the logins from {{ source.ip }} failed"

[[test]]
name   = "five of six failed"
events = [
    { fields = { "event.category" = "authentication", "event.outcome" = "success", "source.ip" = "192.0.2.7" } },
    { fields = { "event.category" = "authentication", "event.outcome" = "failure", "source.ip" = "192.0.2.7" }, at = "1m", times = 5, every = "1m" },
]
expect = [{ at = "5m", key = { "source.ip" = "192.0.2.7" }, count = 6 }]

[[test]]
name   = "four of five is not above 0.8, and four events say nothing"
events = [
    { fields = { "event.category" = "authentication", "event.outcome" = "failure", "source.ip" = "192.0.2.7" }, times = 4, every = "1m" },
    { fields = { "event.category" = "authentication", "event.outcome" = "success", "source.ip" = "192.0.2.7" }, at = "5m" },
]
expect = []
"#,
    decides: Decides::OnTheClock,
    keys: &[
        KeySpec::required("of", Shape::Query, "Which of the rule's events make the share."),
        KeySpec::optional(
            "above",
            Shape::Number,
            "",
            "Fires above this share, on events that meet `of`; this or `below` must be there. From 0 to below 1.",
        ),
        KeySpec::optional(
            "below",
            Shape::Number,
            "",
            "Fires below this share; the alert stays open until that ends. Above 0, up to 1.",
        ),
        KeySpec::required(
            "within",
            Shape::Duration,
            "The longest time from the first of the events to the last.",
        ),
        KeySpec::required(
            "min_events",
            Shape::Count,
            "How many events there must be at least, from 1 to 10,000.",
        ),
    ],
    parse,
};

/// The part that an event meets as well when it makes the share.
const OF: usize = 1;

/// The settings of one rule.
#[derive(Debug, Clone)]
struct Ratio {
    of: Query,
    window: Window,
}

/// Whether an event meets `of`.
#[derive(Debug)]
struct Met(bool);

/// The events of a window.
#[derive(Debug, Default)]
struct Tally {
    met: u32,
    all: u32,
}

fn parse(
    mut table: Table<'_>,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    let of = table.required_text("of", found).and_then(|text| reading.query(&text, found));
    let bound = bound(&mut table, found);
    table.require("within", found);
    let within = table.duration("within", found);
    let min_events = bounded_count(&mut table, "min_events", EVENTS_MAX, found);
    table.finish(found);
    let window = Window { bound: bound?, within: within?.value, min_events: min_events? };
    Some(Box::new(Ratio { of: of?, window }))
}

/// A share that can be passed: nothing is above 1 or below 0.
fn bound(table: &mut Table<'_>, found: &mut Diagnostics) -> Option<Bound> {
    let (bound, span) = Bound::read(table, &Side::STRICT, found)?;
    let share = bound.number.as_f64();
    let (fits, range) = if bound.side.is_down() {
        (share > 0.0 && share <= 1.0, "above 0 and at most 1")
    } else {
        ((0.0..1.0).contains(&share), "of at least 0 and below 1")
    };
    if fits {
        return Some(bound);
    }
    let message = format!("expected a share {range}, found `{}`", bound.number);
    let mistake = Diagnostic::error("out-of-range", span, message);
    found.push(if share > 1.0 && share < 100.0 {
        mistake.help(format!("{} percent is `{}`", bound.number, share / 100.0))
    } else {
        mistake
    });
    None
}

impl Detector for Ratio {
    fn spec(&self) -> &'static DetectorSpec {
        &SPEC
    }

    fn canonical(&self) -> String {
        let of = self.of.to_string();
        // The query last, behind its length: nothing else in it can look like a key.
        format!("{} of={}:{of}", self.window.canonical(), of.len())
    }

    fn span(&self) -> Duration {
        self.window.within
    }

    fn parts(&self) -> Vec<Part<'_>> {
        let of = Part { name: Some("of"), when: Some(&self.of), ..Part::RULE };
        vec![Part::RULE, of]
    }

    fn keeps(&self) -> usize {
        EVENTS_MAX
    }

    fn fields(&self) -> Vec<FieldName> {
        Vec::new()
    }

    fn looks_down(&self) -> bool {
        self.window.bound.side.is_down()
    }

    fn fresh(&self, _start: RuleStart) -> Box<dyn KeyState> {
        Box::new(Sliding::new(self.clone()))
    }

    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken> {
        Ok(Box::new(Sliding::decode(self.clone(), bytes)?))
    }
}

impl Measure for Ratio {
    type Note = Met;
    type Tally = Tally;

    fn window(&self) -> &Window {
        &self.window
    }

    fn note(&self, occurrence: &Occurrence) -> Met {
        Met(occurrence.parts.has(OF))
    }

    fn add(&self, tally: &mut Tally, note: &Met) {
        tally.all += 1;
        tally.met += u32::from(note.0);
    }

    fn remove(&self, tally: &mut Tally, note: &Met) {
        tally.all -= 1;
        tally.met -= u32::from(note.0);
    }

    fn judge(&self, tally: &Tally, last: &Met) -> Option<serde_json::Value> {
        let bound = &self.window.bound;
        // The nearest float, as the bound is to what was written: equal shares are equal.
        let share = Number::Float(f64::from(tally.met) / f64::from(tally.all.max(1)));
        let fires = (last.0 || bound.side.is_down()) && bound.is_beyond(share);
        fires.then(|| Scalar::Number(share).to_json())
    }
}

impl sliding::Note for Met {
    fn counts(&self) -> bool {
        true
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.0));
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        Ok(Self(bytes.byte()? != 0))
    }
}

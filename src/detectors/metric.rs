//! `[metric]`: an aggregate of a field's numbers among the events of one key within so much time.
//!
//! The window slides on event time, both ends included, and ends at an event: an event fires when
//! the aggregate over it and those before it in (time, position) that are no more than `within` before is
//! beyond the bound, and at least `min_events` of them have a number. Every number of an array counts, a
//! text that reads as a number too; an event without one adds nothing, but may fire like any other.
//!
//! Sums and means are exact until they are rounded, once, to the nearest float (or are integers of 64
//! bits); a percentile is the value of the nearest rank: of n sorted values the one at ⌈p ÷ 100 × n⌉.
//! What is judged is the number that is told. How events wait, how a condition ends and what is kept
//! stands in [`sliding`]; of one event [`VALUES_PER_EVENT`] numbers are kept.

use std::time::Duration;

use smallvec::SmallVec;

use super::shared::bound::{Bound, Side};
use super::shared::sliding::{self, Measure, Sliding, Window};
use super::shared::total::Total;
use super::{
    Decides, Detector, DetectorSpec, EVENTS_MAX, KeyState, Occurrence, Reading, RuleStart,
    bounded_count, one_field,
};
use crate::base::document::Table;
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics};
use crate::event::{FieldName, Number, Scalar};
use crate::state::codec::{self, Broken, Reader};

/// The detector's entry in the family's table.
pub const SPEC: DetectorSpec = DetectorSpec {
    table: "metric",
    summary: "Fires on every event that leaves the sum, mean, least, largest or percentile of `field` beyond a bound.",
    example: r#"title    = "One user downloads more than a gigabyte within the hour"
severity = "high"
when     = 'event.action: *download* and http.response.body.bytes: *'
group_by = ["user.name"]

[metric]
field    = "http.response.body.bytes"
function = "sum"
above    = 1_000_000_000
within   = "1h"

[alert]
title = "{{ user.name }} downloaded {{ alert.value }} bytes"

[[test]]
name   = "a gigabyte and a byte open one alert, with the sum"
events = [
    { fields = { "event.action" = "file_download", "user.name" = "eve", "http.response.body.bytes" = 600_000_000 }, at = "0s" },
    { fields = { "event.action" = "file_download", "user.name" = "eve", "http.response.body.bytes" = 400_000_001 }, at = "1h" },
]
expect = [{ at = "1h", key = { "user.name" = "eve" }, count = 2, value = 1_000_000_001 }]

[[test]]
name   = "a gigabyte is not more than a gigabyte, and longer than an hour is two windows"
events = [
    { fields = { "event.action" = "file_download", "user.name" = "eve", "http.response.body.bytes" = 600_000_000 }, at = "0s" },
    { fields = { "event.action" = "file_download", "user.name" = "eve", "http.response.body.bytes" = 400_000_000 }, at = "1h" },
    { fields = { "event.action" = "file_download", "user.name" = "eve", "http.response.body.bytes" = 600_000_000 }, at = "61m" },
]
expect = []
"#,
    decides: Decides::OnTheClock,
    keys: &[
        KeySpec::required("field", Shape::Field, "The field whose numbers are taken together."),
        KeySpec::required(
            "function",
            Shape::Text,
            "`sum`, `avg`, `min`, `max`, or a percentile by nearest rank: `p50`, `p95`, from `p1` to `p99`.",
        ),
        KeySpec::optional(
            "above",
            Shape::Number,
            "",
            "Fires above this; one of the four must be there.",
        ),
        KeySpec::optional("at_least", Shape::Number, "", "Fires at this and above."),
        KeySpec::optional(
            "below",
            Shape::Number,
            "",
            "Fires below this; the alert stays open until that ends.",
        ),
        KeySpec::optional(
            "at_most",
            Shape::Number,
            "",
            "Fires at this and below; the alert stays open until that ends.",
        ),
        KeySpec::required(
            "within",
            Shape::Duration,
            "The longest time from the first of the events to the last.",
        ),
        KeySpec::optional(
            "min_events",
            Shape::Count,
            "1",
            "How many events with a number there must be at least, up to 10,000.",
        ),
    ],
    parse,
};

/// The most numbers that are kept of one event.
pub const VALUES_PER_EVENT: usize = 1_000;

/// The settings of one rule.
#[derive(Debug, Clone)]
struct Metric {
    field: FieldName,
    function: Function,
    window: Window,
}

/// How many numbers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Sum,
    Avg,
    Min,
    Max,
    /// From 1 to 99.
    Percentile(u8),
}

/// The numbers of one event.
#[derive(Debug)]
struct Numbers {
    kept: SmallVec<[Number; 1]>,
    /// There was one, be it still kept or not.
    counts: bool,
    /// It had more than [`VALUES_PER_EVENT`].
    more: bool,
}

/// The numbers of a window, as far as the function needs them.
#[derive(Debug, Default)]
struct Tally {
    total: Total,
    sorted: Vec<Number>,
    count: u32,
}

fn parse(
    mut table: Table<'_>,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    let field = one_field(&mut table, "field", reading, found);
    let function = function(&mut table, found);
    let bound = Bound::read(&mut table, &Side::ALL, found);
    table.require("within", found);
    let within = table.duration("within", found);
    let min_events = if table.has("min_events") {
        bounded_count(&mut table, "min_events", EVENTS_MAX, found)
    } else {
        table.allow(&["min_events"]);
        Some(1)
    };
    table.finish(found);
    let window = Window { bound: bound?.0, within: within?.value, min_events: min_events? };
    Some(Box::new(Metric { field: field?, function: function?, window }))
}

fn function(table: &mut Table<'_>, found: &mut Diagnostics) -> Option<Function> {
    let text = table.required_text("function", found)?;
    let function = Function::read(&text.value);
    if function.is_none() {
        let message = format!(
            "expected one of sum, avg, min, max or a percentile from p1 to p99, found `{}`",
            text.value
        );
        let mistake = Diagnostic::error("bad-function", text.span.clone(), message);
        found.push(match text.value.to_lowercase().as_str() {
            "count" => mistake.help("to count events, use `[threshold]`"),
            "mean" | "average" => mistake.help("the mean is `avg`"),
            "median" => mistake.help("the median is `p50`"),
            "p0" => mistake.help("the least value is `min`"),
            "p100" => mistake.help("the largest value is `max`"),
            "distinct" | "cardinality" | "unique" => {
                mistake.help("to count distinct values, use `[cardinality]`")
            }
            _ => mistake,
        });
    }
    function
}

impl Function {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "sum" => Self::Sum,
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            text => {
                let digits = text.strip_prefix('p')?;
                let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
                let percent = digits.parse().ok().filter(|p| plain && (1..=99).contains(p));
                Self::Percentile(percent?)
            }
        })
    }

    fn name(self) -> String {
        match self {
            Self::Sum => "sum".to_owned(),
            Self::Avg => "avg".to_owned(),
            Self::Min => "min".to_owned(),
            Self::Max => "max".to_owned(),
            Self::Percentile(percent) => format!("p{percent}"),
        }
    }

    fn is_total(self) -> bool {
        matches!(self, Self::Sum | Self::Avg)
    }

    /// The aggregate; `None` without any number.
    fn of(self, tally: &Tally) -> Option<Number> {
        match self {
            Self::Sum => (tally.count > 0).then(|| tally.total.sum()),
            Self::Avg => (tally.count > 0).then(|| tally.total.mean(tally.count)),
            Self::Min => tally.sorted.first().copied(),
            Self::Max => tally.sorted.last().copied(),
            Self::Percentile(percent) => {
                let rank = (usize::from(percent) * tally.sorted.len()).div_ceil(100);
                tally.sorted.get(rank.checked_sub(1)?).copied()
            }
        }
    }
}

impl Detector for Metric {
    fn spec(&self) -> &'static DetectorSpec {
        &SPEC
    }

    fn canonical(&self) -> String {
        let Self { field, function, window } = self;
        format!("field={field} function={} {}", function.name(), window.canonical())
    }

    fn span(&self) -> Duration {
        self.window.within
    }

    fn keeps(&self) -> usize {
        EVENTS_MAX
    }

    fn fields(&self) -> Vec<FieldName> {
        vec![self.field.clone()]
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

impl Measure for Metric {
    type Note = Numbers;
    type Tally = Tally;

    fn window(&self) -> &Window {
        &self.window
    }

    fn note(&self, occurrence: &Occurrence) -> Numbers {
        let values = occurrence.values.first().map_or(&[][..], Vec::as_slice);
        let mut numbers = values.iter().filter_map(Scalar::as_number).map(plain);
        let kept: SmallVec<[Number; 1]> = numbers.by_ref().take(VALUES_PER_EVENT).collect();
        Numbers { counts: !kept.is_empty(), more: numbers.next().is_some(), kept }
    }

    fn add(&self, tally: &mut Tally, note: &Numbers) {
        for number in &note.kept {
            tally.count += 1;
            if self.function.is_total() {
                tally.total.add(*number);
            } else {
                let at = tally.sorted.partition_point(|other| other.compare(*number).is_lt());
                tally.sorted.insert(at, *number);
            }
        }
    }

    fn remove(&self, tally: &mut Tally, note: &Numbers) {
        for number in &note.kept {
            tally.count -= 1;
            if self.function.is_total() {
                tally.total.remove(*number);
            } else {
                // Two numbers that compare as equal are one, as `plain` leaves them.
                let at = tally.sorted.partition_point(|other| other.compare(*number).is_lt());
                tally.sorted.remove(at);
            }
        }
    }

    fn judge(&self, tally: &Tally, _last: &Numbers) -> Option<serde_json::Value> {
        let number =
            self.function.of(tally).filter(|number| self.window.bound.is_beyond(*number))?;
        Some(Scalar::Number(number).to_json())
    }
}

impl sliding::Note for Numbers {
    fn counts(&self) -> bool {
        self.counts
    }

    fn weight(&self) -> usize {
        self.kept.len()
    }

    fn shed(&mut self) {
        self.kept.clear();
        self.kept.shrink_to_fit();
    }

    fn is_partial(&self) -> bool {
        self.more
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.counts) | u8::from(self.more) << 1);
        codec::put_len(out, self.kept.len());
        for number in &self.kept {
            codec::put_scalar(out, &Scalar::Number(*number));
        }
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let flags = bytes.byte()?;
        let mut kept = SmallVec::new();
        for _ in 0..bytes.count()? {
            let Scalar::Number(number) = bytes.scalar()? else { return Err(Broken("a number")) };
            kept.push(number);
        }
        Ok(Self { kept, counts: flags & 1 != 0, more: flags & 2 != 0 })
    }
}

/// A number as an integer of 64 bits if it is one, however it was written: `3` for `3.0`.
fn plain(number: Number) -> Number {
    match number {
        Number::Float(float) if float.fract() == 0.0 && float.abs() < 2e19 => {
            // Its shortest text has no fraction.
            Number::parse(&number.to_string()).unwrap_or(number)
        }
        number => number,
    }
}

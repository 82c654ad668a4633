//! `[impossible_travel]`: two events of one key at places too far apart for the time between them.
//!
//! An event with a place is compared with the key's last one before it in (time, position) that has
//! one. It fires when the way along the great circle is at least `min_distance` and would have to be
//! made faster than `speed`; at the same instant that is infinitely fast. The place is
//! `source.geo.location` in any of its forms ([`Place`]); an event without one, or with coordinates
//! that are none on earth, takes no part.
//!
//! The number judged is the way in whole kilometres; the alert begins with the earlier event and
//! names its place. How events wait for the clock stands in [`pairs`](super::shared::pairs). After the time
//! that half the way around the earth takes, the last place is forgotten: nothing can be too far.

use std::time::Duration;

use super::shared::pairs::{Compare, Pairs};
use super::shared::place::{self, Place};
use super::{
    Decides, Detector, DetectorSpec, EVENTS_MAX, Firing, KeyState, Occurrence, Reading, RuleStart,
};
use crate::base::document::{Table, Text};
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics};
use crate::event::{FieldName, Scalar};
use crate::state::codec::{self, Broken, Reader};
use crate::state::timeline::Moment;

/// The detector's entry in the family's table.
pub const SPEC: DetectorSpec = DetectorSpec {
    table: "impossible_travel",
    summary: "Fires when two events of one key come from places too far apart for the time between them.",
    example: r#"title    = "One user at two places"
severity = "high"
when     = 'event.category: authentication and event.outcome: success'
group_by = ["user.name"]

[impossible_travel]
speed        = "900km/h"
min_distance = "500km"

[alert]
title = "{{ user.name }} was {{ alert.value }} km away, in {{ alert.previous }}, a moment ago"

[[test]]
name = "New York two hours after Berlin opens one alert"
events = [
    { fields = { "event.category" = "authentication", "event.outcome" = "success", "user.name" = "eve", "source.geo.city_name" = "Berlin", "source.geo.location" = { lat = 52.52, lon = 13.405 } } },
    { fields = { "event.category" = "authentication", "event.outcome" = "success", "user.name" = "eve", "source.geo.location" = "40.7128,-74.006" }, at = "2h" },
]
expect = [{ at = "2h", key = { "user.name" = "eve" }, count = 2, value = 6385 }]

[[test]]
name = "eight hours are enough for it, and Potsdam is too near"
events = [
    { fields = { "event.category" = "authentication", "event.outcome" = "success", "user.name" = "eve", "source.geo.location" = [13.405, 52.52] } },
    { fields = { "event.category" = "authentication", "event.outcome" = "success", "user.name" = "eve", "source.geo.location" = [13.064, 52.39] } },
    { fields = { "event.category" = "authentication", "event.outcome" = "success", "user.name" = "eve", "source.geo.location" = "POINT (-74.006 40.7128)" }, at = "8h" },
]
expect = []
"#,
    decides: Decides::OnTheClock,
    keys: &[
        KeySpec::optional(
            "speed",
            Shape::Text,
            "900km/h",
            "What nobody travels faster than, in km/h or mph, from 1km/h to 100,000km/h.",
        ),
        KeySpec::optional(
            "min_distance",
            Shape::Text,
            "500km",
            "How far apart two places must be at least, in km or mi: places of addresses are not exact.",
        ),
    ],
    parse,
};

/// Kilometres in a mile.
const MILE: f64 = 1.609_344;

/// The most characters of a place that are shown.
const SHOWN_CHARS: usize = 128;

/// The fields that tell the place, and what to call it.
const FIELDS: [&str; 6] = [
    "source.geo.location",
    "source.geo.location.lat",
    "source.geo.location.lon",
    "source.geo.city_name",
    "source.geo.country_iso_code",
    "source.ip",
];

/// The settings of one rule.
#[derive(Debug, Clone)]
struct Travel {
    /// In km/h, from 1 to 100,000.
    speed: f64,
    /// In km, at most half the way around the earth.
    min_distance: f64,
}

/// Where an event came from.
#[derive(Debug)]
struct Stay {
    place: Place,
    /// What people call it: `Berlin, DE (192.0.2.7)`.
    shown: Box<str>,
}

fn parse(
    mut table: Table<'_>,
    reading: &dyn Reading,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    // Nobody writes the field, but all the same something must fill it.
    let mut advice = Diagnostics::new();
    reading.field(&Text::bare(FIELDS[0]), &mut advice);
    found.extend(advice.into_iter().map(|advice| advice.moved(|_| table.span())));
    let speed = Quantity {
        key: "speed",
        default: 900.0,
        units: [("km/h", 1.0), ("mph", MILE)],
        from: 1.0,
        to: 100_000.0,
    };
    let min_distance = Quantity {
        key: "min_distance",
        default: 500.0,
        units: [("km", 1.0), ("mi", MILE)],
        from: 0.0,
        to: place::FARTHEST_KM.floor(),
    };
    let speed = speed.read(&mut table, found);
    let min_distance = min_distance.read(&mut table, found);
    table.finish(found);
    Some(Box::new(Travel { speed: speed?, min_distance: min_distance? }))
}

/// A number with a unit that a key may have.
struct Quantity {
    key: &'static str,
    default: f64,
    /// The units and how much of the first one they are.
    units: [(&'static str, f64); 2],
    /// The least and the most, in the first unit.
    from: f64,
    to: f64,
}

impl Quantity {
    fn read(&self, table: &mut Table<'_>, found: &mut Diagnostics) -> Option<f64> {
        let Some(item) = table.item(self.key) else { return Some(self.default) };
        let [(unit, _), (other, _)] = self.units;
        let example = format!("{}{unit}", self.default);
        if matches!(item.kind(), "integer" | "float") {
            let number = item.json();
            let message = format!("expected `{}` with a unit, found `{number}`", self.key);
            let help = format!("write \"{number}{unit}\" or \"{number}{other}\"");
            found.push(Diagnostic::error("bad-quantity", item.span, message).help(help));
            return None;
        }
        let text = item.text(found)?;
        let Some(value) = self.value(&text.value) else {
            let message = format!("expected a number in {unit} or {other}, found `{}`", text.value);
            let help = format!("write it as in \"{example}\"");
            found.push(Diagnostic::error("bad-quantity", text.span, message).help(help));
            return None;
        };
        if !(self.from..=self.to).contains(&value) {
            let (from, to) = (self.from, self.to);
            let message = format!(
                "expected `{}` from {from}{unit} to {to}{unit}, found `{}`",
                self.key, text.value
            );
            found.push(Diagnostic::error("out-of-range", text.span, message));
            return None;
        }
        Some(value)
    }

    /// In the first unit.
    fn value(&self, text: &str) -> Option<f64> {
        let (number, size) = self
            .units
            .iter()
            .find_map(|(unit, size)| Some((text.strip_suffix(unit)?.trim_end(), *size)))?;
        // Digits first: no sign, no `inf`.
        let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number: f64 = number.parse().ok().filter(|_| plain)?;
        Some(number * size)
    }
}

impl Travel {
    /// How long the farthest way takes.
    fn longest(&self) -> Duration {
        Duration::from_secs_f64(place::FARTHEST_KM / self.speed * 3_600.0)
    }
}

impl Detector for Travel {
    fn spec(&self) -> &'static DetectorSpec {
        &SPEC
    }

    fn canonical(&self) -> String {
        format!("speed={}km/h min_distance={}km", self.speed, self.min_distance)
    }

    fn span(&self) -> Duration {
        self.longest()
    }

    fn within(&self) -> Option<Duration> {
        None
    }

    fn keeps(&self) -> usize {
        EVENTS_MAX
    }

    fn fields(&self) -> Vec<FieldName> {
        FIELDS.iter().map(|name| FieldName::from_keys(name.split('.'))).collect()
    }

    fn fresh(&self, _start: RuleStart) -> Box<dyn KeyState> {
        Box::new(Pairs::new(self.clone()))
    }

    fn restore(&self, bytes: &[u8]) -> Result<Box<dyn KeyState>, Broken> {
        Ok(Box::new(Pairs::decode(self.clone(), bytes)?))
    }
}

impl Compare for Travel {
    type Note = Stay;

    fn reach(&self) -> Option<Duration> {
        Some(self.longest())
    }

    fn note(&self, occurrence: &Occurrence) -> Option<Stay> {
        let values = |at: usize| occurrence.values.get(at).map_or(&[][..], Vec::as_slice);
        let place = Place::read(values(0), values(1), values(2))?;
        let shown = shown(place, values(3), values(4), values(5));
        Some(Stay { place, shown })
    }

    fn compare(&self, before: &Moment<Stay>, event: &Moment<Stay>) -> Option<Firing> {
        let way = before.note.place.kilometres_to(event.note.place);
        let hours = event.time.since(before.time).as_secs_f64() / 3_600.0;
        (way >= self.min_distance && way > self.speed * hours).then(|| Firing {
            time: event.time,
            position: Some(event.position.clone()),
            after: None,
            first: before.time,
            count: 2,
            value: whole(way).into(),
            previous: Some(before.note.shown.as_ref().into()),
            tuple: None,
            approximate: false,
        })
    }

    fn encode(stay: &Stay, out: &mut Vec<u8>) {
        stay.place.encode(out);
        codec::put_text(out, &stay.shown);
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Stay, Broken> {
        Ok(Stay { place: Place::decode(bytes)?, shown: bytes.text()?.into() })
    }
}

/// Kilometres rounded to whole ones.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 20,016")]
fn whole(kilometres: f64) -> u64 {
    kilometres.round() as u64
}

/// City and country, or else the coordinates, and the address behind them.
fn shown(place: Place, city: &[Scalar], country: &[Scalar], address: &[Scalar]) -> Box<str> {
    let names: Vec<String> =
        city.first().into_iter().chain(country.first()).map(ToString::to_string).collect();
    let mut shown = if names.is_empty() { place.to_string() } else { names.join(", ") };
    if let Some(address) = address.first() {
        shown = format!("{shown} ({address})");
    }
    shown.chars().take(SHOWN_CHARS).collect::<String>().into()
}

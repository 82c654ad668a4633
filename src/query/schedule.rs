//! A named schedule, asked for by `@timestamp: @name`: days and hours on the wall clock of a zone.
//!
//! Zones come from the IANA database built into the program, so that the same event is judged alike
//! on every machine.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::base::{Timestamp, suggest};
use crate::event::FieldName;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The longest zone name that is looked up; names come from events, too.
const ZONE_NAME_MAX: usize = 64;

/// How far ahead an opening is looked for: a year, and then some for a holiday at its end.
const SEARCH_MAX: Duration = Duration::from_hours(400 * 24);

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Days and hours that keep coming back.
#[derive(Debug)]
pub struct Schedule {
    zone: TimeZone,
    zone_field: Option<FieldName>,
    /// Monday first.
    days: [bool; 7],
    /// Never empty.
    hours: Vec<Hours>,
    except: BTreeSet<Date>,
    /// Events whose own zone was missing or unknown.
    bad_zones: AtomicU64,
}

/// From a time of day up to, not including, another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hours {
    from: Time,
    /// `None` is 24:00. Not later than `from`: it crosses midnight.
    until: Option<Time>,
}

impl Schedule {
    /// Every moment, in the named zone; the error says what is wrong with the name.
    pub fn new(zone: &str) -> Result<Self, String> {
        let zone = zone_named(zone).ok_or_else(|| {
            let names: Vec<String> = ZONES.available().map(|name| name.to_string()).collect();
            let near = suggest::nearest(zone, names.iter().map(String::as_str));
            let near = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            format!("expected an IANA time zone such as `Europe/Berlin`, found `{zone}`{near}")
        })?;
        let all_day = Hours { from: Time::midnight(), until: None };
        Ok(Self {
            zone,
            zone_field: None,
            days: [true; 7],
            hours: vec![all_day],
            except: BTreeSet::new(),
            bad_zones: AtomicU64::new(0),
        })
    }

    /// The field that names the zone of each event.
    #[must_use]
    pub fn with_zone_field(mut self, field: Option<FieldName>) -> Self {
        self.zone_field = field;
        self
    }

    /// Only these days: `mon`, `mon-fri`, `fri-mon`.
    pub fn on_days<'t>(mut self, days: impl IntoIterator<Item = &'t str>) -> Result<Self, String> {
        self.days = [false; 7];
        for text in days {
            let (from, until) = text.split_once('-').unwrap_or((text, text));
            let ends = weekday(from).zip(weekday(until));
            let (mut day, until) = ends.ok_or_else(|| {
                format!("expected days such as `mon` or `mon-fri`, found `{text}`")
            })?;
            loop {
                if let Some(on) = self.days.get_mut(index(day)) {
                    *on = true;
                }
                if day == until {
                    break;
                }
                day = day.next();
            }
        }
        Ok(self)
    }

    /// Only these hours: `09:00-17:00`, `23:00-06:00`, `18:00-24:00`.
    pub fn in_hours<'t>(
        mut self,
        hours: impl IntoIterator<Item = &'t str>,
    ) -> Result<Self, String> {
        self.hours.clear();
        for text in hours {
            let wrong = || format!("expected hours such as `09:00-17:00`, found `{text}`");
            let (from, until) = text.split_once('-').ok_or_else(wrong)?;
            let from = time_of_day(from).ok_or_else(wrong)?;
            let until = match until.trim() {
                "24:00" => None,
                until => Some(time_of_day(until).ok_or_else(wrong)?),
            };
            if until == Some(from) {
                return Err(format!(
                    "expected two different times, found `{text}`; the whole day is `00:00-24:00`"
                ));
            }
            self.hours.push(Hours { from, until });
        }
        Ok(self)
    }

    /// Not on this date of the zone that an event is judged in.
    pub fn except_on(mut self, date: &str) -> Result<Self, String> {
        let date = date
            .parse::<Date>()
            .ok()
            .filter(|_| date.len() == 10)
            .ok_or_else(|| format!("expected a date such as `2026-12-25`, found `{date}`"))?;
        self.except.insert(date);
        Ok(self)
    }

    /// The field that names the zone of each event.
    pub fn zone_field(&self) -> Option<&FieldName> {
        self.zone_field.as_ref()
    }

    /// How many events lacked a zone of their own, or had an unknown one, where a field names it.
    pub fn bad_zones(&self) -> u64 {
        self.bad_zones.load(Ordering::Relaxed)
    }

    /// Whether a moment lies in the schedule, for an event whose zone field holds `zone`.
    pub fn contains(&self, time: Timestamp, zone: Option<&str>) -> bool {
        let own = match (&self.zone_field, zone.and_then(zone_named)) {
            (Some(_), Some(own)) => Some(own),
            (Some(_), None) => {
                self.bad_zones.fetch_add(1, Ordering::Relaxed);
                None
            }
            (None, _) => None,
        };
        self.is_open(time, own.as_ref().unwrap_or(&self.zone))
    }

    /// The first T from `from` on for which all of (T − `span`, T] lies in the schedule, on its own
    /// zone's clock; `None` if there is none in 400 days. Changes of that clock are nothing special:
    /// an hour that comes twice counts twice, one that is skipped does not count.
    pub fn first_inside(&self, from: Timestamp, span: Duration) -> Option<Timestamp> {
        let limit = from + SEARCH_MAX;
        let mut opens = from - span;
        while opens < limit {
            if !self.is_open(opens, &self.zone) {
                opens = self.next_change(opens);
                continue;
            }
            let inside = opens + span;
            let mut closes = self.next_change(opens);
            while closes <= inside && closes < limit && self.is_open(closes, &self.zone) {
                closes = self.next_change(closes);
            }
            if inside < closes {
                return Some(inside.max(from));
            }
            opens = closes;
        }
        None
    }

    fn is_open(&self, time: Timestamp, zone: &TimeZone) -> bool {
        let local = zone.to_datetime(time.to_jiff());
        self.hours.iter().any(|hours| self.holds(*hours, local.date(), local.time()))
    }

    /// The next moment at which it may open or close: midnight, the edge of some hours, or a change
    /// of the zone's clock. Always later than `time`, but for the end of all times.
    fn next_change(&self, time: Timestamp) -> Timestamp {
        let jiff = time.to_jiff();
        let offset = i64::from(self.zone.to_offset(jiff).seconds()) * 1000;
        let of_day = (time.as_millis() + offset).rem_euclid(DAY_MS);
        let edges = self.hours.iter().flat_map(|hours| [Some(hours.from), hours.until]).flatten();
        let later = edges.map(millis_of_day).filter(|edge| *edge > of_day).min();
        let edge = time
            + Duration::from_millis(
                u64::try_from(later.unwrap_or(DAY_MS) - of_day).unwrap_or_default(),
            );
        let shift = self.zone.following(jiff).next().map(|shift| shift.timestamp());
        // Clocks change on whole seconds.
        let shift = shift.map(|shift| Timestamp::from_millis(shift.as_millisecond()));
        shift.filter(|shift| *shift > time).map_or(edge, |shift| edge.min(shift))
    }

    fn holds(&self, hours: Hours, date: Date, time: Time) -> bool {
        match hours.until {
            Some(until) if until <= hours.from => {
                (time >= hours.from && self.is_on(date))
                    || (time < until && date.yesterday().is_ok_and(|date| self.is_on(date)))
            }
            until => {
                time >= hours.from && until.is_none_or(|until| time < until) && self.is_on(date)
            }
        }
    }

    fn is_on(&self, date: Date) -> bool {
        let on = self.days.get(index(date.weekday())).is_some_and(|on| *on);
        on && !self.except.contains(&date)
    }
}

fn millis_of_day(time: Time) -> i64 {
    (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60_000
}

fn index(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or_default()
}

fn zone_named(name: &str) -> Option<TimeZone> {
    (name.len() <= ZONE_NAME_MAX).then(|| ZONES.get(name).ok()).flatten()
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text.trim().to_ascii_lowercase().as_str() {
        "mon" | "monday" => Weekday::Monday,
        "tue" | "tuesday" => Weekday::Tuesday,
        "wed" | "wednesday" => Weekday::Wednesday,
        "thu" | "thursday" => Weekday::Thursday,
        "fri" | "friday" => Weekday::Friday,
        "sat" | "saturday" => Weekday::Saturday,
        "sun" | "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

/// `09:00`, also `9:00`.
fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let shaped =
        (1..=2).contains(&hour.len()) && minute.len() == 2 && digits(hour) && digits(minute);
    shaped.then(|| Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn office(zone: &str) -> Schedule {
        Schedule::new(zone)
            .unwrap()
            .on_days(["mon-fri"])
            .unwrap()
            .in_hours(["09:00-17:00"])
            .unwrap()
    }

    #[test]
    fn hours_are_half_open_on_the_wall_clock_of_the_zone() {
        let office = office("America/New_York");
        for (time, open) in [
            ("2026-01-05T13:59:59.999Z", false),
            ("2026-01-05T14:00:00Z", true),
            ("2026-01-05T21:59:59.999Z", true),
            ("2026-01-05T22:00:00Z", false),
            ("2026-07-06T13:00:00Z", true),
            ("2026-07-06T21:00:00Z", false),
            ("2026-01-10T15:00:00Z", false),
            ("2026-01-12T02:00:00Z", false),
        ] {
            assert_eq!(office.contains(at(time), None), open, "{time}");
        }
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_they_start() {
        let night = Schedule::new("UTC").unwrap().on_days(["fri"]).unwrap();
        let night = night.in_hours(["23:00-06:00"]).unwrap().except_on("2026-01-09").unwrap();
        for (time, open) in [
            ("2026-01-02T22:59:59Z", false),
            ("2026-01-02T23:00:00Z", true),
            ("2026-01-03T05:59:59Z", true),
            ("2026-01-03T06:00:00Z", false),
            ("2026-01-02T05:00:00Z", false),
            ("2026-01-09T23:30:00Z", false),
            ("2026-01-10T05:30:00Z", false),
            ("2026-01-16T23:30:00Z", true),
        ] {
            assert_eq!(night.contains(at(time), None), open, "{time}");
        }
    }

    #[test]
    fn to_24_00_reaches_midnight_and_no_further() {
        let evening = Schedule::new("UTC").unwrap().in_hours(["18:00-24:00"]).unwrap();
        assert!(evening.contains(at("2026-01-05T23:59:59.999Z"), None));
        assert!(!evening.contains(at("2026-01-06T00:00:00Z"), None));
        let midnight = Schedule::new("UTC").unwrap().in_hours(["18:00-00:00"]).unwrap();
        assert!(midnight.contains(at("2026-01-05T23:59:59.999Z"), None));
        assert!(!midnight.contains(at("2026-01-06T00:00:00Z"), None));
    }

    #[test]
    fn the_clock_that_jumps_forward_skips_hours_and_the_one_that_goes_back_repeats_them() {
        let small = |from_to| Schedule::new("Europe/Berlin").unwrap().in_hours([from_to]).unwrap();
        // 2026-03-29: 02:00 becomes 03:00 at 01:00Z. The hour from two to three never is.
        let two_to_three = small("02:00-03:00");
        for minute in 0..180 {
            let time = at("2026-03-28T23:30:00Z") + Duration::from_secs(minute * 60);
            assert!(!two_to_three.contains(time, None), "{time}");
        }
        assert!(small("01:00-03:30").contains(at("2026-03-29T01:29:00Z"), None));
        assert!(!small("01:00-03:30").contains(at("2026-03-29T01:30:00Z"), None));
        // 2026-10-25: 03:00 becomes 02:00 at 01:00Z. The hour from two to three is there twice.
        for (time, open) in [
            ("2026-10-24T23:59:59Z", false),
            ("2026-10-25T00:00:00Z", true),
            ("2026-10-25T00:59:59Z", true),
            ("2026-10-25T01:00:00Z", true),
            ("2026-10-25T01:59:59Z", true),
            ("2026-10-25T02:00:00Z", false),
        ] {
            assert_eq!(two_to_three.contains(at(time), None), open, "{time}");
        }
        // Office hours are nine to five of the wall clock on both days of the week around.
        let office = office("Europe/Berlin");
        assert!(office.contains(at("2026-03-27T08:00:00Z"), None));
        assert!(office.contains(at("2026-03-30T07:00:00Z"), None));
        assert!(office.contains(at("2026-10-23T07:00:00Z"), None));
        assert!(!office.contains(at("2026-10-26T07:59:59Z"), None));
        assert!(office.contains(at("2026-10-26T08:00:00Z"), None));
    }

    /// How many minutes of the time from `from` to `until` lie in the schedule.
    fn minutes(schedule: &Schedule, from: &str, until: &str) -> u64 {
        let minute = |n: u64| at(from) + Duration::from_mins(n);
        let all = (0..).take_while(|n| minute(*n) < at(until));
        all.filter(|n| schedule.contains(minute(*n), None)).count() as u64
    }

    #[test]
    fn a_day_of_the_switch_has_the_hours_that_its_clock_shows() {
        // A day around both switches of 2026, from its midnight to the next, in UTC; its length, and
        // how long it is one to three o'clock on it.
        for (zone, day, from, until, hours, one_to_three) in [
            ("Europe/Berlin", "sun", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23, 1),
            ("Europe/Berlin", "sun", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25, 3),
            ("America/New_York", "sun", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", 23, 1),
            ("America/New_York", "sun", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", 25, 3),
            // The clock goes forward at midnight: Friday begins at one.
            ("Africa/Cairo", "fri", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z", 23, 2),
        ] {
            let schedule = |hours| {
                Schedule::new(zone).unwrap().on_days([day]).unwrap().in_hours([hours]).unwrap()
            };
            let (before, after) = (at(from).to_jiff(), at(until).to_jiff());
            let margin = jiff::SignedDuration::from_hours(30);
            let (wide, far) = ((before - margin).to_string(), (after + margin).to_string());
            let whole = schedule("00:00-24:00");
            assert_eq!(minutes(&whole, from, until), hours * 60, "{zone} {from}");
            assert_eq!(minutes(&whole, &wide, &far), hours * 60, "{zone} {from}, and no more");
            let some = schedule("01:00-03:00");
            assert_eq!(minutes(&some, &wide, &far), one_to_three * 60, "{zone} {from}");
        }
    }

    #[test]
    fn a_night_over_a_switch_ends_by_the_new_clock_and_belongs_to_its_evening() {
        // Saturday 23:00 to Sunday 06:00: seven hours by the clock, one less or more in truth.
        for (zone, evening, morning, hours) in [
            ("Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z", 6),
            ("Europe/Berlin", "2026-10-24T21:00:00Z", "2026-10-25T05:00:00Z", 8),
            ("America/New_York", "2026-03-08T04:00:00Z", "2026-03-08T10:00:00Z", 6),
            ("America/New_York", "2026-11-01T03:00:00Z", "2026-11-01T11:00:00Z", 8),
        ] {
            let night = Schedule::new(zone).unwrap().on_days(["sat"]).unwrap();
            let night = night.in_hours(["23:00-06:00"]).unwrap();
            let second = Duration::from_secs(1);
            for (time, open) in [
                (at(evening) - second, false),
                (at(evening), true),
                (at(morning) - second, true),
                (at(morning), false),
            ] {
                assert_eq!(night.contains(time, None), open, "{zone} {time}");
            }
            assert_eq!(minutes(&night, evening, morning), hours * 60, "{zone} {evening}");
            // Closed on that Saturday means closed until Sunday morning.
            let saturday = at(evening).to_jiff().in_tz(zone).unwrap().date().to_string();
            let closed = night.except_on(&saturday).unwrap();
            assert_eq!(minutes(&closed, evening, morning), 0, "{zone} {evening}");
        }
    }

    #[test]
    fn an_event_is_judged_in_its_own_zone_and_a_bad_one_is_counted() {
        let zone_field = Some(FieldName::parse("user.timezone").unwrap());
        let office = office("America/New_York").with_zone_field(zone_field);
        // Tuesday 06:00 in Tokyo, Monday 16:00 in New York.
        let time = at("2026-03-09T20:00:00Z");
        assert!(!office.contains(time, Some("Asia/Tokyo")));
        assert_eq!(office.bad_zones(), 0);
        assert!(office.contains(time, Some("Mars/Olympus")));
        assert!(office.contains(time, Some(&"x".repeat(1000))));
        assert!(office.contains(time, None));
        assert_eq!(office.bad_zones(), 3);
    }

    #[test]
    fn exceptions_are_dates_of_the_zone() {
        let office = office("America/New_York").except_on("2026-12-25").unwrap();
        assert!(!office.contains(at("2026-12-25T15:00:00Z"), None));
        assert!(office.contains(at("2026-12-24T15:00:00Z"), None));
        let always = Schedule::new("Asia/Tokyo").unwrap().except_on("2026-12-25").unwrap();
        assert!(!always.contains(at("2026-12-24T15:00:00Z"), None));
        assert!(always.contains(at("2026-12-24T14:59:59Z"), None));
    }

    fn first(schedule: &Schedule, from: &str, minutes: u64) -> String {
        let found = schedule.first_inside(at(from), Duration::from_mins(minutes));
        found.map_or("never".to_owned(), |time| time.to_string())
    }

    #[test]
    fn a_span_lies_inside_when_it_begins_no_sooner_than_the_opening_and_ends_before_the_close() {
        let office = office("UTC").except_on("2026-01-06").unwrap();
        // Monday. Eight hours fit only if their end is before the close.
        assert_eq!(first(&office, "2026-01-05T03:00:00Z", 60), "2026-01-05T10:00:00Z");
        assert_eq!(first(&office, "2026-01-05T10:00:00Z", 60), "2026-01-05T10:00:00Z");
        assert_eq!(first(&office, "2026-01-05T10:00:00.001Z", 60), "2026-01-05T10:00:00.001Z");
        assert_eq!(first(&office, "2026-01-05T16:59:59.999Z", 60), "2026-01-05T16:59:59.999Z");
        // Tuesday is excepted.
        assert_eq!(first(&office, "2026-01-05T17:00:00Z", 60), "2026-01-07T10:00:00Z");
        assert_eq!(first(&office, "2026-01-09T17:00:00Z", 60), "2026-01-12T10:00:00Z");
        assert_eq!(first(&office, "2026-01-05T03:00:00Z", 479), "2026-01-05T16:59:00Z");
        assert_eq!(first(&office, "2026-01-05T03:00:00Z", 480), "never");
        let always = Schedule::new("UTC").unwrap();
        assert_eq!(first(&always, "2026-01-05T03:00:00Z", 99_999), "2026-01-05T03:00:00Z");
        let last = always.first_inside(Timestamp::MAX, Duration::from_mins(5));
        assert_eq!(last, None, "there is nothing behind the end of all times");
    }

    #[test]
    fn openings_that_meet_at_midnight_are_one() {
        let night = Schedule::new("UTC").unwrap().in_hours(["22:00-24:00", "00:00-02:00"]).unwrap();
        assert_eq!(first(&night, "2026-01-05T12:00:00Z", 180), "2026-01-06T01:00:00Z");
        let night = Schedule::new("UTC").unwrap().in_hours(["22:00-02:00"]).unwrap();
        assert_eq!(first(&night, "2026-01-05T12:00:00Z", 180), "2026-01-06T01:00:00Z");
        assert_eq!(first(&night, "2026-01-05T12:00:00Z", 240), "never");
    }

    #[test]
    fn on_both_days_when_the_clock_changes_an_opening_is_as_long_as_it_is() {
        let early = Schedule::new("Europe/Berlin").unwrap().in_hours(["01:00-04:00"]).unwrap();
        // Two hours on 2026-03-29, four on 2026-10-25.
        assert_eq!(first(&early, "2026-03-28T12:00:00Z", 119), "2026-03-29T01:59:00Z");
        assert_eq!(first(&early, "2026-03-28T12:00:00Z", 120), "2026-03-30T01:00:00Z");
        assert_eq!(first(&early, "2026-10-24T12:00:00Z", 239), "2026-10-25T02:59:00Z");
        assert_eq!(first(&early, "2026-10-25T12:00:00Z", 179), "2026-10-26T02:59:00Z");
        // Half past two is there twice, an hour apart.
        let half = Schedule::new("Europe/Berlin").unwrap().in_hours(["02:00-02:30"]).unwrap();
        assert_eq!(first(&half, "2026-10-25T00:30:00Z", 20), "2026-10-25T01:20:00Z");
        assert_eq!(first(&half, "2026-03-28T12:00:00Z", 20), "2026-03-30T00:20:00Z");
    }

    proptest::proptest! {
        /// Against asking for every quarter of an hour, which is as fine as these hours are.
        #[test]
        fn the_first_span_inside_is_the_one_that_looking_at_all_of_them_finds(
            hours in proptest::collection::vec((0..24u8, 0..4u8, 0..=24u8), 1..3),
            days in proptest::collection::btree_set(0..7usize, 1..7),
            quarters in 1..60u64,
            start in 0..400i64,
            zone in proptest::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
            autumn: bool,
        ) {
            const QUARTER: i64 = 15 * 60_000;
            let hours: Vec<String> = hours.iter()
                .filter(|(from, quarter, until)| from != until || *quarter != 0)
                .map(|(from, quarter, until)| format!("{from:02}:{:02}-{until:02}:00", quarter * 15))
                .collect();
            proptest::prop_assume!(!hours.is_empty());
            let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
            let schedule = Schedule::new(zone).unwrap()
                .on_days(days.iter().map(|day| names[*day])).unwrap()
                .in_hours(hours.iter().map(String::as_str)).unwrap();
            let base = at(if autumn { "2026-10-22T00:00:00Z" } else { "2026-03-26T00:00:00Z" });
            let from = base + Duration::from_millis((start * QUARTER).cast_unsigned());
            let span = Duration::from_mins(quarters * 15);
            let open = |n: i64| {
                schedule.contains(Timestamp::from_millis(from.as_millis() + n * QUARTER), None)
            };
            let count = i64::try_from(quarters).unwrap();
            // Both ends: a span that ends where it closes is not inside.
            let expected = (0..1500i64).find(|n| (n - count..=*n).all(open));
            let found = schedule.first_inside(from, span);
            let found = found.map(|t| (t.as_millis() - from.as_millis()) / QUARTER);
            proptest::prop_assert_eq!(found.filter(|n| *n < 1500), expected, "{:?} {:?}", hours, days);
        }
    }

    #[test]
    fn days_may_wrap_around_the_week() {
        let days = |days: &[&str]| {
            Schedule::new("UTC")
                .unwrap()
                .on_days(days.iter().copied())
                .map(|schedule| schedule.days)
        };
        assert_eq!(days(&["fri-mon"]).unwrap(), [true, false, false, false, true, true, true]);
        assert_eq!(
            days(&["Wed", "sunday"]).unwrap(),
            [false, false, true, false, false, false, true]
        );
        assert!(days(&["weekday"]).is_err() && days(&["mon-"]).is_err());
    }

    #[test]
    fn what_is_no_time_or_zone_is_refused() {
        for hours in [
            "9-17",
            "09:00",
            "09:00-25:00",
            "24:00-06:00",
            "09:00-09:00",
            "09:60-10:00",
            "-1:00-2:00",
        ] {
            assert!(Schedule::new("UTC").unwrap().in_hours([hours]).is_err(), "{hours}");
        }
        assert!(Schedule::new("Europe/Berln").unwrap_err().contains("`Europe/Berlin`"));
        assert!(Schedule::new("UTC").unwrap().except_on("25.12.2026").is_err());
    }
}

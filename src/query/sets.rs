//! The lists and schedules that queries may name, in one namespace, and the `[lists.…]` and
//! `[schedules.…]` tables they are written in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::list::{LIST_ENTRIES_MAX, List};
use super::schedule::Schedule;
use crate::base::document::{Table, Text};
use crate::base::keys::{KeySpec, Shape};
use crate::base::{Diagnostic, Diagnostics, Live};
use crate::event::FieldName;

/// The keys of `[lists.NAME]`.
pub const LIST: &[KeySpec] = &[
    KeySpec::optional(
        "values",
        Shape::Texts,
        "",
        "Texts, addresses and networks; this, `file` or both.",
    ),
    KeySpec::optional(
        "file",
        Shape::Text,
        "",
        "A file with one of them a line, `#` begins a comment; watched. At most 1,000,000 in all.",
    ),
];

/// The keys of `[schedules.NAME]`.
pub const SCHEDULE: &[KeySpec] = &[
    KeySpec::required(
        "timezone",
        Shape::Text,
        "An IANA zone such as `Europe/Berlin`; daylight saving is the zone's business.",
    ),
    KeySpec::optional(
        "zone_field",
        Shape::Field,
        "",
        "A field that names the zone of each event; a missing or unknown one is counted, and `timezone` holds.",
    ),
    KeySpec::optional(
        "days",
        Shape::List(&Shape::Like(
            "^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?$",
        )),
        "every day",
        "Days and spans of days: `mon-fri`.",
    ),
    KeySpec::optional(
        "hours",
        Shape::List(&Shape::Like("^[0-9]{1,2}:[0-9]{2}-[0-9]{1,2}:[0-9]{2}$")),
        "all day",
        "Spans of the wall clock, the end left out: `09:00-17:00`; `23:00-06:00` crosses midnight and belongs to the day on which it starts.",
    ),
    KeySpec::optional(
        "except",
        Shape::List(&Shape::Time),
        "",
        "Dates, in the zone that an event is judged in, on which it does not hold.",
    ),
];

/// What `@name` can mean.
#[derive(Debug, Clone, Default)]
pub struct Sets {
    sets: BTreeMap<Box<str>, Set>,
    /// The lists that are read from files.
    files: BTreeMap<Box<str>, Arc<ListFile>>,
}

#[derive(Debug, Clone)]
pub(super) enum Set {
    List(Live<List>),
    Schedule(Arc<Schedule>),
}

/// A list that comes from a file.
#[derive(Debug)]
struct ListFile {
    /// The entries that stand in the configuration itself.
    values: Vec<String>,
    /// The file, as it is written there.
    file: String,
}

impl Sets {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a list; one of the same name is replaced (a test may bring its own).
    pub fn insert_list(&mut self, name: &str, list: List) {
        self.sets.insert(name.into(), Set::List(Live::new(list)));
        self.files.remove(name);
    }

    /// Adds a schedule; one of the same name is replaced.
    pub fn insert_schedule(&mut self, name: &str, schedule: Schedule) {
        self.sets.insert(name.into(), Set::Schedule(Arc::new(schedule)));
    }

    /// The list of that name, as it is now.
    pub fn list(&self, name: &str) -> Option<Arc<List>> {
        match self.sets.get(name)? {
            Set::List(list) => Some(list.get()),
            Set::Schedule(_) => None,
        }
    }

    /// The list of that name, as it will be whenever it is asked.
    pub fn live_list(&self, name: &str) -> Option<Live<List>> {
        match self.sets.get(name)? {
            Set::List(list) => Some(list.clone()),
            Set::Schedule(_) => None,
        }
    }

    /// The schedule of that name.
    pub fn schedule(&self, name: &str) -> Option<&Arc<Schedule>> {
        match self.sets.get(name)? {
            Set::Schedule(schedule) => Some(schedule),
            Set::List(_) => None,
        }
    }

    /// The lists that are read from files, with the files as they are written in the configuration.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(name, list)| (name.as_ref(), list.file.as_str()))
    }

    /// Whether a list may hold something else tomorrow: it is read from a file.
    pub fn may_change(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// What a list would hold if its file had this text; every mistake with its line.
    pub fn reread(&self, name: &str, text: &str) -> Result<List, Vec<String>> {
        let none = Vec::new();
        let values = self.files.get(name).map_or(&none, |list| &list.values);
        let values = values.iter().map(String::as_str);
        let lines: Vec<(usize, &str)> = entries(text).collect();
        let all = values.len() + lines.len();
        if all > LIST_ENTRIES_MAX {
            return Err(vec![too_long(all)]);
        }
        let (list, bad) = List::new(values.chain(lines.iter().map(|(_, entry)| *entry)));
        let bad: BTreeMap<&str, String> =
            bad.into_iter().map(|(entry, why)| (entry, why.to_string())).collect();
        let mistakes = lines.iter().filter_map(|(line, entry)| {
            bad.get(entry).map(|why| format!("line {line}: `{entry}`: {why}"))
        });
        let mistakes: Vec<String> = mistakes.collect();
        if mistakes.is_empty() { Ok(list) } else { Err(mistakes) }
    }

    /// Puts other contents in place of a list's, also where it is used already, and gives back those
    /// that it had. Belongs inside of [`Gate::change`](crate::base::Gate::change).
    pub fn swap_list(&self, name: &str, list: List) -> Option<Arc<List>> {
        match self.sets.get(name)? {
            Set::List(own) => Some(own.replace(list)),
            Set::Schedule(_) => None,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Set> {
        self.sets.get(name)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sets.keys().map(AsRef::as_ref)
    }

    /// All schedules with their names, in order.
    pub fn schedules(&self) -> impl Iterator<Item = (&str, &Arc<Schedule>)> {
        self.sets.iter().filter_map(|(name, set)| match set {
            Set::Schedule(schedule) => Some((name.as_ref(), schedule)),
            Set::List(_) => None,
        })
    }

    /// Reads the tables `[lists.NAME]` and `[schedules.NAME]` below `root`; what is wrong is reported,
    /// what can be used is returned. `read` gives the text of a list's `file`, or why it cannot.
    pub fn parse_tables(
        root: &mut Table<'_>,
        read: &mut dyn FnMut(&str) -> Result<String, String>,
        found: &mut Diagnostics,
    ) -> Self {
        let mut sets = Self::new();
        if let Some(lists) = root.table("lists", found) {
            for name in lists.keys() {
                let table = lists.any(&name.value).and_then(|item| item.table(found));
                let Some((list, file)) = table.map(|table| list(table, read, found)) else {
                    continue;
                };
                sets.insert_list(&name.value, list);
                if let Some(file) = file {
                    sets.files.insert(name.value.into(), Arc::new(file));
                }
            }
        }
        if let Some(schedules) = root.table("schedules", found) {
            for name in schedules.keys() {
                let table = schedules.any(&name.value).and_then(|item| item.table(found));
                let schedule = table.and_then(|table| schedule(table, found));
                if sets.list(&name.value).is_some() {
                    let message = format!("`{}` is the name of a list already", name.value);
                    found.push(
                        Diagnostic::error("duplicate-name", name.span, message).help(
                            "lists and schedules share their names: `@name` means one of them",
                        ),
                    );
                } else if let Some(schedule) = schedule {
                    sets.insert_schedule(&name.value, schedule);
                }
            }
        }
        sets
    }
}

fn list(
    mut table: Table<'_>,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
    found: &mut Diagnostics,
) -> (List, Option<ListFile>) {
    let values = table.texts("values", found);
    let file = table.text("file", found);
    if values.is_none() && file.is_none() {
        let message = "expected `values` or `file`, found neither";
        found.push(Diagnostic::error("missing-key", table.span(), message));
    }
    let span = table.span();
    table.finish(found);
    let values = values.unwrap_or_default();
    for value in &values {
        let (_, bad) = List::new([value.value.as_str()]);
        for (_, why) in bad {
            let message = format!("`{}`: {why}", value.value);
            found.push(Diagnostic::error("bad-network", value.span.clone(), message));
        }
    }
    let text = file.as_ref().and_then(|file| match read(&file.value) {
        Ok(text) => Some(text),
        Err(why) => {
            found.push(Diagnostic::error("unreadable-file", file.span.clone(), why));
            None
        }
    });
    let lines = text.as_deref().unwrap_or_default();
    if let Some(file) = &file {
        check_lines(file, lines, found);
    }
    let values: Vec<String> = values.into_iter().map(|value| value.value).collect();
    let own = values.iter().map(String::as_str);
    let entries: Vec<&str> = own.chain(entries(lines).map(|(_, entry)| entry)).collect();
    if entries.len() > LIST_ENTRIES_MAX {
        found.push(Diagnostic::error("list-too-long", span, too_long(entries.len())));
    }
    let list = List::new(entries.into_iter().take(LIST_ENTRIES_MAX)).0;
    (list, file.map(|file| ListFile { values, file: file.value }))
}

fn too_long(entries: usize) -> String {
    format!("expected at most {LIST_ENTRIES_MAX} entries, found {entries}")
}

/// A file's mistakes have no place in the TOML file but the name of the file: the line is told.
fn check_lines(file: &Text, lines: &str, found: &mut Diagnostics) {
    for (line, entry) in entries(lines) {
        let (_, bad) = List::new([entry]);
        for (_, why) in bad {
            let message = format!("{}, line {line}: `{entry}`: {why}", file.value);
            found.push(Diagnostic::error("bad-network", file.span.clone(), message));
        }
    }
}

/// The entries of a list's file with their lines: one per line, `#` at its start or after white space
/// begins a comment.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.strip_prefix('\u{feff}').unwrap_or(text).lines().zip(1..).filter_map(|(line, number)| {
        let comment = line.match_indices('#').map(|(at, _)| at).find(|at| {
            line.get(..*at)
                .is_some_and(|before| before.ends_with(char::is_whitespace) || before.is_empty())
        });
        let entry = comment.and_then(|at| line.get(..at)).unwrap_or(line).trim();
        (!entry.is_empty()).then_some((number, entry))
    })
}

fn schedule(mut table: Table<'_>, found: &mut Diagnostics) -> Option<Schedule> {
    let zone = table.required_text("timezone", found);
    let zone_field = table.text("zone_field", found);
    let days = table.texts("days", found);
    let hours = table.texts("hours", found);
    let except = table.item("except").and_then(|item| item.array(found)).unwrap_or_default();
    table.finish(found);
    let zone = zone?;
    let mut schedule = match Schedule::new(&zone.value) {
        Ok(schedule) => schedule,
        Err(message) => {
            found.push(Diagnostic::error("bad-timezone", zone.span.clone(), message));
            // The rest is still worth checking.
            Schedule::new("UTC").ok()?
        }
    };
    if let Some(text) = zone_field {
        match FieldName::parse(&text.value) {
            Ok(field) if !field.is_pattern() => schedule = schedule.with_zone_field(Some(field)),
            Ok(_) => {
                let message = "expected one field, found a name with `*`";
                found.push(Diagnostic::error("bad-field", text.span, message));
            }
            Err(message) => found.push(Diagnostic::error("bad-field", text.span, message)),
        }
    }
    let mut report = |text: &Text, checked: Result<(), String>| {
        if let Err(message) = checked {
            found.push(Diagnostic::error("bad-schedule", text.span.clone(), message));
        }
    };
    let trial = || Schedule::new("UTC");
    for text in days.iter().flatten() {
        report(text, trial().and_then(|trial| trial.on_days([text.value.as_str()]).map(drop)));
    }
    for text in hours.iter().flatten() {
        report(text, trial().and_then(|trial| trial.in_hours([text.value.as_str()]).map(drop)));
    }
    let except: Vec<_> = except.iter().filter_map(|item| item.date_time(found)).collect();
    for date in &except {
        if let Err(message) = trial().and_then(|trial| trial.except_on(&date.value).map(drop)) {
            found.push(Diagnostic::error("bad-schedule", date.span.clone(), message));
        }
    }
    for (key, empty) in [
        ("days", days.as_ref().is_some_and(Vec::is_empty)),
        ("hours", hours.as_ref().is_some_and(Vec::is_empty)),
    ] {
        if empty {
            let message = format!("`{key}`: expected at least one, found none");
            let help = format!("leave `{key}` out for all of them");
            found.push(Diagnostic::error("bad-schedule", zone.span.clone(), message).help(help));
        }
    }
    if let Some(days) = days {
        schedule = schedule.on_days(days.iter().map(|t| t.value.as_str())).ok()?;
    }
    if let Some(hours) = hours {
        schedule = schedule.in_hours(hours.iter().map(|t| t.value.as_str())).ok()?;
    }
    for date in except {
        schedule = schedule.except_on(&date.value).ok()?;
    }
    Some(schedule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::base::document::Document;
    use expect_test::{Expect, expect};

    fn read(source: &str) -> (Sets, String) {
        let document = Document::parse(source);
        let mut found = Diagnostics::new();
        let mut root = document.root(&mut found);
        let mut file = |name: &str| match name {
            "scanners.txt" => {
                Ok("# ours\n198.51.100.7\nScanner#1  # the old one\n\n  10.9.0.0/16\n".into())
            }
            "bad.txt" => Ok("fine\n10.1.2.3/8\n".into()),
            _ => Err("no such file".to_owned()),
        };
        let sets = Sets::parse_tables(&mut root, &mut file, &mut found);
        root.finish(&mut found);
        let told = found.sorted().into_iter().map(|d| {
            let place = d.span.map(|span| source.get(span).unwrap_or("?").to_owned());
            format!("{}: {} @ {}\n", d.code, d.message, place.unwrap_or_default())
        });
        (sets, told.collect())
    }

    fn check(source: &str, expected: &Expect) {
        expected.assert_eq(&read(source).1);
    }

    #[test]
    fn the_tables_of_the_manual_are_read() {
        let (sets, told) = read(
            r#"
            [lists.vulnerability-scanners]
            values = ["198.51.100.0/24"]
            file   = "scanners.txt"

            [schedules.business-hours]
            timezone   = "America/New_York"
            zone_field = "user.timezone"
            days       = ["mon-fri"]
            hours      = ["09:00-17:00"]
            except     = [2026-12-25]
            "#,
        );
        assert_eq!(told, "");
        let scanners = sets.list("vulnerability-scanners").unwrap();
        for text in ["198.51.100.200", "scanner#1", "10.9.8.7"] {
            assert!(scanners.contains_text(text), "{text}");
        }
        assert_eq!(scanners.len(), 4);
        let hours = sets.schedule("business-hours").unwrap();
        let at = |text| Timestamp::parse(text).unwrap();
        assert!(hours.contains(at("2026-12-24T15:00:00Z"), None));
        assert!(!hours.contains(at("2026-12-25T15:00:00Z"), None));
        assert_eq!(sets.names().collect::<Vec<_>>(), ["business-hours", "vulnerability-scanners"]);
        assert!(sets.list("business-hours").is_none());
    }

    #[test]
    fn every_mistake_is_told_at_its_place() {
        check(
            r#"
            [lists.a]
            [lists.b]
            values = ["10.1.2.3/8", 5]
            value = []
            [lists.c]
            file = "bad.txt"
            [lists.d]
            file = "none.txt"
            [schedules.a]
            timezone = "UTC"
            [schedules.e]
            timezone = "Europe/Berln"
            zone_field = "user.*"
            days = ["mon-fry"]
            hours = ["9-17", "24:00-06:00"]
            except = ["soon"]
            [schedules.f]
            timezone = "UTC"
            days = []
            "#,
            &expect![[r#"
                missing-key: expected `values` or `file`, found neither @ [lists.a]
                bad-network: `10.1.2.3/8`: bits are set beyond the prefix; the network is `10.0.0.0/8` @ "10.1.2.3/8"
                wrong-type: `values`: expected a string, found an integer @ 5
                unknown-key: unknown key `value` in `[lists.b]` @ value
                bad-network: bad.txt, line 2: `10.1.2.3/8`: bits are set beyond the prefix; the network is `10.0.0.0/8` @ "bad.txt"
                unreadable-file: no such file @ "none.txt"
                duplicate-name: `a` is the name of a list already @ a
                bad-timezone: expected an IANA time zone such as `Europe/Berlin`, found `Europe/Berln`, did you mean `Europe/Berlin`? @ "Europe/Berln"
                bad-field: expected one field, found a name with `*` @ "user.*"
                bad-schedule: expected days such as `mon` or `mon-fri`, found `mon-fry` @ "mon-fry"
                bad-schedule: expected hours such as `09:00-17:00`, found `9-17` @ "9-17"
                bad-schedule: expected hours such as `09:00-17:00`, found `24:00-06:00` @ "24:00-06:00"
                bad-schedule: expected a date such as `2026-12-25`, found `soon` @ "soon"
                bad-schedule: `days`: expected at least one, found none @ "UTC"
            "#]],
        );
    }
}

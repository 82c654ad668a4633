//! A mapping file as it is written, checked into a [`Mapping`] that has no mistakes but those that
//! need the lists and schedules. Every mistake is reported, each with its place.

use std::collections::BTreeSet;

use regex::Regex;

use crate::base::diagnostic::{Gravity, SourceText};
use crate::base::document::{Document, Item, Spanned, Table, Text};
use crate::base::{Diagnostic, Diagnostics, keys, suggest};
use crate::event::schema::{self, Kind};
use crate::event::{FieldName, Scalar};
use crate::query::{FieldAdvice, Query};

use super::geo;
use super::keys::{MAPPING, SOURCE};
use super::time::{FORMATS, Format};

/// Fields that every event has, whatever its mapping says.
pub(super) const ALWAYS: [&str; 4] = ["@timestamp", "event.id", "event.kind", "event.dataset"];

/// Bytes that a regex may take compiled.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A mapping file without mistakes.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) name: String,
    /// Topics whose records are this product's; `*` stands for anything.
    pub(super) topics: Vec<String>,
    /// What says of a record of any other topic that it is this product's.
    pub(super) detect: Option<Condition>,
    /// The record is in the common fields already: what `[fields]` does not name is taken as it is.
    pub(super) common: bool,
    pub(super) json: Vec<FieldName>,
    pub(super) null: Vec<String>,
    pub(super) time: Vec<Format>,
    pub(super) fields: Vec<(FieldName, Source)>,
    pub(super) cases: Vec<Case>,
    pub(super) classes: Vec<Class>,
    pub(super) search: Vec<(Spanned<String>, FieldName)>,
}

/// A query with its place in the file.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) text: Text,
    pub(super) query: Query,
}

/// Where a field's values come from.
#[derive(Debug)]
pub(super) enum Source {
    /// Nowhere: the field is missing.
    Nothing,
    /// The same for every record.
    Value(Vec<Scalar>),
    /// The first path that has a value.
    Path { paths: Vec<FieldName>, regex: Option<Regex>, letters: Letters },
    /// The values of all paths with something between them; missing when one of them is.
    Join { paths: Vec<FieldName>, with: String, letters: Letters },
    /// A table's column, in the row that another field names.
    Lookup { table: Text, by: FieldName, column: String },
}

/// What becomes of a text's letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Letters {
    #[default]
    AsTheyAre,
    Lower,
    Upper,
}

/// One `[[case]]`.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) when: Condition,
    pub(super) fields: Vec<(FieldName, Source)>,
}

/// One `[[classify]]`.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) when: Condition,
    pub(super) set: Vec<(FieldName, Vec<Scalar>)>,
}

impl Mapping {
    /// The fields it can fill, those of every event left out.
    pub(super) fn fills(&self) -> BTreeSet<FieldName> {
        let of_cases = self.cases.iter().flat_map(|case| &case.fields);
        let mapped = self.fields.iter().chain(of_cases);
        let mapped = mapped.filter(|(_, source)| !matches!(source, Source::Nothing));
        let set = self.classes.iter().flat_map(|class| &class.set);
        mapped.map(|(f, _)| f.clone()).chain(set.map(|(f, _)| f.clone())).collect()
    }
}

/// Reads a file; `None` when it has errors.
pub(super) fn read(source: &SourceText, found: &mut Diagnostics) -> Option<Mapping> {
    let stem = source.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let document = Document::parse(&source.text);
    let mut root = document.root_as(MAPPING, found);
    let topics = root.texts("topics", found).unwrap_or_default();
    let detect = root.text("detect", found).and_then(|text| condition(text, found));
    if let Some(detect) = &detect {
        reads_the_record_only(detect, found);
    }
    if topics.is_empty() && detect.is_none() && !root.has("detect") {
        found.push(Diagnostic {
            span: None,
            ..Diagnostic::warning(
                "no-records",
                0..0,
                "neither `topics` nor `detect`: no record comes to this mapping",
            )
        });
    }
    let common = root.boolean("common", found).unwrap_or(false);
    let json = root.texts("json", found).unwrap_or_default();
    let json = json.iter().filter_map(|text| path(text, found)).collect();
    let null = root.texts("null", found).unwrap_or_default();
    let null = null.into_iter().map(|text| text.value).collect();
    let time = root.texts("time", found);
    let time = time.map_or_else(|| vec![Format::Rfc3339], |names| formats(&names, found));
    let fields = match root.table("fields", found) {
        Some(table) => fields(&table, true, found),
        None => Vec::new(),
    };
    if fields.is_empty() && !common && !root.has("fields") {
        found.push(Diagnostic::of_file("missing-key", "missing table `[fields]`"));
    }
    let mut cases = Vec::new();
    for mut table in root.tables("case", found) {
        let when = table.required_text("when", found).and_then(|text| condition(text, found));
        table.require("fields", found);
        let given = table.table("fields", found);
        let fields = given.map(|given| self::fields(&given, false, found)).unwrap_or_default();
        table.finish(found);
        cases.extend(when.map(|when| Case { when, fields }));
    }
    let mut classes = Vec::new();
    for mut table in root.tables("classify", found) {
        let when = table.required_text("when", found).and_then(|text| condition(text, found));
        table.require("set", found);
        let given = table.table("set", found);
        let set = given.map(|given| set(&given, found)).unwrap_or_default();
        table.finish(found);
        classes.extend(when.map(|when| Class { when, set }));
    }
    let search = root.table("search", found).map(|t| aliases(&t, found)).unwrap_or_default();
    root.finish_with(found, |key| {
        (key == "table" || key == "tables")
            .then(|| "tables are declared in the configuration, `[tables.NAME]`".to_owned())
    });
    let mapping = Mapping {
        name: stem.to_owned(),
        topics: topics.into_iter().map(|topic| topic.value).collect(),
        detect,
        common,
        json,
        null,
        time,
        fields,
        cases,
        classes,
        search,
    };
    check_conditions(&mapping, found);
    (!found.has_errors()).then_some(mapping)
}

/// A query; its mistakes get their places in the file.
fn condition(text: Text, found: &mut Diagnostics) -> Option<Condition> {
    match Query::parse(&text.value) {
        Ok(query) => Some(Condition { text, query }),
        Err(mistakes) => {
            let place = |mistake: Diagnostic| mistake.moved(|span| text.locate(span));
            found.extend(mistakes.into_iter().map(place));
            None
        }
    }
}

/// What is doubtful about a query, each with its place in the file.
fn check(
    condition: &Condition,
    advise: &dyn Fn(&FieldName) -> Option<FieldAdvice>,
    found: &mut Diagnostics,
) {
    let place = |mistake: Diagnostic| mistake.moved(|span| condition.text.locate(span));
    found.extend(condition.query.check(advise).into_iter().map(place));
}

fn reads_the_record_only(detect: &Condition, found: &mut Diagnostics) {
    let advise = |field: &FieldName| {
        // A pattern may meet something of `raw`.
        (field.is_common() && !field.is_pattern()).then(|| FieldAdvice {
            code: "not-available",
            gravity: Gravity::Error,
            message: format!("`{field}` is not known yet when a record is told apart"),
            help: Some("use `raw.…`, `kafka.topic` or `kafka.headers.…`".to_owned()),
        })
    };
    check(detect, &advise, found);
}

/// Unknown fields are errors; fields that this mapping never fills are worth a warning.
fn check_conditions(mapping: &Mapping, found: &mut Diagnostics) {
    let fills = mapping.fills();
    let always = |field: &FieldName| ALWAYS.contains(&field.dotted().as_str());
    let advise = |field: &FieldName| {
        if !schema::is_valid(field) {
            let Diagnostic { code, gravity, message, help, .. } = unknown(&field.dotted(), 0..0);
            return Some(FieldAdvice { code, gravity, message, help });
        }
        let of_address = geo::FIELDS.contains(&field.dotted().as_str());
        let open = !field.is_common() || field.is_pattern() || mapping.common || of_address;
        (!open && !fills.contains(field) && !always(field)).then(|| FieldAdvice {
            code: "unfilled-field",
            gravity: Gravity::Warning,
            message: format!("this mapping never fills `{field}`"),
            help: None,
        })
    };
    let cases = mapping.cases.iter().map(|case| &case.when);
    for condition in cases.chain(mapping.classes.iter().map(|class| &class.when)) {
        check(condition, &advise, found);
    }
}

fn unknown(name: &str, span: std::ops::Range<usize>) -> Diagnostic {
    let mistake = Diagnostic::error("unknown-field", span, format!("unknown field `{name}`"));
    match schema::nearest(name) {
        Some(near) => mistake.help(format!("did you mean `{near}`?")),
        None => mistake.help("what has no common name goes to `labels.…`"),
    }
}

/// A path into the record, as the name `raw.…`.
fn path(text: &Text, found: &mut Diagnostics) -> Option<FieldName> {
    let problem = match FieldName::parse(&format!("raw.{}", text.value)) {
        Ok(name) if !name.is_pattern() => return Some(name),
        Ok(_) => format!("expected one path, found the pattern `{}`", text.value),
        Err(_) => format!("expected a path such as `details.ip`, found `{}`", text.value),
    };
    found.push(Diagnostic::error("bad-path", text.span.clone(), problem));
    None
}

fn formats(names: &[Text], found: &mut Diagnostics) -> Vec<Format> {
    let mut formats = Vec::new();
    for name in names {
        let Some((_, format)) = FORMATS.iter().find(|(own, _)| *own == name.value) else {
            let known: Vec<_> = FORMATS.iter().map(|(name, _)| *name).collect();
            let message = format!("expected one of {}, found `{}`", known.join(", "), name.value);
            found.push(Diagnostic::error("bad-time-format", name.span.clone(), message));
            continue;
        };
        let epoch = |format: &Format| matches!(format, Format::Epoch(_));
        if epoch(format) && formats.iter().any(epoch) {
            found.push(Diagnostic::error(
                "bad-time-format",
                name.span.clone(),
                "a number cannot be told apart in two units: expected one of `epoch_…`",
            ));
        }
        formats.push(*format);
    }
    formats
}

/// `[fields]` of the file or of a case.
fn fields(table: &Table<'_>, lookups: bool, found: &mut Diagnostics) -> Vec<(FieldName, Source)> {
    let mut fields = Vec::new();
    each_field(table, "", &mut BTreeSet::new(), found, &mut |name, item, found| {
        if let Some(source) = source(item, lookups, found) {
            fields.push((name, source));
        }
    });
    let places: Vec<_> =
        fields.iter().flat_map(|(name, source)| coordinates(name, source)).collect();
    for (name, source) in places {
        if !fields.iter().any(|(own, _)| *own == name) {
            fields.push((name, source));
        }
    }
    fields
}

/// A place may be an object, of which only what stands below it has a value: its `lat` and `lon`.
fn coordinates(name: &FieldName, source: &Source) -> Vec<(FieldName, Source)> {
    let dotted = name.dotted();
    let is_place =
        schema::find(&dotted).is_some_and(|spec| spec.kind == Kind::Place && spec.name == dotted);
    let Source::Path { paths, regex: None, letters } = source else { return Vec::new() };
    let below = |field: &FieldName, part: &str| FieldName::parse(&format!("{field}.{part}")).ok();
    let part = |part: &&str| {
        let paths: Option<Vec<_>> = paths.iter().map(|path| below(path, part)).collect();
        Some((below(name, part)?, Source::Path { paths: paths?, regex: None, letters: *letters }))
    };
    ["lat", "lon"].iter().filter(|_| is_place).filter_map(part).collect()
}

/// `set` of a class.
fn set(table: &Table<'_>, found: &mut Diagnostics) -> Vec<(FieldName, Vec<Scalar>)> {
    let mut fields = Vec::new();
    each_field(table, "", &mut BTreeSet::new(), found, &mut |name, item, found| {
        fields.extend(scalars(item, found).map(|values| (name, values)));
    });
    fields
}

/// Every common field that a table names; `user.name = …` and `"user.name" = …` mean the same.
fn each_field<'d>(
    table: &Table<'d>,
    above: &str,
    seen: &mut BTreeSet<FieldName>,
    found: &mut Diagnostics,
    take: &mut impl FnMut(FieldName, &Item<'d>, &mut Diagnostics),
) {
    for key in table.keys() {
        let Some(item) = table.any(&key.value) else { continue };
        let dotted = format!("{above}{}", key.value);
        let spec = schema::find(&dotted);
        let is_source = spec.is_some_and(|spec| spec.kind != Kind::Object || spec.name != dotted);
        if item.is_table() && !is_source {
            if let Some(below) = item.table(found) {
                each_field(&below, &format!("{dotted}."), seen, found, take);
            }
            continue;
        }
        let name = match FieldName::parse(&dotted) {
            Ok(name) => name,
            Err(message) => {
                found.push(Diagnostic::error("bad-field", key.span, message));
                continue;
            }
        };
        if !name.is_common() || name.is_pattern() {
            let message = format!("expected a common field, found `{name}`");
            found.push(Diagnostic::error("bad-field", key.span, message));
        } else if spec.is_none() {
            found.push(unknown(&dotted, key.span));
        } else if !seen.insert(name.clone()) {
            let message = format!("the field `{name}` is given twice");
            found.push(Diagnostic::error("duplicate-field", key.span, message));
        } else {
            take(name, &item, found);
        }
    }
}

fn source(item: &Item<'_>, lookups: bool, found: &mut Diagnostics) -> Option<Source> {
    if item.is_text() || item.is_array() {
        return paths(item, found).map(|paths| plain(paths, None, Letters::AsTheyAre));
    }
    if !item.is_table() {
        item.wrong_type("a path, a list of paths or a table such as { value = \"x\" }", found);
        return None;
    }
    let mut table = item.table(found)?.held_to(SOURCE);
    let known: Vec<&'static str> = SOURCE.iter().map(|key| key.name).collect();
    table.allow(&known);
    let source = if table.has("value") {
        only(&table, &["value"], found);
        scalars(&table.any("value")?, found).map(Source::Value)
    } else if table.has("table") {
        only(&table, &["table", "by", "column"], found);
        lookup(&mut table, lookups, found)
    } else if let Some(given) = table.any("path") {
        only(&table, &["path", "regex", "lower", "upper"], found);
        let paths = paths(&given, found);
        let regex = table.text("regex", found).map(|text| regex(&text, found));
        let letters = letters(&mut table, found);
        // A regex with a mistake is no regex; it was reported.
        paths.map(|paths| plain(paths, regex.flatten(), letters))
    } else if let Some(given) = table.any("join") {
        only(&table, &["join", "with", "lower", "upper"], found);
        let paths = paths(&given, found);
        let with = table.text("with", found).map(|text| text.value).unwrap_or_default();
        let letters = letters(&mut table, found);
        paths.map(|paths| Source::Join { paths, with, letters })
    } else {
        found.push(Diagnostic::error(
            "bad-source",
            table.span(),
            "expected `path`, `join`, `value` or `table`, found none of them",
        ));
        None
    };
    table.finish(found);
    source
}

fn plain(paths: Vec<FieldName>, regex: Option<Regex>, letters: Letters) -> Source {
    if paths.is_empty() { Source::Nothing } else { Source::Path { paths, regex, letters } }
}

fn letters(table: &mut Table<'_>, found: &mut Diagnostics) -> Letters {
    let lower = table.boolean("lower", found).unwrap_or(false);
    let upper = table.boolean("upper", found).unwrap_or(false);
    match (lower, upper) {
        (true, _) => Letters::Lower,
        (false, true) => Letters::Upper,
        (false, false) => Letters::AsTheyAre,
    }
}

/// Reports keys that do not go with the kind of source.
fn only(table: &Table<'_>, fit: &[&str], found: &mut Diagnostics) {
    for key in table.keys() {
        let known = keys::find(SOURCE, &key.value).is_some();
        if known && !fit.contains(&key.value.as_str()) {
            let message =
                format!("`{}` does not go with `{}`", key.value, fit.first().unwrap_or(&""));
            found.push(Diagnostic::error("bad-source", key.span, message));
        }
    }
}

/// One path or several; the empty path is none.
fn paths(item: &Item<'_>, found: &mut Diagnostics) -> Option<Vec<FieldName>> {
    let texts: Vec<Text> = if item.is_array() {
        item.array(found)?.iter().filter_map(|item| item.text(found)).collect()
    } else {
        item.text(found).into_iter().filter(|text| !text.value.is_empty()).collect()
    };
    Some(texts.iter().filter_map(|text| path(text, found)).collect())
}

fn regex(text: &Text, found: &mut Diagnostics) -> Option<Regex> {
    let regex = regex::RegexBuilder::new(&text.value).size_limit(REGEX_BYTES_MAX).build();
    regex
        .map_err(|error| {
            let message = error.to_string();
            let line = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
            found.push(Diagnostic::error("bad-regex", text.span.clone(), line.to_owned()));
        })
        .ok()
}

fn lookup(table: &mut Table<'_>, allowed: bool, found: &mut Diagnostics) -> Option<Source> {
    if !allowed {
        found.push(Diagnostic::error(
            "bad-source",
            table.span(),
            "tables are looked up after every case: expected this in the file's own `[fields]`",
        ));
    }
    let name = table.required_text("table", found);
    let by = table.required_text("by", found)?;
    let column = table.required_text("column", found);
    let Some(by_name) = FieldName::parse(&by.value).ok().filter(schema::is_valid) else {
        found.push(unknown(&by.value, by.span));
        return None;
    };
    Some(Source::Lookup { table: name?, by: by_name, column: column?.value })
}

/// One value or a list of them; tables are no values.
fn scalars(item: &Item<'_>, found: &mut Diagnostics) -> Option<Vec<Scalar>> {
    let items = if item.is_array() { item.array(found)? } else { vec![item.clone()] };
    let values = items.iter().map(|item| {
        let value = Scalar::from_json(&item.json());
        if value.is_none() {
            item.wrong_type("a plain value", found);
        }
        value
    });
    values.collect()
}

fn aliases(table: &Table<'_>, found: &mut Diagnostics) -> Vec<(Spanned<String>, FieldName)> {
    let mut aliases = Vec::new();
    for key in table.keys() {
        let Some(text) = table.any(&key.value).and_then(|item| item.text(found)) else { continue };
        match FieldName::parse(&text.value).ok().filter(schema::is_valid) {
            Some(field) => aliases.push((key, field)),
            None => found.push(unknown(&text.value, text.span)),
        }
    }
    aliases
}

/// The nearest of some names, as the end of a message.
pub(super) fn hint<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    suggest::nearest(name, names).map(|near| format!("did you mean `{near}`?"))
}

//! One mapping, compiled against the layout of what rules and sinks read: a record in, an event out.
//!
//! The steps, always in this order: read the record's wanted paths, `[fields]`, every `[[case]]`
//! that matches, what a test changes, the tables, every `[[classify]]` that matches, and last the
//! fields that all events have.

use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use smallvec::SmallVec;

use crate::base::{Diagnostic, Diagnostics, Live, Timestamp};
use crate::event::decode::Decoder;
use crate::event::{Event, FieldId, FieldName, Layout, Scalar, Slot, Wanted};
use crate::query::{Matcher, Sets};

use super::geo;
use super::kafka::KafkaFields;
use super::syntax::{Condition, Letters, Mapping, Source, hint};
use super::table::{GEOIP, Table, Tables};
use super::time::Format;
use super::{Edits, Options, RawRecord, Reason, Unusable};

type Values = SmallVec<[Scalar; 1]>;

/// A mapping that runs.
#[derive(Debug)]
pub(super) struct Program {
    name: Arc<str>,
    /// What rules and sinks read, and behind that what this mapping reads for itself; so an event
    /// has slots that others do not know of, and all others' slots where they expect them.
    layout: Layout,
    decoder: Decoder,
    null: Vec<String>,
    time: Vec<Format>,
    fields: Vec<Assign>,
    cases: Vec<(Matcher, Vec<Assign>)>,
    lookups: Vec<Lookup>,
    places: Option<Places>,
    classes: Vec<(Matcher, Vec<(FieldId, Values)>)>,
    kafka: KafkaFields,
    /// `@timestamp`, whose values are first the record's, then the event's time.
    timestamp: FieldId,
    /// Whether anything reads the latter from there.
    tells_time: bool,
    /// `event.id`, `event.kind`, `event.dataset`, as far as they are read.
    id: Option<FieldId>,
    kind: Option<FieldId>,
    dataset: Option<FieldId>,
    /// Slots of patterns, with the common fields that they meet.
    patterns: Vec<(FieldId, Vec<FieldId>)>,
    max_future_skew: Duration,
}

/// One field and where its values come from.
#[derive(Debug)]
struct Assign {
    field: FieldId,
    fill: Fill,
}

#[derive(Debug)]
enum Fill {
    Nothing,
    Value(Values),
    Path { slots: Vec<FieldId>, regex: Option<Regex>, letters: Letters },
    Join { slots: Vec<FieldId>, with: String, letters: Letters },
}

#[derive(Debug)]
struct Lookup {
    field: FieldId,
    by: FieldId,
    name: String,
    column: String,
    table: Option<Live<Table>>,
}

/// What is read of an address's place.
#[derive(Debug)]
struct Places {
    address: FieldId,
    fields: Vec<(FieldId, &'static str)>,
    tables: Vec<Live<Table>>,
}

/// What a mapping is compiled with.
#[derive(Clone, Copy)]
pub(super) struct With<'a> {
    pub(super) layout: &'a Layout,
    pub(super) sets: &'a Sets,
    pub(super) tables: &'a Tables,
    pub(super) options: Options,
}

impl Program {
    /// Compiles; unknown lists, schedules and tables are reported.
    pub(super) fn new(mapping: &Mapping, with: With<'_>, found: &mut Diagnostics) -> Self {
        let mut layout = with.layout.clone();
        // From the last step back to the first: what a step reads, an earlier one has to compute, and
        // a step that sets nothing that anybody reads is left out, with all that it would read.
        let mut classes = Vec::new();
        for class in mapping.classes.iter().rev() {
            let set = class.set.iter().filter_map(|(name, values)| {
                Some((read_slot(name, &mut layout)?, values.iter().cloned().collect()))
            });
            let set: Vec<(FieldId, Values)> = set.collect();
            let when = compile(&class.when, &mut layout, with.sets, !set.is_empty(), found);
            classes.extend(when.map(|when| (when, set)));
        }
        classes.reverse();
        let timestamp = FieldName::from_keys(["@timestamp"]);
        let tells_time = read_slot(&timestamp, &mut layout).is_some();
        let timestamp = layout.field(&timestamp);
        let places = places(&mut layout, with.tables);
        let lookups = lookups(mapping, &mut layout, with.tables, found);
        let assigns = |fields: &[(FieldName, Source)], layout: &mut Layout| -> Vec<Assign> {
            fields.iter().filter_map(|(name, source)| assign(name, source, layout)).collect()
        };
        let mut cases = Vec::new();
        for case in mapping.cases.iter().rev() {
            let fields = assigns(&case.fields, &mut layout);
            let when = compile(&case.when, &mut layout, with.sets, !fields.is_empty(), found);
            cases.extend(when.map(|when| (when, fields)));
        }
        cases.reverse();
        let mut fields = assigns(&mapping.fields, &mut layout);
        let mut of_record = Vec::new();
        if mapping.common {
            fields.extend(as_they_are(&fields, &mut layout));
            of_record = patterns_as_they_are(&mut layout);
        }
        let mut of_all = |name: &str| read_slot(&FieldName::from_keys([name]), &mut layout);
        let (id, kind) = (of_all("event.id"), of_all("event.kind"));
        let dataset = of_all("event.dataset");
        Self {
            name: mapping.name.as_str().into(),
            decoder: Decoder::new(&layout, &mapping.json, with.options.limits),
            null: mapping.null.clone(),
            time: mapping.time.clone(),
            fields,
            cases,
            lookups,
            places,
            classes,
            kafka: KafkaFields::new(&layout),
            timestamp,
            tells_time,
            id,
            kind,
            dataset,
            patterns: patterns(&layout).into_iter().chain(of_record).collect(),
            max_future_skew: with.options.max_future_skew,
            layout,
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The event that a record is.
    pub(super) fn run(
        &self,
        record: &RawRecord<'_>,
        now: Timestamp,
        edits: &Edits,
    ) -> Result<Event, Unusable> {
        let name = Arc::clone(&self.name);
        let mut event = Event::empty(&self.layout, record.position.clone(), now, name);
        let patched = edits.patch(record.payload)?;
        self.decoder.decode(patched.as_deref().unwrap_or(record.payload), &mut event)?;
        self.kafka.fill(record, &mut event);
        for assign in &self.fields {
            self.assign(assign, &mut event);
        }
        put_if_missing(&mut event, self.kind, || "event".into());
        put_if_missing(&mut event, self.dataset, || (&*self.name).into());
        for (when, fields) in &self.cases {
            if when.matches(&event) {
                for assign in fields {
                    self.assign(assign, &mut event);
                }
            }
        }
        edits.apply(&self.layout, &mut event);
        self.look_up(&edits.tables, &mut event);
        self.locate(&mut event);
        // The time before the classes, which may ask for it.
        self.settle_time(record, now, edits, &mut event)?;
        for (when, set) in &self.classes {
            if when.matches(&event) {
                for (field, values) in set {
                    replace(&mut event, *field, values.clone());
                }
            }
        }
        let position = event.position.clone();
        put_if_missing(&mut event, self.id, || position.to_string().as_str().into());
        for (pattern, fields) in &self.patterns {
            for field in fields {
                for value in Values::from(event.values(*field)) {
                    event.push(*pattern, value);
                }
            }
        }
        Ok(event)
    }

    fn assign(&self, assign: &Assign, event: &mut Event) {
        let values = match &assign.fill {
            Fill::Nothing => Values::new(),
            Fill::Value(values) => values.clone(),
            Fill::Path { slots, regex, letters } => slots
                .iter()
                .map(|slot| {
                    let present = event.values(*slot).iter().filter(|value| !self.is_null(value));
                    present.filter_map(|value| shape(value, regex.as_ref(), *letters)).collect()
                })
                .find(|values: &Values| !values.is_empty())
                .unwrap_or_default(),
            Fill::Join { slots, with, letters } => {
                let parts = slots.iter().map(|slot| {
                    let first = event.values(*slot).iter().find(|value| !self.is_null(value))?;
                    shape(first, None, *letters).map(|value| value.to_string())
                });
                let parts: Option<Vec<_>> = parts.collect();
                parts.map(|parts| Scalar::from(parts.join(with).as_str())).into_iter().collect()
            }
        };
        replace(event, assign.field, values);
    }

    /// Whether a value says that there is none.
    fn is_null(&self, value: &Scalar) -> bool {
        match value {
            Scalar::Text(text) => self.null.iter().any(|null| **null == **text),
            other => !self.null.is_empty() && self.null.contains(&other.to_string()),
        }
    }

    fn look_up(&self, given: &Tables, event: &mut Event) {
        for lookup in &self.lookups {
            let table = given.get(&lookup.name).or(lookup.table.as_ref());
            let found = table.and_then(|table| {
                let mut keys = event.values(lookup.by).iter();
                table.with(|table| {
                    let found =
                        keys.find_map(|key| table.look_up(&key.to_string(), &lookup.column));
                    found.map(Into::into)
                })
            });
            // A row that is not there takes nothing away that a record or a test said itself.
            if let Some(values) = found {
                replace(event, lookup.field, values);
            }
        }
    }

    /// Fills what the record does not say itself of the place of its address.
    fn locate(&self, event: &mut Event) {
        let Some(places) = &self.places else { return };
        for table in &places.tables {
            let missing: Vec<_> =
                places.fields.iter().filter(|(slot, _)| event.values(*slot).is_empty()).collect();
            let addresses = event.values(places.address).iter().filter_map(Scalar::as_text);
            let found = if missing.is_empty() {
                None
            } else {
                let mut addresses = addresses;
                table.with(|table| addresses.find_map(|a| table.geo.as_ref()?.look_up(a)))
            };
            let Some(entry) = found else { continue };
            for (slot, name) in missing {
                if let Some(value) = entry.value(name) {
                    replace(event, *slot, SmallVec::from_buf([value]));
                }
            }
        }
    }

    /// The event's time: the record's own, else Kafka's; never far ahead of both clocks.
    fn settle_time(
        &self,
        record: &RawRecord<'_>,
        now: Timestamp,
        edits: &Edits,
        event: &mut Event,
    ) -> Result<(), Unusable> {
        let stamped = record.timestamp.unwrap_or(now);
        event.time = match (edits.time, event.first(self.timestamp)) {
            (Some(time), _) => time,
            (None, None) => stamped,
            // Not guessed at: every window would be wrong, and nobody would know.
            (None, Some(value)) => {
                self.time.iter().find_map(|f| f.read(value)).ok_or_else(|| {
                    let value: String = value.to_string().chars().take(64).collect();
                    Unusable::new(
                        Reason::BadTime,
                        format!("`{value}` is no time that `{}` knows", self.name),
                    )
                })?
            }
        };
        let earlier = stamped.min(now);
        if edits.time.is_none() && event.time > earlier + self.max_future_skew {
            event.time = earlier;
            event.clamped = true;
        }
        if self.tells_time {
            let text = event.time.to_string();
            replace(event, self.timestamp, SmallVec::from_buf([text.as_str().into()]));
        }
        Ok(())
    }
}

/// A step's condition; `None` when it has mistakes, which are reported, or is not `needed`.
fn compile(
    condition: &Condition,
    layout: &mut Layout,
    sets: &Sets,
    needed: bool,
    found: &mut Diagnostics,
) -> Option<Matcher> {
    let place = |mistake: Diagnostic| mistake.moved(|span| condition.text.locate(span));
    let layout = if needed { layout } else { &mut Layout::new() };
    match condition.query.compile(layout, sets) {
        Ok(matcher) => needed.then_some(matcher),
        Err(mistakes) => {
            found.extend(mistakes.into_iter().map(place));
            None
        }
    }
}

/// The slot of a field if anything reads it, be it through a pattern.
fn read_slot(name: &FieldName, layout: &mut Layout) -> Option<FieldId> {
    if let Some(slot) = layout.find(name) {
        return Some(slot);
    }
    let dotted = name.dotted();
    let met = layout.iter().any(|(_, wanted)| match wanted {
        Wanted::Values(pattern) => pattern.is_pattern() && pattern.matches(&dotted),
        Wanted::Elements(_) | Wanted::Present(_) | Wanted::AnyText => false,
    });
    met.then(|| layout.field(name))
}

fn assign(name: &FieldName, source: &Source, layout: &mut Layout) -> Option<Assign> {
    let field = read_slot(name, layout)?;
    let fill = match source {
        Source::Nothing => Fill::Nothing,
        Source::Value(values) => Fill::Value(values.iter().cloned().collect()),
        Source::Path { paths, regex, letters } => Fill::Path {
            slots: paths.iter().map(|path| layout.field(path)).collect(),
            regex: regex.clone(),
            letters: *letters,
        },
        Source::Join { paths, with, letters } => Fill::Join {
            slots: paths.iter().map(|path| layout.field(path)).collect(),
            with: with.clone(),
            letters: *letters,
        },
        Source::Lookup { .. } => return None,
    };
    Some(Assign { field, fill })
}

/// For a record in the common fields: whatever is read and not mapped otherwise.
fn as_they_are(mapped: &[Assign], layout: &mut Layout) -> Vec<Assign> {
    let wanted: Vec<_> = layout
        .iter()
        .filter_map(|(slot, wanted)| match wanted {
            Wanted::Values(name) if name.is_common() && !name.is_pattern() => {
                Some((slot, name.clone()))
            }
            _ => None,
        })
        .filter(|(slot, _)| !mapped.iter().any(|assign| assign.field == *slot))
        .collect();
    let fields = wanted.into_iter().map(|(field, name)| {
        let path = FieldName::from_keys(["raw", &name.dotted()]);
        let slots = vec![layout.field(&path)];
        Assign { field, fill: Fill::Path { slots, regex: None, letters: Letters::AsTheyAre } }
    });
    fields.collect()
}

/// The same for patterns: what `labels.*` meets stands at `raw.labels.*`. (`*` reads all of raw
/// anyway.)
fn patterns_as_they_are(layout: &mut Layout) -> Vec<(FieldId, Vec<FieldId>)> {
    let wanted: Vec<_> = layout
        .iter()
        .filter_map(|(slot, wanted)| match wanted {
            Wanted::Values(name) if name.is_pattern() && name.is_common() => {
                Some((slot, FieldName::parse(&format!("raw.{name}")).ok()?))
            }
            _ => None,
        })
        .filter(|(_, name)| !name.to_string().starts_with("raw.*"))
        .collect();
    wanted.into_iter().map(|(slot, name)| (slot, vec![layout.field(&name)])).collect()
}

/// The fields that somebody reads of an address's place, when there is a database to look into.
fn places(layout: &mut Layout, tables: &Tables) -> Option<Places> {
    let tables: Vec<_> = GEOIP.iter().filter_map(|name| tables.get(*name).cloned()).collect();
    if tables.is_empty() {
        return None;
    }
    let fields = geo::fields().zip(geo::FIELDS);
    let fields = fields.filter_map(|(name, text)| Some((read_slot(&name, layout)?, text)));
    let fields: Vec<_> = fields.collect();
    let address = FieldName::from_keys(geo::ADDRESS.split('.'));
    (!fields.is_empty()).then(|| Places { address: layout.field(&address), fields, tables })
}

fn lookups(
    mapping: &Mapping,
    layout: &mut Layout,
    tables: &Tables,
    found: &mut Diagnostics,
) -> Vec<Lookup> {
    let mut lookups = Vec::new();
    for (name, source) in &mapping.fields {
        let Source::Lookup { table, by, column } = source else { continue };
        let given = tables.get(&table.value);
        // A table that nobody declared is an empty one, so that shipped mappings may offer lookups
        // (people by e-mail) to those who have the data. A slip of the finger is told all the same.
        if given.is_none()
            && let Some(help) = hint(&table.value, tables.keys().map(String::as_str))
        {
            let message = format!("unknown table `{}`", table.value);
            let span = table.span.clone();
            found.push(Diagnostic::error("unknown-table", span, message).help(help));
        }
        if let Some(field) = read_slot(name, layout) {
            let (name, column, table) = (table.value.clone(), column.clone(), given.cloned());
            lookups.push(Lookup { field, by: layout.field(by), name, column, table });
        }
    }
    lookups
}

/// Each pattern slot with the common fields it meets; what it meets of `raw` is read with the record.
fn patterns(layout: &Layout) -> Vec<(FieldId, Vec<FieldId>)> {
    let values = || {
        layout.iter().filter_map(|(slot, wanted)| match wanted {
            Wanted::Values(name) => Some((slot, name)),
            Wanted::Elements(_) | Wanted::Present(_) | Wanted::AnyText => None,
        })
    };
    let patterns = values().filter(|(_, pattern)| pattern.is_pattern()).map(|(slot, pattern)| {
        let met = values().filter(|(_, name)| {
            !name.is_pattern() && name.is_common() && pattern.matches(&name.dotted())
        });
        (slot, met.map(|(met, _)| met).collect::<Vec<_>>())
    });
    patterns.filter(|(_, met)| !met.is_empty()).collect()
}

/// A value after letters and regex; `None` when the regex finds nothing in it.
fn shape(value: &Scalar, regex: Option<&Regex>, letters: Letters) -> Option<Scalar> {
    if regex.is_none() && letters == Letters::AsTheyAre {
        return Some(value.clone());
    }
    let whole = value.to_string();
    let text = match regex {
        // The first group that took part, else all that was found.
        Some(regex) => {
            let captures = regex.captures(&whole)?;
            let group = captures.iter().skip(1).flatten().next().or_else(|| captures.get(0))?;
            group.as_str()
        }
        None => &whole,
    };
    Some(match letters {
        Letters::AsTheyAre => text.into(),
        Letters::Lower => text.to_lowercase().as_str().into(),
        Letters::Upper => text.to_uppercase().as_str().into(),
    })
}

pub(super) fn replace(event: &mut Event, field: FieldId, values: Values) {
    if let Some(slot) = event.slot_mut(field) {
        *slot = Slot::Values(values);
    }
}

pub(super) fn put_if_missing(
    event: &mut Event,
    field: Option<FieldId>,
    value: impl FnOnce() -> Scalar,
) {
    if let Some(field) = field.filter(|field| event.values(*field).is_empty()) {
        replace(event, field, SmallVec::from_buf([value()]));
    }
}

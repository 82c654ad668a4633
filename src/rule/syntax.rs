//! One rule file as written: the walk over its keys.
//!
//! Every mistake is reported with its place, all at once; a rule comes out only when there was none.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::base::diagnostic::{SourceText, allow};
use crate::base::document::{Document, Item, Spanned, Table, Text};
use crate::base::keys::Shape;
use crate::base::{self, Diagnostic, Diagnostics, Severity, Timestamp, suggest};
use crate::detectors::{DETECTORS, Decides, Detector, DetectorSpec, Reading};
use crate::event::FieldName;
use crate::mapping::Mappings;
use crate::query::{Query, Sets};

use super::fields::{self, Scope};
use super::{Exception, Rule, Status, alert, condition, elsewhere, fingerprint, keys, test_case};

/// How much later than the stream's clock an event may come, unless the rule says otherwise.
pub const LATENESS: Duration = Duration::from_secs(10);
/// Characters of a rule's id.
pub const ID_CHARS_MAX: usize = 120;
/// Fields in `group_by`.
pub const GROUP_BY_MAX: usize = 8;

/// What a rule may refer to outside of its file.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The lists and schedules that queries may name.
    pub sets: &'a Sets,
    /// The mappings, if a field that none of them fills is worth a warning.
    pub mappings: Option<&'a Mappings>,
}

impl<'a> Context<'a> {
    /// Without a look at the mappings.
    pub fn new(sets: &'a Sets) -> Self {
        Self { sets, mappings: None }
    }
}

/// Reads one file. `id_from_path` is its path under the rules root without `.toml`, with `/`.
///
/// There is a rule when no mistake is an error; warnings may come with one.
pub fn parse(
    source: &SourceText,
    id_from_path: &str,
    context: &Context<'_>,
) -> (Option<Rule>, Diagnostics) {
    read(&Document::parse(&source.text), source, source.text.len(), id_from_path, context)
}

/// Reads the text of a rule that is followed by the overrides which hold for it: what
/// [`RuleSet`](super::RuleSet) makes of a rule and the override files, and what is stored of a version.
pub fn parse_overridden(
    source: &SourceText,
    id_from_path: &str,
    context: &Context<'_>,
) -> (Option<Rule>, Diagnostics) {
    let mut document = Document::parse(&source.text);
    let overrides = document.root(&mut Diagnostics::new()).key_span("override");
    let own = overrides.map_or(source.text.len(), |span| span.start);
    document.lay_over("override", "set", "exception");
    read(&document, source, own, id_from_path, context)
}

/// `own` is where the rule's own text ends.
fn read(
    document: &Document<'_>,
    source: &SourceText,
    own: usize,
    id_from_path: &str,
    context: &Context<'_>,
) -> (Option<Rule>, Diagnostics) {
    let mut found = Diagnostics::new();
    let root = document.root_as(keys::RULE, &mut found);
    let top_level: Vec<Range<usize>> = root.keys().into_iter().map(|key| key.span).collect();
    let rule = walk(root, source, id_from_path, context, &mut found);
    let own = source.text.get(..own).unwrap_or_default();
    let mut found = explain_slipped_keys(own, &top_level, found);
    if !document.is_well_formed() {
        // What is missing may only stand behind the mistake of syntax.
        let readable = found.into_iter().filter(|diagnostic| diagnostic.code != "missing-key");
        found = readable.collect();
    }
    (rule.filter(|_| !found.has_errors()), found)
}

fn walk(
    mut root: Table<'_>,
    source: &SourceText,
    id_from_path: &str,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> Option<Rule> {
    let title = root.required_text("title", found).and_then(|text| not_empty(text, found));
    let severity = root.required_text("severity", found).and_then(|text| severity(&text, found));
    let id = id(&mut root, id_from_path, found);
    let status = root.text("status", found).and_then(|text| status(&text, found));
    let when = when(&mut root, context, found);
    let group_by = group_by(&mut root, context, found);
    let lateness = root.duration_or_zero("lateness", found).map_or(LATENESS, |l| l.value);
    let around = Around { context, group_by: &group_by, has_when: root.has("when") };
    let detector = detector(&mut root, &around, found);
    let detector_span = detector.as_ref().and_then(|d| root.key_span(d.spec().table));
    let exceptions = root.tables("exception", found);
    let exceptions = exceptions.into_iter().filter_map(|t| exception(t, context, found)).collect();
    let alert = root.table("alert", found);
    let alert = alert::read(alert, detector.as_deref(), &group_by, context, found);
    let tests = root.tables("test", found);
    let tests = tests.into_iter().filter_map(|t| test_case::read(t, context, found)).collect();
    let threat = threat(&mut root, found);
    let description = root.text("description", found);
    let enabled = root.boolean("enabled", found);
    let owner = root.text("owner", found);
    let runbook = root.text("runbook", found);
    let tags = texts(&mut root, "tags", found);
    let references = texts(&mut root, "references", found);
    let false_positives = texts(&mut root, "false_positives", found);
    refuse_overrides(&mut root, found);
    // What they are for is `check`'s business, when all warnings are together.
    allow::read(&mut root, found);
    let tables: BTreeSet<String> = root
        .keys()
        .into_iter()
        .filter(|key| root.any(&key.value).is_some_and(|item| item.is_table()))
        .map(|key| key.value)
        .collect();
    let known: Vec<&str> = keys::RULE.iter().map(|key| key.name).collect();
    root.finish_with(found, |key| {
        // Whoever writes a table of their own means a detector.
        let is_odd = tables.contains(key) && suggest::nearest(key, known.iter().copied()).is_none();
        let known_elsewhere = elsewhere::advice(key).map(str::to_owned);
        known_elsewhere.or_else(|| {
            if !is_odd {
                return None;
            }
            let tables: Vec<&str> = DETECTORS.iter().map(|spec| spec.table).collect();
            Some(format!("the detectors are {}", tables.join(", ")))
        })
    });
    let mut rule = Rule {
        id: id?,
        source: source.clone(),
        hash: 0,
        fingerprint: 0,
        title: title?.value,
        description: description.map(|text| text.value).unwrap_or_default(),
        severity: severity?,
        status: status.unwrap_or(Status::Production),
        enabled: enabled.unwrap_or(true),
        tags,
        threat,
        runbook: runbook.map(|text| text.value),
        false_positives,
        references,
        owner: owner.map(|text| text.value),
        when,
        exceptions,
        group_by,
        detector,
        lateness,
        alert,
        tests,
    };
    if rule.reads_alerts() && rule.decides() == Decides::OnTheClock {
        let table = rule.detector.as_ref().map_or("", |detector| detector.spec().table);
        let message =
            format!("a rule on alerts cannot use `[{table}]`, which decides on the clock");
        let mistake = match detector_span {
            Some(span) => Diagnostic::error("clock-on-alerts", span, message),
            None => Diagnostic::of_file("clock-on-alerts", message),
        };
        found.push(mistake.help(
            "an alert comes after the clock has passed it; use what decides on arrival, such as `[threshold]`",
        ));
    }
    rule.fingerprint = fingerprint::fingerprint(&rule);
    rule.hash = fingerprint::hash(&rule);
    Some(rule)
}

fn id(root: &mut Table<'_>, from_path: &str, found: &mut Diagnostics) -> Option<Arc<str>> {
    let written = root.item("id").is_some();
    let text = root.text("id", found);
    let (id, span) = match &text {
        Some(text) => (text.value.as_str(), Some(text.locate(0..text.value.len()))),
        None if written => return None,
        None => (from_path, None),
    };
    let Some(why) = id_trouble(id) else { return Some(id.into()) };
    let message = format!("expected an id such as `common/failed-logins`, found `{id}`: {why}");
    found.push(match span {
        Some(span) => Diagnostic::error("bad-id", span, message),
        None => Diagnostic::of_file("bad-id", message)
            .help("the id is the file's path under the rules root; rename the file or write `id`"),
    });
    None
}

fn id_trouble(id: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if id.is_empty() {
        Some("it is empty".to_owned())
    } else if id.chars().count() > ID_CHARS_MAX {
        Some(format!("it has more than {ID_CHARS_MAX} characters"))
    } else if let Some(odd) = id.chars().find(|c| !allowed(*c)) {
        Some(format!("`{odd}` is not a letter, digit, `-`, `_`, `.` or `/`"))
    } else if id.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        Some("a part between the `/` is empty or starts with a dot".to_owned())
    } else if id.starts_with("hark.") {
        Some("`hark.` is reserved for Hark itself".to_owned())
    } else {
        None
    }
}

/// A word out of a fixed set.
pub(super) fn choice<T: Copy>(
    text: &Text,
    code: &'static str,
    choices: impl Iterator<Item = (&'static str, T)> + Clone,
    found: &mut Diagnostics,
) -> Option<T> {
    let chosen = choices.clone().find(|(name, _)| *name == text.value);
    if chosen.is_none() {
        let names: Vec<&str> = choices.map(|(name, _)| name).collect();
        let mistake = Diagnostic::error(
            code,
            text.locate(0..text.value.len()),
            format!("expected one of {}, found `{}`", names.join(", "), text.value),
        );
        let near = suggest::nearest(&text.value, names);
        found.push(match near {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake,
        });
    }
    chosen.map(|(_, value)| value)
}

/// A severity by name.
pub(super) fn severity(text: &Text, found: &mut Diagnostics) -> Option<Severity> {
    if text.value == "informational" {
        return Some(Severity::Info);
    }
    choice(text, "bad-severity", Severity::ALL.iter().map(|s| (s.name(), *s)), found)
}

fn status(text: &Text, found: &mut Diagnostics) -> Option<Status> {
    choice(text, "bad-status", Status::ALL.iter().map(|s| (s.name(), *s)), found)
}

fn not_empty(text: Text, found: &mut Diagnostics) -> Option<Text> {
    if text.value.trim().is_empty() {
        found.push(Diagnostic::error("empty", text.span, "expected a text, found an empty one"));
        return None;
    }
    Some(text)
}

fn texts(root: &mut Table<'_>, key: &'static str, found: &mut Diagnostics) -> Vec<String> {
    root.texts(key, found).unwrap_or_default().into_iter().map(|text| text.value).collect()
}

/// The rule's query; rules with steps or parts need none of their own.
fn when(root: &mut Table<'_>, context: &Context<'_>, found: &mut Diagnostics) -> Option<Query> {
    if !(root.has("sequence") || root.has("temporal")) {
        root.require("when", found);
    }
    let text = root.text("when", found)?;
    condition::read(&text, Scope::Event, context, found)
}

fn group_by(
    root: &mut Table<'_>,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> Vec<FieldName> {
    let mut fields: Vec<FieldName> = Vec::new();
    let mut own = Diagnostics::new();
    let texts = root.texts("group_by", &mut own).unwrap_or_default();
    let alone = root.any("group_by").map(|item| item.json());
    let alone = alone.as_ref().and_then(serde_json::Value::as_str);
    // What is to be written instead must not be the next mistake.
    let told = own.into_iter().map(|mistake| match &alone {
        Some(name) if FieldName::parse(name).is_ok() => {
            let meant = fields::instead(name, context);
            let other = FieldName::parse(name).ok().filter(|_| meant.as_str() != *name);
            let why = other.and_then(|own| fields::advise(&own, Scope::Key, context)?.help);
            let why = why.map(|why| format!("; {why}")).unwrap_or_default();
            mistake.help(format!("write `[\"{meant}\"]`{why}"))
        }
        _ => mistake,
    });
    found.extend(told);
    for text in texts {
        let Some(field) = fields::read(&text, Scope::Key, context, found) else { continue };
        let refused = if field.is_pattern() {
            "expected one field, found a pattern".to_owned()
        } else if fields.contains(&field) {
            format!("the field `{field}` is named twice")
        } else if fields.len() >= GROUP_BY_MAX {
            format!("expected at most {GROUP_BY_MAX} fields")
        } else {
            fields.push(field);
            continue;
        };
        found.push(Diagnostic::error("bad-group-by", text.span, refused));
    }
    fields
}

/// The one detector table.
fn detector(
    root: &mut Table<'_>,
    around: &Around<'_>,
    found: &mut Diagnostics,
) -> Option<Box<dyn Detector>> {
    let mut specs: Vec<(&DetectorSpec, Range<usize>)> = Vec::new();
    for spec in DETECTORS {
        root.allow(&[spec.table]);
        specs.extend(root.key_span(spec.table).map(|span| (*spec, span)));
    }
    specs.sort_by_key(|(_, span)| span.start);
    let ((spec, _), others) = specs.split_first()?;
    for (other, span) in others {
        let message =
            format!("expected one detector, found `[{}]` beside `[{}]`", other.table, spec.table);
        found.push(
            Diagnostic::error("two-detectors", span.clone(), message)
                .help("a rule has at most one detector; make it two rules"),
        );
    }
    let table = root.table(spec.table, found)?;
    (spec.parse)(table, around, found)
}

/// The rule around a detector's table.
struct Around<'a> {
    context: &'a Context<'a>,
    group_by: &'a [FieldName],
    has_when: bool,
}

impl Reading for Around<'_> {
    fn query(&self, text: &Text, found: &mut Diagnostics) -> Option<Query> {
        condition::read(text, Scope::Event, self.context, found)
    }

    fn step_query(&self, text: &Text, found: &mut Diagnostics) -> Option<Query> {
        condition::read(text, Scope::Step, self.context, found)
    }

    fn field(&self, text: &Text, found: &mut Diagnostics) -> Option<FieldName> {
        fields::read(text, Scope::Event, self.context, found)
    }

    fn key_field(&self, text: &Text, found: &mut Diagnostics) -> Option<FieldName> {
        fields::read(text, Scope::Key, self.context, found)
    }

    fn group_by(&self) -> &[FieldName] {
        self.group_by
    }

    fn has_when(&self) -> bool {
        self.has_when
    }

    fn sets(&self) -> &Sets {
        self.context.sets
    }
}

fn exception(
    mut table: Table<'_>,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> Option<Exception> {
    let when = table.required_text("when", found);
    let when = when.and_then(|text| condition::read(&text, Scope::Event, context, found));
    let reason = table.required_text("reason", found).and_then(|text| not_empty(text, found));
    let until = table.item("until").map(|item| until(&item, found));
    table.finish(found);
    Some(Exception {
        when: when?,
        reason: reason?.value,
        until: until.map_or(Some(None), |until| until.map(Some))?,
    })
}

/// When an exception ends; `None` when it does not say so, or not readably.
pub(super) fn ends(exception: &Table<'_>) -> Option<(Timestamp, Spanned<String>)> {
    let item = exception.any("until")?;
    let mut ignored = Diagnostics::new();
    Some((until(&item, &mut ignored)?, item.date_time(&mut ignored)?))
}

/// The last moment: a date means its last millisecond; without an offset it is UTC.
fn until(item: &Item<'_>, found: &mut Diagnostics) -> Option<Timestamp> {
    let text = item.date_time(found)?;
    let moment = moment(&text.value);
    if moment.is_none() {
        found.push(Diagnostic::error(
            "bad-time",
            text.span,
            format!(
                "expected a date such as 2027-01-31 or a time such as 2027-01-31T18:00:00Z, found `{}`",
                text.value
            ),
        ));
    }
    let is_date = text.value.len() == 10;
    moment.map(|m| if is_date { m + Duration::from_millis(86_399_999) } else { m })
}

/// A date (its first moment) or a time; without an offset it is UTC.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}Z")))
}

fn threat(root: &mut Table<'_>, found: &mut Diagnostics) -> Vec<String> {
    let ids = root.texts("threat", found).unwrap_or_default();
    for id in &ids {
        if !is_technique(&id.value) {
            found.push(Diagnostic::error(
                "bad-threat",
                id.span.clone(),
                format!(
                    "expected an ATT&CK technique such as `T1110` or `T1110.003`, found `{}`",
                    id.value
                ),
            ));
        }
    }
    ids.into_iter().map(|id| id.value).collect()
}

fn is_technique(text: &str) -> bool {
    let digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    let Some(number) = text.strip_prefix('T') else { return false };
    match number.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(number, 4),
    }
}

/// A rule does not tune others, nor itself.
fn refuse_overrides(root: &mut Table<'_>, found: &mut Diagnostics) {
    root.allow(&["override"]);
    if let Some(key) = root.key_span("override") {
        let message = "expected a rule alone, found `[[override]]` in its file";
        found.push(Diagnostic::error("misplaced-override", key, message).help(
            "overrides stand in a file that holds nothing else, such as `overrides.toml` in the rules folder",
        ));
    }
}

/// Whether it is a key at the top of a rule that is no table.
fn is_plain_key(name: &str) -> bool {
    let spec = base::keys::find(keys::RULE, name);
    spec.is_some_and(|spec| !spec.shape.is_table() && !matches!(spec.shape, Shape::Tables(_)))
}

/// TOML gives every key below a `[table]` to that table. An unknown key there that is a key of the
/// rule is told where it belongs.
fn explain_slipped_keys(
    source: &str,
    top_level: &[Range<usize>],
    found: Diagnostics,
) -> Diagnostics {
    let explain = |diagnostic: Diagnostic| {
        let key = match &diagnostic.span {
            Some(span) if diagnostic.code == "unknown-key" && !top_level.contains(span) => {
                source.get(span.clone()).map(|key| key.trim_matches(['"', '\'']))
            }
            _ => None,
        };
        match key.filter(|key| is_plain_key(key)) {
            Some(key) => diagnostic.help(format!(
                "`{key}` belongs above the first table: in TOML, keys below a `[table]` are that table's"
            )),
            None => diagnostic,
        }
    };
    found.into_iter().map(explain).collect()
}

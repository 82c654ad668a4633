//! From one TOML text to a [`Config`], every mistake with its place.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::load::{read_bytes, read_text};
use super::watch::Watch;
use super::{Config, Environment, Log, Purpose, Source, keys};
use crate::base::diagnostic::allow;
use crate::base::document::{Document, Table};
use crate::base::secret;
use crate::base::{Diagnostic, Diagnostics, Live, Secrets, Timestamp, suggest};
use crate::event::decode::Limits;
use crate::kafka::{self, StartPolicy};
use crate::mapping::{GEOIP, Tables};
use crate::query::Sets;
use crate::{notifiers, sinks};

/// How far ahead of its arrival an event may claim to be (DESIGN: clamped beyond).
pub(super) const MAX_FUTURE_SKEW: Duration = Duration::from_mins(5);

/// What a text says, and how far that can be relied on where it has mistakes.
pub(super) struct Read {
    pub(super) config: Config,
    /// Whether it tells where rules, mappings and samples are.
    pub(super) folders: bool,
    /// Whether lists, schedules and tables are all there.
    pub(super) references: bool,
}

/// Reads `text`; relative paths start from `folder`.
pub(super) fn read(
    text: &str,
    folder: &Path,
    environment: &Environment,
    purpose: Purpose,
    found: &mut Diagnostics,
) -> Read {
    let [of_kafka, of_others] =
        purpose.missing_secrets().map(|gravity| environment.where_missing_is(gravity));
    let document = Document::parse(text);
    let mut root = document.root_as(keys::CONFIG, found);
    // What stands behind a mistake of syntax may have gone unread; a default stands for what is misspelt.
    let well_formed = document.is_well_formed();
    let misspelt = |root: &Table<'_>, names: &[&'static str]| {
        let known = |key: &str| keys::CONFIG.iter().any(|spec| spec.name == key);
        let keys = root.keys();
        let unknown = keys.iter().filter(|key| !known(&key.value));
        let mut meant = unknown.filter_map(|key| suggest::nearest(&key.value, names.to_vec()));
        meant.any(|name| !root.has(name))
    };
    let folders = well_formed && !misspelt(&root, &["rules", "mappings", "samples"]);
    let references = well_formed && !misspelt(&root, &["lists", "schedules", "tables", "geoip"]);
    let path = |root: &mut Table<'_>, key, default: &str, found: &mut Diagnostics| {
        let text = root.text(key, found).map_or_else(|| default.to_owned(), |text| text.value);
        shortened(&folder.join(text))
    };
    let instance = root.text("instance", found).map_or_else(host_name, |text| text.value);
    let before = found.errors();
    let rules = path(&mut root, "rules", "rules", found);
    let mappings = path(&mut root, "mappings", "mappings", found);
    let samples = path(&mut root, "samples", "samples", found);
    let folders = folders && found.errors() == before;
    let kafka = root.table("kafka", found).map(|table| read_kafka(table, &of_kafka, found));
    let sources = root.table("sources", found).map(|table| read_sources(&table, found));
    root.require("sources", found);
    let before = found.errors();
    let mut watch = Watch::default();
    let sets = read_sets(&mut root, folder, &mut watch, found);
    let tables = root.table("tables", found);
    let tables = tables.map(|table| read_tables(&table, folder, &mut watch, found));
    let mut tables = tables.unwrap_or_default();
    if let Some(geoip) = root.table("geoip", found) {
        read_geoip(geoip, folder, &mut tables, found);
    }
    let references = references && found.errors() == before;
    let notifiers = root.table("notifiers", found);
    let notifiers = notifiers.map(|table| notifiers::read(&table, found, &of_others));
    let sinks = root.table("sinks", found).map(|table| sinks::read(&table, found, &of_others));
    let admin = root.table("admin", found).and_then(|table| read_admin(table, found));
    let log = read_log(root.table("log", found), found);
    let (limits, max_future_skew) = read_limits(root.table("limits", found), found);
    let allow = read_check(root.table("check", found), found);
    root.finish(found);
    let config = Config {
        instance,
        kafka: kafka.unwrap_or_default(),
        sources: sources.unwrap_or_default(),
        rules,
        mappings,
        samples,
        sets,
        tables,
        watch,
        notifiers: notifiers.unwrap_or_default(),
        sinks: sinks.unwrap_or_default(),
        admin,
        log,
        limits,
        max_future_skew,
        allow,
    };
    Read { config, folders, references }
}

/// `[check]`: which warnings nobody wants to see, in any file.
fn read_check(table: Option<Table<'_>>, found: &mut Diagnostics) -> Vec<String> {
    let Some(mut table) = table else { return Vec::new() };
    let allow = allow::read(&mut table, found);
    table.finish(found);
    allow.into_iter().map(|name| name.value).collect()
}

/// `config/../rules` as people would write it: `rules`. A leading `..` stays.
fn shortened(path: &Path) -> PathBuf {
    let mut short = PathBuf::new();
    for part in path.components() {
        let after_a_name = matches!(short.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::CurDir => {}
            Component::ParentDir if after_a_name => {
                short.pop();
            }
            part => short.push(part),
        }
    }
    short
}

/// The host's name, as the kernel knows it.
fn host_name() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = read.trim();
    if name.is_empty() { "hark".to_owned() } else { name.to_owned() }
}

fn read_kafka(
    mut table: Table<'_>,
    secrets: &dyn Secrets,
    found: &mut Diagnostics,
) -> kafka::Settings {
    let mut settings = kafka::Settings::default();
    if let Some(text) = table.text("bootstrap", found) {
        settings.bootstrap = text.value;
    }
    if let Some(text) = table.text("prefix", found) {
        settings.prefix = text.value;
    }
    let mut small = |key, found: &mut Diagnostics| {
        let count = table.count(key, found)?;
        let small = u16::try_from(count.value).ok();
        if small.is_none() {
            let message = format!("expected at most {}, found `{}`", u16::MAX, count.value);
            found.push(Diagnostic::error("out-of-range", count.span, message));
        }
        small
    };
    settings.replication = small("replication", found);
    settings.partitions = small("partitions", found).unwrap_or(settings.partitions);
    for (key, place) in [
        ("signals_retention", &mut settings.signals_retention),
        ("alerts_retention", &mut settings.alerts_retention),
        ("connect_timeout", &mut settings.connect_timeout),
    ] {
        if let Some(duration) = table.duration(key, found) {
            *place = duration.value;
        }
    }
    if let Some(properties) = table.table("properties", found) {
        settings.properties = read_properties(&properties, secrets, found);
    }
    if let Err(error) = settings.check() {
        let message = error.to_string();
        // The message quotes the key that it is about.
        let about =
            table.keys().into_iter().find(|key| message.contains(&format!("`{}`", key.value)));
        let value = about.and_then(|key| table.any(&key.value));
        let span = value.map_or_else(|| table.span(), |value| value.span);
        found.push(Diagnostic::error("bad-kafka", span, message));
    }
    table.finish(found);
    settings
}

/// librdkafka's properties are strings; numbers and booleans are read as such, secrets by reference.
fn read_properties(
    table: &Table<'_>,
    secrets: &dyn Secrets,
    found: &mut Diagnostics,
) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    for key in table.keys() {
        let Some(item) = table.any(&key.value) else { continue };
        let value = if item.is_table() {
            secret::read_item(&item, found, secrets).map(|secret| secret.expose().clone())
        } else {
            match item.json() {
                serde_json::Value::String(text) => Some(text),
                value @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => {
                    Some(value.to_string())
                }
                _ => {
                    item.wrong_type("a string", found);
                    None
                }
            }
        };
        if let Some(value) = value {
            properties.insert(key.value, value);
        }
    }
    properties
}

fn read_sources(table: &Table<'_>, found: &mut Diagnostics) -> Vec<Source> {
    let mut sources = Vec::new();
    for key in table.keys() {
        let Some(mut settings) = table.any(&key.value).and_then(|item| item.table(found)) else {
            continue;
        };
        let delay = settings.duration_or_zero("delay", found).map_or(Duration::ZERO, |d| d.value);
        let start = settings.item("start").and_then(|item| item.date_time(found));
        let start = start.and_then(|start| {
            let policy = match start.value.as_str() {
                "earliest" => Some(StartPolicy::Earliest),
                "latest" => Some(StartPolicy::Latest),
                text => Timestamp::parse(text).map(StartPolicy::Time),
            };
            if policy.is_none() {
                let message = format!(
                    "expected `earliest`, `latest` or a time such as 2026-01-31T09:00:00Z, found `{}`",
                    start.value
                );
                found.push(Diagnostic::error("bad-start", start.span, message));
            }
            policy
        });
        settings.finish(found);
        if !kafka::topics::is_topic_name(&key.value) {
            let message = format!(
                "expected a topic's name: letters, digits, `.`, `_` and `-`, found `{}`",
                key.value
            );
            found.push(
                Diagnostic::error("bad-topic", key.span, message)
                    .help("each audit topic is named; patterns are not understood"),
            );
        }
        sources.push(Source { topic: key.value, delay, start: start.unwrap_or_default() });
    }
    if sources.is_empty() {
        let message = "no audit topic to read";
        found.push(
            Diagnostic::error("no-sources", table.span(), message)
                .help("name one: [sources.\"audit.example\"]"),
        );
    }
    sources.sort_by(|a, b| a.topic.cmp(&b.topic));
    sources
}

/// Lists and schedules; files of lists are read, and watched from then on.
fn read_sets(
    root: &mut Table<'_>,
    folder: &Path,
    watch: &mut Watch,
    found: &mut Diagnostics,
) -> Sets {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut read = |file: &str| {
        let text = read_text(&folder.join(file))?;
        texts.insert(file.to_owned(), text.clone());
        Ok(text)
    };
    let sets = Sets::parse_tables(root, &mut read, found);
    for (name, file) in sets.files() {
        if let Some(text) = texts.get(file) {
            watch.list(name, folder.join(file), text, &sets);
        }
    }
    sets
}

/// `[tables.NAME]`: a CSV or JSON file that mappings look into, and the column they look by.
fn read_tables(
    table: &Table<'_>,
    folder: &Path,
    watch: &mut Watch,
    found: &mut Diagnostics,
) -> Tables {
    let mut tables = Tables::new();
    for name in table.keys() {
        let Some(mut settings) = table.any(&name.value).and_then(|item| item.table(found)) else {
            continue;
        };
        let file = settings.required_text("file", found);
        let key = settings.required_text("key", found);
        settings.finish(found);
        let (Some(file), Some(key)) = (file, key) else { continue };
        let path = folder.join(&file.value);
        let parsed = read_text(&path).and_then(|text| {
            Ok((crate::mapping::Table::from_file(&file.value, &text, &key.value)?, text))
        });
        match parsed {
            Ok((parsed, text)) => {
                let parsed = Live::new(parsed);
                watch.table(&name.value, path, &text, &key.value, &parsed);
                tables.insert(name.value, parsed);
            }
            Err(why) => found.push(Diagnostic::error("bad-table", file.span, why)),
        }
    }
    tables
}

/// `[geoip]`: `MaxMind` databases that say where addresses are (`file`) and whose (`asn`). They are read
/// at the start; a new one is taken up with the next.
fn read_geoip(mut table: Table<'_>, folder: &Path, tables: &mut Tables, found: &mut Diagnostics) {
    let [places, owners] = GEOIP;
    if !table.has("file") && !table.has("asn") {
        let message = "expected `file` or `asn` in `[geoip]`, found neither";
        found.push(Diagnostic::error("missing-key", table.span(), message));
    }
    for (key, name) in [("file", places), ("asn", owners)] {
        let Some(file) = table.text(key, found) else { continue };
        let read = read_bytes(&folder.join(&file.value));
        match read.and_then(crate::mapping::Table::from_mmdb) {
            Ok(table) => {
                tables.insert(name.to_owned(), Live::new(table));
            }
            Err(why) => found.push(Diagnostic::error("bad-table", file.span, why)),
        }
    }
    table.finish(found);
}

fn read_admin(mut table: Table<'_>, found: &mut Diagnostics) -> Option<SocketAddr> {
    let text = table.required_text("listen", found);
    table.finish(found);
    let text = text?;
    let address = text.value.parse();
    if address.is_err() {
        let message = format!("expected an address such as 127.0.0.1:9464, found `{}`", text.value);
        found.push(Diagnostic::error("bad-address", text.span, message));
    }
    address.ok()
}

fn read_log(table: Option<Table<'_>>, found: &mut Diagnostics) -> Log {
    let mut log = Log { json: false, filter: "info".to_owned() };
    let Some(mut table) = table else { return log };
    if let Some(format) = table.text("format", found) {
        log.json = format.value == "json";
        if !matches!(format.value.as_str(), "json" | "text") {
            let mut mistake = Diagnostic::error(
                "bad-format",
                format.span,
                format!("expected `text` or `json`, found `{}`", format.value),
            );
            if let Some(near) = suggest::nearest(&format.value, ["text", "json"]) {
                mistake = mistake.help(format!("did you mean `{near}`?"));
            }
            found.push(mistake);
        }
    }
    if let Some(filter) = table.text("filter", found) {
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter.value) {
            let message = format!("{error}; a filter looks like `info` or `hark=debug,warn`");
            found.push(Diagnostic::error("bad-filter", filter.span, message));
        }
        log.filter = filter.value;
    }
    table.finish(found);
    log
}

fn read_limits(table: Option<Table<'_>>, found: &mut Diagnostics) -> (Limits, Duration) {
    let mut limits = Limits::default();
    let mut skew = MAX_FUTURE_SKEW;
    let Some(mut table) = table else { return (limits, skew) };
    for (key, place) in [("event_bytes", &mut limits.bytes), ("event_depth", &mut limits.depth)] {
        if let Some(count) = table.count(key, found) {
            *place = usize::try_from(count.value).unwrap_or(usize::MAX);
        }
    }
    if let Some(duration) = table.duration("max_future_skew", found) {
        skew = duration.value;
    }
    table.finish(found);
    (limits, skew)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_as_people_write_them() {
        let short = |path: &str| shortened(Path::new(path)).display().to_string();
        assert_eq!(short("config/../rules"), "rules");
        assert_eq!(short("/etc/hark/./rules"), "/etc/hark/rules");
        assert_eq!(short("../../rules"), "../../rules");
        assert_eq!(short("a/../../b"), "../b");
    }
}

//! The pages about products: what each mapping fills, from where, and which values a rule can ask for.
//!
//! They tell of the mappings of the configuration, or of those that Hark ships where there is none, and
//! of what the samples beside them become. Nothing is told of a product that no mapping or sample shows.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::tables::table;
use crate::base::diagnostic::SourceText;
use crate::base::{Diagnostics, Position, Timestamp};
use crate::cli::workshop::{self, Materials};
use crate::cli::{ConfigArguments, say, say_error, shipped};
use crate::config::{Config, read_file};
use crate::event::{Event, FieldName, Layout, Scalar};
use crate::mapping::{Description, Edits, Filled, Mappings, Origin, RawRecord, Unusable};
use crate::replay::TOPIC;

/// What rules ask for to know what an event means; the first names it, the others class it.
const MEANING: [&str; 4] = ["event.action", "event.category", "event.type", "event.outcome"];

/// One product as the reference tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// What its mapping says.
    pub description: Description,
    /// What its samples show: the values of action, category, type and outcome of each event.
    pub seen: BTreeSet<[Vec<String>; 4]>,
}

/// The products of a configuration, in order of their names. Mistakes are told, and then there is
/// nothing.
pub(super) fn read(arguments: &ConfigArguments) -> Option<Vec<Product>> {
    let Materials { config, mut mappings } = Materials::read(arguments)?;
    // Nobody has written a configuration yet: then it will be those that come with the program.
    if config.mappings.as_os_str().is_empty() {
        let source = |(name, text): (String, &str)| SourceText::new(name, text);
        mappings = shipped::mappings().into_iter().map(source).collect();
    }
    let mut layout = Layout::new();
    let slots = MEANING.map(|field| layout.field(&name(field)));
    let loaded = workshop::load(&mappings, &config, &layout)?;
    let mut products = Vec::new();
    for description in mappings.iter().filter_map(Description::of) {
        let mut seen = BTreeSet::new();
        for sample in samples(&config, &description.name)? {
            let event = event(&loaded, &description.name, &sample)?;
            let texts = |slot| event.values(slot).iter().map(Scalar::to_string).collect();
            seen.insert(slots.map(texts));
        }
        products.push(Product { description, seen });
    }
    products.sort_by(|left, right| left.description.name.cmp(&right.description.name));
    Some(products)
}

/// The samples of a product, in order of their names; none where there is no folder of them.
fn samples(config: &Config, product: &str) -> Option<Vec<SourceText>> {
    let folder = config.samples.join(product);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Some(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut unreadable = Diagnostics::new();
    let samples = paths.iter().filter_map(|path| read_file(path, &mut unreadable)).collect();
    if unreadable.has_errors() {
        say(&[(SourceText::new(&folder, ""), unreadable)]);
        return None;
    }
    Some(samples)
}

/// The event that a sample is; what cannot be used is told.
fn event(mappings: &Mappings, product: &str, sample: &SourceText) -> Option<Event> {
    let payload = sample.text.as_bytes();
    let position = Position::new(TOPIC, 0, 0);
    let record = RawRecord { position, timestamp: None, key: None, headers: Vec::new(), payload };
    match mappings.sample(product, &record, Timestamp::MAX, &Edits::default()) {
        Ok(event) => Some(event),
        Err(Unusable { reason, detail }) => {
            let (path, code) = (sample.path.display(), reason.code());
            say_error(&format!("cannot use the sample {path}: {code}: {detail}"));
            None
        }
    }
}

/// The page about all products: which fills a field, and which gives a value.
pub(super) fn overview(products: &[Product]) -> String {
    let mut text = String::from(
        "What the mappings say, each with a page of its own. Every event has also `@timestamp` (without \
         one of its own the record's in Kafka), `event.id` (else the record's position), `event.kind` \
         (else `event`) and `event.dataset` (else the mapping's name); with a database in `[geoip]`, what \
         has a `source.ip` has `source.geo.*` and `source.as.*` as far as the database knows.\n\n",
    );
    let names = |of: &dyn Fn(&Product) -> bool| {
        let of = products.iter().filter(|product| of(product));
        of.map(|product| product.description.name.clone()).collect::<Vec<_>>().join(", ")
    };
    text.push_str("## Which products give a value\n\n");
    let mut rows = Vec::new();
    for field in MEANING.map(name) {
        let every = products.iter().flat_map(|product| product.description.values(&field).0);
        for value in every.collect::<BTreeSet<_>>() {
            let gives = |product: &Product| product.description.values(&field).0.contains(&value);
            rows.push(vec![span(&format!("{field}: {value}")), names(&gives)]);
        }
        let copied = |product: &Product| !product.description.values(&field).1.is_empty();
        if !names(&copied).is_empty() {
            rows.push(vec![format!("`{field}`, as the record has it"), names(&copied)]);
        }
    }
    text.push_str(&table(&["query", "products"], rows));
    text.push_str("## Which products fill a field\n\n");
    let fields: BTreeSet<&FieldName> =
        products.iter().flat_map(|product| product.description.filled()).collect();
    let rows = fields.iter().map(|field| {
        let fills = |product: &Product| product.description.filled().contains(field);
        vec![span(&field.to_string()), names(&fills)]
    });
    text.push_str(&table(&["field", "products"], rows));
    text
}

/// The page about one product.
pub(super) fn page(product: &Product) -> String {
    let description = &product.description;
    let mut text = which_records(description);
    text.push_str("## What its events mean\n\n");
    let rows = MEANING.map(|field| vec![span(field), values(description, &name(field))]);
    text.push_str(&table(&["field", "values"], rows));
    if !product.seen.is_empty() {
        text.push_str("## What its samples are\n\n");
        let cell = |values: &Vec<String>| listed(values.iter().map(String::as_str));
        let rows = product.seen.iter().map(|seen| seen.iter().map(cell).collect());
        text.push_str(&table(&MEANING, rows));
    }
    text.push_str(
        "## Where its fields come from\n\nOf several rows about a field, the last whose query the record \
         meets holds; one without a query is met by every record.\n\n",
    );
    let rows = description.fields.iter().map(|filled| {
        let when = filled.when.as_deref().map(span).unwrap_or_default();
        vec![span(&filled.field.to_string()), filled.from.to_string(), when]
    });
    text.push_str(&table(&["field", "gets", "when"], rows));
    if !description.search.is_empty() {
        text.push_str("## Words for the command line\n\n");
        let rows = description.search.iter();
        let rows = rows.map(|(word, field)| vec![span(word), span(&field.to_string())]);
        text.push_str(&table(&["word", "field"], rows));
    }
    text
}

fn which_records(description: &Description) -> String {
    let mut text = match (&*description.topics, &description.detect) {
        ([], None) => {
            "No record comes to this mapping: it names neither topic nor query.".to_owned()
        }
        ([], Some(detect)) => format!("Records that meet {}.", span(detect)),
        (topics, None) => format!("Records of the topic {}.", listed(topics)),
        (topics, Some(detect)) => {
            let (topics, detect) = (listed(topics), span(detect));
            format!("Records of the topic {topics}, and of any other those that meet {detect}.")
        }
    };
    text.push_str("\n\n");
    if description.common {
        text.push_str(
            "They are in the common fields already: what does not stand below is taken as it is.\n\n",
        );
    }
    if !description.null.is_empty() {
        let null: Vec<String> = description.null.iter().map(|text| format!("{text:?}")).collect();
        let null = listed(&null);
        let _infallible = write!(text, "As good as missing, but for `raw.*`: {null}.\n\n");
    }
    text
}

/// All values that a field can have, or where they come from.
fn values(description: &Description, field: &FieldName) -> String {
    let (own, others) = description.values(field);
    let mut ways = Vec::new();
    if !own.is_empty() {
        ways.push(listed(&own));
    }
    ways.extend(others.iter().map(|Filled { from, when, .. }| {
        let from = match from {
            Origin::Record(words) => format!("as the record has it: {words}"),
            other => other.to_string(),
        };
        let when = when.as_deref().map(|when| format!(" (when {})", span(when)));
        format!("{from}{}", when.unwrap_or_default())
    }));
    if ways.is_empty() { "none".to_owned() } else { ways.join("; ") }
}

fn name(field: &str) -> FieldName {
    FieldName::from_keys(field.split('.'))
}

fn listed<T: AsRef<str>>(all: impl IntoIterator<Item = T>) -> String {
    all.into_iter().map(|one| span(one.as_ref())).collect::<Vec<_>>().join(", ")
}

/// As code, whatever backticks it has itself.
fn span(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

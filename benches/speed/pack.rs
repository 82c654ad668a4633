//! What is measured: the configuration, mappings and rules that ship, and records of each product.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::read::GzDecoder;
use hark::base::{Position, Timestamp};
use hark::config::{Config, Layers, read_tree};
use hark::engine::Program;
use hark::event::Layout;
use hark::mapping::{Mappings, Options, RawRecord};

/// Who writes the records.
pub(crate) const PRODUCTS: [&str; 6] =
    ["blocksecops", "ops0", "opsknight", "opssentinal", "squadcast", CLOUDTRAIL];

/// Large records, of a log that was really written and in which rules find little.
const CLOUDTRAIL: &str = "cloudtrail";

/// Of that log every so many is taken.
const EVERY: usize = 29;

/// Everything compiled, as the daemon does it.
pub(crate) struct Pack {
    pub(crate) config: Config,
    pub(crate) program: Arc<Program>,
    pub(crate) mappings: Arc<Mappings>,
}

impl Pack {
    pub(crate) fn load() -> Self {
        let path = root().join("config/hark.toml");
        let text = fs::read_to_string(&path).unwrap();
        let layers = Layers { path, text, ..Layers::default() };
        let config = hark::config::load(&layers).config.unwrap();
        let report = hark::app::check(&config, &[], Timestamp::from_millis(0));
        assert_eq!(report.errors(), 0, "{}", report.render(false));
        let mut layout = Layout::new();
        let rules = report.rules.enabled().cloned();
        let program = Program::compile(rules, &mut layout, &config.sets).unwrap();
        let mappings = Arc::new(mappings(&config, &layout));
        Self { config, program: Arc::new(program), mappings }
    }
}

/// All mappings for one layout.
pub(crate) fn mappings(config: &Config, layout: &Layout) -> Mappings {
    let mut unreadable = hark::base::Diagnostics::new();
    let sources = read_tree(&config.mappings, &mut unreadable);
    let options = Options { limits: config.limits, max_future_skew: config.max_future_skew };
    let (mappings, found) = Mappings::load(&sources, &config.tables, layout, &config.sets, options);
    assert!(unreadable.is_empty() && found.is_empty(), "{found:?}");
    mappings
}

/// The text of a product's mapping.
pub(crate) fn mapping(product: &str) -> String {
    fs::read_to_string(root().join(format!("config/mappings/{product}.toml"))).unwrap()
}

/// The records of a product, in order of their names.
pub(crate) fn records(product: &str) -> Vec<Vec<u8>> {
    if product == CLOUDTRAIL {
        let log = File::open(root().join("tests/data/invictus_cloudtrail.jsonl.gz")).unwrap();
        let lines = BufReader::new(GzDecoder::new(log)).lines().step_by(EVERY);
        return lines.map(|line| line.unwrap().into_bytes()).collect();
    }
    let files = fs::read_dir(root().join("tests/samples").join(product)).unwrap();
    let by_name: BTreeMap<PathBuf, Vec<u8>> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), compact(&fs::read(path).unwrap())))
        .collect();
    by_name.into_values().collect()
}

/// As it travels: without the white space that a sample has for its readers.
fn compact(json: &[u8]) -> Vec<u8> {
    let (mut out, mut in_string, mut escaped) = (Vec::with_capacity(json.len()), false, false);
    for byte in json {
        if in_string || !byte.is_ascii_whitespace() {
            out.push(*byte);
        }
        in_string ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
    }
    let read = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    assert_eq!(read(&out), read(json));
    out
}

/// The topic of a product's records.
pub(crate) fn topic(product: &str) -> String {
    format!("audit.{product}")
}

/// A record as mappings take it.
pub(crate) fn raw<'r>(topic: &Arc<str>, payload: &'r [u8]) -> RawRecord<'r> {
    let position = Position::new(topic.clone(), 0, 1);
    RawRecord { position, timestamp: Some(now()), key: None, headers: Vec::new(), payload }
}

/// The time it is: a little after the samples.
pub(crate) fn now() -> Timestamp {
    Timestamp::parse("2026-01-05T12:00:01Z").unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

//! Reading: the paths that a product's mapping names, out of its records. The anchor reads the same
//! bytes into a `serde_json::Value`.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use hark::event::decode::{Decoder, Limits};
use hark::event::{Event, FieldName, Layout};
use toml::Value;

use crate::pack::{self, PRODUCTS};
use crate::ratios::ANCHOR;

pub(crate) fn benches(criterion: &mut Criterion) {
    for product in PRODUCTS {
        let records = pack::records(product);
        let bytes: usize = records.iter().map(Vec::len).sum();
        let mut group = criterion.benchmark_group(format!("decode/{product}"));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(ANCHOR, |bench| {
            bench.iter(|| {
                for record in &records {
                    black_box(serde_json::from_slice::<serde_json::Value>(record).unwrap());
                }
            });
        });
        let (decoder, layout) = decoder(product);
        let topic = pack::topic(product).into();
        group.bench_function("wanted", |bench| {
            bench.iter(|| {
                for record in &records {
                    let position = pack::raw(&topic, record).position;
                    let mut event = Event::empty(&layout, position, pack::now(), topic.clone());
                    decoder.decode(record, &mut event).unwrap();
                    black_box(event);
                }
            });
        });
        group.finish();
    }
}

fn decoder(product: &str) -> (Decoder, Layout) {
    let mapping: toml::Table = toml::from_str(&pack::mapping(product)).unwrap();
    let mut paths = Vec::new();
    named(&mapping["fields"], &mut paths);
    for case in mapping.get("case").and_then(Value::as_array).into_iter().flatten() {
        named(&case["fields"], &mut paths);
    }
    let mut layout = Layout::new();
    for path in paths {
        layout.field(&raw(&path));
    }
    let json = mapping.get("json").and_then(Value::as_array).into_iter().flatten();
    let json: Vec<_> = json.map(|path| raw(path.as_str().unwrap())).collect();
    (Decoder::new(&layout, &json, Limits::default()), layout)
}

/// The paths that `[fields]` take values from.
fn named(fields: &Value, paths: &mut Vec<String>) {
    for source in fields.as_table().unwrap().values() {
        let source = match source {
            Value::Table(table) => table.get("path").or_else(|| table.get("join")),
            other => Some(other),
        };
        match source {
            Some(Value::String(path)) if !path.is_empty() => paths.push(path.clone()),
            Some(Value::Array(several)) => {
                paths.extend(several.iter().map(|path| path.as_str().unwrap().to_owned()));
            }
            _ => {}
        }
    }
}

fn raw(path: &str) -> FieldName {
    FieldName::parse(&format!("raw.{path}")).unwrap()
}

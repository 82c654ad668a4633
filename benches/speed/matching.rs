//! MATCH: a record read, mapped, held against every shipped rule, its signals written (`record`), and
//! what of that is reading and mapping alone (`event`); and what forwarding a record needs to know of
//! it (`identify`). The anchor reads the same bytes into a `serde_json::Value`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use hark::base::clock::Manual;
use hark::base::metrics::Metrics;
use hark::delivery::Pushed;
use hark::kafka::{Error, Headers, OutRecord, Output, Record, Task as _};
use hark::role::deliver::Identify;
use hark::role::r#match::{Match, Settings};

use crate::pack::{self, PRODUCTS, Pack};
use crate::ratios::ANCHOR;

pub(crate) fn benches(criterion: &mut Criterion) {
    let pack = Pack::load();
    for product in PRODUCTS {
        let records = pack::records(product);
        let topic = pack::topic(product);
        let bytes: usize = records.iter().map(Vec::len).sum();
        let mut group = criterion.benchmark_group(format!("matching/{product}"));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(ANCHOR, |bench| {
            bench.iter(|| {
                for record in &records {
                    black_box(serde_json::from_slice::<serde_json::Value>(record).unwrap());
                }
            });
        });
        let shared: Arc<str> = topic.as_str().into();
        group.bench_function("event", |bench| {
            bench.iter(|| {
                for record in &records {
                    let raw = pack::raw(&shared, record);
                    black_box(pack.mappings.event(&raw, pack::now()).unwrap());
                }
            });
        });
        let mut matching = matching(&pack);
        group.bench_function("record", |bench| {
            bench.iter(|| {
                for payload in &records {
                    matching.record(&record(&topic, payload), &mut Nowhere).unwrap();
                }
            });
        });
        let identify = identify(&pack);
        group.bench_function("identify", |bench| {
            bench.iter(|| {
                for payload in &records {
                    identify.forwarded(&record(&topic, payload), &shared, &mut |forwarded| {
                        black_box(forwarded);
                        Pushed::Added
                    });
                }
            });
        });
        group.finish();
    }
}

fn record<'r>(topic: &'r str, payload: &'r [u8]) -> Record<'r> {
    Record {
        topic,
        partition: 0,
        offset: 1,
        timestamp: Some(pack::now()),
        key: None,
        payload: Some(payload),
        headers: Headers::default(),
    }
}

fn matching(pack: &Pack) -> Match {
    Match::new(Settings {
        alerts: None,
        worker: "bench.match.0".into(),
        mappings: Arc::clone(&pack.mappings),
        program: Arc::clone(&pack.program),
        signals: "hark.signals".to_owned(),
        partitions: 32,
        dead_letters: "hark.dead-letters".to_owned(),
        delays: std::collections::BTreeMap::default(),
        clock: Arc::new(Manual::new(pack::now())),
        metrics: Metrics::new(),
        gate: pack.config.watch.gate(),
        sets: pack.config.sets.clone(),
    })
}

fn identify(pack: &Pack) -> Identify {
    let (layout, event_id) = Identify::layout();
    let mappings = Arc::new(pack::mappings(&pack.config, &layout));
    let clock = Arc::new(Manual::new(pack::now()));
    Identify::new(mappings, event_id, "hark.alerts".to_owned(), clock)
}

/// An output that nobody reads.
struct Nowhere;

impl Output for Nowhere {
    fn send(&mut self, record: OutRecord<'_>) -> Result<(), Error> {
        assert_ne!(record.topic, "hark.dead-letters", "{record:?}");
        black_box(record);
        Ok(())
    }
}

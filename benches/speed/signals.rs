//! The records of the signals topic, as the samples of all products make them: written and read. The
//! anchor reads the products' records that they came from into a `serde_json::Value`.

use std::hint::black_box;

use criterion::Criterion;
use hark::engine::{Matched, Record};

use crate::pack::{self, PRODUCTS, Pack};
use crate::ratios::ANCHOR;

pub(crate) fn benches(criterion: &mut Criterion) {
    let (sources, signals) = signals(&Pack::load());
    let mut group = criterion.benchmark_group("signals");
    group.bench_function(ANCHOR, |bench| {
        bench.iter(|| {
            for source in &sources {
                black_box(serde_json::from_slice::<serde_json::Value>(source).unwrap());
            }
        });
    });
    group.bench_function("encode", |bench| {
        bench.iter(|| {
            for signals in &signals {
                black_box(signals.encode());
            }
        });
    });
    let encoded: Vec<_> = signals.iter().map(Record::encode).collect();
    group.bench_function("decode", |bench| {
        bench.iter(|| {
            for bytes in &encoded {
                black_box(Record::decode(bytes).unwrap());
            }
        });
    });
    group.finish();
}

/// Every record of signals that the samples make, and beside it the record that it came from.
fn signals(pack: &Pack) -> (Vec<Vec<u8>>, Vec<Record>) {
    let (mut sources, mut made) = (Vec::new(), Vec::new());
    let mut matched = Matched::default();
    for product in PRODUCTS {
        let topic = pack::topic(product).into();
        for record in pack::records(product) {
            let event = pack.mappings.event(&pack::raw(&topic, &record), pack::now()).unwrap();
            pack.program.signals(&event, hark::engine::Origin::Audit, 32, &mut matched);
            for (_, signals) in matched.records.drain(..) {
                sources.push(record.clone());
                made.push(Record::Signals(signals));
            }
        }
    }
    assert!(made.len() > 10, "the rules see something in the samples");
    (sources, made)
}

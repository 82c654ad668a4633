//! A list of a hundred thousand entries beside one of ten, which is the anchor: the same question of
//! a thousand events that name different entries, or none.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use hark::base::Position;
use hark::event::{Event, FieldName, Layout};
use hark::mapping::{Mappings, Options, Tables};
use hark::query::{List, Matcher, Query, Sets};

use crate::pack;
use crate::ratios::ANCHOR;

/// How many events are asked about in one measured step.
const EVENTS: u32 = 1_000;
/// Of so many possible entries every third is in the list.
const EVERY: u32 = 3;

/// How the entries of one kind of list look, and what an event says that names one.
struct Kind {
    name: &'static str,
    field: &'static str,
    entry: fn(u32) -> String,
    value: fn(u32) -> String,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "values",
        field: "user.name",
        entry: |n| format!("user{n}@example.com"),
        value: |n| format!("User{n}@example.com"),
    },
    Kind {
        name: "networks",
        field: "source.ip",
        entry: |n| format!("{}.{}.{}.0/24", 11 + n / 65_536, n / 256 % 256, n % 256),
        value: |n| format!("{}.{}.{}.77", 11 + n / 65_536, n / 256 % 256, n % 256),
    },
    // All but one are so close together that their leading bits are the same.
    Kind {
        name: "crowded networks",
        field: "source.ip",
        entry: |n| match n {
            0 => "1.0.0.0/24".to_owned(),
            n => format!("100.{}.{}.{}/32", n / 65_536, n / 256 % 256, n % 256),
        },
        value: |n| match n {
            0 => "1.0.0.77".to_owned(),
            n => format!("100.{}.{}.{}", n / 65_536, n / 256 % 256, n % 256),
        },
    },
    Kind {
        name: "IPv6 networks",
        field: "source.ip",
        entry: |n| format!("2001:db8:{:x}:{:x}::/64", n / 65_536, n % 65_536),
        value: |n| format!("2001:db8:{:x}:{:x}::5", n / 65_536, n % 65_536),
    },
];

pub(crate) fn benches(criterion: &mut Criterion) {
    let many = if crate::measures() { 100_000 } else { 1_000 };
    for kind in KINDS {
        for (asked, beside) in [("found", 0), ("not found", 1)] {
            let mut group = criterion.benchmark_group(format!("lists/{} {asked}", kind.name));
            group.throughput(Throughput::Elements(u64::from(EVENTS)));
            for (name, size) in [(ANCHOR, 10), ("100k", many)] {
                let (matcher, events) = kind.asked(size, beside);
                group.bench_function(name, |bench| {
                    bench.iter(|| {
                        for event in &events {
                            assert_eq!(black_box(matcher.matches(event)), beside == 0);
                        }
                    });
                });
            }
            group.finish();
        }
    }
}

impl Kind {
    /// A list of `size` entries, and events that name entries, or what stands `beside` them.
    fn asked(&self, size: u32, beside: u32) -> (Matcher, Vec<Event>) {
        let entries: Vec<String> = (0..size).map(|n| (self.entry)(n * EVERY)).collect();
        let mut sets = Sets::new();
        sets.insert_list("l", List::new(entries.iter().map(String::as_str)).0);
        let mut layout = Layout::new();
        let query = Query::parse(&format!("{}: @l", self.field)).unwrap();
        let matcher = query.compile(&mut layout, &sets).unwrap();
        let options = Options::default();
        let (mappings, _) = Mappings::load(&[], &Tables::new(), &layout, &sets, options);
        let topic: Arc<str> = "audit".into();
        let event = |n: u32| {
            // All over the list, in an order that no cache foresees.
            let chosen = n.wrapping_mul(0x9e37_79b9) % size;
            let value = (self.value)(chosen * EVERY + beside);
            let fields = BTreeMap::from([(FieldName::parse(self.field).unwrap(), value.into())]);
            let position = Position::new(topic.clone(), 0, i64::from(n));
            mappings.of_fields(&fields, position, pack::now()).unwrap()
        };
        (matcher, (0..EVENTS).map(event).collect())
    }
}

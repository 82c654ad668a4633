//! MATCH's half of every rule: which rules an event meets, for which keys, and what of the event
//! travels on to the detector.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compiled::{Compiled, Judged, Origin};
use super::group::KEYS_PER_EVENT;
use super::key::partition_of;
use super::signal::{Signal, Signals};
use crate::base::Diagnostic;
use crate::event::{Event, Layout};
use crate::query::Sets;
use crate::rule::Rule;

/// All enabled rules, compiled against one layout.
#[derive(Debug)]
pub struct Program {
    rules: Vec<Compiled>,
}

/// What one event became. Reused from event to event.
#[derive(Debug, Default)]
pub struct Matched {
    /// One record for each signals partition concerned, in order of the partitions.
    pub records: Vec<(u32, Signals)>,
    /// Rules that the event met without having one of their `group_by` fields.
    pub unkeyed: Vec<Arc<str>>,
    /// Rules for which the event had more than [`KEYS_PER_EVENT`] keys.
    pub cut: Vec<Arc<str>>,
    /// Rules whose judgement of the event panicked: our mistake, not the author's.
    pub panicked: Vec<Arc<str>>,
}

/// What is wrong with one rule.
#[derive(Debug)]
pub struct Fault {
    /// The rule's id.
    pub rule: Arc<str>,
    /// Why it cannot be used.
    pub diagnostics: Vec<Diagnostic>,
}

impl Program {
    /// Compiles the enabled rules; asks the layout for everything they read.
    pub fn compile(
        rules: impl IntoIterator<Item = Arc<Rule>>,
        layout: &mut Layout,
        sets: &Sets,
    ) -> Result<Self, Vec<Fault>> {
        let (mut compiled, mut faults) = (Vec::new(), Vec::new());
        for rule in rules.into_iter().filter(|rule| rule.enabled) {
            let id = rule.id.clone();
            match Compiled::new(rule, layout, sets) {
                Ok(rule) => compiled.push(rule),
                Err(diagnostics) => faults.push(Fault { rule: id, diagnostics }),
            }
        }
        if faults.is_empty() { Ok(Self { rules: compiled }) } else { Err(faults) }
    }

    /// Fills `out` with all that the event means to the rules, for so many signals partitions.
    pub fn signals(&self, event: &Event, origin: Origin, partitions: u32, out: &mut Matched) {
        self.signals_told(event, origin, partitions, out, |_| {});
    }

    /// The same, and `judged` hears of each rule when it has been judged: for whoever measures.
    pub fn signals_told(
        &self,
        event: &Event,
        origin: Origin,
        partitions: u32,
        out: &mut Matched,
        mut judged: impl FnMut(&Arc<str>),
    ) {
        out.clear();
        let mut by_partition: BTreeMap<u32, Vec<Signal>> = BTreeMap::new();
        for rule in self.candidates(event, origin) {
            let meaning = rule.judge(event, origin);
            judged(&rule.rule.id);
            let (keys, fields) = match meaning {
                Judged::Unmet => continue,
                Judged::Unkeyed => {
                    out.unkeyed.push(rule.rule.id.clone());
                    continue;
                }
                Judged::Panicked => {
                    out.panicked.push(rule.rule.id.clone());
                    continue;
                }
                Judged::Met(keys, fields) => (keys, fields),
            };
            if keys.len() > KEYS_PER_EVENT {
                out.cut.push(rule.rule.id.clone());
            }
            for (key, parts) in keys.into_iter().take(KEYS_PER_EVENT) {
                let partition = partition_of(&rule.rule.id, key.bytes(), partitions);
                by_partition.entry(partition).or_default().push(Signal {
                    rule: rule.rule.id.clone(),
                    version: rule.rule.hash,
                    parts,
                    key,
                    fields: fields.clone(),
                });
            }
        }
        let (time, clamped) = (event.time, event.clamped);
        out.records.extend(by_partition.into_iter().map(|(partition, signals)| {
            (partition, Signals { position: event.position.clone(), time, clamped, signals })
        }));
    }

    /// The rules that the event may meet; never fewer. All of them, until an index knows better.
    fn candidates(&self, _event: &Event, origin: Origin) -> impl Iterator<Item = &Compiled> {
        self.rules.iter().filter(move |rule| !rule.is_off() && rule.sees(origin))
    }

    /// Whether some rule builds on alerts of others.
    pub fn reads_alerts(&self) -> bool {
        self.rules.iter().any(Compiled::reads_alerts)
    }

    /// The rules that were switched off because they kept panicking.
    pub fn switched_off(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rules.iter().filter(|rule| rule.is_off()).map(|rule| &rule.rule.id)
    }

    /// How many rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Matched {
    fn clear(&mut self) {
        self.records.clear();
        self.unkeyed.clear();
        self.cut.clear();
        self.panicked.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::compiled::{PANICS_MAX, SAMPLE_FIELDS, SAMPLE_TEXT_BYTES, SAMPLE_VALUES};
    use super::*;
    use crate::base::diagnostic::SourceText;
    use crate::base::{Position, Timestamp};
    use crate::event::{FieldName, Scalar, schema};
    use crate::rule;

    const HEAD: &str = "title = 't'\nseverity = 'low'\n";

    struct Bench {
        program: Program,
        layout: Layout,
    }

    fn bench(rules: &[(&str, &str)]) -> Bench {
        let sets = Sets::default();
        let read = |(id, rest): &(&str, &str)| {
            let source = SourceText::new(id, format!("{HEAD}{rest}"));
            let (rule, found) = rule::parse(&source, id, &rule::Context::new(&sets));
            Arc::new(rule.unwrap_or_else(|| panic!("{found:?}")))
        };
        let mut layout = Layout::new();
        let program = Program::compile(rules.iter().map(read), &mut layout, &sets).unwrap();
        Bench { program, layout }
    }

    impl Bench {
        fn event(&self, time: &str, fields: &[(&str, &str)]) -> Event {
            let time = Timestamp::parse(time).unwrap();
            let position = Position::new("audit", 0, 7);
            let mut event = Event::empty(&self.layout, position, time, "demo".into());
            for (name, value) in fields {
                let slot = self.layout.find(&FieldName::parse(name).unwrap()).unwrap();
                event.push(slot, Scalar::from(*value));
            }
            event
        }

        fn matched(&self, fields: &[(&str, &str)], partitions: u32) -> Matched {
            let mut matched = Matched::default();
            let event = self.event("2026-01-05T12:00:00Z", fields);
            self.program.signals(&event, Origin::Audit, partitions, &mut matched);
            matched
        }
    }

    fn keys(matched: &Matched) -> Vec<String> {
        let signals = matched.records.iter().flat_map(|(_, record)| &record.signals);
        let key = |s: &Signal| {
            let parts: Vec<String> = s.key.shown().iter().map(ToString::to_string).collect();
            format!("{}({})", s.rule, parts.join(","))
        };
        signals.map(key).collect()
    }

    #[test]
    fn a_rule_that_panics_costs_the_others_nothing_and_is_switched_off() {
        let rule = "when = 'event.action: x'";
        let bench = bench(&[("a", rule), ("test/panics", rule), ("z", rule)]);
        for n in 1..=PANICS_MAX + 1 {
            let matched = bench.matched(&[("event.action", "x")], 1);
            assert_eq!(keys(&matched), ["a()", "z()"]);
            let told = if n <= PANICS_MAX { vec!["test/panics".into()] } else { vec![] };
            assert_eq!(matched.panicked, told, "event {n}");
        }
        assert_eq!(bench.program.switched_off().count(), 1);
        assert!(bench.matched(&[("event.action", "y")], 1).records.is_empty());
    }

    #[test]
    fn what_samples_show_are_common_fields() {
        for name in SAMPLE_FIELDS {
            assert!(schema::is_valid(&FieldName::parse(name).unwrap()), "{name}");
        }
    }

    #[test]
    fn an_event_becomes_a_signal_for_each_rule_it_meets() {
        let bench = bench(&[
            ("a", "when = 'event.action: login'\ngroup_by = ['user.name']"),
            ("b", "when = 'event.action: log*'"),
            ("c", "when = 'event.action: logout'"),
            ("off", "when = 'event.action: login'\nenabled = false"),
        ]);
        assert_eq!(bench.program.len(), 3);
        let matched = bench.matched(&[("event.action", "login"), ("user.name", "Eve")], 1);
        assert_eq!(keys(&matched), ["a(Eve)", "b()"]);
        let (partition, record) = &matched.records[0];
        assert_eq!((*partition, matched.records.len()), (0, 1));
        assert_eq!(record.position, Position::new("audit", 0, 7));
        assert_eq!(record.signals[0].fields.get("user.name"), [Scalar::from("Eve")]);
        assert!(bench.matched(&[("event.action", "x")], 1).records.is_empty());
    }

    #[test]
    fn an_exception_holds_until_its_last_moment() {
        let bench = bench(&[(
            "a",
            "when = 'event.action: login'\n[[exception]]\nwhen = 'user.name: eve'\nreason = 'r'\nuntil = 2026-01-05T12:00:00Z",
        )]);
        let count = |time, user| {
            let event = bench.event(time, &[("event.action", "login"), ("user.name", user)]);
            let mut matched = Matched::default();
            bench.program.signals(&event, Origin::Audit, 1, &mut matched);
            matched.records.len()
        };
        assert_eq!(count("2026-01-05T12:00:00Z", "eve"), 0);
        assert_eq!(count("2026-01-05T12:00:00.001Z", "eve"), 1);
        assert_eq!(count("2026-01-05T12:00:00Z", "bob"), 1);
    }

    #[test]
    fn without_a_key_it_takes_no_part_and_is_told() {
        let rule = [("a", "when = 'event.action: *'\ngroup_by = ['user.name', 'source.ip']")];
        let bench = bench(&rule);
        for fields in [
            &[("event.action", "x"), ("user.name", "eve")][..],
            &[("event.action", "x"), ("user.name", ""), ("source.ip", "10.0.0.1")],
        ] {
            let matched = bench.matched(fields, 1);
            assert!(matched.records.is_empty());
            assert_eq!(matched.unkeyed, ["a".into()]);
        }
    }

    #[test]
    fn arrays_give_every_combination_once() {
        let rule = [("a", "when = 'event.action: *'\ngroup_by = ['user.name', 'source.ip']")];
        let fields = [
            ("event.action", "x"),
            ("user.name", "Eve"),
            ("user.name", "EVE"),
            ("user.name", ""),
            ("user.name", "bob"),
            ("source.ip", "10.0.0.1"),
            ("source.ip", "10.0.0.2"),
        ];
        assert_eq!(
            keys(&bench(&rule).matched(&fields, 1)),
            ["a(Eve,10.0.0.1)", "a(Eve,10.0.0.2)", "a(bob,10.0.0.1)", "a(bob,10.0.0.2)"]
        );
    }

    #[test]
    fn keys_of_one_event_have_a_bound_that_is_told() {
        let bench =
            bench(&[("a", "when = 'event.action: *'\ngroup_by = ['user.name', 'source.ip']")]);
        let names: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
        let all = |many: usize| {
            let mut fields = vec![("event.action", "x")];
            fields.extend(names.iter().take(25).map(|n| ("user.name", n.as_str())));
            fields.extend(names.iter().take(many).map(|n| ("source.ip", n.as_str())));
            let matched = bench.matched(&fields, 1);
            (keys(&matched).len(), matched.cut.len())
        };
        assert_eq!(all(40), (KEYS_PER_EVENT, 0));
        let mut fields = vec![("event.action", "x")];
        fields.extend(names.iter().map(|n| ("user.name", n.as_str())));
        fields.extend(names.iter().map(|n| ("source.ip", n.as_str())));
        let matched = bench.matched(&fields, 1);
        assert_eq!((keys(&matched).len(), matched.cut), (KEYS_PER_EVENT, vec!["a".into()]));
    }

    #[test]
    fn signals_go_to_the_partition_that_owns_their_key() {
        let bench = bench(&[("a", "when = 'event.action: *'\ngroup_by = ['user.name']")]);
        let names: Vec<String> = (0..50).map(|n| format!("user{n}")).collect();
        let mut fields = vec![("event.action", "x")];
        fields.extend(names.iter().map(|n| ("user.name", n.as_str())));
        let matched = bench.matched(&fields, 8);
        let partitions: Vec<u32> = matched.records.iter().map(|(p, _)| *p).collect();
        assert_eq!(partitions, [0, 1, 2, 3, 4, 5, 6, 7]);
        for (partition, record) in &matched.records {
            for signal in &record.signals {
                assert_eq!(partition_of("a", signal.key.bytes(), 8), *partition);
            }
        }
    }

    #[test]
    fn what_decides_travels_whole_and_what_is_only_shown_is_shortened() {
        let bench = bench(&[(
            "a",
            "when = 'event.action: *'\n[alert]\ntitle = '{{ message }}'\n[[alert.severity]]\nwhen = 'raw.a: x'\nlevel = 'high'",
        )]);
        let long = "x".repeat(SAMPLE_TEXT_BYTES + 1);
        let fields =
            [("event.action", "x"), ("message", &*long), ("user.id", &*long), ("raw.a", "y")];
        let matched = bench.matched(&fields, 1);
        let carried = &matched.records[0].1.signals[0].fields;
        assert_eq!(carried.get("message"), [Scalar::from(&*long)]);
        assert_eq!(carried.get("raw.a"), [Scalar::from("y")]);
        assert!(carried.get("user.id")[0].as_text().unwrap().ends_with("x…"));
        let many: Vec<(&str, &str)> = std::iter::once(("event.action", "x"))
            .chain((0..=SAMPLE_VALUES).map(|_| ("event.type", "t")))
            .collect();
        let matched = bench.matched(&many, 1);
        assert_eq!(matched.records[0].1.signals[0].fields.get("event.type").len(), SAMPLE_VALUES);
    }
}

//! RULES §3's promise for everything that decides on arrival: firings are those that the same events
//! would give if they came sorted by time and source position. Whatever order they come in, as long
//! as none is late, the same firings come out, and the same attacks are alerted.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure here is the test's")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hark::alert::{Alert, Findings, Pipeline};
use hark::base::diagnostic::SourceText;
use hark::base::{Position, Timestamp};
use hark::detectors::{DETECTORS, Decides};
use hark::event::{Event, FieldName, Layout, Scalar};
use hark::query::Sets;
use hark::rule::{self, Rule};
use proptest::prelude::*;

const LATENESS: i64 = 5_000;
const WITHIN: i64 = 10_000;
/// Of each key: so few that no detector below has to let one go, as 4 × a `count` of 2 are kept.
const EVENTS: usize = 8;
const KEYS: usize = 3;

/// Every detector that decides on arrival, each with the settings that make order matter.
const RULES: [(&str, &str); 9] = [
    ("none", "when = 'event.action: a'"),
    ("threshold", "when = 'event.action: *'\nthreshold = { count = 3, within = '10s' }"),
    (
        "cardinality",
        "when = 'event.action: *'\ncardinality = { fields = ['source.ip'], count = 3, within = '10s' }",
    ),
    ("sequence", "sequence = { within = '10s', step = [A, B] }"),
    ("sequence-of-three", "sequence = { within = '10s', step = [A, B, C] }"),
    ("sequence-counted", "sequence = { within = '10s', step = [TWO, B] }"),
    ("sequence-gap", "sequence = { within = '10s', step = [A, SOON] }"),
    ("temporal", "temporal = { within = '10s', of = [A, B, C] }"),
    ("temporal-some", "temporal = { within = '10s', of = [A, TWO, C], at_least = 2 }"),
];

const STEPS: [(&str, &str); 5] = [
    ("TWO", "{ name = 'two', when = 'event.action: (a or c)', count = 2 }"),
    ("SOON", "{ name = 'soon', when = 'event.action: (b or c)', max_gap = '3s' }"),
    ("A", "{ name = 'a', when = 'event.action: a' }"),
    ("B", "{ name = 'b', when = 'event.action: (a or b)' }"),
    ("C", "{ name = 'c', when = 'event.action: c' }"),
];

/// An event, and how much later than it happened it comes, in ms; its place in the list is its
/// position in the source.
#[derive(Debug, Clone)]
struct Happening {
    time: i64,
    delay: i64,
    key: usize,
    action: usize,
    address: usize,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    // Few different times, so that ties and spans of exactly `within` are common.
    let one = (0..24i64, 0..=(LATENESS + WITHIN) / 500, 0..3usize, 0..4usize);
    let all = prop::collection::vec(one, KEYS * EVENTS);
    (all, 1..=KEYS * EVENTS).prop_map(|(all, count)| {
        let all = all.into_iter().take(count).enumerate();
        let one = |(n, (time, delay, action, address))| Happening {
            time: 1_000_000 + 2_500 * time,
            delay: 500 * delay,
            key: n % KEYS,
            action,
            address,
        };
        all.map(one).collect()
    })
}

fn rules() -> Vec<Arc<Rule>> {
    let read = |(id, settings): &(&str, &str)| {
        let steps = STEPS.iter().fold((*settings).to_owned(), |text, (name, step)| {
            text.replace(&format!("[{name},"), &format!("[{step},"))
                .replace(&format!(" {name},"), &format!(" {step},"))
                .replace(&format!(" {name}]"), &format!(" {step}]"))
        });
        let head = "severity = 'low'\ngroup_by = ['user.name']\nlateness = '5s'";
        let alert = "alert = { keep_open = '10s', max_open = '1h' }";
        let source = SourceText::new(id, format!("title = '{id}'\n{head}\n{alert}\n{steps}\n"));
        let (rule, found) = rule::parse(&source, id, &rule::Context::new(&Sets::default()));
        Arc::new(rule.unwrap_or_else(|| panic!("{id}: {found:?}")))
    };
    RULES.iter().map(read).collect()
}

/// What came of events: firings as (rule, key, time, offset), and the last state of each alert.
struct Ran {
    firings: BTreeSet<(String, String, i64, i64)>,
    alerts: BTreeMap<String, Alert>,
}

fn run(rules: &[Arc<Rule>], happenings: &[Happening], arrival: &[usize]) -> Ran {
    let mut layout = Layout::new();
    let mut pipeline = Pipeline::compile(rules, &mut layout, &Sets::default(), 3).unwrap();
    let field = |name: &str| layout.find(&FieldName::parse(name).unwrap()).unwrap();
    let mut out = Findings::with_firings();
    for n in arrival {
        let happening = &happenings[*n];
        let position = Position::new("audit", 0, i64::try_from(*n).unwrap());
        let time = Timestamp::from_millis(happening.time);
        let mut event = Event::empty(&layout, position, time, "m".into());
        event.push(field("event.action"), Scalar::from(["a", "b", "c"][happening.action]));
        event.push(field("user.name"), Scalar::from(["u", "v", "w"][happening.key]));
        event.push(field("source.ip"), Scalar::from(["1", "2", "3", "4"][happening.address]));
        pipeline.event(&event, &mut out);
    }
    pipeline.finish(&mut out);
    assert_eq!(out.notes, [], "nothing is late");
    let fired = out.firings.unwrap();
    let count = fired.len();
    let firings: BTreeSet<_> = fired
        .iter()
        .map(|fired| {
            let key = fired.key["user.name"].to_string();
            let offset = fired.firing.position.as_ref().unwrap().offset;
            (fired.rule.to_string(), key, fired.firing.time.as_millis(), offset)
        })
        .collect();
    assert_eq!(firings.len(), count, "no event fires twice");
    let alerts = out.alerts.into_iter().map(|alert| (alert.id.clone(), alert)).collect();
    Ran { firings, alerts }
}

/// Firings of one rule and key that are no further apart than `keep_open`: one attack each, as (first,
/// last).
fn attacks(ran: &Ran) -> BTreeMap<(String, String), Vec<(i64, i64)>> {
    let mut all: BTreeMap<(String, String), Vec<(i64, i64)>> = BTreeMap::new();
    for (rule, key, time, _) in &ran.firings {
        let attacks = all.entry((rule.clone(), key.clone())).or_default();
        match attacks.last_mut().filter(|(_, last)| time - *last <= WITHIN) {
            Some((_, last)) => *last = *time,
            None => attacks.push((*time, *time)),
        }
    }
    all
}

/// Every attack has an alert that opened in it, no alert opened outside of all, and each firing
/// belongs to one alert.
fn every_attack_is_alerted(ran: &Ran) {
    let attacks = attacks(ran);
    let of = |alert: &Alert| (alert.rule.id.clone(), alert.key["user.name"].to_string());
    for alert in ran.alerts.values() {
        let opened = alert.opened_at.as_millis();
        let inside = |(first, last): &(i64, i64)| (*first..=*last).contains(&opened);
        assert!(attacks[&of(alert)].iter().any(inside), "{alert:?} is about nothing");
    }
    for (whose, attacks) in attacks {
        let alerts: Vec<&Alert> = ran.alerts.values().filter(|alert| of(alert) == whose).collect();
        for (first, last) in attacks {
            let inside = |alert: &&Alert| (first..=last).contains(&alert.opened_at.as_millis());
            assert!(alerts.iter().any(inside), "nobody heard of {whose:?} from {first} to {last}");
        }
        let fired = ran.firings.iter().filter(|f| (&f.0, &f.1) == (&whose.0, &whose.1)).count();
        assert_eq!(alerts.iter().map(|alert| alert.firings).sum::<u64>(), fired as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_order_of_arrival_fires_what_the_sorted_order_fires(happenings in happenings()) {
        let rules = rules();
        let mut sorted: Vec<usize> = (0..happenings.len()).collect();
        sorted.sort_by_key(|n| (happenings[*n].time, *n));
        let mut arrival: Vec<usize> = (0..happenings.len()).collect();
        // None comes later than lateness and `within` after one that happened later.
        arrival.sort_by_key(|n| happenings[*n].time + happenings[*n].delay);
        let (expected, found) = (run(&rules, &happenings, &sorted), run(&rules, &happenings, &arrival));
        prop_assert_eq!(&found.firings, &expected.firings);
        every_attack_is_alerted(&expected);
        every_attack_is_alerted(&found);
    }
}

#[test]
fn every_detector_that_decides_on_arrival_is_among_the_rules() {
    let rules = rules();
    let used: BTreeSet<&str> =
        rules.iter().filter_map(|r| r.detector.as_ref()).map(|d| d.spec().table).collect();
    let arrival = DETECTORS.iter().filter(|spec| spec.decides == Decides::OnArrival);
    assert_eq!(used, arrival.map(|spec| spec.table).collect());
    assert!(rules.iter().all(|rule| rule.decides() == Decides::OnArrival));
}

#[test]
fn the_rules_do_fire() {
    let at = |n: usize| Happening {
        time: 1_000_000 + 1_000 * i64::try_from(n).unwrap(),
        delay: 0,
        key: 0,
        action: n % 3,
        address: n % 4,
    };
    let all: Vec<Happening> = (0..EVENTS).map(at).collect();
    let order: Vec<usize> = (0..all.len()).collect();
    let ran = run(&rules(), &all, &order);
    let fired: BTreeSet<&str> = ran.firings.iter().map(|(rule, ..)| rule.as_str()).collect();
    assert_eq!(fired, RULES.iter().map(|(id, _)| *id).collect());
}

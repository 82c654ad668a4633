//! §3 and §5: windows, lateness, keys and the life of alerts, with events in and alerts out.

use std::collections::BTreeMap;
use std::sync::Arc;

use hark::alert::{Alert, AlertStatus, Findings, Note, Pipeline};
use hark::base::diagnostic::SourceText;
use hark::base::{Position, Timestamp};
use hark::event::{FieldName, Layout};
use hark::mapping::{Mappings, Options, Tables};
use hark::query::Sets;
use hark::rule::{self, Context};
use serde_json::{Value, json};

/// An event of `user.name` at a second, with more fields.
pub(super) type Happening = (f64, Value);

fn user(second: f64, name: &str) -> Happening {
    (second, json!({"user.name": name}))
}

/// Runs one rule over the events in this order; all that it tells, the final resolves last. The rule is
/// about every event, unless its settings begin with `when`.
pub(super) fn run(settings: &str, events: &[Happening]) -> (Vec<Alert>, Vec<String>) {
    let (out, unkeyed) = findings(settings, events);
    let late = out.notes.iter().filter(|note| matches!(note, Note::Late { .. })).count();
    (out.alerts, vec![format!("{late} late"), format!("{unkeyed} unkeyed")])
}

/// All that is found, firings too, and how many events had no key.
pub(super) fn findings(settings: &str, events: &[Happening]) -> (Findings, usize) {
    let sets = Sets::default();
    let when = if settings.starts_with("when") { "" } else { "when = '@timestamp: *'\n" };
    let text = format!("title = 'T'\nseverity = 'low'\n{when}{settings}\n");
    let (rule, found) = rule::parse(&SourceText::new("r.toml", text), "r", &Context::new(&sets));
    let rule = Arc::new(rule.unwrap_or_else(|| panic!("{found:?}")));
    let mut layout = Layout::new();
    let mut pipeline = Pipeline::compile(&[rule], &mut layout, &sets, 3).unwrap();
    let (mappings, _) = Mappings::load(&[], &Tables::new(), &layout, &sets, Options::default());
    let mut out = Findings { firings: Some(Vec::new()), ..Findings::default() };
    let mut unkeyed = 0;
    for (n, (second, fields)) in (0..).zip(events) {
        let fields: BTreeMap<_, _> = fields
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (FieldName::parse(name).unwrap(), value.clone()))
            .collect();
        #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
        let time = Timestamp::from_millis((second * 1_000.0).round() as i64);
        let event = mappings.of_fields(&fields, Position::new("t", 0, n), time).unwrap();
        pipeline.event(&event, &mut out);
        unkeyed += pipeline.unkeyed().len();
    }
    pipeline.finish(&mut out);
    (out, unkeyed)
}

/// Each alert at its end: `opened..resolved key count/firings`, in order of opening, then key.
pub(super) fn ends(settings: &str, events: &[Happening]) -> Vec<String> {
    let (alerts, _) = run(settings, events);
    let mut over: Vec<_> = alerts.iter().filter(|a| a.status == AlertStatus::Resolved).collect();
    over.sort_by_key(|a| (a.opened_at, format!("{:?}", a.key)));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let second = |time: Timestamp| time.as_millis() as f64 / 1_000.0;
    over.iter()
        .map(|a| {
            let key: Vec<String> = a.key.values().map(ToString::to_string).collect();
            let (opened, resolved) = (second(a.opened_at), second(a.resolved_at.unwrap()));
            format!("{opened}..{resolved} {} {}/{}", key.join(","), a.count, a.firings)
        })
        .collect()
}

const THREE: &str = "group_by = ['user.name']\nthreshold = { count = 3, within = '10s' }";

#[test]
fn both_ends_of_a_window_are_included_to_the_millisecond() {
    let at = |last| ends(THREE, &[user(0.0, "a"), user(5.0, "a"), user(last, "a")]);
    assert_eq!(at(10.0), ["10..20 \"a\" 3/1"]);
    assert_eq!(at(10.001), Vec::<String>::new());
}

#[test]
fn firings_are_those_of_the_sorted_events_and_none_is_taken_back() {
    let sorted = [0.0, 1.0, 2.0, 9.0, 10.0, 11.0, 11.0, 21.0].map(|second| user(second, "a"));
    let expected = ends(THREE, &sorted);
    assert_eq!(expected, ["2..31 \"a\" 8/6"]);
    // In another order other events may open the alert, but the same ones fire.
    for order in [[7, 0, 1, 2, 3, 4, 5, 6], [0, 2, 4, 6, 1, 3, 5, 7], [6, 5, 4, 3, 2, 1, 0, 7]] {
        let settings = format!("lateness = '1h'\n{THREE}");
        let shuffled: Vec<_> = order.iter().filter_map(|n| sorted.get(*n).cloned()).collect();
        let told = ends(&settings, &shuffled);
        let firings: u64 =
            told.iter().map(|end| end.rsplit_once('/').unwrap().1.parse::<u64>().unwrap()).sum();
        assert_eq!(firings, 6, "{told:?}");
    }
}

#[test]
fn a_late_event_completes_later_windows_now_and_once() {
    let told = ends(THREE, &[user(0.0, "a"), user(8.0, "a"), user(9.0, "a"), user(4.0, "a")]);
    // 9 had fired; with 4 its window holds four, but it does not fire again; 8 fires now.
    assert_eq!(told, ["9..19 \"a\" 4/2"]);
}

#[test]
fn an_event_counts_while_its_time_is_no_older_than_the_clock_less_within() {
    // The stream stands at 100, the rule's clock (default lateness: 10 s) at 90, less 10 s is 80.
    let late = |second| {
        let events = [user(100.0, "z"), user(second, "a"), user(second, "a"), user(second, "a")];
        (ends(THREE, &events), run(THREE, &events).1)
    };
    let (told, notes) = late(80.0);
    assert_eq!((told.len(), &*notes.concat()), (1, "0 late0 unkeyed"));
    let (told, notes) = late(79.999);
    assert_eq!((told.len(), &*notes.concat()), (0, "3 late0 unkeyed"));
    // Without a detector nothing is late.
    let (_, notes) = run("group_by = ['user.name']", &[user(1e9, "a"), user(0.0, "a")]);
    assert_eq!(notes.concat(), "0 late0 unkeyed");
}

#[test]
fn an_event_without_a_group_by_field_takes_no_part_and_is_counted() {
    let pair = "group_by = ['user.name', 'user.roles']\nthreshold = { count = 1, within = '1s' }";
    let missing = [
        json!({}),
        json!({"user.name": null}),
        json!({"user.name": []}),
        json!({"user.name": ""}),
        json!({"user.name": ["", null]}),
    ];
    for mut fields in missing {
        fields["user.roles"] = "r".into();
        let (alerts, notes) = run(pair, &[(0.0, fields)]);
        assert_eq!((alerts.len(), &*notes.concat()), (0, "0 late1 unkeyed"));
    }
}

#[test]
fn an_array_gives_one_signal_per_distinct_element_and_several_every_combination() {
    let pair = "group_by = ['user.name', 'user.roles']\nthreshold = { count = 1, within = '1s' }";
    let fields = json!({"user.name": ["Eve", "eve", [null, "bob"]], "user.roles": [3, "3", 3.0, "R", "r", ""]});
    assert_eq!(
        ends(pair, &[(0.0, fields)]),
        [
            "0..1 \"Eve\",3 1/1",
            "0..1 \"Eve\",\"R\" 1/1",
            "0..1 \"Eve\",\"r\" 1/1",
            "0..1 \"bob\",3 1/1",
            "0..1 \"bob\",\"R\" 1/1",
            "0..1 \"bob\",\"r\" 1/1",
        ]
    );
}

#[test]
fn people_are_one_key_however_spelt_and_raw_stays_exact() {
    for (field, a, b, one) in [
        ("user.name", json!("EVE@x"), json!("eve@X"), true),
        ("user.target.email", json!("\u{212a}im"), json!("kim"), true),
        ("user.email", json!("straße"), json!("strasse"), false),
        ("user.id", json!("A"), json!("a"), false),
        ("raw.user.name", json!("Eve"), json!("eve"), false),
        ("raw.n", json!(3.0), json!("3"), true),
        ("raw.n", json!(3), json!("3.0"), false),
        ("raw.n", json!(true), json!("true"), true),
    ] {
        let settings =
            format!("group_by = ['{field}']\nthreshold = {{ count = 2, within = '10s' }}");
        let told = ends(&settings, &[(0.0, json!({field: a})), (1.0, json!({field: b}))]);
        assert_eq!(told.len(), usize::from(one), "{field} {a} {b}");
    }
}

#[test]
fn a_firing_keep_open_after_the_last_grows_and_a_later_one_opens_another() {
    let every = "group_by = ['user.name']\n[alert]\nkeep_open = '10s'\nmax_open = '25s'";
    assert_eq!(ends(every, &[user(0.0, "a"), user(10.0, "a")]), ["0..20 \"a\" 2/2"]);
    assert_eq!(
        ends(every, &[user(0.0, "a"), user(10.001, "a")]),
        ["0..10 \"a\" 1/1", "10.001..20.001 \"a\" 1/1"]
    );
    // At opened_at + max_open it is over, whatever comes; a firing at that very time still grows it.
    let at =
        |last| ends(every, &[user(0.0, "a"), user(8.0, "a"), user(16.0, "a"), user(last, "a")]);
    assert_eq!(at(25.0), ["0..25 \"a\" 4/4"]);
    assert_eq!(at(25.001), ["0..25 \"a\" 3/3", "25.001..35.001 \"a\" 1/1"]);
}

#[test]
fn a_firing_before_the_opening_grows_it_and_one_further_before_opens_another_already_over() {
    let every = "group_by = ['user.name']\nlateness = '1h'\n[alert]\nkeep_open = '10s'";
    assert_eq!(ends(every, &[user(50.0, "a"), user(40.0, "a")]), ["50..60 \"a\" 2/2"]);
    assert_eq!(
        ends(every, &[user(50.0, "a"), user(39.999, "a"), user(30.0, "a"), user(45.0, "a")]),
        // Both count 45, which only the last opened one has as its firing.
        ["39.999..49.999 \"a\" 3/2", "50..60 \"a\" 2/2"]
    );
}

#[test]
fn the_count_is_of_every_matching_event_from_first_seen_until_it_resolves() {
    // 0 is in no window that fires; 12 to 14 fire, 24 does not but comes before the end.
    let events = [0.0, 12.0, 13.0, 14.0, 24.0, 24.001].map(|second| user(second, "a"));
    let (alerts, _) = run(THREE, &events);
    let last = alerts.last().unwrap();
    let millis = [last.first_seen, last.last_seen, last.opened_at].map(Timestamp::as_millis);
    assert_eq!((last.count, last.firings), (4, 1));
    assert_eq!(millis, [12_000, 24_000, 14_000]);
    assert_eq!((&last.value, &last.peak, last.approximate), (&json!(3), &json!(3), false));
}

#[test]
fn keep_open_is_the_detectors_within_or_five_minutes_and_max_open_a_day_or_within() {
    assert_eq!(ends("group_by = ['user.name']", &[user(0.0, "a")]), ["0..300 \"a\" 1/1"]);
    let days = "group_by = ['user.name']\nthreshold = { count = 1, within = '2d' }";
    let day = 86_400.0;
    let events = [0.0, 1.5 * day, 2.0 * day, 2.1 * day].map(|second| user(second, "a"));
    assert_eq!(ends(days, &events), ["0..172800 \"a\" 3/3", "181440..354240 \"a\" 3/1"]);
    let hours = "group_by = ['user.name']\nthreshold = { count = 1, within = '13h' }";
    let events = [0.0, 0.5 * day, day, 1.001 * day].map(|second| user(second, "a"));
    assert_eq!(ends(hours, &events), ["0..86400 \"a\" 3/3", "86486.4..133286.4 \"a\" 3/1"]);
}

#[test]
fn a_rule_with_neither_detector_nor_group_by_opens_one_alert_per_event_resolved_at_once() {
    let (alerts, _) = run("", &[user(5.0, "a"), user(5.0, "a"), user(1.0, "b")]);
    let told: Vec<_> =
        alerts.iter().map(|a| (a.opened_at.as_millis(), a.revision, a.count)).collect();
    assert_eq!(told, [(5_000, 1, 1), (5_000, 1, 1), (1_000, 1, 1)]);
    assert!(alerts.iter().all(|a| a.status == AlertStatus::Resolved && a.key.is_empty()));
}

#[test]
fn each_firings_severity_is_the_first_case_met_else_the_rules_and_the_alert_has_the_highest() {
    let cases = "group_by = ['user.name']\n[[alert.severity]]\nwhen = 'user.roles: guest'\nlevel = 'info'\n[[alert.severity]]\nwhen = 'user.roles: admin'\nlevel = 'critical'";
    let of = |roles: &[Value]| {
        let events: Vec<_> = (0..8)
            .map(f64::from)
            .zip(roles)
            .map(|(second, roles)| (second, json!({"user.name": "a", "user.roles": roles})))
            .collect();
        let (alerts, _) = run(cases, &events);
        alerts.last().unwrap().severity.name()
    };
    assert_eq!(of(&[json!("guest")]), "info");
    assert_eq!(of(&[json!("guest"), json!(null)]), "low");
    assert_eq!(of(&[json!("ADMIN"), json!("guest"), json!(null)]), "critical");
    assert_eq!(of(&[json!(["admin", "guest"])]), "info");
}

#[test]
fn an_exception_drops_an_event_before_it_is_counted_until_inclusive() {
    let settings = "group_by = ['user.name']\nthreshold = { count = 2, within = '10s' }\n[[exception]]\nwhen = 'user.roles: scanner'\nreason = 'x'\nuntil = 1970-01-01T00:00:05Z";
    let scan = |second| (second, json!({"user.name": "a", "user.roles": ["x", "Scanner"]}));
    assert_eq!(ends(settings, &[user(4.0, "a"), scan(5.0)]), Vec::<String>::new());
    assert_eq!(ends(settings, &[user(4.0, "a"), scan(5.001)]), ["5.001..15.001 \"a\" 2/1"]);
}

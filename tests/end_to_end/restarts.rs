//! Hark stops, dies and changes its rules while a window is half full.

use hark::app::Role;

use crate::command::Hark;
use crate::recount::{HOUR, Told, recount};
use crate::stage::{Stage, Wishes, now};
use crate::support::kafka;
use crate::traffic::{Act, Deed, Line, Product};

/// So many failed logins of somebody, a second apart, the first one `ago` seconds before now.
fn failures(who: &str, count: usize, ago: i64, first: usize) -> Vec<Line> {
    let begin = now() - ago * 1000;
    (0..count)
        .zip((begin..).step_by(1000))
        .filter_map(|(n, time)| {
            let (product, deed) = (Product::BlockSecOps, Deed::FailedLogin);
            Act { product, deed, who, address: "203.0.113.9", time, number: first + n }.line(who)
        })
        .collect()
}

/// All hours are business hours in these tests.
fn expected(lines: &[Line]) -> Vec<Told> {
    recount(lines, &(now() - 24 * HOUR..now() + HOUR), now())
}

const MATCHES: &str = r#"hark_matches_total{rule="common/failed-logins"}"#;

#[test]
fn a_window_outlives_a_restart() {
    let stage = Stage::new(kafka(), &Wishes::default());
    let mut lines = failures("victim", 4, 120, 0);
    stage.produce(&lines);
    let running = stage.start();
    running.metric_is(MATCHES, 4);
    stage.all_forwarded();
    running.stop();
    assert!(stage.alerts().is_empty());

    let more = failures("victim", 1, 60, 10);
    stage.produce(&more);
    lines.extend(more);
    let running = stage.start();
    let alerts = stage.alerts_are(&expected(&lines));
    assert_eq!(alerts.values().map(|alert| &alert["count"]).collect::<Vec<_>>(), [5]);
    stage.all_told(&alerts, false);
    running.stop();

    // Another time, with the alert open: it grows, and nobody is told again.
    let more = failures("victim", 3, 30, 20);
    stage.produce(&more);
    lines.extend(more);
    let running = stage.start();
    let grown = stage.alerts_are(&expected(&lines));
    assert!(grown.keys().eq(alerts.keys()), "{grown:#?}");
    stage.all_forwarded();
    running.stop();
    stage.nothing_twice();
    stage.no_dead_letters();
}

#[test]
fn a_process_killed_at_any_moment_leaves_the_same_alerts() {
    // The group waits so long for a member that says nothing any more.
    let more = "[kafka.properties]\n\"session.timeout.ms\" = \"6000\"\n".to_owned();
    let stage = Stage::new(kafka(), &Wishes { more, ..Wishes::default() });
    let mut lines = failures("victim", 4, 240, 0);
    stage.produce(&lines);
    let hark = Hark::run(&stage, &[]);
    stage.metric_is(hark.admin, MATCHES, 4);
    hark.kill();

    let more = failures("victim", 1, 200, 10);
    stage.produce(&more);
    lines.extend(more);
    let hark = Hark::run(&stage, &[]);
    let alerts = stage.alerts_are(&expected(&lines));
    hark.kill();

    let more = failures("victim", 3, 180, 20);
    stage.produce(&more);
    lines.extend(more);
    let hark = Hark::run(&stage, &[]);
    let grown = stage.alerts_are(&expected(&lines));
    assert!(grown.keys().eq(alerts.keys()), "{grown:#?}");
    stage.all_told(&grown, false);
    stage.all_forwarded();
    stage.no_dead_letters();
    hark.stop();
}

fn rule(title: &str, count: u32) -> Vec<(&'static str, String)> {
    let text = format!(
        r#"
title = "Failed logins"
severity = "high"
when = 'event.category: authentication and event.outcome: failure'
group_by = ["user.name"]
threshold = {{ count = {count}, within = "10m" }}
alert = {{ keep_open = "1h", title = "{title} {{{{ user.name }}}}" }}
"#
    );
    vec![("failed.toml", text)]
}

/// Key, count and title of every alert, in order.
fn shown(stage: &Stage) -> Vec<String> {
    let show = |alert: &serde_json::Value| {
        let (key, title) = (&alert["key"]["user.name"], alert["title"].as_str().unwrap());
        format!("{} {} {title}", key.as_str().unwrap(), alert["count"])
    };
    let mut shown: Vec<_> = stage.alerts().values().map(show).collect();
    shown.sort();
    shown
}

#[test]
fn signals_of_a_rule_that_was_edited_are_judged_by_the_rule_that_made_them() {
    let rules = Some(rule("first words about", 5));
    let topics = vec![Product::BlockSecOps.topic()];
    let stage = Stage::new(kafka(), &Wishes { topics, rules, ..Wishes::default() });
    // What the first version sees stays in the log of signals: nobody else runs yet.
    stage.produce(&failures("renamed", 4, 300, 0));
    stage.produce(&failures("lowered", 4, 300, 10));
    stage.produce(&failures("old", 5, 300, 20));
    let matching = stage.start_roles("matching", &[Role::Match]);
    let matches = r#"hark_matches_total{rule="failed"}"#;
    matching.metric_is(matches, 13);
    matching.stop();

    // Other words: the same windows.
    stage.write_rules(&rule("second words about", 5));
    stage.produce(&failures("renamed", 1, 200, 30));
    let running = stage.start();
    running.metric_is(matches, 1);
    running.metric_is(r#"hark_alerts_total{rule="failed",status="opened"}"#, 2);
    let old = "old@blocksecops.example 5 first words about old@blocksecops.example";
    let renamed = "renamed@blocksecops.example 5 second words about renamed@blocksecops.example";
    assert_eq!(shown(&stage), [old, renamed]);
    running.stop();

    // Another threshold: windows of its own; the four that the former counted are no three of these.
    stage.write_rules(&rule("third words about", 3));
    stage.produce(&failures("lowered", 2, 100, 40));
    let running = stage.start();
    running.metric_is(matches, 2);
    stage.produce(&failures("lowered", 1, 50, 50));
    running.metric_is(r#"hark_alerts_total{rule="failed",status="opened"}"#, 1);
    let lowered = "lowered@blocksecops.example 3 third words about lowered@blocksecops.example";
    assert_eq!(shown(&stage), [lowered, old, renamed]);
    stage.all_told(&stage.alerts(), false);
    running.stop();
    stage.nothing_twice();
    stage.no_dead_letters();
}

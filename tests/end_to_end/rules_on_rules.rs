//! A rule that builds on the alerts of another: they come back through Kafka as events, once each,
//! also over a restart.

use crate::stage::{SOON, Stage, Wishes, now};
use crate::support::{eventually, kafka};
use crate::traffic::{Act, Deed, Line, Product};

const BLOCK: &str = "title = 'Failed logins of one user'
severity = 'low'
status = 'building_block'
when = 'event.category: authentication and event.outcome: failure'
group_by = ['user.name']
threshold = { count = 3, within = '10m' }
";

const WAVE: &str = "title = 'Failed logins of many users'
severity = 'high'
when = 'rule.id: test/failures'
threshold = { count = 2, within = '1h' }
alert = { title = '{{ alert.count }} users, the last one {{ user.name }}' }
";

fn failures(who: &'static str, start: i64) -> Vec<Line> {
    let line = |number: usize| {
        let (product, deed) = (Product::OpsKnight, Deed::FailedLogin);
        let time = start + 1000 * i64::try_from(number).unwrap();
        Act { product, deed, who, address: "203.0.113.9", time, number }.line(who).unwrap()
    };
    (0..3).map(line).collect()
}

#[test]
fn alerts_of_one_rule_are_events_to_another_also_after_a_restart() {
    let rules = vec![("test/failures.toml", BLOCK.to_owned()), ("test/wave.toml", WAVE.to_owned())];
    let topics = vec!["audit.opsknight"];
    let stage = Stage::new(kafka(), &Wishes { topics, rules: Some(rules), ..Wishes::default() });
    let opened = |rule: &str| {
        let alerts = stage.alerts();
        alerts.into_values().filter(|alert| alert["rule"]["id"] == rule).collect::<Vec<_>>()
    };
    let start = now() - 60_000;
    let running = stage.start();
    stage.produce(&failures("eve", start));
    eventually(SOON, || match opened("test/failures").len() {
        1 => Ok(()),
        other => Err(format!("{other} alerts of the first user")),
    });
    running.stop();

    let running = stage.start();
    stage.produce(&failures("bob", start + 10_000));
    eventually(SOON, || match opened("test/wave").as_slice() {
        [wave] => {
            assert_eq!(wave["count"], 2, "{wave}");
            assert!(
                wave["title"].as_str().unwrap().starts_with("2 users, the last one bob"),
                "{wave}"
            );
            Ok(())
        }
        other => Err(format!("{} alerts on alerts", other.len())),
    });
    assert_eq!(opened("test/failures").len(), 2);
    eventually(SOON, || match stage.mails().len() {
        0 => Err("nobody was told".to_owned()),
        _ => Ok(()),
    });
    running.stop();
    let told = stage.mails();
    assert_eq!(told.len(), 1, "building blocks tell nobody: {told:?}");
    stage.no_dead_letters();
}

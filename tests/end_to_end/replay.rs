//! `hark replay --kafka` beside the daemon, on the same topics: both find the same.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::products::attacks;
use crate::recount::{HOUR, MINUTE, recount};
use crate::stage::{Stage, Wishes, hours, now};
use crate::support::program::command;
use crate::support::{java, kafka};
use crate::traffic::PRODUCTS;

/// What `hark replay` of a stage's topics writes: standard output as JSON lines.
fn replay(stage: &Stage, arguments: &[&str]) -> Vec<Value> {
    let mut hark = command();
    hark.args(["replay", "--format", "json", "--config"]).arg(stage.configuration());
    hark.args(arguments).envs(Stage::environment());
    let output = hark.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An alert as far as both must agree on it. How often it was told, and which of its events and
/// values are still there to be shown when it is over, depends on when time ticks: a daemon that
/// catches up may have read the key's next attack by then. One that is open was told when it opened.
fn essence(alert: &Value, over: bool) -> Value {
    let mut alert = alert.clone();
    let fields = alert.as_object_mut().unwrap();
    if over {
        fields.retain(|field, _| !["revision", "samples", "summary"].contains(&field.as_str()));
    } else {
        fields.retain(|field, _| ["id", "rule", "key", "opened_at"].contains(&field.as_str()));
    }
    alert
}

#[test]
fn a_replay_of_the_topics_finds_the_alerts_that_the_daemon_found() {
    let begin = now();
    let business = (begin - 20 * HOUR) / MINUTE * MINUTE..(begin - 18 * HOUR) / MINUTE * MINUTE;
    let stage =
        Stage::new(kafka(), &Wishes { business_hours: hours(&business), ..Wishes::default() });
    let (mut lines, mut number) = (Vec::new(), 0);
    for product in PRODUCTS {
        lines.extend(attacks(product, "early", begin - 10 * HOUR, &mut number));
        lines.extend(attacks(product, "late", begin - 20 * MINUTE, &mut number));
    }
    lines.sort_by_key(|line| line.time);
    stage.produce(&lines);
    let running = stage.start();
    let live = stage.alerts_are(&recount(&lines, &business, begin));
    running.stop();

    // All sources of the configuration, which are these topics and no others.
    let replayed = replay(&stage, &["--kafka", "--from", "-1h"]);
    let by_id: BTreeMap<String, Value> = replayed
        .iter()
        .map(|alert| (alert["id"].as_str().unwrap().to_owned(), alert.clone()))
        .collect();
    assert_eq!(by_id.len(), replayed.len(), "each alert is written once");
    let ids = |alerts: &BTreeMap<String, Value>| alerts.keys().cloned().collect::<Vec<_>>();
    assert_eq!(ids(&by_id), ids(&live));
    let over = |alert: &Value| alert["status"] == "resolved";
    assert!(live.values().filter(|alert| over(alert)).count() >= live.len() / 2);
    for (id, live) in &live {
        let over = over(live);
        assert_eq!(essence(&by_id[id], over), essence(live, over));
    }

    // Firings name records by their number in the replay, each of its own.
    let firings = replay(&stage, &["--kafka", "--firings"]);
    assert!(firings.len() > live.len());
    for firing in &firings {
        let index = firing["firing"]["index"].as_u64().unwrap();
        assert!(index < lines.len() as u64, "{firing}");
    }
    // Half of it, and none of it.
    let topic = stage.topic("audit.ops0");
    let of_ops0 = replay(&stage, &["--kafka", &topic]);
    let expected =
        live.values().filter(|alert| alert["samples"][0]["fields"]["event.dataset"] == "ops0");
    assert_eq!(of_ops0.len(), expected.count());
    assert!(!of_ops0.is_empty());
    assert_eq!(replay(&stage, &["--kafka", "--to", "-1h"]), [] as [Value; 0]);

    // Nobody would know that anybody read.
    let groups = java::tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        &["--bootstrap-server", &stage.bootstrap, "--list"],
    );
    assert!(!groups.contains("hark-reader"), "{groups}");
    let missing = command()
        .args(["replay", "--kafka", "audit.nothing", "--config"])
        .arg(stage.configuration())
        .envs(Stage::environment())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&missing.stderr);
    assert!(errors.contains("topic `audit.nothing` does not exist"), "{errors}");
    assert_eq!(missing.status.code(), Some(1));
}

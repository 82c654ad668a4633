//! Many events of all products, most of them there before Hark starts, the rest while it runs: it
//! ends with exactly the alerts that a recount of the raw records finds, all of them told once to
//! people and machines, and every event once in both sinks.

use std::time::Duration;

use crate::crowd::{Crowd, Hours};
use crate::recount::recount;
use crate::stage::{Stage, Wishes, hours, now};
use crate::support::{eventually, kafka};

/// How many events.
const EVENTS: usize = 200_000;
/// How long all of it may take.
const MINUTES: Duration = Duration::from_mins(6);

#[test]
fn two_hundred_thousand_events_end_with_exactly_the_alerts_of_a_recount() {
    let day = Hours::until(now());
    let business_hours = hours(&day.business);
    let wishes = Wishes { business_hours, mail_resolved: true, ..Wishes::default() };
    let stage = Stage::new(kafka(), &wishes);
    let mut crowd = Crowd::new(7);
    crowd.attacks(12, &day);
    crowd.work(EVENTS * 9 / 10, &day, &day.past);
    let mut lines = crowd.take();
    stage.produce(&lines);

    let running = stage.start();
    // While it reads what was there: what happens just now.
    let live = crowd.live(EVENTS - lines.len(), 4, &day);
    for part in live.chunks(EVENTS / 50) {
        stage.produce(part);
    }
    lines.extend(live);
    assert_eq!(lines.len(), EVENTS);

    let expected = recount(&lines, &day.business, day.now);
    assert!(expected.len() > 300, "only {} alerts", expected.len());
    eventually(MINUTES, || {
        let (splunk, datadog) = (stage.splunk.count(), stage.datadog.count());
        if splunk.min(datadog) >= EVENTS { Ok(()) } else { Err(format!("{splunk} {datadog}")) }
    });
    let alerts = stage.alerts_are(&expected);
    stage.all_told(&alerts, true);
    stage.all_forwarded();
    running.stop();
    stage.nothing_twice();
    stage.no_dead_letters();
}

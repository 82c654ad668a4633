//! A second instance joins while events flow, and the first one leaves: windows do not split.

use crate::crowd::{Crowd, Hours};
use crate::recount::recount;
use crate::stage::{SOON, Stage, Wishes, hours, now};
use crate::support::{eventually, kafka};

#[test]
fn instances_that_come_and_go_change_no_alert_and_lose_nothing() {
    let day = Hours::until(now());
    let wishes = Wishes { business_hours: hours(&day.business), ..Wishes::default() };
    let stage = Stage::new(kafka(), &wishes);
    let mut crowd = Crowd::new(13);
    crowd.attacks(6, &day);
    crowd.work(15_000, &day, &day.past);
    let mut lines = crowd.take();
    stage.produce(&lines);
    let live = crowd.live(6_000, 3, &day);
    let mut live_parts = live.chunks(2_000);

    let first = stage.start_as("first");
    eventually(SOON, || match stage.splunk.count() {
        1000.. => Ok(()),
        few => Err(format!("{few} events before the second instance was to join")),
    });
    let second = stage.start_as("second");
    stage.produce(live_parts.next().unwrap());
    for part in ["match", "correlate", "notify"] {
        eventually(SOON, || match second.part(part) {
            (true, reason) if reason != "ready: 0 partitions" => Ok(()),
            other => Err(format!("{part} of the second instance: {other:?}")),
        });
    }
    stage.produce(live_parts.next().unwrap());
    first.stop();
    stage.produce(live_parts.next().unwrap());
    lines.extend(live);

    let alerts = stage.alerts_are(&recount(&lines, &day.business, day.now));
    stage.all_told(&alerts, false);
    stage.all_forwarded();
    second.is_ready();
    second.stop();
    stage.no_dead_letters();
    // Both left in good order: what was taken over had been finished.
    stage.nothing_twice();
}

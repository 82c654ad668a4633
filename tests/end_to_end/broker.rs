//! The only broker is killed while records are on their way, and comes back: nothing is lost.

use crate::crowd::{Crowd, Hours};
use crate::recount::recount;
use crate::stage::{SOON, Stage, Wishes, hours, now};
use crate::support::broker::Broker;
use crate::support::eventually;

/// Groups go on without a member, and records are given up, sooner than usual: a short test has an
/// outage that is long.
const IMPATIENT: &str = r#"
[kafka.properties]
"session.timeout.ms" = "6000"
"message.timeout.ms" = "5000"
"#;

#[test]
fn a_broker_killed_in_the_middle_loses_nothing_and_splits_no_alert() {
    let mut broker = Broker::start();
    let day = Hours::until(now());
    let business_hours = hours(&day.business);
    let more = IMPATIENT.to_owned();
    let wishes = Wishes { business_hours, more, ..Wishes::default() };
    let stage = Stage::new(&broker.bootstrap(), &wishes);
    let mut crowd = Crowd::new(11);
    crowd.attacks(6, &day);
    crowd.work(15_000, &day, &day.past);
    let mut lines = crowd.take();
    stage.produce(&lines);

    let running = stage.start();
    eventually(SOON, || match (stage.splunk.count(), stage.webhooks().len()) {
        (1000.., 5..) => Ok(()),
        few => Err(format!("{few:?} before the broker was to be killed")),
    });
    broker.kill();
    for part in ["match", "correlate", "notify"] {
        eventually(SOON, || match running.part(part) {
            (false, reason) if reason.starts_with("retrying") => Ok(()),
            other => Err(format!("{part}: {other:?}")),
        });
    }
    assert_eq!(running.get("/readyz").0, 503);
    broker.restart();
    let live = crowd.live(5_000, 3, &day);
    let (before, after) = live.split_at(2_000);
    stage.produce(before);
    // Once more, as soon as anything moves, and so briefly that nobody may notice.
    let had = stage.splunk.count();
    eventually(SOON, || if stage.splunk.count() > had { Ok(()) } else { Err("nothing moves") });
    broker.kill();
    broker.restart();
    stage.produce(after);
    lines.extend(live);

    let alerts = stage.alerts_are(&recount(&lines, &day.business, day.now));
    stage.all_told(&alerts, false);
    running.is_ready();
    stage.all_forwarded();
    stage.no_dead_letters();
    running.stop();
}

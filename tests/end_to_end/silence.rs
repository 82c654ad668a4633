//! A product that is expected to report goes silent, and comes back: one alert, told once and ended
//! once, though Hark stops and starts again in between. No event makes such an alert; the clock does,
//! which MATCH writes into the log while nothing comes.

use crate::stage::{SOON, Stage, Wishes, now};
use crate::support::{eventually, kafka};
use crate::traffic::{Act, Deed, Line, Product};

/// In milliseconds; the alert comes another `IDLE_GRACE` of the idle sources later.
const WITHIN: i64 = 2_000;

const SILENT: &str = "title = 'A product is silent'
severity = 'high'
when = 'event.dataset: opsknight'
group_by = ['event.dataset']
lateness = '0s'
absence = { within = '2s', expect = ['opsknight'] }
alert = { keep_open = '1s', title = 'Nothing from {{ event.dataset }}' }
";

/// An event every half second, from `start` on.
fn reports(start: i64, count: i64, first: usize) -> Vec<Line> {
    let line = |n: i64| {
        let (product, deed) = (Product::OpsKnight, Deed::Routine);
        let (time, number) = (start + 500 * n, first + usize::try_from(n).unwrap());
        Act { product, deed, who: "ann", address: "192.0.2.7", time, number }.line("ann").unwrap()
    };
    (0..count).map(line).collect()
}

#[test]
fn a_silence_is_one_alert_until_the_next_event_whatever_restarts() {
    let rules = Some(vec![("silent.toml", SILENT.to_owned())]);
    let topics = vec!["audit.opsknight"];
    let stage =
        Stage::new(kafka(), &Wishes { topics, rules, mail_resolved: true, ..Wishes::default() });
    let only = |status: &str| {
        eventually(SOON, || match stage.alerts().into_values().collect::<Vec<_>>().as_slice() {
            [alert] if alert["status"] == status => Ok(alert.clone()),
            other => Err(format!("expected one alert, {status}, found {other:#?}")),
        })
    };
    let millis = |time: &serde_json::Value| {
        hark::base::Timestamp::parse(time.as_str().unwrap()).unwrap().as_millis()
    };

    // It has reported all along, and stops.
    let before = reports(now() - 20_000, 43, 0);
    let last = before.last().unwrap().time;
    stage.produce(&before);
    let running = stage.start();
    let open = only("open");
    assert_eq!(open["key"]["event.dataset"], "opsknight");
    assert_eq!(open["title"], "Nothing from opsknight");
    assert_eq!(open["count"], 0);
    assert!(millis(&open["opened_at"]) >= last + WITHIN, "{last}: {open:#}");
    running.stop();

    // Still silent over a restart. Then it reports again, for longer than anybody looks here.
    let running = stage.start();
    running.is_ready();
    let back = reports(now(), 60, 100);
    stage.produce(&back);
    let over = only("resolved");
    assert_eq!((&over["id"], &over["opened_at"]), (&open["id"], &open["opened_at"]));
    assert_eq!(millis(&over["resolved_at"]), back[0].time, "{over:#}");
    let id = over["id"].as_str().unwrap();
    let told = [format!("opened {id}"), format!("resolved {id}")];
    eventually(SOON, || match (stage.mails(), stage.webhooks()) {
        (mails, webhooks) if mails == told && webhooks == told => Ok(()),
        other => Err(other),
    });
    running.stop();
    assert_eq!((stage.mails(), stage.webhooks()), (told.to_vec(), told.to_vec()));
    stage.no_dead_letters();
}

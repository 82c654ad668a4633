//! The only broker goes away: readiness says so for every part, and an order to stop is kept.

use std::time::Duration;

use hark::base::clock;

use crate::stage::{SOON, Stage, Wishes};
use crate::support::broker::Broker;
use crate::support::eventually;

#[test]
fn a_daemon_whose_broker_is_gone_says_so_and_stops_in_time() {
    let mut broker = Broker::start();
    let stage = Stage::new(&broker.bootstrap(), &Wishes::default());
    let running = stage.start();
    running.is_ready();
    broker.kill();
    // Idle parts too: nobody has to send anything for it to be noticed.
    eventually(SOON, || {
        let ready = running.daemon.status().into_iter().filter(|part| part.ready);
        let names: Vec<String> = ready.map(|part| part.name).collect();
        if names.is_empty() { Ok(()) } else { Err(names) }
    });
    assert_eq!(running.get("/healthz").0, 200);
    let begun = clock::instant();
    running.stop();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

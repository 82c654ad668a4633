//! A sink that is down, ill, or refuses us: it falls behind and catches up, and nobody else notices.

use crate::recount::{HOUR, recount};
use crate::stage::{SOON, Stage, Wishes, has_all, now, once};
use crate::support::broker::free_port;
use crate::support::hec::Hec;
use crate::support::{eventually, java, kafka};
use crate::traffic::{Act, Deed, Line, Product};

const GROUP: &str = "deliver.sink.siem";

/// Five failed logins of a user, and some that nobody is to hear of.
fn attack(who: &str, first: usize) -> Vec<Line> {
    let begin = now() - 60_000;
    let deeds = [Deed::FailedLogin; 5].into_iter().chain([Deed::Routine; 20]);
    deeds
        .zip(0..)
        .filter_map(|(deed, n)| {
            let (product, address) = (Product::OpsKnight, "203.0.113.9");
            let (time, number) = (begin + n, first + usize::try_from(n).unwrap());
            Act { product, deed, who, address, time, number }.line(who)
        })
        .collect()
}

/// All hours are business hours in these tests.
fn expected(lines: &[Line]) -> Vec<crate::recount::Told> {
    recount(lines, &(now() - 24 * HOUR..now() + HOUR), now())
}

#[test]
fn a_splunk_that_is_down_falls_behind_and_catches_up_while_all_others_go_on() {
    let address = format!("127.0.0.1:{}", free_port());
    let splunk_url = Some(format!("http://{address}"));
    let stage = Stage::new(kafka(), &Wishes { splunk_url, ..Wishes::default() });
    let running = stage.start();
    let lines = attack("first", 0);
    stage.produce(&lines);

    // Nobody listens there.
    let alerts = stage.alerts_are(&expected(&lines));
    stage.all_told(&alerts, false);
    stage.all_in_datadog(&stage.forwarded());
    let reason = eventually(SOON, || match running.part(GROUP) {
        (true, reason) if reason.starts_with("behind, will retry") => Ok(reason),
        other => Err(format!("{other:?}")),
    });
    assert!(reason.contains("Connection refused"), "{reason}");
    running.is_ready();

    // It comes up, but is not itself yet.
    let splunk = Hec::start_at(address.parse().unwrap());
    splunk.answer_with(Some(503));
    let mut lines = lines;
    let more = attack("second", 100);
    stage.produce(&more);
    lines.extend(more);
    let alerts = stage.alerts_are(&expected(&lines));
    stage.all_told(&alerts, false);
    stage.all_in_datadog(&stage.forwarded());
    eventually(SOON, || match splunk.server.count() {
        0..3 => Err(format!("{} requests, {:?}", splunk.server.count(), running.part(GROUP))),
        _ => Ok(()),
    });
    assert_eq!(splunk.count(), 0);

    splunk.answer_with(None);
    has_all("Splunk", || splunk.ids(), &stage.forwarded());
    eventually(SOON, || match running.part(GROUP) {
        (true, reason) if reason.starts_with("ready") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    running.stop();
    once("Splunk", &splunk.ids());
    stage.nothing_twice();
    stage.no_dead_letters();
}

#[test]
fn a_splunk_that_refuses_the_token_is_never_acknowledged_and_told_as_blocked() {
    let stage = Stage::new(kafka(), &Wishes::default());
    let running = stage.start();
    let mut lines = attack("before", 0);
    stage.produce(&lines);
    stage.alerts_are(&expected(&lines));
    stage.all_forwarded();
    let before = committed(&stage, lines.len());

    for status in [401, 403] {
        stage.splunk.answer_with(Some(status));
        let more = attack(&format!("refused{status}"), lines.len() * 10);
        stage.produce(&more);
        lines.extend(more);
        let alerts = stage.alerts_are(&expected(&lines));
        stage.all_told(&alerts, false);
        stage.all_in_datadog(&stage.forwarded());
        let wanted = format!("refused, mend its settings: {status}");
        eventually(SOON, || match running.part(GROUP) {
            (false, reason)
                if reason.contains("refused, mend its settings")
                    && reason.contains(&status.to_string()) =>
            {
                Ok(())
            }
            other => Err(format!("expected `{wanted}`, found {other:?}")),
        });
        assert_eq!(running.get("/readyz").0, 503);
        assert_eq!(running.get("/healthz"), (200, "ok\n".to_owned()));
    }
    let (_, metrics) = running.get("/metrics");
    let blocked = r#"hark_destination_state{destination="sinks.siem",state="blocked"} 1"#;
    assert!(metrics.contains(blocked), "{metrics}");
    let read = group_offsets(&stage);
    assert_eq!(read.iter().map(|(_, offset)| offset).sum::<i64>(), before);

    // The token is accepted again; nobody has to restart anything.
    stage.splunk.answer_with(None);
    stage.all_forwarded();
    running.is_ready();
    committed(&stage, lines.len());
    running.stop();
    stage.nothing_twice();
    stage.no_dead_letters();
}

/// Waits until the sink's group has committed all audit records; the sum of its offsets.
#[track_caller]
fn committed(stage: &Stage, records: usize) -> i64 {
    let records = i64::try_from(records).unwrap();
    eventually(SOON, || {
        let offsets = group_offsets(stage);
        let sum = offsets.iter().map(|(_, offset)| offset).sum();
        if sum == records { Ok(sum) } else { Err(format!("{sum} of {records}: {offsets:?}")) }
    })
}

/// Where Kafka's own tool says that the sink's group stands in the audit topics.
fn group_offsets(stage: &Stage) -> Vec<(String, i64)> {
    let text = java::tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        &["--bootstrap-server", &stage.bootstrap, "--describe", "--group", &stage.topic(GROUP)],
    );
    let of_audit = text.lines().filter(|line| line.contains(".audit."));
    let place = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // A partition of which nothing was read yet shows `-`.
        (format!("{} {}", words[1], words[2]), words[3].parse().unwrap_or(0))
    };
    of_audit.map(place).collect()
}

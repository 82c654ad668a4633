//! The main job: attacks in all five products, each found by every rule that its records can meet;
//! each alert told once to everybody; every record in both sinks.

use std::collections::BTreeSet;

use crate::recount::{HOUR, MINUTE, Told, recount};
use crate::stage::{Stage, Wishes, hours, now};
use crate::support::kafka;
use crate::traffic::{Act, Deed, Line, PRODUCTS, Product};

/// One attack of every kind, beginning at `begin`, by people called after `wave`.
pub(crate) fn attacks(product: Product, wave: &str, begin: i64, numbers: &mut usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |deed, who: &str, host: usize, seconds: i64| {
        *numbers += 1;
        let address = format!("203.0.113.{host}");
        let who = format!("{wave}-{who}");
        let time = begin + seconds * 1000;
        let act = Act { product, deed, who: &who, address: &address, time, number: *numbers };
        lines.extend(act.line(&format!("{wave} {host}")));
    };
    let host = 10 * (product as usize) + if wave == "early" { 100 } else { 0 };
    // Eight tries on one account, the last two refused by products that do so; then two more.
    for n in 0..10 {
        let deed = if n == 6 || n == 7 { Deed::BlockedLogin } else { Deed::FailedLogin };
        add(deed, "victim", host, 30 * n);
    }
    // Twelve accounts, once each, from one address.
    for n in 0..12 {
        add(Deed::FailedLogin, &format!("sprayed{n}"), host + 1, 20 * n);
    }
    add(Deed::Login, "owl", host + 2, 60);
    add(Deed::Login, "owl", host + 2, 600);
    add(Deed::ChangesRole, "promoter", host + 3, 0);
    add(Deed::ChangesRole, "promoter", host + 3, 1);
    for n in 0..17 {
        let deed = if n == 9 { Deed::DeletesService } else { Deed::DeletesSomething };
        add(deed, "leaver", host + 4, 10 * n);
    }
    add(Deed::RevokesAllSessions, "careful", host + 5, 5);
    // What nobody should be told of.
    for n in 0..4 {
        add(Deed::FailedLogin, "forgetful", host + 6, 100 * n);
        add(Deed::Routine, "worker", host + 7, 50 * n);
    }
    lines
}

#[test]
fn every_attack_on_every_product_is_told_once_and_everything_is_forwarded() {
    let begin = now();
    // Business hours lie between the two waves: the owls of both are out late.
    let business = (begin - 6 * HOUR) / MINUTE * MINUTE..(begin - 3 * HOUR) / MINUTE * MINUTE;
    let stage =
        Stage::new(kafka(), &Wishes { business_hours: hours(&business), ..Wishes::default() });
    let (mut lines, mut number) = (Vec::new(), 0);
    for product in PRODUCTS {
        lines.extend(attacks(product, "early", begin - 10 * HOUR, &mut number));
        lines.extend(attacks(product, "late", begin - 20 * MINUTE, &mut number));
        number += 1;
        let (who, address, time) = ("early-owl", "198.51.100.7", begin - 5 * HOUR);
        lines.extend(Act { product, deed: Deed::Login, who, address, time, number }.line("by day"));
    }
    lines.sort_by_key(|line| line.time);
    stage.produce(&lines);

    let running = stage.start();
    let expected = recount(&lines, &business, begin);
    assert_eq!(found(&expected), shipped());
    stage.alerts_are(&expected);
    running.is_ready();

    // While it runs: the sixth and last failure of somebody else is just now.
    let mut more = Vec::new();
    for n in 0..6 {
        number += 1;
        let (product, deed) = (Product::Ops0, Deed::FailedLogin);
        let (who, address, time) = ("live", "198.51.100.9", now() - 1000 * (6 - n));
        more.extend(Act { product, deed, who, address, time, number }.line("live"));
    }
    stage.produce(&more);
    lines.extend(more);
    let alerts = stage.alerts_are(&recount(&lines, &business, begin));
    stage.all_told(&alerts, false);
    stage.all_forwarded();
    running.stop();
    stage.nothing_twice();
    stage.no_dead_letters();
}

/// Which rule found something in which product; the product stands in the key or nowhere.
fn found(alerts: &[Told]) -> BTreeSet<(String, usize)> {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for alert in alerts {
        *counts.entry(alert.rule.clone()).or_default() += 1;
    }
    counts.into_iter().collect()
}

/// How many alerts each rule has: two waves in each of the products that have such records.
fn shipped() -> BTreeSet<(String, usize)> {
    [
        ("common/access-after-hours", 2 * 4),
        ("common/all-sessions-revoked", 2 * 2),
        ("common/failed-logins", 2 * 4),
        ("common/failed-logins-by-address", 2 * 4 + 2 * 2),
        ("common/login-blocked", 2 * 2),
        ("common/mass-deletion", 2 * 4),
        ("common/project-or-service-deleted", 2 * 5),
        ("common/role-change", 2 * 2 * 5),
        ("opssentinal/mass-deletion", 2),
    ]
    .map(|(rule, count)| (rule.to_owned(), count))
    .into()
}

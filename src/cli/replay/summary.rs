//! What each rule made of the records: a table for people, or one object for programs.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::table::{counted, grouped, lines};
use crate::replay::{Counts, Summary};

/// A rule that matched nothing is listed all the same when it took this share of the time, in
/// per cent: it is one to look at.
const COSTLY_PERCENT: u64 = 20;

/// The summary in words.
pub(super) fn table(summary: &Summary) -> String {
    let all: Duration = summary.rules.values().map(|counts| counts.cost).sum();
    let shares = |cost| (per_record(cost, summary.records), percent(cost, all));
    let (mut rows, mut quiet, mut quiet_cost) = (Vec::new(), 0, Duration::ZERO);
    for (rule, counts) in &summary.rules {
        let (cost, share) = shares(counts.cost);
        let silent = counts.matched == 0 && counts.fired == 0;
        if silent && percent(counts.cost, all) < COSTLY_PERCENT {
            quiet += 1;
            quiet_cost += counts.cost;
            continue;
        }
        let Counts { matched, unkeyed, late, fired, alerts, .. } = *counts;
        let numbers = [matched, unkeyed, late, fired, alerts].map(grouped);
        let mut row: Vec<String> = vec![rule.to_string()];
        row.extend(numbers);
        row.extend([cost, format!("{share} %")]);
        rows.push(row);
    }
    // Writing to a String cannot fail.
    let mut text = String::new();
    if !rows.is_empty() {
        let headings = ["RULE", "MATCHED", "NO KEY", "LATE", "FIRED", "ALERTS", "COST", "SHARE"];
        text.push_str(&lines(&headings, &[1, 2, 3, 4, 5, 6, 7], &rows));
    }
    if quiet > 0 {
        let (rules, (cost, share)) = (counted(quiet, "rule"), shares(quiet_cost));
        let _infallible = writeln!(text, "{rules} matched nothing, cost {cost}, {share} %");
    }
    for (rule, crowded) in crowded(summary) {
        let crowded = grouped(crowded);
        let _infallible = writeln!(
            text,
            "{rule} has more keys than it may remember: {crowded} times one was forgotten, or left out"
        );
    }
    let times = summary.times.map(|(first, last)| format!(", {first} to {last}"));
    let (records, alerts) =
        (counted(summary.records, "record"), counted(summary.alerts(), "alert"));
    let afterwards = match summary.afterwards() {
        0 => String::new(),
        n => format!(", {} by silence after the last record", grouped(n)),
    };
    let times = times.unwrap_or_default();
    let _infallible = writeln!(text, "{records}{times}, {alerts}{afterwards}");
    for (reason, (count, index, detail)) in &summary.unusable {
        let (records, reason) = (counted(*count, "record"), reason.code());
        let _infallible =
            writeln!(text, "{records} not used: {reason}, first number {index}: {detail}");
    }
    text
}

/// The summary as one line: `{"summary": {…}}`; costs are nanoseconds for each record.
pub(super) fn json(summary: &Summary) -> String {
    let rule = |(id, counts): (&Arc<str>, &Counts)| {
        let Counts { matched, unkeyed, fired, alerts, late, crowded, afterwards, cost } = *counts;
        let cost_ns = nanos_per_record(cost, summary.records);
        let told = json!({
            "matched": matched, "unkeyed": unkeyed, "late": late, "crowded": crowded,
            "fired": fired, "alerts": alerts, "alerts_afterwards": afterwards, "cost_ns": cost_ns,
        });
        (id.to_string(), told)
    };
    let rules: serde_json::Map<String, Value> = summary.rules.iter().map(rule).collect();
    let unused = summary.unusable.iter().map(|(reason, (count, index, detail))| {
        json!({"reason": reason.code(), "count": count, "first": index, "detail": detail})
    });
    let summary = json!({
        "records": summary.records,
        "late": summary.late,
        "first": summary.times.map(|(first, _)| first),
        "last": summary.times.map(|(_, last)| last),
        "alerts": summary.alerts(),
        "alerts_afterwards": summary.afterwards(),
        "unused": unused.collect::<Vec<_>>(),
        "rules": rules,
    });
    format!("{}\n", json!({ "summary": summary }))
}

fn crowded(summary: &Summary) -> impl Iterator<Item = (&Arc<str>, u64)> {
    let crowded = |(rule, counts): (_, &Counts)| (rule, counts.crowded);
    summary.rules.iter().map(crowded).filter(|(_, crowded)| *crowded > 0)
}

fn nanos_per_record(cost: Duration, records: u64) -> u64 {
    u64::try_from(cost.as_nanos() / u128::from(records.max(1))).unwrap_or(u64::MAX)
}

fn per_record(cost: Duration, records: u64) -> String {
    match nanos_per_record(cost, records) {
        nanos @ 0..10_000 => format!("{} ns", grouped(nanos)),
        nanos @ 10_000..10_000_000 => format!("{} µs", grouped(nanos / 1_000)),
        nanos => format!("{} ms", grouped(nanos / 1_000_000)),
    }
}

fn percent(cost: Duration, all: Duration) -> u64 {
    let all = all.as_nanos().max(1);
    u64::try_from((cost.as_nanos() * 100 + all / 2) / all).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::mapping::Reason;

    fn summary() -> Summary {
        let nanos = Duration::from_nanos;
        let counts = |matched, cost| Counts { matched, cost: nanos(cost), ..Counts::default() };
        let time = Timestamp::parse("2026-01-05").unwrap();
        let busy = Counts { crowded: 3, fired: 2, alerts: 1, ..counts(1_500, 2_000_000) };
        Summary {
            records: 2_000,
            late: 0,
            unusable: [(Reason::BadTime, (2, 7, "no `@timestamp`".to_owned()))].into(),
            times: Some((time, time)),
            rules: [
                ("a/busy".into(), busy),
                ("b/slow".into(), counts(0, 60_000_000)),
                ("c/quiet".into(), counts(0, 1_000_000)),
                ("d/quiet".into(), counts(0, 500_000)),
            ]
            .into(),
        }
    }

    #[test]
    fn rules_that_did_nothing_are_one_line_but_those_that_cost_are_shown() {
        expect_test::expect![[r"
            RULE    MATCHED  NO KEY  LATE  FIRED  ALERTS      COST  SHARE
            a/busy    1,500       0     0      2       1  1,000 ns    3 %
            b/slow        0       0     0      0       0     30 µs   94 %
            2 rules matched nothing, cost 750 ns, 2 %
            a/busy has more keys than it may remember: 3 times one was forgotten, or left out
            2,000 records, 2026-01-05T00:00:00Z to 2026-01-05T00:00:00Z, 1 alert
            2 records not used: bad_time, first number 7: no `@timestamp`
        "]]
        .assert_eq(&table(&summary()));
    }

    #[test]
    fn programs_get_the_same_numbers_for_every_rule() {
        let told: Value = serde_json::from_str(&json(&summary())).unwrap();
        let told = &told["summary"];
        assert_eq!((&told["records"], &told["alerts"]), (&json!(2_000), &json!(1)));
        assert_eq!(told["first"], json!("2026-01-05T00:00:00Z"));
        assert_eq!(told["unused"][0]["reason"], json!("bad_time"));
        assert_eq!(told["rules"].as_object().unwrap().len(), 4);
        assert_eq!(told["rules"]["a/busy"]["cost_ns"], json!(1_000));
    }
}

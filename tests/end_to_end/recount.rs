//! What the shipped rules must find, counted by brute force from the raw records: no mapping, no
//! query, no window of Hark's has a part in it. It knows the few kinds of records that
//! [`crate::traffic`] writes, each by its product's own names, and refuses to guess at others.
//!
//! Records of one key are in one partition, so they arrive in order; between keys no order matters.

use std::collections::BTreeMap;
use std::ops::Range;

use hark::base::Timestamp;
use serde_json::{Value, json};

use crate::traffic::{Line, PRODUCTS};

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;

/// The last that is told of an alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    pub(crate) rule: String,
    pub(crate) key: String,
    pub(crate) opened_at: i64,
    pub(crate) resolved_at: Option<i64>,
    pub(crate) count: u64,
    pub(crate) severity: String,
}

impl Told {
    /// The same of a record of the `alerts` topic.
    pub(crate) fn of(alert: &Value) -> Self {
        let time = |value: &Value| value.as_str().map(millis);
        let over = alert["status"] == "resolved";
        assert_eq!(over, alert["resolved_at"].is_string(), "{alert}");
        Self {
            rule: alert["rule"]["id"].as_str().unwrap().to_owned(),
            key: alert["key"].to_string(),
            opened_at: time(&alert["opened_at"]).unwrap(),
            resolved_at: time(&alert["resolved_at"]),
            count: alert["count"].as_u64().unwrap(),
            severity: alert["severity"].as_str().unwrap().to_owned(),
        }
    }
}

/// What a record says, by its product's documentation.
#[derive(Debug)]
struct Fact {
    product: &'static str,
    time: i64,
    what: What,
    user: Option<String>,
    user_id: Option<String>,
    address: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Login,
    Failure,
    Blocked,
    RoleChange,
    ServiceDeleted,
    OtherDeleted,
    AllSessionsRevoked,
    Nothing,
}

/// A rule, as its file says it in words.
pub(crate) struct Rule {
    pub(crate) id: &'static str,
    pub(crate) severity: &'static str,
    /// `count` and `within`.
    pub(crate) threshold: Option<(usize, i64)>,
    /// `None`: one alert for each event.
    pub(crate) keep_open: Option<i64>,
    /// The severity from some count on.
    pub(crate) rises: Option<(u64, &'static str)>,
}

/// The key of an event that counts for a rule.
type Key = fn(&Fact, &Range<i64>) -> Option<Value>;

const SHIPPED: [(Rule, Key); 9] = [
    (
        Rule {
            id: "common/failed-logins",
            severity: "high",
            threshold: Some((5, 10 * MINUTE)),
            keep_open: Some(HOUR),
            rises: Some((50, "critical")),
        },
        |fact, _| {
            let failed = matches!(fact.what, What::Failure | What::Blocked);
            failed.then(|| json!({ "user.name": fact.user.as_ref().unwrap() }))
        },
    ),
    (
        Rule {
            id: "common/failed-logins-by-address",
            severity: "high",
            threshold: Some((10, 10 * MINUTE)),
            keep_open: Some(HOUR),
            rises: None,
        },
        |fact, _| {
            let failed = matches!(fact.what, What::Failure | What::Blocked);
            failed.then(|| json!({ "source.ip": fact.address.as_ref().unwrap() }))
        },
    ),
    (
        Rule {
            id: "common/access-after-hours",
            severity: "low",
            threshold: None,
            keep_open: Some(8 * HOUR),
            rises: None,
        },
        |fact, business| {
            let after_hours = fact.what == What::Login && !business.contains(&fact.time);
            after_hours.then(|| json!({ "user.name": fact.user.as_ref().unwrap() }))
        },
    ),
    (
        Rule {
            id: "common/login-blocked",
            severity: "medium",
            threshold: None,
            keep_open: Some(HOUR),
            rises: None,
        },
        |fact, _| {
            let blocked = fact.what == What::Blocked;
            blocked.then(|| json!({ "user.name": fact.user.as_ref().unwrap() }))
        },
    ),
    (
        Rule {
            id: "common/mass-deletion",
            severity: "critical",
            threshold: Some((10, 10 * MINUTE)),
            keep_open: Some(HOUR),
            rises: None,
        },
        |fact, _| {
            let deleted = matches!(fact.what, What::ServiceDeleted | What::OtherDeleted)
                && fact.product != "opssentinal";
            deleted.then(|| {
                json!({ "event.dataset": fact.product, "user.id": fact.user_id.as_ref().unwrap() })
            })
        },
    ),
    (
        Rule {
            id: "opssentinal/mass-deletion",
            severity: "high",
            threshold: Some((15, 10 * MINUTE)),
            keep_open: Some(HOUR),
            rises: None,
        },
        |fact, _| {
            let deleted = matches!(fact.what, What::ServiceDeleted | What::OtherDeleted)
                && fact.product == "opssentinal";
            deleted.then(|| json!({ "event.dataset": "opssentinal" }))
        },
    ),
    (
        Rule {
            id: "common/role-change",
            severity: "medium",
            threshold: None,
            keep_open: None,
            rises: None,
        },
        |fact, _| (fact.what == What::RoleChange).then(|| json!({})),
    ),
    (
        Rule {
            id: "common/project-or-service-deleted",
            severity: "high",
            threshold: None,
            keep_open: None,
            rises: None,
        },
        |fact, _| (fact.what == What::ServiceDeleted).then(|| json!({})),
    ),
    (
        Rule {
            id: "common/all-sessions-revoked",
            severity: "medium",
            threshold: None,
            keep_open: None,
            rises: None,
        },
        |fact, _| (fact.what == What::AllSessionsRevoked).then(|| json!({})),
    ),
];

/// Every alert of the shipped pack, as it was told last when the stream's clock stood at `now`;
/// `business` are the business hours.
pub(crate) fn recount(lines: &[Line], business: &Range<i64>, now: i64) -> Vec<Told> {
    let facts: Vec<Fact> = lines.iter().map(read).collect();
    let mut alerts = Vec::new();
    for (rule, key_of) in &SHIPPED {
        let mut keys: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for fact in &facts {
            if let Some(key) = key_of(fact, business) {
                keys.entry(key.to_string()).or_default().push(fact.time);
            }
        }
        for (key, times) in keys {
            alerts.extend(rule.alerts(&key, &times, now));
        }
    }
    alerts.extend(logins_after_failures(&facts, now));
    alerts.sort();
    alerts
}

/// `common/login-after-failures`: five failures of a user within ten minutes, and a login no more than
/// half an hour after the last of them.
fn logins_after_failures(facts: &[Fact], now: i64) -> Vec<Told> {
    let rule = Rule {
        id: "common/login-after-failures",
        severity: "high",
        threshold: None,
        keep_open: Some(HOUR),
        rises: None,
    };
    let mut users: BTreeMap<String, Vec<(i64, What)>> = BTreeMap::new();
    let wanted = |fact: &&Fact| matches!(fact.what, What::Login | What::Failure | What::Blocked);
    for fact in facts.iter().filter(wanted) {
        let key = json!({ "user.name": fact.user.as_ref().unwrap() });
        users.entry(key.to_string()).or_default().push((fact.time, fact.what));
    }
    let mut alerts = Vec::new();
    for (key, events) in users {
        let times: Vec<i64> = events.iter().map(|(time, _)| *time).collect();
        alerts.extend(rule.alerts_of(&key, &times, now, |at| {
            let (time, what) = events[at];
            let before = events[..at].iter().filter(|(_, what)| *what != What::Login);
            let failures: Vec<i64> = before.map(|(time, _)| *time).collect();
            let meets =
                |five: &&[i64]| five[4] - five[0] <= 10 * MINUTE && time - five[4] <= 30 * MINUTE;
            let latest = failures.windows(5).rfind(meets).map(|five| five[0]);
            latest.filter(|_| what == What::Login)
        }));
    }
    alerts
}

/// One alert of one key on its way through the events.
struct Life {
    opened_at: i64,
    first_seen: i64,
    last_firing: i64,
    severity: &'static str,
    told: Option<(u64, &'static str)>,
}

impl Rule {
    /// The alerts of one key, whose events came at these times, in order.
    pub(crate) fn alerts(&self, key: &str, times: &[i64], now: i64) -> Vec<Told> {
        self.alerts_of(key, times, now, |index| {
            let time = times[index];
            match self.threshold {
                None => Some(time),
                Some((count, within)) => {
                    let so_far = times[..=index].iter();
                    let window = so_far.filter(|earlier| time - **earlier <= within);
                    (window.clone().count() >= count).then(|| *window.min().unwrap())
                }
            }
        })
    }

    /// The same, where `first` says when the window began of an event that fires.
    fn alerts_of(
        &self,
        key: &str,
        times: &[i64],
        now: i64,
        first: impl Fn(usize) -> Option<i64>,
    ) -> Vec<Told> {
        let told = |opened_at, resolved_at, count, severity: &str| Told {
            rule: self.id.to_owned(),
            key: key.to_owned(),
            opened_at,
            resolved_at,
            count,
            severity: severity.to_owned(),
        };
        let Some(keep_open) = self.keep_open else {
            return times.iter().map(|time| told(*time, Some(*time), 1, self.severity)).collect();
        };
        assert!(times.is_sorted(), "{key}: the traffic of one key is in order");
        let mut lives: Vec<Life> = Vec::new();
        for (index, time) in times.iter().enumerate() {
            let so_far = &times[..=index];
            let first = first(index);
            let fits = |life: &&mut Life| *time <= life.last_firing + keep_open;
            if let Some(first) = first {
                if let Some(life) = lives.last_mut().filter(fits) {
                    life.last_firing = *time;
                } else {
                    lives.push(Life {
                        opened_at: *time,
                        first_seen: first,
                        last_firing: *time,
                        severity: self.severity,
                        told: None,
                    });
                }
            }
            let Some(life) = lives.last_mut() else { continue };
            let count = life.count(so_far, keep_open);
            if let Some((from, severity)) = self.rises
                && first.is_some()
                && count >= from
            {
                life.severity = severity;
            }
            // Told when it opens, rises, or its count reaches a power of two.
            if life.told.is_none_or(|(known, severity)| {
                severity != life.severity || count.ilog2() > known.ilog2()
            }) {
                life.told = Some((count, life.severity));
            }
        }
        let last_told = |life: Life| {
            let end = life.last_firing + keep_open;
            assert!(end < life.opened_at + 24 * HOUR, "the oracle knows nothing of max_open");
            assert!(
                end < now - MINUTE || end > now + 10 * MINUTE,
                "{key}: whether this alert is over when the test looks is a matter of luck"
            );
            if end < now {
                told(life.opened_at, Some(end), life.count(times, keep_open), life.severity)
            } else {
                told(life.opened_at, None, life.told.unwrap().0, life.severity)
            }
        };
        lives.into_iter().map(last_told).collect()
    }
}

impl Life {
    fn count(&self, times: &[i64], keep_open: i64) -> u64 {
        let end = self.last_firing + keep_open;
        times.iter().filter(|time| (self.first_seen..=end).contains(*time)).count() as u64
    }
}

fn read(line: &Line) -> Fact {
    let record: Value = serde_json::from_str(&line.payload).unwrap();
    let product = PRODUCTS.iter().find(|product| product.topic() == line.topic).unwrap().name();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (time, action) = match product {
        "opsknight" | "opssentinal" => (&record["createdAt"], text(&record["action"]).unwrap()),
        "blocksecops" => (&record["timestamp"], text(&record["event"]).unwrap()),
        "squadcast" => {
            let both = format!(
                "{} {}",
                text(&record["resource"]).unwrap(),
                text(&record["action"]).unwrap()
            );
            (&record["timestamp"], both)
        }
        _ => (&record["timestamp"], text(&record["action"]).unwrap()),
    };
    let what = match action.as_str() {
        "LOGIN_SUCCESS" | "auth.login" => What::Login,
        "user.login" if record["status"] == "Success" => What::Login,
        "LOGIN_FAILED" | "login.failure" | "user.login" | "user.login_failed" | "auth.failed" => {
            What::Failure
        }
        "LOGIN_BLOCKED" => What::Blocked,
        "user.role.updated" | "user.role_changed" | "User Role updated" | "member.role_changed" => {
            What::RoleChange
        }
        "service.deleted" | "project.deleted" | "Service deleted" => What::ServiceDeleted,
        "team.deleted" | "policy.deleted" | "Runbook deleted" | "contract.deleted" => {
            What::OtherDeleted
        }
        "session.revoked_all" => What::AllSessionsRevoked,
        "service.updated" | "deployment.completed" | "Schedule updated" | "contract.scanned" => {
            What::Nothing
        }
        other => panic!("the oracle does not know `{other}` of {product}"),
    };
    let details = match &record["details"] {
        Value::String(written) => serde_json::from_str(written).unwrap(),
        other => other.clone(),
    };
    let (user, user_id, address) = match product {
        "opsknight" | "opssentinal" => (&record["entityId"], &record["actorId"], &details["ip"]),
        "ops0" => (&record["user"]["email"], &record["user"]["id"], &record["ip_address"]),
        "squadcast" => (&record["actor"]["userEmail"], &record["actor"]["userID"], &Value::Null),
        // The actor is named by an address of mail, and by nothing else.
        _ => (&record["actor"], &record["actor"], &record["ip_address"]),
    };
    let time = time.as_i64().unwrap_or_else(|| millis(time.as_str().unwrap()));
    assert_eq!(time, line.time);
    let (user, user_id, address) = (text(user), text(user_id), text(address));
    Fact { product, time, what, user, user_id, address }
}

/// The id that a record of these products has of its own.
pub(crate) fn event_id(record: &Value) -> Option<String> {
    match record.get("id").or(record.get("eventID"))? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

pub(crate) fn millis(text: &str) -> i64 {
    Timestamp::parse(text).unwrap().as_millis()
}

/// Whether both are the same; an `Err` shows the first differences.
pub(crate) fn compare(told: &[Told], expected: &[Told]) -> Result<(), String> {
    let mut count: BTreeMap<&Told, i64> = BTreeMap::new();
    for alert in expected {
        *count.entry(alert).or_default() += 1;
    }
    for alert in told {
        *count.entry(alert).or_default() -= 1;
    }
    let some = |wanted: fn(i64) -> bool| {
        let found: Vec<_> =
            count.iter().filter(|(_, n)| wanted(**n)).map(|(alert, _)| alert).collect();
        (found.len(), format!("{:#?}", found.iter().take(4).collect::<Vec<_>>()))
    };
    match (some(|n| n > 0), some(|n| n < 0)) {
        ((0, _), (0, _)) => Ok(()),
        ((missing, first), (strange, odd)) => Err(format!(
            "{} alerts, expected {}\n{missing} missing, first {first}\n{strange} not expected, first {odd}",
            told.len(),
            expected.len(),
        )),
    }
}

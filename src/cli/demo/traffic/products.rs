//! How each of the five products writes down that something happened.
//!
//! The shapes are those that the products' own code writes, which is not always what their
//! documentation says: `OpsKnight` leaves the actor of a failed login empty and names the user in
//! `entityId`; `OpsSentinal` names the first user of its table as actor of almost everything;
//! Squadcast knows neither address nor outcome. Here `OpsSentinal` arrives as a database connector
//! hands rows over: `details` as a JSON string, times as epoch milliseconds.

use serde_json::{Value, json};

use super::people::{Chance, Person};
use crate::base::Timestamp;

/// The five products whose mappings ship with Hark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli::demo) enum Product {
    OpsKnight,
    OpsSentinal,
    Ops0,
    Squadcast,
    BlockSecOps,
}

impl Product {
    /// All five, in the order in which they are shown.
    pub(in crate::cli::demo) const ALL: [Self; 5] =
        [Self::OpsKnight, Self::OpsSentinal, Self::Ops0, Self::Squadcast, Self::BlockSecOps];

    /// As its makers write it.
    pub(in crate::cli::demo) const fn title(self) -> &'static str {
        match self {
            Self::OpsKnight => "OpsKnight",
            Self::OpsSentinal => "OpsSentinal",
            Self::Ops0 => "ops0",
            Self::Squadcast => "Squadcast",
            Self::BlockSecOps => "BlockSecOps",
        }
    }

    /// The topic that it writes its audit trail to.
    pub(in crate::cli::demo) const fn topic(self) -> &'static str {
        match self {
            Self::OpsKnight => "audit.opsknight",
            Self::OpsSentinal => "audit.opssentinal",
            Self::Ops0 => "audit.ops0",
            Self::Squadcast => "audit.squadcast",
            Self::BlockSecOps => "audit.blocksecops",
        }
    }
}

/// What happened to what; the person and the time come beside it.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    /// The event's name as the product writes it; for Squadcast `resource.action`.
    pub(super) action: &'static str,
    /// The kind of thing it was done to (`entityType`, `resource_type`).
    pub(super) kind: &'static str,
    /// The thing's id.
    pub(super) id: String,
    /// More, where the product says more.
    pub(super) details: Value,
    /// Whether it went well.
    pub(super) ok: bool,
}

impl Deed {
    pub(super) fn new(action: &'static str, kind: &'static str, id: String) -> Self {
        Self { action, kind, id, details: json!({}), ok: true }
    }

    pub(super) fn with(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    pub(super) fn failed(mut self) -> Self {
        self.ok = false;
        self
    }
}

/// The record that `product` writes when `who` did `deed` from `ip` at `at`.
pub(super) fn record(
    product: Product,
    who: &Person,
    deed: &Deed,
    ip: &str,
    at: Timestamp,
    chance: &mut Chance,
) -> Value {
    match product {
        Product::OpsKnight => json!({
            "id": format!("c{}", chance.id(24)),
            "action": deed.action,
            "entityType": deed.kind,
            "entityId": deed.id,
            "actorId": who.id,
            "details": deed.details,
            "targetEmail": null,
            "ip": null,
            "createdAt": at.to_string(),
        }),
        Product::OpsSentinal => json!({
            "id": format!("c{}", chance.id(24)),
            "action": deed.action,
            "entityType": deed.kind,
            "entityId": deed.id,
            "actorId": if deed.action == "session.revoked_all" { &who.id } else { FIRST_USER },
            "details": deed.details.to_string(),
            "targetEmail": null,
            "ip": null,
            "createdAt": at.as_millis(),
        }),
        Product::Ops0 => json!({
            "id": format!("log_{}", chance.id(16)),
            "timestamp": at.to_string(),
            "action": deed.action,
            "status": if deed.ok { "Success" } else { "Failed" },
            "user": { "id": who.id, "email": who.email },
            "resource": { "type": deed.kind, "id": deed.id },
            "ip_address": ip,
            "user_agent": who.agent,
            "changes": deed.details,
            "request": { "id": format!("req_{}", chance.id(12)) },
        }),
        Product::Squadcast => {
            let (resource, action) = deed.action.rsplit_once('.').unwrap_or((deed.action, ""));
            json!({
                "id": chance.between(1_000_000, 2_000_000_000),
                "resource": resource,
                "action": action,
                "actor": {
                    "userID": who.id,
                    "userName": who.name,
                    "userEmail": who.email,
                    "fullName": who.full_name,
                },
                "client": if who.id.starts_with("svc_") { "api" } else { "web" },
                "timestamp": at.to_string(),
                "team": { "id": "5f8891527f735f0a6646f3b6", "name": "Platform", "isDeleted": false },
            })
        }
        Product::BlockSecOps => json!({
            "timestamp": at.to_string(),
            "actor": who.email,
            "event": deed.action,
            "target": deed.id,
            "details": deed.details,
            "ip_address": ip,
            "user_agent": who.agent,
        }),
    }
}

/// Whom `OpsSentinal` names as the actor of nearly everything: the first row of its table of users.
const FIRST_USER: &str = "cmfirstuser0000000000000";

/// What became of an attempt to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    Success,
    /// A wrong password, the n-th in a row.
    Failed(u64),
    /// The product itself has locked the door.
    Blocked,
}

/// The record of an attempt to log in as `who` from `ip`; `None` from Squadcast, which keeps none.
pub(super) fn login(
    product: Product,
    who: &Person,
    what: Login,
    ip: &str,
    at: Timestamp,
    chance: &mut Chance,
) -> Option<Value> {
    let row = match product {
        Product::OpsKnight | Product::OpsSentinal => {
            let mut details = json!({
                "ip": ip,
                "userAgent": who.agent,
                "success": what == Login::Success,
            });
            let (action, actor) = match what {
                Login::Success => ("LOGIN_SUCCESS", Some(&who.id)),
                Login::Failed(n) => {
                    set(&mut details, "failureReason", json!("INVALID_PASSWORD"));
                    set(&mut details, "attemptCount", json!(n));
                    ("LOGIN_FAILED", None)
                }
                Login::Blocked => {
                    set(&mut details, "failureReason", json!("RATE_LIMITED"));
                    set(&mut details, "lockoutDurationMs", json!(900_000));
                    ("LOGIN_BLOCKED", None)
                }
            };
            let deed = Deed::new(action, "USER", who.email.clone()).with(details);
            let mut row = record(product, who, &deed, ip, at, chance);
            set(&mut row, "actorId", json!(actor));
            row
        }
        Product::Ops0 => {
            let deed = Deed::new("user.login", "user", who.id.clone());
            let deed = match what {
                Login::Success => deed,
                Login::Failed(_) | Login::Blocked => {
                    Deed { action: "user.login_failed", ..deed }.failed()
                }
            };
            record(product, who, &deed, ip, at, chance)
        }
        Product::BlockSecOps => {
            let action = if what == Login::Success { "auth.login" } else { "auth.failed" };
            let details = match what {
                Login::Success => json!({ "method": "password" }),
                Login::Failed(_) | Login::Blocked => json!({ "reason": "invalid_credentials" }),
            };
            let deed = Deed::new(action, "user", who.email.clone()).with(details);
            record(product, who, &deed, ip, at, chance)
        }
        Product::Squadcast => return None,
    };
    Some(row)
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

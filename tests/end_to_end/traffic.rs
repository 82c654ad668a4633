//! Audit records of the five products, in the shapes that they really write, with times, people and
//! addresses of the test's choice.

use hark::base::Timestamp;
use serde_json::{Value, json};

/// A product with an audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Product {
    OpsKnight,
    OpsSentinal,
    Ops0,
    Squadcast,
    BlockSecOps,
}

pub(crate) const PRODUCTS: [Product; 5] = [
    Product::OpsKnight,
    Product::OpsSentinal,
    Product::Ops0,
    Product::Squadcast,
    Product::BlockSecOps,
];

/// What somebody does; not every product has a record of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Login,
    FailedLogin,
    BlockedLogin,
    ChangesRole,
    DeletesService,
    DeletesSomething,
    RevokesAllSessions,
    Routine,
}

/// A record for kcat.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Without the stage's prefix.
    pub(crate) topic: &'static str,
    /// Records of one key lie in one partition, in order.
    pub(crate) key: String,
    pub(crate) time: i64,
    pub(crate) payload: String,
}

/// One deed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act<'a> {
    pub(crate) product: Product,
    pub(crate) deed: Deed,
    /// The local part of an address; it is somebody else in every product.
    pub(crate) who: &'a str,
    pub(crate) address: &'a str,
    /// Unix milliseconds.
    pub(crate) time: i64,
    /// No other record has it.
    pub(crate) number: usize,
}

impl Product {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OpsKnight => "opsknight",
            Self::OpsSentinal => "opssentinal",
            Self::Ops0 => "ops0",
            Self::Squadcast => "squadcast",
            Self::BlockSecOps => "blocksecops",
        }
    }

    pub(crate) const fn topic(self) -> &'static str {
        match self {
            Self::OpsKnight => "audit.opsknight",
            Self::OpsSentinal => "audit.opssentinal",
            Self::Ops0 => "audit.ops0",
            Self::Squadcast => "audit.squadcast",
            Self::BlockSecOps => "audit.blocksecops",
        }
    }
}

impl Act<'_> {
    /// The record, in the partition of `key`; `None` if the product has none of the kind.
    pub(crate) fn line(&self, key: &str) -> Option<Line> {
        let record = match self.product {
            Product::OpsKnight | Product::OpsSentinal => self.row(),
            Product::Ops0 => self.ops0()?,
            Product::Squadcast => self.squadcast()?,
            Product::BlockSecOps => self.blocksecops()?,
        };
        let (topic, key, payload) = (self.product.topic(), key.to_owned(), record.to_string());
        Some(Line { topic, key, time: self.time, payload })
    }

    fn mail(&self) -> String {
        format!("{}@{}.example", self.who, self.product.name())
    }

    fn rfc3339(&self) -> String {
        Timestamp::from_millis(self.time).to_string()
    }

    /// A row of the audit table of `OpsKnight` or `OpsSentinal`; every third as a database connector
    /// delivers it.
    fn row(&self) -> Value {
        let knight = self.product == Product::OpsKnight;
        let (mail, n) = (self.mail(), self.number);
        let user = format!("cm-{}", self.who);
        let login = |action: &str, failure: Value| {
            let details =
                json!({ "ip": self.address, "userAgent": AGENT, "failureReason": failure });
            let actor = if failure.is_null() { json!(user) } else { Value::Null };
            (action.to_owned(), "USER", mail.clone(), actor, details)
        };
        let (action, entity, id, actor, details) = match self.deed {
            Deed::Login => login("LOGIN_SUCCESS", Value::Null),
            // OpsSentinal documents another name than it writes.
            Deed::FailedLogin if !knight && n % 2 == 0 => login("login.failure", "PASSWORD".into()),
            Deed::FailedLogin => login("LOGIN_FAILED", "INVALID_PASSWORD".into()),
            Deed::BlockedLogin => login("LOGIN_BLOCKED", "ACCOUNT_LOCKED".into()),
            Deed::ChangesRole => (
                "user.role.updated".to_owned(),
                "USER",
                format!("cm-other-{n}"),
                json!(user),
                json!({ "role": "ADMIN" }),
            ),
            Deed::DeletesService => (
                "service.deleted".to_owned(),
                "SERVICE",
                format!("svc-{n}"),
                json!(user),
                json!({ "serviceId": format!("svc-{n}") }),
            ),
            Deed::DeletesSomething => {
                ("team.deleted".to_owned(), "TEAM", format!("team-{n}"), json!(user), Value::Null)
            }
            Deed::RevokesAllSessions => (
                "session.revoked_all".to_owned(),
                "USER",
                user.clone(),
                json!(user),
                json!({ "reason": "lost device" }),
            ),
            Deed::Routine => (
                "service.updated".to_owned(),
                "SERVICE",
                format!("svc-{n}"),
                json!(user),
                json!({ "name": "billing" }),
            ),
        };
        let connector = n % 3 == 0;
        let details =
            if connector && details.is_object() { details.to_string().into() } else { details };
        let time: Value = if connector { self.time.into() } else { self.rfc3339().into() };
        json!({ "id": format!("{}-{n}", self.product.name()), "action": action, "entityType": entity,
                "entityId": id, "actorId": actor, "details": details, "targetEmail": null, "ip": null,
                "createdAt": time })
    }

    fn ops0(&self) -> Option<Value> {
        let (mail, n) = (self.mail(), self.number);
        let (action, kind, status) = match self.deed {
            Deed::Login => ("user.login", "user", "Success"),
            Deed::FailedLogin if n % 2 == 0 => ("user.login", "user", "Failed"),
            Deed::FailedLogin => ("user.login_failed", "user", "Failed"),
            Deed::ChangesRole => ("user.role_changed", "user", "Success"),
            Deed::DeletesService => ("project.deleted", "project", "Success"),
            Deed::DeletesSomething => ("policy.deleted", "policy", "Success"),
            Deed::Routine => ("deployment.completed", "deployment", "Success"),
            Deed::BlockedLogin | Deed::RevokesAllSessions => return None,
        };
        Some(json!({ "id": format!("evt_{n}"), "timestamp": self.rfc3339(),
                     "user": { "id": format!("usr-{}", self.who), "email": mail }, "action": action,
                     "resource": { "type": kind, "id": format!("{kind}-{n}"), "name": format!("{kind} {n}") },
                     "changes": null, "ip_address": self.address, "user_agent": AGENT, "status": status }))
    }

    fn squadcast(&self) -> Option<Value> {
        let (resource, action) = match self.deed {
            Deed::ChangesRole => ("User Role", "updated"),
            Deed::DeletesService => ("Service", "deleted"),
            Deed::DeletesSomething => ("Runbook", "deleted"),
            Deed::Routine => ("Schedule", "updated"),
            Deed::Login | Deed::FailedLogin | Deed::BlockedLogin | Deed::RevokesAllSessions => {
                return None;
            }
        };
        Some(json!({ "id": self.number, "resource": resource, "action": action,
                     "actor": { "userID": format!("sq-{}", self.who), "userName": self.who,
                                "userEmail": self.mail(), "fullName": "Somebody" },
                     "client": "web", "timestamp": self.rfc3339(),
                     "team": { "id": "611262fcd5b4ea846b534a8a", "name": "Default Team", "isDeleted": false } }))
    }

    fn blocksecops(&self) -> Option<Value> {
        let n = self.number;
        let (event, target, details) = match self.deed {
            Deed::Login => ("auth.login", Value::Null, json!({ "method": "password" })),
            Deed::FailedLogin => {
                ("auth.failed", Value::Null, json!({ "reason": "invalid_password" }))
            }
            Deed::ChangesRole => (
                "member.role_changed",
                json!(format!("m{n}@x.example")),
                json!({ "new_role": "admin" }),
            ),
            Deed::DeletesService => ("project.deleted", json!(format!("project-{n}")), json!({})),
            Deed::DeletesSomething => {
                ("contract.deleted", json!(format!("contract-{n}.sol")), json!({}))
            }
            Deed::Routine => {
                ("contract.scanned", json!(format!("contract-{n}.sol")), json!({ "findings": 3 }))
            }
            Deed::BlockedLogin | Deed::RevokesAllSessions => return None,
        };
        Some(json!({ "timestamp": self.rfc3339(), "actor": self.mail(), "event": event,
                     "target": target, "details": details, "ip_address": self.address, "user_agent": AGENT }))
    }
}

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

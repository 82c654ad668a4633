//! The attacks between the normal days: what each looks like in a product's audit trail.
//!
//! An attack is a list of records with their distance from its beginning, and one sentence that
//! tells the spectator what to look out for. What Hark makes of it is not decided here.

use std::time::Duration;

use serde_json::{Value, json};

use super::people::{Chance, People, Person};
use super::products::{self, Deed, Login, Product, record};
use crate::base::Timestamp;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attack {
    /// Passwords are tried against one user until the product blocks, or the guesser gives up.
    Guessing(Product),
    /// Somebody deletes everything in reach.
    MassDeletion(Product),
    /// Somebody is made an administrator.
    Escalation(Product),
    /// One whole project or service goes.
    ProjectDeleted(Product),
    /// All sessions of a user are ended at once.
    SessionsRevoked(Product),
    /// A login in the small hours, which the product's export hands over only now.
    NightLogin(Product),
}

/// The first minute: every product has trouble once, and every kind of trouble is seen.
pub(super) const OPENING: &[(u64, Attack)] = &[
    (2, Attack::Guessing(Product::OpsKnight)),
    (5, Attack::MassDeletion(Product::Squadcast)),
    (8, Attack::Guessing(Product::BlockSecOps)),
    (11, Attack::Escalation(Product::Ops0)),
    (14, Attack::SessionsRevoked(Product::OpsSentinal)),
    (18, Attack::NightLogin(Product::Ops0)),
    (22, Attack::ProjectDeleted(Product::BlockSecOps)),
    (27, Attack::Guessing(Product::OpsSentinal)),
    (33, Attack::MassDeletion(Product::OpsKnight)),
    (40, Attack::ProjectDeleted(Product::Squadcast)),
    (48, Attack::Guessing(Product::Ops0)),
];

/// What may happen after that, in no particular order.
pub(super) const LATER: &[Attack] = &[
    Attack::Guessing(Product::OpsKnight),
    Attack::Guessing(Product::OpsSentinal),
    Attack::Guessing(Product::Ops0),
    Attack::Guessing(Product::BlockSecOps),
    Attack::MassDeletion(Product::OpsKnight),
    Attack::MassDeletion(Product::Ops0),
    Attack::MassDeletion(Product::Squadcast),
    Attack::MassDeletion(Product::BlockSecOps),
    Attack::Escalation(Product::OpsKnight),
    Attack::Escalation(Product::OpsSentinal),
    Attack::Escalation(Product::Ops0),
    Attack::Escalation(Product::BlockSecOps),
    Attack::ProjectDeleted(Product::OpsSentinal),
    Attack::ProjectDeleted(Product::Ops0),
    Attack::ProjectDeleted(Product::Squadcast),
    Attack::SessionsRevoked(Product::OpsKnight),
    Attack::SessionsRevoked(Product::OpsSentinal),
    Attack::NightLogin(Product::OpsKnight),
    Attack::NightLogin(Product::BlockSecOps),
];

/// An attack as it unfolds.
pub(super) struct Script {
    pub(super) product: Product,
    /// For the spectator.
    pub(super) note: String,
    /// When each record is written, and the record.
    pub(super) acts: Vec<(Timestamp, Value)>,
}

impl Attack {
    /// Plays the attack from `start` on; `night` is a moment in the small hours of this day.
    pub(super) fn play(
        self,
        start: Timestamp,
        night: Timestamp,
        people: &mut People,
        chance: &mut Chance,
    ) -> Script {
        let who = people.next_in_turn();
        let stranger = format!("198.51.100.{}", chance.between(1, 254));
        match self {
            Self::Guessing(product) => guessing(product, &who, &stranger, start, chance),
            Self::MassDeletion(product) => mass_deletion(product, &who, start, chance),
            Self::Escalation(product) => {
                let friend = people.next_in_turn();
                let deed = escalation(product, &friend);
                let note = format!("{} makes {} an administrator", who.full_name, friend.full_name);
                single(product, &who, &deed, note, start, chance)
            }
            Self::ProjectDeleted(product) => {
                let deed = project_deleted(product, chance);
                let note =
                    format!("{} deletes a whole {}", who.full_name, deed.kind.to_lowercase());
                single(product, &who, &deed, note, start, chance)
            }
            Self::SessionsRevoked(product) => {
                let deed = Deed::new("session.revoked_all", "USER", who.id.clone())
                    .with(json!({ "reason": "user_request" }));
                let note = format!("all sessions of {} are ended at once", who.full_name);
                single(product, &who, &deed, note, start, chance)
            }
            Self::NightLogin(product) => {
                let written = night + Duration::from_secs(chance.below(3600));
                let row =
                    products::login(product, &who, Login::Success, &stranger, written, chance);
                let note = format!("a late export: {} had logged in at night", who.full_name);
                Script { product, note, acts: row.map(|row| (start, row)).into_iter().collect() }
            }
        }
    }
}

/// Both siblings lock the door by themselves after five failures from one address: what follows
/// is written down as blocked, and a sixth failure never comes. The others let the guesser go on.
fn guessing(
    product: Product,
    victim: &Person,
    stranger: &str,
    start: Timestamp,
    chance: &mut Chance,
) -> Script {
    let locks = matches!(product, Product::OpsKnight | Product::OpsSentinal);
    let tries = if locks { 7 } else { chance.between(6, 9) };
    let mut acts = Vec::new();
    let mut at = start;
    for n in 1..=tries {
        let what = if locks && n > 5 { Login::Blocked } else { Login::Failed(n) };
        let row = products::login(product, victim, what, stranger, at, chance);
        acts.extend(row.map(|row| (at, row)));
        at = at + Duration::from_millis(chance.between(300, 900));
    }
    let note = format!("somebody guesses the password of {}", victim.full_name);
    Script { product, note, acts }
}

fn mass_deletion(product: Product, who: &Person, start: Timestamp, chance: &mut Chance) -> Script {
    let mut acts = Vec::new();
    let mut at = start;
    for _ in 0..chance.between(12, 16) {
        let deed = match product {
            Product::OpsKnight | Product::OpsSentinal => {
                Deed::new("escalation_policy.deleted", "ESCALATION_POLICY", chance.id(25))
            }
            Product::Ops0 => Deed::new("project.file_deleted", "file", chance.id(12)),
            Product::Squadcast => Deed::new("escalation_policy.deleted", "", String::new()),
            Product::BlockSecOps => Deed::new("contract.deleted", "contract", chance.id(12)),
        };
        acts.push((at, record(product, who, &deed, &who.ip, at, chance)));
        at = at + Duration::from_millis(chance.between(150, 400));
    }
    let note = format!("{} deletes everything in reach", who.full_name);
    Script { product, note, acts }
}

fn escalation(product: Product, friend: &Person) -> Deed {
    match product {
        Product::OpsKnight | Product::OpsSentinal => {
            Deed::new("user.role.updated", "USER", friend.id.clone())
                .with(json!({ "role": "ADMIN" }))
        }
        Product::Ops0 => Deed::new("user.role_changed", "user", friend.id.clone())
            .with(json!({ "role": { "old": "viewer", "new": "admin" }, "email": friend.email })),
        Product::Squadcast => Deed::new("user.role_updated", "", String::new()),
        Product::BlockSecOps => Deed::new("member.role_changed", "member", friend.email.clone())
            .with(json!({ "old_role": "developer", "new_role": "owner" })),
    }
}

fn project_deleted(product: Product, chance: &mut Chance) -> Deed {
    match product {
        Product::OpsKnight | Product::OpsSentinal => {
            let id = chance.id(25);
            Deed::new("service.deleted", "SERVICE", id.clone()).with(json!({ "serviceId": id }))
        }
        Product::Ops0 => Deed::new("project.deleted", "project", chance.id(12)),
        Product::Squadcast => Deed::new("service.deleted", "service", String::new()),
        Product::BlockSecOps => Deed::new("project.deleted", "project", chance.id(12)),
    }
}

fn single(
    product: Product,
    who: &Person,
    deed: &Deed,
    note: String,
    at: Timestamp,
    chance: &mut Chance,
) -> Script {
    let row = record(product, who, deed, &who.ip, at, chance);
    Script { product, note, acts: vec![(at, row)] }
}

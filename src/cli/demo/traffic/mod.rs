//! Believable audit traffic of all five products, from a seed: a company's working day, and a few
//! attacks in it.
//!
//! Three streams are woven together. *Work* fills the rate: edits, deployments, scans, logins,
//! mostly by machines. *Slips* are what could be mistaken for an attack (a mistyped password, a
//! small deletion): they come by the clock, not by the rate, and to each person in turn, so that
//! ten thousand events a second are still an honest day. *Attacks* follow a script. The same seed,
//! start and rate give the same records, however often the generator is asked.
//!
//! It knows nothing of Kafka and reads no clock: it is asked for what was written up to a moment.

mod attacks;
mod people;
mod products;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use self::attacks::{LATER, OPENING, Script};
use self::people::{Chance, People};
pub(super) use self::products::Product;
use self::products::{Deed, Login, record};
use crate::base::Timestamp;

/// Events per second, unless asked otherwise.
pub(super) const DEFAULT_RATE: u32 = 300;

/// What the embedded broker takes on a small machine.
pub(super) const MAX_RATE: u32 = 5_000;

/// One audit record, as a product hands it to Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Who wrote it, and so its topic.
    pub(super) product: Product,
    /// When it was written, which for what an export hands over late is not what it says itself.
    pub(super) written: Timestamp,
    /// The record.
    pub(super) json: Vec<u8>,
    /// The first record of an attack says here what is going on.
    pub(super) note: Option<String>,
}

/// The generator.
#[derive(Debug)]
pub(super) struct Traffic {
    chance: Chance,
    people: People,
    /// A moment in the small hours, for logins at night.
    night: Timestamp,
    /// The mean time between two events of work.
    gap_us: u64,
    /// Microseconds after `start` at which the next event of work is due.
    work_due_us: u64,
    start: Timestamp,
    slip_due: Timestamp,
    attack_due: Timestamp,
    attacks: u64,
    /// What slips and attacks have in store, in order of time, then of making.
    pending: BTreeMap<(Timestamp, u64), Record>,
    made: u64,
}

impl Traffic {
    /// Traffic from `start` on, about `rate` events per second; `night` is a moment in the small
    /// hours before `start` by the office's clock.
    pub(super) fn new(seed: u64, start: Timestamp, night: Timestamp, rate: u32) -> Self {
        let mut chance = Chance::new(seed);
        let people = People::new(&mut chance);
        let mut traffic = Self {
            chance,
            people,
            night,
            gap_us: 1_000_000 / u64::from(rate.clamp(1, MAX_RATE)),
            work_due_us: 0,
            start,
            slip_due: start + Duration::from_secs(1),
            attack_due: start,
            attacks: 0,
            pending: BTreeMap::new(),
            made: 0,
        };
        traffic.schedule_attack();
        traffic
    }

    /// The next record that was written no later than `now`, in order of time.
    pub(super) fn next_until(&mut self, now: Timestamp) -> Option<Record> {
        loop {
            let work = self.start + Duration::from_micros(self.work_due_us);
            let pending = self.pending.keys().next().copied();
            let first = work.min(self.slip_due).min(self.attack_due);
            if let Some(key @ (at, _)) = pending
                && at <= first
            {
                return if at <= now { self.pending.remove(&key) } else { None };
            }
            if first > now {
                return None;
            }
            if first == self.attack_due {
                self.attack();
            } else if first == self.slip_due {
                self.slip();
            } else {
                let spread = self.chance.between(50, 150);
                self.work_due_us += (self.gap_us * spread / 100).max(1);
                return Some(self.work(work));
            }
        }
    }

    fn attack(&mut self) {
        let opening = usize::try_from(self.attacks).ok().and_then(|n| OPENING.get(n));
        let attack = match opening {
            Some((_, attack)) => *attack,
            None => *self.chance.pick(LATER),
        };
        let at = self.attack_due;
        let Script { product, note, acts } =
            attack.play(at, self.night, &mut self.people, &mut self.chance);
        let mut note = Some(note);
        for (at, json) in acts {
            self.store(product, at, &json, note.take());
        }
        self.attacks += 1;
        self.schedule_attack();
    }

    fn schedule_attack(&mut self) {
        let opening = usize::try_from(self.attacks).ok().and_then(|n| OPENING.get(n));
        self.attack_due = match opening {
            Some((seconds, _)) => self.start + Duration::from_secs(*seconds),
            None => self.attack_due + Duration::from_secs(self.chance.between(12, 30)),
        };
    }

    /// What honest people do that looks a little like an attack.
    fn slip(&mut self) {
        let at = self.slip_due;
        let who = self.people.next_in_turn();
        let Self { chance, .. } = self;
        let id = chance.id(20);
        let (product, deed) = match chance.below(6) {
            0 => (
                Product::OpsKnight,
                Deed::new("escalation_policy.step_deleted", "ESCALATION_POLICY", id)
                    .with(json!({ "deletedStepOrder": 2 })),
            ),
            1 => (Product::Ops0, Deed::new("project.file_deleted", "file", id)),
            2 => (Product::Ops0, Deed::new("user.invited", "user", id)),
            3 => (
                Product::BlockSecOps,
                Deed::new("member.invited", "member", format!("{id}@example.com")),
            ),
            _ => {
                // Mistyped, then right.
                let product = *chance.pick(&[
                    Product::OpsKnight,
                    Product::OpsSentinal,
                    Product::Ops0,
                    Product::BlockSecOps,
                ]);
                let again = at + Duration::from_millis(chance.between(2_000, 6_000));
                let ip = who.ip.clone();
                let first = products::login(product, &who, Login::Failed(1), &ip, at, chance);
                let second = products::login(product, &who, Login::Success, &ip, again, chance);
                for (at, row) in [(at, first), (again, second)] {
                    if let Some(row) = row {
                        self.store(product, at, &row, None);
                    }
                }
                self.slip_due = at + Duration::from_millis(self.chance.between(2_000, 5_000));
                return;
            }
        };
        let row = record(product, &who, &deed, &who.ip, at, chance);
        self.store(product, at, &row, None);
        self.slip_due = at + Duration::from_millis(self.chance.between(2_000, 5_000));
    }

    /// One event of an ordinary day.
    fn work(&mut self, at: Timestamp) -> Record {
        let Self { chance, people, .. } = self;
        let product = *chance.pick(&Product::ALL);
        let human = chance.happens(35);
        let who = chance.pick(if human { &people.humans } else { &people.machines }).clone();
        // People come and go; machines hold keys.
        if human
            && chance.happens(12)
            && let Some(row) = products::login(product, &who, Login::Success, &who.ip, at, chance)
        {
            return self.made(product, at, &row, None);
        }
        let deed = ordinary(product, chance);
        let row = record(product, &who, &deed, &who.ip, at, chance);
        self.made(product, at, &row, None)
    }

    fn store(&mut self, product: Product, at: Timestamp, row: &Value, note: Option<String>) {
        let record = self.made(product, at, row, note);
        self.pending.insert((at, self.made), record);
    }

    fn made(
        &mut self,
        product: Product,
        at: Timestamp,
        row: &Value,
        note: Option<String>,
    ) -> Record {
        self.made += 1;
        Record { product, written: at, json: row.to_string().into_bytes(), note }
    }
}

/// What is done all day: nothing in it is worth a look.
fn ordinary(product: Product, chance: &mut Chance) -> Deed {
    let id = chance.id(20);
    match product {
        Product::OpsKnight | Product::OpsSentinal => {
            let enabled = chance.happens(80);
            let choices = [
                Deed::new("escalation_policy.updated", "ESCALATION_POLICY", id.clone()).with(json!({ "name": "Payments, second line" })),
                Deed::new("escalation_policy.step_updated", "ESCALATION_POLICY", id.clone()).with(json!({ "stepId": "s1", "stepOrder": 1, "targetType": "USER" })),
                Deed::new("escalation_policy.steps_reordered", "ESCALATION_POLICY", id.clone()).with(json!({ "newOrderCount": 4 })),
                Deed::new("service.updated", "SERVICE", id.clone()).with(json!({ "name": "checkout", "teamId": "team_7", "escalationPolicyId": "pol_3" })),
                Deed::new("integration.status_updated", "SERVICE", id.clone()).with(json!({ "integrationId": "int_5", "enabled": enabled })),
                Deed::new("webhook.integration.updated", "SERVICE", id.clone()).with(json!({ "integrationId": "int_9", "name": "deploys", "type": "GITHUB" })),
                Deed::new("team.updated", "TEAM", id.clone()).with(json!({ "name": "Platform", "teamLeadId": "usr_lead" })),
                Deed::new("team.member.notifications.updated", "TEAM_MEMBER", id).with(json!({ "teamId": "team_7", "userId": "usr_1", "receiveTeamNotifications": true })),
            ];
            chance.pick(&choices).clone()
        }
        Product::Ops0 => {
            let (action, kind) = *chance.pick(&[
                ("deployment.started", "deployment"),
                ("deployment.completed", "deployment"),
                ("deployment.approved", "deployment"),
                ("project.file_updated", "file"),
                ("project.file_created", "file"),
                ("workflow.executed", "workflow"),
                ("workflow.completed", "workflow"),
                ("integration.tested", "integration"),
            ]);
            Deed::new(action, kind, id)
        }
        Product::Squadcast => {
            let action = *chance.pick(&[
                "service.updated",
                "schedule.updated",
                "escalation_policy.updated",
                "runbook.created",
                "runbook.updated",
                "maintenance.created",
            ]);
            Deed::new(action, "", id)
        }
        Product::BlockSecOps => {
            let (action, kind) = *chance.pick(&[
                ("contract.uploaded", "contract"),
                ("contract.scanned", "contract"),
                ("finding.assigned", "finding"),
                ("finding.commented", "finding"),
                ("finding.status_changed", "finding"),
            ]);
            Deed::new(action, kind, id)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        Timestamp::parse("2026-01-05T10:00:00Z").unwrap()
    }

    fn night() -> Timestamp {
        Timestamp::parse("2026-01-05T02:30:00Z").unwrap()
    }

    fn seconds(from: &mut Traffic, seconds: u64) -> Vec<Record> {
        let until = start() + Duration::from_secs(seconds);
        std::iter::from_fn(|| from.next_until(until)).collect()
    }

    fn parsed(record: &Record) -> Value {
        serde_json::from_slice(&record.json).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_records_however_often_it_is_asked() {
        let mut at_once = Traffic::new(7, start(), night(), 200);
        let mut in_steps = Traffic::new(7, start(), night(), 200);
        let whole = seconds(&mut at_once, 20);
        let mut parts = Vec::new();
        for second in 1..=20 {
            parts.extend(seconds(&mut in_steps, second));
        }
        assert_eq!(whole, parts);
        assert_ne!(whole, seconds(&mut Traffic::new(8, start(), night(), 200), 20));
    }

    #[test]
    fn the_rate_is_kept_and_time_never_goes_back() {
        let records = seconds(&mut Traffic::new(1, start(), night(), 500), 60);
        assert!((29_000..=31_500).contains(&records.len()), "{}", records.len());
        assert!(records.is_sorted_by_key(|r| r.written));
        for product in Product::ALL {
            let share = records.iter().filter(|r| r.product == product).count();
            assert!(share > 4_000, "{product:?} wrote {share}");
        }
    }

    #[test]
    fn every_product_is_attacked_within_the_first_minute() {
        let records = seconds(&mut Traffic::new(1, start(), night(), 50), 60);
        for product in Product::ALL {
            assert!(
                records.iter().any(|r| r.product == product && r.note.is_some()),
                "{product:?} was left in peace"
            );
        }
    }

    #[test]
    fn an_honest_person_mistypes_once_not_five_times_whatever_the_rate() {
        let mut failures: BTreeMap<String, u32> = BTreeMap::new();
        for record in seconds(&mut Traffic::new(3, start(), night(), 400), 120) {
            let row = parsed(&record);
            if row["action"] == "LOGIN_FAILED" {
                *failures.entry(row["entityId"].to_string()).or_default() += 1;
            }
        }
        assert!(failures.values().any(|n| *n == 1), "nobody ever mistypes");
        assert!(failures.values().all(|n| *n == 1 || *n == 5), "{failures:?}");
    }

    #[test]
    fn the_siblings_block_after_five_failures() {
        let attack = attacks::Attack::Guessing(Product::OpsKnight);
        let mut chance = Chance::new(5);
        let mut people = People::new(&mut chance);
        let script = attack.play(start(), night(), &mut people, &mut chance);
        let actions: Vec<_> = script.acts.iter().map(|(_, r)| r["action"].clone()).collect();
        assert_eq!(actions.iter().filter(|a| **a == "LOGIN_FAILED").count(), 5);
        assert_eq!(actions[5..], [json!("LOGIN_BLOCKED"), json!("LOGIN_BLOCKED")]);
        assert!(script.acts.iter().all(|(_, r)| r["actorId"].is_null()));
    }

    #[test]
    fn a_login_at_night_says_so_itself_but_arrives_now() {
        let mut chance = Chance::new(5);
        let mut people = People::new(&mut chance);
        let attack = attacks::Attack::NightLogin(Product::Ops0);
        let script = attack.play(start(), night(), &mut people, &mut chance);
        let (written, row) = &script.acts[0];
        assert_eq!(*written, start());
        assert!(row["timestamp"].as_str().unwrap().starts_with("2026-01-05T0"));
    }
}

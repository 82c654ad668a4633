//! What is remembered of a key whose steps are all plain: an event that arrives is put where it
//! belongs, and everything that it completes, itself or later ones, fires at once.

use std::sync::Arc;
use std::time::Duration;

use super::Plan;
use super::chain::{Barriers, Chain};
use crate::base::Timestamp;
use crate::detectors::{Firing, KeyState, Occurrence, Verdicts};
use crate::state::codec::{Broken, Reader};

const FORMAT: u8 = 1;

#[derive(Debug)]
pub(super) struct Memory {
    plan: Arc<Plan>,
    chain: Chain,
}

impl Memory {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Self { chain: Chain::new(plan.clone(), false), plan }
    }

    pub(super) fn decode(plan: Arc<Plan>, bytes: &[u8]) -> Result<Self, Broken> {
        let mut bytes = Reader::new(bytes);
        if bytes.byte()? != FORMAT {
            return Err(Broken("a sequence's memory of version 1"));
        }
        let chain = Chain::decode(&plan, false, &mut bytes)?;
        bytes.end()?;
        Ok(Self { plan, chain })
    }
}

impl KeyState for Memory {
    fn observe(&mut self, occurrence: &Occurrence, out: &mut Verdicts) {
        let Occurrence { time, position, parts, .. } = occurrence;
        // Without comparisons a step is one part.
        let matches = |n: usize| self.plan.steps.get(n).is_some_and(|s| parts.has(s.first_part));
        let completions = self.chain.take((*time, position), &matches, &Barriers::default());
        for completion in completions {
            out.push(Firing {
                time: completion.time,
                position: Some(completion.position),
                after: None,
                first: completion.first,
                count: self.plan.count(),
                value: serde_json::Value::Null,
                previous: None,
                tuple: None,
                approximate: false,
            });
        }
    }

    fn advance(&mut self, _clock: Timestamp, _out: &mut Verdicts) {
        // Everything was decided on arrival.
    }

    fn expires_at(&self) -> Timestamp {
        // An event counts while it is no older than the clock less the span, and what it completes
        // reaches back by the span once more.
        let newest = self.chain.newest().unwrap_or(Timestamp::MIN);
        newest + self.plan.span + self.plan.span + Duration::from_millis(1)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        self.chain.encode(out);
    }
}

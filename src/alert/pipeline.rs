//! Events in, alerts out, in one step and without Kafka: what rule tests and replay run.
//!
//! It is the very composition that runs live: [`Program`] → signals → [`Correlation`] for each
//! partition. The clock ticks after every event, at the highest event time so far.

use std::sync::Arc;

use crate::base::Timestamp;
use crate::engine::matching::Fault;
use crate::engine::{Matched, Program, Record, Signals, Source, SourceTime, Tick};
use crate::event::{Event, Layout};
use crate::query::Sets;
use crate::rule::Rule;

use super::correlation::{Correlation, Findings, Limits, Progress};
use super::rules::Rules;

/// Rules over one stream of events.
#[derive(Debug)]
pub struct Pipeline {
    program: Program,
    rules: Rules,
    partitions: Vec<Correlation>,
    matched: Matched,
    clock: Option<Timestamp>,
}

impl Pipeline {
    /// Compiles the rules; asks the layout for what they read.
    pub fn compile(
        rules: &[Arc<Rule>],
        layout: &mut Layout,
        sets: &Sets,
        partitions: u32,
    ) -> Result<Self, Vec<Fault>> {
        let program = Program::compile(rules.iter().cloned(), layout, sets)?;
        let rules = Rules::compile(rules.iter().cloned(), sets)?;
        let partitions =
            (0..partitions.max(1)).map(|_| Correlation::new(Limits::default())).collect();
        Ok(Self { program, rules, partitions, matched: Matched::default(), clock: None })
    }

    /// Takes the next event. What it means to the rules is added to `out`, then the clock ticks.
    pub fn event(&mut self, event: &Event, out: &mut Findings) {
        let partitions = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        let mut matched = std::mem::take(&mut self.matched);
        self.program.signals(event, partitions, &mut matched);
        for (partition, signals) in matched.records.drain(..) {
            self.signals(partition, signals, out);
        }
        self.matched = matched;
        self.advance(event.time, out);
    }

    /// What the last event did not mean for want of a key: rules, in their order.
    pub fn unkeyed(&self) -> &[Arc<str>] {
        &self.matched.unkeyed
    }

    /// Time goes on, without an event, to `time` if that is later than all so far.
    pub fn advance(&mut self, time: Timestamp, out: &mut Findings) {
        let time = self.clock.map_or(time, |clock| clock.max(time));
        self.clock = Some(time);
        let source = Source::new("", 0);
        let tick = Record::Tick(Tick {
            worker: "".into(),
            sources: vec![SourceTime { source: source.clone(), time, at_end: true }],
            subscription: vec![source],
        });
        for partition in &mut self.partitions {
            let mut progress = partition.apply(&tick, &self.rules, out);
            while progress == Progress::More {
                progress = partition.resume(&self.rules, out);
            }
        }
    }

    /// Time goes on until nothing can change any more: every alert is over.
    pub fn finish(&mut self, out: &mut Findings) {
        self.advance(Timestamp::MAX, out);
    }

    fn signals(&mut self, partition: u32, signals: Signals, out: &mut Findings) {
        let partition = usize::try_from(partition).ok().and_then(|p| self.partitions.get_mut(p));
        if let Some(partition) = partition {
            let progress = partition.apply(&Record::Signals(signals), &self.rules, out);
            debug_assert_eq!(progress, Progress::Done, "the last tick ran all its timers");
        }
    }
}

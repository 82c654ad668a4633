//! Which mapping takes a record: the one that names its topic, else the one whose `detect` says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::base::{Diagnostic, Diagnostics, Timestamp};
use crate::event::decode::{Decoder, Limits};
use crate::event::{Event, FieldName, Layout};
use crate::query::{Matcher, Sets};

use super::kafka::KafkaFields;
use super::syntax::Mapping;
use super::{RawRecord, Reason, Unusable};

/// All mappings, by the number that they were added with.
#[derive(Debug, Default)]
pub(super) struct Selector {
    topics: BTreeMap<String, Vec<usize>>,
    /// Topic names with a `*`.
    patterns: Vec<(FieldName, usize)>,
    groups: Vec<Group>,
}

/// Mappings whose `detect` reads a record the same way: with the same JSON in strings.
#[derive(Debug)]
struct Group {
    json: Vec<FieldName>,
    layout: Layout,
    decoder: Decoder,
    kafka: KafkaFields,
    members: Vec<(usize, Matcher)>,
}

impl Selector {
    /// Adds a mapping; unknown lists and schedules of its `detect` are reported, and nothing is
    /// added then.
    pub(super) fn add(
        &mut self,
        number: usize,
        mapping: &Mapping,
        sets: &Sets,
        limits: Limits,
        found: &mut Diagnostics,
    ) {
        if let Some(detect) = &mapping.detect {
            let at = self.groups.iter().position(|group| group.json == mapping.json);
            let mut group = match at {
                Some(at) => self.groups.remove(at),
                None => Group::new(mapping.json.clone(), limits),
            };
            let matcher = detect.query.compile(&mut group.layout, sets);
            group.decoder = Decoder::new(&group.layout, &group.json, limits);
            group.kafka = KafkaFields::new(&group.layout);
            let matcher = matcher.map(|matcher| group.members.push((number, matcher)));
            self.groups.push(group);
            if let Err(mistakes) = matcher {
                let place = |mistake: Diagnostic| mistake.moved(|span| detect.text.locate(span));
                found.extend(mistakes.into_iter().map(place));
                return;
            }
        }
        for topic in &mapping.topics {
            if topic.contains('*') {
                self.patterns.push((FieldName::wildcard(topic), number));
            } else {
                self.topics.entry(topic.clone()).or_default().push(number);
            }
        }
    }

    /// The number of the mapping that takes a record.
    pub(super) fn select(
        &self,
        record: &RawRecord<'_>,
        name: impl Fn(usize) -> String,
    ) -> Result<usize, Unusable> {
        let topic = &*record.position.topic;
        let exactly = self.topics.get(topic).into_iter().flatten().copied();
        let by_pattern = self.patterns.iter().filter(|(p, _)| p.matches(topic)).map(|(_, n)| *n);
        let named: SmallVec<[usize; 4]> = exactly.chain(by_pattern).collect();
        if let [one] = named.as_slice() {
            return Ok(*one);
        }
        // Several products in one topic, or a topic that nobody named: the record has to tell. A
        // mapping that names the topic and cannot tell takes all of it.
        let (mut told, mut can_tell) = (Vec::new(), Vec::new());
        for group in &self.groups {
            can_tell.extend(group.members.iter().map(|(number, _)| *number));
            group.tell(record, &named, &mut told)?;
        }
        told.extend(named.iter().filter(|number| !can_tell.contains(number)));
        told.sort_unstable();
        told.dedup();
        match told.as_slice() {
            [one] => Ok(*one),
            [] => Err(Unusable::new(
                Reason::NoMapping,
                format!("no mapping takes this record of topic `{topic}`"),
            )),
            several => {
                let names: Vec<_> = several.iter().map(|number| name(*number)).collect();
                let detail = format!("more than one mapping takes it: {}", names.join(", "));
                Err(Unusable::new(Reason::AmbiguousMapping, detail))
            }
        }
    }
}

impl Group {
    fn new(json: Vec<FieldName>, limits: Limits) -> Self {
        let layout = Layout::new();
        let decoder = Decoder::new(&layout, &json, limits);
        let kafka = KafkaFields::new(&layout);
        Self { json, layout, decoder, kafka, members: Vec::new() }
    }

    /// Adds the mappings whose `detect` holds; with `among`, only of those.
    fn tell(
        &self,
        record: &RawRecord<'_>,
        among: &[usize],
        told: &mut Vec<usize>,
    ) -> Result<(), Unusable> {
        let (position, nobody) = (record.position.clone(), Arc::from(""));
        let mut event = Event::empty(&self.layout, position, Timestamp::default(), nobody);
        self.decoder.decode(record.payload, &mut event)?;
        self.kafka.fill(record, &mut event);
        let members = self.members.iter().filter(|(n, _)| among.is_empty() || among.contains(n));
        told.extend(members.filter(|(_, when)| when.matches(&event)).map(|(number, _)| *number));
        Ok(())
    }
}

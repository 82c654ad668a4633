//! The fully validating walk over a record: a `serde_json` visitor that follows a [`Plan`] and leaves
//! everything else to `serde_json`'s skipping.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

use super::decode::{Malformed, is_deeper};
use super::field::wildcard;
use super::plan::{Below, NodeId, Plan, Wishes};
use super::record::{Event, Slot};
use super::value::{Number, Scalar};

/// Walks a whole record (an object that is not too deep).
pub(super) fn walk(
    plan: &Plan,
    depth: usize,
    text: &str,
    event: &mut Event,
) -> Result<(), Malformed> {
    let mut walk = Walk {
        plan,
        event,
        depth,
        named: vec![0; plan.len()],
        renamed: Vec::new(),
        element: RECORD,
        elements: RECORD,
        path: String::from("raw"),
        tracks: plan.has_below,
        below: Vec::new(),
        place: 0,
        places: HashSet::new(),
        refused: None,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let walked = At { walk: &mut walk, node: Some(0), fresh: true }
        .deserialize(&mut json)
        .and_then(|()| json.end());
    match (walked, walk.refused) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(refused)) => Err(refused),
        (Err(error), None) => Err(Malformed::NotJson(error.to_string())),
    }
}

/// The number that stands for the record as a whole where array elements have theirs.
const RECORD: u64 = 1;

/// Where the walk stands, and what it has seen.
struct Walk<'p, 'e> {
    plan: &'p Plan,
    event: &'e mut Event,
    depth: usize,
    /// For each node the array element (below) in which a key last named it. A path named twice
    /// in one element is a duplicate; `{"a.b": 1, "a": {"b": 2}}` is one, `[{"a": 1}, {"a": 2}]` is not.
    named: Vec<u64>,
    /// What to put back into `named` when the present element ends.
    renamed: Vec<(NodeId, u64)>,
    /// The innermost array element that the walk is in, or [`RECORD`].
    element: u64,
    /// How many there have been.
    elements: u64,
    /// Whether something is wanted of everything below some path: only then is anybody interested
    /// in where exactly the walk stands.
    tracks: bool,
    /// The dotted path, `raw.a.b`, kept only if the walk `tracks`.
    path: String,
    /// The wishes that concern everything from here on down, with the place in `path` they count from.
    below: Vec<(usize, &'p Below)>,
    /// The exact path, with the indexes that `path` leaves out, as a hash of 128 bits; kept like
    /// `path`. The paths themselves would let a record of one long key above many short ones take
    /// gigabytes; who makes two hashes meet has made only his own record malformed.
    place: u128,
    /// All of them so far: the duplicates where there are no nodes to mark.
    places: HashSet<u128>,
    /// Why the walk was given up, when it was not for JSON's grammar.
    refused: Option<Malformed>,
}

/// What [`Walk::leave`] goes back to.
struct Mark {
    path: usize,
    place: u128,
    below: usize,
}

impl<'p> Walk<'p, '_> {
    fn mark(&self) -> Mark {
        Mark { path: self.path.len(), place: self.place, below: self.below.len() }
    }

    fn leave(&mut self, mark: &Mark) {
        self.path.truncate(mark.path);
        self.place = mark.place;
        self.below.truncate(mark.below);
    }

    fn wishes(&self, node: Option<NodeId>) -> Option<&'p Wishes> {
        self.plan.wishes(node?)
    }

    /// Takes up what a node wants of everything below it.
    fn enter(&mut self, node: Option<NodeId>) {
        for below in self.wishes(node).into_iter().flat_map(|wishes| &wishes.below) {
            let from = match below {
                Below::Pattern { from_raw: true, .. } => 0,
                _ => self.path.len() + 1,
            };
            self.below.push((from, below));
        }
    }

    /// Goes down by one key, which may be several steps; the node reached, if anything is wanted
    /// there or below.
    fn step<E: Error>(&mut self, from: Option<NodeId>, key: &str) -> Result<Option<NodeId>, E> {
        let mut node = from;
        if !self.tracks && !key.as_bytes().contains(&b'.') {
            node = node.and_then(|node| self.plan.key(node, key));
        } else {
            let mut steps = key.split('.').peekable();
            while let Some(step) = steps.next() {
                node = node.and_then(|node| self.plan.key(node, step));
                // Without patterns the path is needed by nobody.
                if self.tracks && (node.is_some() || !self.below.is_empty()) {
                    self.path.push('.');
                    self.path.push_str(step);
                    self.place = below(self.place, b'.', xxh3_128(step.as_bytes()));
                }
                if steps.peek().is_some() {
                    // `{"a.b": 1}` says that there is an `a`, too.
                    self.present(node);
                    self.enter(node);
                }
            }
        }
        let again = match node.and_then(|node| self.named.get_mut(node as usize).zip(Some(node))) {
            Some((element, _)) if *element == self.element => true,
            Some((element, node)) => {
                // What the record itself names stays named to its end.
                if self.element != RECORD {
                    self.renamed.push((node, *element));
                }
                *element = self.element;
                false
            }
            None => false,
        };
        if again || (!self.below.is_empty() && !self.places.insert(self.place)) {
            let path = match node {
                Some(node) if !self.tracks => self.plan.path(node),
                _ => self.path.clone(),
            };
            let path = path.chars().take(200).collect();
            return Err(self.refuse(Malformed::DuplicateKey(path)));
        }
        Ok(node)
    }

    fn refuse<E: Error>(&mut self, why: Malformed) -> E {
        self.refused = Some(why);
        E::custom("refused")
    }

    /// Tells whoever asked that something is there.
    fn present(&mut self, node: Option<NodeId>) {
        for field in self.wishes(node).map_or(&[][..], |wishes| &wishes.present) {
            if self.event.first(*field).is_none() {
                self.event.push(*field, Scalar::Bool(true));
            }
        }
    }

    /// Gives a scalar to whoever wants it here.
    fn scalar(&mut self, node: Option<NodeId>, scalar: Scalar) {
        let fields = self.wishes(node).map_or(&[][..], |wishes| &wishes.values);
        if let (true, [field]) = (self.below.is_empty(), fields) {
            return self.event.push(*field, scalar);
        }
        for field in fields {
            self.event.push(*field, scalar.clone());
        }
        for (from, below) in &self.below {
            let field = match below {
                Below::AnyText(field) => matches!(scalar, Scalar::Text(_)).then_some(field),
                Below::Pattern { pattern, field, .. } => {
                    // A scalar at the pattern's own root stands above all paths it can meet.
                    let path = self.path.as_bytes().get(*from..);
                    path.is_some_and(|path| wildcard(pattern.as_bytes(), path)).then_some(field)
                }
                Below::Nothing => None,
            };
            if let Some(field) = field {
                self.event.push(*field, scalar.clone());
            }
        }
    }

    /// Whether anybody would take a scalar here.
    fn takes(&self, node: Option<NodeId>) -> bool {
        !self.below.is_empty() || self.wishes(node).is_some_and(|wishes| !wishes.values.is_empty())
    }

    /// Whether a text is a JSON document of its own: an object or an array, and whole.
    fn is_document<E: Error>(&mut self, text: &str) -> Result<bool, E> {
        if !text.trim_ascii_start().starts_with(['{', '[']) {
            return Ok(false);
        }
        if is_deeper(text, self.depth) {
            return Err(self.refuse(Malformed::TooDeep(self.depth)));
        }
        // A text that only looks like a document (cut off by whoever stored it) stays a text.
        Ok(serde_json::from_str::<IgnoredAny>(text).is_ok())
    }

    /// Walks a document that stood as text in the record.
    fn document<E: Error>(
        &mut self,
        node: Option<NodeId>,
        fresh: bool,
        text: &str,
    ) -> Result<(), E> {
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_any(Here { walk: self, node, fresh }).map_err(E::custom)
    }
}

/// A value of the record that is about to be read. `fresh` says that it is named by a key or an
/// index, not the next of an array that is walked through.
struct At<'w, 'p, 'e> {
    walk: &'w mut Walk<'p, 'e>,
    node: Option<NodeId>,
    fresh: bool,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Self { walk, node, fresh } = self;
        if node.is_none() && walk.below.is_empty() {
            return IgnoredAny::deserialize(json).map(drop);
        }
        if !fresh {
            return json.deserialize_any(Here { walk, node, fresh });
        }
        let mark = walk.mark();
        walk.enter(node);
        match walk.wishes(node) {
            Some(wishes) if !wishes.elements.is_empty() => {
                let text = <&RawValue>::deserialize(json)?.get();
                let is_text = wishes.json && text.starts_with('"');
                let inner: Option<String> =
                    is_text.then(|| serde_json::from_str(text).ok()).flatten();
                let text = match inner.as_deref() {
                    Some(inner) if walk.is_document(inner)? => inner,
                    _ => text,
                };
                let whole = serde_json::from_str(text).map_err(D::Error::custom)?;
                let mut elements = Vec::new();
                flatten(whole, &mut elements);
                for field in &wishes.elements {
                    if let Some(Slot::Elements(slot)) = walk.event.slot_mut(*field) {
                        slot.extend_from_slice(&elements);
                    }
                }
                walk.document(node, fresh, text)?;
            }
            _ => json.deserialize_any(Here { walk, node, fresh })?,
        }
        walk.leave(&mark);
        Ok(())
    }
}

/// The hash of the path that is one step longer: by the hash of a key, or by an index.
fn below(place: u128, kind: u8, step: u128) -> u128 {
    let mut bytes = [0; 33];
    let (from, by) = bytes.split_at_mut(16);
    from.copy_from_slice(&place.to_le_bytes());
    let (by, of) = by.split_at_mut(16);
    by.copy_from_slice(&step.to_le_bytes());
    of.fill(kind);
    xxh3_128(&bytes)
}

/// The elements of arrays in arrays, without nulls.
fn flatten(value: serde_json::Value, into: &mut Vec<serde_json::Value>) {
    match value {
        serde_json::Value::Null => {}
        serde_json::Value::Array(elements) => {
            for element in elements {
                flatten(element, into);
            }
        }
        one => into.push(one),
    }
}

/// The value itself.
struct Here<'w, 'p, 'e> {
    walk: &'w mut Walk<'p, 'e>,
    node: Option<NodeId>,
    fresh: bool,
}

impl<'de> Visitor<'de> for Here<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.walk.present(self.node);
        self.walk.scalar(self.node, Scalar::Bool(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.walk.present(self.node);
        self.walk.scalar(self.node, Scalar::Number(Number::Int(value)));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.walk.present(self.node);
        let number = i64::try_from(value).map_or(Number::Large(value), Number::Int);
        self.walk.scalar(self.node, Scalar::Number(number));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.walk.present(self.node);
        self.walk.scalar(self.node, Scalar::Number(Number::Float(value)));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let Self { walk, node, fresh } = self;
        if walk.wishes(node).is_some_and(|wishes| wishes.json) && walk.is_document(text)? {
            return walk.document(node, fresh, text);
        }
        walk.present(node);
        if walk.takes(node) {
            walk.scalar(node, Scalar::Text(text.into()));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { walk, node, fresh } = self;
        let outer = walk.element;
        let renamed = walk.renamed.len();
        let mark = walk.mark();
        for index in 0_usize.. {
            walk.elements += 1;
            walk.element = walk.elements;
            if walk.tracks {
                walk.place = below(walk.place, b'[', index as u128);
            }
            // `[n]` picks from the array that stands at its path, not from arrays inside of that.
            let picked = node.filter(|_| fresh).and_then(|node| walk.plan.index(node, index));
            let seed = match picked {
                Some(picked) => At { walk: &mut *walk, node: Some(picked), fresh: true },
                None => At { walk: &mut *walk, node, fresh: false },
            };
            let more = elements.next_element_seed(seed)?;
            walk.leave(&mark);
            for (node, element) in walk.renamed.drain(renamed..).rev() {
                if let Some(named) = walk.named.get_mut(node as usize) {
                    *named = element;
                }
            }
            if more.is_none() {
                break;
            }
        }
        walk.element = outer;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self { walk, node, .. } = self;
        walk.present(node);
        let mark = walk.mark();
        while let Some(child) = entries.next_key_seed(Key { walk: &mut *walk, node })? {
            entries.next_value_seed(At { walk: &mut *walk, node: child, fresh: true })?;
            walk.leave(&mark);
        }
        Ok(())
    }
}

/// A key of an object: goes down to its node.
struct Key<'w, 'p, 'e> {
    walk: &'w mut Walk<'p, 'e>,
    node: Option<NodeId>,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_, '_> {
    type Value = Option<NodeId>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_, '_> {
    type Value = Option<NodeId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        self.walk.step(self.node, key)
    }
}

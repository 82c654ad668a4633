//! What to pick from a record, as a tree over its paths: built once from a layout, walked by every
//! record. A key that has no node here is skipped unread.

use super::field::{FieldName, Segment};
use super::layout::{FieldId, Layout, Wanted};

/// The tree; node 0 is the record itself.
#[derive(Debug)]
pub(super) struct Plan {
    nodes: Vec<Node>,
    /// Whether something is wanted of everything below some path.
    pub(super) has_below: bool,
}

/// The number of a node.
pub(super) type NodeId = u32;

/// One path that something reads at, or below.
#[derive(Debug, Clone, Default)]
struct Node {
    /// Sorted by key.
    keys: Vec<(Box<str>, NodeId)>,
    indexes: Vec<(u32, NodeId)>,
    own: Wishes,
}

/// What is wanted at one path.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    /// Slots that take its scalars.
    pub(super) values: Vec<FieldId>,
    /// Slots that are told that something is there.
    pub(super) present: Vec<FieldId>,
    /// Slots that take its elements whole.
    pub(super) elements: Vec<FieldId>,
    /// What takes something of everything below.
    pub(super) below: Vec<Below>,
    /// Whether a text here may be a JSON document, to be read as if it stood here itself.
    pub(super) json: bool,
}

/// A wish that concerns all paths below a node.
#[derive(Debug, Clone)]
pub(super) enum Below {
    /// Every string.
    AnyText(FieldId),
    /// Every scalar whose path meets the pattern; the path counts from this node, or, when `from_raw`,
    /// from the word `raw`.
    Pattern { pattern: Box<str>, from_raw: bool, field: FieldId },
    /// Nothing is taken, but everything is read: a key named twice counts.
    Nothing,
}

impl Plan {
    /// The plan that fills the slots of a layout. `json` are paths (with their `raw`) where a JSON
    /// document may stand as a string.
    pub(super) fn new(layout: &Layout, json: &[FieldName]) -> Self {
        let mut plan = Self { nodes: vec![Node::default()], has_below: false };
        for (field, wanted) in layout.iter() {
            match wanted {
                Wanted::Values(name) if name.is_pattern() => plan.want_pattern(name, field),
                Wanted::Values(name) => {
                    if let Some(wishes) = name.raw_path().and_then(|path| plan.make(path)) {
                        wishes.values.push(field);
                    }
                }
                Wanted::Elements(name) if !name.is_pattern() => {
                    if let Some(wishes) = name.raw_path().and_then(|path| plan.make(path)) {
                        wishes.elements.push(field);
                        wishes.below.push(Below::Nothing);
                    }
                }
                Wanted::Elements(_) => {}
                Wanted::Present(name) => {
                    if let Some(wishes) = name.raw_path().and_then(|path| plan.make(path)) {
                        wishes.present.push(field);
                    }
                }
                Wanted::AnyText => {
                    if let Some(wishes) = plan.make(&[]) {
                        wishes.below.push(Below::AnyText(field));
                    }
                }
            }
        }
        let mut json: Vec<_> = json.iter().filter_map(FieldName::raw_path).collect();
        json.sort_by_key(|path| path.len());
        for path in json {
            // A document that nobody looks into stays the text it is, unread.
            if plan.reads(path)
                && let Some(wishes) = plan.make(path)
            {
                wishes.json = true;
            }
        }
        plan.spread(0);
        plan.has_below = plan.nodes.iter().any(|node| !node.own.below.is_empty());
        plan
    }

    /// What is wanted at a node.
    pub(super) fn wishes(&self, node: NodeId) -> Option<&Wishes> {
        self.nodes.get(node as usize).map(|node| &node.own)
    }

    /// The node of a key below a node.
    pub(super) fn key(&self, node: NodeId, key: &str) -> Option<NodeId> {
        let keys = &self.nodes.get(node as usize)?.keys;
        let at = keys.binary_search_by(|(own, _)| own.as_ref().cmp(key)).ok()?;
        keys.get(at).map(|(_, node)| *node)
    }

    /// The node of an array's element, where that one element is wanted. It wants everything that is
    /// wanted of all elements, too.
    pub(super) fn index(&self, node: NodeId, index: usize) -> Option<NodeId> {
        let indexes = &self.nodes.get(node as usize)?.indexes;
        indexes.iter().find(|(own, _)| *own as usize == index).map(|(_, node)| *node)
    }

    /// The dotted path of a node, from `raw`; indexes are left out.
    pub(super) fn path(&self, node: NodeId) -> String {
        for (parent, own) in (0..).zip(&self.nodes) {
            if let Some((key, _)) = own.keys.iter().find(|(_, child)| *child == node) {
                return format!("{}.{key}", self.path(parent));
            }
            if own.indexes.iter().any(|(_, child)| *child == node) {
                return self.path(parent);
            }
        }
        "raw".to_owned()
    }

    /// How many nodes.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn want_pattern(&mut self, name: &FieldName, field: FieldId) {
        let literal =
            |segment: &&Segment| !matches!(segment, Segment::Key(key) if key.contains('*'));
        let head = name.segments().iter().take_while(literal).count();
        let (node, from_raw, pattern) = match name.raw_path() {
            // `raw.details.*`: only what stands below `details`.
            Some(path) if head > 0 => {
                let (above, rest) = path.split_at(head - 1);
                let rest = FieldName::from_segments(rest, true);
                (above, false, rest.dotted())
            }
            // `*`, `*.ip`: common fields, and all of raw.
            _ => (&[] as &[Segment], true, name.dotted()),
        };
        let start = pattern.split('*').next().unwrap_or_default();
        let possible = !from_raw || "raw.".starts_with(start) || start.starts_with("raw.");
        if possible && let Some(wishes) = self.make(node) {
            wishes.below.push(Below::Pattern { pattern: pattern.into(), from_raw, field });
        }
    }

    /// The wishes at a path below the record, made if they are new.
    fn make(&mut self, path: &[Segment]) -> Option<&mut Wishes> {
        let mut node: NodeId = 0;
        for segment in path {
            node = self.child(node, segment)?;
        }
        self.nodes.get_mut(node as usize).map(|node| &mut node.own)
    }

    fn child(&mut self, node: NodeId, segment: &Segment) -> Option<NodeId> {
        let new = NodeId::try_from(self.nodes.len()).ok()?;
        let parent = self.nodes.get_mut(node as usize)?;
        match segment {
            Segment::Key(key) => match parent.keys.binary_search_by(|(own, _)| own.cmp(key)) {
                Ok(at) => return parent.keys.get(at).map(|(_, node)| *node),
                Err(at) => parent.keys.insert(at, (key.clone(), new)),
            },
            Segment::Index(index) => {
                if let Some((_, node)) = parent.indexes.iter().find(|(own, _)| own == index) {
                    return Some(*node);
                }
                parent.indexes.push((*index, new));
            }
        }
        self.nodes.push(Node::default());
        Some(new)
    }

    /// Whether anything is wanted at a path, above it (and all below that), or below it.
    fn reads(&self, path: &[Segment]) -> bool {
        let mut node: NodeId = 0;
        for segment in path {
            if self.wishes(node).is_some_and(|wishes| !wishes.below.is_empty()) {
                return true;
            }
            let child = match segment {
                Segment::Key(key) => self.key(node, key),
                Segment::Index(index) => self.index(node, *index as usize),
            };
            let Some(child) = child else { return false };
            node = child;
        }
        true
    }

    /// Gives the node of each single element everything that its array wants of all elements, so
    /// that a record stands at one node at a time.
    fn spread(&mut self, node: NodeId) {
        let Some(parent) = self.nodes.get(node as usize).cloned() else { return };
        for (_, element) in &parent.indexes {
            if let Some(into) = self.nodes.get_mut(*element as usize) {
                // What is wanted of the array as a whole, or of all below it, is under way already.
                into.own.values.extend(&parent.own.values);
                into.own.present.extend(&parent.own.present);
                into.own.json |= parent.own.json;
            }
            for (key, child) in &parent.keys {
                if let Some(into) = self.child(*element, &Segment::Key(key.clone())) {
                    self.copy(*child, into);
                }
            }
        }
        let Some(parent) = self.nodes.get(node as usize).cloned() else { return };
        for (_, child) in parent.keys {
            self.spread(child);
        }
        for (_, element) in parent.indexes {
            self.spread(element);
        }
    }

    /// Adds all wishes of one tree to another.
    fn copy(&mut self, from: NodeId, into: NodeId) {
        let Some(source) = self.nodes.get(from as usize).cloned() else { return };
        if let Some(target) = self.nodes.get_mut(into as usize) {
            target.own.values.extend(&source.own.values);
            target.own.present.extend(&source.own.present);
            target.own.elements.extend(&source.own.elements);
            target.own.below.extend(source.own.below);
            target.own.json |= source.own.json;
        }
        let keys = source.keys.into_iter().map(|(key, child)| (Segment::Key(key), child));
        let indexes = source.indexes.into_iter().map(|(n, child)| (Segment::Index(n), child));
        for (segment, child) in keys.chain(indexes) {
            if let Some(into) = self.child(into, &segment) {
                self.copy(child, into);
            }
        }
    }
}

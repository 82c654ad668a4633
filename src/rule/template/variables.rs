//! What a template can see: the fields as a tree of names, and how their values look.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};

use crate::event::{FieldName, Number, Scalar, Segment};

use super::{TemplateContext, VALUES_MAX};

/// What a missing field looks like.
const MISSING: &str = "–";

/// The variables of one rendering.
pub(super) fn of(context: &TemplateContext) -> Value {
    Value::from_object(Root::new(context))
}

/// A value as people read it.
pub(super) fn shown(value: &Value, separator: &str) -> String {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => MISSING.to_owned(),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<String> = value
                .try_iter()
                .map(|items| items.map(|item| shown(&item, separator)).collect())
                .unwrap_or_default();
            if items.is_empty() { MISSING.to_owned() } else { items.join(separator) }
        }
        _ => value.to_string(),
    }
}

/// The name under which a template's filter finds which numbers are lower bounds.
pub(super) const LOWER_BOUNDS: &str = "_lower_bounds";

/// `values`, and the fields.
#[derive(Debug)]
struct Root {
    lower_bounds: Value,
    tree: Arc<Node>,
    values: Value,
}

/// One step of a field name; a field can have a value and longer names below it.
#[derive(Debug, Default)]
struct Node {
    value: Option<Value>,
    children: BTreeMap<String, Arc<Node>>,
}

impl Root {
    fn new(context: &TemplateContext) -> Self {
        let mut tree = Node::default();
        for (field, values) in &context.fields {
            tree.insert(field.segments(), values);
        }
        let values: BTreeMap<FieldName, Value> = context
            .values
            .iter()
            .map(|(field, values)| {
                (field.clone(), values.iter().take(VALUES_MAX).map(scalar).collect())
            })
            .collect();
        let values = Value::from_function(move |name: &str| {
            FieldName::parse(name).ok().and_then(|field| values.get(&field).cloned())
        });
        let lower_bounds = context.lower_bounds.iter().map(|name| Value::from(*name)).collect();
        Self { lower_bounds, tree: Arc::new(tree), values }
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "values" => Some(self.values.clone()),
            LOWER_BOUNDS => Some(self.lower_bounds.clone()),
            _ => self.tree.get_value(key),
        }
    }
}

impl Node {
    fn insert(&mut self, path: &[Segment], values: &[Scalar]) {
        let Some((first, rest)) = path.split_first() else {
            self.value = match values {
                [] => None,
                [one] => Some(scalar(one)),
                many => Some(many.iter().map(scalar).collect()),
            };
            return;
        };
        let name = match first {
            Segment::Key(key) => key.to_string(),
            Segment::Index(index) => index.to_string(),
        };
        // Nobody else holds the tree while it is built, so that the copy never happens.
        let child = self.children.entry(name).or_default();
        if let Some(child) = Arc::get_mut(child) {
            child.insert(rest, values);
        }
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let child = self.children.get(key.as_str()?)?;
        match (&child.value, child.children.is_empty()) {
            (Some(value), true) => Some(value.clone()),
            (None, true) => None,
            (_, false) => Some(Value::from_dyn_object(child.clone())),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.children.keys().map(|k| Value::from(k.as_str())).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => f.write_str(&shown(value, ", ")),
            None => f.write_str(MISSING),
        }
    }
}

fn scalar(value: &Scalar) -> Value {
    match value {
        Scalar::Bool(b) => Value::from(*b),
        Scalar::Number(Number::Int(n)) => Value::from(*n),
        Scalar::Number(Number::Large(n)) => Value::from(*n),
        Scalar::Number(Number::Float(n)) => Value::from(*n),
        Scalar::Text(text) => Value::from(text.as_ref()),
    }
}

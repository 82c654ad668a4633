//! What each mapping can fill, so that a rule can be told which products it can be about.

use std::collections::{BTreeMap, BTreeSet};

use super::syntax::{ALWAYS, Mapping, Source};
use crate::event::{FieldName, Scalar};
use crate::query::ast::{Expr, Literal, Term, Test};
use crate::query::{Query, fold};

/// The fields that one mapping can fill.
#[derive(Debug)]
pub struct Fills {
    name: String,
    /// The product writes the common fields itself, so any of them may be there.
    any: bool,
    fields: BTreeSet<FieldName>,
    /// The paths of the record that it reads for a field, in the order of the file.
    read: Vec<(FieldName, FieldName)>,
    /// The values of fields that have no others, whatever the record.
    constants: BTreeMap<FieldName, Vec<Scalar>>,
}

impl Fills {
    /// `fields` are those that it can fill, be it from a database of addresses.
    pub(super) fn new(mapping: &Mapping, mut fields: BTreeSet<FieldName>) -> Self {
        let of_mapping = mapping.fills();
        let elsewhere: BTreeSet<FieldName> = fields.difference(&of_mapping).cloned().collect();
        fields.extend(ALWAYS.map(|name| FieldName::from_keys(name.split('.'))));
        let mut constants: BTreeMap<FieldName, Vec<Scalar>> = BTreeMap::new();
        let dataset = FieldName::from_keys(["event", "dataset"]);
        constants.insert(dataset, vec![Scalar::from(mapping.name.as_str())]);
        // What every event is unless the mapping says otherwise.
        constants.insert(FieldName::from_keys(["event.kind"]), vec![Scalar::from("event")]);
        let mut open = BTreeSet::new();
        let mut read = Vec::new();
        let of_cases = mapping.cases.iter().flat_map(|case| &case.fields);
        for (field, source) in mapping.fields.iter().chain(of_cases) {
            if let Source::Path { paths, .. } | Source::Join { paths, .. } = source {
                read.extend(paths.iter().map(|path| (path.clone(), field.clone())));
            }
            match source {
                Source::Nothing => {}
                Source::Value(values) => {
                    constants.entry(field.clone()).or_default().extend(values.iter().cloned());
                }
                Source::Path { .. } | Source::Join { .. } | Source::Lookup { .. } => {
                    open.insert(field.clone());
                }
            }
        }
        for (field, values) in mapping.classes.iter().flat_map(|class| &class.set) {
            constants.entry(field.clone()).or_default().extend(values.iter().cloned());
        }
        constants.retain(|field, _| !open.contains(field) && !elsewhere.contains(field));
        Self { name: mapping.name.clone(), any: mapping.common, fields, read, constants }
    }

    /// The mapping's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a field may be there in some event of this mapping.
    pub fn can_fill(&self, field: &FieldName) -> bool {
        self.any || !field.is_common() || field.is_pattern() || self.fields.contains(field)
    }

    /// The fields for which it reads a path of the record, each once, in the order of the file; the
    /// path as people write it who know only the record: without `raw.`, in any case. With each the
    /// path as it is.
    pub fn read_from(&self, path: &str) -> Vec<(&FieldName, &FieldName)> {
        let mut fields: Vec<(&FieldName, &FieldName)> = Vec::new();
        for (own, field) in &self.read {
            let dotted = own.dotted();
            let is_it =
                dotted.strip_prefix("raw.").is_some_and(|own| own.eq_ignore_ascii_case(path));
            if is_it && !fields.iter().any(|(_, known)| *known == field) {
                fields.push((own, field));
            }
        }
        fields
    }

    /// The only values that it ever gives a field, none if it does not fill it; `None` when records or
    /// tables have more.
    pub fn only_values(&self, field: &FieldName) -> Option<&[Scalar]> {
        match self.constants.get(field) {
            _ if self.any => None,
            Some(values) => Some(values),
            None if self.can_fill(field) => None,
            None => Some(&[]),
        }
    }

    /// Whether some event of this mapping may meet a query: never `false` of one that does.
    pub fn may_meet(&self, query: &Query) -> bool {
        self.any || self.may(query.expr())
    }

    fn may(&self, expr: &Expr) -> bool {
        match expr {
            Expr::And(parts) => parts.iter().all(|part| self.may(part)),
            Expr::Or(parts) => parts.iter().any(|part| self.may(part)),
            Expr::Not(_) | Expr::FreeText(_) => true,
            Expr::Term(term) => self.may_term(term),
        }
    }

    /// A missing field makes its term false; a field of few values can only equal one of them.
    fn may_term(&self, term: &Term) -> bool {
        if !self.can_fill(&term.field) {
            return false;
        }
        match (&term.test, self.constants.get(&term.field)) {
            (Test::Same(other, _), _) => self.can_fill(other),
            (Test::Equals(Literal::Text(text), _), Some(constants)) => {
                constants.iter().any(|own| {
                    // Numbers and truth have several spellings: let them pass.
                    !matches!(own, Scalar::Text(own) if !fold::equal(own, text))
                })
            }
            _ => true,
        }
    }
}

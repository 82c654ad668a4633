//! Whether a query could be true of an event of which only some fields are known.

use std::collections::BTreeMap;

use super::ast::{Expr, Literal, Term, Test};
use super::print::pattern_text;
use super::{Query, Sets, compile};
use crate::base::{Position, Timestamp};
use crate::event::{Event, FieldName, Layout, Scalar};

impl Query {
    /// Whether there may be an event that has these values in these fields, whatever it has in
    /// others, and meets the query. Never wrongly `false`.
    pub fn could_match(&self, known: &BTreeMap<FieldName, Vec<Scalar>>, sets: &Sets) -> bool {
        could(&self.expr, true, known, sets)
    }
}

impl Term {
    /// Whether it holds for an event with this value alone in its field, or may hold.
    pub fn may_be(&self, value: &Scalar, sets: &Sets) -> bool {
        let known = [(self.field.clone(), vec![value.clone()])].into();
        could(&Expr::Term(self.clone()), true, &known, sets)
    }

    /// The text or wildcards that it asks for, as written without quotes.
    pub fn asked(&self) -> Option<String> {
        match &self.test {
            Test::Equals(Literal::Text(text), _) => Some(text.to_string()),
            Test::Like(pattern, _) => Some(pattern_text(pattern)),
            _ => None,
        }
    }
}

/// Whether `expr` could be `wanted`.
fn could(expr: &Expr, wanted: bool, known: &BTreeMap<FieldName, Vec<Scalar>>, sets: &Sets) -> bool {
    let below = |expr: &Expr| could(expr, wanted, known, sets);
    match expr {
        // All must be true, or one of them false.
        Expr::And(parts) if wanted => parts.iter().all(below),
        Expr::Or(parts) if !wanted => parts.iter().all(below),
        Expr::And(parts) | Expr::Or(parts) => parts.iter().any(below),
        Expr::Not(inner) => could(inner, !wanted, known, sets),
        Expr::Term(term) if decidable(term, known, sets) => {
            holds(term, known, sets).is_none_or(|holds| holds == wanted)
        }
        Expr::Term(_) | Expr::FreeText(_) => true,
    }
}

/// Whether the known fields alone say what the term is, now and later.
fn decidable(term: &Term, known: &BTreeMap<FieldName, Vec<Scalar>>, sets: &Sets) -> bool {
    let settled = match &term.test {
        Test::Same(other, _) => known.contains_key(other),
        Test::In(list) => !sets.may_change(list),
        _ => true,
    };
    settled && known.contains_key(&term.field)
}

/// What the term is; `None` when it does not compile.
fn holds(term: &Term, known: &BTreeMap<FieldName, Vec<Scalar>>, sets: &Sets) -> Option<bool> {
    let mut layout = Layout::new();
    let matcher = compile::compile(&Expr::Term(term.clone()), &mut layout, sets).ok()?;
    let nowhere = Position::new("", 0, 0);
    let mut event = Event::empty(&layout, nowhere, Timestamp::MIN, "".into());
    for (field, values) in known {
        if let Some(slot) = layout.find(field) {
            event.extend(slot, values.iter().cloned());
        }
        let present = layout.iter().find_map(|(id, wanted)| {
            let asks = matches!(wanted, crate::event::Wanted::Present(have) if have == field);
            (asks && !values.is_empty()).then_some(id)
        });
        if let Some(present) = present {
            event.push(present, Scalar::Bool(true));
        }
    }
    Some(matcher.matches(&event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Diagnostics;
    use crate::base::document::Document;

    fn could(query: &str) -> bool {
        let field = |name: &str| FieldName::parse(name).unwrap();
        let known = BTreeMap::from([
            (field("rule.id"), vec!["common/failed-logins".into()]),
            (field("rule.tags"), vec!["a".into(), "b".into()]),
            (field("user.email"), Vec::new()),
        ]);
        Query::parse(query).unwrap().could_match(&known, &Sets::default())
    }

    #[test]
    fn a_list_from_a_file_may_hold_anything_tomorrow() {
        let text = "[lists.fixed]\nvalues = ['x']\n[lists.watched]\nfile = 'f'\n";
        let document = Document::parse(text);
        let mut found = Diagnostics::new();
        let mut root = document.root(&mut found);
        let sets = Sets::parse_tables(&mut root, &mut |_| Ok("x\n".to_owned()), &mut found);
        let known = BTreeMap::from([(FieldName::parse("rule.id").unwrap(), vec!["a".into()])]);
        let could = |query| Query::parse(query).unwrap().could_match(&known, &sets);
        assert!(!could("rule.id: @fixed") && could("not rule.id: @fixed"));
        assert!(could("rule.id: @watched") && could("not rule.id: @watched"));
    }

    #[test]
    fn what_is_known_decides_and_all_else_may_be_anything() {
        for (query, expected) in [
            ("rule.id: common/failed-logins", true),
            ("rule.id: common/*", true),
            ("rule.id: okta/*", false),
            ("rule.id: *", true),
            ("user.email: *", false),
            ("not user.email: *", true),
            ("not rule.id: common/*", false),
            ("not rule.id: okta/* and user.name: bob", true),
            ("rule.id: okta/* or user.name: bob", true),
            ("rule.id: okta/* or not rule.tags: b", false),
            ("not (rule.id: okta/* or rule.tags: c)", true),
            ("not (rule.id: common/* or user.name: bob)", false),
            ("not (rule.id: common/* and user.name: bob)", true),
            ("rule.id: $user.name", true),
            ("\"any text\" and rule.tags: (a and b)", true),
        ] {
            assert_eq!(could(query), expected, "{query}");
        }
    }
}

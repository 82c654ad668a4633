//! Values that no event can have, by what the mappings give: a field that they fill only from values of
//! their own has no others, so a term that asks for another is false of every event.

use crate::base::{Diagnostic, suggest};
use crate::event::FieldName;
use crate::mapping::Mappings;
use crate::query::ast::{Expr, Term};
use crate::query::{Query, Sets, has_words};

/// Values that are named in a help at most.
const VALUES_SHOWN_MAX: usize = 12;

/// What is to be said of a query of events that these mappings make.
pub(super) fn unknown(query: &Query, mappings: &Mappings, sets: &Sets) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    // Alerts are events of their own.
    if !query.needs_alerts() {
        look(query.expr(), false, &mut |term, is_one_of_many| {
            found.extend(of_term(term, is_one_of_many, mappings, sets));
        });
    }
    found
}

/// Every term of the outer event, and whether it is one of several ways to meet the query.
fn look(expr: &Expr, one_of_many: bool, visit: &mut dyn FnMut(&Term, bool)) {
    match expr {
        Expr::And(parts) => parts.iter().for_each(|part| look(part, one_of_many, visit)),
        Expr::Or(parts) => parts.iter().for_each(|part| look(part, true, visit)),
        // What is kept out may well never come.
        Expr::Not(inner) => look(inner, true, visit),
        Expr::Term(term) => visit(term, one_of_many),
        Expr::FreeText(_) => {}
    }
}

fn of_term(
    term: &Term,
    is_one_of_many: bool,
    mappings: &Mappings,
    sets: &Sets,
) -> Option<Diagnostic> {
    let field = &term.field;
    let asked = term.asked()?;
    // A rule for every product may well name words of ECS that those which are there do not need.
    if field.is_pattern() || (is_one_of_many && has_words(field)) {
        return None;
    }
    let values = mappings.only_values(field)?;
    if values.iter().any(|value| term.may_be(value, sets)) {
        return None;
    }
    let names: Vec<String> = values.iter().map(ToString::to_string).collect();
    let help = match suggest::nearest(&asked, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => inside(&asked, &names)
            .map_or_else(|| told(&names), |near| format!("did you mean `{near}`?")),
    };
    let message = if is_dataset(field) {
        format!("there is no mapping `{asked}`, and `{field}` is the mapping's name")
    } else {
        format!("no mapping gives `{field}` the value `{asked}`, so no event has it")
    };
    let span = term.test_span.0.clone();
    Some(Diagnostic::warning("unknown-value", span, message).help(help))
}

fn is_dataset(field: &FieldName) -> bool {
    field.dotted() == "event.dataset"
}

/// The one name that is a part of what was asked for: `cloudtrail` of `aws.cloudtrail`.
fn inside<'n>(asked: &str, names: &'n [String]) -> Option<&'n str> {
    let asked = asked.to_lowercase();
    let is_part = |name: &&String| asked.split(['.', '-', '/', ':', '*']).any(|part| part == *name);
    let mut parts = names.iter().filter(is_part);
    let first = parts.next()?;
    parts.next().is_none().then_some(first)
}

fn told(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().map(String::as_str).take(VALUES_SHOWN_MAX).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("it has only these values: {}{more}", shown.join(", "))
}

//! Queries inside rule files: their mistakes get carets in the file that holds them.

use crate::base::document::Text;
use crate::base::{Diagnostic, Diagnostics};
use crate::event::{FieldName, Layout};
use crate::query::Query;

use super::fields::{self, Scope};
use super::{Context, values};

/// Parses a query and checks its fields, lists and schedules; everything wrong or doubtful is
/// reported in the file's own places.
pub(super) fn read(
    text: &Text,
    scope: Scope,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> Option<Query> {
    let place = |diagnostic: Diagnostic| diagnostic.moved(|span| text.locate(span));
    let advise = |field: &FieldName| fields::advise(field, scope, context);
    let query = match Query::parse(&text.value) {
        Ok(query) => query,
        Err(mistakes) => {
            found.extend(mistakes.into_iter().map(place));
            // What is right in it is looked at as well: all at once, not one run after the other.
            found.extend(Query::check_rest(&text.value, &advise).into_iter().map(place));
            return None;
        }
    };
    let errors = found.errors();
    let doubts = query.check(&advise);
    if let Some(mappings) = context.mappings.filter(|_| scope != Scope::Test) {
        let values = values::unknown(&query, mappings, context.sets).into_iter();
        // One doubt about a value is enough.
        let values = values.filter(|value| doubts.iter().all(|doubt| doubt.span != value.span));
        found.extend(values.map(place));
    }
    found.extend(doubts.into_iter().map(place));
    // A layout of its own: what matters here is only what the sets' names say.
    if let Err(mistakes) = query.compile(&mut Layout::new(), context.sets) {
        found.extend(mistakes.into_iter().map(place));
    }
    (found.errors() == errors).then_some(query)
}

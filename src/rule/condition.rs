//! Queries inside rule files: their mistakes get carets in the file that holds them.

use crate::base::document::Text;
use crate::base::{Diagnostic, Diagnostics};
use crate::event::Layout;
use crate::query::Query;

use super::Context;
use super::fields::{self, Scope};

/// Parses a query and checks its fields, lists and schedules; everything wrong or doubtful is
/// reported in the file's own places.
pub(super) fn read(
    text: &Text,
    scope: Scope,
    context: &Context<'_>,
    found: &mut Diagnostics,
) -> Option<Query> {
    let place = |diagnostic: Diagnostic| diagnostic.moved(|span| text.locate(span));
    let query = match Query::parse(&text.value) {
        Ok(query) => query,
        Err(mistakes) => {
            found.extend(mistakes.into_iter().map(place));
            return None;
        }
    };
    let errors = found.errors();
    found
        .extend(query.check(&|field| fields::advise(field, scope, context)).into_iter().map(place));
    // A layout of its own: what matters here is only what the sets' names say.
    if let Err(mistakes) = query.compile(&mut Layout::new(), context.sets) {
        found.extend(mistakes.into_iter().map(place));
    }
    (found.errors() == errors).then_some(query)
}

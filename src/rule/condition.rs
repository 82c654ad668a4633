//! Queries inside rule files: their mistakes get carets in the file that holds them.

use crate::base::document::Text;
use crate::base::{Diagnostic, Diagnostics};
use crate::event::{FieldName, Layout, Wanted};
use crate::query::{Query, Sets};

use super::Context;
use super::fields::{self, Scope};

/// Parses a query and checks its fields, lists and schedules; everything wrong is reported in the
/// file's own places.
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
    // A layout of its own: the names that the query reads, and nobody else's.
    let mut layout = Layout::new();
    let sets_known = match query.compile(&mut layout, context.sets) {
        Ok(_) => true,
        Err(mistakes) => {
            found.extend(mistakes.into_iter().map(place));
            false
        }
    };
    let before = found.errors();
    for field in wanted(&layout) {
        let name = field.to_string();
        let at = text.value.find(&name).map_or(0..text.value.len(), |at| at..at + name.len());
        fields::check(&field, text.locate(at), scope, context, found);
    }
    (sets_known && found.errors() == before).then_some(query)
}

/// The fields that a query reads.
pub(super) fn fields_of(query: &Query) -> Vec<FieldName> {
    let mut layout = Layout::new();
    // Unknown sets were reported when the query was read; the names are wanted all the same.
    let _reported = query.compile(&mut layout, &Sets::default());
    wanted(&layout)
}

fn wanted(layout: &Layout) -> Vec<FieldName> {
    layout
        .iter()
        .filter_map(|(_, wanted)| match wanted {
            Wanted::Values(field) | Wanted::Elements(field) | Wanted::Present(field) => {
                Some(field.clone())
            }
            Wanted::AnyText => None,
        })
        .collect()
}

//! What a detector may ask for while its table is read: the rest of the rule, and the world outside.

use crate::base::Diagnostics;
use crate::base::document::Text;
use crate::event::FieldName;
use crate::query::{Query, Sets};

/// The rule around a detector's table. What is wrong is reported with its place.
pub trait Reading {
    /// Reads a query of the rule's language.
    fn query(&self, text: &Text, found: &mut Diagnostics) -> Option<Query>;

    /// The same, of a step that may compare with the events of earlier ones (`$steps.name.field`).
    fn step_query(&self, text: &Text, found: &mut Diagnostics) -> Option<Query>;

    /// Reads a field of the event; one that does not exist is an error that names the nearest one.
    fn field(&self, text: &Text, found: &mut Diagnostics) -> Option<FieldName>;

    /// Reads a field that names the key for a step or part: without it an event takes no part.
    fn key_field(&self, text: &Text, found: &mut Diagnostics) -> Option<FieldName>;

    /// The rule's `group_by`.
    fn group_by(&self) -> &[FieldName];

    /// Whether the rule has a `when` of its own.
    fn has_when(&self) -> bool;

    /// The lists and schedules that there are.
    fn sets(&self) -> &Sets;
}

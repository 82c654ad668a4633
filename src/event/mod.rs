//! What happened, in the common fields: values, field names, the layout of what anything loaded
//! reads, and the decoding of a record's bytes into exactly those fields.
//!
//! This folder does not know queries or mappings; it offers what both are built on.

pub mod decode;
pub mod field;
pub mod habits;
pub mod layout;
mod plan;
mod record;
pub mod schema;
pub mod value;
mod visit;

pub use field::{FieldName, Segment};
pub use layout::{FieldId, Layout, Wanted};
pub use record::{Event, Slot};
pub use value::{Number, Scalar};

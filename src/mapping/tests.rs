//! Mapping files as written, and what becomes of records.

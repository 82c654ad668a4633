//! How one product's record becomes an event.

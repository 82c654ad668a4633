//! Hark listens to audit events in Kafka.

pub mod alert;
pub mod base;
pub mod detectors;
pub mod event;
pub mod mapping;
pub mod query;
pub mod rule;

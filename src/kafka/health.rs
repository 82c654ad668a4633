//! What a worker says about itself, for readiness: whether it works, and if not, why.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The state of one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It has not joined its group yet, or a topic it needs is missing; the text says which.
    Waiting(String),
    /// It owns this many partitions. None is fine: others have them all.
    Ready(usize),
    /// It went back to the last committed position and tries again; the text is the last error.
    Retrying(String),
    /// It gave up; the daemon must say so and end.
    Failed(String),
    /// It was told to stop, and did.
    Stopped,
}

impl State {
    /// Whether the worker does its duty.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(why) => write!(f, "waiting: {why}"),
            Self::Ready(partitions) => write!(f, "ready: {partitions} partitions"),
            Self::Retrying(why) => write!(f, "retrying: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// A worker's state, shared between the worker that sets it and those who ask. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Health(Arc<Mutex<State>>);

impl Health {
    /// The health of a worker that has yet to join its group.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State::Waiting("not yet assigned".to_owned()))))
    }

    /// The present state.
    pub fn state(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what the state is now.
    pub fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owning_nothing_is_ready_and_the_reason_is_told_otherwise() {
        let health = Health::new();
        assert!(!health.state().is_ready());
        health.clone().set(State::Ready(0));
        assert!(health.state().is_ready());
        health.set(State::Retrying("no broker".to_owned()));
        assert_eq!(health.state().to_string(), "retrying: no broker");
    }
}

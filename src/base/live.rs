//! Contents that change while they are used: lists and tables read from files.
//!
//! A [`Live`] value is replaced whole, so that nobody ever sees half of it; a [`Gate`] keeps
//! replacing and the work on a record apart, so that one record is judged by the same contents from
//! beginning to end. Who watches the files is the shell's business.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use arc_swap::ArcSwap;

/// A value that is replaced whole while others read it. Clones share it.
#[derive(Debug)]
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// With its first contents.
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// Looks at the contents of now; costs no lock.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.load())
    }

    /// The contents of now, to keep.
    pub fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Puts others in their place and gives back what was there. Belongs inside of [`Gate::change`].
    pub fn replace(&self, value: T) -> Arc<T> {
        self.0.swap(Arc::new(value))
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> From<T> for Live<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Default> Default for Live<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// Lets contents change only between two records. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<RwLock<()>>);

impl Gate {
    /// While this is held nothing changes. To be held while computing and never while waiting: a
    /// change waits for it, and everybody else then waits for the change.
    pub fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes changes while nobody holds the gate. They should be ready made: this holds up everybody.
    pub fn change<R>(&self, change: impl FnOnce() -> R) -> R {
        let _alone = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_their_contents_and_what_was_taken_stays() {
        let live = Live::new(vec![1]);
        let (shared, before) = (live.clone(), live.get());
        assert_eq!(*live.replace(vec![1, 2]), [1]);
        assert_eq!((shared.with(Vec::len), before.len()), (2, 1));
    }
}

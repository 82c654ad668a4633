//! A signal that ends waiting: one side says stop, any number of others hear it.

use tokio::sync::watch;

/// The side that says stop; dropping it says so too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// The side that hears it. Clones hear the same signal.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// A new signal.
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Says stop; for good.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether stop was said.
    pub fn is_set(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Ends when stop is said.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        // An error means that the other side is gone, which is the same.
        let _gone = receiver.wait_for(|stopped| *stopped).await.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn saying_stop_and_going_away_are_the_same() {
        let (stopper, heard) = stop();
        assert!(!heard.is_set());
        stopper.stop();
        assert!(heard.is_set());
        heard.wait().await;

        let (stopper, heard) = stop();
        drop(stopper);
        assert!(heard.is_set());
        heard.wait().await;
    }
}

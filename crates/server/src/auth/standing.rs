//! Whether what somebody came with is still good: a token, a session, the key of another issuer. Whoever holds a grant of it
//! is told when it is not.

use std::sync::Arc;
use tokio::sync::watch;

#[derive(Debug)]
pub struct Standing(watch::Sender<bool>);

impl Standing {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(false)))
    }

    /// From now on it is worth nothing.
    pub fn end(&self) {
        self.0.send_replace(true);
    }

    pub fn has_ended(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        let _ = self.0.subscribe().wait_for(|ended| *ended).await;
    }
}

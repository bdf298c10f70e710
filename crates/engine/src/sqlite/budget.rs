//! How long a statement may run, and who may stop it: SQLite's progress handler looks every thousand steps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Virtual machine steps between two looks: some 20 µs of work.
pub const STEPS: i32 = 1000;

/// Set by whoever gives up on a request; the statement ends at its next look.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Cancels when dropped: held by the future that waits for the answer.
#[derive(Debug)]
pub struct CancelOnDrop(pub Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[derive(Debug, Default)]
struct Running {
    deadline: Option<Instant>,
    /// Looks that must have been taken before the deadline counts: a quick statement whose thread was held up by the
    /// system is not slow.
    looks_free: u32,
    cancel: Option<Cancel>,
}

impl Running {
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || self.cancel.as_ref().is_some_and(Cancel::is_cancelled)
    }
}

/// One connection's budget, shared with its progress callback.
#[derive(Debug, Default)]
pub struct Budget {
    running: Mutex<Running>,
}

impl Budget {
    pub fn start(&self, time: Duration, looks_free: u32, cancel: Option<Cancel>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) =
            Running { deadline: Some(Instant::now() + time), looks_free, cancel };
    }

    pub fn stop(&self) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Running::default();
    }

    fn is_spent(&self) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.looks_free > 0 {
            running.looks_free -= 1;
            return false;
        }
        running.is_over()
    }

    /// The same outside of SQLite's steps, where nobody was held up: is the time over, or was the request given up?
    pub fn is_over(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.is_over()
    }

    pub fn callback(self: Arc<Self>) -> impl FnMut() -> bool + Send + 'static {
        move || self.is_spent()
    }
}

//! The warden: whoever listens to a topic without being allowed to any more is told so, and listens no longer.
//!
//! A thread that is woken when policies, or what those on topics ask, may have changed. It looks at every caller's listening
//! once, and then not again for a moment, however much is written meanwhile.

use super::Bound;
use crate::access::messages::Deed;
use crate::error::Error;
use crate::shared::Shared;
use crate::sqlite::Sqlite;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Between two looks.
const PACE: Duration = Duration::from_millis(100);

/// What the warden is to do.
#[derive(Debug, Default)]
struct Orders {
    /// How often there was a reason to look.
    reasons: u64,
    seen: u64,
    stops: bool,
}

/// Where it is woken.
#[derive(Debug, Default)]
pub struct Bell {
    orders: Mutex<Orders>,
    rung: Condvar,
}

impl Bell {
    fn orders(&self) -> std::sync::MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a caller may listen to may be something else now.
    pub fn ring(&self) {
        self.orders().reasons += 1;
        self.rung.notify_one();
    }

    /// Grows with every reason.
    pub fn reasons(&self) -> u64 {
        self.orders().reasons
    }

    pub fn stop(&self) {
        self.orders().stops = true;
        self.rung.notify_one();
    }

    /// Waits for a reason to look; false to stop.
    fn wait(&self) -> bool {
        let is_idle = |orders: &mut Orders| !orders.stops && orders.reasons == orders.seen;
        let mut orders = self.rung.wait_while(self.orders(), is_idle).unwrap_or_else(PoisonError::into_inner);
        orders.seen = orders.reasons;
        !orders.stops
    }

    /// Lets a moment pass.
    fn rest(&self) {
        let wait = self.rung.wait_timeout_while(self.orders(), PACE, |orders| !orders.stops);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Runs until told to stop.
pub fn run(mut sqlite: Sqlite, shared: &Arc<Shared>) {
    while shared.bell.wait() {
        if catch_unwind(AssertUnwindSafe(|| look(&mut sqlite, shared))).is_err() {
            tracing::error!("looking after the listeners of topics panicked");
        }
        shared.bell.rest();
    }
}

/// One question, of all who ask the same: about which topic, who, and with which state.
type Question = (Box<str>, String, Option<Box<str>>);

fn look(sqlite: &mut Sqlite, shared: &Shared) {
    let mut answers: HashMap<Question, Option<String>> = HashMap::new();
    for bound in shared.topics.bound() {
        let whose = bound.session.principal.caller().map(|caller| format!("{caller}\0{}", caller.claims));
        let question = (bound.topic.clone(), whose.unwrap_or_default(), bound.presence.clone());
        let refusal = answers.entry(question).or_insert_with(|| ask(sqlite, shared, &bound).err().map(|e| e.message));
        if let Some(reason) = refusal {
            shared.topics.end(&bound, &Error::forbidden(reason.clone()));
        }
    }
}

fn ask(sqlite: &mut Sqlite, shared: &Shared, bound: &Bound) -> crate::error::Result<()> {
    let (access, time) = (shared.access(), shared.limits.topic_check_time_max);
    let principal = &bound.session.principal;
    access.admit(sqlite, principal, &bound.topic, Deed::Listen, "", time)?;
    match &bound.presence {
        Some(state) => access.admit(sqlite, principal, &bound.topic, Deed::BePresent, state, time),
        None => Ok(()),
    }
}

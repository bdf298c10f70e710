//! Tickets: for a socket, where a browser cannot send a token in a header. Each serves once, soon, and for whoever got it.

use super::Grant;
use super::secret::{self, Hash};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidebase_engine::{Error, Result};

pub const TICKET_LIFE: Duration = Duration::from_mins(1);
const TICKETS_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub struct Tickets(Mutex<HashMap<Hash, (Instant, Grant)>>);

impl Tickets {
    /// # Errors
    /// `too_many` if too many are waiting to be used.
    pub fn issue(&self, grant: Grant) -> Result<String> {
        let ticket = secret::new_token("ticket_")?;
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= TICKETS_MAX {
            tickets.retain(|_, (issued, _)| issued.elapsed() < TICKET_LIFE);
        }
        if tickets.len() >= TICKETS_MAX {
            return Err(Error::too_many("Too many tickets are waiting to be used. Try again in a minute."));
        }
        tickets.insert(secret::hash(&ticket), (Instant::now(), grant));
        Ok(ticket)
    }

    /// Whose it is; `None` if it is no ticket.
    ///
    /// # Errors
    /// `unauthorized` past its life.
    pub fn redeem(&self, given: &str) -> Result<Option<Grant>> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&secret::hash(given)) {
            Some((issued, grant)) if issued.elapsed() < TICKET_LIFE => Ok(Some(grant)),
            Some(_) => Err(Error::unauthorized("The ticket has expired; get a new one from POST /auth/ticket.")),
            None => Ok(None),
        }
    }
}

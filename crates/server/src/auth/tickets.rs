//! Tickets: for a socket, where a browser cannot send a token in a header. Each serves once, soon, and for whoever got it.

use super::Grant;
use super::allowance::Who;
use super::secret::{self, Hash};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidebase_engine::{Error, Result};

pub const TICKET_LIFE: Duration = Duration::from_mins(1);
const TICKETS_MAX: usize = 10_000;
/// Of one caller; the administrator may have all.
const CALLERS_TICKETS_MAX: usize = 100;

#[derive(Debug, Default)]
pub struct Tickets(Mutex<HashMap<Hash, Ticket>>);

#[derive(Debug)]
struct Ticket {
    issued: Instant,
    grant: Grant,
    who: Who,
}

impl Tickets {
    /// # Errors
    /// `too_many` if too many are waiting to be used.
    pub fn issue(&self, grant: Grant, who: Who) -> Result<String> {
        let ticket = secret::new_token("ticket_")?;
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= TICKETS_MAX / 2 {
            tickets.retain(|_, ticket| ticket.issued.elapsed() < TICKET_LIFE);
        }
        let is_theirs = |ticket: &&Ticket| ticket.who == who && ticket.issued.elapsed() < TICKET_LIFE;
        let is_greedy = who.is_some() && tickets.values().filter(is_theirs).count() >= CALLERS_TICKETS_MAX;
        if tickets.len() >= TICKETS_MAX || is_greedy {
            return Err(Error::too_many("Too many tickets are waiting to be used. Try again in a minute."));
        }
        tickets.insert(secret::hash(&ticket), Ticket { issued: Instant::now(), grant, who });
        Ok(ticket)
    }

    /// Whose it is; `None` if it is no ticket.
    ///
    /// # Errors
    /// `unauthorized` past its life.
    pub fn redeem(&self, given: &str) -> Result<Option<Grant>> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&secret::hash(given)) {
            Some(ticket) if ticket.issued.elapsed() < TICKET_LIFE => Ok(Some(ticket.grant)),
            Some(_) => Err(Error::unauthorized("The ticket has expired; get a new one from POST /auth/ticket.")),
            None => Ok(None),
        }
    }
}

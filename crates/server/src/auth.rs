//! Who is asking: tokens compared in constant time, and single-use tickets for sockets.
//!
//! Until there are client tokens and users, the administrator is the only principal.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq as _;
use tidebase_engine::{Error, Result};

/// The name under which the hash of a generated token is kept in the file.
pub const SETTING: &str = "admin_token_hash";

pub const TICKET_LIFE: Duration = Duration::from_mins(1);
const TICKETS_MAX: usize = 10_000;

type Hash = [u8; 32];

pub struct Auth {
    admin: Hash,
    tickets: Mutex<HashMap<Hash, Instant>>,
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// A token's hash as it is stored. Tokens are random, so a plain hash cannot be guessed back.
pub fn stored_hash(token: &str) -> String {
    BASE64.encode(hash(token))
}

/// A new random token.
pub fn new_token(prefix: &str) -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal("no random numbers").caused_by(error.to_string()))?;
    Ok(format!("{prefix}{}", BASE64.encode(bytes)))
}

impl Auth {
    pub fn with_token(token: &str) -> Self {
        Self { admin: hash(token), tickets: Mutex::default() }
    }

    /// From what [`stored_hash`] made.
    pub fn with_stored_hash(stored: &str) -> Result<Self> {
        let admin = BASE64.decode(stored).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
            Error::internal("the stored admin token cannot be read; `tidebase token reset-admin` makes a new one")
        })?;
        Ok(Self { admin, tickets: Mutex::default() })
    }

    /// # Errors
    /// `unauthorized` without a token or with a wrong one.
    pub fn check_token(&self, token: Option<&str>) -> Result<()> {
        let Some(token) = token else {
            return Err(Error::unauthorized("This needs a token: send the header Authorization: Bearer <token>."));
        };
        if bool::from(hash(token).ct_eq(&self.admin)) {
            Ok(())
        } else {
            Err(Error::unauthorized("The token is wrong."))
        }
    }

    /// A ticket serves once, within its life.
    ///
    /// # Errors
    /// `too_many` if too many are waiting to be used.
    pub fn issue_ticket(&self) -> Result<String> {
        let ticket = new_token("ticket_")?;
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= TICKETS_MAX {
            tickets.retain(|_, issued| issued.elapsed() < TICKET_LIFE);
        }
        if tickets.len() >= TICKETS_MAX {
            return Err(Error::too_many("Too many tickets are waiting to be used. Try again in a minute."));
        }
        tickets.insert(hash(&ticket), Instant::now());
        Ok(ticket)
    }

    /// For sockets: a ticket, or a token where a browser can send no header.
    pub fn check_ticket_or_token(&self, given: &str) -> Result<()> {
        let ticket = self.tickets.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(given));
        match ticket {
            Some(issued) if issued.elapsed() < TICKET_LIFE => Ok(()),
            Some(_) => Err(Error::unauthorized("The ticket has expired; get a new one from POST /auth/ticket.")),
            None => self.check_token(Some(given)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_serves_once_and_a_token_always() {
        let auth = Auth::with_token("secret");
        let ticket = auth.issue_ticket().unwrap();
        assert!(auth.check_token(Some(&ticket)).is_err());
        assert!(auth.check_ticket_or_token(&ticket).is_ok());
        assert!(auth.check_ticket_or_token(&ticket).is_err());
        assert!(auth.check_ticket_or_token("secret").is_ok());
        assert!(auth.check_token(Some("Secret")).is_err());
        assert!(auth.check_token(None).is_err());
        let again = Auth::with_stored_hash(&stored_hash("secret")).unwrap();
        assert!(again.check_token(Some("secret")).is_ok());
    }
}

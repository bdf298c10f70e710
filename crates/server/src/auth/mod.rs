//! Who is asking: what a token, or a ticket for a socket, stands for, and for how long.
//!
//! The administrator's first token is given, or made at the first start; [`tokens`] are those with a name, [`people`] sign in
//! and get tokens that are signed here, and tokens of other [`issuers`] are taken if the settings name them. Whom policies bind
//! the engine knows as a [`Principal`]; here it gets one.

pub mod allowance;
pub mod issuers;
pub mod people;
pub mod row;
pub mod secret;
mod signing;
mod standing;
mod tickets;
pub mod tokens;

pub use tickets::TICKET_LIFE;

use allowance::Who;
use issuers::Issuers;
use people::People;
use secret::Hash;
use standing::Standing;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tickets::Tickets;
use tidebase_engine::{Caller, Engine, Error, Principal, Result, Role};
use tokens::{Token, Tokens, Wanted, now};

/// The name under which the hash of a generated token is kept in the file.
pub const SETTING: &str = "admin_token_hash";

/// What `auth.uid()` gives for the client token of the settings.
const CLIENT: &str = "client";

/// Signed tokens whose grants are remembered; past it all are forgotten, and checked again when they come.
const CHECKED_MAX: usize = 20_000;

/// Who somebody is, by what, and until when.
#[derive(Clone, Debug)]
pub struct Grant {
    pub principal: Principal,
    /// Seconds since 1970; none is for ever.
    expires_at: Option<i64>,
    standing: Option<Arc<Standing>>,
    /// The session, of people who have signed in here.
    pub session: Option<Arc<str>>,
    /// For the logs, of a token with a name: its role and its id.
    named: Option<Arc<str>>,
}

impl Grant {
    /// For the logs: which token, if it has a name, or else the role and what `auth.uid()` gives.
    pub fn who(&self) -> String {
        match (&self.named, &self.principal) {
            (Some(named), _) => named.to_string(),
            (None, Principal::Admin) => "admin".into(),
            (None, Principal::Caller(caller)) => caller.to_string(),
        }
    }

    /// Which of the administrator's tokens it is, if that has a name.
    pub fn admin_token(&self) -> Option<Arc<str>> {
        self.named.clone().filter(|_| matches!(self.principal, Principal::Admin))
    }

    /// For ever.
    fn of(principal: Principal) -> Self {
        Self { principal, expires_at: None, standing: None, session: None, named: None }
    }

    /// Is what it came from still good?
    pub fn is_good(&self) -> bool {
        self.expires_at.is_none_or(|at| at > now())
            && self.standing.as_ref().is_none_or(|standing| !standing.has_ended())
    }

    /// Does it stand for the same, so that one can go on with what the other began?
    pub fn is_like(&self, principal: &Principal) -> bool {
        match (&self.principal, principal) {
            (Principal::Admin, Principal::Admin) => true,
            (Principal::Caller(mine), Principal::Caller(its)) => mine == its,
            _ => false,
        }
    }

    /// From now on whatever came with it is worth nothing.
    fn end(&self) {
        if let Some(standing) = &self.standing {
            standing.end();
        }
    }

    /// Waits until it is good no more: revoked, or its time has passed. For ever, if that cannot be.
    pub async fn ended(&self) {
        let revoked = async {
            match &self.standing {
                Some(standing) => standing.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(revoked);
        while self.is_good() {
            let left =
                self.expires_at.map_or(LOOK_EVERY, |at| Duration::from_secs(at.saturating_sub(now()).unsigned_abs()));
            tokio::select! {
                () = &mut revoked => return,
                // Now and then, for the clock may have been set.
                () = tokio::time::sleep(left.min(LOOK_EVERY)) => {}
            }
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(30);

pub struct Auth {
    engine: Arc<Engine>,
    admin: Hash,
    /// The token of the settings, for clients that all are one.
    client: Option<Hash>,
    tokens: Tokens,
    tickets: Tickets,
    pub people: People,
    issuers: Issuers,
    /// Signed tokens that were found good, by their hash.
    checked: RwLock<HashMap<Hash, Grant>>,
}

impl Auth {
    pub async fn new(
        engine: Arc<Engine>,
        admin: Hash,
        client_token: Option<&str>,
        people: people::Settings,
        issuers: &[issuers::Wanted],
    ) -> Result<Self> {
        let tokens = Tokens::load(&engine)?;
        let people = People::load(Arc::clone(&engine), people).await?;
        Ok(Self {
            engine,
            admin,
            client: client_token.map(secret::hash),
            tokens,
            tickets: Tickets::default(),
            people,
            issuers: Issuers::new(issuers)?,
            checked: RwLock::default(),
        })
    }

    /// # Errors
    /// `unauthorized` without a token or with a wrong one.
    pub async fn grant(&self, token: Option<&str>) -> Result<Grant> {
        let Some(token) = token else {
            return Err(Error::unauthorized("This needs a token: send the header Authorization: Bearer <token>."));
        };
        let hash = secret::hash(token);
        if bool::from(hash.ct_eq(&self.admin)) {
            return Ok(Grant::of(Principal::Admin));
        }
        if self.client.is_some_and(|client| bool::from(hash.ct_eq(&client))) {
            let caller = Caller::new(Role::Client, Some(CLIENT.into()));
            return Ok(Grant::of(Principal::Caller(Arc::new(caller))));
        }
        if let Some(grant) = self.tokens.find(&hash) {
            return Ok(grant);
        }
        // Three parts with dots between them are signed; no token of ours has a dot.
        if token.split('.').count() == 3 { self.signed(token, hash).await } else { Err(wrong()) }
    }

    /// Who a signed token stands for. Checking a signature takes longer than answering most requests, so it is remembered.
    async fn signed(&self, token: &str, hash: Hash) -> Result<Grant> {
        let checked = self.checked.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        if let Some(grant) = checked.filter(Grant::is_good) {
            return Ok(grant);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| wrong())?;
        let grant = match self.people.grant(token, &header) {
            Some(grant) => grant?,
            None => self.issuers.grant(token, &header).await?,
        };
        if !grant.is_good() {
            return Err(wrong());
        }
        let mut checked = self.checked.write().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= CHECKED_MAX {
            checked.clear();
        }
        checked.insert(hash, grant.clone());
        Ok(grant)
    }

    /// For sockets: a ticket, or a token where a browser can send no header.
    pub async fn grant_for_socket(&self, given: &str) -> Result<Grant> {
        let Some(grant) = self.tickets.redeem(given)? else { return self.grant(Some(given)).await };
        if grant.is_good() { Ok(grant) } else { Err(ended()) }
    }

    pub fn issue_ticket(&self, grant: Grant, who: Who) -> Result<String> {
        self.tickets.issue(grant, who)
    }

    pub fn tokens(&self) -> Vec<Arc<Token>> {
        self.tokens.list()
    }

    /// A new token with what is known of it; the token itself is told this once.
    pub async fn make_token(&self, wanted: Wanted, who: &str) -> Result<(String, Arc<Token>)> {
        self.tokens.make(&self.engine, wanted, who).await
    }

    /// From its answer on the token is worth nothing, and its sockets are closed.
    pub async fn revoke_token(&self, id: &str, who: &str) -> Result<()> {
        self.tokens.revoke(&self.engine, id, who).await
    }
}

/// Is it what somebody is called here? No other issuer may say so of its own.
fn is_ours(uid: &str) -> bool {
    uid == CLIENT || ["usr_", "tok_"].iter().any(|prefix| uid.starts_with(prefix))
}

/// The same words for every token that is not good: whose it is, and what is wrong with it, is nobody's business.
fn wrong() -> Error {
    Error::unauthorized("The token is wrong, or its time has passed.")
}

fn ended() -> Error {
    Error::unauthorized("The token behind this ticket is good no more.")
}

//! Who is asking: what a token, or a ticket for a socket, stands for, and for how long.
//!
//! The administrator's first token is given, or made at the first start; [`tokens`] are those with a name. Whom policies
//! bind the engine knows as a [`Principal`]; here it gets one.

pub mod secret;
mod tickets;
pub mod tokens;

pub use tickets::TICKET_LIFE;

use secret::Hash;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tickets::Tickets;
use tidebase_engine::{Caller, Engine, Error, Principal, Result, Role};
use tokens::{Token, Tokens, Wanted, now};
use tokio::sync::watch;

/// The name under which the hash of a generated token is kept in the file.
pub const SETTING: &str = "admin_token_hash";

/// What `auth.uid()` gives for the client token of the settings.
const CLIENT: &str = "client";

/// What a socket may outlive its token by is no more than this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who somebody is, and by what.
#[derive(Clone, Debug)]
pub struct Grant {
    pub principal: Principal,
    /// The token behind it, if it has a name.
    token: Option<Arc<Token>>,
}

pub struct Auth {
    engine: Arc<Engine>,
    admin: Hash,
    /// The token of the settings, for clients that all are one.
    client: Option<Hash>,
    tokens: Tokens,
    tickets: Tickets,
    /// Changes when a grant may have ended.
    ended: watch::Sender<u64>,
}

impl Auth {
    pub fn new(engine: Arc<Engine>, admin: Hash, client_token: Option<&str>) -> Result<Self> {
        let tokens = Tokens::load(&engine)?;
        let client = client_token.map(secret::hash);
        Ok(Self { engine, admin, client, tokens, tickets: Tickets::default(), ended: watch::Sender::new(0) })
    }

    /// # Errors
    /// `unauthorized` without a token or with a wrong one.
    pub fn grant(&self, token: Option<&str>) -> Result<Grant> {
        let Some(token) = token else {
            return Err(Error::unauthorized("This needs a token: send the header Authorization: Bearer <token>."));
        };
        let hash = secret::hash(token);
        if bool::from(hash.ct_eq(&self.admin)) {
            return Ok(Grant { principal: Principal::Admin, token: None });
        }
        if self.client.is_some_and(|client| bool::from(hash.ct_eq(&client))) {
            let caller = Caller::new(Role::Client, Some(CLIENT.into()));
            return Ok(Grant { principal: Principal::Caller(Arc::new(caller)), token: None });
        }
        match self.tokens.find(&hash) {
            Some(token) => Ok(Grant { principal: token.principal(), token: Some(token) }),
            None => Err(Error::unauthorized("The token is wrong, or its time has passed.")),
        }
    }

    /// For sockets: a ticket, or a token where a browser can send no header.
    pub fn grant_for_socket(&self, given: &str) -> Result<Grant> {
        let Some(grant) = self.tickets.redeem(given)? else { return self.grant(Some(given)) };
        if self.is_good(&grant) { Ok(grant) } else { Err(ended()) }
    }

    pub fn issue_ticket(&self, grant: Grant) -> Result<String> {
        self.tickets.issue(grant)
    }

    fn is_good(&self, grant: &Grant) -> bool {
        grant
            .token
            .as_ref()
            .is_none_or(|token| token.expires_at.is_none_or(|at| at > now()) && self.tokens.has(&token.id))
    }

    /// Waits until the grant is good no more: revoked, or its time has passed. For ever, if that cannot be.
    pub async fn until_ended(&self, grant: &Grant) {
        let Some(token) = &grant.token else { return std::future::pending().await };
        let mut changes = self.ended.subscribe();
        while self.is_good(grant) {
            let left = token.expires_at.map(|at| Duration::from_secs(at.saturating_sub(now()).unsigned_abs()));
            let passed = async {
                match left {
                    Some(left) => tokio::time::sleep(left.max(LOOK_EVERY / 4)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    pub fn tokens(&self) -> Vec<Arc<Token>> {
        self.tokens.list()
    }

    /// A new token with what is known of it; the token itself is told this once.
    pub async fn make_token(&self, wanted: Wanted) -> Result<(String, Arc<Token>)> {
        self.tokens.make(&self.engine, wanted).await
    }

    /// From its answer on the token is worth nothing, and its sockets are closed.
    pub async fn revoke_token(&self, id: &str) -> Result<()> {
        let done = self.tokens.revoke(&self.engine, id).await;
        self.ended.send_modify(|count| *count += 1);
        done
    }
}

fn ended() -> Error {
    Error::unauthorized("The token behind this ticket is good no more.")
}

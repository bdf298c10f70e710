//! `POST /auth/ticket`: for a socket, where a browser cannot send the token in a header.

use super::{Asker, Peer, Shared};
use crate::answer::{self, Reply};
use crate::auth::TICKET_LIFE;
use crate::auth::allowance::who;
use axum::extract::State;
use axum::http::StatusCode;

pub async fn issue(State(app): State<Shared>, Asker(grant): Asker, Peer(address): Peer) -> Reply {
    let who = who(&grant.principal, address);
    let ticket = app.auth.issue_ticket(grant, who)?;
    Ok(answer::own(StatusCode::OK, serde_json::json!({ "ticket": ticket, "expires_in": TICKET_LIFE.as_secs() })))
}

//! `POST /auth/ticket`: for a socket, where a browser cannot send the token in a header.

use super::{Asker, Shared};
use crate::answer::{self, Reply};
use crate::auth::TICKET_LIFE;
use axum::extract::State;
use axum::http::StatusCode;

pub async fn issue(State(app): State<Shared>, Asker(grant): Asker) -> Reply {
    let ticket = app.auth.issue_ticket(grant)?;
    Ok(answer::own(StatusCode::OK, serde_json::json!({ "ticket": ticket, "expires_in": TICKET_LIFE.as_secs() })))
}

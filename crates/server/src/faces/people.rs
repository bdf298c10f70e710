//! `/auth/…` for people: sign up and in, come in without an account, refresh, sign out, sessions, passwords.
//!
//! What the administrator does with users is in [`super::users`].

use super::body::{named, whole};
use super::requests::parse;
use super::{Asker, Shared, Stranger, to_the_end};
use crate::answer::{self, Failure, Reply};
use crate::auth::Grant;
use crate::auth::people::By;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use tidebase_engine::{Error, Principal, Result, Role};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    email: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    old_password: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    token: String,
    password: String,
}

type Body = Result<Bytes, BytesRejection>;

pub async fn sign_up(State(app): State<Shared>, Stranger(place): Stranger, body: Body) -> Reply {
    let Credentials { email, password } = parse(&whole(&app, body)?)?;
    let signed_in = to_the_end(async move { app.auth.people.sign_up(&email, password, &place).await }).await?;
    Ok(answer::own(StatusCode::CREATED, json!(signed_in)))
}

pub async fn sign_in(State(app): State<Shared>, Stranger(place): Stranger, body: Body) -> Reply {
    let Credentials { email, password } = parse(&whole(&app, body)?)?;
    let signed_in = to_the_end(async move { app.auth.people.sign_in(&email, password, &place).await }).await?;
    Ok(answer::own(StatusCode::OK, json!(signed_in)))
}

pub async fn come_in(State(app): State<Shared>, Stranger(place): Stranger) -> Reply {
    Ok(answer::own(StatusCode::CREATED, json!(app.auth.people.come_in(&place).await?)))
}

/// Gives somebody without an account one.
pub async fn name(State(app): State<Shared>, person: Person, _: Stranger, body: Body) -> Reply {
    let Credentials { email, password } = parse(&whole(&app, body)?)?;
    let named = to_the_end(async move { app.auth.people.name(&person.user, &email, password).await }).await?;
    Ok(answer::own(StatusCode::OK, json!(named)))
}

pub async fn refresh(State(app): State<Shared>, Stranger(place): Stranger, body: Body) -> Reply {
    let Refresh { refresh_token } = parse(&whole(&app, body)?)?;
    let signed_in = to_the_end(async move { app.auth.people.refresh(&refresh_token, &place).await }).await?;
    Ok(answer::own(StatusCode::OK, json!(signed_in)))
}

pub async fn sign_out(State(app): State<Shared>, person: Person) -> Result<Response, Failure> {
    to_the_end(async move { app.auth.people.end_session(&person.user, &person.session).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Who a token stands for, of whatever kind it is.
pub async fn me(State(app): State<Shared>, Asker(grant): Asker) -> Reply {
    let told = match (&grant.principal, &grant.session) {
        (Principal::Admin, _) => json!({ "role": "admin" }),
        (Principal::Caller(caller), Some(_)) => {
            let mut user = json!(app.auth.people.user(caller.uid.as_deref().unwrap_or_default())?);
            user["role"] = caller.role.name().into();
            user
        }
        (Principal::Caller(caller), None) => {
            json!({ "id": caller.uid, "role": caller.role.name(), "claims": caller.claims })
        }
    };
    Ok(answer::own(StatusCode::OK, told))
}

pub async fn sessions(State(app): State<Shared>, person: Person) -> Reply {
    let sessions = app.auth.people.sessions(&person.user, Some(&person.session))?;
    Ok(answer::own(StatusCode::OK, json!(sessions)))
}

pub async fn end_session(
    State(app): State<Shared>,
    person: Person,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let session = named(path)?;
    to_the_end(async move { app.auth.people.end_session(&person.user, &session).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// All but the one that asks.
pub async fn end_others(State(app): State<Shared>, person: Person) -> Result<Response, Failure> {
    let ended = async move { app.auth.people.end_sessions(By::Themselves, &person.user, Some(&person.session)).await };
    to_the_end(ended).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn change_password(
    State(app): State<Shared>,
    person: Person,
    Stranger(place): Stranger,
    body: Body,
) -> Result<Response, Failure> {
    let Change { old_password, password } = parse(&whole(&app, body)?)?;
    to_the_end(async move {
        let (people, Person { user, session }) = (&app.auth.people, person);
        people.change_password(&user, Some(&session), old_password, password, place.address).await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn reset(State(app): State<Shared>, _: Stranger, body: Body) -> Result<Response, Failure> {
    let Reset { token, password } = parse(&whole(&app, body)?)?;
    to_the_end(async move { app.auth.people.reset(&token, password).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The public halves of the keys that tokens are signed with.
pub async fn keys(State(app): State<Shared>) -> Response {
    let mut response = answer::json(StatusCode::OK, Bytes::from(app.auth.people.public_keys().to_string()));
    let cached = axum::http::HeaderValue::from_static("public, max-age=300");
    response.headers_mut().insert(axum::http::header::CACHE_CONTROL, cached);
    response
}

/// Somebody who has signed in here.
pub struct Person {
    user: String,
    session: String,
}

impl axum::extract::FromRequestParts<Shared> for Person {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, app: &Shared) -> Result<Self, Failure> {
        let Asker(Grant { principal, session, .. }) = Asker::from_request_parts(parts, app).await?;
        let uid = principal.caller().filter(|caller| caller.role != Role::Client).and_then(|caller| caller.uid.clone());
        match (uid, session) {
            (Some(user), Some(session)) => Ok(Self { user, session: session.to_string() }),
            _ => {
                Err(Error::forbidden("This is for people who have signed in here; the token is of another kind.")
                    .into())
            }
        }
    }
}

//! `/auth/users` and `/auth/keys`: users and signing keys, as the administrator keeps them.

use super::body::{named, whole};
use super::requests::parse;
use super::{Admin, Shared, query_string, to_the_end};
use crate::answer::{self, Failure, Reply};
use crate::auth::people::{By, Change};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tidebase_engine::{Error, Result};

/// Users in one answer.
const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    email: String,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    claims: Json,
}

type Named = Result<Path<String>, PathRejection>;

pub async fn add(State(app): State<Shared>, admin: Admin, body: Result<Bytes, BytesRejection>) -> Reply {
    let New { email, password, claims } = parse(&whole(&app, body)?)?;
    Ok(answer::own(StatusCode::CREATED, json!(app.auth.people.add(&admin.who, &email, password, claims).await?)))
}

/// `?after=<id>&limit=<n>`
pub async fn list(State(app): State<Shared>, _: Admin, uri: Uri) -> Reply {
    let (mut after, mut limit) = (String::new(), PAGE_DEFAULT);
    for (name, value) in query_string::parse(uri.query())? {
        match name.as_str() {
            "after" => after = value,
            "limit" => {
                let given = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                limit = given.ok_or_else(|| Error::invalid(format!("\"limit\" is a number from 1 to {PAGE_MAX}.")))?;
            }
            _ => return Err(Error::invalid(format!("/auth/users does not know the parameter {name:?}.")).into()),
        }
    }
    Ok(answer::own(StatusCode::OK, json!(app.auth.people.list(&after, limit)?)))
}

pub async fn read(State(app): State<Shared>, _: Admin, path: Named) -> Reply {
    let user = app.auth.people.find(&named(path)?)?;
    let sessions = app.auth.people.sessions(&user.id, None)?;
    let mut told = json!(user);
    told["sessions"] = json!(sessions);
    Ok(answer::own(StatusCode::OK, told))
}

pub async fn change(
    State(app): State<Shared>,
    admin: Admin,
    path: Named,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    let change: Change = parse(&whole(&app, body)?)?;
    let user = app.auth.people.find(&named(path)?)?;
    let changed = to_the_end(async move { app.auth.people.change(&admin.who, &user.id, change).await }).await?;
    Ok(answer::own(StatusCode::OK, json!(changed)))
}

pub async fn remove(State(app): State<Shared>, admin: Admin, path: Named) -> Result<Response, Failure> {
    let user = app.auth.people.find(&named(path)?)?;
    to_the_end(async move { app.auth.people.remove(&admin.who, &user.id).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Signs a user out everywhere.
pub async fn end_sessions(State(app): State<Shared>, admin: Admin, path: Named) -> Result<Response, Failure> {
    let user = app.auth.people.find(&named(path)?)?;
    to_the_end(async move { app.auth.people.end_sessions(By::Admin(&admin.who), &user.id, None).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A token with which the user can choose a new password.
pub async fn reset(State(app): State<Shared>, _: Admin, path: Named) -> Reply {
    let user = app.auth.people.find(&named(path)?)?;
    let (token, life) = app.auth.people.make_reset(&user.id).await?;
    Ok(answer::own(StatusCode::CREATED, json!({ "token": token, "expires_in": life.as_secs() })))
}

pub async fn keys(State(app): State<Shared>, _: Admin) -> Reply {
    Ok(answer::own(StatusCode::OK, json!(app.auth.people.keys.list())))
}

pub async fn rotate_keys(State(app): State<Shared>, _: Admin) -> Reply {
    let keys = to_the_end(async move {
        app.auth.people.rotate_keys().await?;
        Ok(app.auth.people.keys.list())
    });
    Ok(answer::own(StatusCode::CREATED, json!(keys.await?)))
}

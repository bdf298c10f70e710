//! `/auth/tokens`: tokens with a name, made, listed and revoked by the administrator.

use super::body::{named, whole};
use super::requests::parse;
use super::{Admin, Shared};
use crate::answer::{self, Reply};
use crate::auth::tokens::Wanted;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tidebase_engine::Result;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    name: String,
    role: String,
    #[serde(default)]
    claims: Json,
    #[serde(default)]
    expires_in: Option<u32>,
}

pub async fn make(State(app): State<Shared>, admin: Admin, body: Result<Bytes, BytesRejection>) -> Reply {
    let body = whole(&app, body)?;
    let Body { name, role, claims, expires_in } = parse(&body)?;
    let (secret, token) = app.auth.make_token(Wanted { name, role, claims, expires_in }, &admin.who).await?;
    let mut told = json!(*token);
    told["token"] = secret.into();
    Ok(answer::own(StatusCode::CREATED, told))
}

pub async fn list(State(app): State<Shared>, _: Admin) -> Reply {
    let tokens: Vec<Json> = app.auth.tokens().iter().map(|token| json!(**token)).collect();
    Ok(answer::own(StatusCode::OK, json!(tokens)))
}

pub async fn revoke(State(app): State<Shared>, admin: Admin, path: Result<Path<String>, PathRejection>) -> Reply {
    app.auth.revoke_token(&named(path)?, &admin.who).await?;
    Ok(answer::own(StatusCode::OK, json!(true)))
}

//! `/statements`: those that clients may run where the server runs no others for them, and those it refused.

use super::body::{named, whole};
use super::requests::parse;
use super::{Admin, Shared};
use crate::answer::{self, Reply};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tidebase_engine::Result;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    sql: String,
    #[serde(default)]
    name: Option<String>,
}

pub async fn register(State(app): State<Shared>, admin: Admin, body: Result<Bytes, BytesRejection>) -> Reply {
    let body = whole(&app, body)?;
    let Body { sql, name } = parse(&body)?;
    let registered = app.engine.register_statement(&sql, name, &admin.who).await?;
    Ok(answer::own(StatusCode::CREATED, json!(registered)))
}

pub async fn list(State(app): State<Shared>, _: Admin) -> Reply {
    Ok(answer::own(StatusCode::OK, json!(app.engine.statements()?)))
}

pub async fn rejected(State(app): State<Shared>, _: Admin) -> Reply {
    Ok(answer::own(StatusCode::OK, json!(app.engine.rejected_statements())))
}

pub async fn remove(State(app): State<Shared>, admin: Admin, path: Result<Path<String>, PathRejection>) -> Reply {
    app.engine.remove_statement(&named(path)?, &admin.who).await?;
    Ok(answer::own(StatusCode::OK, json!(true)))
}

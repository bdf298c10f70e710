//! `/policies`: what is open to whom, kept and dropped by the administrator.

use super::body::{named, whole};
use super::requests::parse;
use super::{Admin, Shared};
use crate::answer::{self, Reply};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::json;
use tidebase_engine::access::policy::PolicyWrite;
use tidebase_engine::{Error, Policy, Result};

/// A new one, or another in the place of one of its name.
pub async fn keep(State(app): State<Shared>, _: Admin, body: Result<Bytes, BytesRejection>) -> Reply {
    let policy: Policy = parse(&whole(&app, body)?)?;
    let answer = app.engine.write_policy(PolicyWrite::Keep(policy)).await?;
    let mut response = answer::result(&answer);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

pub async fn list(State(app): State<Shared>, _: Admin) -> Reply {
    Ok(answer::own(StatusCode::OK, json!(app.engine.policies())))
}

pub async fn read(State(app): State<Shared>, _: Admin, path: Result<Path<String>, PathRejection>) -> Reply {
    let name = named(path)?;
    let found = app.engine.policies().into_iter().find(|policy| policy.name == name);
    let policy = found.ok_or_else(|| Error::not_found(format!("There is no policy {name}.")))?;
    Ok(answer::own(StatusCode::OK, json!(policy)))
}

pub async fn remove(State(app): State<Shared>, _: Admin, path: Result<Path<String>, PathRejection>) -> Reply {
    Ok(answer::result(&app.engine.write_policy(PolicyWrite::Drop(named(path)?)).await?))
}

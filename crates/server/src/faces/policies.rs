//! `/policies`: what is open to whom, kept and dropped by the administrator.

use super::body::{named, whole};
use super::requests::{self, parse};
use super::{Admin, Shared};
use crate::answer::{self, Reply};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tidebase_engine::access::policy::PolicyWrite;
use tidebase_engine::{Caller, Error, Policy, Rehearsal, Result, Role};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain<'a> {
    r#as: As,
    #[serde(borrow, default)]
    sql: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct As {
    role: String,
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    claims: Json,
}

/// What a statement would do if somebody ran it; nothing of it stays.
pub async fn explain(State(app): State<Shared>, _: Admin, body: Result<Bytes, BytesRejection>) -> Reply {
    let body = whole(&app, body)?;
    let Explain { r#as: As { role, uid, claims }, sql, params } = parse(&body)?;
    let role = Role::named(&role)
        .ok_or_else(|| Error::invalid("\"role\" in \"as\" is \"client\", \"user\" or \"anonymous\"."))?;
    if !(claims.is_null() || claims.is_object()) {
        return Err(Error::invalid("\"claims\" in \"as\" is an object.").into());
    }
    let caller = Arc::new(Caller { claims, ..Caller::new(role, uid) });
    let sql = requests::sql(sql, requests::EMPTY_SQL)?;
    let params = requests::params(params, requests::INVALID_PARAMS)?;
    Ok(answer::result(&app.engine.rehearse(Rehearsal { caller, sql, params }).await?))
}

/// A new one, or another in the place of one of its name.
pub async fn keep(State(app): State<Shared>, admin: Admin, body: Result<Bytes, BytesRejection>) -> Reply {
    let policy: Policy = parse(&whole(&app, body)?)?;
    let answer = app.engine.write_policy_by(&admin.who, PolicyWrite::Keep(policy)).await?;
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

pub async fn remove(State(app): State<Shared>, admin: Admin, path: Result<Path<String>, PathRejection>) -> Reply {
    Ok(answer::result(&app.engine.write_policy_by(&admin.who, PolicyWrite::Drop(named(path)?)).await?))
}

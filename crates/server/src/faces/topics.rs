//! Topics over HTTP: publish, and set how many messages a topic keeps.

use super::body::{idempotency, named, whole};
use super::requests::{parse, present};
use super::{Admin, Asker, Shared};
use crate::answer::{self, Reply};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tidebase_engine::{Error, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keep {
    keep: u64,
}

pub async fn publish(
    State(app): State<Shared>,
    Asker(grant): Asker,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    let topic = named(path)?;
    let body = whole(&app, body)?;
    let idempotency = idempotency(&grant.principal, &headers, &format!("topics/{topic}"), &body)?;
    let asked: Publish<'_> = parse(&body)?;
    let data = asked.data.ok_or_else(|| Error::invalid("The body needs \"data\": any JSON."))?;
    let cursor = app.engine.publish(&grant.principal, &topic, data.get(), idempotency).await?;
    Ok(answer::own(StatusCode::OK, serde_json::json!({ "cursor": cursor })))
}

pub async fn keep(
    State(app): State<Shared>,
    _: Admin,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    let topic = named(path)?;
    let body = whole(&app, body)?;
    let asked: Keep = parse(&body)?;
    Ok(answer::result(&app.engine.keep_topic(&topic, asked.keep).await?))
}

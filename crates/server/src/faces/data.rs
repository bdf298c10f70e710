//! Keys and values: `/data` and `/data/{key}`.

use super::body::{idempotency, named, whole};
use super::requests::{parse, present};
use super::{Asker, Shared, query_string};
use crate::answer::{self, REVISION, Reply};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::Deserialize;
use serde_json::value::RawValue;
use tidebase_engine::keys::{Entry, KeyWrite, missing};
use tidebase_engine::{Error, Result};

const LIST_DEFAULT: usize = 100;
const LIST_MAX: usize = 1000;
/// Ten years: later than that is a mistake in the unit.
const TTL_MAX_S: f64 = 315_360_000.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(default)]
    ttl: Option<f64>,
    #[serde(default)]
    if_revision: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Increment {
    #[serde(default)]
    by: Option<serde_json::Number>,
}

pub async fn read(State(app): State<Shared>, Asker(grant): Asker, path: Result<Path<String>, PathRejection>) -> Reply {
    let key = named(path)?;
    let revision = app.engine.revision();
    let entry = app.engine.key(&grant.principal, &key).await?.ok_or_else(|| missing(&key))?;
    let mut body = Vec::with_capacity(entry.value.len() + 64);
    entry.write(&mut body);
    let mut response = answer::json(StatusCode::OK, Bytes::from(body));
    response.headers_mut().insert(REVISION, HeaderValue::from(revision));
    Ok(response)
}

/// POST or PUT sets; `POST /data/{key}/increment` adds.
pub async fn write(
    State(app): State<Shared>,
    Asker(grant): Asker,
    method: Method,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    let path = named(path)?;
    let body = whole(&app, body)?;
    let idempotency = idempotency(&grant.principal, &headers, &format!("data/{path}"), &body)?;
    let write = match path.strip_suffix("/increment") {
        Some(key) if method == Method::POST => increment(key, &body)?,
        _ => set(path, &body)?,
    };
    Ok(answer::bare(&app.engine.write_key(&grant.principal, write, idempotency)?.wait().await?))
}

fn increment(key: &str, body: &[u8]) -> Result<KeyWrite> {
    let asked: Increment = if body.is_empty() { Increment::default() } else { parse(body)? };
    Ok(KeyWrite::Increment { key: key.into(), by: asked.by.unwrap_or_else(|| 1.into()) })
}

fn set(key: String, body: &[u8]) -> Result<KeyWrite> {
    let asked: Set<'_> = parse(body)?;
    let value = asked.value.ok_or_else(|| Error::invalid("The body needs a \"value\": any JSON."))?;
    let ttl_ms = match asked.ttl {
        None => None,
        Some(ttl) if ttl > 0.0 && ttl <= TTL_MAX_S => Some((ttl * 1000.0).ceil() as i64),
        Some(_) => return Err(Error::invalid("\"ttl\" is a number of seconds above 0, at most ten years.")),
    };
    Ok(KeyWrite::Set { key, value: value.get().to_owned(), ttl_ms, if_revision: asked.if_revision })
}

pub async fn remove(
    State(app): State<Shared>,
    Asker(grant): Asker,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    uri: Uri,
) -> Reply {
    let key = named(path)?;
    let mut if_revision = None;
    for (name, value) in query_string::parse(uri.query())? {
        if name != "if_revision" {
            return Err(Error::invalid(format!("DELETE of a key does not know the parameter {name:?}.")).into());
        }
        if_revision = Some(value.parse().map_err(|_| Error::invalid("if_revision is a revision number."))?);
    }
    let condition = if_revision.map(|revision: i64| revision.to_string()).unwrap_or_default();
    let idempotency = idempotency(&grant.principal, &headers, &format!("delete data/{key}"), condition.as_bytes())?;
    let delete = KeyWrite::Delete { key, if_revision };
    Ok(answer::bare(&app.engine.write_key(&grant.principal, delete, idempotency)?.wait().await?))
}

/// `{"keys": [entry, …], "after": <the last key, if there may be more>}`
pub async fn list(State(app): State<Shared>, Asker(grant): Asker, uri: Uri) -> Reply {
    let (mut prefix, mut after, mut limit) = (String::new(), None, LIST_DEFAULT);
    for (name, value) in query_string::parse(uri.query())? {
        match name.as_str() {
            "prefix" => prefix = value,
            "after" => after = Some(value),
            "limit" => {
                limit = value
                    .parse()
                    .ok()
                    .filter(|limit| (1..=LIST_MAX).contains(limit))
                    .ok_or_else(|| Error::invalid(format!("\"limit\" is a number from 1 to {LIST_MAX}.")))?;
            }
            _ => return Err(Error::invalid(format!("/data does not know the parameter {name:?}.")).into()),
        }
    }
    let revision = app.engine.revision();
    let page = app.engine.keys(&grant.principal, prefix, after, limit).await?;
    let mut body = b"{\"keys\":[".to_vec();
    for (index, entry) in page.entries.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        entry.write(&mut body);
    }
    body.extend_from_slice(b"],\"after\":");
    let next = page.entries.last().filter(|_| page.has_more).map(|Entry { key, .. }| key);
    body.extend_from_slice(serde_json::json!(next).to_string().as_bytes());
    body.push(b'}');
    let mut response = answer::json(StatusCode::OK, Bytes::from(body));
    response.headers_mut().insert(REVISION, HeaderValue::from(revision));
    Ok(response)
}

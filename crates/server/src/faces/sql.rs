//! SQL over HTTP: `POST /query` and `POST /query/raw`.

use super::body::{idempotency, whole};
use super::requests::{SqlBody, parse};
use super::{Asker, Shared};
use crate::answer::{self, Reply};
use crate::auth::Grant;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, header};
use tidebase_engine::{Error, Format, Result};

pub async fn query(
    State(app): State<Shared>,
    Asker(grant): Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    run(&app, &grant, &headers, body, Format::Objects).await
}

pub async fn query_raw(
    State(app): State<Shared>,
    Asker(grant): Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    run(&app, &grant, &headers, body, Format::Raw).await
}

/// With parameters perhaps, such as a charset.
fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

async fn run(
    app: &Shared,
    grant: &Grant,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    format: Format,
) -> Reply {
    let body = whole(app, body)?;
    if !headers.get(header::CONTENT_TYPE).is_some_and(|value| value.to_str().is_ok_and(is_json)) {
        return Err(Error::invalid("Content-Type must be application/json.").into());
    }
    let mut request = parse::<SqlBody<'_>>(&body)?.into_request(format, &grant.principal)?;
    request.who = grant.admin_token();
    request.idempotency = idempotency(
        &grant.principal,
        headers,
        match format {
            Format::Objects => "query",
            Format::Raw => "query/raw",
        },
        &body,
    )?;
    Ok(answer::result(&app.engine.query(request).await?))
}

//! The envelope: `{"result": …}` or `{"error", "code", …}`, and the one table from code to HTTP status.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use tidebase_engine::request::ENVELOPE;
use tidebase_engine::{Answer, Code, Error};

pub const REVISION: HeaderName = HeaderName::from_static("tidebase-revision");
pub const MIN_REVISION: HeaderName = HeaderName::from_static("tidebase-min-revision");
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPEATED: HeaderName = HeaderName::from_static("idempotent-replayed");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub fn status(code: Code) -> StatusCode {
    match code {
        Code::Invalid => StatusCode::BAD_REQUEST,
        Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Conflict => StatusCode::CONFLICT,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What every handler gives.
pub type Reply = Result<Response<Body>, Failure>;

/// An error on its way out.
#[derive(Debug)]
pub struct Failure(pub Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// Hides the cause of an internal error behind a request number and logs it, once.
pub fn told(error: Error) -> Error {
    static REQUEST: AtomicU64 = AtomicU64::new(1);
    if error.code == Code::Internal {
        let request = REQUEST.fetch_add(1, Ordering::Relaxed);
        tracing::error!(request, error = %error, source = ?error.source, "a request failed");
        let message = format!("Something went wrong in the server; its log has the cause under request {request}.");
        return Error::internal(message);
    }
    if let Some(source) = &error.source {
        tracing::warn!(error = %error, %source, "a request failed");
    }
    error
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let error = told(self.0);
        let mut response = json(status(error.code), Bytes::from(body(&error)));
        if matches!(error.code, Code::Unavailable | Code::TooMany) {
            let seconds = error.retry_after_seconds.unwrap_or(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if error.code == Code::Unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// `{"error", "code", "statement"?, "column"?, "pointer"?, "path"?}`
pub fn body(error: &Error) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a str,
        code: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        statement: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        column: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pointer: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<&'a str>,
    }
    let (column, pointer, path) = (error.column(), error.pointer(), error.document.as_deref());
    let body =
        Body { error: &error.message, code: error.code.name(), statement: error.statement, column, pointer, path };
    serde_json::to_string(&body).expect("strings and numbers are always JSON")
}

/// A JSON body as it is.
pub fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `{"result": <the answer's JSON>}` with its revision.
pub fn result(answer: &Answer) -> Response<Body> {
    let body = answer.enveloped.clone().unwrap_or_else(|| {
        let mut body = Vec::with_capacity(answer.body.len() + ENVELOPE.len() + 1);
        body.extend_from_slice(ENVELOPE);
        body.extend_from_slice(&answer.body);
        body.push(b'}');
        Bytes::from(body)
    });
    with_revision(json(StatusCode::OK, body), answer)
}

/// The answer's JSON without the envelope.
pub fn bare(answer: &Answer) -> Response<Body> {
    with_revision(json(StatusCode::OK, answer.body.clone()), answer)
}

fn with_revision(mut response: Response<Body>, answer: &Answer) -> Response<Body> {
    response.headers_mut().insert(REVISION, HeaderValue::from(answer.revision));
    if answer.is_repeated {
        response.headers_mut().insert(REPEATED, HeaderValue::from_static("true"));
    }
    response
}

/// `{"result": value}` about a write, with its revision.
pub fn about(status: StatusCode, value: serde_json::Value, write: &Answer) -> Response<Body> {
    with_revision(own(status, value), write)
}

/// `{"result": value}` of the server itself.
pub fn own(status: StatusCode, value: serde_json::Value) -> Response<Body> {
    json(status, Bytes::from(serde_json::json!({ "result": value }).to_string()))
}

//! Cross-origin calls: which pages' scripts may talk to the server. Tokens are never in cookies, so `*` is safe.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use std::sync::Arc;

#[derive(Debug)]
pub struct Cors {
    /// Empty means every origin.
    origins: Vec<String>,
}

impl Cors {
    /// From a list separated by commas, or `*`.
    pub fn new(text: &str) -> Arc<Self> {
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty() && *origin != "*");
        Arc::new(Self { origins: origins.map(ToOwned::to_owned).collect() })
    }

    fn allow(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.is_empty() {
            return Some(HeaderValue::from_static("*"));
        }
        let origin = headers.get(header::ORIGIN)?;
        self.origins.iter().any(|allowed| origin.as_bytes() == allowed.as_bytes()).then(|| origin.clone())
    }

    fn dress(&self, allowed: Option<HeaderValue>, response: &mut Response<Body>) {
        if !self.origins.is_empty() {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(allowed) = allowed {
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
    }
}

/// The answer to `OPTIONS`, given before anybody is asked for a token.
pub fn preflight(cors: &Cors, headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let allowed = cors.allow(headers);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Tidebase-Min-Revision, X-Starbase-Source, X-Data-Source",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    cors.dress(allowed, &mut response);
    response
}

/// Runs a request and says who may read the answer.
pub async fn around(
    cors: &Cors,
    request: Request<Body>,
    run: impl AsyncFnOnce(Request<Body>) -> Response<Body>,
) -> Response<Body> {
    if request.method() == Method::OPTIONS {
        return preflight(cors, request.headers());
    }
    let allowed = cors.allow(request.headers());
    let mut response = run(request).await;
    let shown =
        HeaderValue::from_static("Tidebase-Revision, Tidebase-Next, Tidebase-Count, Idempotent-Replayed, Retry-After");
    response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, shown);
    cors.dress(allowed, &mut response);
    response
}

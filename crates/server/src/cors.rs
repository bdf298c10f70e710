//! Cross-origin calls: which pages' scripts may talk to the server. Tokens are never in cookies, so `*` is safe.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
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
}

/// `OPTIONS` is answered here, before anybody is asked for a token.
pub async fn apply(cors: Arc<Cors>, request: Request, next: Next) -> Response<Body> {
    let allowed = cors.allow(request.headers());
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response = if is_preflight {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    if !cors.origins.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    let Some(allowed) = allowed else { return response };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if is_preflight {
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Tidebase-Min-Revision, X-Starbase-Source, X-Data-Source",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    } else {
        let shown = HeaderValue::from_static("Tidebase-Revision, Idempotent-Replayed, Retry-After");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, shown);
    }
    response
}

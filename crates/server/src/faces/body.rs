//! What every face with a body does with it: read it whole within the limit, and find the client's name for a write.

use super::Shared;
use crate::answer::IDEMPOTENCY_KEY;
use crate::auth::secret::{hash, stored};
use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::http::HeaderMap;
use sha2::{Digest as _, Sha256};
use tidebase_engine::{Error, Idempotency, Principal, Result, WriteName};

/// The body, or why there is none.
pub fn whole(app: &Shared, body: Result<Bytes, BytesRejection>) -> Result<Bytes> {
    body.map_err(|rejection| {
        if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            Error::too_large(format!("A body may have {} bytes.", app.limits.body_bytes_max))
        } else {
            Error::invalid(format!("The body could not be read: {}.", rejection.body_text()))
        }
    })
}

/// The name in the path.
pub fn named(path: Result<Path<String>, PathRejection>) -> Result<String> {
    path.map(|Path(name)| name).map_err(|_| Error::invalid("The name in the address is not UTF-8."))
}

/// The client's name for this write, if it gave one; `what` is the path, so that a key serves one request only, and one
/// caller's keys are nobody else's.
pub fn idempotency(principal: &Principal, headers: &HeaderMap, what: &str, body: &[u8]) -> Result<Option<Idempotency>> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = key.to_str().map_err(|_| Error::invalid("An Idempotency-Key is plain text."))?;
    if key.is_empty() || key.len() > Idempotency::KEY_BYTES_MAX {
        return Err(Error::invalid("An Idempotency-Key has 1 to 255 characters."));
    }
    let mut fingerprint = Sha256::new();
    fingerprint.update(what.as_bytes());
    fingerprint.update([0]);
    fingerprint.update(body);
    let name = WriteName::Key(format!("{}/{key}", whose(principal)));
    Ok(Some(Idempotency { name, fingerprint: fingerprint.finalize().to_vec() }))
}

/// What keeps one caller's names for writes apart from another's, of a length that is bounded, whatever somebody is called.
pub fn whose(principal: &Principal) -> String {
    match principal {
        Principal::Admin => "admin".to_owned(),
        Principal::Caller(caller) => {
            let called = format!("{}/{}", caller.role.name(), caller.uid.as_deref().unwrap_or_default());
            stored(&hash(&called))
        }
    }
}

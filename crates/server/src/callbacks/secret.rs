//! What callbacks are signed with: a secret that is made when it is first needed, shown to the administrator when he has a new one made,
//! and never again.
//!
//! The signature is the HMAC-SHA256 of `<time>.<id>.<body>`, keyed with the text of the secret.

use crate::auth::row::{blob, number};
use crate::auth::secret::new_token;
use aws_lc_rs::hmac;
use tidebase_engine::storage::system::SystemStatement;
use tidebase_engine::{AuditEntry, Engine, Error, Result, Value};

pub const TIME: &str = "tidebase-timestamp";
pub const ID: &str = "tidebase-id";
pub const SIGNATURE: &str = "tidebase-signature";
const PREFIX: &str = "tide_callback_";
const READ: &str = "SELECT secret, made_at FROM _tide_secrets WHERE name = 'callbacks'";
const MAKE: &str =
    "INSERT INTO _tide_secrets (name, secret, made_at) VALUES ('callbacks', ?1, ?2) ON CONFLICT DO NOTHING";
const REPLACE: &str = "INSERT OR REPLACE INTO _tide_secrets (name, secret, made_at) VALUES ('callbacks', ?1, ?2)";

pub struct Secret(hmac::Key);

impl Secret {
    pub fn new(text: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, text))
    }

    /// `v1=<hex>`
    pub fn sign(&self, time: i64, id: &str, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{time}.{id}.{body}").as_bytes());
        tag.as_ref().iter().fold("v1=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }
}

/// The one in force; made now if there is none.
pub async fn current(engine: &Engine, now: i64) -> Result<Secret> {
    if let Some((secret, _)) = read(engine)? {
        return Ok(secret);
    }
    let text = new_token(PREFIX)?;
    let values = vec![Value::Blob(text.as_bytes().into()), Value::Integer(now)];
    engine.change_system(vec![SystemStatement { sql: MAKE, values }]).await?;
    // Another may have been quicker.
    Ok(read(engine)?.ok_or_else(|| Error::internal("a secret is not there"))?.0)
}

/// When the one in force was made; none before it is needed.
pub fn made_at(engine: &Engine) -> Result<Option<i64>> {
    Ok(read(engine)?.map(|(_, made_at)| made_at))
}

/// A new one signs from now on. This is the only time that anybody sees it.
pub async fn replace(engine: &Engine, who: &str, now: i64) -> Result<String> {
    let text = new_token(PREFIX)?;
    let values = vec![Value::Blob(text.as_bytes().into()), Value::Integer(now)];
    let entry = AuditEntry::new(who, "callback secret made", serde_json::json!({}));
    engine.change_system_audited(vec![SystemStatement { sql: REPLACE, values }], entry).await?;
    Ok(text)
}

fn read(engine: &Engine) -> Result<Option<(Secret, i64)>> {
    let rows = engine.ask_system(READ, Vec::new())?;
    let Some([secret, made_at]) = rows.first().map(Vec::as_slice) else { return Ok(None) };
    let secret = blob(secret).ok_or_else(|| Error::internal("the secret of callbacks cannot be read"))?;
    Ok(Some((Secret::new(secret), number(made_at).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_signature_is_what_others_reckon() {
        // echo -n '1700000000.dump_x.{"a":1}' | openssl dgst -sha256 -hmac key
        let signature = Secret::new(b"key").sign(1_700_000_000, "dump_x", "{\"a\":1}");
        assert_eq!(signature, format!("v1={}", "1a80f58d110bb2121e0a5870656a6b41c9845e02d7671e9e182a0221add4d22a"));
    }
}

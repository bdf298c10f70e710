//! Random tokens, and the hashes that are kept of them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use sha2::{Digest as _, Sha256};
use tidebase_engine::{Error, Result};

/// Tokens are random, so a plain hash cannot be guessed back.
pub type Hash = [u8; 32];

pub fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// A hash as a setting keeps it.
pub fn stored(hash: &Hash) -> String {
    BASE64.encode(hash)
}

pub fn from_stored(stored: &str) -> Option<Hash> {
    BASE64.decode(stored).ok()?.try_into().ok()
}

/// 256 random bits behind a prefix that says what it is.
pub fn new_token(prefix: &str) -> Result<String> {
    random(prefix, &mut [0; 32])
}

/// 72 random bits: to be told apart, not to be secret.
pub fn new_id(prefix: &str) -> Result<String> {
    random(prefix, &mut [0; 9])
}

fn random(prefix: &str, bytes: &mut [u8]) -> Result<String> {
    getrandom::fill(bytes).map_err(|error| Error::internal("no random numbers").caused_by(error.to_string()))?;
    Ok(format!("{prefix}{}", BASE64.encode(bytes)))
}

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

/// Of a document that has none yet: the time in milliseconds, then 64 random bits, so that later ones sort behind earlier ones.
pub fn new_document_id() -> Result<String> {
    let mut bytes = [0; 14];
    let (time, chance) = bytes.split_at_mut(6);
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    time.copy_from_slice(&(since_1970.as_millis() as u64).to_be_bytes()[2..]);
    getrandom::fill(chance).map_err(|error| Error::internal("no random numbers").caused_by(error.to_string()))?;
    Ok(bytes.iter().fold(String::new(), |id, byte| format!("{id}{byte:02x}")))
}

pub fn random_bytes() -> Result<Hash> {
    let mut bytes = Hash::default();
    getrandom::fill(&mut bytes).map_err(|error| Error::internal("no random numbers").caused_by(error.to_string()))?;
    Ok(bytes)
}

fn random(prefix: &str, bytes: &mut [u8]) -> Result<String> {
    getrandom::fill(bytes).map_err(|error| Error::internal("no random numbers").caused_by(error.to_string()))?;
    Ok(format!("{prefix}{}", BASE64.encode(bytes)))
}

//! The keys with which this server signs what it gives to people who sign in: made at the first start, changed on command,
//! their public halves shown to whoever wants to check a token (`/.well-known/jwks.json`, RFC 7517).
//!
//! ES256 throughout: no other algorithm is taken from a token of ours, whatever its header says.

use super::row::{blob, number, text};
use super::secret;
use super::tokens::now;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::sync::{Arc, PoisonError, RwLock};
use tidebase_engine::storage::system::SystemStatement;
use tidebase_engine::{Engine, Error, Result, Value};

const ALGORITHM: Algorithm = Algorithm::ES256;
/// `iss` of what is signed here.
pub const ISSUER: &str = "tidebase";
/// RFC 9068: an access token is taken for nothing else.
const TYPE: &str = "at+jwt";

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payload {
    pub iss: String,
    /// The user.
    pub sub: String,
    /// The session.
    pub sid: String,
    /// `user` or `anonymous`.
    pub role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub claims: Json,
    pub iat: i64,
    pub exp: i64,
}

struct Key {
    id: String,
    made_at: i64,
    /// Since then it signs nothing; what it has signed holds as long as tokens live.
    retired_at: Option<i64>,
    signing: EncodingKey,
    checking: DecodingKey,
    public: Jwk,
}

/// Newest first; the first one signs.
pub struct SigningKeys(RwLock<Vec<Arc<Key>>>);

impl Key {
    fn new(id: String, private: &[u8], made_at: i64, retired_at: Option<i64>) -> Result<Self> {
        let broken = |error| Error::internal("a signing key cannot be read").caused_by(error);
        let signing = EncodingKey::from_ec_der(private);
        let mut public = Jwk::from_encoding_key(&signing, ALGORITHM).map_err(broken)?;
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let checking = DecodingKey::from_jwk(&public).map_err(broken)?;
        Ok(Self { id, made_at, retired_at, signing, checking, public })
    }

    /// Has the time passed of all it can have signed?
    fn is_over(&self, life: i64) -> bool {
        self.retired_at.is_some_and(|at| at + life < now())
    }
}

impl SigningKeys {
    /// Those of the file; the first one is made if there is none.
    pub async fn load(engine: &Engine) -> Result<Self> {
        let keys = Self(RwLock::default());
        keys.read(engine)?;
        if keys.0.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            keys.rotate(engine, 0).await?;
        }
        Ok(keys)
    }

    fn read(&self, engine: &Engine) -> Result<()> {
        let sql = "SELECT id, private, made_at, retired_at FROM _tide_signing_keys ORDER BY made_at DESC, rowid DESC";
        let mut keys = Vec::new();
        for row in engine.ask_system(sql, Vec::new())? {
            let [id, private, made_at, retired_at] = &row[..] else { continue };
            let unreadable = || Error::internal("a row of _tide_signing_keys cannot be read");
            let id = text(id).ok_or_else(unreadable)?;
            let made_at = number(made_at).ok_or_else(unreadable)?;
            let key = Key::new(id, blob(private).ok_or_else(unreadable)?, made_at, number(retired_at))?;
            keys.push(Arc::new(key));
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// A new key signs from now on. Those retired for longer than a token lives (in seconds) go.
    pub async fn rotate(&self, engine: &Engine, token_life: i64) -> Result<()> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let private = made.map_err(|_| Error::internal("no random numbers for a signing key"))?;
        let at = Value::Integer(now());
        let gone = "DELETE FROM _tide_signing_keys WHERE retired_at < ?1";
        let retire = "UPDATE _tide_signing_keys SET retired_at = ?1 WHERE retired_at IS NULL";
        let make = "INSERT INTO _tide_signing_keys (id, private, made_at) VALUES (?1, ?2, ?3)";
        let new = vec![Value::text(secret::new_id("key_")?), Value::Blob(private.as_ref().into()), at.clone()];
        let statements = vec![
            SystemStatement { sql: gone, values: vec![Value::Integer(now() - token_life)] },
            SystemStatement { sql: retire, values: vec![at] },
            SystemStatement { sql: make, values: new },
        ];
        engine.change_system(statements).await?;
        self.read(engine)
    }

    pub fn sign(&self, payload: &Payload) -> Result<String> {
        let newest = self.0.read().unwrap_or_else(PoisonError::into_inner).first().cloned();
        let key = newest.ok_or_else(|| Error::internal("there is no signing key"))?;
        let header = Header { kid: Some(key.id.clone()), typ: Some(TYPE.into()), ..Header::new(ALGORITHM) };
        jsonwebtoken::encode(&header, payload, &key.signing)
            .map_err(|error| Error::internal("a token could not be signed").caused_by(error))
    }

    /// What a token of ours says; `None` if its key is none of ours.
    ///
    /// # Errors
    /// `unauthorized` if it is altered, its time has passed, or it says what nothing signed here does. Tokens live for `life`
    /// seconds at most.
    pub fn check(&self, token: &str, header: &Header, life: i64) -> Option<Result<Payload>> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.iter().find(|key| header.kid.as_ref() == Some(&key.id)).cloned()?;
        drop(keys);
        if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() || key.is_over(life) {
            return Some(Err(super::wrong()));
        }
        let mut validation = Validation::new(ALGORITHM);
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Payload>(token, &key.checking, &validation);
        let payload = decoded.map(|data| data.claims).map_err(|_| super::wrong());
        let is_ours = |payload: &Payload| {
            payload.exp.saturating_sub(payload.iat) <= life && key.retired_at.is_none_or(|at| payload.iat <= at)
        };
        Some(payload.and_then(|payload| if is_ours(&payload) { Ok(payload) } else { Err(super::wrong()) }))
    }

    /// The public halves of those that are believed, as a JWK set.
    pub fn public(&self, life: i64) -> Json {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let public: Vec<&Jwk> = keys.iter().filter(|key| !key.is_over(life)).map(|key| &key.public).collect();
        json!({ "keys": public })
    }

    /// For people: which there are.
    pub fn list(&self) -> Vec<Json> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let told = |key: &Arc<Key>| json!({ "id": key.id, "made_at": key.made_at, "retired_at": key.retired_at });
        keys.iter().map(told).collect()
    }
}

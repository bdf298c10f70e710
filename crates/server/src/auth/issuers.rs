//! Tokens of others: signed by an issuer that the settings name, with a key that is given there or found at its JWKS address.
//!
//! Each key has one algorithm, and what a token's header says of algorithms, addresses or keys of its own is not listened to. What the
//! token claims is data. Keys are fetched anew every few minutes and when a token names one that is not known; a key that is gone from
//! the set ends what came with it.

use super::Grant;
use super::standing::Standing;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::str::FromStr as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tidebase_engine::{Caller, Error, Principal, Result, Role};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// How far clocks may be apart.
const SKEW_SECONDS: u64 = 60;
const FETCH_EVERY: Duration = Duration::from_mins(5);
/// Between two looks for keys that tokens name.
const FETCH_PAUSE: Duration = Duration::from_secs(3);
const FETCH_TIME_MAX: Duration = Duration::from_secs(5);
/// Bytes of a JWKS answer, and keys of one.
const KEY_SET_BYTES_MAX: usize = 256 << 10;
const KEYS_MAX: usize = 100;
const SUBJECT_BYTES_MAX: usize = 255;
/// RFC 7518: a shared secret is as long as the hash at least.
const SECRET_BYTES_MIN: usize = 32;

/// One issuer, as the settings say it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must name; `"*"` for an issuer whose tokens have none.
    pub audience: String,
    /// Where its keys are.
    #[serde(default)]
    pub jwks: Option<String>,
    /// Or its public key, as PEM.
    #[serde(default)]
    pub key: Option<String>,
    /// Or a secret that is shared with it.
    #[serde(default)]
    pub secret: Option<String>,
    /// Of `key` and `secret`, where it is needed; of the keys of `jwks` that do not say.
    #[serde(default)]
    pub algorithm: Option<String>,
    /// Put in front of `sub` to make `auth.uid()`: users of two issuers must not be taken for one.
    #[serde(default)]
    pub prefix: String,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
    standing: Arc<Standing>,
    /// Of what it was made: a key that is found again keeps its standing.
    source: Json,
}

struct Issuer {
    wanted: Wanted,
    algorithm: Option<Algorithm>,
    keys: RwLock<Vec<Arc<Key>>>,
    client: reqwest::Client,
    /// When keys were last looked for.
    looked: Mutex<Option<Instant>>,
}

/// A JWK set, its keys not looked at yet.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Json>,
}

#[derive(Default)]
pub struct Issuers {
    all: Vec<Arc<Issuer>>,
    fetching: Vec<JoinHandle<()>>,
}

impl Drop for Issuers {
    fn drop(&mut self) {
        self.fetching.iter().for_each(JoinHandle::abort);
    }
}

impl Issuers {
    /// # Errors
    /// `invalid` with what is wrong in the settings.
    pub fn new(wanted: &[Wanted]) -> Result<Self> {
        let mut issuers = Self::default();
        for wanted in wanted {
            if issuers.all.iter().any(|known| known.wanted.issuer == wanted.issuer) {
                return Err(Error::invalid(format!("The issuer {} is there twice.", wanted.issuer)));
            }
            if issuers.all.iter().any(|known| known.wanted.prefix == wanted.prefix) {
                return Err(Error::invalid(format!(
                    "The issuer {} needs a \"prefix\" that no other has: their users must not be taken for one.",
                    wanted.issuer
                )));
            }
            let issuer = Arc::new(Issuer::new(wanted.clone())?);
            issuers.all.push(Arc::clone(&issuer));
        }
        for issuer in issuers.all.iter().filter(|issuer| issuer.wanted.jwks.is_some()) {
            let issuer = Arc::clone(issuer);
            issuers.fetching.push(tokio::spawn(async move {
                loop {
                    issuer.look().await;
                    tokio::time::sleep(FETCH_EVERY).await;
                }
            }));
        }
        Ok(issuers)
    }

    /// Who a token stands for.
    ///
    /// # Errors
    /// `unauthorized` in the same words whatever is wrong with it; `unavailable` while its issuer's keys cannot be had.
    pub async fn grant(&self, token: &str, header: &Header) -> Result<Grant> {
        // Only to find out whose it claims to be; nothing of it is believed yet.
        #[derive(Deserialize)]
        struct Claimed {
            iss: String,
        }
        let claimed = jsonwebtoken::dangerous::insecure_decode::<Claimed>(token).map_err(|_| super::wrong())?;
        let issuer = self.all.iter().find(|known| known.wanted.issuer == claimed.claims.iss);
        let issuer = issuer.ok_or_else(super::wrong)?;
        // An extension that must be understood (RFC 7515, 4.1.11) is not.
        if !header.typ.as_deref().is_none_or(is_access_token) || header.crit.is_some() {
            return Err(super::wrong());
        }
        let key = issuer.key(header).await?;
        issuer.check(token, &key)
    }
}

impl Issuer {
    fn new(wanted: Wanted) -> Result<Self> {
        let named = &wanted.issuer;
        if wanted.issuer.is_empty() || wanted.audience.is_empty() {
            return Err(Error::invalid("An issuer needs an \"issuer\" and an \"audience\" that are not empty."));
        }
        let sources = [wanted.jwks.is_some(), wanted.key.is_some(), wanted.secret.is_some()];
        if sources.iter().filter(|source| **source).count() != 1 {
            return Err(Error::invalid(format!(
                "The issuer {named} needs exactly one of \"jwks\", \"key\" and \"secret\"."
            )));
        }
        let algorithm = wanted.algorithm.as_deref().map(|name| {
            Algorithm::from_str(name).map_err(|_| {
                Error::invalid(format!(
                    "The issuer {named}: there is no algorithm {name:?}; there are RS256, ES256, EdDSA, …"
                ))
            })
        });
        let algorithm = algorithm.transpose()?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(FETCH_TIME_MAX)
            .user_agent(concat!("tidebase/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::internal("no client for the keys of issuers").caused_by(error))?;
        let issuer = Self { algorithm, keys: RwLock::default(), client, looked: Mutex::default(), wanted };
        if let Some(address) = &issuer.wanted.jwks {
            issuer.check_address(address)?;
        } else {
            let key = issuer.given_key()?;
            *issuer.keys.write().unwrap_or_else(PoisonError::into_inner) = vec![Arc::new(key)];
        }
        Ok(issuer)
    }

    fn check_address(&self, address: &str) -> Result<()> {
        if self.algorithm.is_some_and(is_shared) {
            return Err(Error::invalid(format!(
                "The issuer {}: keys that are published are no secrets; HS256 and its like take a \"secret\".",
                self.wanted.issuer
            )));
        }
        let url = reqwest::Url::parse(address).ok();
        let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default().to_owned();
        let is_here = ["127.0.0.1", "[::1]", "localhost"].contains(&&*host);
        match url.as_ref().map(reqwest::Url::scheme) {
            Some("https") => Ok(()),
            Some("http") if is_here => Ok(()),
            _ => Err(Error::invalid(format!(
                "The issuer {}: \"jwks\" is an https address (http on this machine only).",
                self.wanted.issuer
            ))),
        }
    }

    /// The one in the settings.
    fn given_key(&self) -> Result<Key> {
        let named = &self.wanted.issuer;
        let wrong = |what: &str| Error::invalid(format!("The issuer {named}: {what}"));
        let algorithm = self.algorithm.ok_or_else(|| wrong("a \"key\" or \"secret\" needs its \"algorithm\"."))?;
        if is_shared(algorithm) != self.wanted.secret.is_some() {
            return Err(wrong("HS256, HS384 and HS512 take a \"secret\", the others a \"key\"."));
        }
        let decoding = if let Some(secret) = &self.wanted.secret {
            if secret.len() < SECRET_BYTES_MIN {
                return Err(wrong("a \"secret\" has at least 32 bytes."));
            }
            if secret.contains("-----BEGIN") {
                return Err(wrong("a PEM is a \"key\", and none that others may know is a secret."));
            }
            DecodingKey::from_secret(secret.as_bytes())
        } else {
            let pem = self.wanted.key.as_deref().unwrap_or_default().as_bytes();
            let read = match algorithm {
                Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_pem(pem),
                Algorithm::EdDSA => DecodingKey::from_ed_pem(pem),
                _ => DecodingKey::from_rsa_pem(pem),
            };
            read.map_err(|_| wrong("\"key\" is no PEM of a public key for that algorithm."))?
        };
        Ok(Key { id: None, algorithm, decoding, standing: Standing::new(), source: Json::Null })
    }

    /// The key that a token was signed with, as its header names it; it is looked for if it is not known.
    async fn key(&self, header: &Header) -> Result<Arc<Key>> {
        if let Some(key) = self.known(header) {
            return Ok(key);
        }
        if self.wanted.jwks.is_some() {
            self.look().await;
        }
        match self.known(header) {
            Some(key) => Ok(key),
            None if self.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty() => {
                Err(Error::unavailable("The keys to check this token with cannot be had at the moment. Try again."))
            }
            None => Err(super::wrong()),
        }
    }

    fn known(&self, header: &Header) -> Option<Arc<Key>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let fits = |key: &&Arc<Key>| key.id.is_none() && keys.len() == 1 || key.id == header.kid;
        keys.iter().find(fits).cloned()
    }

    fn check(&self, token: &str, key: &Key) -> Result<Grant> {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = SKEW_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.wanted.issuer]);
        let mut required = vec!["exp", "iss", "sub"];
        if self.wanted.audience == "*" {
            validation.validate_aud = false;
        } else {
            validation.set_audience(&[&self.wanted.audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        let mut claims: Map<String, Json> =
            jsonwebtoken::decode(token, &key.decoding, &validation).map_err(|_| super::wrong())?.claims;
        let subject = claims.get("sub").and_then(Json::as_str);
        let subject = subject.filter(|subject| !subject.is_empty() && subject.len() <= SUBJECT_BYTES_MAX);
        let uid = format!("{}{}", self.wanted.prefix, subject.ok_or_else(super::wrong)?);
        if super::is_ours(&uid) {
            return Err(super::wrong());
        }
        let expires_at = claims.get("exp").and_then(Json::as_f64).ok_or_else(super::wrong)?;
        // They tell of the token, not of whom it stands for: with another token it is still the same caller.
        ["exp", "iat", "nbf", "jti"].iter().for_each(|name| drop(claims.remove(*name)));
        let caller = Caller { claims: Json::Object(claims), ..Caller::new(Role::User, Some(uid)) };
        Ok(Grant {
            principal: Principal::Caller(Arc::new(caller)),
            expires_at: Some((expires_at as i64).saturating_add(SKEW_SECONDS as i64)),
            standing: Some(Arc::clone(&key.standing)),
            session: None,
            named: None,
        })
    }

    /// Fetches the keys, unless that was just done.
    async fn look(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < FETCH_PAUSE) {
            return;
        }
        match self.fetch().await {
            Ok(set) => self.take(&set),
            Err(error) => {
                tracing::warn!(
                    issuer = self.wanted.issuer,
                    error,
                    "the keys of an issuer cannot be had; those known go on"
                );
            }
        }
        // At its end: whoever waited for it does not look again.
        *looked = Some(Instant::now());
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let address = self.wanted.jwks.as_deref().unwrap_or_default();
        let mut response = self.client.get(address).send().await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("{address} answered {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| error.to_string())? {
            body.extend_from_slice(&piece);
            if body.len() > KEY_SET_BYTES_MAX {
                return Err(format!("{address} answered with more than {KEY_SET_BYTES_MAX} bytes"));
            }
        }
        let set: Set =
            serde_json::from_slice(&body).map_err(|error| format!("{address} answered with no JWK set: {error}"))?;
        // A key that is not understood does not take the others with it.
        Ok(JwkSet { keys: set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect() })
    }

    fn take(&self, set: &JwkSet) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let known = std::mem::take(&mut *keys);
        for jwk in set.keys.iter().take(KEYS_MAX) {
            let source = serde_json::to_value(jwk).unwrap_or_default();
            if let Some(known) = known.iter().find(|key| key.source == source) {
                keys.push(Arc::clone(known));
            } else if let Some(algorithm) = self.algorithm_of(jwk)
                && let Ok(decoding) = DecodingKey::from_jwk(jwk)
            {
                let id = jwk.common.key_id.clone();
                keys.push(Arc::new(Key { id, algorithm, decoding, standing: Standing::new(), source }));
            }
        }
        for gone in known.iter().filter(|gone| !keys.iter().any(|key| Arc::ptr_eq(key, gone))) {
            gone.standing.end();
        }
    }

    /// What the key is for; `None` if not for signatures, or if it would be a secret that is published.
    fn algorithm_of(&self, jwk: &Jwk) -> Option<Algorithm> {
        if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
            return None;
        }
        let said = match jwk.common.key_algorithm {
            Some(said) => Some(signature(said)?),
            None => None,
        };
        match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => Some(Algorithm::ES256),
                EllipticCurve::P384 => Some(Algorithm::ES384),
                _ => None,
            },
            AlgorithmParameters::OctetKeyPair(_) => Some(Algorithm::EdDSA),
            AlgorithmParameters::RSA(_) => said.or(self.algorithm).or(Some(Algorithm::RS256)),
            _ => None,
        }
        .filter(|algorithm| said.is_none_or(|said| said == *algorithm))
    }
}

/// By what the header calls it: a media type, whose `application/` may be left out (RFC 7515, 4.1.9; RFC 9068, 2.1).
fn is_access_token(kind: &str) -> bool {
    ["jwt", "application/jwt", "at+jwt", "application/at+jwt"].iter().any(|known| kind.eq_ignore_ascii_case(known))
}

fn is_shared(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

fn signature(algorithm: KeyAlgorithm) -> Option<Algorithm> {
    Algorithm::from_str(&algorithm.to_string()).ok()
}

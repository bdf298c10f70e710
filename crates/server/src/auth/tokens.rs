//! Tokens with a name: for programs, with policies or without. Kept in `_tide_tokens` as hashes, and in memory.

use super::Grant;
use super::row::{blob, number, text};
use super::secret::{self, Hash};
use super::standing::Standing;
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use tidebase_engine::storage::system::SystemStatement;
use tidebase_engine::{AuditEntry, Caller, Engine, Error, Principal, Result, Role, Value};

const TOKENS_MAX: usize = 10_000;
const NAME_BYTES_MAX: usize = 200;
/// Bytes of claims as JSON.
pub const CLAIMS_BYTES_MAX: usize = 4096;
/// Characters of a token that are kept, so that people know which it is.
const HINT_LENGTH: usize = 16;

/// What may be known of a token: all but itself.
#[derive(Clone, Debug, Serialize)]
pub struct Token {
    pub id: String,
    pub name: String,
    /// `admin` or `client`.
    pub role: String,
    /// How it begins.
    pub hint: String,
    #[serde(skip_serializing_if = "Json::is_null")]
    pub claims: Json,
    /// Seconds since 1970.
    pub made_at: i64,
    pub expires_at: Option<i64>,
}

/// What is asked of a new one.
#[derive(Debug)]
pub struct Wanted {
    pub name: String,
    pub role: String,
    pub claims: Json,
    /// Seconds from now.
    pub expires_in: Option<u32>,
}

impl Token {
    pub fn principal(&self) -> Principal {
        if self.role == "admin" {
            return Principal::Admin;
        }
        let caller = Caller::new(Role::Client, Some(self.id.clone()));
        Principal::Caller(Arc::new(Caller { claims: self.claims.clone(), ..caller }))
    }
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// All of them.
#[derive(Debug, Default)]
pub struct Tokens(RwLock<Registry>);

#[derive(Debug, Default)]
struct Registry {
    by_hash: HashMap<Hash, Known>,
}

#[derive(Debug)]
struct Known {
    token: Arc<Token>,
    grant: Grant,
}

impl Known {
    fn new(token: Arc<Token>) -> Self {
        let grant = Grant {
            principal: token.principal(),
            expires_at: token.expires_at,
            standing: Some(Standing::new()),
            session: None,
            named: Some(format!("{} {}", token.role, token.id).into()),
        };
        Self { token, grant }
    }
}

impl Tokens {
    pub fn load(engine: &Engine) -> Result<Self> {
        let sql = "SELECT hash, id, name, role, hint, claims, made_at, expires_at FROM _tide_tokens";
        let rows = engine.ask_system(sql, Vec::new())?;
        let read = |row: &[Value]| -> Option<(Hash, Token)> {
            let [hash, id, name, role, hint, claims, made_at, expires_at] = row else { return None };
            let token = Token {
                id: text(id)?,
                name: text(name)?,
                role: text(role)?,
                hint: text(hint)?,
                claims: text(claims).map_or(Some(Json::Null), |claims| serde_json::from_str(&claims).ok())?,
                made_at: number(made_at)?,
                expires_at: number(expires_at),
            };
            Some((Hash::try_from(blob(hash)?).ok()?, token))
        };
        let mut registry = Registry::default();
        for row in rows {
            let (hash, token) = read(&row).ok_or_else(|| Error::internal("a row of _tide_tokens cannot be read"))?;
            registry.by_hash.insert(hash, Known::new(Arc::new(token)));
        }
        Ok(Self(RwLock::new(registry)))
    }

    /// What the one that was given is good for, if there is such a one and its time has not passed.
    pub fn find(&self, hash: &Hash) -> Option<Grant> {
        let registry = self.0.read().unwrap_or_else(PoisonError::into_inner);
        registry.by_hash.get(hash).map(|known| known.grant.clone()).filter(Grant::is_good)
    }

    /// Newest first.
    pub fn list(&self) -> Vec<Arc<Token>> {
        let registry = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Token>> = registry.by_hash.values().map(|known| Arc::clone(&known.token)).collect();
        drop(registry);
        all.sort_by(|a, b| (b.made_at, &a.name, &a.id).cmp(&(a.made_at, &b.name, &b.id)));
        all
    }

    /// Makes one; the token itself is told this once.
    ///
    /// # Errors
    /// `invalid` for an odd wish, `too_many` past the limit.
    pub async fn make(&self, engine: &Engine, wanted: Wanted, who: &str) -> Result<(String, Arc<Token>)> {
        let Wanted { name, role, claims, expires_in } = wanted;
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Error::invalid(format!("A token's \"name\" has 1 to {NAME_BYTES_MAX} bytes.")));
        }
        if role != "client" && role != "admin" {
            return Err(Error::invalid("A token's \"role\" is \"client\", bound by policies, or \"admin\"."));
        }
        if !(claims.is_null() || claims.is_object()) || claims.to_string().len() > CLAIMS_BYTES_MAX {
            return Err(Error::invalid(format!("\"claims\" is an object of at most {CLAIMS_BYTES_MAX} bytes.")));
        }
        if role == "admin" && !claims.is_null() {
            return Err(Error::invalid("No policy asks an admin token for \"claims\"."));
        }
        if expires_in == Some(0) {
            return Err(Error::invalid("\"expires_in\" is in seconds, 1 or more."));
        }
        if self.0.read().unwrap_or_else(PoisonError::into_inner).by_hash.len() >= TOKENS_MAX {
            return Err(Error::too_many(format!("There are {TOKENS_MAX} tokens, all there may be. Revoke some.")));
        }
        let secret = secret::new_token(if role == "admin" { "tide_admin_" } else { "tide_client_" })?;
        let made_at = now();
        let token = Token {
            id: secret::new_id("tok_")?,
            hint: secret.chars().take(HINT_LENGTH).collect(),
            expires_at: expires_in.map(|seconds| made_at + i64::from(seconds)),
            name,
            role,
            claims,
            made_at,
        };
        let hash = secret::hash(&secret);
        let claims = if token.claims.is_null() { Value::Null } else { Value::text(token.claims.to_string()) };
        let values = vec![
            Value::text(&token.id),
            Value::text(&token.name),
            Value::text(&token.role),
            Value::Blob(hash.as_slice().into()),
            Value::text(&token.hint),
            claims,
            Value::Integer(token.made_at),
            token.expires_at.map_or(Value::Null, Value::Integer),
        ];
        let sql = "INSERT INTO _tide_tokens (id, name, role, hash, hint, claims, made_at, expires_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let made = AuditEntry::new(who, "token made", json!(token));
        engine.change_system_audited(vec![SystemStatement { sql, values }], made).await?;
        let token = Arc::new(token);
        let mut registry = self.0.write().unwrap_or_else(PoisonError::into_inner);
        registry.by_hash.insert(hash, Known::new(Arc::clone(&token)));
        drop(registry);
        Ok((secret, token))
    }

    /// # Errors
    /// `not_found` if there is none with this id.
    pub async fn revoke(&self, engine: &Engine, id: &str, who: &str) -> Result<()> {
        let sql = "DELETE FROM _tide_tokens WHERE id = ?1";
        let revoked = AuditEntry::new(who, "token revoked", json!({ "id": id }));
        let statement = SystemStatement { sql, values: vec![Value::text(id)] };
        let gone = engine.change_system_audited(vec![statement], revoked).await?;
        let mut registry = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (_, revoked) in registry.by_hash.extract_if(|_, known| known.token.id == id) {
            revoked.grant.end();
        }
        drop(registry);
        if gone == 0 { Err(Error::not_found(format!("There is no token {id}."))) } else { Ok(()) }
    }
}

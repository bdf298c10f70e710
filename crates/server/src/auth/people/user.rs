//! A user: the row of `_tide_users`, and the statements that read and write it.
//!
//! What proves that somebody is this user (a password today) is in `_tide_credentials`, a row for each kind, which no SQL can read.

use crate::auth::row::{number, text};
use serde::Serialize;
use serde_json::Value as Json;
use tidebase_engine::{Engine, Error, Result, Role, Value};

/// Of e-mail addresses (RFC 5321).
const EMAIL_BYTES_MAX: usize = 254;

/// As it is shown to itself and to the administrator.
#[derive(Clone, Debug, Serialize)]
pub struct User {
    pub id: String,
    /// None of somebody without an account.
    pub email: Option<String>,
    pub is_anonymous: bool,
    /// What the administrator says of it, for policies.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub claims: Json,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_disabled: bool,
    /// Seconds since 1970.
    pub made_at: i64,
}

pub const INSERT: &str = "INSERT INTO _tide_users (id, email, email_key, claims, made_at) VALUES (?1, ?2, ?3, ?4, ?5)
     ON CONFLICT (email_key) DO NOTHING";
/// A password in the place of any, only if the user is there: the statement before it may have found the address taken.
pub const INSERT_PASSWORD: &str = "INSERT INTO _tide_credentials (user, kind, secret, made_at)
     SELECT id, 'password', ?2, ?3 FROM _tide_users WHERE id = ?1
     ON CONFLICT DO UPDATE SET secret = excluded.secret, made_at = excluded.made_at";
/// A user without an account gets one.
pub const NAME: &str = "UPDATE OR IGNORE _tide_users SET email = ?2, email_key = ?3 WHERE id = ?1 AND email IS NULL";
pub const PASSWORD_OF_NAMED: &str = "INSERT INTO _tide_credentials (user, kind, secret, made_at)
     SELECT id, 'password', ?2, ?3 FROM _tide_users WHERE id = ?1 AND email_key = ?4 ON CONFLICT DO NOTHING";
/// A password in the place of the one that was looked at: another may have come meanwhile.
pub const REPLACE_PASSWORD: &str = "UPDATE _tide_credentials SET secret = ?2, made_at = ?3
     WHERE user = ?1 AND kind = 'password' AND secret = ?4";
/// The row of a reset token becomes the password's: no two can do that with one token.
pub const REDEEM_RESET: &str = "UPDATE OR REPLACE _tide_credentials SET kind = 'password', secret = ?2, made_at = ?3
     WHERE user = ?1 AND kind = 'reset' AND secret = ?4";
pub const DELETE_RESET_WITH_PASSWORD: &str = "DELETE FROM _tide_credentials WHERE user = ?1 AND kind = 'reset'
     AND EXISTS (SELECT 1 FROM _tide_credentials WHERE user = ?1 AND kind = 'password' AND secret = ?2)";
/// Changes nothing; counts whether it is there.
pub const HAS_PASSWORD: &str =
    "UPDATE _tide_credentials SET made_at = made_at WHERE user = ?1 AND kind = 'password' AND secret = ?2";
pub const DELETE_RESET: &str = "DELETE FROM _tide_credentials WHERE user = ?1 AND kind = 'reset'";
/// What is NULL stays.
pub const CHANGE: &str = "UPDATE _tide_users SET claims = CASE WHEN ?2 THEN ?3 ELSE claims END,
       is_disabled = coalesce(?4, is_disabled) WHERE id = ?1";
pub const DELETE: &str = "DELETE FROM _tide_users WHERE id = ?1";
pub const DELETE_CREDENTIALS: &str = "DELETE FROM _tide_credentials WHERE user = ?1";

const BY_ID: &str = "SELECT id, email, claims, is_disabled, made_at, NULL FROM _tide_users WHERE id = ?1";
const BY_EMAIL: &str = "SELECT id, email, claims, is_disabled, made_at,
     (SELECT secret FROM _tide_credentials WHERE user = id AND kind = 'password') FROM _tide_users WHERE email_key = ?1";
const WITH_PASSWORD: &str = "SELECT id, email, claims, is_disabled, made_at,
     (SELECT secret FROM _tide_credentials WHERE user = id AND kind = 'password') FROM _tide_users WHERE id = ?1";
const LIST: &str =
    "SELECT id, email, claims, is_disabled, made_at, NULL FROM _tide_users WHERE id > ?1 ORDER BY id LIMIT ?2";

impl User {
    pub fn role(&self) -> Role {
        if self.is_anonymous { Role::Anonymous } else { Role::User }
    }

    pub fn by_id(engine: &Engine, id: &str) -> Result<Option<Self>> {
        Ok(one(engine, BY_ID, id)?.map(|(user, _)| user))
    }

    /// With the password that is kept of it.
    pub fn by_email(engine: &Engine, email: &str) -> Result<Option<(Self, Option<String>)>> {
        one(engine, BY_EMAIL, &email_key(email))
    }

    pub fn with_password(engine: &Engine, id: &str) -> Result<Option<(Self, Option<String>)>> {
        one(engine, WITH_PASSWORD, id)
    }

    /// In the order of their ids, from after one on.
    pub fn list(engine: &Engine, after: &str, limit: u32) -> Result<Vec<Self>> {
        let values = vec![Value::text(after), Value::Integer(limit.into())];
        engine.ask_system(LIST, values)?.iter().map(|row| read(row).map(|(user, _)| user)).collect()
    }
}

fn one(engine: &Engine, sql: &'static str, value: &str) -> Result<Option<(User, Option<String>)>> {
    engine.ask_system(sql, vec![Value::text(value)])?.first().map(|row| read(row)).transpose()
}

fn read(row: &[Value]) -> Result<(User, Option<String>)> {
    let understood = || {
        let [id, email, claims, is_disabled, made_at, password] = row else { return None };
        let email = text(email);
        let user = User {
            id: text(id)?,
            is_anonymous: email.is_none(),
            email,
            claims: text(claims).map_or(Some(Json::Null), |claims| serde_json::from_str(&claims).ok())?,
            is_disabled: number(is_disabled)? != 0,
            made_at: number(made_at)?,
        };
        Some((user, text(password)))
    };
    understood().ok_or_else(|| Error::internal("a row of _tide_users cannot be read"))
}

/// Two addresses with the same key are one.
pub fn email_key(email: &str) -> String {
    email.to_lowercase()
}

/// # Errors
/// `invalid` for what is surely no address; whether there is a mailbox only mail can tell.
pub fn check_email(email: &str) -> Result<String> {
    let email = email.trim();
    let is_address = email.len() <= EMAIL_BYTES_MAX
        && !email.chars().any(|character| character.is_whitespace() || character.is_control())
        && email.rsplit_once('@').is_some_and(|(name, domain)| {
            !name.is_empty() && !domain.is_empty() && !domain.starts_with('.') && !domain.ends_with('.')
        });
    if is_address {
        Ok(email.to_owned())
    } else {
        Err(Error::invalid("\"email\" is an address such as ann@example.org."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_surely_no_address_is_refused() {
        for good in ["ann@example.org", " ann@localhost ", "\"a@b\"@example.org", "änn@exämple.org", "a'b@c"] {
            check_email(good).unwrap();
        }
        let long = format!("{}@example.org", "x".repeat(250));
        for bad in
            ["", "ann", "@example.org", "ann@", "ann@.org", "ann@org.", "a nn@example.org", "a\n@b", "a\0@b", &long]
        {
            assert!(check_email(bad).is_err(), "{bad:?}");
        }
    }
}

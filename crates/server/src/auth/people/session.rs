//! A session: one place in which somebody has signed in, with one refresh token at a time.
//!
//! A refresh token is `tide_refresh_<session>.<family>.<turn>`. The family is as long-lived as the session and shows that the token
//! was ours; the turn is new each time. A token of the right family with a former turn has been used before: by a thief, or
//! by the owner after one, and the session ends. There is one exception: as long as its successor was never used, and for
//! [`LOST_SECONDS`] at most, a token is answered with that same successor, for the answer may have been lost, and two tabs may
//! come at one time. The successor is not kept for that: it is made of the token itself, which only its owner can show, and of
//! random bytes that stand beside the hash of the former turn.

use crate::auth::row::{number, text};
use crate::auth::secret::{self, Hash};
use serde::Serialize;
use tidebase_engine::{Engine, Error, Result, Value};

const PREFIX: &str = "tide_refresh_";
/// Sessions of one user. Past it those used longest ago end.
pub const SESSIONS_MAX: i64 = 100;
/// Seconds after a turn in which the former token gets what it has got before, if that was never used.
pub const LOST_SECONDS: i64 = 120;
/// Bytes of what a client calls itself.
const AGENT_BYTES_MAX: usize = 200;

/// Only if the user may still sign in, and with the password that was looked at, if one was: a reset or the administrator may
/// have come in between.
pub const INSERT: &str = "INSERT INTO _tide_sessions
       (id, user, family, turn, turned_at, made_at, used_at, expires_at, agent, address)
     SELECT ?1, id, ?3, ?4, ?5, ?5, ?5, ?6, ?7, ?8 FROM _tide_users WHERE id = ?2 AND NOT is_disabled AND (?9 IS NULL
       OR EXISTS (SELECT 1 FROM _tide_credentials WHERE user = ?2 AND kind = 'password' AND secret = ?9))";
/// The sessions of a user past the bound.
pub const CROWD_OUT: &str = "DELETE FROM _tide_sessions WHERE id IN
     (SELECT id FROM _tide_sessions WHERE user = ?1 ORDER BY used_at DESC, made_at DESC, id LIMIT -1 OFFSET ?2)";
pub const DELETE_EXPIRED: &str = "DELETE FROM _tide_sessions WHERE expires_at <= ?1";
/// Takes the turn, if nobody has in between.
pub const TURN: &str =
    "UPDATE _tide_sessions SET former = ?7, turn = ?3, turned_at = ?4, used_at = ?4, expires_at = ?5,
       address = ?6 WHERE id = ?1 AND turn = ?2";
pub const DELETE: &str = "DELETE FROM _tide_sessions WHERE id = ?1 AND user = ?2";
/// All but one, if the user's password has become this.
pub const DELETE_WITH_PASSWORD: &str = "DELETE FROM _tide_sessions WHERE user = ?1 AND id <> ?3 AND EXISTS
     (SELECT 1 FROM _tide_credentials WHERE user = ?1 AND kind = 'password' AND secret = ?2)";
pub const DELETE_ALL: &str = "DELETE FROM _tide_sessions WHERE user = ?1 AND id <> ?2";

const BY_ID: &str = "SELECT id, user, family, turn, former, turned_at, expires_at FROM _tide_sessions WHERE id = ?1";
const OF_USER: &str = "SELECT id, made_at, used_at, expires_at, agent, address FROM _tide_sessions
     WHERE user = ?1 AND expires_at > ?2 ORDER BY used_at DESC, id";
const IDS_OF_USER: &str = "SELECT id FROM _tide_sessions WHERE user = ?1";

/// A refresh token, taken apart.
pub struct Refresh {
    pub session: String,
    family: Hash,
    pub turn: Hash,
}

/// Two secrets: as they are told, and as they are kept.
pub struct Secrets {
    pub told: String,
    pub family: Hash,
    pub turn: Hash,
    /// What the turn was made of, besides the token before.
    pub salt: Hash,
}

impl Secrets {
    /// Of a new session.
    pub fn new(session: &str) -> Result<Self> {
        Ok(Self::with(session, &secret::new_token("")?, &secret::new_token("")?, Hash::default()))
    }

    fn with(session: &str, family: &str, turn: &str, salt: Hash) -> Self {
        let told = format!("{PREFIX}{session}.{family}.{turn}");
        Self { told, family: secret::hash(family), turn: secret::hash(turn), salt }
    }

    /// The next turn after a token that was right.
    pub fn next(token: &str) -> Result<Self> {
        Self::behind(token, secret::random_bytes()?)
    }

    /// The turn that was made of the token with these random bytes.
    pub fn behind(token: &str, salt: Hash) -> Result<Self> {
        let (session, family, _) = parts(token).ok_or_else(wrong)?;
        let turn = secret::stored(&secret::hash(&format!("the turn behind {token} {}", secret::stored(&salt))));
        Ok(Self::with(session, family, &turn, salt))
    }
}

fn parts(token: &str) -> Option<(&str, &str, &str)> {
    let mut parts = token.strip_prefix(PREFIX)?.split('.');
    let three = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(three)
}

impl Refresh {
    /// # Errors
    /// `unauthorized` for what is none.
    pub fn parse(token: &str) -> Result<Self> {
        let (session, family, turn) = parts(token).ok_or_else(wrong)?;
        Ok(Self { session: session.to_owned(), family: secret::hash(family), turn: secret::hash(turn) })
    }
}

/// The same words whatever is wrong with it.
pub fn wrong() -> Error {
    Error::unauthorized("The refresh token is wrong, was used before, or its time has passed. Sign in again.")
}

/// What is to be done with a refresh token.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    /// Used before, and what it got was not: made of this it is given again.
    Lost(Hash),
    /// Used before, and so was what it got: somebody else has it too.
    Stolen,
}

/// The row, as far as it is needed to judge.
pub struct Kept {
    pub user: String,
    family: Vec<u8>,
    turn: Vec<u8>,
    /// The hash of the turn before, and what the present one was made of.
    former: Option<(Vec<u8>, Hash)>,
    turned_at: i64,
    pub expires_at: i64,
}

impl Kept {
    pub fn read(engine: &Engine, id: &str) -> Result<Option<Self>> {
        let rows = engine.ask_system(BY_ID, vec![Value::text(id)])?;
        let Some([_, user, family, turn, former, turned_at, expires_at]) = rows.first().map(Vec::as_slice) else {
            return Ok(None);
        };
        let bytes = |value: &Value| if let Value::Blob(bytes) = value { Some(bytes.to_vec()) } else { None };
        let understood = || {
            let (family, turn) = (bytes(family)?, bytes(turn)?);
            let (turned_at, expires_at) = (number(turned_at)?, number(expires_at)?);
            let former = bytes(former).and_then(|former| {
                let (turn, salt) = former.split_at_checked(Hash::default().len())?;
                Some((turn.to_vec(), salt.try_into().ok()?))
            });
            Some(Self { user: text(user)?, family, turn, former, turned_at, expires_at })
        };
        understood().map(Some).ok_or_else(|| Error::internal("a row of _tide_sessions cannot be read"))
    }

    pub fn judge(&self, token: &Refresh, now: i64) -> Verdict {
        use subtle::ConstantTimeEq as _;
        let same = |kept: &[u8], given: &Hash| bool::from(kept.ct_eq(given));
        if self.expires_at <= now || !same(&self.family, &token.family) {
            Verdict::Wrong
        } else if same(&self.turn, &token.turn) {
            Verdict::Right
        } else if let Some((_, salt)) = self.former.as_ref().filter(|(turn, _)| same(turn, &token.turn))
            && now - self.turned_at <= LOST_SECONDS
        {
            Verdict::Lost(*salt)
        } else {
            Verdict::Stolen
        }
    }
}

/// As its user sees it.
#[derive(Debug, Serialize)]
pub struct Listed {
    pub id: String,
    /// Seconds since 1970, all of them.
    pub made_at: i64,
    pub used_at: i64,
    pub expires_at: i64,
    /// What the client calls itself, and the address it was last seen at.
    pub agent: Option<String>,
    pub address: Option<String>,
    /// The one that asks.
    pub is_this: bool,
}

pub fn list(engine: &Engine, user: &str, this: Option<&str>, now: i64) -> Result<Vec<Listed>> {
    let read = |row: Vec<Value>| {
        let [id, made_at, used_at, expires_at, agent, address] = &row[..] else { return None };
        let id = text(id)?;
        Some(Listed {
            is_this: this == Some(&id),
            id,
            made_at: number(made_at)?,
            used_at: number(used_at)?,
            expires_at: number(expires_at)?,
            agent: text(agent),
            address: text(address),
        })
    };
    let rows = engine.ask_system(OF_USER, vec![Value::text(user), Value::Integer(now)])?;
    Ok(rows.into_iter().filter_map(read).collect())
}

pub fn ids(engine: &Engine, user: &str) -> Result<Vec<String>> {
    let rows = engine.ask_system(IDS_OF_USER, vec![Value::text(user)])?;
    Ok(rows.iter().filter_map(|row| text(row.first()?)).collect())
}

/// What a client calls itself, as far as it is kept.
pub fn agent(text: &str) -> String {
    let end = (0..=AGENT_BYTES_MAX.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_token_ends_the_session_unless_its_successor_was_never_used() {
        let first = Secrets::new("ses_1").unwrap();
        let second = Secrets::next(&first.told).unwrap();
        let third = Secrets::next(&second.told).unwrap();
        assert_eq!(first.family, third.family);
        let kept = Kept {
            user: "u".into(),
            family: third.family.to_vec(),
            turn: third.turn.to_vec(),
            former: Some((second.turn.to_vec(), third.salt)),
            turned_at: 100,
            expires_at: 1000,
        };
        let verdict = |token: &str, now| kept.judge(&Refresh::parse(token).unwrap(), now);
        assert_eq!(verdict(&third.told, 101), Verdict::Right);
        assert_eq!(verdict(&second.told, 100 + LOST_SECONDS), Verdict::Lost(third.salt));
        assert_eq!(Secrets::behind(&second.told, third.salt).unwrap().told, third.told);
        assert_eq!(verdict(&second.told, 101 + LOST_SECONDS), Verdict::Stolen);
        assert_eq!(verdict(&first.told, 101), Verdict::Stolen);
        assert_eq!(verdict(&third.told, 1000), Verdict::Wrong);
        // Whoever knows only the session's id cannot end it.
        assert_eq!(verdict(&Secrets::new("ses_1").unwrap().told, 101), Verdict::Wrong);
        for text in ["", "tide_refresh_", "tide_refresh_a.b", "tide_refresh_a.b.c.d", "tide_client_a.b.c"] {
            assert!(Refresh::parse(text).is_err(), "{text}");
        }
    }
}

//! People who sign in: accounts with a password, or none at all; sessions, and the tokens that stand for them.
//!
//! An access token is signed and short-lived ([`super::signing`]), a refresh token is random, long-lived and good for one turn
//! ([`session`]). What is true of a user and a session is what the file says: a token is looked up when it is first seen, and whoever
//! was let in by it is told when that changes. Mail, second factors, passkeys and sign-in elsewhere have their places in
//! `_tide_credentials` by their kind; there are none yet.

mod password;
mod patience;
mod session;
mod user;

pub use session::Listed;
pub use user::User;

use super::Grant;
use super::row::or_null;
use super::secret;
use super::signing::{ISSUER, Payload, SigningKeys};
use super::standing::Standing;
use super::tokens::{CLAIMS_BYTES_MAX, now};
use password::Passwords;
use patience::Patience;
use serde::Serialize;
use serde_json::{Value as Json, json};
use session::{Kept, Refresh, Secrets, Verdict};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tidebase_engine::storage::system::SystemStatement;
use tidebase_engine::{AuditEntry, Caller, Engine, Error, Principal, Result, Value};

/// A token that the administrator hands over so that somebody can choose a new password.
const RESET_LIFE: Duration = Duration::from_hours(1);
/// Sessions whose standing is remembered, before those nobody holds are forgotten.
const STANDINGS_BEFORE_SWEEP: usize = 1024;

/// What is open to people, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// May strangers make themselves an account?
    pub sign_up: bool,
    /// May strangers come in without one?
    pub anonymous: bool,
    pub access_life: Duration,
    /// A session ends when it has not been used for so long.
    pub session_life: Duration,
    pub password_length_min: usize,
}

/// Where somebody signs in.
#[derive(Clone, Debug)]
pub struct Place {
    pub address: IpAddr,
    /// What the client calls itself.
    pub agent: Option<String>,
}

/// What somebody gets who has signed in.
#[derive(Debug, Serialize)]
pub struct SignedIn {
    pub user: User,
    pub access_token: String,
    pub refresh_token: String,
    /// Seconds that the access token lives.
    pub expires_in: u64,
}

/// A change of a user by the administrator; what is not named stays.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// `null` takes them away.
    #[serde(default, deserialize_with = "present")]
    pub claims: Option<Json>,
    pub is_disabled: Option<bool>,
    pub password: Option<String>,
}

/// A field that is there, also with `null`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Some)
}

pub struct People {
    engine: Arc<Engine>,
    pub keys: SigningKeys,
    settings: Settings,
    passwords: Passwords,
    patience: Patience,
    /// By session; with the user.
    standings: Mutex<HashMap<String, (String, Weak<Standing>)>>,
}

/// Who does something to a user, for the audit log.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// The user.
    Themselves,
    /// The administrator, by this token.
    Admin(&'a str),
}

/// Of what concerns one person, for the audit log.
fn noted(by: By<'_>, user: &str, what: &'static str, mut detail: Json) -> AuditEntry {
    match by {
        By::Themselves => AuditEntry::new(format!("user {user}"), what, detail),
        By::Admin(who) => {
            detail["user"] = user.into();
            AuditEntry::new(who, what, detail)
        }
    }
}

impl People {
    pub async fn load(engine: Arc<Engine>, settings: Settings) -> Result<Self> {
        let keys = SigningKeys::load(&engine).await?;
        let passwords = Passwords::new(settings.password_length_min)?;
        Ok(Self { engine, keys, settings, passwords, patience: Patience::default(), standings: Mutex::default() })
    }

    /// A new account, signed in.
    ///
    /// # Errors
    /// `forbidden` if sign-up is closed; `conflict` if the address has an account.
    pub async fn sign_up(&self, email: &str, password: String, place: &Place) -> Result<SignedIn> {
        if !self.settings.sign_up {
            return Err(Error::forbidden("Sign-up is closed here. Ask whoever runs this server for an account."));
        }
        let user = self.make_account(By::Themselves, email, Some(password), Json::Null).await?;
        self.begin(user, None, place).await
    }

    /// # Errors
    /// `unauthorized`, in the same words and after the same time whether there is such an account or not; `too_many` after
    /// too many attempts.
    pub async fn sign_in(&self, email: &str, password: String, place: &Place) -> Result<SignedIn> {
        let claimed = user::email_key(email.trim());
        self.patience.attempt(&secret::stored(&secret::hash(&claimed)), place.address, Instant::now())?;
        let found = User::by_email(&self.engine, &claimed)?;
        let (user, kept) = found.map_or((None, None), |(user, kept)| (Some(user), kept));
        let is_right = self.passwords.is_right(password, kept.clone()).await?;
        match user.filter(|user| is_right && !user.is_disabled) {
            Some(user) => {
                let signed_in = self.begin(user, kept, place).await?;
                self.patience.right(&secret::stored(&secret::hash(&claimed)), place.address);
                Ok(signed_in)
            }
            None => Err(wrong_password()),
        }
    }

    /// A user without an account.
    pub async fn come_in(&self, place: &Place) -> Result<SignedIn> {
        if !self.settings.anonymous {
            return Err(Error::forbidden("Nobody may come in here without an account."));
        }
        let user = self.make(By::Themselves, None, None, Json::Null).await?;
        self.begin(user, None, place).await
    }

    /// Gives an account to a user who came in without one; id, rows and session stay.
    ///
    /// # Errors
    /// `conflict` if the user has one, or the address has.
    pub async fn name(&self, id: &str, email: &str, password: String) -> Result<User> {
        if !self.settings.sign_up {
            return Err(Error::forbidden("Sign-up is closed here. Ask whoever runs this server for an account."));
        }
        let email = user::check_email(email)?;
        self.passwords.check(&password, Some(&email))?;
        let kept = self.passwords.hash(password).await?;
        let (key, id_value) = (Value::text(user::email_key(&email)), Value::text(id));
        let name = vec![id_value.clone(), Value::text(email), key.clone()];
        let password = vec![id_value, Value::text(kept), Value::Integer(now()), key];
        let statements = vec![
            SystemStatement { sql: user::NAME, values: name },
            SystemStatement { sql: user::PASSWORD_OF_NAMED, values: password },
        ];
        let named = noted(By::Themselves, id, "account made", json!({}));
        if self.engine.change_system_audited(statements, named).await? == 0 {
            return Err(taken());
        }
        // Its tokens still say that it is anonymous.
        self.end_standings(id, None);
        self.user(id)
    }

    async fn make_account(&self, by: By<'_>, email: &str, password: Option<String>, claims: Json) -> Result<User> {
        let email = user::check_email(email)?;
        let kept = match password {
            Some(password) => {
                self.passwords.check(&password, Some(&email))?;
                Some(self.passwords.hash(password).await?)
            }
            None => None,
        };
        self.make(by, Some(email), kept, claims).await
    }

    async fn make(&self, by: By<'_>, email: Option<String>, kept: Option<String>, claims: Json) -> Result<User> {
        check_claims(&claims)?;
        let id = secret::new_id("usr_")?;
        let made_at = now();
        let key = email.as_deref().map(user::email_key);
        let said = if claims.is_null() { Value::Null } else { Value::text(claims.to_string()) };
        let values =
            vec![Value::text(&id), or_null(email.as_deref()), or_null(key.as_deref()), said, Value::Integer(made_at)];
        let mut statements = vec![SystemStatement { sql: user::INSERT, values }];
        if let Some(kept) = kept {
            let values = vec![Value::text(&id), Value::text(kept), Value::Integer(made_at)];
            statements.push(SystemStatement { sql: user::INSERT_PASSWORD, values });
        }
        // Of people without an account there may be any number.
        let done = match email {
            Some(_) => {
                let made = noted(by, &id, "account made", json!({}));
                self.engine.change_system_audited(statements, made).await?
            }
            None => self.engine.change_system(statements).await?,
        };
        if done == 0 {
            return Err(taken());
        }
        Ok(User { id, is_anonymous: email.is_none(), email, claims, is_disabled: false, made_at })
    }

    /// A new session of a user, who has shown the password of which this is kept.
    async fn begin(&self, user: User, shown: Option<String>, place: &Place) -> Result<SignedIn> {
        let id = secret::new_id("ses_")?;
        let secrets = Secrets::new(&id)?;
        let at = now();
        let values = vec![
            Value::text(&id),
            Value::text(&user.id),
            Value::Blob(secrets.family.as_slice().into()),
            Value::Blob(secrets.turn.as_slice().into()),
            Value::Integer(at),
            Value::Integer(at + seconds(self.settings.session_life)),
            or_null(place.agent.as_deref().map(session::agent).as_deref()),
            Value::text(place.address.to_string()),
            or_null(shown.as_deref()),
        ];
        let crowd_out = vec![Value::text(&user.id), Value::Integer(session::SESSIONS_MAX)];
        let statements = vec![
            SystemStatement { sql: session::DELETE_EXPIRED, values: vec![Value::Integer(at)] },
            SystemStatement { sql: session::INSERT, values },
            SystemStatement { sql: session::CROWD_OUT, values: crowd_out },
        ];
        let before = session::ids(&self.engine, &user.id)?;
        if self.engine.change_system(statements).await? > 0 {
            let left = session::ids(&self.engine, &user.id)?;
            before.iter().filter(|id| !left.contains(id)).for_each(|id| self.end_standing(id));
        }
        let Some(kept) = Kept::read(&self.engine, &id)? else { return Err(wrong_password()) };
        // Of people without an account there may be any number, and the log has a bound.
        if !user.is_anonymous {
            let detail = json!({ "session": id, "address": place.address.to_string() });
            self.engine.audit(noted(By::Themselves, &user.id, "signed in", detail)).await?;
        }
        self.signed_in(user, &id, secrets.told, kept.expires_at)
    }

    fn signed_in(&self, user: User, session: &str, refresh_token: String, ends_at: i64) -> Result<SignedIn> {
        let at = now();
        let expires_at = ends_at.min(at + seconds(self.settings.access_life));
        let payload = Payload {
            iss: ISSUER.into(),
            sub: user.id.clone(),
            sid: session.into(),
            role: user.role().name().into(),
            email: user.email.clone(),
            claims: user.claims.clone(),
            iat: at,
            exp: expires_at,
        };
        let access_token = self.keys.sign(&payload)?;
        Ok(SignedIn { user, access_token, refresh_token, expires_in: (expires_at - at).unsigned_abs() })
    }

    /// New tokens for old ones: each refresh token serves once, and again while what it got was never used.
    ///
    /// # Errors
    /// `unauthorized`; a token that was used before ends the session, whoever brings it.
    pub async fn refresh(&self, token: &str, place: &Place) -> Result<SignedIn> {
        let refresh = Refresh::parse(token)?;
        match self.turn(token, &refresh, place).await? {
            Some(signed_in) => Ok(signed_in),
            // Another has come at the same time, and gets the same.
            None => self.turn(token, &refresh, place).await?.ok_or_else(just_used),
        }
    }

    /// `None` if the turn was taken in between.
    async fn turn(&self, token: &str, refresh: &Refresh, place: &Place) -> Result<Option<SignedIn>> {
        let at = now();
        let Some(kept) = Kept::read(&self.engine, &refresh.session)? else { return Err(session::wrong()) };
        let verdict = kept.judge(refresh, at);
        if verdict == Verdict::Stolen {
            self.end_session(&kept.user, &refresh.session).await?;
        }
        if matches!(verdict, Verdict::Wrong | Verdict::Stolen) {
            return Err(session::wrong());
        }
        let Some(user) = User::by_id(&self.engine, &kept.user)?.filter(|user| !user.is_disabled) else {
            return Err(session::wrong());
        };
        if let Verdict::Lost(salt) = verdict {
            let told = Secrets::behind(token, salt)?.told;
            return self.signed_in(user, &refresh.session, told, kept.expires_at).map(Some);
        }
        let next = Secrets::next(token)?;
        let ends_at = at + seconds(self.settings.session_life);
        let values = vec![
            Value::text(&refresh.session),
            Value::Blob(refresh.turn.as_slice().into()),
            Value::Blob(next.turn.as_slice().into()),
            Value::Integer(at),
            Value::Integer(ends_at),
            Value::text(place.address.to_string()),
            Value::Blob([refresh.turn, next.salt].concat().into()),
        ];
        if self.engine.change_system(vec![SystemStatement { sql: session::TURN, values }]).await? == 0 {
            return Ok(None);
        }
        self.signed_in(user, &refresh.session, next.told, ends_at).map(Some)
    }

    /// Who an access token of ours stands for, as things are now; `None` if it is none of ours.
    pub fn grant(&self, token: &str, header: &jsonwebtoken::Header) -> Option<Result<Grant>> {
        let payload = match self.keys.check(token, header, seconds(self.settings.access_life))? {
            Ok(payload) => payload,
            Err(error) => return Some(Err(error)),
        };
        // Before the file is asked: what ends in between ends this standing.
        let standing = self.standing(&payload.sid, &payload.sub);
        Some(self.look_up(payload, standing))
    }

    fn look_up(&self, payload: Payload, standing: Arc<Standing>) -> Result<Grant> {
        let session = Kept::read(&self.engine, &payload.sid)?;
        let is_there = session.is_some_and(|kept| kept.user == payload.sub && kept.expires_at > now());
        let user = User::by_id(&self.engine, &payload.sub)?.filter(|user| is_there && !user.is_disabled);
        let user = user.ok_or_else(super::wrong)?;
        let mut said =
            if user.claims.is_object() { user.claims.clone() } else { Json::Object(serde_json::Map::default()) };
        // In the form in which two of them are one. That it is theirs nobody has shown.
        said["email"] = user.email.as_deref().map(user::email_key).into();
        said["email_verified"] = false.into();
        let caller = Caller { claims: said, ..Caller::new(user.role(), Some(user.id)) };
        let principal = Principal::Caller(Arc::new(caller));
        Ok(Grant {
            principal,
            expires_at: Some(payload.exp),
            standing: Some(standing),
            session: Some(payload.sid.into()),
            named: None,
        })
    }

    fn standing(&self, session: &str, user: &str) -> Arc<Standing> {
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(standing) = standings.get(session).and_then(|(_, standing)| standing.upgrade()) {
            return standing;
        }
        if standings.len() >= STANDINGS_BEFORE_SWEEP && standings.len().is_power_of_two() {
            standings.retain(|_, (_, standing)| standing.strong_count() > 0);
        }
        let standing = Standing::new();
        standings.insert(session.to_owned(), (user.to_owned(), Arc::downgrade(&standing)));
        standing
    }

    fn end_standing(&self, session: &str) {
        let ended = self.standings.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
        if let Some(standing) = ended.and_then(|(_, standing)| standing.upgrade()) {
            standing.end();
        }
    }

    /// All of a user's, but for one.
    fn end_standings(&self, user: &str, but: Option<&str>) {
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = standings.extract_if(|session, (whose, _)| whose == user && but != Some(session));
        ended.filter_map(|(_, (_, standing))| standing.upgrade()).for_each(|standing| standing.end());
    }

    /// From its answer on the session's tokens are worth nothing, and its sockets are closed.
    pub async fn end_session(&self, user: &str, session: &str) -> Result<()> {
        let values = vec![Value::text(session), Value::text(user)];
        let statement = SystemStatement { sql: session::DELETE, values };
        let ended = noted(By::Themselves, user, "signed out", json!({ "session": session }));
        let gone = self.engine.change_system_audited(vec![statement], ended).await?;
        if gone == 0 {
            return Err(Error::not_found(format!("There is no session {session}.")));
        }
        self.end_standing(session);
        Ok(())
    }

    /// All sessions of a user, but for one.
    pub async fn end_sessions(&self, by: By<'_>, user: &str, but: Option<&str>) -> Result<()> {
        let ended = noted(by, user, "signed out", json!({ "sessions": if but.is_some() { "others" } else { "all" } }));
        self.engine.change_system_audited(vec![end_all(user, but)], ended).await?;
        self.end_standings(user, but);
        Ok(())
    }

    pub fn sessions(&self, user: &str, this: Option<&str>) -> Result<Vec<Listed>> {
        session::list(&self.engine, user, this, now())
    }

    /// A new password for whoever knows the old one. The user's other sessions end.
    pub async fn change_password(
        &self,
        id: &str,
        this: Option<&str>,
        old: String,
        new: String,
        from: IpAddr,
    ) -> Result<()> {
        self.patience.attempt(id, from, Instant::now())?;
        let (user, kept) = User::with_password(&self.engine, id)?.ok_or_else(|| no_user(id))?;
        let wrong = || Error::forbidden("The old password is wrong.");
        let Some(looked_at) = kept.clone().filter(|_| !user.is_anonymous) else { return Err(wrong()) };
        if !self.passwords.is_right(old, kept).await? {
            return Err(wrong());
        }
        self.patience.right(id, from);
        let kept = self.new_password(&user, new).await?;
        let values = vec![Value::text(id), kept, Value::Integer(now()), Value::text(looked_at)];
        let replace = SystemStatement { sql: user::REPLACE_PASSWORD, values };
        if self.put_password(By::Themselves, id, replace, this).await? { Ok(()) } else { Err(wrong()) }
    }

    /// What is kept of a new one.
    async fn new_password(&self, user: &User, password: String) -> Result<Value> {
        self.passwords.check(&password, user.email.as_deref())?;
        Ok(Value::text(self.passwords.hash(password).await?))
    }

    /// Puts a new password where the statement says; the other sessions and reset tokens end with the old one. False if another
    /// has come in between.
    async fn put_password(&self, by: By<'_>, id: &str, put: SystemStatement, keeps: Option<&str>) -> Result<bool> {
        // No two are kept in the same way, so what is kept of it shows that it is there.
        let (id_value, kept) = (Value::text(id), put.values[1].clone());
        let keeps_value = Value::text(keeps.unwrap_or_default());
        let end = vec![id_value.clone(), kept.clone(), keeps_value];
        let statements = vec![
            put,
            SystemStatement { sql: session::DELETE_WITH_PASSWORD, values: end },
            SystemStatement { sql: user::DELETE_RESET_WITH_PASSWORD, values: vec![id_value.clone(), kept.clone()] },
            SystemStatement { sql: user::HAS_PASSWORD, values: vec![id_value, kept] },
        ];
        let set = noted(by, id, "password set", json!({}));
        let is_put = self.engine.change_system_audited(statements, set).await? > 0;
        if is_put {
            self.end_standings(id, keeps);
        }
        Ok(is_put)
    }

    /// A token with which a user can choose a new password, once; for the administrator to hand over.
    pub async fn make_reset(&self, id: &str) -> Result<(String, Duration)> {
        let user = self.user(id)?;
        if user.is_anonymous {
            return Err(Error::conflict(format!("The user {id} has no account, and so no password.")));
        }
        let token = secret::new_token("tide_reset_")?;
        let hash = Value::Blob(secret::hash(&token).as_slice().into());
        let sql = "INSERT INTO _tide_credentials (user, kind, secret, made_at) VALUES (?1, 'reset', ?2, ?3)
                   ON CONFLICT DO UPDATE SET secret = excluded.secret, made_at = excluded.made_at";
        let values = vec![Value::text(id), hash, Value::Integer(now())];
        self.engine.change_system(vec![SystemStatement { sql, values }]).await?;
        Ok((token, RESET_LIFE))
    }

    /// A new password for whoever has such a token. All sessions of the user end.
    ///
    /// # Errors
    /// `unauthorized` for a token that is wrong, used, or old.
    pub async fn reset(&self, token: &str, password: String) -> Result<()> {
        let wrong = || Error::unauthorized("The reset token is wrong, was used before, or its time has passed.");
        let hash = Value::Blob(secret::hash(token).as_slice().into());
        let since = Value::Integer(now() - seconds(RESET_LIFE));
        let sql = "SELECT user FROM _tide_credentials WHERE kind = 'reset' AND secret = ?1 AND made_at > ?2";
        let rows = self.engine.ask_system(sql, vec![hash.clone(), since])?;
        let id = rows.first().and_then(|row| super::row::text(row.first()?)).ok_or_else(wrong)?;
        let user = self.user(&id)?;
        let kept = self.new_password(&user, password).await?;
        let values = vec![Value::text(&id), kept, Value::Integer(now()), hash];
        let redeem = SystemStatement { sql: user::REDEEM_RESET, values };
        if !self.put_password(By::Themselves, &id, redeem, None).await? {
            return Err(wrong());
        }
        if let Some(email) = &user.email {
            self.patience.forgive(&secret::stored(&secret::hash(&user::email_key(email))));
        }
        Ok(())
    }

    /// # Errors
    /// `not_found`.
    pub fn user(&self, id: &str) -> Result<User> {
        User::by_id(&self.engine, id)?.ok_or_else(|| no_user(id))
    }

    /// By id or by e-mail address.
    pub fn find(&self, name: &str) -> Result<User> {
        if !name.contains('@') {
            return self.user(name);
        }
        User::by_email(&self.engine, name)?.map(|(user, _)| user).ok_or_else(|| no_user(name))
    }

    pub fn list(&self, after: &str, limit: u32) -> Result<Vec<User>> {
        User::list(&self.engine, after, limit)
    }

    /// An account made by the administrator; without a password nobody can sign in with it until one is set.
    pub async fn add(&self, who: &str, email: &str, password: Option<String>, claims: Json) -> Result<User> {
        self.make_account(By::Admin(who), email, password, claims).await
    }

    /// What the administrator changes counts at once: whoever is signed in gets a new token first.
    pub async fn change(&self, who: &str, id: &str, change: Change) -> Result<User> {
        let by = By::Admin(who);
        let user = self.user(id)?;
        if let Some(claims) = &change.claims {
            check_claims(claims)?;
        }
        if let Some(password) = change.password {
            if user.is_anonymous {
                return Err(Error::conflict(format!("The user {id} has no account, and so no password.")));
            }
            let kept = self.new_password(&user, password).await?;
            let values = vec![Value::text(id), kept, Value::Integer(now())];
            self.put_password(by, id, SystemStatement { sql: user::INSERT_PASSWORD, values }, None).await?;
        }
        let said = change.claims.as_ref().filter(|claims| !claims.is_null());
        let values = vec![
            Value::text(id),
            Value::Integer(change.claims.is_some().into()),
            said.map_or(Value::Null, |claims| Value::text(claims.to_string())),
            change.is_disabled.map_or(Value::Null, |is_disabled| Value::Integer(is_disabled.into())),
        ];
        let mut statements = Vec::new();
        if change.is_disabled == Some(true) {
            statements.push(end_all(id, None));
            statements.push(SystemStatement { sql: user::DELETE_RESET, values: vec![Value::text(id)] });
        }
        statements.push(SystemStatement { sql: user::CHANGE, values });
        let detail = json!({ "is_disabled": change.is_disabled, "claims": change.claims });
        let changed = noted(by, id, "user changed", detail);
        if self.engine.change_system_audited(statements, changed).await? == 0 {
            return Err(no_user(id));
        }
        self.end_standings(id, None);
        self.user(id)
    }

    /// Rows that name the user stay as they are.
    pub async fn remove(&self, who: &str, id: &str) -> Result<()> {
        let statements = vec![
            end_all(id, None),
            SystemStatement { sql: user::DELETE_CREDENTIALS, values: vec![Value::text(id)] },
            SystemStatement { sql: user::DELETE, values: vec![Value::text(id)] },
        ];
        let removed = noted(By::Admin(who), id, "user removed", json!({}));
        let gone = self.engine.change_system_audited(statements, removed).await?;
        self.end_standings(id, None);
        if gone == 0 { Err(no_user(id)) } else { Ok(()) }
    }

    /// The public halves of the signing keys.
    pub fn public_keys(&self) -> Json {
        self.keys.public(seconds(self.settings.access_life))
    }

    /// A new signing key. What the old one has signed holds until its time has passed.
    pub async fn rotate_keys(&self) -> Result<()> {
        self.keys.rotate(&self.engine, seconds(self.settings.access_life)).await
    }
}

fn end_all(user: &str, but: Option<&str>) -> SystemStatement {
    let values = vec![Value::text(user), Value::text(but.unwrap_or_default())];
    SystemStatement { sql: session::DELETE_ALL, values }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 2)
}

fn check_claims(claims: &Json) -> Result<()> {
    if (claims.is_null() || claims.is_object()) && claims.to_string().len() <= CLAIMS_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!("\"claims\" is an object of at most {CLAIMS_BYTES_MAX} bytes.")))
}

fn no_user(name: &str) -> Error {
    Error::not_found(format!("There is no user {name}."))
}

fn wrong_password() -> Error {
    Error::unauthorized("The e-mail address or the password is wrong.")
}

fn taken() -> Error {
    Error::conflict("No account can be made for that e-mail address. If it is yours and has one, sign in.")
}

fn just_used() -> Error {
    Error::conflict("This refresh token has just been used, by another tab perhaps; take the tokens it got.")
}

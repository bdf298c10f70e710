//! Keys, of the administrator and of callers.

use super::{Engine, Pending};
use crate::access::Principal;
use crate::error::{Code, Error, Result};
use crate::keys::{self, Entry, KeyWrite};
use crate::request::Idempotency;
use crate::storage::execute::Place;
use crate::storage::work::Work;

impl Engine {
    /// One key, or `None`.
    ///
    /// # Errors
    /// `conflict` if the database has a table `kv` of another shape.
    ///
    /// `forbidden` if no policy shows the caller any key.
    pub async fn key(&self, principal: &Principal, key: &str) -> Result<Option<Entry>> {
        keys::check_name(key, &self.shared.limits)?;
        if principal.caller().is_some() {
            let key = key.to_owned();
            return self.bound_keys(principal, move |mut keys| keys.get(&key)).await;
        }
        if !self.has_keys()? {
            return Ok(None);
        }
        let time = self.shared.limits.inline_read_time_max;
        match self.readers.inline(|sqlite| sqlite.on_behalf(time, None, |own| keys::get(own, key))) {
            Err(error) if error.code == Code::Timeout => {
                let (time, key) = (self.shared.limits.read_time_max, key.to_owned());
                self.readers.elsewhere(move |sqlite| sqlite.on_behalf(time, None, |own| keys::get(own, &key))).await
            }
            done => done,
        }
    }

    /// Keys with a prefix after `after`, in order, one page of them.
    pub async fn keys(
        &self,
        principal: &Principal,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<keys::Page> {
        if principal.caller().is_some() {
            return self.bound_keys(principal, move |mut keys| keys.list(&prefix, after.as_deref(), limit)).await;
        }
        if !self.has_keys()? {
            return Ok(keys::Page::default());
        }
        let time = self.shared.limits.read_time_max;
        let list = move |own: &rusqlite::Connection| keys::list(own, &prefix, after.as_deref(), limit);
        self.readers.elsewhere(move |sqlite| sqlite.on_behalf(time, None, list)).await
    }

    /// Reads keys as a caller sees them.
    async fn bound_keys<T: Send + 'static>(
        &self,
        principal: &Principal,
        work: impl Fn(keys::bound::Bound<'_>) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let role = principal.role().ok_or_else(|| Error::internal("only callers are bound"))?;
        self.read_for(principal, move |sqlite, access| {
            work(keys::bound::Bound { sqlite, access, role, place: Place::Reader })
        })
        .await
    }

    /// False before the first key is written.
    fn has_keys(&self) -> Result<bool> {
        match self.shared.keys() {
            keys::Presence::Absent => Ok(false),
            keys::Presence::Ours => Ok(true),
            keys::Presence::Foreign => Err(keys::foreign()),
        }
    }

    pub fn write_key(
        &self,
        principal: &Principal,
        write: KeyWrite,
        idempotency: Option<Idempotency>,
    ) -> Result<Pending> {
        self.submit(Work::Key { write, principal: principal.clone() }, idempotency)
    }
}

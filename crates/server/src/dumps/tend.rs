//! The loop that looks after dumps: begins those whose turn it is, removes those that are too old, and tells those who want to be told.
//!
//! All of it stands in the database, so that a start goes on where the end before it was.

use super::Dumps;
use super::calendar::now;
use super::dump::{Dump, Status};
use super::progress::Running;
use crate::callbacks::{self, secret};
use serde_json::json;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tidebase_engine::{AuditEntry, Result, Value};

/// Between two looks at least, and at most.
const PACE_MIN: Duration = Duration::from_millis(20);
const PACE_MAX: Duration = Duration::from_mins(1);
const PACE_IN_TROUBLE: Duration = Duration::from_secs(1);
/// How often a dump is begun again because the server had ended under it.
const RESTARTS_MAX: u32 = 3;
/// A pause grows no more after this many doublings.
const DOUBLINGS_MAX: u32 = 12;

impl Dumps {
    /// Until the server stops.
    pub async fn tend(self: Arc<Self>) {
        self.begin_again().await;
        while !self.is_stopping() {
            let pause = match self.look() {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "dumps could not be looked after");
                    PACE_IN_TROUBLE
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// What was under way when the last server ended.
    async fn begin_again(&self) {
        let unfinished = match self.all() {
            Ok(all) => all.into_iter().filter(|dump| dump.status == Status::Processing || dump.upload.is_some()),
            Err(error) => return tracing::warn!(%error, "dumps could not be read"),
        };
        for dump in unfinished {
            let swept = self.store.abandon(&dump.file, dump.upload.as_deref().unwrap_or_default()).await;
            if let Err(error) = swept {
                tracing::warn!(dump = dump.key, %error, "what is left of a dump could not be removed");
            }
            if dump.status != Status::Processing {
                continue;
            }
            if dump.restarts >= RESTARTS_MAX {
                let words = format!("The server ended while the dump was made, {} times.", dump.restarts + 1);
                self.write_failure(&dump.key, &words, || ()).await;
                continue;
            }
            let sql = "UPDATE _tide_dumps SET status = 'waiting', restarts = restarts + 1, upload = NULL, began_at = NULL WHERE key = ?1";
            if let Err(error) = self.change(sql, vec![Value::text(&dump.key)]).await {
                tracing::warn!(dump = dump.key, %error, "a dump could not be begun again");
            }
        }
    }

    /// Does what is to be done now, and says when there may be more.
    fn look(self: &Arc<Self>) -> Result<Duration> {
        let all = self.all()?;
        let kept = all.iter().filter(|dump| dump.status == Status::Completed).filter_map(|dump| dump.bytes).sum();
        self.kept_bytes.store(kept, std::sync::atomic::Ordering::Relaxed);
        let now = now();
        let age_max = self.bounds.age_max.as_millis() as i64;
        let mut next = now + PACE_MAX.as_millis() as i64;
        for dump in all {
            if dump.status == Status::Waiting {
                self.begin(dump);
                continue;
            }
            if !dump.status.is_over() {
                continue;
            }
            let ends_at = dump.ended_at.unwrap_or(now) + age_max;
            let due_at = dump.callback.as_ref().and_then(|callback| callback.due_at);
            // What is begun now wakes this loop when it is done; what fails is tried again at the slow pace.
            for later in [Some(ends_at), due_at].into_iter().flatten().filter(|time| *time > now) {
                next = next.min(later);
            }
            if ends_at <= now {
                self.expire(dump);
            } else if due_at.is_some_and(|due_at| due_at <= now) {
                self.call(dump.key);
            }
        }
        Ok(Duration::from_millis((next - now).max(0) as u64).clamp(PACE_MIN, PACE_MAX))
    }

    /// If there is a place.
    fn begin(self: &Arc<Self>, dump: Dump) {
        let running = Arc::<Running>::default();
        {
            let mut all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= self.bounds.running_max || all.contains_key(&dump.key) || self.is_stopping() {
                return;
            }
            all.insert(dump.key.clone(), Arc::clone(&running));
        }
        let dumps = Arc::clone(self);
        tokio::spawn(async move {
            let sql =
                "UPDATE _tide_dumps SET status = 'processing', began_at = ?2 WHERE key = ?1 AND status = 'waiting'";
            let begun = dumps.change(sql, vec![Value::text(&dump.key), Value::Integer(now())]).await;
            if begun.is_ok_and(|begun| begun) {
                return dumps.carry_out(dump, running).await;
            }
            // It was removed, or cannot be begun now.
            dumps.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&dump.key);
            running.ended.send_replace(true);
        });
    }

    fn expire(self: &Arc<Self>, dump: Dump) {
        let dumps = Arc::clone(self);
        tokio::spawn(async move {
            let detail = json!({ "key": dump.key, "why": "its time is over" });
            let gone = dumps.forget(&dump, AuditEntry::new("server", "dump removed", detail)).await;
            if let Err(error) = gone {
                tracing::warn!(dump = dump.key, %error, "an old dump could not be removed");
            }
        });
    }

    fn call(self: &Arc<Self>, key: String) {
        let is_new = self.calling.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        if !is_new {
            return;
        }
        let dumps = Arc::clone(self);
        tokio::spawn(async move {
            let called = dumps.call_now(&key).await;
            if let Err(error) = called {
                tracing::warn!(dump = key, %error, "what came of a callback could not be written down");
            }
            dumps.calling.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            dumps.wake.notify_one();
        });
    }

    async fn call_now(&self, key: &str) -> Result<()> {
        // As it is now: the call before this one may have been written down after the look.
        let dump = self.one(key)?;
        let Some(callback) = &dump.callback else { return Ok(()) };
        if callback.due_at.is_none_or(|due_at| due_at > now()) {
            return Ok(());
        }
        let secret = secret::current(&self.engine, now()).await?;
        let body = dump.news().to_string();
        let what = callbacks::Callback { url: &callback.url, id: &dump.key, body: &body };
        let sent = self.callbacks.send(what, &secret, now() / 1000).await;
        let tries = callback.tries + 1;
        let key = Value::text(&dump.key);
        let (status, due_at, error) = match sent {
            Ok(()) => ("delivered", Value::Null, Value::Null),
            Err(error) if tries >= self.bounds.callback_tries_max => {
                ("failed", Value::Null, Value::text(error.message))
            }
            Err(error) => {
                let pause = self.bounds.callback_pause_min * 2_u32.pow((tries - 1).min(DOUBLINGS_MAX));
                ("waiting", Value::Integer(now() + pause.as_millis() as i64), Value::text(error.message))
            }
        };
        let sql = "UPDATE _tide_dumps SET callback_status = ?2, callback_tries = ?3, callback_at = ?4, callback_error = ?5 WHERE key = ?1";
        self.change(sql, vec![key, Value::text(status), Value::Integer(tries.into()), due_at, error]).await?;
        Ok(())
    }
}

//! Dumps that are made in the background and kept for a while, so that whoever asks need not wait, and may lose the connection.
//!
//! | file | |
//! |---|---|
//! | [`dump`] | one, as the database has it |
//! | [`progress`] | how far it is, and the answer to whoever asks |
//! | [`make`] | making one: a thread reads a snapshot, a task carries it into the store |
//! | [`tend`] | the loop: whose turn it is, what is too old, who is still to be told |
//! | [`calendar`] | moments as people write them |
//!
//! What a dump looks like is the engine's business, where its file is the store's.

pub mod calendar;
pub mod dump;
mod make;
mod progress;
mod tend;

use crate::auth::secret::new_id;
use crate::callbacks::{Callbacks, secret, target};
use crate::store::{Found, Store};
use calendar::now;
use dump::{Callback, Dump, Format, Status};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use progress::Running;
use serde_json::{Value as Json, json};
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidebase_engine::storage::system::SystemStatement;
use tidebase_engine::{AuditEntry, Engine, Error, Result, Value};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Rows between two breaths, if nobody says otherwise; and the most.
const CHUNK_ROWS: u64 = 1000;
const CHUNK_ROWS_MAX: u64 = 1_000_000;

/// Bounds, each with a row in `ServerLimits`.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub running_max: usize,
    pub kept_max: usize,
    pub asked_per_minute_max: u32,
    pub age_max: Duration,
    pub bytes_max: u64,
    pub time_max: Duration,
    pub downloads_max: usize,
    pub callback_tries_max: u32,
    pub callback_pause_min: Duration,
}

pub struct Dumps {
    engine: Arc<Engine>,
    store: Store,
    callbacks: Callbacks,
    bounds: Bounds,
    meter: Option<DefaultDirectRateLimiter>,
    /// One asks at a time, so that they can be counted.
    asking: tokio::sync::Mutex<()>,
    running: Mutex<HashMap<String, Arc<Running>>>,
    /// Those whose callback is on its way.
    calling: Mutex<HashSet<String>>,
    downloads: Arc<Semaphore>,
    /// Of those that are completed, as of the last look.
    kept_bytes: AtomicU64,
    /// There may be something to do.
    wake: Notify,
    is_stopping: AtomicBool,
}

/// What somebody asks for.
#[derive(Debug)]
pub struct Wanted {
    pub format: Format,
    pub callback: Option<String>,
    pub chunk_rows: Option<u64>,
    pub has_schema: Option<bool>,
    /// How whoever asks calls this server: `https://example.org`.
    pub base: String,
}

/// A file that is sent. It is one of a few as long as the permit is held.
pub struct Download {
    pub dump: Dump,
    pub found: Found,
    pub permit: OwnedSemaphorePermit,
}

impl Dumps {
    pub fn new(engine: Arc<Engine>, store: Store, callbacks: Callbacks, bounds: Bounds) -> Arc<Self> {
        let meter =
            NonZeroU32::new(bounds.asked_per_minute_max).map(|count| RateLimiter::direct(Quota::per_minute(count)));
        Arc::new(Self {
            engine,
            store,
            callbacks,
            meter,
            asking: tokio::sync::Mutex::default(),
            running: Mutex::default(),
            calling: Mutex::default(),
            downloads: Arc::new(Semaphore::new(bounds.downloads_max)),
            kept_bytes: 0.into(),
            bounds,
            wake: Notify::new(),
            is_stopping: false.into(),
        })
    }

    /// Puts a dump in line. Gives its key.
    ///
    /// # Errors
    /// `invalid` for what cannot be; `too_many` past the number that may be asked for in a minute, or kept.
    pub async fn ask(&self, wanted: Wanted, who: &str) -> Result<String> {
        let chunk_rows = wanted.chunk_rows.unwrap_or(CHUNK_ROWS);
        if !(1..=CHUNK_ROWS_MAX).contains(&chunk_rows) {
            return Err(Error::invalid(format!("\"chunkSize\" is a number of rows from 1 to {CHUNK_ROWS_MAX}.")));
        }
        if let Some(url) = &wanted.callback {
            target::check(url, self.callbacks.may_be_private)?;
        }
        self.measure()?;
        let _one_at_a_time = self.asking.lock().await;
        if self.all()?.len() >= self.bounds.kept_max {
            let most = self.bounds.kept_max;
            return Err(
                Error::too_many(format!("There are {most} dumps, all there may be. Remove some.")).retry_after(60)
            );
        }
        let made_at = now();
        let key = new_id(&format!("dump_{}-", calendar::in_a_name(made_at)))?;
        let file = format!("{key}.{}", wanted.format.extension());
        let host = wanted.callback.as_ref().and_then(|url| Some(reqwest::Url::parse(url).ok()?.host_str()?.to_owned()));
        let detail = json!({ "key": key, "format": wanted.format.name(), "callback": host });
        let waiting = |url| Callback { url, status: "waiting".into(), tries: 0, due_at: None, error: None };
        let dump = Dump {
            url: format!("{}/export/dump/download/{file}", wanted.base),
            file,
            format: wanted.format,
            has_schema: wanted.has_schema.unwrap_or(wanted.format == Format::Sql),
            chunk_rows,
            status: Status::Waiting,
            restarts: 0,
            upload: None,
            rows: None,
            bytes: None,
            error: None,
            made_at,
            began_at: None,
            ended_at: None,
            callback: wanted.callback.map(waiting),
            key: key.clone(),
        };
        let entry = AuditEntry::new(who, "dump asked for", detail);
        self.engine.change_system_audited(vec![dump.insertion()], entry).await?;
        self.wake.notify_one();
        Ok(key)
    }

    fn measure(&self) -> Result<()> {
        let Some(meter) = &self.meter else { return Ok(()) };
        meter.check().map_err(|refused| {
            let seconds = refused.wait_time_from(DefaultClock::default().now()).as_secs() + 1;
            Error::too_many(format!("Too many dumps are asked for. Try again in {seconds} s.")).retry_after(seconds)
        })
    }

    /// # Errors
    /// `not_found` if there is none of this key.
    pub fn status(&self, key: &str) -> Result<Json> {
        // Before the row: what has ended meanwhile stands there.
        let running = self.running(key);
        Ok(progress::told(&self.one(key)?, running.as_deref(), self.bounds.age_max.as_millis() as i64))
    }

    /// The file of a dump, by its name. CSV comes in a zip, which may also be asked for as StarbaseDB names it, with `.csv`.
    ///
    /// # Errors
    /// `not_found` if there is none; `conflict` if it is not whole yet, or never will be; `too_many` past `dump_downloads_max`.
    pub async fn download(&self, file: &str) -> Result<Download> {
        let missing = || Error::not_found(format!("There is no dump {file:?}."));
        let (key, extension) = file.rsplit_once('.').ok_or_else(missing)?;
        let dump = self.one(key)?;
        if ![dump.format.extension(), dump.format.name()].contains(&extension) {
            return Err(missing());
        }
        match dump.status {
            Status::Completed => {}
            Status::Failed => return Err(Error::conflict("The dump has failed, so that there is no file.")),
            Status::Waiting | Status::Processing => {
                return Err(Error::conflict("The dump is not complete yet. Its status tells when it is."));
            }
        }
        let permit = Arc::clone(&self.downloads).try_acquire_owned().map_err(|_| {
            let most = self.bounds.downloads_max;
            Error::too_many(format!("{most} downloads are running. Try again when one is done.")).retry_after(10)
        })?;
        let found = self.store.get(&dump.file).await?;
        if let Some(bytes) = dump.bytes.filter(|bytes| *bytes != found.bytes) {
            return Err(Error::unavailable(format!(
                "{} has {} bytes where it is kept, and had {bytes} when it was made. Make another dump.",
                dump.file, found.bytes
            )));
        }
        Ok(Download { dump, found, permit })
    }

    /// Removes a dump with its file. One that is being made is given up.
    ///
    /// # Errors
    /// `not_found` if there is none; what the store says, and then it is still there.
    pub async fn remove(&self, key: &str, who: &str) -> Result<()> {
        self.one(key)?;
        if let Some(running) = self.running(key) {
            running.give_up();
            let _ = running.ended.subscribe().wait_for(|ended| *ended).await;
        }
        // Read again: by now it may have come to its end.
        let dump = self.one(key)?;
        let removed = self.forget(&dump, AuditEntry::new(who, "dump removed", json!({ "key": key }))).await;
        if removed.is_err() && !dump.status.is_over() {
            self.write_failure(key, "The dump was given up, but what was written of it could not be removed.", || ())
                .await;
        }
        removed
    }

    async fn forget(&self, dump: &Dump, entry: AuditEntry) -> Result<()> {
        if let Some(upload) = &dump.upload {
            self.store.abandon(&dump.file, upload).await?;
        }
        self.store.delete(&dump.file).await?;
        let statement =
            SystemStatement { sql: "DELETE FROM _tide_dumps WHERE key = ?1", values: vec![Value::text(&dump.key)] };
        self.engine.change_system_audited(vec![statement], entry).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// A new secret that callbacks are signed with.
    pub async fn new_secret(&self, who: &str) -> Result<String> {
        secret::replace(&self.engine, who, now()).await
    }

    /// When the secret in force was made, in milliseconds since 1970.
    pub fn secret_made_at(&self) -> Result<Option<i64>> {
        secret::made_at(&self.engine)
    }

    /// Gives up what is being made, which the next start begins again, and waits until nothing of it runs.
    pub async fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake.notify_one();
        let running: Vec<Arc<Running>> =
            self.running.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for running in running {
            running.give_up();
            let _ = running.ended.subscribe().wait_for(|ended| *ended).await;
        }
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    fn all(&self) -> Result<Vec<Dump>> {
        self.engine.ask_system(dump::ALL, Vec::new())?.iter().map(|row| Dump::read(row)).collect()
    }

    fn one(&self, key: &str) -> Result<Dump> {
        let rows = self.engine.ask_system(dump::ONE, vec![Value::text(key)])?;
        let row = rows.first().ok_or_else(|| Error::not_found(format!("There is no dump {key:?}.")))?;
        Dump::read(row)
    }

    fn running(&self, key: &str) -> Option<Arc<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Changes a row; says whether there was one to change.
    async fn change(&self, sql: &'static str, values: Vec<Value>) -> Result<bool> {
        Ok(self.engine.change_system(vec![SystemStatement { sql, values }]).await? > 0)
    }
}

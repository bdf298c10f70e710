//! Making one dump: a thread of its own reads one snapshot and writes pieces, and a task takes them into the store.
//!
//! Few pieces wait in between, so a slow store makes the thread wait, and one that fails ends it. The file has its name when the last piece is
//! there; only then the dump is completed.

use super::Dumps;
use super::calendar::now;
use super::dump::{Dump, Status};
use super::progress::Running;
use crate::answer::told;
use bytes::Bytes;
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tidebase_engine::{AuditEntry, Engine, Error, Result, Value};
use tokio::sync::{mpsc, oneshot};

/// Pieces of 64 KiB, or of as many rows as a breath has.
const PIECES_MAX: usize = 8;
/// After each breath, for whoever else wants the processor.
const BREATH: Duration = Duration::from_millis(1);
/// Between two tries to write down that a dump is over, where the database cannot be written to.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

impl Dumps {
    /// From its turn to its end, whatever that is.
    pub(super) async fn carry_out(self: Arc<Self>, dump: Dump, running: Arc<Running>) {
        let made = tokio::select! {
            made = tokio::time::timeout(self.bounds.time_max, self.make(&dump, &running)) => made
                .unwrap_or_else(|_| Err(Error::timeout(format!("The dump took longer than the {:?} it may.", self.bounds.time_max)))),
            () = running.gave_up.notified() => Err(Error::unavailable("The dump was given up.")),
        };
        running.cancel.cancel();
        let thread = running.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        match made {
            Ok((rows, bytes)) => self.completed(&dump, rows, bytes).await,
            // Whoever gave it up knows what to do with the rest.
            Err(_) if running.is_given_up.load(Ordering::Acquire) => {}
            Err(error) => self.failed(&dump, &running, told(error).message).await,
        }
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&dump.key);
        running.ended.send_replace(true);
        self.wake.notify_one();
    }

    /// Gives rows and bytes.
    async fn make(&self, dump: &Dump, running: &Arc<Running>) -> Result<(u64, u64)> {
        let mut upload = self.store.upload(&dump.file).await?;
        let known = "UPDATE _tide_dumps SET upload = ?2 WHERE key = ?1";
        self.change(known, vec![Value::text(&dump.key), Value::text(upload.id())]).await?;
        let (sender, mut pieces) = mpsc::channel(PIECES_MAX);
        let (end, ended) = oneshot::channel();
        let (engine, its, what, chunk_rows) =
            (Arc::clone(&self.engine), Arc::clone(running), dump.export(), dump.chunk_rows);
        let thread = std::thread::Builder::new().name("dump".into()).spawn(move || {
            let _ = end.send(write(&engine, &what, chunk_rows, &its, Pipe(sender)));
        });
        let thread = thread.map_err(|error| Error::unavailable("There is no thread for a dump.").caused_by(error))?;
        *running.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        while let Some(piece) = pieces.recv().await {
            let piece: Bytes = piece;
            running.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            self.make_room().await?;
            upload.write(&piece).await?;
        }
        let rows = ended.await.map_err(|_| Error::internal("the thread of a dump panicked"))??;
        Ok((rows, upload.finish().await?))
    }

    async fn completed(&self, dump: &Dump, rows: u64, bytes: u64) {
        let sql = "UPDATE _tide_dumps SET status = 'completed', upload = NULL, rows = ?2, bytes = ?3, ended_at = ?4,
                   callback_at = iif(callback IS NULL, NULL, ?4) WHERE key = ?1";
        let (rows, bytes) = (Value::Integer(rows as i64), Value::Integer(bytes as i64));
        self.write_down(sql, vec![Value::text(&dump.key), rows, bytes, Value::Integer(now())], || ()).await;
    }

    async fn failed(&self, dump: &Dump, running: &Running, message: String) {
        tracing::warn!(dump = dump.key, error = message, "a dump failed");
        let tell = || *running.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.clone());
        self.write_failure(&dump.key, &message, tell).await;
        if let Ok(Some(upload)) = self.one(&dump.key).map(|dump| dump.upload) {
            let left = self.store.abandon(&dump.file, &upload).await;
            if let Err(error) = left {
                tracing::warn!(dump = dump.key, %error, "what is left of a dump could not be removed");
            }
        }
    }

    pub(super) async fn write_failure(&self, key: &str, message: &str, on_trouble: impl Fn()) {
        let sql = "UPDATE _tide_dumps SET status = 'failed', error = ?2, ended_at = ?3,
                   callback_at = iif(callback IS NULL, NULL, ?3) WHERE key = ?1";
        self.write_down(sql, vec![Value::text(key), Value::text(message), Value::Integer(now())], on_trouble).await;
    }

    /// The disk that has no room for a dump may have none for this either, until it has again.
    async fn write_down(&self, sql: &'static str, values: Vec<Value>, on_trouble: impl Fn()) {
        while let Err(error) = self.change(sql, values.clone()).await {
            tracing::warn!(%error, "the end of a dump could not be written down");
            on_trouble();
            if self.is_stopping() {
                return;
            }
            tokio::time::sleep(WRITE_AGAIN).await;
        }
    }

    /// All dumps together have a bound; past it the oldest goes.
    ///
    /// # Errors
    /// `too_large` if there is no older one.
    async fn make_room(&self) -> Result<()> {
        let running: u64 = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.values().map(|running| running.bytes.load(Ordering::Relaxed)).sum()
        };
        while running + self.kept_bytes.load(Ordering::Relaxed) > self.bounds.bytes_max {
            let oldest = self.all()?.into_iter().find(|dump| dump.status == Status::Completed);
            let most = self.bounds.bytes_max;
            let oldest = oldest
                .ok_or_else(|| Error::too_large(format!("Dumps may have {most} bytes together (dumps_bytes_max).")))?;
            let detail = serde_json::json!({ "key": oldest.key, "why": "room for others" });
            self.forget(&oldest, AuditEntry::new("server", "dump removed", detail)).await?;
            let gone = oldest.bytes.unwrap_or_default();
            // The loop counts again soon; until then this is what is known.
            let less = |kept: u64| Some(kept.saturating_sub(gone));
            let _ = self.kept_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
        Ok(())
    }
}

/// On its thread.
fn write(
    engine: &Engine,
    what: &tidebase_engine::export::Export,
    chunk_rows: u64,
    running: &Running,
    mut pipe: Pipe,
) -> Result<u64> {
    let mut sqlite = engine.open_export()?;
    // What is counted and what is written are one snapshot.
    sqlite.own.execute_batch("BEGIN")?;
    running.expect(engine.count_export(&mut sqlite, what, &running.cancel)?);
    let mut breathed = 0;
    engine.run_export_in_breaths(&mut sqlite, what, &mut pipe, &running.cancel, chunk_rows, &mut |rows| {
        running.rows.store(rows, Ordering::Relaxed);
        if running.cancel.is_cancelled() {
            return Err(Error::unavailable("The dump was given up."));
        }
        if rows - breathed >= chunk_rows {
            breathed = rows;
            std::thread::sleep(BREATH);
        }
        Ok(())
    })
}

/// The way from the thread to the task.
struct Pipe(mpsc::Sender<Bytes>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map(|()| bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

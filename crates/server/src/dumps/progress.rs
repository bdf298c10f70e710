//! How far a dump is that is being made: known to this process alone, and told to whoever asks.

use super::calendar::{now, written};
use super::dump::{Dump, Status};
use serde_json::{Value as Json, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use tidebase_engine::sqlite::budget::Cancel;
use tokio::sync::{Notify, watch};

const UNKNOWN: u64 = u64::MAX;

/// One that is being made.
pub struct Running {
    rows_expected: AtomicU64,
    pub rows: AtomicU64,
    pub bytes: AtomicU64,
    pub cancel: Cancel,
    /// Somebody wants it no more, or the server stops.
    pub is_given_up: AtomicBool,
    pub gave_up: Notify,
    pub thread: Mutex<Option<JoinHandle<()>>>,
    /// Becomes true when nothing of it runs any more.
    pub ended: watch::Sender<bool>,
    /// Why it has failed, while that cannot be written down.
    pub failure: Mutex<Option<String>>,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            rows_expected: UNKNOWN.into(),
            rows: 0.into(),
            bytes: 0.into(),
            cancel: Cancel::default(),
            is_given_up: false.into(),
            gave_up: Notify::new(),
            thread: Mutex::default(),
            ended: watch::Sender::new(false),
            failure: Mutex::default(),
        }
    }
}

impl Running {
    pub fn expect(&self, rows: u64) {
        self.rows_expected.store(rows.min(UNKNOWN - 1), Ordering::Relaxed);
    }

    pub fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
        self.cancel.cancel();
        self.gave_up.notify_one();
    }

    fn expected(&self) -> Option<u64> {
        Some(self.rows_expected.load(Ordering::Relaxed)).filter(|rows| *rows != UNKNOWN)
    }
}

/// The answer to whoever asks. `running` is there while it is being made here.
pub fn told(dump: &Dump, running: Option<&Running>, kept_for: i64) -> Json {
    let failure = running.and_then(|running| running.failure.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let status = if failure.is_some() { Status::Failed } else { dump.status };
    let mut told = json!({
        "status": status.name(),
        "progress": progress(dump, running),
        "format": dump.format.name(),
        "restarts": dump.restarts,
    });
    if let Some(error) = failure.as_ref().or(dump.error.as_ref()) {
        told["error"] = error.as_str().into();
    }
    if let Some(ended_at) = dump.ended_at {
        let name = if dump.status == Status::Completed { "completedAt" } else { "failedAt" };
        told[name] = written(ended_at).into();
        told["expiresAt"] = written(ended_at + kept_for).into();
    }
    if dump.status == Status::Completed {
        told["downloadUrl"] = dump.url.as_str().into();
        told["size"] = dump.bytes.into();
    }
    if let Some(callback) = &dump.callback {
        told["callback"] = json!({ "status": callback.status, "tries": callback.tries });
        if let Some(error) = &callback.error {
            told["callback"]["error"] = error.as_str().into();
        }
        if let Some(due_at) = callback.due_at {
            told["callback"]["nextTryAt"] = written(due_at).into();
        }
    }
    told
}

/// StarbaseDB's object; null is what is not known yet.
fn progress(dump: &Dump, running: Option<&Running>) -> Json {
    let (total, processed, percent) = match (dump.status, running) {
        (Status::Completed, _) => (dump.rows, dump.rows.unwrap_or_default(), 100),
        (_, Some(running)) => {
            let (total, rows) = (running.expected(), running.rows.load(Ordering::Relaxed));
            // What is there besides tables, as AUTOINCREMENT's memory, was not counted.
            let total = total.map(|total| total.max(rows));
            (total, rows, total.map_or(0, |total| (rows * 100 / total.max(1)).min(99)))
        }
        (_, None) => (None, 0, 0),
    };
    let begun = dump.began_at.filter(|_| processed > 0 && dump.status == Status::Processing);
    let estimated = begun.zip(total).map(|(began_at, total)| {
        let took = (now() - began_at).max(0) as f64;
        written(began_at + (took * total as f64 / processed as f64) as i64)
    });
    json!({
        "totalRows": total,
        "processedRows": processed,
        "percentComplete": percent,
        "startedAt": dump.began_at.map(written),
        "estimatedCompletion": dump.ended_at.filter(|_| dump.status == Status::Completed).map(written).or(estimated),
    })
}

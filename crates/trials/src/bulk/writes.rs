//! Writes at a steady pace, whatever else is going on, and how long each waited: from when it was due to its answer, so that those behind a
//! slow one count what they waited for it.

use super::content::WRITE;
use crate::crash::client::Client;
use anyhow::{Result, ensure};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub struct Writes {
    sent: AtomicI64,
    acknowledged: AtomicI64,
    is_over: AtomicBool,
    waited: Mutex<Vec<Duration>>,
}

/// How long writes waited.
#[derive(Debug)]
pub struct Waited {
    pub writes: usize,
    pub median: Duration,
    pub slowest: Duration,
}

impl Writes {
    /// Until there is an end.
    ///
    /// # Errors
    /// If one is not answered, or refused.
    pub async fn run(&self, address: SocketAddr, rate: u32) -> Result<()> {
        let mut client = Client::open(address).await?;
        let mut due = Instant::now();
        for number in 1_i64.. {
            if self.is_over.load(Ordering::Acquire) {
                break;
            }
            tokio::time::sleep_until(due.into()).await;
            self.sent.store(number, Ordering::Release);
            client.ask("POST", "/query", &json!({ "sql": WRITE, "params": [number] })).await?;
            self.acknowledged.store(number, Ordering::Release);
            self.waited.lock().unwrap_or_else(PoisonError::into_inner).push(due.elapsed());
            due += Duration::from_secs(1) / rate;
        }
        Ok(())
    }

    pub fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    pub fn acknowledged(&self) -> i64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    pub fn sent(&self) -> i64 {
        self.sent.load(Ordering::Acquire)
    }

    /// How long those waited that were answered since this was asked last.
    pub fn take(&self) -> Waited {
        let mut all = std::mem::take(&mut *self.waited.lock().unwrap_or_else(PoisonError::into_inner));
        all.sort_unstable();
        let at = |index: usize| all.get(index).copied().unwrap_or_default();
        Waited { writes: all.len(), median: at(all.len() / 2), slowest: at(all.len().saturating_sub(1)) }
    }
}

/// What may be in a snapshot: all that was acknowledged before it was asked for, and nothing that was sent after it had begun.
pub fn fits(writes: i64, acknowledged_before: i64, sent_after: i64) -> Result<()> {
    ensure!(
        (acknowledged_before..=sent_after).contains(&writes),
        "it holds {writes} writes: {acknowledged_before} were acknowledged before it was asked for, and {sent_after} sent when it had begun"
    );
    Ok(())
}

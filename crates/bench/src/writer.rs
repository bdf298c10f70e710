//! One client that inserts one row after the other, on a thread of its own: its latency must not include the work this
//! program does for a thousand subscribers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use crate::http::Connection;

/// Writes the request of the insert with this sequence number.
pub type InsertRequest = Arc<dyn Fn(u64, &mut Vec<u8>) + Send + Sync>;

#[derive(Clone)]
pub struct Order {
    pub address: SocketAddr,
    pub request: InsertRequest,
    /// Sequence number of the first insert; the others follow.
    pub first: u64,
    pub count: u64,
    /// No insert is begun after this time.
    pub time_max: Duration,
    /// From the begin of one insert to the begin of the next, at least; `None`: as soon as the answer is there.
    pub pace: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
pub struct Insert {
    pub sequence: u64,
    pub revision: Option<u64>,
    pub sent: Instant,
    pub answered: Instant,
}

impl Order {
    pub fn carry_out(self) -> Result<oneshot::Receiver<Result<Vec<Insert>>>> {
        let (done, inserts) = oneshot::channel();
        std::thread::Builder::new().name("writer".into()).spawn(move || {
            // The receiver is gone only when the measurement was given up.
            let _ = done.send(self.run());
        })?;
        Ok(inserts)
    }

    fn run(self) -> Result<Vec<Insert>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.insert_all()).context("inserting")
    }

    async fn insert_all(self) -> Result<Vec<Insert>> {
        let mut connection = Connection::open(self.address).await?;
        let (mut inserts, mut request) = (Vec::new(), Vec::new());
        let started = Instant::now();
        for sequence in self.first..self.first + self.count {
            if started.elapsed() > self.time_max {
                break;
            }
            (self.request)(sequence, &mut request);
            let sent = Instant::now();
            let answer = connection.exchange(&request).await?.checked()?;
            inserts.push(Insert { sequence, revision: answer.revision, sent, answered: Instant::now() });
            if let Some(pace) = self.pace {
                tokio::time::sleep_until((sent + pace).into()).await;
            }
        }
        Ok(inserts)
    }
}

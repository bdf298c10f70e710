//! The runtime on which sockets are served, apart from the one that answers requests, and its couriers.
//!
//! A write that a thousand sockets listen to gives a thousand sockets something to send at once. On one runtime the next
//! request would stand behind all of them; on two the system shares the processors between them.
//!
//! A courier is one task that serves all sockets with something to send, one after the other, without waiting for any: to
//! wake a task for each of them costs half as much again as the sending.

use crate::faces::Outgoing;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use tidebase_engine::{Error, Result};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;

/// After so many sockets the courier lets other tasks run.
const SOCKETS_AT_ONCE: usize = 64;

pub struct Delivery {
    desk: Desk,
    /// `None` once dropped.
    runtime: Option<Runtime>,
}

/// Where sockets are given to be served.
#[derive(Clone)]
pub struct Desk {
    pub handle: Handle,
    couriers: Arc<[Arc<Courier>]>,
}

#[derive(Default)]
pub struct Courier {
    line: Mutex<Vec<Arc<Outgoing>>>,
    came: Notify,
}

impl Delivery {
    pub fn start() -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("delivery")
            .enable_all()
            .build()
            .map_err(|error| Error::internal("the delivery runtime could not be started").caused_by(error))?;
        let couriers: Arc<[Arc<Courier>]> = (0..threads).map(|_| Arc::default()).collect();
        for courier in &*couriers {
            runtime.spawn(Arc::clone(courier).run());
        }
        Ok(Self { desk: Desk { handle: runtime.handle().clone(), couriers }, runtime: Some(runtime) })
    }

    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }
}

impl Desk {
    /// Always the same one for a session, so that its frames keep their order.
    pub fn courier(&self, session: u64) -> &Arc<Courier> {
        &self.couriers[session as usize % self.couriers.len()]
    }
}

impl Courier {
    /// The next in line; each stands in it once.
    pub fn queue(&self, outgoing: Arc<Outgoing>) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.push(outgoing);
        let is_first = line.len() == 1;
        drop(line);
        if is_first {
            self.came.notify_one();
        }
    }

    async fn run(self: Arc<Self>) {
        let mut buffer = Vec::new();
        loop {
            let line = std::mem::take(&mut *self.line.lock().unwrap_or_else(PoisonError::into_inner));
            if line.is_empty() {
                self.came.notified().await;
            }
            for (count, outgoing) in (1..).zip(line) {
                // A mistake with one socket must not be everybody's end.
                let done = catch_unwind(AssertUnwindSafe(|| outgoing.deliver(&mut buffer)));
                if done.is_err() {
                    tracing::error!("a courier panicked; the socket is closed");
                    outgoing.give_up();
                }
                if count % SOCKETS_AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // A runtime must not be waited for inside another; its sockets have been told to close before.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

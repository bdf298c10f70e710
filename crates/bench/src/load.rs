//! The closed loop: so many keep-alive clients, each sending its next request when the last is answered, for so long.
//!
//! A warm-up goes before the measured window over the same connections. Only requests answered within the window count,
//! and the CPU times are read at its two edges.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::http::Connection;
use crate::latency::Latencies;
use crate::procfs::{Meter, Spent};

const WARM_UP: Duration = Duration::from_secs(1);
/// A load ends early at this many answers; their latencies are kept in memory.
const ANSWERS_MAX: usize = 5_000_000;
/// How long the requests under way at the end may still take.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub address: SocketAddr,
    pub pid: u32,
    pub clients: usize,
    pub window: Duration,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub latencies: Latencies,
    pub payload_bytes: u64,
    pub spent: Spent,
    /// Every successful answer, those outside the window too.
    pub answered: u64,
}

#[derive(Default)]
struct Shared {
    sequence: Cell<u64>,
    answered: Cell<u64>,
    payload_bytes: Cell<u64>,
    recording: Cell<bool>,
    stopping: Cell<bool>,
    latencies: RefCell<Latencies>,
}

impl Plan {
    /// `request` writes the request with the given sequence number, which no other request of this load has.
    pub async fn run(self, request: impl Fn(u64, &mut Vec<u8>) + 'static) -> Result<Outcome> {
        let (shared, request) = (Rc::new(Shared::default()), Rc::new(request));
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            let connection = Connection::open(self.address).await?;
            clients.spawn_local(client(connection, shared.clone(), request.clone()));
        }
        watch(&mut clients, WARM_UP, &shared).await?;
        let meter = Meter::start(self.pid)?;
        shared.recording.set(true);
        watch(&mut clients, self.window, &shared).await?;
        shared.recording.set(false);
        let spent = meter.read()?;
        shared.stopping.set(true);
        let rest = async {
            while let Some(ended) = clients.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(LAST_ANSWERS, rest).await.context("requests were left without an answer")??;
        Ok(Outcome {
            latencies: shared.latencies.take(),
            payload_bytes: shared.payload_bytes.get(),
            spent,
            answered: shared.answered.get(),
        })
    }
}

async fn client(
    mut connection: Connection,
    shared: Rc<Shared>,
    request: Rc<impl Fn(u64, &mut Vec<u8>) + 'static>,
) -> Result<()> {
    let mut bytes = Vec::new();
    while !shared.stopping.get() {
        let sequence = shared.sequence.replace(shared.sequence.get() + 1);
        request(sequence, &mut bytes);
        let sent = Instant::now();
        let answer = connection.exchange(&bytes).await?.checked()?;
        shared.answered.set(shared.answered.get() + 1);
        if shared.recording.get() {
            shared.payload_bytes.set(shared.payload_bytes.get() + answer.payload as u64);
            shared.latencies.borrow_mut().push(sent.elapsed());
        }
    }
    Ok(())
}

/// Waits for `time`, unless a client fails or there are answers enough.
async fn watch(clients: &mut JoinSet<Result<()>>, time: Duration, shared: &Shared) -> Result<()> {
    let enough = async {
        while shared.latencies.borrow().len() < ANSWERS_MAX {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        () = enough => Ok(()),
        Some(ended) = clients.join_next() => ended?.and_then(|()| anyhow::bail!("a client ended before its time")),
    }
}

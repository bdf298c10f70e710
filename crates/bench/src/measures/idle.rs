//! What an idle WebSocket with one subscription keeps in the server's memory: resident size before and after opening
//! thousands. Kernel memory of the sockets is not the server's and not counted.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::cli::Settings;
use crate::procfs::{cpu, resident_bytes};
use crate::report::{Report, ratio};
use crate::socket::Subscriber;
use crate::targets::IDLE_SOCKET;
use crate::tidebase::{NAME, Tidebase};
use crate::told::allow_sockets;

/// The sockets are not read while they are counted: they must be done before the server's first ping counts as unheard.
const OPENING_TIME_MAX: Duration = Duration::from_secs(40);
const SETTLE: Duration = Duration::from_secs(2);
const OPENING_MAX: usize = 32;
/// Opened and closed first, so that one-time allocations are not counted as the sockets'.
const WARM_UP: usize = 64;

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    allow_sockets(settings.sockets)?;
    let same = bytes_per_socket(settings, report, "one query for all", |_| json!(["owner7"])).await?;
    report.judged("idle socket with one subscription, memory", same / 1e3, "KB", IDLE_SOCKET);
    let own =
        bytes_per_socket(settings, report, "own parameters each", |index| json!([format!("owner{index}")])).await?;
    report.figure("idle socket with one subscription, own parameters each, memory", NAME, own / 1e3, "KB");
    report.figure("idle sockets open at once", NAME, settings.sockets as f64, "sockets");
    Ok(())
}

async fn bytes_per_socket(
    settings: &Settings,
    report: &mut Report,
    words: &str,
    params: impl Fn(usize) -> Value,
) -> Result<f64> {
    let server = Tidebase::fresh(settings).await?;
    server.fill_t(2_000).await?;
    drop(open(&server, WARM_UP, &params).await?);
    tokio::time::sleep(SETTLE).await;
    let (memory, time) = (resident_bytes(server.pid())?, cpu(server.pid())?);
    let sockets = open(&server, settings.sockets, &params).await?;
    let opening = cpu(server.pid())?.saturating_sub(time);
    tokio::time::sleep(SETTLE).await;
    let grown = resident_bytes(server.pid())?.saturating_sub(memory);
    let micros = ratio(opening.as_secs_f64() * 1e6, sockets.len() as f64);
    report.figure(format!("opening a socket and subscribing, {words}, CPU"), NAME, micros, "µs");
    let each = ratio(grown as f64, sockets.len() as f64);
    drop(sockets);
    server.stop()?;
    Ok(each)
}

async fn open(server: &Tidebase, count: usize, params: &impl Fn(usize) -> Value) -> Result<Vec<Subscriber>> {
    let sql = "SELECT id, name, owner, n FROM t WHERE owner = ?1";
    let opening = stream::iter(0..count)
        .map(|index| async move { Subscriber::open(server.address, &server.token, sql, &params(index)).await })
        .buffer_unordered(OPENING_MAX)
        .try_collect();
    tokio::time::timeout(OPENING_TIME_MAX, opening).await.context("opening the sockets took too long")?
}

//! A reconnect storm: ten thousand sockets with ten live queries each lose their connections, a hundredth of the rows
//! changes, and all come back at once, each saying what it knows.

use std::time::Instant;

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::cli::Settings;
use crate::crowd::{Socket, connected, heard};
use crate::procfs::{cpu, resident_bytes};
use crate::report::{Report, ratio};
use crate::targets;
use crate::tidebase::{NAME, Tidebase};
use crate::told::allow_sockets;

const SOCKETS: usize = 10_000;
const QUERIES: usize = 10;
/// Rows of one query.
const ROWS: usize = 10;
const COMING_AT_ONCE: usize = 256;
const SQL: &str = "SELECT id, n, body FROM things WHERE k = ?1";

/// What a client that comes back says of one query.
#[derive(Clone)]
struct Known {
    tag: String,
    revision: u64,
}

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    allow_sockets(SOCKETS)?;
    let server = Tidebase::fresh(settings).await?;
    server.sql("CREATE TABLE things(id INTEGER PRIMARY KEY, k INTEGER, n INTEGER, body TEXT)", json!([])).await?;
    let fill = "INSERT INTO things(k, n, body) WITH RECURSIVE c(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM c WHERE i < ?2) \
                SELECT i / ?3, 0, 'a message as people write them, one sentence or two, a hundred characters long as a rule, and its number ' || i FROM c";
    let rows = SOCKETS * QUERIES * ROWS;
    for first in (0..rows).step_by(10_000) {
        server.sql(fill, json!([first, first + 9_999, ROWS])).await?;
    }
    server.sql("CREATE INDEX things_k ON things(k)", json!([])).await?;
    let first = Instant::now();
    let opened: Vec<Arrival> = stream::iter(0..SOCKETS)
        .map(|number| arrive(&server, number, None))
        .buffer_unordered(COMING_AT_ONCE)
        .try_collect()
        .await?;
    let took_first = first.elapsed();
    let bytes_first: u64 = opened.iter().map(|arrival| arrival.bytes).sum();
    let memory = resident_bytes(server.pid())?;
    let history = opened.first().map(|arrival| arrival.history.clone()).context("nobody came")?;
    let known: Vec<(usize, Vec<Known>)> = opened.into_iter().map(|arrival| (arrival.number, arrival.known)).collect();
    // A hundredth of the rows, in one row of each tenth query.
    server.sql("UPDATE things SET n = n + 1 WHERE id % 100 = 7", json!([])).await?;
    let (again, before) = (Instant::now(), cpu(server.pid())?);
    let back: Vec<Arrival> = stream::iter(known)
        .map(|(number, known)| arrive(&server, number, Some((history.clone(), known))))
        .buffer_unordered(COMING_AT_ONCE)
        .try_collect()
        .await?;
    let (took, spent) = (again.elapsed(), cpu(server.pid())?.saturating_sub(before));
    let bytes: u64 = back.iter().map(|arrival| arrival.bytes).sum();
    report.figure("10,000 sockets with 10 queries open, first time", NAME, took_first.as_secs_f64(), "s");
    report.figure("memory of the server then", NAME, memory as f64 / 1e6, "MB");
    report.judged("all are back after a cut, and know what changed", took.as_secs_f64(), "s", targets::STORM_SECONDS);
    let share = ratio(bytes as f64 * 100.0, bytes_first as f64);
    report.judged("bytes sent for it, of all rows", share, "%", targets::STORM_BYTES);
    let queries = (SOCKETS * QUERIES) as f64;
    report.figure("server CPU for each query resumed", NAME, ratio(spent.as_secs_f64() * 1e6, queries), "µs");
    drop(back);
    server.stop()
}

/// A socket with its queries answered.
struct Arrival {
    number: usize,
    history: String,
    known: Vec<Known>,
    /// Of rows and deltas.
    bytes: u64,
    _socket: Socket,
}

async fn arrive(server: &Tidebase, number: usize, before: Option<(String, Vec<Known>)>) -> Result<Arrival> {
    let mut socket = connected(server).await?;
    let hello: Value = serde_json::from_str(&heard(&mut socket).await?)?;
    let history = hello["history"].as_str().context("a hello without history")?.to_owned();
    for query in 0..QUERIES {
        let mut frame = json!({ "id": query, "action": "subscribe", "sql": SQL, "params": [number * QUERIES + query] });
        if let Some((history, known)) = &before {
            let Known { tag, revision } = &known[query];
            frame["since"] = json!({ "history": history, "revision": revision, "tag": tag });
        }
        socket.feed(Message::text(frame.to_string())).await?;
    }
    socket.flush().await?;
    let mut known = vec![None; QUERIES];
    let (mut bytes, mut missing) = (0, QUERIES);
    while missing > 0 {
        let text = heard(&mut socket).await?;
        let frame: Value = serde_json::from_str(&text)?;
        match frame["type"].as_str() {
            Some("rows") if frame["done"] == true => {
                let query = frame["id"].as_u64().context("rows without an id")? as usize;
                let tag = frame["tag"].as_str().context("rows without a tag")?.to_owned();
                known[query] = Some(Known { tag, revision: frame["revision"].as_u64().unwrap_or_default() });
                bytes += text.len() as u64;
                missing -= 1;
            }
            Some("unchanged") => {
                bytes += text.len() as u64;
                missing -= 1;
            }
            Some("delta") => {
                bytes += text.len() as u64;
                missing -= frame["queries"].as_array().map_or(0, Vec::len);
            }
            _ => {}
        }
    }
    Ok(Arrival { number, history, known: known.into_iter().flatten().collect(), bytes, _socket: socket })
}

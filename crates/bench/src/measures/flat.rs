//! What a write costs beside many live queries that differ in one value: writes that none of them asks for, and writes
//! that one of them does. The cost shall follow the change, not the audience.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::cli::Settings;
use crate::http::Connection;
use crate::latency::Latencies;
use crate::measures::scattered;
use crate::procfs::{resident_bytes, thread_cpu};
use crate::report::{Report, ratio};
use crate::targets::{AFFECTED_WRITE_RATIO, QUERY_MEMORY, UNRELATED_WRITE_RATIO};
use crate::tidebase::{NAME, Tidebase};
use crate::told::allow_sockets;

const SIZES: [u64; 4] = [0, 1_000, 10_000, 100_000];
const QUERIES_PER_SOCKET: u64 = 100;
const OPENING_MAX: usize = 8;
/// Rows that are asked for, and as many that nobody asks for.
const ROWS: u64 = 100_000;
/// The thread that keeps quick live queries true.
const MATCHER: &str = "lane-0";
const SETTLE: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Unrelated,
    Affected,
}

/// CPU of the matcher and writes it saw.
#[derive(Default)]
struct Cost {
    cpu: Duration,
    writes: u64,
    latencies: Latencies,
}

impl Cost {
    fn micros(&self) -> f64 {
        ratio(self.cpu.as_secs_f64() * 1e6, self.writes as f64)
    }
}

struct Stage {
    server: Tidebase,
    queries: u64,
    unrelated: Cost,
    affected: Cost,
    /// Bytes of the server for each query, its share of a socket included.
    bytes: f64,
    sequence: u64,
    readers: Vec<JoinHandle<()>>,
}

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    allow_sockets(SIZES.iter().map(|size| (size / QUERIES_PER_SOCKET) as usize).sum())?;
    let mut stages = Vec::new();
    for queries in SIZES {
        stages.push(Stage::open(settings, queries).await?);
    }
    // In turns, so that a noisy moment is nobody's own.
    for _ in 0..settings.rounds {
        for stage in &mut stages {
            stage.measure(Write::Unrelated, settings.window).await?;
            stage.measure(Write::Affected, settings.window).await?;
        }
    }
    let (none, none_affected) = (stages[0].unrelated.micros(), stages[0].affected.micros());
    for stage in &stages {
        let beside = format!("beside {} live queries", stage.queries);
        report.figure(format!("unrelated write {beside}, matcher CPU"), NAME, stage.unrelated.micros(), "µs");
        report.figure(format!("affected write {beside}, matcher CPU"), NAME, stage.affected.micros(), "µs");
        let p50 = stage.affected.latencies.summary().p50.as_secs_f64() * 1e3;
        report.figure(format!("affected write {beside}, p50"), NAME, p50, "ms");
    }
    let most = stages.last().context("no stage")?;
    let ratios = (most.unrelated.micros() / none, most.affected.micros() / none_affected);
    report.judged("unrelated write, 100,000 live queries to none", ratios.0, "x", UNRELATED_WRITE_RATIO);
    report.judged("affected write, 100,000 live queries to none", ratios.1, "x", AFFECTED_WRITE_RATIO);
    report.judged("live query with its share of a socket, memory", most.bytes / 1024.0, "KiB", QUERY_MEMORY);
    for stage in stages {
        stage.readers.iter().for_each(JoinHandle::abort);
        stage.server.stop()?;
    }
    Ok(())
}

impl Stage {
    async fn open(settings: &Settings, queries: u64) -> Result<Self> {
        let server = Tidebase::fresh(settings).await?;
        let table = "CREATE TABLE issues(id INTEGER PRIMARY KEY, project INTEGER, status INTEGER, title TEXT)";
        server.sql(table, json!([])).await?;
        let fill = "INSERT INTO issues(project, status, title) WITH RECURSIVE c(i) AS (SELECT ?1 UNION ALL SELECT i + 1 \
                    FROM c WHERE i < ?2) SELECT i, 0, 'a title of usual length ' || i FROM c";
        for first in (1..=2 * ROWS).step_by(10_000) {
            server.sql(fill, json!([first, first + 9_999])).await?;
        }
        server.sql("CREATE INDEX issues_project ON issues(project)", json!([])).await?;
        let before = resident_bytes(server.pid())?;
        let sockets: Vec<_> = stream::iter((0..queries).step_by(QUERIES_PER_SOCKET as usize))
            .map(|first| subscribe(&server, first))
            .buffer_unordered(OPENING_MAX)
            .try_collect()
            .await?;
        tokio::time::sleep(SETTLE).await;
        let grown = resident_bytes(server.pid())?.saturating_sub(before);
        let readers = sockets.into_iter().map(|socket| tokio::task::spawn_local(read_on(socket))).collect();
        Ok(Self {
            server,
            queries,
            unrelated: Cost::default(),
            affected: Cost::default(),
            bytes: ratio(grown as f64, queries as f64),
            sequence: 0,
            readers,
        })
    }

    /// One client, one write after the other.
    async fn measure(&mut self, write: Write, window: Duration) -> Result<()> {
        let mut connection = Connection::open(self.server.address).await?;
        let pid = self.server.pid();
        let before = thread_cpu(pid, MATCHER)?;
        let started = std::time::Instant::now();
        let mut request = Vec::new();
        let cost = if write == Write::Unrelated { &mut self.unrelated } else { &mut self.affected };
        while started.elapsed() < window {
            self.sequence += 1;
            let id = match write {
                Write::Unrelated => ROWS + scattered(self.sequence, ROWS),
                Write::Affected => scattered(self.sequence, self.queries.max(1)),
            };
            request.clear();
            let body = format!(r#"{{"sql":"UPDATE issues SET status = status + 1 WHERE id = ?1","params":[{id}]}}"#);
            self.server.caller.post(&mut request, "/query", &body);
            let sent = std::time::Instant::now();
            connection.exchange(&request).await?.checked()?;
            cost.latencies.push(sent.elapsed());
            cost.writes += 1;
        }
        tokio::time::sleep(SETTLE).await;
        cost.cpu += thread_cpu(pid, MATCHER)?.saturating_sub(before);
        Ok(())
    }
}

type Socket = WebSocketStream<TcpStream>;

/// A socket with a hundred queries, each with a value of its own.
async fn subscribe(server: &Tidebase, first: u64) -> Result<Socket> {
    let stream = TcpStream::connect(server.address).await.context("connecting a WebSocket")?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(2048);
    let url = format!("ws://{}/ws?token={}", server.address, server.token);
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await?;
    for project in first + 1..=first + QUERIES_PER_SOCKET {
        let sql = "SELECT id, status, title FROM issues WHERE project = ?1";
        let frame = json!({ "id": project, "action": "subscribe", "sql": sql, "params": [project] });
        socket.feed(Message::text(frame.to_string())).await?;
    }
    socket.flush().await?;
    let mut missing = QUERIES_PER_SOCKET;
    while missing > 0 {
        let Message::Text(text) = socket.next().await.context("the server closed a WebSocket")?? else { continue };
        if text.contains("\"type\":\"error\"") {
            bail!("the server answered a subscription with {text}");
        }
        missing -= u64::from(text.contains("\"type\":\"rows\""));
    }
    Ok(socket)
}

async fn read_on(mut socket: Socket) {
    while let Some(Ok(_)) = socket.next().await {}
}

//! What a write costs beside many live queries that differ in one value: writes that none of them asks for, and writes
//! that one of them does. The cost shall follow the change, not the audience.
//!
//! The queries are of four shapes in equal parts: the rows of a value, a join, groups with counts, a range.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::cli::Settings;
use crate::crowd::{Crowd, Query};
use crate::http::Connection;
use crate::latency::Latencies;
use crate::measures::scattered;
use crate::plot::{Line, Plot};
use crate::procfs::{resident_bytes, thread_cpu};
use crate::report::{Report, median, ratio};
use crate::targets::{AFFECTED_WRITE_RATIO, QUERY_MEMORY, UNRELATED_WRITE_MILLION_RATIO, UNRELATED_WRITE_RATIO};
use crate::tidebase::{NAME, Tidebase};
use crate::told::allow_sockets;

const SHAPES: [&str; 4] = [
    "SELECT id, status, title FROM issues WHERE project = ?1",
    "SELECT c.id, c.body, i.status FROM comments c JOIN issues i ON i.id = c.issue WHERE i.project = ?1",
    "SELECT status, count(*) FROM issues WHERE project = ?1 GROUP BY status",
    "SELECT id, status, title FROM issues WHERE id >= ?1 AND id < ?2",
];
const QUERIES_PER_SOCKET: u64 = 100;
/// With more queries than that, a socket has more of them.
const SOCKETS_MAX: u64 = 2_000;
/// Rows that are asked for, at least, and as many that nobody asks for.
const ROWS_MIN: u64 = 100_000;
/// The thread that commits, and sees at a glance whether a change may matter to a live query; and the one that keeps quick
/// live queries true, which is woken if it may.
const WRITER: &str = "writer";
const MATCHER: &str = "lane-0";
const SETTLE: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Unrelated,
    /// To the table that is joined, whose rows find their queries through the other.
    UnrelatedJoined,
    Affected,
}

const WRITES: [(Write, &str); 3] = [
    (Write::Unrelated, "unrelated write"),
    (Write::UnrelatedJoined, "unrelated write to a joined table"),
    (Write::Affected, "affected write"),
];

/// µs of CPU for each write, one figure a round.
#[derive(Default)]
struct Cost {
    /// Of the writer and the matcher together.
    rounds: Vec<f64>,
    matcher: Vec<f64>,
    latencies: Latencies,
}

impl Cost {
    fn micros(&self) -> f64 {
        median(&self.rounds)
    }
}

struct Stage {
    server: Tidebase,
    queries: u64,
    rows: u64,
    costs: [Cost; 3],
    /// Bytes of the server for each query, its share of a socket included.
    bytes: f64,
    sequence: u64,
    crowd: Crowd,
}

/// Also gives the plot of it.
pub async fn run(settings: &Settings, report: &mut Report) -> Result<Plot> {
    // Those of all stages together.
    allow_sockets(settings.queries.iter().map(|queries| queries.div_ceil(per_socket(*queries)) as usize).sum())?;
    let mut stages = Vec::new();
    for queries in &settings.queries {
        stages.push(Stage::open(settings, *queries).await?);
    }
    // In turns, so that a noisy moment is nobody's own.
    for _ in 0..settings.rounds {
        for stage in &mut stages {
            for (index, (write, _)) in WRITES.iter().enumerate() {
                stage.measure(*write, index, settings.window).await?;
            }
        }
    }
    let first = stages.first().context("no number of live queries")?;
    let alone: Vec<f64> = first.costs.iter().map(Cost::micros).collect();
    for stage in &stages {
        let beside = format!("beside {} live queries", stage.queries);
        for ((_, words), cost) in WRITES.iter().zip(&stage.costs) {
            report.figure(format!("{words} {beside}, CPU of writer and matcher"), NAME, cost.micros(), "µs");
            report.figure(format!("{words} {beside}, of the matcher alone"), NAME, median(&cost.matcher), "µs");
        }
        let p50 = stage.costs[2].latencies.summary().p50.as_secs_f64() * 1e3;
        report.figure(format!("affected write {beside}, p50"), NAME, p50, "ms");
        let times = |index: usize| stage.costs[index].micros() / alone[index];
        let name = |words: &str| format!("{words}, {} live queries to {}", stage.queries, first.queries);
        match stage.queries {
            100_000 => {
                report.judged(name("unrelated write"), times(0), "x", UNRELATED_WRITE_RATIO);
                report.judged(name("affected write"), times(2), "x", AFFECTED_WRITE_RATIO);
            }
            1_000_000 => report.judged(name("unrelated write"), times(0), "x", UNRELATED_WRITE_MILLION_RATIO),
            _ => {}
        }
        if stage.queries >= 100_000 {
            let name = format!("live query among {} with its share of a socket, memory", stage.queries);
            report.judged(name, stage.bytes / 1024.0, "KiB", QUERY_MEMORY);
        }
    }
    let line = |(index, (_, name)): (usize, &(Write, &'static str))| Line {
        name,
        values: stages.iter().map(|stage| stage.costs[index].micros()).collect(),
    };
    let plot = Plot {
        title: "CPU of writer and matcher for each write",
        across: "live queries",
        unit: "µs",
        steps: stages.iter().map(|stage| crate::report::number(stage.queries as f64)).collect(),
        lines: WRITES.iter().enumerate().map(line).collect(),
    };
    for stage in stages {
        drop(stage.crowd);
        stage.server.stop()?;
    }
    Ok(plot)
}

fn per_socket(queries: u64) -> u64 {
    QUERIES_PER_SOCKET.max(queries / SOCKETS_MAX)
}

impl Stage {
    async fn open(settings: &Settings, queries: u64) -> Result<Self> {
        let server = Tidebase::fresh(settings).await?;
        // The same for all numbers of queries: a larger table costs the writer more by itself.
        let rows = settings.queries.iter().copied().fold(ROWS_MIN, u64::max);
        for table in [
            "CREATE TABLE issues(id INTEGER PRIMARY KEY, project INTEGER, status INTEGER, title TEXT)",
            "CREATE TABLE comments(id INTEGER PRIMARY KEY, issue INTEGER, body TEXT)",
        ] {
            server.sql(table, json!([])).await?;
        }
        let each = "WITH RECURSIVE c(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM c WHERE i < ?2)";
        for fill in [
            format!(
                "INSERT INTO issues(project, status, title) {each} SELECT i, 0, 'a title of usual length ' || i FROM c"
            ),
            format!("INSERT INTO comments(issue, body) {each} SELECT i, 'a comment on ' || i FROM c"),
        ] {
            for first in (1..=2 * rows).step_by(10_000) {
                server.sql(&fill, json!([first, first + 9_999])).await?;
            }
        }
        server.sql("CREATE INDEX issues_project ON issues(project)", json!([])).await?;
        server.sql("CREATE INDEX comments_issue ON comments(issue)", json!([])).await?;
        let before = resident_bytes(server.pid())?;
        let each = per_socket(queries);
        let of_socket = |number: usize| {
            let first = number as u64 * each;
            (first + 1..=queries.min(first + each)).map(query).collect()
        };
        let crowd = Crowd::gather(&server, queries.div_ceil(each) as usize, of_socket).await?;
        tokio::time::sleep(SETTLE).await;
        let grown = resident_bytes(server.pid())?.saturating_sub(before);
        let bytes = ratio(grown as f64, queries as f64);
        Ok(Self { server, queries, rows, costs: Default::default(), bytes, sequence: 0, crowd })
    }

    /// One client, one write after the other.
    async fn measure(&mut self, write: Write, index: usize, window: Duration) -> Result<()> {
        let mut connection = Connection::open(self.server.address).await?;
        let pid = self.server.pid();
        let before = [thread_cpu(pid, WRITER)?, thread_cpu(pid, MATCHER)?];
        let started = std::time::Instant::now();
        let mut request = Vec::new();
        let cost = &mut self.costs[index];
        let mut writes = 0;
        while started.elapsed() < window {
            self.sequence += 1;
            let (table, id) = match write {
                Write::Unrelated => ("issues SET status = status + 1", self.rows + scattered(self.sequence, self.rows)),
                Write::UnrelatedJoined => {
                    ("comments SET body = body || '.'", self.rows + scattered(self.sequence, self.rows))
                }
                Write::Affected => ("issues SET status = status + 1", scattered(self.sequence, self.queries.max(1))),
            };
            request.clear();
            let body = format!(r#"{{"sql":"UPDATE {table} WHERE id = ?1","params":[{id}]}}"#);
            self.server.caller.post(&mut request, "/query", &body);
            let sent = std::time::Instant::now();
            connection.exchange(&request).await?.checked()?;
            cost.latencies.push(sent.elapsed());
            writes += 1;
        }
        tokio::time::sleep(SETTLE).await;
        let writer = thread_cpu(pid, WRITER)?.saturating_sub(before[0]);
        let matcher = thread_cpu(pid, MATCHER)?.saturating_sub(before[1]);
        let each = |cpu: Duration| ratio(cpu.as_secs_f64() * 1e6, f64::from(writes));
        cost.rounds.push(each(writer + matcher));
        cost.matcher.push(each(matcher));
        Ok(())
    }
}

/// One of the shapes, with a value of its own.
fn query(value: u64) -> Query {
    let sql = SHAPES[value as usize % SHAPES.len()];
    let params = if sql.contains("?2") { json!([value, value + 1]) } else { json!([value]) };
    Query { sql, params }
}

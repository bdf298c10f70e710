//! From a write to those it matters to, among very many live queries: the one who asked for its value, the one whose
//! search it fulfils, ten thousand who ask the same, ten thousand who ask different things that are all answered by it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::cli::Settings;
use crate::crowd::{Crowd, Query};
use crate::disk;
use crate::http::Connection;
use crate::latency::Latencies;
use crate::measures::scattered;
use crate::procfs::cpu;
use crate::report::{Report, ms, ratio};
use crate::targets;
use crate::tidebase::{NAME, Tidebase};

const PATIENCE: Duration = Duration::from_secs(30);

/// Who listens, and how many of them one write reaches.
struct Scene {
    name: String,
    sockets: usize,
    queries: fn(usize) -> Vec<Query>,
    /// The statement's parameters for a sequence number.
    write: (&'static str, fn(u64, u64) -> serde_json::Value),
    /// Live queries, and how many of them change at each write.
    all: u64,
    reached: u64,
    writes: u64,
}

fn by_value(socket: usize) -> Vec<Query> {
    let sql = "SELECT id, n, body FROM things WHERE k = ?1";
    (0..100).map(|query| Query { sql, params: json!([socket * 100 + query + 1]) }).collect()
}

fn by_search(socket: usize) -> Vec<Query> {
    let sql = "SELECT id, n, body FROM things WHERE body LIKE ?1";
    (0..100).map(|query| Query { sql, params: json!([format!("%<{}>%", socket * 100 + query + 1)]) }).collect()
}

fn the_same(_: usize) -> Vec<Query> {
    vec![Query { sql: "SELECT id, n, body FROM things WHERE k = ?1", params: json!([1]) }]
}

fn from_different_bounds(socket: usize) -> Vec<Query> {
    let sql = "SELECT id, n FROM things WHERE k = 1 AND n > ?1";
    (0..100).map(|query| Query { sql, params: json!([-((socket * 100 + query) as i64) - 1]) }).collect()
}

const ONE_ROW: &str = "UPDATE things SET n = n + 1 WHERE id = ?1";

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let one_of = |sequence, all| json!([scattered(sequence, all)]);
    let the_first = |_, _| json!([1]);
    for sockets in [10, 100, 1000] {
        let all = sockets as u64 * 100;
        let name = format!("one of {all} queries by value");
        play(
            settings,
            report,
            &Scene { name, sockets, queries: by_value, write: (ONE_ROW, one_of), all, reached: 1, writes: 2_000 },
        )
        .await?;
    }
    let name = "one of 10000 searches (LIKE '%…%')".to_owned();
    let scene = Scene {
        name,
        sockets: 100,
        queries: by_search,
        write: (ONE_ROW, one_of),
        all: 10_000,
        reached: 1,
        writes: 100,
    };
    play(settings, report, &scene).await?;
    let name = "10000 listeners of one query".to_owned();
    let scene = Scene {
        name,
        sockets: 10_000,
        queries: the_same,
        write: (ONE_ROW, the_first),
        all: 10_000,
        reached: 10_000,
        writes: 50,
    };
    play(settings, report, &scene).await?;
    let name = "10000 different queries, all changed".to_owned();
    let scene = Scene {
        name,
        sockets: 100,
        queries: from_different_bounds,
        write: (ONE_ROW, the_first),
        all: 10_000,
        reached: 10_000,
        writes: 50,
    };
    play(settings, report, &scene).await
}

async fn play(settings: &Settings, report: &mut Report, scene: &Scene) -> Result<()> {
    let server = Tidebase::fresh(settings).await?;
    server.sql("CREATE TABLE things(id INTEGER PRIMARY KEY, k INTEGER, n INTEGER, body TEXT)", json!([])).await?;
    let fill = "INSERT INTO things(k, n, body) WITH RECURSIVE c(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM c WHERE i < ?2) \
                SELECT i, 0, 'a text of usual length with <' || i || '> in it' FROM c";
    for first in (1..=scene.all).step_by(10_000) {
        server.sql(fill, json!([first, (first + 9_999).min(scene.all)])).await?;
    }
    server.sql("CREATE INDEX things_k ON things(k)", json!([])).await?;
    let crowd = Crowd::gather(&server, scene.sockets, scene.queries).await?;
    let mut syncs = disk::overwrite(settings.work_dir())?;
    let (mut told, mut answered, mut request) = (Latencies::default(), Latencies::default(), Vec::new());
    let mut writer = Connection::open(server.address).await?;
    let before = cpu(server.pid())?;
    let (sql, params) = scene.write;
    for sequence in 1..=scene.writes {
        request.clear();
        let body = json!({ "sql": sql, "params": params(sequence, scene.all) });
        server.caller.post(&mut request, "/query", &body.to_string());
        let due = crowd.changes() + scene.reached;
        let sent = Instant::now();
        let answer = async {
            writer.exchange(&request).await?.checked()?;
            anyhow::Ok(sent.elapsed())
        };
        let (answer, last) = tokio::try_join!(answer, crowd.hears(due, PATIENCE)).context(scene.name.clone())?;
        answered.push(answer);
        told.push(last.saturating_duration_since(sent));
    }
    let spent = cpu(server.pid())?.saturating_sub(before);
    syncs.extend(&disk::overwrite(settings.work_dir())?);
    let (told, answered, sync) = (told.summary(), answered.summary(), syncs.summary());
    let name = &scene.name;
    report.figure(format!("{name}: answered, p50"), NAME, ms(answered.p50), "ms");
    report.figure(format!("{name}: last told, p50"), NAME, ms(told.p50), "ms");
    let beyond = ms(told.p99) - ms(sync.p99);
    if scene.all == 100_000 {
        report.judged(format!("{name}: told, p99 beyond the disk's"), beyond, "ms", targets::REACH);
    } else {
        report.figure(format!("{name}: last told, p99"), NAME, ms(told.p99), "ms");
    }
    let deliveries = (scene.writes * scene.reached) as f64;
    report.figure(
        format!("{name}: server CPU for each told"),
        NAME,
        ratio(spent.as_secs_f64() * 1e6, deliveries),
        "µs",
    );
    drop(crowd);
    server.stop()
}

//! From the spawn of the server to its first answered query, on a large file: after a clean stop, with the file in the
//! page cache and evicted from it, and after a crash in the middle of writing.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::cli::Settings;
use crate::disk;
use crate::latency::Latencies;
use crate::report::{Report, ms};
use crate::targets::START;
use crate::tidebase::{NAME, Tidebase, file_bytes};

const STARTS: usize = 10;
const EVICTED_STARTS: usize = 5;
const CRASHES: usize = 3;
/// Rows of about a kilobyte in one transaction of the filling.
const STEP_ROWS: u64 = 10_000;
/// Rows written between a start and the crash, a hundred a transaction.
const CRASH_ROWS: u64 = 20_000;
const PROBE: &str = "SELECT id, body FROM big WHERE id = 4711";

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let home = settings.temporary()?;
    let database = home.path().join("bench.db");
    fill(settings, home.path()).await?;
    let (file, log) = file_bytes(&database);
    report.figure("file to start on", NAME, file as f64 / 1e6, "MB");
    report.figure("its write-ahead log after a clean stop", NAME, log as f64 / 1e6, "MB");

    let warm = starts(settings, home.path(), STARTS, || Ok(())).await?.summary();
    report.judged("start after a clean stop, to the first answer, p50", ms(warm.p50), "ms", START);
    report.figure("start after a clean stop, to the first answer, max", NAME, ms(warm.max), "ms");
    let evict = || disk::evict(&database).and_then(|()| disk::evict(settings.server()?));
    let cold = starts(settings, home.path(), EVICTED_STARTS, evict).await?.summary();
    report.figure("the same with file and binary out of the page cache, p50", NAME, ms(cold.p50), "ms");

    for crash in 1..=CRASHES {
        let (server, _) = Tidebase::start(settings, home.path(), None).await?;
        write_on(&server).await?;
        let (_, log) = server.file_bytes();
        server.crash()?;
        let (server, time) = Tidebase::start(settings, home.path(), Some(PROBE)).await?;
        server.stop()?;
        report.figure(format!("start after kill -9, {crash}: write-ahead log left"), NAME, log as f64 / 1e6, "MB");
        report.figure(format!("start after kill -9, {crash}: to the first answer"), NAME, ms(time), "ms");
    }
    Ok(())
}

async fn starts(settings: &Settings, home: &Path, count: usize, before: impl Fn() -> Result<()>) -> Result<Latencies> {
    let mut times = Latencies::default();
    for _ in 0..count {
        before()?;
        let (server, time) = Tidebase::start(settings, home, Some(PROBE)).await?;
        server.stop()?;
        times.push(time);
    }
    Ok(times)
}

/// Fills table `big` through the server until the file has its size, and stops the server cleanly.
async fn fill(settings: &Settings, home: &Path) -> Result<()> {
    let (server, _) = Tidebase::start(settings, home, None).await?;
    server.sql("CREATE TABLE big(id INTEGER PRIMARY KEY, body TEXT NOT NULL)", json!([])).await?;
    let steps_max = settings.size_bytes / (STEP_ROWS * 1000) + 2;
    for step in 0..steps_max {
        let (file, _) = server.file_bytes();
        if file >= settings.size_bytes {
            break;
        }
        insert(&server, STEP_ROWS).await.with_context(|| format!("filling the file, step {step}"))?;
    }
    let rows = server.number("SELECT count(*) FROM big").await?;
    ensure!(rows >= STEP_ROWS, "the file was not filled");
    server.stop()
}

async fn write_on(server: &Tidebase) -> Result<()> {
    for _ in 0..CRASH_ROWS / 100 {
        insert(server, 100).await.context("writing before the crash")?;
    }
    Ok(())
}

async fn insert(server: &Tidebase, rows: u64) -> Result<()> {
    let sql = "INSERT INTO big(body) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?1) \
         SELECT printf('%01000d', i) FROM c";
    server.sql(sql, json!([rows])).await?;
    Ok(())
}

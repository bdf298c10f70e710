//! Money moved between 100,000 accounts, a few of them in most transfers (zipf 1.5), alone and with every balance live.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;

use crate::cli::Settings;
use crate::crowd::{Crowd, Query};
use crate::http::Connection;
use crate::latency::Latencies;
use crate::procfs::{Meter, Spent};
use crate::report::{Load, Report, median, ms, ratio};
use crate::targets;
use crate::tidebase::{NAME, Tidebase};

const ACCOUNTS: u64 = 100_000;
const BALANCE: u64 = 1_000;
const CLIENTS: u64 = 32;
const SOCKETS: usize = 1000;
/// A rank's share of all transfers falls with this power of it.
const SKEW: f64 = 1.5;
const SETTLE: Duration = Duration::from_secs(1);

fn balances(socket: usize) -> Vec<Query> {
    let each = ACCOUNTS as usize / SOCKETS;
    let of = |account: usize| Query { sql: "SELECT balance FROM accounts WHERE id = ?1", params: json!([account]) };
    (socket * each + 1..=(socket + 1) * each).map(of).collect()
}

/// A bank, with every balance live or none; only the one whose turn it is works.
struct Stage {
    server: Tidebase,
    crowd: Crowd,
    live: u64,
    latencies: Latencies,
    p50s: Vec<f64>,
    spent: Spent,
}

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut stages = [Stage::open(settings, 0).await?, Stage::open(settings, SOCKETS).await?];
    // In turns, so that a noisy moment is nobody's own.
    for round in 0..settings.rounds {
        for stage in &mut stages {
            stage.round(round, settings.window).await?;
        }
    }
    tokio::time::sleep(SETTLE).await;
    let [alone, beside] = &stages;
    let told = ratio(beside.crowd.changes() as f64, beside.latencies.len() as f64);
    report.figure("changes of balances told, for each transfer", NAME, told, "");
    let name = format!("transfer's p50 with {ACCOUNTS} live balances, with none = 1");
    report.judged(name, median(&beside.p50s) / median(&alone.p50s), "x", targets::FAN_OUT_RATIO);
    for stage in stages {
        let name = format!("transfer, {CLIENTS} clients, {} live balances", stage.live);
        report.loads.push(Load::new(name, NAME, &stage.latencies, stage.spent));
        let sum = stage.server.number("SELECT sum(balance) FROM accounts").await?;
        ensure!(sum == ACCOUNTS * BALANCE, "money came or went: {sum}");
        drop(stage.crowd);
        stage.server.stop()?;
    }
    Ok(())
}

impl Stage {
    async fn open(settings: &Settings, sockets: usize) -> Result<Self> {
        let server = Tidebase::fresh(settings).await?;
        server.sql("CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)", json!([])).await?;
        let fill = "INSERT INTO accounts(balance) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?1) \
                    SELECT ?2 FROM c";
        server.sql(fill, json!([ACCOUNTS, BALANCE])).await?;
        let crowd = Crowd::gather(&server, sockets, balances).await?;
        let live = sockets as u64 * (ACCOUNTS / SOCKETS as u64);
        let (latencies, p50s, spent) = Default::default();
        Ok(Self { server, crowd, live, latencies, p50s, spent })
    }

    async fn round(&mut self, round: u64, window: Duration) -> Result<()> {
        let meter = Meter::start(self.server.pid())?;
        let seeds = round * CLIENTS + 1..=(round + 1) * CLIENTS;
        let done = try_join_all(seeds.map(|seed| transfer(&self.server, window, seed))).await?;
        self.spent += meter.read()?;
        let mut latencies = Latencies::default();
        done.iter().for_each(|one| latencies.extend(one));
        self.p50s.push(ms(latencies.summary().p50));
        self.latencies.extend(&latencies);
        Ok(())
    }
}

async fn transfer(server: &Tidebase, window: Duration, seed: u64) -> Result<Latencies> {
    let mut random = Zipf { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
    let mut connection = Connection::open(server.address).await?;
    let (mut latencies, mut request, started) = (Latencies::default(), Vec::new(), Instant::now());
    while started.elapsed() < window {
        let (from, to) = (random.account(), random.account());
        request.clear();
        let body = json!({ "transaction": [
            { "sql": "UPDATE accounts SET balance = balance - 1 WHERE id = ?1", "params": [from] },
            { "sql": "UPDATE accounts SET balance = balance + 1 WHERE id = ?1", "params": [to] },
        ] });
        server.caller.post(&mut request, "/query", &body.to_string());
        let sent = Instant::now();
        connection.exchange(&request).await?.checked()?;
        latencies.push(sent.elapsed());
    }
    Ok(latencies)
}

/// Accounts by rank, the first the most often: the inverse of the continuous distribution's function.
struct Zipf {
    state: u64,
}

impl Zipf {
    fn account(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (self.state >> 11) as f64 / (1_u64 << 53) as f64;
        let tail = 1.0 - (ACCOUNTS as f64).powf(1.0 - SKEW);
        let rank = (1.0 - uniform * tail).powf(1.0 / (1.0 - SKEW));
        (rank as u64).clamp(1, ACCOUNTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_accounts_have_most_of_the_transfers() {
        let mut random = Zipf { state: 1 };
        let picked: Vec<u64> = (0..10_000).map(|_| random.account()).collect();
        let of_the_first = picked.iter().filter(|&&account| account <= 10).count();
        assert!((5_000..9_000).contains(&of_the_first), "{of_the_first}");
        assert!(picked.iter().any(|&account| account > 1000));
    }
}

//! Money moved between 100,000 accounts, a few of them in most transfers (zipf 1.5), alone and with every balance live.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;

use crate::cli::Settings;
use crate::crowd::{Crowd, Query};
use crate::http::Connection;
use crate::latency::Latencies;
use crate::procfs::Meter;
use crate::report::{Load, Report, ms, ratio};
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

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut p50 = Vec::new();
    for sockets in [0, SOCKETS] {
        let server = Tidebase::fresh(settings).await?;
        server.sql("CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)", json!([])).await?;
        let fill = "INSERT INTO accounts(balance) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?1) \
                    SELECT ?2 FROM c";
        server.sql(fill, json!([ACCOUNTS, BALANCE])).await?;
        let crowd = Crowd::gather(&server, sockets, balances).await?;
        let meter = Meter::start(server.pid())?;
        let seeds = Cell::new(1);
        let clients = (0..CLIENTS).map(|_| transfer(&server, settings.window, seeds.replace(seeds.get() + 1)));
        let mut latencies = Latencies::default();
        try_join_all(clients).await?.iter().for_each(|one| latencies.extend(one));
        let spent = meter.read()?;
        let live = sockets as u64 * (ACCOUNTS / SOCKETS as u64);
        let load = Load::new(format!("transfer, {CLIENTS} clients, {live} live balances"), NAME, &latencies, spent);
        p50.push(ms(load.latency.p50));
        report.loads.push(load);
        tokio::time::sleep(SETTLE).await;
        if sockets > 0 {
            report.figure(
                "changes of balances told, for each transfer",
                NAME,
                ratio(crowd.changes() as f64, latencies.len() as f64),
                "",
            );
        }
        let sum = server.number("SELECT sum(balance) FROM accounts").await?;
        ensure!(sum == ACCOUNTS * BALANCE, "money came or went: {sum}");
        drop(crowd);
        server.stop()?;
    }
    let name = format!("transfer's p50 with {ACCOUNTS} live balances, with none = 1");
    report.judged(name, p50[1] / p50[0], "x", targets::FAN_OUT_RATIO);
    Ok(())
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

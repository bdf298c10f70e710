//! What row-level policies cost: a person's point read beside the administrator's, and what a write costs for each of a thousand
//! subscribers who are a thousand different people, of whom one may see it, or all.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{POINT_READ_CLIENTS, scattered};
use crate::cli::Settings;
use crate::crowd::{Crowd, Query};
use crate::http::{Caller, Connection};
use crate::load::Plan;
use crate::peers::pocketbase;
use crate::procfs::all_threads_cpu;
use crate::report::{Report, ratio};
use crate::targets::{PERSONS_READ_RATIO, RULED_DELTA_CPU};
use crate::tidebase::{NAME, Tidebase};

pub const PEOPLE: usize = 1000;
pub const WRITES: u64 = 100;
/// Between two writes.
pub const PACE: Duration = Duration::from_millis(100);
pub const ONE_OF: &str = "a write that one of 1000 people may see, CPU by subscriber";
pub const ALL_OF: &str = "a write that all of 1000 people may see, CPU by subscriber";
const PATIENCE: Duration = Duration::from_mins(1);
/// So that callers have a measure, as in earnest, but none that a load reaches.
const ARGUMENTS: [&str; 6] = [
    "--anonymous",
    "open",
    "--limit",
    "caller_requests_per_second_max=100000000",
    "--limit",
    "stranger_requests_per_minute_max=0",
];

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    point_read(settings, report).await?;
    let owner = json!({"name": "own", "table": "feed", "action": "select", "using": "owner = auth.uid()"});
    let own = deltas(settings, Some(&owner), 1).await?;
    report.judged(ONE_OF, own, "µs", RULED_DELTA_CPU);
    let member = "EXISTS (SELECT 1 FROM member WHERE member.room = feed.room AND member.person = auth.uid())";
    let member = json!({"name": "members", "table": "feed", "action": "select", "using": member});
    let all = deltas(settings, Some(&member), PEOPLE as u64).await?;
    report.judged(ALL_OF, all, "µs", RULED_DELTA_CPU);
    let unbound = deltas(settings, None, PEOPLE as u64).await?;
    report.figure("the same write and 1000 sockets of the administrator's, CPU by subscriber", NAME, unbound, "µs");
    pocketbase::policies(settings, report).await
}

/// Medians of turns, for the machine is not equally quick all the time.
async fn point_read(settings: &Settings, report: &mut Report) -> Result<()> {
    let server = Tidebase::fresh_with(settings, &ARGUMENTS).await?;
    server.fill_t(settings.rows).await?;
    let person = server.person().await?;
    server.sql("UPDATE t SET owner = ?1", json!([person.id])).await?;
    server.policy(&json!({"name": "own", "table": "t", "action": "select", "using": "owner = auth.uid()"})).await?;
    let person = Caller::new(server.address, Some(&format!("Bearer {}", person.token)));
    let mut cost = [Vec::new(), Vec::new()];
    for _ in 0..settings.rounds {
        for (caller, costs) in [&server.caller, &person].into_iter().zip(&mut cost) {
            let plan = Plan {
                address: server.address,
                pid: server.pid(),
                clients: POINT_READ_CLIENTS,
                window: settings.window,
            };
            let (caller, rows) = (caller.clone(), settings.rows);
            let outcome = plan
                .run(move |sequence, out| {
                    let id = scattered(sequence, rows);
                    let body =
                        format!(r#"{{"sql":"SELECT id,name,owner,n,x,created FROM t WHERE id=?1","params":[{id}]}}"#);
                    caller.post(out, "/query", &body);
                })
                .await?;
            costs.push(outcome.spent.server.as_secs_f64() * 1e6 / outcome.latencies.len() as f64);
        }
    }
    let [admin, person] = cost.map(median);
    report.figure("point read by the administrator, CPU", NAME, admin, "µs");
    report.figure("point read by a person whose rows they are, CPU", NAME, person, "µs");
    report.judged("a person's point read, CPU, the administrator's = 1", ratio(person, admin), "x", PERSONS_READ_RATIO);
    server.stop()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// µs of the server for a write and subscriber, beyond what the write costs alone.
/// Without a policy all of them are the administrator.
async fn deltas(settings: &Settings, policy: Option<&Value>, told: u64) -> Result<f64> {
    let server = Tidebase::fresh_with(settings, &ARGUMENTS).await?;
    server.sql("CREATE TABLE feed(id INTEGER PRIMARY KEY, owner TEXT, room INTEGER, body TEXT)", json!([])).await?;
    server
        .sql("CREATE TABLE member(room INTEGER, person TEXT, PRIMARY KEY(room, person)) WITHOUT ROWID", json!([]))
        .await?;
    if let Some(policy) = policy {
        server.policy(policy).await?;
    }
    let mut people = Vec::new();
    for _ in 0..PEOPLE {
        let person = server.person().await?;
        server.sql("INSERT INTO member VALUES(1, ?1)", json!([person.id])).await?;
        people.push(person);
    }
    let alone = writes(&server, &people).await?;
    let token = |person: &'_ Person| if policy.is_some() { person.token.clone() } else { server.token.clone() };
    let tokens: Vec<String> = people.iter().map(token).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let query = |_| vec![Query { sql: "SELECT id, owner, room, body FROM feed", params: json!([]) }];
    let crowd = Crowd::gather_as(&server, &tokens, query).await?;
    let before = crowd.changes();
    let beside = writes(&server, &people).await?;
    crowd.hears(before + WRITES * told, PATIENCE).await?;
    drop(crowd);
    server.stop()?;
    Ok((beside.as_secs_f64() - alone.as_secs_f64()).max(0.0) * 1e6 / (WRITES * PEOPLE as u64) as f64)
}

/// What the server spends on paced inserts.
async fn writes(server: &Tidebase, people: &[Person]) -> Result<Duration> {
    let mut connection = Connection::open(server.address).await?;
    let (before, started) = (all_threads_cpu(server.pid())?, Instant::now());
    for sequence in 0..WRITES {
        tokio::time::sleep_until((started + PACE * sequence as u32).into()).await;
        let owner = &people[scattered(sequence, PEOPLE as u64) as usize - 1].id;
        let sql = "INSERT INTO feed(owner, room, body) VALUES(?1, 1, 'a message of usual length')";
        let mut request = Vec::new();
        server.caller.post(&mut request, "/query", &json!({ "sql": sql, "params": [owner] }).to_string());
        connection.exchange(&request).await?.checked()?;
    }
    // The last one's listeners are told meanwhile.
    tokio::time::sleep_until((started + PACE * WRITES as u32).into()).await;
    Ok(all_threads_cpu(server.pid())?.saturating_sub(before))
}

/// Somebody who has come in.
pub struct Person {
    pub id: String,
    pub token: String,
}

impl Tidebase {
    async fn person(&self) -> Result<Person> {
        let mut request = Vec::new();
        Caller::new(self.address, None).post(&mut request, "/auth/anonymous", "{}");
        let mut connection = Connection::open(self.address).await?;
        let told = connection.exchange(&request).await?.checked()?.json()?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("no person came back");
        Ok(Person { id: text(&told["result"]["user"]["id"])?, token: text(&told["result"]["access_token"])? })
    }

    async fn policy(&self, policy: &Value) -> Result<()> {
        let mut request = Vec::new();
        self.caller.post(&mut request, "/policies", &policy.to_string());
        Connection::open(self.address).await?.exchange(&request).await?.checked()?;
        Ok(())
    }
}

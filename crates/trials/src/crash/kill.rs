//! A kill round: a database file that lives through several servers, each ended at a bad moment.

use super::aftermath::{examine, lock};
use super::client::Client;
use super::ledger::Ledger;
use super::life::{Ending, Life, a_moment};
use super::server::{Program, Server, copy_database};
use super::socket::Socket;
use super::state::{FIRST_KEY, FIRST_MESSAGE, Found, KEY_TRIGGERS, MESSAGES_KEPT, TABLES, TOPIC, first_rows};
use super::tally::Tally;
use super::told::Told;
use super::violation;
use crate::random::Random;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Servers that a file lives through.
const LIVES: usize = 5;
const SUBSCRIBERS: usize = 2;

/// For a subscriber to be told how things stand.
const PATIENCE: Duration = Duration::from_secs(20);

struct Trial<'a> {
    program: Program,
    ledger: Arc<Mutex<Ledger>>,
    /// What the subscribers were told so far.
    told: Vec<Told>,
    random: &'a mut Random,
    tally: &'a mut Tally,
}

/// What a start says about the line of revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    /// The server was stopped in good order.
    Goes,
    /// It was killed.
    Begins,
    /// It was killed when nearly stopped, or hardly started.
    Either,
}

impl History {
    fn check(self, before: &str, now: &str) -> Result<()> {
        match self {
            Self::Goes if before != now => {
                Err(violation!("the history changed from {before} to {now} over a good stop"))
            }
            Self::Begins if before == now => Err(violation!("the history {now} went on over a kill")),
            _ => Ok(()),
        }
    }
}

pub async fn round(server: &Path, home: &Path, random: &mut Random, tally: &mut Tally) -> Result<()> {
    let program = Program { server: server.to_owned(), home: home.to_owned(), limits: Vec::new() };
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut trial = Trial { program, ledger, told: Vec::new(), random, tally };
    let mut server = trial.start().await?;
    let cursor = prepare(&server).await?;
    lock(&trial.ledger).ready();
    trial.told = vec![Told::new(cursor); SUBSCRIBERS];
    let mut history = History::Either;
    for _ in 0..LIVES {
        history = trial.life(server, history).await?;
        server = trial.start_again(&mut history).await?;
    }
    trial.come_back(&server, history).await?;
    server.terminate()?;
    let status = server.ended().await?;
    if status.success() { Ok(()) } else { Err(violation!("asked to stop, the idle server ended with {status}")) }
}

/// Makes the tables and the topic; gives the cursor before the first message that counts.
async fn prepare(server: &Server) -> Result<i64> {
    let mut client = Client::open(server.address).await?;
    let sql = |sql: &str| json!({ "sql": sql });
    for table in TABLES.map(str::to_owned).into_iter().chain([first_rows()]) {
        client.ask("POST", "/query", &sql(&table)).await?;
    }
    let (key, value) = FIRST_KEY;
    let value: Value = serde_json::from_str(value)?;
    client.ask("PUT", &format!("/data/{key}"), &json!({ "value": value })).await?;
    for trigger in KEY_TRIGGERS {
        client.ask("POST", "/query", &sql(trigger)).await?;
    }
    client.ask("PUT", &format!("/topics/{TOPIC}"), &json!({ "keep": MESSAGES_KEPT })).await?;
    let data: Value = serde_json::from_str(FIRST_MESSAGE)?;
    let said = client.ask("POST", &format!("/topics/{TOPIC}"), &json!({ "data": data })).await?;
    said["result"]["cursor"].as_i64().context("a message without a cursor")
}

impl Trial<'_> {
    async fn start(&mut self) -> Result<Server> {
        let bytes = [32_000, 100_000, 1_000_000, 16_000_000];
        let checkpoint = *self.random.pick(&bytes);
        let rows = self.random.between(500, 60_000);
        self.program.limits = vec![
            format!("wal_checkpoint_bytes={checkpoint}"),
            format!("wal_bytes_max={}", checkpoint * 3 / 2),
            format!("rows_chunk_bytes={rows}"),
        ];
        self.program.start().await
    }

    /// Some servers are killed while they start, before one may go on.
    async fn start_again(&mut self, history: &mut History) -> Result<Server> {
        let database = self.program.database();
        copy_database(&database, &self.program.home.join("before"))?;
        while self.random.percent(25) {
            let mut server = self.program.spawn()?;
            a_moment(self.random, 40_000);
            server.kill()?;
            self.tally.kills_at_the_edge += 1;
            if *history == History::Goes {
                *history = History::Either;
            }
        }
        self.start().await
    }

    async fn life(&mut self, mut server: Server, history: History) -> Result<History> {
        let subscribers = self.come_back(&server, history).await?;
        let ending = Ending::draw(self.random);
        let database = self.program.database();
        let life = Life { ledger: &self.ledger, database: &database, random: self.random, tally: self.tally };
        self.told = life.live(&mut server, subscribers, ending).await?;
        for told in &self.told {
            told.check(&lock(&self.ledger))?;
        }
        Ok(match ending {
            Ending::Kill | Ending::KillInCheckpoint => History::Begins,
            Ending::KillWhileStopping => History::Either,
            Ending::Stop => History::Goes,
        })
    }

    /// After a start: is everything there, and are those told so who were told before?
    async fn come_back(&mut self, server: &Server, history: History) -> Result<Vec<(Socket, Told)>> {
        let promises = lock(&self.ledger).promises();
        let mut client = Client::open(server.address).await?;
        let send = async |planned: &_| client.send(planned).await?.context("the server did not answer");
        let aftermath = examine(&self.program.database(), &self.ledger, &promises, self.tally, send).await?;
        let aftermath = aftermath.context("the tables are there")?;
        lock(&self.ledger).settle(aftermath.survivors, &aftermath.again)?;
        let mut subscribers = Vec::new();
        for mut told in std::mem::take(&mut self.told) {
            let before = told.history.clone();
            self.tally.told(std::mem::take(&mut told.counts));
            let told = self.resume(server, told, &aftermath.found).await?;
            history.check(&before, &told.1.history)?;
            subscribers.push(told);
        }
        Ok(subscribers)
    }

    async fn resume(&self, server: &Server, mut told: Told, found: &Found) -> Result<(Socket, Told)> {
        let mut socket = Socket::open(server.address, &told.connect()).await?;
        while !told.knows(found) {
            let Ok(frame) = tokio::time::timeout(PATIENCE, socket.frame()).await else {
                return Err(violation!("a subscriber that came back was not told all there is: {}", told.lacks(found)));
            };
            let frame = frame.context("the socket of a subscriber that came back was closed")?;
            told.take(&frame, &mut lock(&self.ledger))?;
        }
        told.read_again(found);
        told.check(&lock(&self.ledger))?;
        Ok((socket, told))
    }
}

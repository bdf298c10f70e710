//! Many callers on trial: what each of them holds live under policies must be what they would be answered now.
//!
//! Each world has a table of members, tables that policies open by it (and by values, roles, claims and columns), and some
//! sessions of a few callers. Rows, members and policies change; after each commit every client, fed only with its frames,
//! is compared with plain SQLite, which is asked for the rows that the policies let its caller see.
//!
//! What a world is made of stands in [`world`]. Which SQL may tell of hidden rows is another trial ([`crate::policies`]).

mod world;

use crate::fuzz::ram_disk;
use crate::live::cells::push_value;
use crate::live::client::{Client, Known, Live, State, Subscription};
use crate::live::judge::is_same;
use crate::random::Random;
use crate::world::Held;
use crate::worlds::{Seen, Worlds};
use anyhow::{Result, anyhow, bail};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ToSqlOutput;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidebase_engine::access::policy::PolicyWrite;
use tidebase_engine::{Caller, Engine, Options, Params, Principal, RequestId, Since, SqlRequest, Value, Wanted};
use world::{Event, World};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Stop after this many commits [default: 20000, unless --seconds is given]
    #[arg(long)]
    commits: Option<u64>,
    #[command(flatten)]
    worlds: Worlds,
}

/// How long a frame may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// What has been seen.
#[derive(Debug, Default)]
struct Stats {
    commits: u64,
    results: u64,
    ended: u64,
    policies: u64,
    resumed: u64,
    for_all: u64,
    parts: u64,
    trails: u64,
    spared: u64,
    whole: u64,
}

impl Seen for Stats {
    fn count(&self) -> u64 {
        self.commits
    }

    fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.results += other.results;
        self.ended += other.ended;
        self.policies += other.policies;
        self.resumed += other.resumed;
        self.for_all += other.for_all;
        self.parts += other.parts;
        self.trails += other.trails;
        self.spared += other.spared;
        self.whole += other.whole;
    }

    fn tell(&self, took: Duration) -> String {
        format!(
            "{} commits in {:.0} s, {} of policies; {} results compared, {} queries ended, {} resumed; \
             {} rows looked at for all callers, {} results read by parts, {} run, {} spared, {} looks into members",
            self.commits,
            took.as_secs_f64(),
            self.policies,
            self.results,
            self.ended,
            self.resumed,
            self.for_all,
            self.parts,
            self.whole,
            self.spared,
            self.trails
        )
    }
}

pub fn members(arguments: &Arguments) -> ExitCode {
    arguments.worlds.run(arguments.commits, 20_000, run)
}

struct Run<'a> {
    engine: Arc<Engine>,
    plain: Connection,
    asking: Arc<Mutex<Caller>>,
    world: &'a mut World,
    /// Each with the number of its caller.
    clients: Vec<(usize, Client)>,
}

fn run(seed: u64, number: u64, stats: &mut Stats) -> Result<()> {
    let mut random = Random::new(seed, number);
    let mut world = World::random(&mut random);
    let home = match ram_disk() {
        Some(disk) => tempfile::tempdir_in(disk)?,
        None => tempfile::tempdir()?,
    };
    let path = home.path().join("world.db");
    let engine = Engine::open(Options { limits: world.limits.clone(), ..Options::new(&path) })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ran = runtime.block_on(async {
        for sql in &world.setup {
            engine.query(SqlRequest::query(sql, Params::None)).await.map_err(|error| anyhow!("{sql}: {error}"))?;
        }
        for policy in world.policies.clone() {
            engine.write_policy(PolicyWrite::Keep(policy)).await?;
        }
        let plain = Connection::open(&path)?;
        let asking = answering(&plain, &world)?;
        let mut run = Run { engine: Arc::clone(&engine), plain, asking, world: &mut world, clients: Vec::new() };
        run.connect(&mut random)?;
        run.judge(stats).await?;
        let mut lately = Vec::new();
        for _ in 0..random.between(40, 160) {
            let event = run.world.event(&mut random);
            lately.push(format!("{event:?}"));
            let ran = run.event(&mut random, event, stats).await;
            ran.map_err(|error| run.told(&lately, &error))?;
        }
        Ok(())
    });
    let metrics = engine.metrics();
    stats.for_all += metrics.live_for_all.get();
    stats.parts += metrics.live_parts.get();
    stats.trails += metrics.live_trails.get();
    stats.spared += metrics.live_spared.get();
    stats.whole += metrics.live_evaluations.get();
    engine.close();
    ran
}

/// Gives a plain connection the functions that policies ask.
fn answering(plain: &Connection, world: &World) -> Result<Arc<Mutex<Caller>>> {
    let asking = Arc::new(Mutex::new((*world.callers[0]).clone()));
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    let now = |asking: &Mutex<Caller>| asking.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let its = Arc::clone(&asking);
    plain.create_scalar_function("auth_uid", 0, flags, move |_| Ok(now(&its).uid))?;
    let its = Arc::clone(&asking);
    plain.create_scalar_function("auth_role", 0, flags, move |_| Ok(now(&its).role.name()))?;
    let its = Arc::clone(&asking);
    plain.create_scalar_function("auth_claim", 1, flags, move |arguments| {
        let claim = now(&its).claim(&arguments.get::<String>(0)?).cloned();
        let value = claim.map_or(Value::Null, |claim| tidebase_engine::access::asking::value(&claim));
        Ok(ToSqlOutput::Owned(value.as_ref().try_into()?))
    })?;
    Ok(asking)
}

impl Run<'_> {
    fn connect(&mut self, random: &mut Random) -> Result<()> {
        for _ in 0..random.between(3, 8) {
            let caller = random.below(self.world.callers.len());
            let client = self.open(caller);
            self.clients.push((caller, client));
        }
        for session in 0..self.clients.len() {
            for query in 0..self.world.queries.len() {
                if random.percent(70) {
                    self.subscribe(session, query, None)?;
                }
            }
        }
        Ok(())
    }

    fn open(&self, caller: usize) -> Client {
        Client::new(self.engine.open_session_for(Principal::Caller(Arc::clone(&self.world.callers[caller]))))
    }

    fn subscribe(&mut self, session: usize, query: usize, known: Option<Known>) -> Result<()> {
        let id = query.to_string();
        let asked = &self.world.queries[query];
        let since = known.as_ref().map(|known| known.since.clone());
        let wanted = Wanted::Query { sql: asked.sql.clone(), params: asked.params.clone(), since };
        let client = &mut self.clients[session].1;
        if client.subscriptions.contains_key(&id) {
            return Ok(());
        }
        self.engine.subscribe(&client.session, Some(RequestId::parse(&id)?), wanted)?;
        client.watch(&id, Held { session, query, is_twin: false }, known, 0);
        Ok(())
    }

    async fn event(&mut self, random: &mut Random, event: Event, stats: &mut Stats) -> Result<()> {
        let before = self.engine.revision();
        match event {
            Event::Write(sql) => drop(self.write(&sql).await),
            // Together, they may come to one group and one step.
            Event::Writes(writes) => {
                let all = writes.iter().map(|sql| self.write(sql));
                futures_util::future::join_all(all).await;
            }
            Event::Keep(policy) => {
                if self.engine.write_policy(PolicyWrite::Keep(policy.clone())).await.is_ok() {
                    self.world.policies.retain(|known| known.name != policy.name);
                    self.world.policies.push(policy);
                    self.world.policies.sort_by(|a, b| a.name.cmp(&b.name));
                    stats.policies += 1;
                }
            }
            Event::Drop(name) => {
                self.engine.write_policy(PolicyWrite::Drop(name.clone())).await?;
                self.world.policies.retain(|known| known.name != name);
                stats.policies += 1;
            }
            Event::ComeBack(session) => {
                let session = session % self.clients.len();
                self.come_back(session, stats)?;
            }
            Event::Ask(session, query) => {
                self.subscribe(session % self.clients.len(), query, None)?;
            }
        }
        stats.commits += (self.engine.revision() - before).unsigned_abs();
        for query in 0..self.world.queries.len() {
            let session = random.below(self.clients.len());
            if random.percent(10) {
                self.subscribe(session, query, None)?;
            }
        }
        self.judge(stats).await
    }

    async fn write(&self, sql: &str) -> tidebase_engine::Result<()> {
        self.engine.query(SqlRequest::query(sql, Params::None)).await.map(drop)
    }

    /// A new connection of the same caller, that goes on where the old one stood.
    fn come_back(&mut self, session: usize, stats: &mut Stats) -> Result<()> {
        let fresh = self.open(self.clients[session].0);
        let old = std::mem::replace(&mut self.clients[session].1, fresh);
        old.session.close();
        let place = Since { history: old.history.clone(), revision: old.told, tag: None };
        let mut lives: Vec<Live> = Vec::new();
        for subscription in old.subscriptions.into_values() {
            if let Subscription::Live(live) = subscription
                && live.state == State::Ready
            {
                lives.push(live);
            }
        }
        // Every second time in one frame, by their tags.
        let mut unknown: Vec<usize> = lives.iter().map(|live| live.held.query).collect();
        if place.revision % 2 == 0 {
            let name = |live: &Live| RequestId::parse(&live.held.query.to_string());
            let tags: Vec<_> = lives.iter().map(|live| Ok((name(live)?, live.tag.clone()))).collect::<Result<_>>()?;
            let told = self.engine.resume(&self.clients[session].1.session, &place, tags)?;
            unknown.retain(|query| told.iter().any(|id| id.to_string() == query.to_string()));
        }
        for Live { held, result, tag, .. } in lives {
            let since = Since { tag: Some(tag), ..place.clone() };
            stats.resumed += 1;
            if unknown.contains(&held.query) {
                self.subscribe(session, held.query, Some(Known { since, result }))?;
            } else {
                let held = Held { session, query: held.query, is_twin: false };
                let id = held.query.to_string();
                self.clients[session].1.watch(&id, held, Some(Known { since, result }), 0);
            }
        }
        Ok(())
    }

    async fn judge(&mut self, stats: &mut Stats) -> Result<()> {
        let revision = self.engine.revision();
        for session in 0..self.clients.len() {
            let (caller, client) = &mut self.clients[session];
            self.engine.answered(&client.session, revision);
            client.read_until(PATIENCE, |client| client.is_settled(revision)).await.map_err(|error| anyhow!(error))?;
            let caller = Arc::clone(&self.world.callers[*caller]);
            *self.asking.lock().unwrap_or_else(PoisonError::into_inner) = (*caller).clone();
            let ended = std::mem::take(&mut client.ended);
            stats.ended += ended.len() as u64;
            for ended in ended {
                let query = &self.world.queries[ended.held.query];
                if run_plain(&self.plain, self.world.as_seen_by(query, caller.role).as_deref(), &query.params).is_ok() {
                    bail!("{} of {caller:?} was ended: {}", query.sql, ended.error);
                }
            }
            for live in self.clients[session].1.lives() {
                let query = &self.world.queries[live.held.query];
                let Ok(mut expected) =
                    run_plain(&self.plain, self.world.as_seen_by(query, caller.role).as_deref(), &query.params)
                else {
                    bail!("{} of {caller:?} goes on and cannot be run", query.sql);
                };
                if !query.is_ordered {
                    expected.sort_unstable();
                }
                stats.results += 1;
                let got = live.result.shown();
                if !is_same(&got, &expected) {
                    let (expected, got) = (expected.join("\n"), got.join("\n"));
                    bail!("{} {:?} of {caller:?}\nexpected:\n{expected}\ngot:\n{got}", query.sql, query.params);
                }
            }
        }
        Ok(())
    }

    /// What somebody needs who looks into a failure.
    fn told(&self, lately: &[String], error: &anyhow::Error) -> anyhow::Error {
        let policies: Vec<String> = self.world.policies.iter().map(|policy| format!("{policy:?}")).collect();
        let (setup, policies, lately) = (self.world.setup.join(";\n"), policies.join("\n"), lately.join("\n"));
        anyhow!("{error:#}\n{setup}\n{policies}\n{lately}\n{:?}", self.world.limits.live_tiers)
    }
}

fn run_plain(plain: &Connection, sql: Option<&str>, params: &Params) -> Result<Vec<String>> {
    let Some(sql) = sql else { bail!("it is closed") };
    let mut statement = plain.prepare_cached(sql)?;
    crate::live::oracle::bind(&mut statement, params)?;
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut line = String::new();
        for column in 0..columns {
            line.push_str(if column > 0 { ", " } else { "" });
            push_value(&mut line, row.get_ref(column)?);
        }
        found.push(line);
    }
    Ok(found)
}

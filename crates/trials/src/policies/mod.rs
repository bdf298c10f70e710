//! Policies on trial: what a caller is answered must be what a database with the visible rows alone would answer, and what
//! it changes must be what policies let it change.
//!
//! Each world has random tables, rows and policies, and is for reading or for writing.
//!
//! | file | holds |
//! |---|---|
//! | `reads` | random SELECTs of a caller, and plain SQLite on a copy of the rows that it sees |
//! | `writes` | what must come of a write of a caller |
//! | `write`, `draft` | INSERT, UPDATE and DELETE in parts; such by chance |
//! | `twin` | another database, of which the caller sees the same |
//! | `mirror` | a second database, in which plain SQLite does what policies let the caller do |
//! | `rules` | random policies for writing, and what they say |
//! | `armed` | conditions that fail on some rows, hidden ones among them |
//! | `answers` | rows that can be compared |
//!
//! After a read the rows must be the same, and so must be whether there was an error. After a write all tables must be the
//! same, what RETURNING gives, and the words of an error. Without triggers and cascades, no row that a statement may not change
//! may differ afterwards, whatever was expected of it.
//!
//! Left out is what SQL itself leaves open, for there the plan decides: which rows a LIMIT keeps, in which order floats are
//! summed, in which order rows are written if that makes a difference (each such write is tried in several orders), what a
//! sub-query sees of a table that the statement is changing, which of several rows an UPDATE FROM takes. REPLACE, views,
//! rowids and full-text search are not written; in a table whose conflicts are met by ON CONFLICT DO UPDATE, a row that may not
//! be changed is passed over.

mod answers;
mod armed;
mod draft;
mod mirror;
mod reads;
mod rules;
mod twin;
mod write;
mod writes;

use crate::fuzz::ram_disk;
use crate::random::Random;
use crate::world::schema::{Relation, Schema};
use crate::world::{Event, World};
use crate::worlds::{Seen, Worlds};
use anyhow::{Context as _, Result, anyhow};
use mirror::Mirror;
use rules::Rules;
use rusqlite::Connection;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tidebase_engine::access::policy::PolicyWrite;
use tidebase_engine::access::{Action, Policy};
use tidebase_engine::sqlite::exclude::unquoted;
use tidebase_engine::{Caller, Engine, Options, Params, Principal, Role, SqlRequest};
use twin::Twin;
use writes::Trial;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Stop after this many statements [default: 100000, unless --seconds is given]
    #[arg(long)]
    statements: Option<u64>,
    /// Only these; by default worlds take turns.
    #[arg(long, value_enum)]
    only: Option<Part>,
    #[command(flatten)]
    worlds: Worlds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Reads,
    Writes,
}

/// Writes that fill a world, and statements that a caller says in it.
const WRITES: usize = 60;
const ASKED: usize = 150;
const WRITTEN: usize = 60;
/// Callers are called like values that columns have.
const CALLERS: [&str; 4] = ["a", "B", "x,y", "5"];

/// What has been seen.
#[derive(Debug, Default)]
struct Stats {
    statements: u64,
    /// Of them, those that gave rows, that failed, and that fail on some row.
    with_rows: u64,
    failed: u64,
    armed: u64,
    /// Of them, those that write: that changed rows, were refused before they were run or for the rows that they would
    /// have left, and of which SQL leaves open what they do.
    writes: u64,
    changed: u64,
    refused: u64,
    judged: u64,
    open: u64,
    /// Writes that were said again with other hidden rows.
    twins: u64,
    hidden_rows: u64,
}

impl Seen for Stats {
    fn count(&self) -> u64 {
        self.statements
    }

    fn add(&mut self, other: &Self) {
        self.statements += other.statements;
        self.with_rows += other.with_rows;
        self.failed += other.failed;
        self.armed += other.armed;
        self.writes += other.writes;
        self.changed += other.changed;
        self.refused += other.refused;
        self.judged += other.judged;
        self.open += other.open;
        self.twins += other.twins;
        self.hidden_rows += other.hidden_rows;
    }

    fn tell(&self, took: Duration) -> String {
        format!(
            "{} statements compared in {:.0} s: {} gave rows, {} failed for both, {} were made to fail on some row; \
             {} rows were hidden\n\
             {} of them write: {} changed rows, {} were refused before, {} for what they would have left; {} were open, \
             {} said again with other hidden rows",
            self.statements,
            took.as_secs_f64(),
            self.with_rows,
            self.failed,
            self.armed,
            self.hidden_rows,
            self.writes,
            self.changed,
            self.refused,
            self.judged,
            self.open,
            self.twins
        )
    }
}

pub fn policies(arguments: &Arguments) -> ExitCode {
    let run = |seed, number: u64, stats: &mut Stats| {
        let turn = if number.is_multiple_of(2) { Part::Reads } else { Part::Writes };
        run(seed, number, arguments.only.unwrap_or(turn), stats)
    };
    arguments.worlds.run(arguments.statements, 100_000, run)
}

fn run(seed: u64, number: u64, part: Part, stats: &mut Stats) -> Result<()> {
    let mut world = World::random(seed, number, WRITES);
    let mut random = Random::new(seed, number.wrapping_mul(2) + 1);
    let home = home()?;
    let path = home.path().join("world.db");
    let has_triggers = part == Part::Reads || leave_out(&mut world, random.percent(50));
    let engine = Engine::open(Options::new(&path))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ran = runtime.block_on(async {
        fill(&engine, &world).await?;
        match part {
            Part::Reads => read(&engine, &path, &world, &mut random, stats).await,
            Part::Writes => write(&engine, &path, &world, &mut random, has_triggers, stats).await,
        }
    });
    engine.close();
    ran
}

fn home() -> Result<TempDir> {
    Ok(match ram_disk() {
        Some(disk) => tempfile::tempdir_in(disk)?,
        None => tempfile::tempdir()?,
    })
}

/// What writes of callers are not tried with. Are there triggers left?
fn leave_out(world: &mut World, may_have_triggers: bool) -> bool {
    let is_full_text = |sql: &str| sql.contains("fts5") || sql.contains("INTO f (");
    let is_trigger = |sql: &str| sql.starts_with("CREATE TRIGGER");
    // A row that a trigger leaves out is not given back, though it may have been written.
    let is_kept =
        |sql: &str| !is_full_text(sql) && !(is_trigger(sql) && (!may_have_triggers || sql.contains("IGNORE)")));
    world.setup.retain(|sql| is_kept(sql));
    world.schema.objects.retain(|object| is_kept(&object.make));
    world.setup.iter().any(|sql| is_trigger(sql))
}

fn caller(uid: &str) -> Principal {
    Principal::Caller(Arc::new(Caller::new(Role::User, Some(uid.to_owned()))))
}

async fn read(engine: &Engine, path: &Path, world: &World, random: &mut Random, stats: &mut Stats) -> Result<()> {
    let opened = open_tables(engine, world, random).await;
    let plain = Connection::open(path)?;
    for uid in CALLERS.iter().take(random.between(1, 3)) {
        let copy = reads::copy(&plain, &opened, uid, stats)?;
        for _ in 0..ASKED {
            let (sql, params) = reads::statement(random, world, &opened, stats);
            let compared = reads::compare(engine, &caller(uid), &copy, &sql, params, stats).await;
            let policies = opened.iter().flat_map(|opened| &opened.policies);
            compared.with_context(|| told(world, policies, uid))?;
        }
    }
    Ok(())
}

async fn write(
    engine: &Engine,
    path: &Path,
    world: &World,
    random: &mut Random,
    has_triggers: bool,
    stats: &mut Stats,
) -> Result<()> {
    let has_twin = !has_triggers && random.percent(50);
    let rules = Rules::random(engine, &world.schema, random, has_twin).await;
    let plain = Connection::open(path)?;
    for uid in CALLERS.iter().take(random.between(1, 3)) {
        let mut mirror = Mirror::new(&world.schema, &rules, uid)?;
        let twin = if has_twin { Some(twin(path, world, &rules, uid).await?) } else { None };
        let (caller, twin, schema) = (&caller(uid), twin.as_ref(), &world.schema);
        let trial = Trial { engine, plain: &plain, schema, rules: &rules, caller, has_triggers, twin };
        let ran = trial.run(random, &mut mirror, WRITTEN, stats).await;
        ran.with_context(|| told(world, rules.policies.iter(), uid))?;
    }
    Ok(())
}

/// What has happened in the other database, from its end to its beginning, leaves other rows to be hidden.
async fn twin(path: &Path, world: &World, rules: &Rules, uid: &str) -> Result<Twin> {
    let twin = Twin::new(home()?, path, uid)?;
    let events = world.events.iter().rev().cloned().collect();
    fill(&twin.engine, &World { events, ..world.clone() }).await?;
    for policy in &rules.policies {
        twin.engine.write_policy(PolicyWrite::Keep(policy.clone())).await?;
    }
    Ok(twin)
}

/// What somebody needs who looks into a failure.
fn told<'p>(world: &World, policies: impl Iterator<Item = &'p Policy>, uid: &str) -> String {
    let policies: Vec<String> = policies.map(|policy| serde_json::json!(policy).to_string()).collect();
    format!("{}\npolicies for {uid}:\n{}\n", world.schema.setup().join(";\n"), policies.join("\n"))
}

async fn fill(engine: &Engine, world: &World) -> Result<()> {
    for sql in &world.setup {
        engine.query(SqlRequest::query(sql, Params::None)).await.map_err(|error| anyhow!("{sql}: {error}"))?;
    }
    for event in &world.events {
        let requests = match event {
            Event::Request(request) => std::slice::from_ref(request),
            Event::Batch(requests) => requests,
            _ => continue,
        };
        for request in requests {
            let request = request.to_engine();
            let changes_rows = |sql: &str| {
                let first = sql.trim_start().get(..6).unwrap_or_default().to_ascii_uppercase();
                ["INSERT", "UPDATE", "DELETE", "REPLAC"].contains(&first.as_str())
            };
            if request.statements.iter().all(|statement| changes_rows(&statement.sql)) {
                let _ = engine.query(request).await;
            }
        }
    }
    Ok(())
}

/// A table with what lets rows of it be seen.
struct Opened<'w> {
    table: &'w Relation,
    make: &'w str,
    policies: Vec<Policy>,
}

async fn open_tables<'w>(engine: &Engine, world: &'w World, random: &mut Random) -> Vec<Opened<'w>> {
    let mut opened = Vec::new();
    for (number, table) in world.schema.tables.iter().enumerate() {
        if random.percent(15) {
            continue;
        }
        let mut policies = Vec::new();
        for alternative in 0..random.between(1, 2) {
            let policy = Policy {
                name: format!("{number} {alternative}"),
                table: unquoted(&table.name),
                action: if random.percent(80) { Action::Select } else { Action::All },
                role: random.percent(50).then_some(Role::User),
                using: Some(condition(random, &world.schema, table)),
                check: None,
                columns: None,
            };
            if engine.write_policy(PolicyWrite::Keep(policy.clone())).await.is_ok() {
                policies.push(policy);
            }
        }
        if !policies.is_empty() {
            opened.push(Opened { table, make: &world.schema.made[number].make, policies });
        }
    }
    opened
}

fn condition(random: &mut Random, schema: &Schema, table: &Relation) -> String {
    let column = random.pick(&table.columns).name.clone();
    let column = format!("{}.{column}", table.name);
    let other = random.pick(&schema.tables);
    let its = random.pick(&other.columns).name.clone();
    match random.below(12) {
        0 => "true".into(),
        1 => format!("{column} IS NOT NULL"),
        2 | 3 => format!("{column} = auth.uid()"),
        4 => format!("{column} > 2 OR {column} IS NULL"),
        5 => format!("typeof({column}) = 'integer'"),
        6 => format!("length({column}) % 2 = 0 -- even"),
        7 => format!("{column} IN (SELECT {its} FROM {})", other.name),
        8 => {
            format!("EXISTS (SELECT 1 FROM {} AS o WHERE o.{its} = {column} AND o.{its} IS NOT auth.uid())", other.name)
        }
        9 => format!("NOT ({column} = auth.uid())"),
        10 => format!("{column} LIKE '%a%' OR auth.role() <> 'user'"),
        _ => format!("(SELECT count(*) FROM {} AS o WHERE o.{its} IS {column}) < 2", other.name),
    }
}

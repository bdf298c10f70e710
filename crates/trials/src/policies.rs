//! Policies on trial: what a caller is answered must be what a database with the visible rows alone would answer.
//!
//! Each world has random tables, rows and policies. For a caller the rows that its policies show are copied into a new
//! database; then random SELECTs are run by the engine in the caller's name and by plain SQLite on the copy. Rows must be
//! the same, and so must be whether there was an error: among the statements are some that fail for one row or another.
//!
//! Left out is what SQL itself leaves open (which rows a LIMIT keeps, in which order floats are summed), for there the
//! plan decides.

use crate::fuzz::ram_disk;
use crate::live::cells::{push_json, push_value};
use crate::random::Random;
use crate::traps::{Trap, Traps};
use crate::world::query::Query;
use crate::world::schema::Relation;
use crate::world::{Event, World};
use crate::worlds::{Seen, Worlds};
use anyhow::{Context as _, Result, anyhow, bail};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ToSqlOutput;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::access::policy::PolicyWrite;
use tidebase_engine::access::{Action, Policy};
use tidebase_engine::sqlite::exclude::unquoted;
use tidebase_engine::{Caller, Engine, Format, Options, Params, Principal, Role, SqlRequest, Value};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Stop after this many statements [default: 100000, unless --seconds is given]
    #[arg(long)]
    statements: Option<u64>,
    #[command(flatten)]
    worlds: Worlds,
}

/// Writes that fill a world, and statements that are asked in it.
const WRITES: usize = 60;
const ASKED: usize = 150;
/// Callers are called like values that columns have.
const CALLERS: [&str; 4] = ["a", "B", "x,y", "5"];

/// What has been seen.
#[derive(Debug, Default)]
struct Stats {
    statements: u64,
    /// Of them, those that gave rows, that were refused or failed, and that fail on rows that are hidden.
    with_rows: u64,
    failed: u64,
    armed: u64,
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
        self.hidden_rows += other.hidden_rows;
    }

    fn tell(&self, took: Duration) -> String {
        format!(
            "{} statements compared in {:.0} s: {} gave rows, {} failed for both, {} were made to fail on some row; \
             {} rows were hidden",
            self.statements,
            took.as_secs_f64(),
            self.with_rows,
            self.failed,
            self.armed,
            self.hidden_rows
        )
    }
}

pub fn policies(arguments: &Arguments) -> ExitCode {
    arguments.worlds.run(arguments.statements, 100_000, run)
}

fn run(seed: u64, number: u64, stats: &mut Stats) -> Result<()> {
    let world = World::random(seed, number, WRITES);
    let mut random = Random::new(seed, number.wrapping_mul(2) + 1);
    let home = match ram_disk() {
        Some(disk) => tempfile::tempdir_in(disk)?,
        None => tempfile::tempdir()?,
    };
    let path = home.path().join("world.db");
    let engine = Engine::open(Options::new(&path))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ran = runtime.block_on(async {
        fill(&engine, &world).await?;
        let opened = open_tables(&engine, &world, &mut random).await;
        let plain = Connection::open(&path)?;
        for uid in CALLERS.iter().take(random.between(1, 3)) {
            let copy = copy(&plain, &opened, uid, stats)?;
            let caller = Principal::Caller(Arc::new(Caller::new(Role::User, Some((*uid).to_owned()))));
            for _ in 0..ASKED {
                let (sql, params) = statement(&mut random, &world, &opened, stats);
                compare(&engine, &caller, &copy, &sql, params, stats)
                    .await
                    .with_context(|| told(&world, &opened, uid))?;
            }
        }
        Ok(())
    });
    engine.close();
    ran
}

/// What somebody needs who looks into a failure.
fn told(world: &World, opened: &[Opened<'_>], uid: &str) -> String {
    let policies = opened.iter().flat_map(|opened| &opened.policies);
    let policies: Vec<String> = policies.map(|policy| format!("{}: {}", policy.table, policy.using_sql())).collect();
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
                using: Some(condition(random, world, table)),
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

fn condition(random: &mut Random, world: &World, table: &Relation) -> String {
    let column = random.pick(&table.columns).name.clone();
    let column = format!("{}.{column}", table.name);
    let other = random.pick(&world.schema.tables);
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

/// A database of the rows that are visible, and of nothing else.
fn copy(plain: &Connection, opened: &[Opened<'_>], uid: &str, stats: &mut Stats) -> Result<Connection> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    let copy = Connection::open_in_memory()?;
    for connection in [plain, &copy] {
        let uid = uid.to_owned();
        connection.create_scalar_function("auth_uid", 0, flags, move |_| Ok(uid.clone()))?;
        connection.create_scalar_function("auth_role", 0, flags, |_| Ok("user"))?;
    }
    copy.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;")?;
    for Opened { table, make, policies } in opened {
        copy.execute_batch(make)?;
        let columns = table.columns.iter().filter(|column| !column.is_generated).map(|column| column.name.clone());
        let mut names: Vec<String> = columns.collect();
        if table.has_rowid && !table.is_integer_key {
            names.push("rowid".into());
        }
        let list = names.join(", ");
        let seen: Vec<String> = policies.iter().map(Policy::using_sql).collect();
        let seen = seen.join(" OR ");
        let places = vec!["?"; names.len()].join(", ");
        let mut insert = copy.prepare(&format!("INSERT INTO {} ({list}) VALUES ({places})", table.name))?;
        let mut select = plain.prepare(&format!("SELECT {list} FROM main.{} WHERE {seen}", table.name))?;
        let mut rows = select.query([])?;
        let mut copied = 0;
        while let Some(row) = rows.next()? {
            // As bytes: there are texts that are not UTF-8.
            let values: Vec<Value> =
                (0..names.len()).map(|index| Ok(row.get_ref(index)?.into())).collect::<Result<_>>()?;
            let bound = values.iter().map(|value| ToSqlOutput::Borrowed(value.as_ref()));
            insert.execute(rusqlite::params_from_iter(bound))?;
            copied += 1;
        }
        let all: u64 = plain.query_row(&format!("SELECT count(*) FROM main.{}", table.name), [], |row| {
            row.get::<_, i64>(0).map(i64::unsigned_abs)
        })?;
        stats.hidden_rows += all - copied;
    }
    Ok(copy)
}

/// What the plan may decide.
const LEFT_OPEN: [Trap; 9] = [
    Trap::LimitUnordered,
    Trap::LimitOrdered,
    Trap::Offset,
    Trap::FloatSum,
    Trap::UnorderedConcat,
    Trap::BareColumn,
    Trap::Window,
    Trap::FullText,
    Trap::Recursion,
];

fn is_left_open(traps: Traps) -> bool {
    let picks_one_of_equals = (traps.has(Trap::Grouping) || traps.has(Trap::Compound))
        && (traps.has(Trap::Collation) || traps.has(Trap::MixedTypes));
    picks_one_of_equals || LEFT_OPEN.into_iter().any(|trap| traps.has(trap))
}

/// Has it a sub-query for one value, of which several rows may be the first?
fn picks_a_row(sql: &str) -> bool {
    sql.match_indices("(SELECT ").any(|(at, open)| {
        let before = sql[..at].trim_end();
        let is_list = ["IN", "EXISTS", "FROM", "JOIN", "AS", ","].iter().any(|word| before.ends_with(word));
        let inside = &sql[at + open.len()..];
        !is_list && !["count(", "min(", "max("].iter().any(|call| inside.starts_with(call))
    })
}

fn statement(random: &mut Random, world: &World, opened: &[Opened<'_>], stats: &mut Stats) -> (String, Params) {
    if random.percent(30)
        && let Some(opened) = (!opened.is_empty()).then(|| random.pick(opened))
    {
        stats.armed += 1;
        return (armed(random, opened.table), Params::None);
    }
    loop {
        let query = Query::random(random, &world.schema);
        // One that may fail by itself may do so for one order of its conditions and not for another.
        if query.limit.is_none() && !query.may_fail && !is_left_open(query.traps) && !picks_a_row(&query.core) {
            return (query.sql(), query.params());
        }
    }
}

/// Fails if a row is tried that fulfils a condition.
fn armed(random: &mut Random, table: &Relation) -> String {
    let column = &random.pick(&table.columns).name;
    let is_hit = match random.below(5) {
        0 => format!("{column} IS NULL"),
        1 => format!("{column} = 'a'"),
        2 => format!("{column} > 3"),
        3 => format!("typeof({column}) = 'text'"),
        _ => format!("length({column}) = 1"),
    };
    let fails = match random.below(7) {
        0 => format!("abs(CASE WHEN {is_hit} THEN -9223372036854775808 ELSE 1 END) > 0"),
        1 => format!("json(CASE WHEN {is_hit} THEN '{{' ELSE '1' END) IS NOT NULL"),
        2 => format!("(CASE WHEN {is_hit} THEN '{{' ELSE '{{}}' END) ->> '$.a' IS NULL"),
        3 => format!("'x' LIKE 'x' ESCAPE (CASE WHEN {is_hit} THEN 'ab' ELSE '!' END)"),
        4 => format!("json_type(CASE WHEN {is_hit} THEN 'x' ELSE '1' END) IS NOT NULL"),
        5 => format!("(SELECT sum(9223372036854775807) FROM (SELECT 1 UNION ALL SELECT 2) WHERE {is_hit}) IS NULL"),
        _ => format!("json_extract(CASE WHEN {is_hit} THEN '[' ELSE '[]' END, '$') IS NOT NULL"),
    };
    let name = &table.name;
    match random.below(4) {
        0 => format!("SELECT count(*) FROM {name} WHERE {fails}"),
        1 => format!("SELECT {column} FROM {name} AS x WHERE {fails}"),
        2 => format!("SELECT 1 WHERE EXISTS (SELECT 1 FROM {name} WHERE NOT ({fails}))"),
        _ => format!("WITH c AS (SELECT * FROM {name}) SELECT count(*) FROM c WHERE {fails}"),
    }
}

async fn compare(
    engine: &Engine,
    caller: &Principal,
    copy: &Connection,
    sql: &str,
    params: Params,
    stats: &mut Stats,
) -> Result<()> {
    stats.statements += 1;
    let expected = run_plain(copy, sql, &params);
    let request =
        SqlRequest { principal: caller.clone(), format: Format::Raw, ..SqlRequest::query(sql, params.clone()) };
    let got = match engine.query(request).await {
        Ok(answer) => Ok(read(&answer.body)?),
        Err(error) => Err(error),
    };
    match (expected, got) {
        (Ok(expected), Ok(got)) if expected == got => stats.with_rows += u64::from(!got.is_empty()),
        (Ok(expected), Ok(got)) => {
            bail!("{sql} {params:?}\nexpected:\n{}\ngot:\n{}", expected.join("\n"), got.join("\n"))
        }
        (Err(_), Err(_)) => stats.failed += 1,
        (Err(error), Ok(got)) => bail!("{sql} {params:?}\nexpected the error {error}, got\n{}", got.join("\n")),
        (Ok(expected), Err(error)) => {
            bail!("{sql} {params:?}\ngot the error {error}, expected\n{}", expected.join("\n"));
        }
    }
    Ok(())
}

fn run_plain(copy: &Connection, sql: &str, params: &Params) -> rusqlite::Result<Vec<String>> {
    let mut statement = copy.prepare(sql)?;
    match params {
        Params::None => {}
        Params::Positional(values) => {
            for (index, value) in (1..).zip(values) {
                statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(value.as_ref()))?;
            }
        }
        Params::Named(values) => {
            for (name, value) in values {
                if let Some(index) = statement.parameter_index(&format!(":{name}"))? {
                    statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(value.as_ref()))?;
                }
            }
        }
    }
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut line = String::new();
        for column in 0..columns {
            push_value(&mut line, row.get_ref(column)?);
            line.push('|');
        }
        found.push(line);
    }
    found.sort();
    Ok(found)
}

fn read(body: &[u8]) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        rows: Vec<Vec<&'a RawValue>>,
        #[serde(rename = "columns")]
        _columns: Json,
    }
    let raw: Raw<'_> = serde_json::from_slice(body)?;
    let mut found = Vec::new();
    for row in raw.rows {
        let mut line = String::new();
        for value in row {
            push_json(&mut line, value.get()).map_err(|error| anyhow!(error))?;
            line.push('|');
        }
        found.push(line);
    }
    found.sort();
    Ok(found)
}

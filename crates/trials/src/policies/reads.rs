//! What a caller is answered when it reads: what plain SQLite answers on a copy of the rows that it may see.

use super::answers::{read, run_plain};
use super::armed::failing;
use super::{Opened, Stats};
use crate::random::Random;
use crate::traps::{Trap, Traps};
use crate::world::World;
use crate::world::query::Query;
use crate::world::schema::Relation;
use anyhow::{Result, bail};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ToSqlOutput;
use tidebase_engine::access::Policy;
use tidebase_engine::{Engine, Format, Params, Principal, SqlRequest, Value};

/// A database of the rows that are visible, and of nothing else.
pub fn copy(plain: &Connection, opened: &[Opened<'_>], uid: &str, stats: &mut Stats) -> Result<Connection> {
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
    let picks_one_of_equals = [Trap::Grouping, Trap::Compound, Trap::Picking].into_iter().any(|trap| traps.has(trap))
        && (traps.has(Trap::Collation) || traps.has(Trap::MixedTypes));
    picks_one_of_equals || LEFT_OPEN.into_iter().any(|trap| traps.has(trap))
}

/// May it have a sub-query for one value, of which several rows may be the first? One in a list of FROM counts as such.
pub fn picks_a_row(sql: &str) -> bool {
    sql.match_indices("(SELECT ").any(|(at, open)| {
        let before = sql[..at].trim_end();
        let is_list = ["IN", "EXISTS", "FROM", "JOIN", "AS"].iter().any(|word| before.ends_with(word));
        let inside = &sql[at + open.len()..];
        !is_list && !["count(", "min(", "max("].iter().any(|call| inside.starts_with(call))
    })
}

pub fn statement(random: &mut Random, world: &World, opened: &[Opened<'_>], stats: &mut Stats) -> (String, Params) {
    if random.percent(30)
        && let Some(opened) = (!opened.is_empty()).then(|| random.pick(opened))
    {
        stats.armed += 1;
        return (armed(random, opened.table), Params::None);
    }
    loop {
        let query = Query::random(random, &world.schema);
        if joins(&query) && opened.iter().any(|opened| loses_rows(opened.make)) {
            continue;
        }
        // One that may fail by itself may do so for one order of its conditions and not for another.
        if query.limit.is_none() && !query.may_fail && !is_left_open(query.traps) && !picks_a_row(&query.core) {
            return (query.sql(), query.params());
        }
    }
}

fn joins(query: &Query) -> bool {
    let joining = [Trap::Joins, Trap::OuterJoins, Trap::SelfJoin, Trap::SubQuery];
    query.core.contains("JOIN") || joining.into_iter().any(|trap| query.traps.has(trap))
}

/// Does the key of a WITHOUT ROWID table compare otherwise than its column? An index that SQLite makes for one join then takes rows
/// for the same that are not, and loses some.
fn loses_rows(make: &str) -> bool {
    let key = make.split("PRIMARY KEY (").nth(1).unwrap_or_default();
    make.contains("WITHOUT ROWID") && key.contains("COLLATE")
}

/// A query that fails if it is tried on some row.
fn armed(random: &mut Random, table: &Relation) -> String {
    let column = &random.pick(&table.columns).name;
    let fails = failing(random, column);
    let name = &table.name;
    match random.below(4) {
        0 => format!("SELECT count(*) FROM {name} WHERE {fails}"),
        1 => format!("SELECT {column} FROM {name} AS x WHERE {fails}"),
        2 => format!("SELECT 1 WHERE EXISTS (SELECT 1 FROM {name} WHERE NOT ({fails}))"),
        _ => format!("WITH c AS (SELECT * FROM {name}) SELECT count(*) FROM c WHERE {fails}"),
    }
}

pub async fn compare(
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
        (Ok(expected), Ok(got)) if is_same(sql, &expected, &got) => stats.with_rows += u64::from(!got.is_empty()),
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

/// Where several values are one to SQL, 3 and 3.0, the plan decides which of them is shown.
fn is_same(sql: &str, expected: &[String], got: &[String]) -> bool {
    const PICKING: [&str; 10] =
        ["GROUP BY", "DISTINCT", "UNION", "INTERSECT", "EXCEPT", "min(", "max(", "v0", "v1", "v2"];
    let is_whole = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let whole = |cell: &str| match cell.strip_suffix(".0") {
        Some(digits) if is_whole(digits.trim_start_matches('-')) => digits.to_owned(),
        _ => cell.to_owned(),
    };
    let plainly = |lines: &[String]| {
        let mut lines: Vec<Vec<String>> = lines.iter().map(|line| line.split('|').map(whole).collect()).collect();
        lines.sort();
        lines
    };
    expected == got || PICKING.iter().any(|word| sql.contains(word)) && plainly(expected) == plainly(got)
}

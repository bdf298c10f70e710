//! Random writes: every statement that changes rows, alone and in company, with all the ways to fail.

use super::expression::{Build, Source};
use super::request::{Deed, Form, Request, Statement};
use super::schema::{Column, Relation, Schema};
use super::values::{self, Kind};
use crate::random::Random;
use crate::traps::{Trap, Traps};
use tidebase_engine::Value;

/// A request that writes rows.
pub fn random(random: &mut Random, schema: &Schema) -> Request {
    match random.weighted(&[50, 26, 8, 4, 3, 4]) {
        0 => {
            let (table, statement) = statement(random, schema, true);
            Request { table: Some(table), ..Request::single(statement) }
        }
        1 => several(random, schema, Form::Transaction),
        2 => {
            let form = *random.pick(&[Form::Script, Form::Wrapped]);
            several(random, schema, form)
        }
        3 => deferred(random, schema),
        4 => failing(random, schema),
        _ => full_text(random, schema),
    }
}

fn several(random: &mut Random, schema: &Schema, form: Form) -> Request {
    let may_bind = form == Form::Transaction;
    let statements = (0..random.between(2, 5)).map(|_| statement(random, schema, may_bind).1).collect();
    Request { statements, form, traps: Traps::default(), table: None, is_forbidden: false }
}

/// One statement and the table it writes.
fn statement(random: &mut Random, schema: &Schema, may_bind: bool) -> (usize, Statement) {
    let table = random.below(schema.tables.len());
    let mut build = Build::new(random, schema);
    build.may_bind &= may_bind;
    let relation = &schema.tables[table];
    // Nothing but its size limits a table without a key.
    let grows = relation.key.is_empty();
    let weights = if grows { [26, 0, 0, 16, 0, 40, 6, 6] } else { [28, 14, 8, 24, 6, 16, 4, 6] };
    let mut statement = match build.random.weighted(&weights) {
        0 => insert(&mut build, relation, ""),
        1 => replace(&mut build, relation),
        2 => upsert(&mut build, relation),
        3 => update(&mut build, relation),
        4 => key_update(&mut build, relation),
        5 => delete(&mut build, relation),
        6 => insert_from(&mut build, relation),
        _ => update_from(&mut build, relation),
    };
    let Statement { head, rows, tail, .. } = &mut statement;
    let mut texts: Vec<&mut String> = [head, tail].into_iter().chain(rows).collect();
    build.settle_params(&mut texts);
    statement.params = build.params;
    (table, statement)
}

pub fn writable(relation: &Relation) -> Vec<&Column> {
    relation.columns.iter().filter(|column| !column.is_generated).collect()
}

/// A value for a column: keys from a small range, references mostly to what may be there.
pub fn value_for(build: &mut Build<'_>, relation: &Relation, column: &Column) -> Value {
    let is_key = relation.key.iter().any(|&key| relation.columns[key].name == column.name);
    let refers = column.parent.is_some();
    match column.kind {
        Kind::Integer if refers && build.random.percent(35) => Value::Null,
        Kind::Integer if is_key || refers => Value::Integer(build.random.below(12) as i64),
        kind if is_key => values::present(build.random, kind),
        kind => values::value_or_stray(build.random, kind),
    }
}

fn insert(build: &mut Build<'_>, relation: &Relation, verb: &str) -> Statement {
    let mut columns = writable(relation);
    if build.random.percent(20) {
        // The first may be the key: then SQLite chooses it, or it is NULL.
        let left_out = build.random.below(columns.len());
        if columns.len() > 1 {
            columns.remove(left_out);
        }
    }
    let verb = match verb {
        "" => *build.random.pick(&[
            "INSERT",
            "INSERT",
            "INSERT OR IGNORE",
            "INSERT OR FAIL",
            "INSERT OR ROLLBACK",
            "INSERT OR REPLACE",
        ]),
        verb => verb,
    };
    let count = build.random.weighted(&[60, 20, 20]) + 1;
    let binds = count == 1 && build.may_bind;
    let rows = (0..count).map(|_| row(build, relation, &columns, binds)).collect();
    let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
    let head = format!("{verb} INTO {} ({}) VALUES ", relation.name, names.join(", "));
    let tail = if build.random.percent(10) { " RETURNING *".into() } else { String::new() };
    let deed = if verb.contains("REPLACE") { Deed::Replace } else { Deed::Insert };
    Statement { head, rows, tail, params: vec![], deed }
}

fn row(build: &mut Build<'_>, relation: &Relation, columns: &[&Column], binds: bool) -> String {
    let mut row: Vec<String> = Vec::new();
    for column in columns {
        let value = value_for(build, relation, column);
        row.push(if binds { build.say(value) } else { values::literal(&value) });
    }
    format!("({})", row.join(", "))
}

fn replace(build: &mut Build<'_>, relation: &Relation) -> Statement {
    insert(build, relation, "REPLACE")
}

fn upsert(build: &mut Build<'_>, relation: &Relation) -> Statement {
    let mut statement = insert(build, relation, "INSERT");
    let target = match (&relation.unique[..], build.random.percent(30)) {
        ([unique, ..], true) => format!("({})", relation.columns[*unique].name),
        _ if build.random.percent(30) => String::new(),
        _ => {
            let key: Vec<&str> = relation.key.iter().map(|&key| &*relation.columns[key].name).collect();
            format!("({})", key.join(", "))
        }
    };
    let column = build.random.pick(&writable(relation)).name.clone();
    statement.tail = match build.random.below(4) {
        0 => format!(" ON CONFLICT {target} DO NOTHING"),
        1 => {
            let value = build.constant(Kind::Any);
            format!(" ON CONFLICT {target} DO UPDATE SET {column} = {value}")
        }
        _ => format!(" ON CONFLICT {target} DO UPDATE SET {column} = excluded.{column}"),
    };
    statement.deed = Deed::Upsert;
    statement
}

/// Which rows: by key, by anything, now and then all.
fn which(build: &mut Build<'_>, relation: &Relation, source: &Source) -> String {
    let scope = std::slice::from_ref(source);
    match build.random.below(20) {
        0 => String::new(),
        1..=8 if !source.key.is_empty() => {
            let key = build.random.pick(&source.key).clone();
            let value =
                if key.kind == Kind::Integer { build.random.below(12).to_string() } else { build.present(key.kind) };
            format!(" WHERE {} = {value}", key.sql)
        }
        1..=8 if relation.has_rowid => format!(" WHERE _rowid_ % {} = 0", build.random.between(2, 4)),
        _ => format!(" WHERE {}", build.predicate(scope, 1)),
    }
}

fn update(build: &mut Build<'_>, relation: &Relation) -> Statement {
    let source = build.source_of(relation);
    let mut sets = Vec::new();
    for column in build.random.some_of(&writable(relation)).into_iter().take(2) {
        let value = if build.random.percent(70) {
            let value = value_for(build, relation, column);
            values::literal(&value)
        } else {
            build.scalar(std::slice::from_ref(&source), 1)
        };
        sets.push(format!("{} = {value}", column.name));
    }
    let or = *build.random.pick(&["", "", "", " OR REPLACE", " OR IGNORE", " OR FAIL"]);
    let which = which(build, relation, &source);
    Statement {
        head: format!("UPDATE{or} {} SET {}{which}", source.from, sets.join(", ")),
        deed: Deed::Update,
        ..Statement::default()
    }
}

fn key_update(build: &mut Build<'_>, relation: &Relation) -> Statement {
    let source = build.source_of(relation);
    let key = relation.columns[*build.random.pick(&relation.key)].clone();
    let value = match (key.kind, build.random.below(3)) {
        (Kind::Integer | Kind::Real, 0 | 1) => format!("{} + {}", key.name, build.random.between(1, 3)),
        (Kind::Text, 0) => format!("upper({})", key.name),
        _ => build.present(key.kind),
    };
    let or = *build.random.pick(&["", "", " OR REPLACE", " OR IGNORE"]);
    let which = which(build, relation, &source);
    Statement {
        head: format!("UPDATE{or} {} SET {} = {value}{which}", source.from, key.name),
        deed: Deed::KeyUpdate,
        ..Statement::default()
    }
}

fn delete(build: &mut Build<'_>, relation: &Relation) -> Statement {
    let source = build.source_of(relation);
    let which = which(build, relation, &source);
    Statement { head: format!("DELETE FROM {}{which}", source.from), deed: Deed::Delete, ..Statement::default() }
}

fn insert_from(build: &mut Build<'_>, relation: &Relation) -> Statement {
    let source = build.source();
    let columns = writable(relation);
    let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
    let shown: Vec<String> = columns.iter().map(|_| build.scalar(std::slice::from_ref(&source), 1)).collect();
    let verb = *build.random.pick(&["INSERT OR IGNORE", "INSERT", "REPLACE"]);
    let head = format!(
        "{verb} INTO {} ({}) SELECT {} FROM {} WHERE true LIMIT 3",
        relation.name,
        names.join(", "),
        shown.join(", "),
        source.from
    );
    Statement { head, deed: Deed::Insert, ..Statement::default() }
}

fn update_from(build: &mut Build<'_>, relation: &Relation) -> Statement {
    let (source, other) = (build.source_of(relation), build.source());
    let column = build.random.pick(&writable(relation)).name.clone();
    let (shown, match_on) =
        (build.random.pick(&other.columns).sql.clone(), build.random.pick(&other.columns).sql.clone());
    let on = build.random.pick(&source.columns).sql.clone();
    let head =
        format!("UPDATE OR IGNORE {} SET {column} = {shown} FROM {} WHERE {on} = {match_on}", source.from, other.from);
    Statement { head, deed: Deed::Update, ..Statement::default() }
}

/// A child before its parent: right at the end, wrong in between; or wrong to the end.
fn deferred(random: &mut Random, schema: &Schema) -> Request {
    let mut statements = vec![Statement::plain("PRAGMA defer_foreign_keys = ON")];
    let mut build = Build::new(random, schema);
    build.may_bind = false;
    for relation in schema.tables.iter().rev() {
        let verb = *build.random.pick(&["INSERT OR REPLACE", "DELETE", "INSERT OR REPLACE"]);
        statements.push(if verb == "DELETE" {
            delete(&mut build, relation)
        } else {
            insert(&mut build, relation, verb)
        });
    }
    let traps = Traps::default().and(Trap::Deferred);
    Request { statements, form: Form::Transaction, traps, table: None, is_forbidden: false }
}

/// Good statements with a bad end: nothing of it may stay.
fn failing(random: &mut Random, schema: &Schema) -> Request {
    let mut request = several(random, schema, Form::Transaction);
    let table = &random.pick(&schema.tables).name;
    let bad = match random.below(4) {
        0 => "SELECT nothing FROM nowhere".to_owned(),
        1 => format!("INSERT INTO {table} SELECT * FROM {table} WHERE json('{{') IS NULL"),
        2 => format!("INSERT INTO {table} (nothing) VALUES (1)"),
        _ => "SELECT abs(-9223372036854775808)".to_owned(),
    };
    request.statements.push(Statement::plain(bad));
    request
}

const WORDS: [&str; 6] = ["'tide'", "'wave sea'", "'tide wave'", "'time'", "NULL", "'a sea of tides'"];

fn full_text(random: &mut Random, schema: &Schema) -> Request {
    let Some(index) = schema.full_text.as_ref().filter(|index| !index.is_external) else {
        return large(random, schema);
    };
    let (name, row) = (index.name.as_str(), random.below(12));
    let (title, body) = (*random.pick(&WORDS), *random.pick(&WORDS));
    let sql = match random.below(10) {
        0 => format!("DELETE FROM {name} WHERE rowid % 3 = {}", row % 3),
        1 => format!("UPDATE {name} SET body = {body} WHERE rowid = {row}"),
        2 => format!(
            "INSERT INTO {name} ({name}) VALUES ('{}')",
            *random.pick(&["optimize", "rebuild", "integrity-check"])
        ),
        3 => format!("DELETE FROM {name} WHERE {name} MATCH 'tide'"),
        _ => format!("REPLACE INTO {name} (rowid, title, body) VALUES ({row}, {title}, {body})"),
    };
    Request::single(Statement::plain(sql))
}

/// More rows than a change set may keep in some worlds, gone again at the end.
pub fn large(random: &mut Random, schema: &Schema) -> Request {
    let Some(relation) = schema.tables.iter().find(|table| table.is_integer_key) else {
        return several(random, schema, Form::Transaction);
    };
    let key = &relation.columns[relation.key[0]].name;
    let name = &relation.name;
    let fill = format!(
        "INSERT OR IGNORE INTO {name} ({key}) WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 160) \
         SELECT i FROM n"
    );
    let statements = [
        fill,
        format!("UPDATE {name} SET {key} = {key} WHERE {key} < 3"),
        format!("DELETE FROM {name} WHERE {key} >= {}", random.between(98, 103)),
    ];
    Request {
        statements: statements.into_iter().map(Statement::plain).collect(),
        form: Form::Transaction,
        traps: Traps::default().and(Trap::LargeTransaction),
        table: None,
        is_forbidden: false,
    }
}

/// What no request may do.
pub fn forbidden(random: &mut Random) -> Request {
    const SQL: [&str; 10] = [
        "ATTACH ':memory:' AS other",
        "CREATE TEMP TABLE other (a)",
        "CREATE TABLE temp.other (a)",
        "SAVEPOINT mine",
        "COMMIT",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA foreign_keys = OFF",
        "DELETE FROM _tide_log",
        "DROP TABLE _tide_log",
        "VACUUM INTO 'elsewhere.db'",
    ];
    let traps = Traps::default().and(Trap::Refused);
    Request { traps, is_forbidden: true, ..Request::single(Statement::plain(*random.pick(&SQL))) }
}

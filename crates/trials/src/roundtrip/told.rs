//! What the stock `sqlite3` tells of a database: `.dump`, line by line, and what virtual tables show and find.
//!
//! Rows are compared in their order, table by table; CREATE statements as a set, for an export writes virtual tables behind the others.
//! Left out are the rows of the tables that virtual tables keep for themselves: the same words are kept there in more ways than one.

use super::ways::answered;
use anyhow::{Context as _, Result, bail, ensure};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Of all that is no row.
const SCHEMA: &str = "";

#[derive(Debug, Default, PartialEq)]
pub struct Told {
    /// For each table how many rows, and what they come to in their order.
    rows: BTreeMap<String, (u64, u64)>,
    schema: BTreeSet<String>,
    /// What else it can be asked.
    answers: String,
    /// Do indexes agree with their tables? Asked of the SQLite within, for an old one works some expressions out in another way; and a random
    /// database may be one of those in which SQLite itself has left an index behind.
    pub is_sound: bool,
}

impl Told {
    pub fn of(path: &Path) -> Result<Self> {
        let mut told = Self { answers: answers(path)?, is_sound: is_sound(path)?, ..Self::default() };
        dumped(path, |table, line| {
            if table == SCHEMA {
                told.schema.insert(line.to_owned());
                return;
            }
            let (count, hash) = told.rows.entry(table.to_owned()).or_default();
            let mut hasher = DefaultHasher::new();
            (*hash, line).hash(&mut hasher);
            (*count, *hash) = (*count + 1, hasher.finish());
        })?;
        Ok(told)
    }

    pub fn rows(&self) -> u64 {
        self.rows.values().map(|(count, _)| count).sum()
    }

    /// An error with the first difference.
    pub fn compare(&self, first: &Path, back: &Self, last: &Path) -> Result<()> {
        let schema: Vec<&String> = self.schema.symmetric_difference(&back.schema).take(5).collect();
        ensure!(schema.is_empty(), "the schema is another one: {schema:#?}");
        let mut answers = self.answers.lines().zip(back.answers.lines());
        let other = answers.find(|(before, after)| before != after);
        ensure!(self.answers == back.answers, "what was answered is not: {other:?}");
        let tables: BTreeSet<&String> = self.rows.keys().chain(back.rows.keys()).collect();
        let other = tables.into_iter().find(|table| self.rows.get(*table) != back.rows.get(*table));
        if let Some(table) = other {
            let [before, after] = [first, last].map(|path| -> Result<Vec<String>> {
                let mut lines = Vec::new();
                dumped(path, |name, line| {
                    if name == table {
                        lines.push(line.to_owned());
                    }
                })?;
                Ok(lines)
            });
            let (before, after) = (before?, after?);
            let at = before.iter().zip(&after).position(|(before, after)| before != after);
            let at = at.unwrap_or(before.len().min(after.len()));
            bail!(
                "{table}: {} rows became {}; at row {at} {:?} became {:?}",
                before.len(),
                after.len(),
                before.get(at),
                after.get(at)
            );
        }
        Ok(())
    }
}

fn shell(path: &Path, command: &str) -> Command {
    let mut shell = Command::new("sqlite3");
    shell.args(["-batch", "-bail", "-init", "/dev/null"]).arg(path).arg(command);
    shell
}

/// Each line of `.dump`, with the table that it is a row of.
fn dumped(path: &Path, mut each: impl FnMut(&str, &str)) -> Result<()> {
    let shadows = answered(&mut shell(path, "SELECT name FROM pragma_table_list WHERE type = 'shadow'"))?;
    let shadows: BTreeSet<&str> = shadows.lines().collect();
    let mut child = shell(path, ".dump --preserve-rowids").stdout(Stdio::piped()).spawn().context("sqlite3")?;
    let mut lines = BufReader::with_capacity(1 << 20, child.stdout.take().context("sqlite3 has no output")?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        let table = text.strip_prefix("INSERT INTO ").map_or(SCHEMA, name);
        let is_left_out = shadows.contains(table.trim_matches(['"', '\'']))
            // ANALYZE's samples, which many SQLites have no table for.
            || table == "sqlite_stat4"
            // Stands there for an empty table, too.
            || text.starts_with("DELETE FROM sqlite_sequence;");
        // SQLite's own tables have rowids that mean nothing.
        let shown = if table.starts_with("sqlite_") {
            text.split_once("VALUES(").and_then(|(_, row)| row.split_once(','))
        } else {
            None
        };
        if !is_left_out {
            each(table, shown.map_or(&*text, |(_, row)| row));
        }
        line.clear();
    }
    ensure!(child.wait()?.success(), "sqlite3 could not dump {}", path.display());
    Ok(())
}

/// The name that an INSERT goes on with, as it stands there.
fn name(rest: &str) -> &str {
    let end = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let mut inner = rest.char_indices().skip(1).peekable();
            loop {
                match inner.next() {
                    Some((_, char)) if char == quote && inner.peek().is_some_and(|(_, next)| *next == quote) => {
                        inner.next();
                    }
                    Some((at, char)) if char == quote => break at + 1,
                    Some(_) => {}
                    None => break rest.len(),
                }
            }
        }
        _ => rest.find([' ', '(']).unwrap_or(rest.len()),
    };
    &rest[..end]
}

fn is_sound(path: &Path) -> Result<bool> {
    let verdict: String = Connection::open(path)?.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    Ok(verdict == "ok")
}

/// Settings of the file, and what virtual tables show: not that of an FTS table without content, which cannot come back.
fn answers(path: &Path) -> Result<String> {
    let virtuals = "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%' AND sql NOT LIKE '%content = ''''%' ORDER BY 1";
    let mut asked = "PRAGMA user_version; PRAGMA application_id; PRAGMA foreign_key_check;".to_owned();
    for name in answered(&mut shell(path, virtuals))?.lines() {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        asked += &format!("SELECT '{}', rowid, * FROM {quoted} ORDER BY rowid LIMIT 10000;", name.replace('\'', "''"));
        asked += &format!("SELECT count(*) FROM {quoted};");
        let is_search =
            format!("SELECT count(*) FROM sqlite_schema WHERE name = '{}_docsize'", name.replace('\'', "''"));
        if answered(&mut shell(path, &is_search))?.trim() == "1" {
            asked += &format!("SELECT rowid FROM {quoted} WHERE {quoted} MATCH 'rope OR kept OR once' ORDER BY rowid;");
        }
    }
    answered(&mut shell(path, &asked))
}

//! What the stock `sqlite3` tells of a database: `.dump`, line by line, and what virtual tables show and find.
//!
//! Rows are compared in their order, table by table; CREATE statements as a set, for an export writes virtual tables behind the others.
//! Left out are the rows of the tables that virtual tables keep for themselves: the same words are kept there in more ways than one.
//! All of `.dump` is held against the other in bytes, for a text need not be UTF-8. It ends a text at a NUL; such rows are read again.

use super::ways::answered;
use anyhow::{Context as _, Result, bail, ensure};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Of all that is no row.
const SCHEMA: &[u8] = b"";
/// For each table the statement that gives its rows with a NUL in a text. What is worked out from other columns is left to them.
const CUT: &str = r#"
    SELECT l.name, format(
        'SELECT %s FROM "%w" WHERE %s',
        group_concat(format('"%w"', c.name), ', ' ORDER BY c.cid),
        l.name,
        group_concat(format('typeof("%w") = ''text'' AND instr("%w", char(0))', c.name, c.name), ' OR ' ORDER BY c.cid)
    )
    FROM pragma_table_list AS l, pragma_table_info(l.name) AS c
    WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE 'sqlite\_%' ESCAPE '\'
    GROUP BY l.name ORDER BY l.name
"#;

#[derive(Debug, Default, PartialEq)]
pub struct Told {
    /// For each table how many rows, and what they come to in their order.
    rows: BTreeMap<Vec<u8>, (u64, u64)>,
    schema: BTreeSet<Vec<u8>>,
    /// What else it can be asked, and the rows that `.dump` does not tell in full.
    answers: String,
    /// Do indexes agree with their tables? Asked of the SQLite within, for an old one works some expressions out in another way; and a random
    /// database may be one of those in which SQLite itself has left an index behind.
    pub is_sound: bool,
}

impl Told {
    pub fn of(path: &Path) -> Result<Self> {
        let answers = answers(path)? + &cut(path)?;
        let mut told = Self { answers, is_sound: is_sound(path)?, ..Self::default() };
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
        let schema = self.schema.symmetric_difference(&back.schema).take(5);
        let schema: Vec<String> = schema.map(|line| shown(line)).collect();
        ensure!(schema.is_empty(), "the schema is another one: {schema:#?}");
        let mut answers = self.answers.lines().zip(back.answers.lines());
        let other = answers.find(|(before, after)| before != after);
        ensure!(self.answers == back.answers, "what was answered is not: {other:?}");
        let tables: BTreeSet<&Vec<u8>> = self.rows.keys().chain(back.rows.keys()).collect();
        let other = tables.into_iter().find(|table| self.rows.get(*table) != back.rows.get(*table));
        if let Some(table) = other {
            let [before, after] = [first, last].map(|path| -> Result<Vec<Vec<u8>>> {
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
                "{}: {} rows became {}; at row {at} {:?} became {:?}",
                shown(table),
                before.len(),
                after.len(),
                before.get(at).map(|line| shown(line)),
                after.get(at).map(|line| shown(line))
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

/// As it can be read, and two that differ do so here too.
fn shown(line: &[u8]) -> String {
    line.escape_ascii().to_string()
}

/// Each line of `.dump`, with the table that it is a row of.
fn dumped(path: &Path, mut each: impl FnMut(&[u8], &[u8])) -> Result<()> {
    let shadows = answered(&mut shell(path, "SELECT name FROM pragma_table_list WHERE type = 'shadow'"))?;
    let shadows: BTreeSet<&[u8]> = shadows.lines().map(str::as_bytes).collect();
    let mut child = shell(path, ".dump --preserve-rowids").stdout(Stdio::piped()).spawn().context("sqlite3")?;
    let mut lines = BufReader::with_capacity(1 << 20, child.stdout.take().context("sqlite3 has no output")?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let table = line.strip_prefix(b"INSERT INTO ").map_or(SCHEMA, name);
        let is_left_out = shadows.contains(unquoted(table))
            // ANALYZE's samples, which many SQLites have no table for.
            || table == b"sqlite_stat4"
            // Stands there for an empty table, too.
            || line.starts_with(b"DELETE FROM sqlite_sequence;");
        // SQLite's own tables have rowids that mean nothing.
        let row = if table.starts_with(b"sqlite_") {
            after(&line, b"VALUES(").and_then(|row| after(row, b","))
        } else {
            None
        };
        if !is_left_out {
            each(table, row.unwrap_or(&line));
        }
        line.clear();
    }
    ensure!(child.wait()?.success(), "sqlite3 could not dump {}", path.display());
    Ok(())
}

/// The name that an INSERT goes on with, as it stands there.
fn name(rest: &[u8]) -> &[u8] {
    let end = match rest.first().copied() {
        Some(quote @ (b'"' | b'\'')) => {
            let mut inner = rest.iter().copied().enumerate().skip(1).peekable();
            loop {
                match inner.next() {
                    Some((_, byte)) if byte == quote && inner.peek().is_some_and(|(_, next)| *next == quote) => {
                        inner.next();
                    }
                    Some((at, byte)) if byte == quote => break at + 1,
                    Some(_) => {}
                    None => break rest.len(),
                }
            }
        }
        _ => rest.iter().position(|byte| matches!(byte, b' ' | b'(')).unwrap_or(rest.len()),
    };
    &rest[..end]
}

fn unquoted(mut name: &[u8]) -> &[u8] {
    while let [b'"' | b'\'', rest @ ..] | [rest @ .., b'"' | b'\''] = name {
        name = rest;
    }
    name
}

/// What stands behind the first `mark`.
fn after<'a>(line: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = line.windows(mark.len()).position(|window| window == mark)?;
    Some(&line[at + mark.len()..])
}

/// The rows in which a text has a NUL, one a line. Asked of the SQLite within, which gives all of it.
fn cut(path: &Path) -> Result<String> {
    let connection = Connection::open(path)?;
    let mut asked = connection.prepare(CUT)?;
    let tables = asked.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let tables: Vec<(String, String)> = tables.collect::<rusqlite::Result<_>>()?;
    let mut told = String::new();
    for (table, select) in tables {
        let mut statement = connection.prepare(&select)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let values: Vec<_> = (0..columns).map(|at| row.get_ref(at)).collect::<rusqlite::Result<_>>()?;
            told += &format!("{table:?} {values:?}\n");
        }
    }
    Ok(told)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Told {
        let file = tempfile::NamedTempFile::new().unwrap();
        let table = r#""t ""(""#;
        let script = format!("CREATE TABLE {table} (\"c\"\"d\", k); INSERT INTO {table} VALUES ({text}, x'00ff')");
        Connection::open(file.path()).unwrap().execute_batch(&script).unwrap();
        Told::of(file.path()).unwrap()
    }

    #[test]
    fn texts_that_are_not_utf_8_or_have_a_nul_are_told_apart() {
        // Where there is no `sqlite3`, the trial is passed over, too.
        if Command::new("sqlite3").arg("--version").output().is_err() {
            return;
        }
        let texts = ["ff41", "fe41", "41", "4100", "410042", "410043"];
        let [once, again] = [(); 2].map(|()| texts.map(|text| told(&format!("CAST(x'{text}' AS TEXT)"))));
        for (at, one) in once.iter().enumerate() {
            for (other_at, other) in again.iter().enumerate() {
                assert_eq!(one == other, at == other_at, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn the_name_of_a_table_is_read_as_it_is_quoted() {
        let cases: [(&[u8], &[u8]); 5] = [
            (b"t VALUES(1);", b"t"),
            (b"t(rowid,a) VALUES(1,2);", b"t"),
            (b"\"t \"\"(\"(rowid,a) VALUES(1,2);", b"\"t \"\"(\""),
            (b"'it''s' VALUES(1);", b"'it''s'"),
            (b"\"\xff\" VALUES(1);", b"\"\xff\""),
        ];
        for (rest, expected) in cases {
            assert_eq!(name(rest), expected, "{}", shown(rest));
        }
    }
}

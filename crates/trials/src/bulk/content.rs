//! A database of any size whose whole content follows from its size and the number of writes, and the reader who says of an export
//! how many writes it holds.
//!
//! Each write counts itself in three places: in a table in front of the large one, in two rows of the large one that lie far apart, and in a
//! table behind it. An export that mixes two revisions has different numbers there.

use anyhow::{Context as _, Result, bail, ensure};
use rusqlite::Connection;
use std::fs::File;
use std::io::BufRead;
use std::path::Path;

/// What a row takes in the file, about.
const ROW_BYTES: u64 = 2710;

/// The write of this number.
pub const WRITE: &str = "INSERT INTO entries VALUES (?1)";

pub fn rows_of(bytes: u64) -> i64 {
    // Two halves of the same size.
    i64::try_from(bytes / ROW_BYTES / 2 * 2).unwrap_or(i64::MAX).max(2)
}

/// Makes the file, without any care for crashes.
pub fn make(path: &Path, rows: i64) -> Result<()> {
    let connection = Connection::open(path)?;
    let half = rows / 2;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
         CREATE TABLE total (n INTEGER NOT NULL);
         INSERT INTO total VALUES (0);
         CREATE TABLE big (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, text TEXT NOT NULL);
         WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {rows})
           INSERT INTO big SELECT id, 0, id || ': it''s \"so\", ' || hex(zeroblob(id * 131 % 2000)) FROM n;
         CREATE TABLE entries (seq INTEGER PRIMARY KEY);
         CREATE TRIGGER also AFTER INSERT ON entries BEGIN
           UPDATE total SET n = n + 1;
           UPDATE big SET version = version + 1
             WHERE id IN (1 + new.seq * 7919 % {half}, {half} + 1 + new.seq * 7919 % {half});
         END;"
    ))?;
    connection.close().map_err(|(_, error)| error)?;
    // Otherwise the first write that is made durable would wait for all of it.
    Ok(File::open(path)?.sync_all()?)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The whole database.
    Sql,
    /// The large table alone.
    NdJson,
    Csv,
}

impl Form {
    /// A row as it must stand there, around its version.
    fn row(self, id: i64, front: &mut Vec<u8>, behind: &mut Vec<u8>) {
        let (before, [open, quoted, close]) = match self {
            Self::Sql => (format!("INSERT INTO \"big\" VALUES({id},"), [",'", ": it''s \"so\", ", "');"]),
            Self::NdJson => (format!("{{\"id\":{id},\"version\":"), [",\"text\":\"", ": it's \\\"so\\\", ", "\"}"]),
            Self::Csv => (format!("{id},"), [",\"", ": it's \"\"so\"\", ", "\""]),
        };
        *front = before.into_bytes();
        behind.clear();
        behind.extend_from_slice(format!("{open}{id}{quoted}").as_bytes());
        behind.resize(behind.len() + usize::try_from(id * 131 % 2000 * 2).unwrap_or(0), b'0');
        behind.extend_from_slice(close.as_bytes());
    }
}

/// What an export holds, as far as it was read.
#[derive(Debug, Default)]
struct Seen {
    total: Option<i64>,
    rows: i64,
    /// Versions of the rows in each half.
    halves: [i64; 2],
    entries: i64,
    is_whole: bool,
}

/// Reads an export to its end and says how many writes it holds.
///
/// # Errors
/// If anything is missing, more than there should be, or not as it should be; if it is not of one revision.
pub fn judge(export: &mut impl BufRead, form: Form, rows: i64) -> Result<i64> {
    let mut seen = Seen::default();
    let (mut line, mut front, mut behind) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        line.clear();
        if export.read_until(b'\n', &mut line).context("the export breaks off")? == 0 {
            break;
        }
        let text = line.trim_ascii_end();
        form.row(seen.rows + 1, &mut front, &mut behind);
        let version = text.strip_prefix(&front[..]).and_then(|rest| rest.strip_suffix(&behind[..]));
        match version.and_then(number) {
            Some(version) => {
                seen.rows += 1;
                seen.halves[usize::from(seen.rows > rows / 2)] += version;
            }
            None => seen.other(form, text)?,
        }
    }
    seen.writes(form, rows)
}

impl Seen {
    /// A line that is no row of the large table.
    fn other(&mut self, form: Form, line: &[u8]) -> Result<()> {
        let is_known = match form {
            Form::Sql => return self.statement(line),
            Form::Csv => line == b"id,version,text" && self.rows == 0,
            Form::NdJson => false,
        };
        ensure!(is_known, "row {} is another one: {}", self.rows + 1, shown(line));
        Ok(())
    }

    fn statement(&mut self, line: &[u8]) -> Result<()> {
        let inserted = |front: &str| number(line.strip_prefix(front.as_bytes())?.strip_suffix(b");")?);
        if let Some(total) = inserted("INSERT INTO \"total\"(rowid,\"n\") VALUES(1,") {
            ensure!(self.total.replace(total).is_none(), "the total stands there twice");
        } else if let Some(entry) = inserted("INSERT INTO \"entries\" VALUES(") {
            self.entries += 1;
            ensure!(entry == self.entries, "behind entry {} comes {entry}", self.entries - 1);
        } else if line.starts_with(b"INSERT") {
            bail!("row {} is another one: {}", self.rows + 1, shown(line));
        }
        self.is_whole = line == b"COMMIT;";
        Ok(())
    }

    fn writes(&self, form: Form, rows: i64) -> Result<i64> {
        let [low, high] = self.halves;
        ensure!(self.rows == rows, "{} rows are there, and {rows} should be", self.rows);
        let all = match form {
            Form::Sql => vec![self.total.context("there is no total")?, self.entries, low, high],
            Form::NdJson | Form::Csv => vec![low, high],
        };
        ensure!(all.iter().all(|count| *count == all[0]), "it is of several revisions: {all:?} writes");
        ensure!(self.is_whole || form != Form::Sql, "the last line is no COMMIT");
        Ok(all[0])
    }
}

/// The same of an SQLite file.
pub fn judge_file(path: &Path, rows: i64) -> Result<i64> {
    let connection = Connection::open(path)?;
    let verdict: String = connection.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
    ensure!(verdict == "ok", "quick_check: {verdict}");
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let good = "SELECT count(*) FROM big WHERE text = id || ': it''s \"so\", ' || hex(zeroblob(id * 131 % 2000))";
    let half = rows / 2;
    let seen = Seen {
        total: Some(one("SELECT n FROM total")?),
        rows: one(good)?,
        halves: [
            one(&format!("SELECT sum(version) FROM big WHERE id <= {half}"))?,
            one(&format!("SELECT sum(version) FROM big WHERE id > {half}"))?,
        ],
        entries: one("SELECT count(*) FROM entries")?,
        is_whole: true,
    };
    seen.writes(Form::Sql, rows)
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(versions: [i64; 4]) -> Vec<u8> {
        let mut all = b"id,version,text\n".to_vec();
        let (mut front, mut behind) = (Vec::new(), Vec::new());
        for (id, version) in (1..).zip(versions) {
            Form::Csv.row(id, &mut front, &mut behind);
            all.extend([&front[..], version.to_string().as_bytes(), &behind, b"\n"].concat());
        }
        all
    }

    #[test]
    fn an_export_of_two_revisions_is_noticed() {
        assert_eq!(judge(&mut &csv([1, 2, 3, 0])[..], Form::Csv, 4).unwrap(), 3);
        let torn = judge(&mut &csv([1, 2, 3, 1])[..], Form::Csv, 4).unwrap_err();
        assert!(torn.to_string().contains("several revisions"), "{torn}");
        let few = judge(&mut &csv([1, 2, 3, 0])[..], Form::Csv, 6).unwrap_err();
        assert!(few.to_string().contains("4 rows are there"), "{few}");
    }

    #[test]
    fn a_row_that_is_not_what_it_was_is_noticed() {
        let mut all = csv([0; 4]);
        let last = all.len() - 3;
        all[last] = b'1';
        assert!(judge(&mut &all[..], Form::Csv, 4).is_err());
    }
}

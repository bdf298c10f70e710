//! What is written, and what the database then holds: after n writes always the same.

use anyhow::{Result, ensure};
use rusqlite::Connection;
use std::path::Path;

/// Slots that are written over again and again.
const SLOTS: i64 = 97;

pub const MAKE: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS entries (seq INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS slots (slot INTEGER PRIMARY KEY, seq INTEGER NOT NULL, data TEXT NOT NULL)",
    "CREATE TRIGGER IF NOT EXISTS also AFTER INSERT ON entries BEGIN
       INSERT OR REPLACE INTO slots VALUES (new.seq % 97, new.seq, hex(zeroblob(new.seq * 31 % 3000)) || new.seq);
       DELETE FROM entries WHERE seq = new.seq - 2000 AND seq % 3 = 0;
     END",
];

/// The write of this number.
pub const WRITE: &str = "INSERT INTO entries VALUES (?1, printf('%d', ?1 * 7919) || hex(zeroblob(?1 * 13 % 400)))";

/// How many writes a file holds, if it holds nothing else.
pub fn judge(path: &Path) -> Result<i64> {
    let connection = Connection::open(path)?;
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(verdict == "ok", "integrity_check: {verdict}");
    let has_tables = connection.prepare("SELECT 1 FROM entries, slots").is_ok();
    if !has_tables {
        return Ok(0);
    }
    let writes: i64 = connection.query_row("SELECT coalesce(max(seq), 0) FROM entries", [], |row| row.get(0))?;
    // Every third is taken away again when it is 2000 old.
    let old = (writes - 2000).max(0);
    let expected = writes - old / 3;
    let good = "SELECT count(*) FROM entries WHERE text = printf('%d', seq * 7919) || hex(zeroblob(seq * 13 % 400))
                AND seq >= 1 AND (seq > ?1 OR seq % 3 != 0)";
    let found: i64 = connection.query_row(good, [old], |row| row.get(0))?;
    let all: i64 = connection.query_row("SELECT count(*) FROM entries", [], |row| row.get(0))?;
    ensure!(
        (found, all) == (expected, expected),
        "of {writes} writes {expected} rows should be there: {all} are, {found} of them right"
    );
    let good = "SELECT count(*) FROM slots WHERE slot = seq % ?2 AND seq > ?1 - ?2
                AND data = hex(zeroblob(seq * 31 % 3000)) || seq";
    let slots: i64 = connection.query_row(good, [writes, SLOTS], |row| row.get(0))?;
    ensure!(slots == writes.min(SLOTS), "after {writes} writes {slots} slots are right");
    Ok(writes)
}

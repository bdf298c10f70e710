//! Rows by the megabyte, with values of every kind, in tables of every kind.

use crate::random::Random;
use anyhow::Result;
use rusqlite::Connection;
use rusqlite::types::Value;

const TABLES: &str = "
    CREATE TABLE bulk (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b TEXT, c BLOB, d REAL, half AS (id / 2) STORED);
    CREATE INDEX bulk_by_text ON bulk (b COLLATE NOCASE) WHERE b IS NOT NULL;
    CREATE TABLE \"bulk of keys\" (k TEXT, n INT, v ANY, PRIMARY KEY (k, n DESC)) WITHOUT ROWID, STRICT;
    CREATE TABLE \"bulk of rowids\" (\"a;b\" ANY, \"c\"\"d\" TEXT);
    CREATE VIRTUAL TABLE bulk_words USING fts5(body);
    CREATE TRIGGER bulk_noted AFTER DELETE ON bulk BEGIN DELETE FROM \"bulk of rowids\" WHERE rowid = old.id; END;
";

/// Rows are made until they have this many bytes, about.
pub fn fill(connection: &Connection, bytes: u64, seed: u64) -> Result<()> {
    connection.execute_batch(TABLES)?;
    let mut random = Random::new(seed, 0);
    let transaction = connection.unchecked_transaction()?;
    let mut bulk = connection.prepare("INSERT INTO bulk (a, b, c, d) VALUES (?1, ?2, ?3, ?4)")?;
    let mut keys = connection.prepare("INSERT OR IGNORE INTO \"bulk of keys\" VALUES (?1, ?2, ?3)")?;
    let mut rowids =
        connection.prepare("INSERT INTO \"bulk of rowids\" (rowid, \"a;b\", \"c\"\"d\") VALUES (?1, ?2, ?3)")?;
    let mut words = connection.prepare("INSERT INTO bulk_words (rowid, body) VALUES (?1, ?2)")?;
    let (mut written, mut number) = (0, 0_i64);
    while written < bytes {
        number += 1;
        let (text, blob) = (text(&mut random, 300), blob(&mut random, 600));
        written += (text.len() + blob.len() + 120) as u64;
        bulk.execute((any(&mut random), &text, blob, real(&mut random)))?;
        keys.execute((format!("{}{number}", text.chars().take(9).collect::<String>()), number, any(&mut random)))?;
        if number % 3 == 0 {
            rowids.execute((number * 7 - 1_000, any(&mut random), (number % 2 == 0).then_some(&text)))?;
        }
        if number % 20 == 0 {
            words.execute((number, &text))?;
        }
    }
    drop((bulk, keys, rowids, words));
    connection.execute_batch("DELETE FROM bulk WHERE id % 11 = 0")?;
    Ok(transaction.commit()?)
}

fn any(random: &mut Random) -> Value {
    match random.below(6) {
        0 => Value::Null,
        1 => Value::Integer(bits(random) as i64 >> random.below(64)),
        2 => Value::Real(real(random)),
        3 => Value::Blob(blob(random, 40)),
        // Like a number, and none.
        4 => Value::Text(random.pick(&["12", "1e3", "007", " 1", "0x10", "NULL", "X'00'", "-"]).to_string()),
        _ => Value::Text(text(random, 60)),
    }
}

fn bits(random: &mut Random) -> u64 {
    (0..8).fold(0, |bits, _| bits << 8 | random.below(256) as u64)
}

/// Numbers that every SQLite reads as they are written: old ones take others for their neighbours. That ours reads all of them is a test
/// of the engine.
fn real(random: &mut Random) -> f64 {
    match random.below(8) {
        0 => *random.pick(&[0.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, 1e22, 0.5]),
        _ => f64::from(bits(random) as i32) / 64.0,
    }
}

fn text(random: &mut Random, chars_max: usize) -> String {
    const PIECES: [&str; 14] =
        ["tide ", "harbour ", "it's", "\"", "\n", "\r\n", ";", "--", "ü", "🌊", "\\", "',", "rope ", "\u{feff}"];
    (0..random.below(chars_max / 3)).map(|_| *random.pick(&PIECES)).collect()
}

fn blob(random: &mut Random, bytes_max: usize) -> Vec<u8> {
    (0..random.below(bytes_max)).map(|_| random.below(256) as u8).collect()
}

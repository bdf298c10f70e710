//! A clock that jumps while backups are kept: moments by time are true or refused, and revisions tell all of them apart.
//!
//! A file of its own, for the clock is the whole process's.

#![allow(clippy::unwrap_used)]

use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;
use tidebase_engine::backups::{Moment, folder_of, restore};
use tidebase_engine::{Code, Engine, Options, Params, SqlRequest, clock};

const PATIENCE: Duration = Duration::from_secs(20);
const HOUR_MS: i64 = 3_600_000;

/// Writes a number and has it kept; the revision, and what the clock showed then.
async fn kept(engine: &Engine, number: i64) -> (i64, i64) {
    let sql = format!("INSERT INTO t VALUES ({number})");
    let revision = engine.query(SqlRequest::query(sql, Params::None)).await.unwrap().revision;
    assert!(engine.backups().unwrap().flush(PATIENCE));
    (revision, clock::now_ms())
}

fn newest(path: &Path, moment: Moment) -> Result<i64, tidebase_engine::Error> {
    let to = path.with_file_name("then.db");
    restore(&folder_of(path), moment, &to)?;
    let connection = Connection::open(&to).unwrap();
    let newest = connection.query_row("SELECT max(n) FROM t", [], |row| row.get(0)).unwrap();
    drop(connection);
    std::fs::remove_file(to).unwrap();
    Ok(newest)
}

#[tokio::test]
async fn a_clock_that_jumps_back_across_a_restore_point_leads_to_no_state_that_never_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let engine = Engine::open(Options { backups: Some(folder_of(&path)), ..Options::new(&path) }).unwrap();
    engine.query(SqlRequest::query("CREATE TABLE t (n INTEGER PRIMARY KEY)", Params::None)).await.unwrap();
    let one = kept(&engine, 1).await;
    // It is an hour ahead for a while, and then put right.
    clock::put(HOUR_MS);
    let two = kept(&engine, 2).await;
    assert!(two.1 >= one.1 + HOUR_MS);
    assert_eq!(newest(&path, Moment::Time(one.1)).unwrap(), 1, "while it is ahead nobody can tell");
    assert_eq!(newest(&path, Moment::Time(two.1)).unwrap(), 2);
    clock::put(0);
    let three = kept(&engine, 3).await;
    let four = kept(&engine, 4).await;
    assert!(four.1 < two.1, "it was put back");
    // By revision every moment is what it was.
    for (number, (revision, _)) in [(1, one), (2, two), (3, three), (4, four)] {
        assert_eq!(newest(&path, Moment::Revision(revision)).unwrap(), number);
    }
    assert_eq!(newest(&path, Moment::Latest).unwrap(), 4);
    // By time what came since the jump cannot be told apart; that is said, and what to do.
    for time in [one.1, three.1, four.1] {
        let refused = newest(&path, Moment::Time(time)).unwrap_err();
        assert_eq!(refused.code, Code::Invalid, "{refused}");
        assert!(
            refused.message.contains("clock was ahead") && refused.message.contains("by its revision"),
            "{refused}"
        );
    }
    // A restore across the jump, and a start, change nothing of that.
    let fork = engine.fork(Moment::Revision(one.0), "admin").unwrap();
    engine.swap(fork).await.unwrap();
    let five = kept(&engine, 5).await;
    engine.close();
    let engine = Engine::open(Options { backups: Some(folder_of(&path)), ..Options::new(&path) }).unwrap();
    let six = kept(&engine, 6).await;
    for (number, (revision, _)) in [(2, two), (4, four), (5, five), (6, six)] {
        assert_eq!(newest(&path, Moment::Revision(revision)).unwrap(), number);
    }
    assert_eq!(Connection::open(&path).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)), Ok(3));
    // When the hour is over, times are in order again: those of the jump lead to the last of what it hid.
    clock::put(2 * HOUR_MS);
    let seven = kept(&engine, 7).await;
    assert_eq!(newest(&path, Moment::Time(one.1)).unwrap(), 1);
    assert_eq!(newest(&path, Moment::Time(one.1 + HOUR_MS / 2)).unwrap(), 1, "what came in that hour is stamped later");
    assert_eq!(newest(&path, Moment::Time(seven.1 - HOUR_MS / 2)).unwrap(), 6);
    assert_eq!(newest(&path, Moment::Time(seven.1)).unwrap(), 7);
    engine.close();
}

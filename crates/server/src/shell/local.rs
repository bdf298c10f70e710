//! A database file opened by the shell itself, safely beside a server that has it open too.

use super::backend::Sink;
use super::failure::{Failure, Refusal};
use super::script::changes_rows;
use crate::config::display;
use rusqlite::config::DbConfig;
use rusqlite::ffi;
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags, Row};
use std::ffi::{CStr, c_char, c_int};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidebase_engine::live::explain;
use tidebase_engine::sqlite::open::{Purpose, open};
use tidebase_engine::tables::Tables;
use tidebase_engine::{Error, Limits, Result, Value};

/// How long another program's lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Local {
    connection: Connection,
    path: PathBuf,
}

impl Local {
    /// # Errors
    /// Says what is wrong with the file. A missing one is never made: a slip in the name would hide the data.
    pub fn open(path: PathBuf) -> Result<Self> {
        let shown = display(&path);
        if path.is_dir() {
            return Err(Error::invalid(format!("{shown} is a folder; --db wants the file in it.")));
        }
        if !path.exists() {
            return Err(Error::not_found(format!(
                "There is no database {shown}. Name another with --db, or make this one: `tidebase serve --db {shown}`."
            )));
        }
        match connect(&path) {
            Ok(connection) => Ok(Self { connection, path }),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                Err(Error::invalid(format!("{shown} is not an SQLite database (or it is encrypted).")))
            }
            Err(error) => Err(Error::unavailable(format!(
                "{shown} cannot be opened: {}. `tidebase doctor --db {shown}` may tell why.",
                words(&error)
            ))),
        }
    }

    pub fn place(&self) -> String {
        display(&self.path)
    }

    pub fn tables(&self) -> Result<Tables> {
        tidebase_engine::tables::load::load(&self.connection)
    }

    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    pub fn is_in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Runs one statement.
    pub fn run(&mut self, sql: &str, sink: &mut dyn Sink) -> Result<(), Failure> {
        if let Some(at) = sql.find('\0') {
            // SQLite would take it for the end and leave out the rest without a word.
            return Err(Failure::Refused(Refusal {
                message: "a NUL character in SQL".into(),
                statement: 0,
                at: Some(at),
            }));
        }
        if let Some(select) = explain::explained(sql) {
            let mut sqlite =
                open(&self.path, None, Purpose::Read, LOCK_WAIT).map_err(|error| Failure::refused(error.message))?;
            let said = explain::explain(&mut sqlite, select, &Limits::default())
                .map_err(|error| Failure::refused(error.message))?;
            sink.columns(vec!["topic".into(), "says".into()])?;
            for (topic, says) in said {
                sink.row(vec![Value::text(topic), Value::text(says)])?;
            }
            return sink.done(None);
        }
        let mut statement = self.connection.prepare(sql).map_err(failure)?;
        if statement.parameter_count() > 0 {
            return Err(Failure::refused(
                "The shell binds no values: write them into the SQL in place of its parameters.",
            ));
        }
        let has_columns = statement.column_count() > 0;
        let mut rows = statement.raw_query();
        let mut row = rows.next().map_err(failure)?.map(values);
        if has_columns {
            // After the first step, which may have compiled the statement anew for a changed schema.
            sink.columns(column_names(&self.connection, sql))?;
        }
        while let Some(found) = row {
            sink.row(found)?;
            row = rows.next().map_err(failure)?.map(values);
        }
        drop(rows);
        sink.done((!has_columns && changes_rows(sql)).then(|| self.connection.changes()))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_WAIT)?;
    // Folding the WAL into the file is the server's, or the next one's who writes enough.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // As the server has them, so that a write means the same from either.
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON;")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

fn values(row: &Row<'_>) -> Vec<Value> {
    let count = row.as_ref().column_count();
    (0..count).map(|index| row.get_ref(index).map_or(Value::Null, Value::from)).collect()
}

fn failure(error: rusqlite::Error) -> Failure {
    if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        return Failure::Interrupted;
    }
    let at = match &error {
        rusqlite::Error::SqlInputError { offset, .. } => usize::try_from(*offset).ok(),
        _ => None,
    };
    Failure::Refused(Refusal { message: words(&error), statement: 0, at })
}

/// SQLite's own, without what rusqlite puts around them.
fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        _ => error.to_string(),
    }
}

/// The names of a statement's columns. rusqlite has them too, but panics at one that is not UTF-8, which a file made
/// elsewhere may hold.
fn column_names(connection: &Connection, sql: &str) -> Vec<String> {
    let Ok(length) = c_int::try_from(sql.len()) else { return Vec::new() };
    let text: *const c_char = sql.as_ptr().cast();
    let mut statement = std::ptr::null_mut();
    // SAFETY: the connection is open and used by this thread alone; `text` is valid for `length` bytes; the statement
    // is finalised before the connection is used again, and each name is copied before the next call.
    unsafe {
        let tail = std::ptr::null_mut();
        if ffi::sqlite3_prepare_v2(connection.handle(), text, length, &raw mut statement, tail) != ffi::SQLITE_OK {
            return Vec::new();
        }
        let name = |column| {
            let name = ffi::sqlite3_column_name(statement, column);
            if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
        };
        let names = (0..ffi::sqlite3_column_count(statement)).map(name).collect();
        ffi::sqlite3_finalize(statement);
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::backend::Gathered;

    fn database(setup: &str) -> (tempfile::TempDir, Local) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        Connection::open(&path).unwrap().execute_batch(setup).unwrap();
        let local = Local::open(path).unwrap();
        (folder, local)
    }

    fn run(local: &mut Local, sql: &str) -> Result<Gathered, Failure> {
        let mut gathered = Gathered::default();
        local.run(sql, &mut gathered).map(|()| gathered)
    }

    fn refusal(local: &mut Local, sql: &str) -> Refusal {
        match run(local, sql) {
            Err(Failure::Refused(refusal)) => refusal,
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn a_missing_file_is_named_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere.db");
        let error = Local::open(path.clone()).unwrap_err().to_string();
        assert!(error.contains("nowhere.db") && error.contains("tidebase serve"), "{error}");
        assert!(!path.exists());
        std::fs::write(&path, "plain text, not a database at all").unwrap();
        assert!(Local::open(path).unwrap_err().to_string().contains("not an SQLite database"));
        assert!(Local::open(folder.path().into()).unwrap_err().to_string().contains("folder"));
    }

    #[test]
    fn rows_and_changes_are_told() {
        let (_folder, mut local) = database("create table t(a integer primary key, b)");
        assert_eq!(run(&mut local, "insert into t values(1, 'x'), (2, null)").unwrap().changed, Some(2));
        assert_eq!(run(&mut local, "create table u(a references t)").unwrap().changed, None);
        let gathered = run(&mut local, "select a, b from t").unwrap();
        assert_eq!(gathered.names, ["a", "b"]);
        assert_eq!(gathered.rows[1], [Value::Integer(2), Value::Null]);
        assert_eq!(refusal(&mut local, "insert into u values(9)").message, "FOREIGN KEY constraint failed");
    }

    #[test]
    fn mistakes_keep_sqlites_words_and_place() {
        let (_folder, mut local) = database("create table t(a)");
        for (sql, message, at) in [
            ("select * form t", "near \"form\": syntax error", Some(9)),
            ("select nope from t", "no such column: nope", Some(7)),
            ("select * from nowhere", "no such table: nowhere", None),
            ("select 1 \0 garbage", "a NUL character in SQL", Some(9)),
        ] {
            let refusal = refusal(&mut local, sql);
            assert_eq!((refusal.message.as_str(), refusal.at), (message, at), "{sql}");
        }
        assert!(refusal(&mut local, "select ?1").message.contains("binds no values"));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_all_the_same() {
        let (folder, local) = database("create table t(name text)");
        local.connection.execute_batch("insert into t values(cast(x'ff41' as text))").unwrap();
        // The name as an old program with a Latin-1 keyboard left it.
        local.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
        let rename = "pragma writable_schema = on;
             update sqlite_schema set sql = cast(replace(cast(sql as blob), 'name', x'6eff6d65') as text);
             pragma writable_schema = off;";
        local.connection.execute_batch(rename).unwrap();
        drop(local);
        let mut local = Local::open(folder.path().join("test.db")).unwrap();
        let gathered = run(&mut local, "select * from t").unwrap();
        assert_eq!(gathered.names, ["n\u{fffd}me"]);
        assert_eq!(gathered.rows[0], [Value::text(b"\xffA")]);
    }

    #[test]
    fn a_transaction_stays_open_between_statements() {
        let (_folder, mut local) = database("create table t(a)");
        for sql in ["begin", "insert into t values(1)"] {
            run(&mut local, sql).unwrap();
            assert!(local.is_in_transaction());
        }
        run(&mut local, "rollback").unwrap();
        assert!(!local.is_in_transaction());
        assert_eq!(run(&mut local, "select count(*) from t").unwrap().rows[0], [Value::Integer(0)]);
    }
}

//! Inside the database file, by one SQLite connection that may only read.

use super::finding::{Finding, bytes};
use super::history;
use crate::config::display;
use crate::shell::output::counted;
use indicatif::ProgressBar;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use std::path::Path;
use std::time::Duration;
use tidebase_engine::storage::vouch::beside;

/// The server folds the WAL long before; larger, something keeps it from doing so.
const WAL_BYTES_HIGH: u64 = 256 << 20;
/// Names listed in one line.
const NAMES_SHOWN: usize = 5;
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// `has_token`: the settings give one.
pub fn examine(path: &Path, has_token: bool, tell: &mut dyn FnMut(Finding)) {
    let connection = match connect(path) {
        Ok(connection) => connection,
        Err(error) => return tell(unreadable(path, &error)),
    };
    tell(said(journal(&connection, path), "journal"));
    tell(said(integrity(&connection), "integrity"));
    tell(said(foreign_keys(&connection), "foreign keys"));
    tell(said(primary_keys(&connection), "primary keys"));
    history::examine(&connection, has_token, tell);
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

fn unreadable(path: &Path, error: &rusqlite::Error) -> Finding {
    let shown = display(path);
    if error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_READONLY_ROLLBACK) {
        return Finding::warning(
            "contents",
            format!(
                "A transaction was left unfinished in {shown}. Whoever opens it next to write, such as the server, rolls \
                 it back; run this again then."
            ),
        );
    }
    let what = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => format!("{shown} is not an SQLite database (or it is encrypted)."),
        Some(ErrorCode::DatabaseCorrupt) => {
            format!("{shown} is damaged ({error}). Keep a copy of it as it is, and restore a backup.")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("{shown} is locked by another program. Close it, or wait until it is done.")
        }
        _ => format!("{shown} cannot be read: {error}. Check its permissions and those of its folder."),
    };
    Finding::problem("contents", what)
}

/// What SQLite could not answer is itself a finding.
fn said(finding: rusqlite::Result<Finding>, subject: &'static str) -> Finding {
    finding.unwrap_or_else(|error| Finding::problem(subject, format!("This cannot be read: {error}.")))
}

fn journal(connection: &Connection, path: &Path) -> rusqlite::Result<Finding> {
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    let page_size: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let wal_bytes = std::fs::metadata(beside(path, "-wal")).map_or(0, |wal| wal.len());
    let shown = format!("mode {mode}, pages of {page_size} bytes, WAL {}", bytes(wal_bytes));
    Ok(if mode != "wal" {
        Finding::ok(
            "journal",
            format!("mode {mode}, pages of {page_size} bytes; the server will change the mode to wal"),
        )
    } else if wal_bytes > WAL_BYTES_HIGH {
        Finding::warning(
            "journal",
            format!("{shown}. Something that reads for very long keeps it from being folded into the file; end it."),
        )
    } else {
        Finding::ok("journal", shown)
    })
}

/// Drawn on a terminal only.
fn integrity(connection: &Connection) -> rusqlite::Result<Finding> {
    let spinner = ProgressBar::new_spinner().with_message("checking every page and every index of the file");
    spinner.enable_steady_tick(Duration::from_millis(100));
    let mut statement = connection.prepare("PRAGMA integrity_check(3)")?;
    let complaints: rusqlite::Result<Vec<String>> = statement.query_map([], |row| row.get(0))?.collect();
    spinner.finish_and_clear();
    let complaints = match complaints {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => vec![error.to_string()],
        complaints => complaints?,
    };
    Ok(match complaints.as_slice() {
        [one] if one == "ok" => Finding::ok("integrity", "no damage found"),
        indexes if indexes.iter().all(|complaint| is_of_an_index(complaint)) => Finding::problem(
            "integrity",
            format!(
                "Indexes do not agree with their tables: {}. Run the SQL REINDEX: it makes them anew.",
                indexes.join("; ")
            ),
        ),
        damage => Finding::problem(
            "integrity",
            format!("The file is damaged: {}. Keep a copy of it as it is, and restore a backup.", damage.join("; ")),
        ),
    })
}

/// SQLite's own words for an index that lacks a row of its table, or has one that is not there. A REPLACE whose foreign
/// keys or triggers change the rows it is about to write can leave one behind.
fn is_of_an_index(complaint: &str) -> bool {
    complaint.contains("missing from index")
        || complaint.starts_with("wrong # of entries in index")
        || complaint.starts_with("non-unique entry in index")
}

fn foreign_keys(connection: &Connection) -> rusqlite::Result<Finding> {
    let mut statement =
        connection.prepare("SELECT \"table\", count(*) FROM pragma_foreign_key_check GROUP BY 1 ORDER BY 1")?;
    let found: Vec<(String, u32)> =
        match statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>() {
            Ok(found) => found,
            // A declared reference that cannot work, to a column that is not unique, say.
            Err(error) => return Ok(Finding::warning("foreign keys", format!("They cannot be checked: {error}."))),
        };
    let count = found.iter().map(|(_, count)| u64::from(*count)).sum();
    if count == 0 {
        return Ok(Finding::ok("foreign keys", "every reference has its row"));
    }
    let tables = listed(found.into_iter().map(|(table, _)| table).collect());
    Ok(Finding::warning(
        "foreign keys",
        format!(
            "{} refer to rows that are not there, in {tables}. `PRAGMA foreign_key_check` lists them.",
            counted(count, "row")
        ),
    ))
}

fn primary_keys(connection: &Connection) -> rusqlite::Result<Finding> {
    let mut statement = connection.prepare(
        "SELECT name FROM pragma_table_list AS l WHERE schema = 'main' AND type = 'table'
           AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_tide%' ESCAPE '\\'
           AND NOT EXISTS (SELECT 1 FROM pragma_table_info(l.name) WHERE pk > 0) ORDER BY name",
    )?;
    let without: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    if without.is_empty() {
        return Ok(Finding::ok("primary keys", "every table has one"));
    }
    Ok(Finding::note(
        "primary keys",
        format!("Without one: {}. Rows there are known by their rowid, which a VACUUM may change.", listed(without)),
    ))
}

fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    names.truncate(NAMES_SHOWN);
    let text = names.join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

//! What Tidebase itself keeps in the file: its system tables' version, the change log, the admin token's hash.

use super::finding::{Finding, bytes};
use crate::auth;
use rusqlite::{Connection, OptionalExtension as _};
use std::time::{SystemTime, UNIX_EPOCH};
use tidebase_engine::storage::system::VERSION as SYSTEM_VERSION;

pub fn examine(connection: &Connection, has_token: bool, tell: &mut dyn FnMut(Finding)) {
    let is_served: rusqlite::Result<bool> = connection.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_tide_meta'",
        [],
        |row| row.get(0),
    );
    if !is_served.unwrap_or(false) {
        tell(Finding::note(
            "history",
            "The file has never been served; the first start adds Tidebase's own tables (_tide…).",
        ));
        tell(token(has_token, false));
        return;
    }
    let unreadable = |error: rusqlite::Error, subject| {
        Finding::problem(subject, format!("Tidebase's own tables cannot be read: {error}."))
    };
    tell(version(connection).unwrap_or_else(|error| unreadable(error, "history")));
    tell(log(connection).unwrap_or_else(|error| unreadable(error, "change log")));
    tell(token(has_token, meta::<String>(connection, auth::SETTING).is_ok_and(|hash| hash.is_some())));
}

fn meta<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    connection.query_row("SELECT value FROM _tide_meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

fn version(connection: &Connection) -> rusqlite::Result<Finding> {
    let version: i64 = meta(connection, "version")?.unwrap_or(0);
    let name: String = meta(connection, "history")?.unwrap_or_default();
    Ok(match version {
        SYSTEM_VERSION => Finding::ok("history", format!("{name}, system tables of version {version}")),
        0..SYSTEM_VERSION => Finding::note(
            "history",
            format!("System tables of version {version}; the next start brings them to {SYSTEM_VERSION}."),
        ),
        _ => Finding::problem(
            "history",
            format!(
                "The file was written by a newer Tidebase: its system tables have version {version}, this program knows \
                 {SYSTEM_VERSION}. Use that Tidebase, or newer."
            ),
        ),
    })
}

fn log(connection: &Connection) -> rusqlite::Result<Finding> {
    let end = |order: &str| {
        let sql = format!(
            "SELECT first_revision, revision, time, bytes_so_far, length(changes) FROM _tide_log ORDER BY revision {order} LIMIT 1"
        );
        connection
            .query_row(&sql, [], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, i64>(3)?,
                    row.get::<_, i64>(4)?,
                ))
            })
            .optional()
    };
    let (Some((first, _, oldest_ms, bytes_before, bytes_oldest)), Some((_, last, _, bytes_last, _))) =
        (end("ASC")?, end("DESC")?)
    else {
        return Ok(Finding::ok("change log", "empty: nothing was written yet"));
    };
    let size = u64::try_from(bytes_last - bytes_before + bytes_oldest).unwrap_or(0);
    let age = age(oldest_ms, now_ms());
    Ok(Finding::ok("change log", format!("revisions {first} to {last}, {}, reaching back {age}", bytes(size))))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn age(from_ms: i64, now_ms: i64) -> String {
    let seconds = now_ms.saturating_sub(from_ms).max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn token(is_in_settings: bool, is_in_file: bool) -> Finding {
    match (is_in_settings, is_in_file) {
        (true, _) => Finding::ok("admin token", "given by the settings"),
        (false, true) => {
            Finding::ok("admin token", "its hash is in the file; `tidebase token reset-admin` makes a new one")
        }
        (false, false) => Finding::note("admin token", "None yet: one is made on the next start, and shown once."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Word;
    use super::*;

    #[test]
    fn a_file_of_a_newer_program_is_a_problem() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("create table _tide_meta(name, value); insert into _tide_meta values('version', 99)")
            .unwrap();
        assert_eq!(version(&connection).unwrap().word, Word::Problem);
    }

    #[test]
    fn ages_are_readable() {
        for (seconds, expected) in [(-5, "0 s"), (30, "30 s"), (600, "10 min"), (10_000, "2 h"), (1_000_000, "11 days")]
        {
            assert_eq!(age(0, seconds * 1000), expected);
        }
    }
}

//! The durable log: one row of `_tide_log` per group commit, in the same transaction as the changes it tells.
//!
//! It feeds resuming live queries and change streams. Kept by size and by age; the newest row always stays, for it
//! carries the current revision.

use super::change::{ChangeSet, Revision};
use super::codec;
use crate::error::Result;
use crate::limits::Limits;
use rusqlite::{Connection, OptionalExtension as _};

/// Rows removed at most at one time, so that pruning never holds up the writer.
const PRUNED_AT_ONCE: i64 = 256;

/// Appends a group's change sets. The row's key is the last one's revision.
pub fn append(connection: &Connection, sets: &[ChangeSet], time_ms: i64, schema_epoch: i64) -> Result<()> {
    let (Some(first), Some(last)) = (sets.first(), sets.last()) else { return Ok(()) };
    let changes = codec::encode(sets);
    connection
        .prepare_cached(
            "INSERT INTO _tide_log (revision, first_revision, time, schema_epoch, bytes_so_far, changes)
             VALUES (?1, ?2, ?3, ?4,
               coalesce((SELECT bytes_so_far FROM _tide_log ORDER BY revision DESC LIMIT 1), 0) + length(?5), ?5)",
        )?
        .execute((last.revision, first.revision, time_ms, schema_epoch, changes))?;
    Ok(())
}

/// The last revision in the log; 0 for a database that was never written through us.
pub fn last_revision(connection: &Connection) -> Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT max(revision) FROM _tide_log")?;
    Ok(statement.query_row([], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(0))
}

/// Where the open snapshot stands: its revision and the schema's epoch.
pub fn stand(connection: &Connection) -> Result<(Revision, i64)> {
    let mut statement =
        connection.prepare_cached("SELECT revision, schema_epoch FROM _tide_log ORDER BY revision DESC LIMIT 1")?;
    Ok(statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?.unwrap_or((0, 0)))
}

/// When the first change after a revision was made, in milliseconds since 1970; `None` if there is none.
pub fn first_time_after(connection: &Connection, revision: Revision) -> Result<Option<i64>> {
    let first = "SELECT time FROM _tide_log WHERE revision > ?1 ORDER BY revision LIMIT 1";
    Ok(connection.query_row(first, [revision], |row| row.get(0)).optional()?)
}

/// The change sets after `after`, oldest first, until `bytes_max` of log was read; `None` if some are gone.
///
/// The caller reads on from the last one's revision; it is at the end when it has reached the revision it knows.
pub fn read_after(connection: &Connection, after: Revision, bytes_max: usize) -> Result<Option<Vec<ChangeSet>>> {
    let mut statement = connection
        .prepare_cached("SELECT first_revision, changes FROM _tide_log WHERE revision > ?1 ORDER BY revision")?;
    let mut rows = statement.query([after])?;
    let mut sets: Vec<ChangeSet> = Vec::new();
    let mut bytes = 0;
    let mut next = after + 1;
    while let Some(row) = rows.next()? {
        let first: Revision = row.get(0)?;
        if first > next {
            return Ok(None);
        }
        let changes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        bytes += changes.len();
        sets.extend(codec::decode(changes)?.into_iter().filter(|set| set.revision > after));
        next = sets.last().map_or(next, |set| set.revision + 1);
        if bytes >= bytes_max {
            break;
        }
    }
    Ok(Some(sets))
}

/// Removes rows past the retention, a bounded number at a time; true if there may be more.
pub fn prune(connection: &Connection, limits: &Limits, now_ms: i64) -> Result<bool> {
    let newest: Option<(i64, i64)> = connection
        .prepare_cached("SELECT revision, bytes_so_far FROM _tide_log ORDER BY revision DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((newest, bytes_so_far)) = newest else { return Ok(false) };
    let oldest_kept_ms = now_ms - i64::try_from(limits.log_age_max.as_millis()).unwrap_or(i64::MAX / 2);
    let oldest_kept_bytes = bytes_so_far - i64::try_from(limits.log_bytes_max).unwrap_or(i64::MAX);
    let removed = connection
        .prepare_cached(
            "DELETE FROM _tide_log WHERE revision IN (
               SELECT revision FROM (SELECT revision, time, bytes_so_far FROM _tide_log ORDER BY revision LIMIT ?1)
               WHERE revision < ?2 AND (time < ?3 OR bytes_so_far < ?4))",
        )?
        .execute((PRUNED_AT_ONCE, newest, oldest_kept_ms, oldest_kept_bytes))?;
    Ok(removed as i64 >= PRUNED_AT_ONCE)
}

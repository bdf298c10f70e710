//! What the administrator can read afterwards: who did what to the server ([`audit`]), and which SQL took
//! long ([`queries`]). Rows of system tables, bounded in
//! number and age; no token, password or value ever gets into them.
//!
//! The log of the process itself, for whoever runs it, is the server's.

pub mod audit;
mod mask;
pub mod queries;

pub use audit::AuditEntry;
pub use queries::{LogFrom, QueryLog};

use crate::error::Result;
use crate::limits::Limits;
use rusqlite::Connection;
use std::time::Duration;

/// Rows of one log that go at one time: more than can come meanwhile.
const PRUNED_AT_ONCE: usize = 2 * queries::AT_ONCE;

/// Takes away the oldest rows of a log that has too many, or too old ones. Its rows have an `id` that grows with `time`.
fn prune_table(
    connection: &Connection,
    table: &'static str,
    rows_max: u64,
    age_max: Duration,
    now_ms: i64,
) -> Result<bool> {
    let since = now_ms.saturating_sub(i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX));
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let surplus = "(time < ?1 OR id <= (SELECT max(id) FROM {table}) - ?2)";
    let has_surplus =
        format!("SELECT EXISTS (SELECT 1 FROM (SELECT id, time FROM {{table}} ORDER BY id LIMIT 1) WHERE {surplus})");
    let is_due: bool = connection
        .prepare_cached(&has_surplus.replace("{table}", table))?
        .query_row((since, rows_max), |row| row.get(0))?;
    if is_due {
        let sql = format!(
            "DELETE FROM {{table}} WHERE id IN (SELECT id FROM {{table}} ORDER BY id LIMIT {PRUNED_AT_ONCE}) AND {surplus}"
        );
        connection.prepare_cached(&sql.replace("{table}", table))?.execute((since, rows_max))?;
    }
    Ok(is_due)
}

/// Called by the writer now and then. True if something has gone.
pub fn prune(connection: &Connection, limits: &Limits, now_ms: i64) -> Result<bool> {
    let audit = prune_table(connection, audit::TABLE, limits.audit_rows_max, limits.audit_age_max, now_ms)?;
    let (rows_max, age_max) = (limits.query_log_rows_max, limits.query_log_age_max);
    Ok(prune_table(connection, queries::TABLE, rows_max, age_max, now_ms)? || audit)
}

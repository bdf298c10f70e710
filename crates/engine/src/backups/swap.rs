//! A restored file takes the place of the database that is being served: in one transaction of SQLite's, for which nobody has to
//! go away.
//!
//! First the file is dressed: what must not go back with the data is taken over from the database as it is now, and it gets a
//! history of its own and the next revision. Then SQLite's backup interface writes its pages over the database's. Until that is
//! committed everybody reads what was there, a crash leaves it, and the state before is in the backups to go back to.

use super::restore::Restored;
use crate::changes::change::{ChangeSet, Extent, Revision};
use crate::changes::log;
use crate::error::{Error, Result};
use crate::logs::{AuditEntry, audit};
use crate::sqlite::exclude::quoted;
use crate::storage::system;
use crate::storage::vouch::beside;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Pages written between two looks.
const PAGES_AT_ONCE: i32 = 4096;
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// A restored file that waits to take the place; removed when it is dropped.
#[derive(Debug)]
pub struct Fork {
    path: PathBuf,
    pub restored: Restored,
    /// For the audit log.
    pub who: String,
}

/// How the database stands when it has taken the place.
pub struct Stand {
    pub revision: Revision,
    pub schema_epoch: i64,
    pub time_ms: i64,
}

impl Fork {
    /// Where a database's fork stands.
    pub fn path_for(database: &Path) -> PathBuf {
        beside(database, "-restoring")
    }

    pub fn new(path: PathBuf, restored: Restored, who: &str) -> Self {
        Self { path, restored, who: who.into() }
    }

    /// Removes what a crash has left.
    pub fn sweep(database: &Path) {
        let path = Self::path_for(database);
        for ending in ["", "-wal", "-shm", "-partial", "-journal"] {
            let _ = std::fs::remove_file(beside(&path, ending));
        }
        let _ = std::fs::remove_dir_all(path);
    }

    /// Gives it what stays as it is now, and what comes next. The new name of the history is told.
    ///
    /// # Errors
    /// `unavailable` if the file cannot be written.
    pub fn dress(&self, database: &Path, page_bytes: i64, next: &Stand) -> Result<String> {
        let mut own = Connection::open(&self.path)?;
        let bytes = |own: &Connection| own.query_row("PRAGMA page_size", [], |row| row.get::<_, i64>(0));
        if bytes(&own)? != page_bytes {
            return Err(Error::unsupported(
                "At that moment the database had pages of another size; it can be restored as a file (tidebase restore --to FILE).",
            ));
        }
        own.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let meta = system::prepare(&mut own, false)?;
        let live = database.to_str().ok_or_else(|| Error::unsupported("The database's path is not UTF-8."))?;
        own.execute("ATTACH ?1 AS live", [live])?;
        let transaction = own.transaction()?;
        for table in system::STAYS {
            let table = quoted(table);
            transaction.execute_batch(&format!(
                "DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM live.{table};"
            ))?;
        }
        transaction.execute_batch(
            "INSERT OR REPLACE INTO main._tide_meta SELECT * FROM live._tide_meta WHERE name NOT IN ('history', 'schema_epoch')",
        )?;
        system::set(&transaction, "schema_epoch", &next.schema_epoch)?;
        let told = ChangeSet { revision: next.revision, extent: Extent::Everything { schema: true } };
        log::append(&transaction, &[told], next.time_ms, next.schema_epoch)?;
        let detail =
            serde_json::json!({ "to": self.restored.revision, "of": self.restored.time, "before": next.revision - 1 });
        audit::write(&transaction, &AuditEntry::new(self.who.clone(), "restored", detail), next.time_ms)?;
        transaction.commit()?;
        own.execute_batch("DETACH live; PRAGMA main.wal_checkpoint(TRUNCATE)")?;
        Ok(meta.history)
    }

    /// Writes it over the database of this connection, which has no transaction open.
    ///
    /// # Errors
    /// `unavailable` if the disk is full, or another program does not let go of the file. Then nothing has changed.
    pub fn take_place(&self, own: &mut Connection, patience: Duration) -> Result<()> {
        let from = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let backup = Backup::new(&from, own)?;
        let mut waits_since = None;
        loop {
            match backup.step(PAGES_AT_ONCE)? {
                StepResult::Done => return Ok(()),
                StepResult::More => waits_since = None,
                _ if waits_since.get_or_insert_with(Instant::now).elapsed() > patience => {
                    return Err(Error::unavailable("Another program holds the database. Try again later."));
                }
                _ => std::thread::sleep(BETWEEN_TRIES),
            }
        }
    }
}

impl Drop for Fork {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&self.path, ending));
        }
    }
}

//! One server per database file: an advisory lock beside it, let go by the system when the process ends.

use super::vouch::beside;
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Held as long as the database is open.
#[derive(Debug)]
pub struct ServerLock {
    _file: File,
}

impl ServerLock {
    /// # Errors
    /// `unavailable` if another server has the database, or the folder cannot be written.
    pub fn take(database: &Path) -> Result<Self> {
        let path = beside(database, "-tide-lock");
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(|error| {
            Error::unavailable(format!(
                "{} cannot be written: {error}. The database's folder must be writable for the server.",
                path.display()
            ))
            .caused_by(error)
        })?;
        // `tidebase doctor` looks whether the lock is held by taking it for an instant.
        let mut tried = file.try_lock();
        for _ in 0..TRIES {
            if !matches!(tried, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(BETWEEN_TRIES);
            tried = file.try_lock();
        }
        match tried {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::unavailable(format!(
                "Another Tidebase is already serving {}. Stop it first, or talk to it: `tidebase sql --url`, and --url with other commands.",
                database.display()
            ))),
            Err(TryLockError::Error(error)) => {
                Err(Error::unavailable(format!("{} cannot be locked: {error}.", path.display())).caused_by(error))
            }
        }
    }
}

//! Around the database file: that it is there, its folder, the disk, and whether a server has it. Opens none of it but
//! the lock file, which is not the database.

use super::finding::{Finding, bytes};
use crate::config::display;
use rustix::fs::{Access, access, statvfs};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use tidebase_engine::storage::private;
use tidebase_engine::storage::vouch::beside;

/// Below this a server soon cannot write.
const FREE_BYTES_MIN: u64 = 100_000_000;
/// Below this it is time to think of the disk.
const FREE_BYTES_LOW: u64 = 1_000_000_000;

pub fn examine(path: &Path, tell: &mut dyn FnMut(Finding)) {
    tell(file(path));
    if let Some(doubt) = private::doubt(path) {
        tell(Finding::warning("privacy", doubt));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tell(writable(path, folder));
    let nearest = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    tell(space(nearest, std::fs::metadata(path).map_or(0, |file| file.len())));
    tell(server(path));
}

fn file(path: &Path) -> Finding {
    let shown = display(path);
    match std::fs::metadata(path) {
        Ok(file) if file.is_dir() => {
            Finding::problem("file", format!("{shown} is a folder; --db wants the file in it."))
        }
        Ok(file) => Finding::ok("file", format!("{shown}, {}", bytes(file.len()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Finding::problem(
            "file",
            format!(
                "There is no database {shown}. Name another with --db; `tidebase serve --db {shown}` makes this one."
            ),
        ),
        Err(error) => Finding::problem("file", format!("{shown} cannot be looked at: {error}.")),
    }
}

fn writable(path: &Path, folder: &Path) -> Finding {
    let shown = display(folder);
    if !folder.exists() {
        return Finding::note("folder", format!("There is no folder {shown}; the server makes it on its first start."));
    }
    let cannot = |what: &Path, error: rustix::io::Errno| {
        let error = std::io::Error::from(error);
        Finding::problem(
            "folder",
            format!("{} cannot be written: {error}. The server needs its permissions changed.", display(what)),
        )
    };
    // SQLite and the server keep files beside the database.
    if let Err(error) = access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        return cannot(folder, error);
    }
    match access(path, Access::WRITE_OK) {
        Err(error) if path.exists() => cannot(path, error),
        _ => Finding::ok("folder", format!("{shown} can be written")),
    }
}

fn space(folder: &Path, database_bytes: u64) -> Finding {
    let Ok(disk) = statvfs(folder) else {
        return Finding::note("disk", "How much space is free cannot be told.");
    };
    judge_space(disk.f_bavail.saturating_mul(disk.f_frsize), database_bytes)
}

fn judge_space(free: u64, database_bytes: u64) -> Finding {
    let shown = bytes(free);
    if free < FREE_BYTES_MIN {
        Finding::problem("disk", format!("Only {shown} are free. Writes fail when the disk is full: free some space."))
    } else if free < FREE_BYTES_LOW {
        Finding::warning("disk", format!("Only {shown} are free. Think of more space soon."))
    } else if free < database_bytes {
        Finding::warning(
            "disk",
            format!("{shown} are free, less than the database: a backup on this disk will not fit."),
        )
    } else {
        Finding::ok("disk", format!("{shown} free"))
    }
}

/// A server holds an exclusive lock on a file beside the database as long as it runs.
fn server(path: &Path) -> Finding {
    let real: PathBuf = path.canonicalize().unwrap_or_else(|_| path.into());
    let Ok(lock) = File::open(beside(&real, "-tide-lock")) else {
        return Finding::ok("server", "none has the database open");
    };
    // Shared and let go at once: it cannot disturb a server that runs, nor another doctor.
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Finding::ok("server", "a Tidebase server holds the database now"),
        Err(TryLockError::Error(error)) => {
            Finding::warning("server", format!("Whether one runs cannot be told: locks do not work here ({error})."))
        }
        Ok(()) => Finding::ok("server", "none has the database open"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Word;
    use super::*;

    #[test]
    fn little_space_is_a_problem_before_it_is_none() {
        for (free, database, word) in [
            (5_000_000_000, 1000, Word::Ok),
            (5_000_000_000, 6_000_000_000, Word::Warning),
            (500_000_000, 1000, Word::Warning),
            (5_000_000, 1000, Word::Problem),
        ] {
            assert_eq!(judge_space(free, database).word, word, "{free} {database}");
        }
    }
}

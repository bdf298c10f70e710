//! Power loss, simulated: a SQLite VFS that knows which bytes have been synced, and writes on demand, into another
//! directory, the databases as they could be found had the power gone that instant.
//!
//! Killing a process proves little about durability: the kernel keeps what was written, synced or not, so a server
//! with `PRAGMA synchronous=OFF` survives any number of `kill -9`. Here only `fsync` counts.
//!
//! ```text
//! let power = power_loss::install(); // and open connections with the VFS NAME
//! …                                  // the server works in `live` and acknowledges commits
//! let acked = ledger.len();          // first the acknowledgements, then the cut
//! power.cut(seed, &live, &found)?;   // at any instant, from any thread, as often as wanted
//! …                                  // open `found` with PLAIN_VFS: sound, and all `acked` are there?
//! ```
//!
//! The live files go on undisturbed; a cut is a branch of history, not an end. Open its image with [`PLAIN_VFS`] to
//! look at it, or with this VFS to go on working in it and cut again.
//!
//! # The model
//! Covered are databases, WALs and rollback journals, one instant for all of them. Durable is what a file held when a
//! sync of it *began* that has since *returned*; what it held when first opened; and the entry of a file that has been
//! synced, or whose directory was. Of everything since, a seed decides: each 512-byte sector is found after any number
//! of its own changes, the last of them perhaps in part, zeroed or garbled within the bytes it wrote (`model.rs`); the
//! length may fall short; a file never synced may be missing; a file deleted without a sync of its directory may be
//! back (`disk.rs`). Some cuts keep everything, some nothing, some the order of writes, most neither.
//!
//! This is harsher than a kernel and its file system: they also keep some order between files. It is milder in three
//! places: bytes next to an overwrite are never harmed (SQLite is told so, as on any unix), a sync that returned is
//! never a lie (unless [`PowerLoss::lie`] asks for it), and a failed sync is passed on without losing pages to it.
//!
//! # Not here
//! The -shm, which nobody looks for after a crash. Files SQLite does not write. What is done to its files behind its
//! back: one removed or renamed away is still found under its old name, one renamed over a known one counts as new and
//! durable when SQLite next opens it. Connections to the same file through another VFS. Injected I/O errors.

mod disk;
mod model;
mod vfs;

pub use disk::Cut;
use disk::Disk;
use std::ffi::CStr;
use std::io;
use std::path::Path;
use std::sync::MutexGuard;

/// The VFS whose files can be cut.
pub const NAME: &CStr = c"tide-power-loss";

/// The VFS below it, for looking at what a cut left.
pub const PLAIN_VFS: &CStr = c"unix";

/// The disk under all files of the VFS [`NAME`]: one per process, copies are the same.
#[derive(Clone, Copy)]
pub struct PowerLoss {
    disk: vfs::Lock,
}

/// Registers the VFS [`NAME`], once per process however often called.
pub fn install() -> PowerLoss {
    PowerLoss { disk: vfs::register(NAME) }
}

impl PowerLoss {
    fn disk(self) -> MutexGuard<'static, Disk> {
        self.disk.lock().expect("a panic under this lock crosses into C and ends the process")
    }

    /// Writes into `to`, an empty or absent directory, what could be found of the databases in and below the directory
    /// `from` had the power gone now. Writers wait meanwhile. The same state and seed give the same image.
    pub fn cut(self, seed: u64, from: &Path, to: &Path) -> io::Result<Cut> {
        let from = from.canonicalize()?;
        self.disk().cut(seed, &from, to)
    }

    /// Stops the disk right after `operations` more writes, truncations, creations, deletions, and beginnings and ends
    /// of syncs below `from`, and calls `witness` on the thread that did the last of them, before SQLite hears of it.
    /// What had been acknowledged at that moment must be in the images cut there. It returns after how many further
    /// operations to be called again, if at all. For walking through a workload instant by instant, where a second
    /// thread would mostly meet the writer waiting for a sync or for work.
    ///
    /// `witness` must use neither connections of this VFS nor [`PowerLoss`], only the [`Moment`]; a panic in it ends
    /// the process.
    pub fn after(
        self,
        operations: u64,
        from: &Path,
        mut witness: impl FnMut(&Moment<'_>) -> Option<u64> + Send + 'static,
    ) -> io::Result<()> {
        let from = from.canonicalize()?;
        let under = from.clone();
        self.disk().schedule(operations, under, Box::new(move |disk| witness(&Moment { disk, from: &from })));
        Ok(())
    }

    /// From now on the disk says of files below `from` that it has synced them, and has not: the fault to be found, for
    /// a trial that must show that it would.
    pub fn lie(self, from: &Path) -> io::Result<()> {
        let from = from.canonicalize()?;
        self.disk().lie(from);
        Ok(())
    }

    /// Drops all that is known of files below `from`, and what [`PowerLoss::after`] has scheduled there. Close the
    /// connections first.
    pub fn forget(self, from: &Path) -> io::Result<()> {
        let from = from.canonicalize()?;
        self.disk().forget(&from);
        Ok(())
    }
}

/// An instant at which nothing moves; see [`PowerLoss::after`].
pub struct Moment<'a> {
    disk: &'a Disk,
    from: &'a Path,
}

impl Moment<'_> {
    /// As [`PowerLoss::cut`]; several cuts of one moment show several fates of the same state.
    pub fn cut(&self, seed: u64, to: &Path) -> io::Result<Cut> {
        self.disk.cut(seed, self.from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::{Connection, OpenFlags};
    use std::sync::{Arc, Mutex};

    fn open(file: &Path, vfs: &CStr) -> rusqlite::Result<Connection> {
        Connection::open_with_flags_and_vfs(
            file,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            vfs,
        )
    }

    fn count(connection: &Connection) -> rusqlite::Result<u32> {
        connection.query_row("select count(*) from t", [], |row| row.get(0))
    }

    #[derive(Default)]
    struct Findings {
        cuts: u64,
        /// Images that were corrupt or lacked an acknowledged row.
        bad: u64,
        sectors_stale: usize,
    }

    /// Inserts rows one commit at a time with a checkpoint now and then, and cuts at every operation of the disk.
    fn walk(synchronous: &str, rows: u32) -> Findings {
        let power = install();
        let home = tempfile::tempdir().unwrap();
        let (live, images) = (home.path().join("live"), home.path().join("images"));
        std::fs::create_dir(&live).unwrap();
        let writer = open(&live.join("a.db"), NAME).unwrap();
        writer.execute_batch("pragma journal_mode = wal; pragma wal_autocheckpoint = 10").unwrap();
        writer.execute_batch("create table t(id integer primary key, body); pragma wal_checkpoint(truncate)").unwrap();
        writer.execute_batch(&format!("pragma synchronous = {synchronous}")).unwrap();

        let shared = Arc::new(Mutex::new((0, Findings::default())));
        let witnessed = shared.clone();
        power
            .after(1, &live, move |moment| {
                let (acked, findings) = &mut *witnessed.lock().unwrap();
                findings.cuts += 1;
                let image = images.join(findings.cuts.to_string());
                findings.sectors_stale += moment.cut(findings.cuts, &image).unwrap().sectors_stale;
                let found = open(&image.join("a.db"), PLAIN_VFS).unwrap();
                let sound = found.query_row("pragma integrity_check", [], |row| Ok(row.get::<_, String>(0)? == "ok"));
                findings.bad += u64::from(!(sound.unwrap_or(false) && count(&found).is_ok_and(|rows| rows >= *acked)));
                Some(1)
            })
            .unwrap();
        for id in 1..=rows {
            writer.execute("insert into t values (?1, randomblob(900))", [id]).unwrap();
            shared.lock().unwrap().0 = id;
        }
        drop(writer);
        power.forget(&live).unwrap();
        std::mem::take(&mut shared.lock().unwrap().1)
    }

    #[test]
    fn what_was_synced_before_it_was_acknowledged_survives_every_cut() {
        let findings = walk("full", 40);
        assert_eq!(findings.bad, 0);
        assert!(findings.cuts > 150 && findings.sectors_stale > 500, "the cuts lost something else");
    }

    #[test]
    fn a_server_that_does_not_sync_is_found_out() {
        assert!(walk("off", 40).bad > 10);
        assert!(walk("normal", 40).bad > 10);
    }

    #[test]
    fn a_cut_is_repeatable_and_only_fills_an_empty_directory() {
        let power = install();
        let home = tempfile::tempdir().unwrap();
        let live = home.path().join("live");
        std::fs::create_dir(&live).unwrap();
        let writer = open(&live.join("a.db"), NAME).unwrap();
        writer.execute_batch("pragma journal_mode = wal; pragma synchronous = off; create table t(a)").unwrap();
        let image = |name: &str| {
            let to = home.path().join(name);
            power.cut(3, &live, &to).map(|cut| (cut, std::fs::read(to.join("a.db")).ok()))
        };
        let (first, second) = (image("one").unwrap(), image("two").unwrap());
        assert!(first == second);
        let occupied = home.path().join("occupied");
        std::fs::create_dir_all(occupied.join("something")).unwrap();
        assert!(power.cut(3, &live, &occupied).is_err());
        power.forget(&live).unwrap();
    }

    #[test]
    fn what_was_there_when_first_opened_is_durable() {
        let power = install();
        let home = tempfile::tempdir().unwrap();
        let live = home.path().join("live");
        std::fs::create_dir(&live).unwrap();
        let plain = open(&live.join("a.db"), PLAIN_VFS).unwrap();
        plain.execute_batch("pragma synchronous = off; create table t(a); insert into t values (1), (2)").unwrap();
        drop(plain);
        let reader = open(&live.join("a.db"), NAME).unwrap();
        assert_eq!(count(&reader).unwrap(), 2);
        assert_eq!(reader.query_row("pragma mmap_size = 1000000", [], |row| row.get(0)), Ok(0));
        for seed in 0..20 {
            let image = home.path().join(seed.to_string());
            power.cut(seed, &live, &image).unwrap();
            assert_eq!(count(&open(&image.join("a.db"), PLAIN_VFS).unwrap()).unwrap(), 2);
        }
        drop(reader);
        power.forget(&live).unwrap();
    }
}

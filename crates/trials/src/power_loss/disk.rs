//! What the disk below SQLite is known to hold: per path the durable image and the changes since, and the moments at
//! which a cut may be taken.
//!
//! Safe code without SQLite; [`super::vfs`] tells it what happened, always under the one lock around [`Disk`], and what
//! a file may look like afterwards is [`super::model`]'s business. A durable image is an unnamed file in the temporary
//! directory. It is never read from the live file by other means than SQLite's own handle: closing a second descriptor
//! of a database would drop the locks SQLite holds on it.
//!
//! Directory entries: a path holds the series of files it has named since its directory was last synced, newest last,
//! `None` for "no such file"; a cut finds any one of them. Syncing a file makes its own entry durable. Creating or
//! deleting a journal reaches the directory when SQLite syncs that.

use super::model::{Change, Dice, SECTOR_BYTES, Sector, possible_image};
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Seek};
use std::mem;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Unsynced bytes of one file at which the oldest half of its changes count as written back. Without a bound, a
/// workload that never syncs would be held in memory whole; kernels do not hold it for ever either.
const UNSYNCED_BYTES_MAX: usize = 32 << 20;

const SHADOW: &str = "the durable image in the temporary directory can be written and read";

/// Names a file for as long as a handle is open on it or a path may still lead to it.
pub type FileId = u64;

pub struct Disk {
    files: BTreeMap<FileId, Tracked>,
    /// Never empty series; see the header.
    entries: BTreeMap<PathBuf, Vec<Option<FileId>>>,
    last_id: FileId,
    scheduled: Vec<Scheduled>,
    /// Folders on a disk that says it has synced and has not.
    liars: Vec<PathBuf>,
}

struct Tracked {
    path: PathBuf,
    /// Device and inode of the live file.
    identity: (u64, u64),
    handles: usize,
    durable: File,
    durable_length: u64,
    unsynced: Vec<Change>,
    unsynced_bytes: usize,
    /// Changes that are in the durable image already.
    settled: u64,
}

/// Returns after how many further operations to be called again.
pub type Witness = Box<dyn FnMut(&Disk) -> Option<u64> + Send>;

struct Scheduled {
    under: PathBuf,
    operations_left: u64,
    witness: Witness,
}

/// What a cut did to the files it wrote: a run whose cuts lose nothing has tested nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    pub files: usize,
    /// Files whose directory entry had not been synced and is gone.
    pub files_missing: usize,
    /// Changes no sync had covered.
    pub changes_unsynced: usize,
    /// Sectors that lack at least one change made to them.
    pub sectors_stale: usize,
    /// Sectors in which a change arrived in part, as zeroes or as noise.
    pub sectors_torn: usize,
}

impl Disk {
    pub const fn new() -> Self {
        Self { files: BTreeMap::new(), entries: BTreeMap::new(), last_id: 0, scheduled: Vec::new(), liars: Vec::new() }
    }

    /// Notes that SQLite has opened `path`. `before` is what was there just before, `contents` reads all of it; it is
    /// asked for only if the file is not known, and counts as durable then.
    pub fn opened(
        &mut self,
        path: &Path,
        before: Option<Metadata>,
        contents: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> io::Result<FileId> {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let existed = before.is_some();
        if let (Some(before), Some(&Some(id))) = (before.map(identity), self.entries.get(path).and_then(|e| e.last())) {
            let file = self.files.get_mut(&id).expect("an entry leads to a file");
            if file.identity == before {
                file.handles += 1;
                return Ok(id);
            }
        }
        let contents = if existed { contents()? } else { Vec::new() };
        let durable = tempfile::tempfile()?;
        durable.write_all_at(&contents, 0)?;
        self.last_id += 1;
        self.files.insert(
            self.last_id,
            Tracked {
                path: path.to_owned(),
                identity: identity(fs::metadata(path)?),
                handles: 1,
                durable,
                durable_length: contents.len() as u64,
                unsynced: Vec::new(),
                unsynced_bytes: 0,
                settled: 0,
            },
        );
        if existed {
            self.entries.insert(path.to_owned(), vec![Some(self.last_id)]);
        } else {
            self.entries.entry(path.to_owned()).or_insert_with(|| vec![None]).push(Some(self.last_id));
        }
        self.drop_unreachable();
        self.operation(path);
        Ok(self.last_id)
    }

    pub fn closed(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.handles -= 1;
            self.drop_unreachable();
        }
    }

    pub fn changed(&mut self, id: FileId, change: Change) {
        // A forgotten file: its handle outlived `forget`.
        let Some(file) = self.files.get_mut(&id) else { return };
        file.unsynced_bytes += change.bytes();
        file.unsynced.push(change);
        if file.unsynced_bytes > UNSYNCED_BYTES_MAX {
            file.settle(file.unsynced.len() / 2);
        }
        let path = file.path.clone();
        self.operation(&path);
    }

    /// A sync begins; what it will have made durable when it returns, to be handed to [`Disk::synced`].
    pub fn syncing(&mut self, id: FileId) -> u64 {
        let Some(file) = self.files.get(&id) else { return 0 };
        let covered = file.settled + file.unsynced.len() as u64;
        let path = file.path.clone();
        self.operation(&path);
        covered
    }

    /// A sync has succeeded, of the file and perhaps of its directory.
    pub fn synced(&mut self, id: FileId, covered: u64, directory_too: bool) {
        let Some(file) = self.files.get_mut(&id) else { return };
        if self.liars.iter().any(|liar| file.path.starts_with(liar)) {
            let path = file.path.clone();
            return self.operation(&path);
        }
        file.settle(covered.saturating_sub(file.settled) as usize);
        let path = file.path.clone();
        if let Some(entry) = self.entries.get_mut(&path)
            && entry.last() == Some(&Some(id))
        {
            *entry = vec![Some(id)];
        }
        if directory_too {
            self.directory_synced(&path);
        }
        self.drop_unreachable();
        self.operation(&path);
    }

    pub fn deleted(&mut self, path: &Path, directory_synced: bool) {
        if let Some(entry) = self.entries.get_mut(path) {
            entry.push(None);
        }
        if directory_synced && !self.liars.iter().any(|liar| path.starts_with(liar)) {
            self.directory_synced(path);
        }
        self.drop_unreachable();
        self.operation(path);
    }

    /// From now on no sync of a file under `under` makes anything durable, whatever it says.
    pub fn lie(&mut self, under: PathBuf) {
        self.liars.push(under);
    }

    /// The directory `path` lies in names for good what it names now.
    fn directory_synced(&mut self, path: &Path) {
        self.entries.retain(|other, entry| {
            if other.parent() == path.parent() {
                entry.drain(..entry.len() - 1);
            }
            entry != &[None]
        });
    }

    fn drop_unreachable(&mut self) {
        let entries = &self.entries;
        self.files.retain(|id, file| {
            file.handles > 0 || entries.get(&file.path).is_some_and(|entry| entry.contains(&Some(*id)))
        });
    }

    pub fn forget(&mut self, under: &Path) {
        self.entries.retain(|path, _| !path.starts_with(under));
        self.files.retain(|_, file| !file.path.starts_with(under));
        self.scheduled.retain(|scheduled| !scheduled.under.starts_with(under));
        self.liars.retain(|liar| !liar.starts_with(under));
    }

    /// Calls `witness` right after the given number of further operations on files under `under`.
    pub fn schedule(&mut self, operations: u64, under: PathBuf, witness: Witness) {
        self.scheduled.push(Scheduled { under, operations_left: operations.max(1), witness });
    }

    fn operation(&mut self, path: &Path) {
        let mut all = mem::take(&mut self.scheduled);
        all.retain_mut(|scheduled| {
            scheduled.operations_left -= u64::from(path.starts_with(&scheduled.under));
            if scheduled.operations_left == 0 {
                scheduled.operations_left = (scheduled.witness)(self).unwrap_or_default();
            }
            scheduled.operations_left > 0
        });
        self.scheduled = all;
    }

    /// Writes into the empty or absent directory `to` what power loss right now could leave of the files under `from`.
    pub fn cut(&self, seed: u64, from: &Path, to: &Path) -> io::Result<Cut> {
        fs::create_dir_all(to)?;
        if fs::read_dir(to)?.next().is_some() {
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, to.display().to_string()));
        }
        let mut dice = Dice::new(seed);
        let mut cut = Cut::default();
        for (path, entry) in &self.entries {
            let Ok(relative) = path.strip_prefix(from) else { continue };
            let found = entry[dice.below(entry.len() as u64) as usize];
            if let Some(id) = found {
                let target = to.join(relative);
                fs::create_dir_all(target.parent().expect("a file lies in a directory"))?;
                self.files.get(&id).expect("an entry leads to a file").cut(&mut dice, &target, &mut cut)?;
            } else {
                cut.files_missing += usize::from(entry.last() != Some(&None));
            }
        }
        Ok(cut)
    }
}

impl Tracked {
    /// Moves the oldest `count` changes into the durable image.
    fn settle(&mut self, count: usize) {
        for change in self.unsynced.drain(..count) {
            self.unsynced_bytes -= change.bytes();
            self.durable_length = change.length_after(self.durable_length);
            match change {
                Change::Write { at, bytes } => self.durable.write_all_at(&bytes, at),
                Change::Truncate(length) => self.durable.set_len(length),
            }
            .expect(SHADOW);
            self.settled += 1;
        }
    }

    fn durable_sector(&self, index: u64) -> Sector {
        let mut sector = [0; SECTOR_BYTES];
        let start = index * SECTOR_BYTES as u64;
        let count = self.durable_length.saturating_sub(start).min(SECTOR_BYTES as u64) as usize;
        self.durable.read_exact_at(&mut sector[..count], start).expect(SHADOW);
        sector
    }

    fn cut(&self, dice: &mut Dice, target: &Path, cut: &mut Cut) -> io::Result<()> {
        let image = possible_image(self.durable_length, |index| self.durable_sector(index), &self.unsynced, dice);
        let mut file = File::create_new(target)?;
        let mut durable = &self.durable;
        durable.rewind()?;
        io::copy(&mut durable, &mut file)?;
        file.set_len(image.length)?;
        for (index, sector) in &image.sectors {
            let start = index * SECTOR_BYTES as u64;
            let count = image.length.saturating_sub(start).min(SECTOR_BYTES as u64) as usize;
            file.write_all_at(&sector[..count], start)?;
        }
        cut.files += 1;
        cut.changes_unsynced += self.unsynced.len();
        cut.sectors_stale += image.sectors_stale;
        cut.sectors_torn += image.sectors_torn;
        Ok(())
    }
}

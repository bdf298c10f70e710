//! Where files stand, and how one comes to stand there: as Litestream's file replica has it.
//!
//! ```text
//! manifest.jsonl                                     see `manifest`; Litestream does not look at it
//! ltx/0/0000000000000007-0000000000000007.ltx        a group of transactions
//! ltx/1/…  ltx/2/…                                   compacted, a minute and an hour
//! ltx/9/0000000000000001-0000000000000007.ltx        a snapshot
//! ```
//!
//! A file appears whole or not at all, and never in another's place. Its modification time is that of its last
//! transaction: Litestream restores to a time by it. We do not; `files` reads the headers.

use crate::checksum::Rolling;
use crate::decode::Decoder;
use crate::digest::{Digesting, Hash, hexadecimal};
use crate::encode::Written;
use crate::error::{Error, Result};
use crate::format::{HEADER_SIZE, Header, Span};
use crate::manifest::Record;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

pub const MANIFEST: &str = "manifest.jsonl";
const DRAFT: &str = "tmp";
/// A large file goes to the disk as it is written. Gigabytes that are left to the end are written back in one flood, and whoever syncs a
/// few bytes of his own meanwhile waits for it.
const UNSYNCED_BYTES_MAX: u64 = 16 << 20;

/// 0 to 9. What lies on which is the policy of whoever writes; Litestream takes snapshots from 9 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    pub const GROUP: Self = Self(0);
    pub const MINUTE: Self = Self(1);
    pub const HOUR: Self = Self(2);
    pub const SNAPSHOT: Self = Self(9);

    pub fn new(number: u8) -> Option<Self> {
        (number <= 9).then_some(Self(number))
    }

    pub const fn number(self) -> u8 {
        self.0
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..=9).map(Self)
    }
}

/// A file of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub level: Level,
    pub span: Span,
    /// Of its last transaction, in milliseconds since 1970.
    pub time_ms: u64,
    pub size: u64,
}

#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn manifest(&self) -> PathBuf {
        self.root.join(MANIFEST)
    }

    pub fn path(&self, level: Level, span: Span) -> PathBuf {
        self.level(level).join(name(span))
    }

    /// All files of all levels, by level and span. Reads each file's header; what has another name is passed over.
    ///
    /// # Errors
    /// `Damaged` with the path, if a header is not that of the file's name. `Io`.
    pub fn files(&self) -> Result<Vec<Stored>> {
        let mut files = Vec::new();
        for level in Level::all() {
            for span in self.spans(level)? {
                files.push(self.stored(level, span)?);
            }
        }
        Ok(files)
    }

    /// The spans of a level's files, as their names say them, in order.
    pub fn spans(&self, level: Level) -> Result<Vec<Span>> {
        let folder = self.level(level);
        let cannot = |error| Error::io(format!("{} cannot be listed", folder.display()), error);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(cannot(error)),
        };
        let mut spans = Vec::new();
        for entry in entries {
            spans.extend(entry.map_err(cannot)?.file_name().to_str().and_then(parse));
        }
        spans.sort();
        Ok(spans)
    }

    pub fn stored(&self, level: Level, span: Span) -> Result<Stored> {
        let path = self.path(level, span);
        let cannot = |error| Error::io(format!("{} cannot be read", path.display()), error);
        let mut file = File::open(&path).map_err(cannot)?;
        let size = file.metadata().map_err(cannot)?.len();
        let mut bytes = [0; HEADER_SIZE];
        file.read_exact(&mut bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Error::damaged(format!("{} has no whole header", path.display())),
            _ => cannot(error),
        })?;
        let header = Header::from_bytes(&bytes).map_err(|error| error.within(path.display()))?;
        if header.span != span {
            return Err(Error::damaged(format!("{} holds {}, which is not its name", path.display(), header.span)));
        }
        Ok(Stored { level, span, time_ms: header.time_ms, size })
    }

    pub fn open(&self, level: Level, span: Span) -> Result<File> {
        let path = self.path(level, span);
        File::open(&path).map_err(|error| Error::io(format!("{} cannot be opened", path.display()), error))
    }

    pub fn decode(&self, level: Level, span: Span) -> Result<Decoder<File>> {
        let path = self.path(level, span);
        Decoder::new(self.open(level, span)?).map_err(|error| error.within(path.display()))
    }

    /// The line of a file whose line was lost, as far as the file tells it: it has no checksum of the database but for a snapshot, and no
    /// revision. Reads all of it.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn derive(&self, level: Level, span: Span) -> Result<Record> {
        let stored = self.stored(level, span)?;
        let mut decoder = self.decode(level, span)?;
        let mut rolling = Rolling::new(decoder.header().page_size);
        rolling.resize(decoder.header().commit);
        while let Some(page) = decoder.next()? {
            if span.is_snapshot() {
                rolling.set(page.number, page.data);
            }
        }
        let mut digest = Digesting::new(io::sink());
        io::copy(&mut self.open(level, span)?, &mut digest)
            .map_err(|error| Error::io(format!("{stored} cannot be read"), error))?;
        let (size, sha256) = digest.told();
        let checksum = if span.is_snapshot() { rolling.value() } else { Record::NO_CHECKSUM };
        let Span { first, last } = span;
        let (level, time_ms, previous) = (level.0, stored.time_ms, Hash::default());
        Ok(Record { level, first, last, time_ms, size, sha256, checksum, revision: None, previous })
    }

    /// A file that is to be, for an encoder to write into. Gone if it is not published.
    pub fn draft(&self, level: Level) -> Result<Draft> {
        let folder = self.level(level);
        let (file, path) = self.new_file(&folder)?;
        Ok(Draft { file: Digesting::new(file), path, folder, level, unsynced: 0 })
    }

    /// Removes drafts that a crash left. Only for the one who writes, and before it does.
    pub fn sweep(&self) -> Result<()> {
        for level in Level::all() {
            let folder = self.level(level);
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.extension().is_some_and(|extension| extension == DRAFT) {
                    fs::remove_file(&path)
                        .map_err(|error| Error::io(format!("{} cannot be removed", path.display()), error))?;
                }
            }
        }
        Ok(())
    }

    /// A file without a name, for what is between.
    pub(crate) fn scratch(&self, level: Level) -> Result<File> {
        let (file, path) = self.new_file(&self.level(level))?;
        fs::remove_file(&path).map_err(|error| Error::io(format!("{} cannot be removed", path.display()), error))?;
        Ok(file)
    }

    /// Never one that was there: a draft that a crash left may be the second name of a published file.
    fn new_file(&self, folder: &Path) -> Result<(File, PathBuf)> {
        static DRAFTS: AtomicU64 = AtomicU64::new(0);
        let cannot = |error| Error::io(format!("no file can be made in {}", folder.display()), error);
        if !folder.is_dir() {
            fs::create_dir_all(folder).map_err(cannot)?;
            for folder in folder.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root)) {
                sync_folder(folder).map_err(cannot)?;
            }
        }
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}.{DRAFT}", std::process::id()));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot(error)),
            _ => {}
        }
        // Who may read the database may read this, and nobody else.
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path).map_err(cannot)?;
        Ok((file, path))
    }

    fn level(&self, level: Level) -> PathBuf {
        self.root.join("ltx").join(level.0.to_string())
    }
}

pub struct Draft {
    file: Digesting<File>,
    path: PathBuf,
    folder: PathBuf,
    level: Level,
    /// Bytes that the disk may not have yet.
    unsynced: u64,
}

impl Draft {
    /// Makes it durable, and gives it its name. What is told can go into the manifest.
    ///
    /// # Errors
    /// `Refused` if there is such a file already: another writer was quicker. `Io`.
    pub fn publish(self, written: &Written) -> Result<(Stored, Hash)> {
        let Header { span, time_ms, .. } = written.header;
        let (size, hash) = self.file.told();
        if size != written.size {
            return Err(Error::refused(format!("the draft has {size} bytes, and the encoder wrote {}", written.size)));
        }
        self.name(span, time_ms)?;
        Ok((Stored { level: self.level, span, time_ms, size }, hash))
    }

    /// The same with what was published once and has gone, or been damaged, if it is that to the byte.
    ///
    /// # Errors
    /// `Damaged` if it is something else. As for `publish`.
    pub fn publish_again(self, record: &Record) -> Result<()> {
        if self.file.told() != (record.size, record.sha256) {
            return Err(Error::damaged(format!("what was found of {} is not what was written", record.span())));
        }
        self.name(record.span(), record.time_ms)
    }

    fn name(&self, span: Span, time_ms: u64) -> Result<()> {
        let path = self.folder.join(name(span));
        let cannot = |error| Error::io(format!("{} cannot be written", path.display()), error);
        let file = self.file.out();
        file.set_modified(UNIX_EPOCH + Duration::from_millis(time_ms)).map_err(cannot)?;
        file.sync_all().map_err(cannot)?;
        put(&self.path, &path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::refused(format!("{} is there already", path.display())),
            _ => cannot(error),
        })?;
        sync_folder(&self.folder).map_err(cannot)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.unsynced += length as u64;
        if self.unsynced >= UNSYNCED_BYTES_MAX {
            self.file.out().sync_data()?;
            self.unsynced = 0;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Gives a file its name unless the name is taken.
fn put(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        // Some file systems know no links. There, two writers at a time would not be told apart.
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
            if path.try_exists()? {
                return Err(ErrorKind::AlreadyExists.into());
            }
            fs::rename(draft, path)
        }
        linked => linked,
    }
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// `0000000000000001-000000000000000a.ltx`
pub fn name(span: Span) -> String {
    format!("{:016x}-{:016x}.ltx", span.first, span.last)
}

/// The span that a name tells of, if it is one of ours.
pub fn parse(name: &str) -> Option<Span> {
    let (first, last) = name.strip_suffix(".ltx")?.split_once('-')?;
    let number = |digits: &str| hexadecimal(digits.as_bytes()).filter(|_| digits.len() == 16);
    Span::new(number(first)?, number(last)?).ok()
}

impl fmt::Display for Stored {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ltx/{}/{}", self.level.0, name(self.span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_litestream_writes_them() {
        let span = Span { first: 1, last: 0xab_cdef };
        assert_eq!(name(span), "0000000000000001-0000000000abcdef.ltx");
        assert_eq!(parse(&name(span)), Some(span));
        assert_eq!(
            Folder::new("r").path(Level::SNAPSHOT, span),
            Path::new("r/ltx/9/0000000000000001-0000000000abcdef.ltx")
        );
        for other in [
            "0000000000000001-0000000000ABCDEF.ltx",
            "1-2.ltx",
            "0000000000000000-0000000000000001.ltx",
            "0000000000000002-0000000000000001.ltx",
            "0000000000000001-0000000000000001.ltx.tmp",
            "7-0.tmp",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}

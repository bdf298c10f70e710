//! A database file from the files of a plan.
//!
//! Newest first: a page counts where it is met first, and older versions of it are passed over. So each page is written
//! once, one file is open at a time however long the plan is, and the checksum of the whole comes out on the way. Memory
//! is a buffer and one bit a page. Pages of zeros are left as holes.
//!
//! `restore` writes into an empty file that the caller made. Naming, syncing and what becomes of a half-written one are
//! `restore_to`'s, or the caller's.

use crate::checksum::page_checksum;
use crate::decode::Decoder;
use crate::error::{Error, Result};
use crate::folder::{Folder, Stored, sync_folder};
use crate::format::{CHECKSUM_FLAG, Header, PageSize, Span};
use crate::manifest::{Manifest, Record};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const BUFFER: usize = 1024 * 1024;

/// What there is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    pub page_size: PageSize,
    pub commit: u32,
    /// Of the whole database, as `Rolling` would tell it.
    pub checksum: u64,
    pub last: u64,
    pub time_ms: u64,
}

/// Writes the database of a plan's end into `out`. `open` gives the file of a span, by its place in the plan.
///
/// # Errors
/// `Gap` if the first span is no snapshot, or one does not join the one before; if a file is not of its span, or of
/// another page size. `Damaged` if a file is, or if the database has not the checksum `expected`. `Refused` if `out` is
/// not empty. `Io`. After an error `out` is worth nothing.
pub fn restore<R: Read>(
    plan: &[Span],
    mut open: impl FnMut(usize) -> Result<R>,
    out: &File,
    expected: Option<u64>,
) -> Result<Restored> {
    check(plan)?;
    if out.metadata().map_err(cannot_write)?.len() > 0 {
        return Err(Error::refused("a database is restored into an empty file, and this one is not"));
    }
    let mut target: Option<Target<'_>> = None;
    for (index, span) in plan.iter().enumerate().rev() {
        let mut decoder = Decoder::new(open(index)?).map_err(|error| error.within(span))?;
        let header = *decoder.header();
        if header.span != *span {
            return Err(Error::gap(format!("a file that should hold {span} holds {}", header.span)));
        }
        let target = target.get_or_insert_with(|| Target::new(header, out));
        target.enter(&header)?;
        while let Some(page) = decoder.next().map_err(|error| error.within(span))? {
            target.page(page.number, page.data)?;
        }
    }
    let target = target.expect("a plan that was checked has a file");
    target.finish(expected)
}

/// Restores files of a folder to `path`, durably, where nothing may be yet. What is known of the files in `manifest` is
/// held against them.
pub fn restore_to(folder: &Folder, plan: &[Stored], manifest: Option<&Manifest>, path: &Path) -> Result<Restored> {
    let named = |what: &str| format!("{} {what}", path.display());
    for ending in ["", "-wal", "-shm", "-journal"] {
        let path = with_ending(path, ending);
        if path.try_exists().map_err(|error| Error::io(named("cannot be looked at"), error))? {
            return Err(Error::refused(format!("{} is there already, and is not written over", path.display())));
        }
    }
    let partial = Partial::new(path)?;
    let spans: Vec<Span> = plan.iter().map(|file| file.span).collect();
    let record = |file: &Stored| manifest.and_then(|manifest| manifest.of(file.level.number(), file.span));
    let expected = plan.last().and_then(record).map(|record| record.checksum);
    let expected = expected.filter(|checksum| *checksum != Record::NO_CHECKSUM);
    let open = |index: usize| -> Result<Box<dyn Read>> {
        let stored = &plan[index];
        let file = folder.open(stored.level, stored.span)?;
        Ok(match record(stored) {
            Some(record) => Box::new(record.checked(file)),
            None => Box::new(file),
        })
    };
    let restored = restore(&spans, open, &partial.file, expected)?;
    partial.publish(path)?;
    Ok(restored)
}

fn check(plan: &[Span]) -> Result<()> {
    match plan.first() {
        None => return Err(Error::gap("there is nothing to restore from")),
        Some(first) if !first.is_snapshot() => {
            return Err(Error::gap(format!("a restore starts with a snapshot, not with {first}")));
        }
        Some(_) => {}
    }
    for pair in plan.windows(2) {
        if pair[1].first > pair[0].last.saturating_add(1) {
            return Err(Error::gap(format!("after {} nothing leads to {}", pair[0], pair[1])));
        }
        if pair[1].last <= pair[0].last {
            return Err(Error::gap(format!("{} come after {}, and lead no further", pair[1], pair[0])));
        }
    }
    Ok(())
}

/// The file that is written, and what is known of it.
struct Target<'a> {
    out: &'a File,
    end: Header,
    /// No file from here on, which is older, can have pages behind this that still count.
    limit: u32,
    /// The commit of the file that is being read: the limit of those before it.
    commit: u32,
    written: Pages,
    sum: u64,
    /// Pages that follow each other, and where they go.
    buffer: Vec<u8>,
    offset: u64,
}

impl<'a> Target<'a> {
    fn new(end: Header, out: &'a File) -> Self {
        let buffer = Vec::with_capacity(BUFFER);
        Self { out, end, limit: u32::MAX, commit: u32::MAX, written: Pages::default(), sum: 0, buffer, offset: 0 }
    }

    fn enter(&mut self, header: &Header) -> Result<()> {
        if header.page_size != self.end.page_size {
            return Err(Error::gap(format!(
                "{} have pages of {} bytes, {} of {}: between the two a snapshot is missing",
                header.span,
                header.page_size.bytes(),
                self.end.span,
                self.end.page_size.bytes()
            )));
        }
        self.limit = self.limit.min(self.commit);
        self.commit = header.commit;
        Ok(())
    }

    fn page(&mut self, number: u32, data: &[u8]) -> Result<()> {
        if number > self.limit || !self.written.add(number) {
            return Ok(());
        }
        self.sum ^= page_checksum(number, data);
        if data.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        let offset = u64::from(number - 1) * data.len() as u64;
        if offset != self.offset + self.buffer.len() as u64 || self.buffer.len() + data.len() > BUFFER {
            self.flush()?;
            self.offset = offset;
        }
        self.buffer.extend_from_slice(data);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.out.write_all_at(&self.buffer, self.offset).map_err(cannot_write)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self, expected: Option<u64>) -> Result<Restored> {
        self.flush()?;
        let Header { page_size, commit, span, time_ms, .. } = self.end;
        if self.written.count() != page_size.stored(commit) {
            let missing = self.written.first_missing(page_size);
            return Err(Error::gap(format!("page {missing} of {commit} is in none of the files")));
        }
        let checksum = self.sum | CHECKSUM_FLAG;
        if let Some(expected) = expected.filter(|&expected| expected != checksum) {
            return Err(Error::damaged(format!(
                "the database has the checksum {checksum:016x} after transaction {}, and had {expected:016x} when it was written",
                span.last
            )));
        }
        let size = u64::from(commit) * page_size.bytes() as u64;
        self.out.set_len(size).map_err(cannot_write)?;
        Ok(Restored { page_size, commit, checksum, last: span.last, time_ms })
    }
}

/// A set of page numbers, one bit each, with memory only where there are some.
#[derive(Default)]
struct Pages {
    chunks: BTreeMap<u32, Box<[u64; 512]>>,
    count: u32,
}

impl Pages {
    const CHUNK: u32 = 512 * 64;

    /// False if it is in already.
    fn add(&mut self, page: u32) -> bool {
        let chunk = self.chunks.entry(page / Self::CHUNK).or_insert_with(|| Box::new([0; 512]));
        let within = page % Self::CHUNK;
        let word = &mut chunk[within as usize / 64];
        let bit = 1 << (within % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        self.count += u32::from(is_new);
        is_new
    }

    fn has(&self, page: u32) -> bool {
        let within = page % Self::CHUNK;
        let chunk = self.chunks.get(&(page / Self::CHUNK));
        chunk.is_some_and(|chunk| chunk[within as usize / 64] & (1 << (within % 64)) != 0)
    }

    const fn count(&self) -> u32 {
        self.count
    }

    fn first_missing(&self, page_size: PageSize) -> u32 {
        let mut page = 1;
        while self.has(page) {
            page = page_size.after(page);
        }
        page
    }
}

/// A file under another name until it is whole.
struct Partial {
    file: File,
    path: PathBuf,
    is_published: bool,
}

impl Partial {
    fn new(path: &Path) -> Result<Self> {
        let path = with_ending(path, "-partial");
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Error::io(format!("{} cannot be written", path.display()), error))?;
        Ok(Self { file, path, is_published: false })
    }

    fn publish(mut self, path: &Path) -> Result<()> {
        self.file.sync_all().map_err(cannot_write)?;
        fs::rename(&self.path, path).map_err(cannot_write)?;
        self.is_published = true;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_folder(folder).map_err(cannot_write)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_published {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn cannot_write(error: std::io::Error) -> Error {
    Error::io("the restored database cannot be written", error)
}

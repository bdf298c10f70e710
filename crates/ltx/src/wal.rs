//! Reading what was committed to an SQLite WAL behind a place that one knows.
//!
//! `read` looks at the frames from a `Position` on, checks each with SQLite's own checksums, and finds the last version
//! of every page and the size of the database. It holds numbers, not pages: those are read again, by number, with
//! `Committed::each_page`. Between the two nobody may checkpoint. No SQLite is asked, and the database file, which one
//! must not open beside SQLite for the sake of its locks, is not touched.

use crate::error::{Error, Result};
use crate::format::{Origin, PageSize};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

const HEADER_SIZE: u64 = 32;
const FRAME_HEADER_SIZE: usize = 24;
/// The lowest bit says that the checksums are made of big-endian words.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// Behind a commit in one life of a WAL; a new life has new salts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub salts: [u32; 2],
    /// How many frames are before it.
    pub frames: u32,
    /// SQLite's checksum up to here.
    checksum: [u32; 2],
}

/// The first 32 bytes of a WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalHeader {
    pub page_size: PageSize,
    pub checkpoints: u32,
    pub salts: [u32; 2],
    is_big_endian: bool,
    checksum: [u32; 2],
}

/// What there was behind a position.
#[derive(Debug)]
pub enum Found {
    /// No further commit. A WAL of no bytes has none, whatever it had before.
    Nothing,
    /// The WAL has other salts: it began anew after a checkpoint. Whoever has captured all of the old one goes on with
    /// `read(wal, None, …)`; otherwise pages were lost to the checkpoint, and only a snapshot helps.
    BegunAnew {
        header: WalHeader,
        /// It is the life right after the one of the position: none was missed. If not, one may have been; or an empty
        /// WAL was truncated once more, or the file was made anew, and only who checkpoints can tell.
        is_next: bool,
    },
    /// A frame that should be there is not whole or not true.
    Torn {
        /// From 1.
        frame: u32,
        what: String,
    },
    Committed(Committed),
}

/// The pages of one or several commits.
#[derive(Debug)]
pub struct Committed {
    pub page_size: PageSize,
    /// Pages of the database after the last of the commits.
    pub commit: u32,
    /// Where to go on from.
    pub position: Position,
    pub origin: Origin,
    /// Page number to frame, counted from 0; without pages that a later commit cut off, and without the lock page.
    frames: BTreeMap<u32, u32>,
}

/// Looks behind `from`, or from the start of the WAL, for frames up to the count `until`.
///
/// With `until`, which SQLite tells its WAL hook, those frames must be there, and the last must end a commit: anything
/// else is `Torn`. (The hook is not told of a commit by a statement that is reset before its last row; the next commit's
/// count has it in.) Without, it ends at the last commit that is whole; a torn frame behind one is what a crash leaves.
///
/// # Errors
/// `Damaged` for a header that is no WAL's. `Refused` for an `until` before `from`. `Io`.
pub fn read(wal: &mut (impl Read + Seek), from: Option<&Position>, until: Option<u32>) -> Result<Found> {
    wal.seek(SeekFrom::Start(0)).map_err(cannot_read)?;
    let mut bytes = [0; HEADER_SIZE as usize];
    match fill(wal, &mut bytes)? {
        0 => return Ok(until.filter(|&frames| frames > 0).map_or(Found::Nothing, |_| torn(1, "the WAL is empty"))),
        length if length < bytes.len() => return Ok(torn(1, "the WAL ends within its header")),
        _ => {}
    }
    let header = match WalHeader::from_bytes(&bytes)? {
        Ok(header) => header,
        Err(what) => return Ok(torn(1, what)),
    };
    let from = match from {
        Some(from) if from.salts != header.salts => {
            return Ok(Found::BegunAnew { header, is_next: header.salts[0] == from.salts[0].wrapping_add(1) });
        }
        Some(from) => *from,
        None => Position { salts: header.salts, frames: 0, checksum: header.checksum },
    };
    if let Some(until) = until.filter(|&until| until < from.frames) {
        return Err(Error::refused(format!("frames up to {until} were asked for, behind frame {}", from.frames)));
    }
    Scan::new(&header, from).run(wal, until)
}

struct Scan {
    header: WalHeader,
    from: Position,
    /// Behind the frame read last, whether it ends a commit or not.
    here: Position,
    committed: Option<(Position, u32)>,
    frames: BTreeMap<u32, u32>,
    /// Of the commit that is being read.
    open: Vec<(u32, u32)>,
}

impl Scan {
    fn new(header: &WalHeader, from: Position) -> Self {
        Self { header: *header, from, here: from, committed: None, frames: BTreeMap::new(), open: Vec::new() }
    }

    fn run(mut self, wal: &mut (impl Read + Seek), until: Option<u32>) -> Result<Found> {
        wal.seek(SeekFrom::Start(offset(self.header.page_size, self.from.frames))).map_err(cannot_read)?;
        let mut wal = io::BufReader::with_capacity(256 * 1024, wal);
        let mut frame = vec![0; FRAME_HEADER_SIZE + self.header.page_size.bytes()];
        let mut end = None;
        while until.is_none_or(|until| self.here.frames < until) {
            let length = fill(&mut wal, &mut frame)?;
            let read = if length == frame.len() {
                self.frame(&frame)
            } else {
                Err(if length == 0 { Stop::End } else { Stop::Torn("the WAL ends within it") })
            };
            if let Err(stop) = read {
                end = Some(stop);
                break;
            }
        }
        let next = self.here.frames + 1;
        match (until, end) {
            (Some(_), Some(Stop::End)) => return Ok(torn(next, "the WAL ends before it")),
            (Some(_), Some(Stop::Other)) => return Ok(torn(next, "it is of an earlier life of the WAL")),
            (Some(_), Some(Stop::Torn(what))) => return Ok(torn(next, what)),
            (Some(_), None) if !self.open.is_empty() => return Ok(torn(next - 1, "it does not end a commit")),
            (None, Some(Stop::Torn(what))) if self.committed.is_none() => return Ok(torn(next, what)),
            _ => {}
        }
        Ok(self.committed.take().map_or(Found::Nothing, |(position, commit)| self.found(position, commit)))
    }

    fn frame(&mut self, frame: &[u8]) -> std::result::Result<(), Stop> {
        let (front, data) = frame.split_at(FRAME_HEADER_SIZE);
        let [page, commit, salt, other_salt, sum, other_sum] = words(front);
        if [salt, other_salt] != self.header.salts {
            return Err(Stop::Other);
        }
        let checksum = self.header.sum(self.header.sum(self.here.checksum, &front[..8]), data);
        if checksum != [sum, other_sum] {
            return Err(Stop::Torn("its checksum is wrong"));
        }
        if page == 0 {
            return Err(Stop::Torn("it says to be of page 0"));
        }
        self.open.push((page, self.here.frames));
        self.here = Position { frames: self.here.frames + 1, checksum, ..self.here };
        if commit > 0 {
            self.frames.extend(self.open.drain(..));
            // What one commit cut off is gone, even if a later one makes the database longer again.
            self.frames.split_off(&commit.saturating_add(1));
            self.committed = Some((self.here, commit));
        }
        Ok(())
    }

    fn found(mut self, position: Position, commit: u32) -> Found {
        let page_size = self.header.page_size;
        self.frames.remove(&page_size.lock_page());
        let start = offset(page_size, self.from.frames);
        let origin = Origin { offset: start, size: offset(page_size, position.frames) - start, salts: position.salts };
        Found::Committed(Committed { page_size, commit, position, origin, frames: self.frames })
    }
}

enum Stop {
    /// No more bytes.
    End,
    /// What an earlier life of the WAL left, which was longer.
    Other,
    Torn(&'static str),
}

/// The place behind what a file was made of, if this is still the WAL that it was made of.
///
/// # Errors
/// `Io`.
pub fn behind(wal: &mut (impl Read + Seek), origin: &Origin) -> Result<Option<Position>> {
    wal.seek(SeekFrom::Start(0)).map_err(cannot_read)?;
    let mut bytes = [0; HEADER_SIZE as usize];
    if fill(wal, &mut bytes)? < bytes.len() {
        return Ok(None);
    }
    let Ok(Ok(header)) = WalHeader::from_bytes(&bytes) else { return Ok(None) };
    let frame_size = FRAME_HEADER_SIZE as u64 + header.page_size.bytes() as u64;
    let Some(end) = origin.offset.checked_add(origin.size).filter(|&end| end > HEADER_SIZE) else { return Ok(None) };
    let frames = (end - HEADER_SIZE) / frame_size;
    if header.salts != origin.salts || !(end - HEADER_SIZE).is_multiple_of(frame_size) {
        return Ok(None);
    }
    let Ok(frames) = u32::try_from(frames) else { return Ok(None) };
    wal.seek(SeekFrom::Start(end - frame_size)).map_err(cannot_read)?;
    let mut front = [0; FRAME_HEADER_SIZE];
    if fill(wal, &mut front)? < front.len() {
        return Ok(None);
    }
    let [_, _, salt, other_salt, sum, other_sum] = words(&front);
    let is_of_it = [salt, other_salt] == header.salts;
    Ok(is_of_it.then_some(Position { salts: header.salts, frames, checksum: [sum, other_sum] }))
}

impl Committed {
    pub fn pages(&self) -> usize {
        self.frames.len()
    }

    /// Reads one page; false if it is not among them.
    ///
    /// # Errors
    /// As [`Committed::each_page`].
    pub fn page(&self, wal: &mut (impl Read + Seek), number: u32, data: &mut [u8]) -> Result<bool> {
        let Some(&index) = self.frames.get(&number) else { return Ok(false) };
        let mut front = [0; FRAME_HEADER_SIZE];
        wal.seek(SeekFrom::Start(offset(self.page_size, index))).map_err(cannot_read)?;
        let length = fill(wal, &mut front)?;
        self.check(&front[..length], number, index)?;
        match fill(wal, data)? {
            length if length == data.len() => Ok(true),
            _ => Err(changed(index)),
        }
    }

    fn check(&self, front: &[u8], number: u32, index: u32) -> Result<()> {
        let [found, _, salt, other_salt, _, _] = words(front);
        let is_it = front.len() == FRAME_HEADER_SIZE && found == number && [salt, other_salt] == self.position.salts;
        if is_it { Ok(()) } else { Err(changed(index)) }
    }

    /// Reads each page, by number, upwards.
    ///
    /// # Errors
    /// `Damaged` if the WAL is another by now. What `each` says. `Io`.
    pub fn each_page(
        &self,
        wal: &mut (impl Read + Seek),
        mut each: impl FnMut(u32, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut frame = vec![0; FRAME_HEADER_SIZE + self.page_size.bytes()];
        for (&page, &index) in &self.frames {
            wal.seek(SeekFrom::Start(offset(self.page_size, index))).map_err(cannot_read)?;
            if fill(wal, &mut frame)? < frame.len() {
                return Err(changed(index));
            }
            self.check(&frame[..FRAME_HEADER_SIZE], page, index)?;
            each(page, &frame[FRAME_HEADER_SIZE..])?;
        }
        Ok(())
    }
}

impl WalHeader {
    /// The inner error is of a header that is one, and torn.
    fn from_bytes(bytes: &[u8; HEADER_SIZE as usize]) -> Result<std::result::Result<Self, &'static str>> {
        let [magic, version, page_size, checkpoints, salt, other_salt] = words(&bytes[..24]);
        let [sum, other_sum, ..] = words::<2>(&bytes[24..]);
        if magic & !1 != MAGIC {
            return Err(Error::damaged(format!("this is no WAL: it starts with {magic:#x}")));
        }
        if version != VERSION {
            return Err(Error::damaged(format!("this is a WAL of version {version}; {VERSION} is read")));
        }
        let salts = [salt, other_salt];
        let checksum = [sum, other_sum];
        let page_size = PageSize::new(page_size)?;
        let header = Self { page_size, checkpoints, salts, is_big_endian: magic & 1 == 1, checksum };
        Ok(if header.sum([0, 0], &bytes[..24]) == checksum { Ok(header) } else { Err("the WAL's header is torn") })
    }

    fn sum(&self, start: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        let word = if self.is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        let (pairs, _) = bytes.as_chunks::<8>();
        let [mut one, mut other] = start;
        for &[a, b, c, d, e, f, g, h] in pairs {
            one = one.wrapping_add(word([a, b, c, d])).wrapping_add(other);
            other = other.wrapping_add(word([e, f, g, h])).wrapping_add(one);
        }
        [one, other]
    }
}

fn changed(index: u32) -> Error {
    Error::damaged(format!("frame {} of the WAL was changed while it was read", index + 1))
}

fn torn(frame: u32, what: &str) -> Found {
    Found::Torn { frame, what: what.into() }
}

fn offset(page_size: PageSize, frames: u32) -> u64 {
    HEADER_SIZE + u64::from(frames) * (FRAME_HEADER_SIZE + page_size.bytes()) as u64
}

fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let (words, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|index| words.get(index).map_or(0, |&word| u32::from_be_bytes(word)))
}

fn fill(input: &mut impl Read, bytes: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(cannot_read(error)),
        }
    }
    Ok(filled)
}

fn cannot_read(error: io::Error) -> Error {
    Error::io("the WAL cannot be read", error)
}

//! Writing one LTX file, page by page, to anything that takes bytes.
//!
//! Memory stays flat but for the page index, which stands behind the pages and takes three or four bytes a page until
//! then. Nothing here knows of files, names or syncing: `folder`.

use crate::checksum::page_checksum;
use crate::crc::Crc;
use crate::error::{Error, Result};
use crate::format::{
    CHECKSUM_FLAG, Header, Order, PAGE_FLAG_BLOCK, PAGE_HEADER_SIZE, PageSize, Span, TRAILER_SIZE, read_varint,
    write_varint,
};
use lz4_flex::block::{CompressTable, compress_into_with_table};
use std::io::{self, BufWriter, Read, Write};

const BUFFER: usize = 256 * 1024;

pub struct Encoder<W: Write> {
    out: BufWriter<W>,
    header: Header,
    crc: Crc,
    order: Order,
    /// Bytes written so far.
    at: u64,
    pages: u32,
    /// Of each page how far it is behind the one before, and its length in the file; as varints.
    index: Vec<u8>,
    block: Vec<u8>,
    table: CompressTable,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub header: Header,
    pub size: u64,
    pub pages: u32,
}

impl<W: Write> Encoder<W> {
    /// # Errors
    /// `Refused` if no file can have this header.
    pub fn new(out: W, header: Header) -> Result<Self> {
        header.check().map_err(|error| Error::refused(error.to_string()))?;
        let mut encoder = Self {
            out: BufWriter::with_capacity(BUFFER, out),
            header,
            crc: Crc::new(),
            order: Order::new(&header),
            at: 0,
            pages: 0,
            index: Vec::new(),
            block: vec![0; header.page_size.block_max()],
            table: CompressTable::default(),
        };
        encoder.write(&header.to_bytes())?;
        Ok(encoder)
    }

    /// Pages come by number, upwards; a snapshot has all of them but the lock page.
    ///
    /// # Errors
    /// `Refused` for a page that cannot stand here; the file is then worth nothing. `Io`.
    pub fn page(&mut self, number: u32, data: &[u8]) -> Result<()> {
        let mut block = std::mem::take(&mut self.block);
        let length = compress_into_with_table(data, &mut block, &mut self.table)
            .map_err(|error| Error::refused(format!("page {number} of {} bytes: {error}", data.len())))?;
        let written = self.page_as_is(number, data, &block[..length]);
        self.block = block;
        written
    }

    /// A page that is compressed already: `block` is what `data` becomes.
    pub(crate) fn page_as_is(&mut self, number: u32, data: &[u8], block: &[u8]) -> Result<()> {
        let before = self.order.before();
        self.order.next(number).map_err(Error::refused)?;
        let page_size = self.header.page_size.bytes();
        if data.len() != page_size {
            return Err(Error::refused(format!("page {number} has {} bytes, not {page_size}", data.len())));
        }
        let mut front = [0; PAGE_HEADER_SIZE + 4];
        front[..4].copy_from_slice(&number.to_be_bytes());
        front[4..6].copy_from_slice(&PAGE_FLAG_BLOCK.to_be_bytes());
        front[6..].copy_from_slice(&(block.len() as u32).to_be_bytes());
        self.write(&front)?;
        self.crc.update(data);
        self.out.write_all(block).map_err(cannot_write)?;
        self.at += block.len() as u64;
        self.pages += 1;
        write_varint(&mut self.index, u64::from(number - before));
        write_varint(&mut self.index, (front.len() + block.len()) as u64);
        Ok(())
    }

    /// The index and the trailer. What was given for output is given back, with all bytes in it.
    pub fn finish(mut self) -> Result<(W, Written)> {
        self.order.end().map_err(Error::refused)?;
        self.write(&[0; PAGE_HEADER_SIZE])?;
        let start = self.at;
        let index = std::mem::take(&mut self.index);
        let mut entries = Entries { rest: &index, entry: Entry::default() };
        let mut bytes = Vec::with_capacity(32);
        while let Some(entry) = entries.next() {
            bytes.clear();
            entry.write(&mut bytes);
            self.write(&bytes)?;
        }
        self.write(&[0])?;
        self.write(&(self.at - start).to_be_bytes())?;
        let mut trailer = [0; TRAILER_SIZE];
        self.crc.update(&trailer[..8]);
        trailer[8..].copy_from_slice(&(CHECKSUM_FLAG | self.crc.value()).to_be_bytes());
        self.out.write_all(&trailer).map_err(cannot_write)?;
        self.at += TRAILER_SIZE as u64;
        let written = Written { header: self.header, size: self.at, pages: self.pages };
        let out = self.out.into_inner().map_err(|error| cannot_write(error.into_error()))?;
        Ok((out, written))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(cannot_write)?;
        self.crc.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }
}

fn cannot_write(error: io::Error) -> Error {
    Error::io("an LTX file cannot be written", error)
}

/// One entry of the page index as it is written.
#[derive(Clone, Copy, Default)]
pub(crate) struct Entry {
    pub(crate) number: u32,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Entry {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        write_varint(out, u64::from(self.number));
        write_varint(out, self.offset);
        write_varint(out, self.length);
    }
}

struct Entries<'a> {
    rest: &'a [u8],
    entry: Entry,
}

impl Entries<'_> {
    fn next(&mut self) -> Option<Entry> {
        let step = read_varint(&mut self.rest)?;
        let length = read_varint(&mut self.rest)?;
        let before = self.entry;
        let offset = if before.number == 0 { crate::format::HEADER_SIZE as u64 } else { before.offset + before.length };
        self.entry = Entry { number: before.number + step as u32, offset, length };
        Some(self.entry)
    }
}

/// A snapshot of a database that is read from its first byte to its last; tells its checksum as well.
///
/// `database` must stand still meanwhile: a copy, or a file that nobody checkpoints into.
///
/// # Errors
/// `Damaged` if the database has fewer bytes than `commit` pages. `Refused`, `Io`.
pub fn snapshot<W: Write>(
    out: W,
    page_size: PageSize,
    commit: u32,
    (last, time_ms): (u64, u64),
    mut database: impl Read,
) -> Result<(W, Written, u64)> {
    let header = Header { page_size, commit, span: Span::new(1, last)?, time_ms, origin: None, node: 0 };
    let mut encoder = Encoder::new(out, header)?;
    let mut data = vec![0; page_size.bytes()];
    let mut checksum = 0;
    for number in 1..=commit {
        database.read_exact(&mut data).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Error::damaged(format!("the database ends before page {number} of {commit} does"))
            }
            _ => Error::io(format!("page {number} of the database cannot be read"), error),
        })?;
        if number != page_size.lock_page() {
            checksum ^= page_checksum(number, &data);
            encoder.page(number, &data)?;
        }
    }
    let (out, written) = encoder.finish()?;
    Ok((out, written, checksum | CHECKSUM_FLAG))
}

//! Reading one LTX file, page by page, and believing nothing in it.
//!
//! Every length is bounded before memory is taken for it, every page stands in its order, the index must tell of the
//! same pages, and the checksum must agree: only after `next` has returned `None` may one rely on what it gave before.
//! Memory is flat: two pages and a buffer.

use crate::crc::Crc;
use crate::encode::Entry;
use crate::error::{Error, Result};
use crate::format::{CHECKSUM_FLAG, HEADER_SIZE, Header, Order, PAGE_FLAG_BLOCK, PAGE_HEADER_SIZE, TRAILER_SIZE};
use std::io::{self, BufReader, Read};

const BUFFER: usize = 64 * 1024;

pub struct Decoder<R: Read> {
    input: BufReader<R>,
    header: Header,
    crc: Crc,
    order: Order,
    /// Bytes read so far.
    at: u64,
    pages: u32,
    /// What the index must be, as its length and checksum: the bytes themselves would grow with the file.
    index: (u64, Crc),
    number: u32,
    data: Vec<u8>,
    block: Vec<u8>,
    is_at_end: bool,
}

/// One page, until the next is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    pub number: u32,
    pub data: &'a [u8],
    /// As it is in the file: one LZ4 block.
    pub(crate) block: &'a [u8],
}

impl<R: Read> Decoder<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn new(input: R) -> Result<Self> {
        let mut input = BufReader::with_capacity(BUFFER, input);
        let mut bytes = [0; HEADER_SIZE];
        read_exact(&mut input, &mut bytes, 0, || "the header".into())?;
        let header = Header::from_bytes(&bytes)?;
        let mut crc = Crc::new();
        crc.update(&bytes);
        Ok(Self {
            input,
            header,
            crc,
            order: Order::new(&header),
            at: HEADER_SIZE as u64,
            pages: 0,
            index: (0, Crc::new()),
            number: 0,
            data: vec![0; header.page_size.bytes()],
            block: Vec::with_capacity(header.page_size.block_max()),
            is_at_end: false,
        })
    }

    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Pages given so far.
    pub const fn pages(&self) -> u32 {
        self.pages
    }

    /// The next page, or none when all were given and everything behind them is as it should be.
    ///
    /// # Errors
    /// `Damaged`, with the place in the file; `Io`. After an error nothing more should be asked.
    #[allow(clippy::should_implement_trait)] // The page is lent, which an iterator cannot do.
    pub fn next(&mut self) -> Result<Option<Page<'_>>> {
        Ok(if self.advance()? { Some(self.page()) } else { None })
    }

    /// Goes on to the next page, which `page` then gives.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        if self.is_at_end {
            return Ok(false);
        }
        let start = self.at;
        let mut front = [0; PAGE_HEADER_SIZE];
        self.read(&mut front, "a page's header")?;
        let number = u32::from_be_bytes([front[0], front[1], front[2], front[3]]);
        let flags = u16::from_be_bytes([front[4], front[5]]);
        if (number, flags) == (0, 0) {
            self.order.end().map_err(|what| damaged(start, &what))?;
            self.read_rest()?;
            self.is_at_end = true;
            return Ok(false);
        }
        self.order.next(number).map_err(|what| damaged(start, &what))?;
        if flags != PAGE_FLAG_BLOCK {
            let what =
                format!("page {number} has the flags {flags:#x}; only {PAGE_FLAG_BLOCK:#x}, an LZ4 block, is read");
            return Err(damaged(start, &what));
        }
        let mut length = [0; 4];
        self.read(&mut length, "a page's length")?;
        let length = u32::from_be_bytes(length) as usize;
        if length > self.header.page_size.block_max() {
            return Err(damaged(start, &format!("page {number} says to take {length} bytes, more than a page can")));
        }
        self.block.resize(length, 0);
        read_exact(&mut self.input, &mut self.block, self.at, || format!("page {number}"))?;
        self.at += length as u64;
        let unpacked = lz4_flex::block::decompress_into(&self.block, &mut self.data);
        if !unpacked.is_ok_and(|bytes| bytes == self.data.len()) {
            return Err(damaged(start, &format!("page {number} is no LZ4 block of a page")));
        }
        self.crc.update(&self.data);
        self.number = number;
        self.pages += 1;
        self.note(Entry { number, offset: start, length: self.at - start });
        Ok(true)
    }

    pub(crate) fn page(&self) -> Page<'_> {
        Page { number: self.number, data: &self.data, block: &self.block }
    }

    /// Reads to the end, for the sake of the checks.
    pub fn verify(mut self) -> Result<Header> {
        while self.advance()? {}
        Ok(self.header)
    }

    fn note(&mut self, entry: Entry) {
        let mut bytes = Vec::with_capacity(30);
        entry.write(&mut bytes);
        self.index.0 += bytes.len() as u64;
        self.index.1.update(&bytes);
    }

    /// The index, the trailer, and nothing behind them.
    fn read_rest(&mut self) -> Result<()> {
        let start = self.at;
        self.index.0 += 1;
        self.index.1.update(&[0]);
        let mut found = Crc::new();
        let mut buffer = [0; 1024];
        let mut left = self.index.0;
        while left > 0 {
            let part = &mut buffer[..left.min(1024) as usize];
            self.read(part, "the page index")?;
            found.update(part);
            left -= part.len() as u64;
        }
        let mut length = [0; 8];
        self.read(&mut length, "the length of the page index")?;
        if found.value() != self.index.1.value() || u64::from_be_bytes(length) != self.index.0 {
            return Err(damaged(start, "the page index does not tell of the pages that are there"));
        }
        let start = self.at;
        let mut trailer = [0; TRAILER_SIZE];
        read_exact(&mut self.input, &mut trailer, start, || "the trailer".into())?;
        self.at += TRAILER_SIZE as u64;
        let (database, file) = trailer.split_at(8);
        if database != [0; 8] {
            return Err(damaged(
                start,
                "a checksum of the database stands in the trailer, and the flags say there is none",
            ));
        }
        self.crc.update(database);
        let expected = (CHECKSUM_FLAG | self.crc.value()).to_be_bytes();
        if file != expected {
            return Err(damaged(
                start,
                "the file's checksum is wrong: something in it was changed after it was written",
            ));
        }
        let more = self.input.read(&mut [0]).map_err(|error| cannot_read(self.at, error))?;
        if more != 0 {
            return Err(damaged(self.at, "the file goes on behind its end"));
        }
        Ok(())
    }

    fn read(&mut self, bytes: &mut [u8], what: &str) -> Result<()> {
        read_exact(&mut self.input, bytes, self.at, || what.into())?;
        self.crc.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }
}

fn read_exact(input: &mut impl Read, bytes: &mut [u8], at: u64, what: impl Fn() -> String) -> Result<()> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::damaged(format!("the file ends in {}, which starts at byte {at}: it was cut", what()))
        }
        _ => cannot_read(at, error),
    })
}

fn cannot_read(at: u64, error: io::Error) -> Error {
    Error::io(format!("byte {at} cannot be read"), error)
}

fn damaged(at: u64, what: &str) -> Error {
    Error::damaged(format!("at byte {at}: {what}"))
}

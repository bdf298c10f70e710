//! What an LTX file looks like: the header, the numbers around pages, the page index.
//!
//! ```text
//! header    100 bytes, see `Header`
//! page      number u32, flags u16 (1), length u32, the page as one LZ4 block; by number, upwards
//! …
//! end       6 zero bytes
//! index     per page: number, offset, length in the file, as varints; then 0; then the index's length as u64
//! trailer   8 zero bytes, CRC-64/GO-ISO of all before it, with pages not compressed and the blocks left out
//! ```
//!
//! Integers are big-endian. `LTX1` stands in front of versions 1 to 3; this is version 3, as Litestream 0.5 writes it,
//! with flag 2: the checksums of the whole database, which the format has room for, are zero. Litestream's compactor
//! refuses them otherwise. Ours stand beside the files: `manifest`.

use crate::error::{Error, Result};
use std::fmt;

pub const MAGIC: [u8; 4] = *b"LTX1";
pub const HEADER_SIZE: usize = 100;
pub const PAGE_HEADER_SIZE: usize = 6;
pub const TRAILER_SIZE: usize = 16;
/// The file has no checksums of the whole database.
pub const FLAG_NO_CHECKSUM: u32 = 2;
/// The page's length follows, and it is an LZ4 block. Without it an older form, which we do not read.
pub const PAGE_FLAG_BLOCK: u16 = 1;
/// Set in every checksum, so that none is zero.
pub const CHECKSUM_FLAG: u64 = 1 << 63;
/// SQLite locks bytes from here on, and puts nothing into the page they are in.
const LOCK_BYTE: u64 = 1 << 30;

/// A power of two from 512 to 65536.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u32);

impl PageSize {
    pub fn new(bytes: u32) -> Result<Self> {
        if (512..=65536).contains(&bytes) && bytes.is_power_of_two() {
            Ok(Self(bytes))
        } else {
            Err(Error::damaged(format!("{bytes} is no page size: a power of two from 512 to 65536 is")))
        }
    }

    pub const fn bytes(self) -> usize {
        self.0 as usize
    }

    /// The page that is in no file, for SQLite keeps its locks there.
    pub const fn lock_page(self) -> u32 {
        (LOCK_BYTE / self.0 as u64) as u32 + 1
    }

    /// How many pages a file of so many bytes has.
    pub fn pages_in(self, bytes: u64) -> Result<u32> {
        let pages = u32::try_from(bytes / u64::from(self.0));
        match pages {
            Ok(pages) if bytes.is_multiple_of(u64::from(self.0)) => Ok(pages),
            _ => Err(Error::damaged(format!("{bytes} bytes are no whole number of pages of {} bytes", self.0))),
        }
    }

    /// The pages of a database of this size that files hold: all but the lock page.
    pub const fn stored(self, commit: u32) -> u32 {
        commit - (commit >= self.lock_page()) as u32
    }

    pub(crate) const fn after(self, page: u32) -> u32 {
        if page + 1 == self.lock_page() { page + 2 } else { page + 1 }
    }

    /// No LZ4 block of a page is longer.
    pub(crate) const fn block_max(self) -> usize {
        lz4_flex::block::get_maximum_output_size(self.bytes())
    }
}

/// The transactions that a file covers, both ends included. Litestream calls their numbers TXID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub first: u64,
    pub last: u64,
}

impl Span {
    pub fn new(first: u64, last: u64) -> Result<Self> {
        if first >= 1 && first <= last {
            Ok(Self { first, last })
        } else {
            Err(Error::damaged(format!("transactions {first} to {last} are no span: it starts at 1 and goes upwards")))
        }
    }

    /// A file from the first transaction on holds all pages: it stands for the whole database.
    pub const fn is_snapshot(self) -> bool {
        self.first == 1
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "transactions {} to {}", self.first, self.last)
    }
}

/// Where in which WAL the pages of a file stood; only to find one's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub offset: u64,
    pub size: u64,
    pub salts: [u32; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub page_size: PageSize,
    /// Pages of the database after the file's last transaction.
    pub commit: u32,
    pub span: Span,
    /// Milliseconds since 1970, of the last transaction.
    pub time_ms: u64,
    /// None in snapshots and in what compaction made.
    pub origin: Option<Origin>,
    /// Which node wrote it; 0 if nobody cares.
    pub node: u64,
}

impl Header {
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let origin = self.origin.unwrap_or(Origin { offset: 0, size: 0, salts: [0, 0] });
        bytes[..4].copy_from_slice(&MAGIC);
        let words = [(4, FLAG_NO_CHECKSUM), (8, self.page_size.0), (12, self.commit)];
        for (at, value) in words.into_iter().chain([(64, origin.salts[0]), (68, origin.salts[1])]) {
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        let longs = [(16, self.span.first), (24, self.span.last), (32, self.time_ms)];
        for (at, value) in longs.into_iter().chain([(48, origin.offset), (56, origin.size), (72, self.node)]) {
            bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    /// # Errors
    /// `Damaged` for whatever is not the header of a file that we or Litestream 0.5 would write.
    pub fn from_bytes(bytes: &[u8; HEADER_SIZE]) -> Result<Self> {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        if bytes[..4] != MAGIC {
            return Err(Error::damaged("this is no LTX file: it does not start with \"LTX1\""));
        }
        if word(4) != FLAG_NO_CHECKSUM {
            return Err(Error::damaged(format!(
                "the header's flags are {:#x}; {FLAG_NO_CHECKSUM:#x} is read",
                word(4)
            )));
        }
        if long(40) != 0 {
            return Err(Error::damaged(
                "a checksum of the database stands in the header, and the flags say there is none",
            ));
        }
        if bytes[80..].iter().any(|&byte| byte != 0) {
            return Err(Error::damaged("the header's last 20 bytes, which nothing uses, are not zero"));
        }
        let origin = Origin { offset: long(48), size: long(56), salts: [word(64), word(68)] };
        let header = Self {
            page_size: PageSize::new(word(8))?,
            commit: word(12),
            span: Span::new(long(16), long(24))?,
            time_ms: long(32),
            origin: (origin.offset != 0).then_some(origin),
            node: long(72),
        };
        if header.origin.is_none() && (origin.size != 0 || origin.salts != [0, 0]) {
            return Err(Error::damaged("the header tells of a WAL without saying where in it"));
        }
        header.check()?;
        Ok(header)
    }

    /// What any reader would refuse.
    pub(crate) fn check(&self) -> Result<()> {
        if self.commit == 0 {
            return Err(Error::damaged("a database of no pages cannot be told"));
        }
        let signed = |value: u64| i64::try_from(value).is_ok();
        let origin =
            self.origin.is_none_or(|origin| origin.offset != 0 && signed(origin.offset) && signed(origin.size));
        if !origin || !signed(self.time_ms) {
            return Err(Error::damaged("a time or a place in the WAL is out of range"));
        }
        Ok(())
    }
}

/// Page numbers as they must come: upwards, within the database, never the lock page, and all of them in a snapshot.
#[derive(Debug)]
pub(crate) struct Order {
    page_size: PageSize,
    commit: u32,
    is_snapshot: bool,
    before: u32,
}

impl Order {
    pub(crate) fn new(header: &Header) -> Self {
        let Header { page_size, commit, span, .. } = *header;
        Self { page_size, commit, is_snapshot: span.is_snapshot(), before: 0 }
    }

    /// What is wrong with this page as the next, in words.
    pub(crate) fn next(&mut self, page: u32) -> std::result::Result<(), String> {
        let before = self.before;
        if page == 0 || page > self.commit {
            return Err(format!("page {page} is not in a database of {} pages", self.commit));
        }
        if page == self.page_size.lock_page() {
            return Err(format!("page {page} is the one SQLite keeps its locks in, and is in no file"));
        }
        if page <= before {
            return Err(format!("page {page} comes after page {before}"));
        }
        if self.is_snapshot && page != self.page_size.after(before) {
            return Err(format!("page {page} comes after page {before}, and a snapshot has all pages"));
        }
        self.before = page;
        Ok(())
    }

    pub(crate) const fn before(&self) -> u32 {
        self.before
    }

    pub(crate) fn end(&self) -> std::result::Result<(), String> {
        let is_whole = self.before == self.commit || self.page_size.after(self.before) > self.commit;
        if self.is_snapshot && !is_whole {
            return Err(format!("a snapshot of {} pages ends after page {}", self.commit, self.before));
        }
        Ok(())
    }
}

pub(crate) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            page_size: PageSize::new(65536).unwrap(),
            commit: 7,
            span: Span { first: 2, last: 9 },
            time_ms: 1_700_000_000_123,
            origin: Some(Origin { offset: 32, size: 4120, salts: [1, u32::MAX] }),
            node: 3,
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let plain = Header { origin: None, node: 0, ..header() };
        for header in [header(), plain] {
            assert_eq!(Header::from_bytes(&header.to_bytes()).unwrap(), header);
        }
    }

    #[test]
    fn a_header_that_no_writer_would_write_is_refused() {
        for (at, bytes) in [
            (0, &b"LTX2"[..]),
            (7, &[0]),
            (7, &[3]),
            (8, &[0, 0, 2, 1]),
            (8, &[0, 2, 0, 0]),
            (12, &[0; 4]),
            (16, &[0; 8]),
            (16, &[1]),
            (32, &[0x80]),
            (47, &[1]),
            (48, &[0; 8]),
            (48, &[0x80]),
            (99, &[1]),
        ] {
            let mut header = header().to_bytes();
            header[at..at + bytes.len()].copy_from_slice(bytes);
            assert!(Header::from_bytes(&header).is_err(), "{bytes:?} at {at}");
        }
    }

    #[test]
    fn the_lock_page_is_the_one_at_a_gibibyte() {
        let page_sizes = [512, 4096, 8192, 65536].map(|bytes| PageSize::new(bytes).unwrap());
        assert_eq!(page_sizes.map(PageSize::lock_page), [2_097_153, 262_145, 131_073, 16385]);
        assert_eq!(page_sizes[3].after(16384), 16386);
        assert_eq!([16384, 16385, 16386].map(|commit| page_sizes[3].stored(commit)), [16384, 16384, 16385]);
    }

    #[test]
    fn varints_are_read_as_they_were_written() {
        let mut bytes = Vec::new();
        let values = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        values.iter().for_each(|&value| write_varint(&mut bytes, value));
        let mut rest = &bytes[..];
        assert_eq!(values.map(|_| read_varint(&mut rest).unwrap()), values);
        assert_eq!(read_varint(&mut rest), None);
        assert_eq!(read_varint(&mut &[0xff; 20][..]), None);
    }
}

//! The checksum of a whole database, kept up as pages change.
//!
//! It is the XOR of one CRC per page, of its number and its bytes, as LiteFS has it: a changed page goes out with its
//! old value and in with its new one. The lock page is not in it. Equal databases have equal checksums, whichever way
//! they came to be, so that what was restored can be held against what was there. Where it is written: `manifest`.

use crate::crc::Crc;
use crate::error::{Error, Result};
use crate::format::{CHECKSUM_FLAG, PageSize};
use std::io::Read;

/// Of one page, without the flag.
pub fn page_checksum(number: u32, data: &[u8]) -> u64 {
    let mut crc = Crc::new();
    crc.update(&number.to_be_bytes());
    crc.update(data);
    crc.value() & !CHECKSUM_FLAG
}

/// The checksum and what each page adds to it: eight bytes a page.
#[derive(Clone, Debug)]
pub struct Rolling {
    page_size: PageSize,
    pages: Vec<u64>,
    sum: u64,
}

impl Rolling {
    /// Of a database without pages.
    pub const fn new(page_size: PageSize) -> Self {
        Self { page_size, pages: Vec::new(), sum: 0 }
    }

    /// Of a database that is read from its first byte to its last.
    ///
    /// # Errors
    /// `Damaged` if it ends within a page. `Io`.
    pub fn of(page_size: PageSize, mut database: impl Read) -> Result<Self> {
        let mut rolling = Self::new(page_size);
        let mut data = vec![0; page_size.bytes()];
        for number in 1.. {
            match fill(&mut database, &mut data) {
                Ok(0) => break,
                Ok(length) if length == data.len() => rolling.set(number, &data),
                Ok(_) => return Err(Error::damaged(format!("the database ends within page {number}"))),
                Err(error) => return Err(Error::io(format!("page {number} of the database cannot be read"), error)),
            }
        }
        Ok(rolling)
    }

    /// This page is so from now on. Those between the last and it, if any, are taken to be coming.
    pub fn set(&mut self, number: u32, data: &[u8]) {
        let index = number as usize - 1;
        if index >= self.pages.len() {
            self.pages.resize(index + 1, 0);
        }
        if number != self.page_size.lock_page() {
            let new = page_checksum(number, data);
            self.sum ^= std::mem::replace(&mut self.pages[index], new) ^ new;
        }
    }

    /// The database has so many pages from now on.
    pub fn resize(&mut self, commit: u32) {
        let gone = self.pages.get(commit as usize..).unwrap_or_default();
        self.sum ^= gone.iter().fold(0, |sum, page| sum ^ page);
        self.pages.resize(commit as usize, 0);
    }

    pub const fn page_size(&self) -> PageSize {
        self.page_size
    }

    pub fn commit(&self) -> u32 {
        self.pages.len() as u32
    }

    pub const fn value(&self) -> u64 {
        self.sum | CHECKSUM_FLAG
    }
}

/// As many bytes as there are, at most all.
fn fill(input: &mut impl Read, bytes: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_does_not_matter_only_where_it_led() {
        let page_size = PageSize::new(512).unwrap();
        let page = |byte| vec![byte; 512];
        let mut rolling = Rolling::new(page_size);
        for (number, byte) in [(1, 1), (2, 2), (3, 3), (2, 7), (4, 4), (1, 9)] {
            rolling.set(number, &page(byte));
        }
        rolling.resize(3);
        let straight = [page(9), page(7), page(3)].concat();
        assert_eq!(rolling.value(), Rolling::of(page_size, &straight[..]).unwrap().value());
        assert_eq!(rolling.commit(), 3);
        rolling.resize(0);
        assert_eq!(rolling.value(), Rolling::new(page_size).value());
        assert!(Rolling::of(page_size, &straight[..700]).is_err());
    }

    #[test]
    fn equal_pages_in_other_places_count_as_different() {
        assert_ne!(page_checksum(1, &[0; 512]), page_checksum(2, &[0; 512]));
    }
}

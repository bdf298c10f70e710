//! A zip that is written from its beginning to its end, each file in it as it comes. How long one is stands behind it; in the form for files
//! of any length (ZIP64), for that is not known before.

use super::cannot_write;
use crate::error::Result;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::io::{self, Write};

const VERSION: u16 = 45;
/// Its length stands behind it; its name is UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
const DEFLATED: u16 = 8;
/// 1980-01-01: the same data is the same file.
const DATE: u16 = 1 << 5 | 1;
/// The number stands in the part for large ones.
const ELSEWHERE: u32 = u32::MAX;
const ELSEWHERE_SHORT: u16 = u16::MAX;

pub struct Zip<'a> {
    out: Counted<'a>,
    files: Vec<File>,
}

struct File {
    name: String,
    crc: u32,
    squeezed: u64,
    bytes: u64,
    at: u64,
}

struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

struct Summed<'a, W: Write> {
    encoder: &'a mut DeflateEncoder<W>,
    crc: Crc,
    bytes: u64,
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.encoder.write(bytes)?;
        self.crc.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}

impl<'a> Zip<'a> {
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out: Counted { out, bytes: 0 }, files: Vec::new() }
    }

    /// One file, which `work` writes. Nothing can be written any more when it fails.
    pub fn entry(&mut self, name: &str, work: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let at = self.out.bytes;
        self.put(&beginning(name))?;
        let from = self.out.bytes;
        let mut encoder = DeflateEncoder::new(&mut self.out, Compression::fast());
        let mut summed = Summed { encoder: &mut encoder, crc: Crc::new(), bytes: 0 };
        work(&mut summed)?;
        let (crc, bytes) = (summed.crc.sum(), summed.bytes);
        encoder.finish().map_err(cannot_write)?;
        let file = File { name: name.to_owned(), crc, squeezed: self.out.bytes - from, bytes, at };
        self.put(&file.lengths())?;
        self.files.push(file);
        Ok(())
    }

    /// The list of all, which readers look for at the end.
    pub fn finish(mut self) -> Result<()> {
        let from = self.out.bytes;
        for file in std::mem::take(&mut self.files) {
            self.put(&file.listed())?;
            self.files.push(file);
        }
        let (count, to) = (self.files.len() as u64, self.out.bytes);
        let mut end = Vec::new();
        end.extend(0x0606_4b50_u32.to_le_bytes());
        end.extend(44_u64.to_le_bytes());
        end.extend([VERSION, VERSION].map(u16::to_le_bytes).concat());
        end.extend([0_u32, 0].map(u32::to_le_bytes).concat());
        end.extend([count, count, to - from, from].map(u64::to_le_bytes).concat());
        // Where that is.
        end.extend([0x0706_4b50_u32, 0].map(u32::to_le_bytes).concat());
        end.extend(to.to_le_bytes());
        end.extend(1_u32.to_le_bytes());
        end.extend(0x0605_4b50_u32.to_le_bytes());
        end.extend([0, 0, ELSEWHERE_SHORT, ELSEWHERE_SHORT].map(u16::to_le_bytes).concat());
        end.extend([ELSEWHERE, ELSEWHERE].map(u32::to_le_bytes).concat());
        end.extend(0_u16.to_le_bytes());
        self.put(&end)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(cannot_write)
    }
}

/// Before a file. Its part for large numbers is there so that those behind the file are large ones.
fn beginning(name: &str) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend(0x0403_4b50_u32.to_le_bytes());
    head.extend([VERSION, FLAGS, DEFLATED, 0, DATE].map(u16::to_le_bytes).concat());
    head.extend([0, ELSEWHERE, ELSEWHERE].map(u32::to_le_bytes).concat());
    head.extend([name.len() as u16, 20].map(u16::to_le_bytes).concat());
    head.extend(name.as_bytes());
    head.extend([1_u16, 16].map(u16::to_le_bytes).concat());
    head.extend([0_u64, 0].map(u64::to_le_bytes).concat());
    head
}

impl File {
    /// Behind it.
    fn lengths(&self) -> Vec<u8> {
        let mut tail = [0x0807_4b50, self.crc].map(u32::to_le_bytes).concat();
        tail.extend([self.squeezed, self.bytes].map(u64::to_le_bytes).concat());
        tail
    }

    fn listed(&self) -> Vec<u8> {
        let mut entry = Vec::new();
        entry.extend(0x0201_4b50_u32.to_le_bytes());
        entry.extend([VERSION, VERSION, FLAGS, DEFLATED, 0, DATE].map(u16::to_le_bytes).concat());
        entry.extend([self.crc, ELSEWHERE, ELSEWHERE].map(u32::to_le_bytes).concat());
        entry.extend([self.name.len() as u16, 28, 0, 0, 0].map(u16::to_le_bytes).concat());
        entry.extend([0, ELSEWHERE].map(u32::to_le_bytes).concat());
        entry.extend(self.name.as_bytes());
        entry.extend([1_u16, 24].map(u16::to_le_bytes).concat());
        entry.extend([self.bytes, self.squeezed, self.at].map(u64::to_le_bytes).concat());
        entry
    }
}

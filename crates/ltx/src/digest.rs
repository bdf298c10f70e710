//! SHA-256 of files: told while they are written, and held against while they are read.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read, Write};

/// A SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// Writes through, and tells size and SHA-256 of what it wrote.
pub struct Digesting<W> {
    out: W,
    digest: Sha256,
    size: u64,
}

impl<W> Digesting<W> {
    pub fn new(out: W) -> Self {
        Self { out, digest: Sha256::new(), size: 0 }
    }

    /// Size and SHA-256 of what was written so far.
    pub fn told(&self) -> (u64, Hash) {
        (self.size, Hash(self.digest.clone().finalize().into()))
    }

    pub const fn out(&self) -> &W {
        &self.out
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.out.write(bytes)?;
        self.digest.update(&bytes[..length]);
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads a file of a known size and SHA-256; at its end, if it is another, that is an error of the kind `InvalidData`.
#[derive(Debug)]
pub struct Checked<R> {
    file: R,
    digest: Sha256,
    left: u64,
    expected: Hash,
    is_told: bool,
}

impl<R: Read> Checked<R> {
    pub fn new(file: R, size: u64, expected: Hash) -> Self {
        Self { file, digest: Sha256::new(), left: size, expected, is_told: false }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(bytes)?;
        let other = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        match self.left.checked_sub(length as u64) {
            Some(left) => self.left = left,
            None => return other("the file is longer than the manifest says"),
        }
        self.digest.update(&bytes[..length]);
        if length == 0 && !bytes.is_empty() && !self.is_told {
            self.is_told = true;
            if self.left > 0 {
                return other("the file is shorter than the manifest says");
            }
            if Hash(std::mem::take(&mut self.digest).finalize().into()) != self.expected {
                return other("the file is not the one that the manifest tells of");
            }
        }
        Ok(length)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(D::Error::custom("a SHA-256 has 64 hexadecimal digits"));
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(pairs) {
            *byte = hexadecimal(pair).ok_or_else(|| D::Error::custom("a SHA-256 is hexadecimal"))? as u8;
        }
        Ok(Self(hash))
    }
}

/// Lower case only, as it is written: what can be written in one way can be compared.
pub(crate) fn hexadecimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value: u64, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value.checked_mul(16)? | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_held_against_what_was_written() {
        let mut out = Digesting::new(Vec::new());
        out.write_all(b"what was written").unwrap();
        let (size, sha256) = out.told();
        let read = |bytes: &[u8]| {
            Checked::new(bytes, size, sha256).read_to_end(&mut Vec::new()).map_err(|error| error.to_string())
        };
        assert_eq!(read(out.out()), Ok(16));
        assert!(read(b"what was writtem").unwrap_err().contains("not the one"));
        assert!(read(b"what was").unwrap_err().contains("shorter"));
        assert!(read(b"what was written down").unwrap_err().contains("longer"));
    }
}

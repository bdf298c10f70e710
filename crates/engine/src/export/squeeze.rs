//! An export made smaller on its way.

use flate2::write::GzEncoder;
use std::io::{Result, Write};

/// As in `?compress=`, and as a file's name ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Squeeze {
    #[default]
    None,
    Gzip,
    Zstd,
}

impl Squeeze {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// `.gz` and `.zst`.
    pub fn of_file(name: &str) -> Self {
        match name.rsplit('.').next() {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// What a file's name ends with.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// # Errors
    /// If there is no memory for it.
    pub fn onto<W: Write>(self, out: W) -> Result<Squeezed<W>> {
        Ok(match self {
            Self::None => Squeezed::Plain(out),
            Self::Gzip => Squeezed::Gzip(GzEncoder::new(out, flate2::Compression::fast())),
            Self::Zstd => Squeezed::Zstd(zstd::Encoder::new(out, 0)?),
        })
    }
}

/// Must be finished, or its end is missing.
pub enum Squeezed<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Squeezed<W> {
    pub fn finish(self) -> Result<W> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Squeezed<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(out) => out.write(bytes),
            Self::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(out) => out.flush(),
            Self::Zstd(out) => out.flush(),
        }
    }
}

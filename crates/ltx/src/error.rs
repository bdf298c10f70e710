//! The one error of this crate: what is wrong, and where.

use std::fmt;
use std::io;

pub type Result<T> = std::result::Result<T, Error>;

/// Whose fault it is, which is what a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The disk or the network failed; the bytes may be well.
    Io,
    /// The bytes are not what they should be. No second try helps, another copy may.
    Damaged,
    /// Files that do not follow each other: one is missing, or they are of different databases.
    Gap,
    /// What was asked cannot be put into these files. A mistake of the calling program.
    Refused,
}

/// "I/O error", on every system with disks.
const EIO: i32 = 5;

#[derive(Debug)]
pub struct Error {
    pub code: Code,
    message: String,
    source: Option<io::Error>,
}

impl Error {
    pub fn damaged(message: impl Into<String>) -> Self {
        Self { code: Code::Damaged, message: message.into(), source: None }
    }

    pub fn gap(message: impl Into<String>) -> Self {
        Self { code: Code::Gap, message: message.into(), source: None }
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self { code: Code::Refused, message: message.into(), source: None }
    }

    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        // A reader that checks what it reads says so in the first way, a disk with a bad sector in the last.
        let is_damage = matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory)
            || source.raw_os_error() == Some(EIO);
        let code = if is_damage { Code::Damaged } else { Code::Io };
        Self { code, message: doing.into(), source: Some(source) }
    }

    /// The same, with the name of the file in front.
    #[must_use]
    pub fn within(mut self, name: impl fmt::Display) -> Self {
        self.message = format!("{name}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(out, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

//! A list of a folder's files: a line each, in `tidebase_ltx`'s way.

use super::damage;
use crate::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};
use tidebase_ltx::{Manifest, ManifestFile, Record, Salvaged};

#[derive(Debug)]
pub(super) struct Book {
    pub path: PathBuf,
    pub records: Vec<Record>,
    /// The numbers of lines that were passed over, for they cannot be trusted.
    pub lost: Vec<usize>,
    /// None for who only reads, and after an error.
    file: Option<ManifestFile>,
}

impl Book {
    pub fn read(path: PathBuf) -> Result<Self> {
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(unreadable(&path, error)),
        };
        let (records, lost) = match Manifest::read(&text[..]) {
            Ok(read) => (read.records, Vec::new()),
            Err(error) => match Salvaged::of(&text) {
                Some(left) => (left.records, left.lost),
                None => return Err(damage(error.within(path.display()))),
            },
        };
        Ok(Self { path, records, lost, file: None })
    }

    /// For who writes it: one that is damaged goes on without the lines that were.
    pub fn mend(path: &Path) -> Result<()> {
        let lost = ManifestFile::mend(path).map_err(damage)?;
        if !lost.is_empty() {
            tracing::error!(path = %path.display(), lines = ?lost, "lines of the backups' list are damaged; it goes on without them");
        }
        Ok(())
    }

    pub fn add(&mut self, record: Record) -> Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => ManifestFile::open(&self.path).map_err(damage)?.0,
        };
        file.add(record).map_err(damage)?;
        self.file = Some(file);
        self.records.push(record);
        Ok(())
    }

    pub fn cut(&mut self, lines: usize) -> Result<()> {
        self.file = None;
        self.file = Some(ManifestFile::cut(&self.path, lines).map_err(damage)?);
        self.records.drain(..lines);
        Ok(())
    }
}

/// A bad sector is damage, a lack of rights is none.
pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    damage(tidebase_ltx::Error::io(format!("{} cannot be read", path.display()), error))
}

//! A list of a folder's files: a line each, in `tidebase_ltx`'s way.
//!
//! Who writes it holds all lines in memory, and writes them anew where the disk has others.

use super::damage;
use crate::error::{Error, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tidebase_ltx::{Chain, Folder, Level, Manifest, ManifestFile, Record, Salvaged, Stored};

#[derive(Debug)]
pub(super) struct Book {
    path: PathBuf,
    pub records: Vec<Record>,
    lost: Lost,
    /// None for who only reads, and after an error.
    file: Option<ManifestFile>,
}

/// What cannot be trusted.
#[derive(Debug, PartialEq, Eq)]
enum Lost {
    Nothing,
    Lines(Vec<usize>),
    /// Lines that nobody can name: there are files of them.
    Some,
    All,
}

impl Book {
    /// # Errors
    /// `unavailable` if it cannot be read; damage is none.
    pub fn read(path: PathBuf) -> Result<Self> {
        let (records, lost) = match fs::read(&path) {
            Ok(text) => match Manifest::read(&text[..]) {
                Ok(read) => (read.records, Lost::Nothing),
                Err(_) => {
                    Salvaged::of(&text).map_or((Vec::new(), Lost::All), |left| (left.records, Lost::Lines(left.lost)))
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), Lost::Nothing),
            Err(error) => match tidebase_ltx::Error::io(format!("{} cannot be read", path.display()), error) {
                error if error.code == tidebase_ltx::Code::Damaged => (Vec::new(), Lost::All),
                error => return Err(damage(error)),
            },
        };
        Ok(Self { path, records, lost, file: None })
    }

    /// Is the last line that of its file, as far as that tells it?
    pub fn check_last(&mut self, folder: &Folder) {
        let Some(last) = self.records.last() else { return };
        let Some(level) = Level::new(last.level) else { return };
        let is_its = |file: &Stored| (file.time_ms, file.size) == (last.time_ms, last.size);
        if folder.stored(level, last.span()).is_ok_and(|file| !is_its(&file)) {
            self.records.pop();
            self.lacks_lines();
        }
    }

    /// There are files that it does not tell of, and a crash has not left them.
    pub fn lacks_lines(&mut self) {
        if self.lost == Lost::Nothing {
            self.lost = if self.records.is_empty() { Lost::All } else { Lost::Some };
        }
    }

    pub fn is_damaged(&self) -> bool {
        self.lost != Lost::Nothing
    }

    /// For people, what of it cannot be trusted.
    pub fn lost(&self) -> Vec<String> {
        let name = self.path.file_name().unwrap_or_default().display();
        match &self.lost {
            Lost::Nothing => Vec::new(),
            Lost::Lines(numbers) => numbers.iter().map(|number| format!("line {number} of {name}")).collect(),
            Lost::Some => vec![format!("lines of {name}")],
            Lost::All => vec![name.to_string()],
        }
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
        self.records.drain(..lines);
        self.write()
    }

    /// Writes it anew if the disk does not have it as it is here.
    ///
    /// # Errors
    /// `unavailable` if it cannot be written.
    pub fn keep_up(&mut self) -> Result<()> {
        let text = match fs::read(&self.path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => Some(Vec::new()),
            Err(_) => None,
        };
        let is_same = |read: &Manifest| {
            let line = |record: &Record| Record { previous: tidebase_ltx::Hash::default(), ..*record };
            read.records.iter().map(line).eq(self.records.iter().map(line))
        };
        if text.and_then(|text| Manifest::read(&text[..]).ok()).is_some_and(|read| is_same(&read)) {
            return Ok(());
        }
        tracing::warn!(path = %self.path.display(), "a list of the backups is not as it should be; it is written anew");
        if self.path.is_dir() {
            let aside = self.path.with_extension("damaged");
            fs::rename(&self.path, &aside).map_err(|error| super::io(&self.path, error))?;
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        self.file = None;
        self.file = Some(ManifestFile::write(&self.path, &self.records).map_err(damage)?);
        self.lost = Lost::Nothing;
        Ok(())
    }

    /// As it should stand on a disk.
    ///
    /// # Errors
    /// `internal` if a line cannot be written.
    pub fn text(&self) -> Result<String> {
        let mut chain = Chain::default();
        let lines = self.records.iter().map(|record| chain.add(*record));
        lines.collect::<std::result::Result<_, _>>().map_err(|error| Error::internal("a list").caused_by(error))
    }
}

/// A bad sector is damage, a lack of rights is none.
pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    damage(tidebase_ltx::Error::io(format!("{} cannot be read", path.display()), error))
}

//! All pages of the database as of one moment, while others go on writing.
//!
//! A read transaction holds the moment: what it needs of the WAL is not written over, and what comes later does not get into the
//! file. A page is in the WAL, in its last version up to the moment, or else in the file.

use super::marks::Marks;
use super::{damage, io};
use crate::changes::change::Revision;
use crate::changes::log;
use crate::error::{Error, Result};
use crate::sqlite::Sqlite;
use crate::sqlite::pages::{self, Stand};
use rusqlite::Connection;
use std::fs::File;
use std::io::{Error as IoError, Read};
use std::path::Path;
use tidebase_ltx::wal::{self, Committed, Found, Position};
use tidebase_ltx::{PageSize, Rolling};

/// Pages between two looks whether there is an end.
const LOOK_EVERY: u32 = 1024;

pub struct Pinned<'a> {
    own: &'a Connection,
    marks: &'a Marks,
    wal: Option<File>,
    pub page_size: PageSize,
    /// Pages of the database.
    pub commit: u32,
    pub revision: Revision,
    /// The end of what is seen of the WAL; none of an empty one.
    pub position: Option<Position>,
    /// What is seen of the WAL.
    overlay: Option<Committed>,
}

impl<'a> Pinned<'a> {
    /// # Errors
    /// `unavailable` if the database or its WAL cannot be read.
    pub fn new(sqlite: &'a Sqlite, wal_path: &Path, marks: &'a Marks) -> Result<Self> {
        let own = &sqlite.own;
        own.execute_batch("BEGIN")?;
        let (revision, _) = log::stand(own)?;
        let bytes: u32 = own.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let page_size = PageSize::new(bytes).map_err(damage)?;
        let commit: u32 = own.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let stand = pages::stand(own, page_size.bytes())?;
        let mut pinned = Self { own, marks, wal: None, page_size, commit, revision, position: None, overlay: None };
        if let Some(stand) = stand.filter(|stand| stand.frames > 0) {
            pinned.read_wal(stand, wal_path)?;
        }
        Ok(pinned)
    }

    fn read_wal(&mut self, stand: Stand, path: &Path) -> Result<()> {
        let mut wal = File::open(path).map_err(|error| io(path, error))?;
        let found = wal::read(&mut wal, None, Some(stand.frames)).map_err(damage)?;
        let Found::Committed(committed) = found else {
            return Err(Error::unavailable(format!("{} is not as SQLite tells it: {found:?}.", path.display())));
        };
        if committed.position.salts != stand.salts || committed.commit != stand.pages {
            return Err(Error::unavailable(format!("{} has begun anew meanwhile.", path.display())));
        }
        self.position = Some(committed.position);
        self.overlay = Some(committed);
        self.wal = Some(wal);
        Ok(())
    }

    /// # Errors
    /// As [`Pinned::new`], and when there is an end.
    fn page(&self, overlay: Option<&Committed>, number: u32, data: &mut [u8]) -> Result<()> {
        if number.is_multiple_of(LOOK_EVERY) && self.marks.is_over() {
            return Err(Error::unavailable("The database is being closed."));
        }
        if let (Some(overlay), Some(mut wal)) = (overlay, self.wal.as_ref())
            && overlay.page(&mut wal, number, data).map_err(damage)?
        {
            return Ok(());
        }
        self.page_of_file(number, data)
    }

    fn page_of_file(&self, number: u32, data: &mut [u8]) -> Result<()> {
        if number == self.page_size.lock_page() {
            data.fill(0);
            return Ok(());
        }
        pages::read_at(self.own, u64::from(number - 1) * data.len() as u64, data)
    }

    /// What each page adds to the checksum of all of them, as they were at a place in the WAL, or before its first frame; `None` if that
    /// cannot be told any more.
    ///
    /// # Errors
    /// As [`Pinned::new`], and when there is an end.
    pub fn rolling(&self, place: Option<Position>) -> Result<Option<Rolling>> {
        if place == self.position {
            return self.roll(self.overlay.as_ref(), self.commit).map(Some);
        }
        let Some(place) = place else {
            // What is in the file alone need not be a state at all.
            return Ok(self.pages_of_file().and_then(|pages| self.roll(None, pages)).ok());
        };
        let Some(mut wal) = self.wal.as_ref() else { return Ok(None) };
        match wal::read(&mut wal, None, Some(place.frames)).map_err(damage)? {
            Found::Committed(earlier) if earlier.position == place => {
                self.roll(Some(&earlier), earlier.commit).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn roll(&self, overlay: Option<&Committed>, pages: u32) -> Result<Rolling> {
        let mut rolling = Rolling::new(self.page_size);
        let mut data = vec![0; self.page_size.bytes()];
        for number in 1..=pages {
            self.page(overlay, number, &mut data)?;
            rolling.set(number, &data);
        }
        Ok(rolling)
    }

    /// How many the file alone says that it has.
    fn pages_of_file(&self) -> Result<u32> {
        let mut data = vec![0; self.page_size.bytes()];
        self.page_of_file(1, &mut data)?;
        // "The size of the database file in pages", at 28 (sqlite.org/fileformat2.html).
        Ok(u32::from_be_bytes([data[28], data[29], data[30], data[31]]))
    }

    /// The pages one behind the other, as a file has them.
    pub fn reader<'p>(&'p self, rolling: &'p mut Rolling) -> impl Read + use<'p, 'a> {
        rolling.resize(self.commit);
        Pages { data: vec![0; self.page_size.bytes()], at: 0, number: 0, pinned: self, rolling }
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        if !self.own.is_autocommit()
            && let Err(error) = self.own.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "the snapshot of a backup stays open");
        }
    }
}

struct Pages<'p, 'a> {
    pinned: &'p Pinned<'a>,
    rolling: &'p mut Rolling,
    /// The page read last, and how much of it was given.
    data: Vec<u8>,
    at: usize,
    number: u32,
}

impl Read for Pages<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.number == 0 || self.at == self.data.len() {
            if self.number == self.pinned.commit {
                return Ok(0);
            }
            self.number += 1;
            self.at = 0;
            let page = self.pinned.page(self.pinned.overlay.as_ref(), self.number, &mut self.data);
            page.map_err(|error| IoError::other(error.to_string()))?;
            self.rolling.set(self.number, &self.data);
        }
        let length = out.len().min(self.data.len() - self.at);
        out[..length].copy_from_slice(&self.data[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

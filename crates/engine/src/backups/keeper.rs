//! The thread that keeps what is committed: it reads the WAL behind the writer and makes a file of each second.
//!
//! It begins by finding out where its files end: at a place in this very WAL, or before its first frame. The checksum of all pages
//! as they were there proves it, and from there each second is taken by its mark, also those in which nothing could be kept. If there
//! is no such place all pages are written, as a snapshot. Whatever goes wrong later, it begins again.

use super::archive::Archive;
use super::marks::{Mark, Marks, Next};
use super::pinned::Pinned;
use super::{Shelf, damage, io};
use crate::changes::log;
use crate::clock;
use crate::error::{Error, Result};
use crate::sqlite::Sqlite;
use crate::sqlite::pages;
use std::cell::RefCell;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidebase_ltx::wal::{self, Committed, Found, Position};
use tidebase_ltx::{Encoder, Folder, Header, Level, Origin, Record, Rolling, Span, snapshot};

const EMPTIED: &str =
    "Another program has emptied the WAL before all of it was kept; backups begin with all pages again.";

const REST_MIN: Duration = Duration::from_millis(250);
const REST_MAX: Duration = Duration::from_secs(30);

pub struct Keeper {
    pub sqlite: Sqlite,
    pub wal: PathBuf,
    pub marks: Arc<Marks>,
    pub shelf: Arc<Shelf>,
}

/// Where the files end.
struct Trail {
    position: Option<Position>,
    rolling: Rolling,
}

impl Keeper {
    pub fn run(mut self) {
        self.keep_on();
        let marks = Arc::clone(&self.marks);
        // Its connection, too: the writer wants to be the last one.
        drop(self);
        marks.gone();
    }

    fn keep_on(&mut self) {
        let mut rest = REST_MIN;
        loop {
            match self.keep(&mut rest) {
                Ok(Next::Over) => return,
                Ok(_) => tracing::warn!("backups begin with all pages again"),
                Err(error) => {
                    self.marks.failed();
                    tracing::error!(%error, retry_after = ?rest, "backups are not kept");
                    self.shelf.note(Err(&error));
                    // The folder may be another one by now, of which nobody knows where it ends.
                    match self.shelf.reopen() {
                        Ok(true) => self.marks.lose(),
                        Ok(false) => {}
                        Err(error) => {
                            tracing::error!(%error, "the backups' folder cannot be opened");
                            self.shelf.note(Err(&error));
                        }
                    }
                    if !self.marks.rest(rest, || self.stop_reading()) {
                        return;
                    }
                    rest = (rest * 2).min(REST_MAX);
                }
            }
        }
    }

    /// With a read transaction: until it ends nobody writes the WAL from its start again, or, if all of it was in the file, nobody does so
    /// twice.
    fn hold(&self, trail: &Trail) -> Result<()> {
        self.sqlite.own.execute_batch("BEGIN")?;
        log::stand(&self.sqlite.own)?;
        let stand = pages::stand(&self.sqlite.own, trail.rolling.page_size().bytes())?;
        let (Some(stand), Some(known)) = (stand, &trail.position) else { return Ok(()) };
        let is_next = stand.salts[0] == known.salts[0].wrapping_add(1) && self.marks.may_begin_anew();
        if stand.salts == known.salts || is_next { Ok(()) } else { Err(Error::unavailable(EMPTIED)) }
    }

    /// What is in the WAL is given up.
    fn stop_reading(&self) {
        if !self.sqlite.is_autocommit()
            && let Err(error) = self.sqlite.own.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "backups hold the WAL though it is lost to them");
        }
    }

    fn let_go(&self) -> Result<()> {
        self.sqlite.own.execute_batch("ROLLBACK")?;
        self.marks.has_let_go();
        Ok(())
    }

    /// Until there is an end, or something is lost.
    fn keep(&mut self, rest: &mut Duration) -> Result<Next> {
        let mut trail = self.begin()?;
        let mut goes_well = || {
            *rest = REST_MIN;
            self.shelf.note(Ok(()));
        };
        // What waits may fail again.
        if self.marks.are_kept() {
            goes_well();
        }
        loop {
            match self.marks.next(clock::now_ms) {
                Next::Take(mark) => {
                    self.take(&mut trail, mark)?;
                    self.marks.kept(mark);
                    goes_well();
                }
                Next::Hold => self.hold(&trail)?,
                Next::LetGo => self.let_go()?,
                next => return Ok(next),
            }
        }
    }

    fn begin(&mut self) -> Result<Trail> {
        if !self.sqlite.is_autocommit() {
            self.sqlite.own.execute_batch("ROLLBACK")?;
        }
        if self.marks.begin() {
            // The moments between cannot be told apart any more: no file may join them.
            self.shelf.wish();
        }
        let pinned = Pinned::new(&self.sqlite, &self.wal, &self.marks)?;
        self.marks.pinned(pinned.position.map_or(0, |position| position.frames));
        let last = self.shelf.archive().last().copied();
        // What cannot be restored as it is needs all pages anew.
        let is_whole = !self.shelf.wants_snapshot() && self.shelf.archive().is_whole();
        let known = match &last {
            Some(last) if is_whole => self.end_of(&pinned, last)?,
            _ => None,
        };
        let trail = match known {
            Some(trail) => trail,
            None => self.write_snapshot(&pinned, last.map_or(0, |last| last.last))?,
        };
        self.marks.begun(trail.position.map_or(0, |position| position.frames));
        Ok(trail)
    }

    /// Where the last file ends, if that can be told for certain.
    fn end_of(&self, pinned: &Pinned<'_>, last: &Record) -> Result<Option<Trail>> {
        let mut place = pinned.position;
        if let (Some(origin), Some(end)) = (self.origin_of(last), place) {
            let mut wal = File::open(&self.wal).map_err(|error| io(&self.wal, error))?;
            place = wal::behind(&mut wal, &origin).map_err(damage)?.filter(|place| place.frames <= end.frames);
        }
        // Or else before all of the WAL, which was begun anew when the last file had been made.
        for position in [place, None].into_iter().take(if place.is_some() { 2 } else { 1 }) {
            match pinned.rolling(position)? {
                Some(rolling) if rolling.value() == last.checksum => return Ok(Some(Trail { position, rolling })),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Which frames a file was made of; none if it is a snapshot, or cannot be read any more.
    fn origin_of(&self, record: &Record) -> Option<Origin> {
        let folder = self.shelf.archive().folder.clone();
        let is_group = record.level == Level::GROUP.number();
        is_group.then(|| folder.decode(Level::GROUP, record.span()).ok()?.header().origin).flatten()
    }

    fn write_snapshot(&self, pinned: &Pinned<'_>, before: u64) -> Result<Trail> {
        let (page_size, commit, revision) = (pinned.page_size, pinned.commit, pinned.revision);
        let folder = self.room_for(Level::SNAPSHOT, Span { first: 1, last: before + 1 })?;
        let draft = folder.draft(Level::SNAPSHOT).map_err(damage)?;
        let mut rolling = Rolling::new(page_size);
        let end = (before + 1, self.time_after_last(clock::now_ms()));
        let written = snapshot(draft, page_size, commit, end, pinned.reader(&mut rolling));
        let (draft, written, checksum) = written.map_err(damage)?;
        let (stored, sha256) = draft.publish(&written).map_err(damage)?;
        self.shelf.add(&stored, sha256, checksum, Some(revision))?;
        self.shelf.fulfil();
        Ok(Trail { position: pinned.position, rolling })
    }

    /// Makes a file of what was committed up to a mark.
    fn take(&self, trail: &mut Trail, mark: Mark) -> Result<()> {
        let mut wal = File::open(&self.wal).map_err(|error| io(&self.wal, error))?;
        let mut found = wal::read(&mut wal, trail.position.as_ref(), Some(mark.frames));
        if matches!(found, Ok(Found::BegunAnew { is_next: true, .. })) && self.marks.may_begin_anew() {
            trail.position = None;
            found = wal::read(&mut wal, None, Some(mark.frames));
        }
        match found.map_err(damage)? {
            Found::Nothing => Ok(()),
            Found::Committed(committed) => {
                trail.rolling.resize(committed.commit);
                trail.position = Some(committed.position);
                let rolling = RefCell::new(&mut trail.rolling);
                let note = |number: u32, data: &[u8]| rolling.borrow_mut().set(number, data);
                self.write_group(&mut wal, &committed, mark, note, || rolling.borrow().value())
            }
            Found::BegunAnew { .. } => Err(Error::unavailable(EMPTIED)),
            Found::Torn { frame, what } => {
                Err(Error::unavailable(format!("Frame {frame} of the WAL cannot be kept: {what}.")))
            }
        }
    }

    /// `note` is told each page, and `checksum` asked for when all are.
    fn write_group(
        &self,
        wal: &mut File,
        committed: &Committed,
        mark: Mark,
        note: impl Fn(u32, &[u8]),
        checksum: impl Fn() -> u64,
    ) -> Result<()> {
        let last = self.shelf.archive().last().map_or(0, |record| record.last);
        let span = Span { first: last + 1, last: last + 1 };
        let folder = self.room_for(Level::GROUP, span)?;
        let header = Header {
            page_size: committed.page_size,
            commit: committed.commit,
            span,
            time_ms: self.time_after_last(mark.time_ms),
            origin: Some(committed.origin),
            node: 0,
        };
        let draft = folder.draft(Level::GROUP).map_err(damage)?;
        let mut encoder = Encoder::new(draft, header).map_err(damage)?;
        let mut page = |number: u32, data: &[u8]| {
            note(number, data);
            encoder.page(number, data)
        };
        committed.each_page(wal, &mut page).map_err(damage)?;
        let (draft, written) = encoder.finish().map_err(damage)?;
        let (stored, sha256) = draft.publish(&written).map_err(damage)?;
        self.shelf.add(&stored, sha256, checksum(), Some(mark.revision))
    }

    fn room_for(&self, level: Level, span: Span) -> Result<Folder> {
        let archive = self.shelf.archive();
        archive.check_place()?;
        archive.make_room(level, span)?;
        Ok(archive.folder.clone())
    }

    /// A clock that was put back does not put the order of files back.
    fn time_after_last(&self, time_ms: i64) -> u64 {
        let last = self.shelf.archive().last().map_or(0, |record| record.time_ms);
        u64::try_from(time_ms).unwrap_or(0).max(last)
    }
}

impl Shelf {
    fn add(
        &self,
        stored: &tidebase_ltx::Stored,
        sha256: tidebase_ltx::Hash,
        checksum: u64,
        revision: Option<i64>,
    ) -> Result<()> {
        let mut archive: std::sync::MutexGuard<'_, Archive> = self.archive();
        archive.check_place()?;
        archive.add(stored, sha256, checksum, revision)?;
        drop(archive);
        self.tell();
        Ok(())
    }
}

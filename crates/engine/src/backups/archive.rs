//! The folder that backups are kept in: which files there are, and what is known of each.
//!
//! ```text
//! about.json        which database it is of
//! set-aside/        what was found damaged, or in no list
//! lock              held by the server that writes it
//! readers           shared by who reads: meanwhile no file is removed
//! forgotten         up to which transaction seconds were removed, for their minutes are enough
//! groups.jsonl      a line for each file of level 0
//! manifest.jsonl    a line for each of the others
//! ltx/…             the files: `tidebase_ltx::folder`
//! ```
//!
//! A file counts when its line is written. One without a line is what a crash left; what it holds is still in the WAL then.

use super::book::{Book, unreadable};
use super::moment::Moment;
use super::report::Reached;
use super::timeline::Timeline;
use super::{damage, io, is_of_damage};
use crate::clock;
use crate::error::{Error, Result};
use crate::storage::system;
use crate::storage::vouch::beside;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use tidebase_ltx::{Folder, Hash, Level, Manifest, Record, Span, Stored, Target};

pub const ABOUT: &str = "about.json";
/// Two clocks that are right may be this far apart.
const CLOCKS_APART_MS_MAX: i64 = 60_000;

const LOCK: &str = "lock";
const ASIDE: &str = "set-aside";
const READERS: &str = "readers";
pub const FORGOTTEN: &str = "forgotten";
/// Behind the name of a folder that was damaged as a whole, with the time.
const DAMAGED: &str = "-damaged-";
pub const GROUPS: &str = "groups.jsonl";
pub const MANIFEST: &str = tidebase_ltx::folder::MANIFEST;

#[derive(Debug, Serialize, Deserialize)]
struct About {
    /// The name that the database has in its own settings.
    database: String,
    /// That of the folder: one that was lost and made again has another.
    #[serde(default)]
    folder: String,
}

/// What is known of a folder's files.
#[derive(Debug)]
pub struct Archive {
    pub folder: Folder,
    root: PathBuf,
    /// What it is called when people are told of it.
    place: String,
    /// The database's.
    name: String,
    groups: Book,
    others: Book,
    /// Held by who writes, until it is let go.
    lock: Option<File>,
    /// The files that count as there, if they are not in the folder itself.
    elsewhere: Option<HashSet<(u8, Span)>>,
    /// Lines that were passed over there.
    lost: Vec<String>,
    /// None if nobody knows any more.
    forgotten_to: Option<u64>,
    /// Another folder was opened in place of the one before so many times.
    exchanged: u64,
}

impl Archive {
    /// Opens a folder for the one who writes, and makes it if it is not there. One that is damaged is given another name, and a new one
    /// begun. `held` is the lock of who has it open already.
    ///
    /// # Errors
    /// `conflict` if it is of another database, or another server writes it. `unavailable` if it cannot be written.
    pub(super) fn open_or_set_aside(root: &Path, database: &str, held: Option<File>) -> Result<Self> {
        match Self::open(root, database, held) {
            // And not for want of file handles, say.
            Err(error) if is_of_damage(&error) => {
                let aside = beside(root, &format!("{DAMAGED}{}", clock::now_ms()));
                tracing::error!(%error, aside = %aside.display(), "the backups' folder is damaged; it is set aside, and a new one begun");
                fs::rename(root, &aside).map_err(|error| io(root, error))?;
                Self::open(root, database, None)
            }
            opened => opened,
        }
    }

    /// The same, which fails for a folder that is damaged.
    fn open(root: &Path, database: &str, held: Option<File>) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(|error| io(root, error))?;
        let lock = match held.filter(|held| is_at(held, &root.join(LOCK))) {
            Some(held) => held,
            None => lock(root)?,
        };
        let about = root.join(ABOUT);
        match about_of(root)? {
            Some(about) if about.database == database => {}
            Some(_) => {
                return Err(Error::conflict(format!(
                    "{} holds the backups of another database. Choose another folder.",
                    root.display()
                )));
            }
            None => {
                let text = serde_json::json!({ "database": database, "folder": system::random_name()? }).to_string();
                let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&about);
                written
                    .and_then(|mut file| {
                        std::io::Write::write_all(&mut file, text.as_bytes()).and_then(|()| file.sync_all())
                    })
                    .map_err(|error| io(&about, error))?;
            }
        }
        readers(root)?;
        let mut archive = Self { lock: Some(lock), name: database.into(), ..Self::look(root, false)? };
        if archive.last().is_none() {
            archive.note_forgotten(0)?;
        }
        if archive.is_damaged() {
            tracing::error!(folder = %root.display(), damaged = ?archive.lost_lines(), "lists of the backups are damaged");
            archive.keep_up()?;
        }
        Ok(archive)
    }

    /// Removes and sets aside what a crash has left, before anybody writes.
    ///
    /// # Errors
    /// `unavailable` if the folder cannot be written.
    pub(super) fn clean(&self) -> Result<()> {
        self.folder.sweep().map_err(damage)?;
        for (level, span) in self.unknown(&listed(&self.folder)?) {
            self.set_aside_one(level, span)?;
        }
        Ok(())
    }

    /// The same folder, looked at anew. If that fails, nothing changes.
    ///
    /// # Errors
    /// As [`Archive::open_or_set_aside`].
    pub(super) fn reopen(&mut self) -> Result<()> {
        let held = self.lock.as_ref().map(File::try_clone).transpose().map_err(|error| io(&self.root, error))?;
        let exchanged = self.exchanged + u64::from(self.check_place().is_err());
        let archive = Self::open_or_set_aside(&self.root, &self.name, held)?;
        if exchanged > self.exchanged {
            archive.clean()?;
        }
        *self = Self { exchanged, ..archive };
        Ok(())
    }

    /// Grows when another folder has taken the place of the one before.
    pub fn exchanged(&self) -> u64 {
        self.exchanged
    }

    /// Is the folder still the one that was opened?
    ///
    /// # Errors
    /// `unavailable` if it was removed or replaced.
    pub(super) fn check_place(&self) -> Result<()> {
        if self.lock.as_ref().is_some_and(|held| is_at(held, &self.root.join(LOCK))) {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "{} was removed or replaced while backups were kept in it.",
            self.root.display()
        )))
    }

    /// Looks at a folder without writing to it.
    ///
    /// # Errors
    /// `not_found` if there is none, `unavailable` if it is damaged.
    pub fn read(root: &Path) -> Result<Self> {
        Self::look(root, true)
    }

    /// `takes_newest`: also a file that a crash has left without its line. For the one who writes, what it holds is still in the WAL.
    fn look(root: &Path, takes_newest: bool) -> Result<Self> {
        if !root.is_dir() {
            return Err(Error::not_found(format!("There are no backups in {}.", root.display())));
        }
        let folder = Folder::new(root);
        // First: lists that are read later have the lines of all of them, but for one that is just being made.
        let there = listed(&folder)?;
        let (groups, others) = (Book::read(root.join(GROUPS))?, Book::read(folder.manifest())?);
        let place = root.display().to_string();
        let (name, lost) = (String::new(), Vec::new());
        let forgotten_to = fs::read_to_string(root.join(FORGOTTEN)).ok().and_then(|text| text.trim().parse().ok());
        let mut archive = Self {
            folder,
            root: root.into(),
            place,
            name,
            groups,
            others,
            lock: None,
            elsewhere: None,
            lost,
            forgotten_to,
            exchanged: 0,
        };
        archive.derive_lost(&there, takes_newest);
        Ok(archive)
    }

    /// Files tell themselves what a damaged list has told of them.
    fn derive_lost(&mut self, there: &HashSet<(u8, Span)>, takes_newest: bool) {
        // For the last line no other vouches.
        for book in [&mut self.groups, &mut self.others] {
            book.check_last(&self.folder);
        }
        let mut unknown = self.unknown(there);
        unknown.retain(|(level, span)| self.folder.path(*level, *span).exists());
        for level in Level::all() {
            // A crash leaves one at most, and that is the newest.
            let newest = self.records().filter(|record| record.level == level.number()).map(|record| record.last).max();
            let of_level: Vec<Span> = unknown.iter().filter(|(its, _)| *its == level).map(|(_, span)| *span).collect();
            let is_left_by_crash = level == Level::GROUP && of_level.len() == 1 && Some(of_level[0].last) > newest;
            if !of_level.is_empty() && !is_left_by_crash {
                self.book(level).lacks_lines();
            }
        }
        if takes_newest || self.is_damaged() {
            for (level, span) in unknown {
                if let Ok(record) = self.folder.derive(level, span) {
                    self.book(level).records.push(record);
                }
            }
        }
    }

    fn is_damaged(&self) -> bool {
        self.groups.is_damaged() || self.others.is_damaged()
    }

    /// Writes the lists anew where they are not on the disk as they are here.
    ///
    /// # Errors
    /// `unavailable` if they cannot be written, or the folder is another one by now.
    pub(super) fn keep_up(&mut self) -> Result<()> {
        self.check_place()?;
        self.groups.keep_up()?;
        self.others.keep_up()
    }

    /// The lists as they should stand on a disk, by their names.
    ///
    /// # Errors
    /// `internal` if a line cannot be written.
    pub fn lists(&self) -> Result<[(&'static str, String); 2]> {
        Ok([(MANIFEST, self.others.text()?), (GROUPS, self.groups.text()?)])
    }

    /// Looks at the lines of a folder whose files are somewhere else: those, in that place, and lines of its lists that were `lost`.
    ///
    /// # Errors
    /// As [`Archive::read`].
    pub fn read_elsewhere(root: &Path, place: String, files: HashSet<(u8, Span)>, lost: Vec<String>) -> Result<Self> {
        Ok(Self { elsewhere: Some(files), lost, place, ..Self::read(root)? })
    }

    /// Another may write from now on.
    pub(super) fn let_go(&mut self) {
        self.lock = None;
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn book(&mut self, level: Level) -> &mut Book {
        if level == Level::GROUP { &mut self.groups } else { &mut self.others }
    }

    /// A file that was published counts from now on.
    pub fn add(&mut self, stored: &Stored, sha256: Hash, checksum: u64, revision: Option<i64>) -> Result<()> {
        let Stored { level, span, time_ms, size } = *stored;
        let (level_number, previous) = (level.number(), Hash::default());
        let Span { first, last } = span;
        let record = Record { level: level_number, first, last, time_ms, size, sha256, checksum, revision, previous };
        self.book(level).add(record)
    }

    /// Lines of the lists that cannot be trusted any more, and were passed over.
    pub fn lost_lines(&self) -> Vec<String> {
        [&self.others, &self.groups].into_iter().flat_map(Book::lost).chain(self.lost.iter().cloned()).collect()
    }

    /// All lines, those of removed files too.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.others.records.iter().chain(&self.groups.records)
    }

    /// The line of the last transaction.
    pub fn last(&self) -> Option<&Record> {
        self.records().max_by_key(|record| (record.last, std::cmp::Reverse(record.level)))
    }

    /// The files that are there and counted, by level and span.
    pub fn files(&self) -> Result<Vec<Stored>> {
        Ok(self.kept()?.into_iter().map(|(file, _)| file).collect())
    }

    /// The same, each with its line.
    pub fn kept(&self) -> Result<Vec<(Stored, &Record)>> {
        let there = self.there()?;
        let mut files: Vec<(Stored, &Record)> = self
            .records()
            .filter(|record| there.contains(&(record.level, record.span())))
            .filter_map(|record| Level::new(record.level).map(|level| (stored(level, record), record)))
            .collect();
        files.sort_by_key(|(file, _)| (file.level, file.span));
        files.dedup_by_key(|(file, _)| *file);
        Ok(files)
    }

    fn there(&self) -> Result<Cow<'_, HashSet<(u8, Span)>>> {
        if let Some(elsewhere) = &self.elsewhere {
            return Ok(Cow::Borrowed(elsewhere));
        }
        listed(&self.folder).map(Cow::Owned)
    }

    pub fn manifest(&self) -> Manifest {
        Manifest { records: self.records().copied().collect(), ..Manifest::default() }
    }

    /// Does it do for a restore of the newest state that was ever kept?
    pub fn is_whole(&self) -> bool {
        let newest = self.last().map(|record| record.last);
        self.find(Moment::Latest).is_ok_and(|(_, record)| Some(record.last) == newest)
    }

    /// The record of a file.
    pub fn of(&self, file: &Stored) -> Option<&Record> {
        let book = if file.level == Level::GROUP { &self.groups } else { &self.others };
        book.records.iter().rev().find(|record| record.level == file.level.number() && record.span() == file.span)
    }

    /// What to restore for a moment, with the line of the last file of it.
    ///
    /// # Errors
    /// `not_found` if it is before the first backup or not kept, `invalid` if it is not there yet.
    pub fn find(&self, moment: Moment) -> Result<(Vec<Stored>, Record)> {
        let kept = self.kept()?;
        let files: Vec<Stored> = kept.iter().map(|(file, _)| *file).collect();
        let timeline = self.timeline(&kept);
        let found = match moment {
            Moment::Latest => timeline.moments.last().copied(),
            Moment::Time(time_ms) => {
                check_times(&files)?;
                timeline.at(time_ms.try_into().unwrap_or(0))
            }
            Moment::Revision(revision) => self.of_revision(revision, &timeline)?,
        };
        let found = found.copied().ok_or_else(|| self.nothing_at(moment, &timeline))?;
        let is_exact = match moment {
            Moment::Latest => false,
            Moment::Time(time_ms) => u64::try_from(time_ms) == Ok(found.time_ms),
            Moment::Revision(revision) => found.revision == Some(revision),
        };
        // What was there between the ends of a gap cannot be told.
        if let Some(gap) = timeline.gap_after(&found).filter(|_| !is_exact) {
            let what = if gap.before.is_some() { "Restore one of these two" } else { "Restore that one" };
            let (place, damage) = (&self.place, self.damage());
            return Err(Error::not_found(format!(
                "{moment} was not kept: {gap} there is a gap in {place}.{damage} {what}."
            )));
        }
        let plan = tidebase_ltx::plan(&files, Target::Transaction(found.last)).map_err(damage)?;
        Ok((plan, found))
    }

    pub(super) fn timeline<'a>(&self, kept: &[(Stored, &'a Record)]) -> Timeline<'a> {
        // What is carried elsewhere may have lines before it has files.
        let newest = match &self.elsewhere {
            Some(_) => kept.iter().map(|(file, _)| file.span.last).max(),
            None => self.last().map(|record| record.last),
        };
        Timeline::new(kept, newest.unwrap_or(0), self.forgotten_to)
    }

    fn nothing_at(&self, moment: Moment, timeline: &Timeline<'_>) -> Error {
        let why = match timeline.moments.first() {
            Some(first) => format!("the first backup is of {}", Reached::of(first)),
            None => "there is no snapshot".into(),
        };
        let (place, damage) = (&self.place, self.damage());
        Error::not_found(format!(
            "{moment} cannot be restored from {place}: {why}.{damage} `tidebase backup list` shows what can."
        ))
    }

    fn damage(&self) -> String {
        let lost = self.lost_lines();
        if lost.is_empty() { String::new() } else { format!(" Damaged: {}.", lost.join(", ")) }
    }

    /// The last moment at or before a revision.
    fn of_revision<'a>(&self, revision: i64, timeline: &Timeline<'a>) -> Result<Option<&'a Record>> {
        // The file may have been replaced by an older one: then revisions begin again from there, and the last line counts.
        let newest = self.records().filter(|record| record.revision.is_some()).max_by_key(|record| record.last);
        let newest = newest.and_then(|record| record.revision);
        if newest.is_none_or(|newest| newest < revision) {
            return Err(Error::invalid(format!(
                "Revision {revision} is in no backup; the newest there is {}.",
                newest.map_or_else(|| "none".to_owned(), |newest| newest.to_string())
            )));
        }
        let moments = &timeline.moments;
        let Some(at) = moments.iter().rposition(|moment| moment.revision.is_some_and(|known| known <= revision)) else {
            return Ok(None);
        };
        let is_next_unknown = moments.get(at + 1).is_some_and(|next| next.revision.is_none());
        if is_next_unknown && moments[at].revision != Some(revision) {
            return Err(Error::not_found(format!(
                "Which moment revision {revision} is cannot be told any more, for a list was damaged. Say it by its time; `tidebase backup \
                 list` has them."
            )));
        }
        Ok(Some(moments[at]))
    }

    /// Removes files, if nobody is reading in the folder; those that are removed need no lines any more.
    pub fn remove(&mut self, files: &[Stored]) -> Result<bool> {
        let readers = readers(&self.root)?;
        if readers.try_lock().is_err() {
            return Ok(false);
        }
        for file in files {
            let path = self.folder.path(file.level, file.span);
            fs::remove_file(&path).map_err(|error| io(&path, error))?;
        }
        let seconds = files.iter().filter(|file| file.level == Level::GROUP);
        if let Some(last) = seconds.map(|file| file.span.last).max() {
            self.note_forgotten(last)?;
        }
        self.shorten(files)?;
        Ok(true)
    }

    fn note_forgotten(&mut self, last: u64) -> Result<()> {
        let (path, new) = (self.root.join(FORGOTTEN), self.root.join(format!("{FORGOTTEN}.new")));
        let last = self.forgotten_to.unwrap_or(0).max(last);
        fs::write(&new, last.to_string()).and_then(|()| fs::rename(&new, &path)).map_err(|error| io(&path, error))?;
        self.forgotten_to = Some(last);
        Ok(())
    }

    /// Up to which transaction seconds were removed.
    pub fn forgotten_to(&self) -> Option<u64> {
        self.forgotten_to
    }

    /// Cuts off the lines in front of files that were removed, now or before. Others that are gone may come back.
    fn shorten(&mut self, removed: &[Stored]) -> Result<()> {
        let there: HashSet<(u8, Span)> =
            self.files()?.into_iter().map(|file| (file.level.number(), file.span)).collect();
        for (is_groups, book) in [(true, &mut self.groups), (false, &mut self.others)] {
            let of_book = removed.iter().filter(|file| (file.level == Level::GROUP) == is_groups);
            let newest = of_book.map(|file| file.time_ms).max().unwrap_or(0);
            let is_gone =
                |record: &&Record| record.time_ms <= newest && !there.contains(&(record.level, record.span()));
            let gone = book.records.iter().take_while(is_gone).count();
            // A few more lines are no harm, and each cut writes the rest again.
            if gone > 0 && gone * 4 >= book.records.len() {
                book.cut(gone)?;
            }
        }
        Ok(())
    }

    /// Lines as they are somewhere else: those that were made anew here, from their files, are replaced by them, and `lost` ones are added.
    ///
    /// # Errors
    /// `unavailable` if they cannot be written.
    pub(super) fn adopt(&mut self, found: &[Record], lost: &[Record]) -> Result<()> {
        let of = |record: &Record| (record.level, record.span());
        let found: HashMap<_, &Record> = found.iter().map(|record| (of(record), record)).collect();
        for book in [&mut self.groups, &mut self.others] {
            for known in book.records.iter_mut().filter(|known| known.revision.is_none()) {
                if let Some(found) = found.get(&of(known)).filter(|found| found.sha256 == known.sha256) {
                    *known = **found;
                }
            }
        }
        // A number that was given anew here, to all pages, leads to another state there.
        let ours: HashSet<u64> =
            self.records().filter(|record| record.span().is_snapshot()).map(|record| record.last).collect();
        for record in lost.iter().filter(|record| !ours.contains(&record.last)) {
            let level = Level::new(record.level).ok_or_else(|| Error::internal("a file of no level"))?;
            self.book(level).records.push(*record);
        }
        self.keep_up()
    }

    /// What stands in the place of a new file and is in no list, as where a full disk came between the two, is set aside.
    ///
    /// # Errors
    /// `unavailable` if it cannot be moved.
    pub(super) fn make_room(&self, level: Level, span: Span) -> Result<()> {
        let is_known = |record: &Record| (record.level, record.span()) == (level.number(), span);
        if !self.folder.path(level, span).exists() || self.records().any(is_known) {
            return Ok(());
        }
        self.set_aside_one(level, span)
    }

    /// Out of the way with a file that is damaged, unless somebody is reading in the folder: then the next time.
    pub(super) fn put_aside(&self, file: &Stored) -> Result<()> {
        let readers = readers(&self.root)?;
        if readers.try_lock().is_err() {
            return Ok(());
        }
        self.set_aside_one(file.level, file.span)
    }

    /// How many files stand apart, and folders that were damaged as a whole.
    pub(super) fn set_aside(&self) -> usize {
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let files = entries(&self.root.join(ASIDE)).count();
        let name = self.root.file_name().unwrap_or_default().to_string_lossy();
        let is_whole = |entry: &fs::DirEntry| {
            entry.file_name().to_string_lossy().strip_prefix(&*name).is_some_and(|rest| rest.starts_with(DAMAGED))
        };
        let beside = self.root.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        files + entries(beside).filter(is_whole).count()
    }

    /// Those that are in no list, in their order.
    fn unknown(&self, there: &HashSet<(u8, Span)>) -> Vec<(Level, Span)> {
        let known: HashSet<(u8, Span)> = self.records().map(|record| (record.level, record.span())).collect();
        let level = |(level, span): &(u8, Span)| Level::new(*level).map(|level| (level, *span));
        let mut unknown: Vec<_> = there.difference(&known).filter_map(level).collect();
        unknown.sort();
        unknown
    }

    fn set_aside_one(&self, level: Level, span: Span) -> Result<()> {
        let (path, aside) = (self.folder.path(level, span), self.root.join(ASIDE));
        let to = aside.join(format!("{}-{}", level.number(), tidebase_ltx::folder::name(span)));
        let moved = fs::create_dir_all(&aside).and_then(|()| fs::rename(&path, &to));
        // Another name will do, if that is all that can be had.
        let to = if moved.is_ok() { to } else { path.with_extension("ltx.damaged") };
        moved.or_else(|_| fs::rename(&path, &to)).map_err(|error| io(&path, error))?;
        tracing::warn!(path = %path.display(), to = %to.display(), "a file of the backups was set aside");
        Ok(())
    }
}

/// A clock that was ahead for a while has stamped what came then, and what came after it.
fn check_times(files: &[Stored]) -> Result<()> {
    let newest = files.iter().map(|file| file.time_ms).max().unwrap_or(0);
    let newest = i64::try_from(newest).unwrap_or(i64::MAX);
    if newest <= clock::now_ms().saturating_add(CLOCKS_APART_MS_MAX) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The clock was ahead when backups were kept, up to {}: times do not tell these moments apart. Say the moment by its revision; `tidebase \
         backup list` has them.",
        clock::spoken(newest)
    )))
}

/// A file that was lost, read from where there is another one, counts again. False if that is not the one that was written.
///
/// # Errors
/// `unavailable` if it cannot be read, or cannot be written here.
pub fn put_back(folder: &Folder, record: &Record, mut from: impl std::io::Read) -> Result<bool> {
    let level = Level::new(record.level).ok_or_else(|| Error::internal("a file of no level"))?;
    let mut draft = folder.draft(level).map_err(damage)?;
    std::io::copy(&mut from, &mut draft).map_err(|error| io(&folder.path(level, record.span()), error))?;
    match draft.publish_again(record) {
        Err(error) if error.code == tidebase_ltx::Code::Damaged => Ok(false),
        put => put.map(|()| true).map_err(damage),
    }
}

/// While this is held no file of the folder is removed.
pub fn hold(root: &Path) -> Result<File> {
    let readers = readers(root)?;
    readers.lock_shared().map_err(|error| io(root, error))?;
    Ok(readers)
}

fn readers(root: &Path) -> Result<File> {
    let path = root.join(READERS);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    // Who may only read the folder can still lock; in a copy without the file, the folder itself.
    let opened = opened.or_else(|error| File::open(&path).or_else(|_| File::open(root)).map_err(|_| error));
    opened.map_err(|error| io(&path, error))
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join(LOCK);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(|error| io(&path, error))?;
    file.try_lock().map_err(|_| {
        Error::conflict(format!("Another server writes its backups to {}. Choose another folder.", root.display()))
    })?;
    Ok(file)
}

fn about_of(root: &Path) -> Result<Option<About>> {
    let path = root.join(ABOUT);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
            damage(tidebase_ltx::Error::damaged(format!("{} cannot be understood: {error}", path.display())))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(&path, error)),
    }
}

/// Is this open file the one of that name?
fn is_at(held: &File, path: &Path) -> bool {
    let place = |found: std::io::Result<fs::Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
    let held = place(held.metadata());
    held.is_some() && held == place(fs::metadata(path))
}

/// Level and span of the files that are there, counted or not.
pub(super) fn listed(folder: &Folder) -> Result<HashSet<(u8, Span)>> {
    let mut there = HashSet::new();
    for level in Level::all() {
        let spans = folder.spans(level).map_err(damage)?;
        there.extend(spans.into_iter().map(|span| (level.number(), span)));
    }
    Ok(there)
}

pub fn key(file: &Stored) -> (u8, Span) {
    (file.level.number(), file.span)
}

/// Before there is a writer. Gives the name under which the database's backups are kept, made when it is first needed.
///
/// It commits something, so that the WAL has what the file has not: nobody then writes the WAL from its start again while the
/// first look at all pages is under way.
pub(crate) fn begin(connection: &rusqlite::Connection) -> Result<String> {
    let name = match system::text(connection, "backups")? {
        Some(name) => name,
        None => system::random_name()?,
    };
    system::set(connection, "backups", &name)?;
    system::set(connection, "backups_begun", &clock::now_ms())?;
    Ok(name)
}

pub(super) fn stored(level: Level, record: &Record) -> Stored {
    Stored { level, span: record.span(), time_ms: record.time_ms, size: record.size }
}

//! Backups in a second place: whatever comes into the folder is carried into a store, and what is forgotten there is removed here.
//!
//! ```text
//! about.json, manifest.jsonl, groups.jsonl, ltx/…     as in the folder; the two lists once a minute
//! tail/0-….json                                       the line of a file that is in no list yet
//! ```
//!
//! A small file is put where none is yet. If one of its name holds something else, another server writes to the same place: then this one
//! stops, for what it would add would fit to nothing. How it comes back is in [`super::fetch`].

use super::blocking;
use super::fetch::{self, GROUPS, Known, LISTS, TAIL};
use crate::store::Store;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde::Serialize;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidebase_engine::backups::archive::{ABOUT, put_back};
use tidebase_engine::backups::{Archive, Level, Record, Stored, due};
use tidebase_engine::{Code, Engine, Error, Limits, Result, clock};
use tidebase_ltx::{Folder, Span};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

const LISTS_EVERY: Duration = Duration::from_mins(1);
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_mins(1);
/// A larger file goes in parts.
const WHOLE_BYTES_MAX: u64 = 8 << 20;
const PIECE_BYTES: usize = 1 << 20;
/// A place that does not answer for longer is told of, long before it is given up.
const SILENCE_MAX: Duration = Duration::from_secs(10);

pub struct Mirror {
    engine: Arc<Engine>,
    store: Store,
    state: Mutex<State>,
    known: tokio::sync::Mutex<Option<There>>,
}

/// How it fares.
#[derive(Debug, Default)]
struct State {
    /// Files that were looked at and are not known to be there.
    behind: usize,
    /// The last transaction that was looked at.
    looked_at: u64,
    behind_since_ms: Option<i64>,
    /// Of the newest file there.
    revision: Option<i64>,
    error: Option<String>,
    /// When the place was asked what it has not answered yet, or what it answered last while there is more to carry.
    asked_at: Option<Instant>,
    is_over: bool,
}

/// The same, for `GET /backups`.
#[derive(Debug, Serialize)]
pub struct Fares {
    pub place: String,
    pub ok: bool,
    /// Of the newest file there, if any is known to be.
    pub revision: Option<i64>,
    /// Files of the folder that are not known to be there.
    pub behind: usize,
    /// Since when there have been any.
    pub behind_since: Option<String>,
    pub error: Option<String>,
}

/// What is in the folder.
struct Here {
    /// With their lines.
    files: Vec<(Stored, Record)>,
    /// The lines of files that should be there.
    lost: Vec<Record>,
    root: PathBuf,
}

/// What is in the place, as far as this server knows.
struct There {
    known: Known,
    /// Files that were lost in the folder, and wanted back.
    asked_for: HashSet<(u8, Span)>,
    listed_at: Option<Instant>,
    are_lists_old: bool,
}

impl Mirror {
    pub fn new(engine: Arc<Engine>, store: Store) -> Arc<Self> {
        Arc::new(Self { engine, store, state: Mutex::default(), known: tokio::sync::Mutex::default() })
    }

    /// How it fares. Reads the folder, which blocks.
    ///
    /// # Errors
    /// `unavailable` if the folder cannot be listed.
    pub fn fares(&self) -> Result<Fares> {
        let last = |file: &Stored| file.span.last;
        let files = match self.engine.backups() {
            Some(backups) => backups.shelf.archive().files()?,
            None => Vec::new(),
        };
        let state = self.lock();
        // While one is being carried, or waited for, others come.
        let behind = state.behind + files.iter().filter(|file| last(file) > state.looked_at).count();
        let silence = state.asked_at.map(|asked| asked.elapsed()).filter(|silence| *silence > SILENCE_MAX);
        let silent = silence.map(|silence| {
            let (place, waited, most) = (&self.store, silence.as_secs(), self.store.time_max().as_secs());
            format!("{place} has not answered for {waited} s. It is given up after {most} s and asked again.")
        });
        let error = state.error.clone().or(silent);
        Ok(Fares {
            place: self.store.to_string(),
            ok: error.is_none(),
            revision: state.revision,
            behind,
            behind_since: state.behind_since_ms.map(clock::spoken),
            error,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries for ever, unless another server writes there.
    pub async fn run(self: Arc<Self>) {
        let Some(backups) = self.engine.backups() else { return };
        let (mut grown, mut rest) = (backups.shelf.watch(), REST_MIN);
        loop {
            grown.mark_unchanged();
            match self.carry(false).await {
                Ok(()) => {
                    rest = REST_MIN;
                    // The lists are due by themselves, too.
                    let _ = tokio::time::timeout(LISTS_EVERY, grown.changed()).await;
                }
                Err(()) if self.lock().is_over => return,
                Err(()) => {
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(REST_MAX);
                }
            }
        }
    }

    /// Carries what is left, lists and all: when nothing more comes.
    pub async fn finish(&self) {
        if !self.lock().is_over {
            let _ = self.carry(true).await;
        }
    }

    async fn carry(&self, is_last: bool) -> std::result::Result<(), ()> {
        let carried = self.step(is_last).await;
        let mut state = self.lock();
        state.asked_at = None;
        match carried {
            Ok(()) => {
                (state.behind, state.behind_since_ms, state.error) = (0, None, None);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, place = %self.store, "backups are not carried to their second place");
                state.is_over = error.code == Code::Conflict;
                state.error = Some(error.to_string());
                Err(())
            }
        }
    }

    async fn step(&self, is_last: bool) -> Result<()> {
        let Here { files, lost, root } = self.here().await?;
        let mut known = self.known.lock().await;
        self.look(&files, known.as_ref());
        if known.is_none() {
            *known = Some(self.begin(&files, &lost, &root).await?);
        }
        let Some(there) = known.as_mut() else { return Ok(()) };
        for record in lost {
            let key = (record.level, record.span());
            // Once: what is no better there is no better the next time.
            if there.known.files.contains(&key) && there.asked_for.insert(key) {
                self.bring_back(record, &root).await?;
            }
        }
        let mut new: Vec<&(Stored, Record)> =
            files.iter().filter(|(file, _)| !there.known.files.contains(&(file.level.number(), file.span))).collect();
        new.sort_by_key(|(file, _)| (file.span.last, file.level));
        for (index, (file, record)) in new.iter().enumerate() {
            self.heard(new.len() - index);
            self.put(&file.to_string(), root.join(file.to_string()), file.size).await?;
            if file.level == Level::GROUP {
                self.put_tail(record).await?;
                there.known.tails.push(record.last);
            }
            there.known.files.insert((file.level.number(), file.span));
            there.known.times.insert((file.level.number(), file.span), file.time_ms);
            there.are_lists_old = true;
            let mut state = self.lock();
            state.revision = state.revision.max(record.revision);
        }
        self.heard(0);
        let is_time = there.listed_at.is_none_or(|listed| listed.elapsed() >= LISTS_EVERY);
        if there.are_lists_old && (is_time || is_last) {
            self.put_lists(&root, there, &files).await?;
        }
        Ok(())
    }

    /// What is not known to be there is behind, and nothing is known of a place that was never reached.
    fn look(&self, files: &[(Stored, Record)], there: Option<&There>) {
        let is_there =
            |file: &Stored| there.is_some_and(|there| there.known.files.contains(&(file.level.number(), file.span)));
        let mut state = self.lock();
        state.behind = files.iter().filter(|(file, _)| !is_there(file)).count();
        state.looked_at = files.iter().map(|(file, _)| file.span.last).max().unwrap_or(0);
        if state.behind > 0 {
            state.behind_since_ms.get_or_insert_with(clock::now_ms);
        }
        state.asked_at = Some(Instant::now());
    }

    /// The place has answered, and so many files are left.
    fn heard(&self, behind: usize) {
        let mut state = self.lock();
        (state.behind, state.asked_at) = (behind, Some(Instant::now()));
        if behind == 0 {
            state.behind_since_ms = None;
        }
    }

    async fn here(&self) -> Result<Here> {
        let its = Arc::clone(&self.engine);
        self.with_archive(move |archive| {
            let files = archive.kept()?.into_iter().map(|(file, record)| (file, *record)).collect();
            let lost = archive.lost(|record| is_old(record.level, record.time_ms, its.limits()))?;
            Ok(Here { files, lost, root: archive.root().to_owned() })
        })
        .await
    }

    /// Looks at the folder, which may take a moment.
    async fn with_archive<T, Look>(&self, look: Look) -> Result<T>
    where
        T: Send + 'static,
        Look: FnOnce(&Archive) -> Result<T> + Send + 'static,
    {
        let engine = Arc::clone(&self.engine);
        blocking(move || {
            let backups = engine.backups().ok_or_else(|| Error::internal("there are no backups"))?;
            look(&backups.shelf.archive())
        })
        .await
    }

    /// What the folder has lost, or put aside for it was damaged, and this place has.
    async fn bring_back(&self, record: Record, root: &std::path::Path) -> Result<()> {
        let name = fetch::name(record.level, record.span());
        let found = self.store.get(&name).await?;
        let cannot = |error: std::io::Error| Error::unavailable(format!("{name} cannot be brought: {error}."));
        let mut brought = tokio::fs::File::from_std(tempfile::tempfile_in(root).map_err(cannot)?);
        let mut pieces = std::pin::pin!(found.read(0..found.bytes));
        while let Some(piece) = pieces.try_next().await? {
            brought.write_all(&piece).await.map_err(cannot)?;
            self.lock().asked_at = Some(Instant::now());
        }
        brought.rewind().await.map_err(cannot)?;
        let brought = brought.into_std().await;
        let folder = Folder::new(root);
        match blocking(move || put_back(&folder, &record, brought)).await {
            Ok(()) => tracing::warn!(place = %self.store, name, "a lost file of the backups is brought back"),
            Err(error) => tracing::error!(%error, place = %self.store, name, "a lost file of the backups stays lost"),
        }
        Ok(())
    }

    /// # Errors
    /// `conflict` if there are backups that this server knows nothing of.
    async fn begin(&self, files: &[(Stored, Record)], lost: &[Record], root: &std::path::Path) -> Result<There> {
        let about = root.join(ABOUT);
        let text = tokio::fs::read(&about).await.map_err(|error| cannot(&about, error))?;
        self.put_new(ABOUT, text.into()).await?;
        let known = fetch::known(&self.store).await?;
        // It is of this folder, for it says so. Another server with a copy of it may have gone on in its own way.
        if let Some(theirs) = &known.last {
            let ours = files.iter().map(|(_, record)| record).chain(lost).map(|record| record.last).max().unwrap_or(0);
            let is_other = |(_, record): &(Stored, Record)| {
                (record.level, record.span()) == (theirs.level, theirs.span()) && record.sha256 != theirs.sha256
            };
            if theirs.last > ours || files.iter().any(is_other) {
                return Err(self.foreign());
            }
        }
        let records = files.iter().map(|(_, record)| record).chain(lost);
        let ours: HashSet<_> = records.map(|record| (record.level, record.span())).collect();
        let is_lost = |key: &(u8, Span)| {
            known.times.get(key).is_some_and(|time| !ours.contains(key) && !self.is_old(key.0, *time))
        };
        if let Some((level, span)) = known.files.iter().find(|key| is_lost(key)) {
            return Err(Error::conflict(format!(
                "{} has {}, which the folder of backups has lost. Nothing is added and nothing removed there; choose another place, and keep \
                 this one as long as you may need what is in it.",
                self.store,
                fetch::name(*level, *span)
            )));
        }
        Ok(There { known, asked_for: HashSet::new(), listed_at: None, are_lists_old: true })
    }

    async fn put(&self, name: &str, path: PathBuf, size: u64) -> Result<()> {
        let mut file = tokio::fs::File::open(&path).await.map_err(|error| cannot(&path, error))?;
        if size <= WHOLE_BYTES_MAX {
            let mut bytes = Vec::with_capacity(size as usize);
            file.read_to_end(&mut bytes).await.map_err(|error| cannot(&path, error))?;
            return self.put_new(name, bytes.into()).await;
        }
        let mut upload = self.store.upload(name).await?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match file.read(&mut piece).await.map_err(|error| cannot(&path, error))? {
                0 => break,
                length => upload.write(&piece[..length]).await?,
            }
            self.lock().asked_at = Some(Instant::now());
        }
        upload.finish().await.map(|_| ())
    }

    async fn put_tail(&self, record: &Record) -> Result<()> {
        let line = serde_json::to_vec(record).map_err(|error| Error::internal("a line").caused_by(error))?;
        self.put_new(&format!("{TAIL}{:016x}.json", record.last), line.into()).await
    }

    /// A file that is there already is the one of a try whose answer was lost, or another server's.
    async fn put_new(&self, name: &str, bytes: Bytes) -> Result<()> {
        match self.store.put_new(name, bytes.clone()).await {
            Err(error) if error.code == Code::Conflict => {
                let there = self.store.get(name).await?.whole().await?;
                if there == bytes { Ok(()) } else { Err(self.foreign()) }
            }
            done => done,
        }
    }

    fn foreign(&self) -> Error {
        Error::conflict(format!(
            "{} holds backups that are not of this server; nothing is added to them. Choose another place.",
            self.store
        ))
    }

    fn is_old(&self, level: u8, time_ms: u64) -> bool {
        is_old(level, time_ms, self.engine.limits())
    }

    /// What was lost in the folder must not be lost here, too.
    async fn is_whole(&self) -> Result<bool> {
        self.with_archive(|archive| Ok(archive.is_whole())).await
    }

    /// The lists as they are now; then what is in no list any more can go.
    async fn put_lists(&self, root: &std::path::Path, there: &mut There, files: &[(Stored, Record)]) -> Result<()> {
        let mut listed = 0;
        for name in LISTS {
            let path = root.join(name);
            let text = match tokio::fs::read(&path).await {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(cannot(&path, error)),
            };
            if name == GROUPS {
                listed = fetch::lines(&text)?.last().map_or(0, |record| record.last);
            }
            let mut upload = self.store.upload(name).await?;
            upload.write(&text).await?;
            upload.finish().await?;
        }
        let in_list = |last: &u64| *last <= listed;
        for last in there.known.tails.iter().filter(|last| in_list(last)) {
            self.store.delete(&format!("{TAIL}{last:016x}.json")).await?;
        }
        there.known.tails.retain(|last| !in_list(last));
        let kept: HashSet<_> = files.iter().map(|(file, _)| (file.level.number(), file.span)).collect();
        let is_forgotten = |key: &&(u8, Span)| there.known.times.get(key).is_some_and(|time| self.is_old(key.0, *time));
        let gone: Vec<_> = there.known.files.difference(&kept).filter(is_forgotten).copied().collect();
        if !gone.is_empty() && self.is_whole().await? {
            for (level, span) in gone {
                self.store.delete(&fetch::name(level, span)).await?;
                there.known.files.remove(&(level, span));
            }
        }
        (there.listed_at, there.are_lists_old) = (Some(Instant::now()), false);
        Ok(())
    }
}

fn is_old(level: u8, time_ms: u64, limits: &Limits) -> bool {
    let now = u64::try_from(clock::now_ms()).unwrap_or(0);
    due::is_old(level, time_ms, now, limits.backup_groups_age_max, limits.backup_age_max)
}

fn cannot(path: &std::path::Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("{} cannot be read: {error}.", path.display())).caused_by(error)
}

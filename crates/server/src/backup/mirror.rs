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
use super::fetch::{self, Known, TAIL};
use crate::store::Store;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde::Serialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidebase_engine::backups::archive::{ABOUT, FORGOTTEN, key, put_back};
use tidebase_engine::backups::{Backups, Inventory, Level, Record, Stored};
use tidebase_engine::{Code, Engine, Error, Result, clock};
use tidebase_ltx::{Folder, Span};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

const LISTS_EVERY: Duration = Duration::from_mins(1);
/// Some 2 MB.
const LINES_A_MINUTE: usize = 8000;
const LISTS_MINUTES_MAX: u32 = 10;
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

/// What is in the place, as far as this server knows.
struct There {
    /// What the folder says that it is, and how often another has taken its place.
    about: Bytes,
    exchanged: u64,
    known: Known,
    /// Files that are lost in the folder, and damaged here as well.
    is_no_better: HashSet<(u8, Span)>,
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
        let mut here = self.inventory().await?;
        let mut known = self.known.lock().await;
        self.look(&here.files, known.as_ref());
        if known.is_none() {
            *known = Some(self.begin(&here).await?);
            here = self.inventory().await?;
        }
        // Another folder that has taken the place of the one before has to be looked at like one at a start.
        let exchanged = self.exchanged().await?;
        if known.as_ref().is_some_and(|there| there.exchanged != exchanged) {
            *known = Some(self.begin(&here).await?);
        }
        let Some(there) = known.as_mut() else { return Ok(()) };
        self.check_folder(there, &here.root).await?;
        self.carry_new(there, &here).await?;
        self.bring_back_lost(there, &here).await?;
        self.put_lists_in_time(there, &here, is_last).await
    }

    async fn carry_new(&self, there: &mut There, here: &Inventory) -> Result<()> {
        let mut new: Vec<&(Stored, Record)> =
            here.files.iter().filter(|(file, _)| !there.known.files.contains(&key(file))).collect();
        // One that was merged holds nothing that is not there already, and may take long.
        let is_snapshot = |file: &Stored| file.level == Level::SNAPSHOT;
        let others = here.files.iter().map(|(file, _)| file).filter(|file| !is_snapshot(file));
        let reached: HashSet<u64> = others.map(|file| file.span.last).collect();
        let can_wait = |file: &Stored| is_snapshot(file) && reached.contains(&file.span.last);
        new.sort_by_key(|(file, _)| (can_wait(file), file.span.last, file.level));
        for (index, (file, record)) in new.iter().enumerate() {
            self.heard(new.len() - index);
            if !self.is_sound(*file).await? {
                continue;
            }
            self.put(&file.to_string(), here.root.join(file.to_string()), file.size).await?;
            if file.level == Level::GROUP {
                self.put_tail(record).await?;
                there.known.tails.push(record.last);
            }
            there.known.files.insert(key(file));
            there.known.records.push(*record);
            there.are_lists_old = true;
            {
                let mut state = self.lock();
                state.revision = state.revision.max(record.revision);
            }
            // Nothing can be restored without the line of its snapshot.
            self.put_lists_in_time(there, here, is_snapshot(file)).await?;
        }
        self.heard(0);
        Ok(())
    }

    /// What is no better here is no better the next time.
    async fn bring_back_lost(&self, there: &mut There, here: &Inventory) -> Result<()> {
        for (file, record) in &here.lost {
            if !there.known.files.contains(&key(file)) || there.is_no_better.contains(&key(file)) {
                continue;
            }
            match self.bring_back(file, record, &here.root).await {
                Ok(true) => {}
                Ok(false) => {
                    there.is_no_better.insert(key(file));
                }
                // Somebody has removed it.
                Err(error) if error.code == Code::NotFound => {
                    there.known.files.remove(&key(file));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What is not known to be there is behind, and nothing is known of a place that was never reached.
    fn look(&self, files: &[(Stored, Record)], there: Option<&There>) {
        let is_there = |file: &Stored| there.is_some_and(|there| there.known.files.contains(&key(file)));
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

    async fn with_backups<T, Look>(&self, look: Look) -> Result<T>
    where
        T: Send + 'static,
        Look: FnOnce(&Backups) -> Result<T> + Send + 'static,
    {
        let engine = Arc::clone(&self.engine);
        blocking(move || look(engine.backups().ok_or_else(|| Error::internal("there are no backups"))?)).await
    }

    async fn exchanged(&self) -> Result<u64> {
        self.with_backups(|backups| Ok(backups.shelf.archive().exchanged())).await
    }

    async fn inventory(&self) -> Result<Inventory> {
        self.with_backups(|backups| backups.inventory(&[])).await
    }

    /// Damage is not carried.
    async fn is_sound(&self, file: Stored) -> Result<bool> {
        self.with_backups(move |backups| backups.is_sound(&file)).await
    }

    /// What the folder has lost, or put aside for it was damaged, and this place has. False if what is here is not it either.
    ///
    /// # Errors
    /// What the store says; `unavailable` if it cannot be written here.
    async fn bring_back(&self, file: &Stored, record: &Record, root: &Path) -> Result<bool> {
        let name = file.to_string();
        let found = self.store.get(&name).await?;
        let cannot = |error: std::io::Error| Error::unavailable(format!("{name} cannot be brought back: {error}."));
        let mut brought = tokio::fs::File::from_std(tempfile::tempfile_in(root).map_err(cannot)?);
        let mut pieces = std::pin::pin!(found.read(0..found.bytes));
        while let Some(piece) = pieces.try_next().await? {
            brought.write_all(&piece).await.map_err(cannot)?;
            self.lock().asked_at = Some(Instant::now());
        }
        brought.rewind().await.map_err(cannot)?;
        let (folder, record, brought) = (Folder::new(root), *record, brought.into_std().await);
        let is_it = blocking(move || put_back(&folder, &record, brought)).await?;
        if is_it {
            tracing::warn!(place = %self.store, name, "a lost file of the backups is brought back");
        } else {
            tracing::error!(place = %self.store, name, "a lost file of the backups stays lost: what is in the second place is not it");
        }
        Ok(is_it)
    }

    /// # Errors
    /// `conflict` if there are backups that this server knows nothing of.
    async fn begin(&self, here: &Inventory) -> Result<There> {
        let exchanged = self.exchanged().await?;
        let about = about(&here.root).await?;
        self.put_new(ABOUT, about.clone()).await?;
        let known = fetch::known(&self.store).await?;
        // It is of this folder, for it says so. Another server with a copy of it may have gone on in its own way.
        if let Some(theirs) = &known.last {
            let mut ours = here.files.iter().chain(&here.lost).map(|(_, record)| record);
            let is_other = |record: &Record| {
                (record.level, record.span()) == (theirs.level, theirs.span()) && record.sha256 != theirs.sha256
            };
            if ours.clone().all(|record| record.last < theirs.last) || ours.any(is_other) {
                return Err(self.foreign());
            }
        }
        // Lines that were lost here with a damaged list.
        let found: Vec<Record> = known
            .records
            .iter()
            .filter(|record| known.files.contains(&(record.level, record.span())))
            .copied()
            .collect();
        self.with_backups(move |backups| backups.adopt(&found)).await?;
        Ok(There { about, exchanged, known, is_no_better: HashSet::new(), listed_at: None, are_lists_old: true })
    }

    /// One that was lost, and made anew, must not take the place of what is here.
    ///
    /// # Errors
    /// `conflict` if it is another than at the beginning.
    async fn check_folder(&self, there: &There, root: &Path) -> Result<()> {
        if about(root).await? == there.about { Ok(()) } else { Err(self.foreign()) }
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

    /// Lists that are long go seldom: they go as a whole, and what comes meanwhile has its tail.
    async fn put_lists_in_time(&self, there: &mut There, here: &Inventory, is_time: bool) -> Result<()> {
        let lines = here.files.len() + here.lost.len();
        let every = LISTS_EVERY * u32::try_from(1 + lines / LINES_A_MINUTE).unwrap_or(u32::MAX).min(LISTS_MINUTES_MAX);
        let is_due = there.listed_at.is_none_or(|listed| listed.elapsed() >= every);
        if there.are_lists_old && (is_due || is_time) {
            self.put_lists(there, here).await?;
        }
        Ok(())
    }

    /// The lists as they are now; then what is in no list any more can go.
    async fn put_lists(&self, there: &mut There, here: &Inventory) -> Result<()> {
        // As they are in memory: what stands in the folder may be damaged.
        let (lists, forgotten_to, exchanged) = self
            .with_backups(|backups| {
                let archive = backups.shelf.archive();
                Ok((archive.lists()?, archive.forgotten_to(), archive.exchanged()))
            })
            .await?;
        // A folder says what it is before it has lists.
        self.check_folder(there, &here.root).await?;
        if exchanged != there.exchanged {
            return Ok(());
        }
        if let Some(last) = forgotten_to {
            let mut upload = self.store.upload(FORGOTTEN).await?;
            upload.write(last.to_string().as_bytes()).await?;
            upload.finish().await?;
        }
        let listed = here.newest_group();
        for (name, text) in lists {
            let mut upload = self.store.upload(name).await?;
            upload.write(text.as_bytes()).await?;
            upload.finish().await?;
        }
        let in_list = |last: &u64| *last <= listed;
        for last in there.known.tails.iter().filter(|last| in_list(last)) {
            self.store.delete(&format!("{TAIL}{last:016x}.json")).await?;
        }
        there.known.tails.retain(|last| !in_list(last));
        let kept: HashSet<_> = here.files.iter().map(|(file, _)| key(file)).collect();
        // By the lines of what is there, too: a folder that was made anew knows nothing, and must not make this place forget.
        let lines = there.known.records.clone();
        let (forgotten, is_whole) = self
            .with_backups(move |backups| Ok((backups.inventory(&lines)?.forgotten, backups.shelf.archive().is_whole())))
            .await?;
        let gone: Vec<_> =
            there.known.files.difference(&kept).filter(|key| is_whole && forgotten.contains(key)).copied().collect();
        for (level, span) in &gone {
            self.store.delete(&fetch::name(*level, *span)).await?;
            there.known.files.remove(&(*level, *span));
        }
        if !gone.is_empty() {
            let files = &there.known.files;
            there.known.records.retain(|record| files.contains(&(record.level, record.span())));
        }
        (there.listed_at, there.are_lists_old) = (Some(Instant::now()), false);
        Ok(())
    }
}

async fn about(root: &Path) -> Result<Bytes> {
    let about = root.join(ABOUT);
    tokio::fs::read(&about).await.map(Bytes::from).map_err(|error| cannot(&about, error))
}

fn cannot(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("{} cannot be read: {error}.", path.display())).caused_by(error)
}

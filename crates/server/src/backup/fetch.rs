//! Backups that are in a store: their lists are brought here, and of the files those that are needed.

use crate::config::ServerLimits;
use crate::store::Store;
use futures_util::TryStreamExt as _;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tidebase_engine::backups::archive::FORGOTTEN;
use tidebase_engine::backups::{Archive, ManifestFile, Record, Stored, parse_name};
use tidebase_engine::{Code, Error, Result};
use tidebase_ltx::{Manifest, Salvaged, Span};
use tokio::io::AsyncWriteExt as _;

pub const MANIFEST: &str = tidebase_ltx::folder::MANIFEST;
pub const GROUPS: &str = tidebase_engine::backups::archive::GROUPS;
pub const LISTS: [&str; 2] = [MANIFEST, GROUPS];
pub const TAILS: &str = "tail";
pub const TAIL: &str = "tail/0-";

/// What is in a place.
pub struct Known {
    /// Level and span.
    pub files: HashSet<(u8, Span)>,
    /// The lines of the lists there.
    pub records: Vec<Record>,
    /// The last transactions of files whose line is in no list yet.
    pub tails: Vec<u64>,
    /// The line of the last file.
    pub last: Option<Record>,
}

/// # Errors
/// What the store says; `unavailable` for lists that are damaged.
pub async fn known(store: &Store) -> Result<Known> {
    let files = store.list("ltx/").await?.iter().filter_map(|file| parse(&file.name)).collect();
    let tails = tails(store).await?;
    let mut records = Vec::new();
    for name in LISTS {
        // One that is damaged as a whole is put anew.
        records.extend(lines(&small(store, name).await?.unwrap_or_default()));
    }
    let newest = match tails.last() {
        Some(&newest) => tail(store, newest).await?,
        None => None,
    };
    let last = records.iter().copied().chain(newest).max_by_key(|record| record.last);
    Ok(Known { files, records, tails, last })
}

async fn tails(store: &Store) -> Result<Vec<u64>> {
    let number = |name: &str| u64::from_str_radix(name.strip_prefix(TAIL)?.strip_suffix(".json")?, 16).ok();
    Ok(store.list(TAIL).await?.iter().filter_map(|file| number(&file.name)).collect())
}

/// None if it is damaged.
async fn tail(store: &Store, last: u64) -> Result<Option<Record>> {
    let text = store.get(&tail_name(last)).await?.whole().await?;
    Ok(serde_json::from_slice(&text).ok())
}

fn tail_name(last: u64) -> String {
    format!("{TAIL}{last:016x}.json")
}

/// A file that need not be there.
async fn small(store: &Store, name: &str) -> Result<Option<Vec<u8>>> {
    match store.get(name).await {
        Ok(found) => found.whole().await.map(Some),
        Err(error) if error.code == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Of a damaged list those that can be trusted.
fn lines(text: &[u8]) -> Vec<Record> {
    match Manifest::read(text) {
        Ok(read) => read.records,
        Err(_) => Salvaged::of(text).map(|left| left.records).unwrap_or_default(),
    }
}

pub fn name(level: u8, span: Span) -> String {
    format!("ltx/{level}/{}", tidebase_ltx::folder::name(span))
}

fn parse(name: &str) -> Option<(u8, Span)> {
    let (level, name) = name.strip_prefix("ltx/")?.split_once('/')?;
    Some((level.parse().ok()?, parse_name(name)?))
}

/// A place, as a folder with the lists and whatever files were brought. It goes with this value.
pub struct Fetched {
    store: Store,
    folder: TempDir,
    pub archive: Archive,
}

impl Fetched {
    /// Brings the lists; files are brought into `beside`, which must have room for them.
    ///
    /// # Errors
    /// `not_found` if there are no backups there; what the store says.
    pub fn new(place: &str, beside: &Path) -> Result<Self> {
        let environment = |name: &str| std::env::var(name).ok();
        let store = Store::open(place, &environment, ServerLimits::default().store_time_max)?;
        let made = tempfile::Builder::new().prefix(".tidebase-restore-").tempdir_in(beside);
        let cannot = |error: std::io::Error| {
            Error::unavailable(format!("{} cannot be written: {error}.", beside.display())).caused_by(error)
        };
        let folder = made.map_err(cannot)?;
        let (files, lost) = crate::runtime()?.block_on(bring_lists(&store, folder.path()))?;
        if files.is_empty() {
            return Err(Error::not_found(format!("There are no backups in {store}.")));
        }
        let archive = Archive::read_elsewhere(folder.path(), store.to_string(), files, lost)?;
        Ok(Self { store, folder, archive })
    }

    /// Brings files; `progress` hears (bytes brought, bytes in all).
    ///
    /// # Errors
    /// What the store says; `unavailable` if there is no room here.
    pub fn bring(&self, files: &[Stored], mut progress: impl FnMut(u64, u64)) -> Result<()> {
        // Those that came before are here.
        let files: Vec<&Stored> = files.iter().filter(|file| !self.path(file).exists()).collect();
        let total = files.iter().map(|file| file.size).sum();
        crate::runtime()?.block_on(async {
            let mut brought = 0;
            for file in files {
                let path = self.path(file);
                let begun = brought;
                bring(&self.store, &file.to_string(), &path, |bytes| progress(begun + bytes, total)).await?;
                brought += file.size;
            }
            Ok(())
        })
    }

    pub fn path(&self, file: &Stored) -> PathBuf {
        self.folder.path().join(file.to_string())
    }
}

/// Which files there are, and what was damaged in the lists.
async fn bring_lists(store: &Store, folder: &Path) -> Result<(HashSet<(u8, Span)>, Vec<String>)> {
    let mut lost = Vec::new();
    // Files first: a list that is read later has the lines of all of them.
    let files: HashSet<_> = store.list("ltx/").await?.iter().filter_map(|file| parse(&file.name)).collect();
    let tails = tails(store).await?;
    for name in [LISTS[0], LISTS[1], FORGOTTEN] {
        let path = folder.join(name);
        match small(store, name).await? {
            Some(text) => tokio::fs::write(&path, text).await.map_err(|error| cannot(&path, error))?,
            // Before the lists first come all is in the tails.
            None if name == GROUPS
                && files.iter().any(|(level, span)| *level == 0 && tails.first() > Some(&span.last)) =>
            {
                lost.push(name.to_owned());
            }
            None => {}
        }
    }
    for name in LISTS {
        let path = folder.join(name);
        if let Ok(lines) = ManifestFile::mend(&path) {
            lost.extend(lines.iter().map(|line| format!("line {line} of {name}")));
        } else {
            tokio::fs::remove_file(&path).await.map_err(|error| cannot(&path, error))?;
            lost.push(name.to_owned());
        }
    }
    let path = folder.join(GROUPS);
    let (mut list, known) = ManifestFile::open(&path).map_err(damaged)?;
    let mut reached = known.iter().map(|record| record.last).max().unwrap_or(0);
    for last in tails {
        if last <= reached {
            continue;
        }
        match tail(store, last).await {
            Ok(Some(record)) => list.add(record).map_err(damaged)?,
            Ok(None) => lost.push(tail_name(last)),
            // It was put into the list just now; what comes next has not.
            Err(error) if error.code == Code::NotFound => break,
            Err(error) => return Err(error),
        }
        reached = last;
    }
    Ok((files, lost))
}

async fn bring(store: &Store, name: &str, path: &Path, mut progress: impl FnMut(u64)) -> Result<()> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(|error| cannot(path, error))?;
    }
    let found = store.get(name).await?;
    let mut pieces = std::pin::pin!(found.read(0..found.bytes));
    let mut file = tokio::fs::File::create(path).await.map_err(|error| cannot(path, error))?;
    let mut written = 0;
    while let Some(piece) = pieces.try_next().await? {
        file.write_all(&piece).await.map_err(|error| cannot(path, error))?;
        written += piece.len() as u64;
        progress(written);
    }
    file.flush().await.map_err(|error| cannot(path, error))
}

fn cannot(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("{} cannot be written: {error}.", path.display())).caused_by(error)
}

fn damaged(error: tidebase_ltx::Error) -> Error {
    Error::unavailable(format!("{error}.")).caused_by(error)
}

//! Files in a folder, for their owner alone. What is being written has a name that begins with a dot; its own it gets when it is whole and
//! on the disk.

use super::{LIST_MAX, Stored, too_many};
use bytes::Bytes;
use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::NamedTempFile;
use tidebase_engine::{Error, Result};

const BEGINNING: &str = ".";
const ENDING: &str = ".partial";
/// What is left to others on the disk, which as a rule is that of the database. Past it: `unavailable`.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// A dump or a backup is the database.
const MODE: u32 = 0o700;

#[derive(Clone, Debug)]
pub struct Folder(Arc<Path>);

impl Folder {
    pub fn new(path: &Path) -> Self {
        Self(path.into())
    }

    pub async fn put_new(&self, name: &str, bytes: Bytes) -> Result<()> {
        let (path, taken) = (self.path(name), taken(name));
        self.work(move || {
            let mut file = partial(&path)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            match file.persist_noclobber(&path) {
                Ok(_) => sync_folder(&path).map(Ok),
                Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(Err(taken)),
                Err(error) => Err(error.error),
            }
        })
        .await?
    }

    /// A file that has no name of its own yet.
    pub async fn begin(&self, name: &str) -> Result<NamedTempFile> {
        let path = self.path(name);
        self.work(move || {
            let file = partial(&path)?;
            has_room(file.as_file())?;
            Ok(file)
        })
        .await
    }

    /// It gets its name.
    pub async fn finish(&self, name: &str, file: NamedTempFile) -> Result<()> {
        let path = self.path(name);
        self.work(move || {
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            sync_folder(&path)
        })
        .await
    }

    /// Whatever is left of uploads that were to have this name.
    pub async fn abandon(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        self.work(move || {
            let folder = path.parent().unwrap_or(Path::new("."));
            let beginning = beginning(&path);
            let entries = match fs::read_dir(folder) {
                Err(error) if is_absence(&error) => return Ok(()),
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let left = entry.file_name();
                let is_left = left.to_str().is_some_and(|left| left.starts_with(&beginning) && left.ends_with(ENDING));
                if is_left {
                    is_gone(fs::remove_file(entry.path()))?;
                }
            }
            Ok(())
        })
        .await
    }

    pub async fn open(&self, name: &str) -> Result<(File, fs::Metadata)> {
        let path = self.path(name);
        let opened = self.work(move || {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if is_absence(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            let about = file.metadata()?;
            Ok(about.is_file().then_some((file, about)))
        });
        opened.await?.ok_or_else(|| Error::not_found(format!("There is no file {name} in {self}.")))
    }

    pub async fn list(&self, prefix: &str) -> Result<Vec<Stored>> {
        let (root, prefix) = (Arc::clone(&self.0), prefix.to_owned());
        let (mut files, mut folders) = (Vec::new(), vec![String::new()]);
        self.work(move || {
            while let Some(folder) = folders.pop() {
                look(&root, &folder, &prefix, &mut files, &mut folders)?;
                if files.len() > LIST_MAX {
                    return Ok(Err(too_many()));
                }
            }
            Ok(Ok(files))
        })
        .await?
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        self.work(move || {
            is_gone(fs::remove_file(&path))?;
            is_gone(sync_folder(&path))
        })
        .await
    }

    /// Reading and writing files blocks.
    pub async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.map_err(|error| Error::internal("work on a file panicked").caused_by(error))?;
        done.map_err(|error| Error::unavailable(format!("{self} cannot be used: {error}.")).caused_by(error))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Beside what it is to become; of mode 0600, and gone when it is dropped.
fn partial(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(MODE).create(folder)?;
    tempfile::Builder::new().prefix(&beginning(path)).suffix(ENDING).tempfile_in(folder)
}

fn beginning(path: &Path) -> String {
    format!("{BEGINNING}{}.", path.file_name().unwrap_or_default().to_string_lossy())
}

/// # Errors
/// `StorageFull` before the disk is full, so that the database goes on.
pub fn has_room(file: &File) -> io::Result<()> {
    let disk = rustix::fs::fstatvfs(file)?;
    // Some say nothing of their size.
    if disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < FREE_BYTES_MIN {
        let least = FREE_BYTES_MIN >> 20;
        return Err(io::Error::new(ErrorKind::StorageFull, format!("its disk has less than {least} MiB left")));
    }
    Ok(())
}

/// One folder: its files that count, and the folders in it. `folder` ends with a slash unless it is the first.
fn look(root: &Path, folder: &str, prefix: &str, files: &mut Vec<Stored>, folders: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        Err(error) if is_absence(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("{folder}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() && (name.starts_with(prefix) || prefix.starts_with(&format!("{name}/"))) {
            folders.push(format!("{name}/"));
        } else if kind.is_file() && name.starts_with(prefix) && super::name::check(&name).is_ok() {
            match entry.metadata() {
                Ok(about) => files.push(Stored { name, bytes: about.len() }),
                // Removed meanwhile.
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// A name lasts when its folder is on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn is_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if is_absence(&error) => Ok(()),
        done => done,
    }
}

fn taken(name: &str) -> Error {
    Error::conflict(format!("There is a file {name} already."))
}

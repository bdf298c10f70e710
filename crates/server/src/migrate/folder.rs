//! The folder of migrations: files called like `0001_first_tables.sql`. What they say is [`tidebase_engine::migrations`]' affair.

use crate::config::display;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use tidebase_engine::migrations::file::{FILE_BYTES_MAX, label};
use tidebase_engine::migrations::{Migration, plan};
use tidebase_engine::{Error, Result};

const EXTENSION: &str = ".sql";

/// Held while somebody works with it: two on one machine, in one folder, do so one after the other.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: Option<File>,
}

impl Folder {
    /// # Errors
    /// `not_found` if it is not there.
    pub fn open(path: PathBuf) -> Result<Self> {
        let folder = Self::look(path)?;
        // Some file systems know no locks of folders. Then the database's own is what keeps two apart.
        let lock = File::open(&folder.path).ok().filter(|file| file.lock().is_ok());
        Ok(Self { _lock: lock, ..folder })
    }

    /// The same, only to be read: also while somebody else works with it.
    ///
    /// # Errors
    /// `not_found` if it is not there.
    pub fn look(path: PathBuf) -> Result<Self> {
        if !path.is_dir() {
            return Err(Error::not_found(format!(
                "There is no folder {} with migrations. `tidebase migrate new` makes it; --folder names another.",
                display(&path)
            )));
        }
        Ok(Self { path, _lock: None })
    }

    /// The same; it is made if it is missing.
    pub fn make(path: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&path).map_err(|error| cannot("made", &path, error))?;
        Self::open(path)
    }

    /// All of them in their order. What is no `.sql` is passed over.
    ///
    /// # Errors
    /// What is wrong with the first bad file; `conflict` for two of one number.
    pub fn read(&self) -> Result<Vec<Migration>> {
        let mut files = Vec::new();
        for name in self.names()? {
            let path = self.path.join(&name);
            let mut bytes = Vec::new();
            let file = File::open(&path).map_err(|error| cannot("read", &path, error))?;
            // One more than there may be, so that it is seen.
            file.take(FILE_BYTES_MAX as u64 + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| cannot("read", &path, error))?;
            if bytes.len() > FILE_BYTES_MAX {
                return Err(Error::too_large(format!("{name}: a migration may have {FILE_BYTES_MAX} bytes.")));
            }
            files.push(Migration::of_file(&name, &bytes)?);
        }
        plan::sorted(files)
    }

    fn names(&self) -> Result<Vec<String>> {
        let cannot = |error| cannot("read", &self.path, error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(cannot)? {
            let name = entry.map_err(cannot)?.file_name();
            let name = name
                .into_string()
                .map_err(|name| Error::invalid(format!("The name of the file {} is not UTF-8.", name.display())))?;
            // Editors leave hidden files beside.
            if name.starts_with('.') {
                continue;
            }
            if name.ends_with(EXTENSION) {
                names.push(name);
            } else if name.to_lowercase().ends_with(EXTENSION) {
                return Err(Error::invalid(format!(
                    "{name}: the name of a migration ends with {EXTENSION}, in small letters."
                )));
            }
        }
        names.sort();
        Ok(names)
    }

    /// The number behind the last one, also where a file cannot be read yet.
    pub fn next_number(&self) -> Result<i64> {
        let number = |name: &String| name.split('_').next().and_then(|digits| digits.parse::<i64>().ok());
        Ok(self.names()?.iter().filter_map(number).max().unwrap_or(0).saturating_add(1))
    }

    /// Writes a new file; gives its path.
    ///
    /// # Errors
    /// `conflict` if there is such a file.
    pub fn write(&self, number: i64, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(label(number, name));
        let mut file = File::create_new(&path).map_err(|error| cannot("written", &path, error))?;
        if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
            // The next `up` would apply a part of it, and take that for the whole.
            let _ = std::fs::remove_file(&path);
            return Err(cannot("written", &path, error));
        }
        Ok(path)
    }
}

/// The words of a name as the part of a file's name.
pub fn slug(name: &str) -> Result<String> {
    let words: Vec<&str> = name.split_whitespace().collect();
    let slug = words.join("_");
    let is_plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if slug.is_empty() || slug.len() > 100 || !slug.chars().all(is_plain) {
        return Err(Error::invalid(format!(
            "{name:?}: a migration is named with a few words, of letters, digits, _ and -."
        )));
    }
    Ok(slug)
}

fn cannot(what: &str, path: &Path, error: io::Error) -> Error {
    Error::unavailable(format!("{} cannot be {what}: {error}.", display(path))).caused_by(error)
}

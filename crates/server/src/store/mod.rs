//! Where large files are kept: a folder, or a bucket that speaks S3.
//!
//! [`Store::open`] reads where, as in `--dump-store`: a path, or `s3://bucket/prefix` with what AWS's own programs take from the
//! environment. A file has a name with `/` between its parts, and is there as a whole or not at all: [`upload`] gives a large one its name
//! when all of it is there. What a store is asked has a bound in time; what is read comes in pieces, and a piece that is not whole is an
//! error.
//!
//! What is kept, and for how long, is the business of whoever keeps it.

mod bucket;
mod folder;
mod found;
mod name;
mod upload;

#[cfg(test)]
mod tests;

pub use found::Found;
pub use upload::Upload;

use bucket::Bucket;
use bytes::Bytes;
use folder::Folder;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tidebase_engine::{Error, Result};

/// Files that are listed at one time. Past it: `too_large`.
const LIST_MAX: usize = 1_000_000;

/// A place for files. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    place: Place,
    time_max: Duration,
}

#[derive(Clone, Debug)]
enum Place {
    Folder(Folder),
    Bucket(Bucket),
}

/// A file as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub name: String,
    pub bytes: u64,
}

impl Store {
    /// Nothing is looked at yet: a folder that is not there is made with the first file, and what is wrong with a bucket shows then.
    ///
    /// `time_max` is what one question, or one part of a large file, may take, tries included.
    ///
    /// # Errors
    /// `invalid` for what is neither, or for an environment that cannot be right.
    pub fn open(wanted: &str, environment: &dyn Fn(&str) -> Option<String>, time_max: Duration) -> Result<Self> {
        let place = match wanted.split_once("://") {
            Some(("s3", address)) => Place::Bucket(Bucket::open(address, environment, time_max)?),
            Some((scheme, _)) => {
                return Err(Error::invalid(format!(
                    "There is no place for files at {scheme}://…: it is a folder, or s3://bucket/prefix."
                )));
            }
            None if wanted.is_empty() => {
                return Err(Error::invalid("A place for files is a folder, or s3://bucket/prefix."));
            }
            None => Place::Folder(Folder::new(Path::new(wanted))),
        };
        Ok(Self { place, time_max })
    }

    /// Keeps a small file under a name that nothing has.
    ///
    /// # Errors
    /// `conflict` if the name is taken. After any other error the file may be there or not.
    pub async fn put_new(&self, name: &str, bytes: Bytes) -> Result<()> {
        name::check(name)?;
        match &self.place {
            Place::Folder(folder) => self.in_time(folder.put_new(name, bytes)).await,
            Place::Bucket(bucket) => self.in_time(bucket.put_new(name, bytes)).await,
        }
    }

    /// Begins a large file. It takes the place of one of its name when it is finished.
    pub async fn upload(&self, name: &str) -> Result<Upload> {
        name::check(name)?;
        let begun = match &self.place {
            Place::Folder(folder) => self.in_time(upload::to_folder(folder, name)).await?,
            Place::Bucket(bucket) => self.in_time(upload::to_bucket(bucket, name)).await?,
        };
        Ok(Upload::new(self.clone(), begun))
    }

    /// Removes what is left of an upload that whoever began it could not end, by its [`Upload::id`]. In a folder it is known by its name;
    /// in a bucket, where nobody has noted its id, it is left to the bucket's own rules.
    pub async fn abandon(&self, name: &str, id: &str) -> Result<()> {
        name::check(name)?;
        match &self.place {
            Place::Folder(folder) => self.in_time(folder.abandon(name)).await,
            Place::Bucket(bucket) => self.in_time(bucket.abandon(name, id)).await,
        }
    }

    /// A file that is to be read.
    ///
    /// # Errors
    /// `not_found` if there is none of this name.
    pub async fn get(&self, name: &str) -> Result<Found> {
        name::check(name)?;
        match &self.place {
            Place::Folder(folder) => self.in_time(found::in_folder(self, folder, name)).await,
            Place::Bucket(bucket) => self.in_time(found::in_bucket(self, bucket, name)).await,
        }
    }

    /// Files whose names begin with `prefix`, in the order of their names.
    ///
    /// # Errors
    /// `too_large` if there are more than a million.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Stored>> {
        let mut files = match &self.place {
            Place::Folder(folder) => self.in_time(folder.list(prefix)).await?,
            Place::Bucket(bucket) => bucket.list(prefix, self).await?,
        };
        files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    /// Removes a file. That there is none is no error: it may have been removed by a call that was not answered.
    pub async fn delete(&self, name: &str) -> Result<()> {
        name::check(name)?;
        match &self.place {
            Place::Folder(folder) => self.in_time(folder.delete(name)).await,
            Place::Bucket(bucket) => self.in_time(bucket.delete(name)).await,
        }
    }

    /// What one question may take, tries included.
    pub fn time_max(&self) -> Duration {
        self.time_max
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if let Ok(done) = tokio::time::timeout(self.time_max, work).await {
            return done;
        }
        let doubt = match &self.place {
            Place::Bucket(bucket) => bucket.doubt(),
            Place::Folder(_) => "",
        };
        let text = format!("{self} has not answered for {:?}. Try again later.{doubt}", self.time_max);
        Err(Error::timeout(text))
    }
}

/// As it was named.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Folder(folder) => folder.fmt(f),
            Place::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

fn too_many() -> Error {
    Error::too_large(format!("There are more than {LIST_MAX} files, too many to list."))
}

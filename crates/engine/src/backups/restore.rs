//! The database of a moment, as a new file. What stands there already is never written over.

use super::archive::{self, Archive};
use super::moment::Moment;
use super::{damage, report};
use crate::clock::spoken;
use crate::error::{Error, Result};
use serde::Serialize;
use std::path::Path;
use tidebase_ltx::{Stored, plan, restore_to};

/// What was restored.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// Of its last commit.
    pub time: String,
    pub revision: Option<i64>,
    pub bytes: u64,
    /// What is damaged: files that others were taken for, and lines of the lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<String>,
}

/// Makes the new file `to`, whole or not at all, from the files of a folder. Its checksum is that of the database at that moment.
///
/// # Errors
/// `not_found` for a moment that is not kept, `conflict` if there is a file already, `unavailable` if files are damaged and no
/// others hold the same, or the disk is full.
pub fn restore(root: &Path, moment: Moment, to: &Path) -> Result<Restored> {
    restore_from(&Archive::read(root)?, moment, to, |_| Ok(()))
}

/// The same of files that may be elsewhere: `bring` is asked for those that are needed.
///
/// # Errors
/// As [`restore`], and those of `bring`.
pub fn restore_from(
    archive: &Archive,
    moment: Moment,
    to: &Path,
    bring: impl Fn(&[Stored]) -> Result<()>,
) -> Result<Restored> {
    let _held = archive::hold(archive.root())?;
    if to.exists() {
        return Err(Error::conflict(format!("{} exists already; a restore never overwrites a file.", to.display())));
    }
    let (mut files, last) = archive.find(moment)?;
    let mut passed_over = archive.lost_lines();
    let manifest = archive.manifest();
    let done = loop {
        bring(&files)?;
        match restore_to(&archive.folder, &files, Some(&manifest), to) {
            Ok(done) => break done,
            Err(error) if error.code == tidebase_ltx::Code::Damaged => {
                let bad = damaged(archive, &files);
                if bad.is_empty() {
                    return Err(damage(error));
                }
                passed_over.extend(bad.iter().map(ToString::to_string));
                files = around(archive, &passed_over, last.last)?;
            }
            Err(error) => return Err(damage(error)),
        }
    };
    Ok(Restored {
        time: spoken(i64::try_from(done.time_ms).unwrap_or(i64::MAX)),
        revision: last.revision,
        bytes: u64::from(done.commit) * done.page_size.bytes() as u64,
        passed_over,
    })
}

fn damaged(archive: &Archive, files: &[Stored]) -> Vec<Stored> {
    let is_bad =
        |file: &&Stored| archive.of(file).is_none_or(|record| report::check(&archive.folder, file, record).is_err());
    files.iter().filter(is_bad).copied().collect()
}

/// Another way to the same transaction.
fn around(archive: &Archive, passed_over: &[String], transaction: u64) -> Result<Vec<Stored>> {
    let rest: Vec<Stored> =
        archive.files()?.into_iter().filter(|file| !passed_over.contains(&file.to_string())).collect();
    plan(&rest, tidebase_ltx::Target::Transaction(transaction)).map_err(|error| {
        Error::unavailable(format!("{} is damaged, and no other files hold the same: {error}.", passed_over.join(", ")))
            .caused_by(error)
    })
}

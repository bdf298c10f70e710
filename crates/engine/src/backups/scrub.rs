//! Reads a little of the files each minute and holds it against what was noted when they were written: damage is found while there is still
//! something to make good for it with, and not on the day of the restore.

use super::damage;
use crate::error::Result;
use std::fs::File;
use std::io::Read as _;
use tidebase_ltx::digest::Checked;
use tidebase_ltx::{Code, Error, Folder, Record, Stored};

/// A gigabyte in an hour; some 50 ms of a processor each minute.
const BYTES_A_ROUND: u64 = 16 << 20;
/// What opening a file counts for: a day has many small ones.
const OPENING_BYTES: u64 = 16 << 10;

/// How far it has come, all around the files again and again.
#[derive(Debug, Default)]
pub struct Scrub {
    /// The last file that was read to its end.
    done: Option<Stored>,
    /// The one that is being read.
    reading: Option<(Stored, Checked<File>)>,
}

impl Scrub {
    /// Reads on, at most once around. `kept` are the files by level and span. Gives those that are not as they were written, and what could
    /// not be read.
    pub fn round(&mut self, folder: &Folder, kept: &[(Stored, Record)]) -> (Vec<Stored>, Result<()>) {
        let (mut left, mut buffer, mut damaged, mut unread) = (BYTES_A_ROUND, vec![0; 256 << 10], Vec::new(), Ok(()));
        while left > 0 {
            if self.reading.is_none() {
                let Some((file, record)) = self.next(kept) else {
                    self.done = None;
                    break;
                };
                left = left.saturating_sub(OPENING_BYTES);
                match folder.open(file.level, file.span) {
                    Ok(opened) => self.reading = Some((*file, record.checked(opened))),
                    Err(error) => (self.done, unread) = (Some(*file), Err(damage(error))),
                }
            }
            let Some((file, read)) = &mut self.reading else { continue };
            let file = *file;
            match read.read(&mut buffer) {
                Ok(0) => (self.done, self.reading) = (Some(file), None),
                Ok(length) => left = left.saturating_sub(length as u64),
                Err(error) => {
                    (self.done, self.reading) = (Some(file), None);
                    let error = Error::io(format!("{file} cannot be read"), error);
                    if error.code == Code::Damaged {
                        damaged.push(file);
                    } else {
                        unread = Err(damage(error));
                    }
                }
            }
        }
        (damaged, unread)
    }

    fn next<'a>(&self, kept: &'a [(Stored, Record)]) -> Option<&'a (Stored, Record)> {
        let key = |file: &Stored| (file.level, file.span);
        let done = self.done.as_ref().map(key);
        kept.get(kept.partition_point(|(file, _)| done.is_some_and(|done| key(file) <= done)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::path::Path;
    use tidebase_ltx::digest::Digesting;
    use tidebase_ltx::{Level, Span};

    /// Files of so many bytes, as far as a scrub looks at them.
    fn files(root: &Path, sizes: &[usize]) -> Vec<(Stored, Record)> {
        let folder = Folder::new(root);
        let mut files = Vec::new();
        for (number, size) in (1..).zip(sizes) {
            let span = Span { first: number, last: number };
            let path = folder.path(Level::GROUP, span);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut out = Digesting::new(File::create(path).unwrap());
            out.write_all(&vec![number as u8; *size]).unwrap();
            let (size, sha256) = out.told();
            let stored = Stored { level: Level::GROUP, span, time_ms: 0, size };
            let Span { first, last } = span;
            let previous = tidebase_ltx::Hash::default();
            let record =
                Record { level: 0, first, last, time_ms: 0, size, sha256, checksum: 0, revision: None, previous };
            files.push((stored, record));
        }
        files
    }

    fn spoil(root: &Path, file: &Stored) {
        use std::os::unix::fs::FileExt as _;
        let path = Folder::new(root).path(file.level, file.span);
        File::options().write(true).open(path).unwrap().write_at(b"!", file.size / 2).unwrap();
    }

    #[test]
    fn every_file_is_read_again_and_again_a_part_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path());
        let large = 2 * BYTES_A_ROUND as usize;
        let kept = files(root.path(), &[10, large, 20, 0]);
        let mut scrub = Scrub::default();
        let rounds = |scrub: &mut Scrub, most| (1..=most).find_map(|_| scrub.round(&folder, &kept).0.pop());
        assert_eq!(rounds(&mut scrub, 4), None);
        spoil(root.path(), &kept[0].0);
        assert_eq!(rounds(&mut scrub, 4), Some(kept[0].0), "the one before where it stands");
        assert_eq!(rounds(&mut scrub, 4), Some(kept[0].0), "and as long as it is there");
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        for at in 0..4 {
            let root = tempfile::tempdir().unwrap();
            let folder = Folder::new(root.path());
            let kept = files(root.path(), &[10, BYTES_A_ROUND as usize, 20, 30]);
            spoil(root.path(), &kept[at].0);
            let mut scrub = Scrub::default();
            let found = (0..3).find_map(|_| scrub.round(&folder, &kept).0.pop());
            assert_eq!(found, Some(kept[at].0));
        }
        let root = tempfile::tempdir().unwrap();
        let kept = files(root.path(), &[10, 20, 30]);
        spoil(root.path(), &kept[0].0);
        spoil(root.path(), &kept[2].0);
        assert_eq!(Scrub::default().round(&Folder::new(root.path()), &kept).0, [kept[0].0, kept[2].0]);
    }

    #[test]
    fn a_day_of_small_files_is_read_in_rounds() {
        let root = tempfile::tempdir().unwrap();
        let kept = files(root.path(), &[1; (BYTES_A_ROUND / OPENING_BYTES) as usize + 10]);
        let mut scrub = Scrub::default();
        scrub.round(&Folder::new(root.path()), &kept).1.unwrap();
        let done = scrub.done.unwrap().span.first;
        assert!((900..kept.len() as u64).contains(&done), "{done}");
    }
}

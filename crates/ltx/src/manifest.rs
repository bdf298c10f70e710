//! What every file was when it was written, in one line of JSON each, beside the files.
//!
//! ```json
//! {"level":0,"first":7,"last":7,"time_ms":1700000000123,"size":843,"sha256":"…","checksum":"…","previous":"…"}
//! ```
//!
//! `sha256` is of the file, `checksum` of the whole database after it (`checksum::Rolling`), and `previous` the SHA-256
//! of the line before: a line that is changed, left out or put elsewhere is noticed at the next. Lines are only added.
//! Old ones may be cut off in front; then nothing before the first is known. A last line without its end is what a
//! crash leaves, and counts as not written.

use crate::digest::{Checked, Hash, hexadecimal};
use crate::error::{Error, Result};
use crate::folder::sync_folder;
use crate::format::Span;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// No line of ours is half as long.
const LINE_MAX: u64 = 1024;

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub level: u8,
    pub first: u64,
    pub last: u64,
    pub time_ms: u64,
    pub size: u64,
    pub sha256: Hash,
    #[serde(serialize_with = "write_checksum", deserialize_with = "read_checksum")]
    pub checksum: u64,
    /// What the database itself calls the state after the file, if it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Of the line before; zero in the first of all.
    pub previous: Hash,
}

/// The end of the chain, to which the next record is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    last: Hash,
}

/// A manifest as it was found.
#[derive(Debug, Default)]
pub struct Manifest {
    pub records: Vec<Record>,
    pub chain: Chain,
    /// Bytes of whole lines. What is behind them is to be cut off before the next line is written.
    pub size: u64,
    pub is_torn: bool,
}

impl Record {
    /// Of a file whose line was made anew from the file itself: real ones have their highest bit set.
    pub const NO_CHECKSUM: u64 = 0;

    pub fn span(&self) -> Span {
        Span { first: self.first, last: self.last }
    }

    /// The file, read through this, which says so at its end if it is another than the one that was written.
    pub fn checked<R: Read>(&self, file: R) -> Checked<R> {
        Checked::new(file, self.size, self.sha256)
    }
}

impl Chain {
    /// The record as a line, with its end. `previous` is set.
    pub fn add(&mut self, mut record: Record) -> Result<String> {
        record.previous = self.last;
        let mut line = serde_json::to_string(&record)
            .map_err(|error| Error::refused(format!("a record cannot be written: {error}")))?;
        self.last = Hash::of(line.as_bytes());
        line.push('\n');
        Ok(line)
    }
}

impl Manifest {
    /// # Errors
    /// `Damaged` with the number of the line. `Io`.
    pub fn read(mut input: impl BufRead) -> Result<Self> {
        let mut manifest = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = input
                .by_ref()
                .take(LINE_MAX)
                .read_until(b'\n', &mut line)
                .map_err(|error| Error::io("the manifest cannot be read", error))?;
            if length == 0 {
                return Ok(manifest);
            }
            let number = manifest.records.len() + 1;
            let Some(text) = line.strip_suffix(b"\n") else {
                if length as u64 == LINE_MAX {
                    return Err(Error::damaged(format!("line {number} of the manifest does not end")));
                }
                manifest.is_torn = true;
                return Ok(manifest);
            };
            let record: Record = serde_json::from_slice(text)
                .map_err(|error| Error::damaged(format!("line {number} of the manifest: {error}")))?;
            Span::new(record.first, record.last)
                .map_err(|error| error.within(format!("line {number} of the manifest")))?;
            if number > 1 && record.previous != manifest.chain.last {
                return Err(Error::damaged(format!(
                    "line {number} of the manifest does not follow the line before it: one of them was changed, or one is missing"
                )));
            }
            manifest.records.push(record);
            manifest.chain.last = Hash::of(text);
            manifest.size += length as u64;
        }
    }

    /// The record of a file, the last if it was written more than once.
    pub fn of(&self, level: u8, span: Span) -> Option<&Record> {
        self.records.iter().rev().find(|record| record.level == level && record.span() == span)
    }
}

/// What is left of a damaged manifest.
#[derive(Debug)]
pub struct Salvaged {
    pub records: Vec<Record>,
    /// The numbers of lines that cannot be trusted: they cannot be read, or the next one says that they were others.
    pub lost: Vec<usize>,
}

impl Salvaged {
    /// The lines that follow a damaged one vouch for each other again. None if less than half is left: then it is hardly a manifest.
    pub fn of(text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let lines: Vec<&[u8]> = text[..end].split(|byte| *byte == b'\n').collect();
        let (mut records, mut lost, mut next) = (Vec::new(), Vec::new(), None::<Record>);
        for (index, line) in lines.iter().enumerate().rev() {
            let record = serde_json::from_slice(line).ok().filter(|record: &Record| is_span(record));
            let is_vouched = next.is_none_or(|next| next.previous == Hash::of(line));
            next = record.filter(|_| is_vouched);
            match next {
                Some(record) => records.push(record),
                None => lost.push(index + 1),
            }
        }
        records.reverse();
        lost.reverse();
        (records.len() >= lost.len()).then_some(Self { records, lost })
    }
}

fn is_span(record: &Record) -> bool {
    Span::new(record.first, record.last).is_ok()
}

/// A manifest that records are added to, durably.
#[derive(Debug)]
pub struct ManifestFile {
    file: File,
    chain: Chain,
}

impl ManifestFile {
    /// Opens or begins it, and tells what is in it. What a crash left of a line is cut off.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn open(path: &Path) -> Result<(Self, Vec<Record>)> {
        let cannot = |error| Error::io(format!("{} cannot be opened", path.display()), error);
        let file = File::options().read(true).append(true).create(true).mode(0o600).open(path).map_err(cannot)?;
        let found = Manifest::read(BufReader::new(&file)).map_err(|error| error.within(path.display()))?;
        if found.is_torn {
            file.set_len(found.size).map_err(cannot)?;
        }
        Ok((Self { file, chain: found.chain }, found.records))
    }

    /// Writes one anew, in place of whatever is there, at once or not at all.
    ///
    /// # Errors
    /// As `open`.
    pub fn write(path: &Path, records: &[Record]) -> Result<Self> {
        let mut chain = Chain::default();
        let lines: Vec<String> = records.iter().map(|record| chain.add(*record)).collect::<Result<_>>()?;
        replace(path, lines.concat().as_bytes())
            .map_err(|error| Error::io(format!("{} cannot be written", path.display()), error))?;
        Self::open(path).map(|(file, _)| file)
    }

    /// Writes a damaged one anew, without the lines that cannot be trusted; their numbers are told. Of a whole one there are none.
    ///
    /// # Errors
    /// `Damaged` if there is little left. `Io`.
    pub fn mend(path: &Path) -> Result<Vec<usize>> {
        let cannot = |error| Error::io(format!("{} cannot be mended", path.display()), error);
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(cannot(error)),
        };
        let Err(error) = Manifest::read(&text[..]) else { return Ok(Vec::new()) };
        let Some(Salvaged { records, lost }) = Salvaged::of(&text) else { return Err(error.within(path.display())) };
        Self::write(path, &records)?;
        Ok(lost)
    }

    /// When this returns, the record is on the disk. After an error the manifest has to be opened anew: how much of the
    /// line was written is not known.
    pub fn add(&mut self, record: Record) -> Result<()> {
        let line = self.chain.add(record)?;
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|error| Error::io("the manifest cannot be written", error))
    }
}

/// At once, or not at all.
fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text).and_then(|()| file.sync_all())?;
    std::fs::rename(&new, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

#[allow(clippy::trivially_copy_pass_by_ref)] // Serde's way.
fn write_checksum<S: Serializer>(checksum: &u64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{checksum:016x}"))
}

fn read_checksum<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let value = hexadecimal(text.as_bytes()).filter(|_| text.len() == 16);
    value.ok_or_else(|| D::Error::custom("a checksum has 16 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<String> {
        let mut chain = Chain::default();
        let record = |last| Record {
            level: 0,
            first: last,
            last,
            time_ms: 1_700_000_000_000 + last,
            size: 100,
            sha256: Hash::of(&[last as u8]),
            checksum: 1 << 63 | last,
            revision: None,
            previous: Hash::default(),
        };
        (1..=5).map(|last| chain.add(record(last)).unwrap()).collect()
    }

    #[test]
    fn lines_are_read_as_they_were_written_and_can_go_on() {
        let text = lines().concat();
        let found = Manifest::read(text.as_bytes()).unwrap();
        assert_eq!((found.records.len(), found.size, found.is_torn), (5, text.len() as u64, false));
        let mut first = Manifest::read(lines()[..4].concat().as_bytes()).unwrap();
        assert_eq!(first.chain.add(found.records[4]).unwrap(), lines()[4]);
        assert_eq!(found.of(0, Span { first: 3, last: 3 }), Some(&found.records[2]));
    }

    #[test]
    fn a_line_that_is_changed_left_out_or_elsewhere_is_noticed() {
        let good = lines();
        let mut changed = good.clone();
        changed[2] = changed[2].replace("\"size\":100", "\"size\":101");
        let mut left_out = good.clone();
        left_out.remove(2);
        let mut elsewhere = good.clone();
        elsewhere.swap(2, 3);
        for bad in [changed, left_out, elsewhere] {
            let error = Manifest::read(bad.concat().as_bytes()).unwrap_err().to_string();
            assert!(error.contains("does not follow"), "{error}");
        }
    }

    #[test]
    fn what_is_old_may_be_cut_off() {
        assert_eq!(Manifest::read(lines()[2..].concat().as_bytes()).unwrap().records.len(), 3);
    }

    #[test]
    fn a_manifest_cut_anywhere_has_its_whole_lines() {
        let text = lines().concat();
        for cut in 0..text.len() {
            let found = Manifest::read(&text.as_bytes()[..cut]).unwrap();
            let whole = text[..cut].matches('\n').count();
            assert_eq!(found.records.len(), whole, "cut at {cut}");
            assert_eq!(found.is_torn, found.size < cut as u64);
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_but_in_the_last_line() {
        let text = lines().concat().into_bytes();
        for at in 0..text.len() - lines()[4].len() {
            let mut bad = text.clone();
            bad[at] ^= 1;
            assert!(Manifest::read(&bad[..]).is_err(), "byte {at}");
        }
        assert!(Manifest::read(&[b'x'; 5000][..]).is_err());
    }

    #[test]
    fn what_is_around_a_damaged_line_is_left() {
        let good = lines();
        let numbers = |text: &[u8]| {
            let left = Salvaged::of(text).unwrap();
            (left.records.iter().map(|record| record.last).collect::<Vec<_>>(), left.lost)
        };
        assert_eq!(numbers(good.concat().as_bytes()), (vec![1, 2, 3, 4, 5], vec![]));
        // Whatever is changed, nothing that is left is other than it was written.
        let text = good.concat().into_bytes();
        let written = Manifest::read(&text[..]).unwrap().records;
        for at in 0..text.len() - good[4].len() {
            let mut bad = text.clone();
            bad[at] ^= 1;
            let Salvaged { records, lost } = Salvaged::of(&bad).unwrap();
            assert!((1..=2).contains(&lost.len()) && records.len() >= 3, "byte {at}: {lost:?}");
            let fields = |record: &Record| Record { previous: Hash::default(), ..*record };
            assert!(records.iter().all(|left| written.iter().any(|it| fields(it) == fields(left))), "byte {at}");
        }
        assert_eq!(numbers(&[&good[0], "\0\0\n", &good[2], "{\"level\""].concat().into_bytes()), (vec![1, 3], vec![2]));
        assert!(Salvaged::of(b"nothing").is_none());
    }

    #[test]
    fn a_damaged_one_is_written_anew_without_the_line() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("manifest.jsonl");
        assert!(ManifestFile::mend(&path).unwrap().is_empty());
        std::fs::write(&path, lines().concat().replacen("\"last\":2", "\"last\":9", 1)).unwrap();
        assert_eq!(ManifestFile::mend(&path).unwrap(), [2]);
        let (mut file, records) = ManifestFile::open(&path).unwrap();
        assert_eq!(records.iter().map(|record| record.last).collect::<Vec<_>>(), [1, 3, 4, 5]);
        file.add(records[0]).unwrap();
        assert!(ManifestFile::mend(&path).unwrap().is_empty());
        std::fs::write(&path, "no list\n").unwrap();
        assert_eq!(ManifestFile::mend(&path).unwrap_err().code, crate::Code::Damaged);
    }
}

//! What one fdatasync costs on the disk the databases stand on: the yardstick beside every durable write.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::latency::Latencies;

const BLOCK: [u8; 4096] = [0x5a; 4096];
const BLOCKS_MAX: u64 = 1000;
const TIME_MAX: Duration = Duration::from_secs(2);
/// The magic number of a file system that lives in memory (`statfs(2)`).
const TMPFS: u64 = 0x0102_1994;

/// fdatasync after overwriting 4 KiB of an allocated file, as a commit into a kept write-ahead log does.
pub fn overwrite(folder: &Path) -> Result<Latencies> {
    let mut file = tempfile::tempfile_in(folder)?;
    for _ in 0..BLOCKS_MAX {
        file.write_all(&BLOCK)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    syncs(&mut file)
}

/// fdatasync after appending 4 KiB, as a commit into a growing log does.
pub fn append(folder: &Path) -> Result<Latencies> {
    syncs(&mut tempfile::tempfile_in(folder)?)
}

fn syncs(file: &mut File) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    let started = Instant::now();
    for _ in 0..BLOCKS_MAX {
        file.write_all(&BLOCK)?;
        let written = Instant::now();
        file.sync_data()?;
        latencies.push(written.elapsed());
        if started.elapsed() > TIME_MAX {
            break;
        }
    }
    Ok(latencies)
}

/// True when nothing written to `folder` reaches a disk, so that durable writes cost nothing there.
pub fn is_memory(folder: &Path) -> Result<bool> {
    let file_system = rustix::fs::statfs(folder).context("asking for the file system")?;
    Ok(u64::try_from(file_system.f_type).is_ok_and(|kind| kind == TMPFS))
}

/// Drops a file from the page cache, so that the next read comes from the disk.
pub fn evict(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    // Pages not yet on the disk would stay.
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_timed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(overwrite(folder.path()).unwrap().len() > 0);
        assert!(append(folder.path()).unwrap().summary().max > Duration::ZERO);
        assert!(is_memory(folder.path()).is_ok());
    }
}

//! The most memory that a process has had, as Linux tells it.
//!
//! It is measured and not enforced: a bound on addresses (`ulimit -v`) counts what is only reserved, and a control group is not to be had
//! everywhere. `VmHWM` is the most that was ever resident, and misses nothing between two looks; it counts the pages of files that are mapped,
//! the program among them. How much of it is the process's own (`RssAnon`) is looked at a hundred times a second.

use anyhow::{Context as _, Result};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(10);

pub struct Memory {
    process: u32,
    own: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    looking: Option<JoinHandle<()>>,
}

/// Bytes at the most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Most {
    pub resident: u64,
    pub own: u64,
}

impl Memory {
    pub fn watch(process: u32) -> Self {
        let (own, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (seen, end) = (Arc::clone(&own), Arc::clone(&is_over));
        let looking = std::thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                if let Ok(now) = field(process, "RssAnon:") {
                    seen.fetch_max(now, Ordering::AcqRel);
                }
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self { process, own, is_over, looking: Some(looking) }
    }

    /// Since this was asked last.
    pub fn take(&self) -> Result<Most> {
        let own = field(self.process, "RssAnon:").unwrap_or(0).max(self.own.swap(0, Ordering::AcqRel));
        let most = Most { resident: resident_most(self.process)?, own };
        // Where this may not be done the most since the start counts, which is no less.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.process), "5");
        Ok(most)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let _ = self.looking.take().map(JoinHandle::join);
    }
}

/// The most that a process ever had.
pub fn resident_most(process: u32) -> Result<u64> {
    field(process, "VmHWM:")
}

fn field(process: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("Linux does not tell it")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

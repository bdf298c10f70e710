//! The disk under the databases, without any server.

use anyhow::Result;

use crate::cli::Settings;
use crate::report::{Report, ms};

/// Not a server, but figures name one.
const DISK: &str = "disk";

pub fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let folder = settings.work_dir();
    let ways = [("overwriting", crate::disk::overwrite(folder)?), ("appending", crate::disk::append(folder)?)];
    for (way, latencies) in ways {
        let summary = latencies.summary();
        report.figure(format!("fdatasync after {way} 4 KiB, p50"), DISK, ms(summary.p50), "ms");
        report.figure(format!("fdatasync after {way} 4 KiB, p99"), DISK, ms(summary.p99), "ms");
    }
    if crate::disk::is_memory(folder)? {
        report.remarks.push(
            "The databases stood in memory (tmpfs): durable writes cost nothing there, and their figures say nothing. \
             Choose a folder on a disk with --work-dir."
                .into(),
        );
    }
    Ok(())
}

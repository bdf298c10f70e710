//! The backups beside the file: that there are some, that they can be restored, and how far they reach. Reads their lists and
//! names only; every byte of them reads `tidebase backup verify`.

use super::finding::{Finding, bytes};
use crate::config::{Config, display};
use rusqlite::Connection;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use tidebase_engine::backups::{Archive, Moment, Report};
use tidebase_engine::{Code, Error, Result, clock};

/// What is younger than this may be on its way.
const LATE_MS: i64 = 10_000;

pub fn examine(config: &Config, tell: &mut dyn FnMut(Finding)) {
    let Some(folder) = &config.backups else {
        return tell(Finding::note(
            "backups",
            "None are kept (backups = off): what is deleted by mistake cannot be brought back.",
        ));
    };
    tell(match kept(folder, &config.db) {
        Ok(Some(finding)) => finding,
        Ok(None) => {
            let shown = display(folder);
            Finding::note("backups", format!("There are none in {shown} yet; the server's start begins them."))
        }
        Err(error) => unfit(&error),
    });
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    if config.backup_mirror.is_none() && device(folder).is_some() && device(folder) == device(&config.db) {
        tell(Finding::note(
            "second place",
            "The backups are on the disk of the database, and would be lost with it. --backup-mirror PLACE carries them to another.",
        ));
    }
}

fn kept(folder: &Path, db: &Path) -> Result<Option<Finding>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let archive = Archive::read(folder)?;
    let report = Report::of_archive(&archive)?;
    if archive.last().is_none() {
        return Ok(None);
    }
    archive.find(Moment::Latest)?;
    let (Some(oldest), Some(newest)) = (&report.oldest, &report.newest) else { return Ok(None) };
    let lost = archive.lost_lines();
    if !lost.is_empty() {
        let (shown, lost) = (display(folder), lost.join(", "));
        let text = format!(
            "Damaged in {shown}: {lost}. The server makes it anew of its files, within a minute or at its start."
        );
        return Ok(Some(Finding::warning("backups", text)));
    }
    let (from, to, size) = (&oldest.time, &newest.time, bytes(report.bytes));
    let reached = newest.revision.unwrap_or(0);
    Ok(Some(match late(db, reached) {
        Some((revision, time)) => Finding::warning(
            "backups",
            format!(
                "They end at {to} (revision {reached}), and revision {revision} of {time} is not kept. `GET /backups` of the running server \
                 says why; if none runs, its next start keeps it."
            ),
        ),
        None if report.set_aside > 0 => Finding::note(
            "backups",
            format!(
                "From {from} to {to}, {size} in {}. Set aside there or beside it, being damaged or in no list: {}. Look at the disk, then remove them.",
                display(folder),
                report.set_aside
            ),
        ),
        None => Finding::ok("backups", format!("from {from} to {to}, {size} in {}", display(folder))),
    }))
}

/// The newest commit, if it should be kept by now and is not.
fn late(db: &Path, reached: i64) -> Option<(i64, String)> {
    let connection = Connection::open_with_flags(db, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let newest = "SELECT revision, time FROM _tide_log ORDER BY revision DESC LIMIT 1";
    let (revision, time): (i64, i64) = connection.query_row(newest, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()?;
    (revision > reached && time + LATE_MS < clock::now_ms()).then(|| (revision, clock::spoken(time)))
}

fn unfit(error: &Error) -> Finding {
    let what = error.message.trim_end_matches('.');
    if error.code == Code::NotFound {
        // A server that runs finds it within a minute.
        return Finding::warning(
            "backups",
            format!("{what}. The server writes all pages anew at its next start, or soon."),
        );
    }
    Finding::warning("backups", format!("{what}. Until that is mended a server does not start with these backups."))
}

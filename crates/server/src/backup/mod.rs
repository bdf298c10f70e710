//! `tidebase backup` and `tidebase restore`: a copy at one time, and the backups that a server keeps all the time.
//!
//! What a server keeps is a folder of files (`tidebase_engine::backups`), and these commands read it themselves: no server has to run. Only
//! to put a moment in place of a database that is being served, the server is asked.

mod copy;
mod fetch;
pub mod mirror;
mod restore;

pub use restore::run as restore;

use crate::cli::{BackupArgs, BackupCommand, KeptArgs};
use crate::config;
use crate::print_lines;
use fetch::Fetched;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use tidebase_engine::backups::{Archive, Report, Stored, verify};
use tidebase_engine::{Error, Result, clock};

pub fn run(args: &BackupArgs) -> Result<()> {
    match (&args.command, &args.to) {
        (None, Some(to)) => copy::run(args.kept.db.as_ref(), to),
        (None, None) => Err(Error::invalid(
            "Say where the copy goes: tidebase backup --to FILE. What a server keeps by itself shows: tidebase backup status.",
        )),
        (Some(BackupCommand::Status), _) => status(&args.kept),
        (Some(BackupCommand::List), _) => list(&args.kept),
        (Some(BackupCommand::Verify), _) => check(&args.kept),
    }
}

/// Where the backups are that are meant: in the place that is named, or in the folder that the settings name.
enum Place {
    Folder(PathBuf),
    Store(String),
}

fn place(args: &KeptArgs) -> Result<Place> {
    let from = args.from.as_deref();
    // What a server carries somewhere has lines apart, also in a folder.
    let is_carried = |from: &&str| from.contains("://") || Path::new(from).join(fetch::TAILS).is_dir();
    Ok(match from.and_then(Path::to_str).filter(is_carried) {
        Some(store) => Place::Store(store.to_owned()),
        None => Place::Folder(match from {
            Some(folder) => folder.to_owned(),
            None => config::backups(args.db.as_ref())?,
        }),
    })
}

/// What is known of the files there.
enum Found {
    Folder(Archive),
    Store(Fetched),
}

impl Found {
    fn new(args: &KeptArgs) -> Result<Self> {
        Ok(match place(args)? {
            Place::Folder(folder) => Self::Folder(Archive::read(&folder)?),
            Place::Store(store) => Self::Store(Fetched::new(&store, &std::env::temp_dir())?),
        })
    }

    const fn archive(&self) -> &Archive {
        match self {
            Self::Folder(archive) => archive,
            Self::Store(fetched) => &fetched.archive,
        }
    }

    const fn fetched(&self) -> Option<&Fetched> {
        match self {
            Self::Folder(_) => None,
            Self::Store(fetched) => Some(fetched),
        }
    }
}

fn status(args: &KeptArgs) -> Result<()> {
    let found = Found::new(args)?;
    let archive = found.archive();
    let mut report = Report::of_archive(archive)?;
    if let Place::Store(store) = place(args)? {
        report.folder = store;
    }
    if args.json {
        return printed(&report);
    }
    let (Some(oldest), Some(newest)) = (&report.oldest, &report.newest) else {
        let what = if report.files == 0 { "nothing yet" } else { "no snapshot, and so nothing that can be restored" };
        print_lines(&format!("There is {what} in {}.", report.folder));
        return Ok(());
    };
    let mut lines = vec![
        report.folder.clone(),
        format!("from {} to {}", oldest.time, newest.time),
        format!("{} files, {}", report.files, size(report.bytes)),
    ];
    lines.extend(report.gaps.iter().map(|gap| format!("nothing {gap}")));
    if report.set_aside > 0 {
        lines.push(format!("set aside, being damaged or in no list: {}", report.set_aside));
    }
    lines.extend(archive.lost_lines().iter().map(|line| format!("{line} is damaged")));
    lines.push(String::new());
    for level in &report.levels {
        let (name, files, bytes) = (level.level, level.files, size(level.bytes));
        lines.push(format!("{name:<10} {files:>6}  {bytes:>10}  {}  {}", level.oldest, level.newest));
    }
    print_lines(&lines.join("\n"));
    Ok(())
}

fn list(args: &KeptArgs) -> Result<()> {
    let found = Found::new(args)?;
    let archive = found.archive();
    let files = archive.files()?;
    if args.json {
        let all: Vec<_> = files.iter().filter_map(|file| archive.of(file)).collect();
        return printed(&all);
    }
    let mut lines = vec![format!("{:<24}  {:>10}  {:>10}  FILE", "UP TO", "REVISION", "SIZE")];
    for file in &files {
        let revision = archive.of(file).and_then(|record| record.revision);
        let revision = revision.map_or_else(String::new, |revision| revision.to_string());
        let time = clock::spoken(i64::try_from(file.time_ms).unwrap_or(i64::MAX));
        lines.push(format!("{time:<24}  {revision:>10}  {:>10}  {file}", size(file.size)));
    }
    print_lines(&lines.join("\n"));
    Ok(())
}

/// A damaged file is a failure of the command, so that a script hears of it.
fn check(args: &KeptArgs) -> Result<()> {
    let found = Found::new(args)?;
    let fetched = found.fetched();
    let bar = bar("{bar:30} {percent}%  {bytes_per_sec}  {eta} left");
    let bring = |file: &Stored| fetched.map_or(Ok(()), |fetched| fetched.bring(&[*file], |_, _| {}));
    let checked = verify(found.archive(), bring, |file, done, total| {
        bar.set_length(total);
        bar.set_position(done);
        // What was only brought to be read need not stay.
        fetched.map(|fetched| std::fs::remove_file(fetched.path(file)));
    })?;
    bar.finish_and_clear();
    if args.json {
        printed(&checked)?;
    } else {
        print_lines(&format!("{} files, {} read", checked.files, size(checked.bytes)));
    }
    if checked.damaged.is_empty() {
        if !args.json {
            print_lines("All of them are as they were written.");
        }
        return Ok(());
    }
    Err(Error::unavailable(format!(
        "{} damaged:\n  {}\nA restore goes around them where other files hold the same. Look at the disk.",
        if checked.damaged.len() == 1 {
            "One file is".to_owned()
        } else {
            format!("{} files are", checked.damaged.len())
        },
        checked.damaged.join("\n  ")
    )))
}

/// Work on the backups' folder, which waits for the disk.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal("work on backups panicked").caused_by(error))?
}

fn printed(answer: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(answer);
    print_lines(&text.map_err(|error| Error::internal("an answer cannot be written").caused_by(error))?);
    Ok(())
}

fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// Drawn on a terminal only; elsewhere the last line is enough.
fn bar(template: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

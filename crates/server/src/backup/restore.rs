//! `tidebase restore`: a moment as a new file, or in place of what a server is serving.

use super::fetch::Fetched;
use super::{Place, bar, place, printed, size};
use crate::admin::Remote;
use crate::cli::{RemoteArgs, RestoreArgs};
use crate::{config, print_lines};
use reqwest::Method;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tidebase_engine::backups::{Archive, Moment, Restored, Stored, restore_from};
use tidebase_engine::{Error, Result};

pub fn run(args: &RestoreArgs) -> Result<()> {
    match (&args.to, &args.url) {
        (Some(to), None) => to_file(args, to),
        (None, Some(_)) => in_place(args),
        _ => Err(Error::invalid(
            "Say where it goes: --to FILE makes a new file, and --url puts it in place of what that server is serving.",
        )),
    }
}

fn to_file(args: &RestoreArgs, to: &Path) -> Result<()> {
    let moment = match (&args.at, args.revision) {
        (Some(at), None) => Moment::at(at)?,
        (None, Some(revision)) => Moment::Revision(revision),
        (None, None) => Moment::Latest,
        (Some(_), Some(_)) => return Err(Error::invalid("A moment is --at a time or a --revision, not both.")),
    };
    let started = Instant::now();
    let restored = match place(&args.kept)? {
        Place::Folder(folder) => {
            is_outside(to, &folder)?;
            restored(&Archive::read(&folder)?, moment, to, |_| Ok(()))?
        }
        Place::Store(store) => {
            // What is brought goes when it is restored.
            let fetched = Fetched::new(&store, beside(to))?;
            restored(&fetched.archive, moment, to, |files| brought(&fetched, files))?
        }
    };
    if args.kept.json {
        return printed(&restored);
    }
    for damaged in &restored.passed_over {
        eprintln!("{damaged} is damaged, and was passed over.");
    }
    let revision = restored.revision.map_or_else(String::new, |revision| format!(", revision {revision}"));
    print_lines(&format!(
        "{}  as of {}{revision}  {} in {:.1} s",
        config::display(to),
        restored.time,
        size(restored.bytes),
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// A file among the backups would be taken for one of them.
fn is_outside(to: &Path, backups: &Path) -> Result<()> {
    let beside = to.parent().and_then(|folder| folder.canonicalize().ok());
    if beside.zip(backups.canonicalize().ok()).is_some_and(|(beside, backups)| beside.starts_with(backups)) {
        return Err(Error::invalid(format!("{} is within the backups. Name another folder.", config::display(to))));
    }
    Ok(())
}

fn restored(archive: &Archive, moment: Moment, to: &Path, bring: impl Fn(&[Stored]) -> Result<()>) -> Result<Restored> {
    let spinner = bar("{spinner} restoring {elapsed}");
    spinner.enable_steady_tick(Duration::from_millis(100));
    let restored = restore_from(archive, moment, to, bring);
    spinner.finish_and_clear();
    restored
}

/// The folder of the file that is to be: it has room.
fn beside(to: &Path) -> &Path {
    to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn brought(fetched: &Fetched, files: &[Stored]) -> Result<()> {
    let bar = bar("{bar:30} {percent}%  {bytes_per_sec}  {eta} left");
    fetched.bring(files, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    Ok(())
}

fn in_place(args: &RestoreArgs) -> Result<()> {
    let body = match (&args.at, args.revision) {
        (Some(at), None) => json!({ "at": at }),
        (None, Some(revision)) => json!({ "revision": revision }),
        _ => return Err(Error::invalid("In place of what is served, say which moment: --at TIME or --revision N.")),
    };
    let remote = RemoteArgs { url: args.url.clone(), token: args.token.clone(), json: args.kept.json };
    let remote = Remote::patient(&remote)?;
    let answer = remote.call(Method::POST, &["restore"], &[], Some(&body))?;
    let (time, before) = (answer["restored"]["time"].as_str().unwrap_or_default(), &answer["undo"]["revision"]);
    let reached = &answer["restored"]["revision"];
    let token = if args.token.is_some() { " --token …" } else { "" };
    remote.say(
        &answer,
        &format!(
            "The server stands as of {time} (revision {reached}); its revision is {} now.\nTo undo: tidebase restore --url {}{token} --revision {before}",
            answer["revision"],
            args.url.as_deref().unwrap_or_default()
        ),
    );
    Ok(())
}

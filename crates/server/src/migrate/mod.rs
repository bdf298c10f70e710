//! `tidebase migrate new | up | down | status | diff`, and what `serve --migrate` does before it listens.
//!
//! [`folder`] has the files, [`place`] the database; what is to be done with them the engine decides.

mod folder;
mod place;

use crate::admin::print;
use crate::cli::{FolderArgs, MigrateArgs, MigrateCommand, PlaceArgs};
use crate::config;
use folder::{Folder, slug};
use place::Place;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use tidebase_engine::migrations::file::label;
use tidebase_engine::migrations::{Applied, Migration, Shape, Wanted, Way, difference, plan, replay};
use tidebase_engine::{Engine, Error, Result};

/// For the record.
const WHO: &str = "command line";

pub fn run(command: &MigrateCommand) -> Result<()> {
    match command {
        MigrateCommand::New { name, folder } => new(name, folder),
        MigrateCommand::Up(args) => migrate(args, Way::Up),
        MigrateCommand::Down(args) => migrate(args, Way::Down),
        MigrateCommand::Status { place, folder, json } => status(place, folder, *json),
        MigrateCommand::Diff { name, place, folder, no_mark } => diff(name, place, folder, *no_mark),
    }
}

/// Applies what is missing before the server listens.
pub async fn at_start(engine: &Engine, folder: &Path) -> Result<()> {
    let path = folder.to_owned();
    let files = tokio::task::spawn_blocking(move || Folder::open(path)?.read());
    let files = files.await.map_err(|error| Error::internal("migrations could not be read").caused_by(error))??;
    let report = engine.migrate(Wanted::new(files, Way::Up, "start of the server")).await?;
    for done in &report.done {
        tracing::info!(migration = %done.label, statements = done.statements, "a migration was applied");
    }
    Ok(())
}

fn path(args: &FolderArgs) -> Result<PathBuf> {
    config::migrations(args.folder.as_ref())
}

fn new(name: &str, args: &FolderArgs) -> Result<()> {
    let slug = slug(name)?;
    let folder = Folder::make(path(args)?)?;
    let number = folder.next_number()?;
    let text = format!(
        "-- {number:04} {slug}: what it does, in a sentence.\n\
         -- All of it is one transaction. Behind the line \"-- down\" stands the way back.\n\n\n\
         -- down\n\n"
    );
    let path = folder.write(number, &slug, &text)?;
    crate::print_lines(&config::display(&path));
    Ok(())
}

fn migrate(args: &MigrateArgs, way: Way) -> Result<()> {
    let place = Place::of(&args.place)?;
    let path = path(&args.folder)?;
    // What was applied knows its way back, so nobody needs the files for that.
    let folder = if way == Way::Down && !path.exists() { None } else { Some(Folder::open(path)?) };
    let migrations = folder.as_ref().map_or_else(|| Ok(Vec::new()), Folder::read)?;
    let wanted = Wanted { to: args.to, dry_run: args.dry_run, ..Wanted::new(migrations, way, WHO) };
    let report = place.migrate(wanted)?;
    crate::print_lines(&told(&report, way, args.dry_run));
    Ok(())
}

/// A line for each that was done.
fn told(report: &Json, way: Way, is_dry: bool) -> String {
    let word = if way == Way::Down { "undone" } else { "applied" };
    let list = report["done"].as_array().map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() {
        return if way == Way::Down { "Nothing to undo.".into() } else { "Nothing to apply.".into() };
    }
    let line = |done: &Json| {
        let (number, name) = (done["number"].as_i64().unwrap_or(0), done["name"].as_str().unwrap_or_default());
        let count = done["statements"].as_u64().unwrap_or(0);
        let noun = if count == 1 { "statement" } else { "statements" };
        format!("{}  {word}, {count} {noun}", label(number, name))
    };
    let mut lines: Vec<String> = list.iter().map(line).collect();
    lines.extend(is_dry.then(|| "Dry run: nothing was kept.".to_owned()));
    lines.join("\n")
}

fn status(place: &PlaceArgs, folder: &FolderArgs, as_json: bool) -> Result<()> {
    let files = Folder::look(path(folder)?)?.read()?;
    let applied = Place::of(place)?.applied()?;
    let standings = plan::status(&files, &applied);
    if as_json {
        crate::print_lines(&json!(standings.iter().map(plan::Told::to_json).collect::<Vec<_>>()).to_string());
    } else if standings.is_empty() {
        crate::print_lines("There are no migrations.");
    } else {
        let rows: Vec<Json> = standings
            .iter()
            .map(|told| {
                let mut row = told.to_json();
                row["number"] = format!("{:04}", told.number).into();
                row
            })
            .collect();
        crate::print_lines(&print::table(&rows, &["number", "name", "state", "applied_at", "who"]));
    }
    let drifted: Vec<String> = standings
        .iter()
        .filter(|told| told.standing.is_drift())
        .map(|told| format!("{} ({})", label(told.number, told.name), told.standing.name()))
        .collect();
    if drifted.is_empty() {
        return Ok(());
    }
    Err(Error::conflict(format!("The files and the database tell different stories: {}.", drifted.join(", "))))
}

fn diff(name: &str, place: &PlaceArgs, folder: &FolderArgs, no_mark: bool) -> Result<()> {
    let slug = slug(name)?;
    let place = Place::of(place)?;
    let live = place.shape()?;
    let folder = Folder::make(path(folder)?)?;
    let files = folder.read()?;
    refuse_to_compare(&files, &place.applied()?)?;
    let told = Shape::read(&replay::of_migrations(&files)?.own)?;
    let number = folder.next_number()?;
    let Some((migration, text)) = difference::written(number, &slug, &told, &live)? else {
        crate::print_lines("Nothing differs: the migrations give the schema as it is. No file was written.");
        return Ok(());
    };
    let path = folder.write(number, &slug, &text)?;
    let mut words = config::display(&path);
    if !no_mark {
        let marked = place.migrate(Wanted::new([files, vec![migration]].concat(), Way::Mark, WHO));
        if let Err(error) = marked {
            let _ = std::fs::remove_file(&path);
            let message = format!(
                "{} The migration was not written; with --no-mark it would be, and not noted as applied.",
                error.message
            );
            return Err(Error { message, ..error });
        }
        words.push_str("  written, and noted as applied here");
    }
    crate::print_lines(&words);
    Ok(())
}

/// What differs must be new, not something that the files and the database do not agree about.
fn refuse_to_compare(files: &[Migration], applied: &[Applied]) -> Result<()> {
    match plan::status(files, applied).iter().find(|told| told.standing != plan::Standing::Applied) {
        None => Ok(()),
        Some(told) => Err(Error::conflict(format!(
            "{} stands as \"{}\". A difference can be written when all migrations are applied and none was changed: see `tidebase migrate status`.",
            label(told.number, told.name),
            told.standing.name()
        ))),
    }
}

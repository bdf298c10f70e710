//! Round trips: what leaves by an export and comes back by an import is what it was, as the stock `sqlite3` sees it.
//!
//! ```text
//! tidebase-trials roundtrip --megabytes 1000 --real proj.db
//! ```
//!
//! A real database from a package, one with everything SQLite has and as many rows as are wanted, and random ones: each takes the ways
//! there are through the real program ([`ways`]). What comes back is held against what left, by `.dump` of both ([`told`]).

mod bulk;
#[path = "../../../engine/tests/there_and_back/databases.rs"]
mod databases;
mod told;
mod ways;

use anyhow::{Context as _, Result, ensure};
use databases::{FEATURES, Random, VIRTUAL, random_script};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use told::Told;
use ways::{Journey, Way};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Of the database with everything, about.
    #[arg(long, default_value_t = 2)]
    megabytes: u64,
    /// Random databases.
    #[arg(long, default_value_t = 6)]
    schemas: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A database that somebody else made.
    #[arg(long, env = "TIDEBASE_REAL_DB")]
    real: Option<PathBuf>,
    /// The program that is tried [default: `tidebase` beside this program]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

pub fn roundtrip(arguments: &Arguments) -> Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let program = match &arguments.server {
        Some(path) => path.canonicalize().with_context(|| format!("there is no {}", path.display()))?,
        None => crate::crash::beside_us()?,
    };
    let trial = Trial { program, folder: folder.path().to_owned() };
    let done = trial.all(arguments);
    if let Err(error) = done {
        println!("FAILED: {error:#}");
        println!("kept in {}", folder.keep().display());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

struct Trial {
    program: PathBuf,
    folder: PathBuf,
}

impl Trial {
    fn all(&self, arguments: &Arguments) -> Result<()> {
        if let Some(real) = &arguments.real {
            let copy = self.folder.join("real.db");
            std::fs::copy(real, &copy).with_context(|| format!("{} cannot be read", real.display()))?;
            self.judge("a real database", &copy, &Way::ALL)?;
        }
        let everything = self.folder.join("everything.db");
        made(&everything, |connection| {
            connection.execute_batch(FEATURES)?;
            bulk::fill(connection, arguments.megabytes << 20, arguments.seed)?;
            Ok(connection.execute_batch(VIRTUAL)?)
        })?;
        self.judge("everything SQLite has", &everything, &Way::ALL)?;
        for number in 0..arguments.schemas {
            let seed = arguments.seed.wrapping_add(number);
            let random = self.folder.join("random.db");
            made(&random, |connection| {
                for statement in random_script(&mut Random(seed)).split_inclusive(";\n") {
                    // What the generator made wrong is no part of it.
                    let _ = connection.execute_batch(statement);
                }
                Ok(())
            })?;
            let another = Way::ALL[number as usize % Way::ALL.len()];
            self.judge(&format!("random, seed {seed}"), &random, &[Way::Sql, another])?;
        }
        Ok(())
    }

    fn judge(&self, name: &str, first: &Path, ways: &[Way]) -> Result<()> {
        let began = Instant::now();
        let left = Told::of(first)?;
        for &way in ways {
            let place = self.folder.join("journey");
            std::fs::create_dir(&place)?;
            let journey = Journey { program: &self.program, first, place: &place };
            let last = journey.take(way).with_context(|| format!("{name}, {way:?}"))?;
            let back = Told::of(&last)?;
            left.compare(first, &back, &last).with_context(|| format!("{name}, {way:?}"))?;
            // What an old shell has indexed is as it works things out.
            let is_sound = back.is_sound || !left.is_sound || way == Way::Shell;
            ensure!(is_sound, "{name}, {way:?}: the indexes of what came back do not agree with their tables");
            std::fs::remove_dir_all(&place)?;
        }
        let bytes = std::fs::metadata(first)?.len();
        std::fs::remove_file(first)?;
        let (megabytes, seconds) = (bytes as f64 / 1e6, began.elapsed().as_secs_f64());
        println!(
            "{name}: {megabytes:.1} MB, {} rows, {} ways there and back, the same ({seconds:.1} s)",
            left.rows(),
            ways.len()
        );
        Ok(())
    }
}

fn made(path: &Path, make: impl FnOnce(&Connection) -> Result<()>) -> Result<()> {
    let connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")?;
    make(&connection)?;
    connection.execute_batch("PRAGMA journal_mode = DELETE").context("a database could not be closed")
}

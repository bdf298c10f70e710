//! `tidebase backup --to FILE`: a safe copy, also while a server writes.

use super::bar;
use crate::config;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tidebase_engine::{Error, Result, storage};

pub fn run(db: Option<&PathBuf>, to: &Path) -> Result<()> {
    let from = config::database(db)?;
    if !from.exists() {
        return Err(Error::not_found(format!("There is no database {}.", config::display(&from))));
    }
    let started = Instant::now();
    let bar = bar("{bar:30} {percent}%  {per_sec} pages  {eta} left");
    storage::backup::backup(&from, to, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let bytes = std::fs::metadata(to).map_or(0, |file| file.len());
    println!(
        "{} → {}  {:.1} MB in {:.1} s",
        config::display(&from),
        config::display(to),
        bytes as f64 / 1e6,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

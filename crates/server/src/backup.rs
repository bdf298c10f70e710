//! `tidebase backup --to FILE`: a safe copy, also while a server writes.

use crate::cli::BackupArgs;
use crate::config;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Instant;
use tidebase_engine::{Error, Result, storage};

pub fn run(args: &BackupArgs) -> Result<()> {
    let from = config::database(args.db.as_ref())?;
    if !from.exists() {
        return Err(Error::not_found(format!("There is no database {}.", config::display(&from))));
    }
    let started = Instant::now();
    // Drawn on a terminal only; elsewhere the last line is enough.
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {percent}%  {per_sec} pages  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    storage::backup::backup(&from, &args.to, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let bytes = std::fs::metadata(&args.to).map_or(0, |file| file.len());
    println!(
        "{} → {}  {:.1} MB in {:.1} s",
        config::display(&from),
        config::display(&args.to),
        bytes as f64 / 1e6,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

//! All that is measured of live queries in great number, in one run, as a page and a plot.

use std::path::Path;

use anyhow::{Context, Result};

use super::{flat, reach, storm, transfer};
use crate::cli::Settings;
use crate::page::{self, Conditions, LIVE};
use crate::peers::broker;
use crate::report::Report;

/// The plot, beside the page.
const PLOT: &str = "flat.svg";

pub async fn run(settings: &Settings, report: &mut Report, out: Option<&Path>) -> Result<()> {
    let conditions = Conditions::now(settings);
    let plot = flat::run(settings, report).await?;
    reach::run(settings, report).await?;
    storm::run(settings, report).await?;
    transfer::run(settings, report).await?;
    broker::run(settings, report).await?;
    if let Some(out) = out {
        let write = |path: &Path, text: String| {
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
        };
        write(out, page::markdown(&conditions, report, &LIVE))?;
        write(&out.with_file_name(PLOT), plot.svg())?;
    }
    Ok(())
}

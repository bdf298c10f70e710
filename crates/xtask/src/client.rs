//! The TypeScript client: what its tests need is installed, it is built, and tested against the server.

use crate::run::{Skips, is_there, program};
use anyhow::Result;

/// Types, unit tests, faults against the real binary, the guides, the adapters in a browser, and the size of what a page loads.
pub fn test(skips: &mut Skips) -> Result<()> {
    if !is_there("npm") {
        skips.add("the TypeScript client: there is no npm here");
        return Ok(());
    }
    // No package runs anything of its own when it is installed.
    program("npm", &["ci", "--ignore-scripts"])?;
    crate::browser::prepare();
    program("npm", &["test", "--workspace", "client"])
}

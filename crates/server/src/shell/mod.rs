//! `tidebase sql`.
use crate::cli::SqlArgs;
use tidebase_engine::Result;

pub fn run(_: &SqlArgs) -> Result<()> {
    Ok(())
}

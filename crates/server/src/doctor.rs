//! `tidebase doctor`.
use crate::cli::DatabaseArgs;
use tidebase_engine::Result;

pub fn run(_: &DatabaseArgs) -> Result<()> {
    Ok(())
}

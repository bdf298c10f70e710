//! Logs: for eyes on a terminal, JSON elsewhere. Always on standard error, so that output stays clean.

use std::io::IsTerminal as _;
use tidebase_engine::{Error, Result};
use tracing_subscriber::EnvFilter;

pub fn start(level: &str) -> Result<()> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Error::invalid(format!("--log {level:?}: {error}. It is error, warn, info, debug or trace."))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    Ok(())
}

//! Logs: for eyes on a terminal, JSON elsewhere. Always on standard error, so that output stays clean.

use std::io::IsTerminal as _;
use tidebase_engine::{Error, Result};
use tracing_subscriber::EnvFilter;

pub fn start(level: &str) -> Result<()> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Error::invalid(format!("--log {level:?}: {error}. It is error, warn, info, debug or trace."))
    })?;
    // At trace that library prints whole frames, in which a client may send a token.
    let quiet = "tungstenite=debug".parse().map_err(|_| Error::internal("a directive of the log is wrong"))?;
    let is_trace = filter.max_level_hint() == Some(tracing_subscriber::filter::LevelFilter::TRACE);
    let filter = if is_trace { filter.add_directive(quiet) } else { filter };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    Ok(())
}

//! What every committed request changed: captured from SQLite's hook, made net by reading back, kept in a durable log.
//!
//! capture (hook, read-back) → [`change::ChangeSet`] → log (same transaction) → lanes (after the commit).

pub mod capture;
pub mod change;
mod codec;
pub mod log;

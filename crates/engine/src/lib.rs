//! The heart of Tidebase: one SQLite file, its changes, its live queries, keys and topics.
//!
//! No HTTP, no sockets: faces translate, the engine decides, SQLite remembers. [`Engine`] has one verb for each thing a
//! face can ask; see ARCHITECTURE.md for the path of a write and of a subscription.

pub mod access;
pub mod backups;
pub mod changes;
pub mod clock;
pub mod documents;
mod engine;
pub mod error;
pub mod export;
pub mod import;
pub mod json;
pub mod keys;
pub mod limits;
pub mod live;
pub mod logs;
pub mod metrics;
pub mod migrations;
pub mod request;
pub mod schemas;
mod shared;
pub mod sqlite;
pub mod storage;
pub mod tables;
pub mod topics;
pub mod value;

pub use access::statements::Allowed;
pub use access::{Caller, Policy, Principal, Role};
pub use backups::swap::Fork;
pub use engine::{Engine, Options, Pending, RESTARTING, reads};
pub use error::{Code, Error, Result};
pub use limits::{Limits, LiveTiers};
pub use live::inbox::{Since, Wanted};
pub use live::session::{RequestId, Session};
pub use logs::AuditEntry;
pub use request::{Answer, Format, Idempotency, Line, Origin, Sql, SqlRequest, WriteName};
pub use storage::rehearse::Rehearsal;
pub use value::{Params, Value};

use engine::thread;

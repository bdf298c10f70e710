//! The page log's files: what a database's pages were, transaction by transaction, as LTX v3, which Litestream 0.5
//! reads and restores as well.
//!
//! ```text
//! SQLite's WAL ── wal ──▶ encode ──▶ folder (levels 0, 1, 2, 9) ──▶ plan ──▶ restore ──▶ a database
//!                           │           ▲        │
//!                        checksum       └ compact┘
//!                           └──▶ manifest, beside the files
//! ```
//!
//! | Module | Is |
//! |---|---|
//! | `format` (its items stand here) | the header, numbers, order of pages |
//! | `encode`, `decode` | one file, streaming |
//! | `checksum` | of the whole database, kept up as it changes |
//! | `manifest`, `digest` | what each file was when it was written, chained by hashes |
//! | `wal` | what was committed behind a place in SQLite's WAL |
//! | `compact` | several files become one |
//! | `folder`, `plan` | where files stand; which of them make the database of a moment |
//! | `restore` | the database from them |
//!
//! There is no server here, no thread, no clock and no SQLite: who captures when, how long what is kept and where else
//! it goes is decided elsewhere. Nothing here trusts a byte that it reads.

pub mod checksum;
pub mod compact;
mod crc;
pub mod decode;
pub mod digest;
pub mod encode;
mod error;
pub mod folder;
mod format;
pub mod manifest;
pub mod plan;
pub mod restore;
pub mod wal;

pub use checksum::Rolling;
pub use compact::{compact, compact_files};
pub use crc::Crc;
pub use decode::{Decoder, Page};
pub use digest::Hash;
pub use encode::{Encoder, Written, snapshot};
pub use error::{Code, Error, Result};
pub use folder::{Draft, Folder, Level, Stored};
pub use format::{Header, Origin, PageSize, Span};
pub use manifest::{Chain, Manifest, ManifestFile, Record, Salvaged};
pub use plan::{Target, plan};
pub use restore::{Restored, restore, restore_to};

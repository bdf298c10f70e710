//! The file: one writer with group commit, readers, the engine's own tables, and who may open it.

mod answers;
pub mod backup;
pub mod execute;
mod group;
pub mod lock;
pub mod private;
pub mod readers;
pub mod rehearse;
pub mod system;
pub mod vouch;
pub mod work;
pub mod writer;

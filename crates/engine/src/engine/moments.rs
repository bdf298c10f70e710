//! Backups, and going back to a moment of them.

use super::Engine;
use crate::backups::swap::Fork;
use crate::backups::{Backups, Moment};
use crate::error::{Error, Result};
use crate::request::Answer;
use crate::storage;
use crate::storage::work::Work;
use std::path::Path;

const NO_BACKUPS: &str = "This server keeps no backups: start it with --backups FOLDER.";

impl Engine {
    /// Restores a moment from the backups beside the database: for [`Engine::swap`]. Blocks.
    ///
    /// # Errors
    /// `unsupported` if there are no backups; those of [`backups::restore`]; `conflict` while another restore is running.
    pub fn fork(&self, moment: Moment, who: &str) -> Result<Fork> {
        let backups = self.backups.as_ref().ok_or_else(|| Error::unsupported(NO_BACKUPS))?;
        backups.fork(&self.path, moment, who)
    }

    /// What was restored takes the place of the database, in one commit; writes wait meanwhile, reads do not. Who may come in, the
    /// audit log and what was answered stay as they are. The state before can be restored by its revision.
    ///
    /// # Errors
    /// `unavailable` if the disk is full, or what is there now is not in the backups yet. Then nothing has changed.
    pub async fn swap(&self, fork: Fork) -> Result<Answer> {
        self.submit(Work::Restore(Box::new(fork)), None)?.wait().await
    }

    /// Backups, if they are kept.
    pub fn backups(&self) -> Option<&Backups> {
        self.backups.as_ref()
    }

    /// A safe copy while the database is in use; blocks.
    pub fn backup(&self, to: &Path, progress: impl FnMut(u64, u64)) -> Result<()> {
        storage::backup::backup(&self.path, to, progress)
    }
}

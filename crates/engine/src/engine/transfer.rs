//! Data in and out, and the schema from one version to the next.

use super::Engine;
use crate::error::{Error, Result};
use crate::request::Answer;
use crate::sqlite::Sqlite;
use crate::sqlite::budget::Cancel;
use crate::sqlite::gate::Mode;
use crate::sqlite::open::{Purpose, open};
use crate::storage::work::Work;
use crate::{export, import, migrations};
use std::time::Duration;

/// No statement of an export takes as long.
const EXPORT_TIME_MAX: Duration = Duration::from_hours(24 * 7);

impl Engine {
    /// Imports a file as the administrator: in one transaction, for which all other writers wait. The answer is a
    /// [`import::Report`] in JSON.
    ///
    /// # Errors
    /// What is wrong with the file, and where; `timeout` past `import_time_max`. Nothing of it is kept then.
    pub async fn import(&self, import: import::Import) -> Result<Answer> {
        self.submit(Work::Import(Box::new(import)), None)?.wait().await
    }

    /// The migrations that were applied, in their order.
    pub fn migrations(&self) -> Result<Vec<migrations::Applied>> {
        self.readers.inline(|sqlite| migrations::kept::list(&sqlite.own))
    }

    /// Applies, undoes or notes migrations as the administrator: each in a transaction of its own, in order, until one fails. Those
    /// that somebody else applies meanwhile are passed over.
    ///
    /// # Errors
    /// `conflict` before anything is done if files and database tell different stories; otherwise what is wrong with the first one that
    /// fails, and what was done before it.
    pub async fn migrate(&self, wanted: migrations::Wanted) -> Result<migrations::Report> {
        let (steps, passed_over) = wanted.steps(&self.migrations()?)?;
        let migrations::Wanted { way, dry_run, who, .. } = wanted;
        let mut report = migrations::Report { way, dry_run, done: Vec::new(), passed_over };
        let at_once = if dry_run { steps.len().max(1) } else { 1 };
        for steps in steps.chunks(at_once) {
            let task = migrations::task::Task { steps: steps.to_vec(), dry_run, who: who.clone() };
            let answer = match self.submit(Work::Migrate(Box::new(task)), None) {
                Ok(pending) => pending.wait().await,
                Err(error) => Err(error),
            };
            let answer = answer.map_err(|error| report.ended_by(error))?;
            let outcome: migrations::task::Outcome = serde_json::from_slice(&answer.body)
                .map_err(|error| Error::internal("a migration answered oddly").caused_by(error))?;
            report.done.extend(outcome.done);
            report.passed_over.extend(outcome.passed_over);
        }
        Ok(report)
    }

    /// A connection of its own for an export, with a snapshot that begins with its first read.
    ///
    /// # Errors
    /// `unavailable` if the file cannot be opened.
    pub fn open_export(&self) -> Result<Sqlite> {
        open(&self.path, None, Purpose::Read, self.shared.limits.lock_wait_max)
    }

    /// Writes an export from such a connection until it is whole or cancelled.
    ///
    /// # Errors
    /// `unavailable` if it was cancelled, or cannot be written.
    pub fn run_export(
        &self,
        sqlite: &mut Sqlite,
        what: &export::Export,
        out: &mut dyn std::io::Write,
        cancel: &Cancel,
    ) -> Result<u64> {
        self.run_export_in_breaths(sqlite, what, out, cancel, u64::MAX, &mut |_| Ok(()))
    }

    /// How many rows it will have, about: what virtual tables keep is not counted as it is written.
    ///
    /// # Errors
    /// `unavailable` if it was cancelled.
    pub fn count_export(&self, sqlite: &mut Sqlite, what: &export::Export, cancel: &Cancel) -> Result<u64> {
        sqlite.bounded(EXPORT_TIME_MAX, Some(cancel.clone()), Mode::Open, |sqlite| what.count(&sqlite.own))
    }

    /// As [`Engine::run_export`], with rows between two breaths, and whom to tell how many have been written by then.
    pub fn run_export_in_breaths(
        &self,
        sqlite: &mut Sqlite,
        what: &export::Export,
        out: &mut dyn std::io::Write,
        cancel: &Cancel,
        breath_rows: u64,
        heard: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<u64> {
        sqlite.bounded(EXPORT_TIME_MAX, Some(cancel.clone()), Mode::Open, |sqlite| {
            what.write_in_breaths(&sqlite.own, out, breath_rows, heard)
        })
    }
}

//! Data on its way in, from a file, in one transaction: all of it or nothing, unless it may be in part.
//!
//! | file | |
//! |---|---|
//! | [`dump`] | a script of SQL |
//! | [`rows`] | records into one table |
//! | [`statements`], [`insert`], [`csv`], [`json`] with [`values`] | what stands in the file, one piece in memory at a time |
//! | [`source`] | the file, unsqueezed |
//! | [`script`] | an SQLite file as such a script |
//! | [`loader`] | what they all do with the connection |
//!
//! The file is there as a whole before the transaction begins, for while it is open nobody else can write.

pub mod csv;
pub mod dump;
pub mod insert;
pub mod json;
pub mod loader;
pub mod rows;
mod script;
mod source;
pub mod statements;
mod values;

pub use rows::Rows;
pub use script::{PREFIX, as_script, sweep};
pub use source::Source;

use crate::error::{Code, Error, Result};
use crate::logs::AuditEntry;
use crate::sqlite::Sqlite;
use loader::Loader;
use serde_json::json;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Of a statement in SQL: a row may have a BLOB of 128 MiB, which is twice as long in hexadecimal.
const STATEMENT_BYTES_MAX: usize = 300 << 20;

/// Of a record of CSV or JSON, for the same reason.
const RECORD_BYTES_MAX: usize = STATEMENT_BYTES_MAX;

/// Of a record: as many as a table may have, and an INSERT.
const COLUMNS_MAX: usize = 2000;

/// The word that references are not to be followed stands here, if it does.
const FIRST_STATEMENT_BYTES_MAX: u64 = 64 << 10;

/// Failures that are told one by one.
const FAILURES_TOLD_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Csv,
    /// An array, an object a line, or StarbaseDB's `{"data": [ … ]}`.
    Json,
    /// An object a line, also where the first looks like StarbaseDB's.
    NdJson,
}

#[derive(Clone, Debug)]
pub enum What {
    Dump,
    Rows(Rows),
}

/// One import.
#[derive(Clone, Debug)]
pub struct Import {
    pub what: What,
    pub source: Source,
    /// What fails is left out, and the rest stays; otherwise one failure undoes all.
    pub partial: bool,
    /// Carried out, told, and undone.
    pub dry_run: bool,
    /// Statements or records so far, for whoever waits.
    pub progress: Arc<AtomicU64>,
    /// For the audit log.
    pub who: String,
    /// References are not followed while it runs, as dumps want it, but judged at its end.
    ignores_references: bool,
}

/// What came of it: in JSON `{"done","failed","passed_over","failures":[{"at","statement"?,"error","code"}]}`.
#[derive(Debug, Default)]
pub struct Report {
    /// Statements or records.
    pub done: u64,
    pub failed: u64,
    /// Statements about what Tidebase keeps for itself.
    pub passed_over: u64,
    /// The first of those that failed.
    pub failures: Vec<Failure>,
}

#[derive(Debug)]
pub struct Failure {
    /// `line 12`, `record 3`.
    pub at: String,
    /// The beginning of the statement, or nothing.
    pub what: String,
    pub error: Error,
}

impl Failure {
    const TEXT_MAX: usize = 200;
}

impl Report {
    pub fn to_json(&self) -> String {
        let failures: Vec<serde_json::Value> = self
            .failures
            .iter()
            .map(|Failure { at, what, error }| {
                let mut told = json!({ "at": at, "error": error.message, "code": error.code.name() });
                if !what.is_empty() {
                    told["statement"] = what.as_str().into();
                }
                told
            })
            .collect();
        json!({ "done": self.done, "failed": self.failed, "passed_over": self.passed_over, "failures": failures })
            .to_string()
    }

    /// Notes a failure; where all or nothing is wanted, it is the end.
    fn fail(&mut self, loader: &Loader<'_>, failure: Failure) -> Result<()> {
        let Failure { at, error, .. } = &failure;
        let is_of_all = !loader.is_partial() || error.code == Code::Timeout || error.code == Code::Unavailable;
        if is_of_all {
            return Err(placed(at, error));
        }
        self.failed += 1;
        if self.failures.len() < FAILURES_TOLD_MAX {
            self.failures.push(failure);
        }
        Ok(())
    }
}

/// The error, said to be there.
fn placed(at: &str, error: &Error) -> Error {
    let mut told = error.told_again();
    told.message = format!("{}{}: {}", at[..1].to_ascii_uppercase(), &at[1..], told.message);
    told
}

impl Import {
    /// All of it or nothing; `who` is for the audit log.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn new(what: What, source: Source, who: impl Into<String>) -> Result<Self> {
        let ignores_references = match &what {
            What::Dump => dump::ignores_references(source.open()?.take(FIRST_STATEMENT_BYTES_MAX)),
            What::Rows(_) => false,
        };
        let (partial, dry_run, progress) = (false, false, Arc::default());
        Ok(Self { what, source, partial, dry_run, progress, who: who.into(), ignores_references })
    }

    pub(crate) fn ignores_references(&self) -> bool {
        self.ignores_references
    }

    /// Runs it on the writer's connection, within its transaction, which the caller undoes after a dry run.
    pub(crate) fn run(&self, sqlite: &mut Sqlite) -> Result<Report> {
        let mut loader = Loader::new(sqlite, self);
        // A record that fails alone must fail where it stands; a script has its tables in any order.
        if !self.partial || matches!(self.what, What::Dump) {
            loader.own("PRAGMA defer_foreign_keys = ON")?;
        }
        let report = match &self.what {
            What::Dump => dump::load(&mut loader, self.source.open()?)?,
            What::Rows(rows) => rows.load(&mut loader, &self.source)?,
        };
        loader.check()?;
        Ok(report)
    }

    pub(crate) fn audited(&self, report: &Report) -> AuditEntry {
        let into = match &self.what {
            What::Dump => None,
            What::Rows(rows) => Some(rows.table.as_str()),
        };
        let detail = json!({ "table": into, "done": report.done, "failed": report.failed });
        AuditEntry::new(self.who.clone(), "imported", detail)
    }
}

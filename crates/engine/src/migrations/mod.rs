//! Migrations: SQL in numbered files that brings a database from one shape to the next, each in one transaction.
//!
//! | file | |
//! |---|---|
//! | [`file`], [`statement`], [`policy`] | what a file says: its number, the way up and the way back, statement by statement |
//! | [`kept`] | what has been applied: `_tide_migrations` |
//! | [`plan`] | which are to be applied or undone |
//! | [`run`] | one script, on one connection |
//! | [`task`] | what the writer does of it, in one transaction |
//! | [`shape`], [`replay`], [`difference`], [`rebuild`] | the migration that makes one database's schema another's |
//!
//! Where the files are is the server's affair. The writer is the lock between two who migrate at the same time: each step looks, within
//! its transaction, whether it is still the next.

pub mod difference;
pub mod file;
pub mod kept;
pub mod plan;
pub mod policy;
pub mod rebuild;
pub mod replay;
pub mod run;
pub mod shape;
pub mod statement;
pub mod task;

pub use file::Migration;
pub use kept::Applied;
pub use shape::Shape;

use crate::error::{Error, Result};
use serde_json::{Value as Json, json};
use task::{Done, Step};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
    /// Noted as applied without being run: the database has it already.
    Mark,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Mark => "mark",
        }
    }
}

/// What somebody wants done.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub migrations: Vec<Migration>,
    pub way: Way,
    /// Up: the last one that is applied. Down: the last one that stays; without it only the last is undone.
    pub to: Option<i64>,
    /// All of it in one transaction, which is undone.
    pub dry_run: bool,
    /// For the record and the audit log.
    pub who: String,
}

impl Wanted {
    pub fn new(migrations: Vec<Migration>, way: Way, who: impl Into<String>) -> Self {
        Self { migrations, way, to: None, dry_run: false, who: who.into() }
    }

    /// The steps there are, with the numbers of those that need none.
    pub(crate) fn steps(&self, applied: &[Applied]) -> Result<(Vec<Step>, Vec<i64>)> {
        let files = plan::sorted(self.migrations.clone())?;
        match self.way {
            Way::Up => {
                let (wanted, passed_over) = plan::up(&files, applied, self.to)?;
                Ok((wanted.into_iter().map(Step::Up).collect(), passed_over))
            }
            Way::Mark => {
                let (wanted, passed_over) = plan::up(&files, applied, self.to)?;
                Ok((wanted.into_iter().map(Step::Mark).collect(), passed_over))
            }
            Way::Down => {
                let wanted = plan::down(&files, applied, self.to)?;
                Ok((wanted.into_iter().map(Step::Down).collect(), Vec::new()))
            }
        }
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub way: Way,
    pub dry_run: bool,
    pub done: Vec<Done>,
    /// Numbers of those that were applied already.
    pub passed_over: Vec<i64>,
}

impl Report {
    pub fn to_json(&self) -> Json {
        json!({
            "direction": self.way.name(), "dry_run": self.dry_run,
            "done": self.done.iter().map(Done::to_json).collect::<Vec<_>>(), "passed_over": self.passed_over,
        })
    }

    /// The failure of the step that was next, with what stays of those before.
    pub(crate) fn ended_by(&self, error: Error) -> Error {
        let labels: Vec<&str> = self.done.iter().map(|done| done.label.as_str()).collect();
        let done = if self.way == Way::Down { "Undone" } else { "Applied" };
        let before = match labels[..] {
            _ if self.dry_run => "It was a rehearsal: nothing was kept.".to_owned(),
            [] => "Nothing of it was kept.".to_owned(),
            _ => format!("Nothing of it was kept. {done} before it: {}.", labels.join(", ")),
        };
        let end = if error.message.ends_with(['.', '?']) { "" } else { "." };
        Error { message: format!("{}{end} {before}", error.message), ..error }
    }
}

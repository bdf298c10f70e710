//! What the writer does of migrations in one transaction: one step, with its record and its entry in the audit log; or all steps of a
//! rehearsal, which is undone.

use super::file::Migration;
use super::kept::{self, Moment};
use super::plan::{self, Next, Undo};
use super::run::Stage;
use super::statement::Deed;
use crate::error::{Error, Result};
use crate::logs::AuditEntry;
use crate::logs::audit;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

#[derive(Clone, Debug)]
pub enum Step {
    Up(Migration),
    Down(Undo),
    Mark(Migration),
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    pub number: i64,
    pub name: String,
    pub label: String,
    pub statements: usize,
}

impl Done {
    pub fn to_json(&self) -> Json {
        json!({ "number": self.number, "name": self.name, "statements": self.statements })
    }
}

/// Steps for one transaction.
#[derive(Clone, Debug)]
pub struct Task {
    pub steps: Vec<Step>,
    /// They are undone, whatever comes of them.
    pub dry_run: bool,
    pub who: String,
}

/// What came of a task.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub done: Vec<Done>,
    /// Somebody else has taken these steps meanwhile.
    pub passed_over: Vec<i64>,
}

impl Step {
    fn script(&self) -> Option<&super::file::Script> {
        match self {
            Self::Up(migration) => Some(&migration.up),
            Self::Down(undo) => Some(&undo.down),
            Self::Mark(_) => None,
        }
    }

    fn ignores_references(&self) -> bool {
        let statements = self.script().map(|script| script.statements().unwrap_or_default()).unwrap_or_default();
        statements.first().is_some_and(|first| first.deed == Deed::IgnoreReferences)
    }

    /// Takes the step if it is still the next one.
    fn take(&self, stage: &mut Stage<'_>, moment: Moment<'_>) -> Result<Option<Done>> {
        let applied = kept::list(&stage.sqlite.own)?;
        let (number, name, label, what) = match self {
            Self::Up(file) | Self::Mark(file) => {
                if plan::next(file, &applied)? == Next::PassOver {
                    return Ok(None);
                }
                let what = if matches!(self, Self::Up(_)) { "migration applied" } else { "migration noted" };
                (file.number, &file.name, &file.label, what)
            }
            Self::Down(undo) => {
                let Some(done) = applied.iter().find(|done| done.number == undo.number) else { return Ok(None) };
                if plan::newest(&applied) != undo.number || done.checksum != undo.checksum {
                    return Err(Error::conflict(
                        "Somebody else has applied migrations meanwhile. Look at their status.",
                    ));
                }
                (undo.number, &undo.name, &undo.label, "migration undone")
            }
        };
        let statements = self.script().map_or(Ok(0), |script| stage.run(label, script))?;
        match self {
            Self::Up(file) | Self::Mark(file) => kept::keep(&stage.sqlite.own, file, moment)?,
            Self::Down(_) => kept::forget(&stage.sqlite.own, number)?,
        }
        let entry = AuditEntry::new(moment.who, what, json!({ "number": number, "name": name }));
        audit::write(&stage.sqlite.own, &entry, moment.time_ms)?;
        Ok(Some(Done { number, name: name.clone(), label: label.clone(), statements }))
    }

    fn number(&self) -> i64 {
        match self {
            Self::Up(file) | Self::Mark(file) => file.number,
            Self::Down(undo) => undo.number,
        }
    }
}

impl Task {
    /// SQLite can be told so only outside of a transaction. In a rehearsal of several, one is enough: what references then would have
    /// done by themselves is not seen, but each step is judged as it will be.
    pub fn ignores_references(&self) -> bool {
        self.steps.iter().any(Step::ignores_references)
    }

    /// Gives the outcome's JSON.
    ///
    /// # Errors
    /// That of the first step that fails.
    pub fn run(&self, mut stage: Stage<'_>, time_ms: i64, revision: i64) -> Result<Vec<u8>> {
        let moment = Moment { time_ms, revision, who: &self.who };
        let mut outcome = Outcome::default();
        for step in &self.steps {
            match step.take(&mut stage, moment)? {
                Some(done) => outcome.done.push(done),
                None => outcome.passed_over.push(step.number()),
            }
        }
        serde_json::to_vec(&outcome).map_err(|error| Error::internal("no outcome").caused_by(error))
    }
}

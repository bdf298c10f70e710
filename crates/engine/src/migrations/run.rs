//! A script of a migration, run on one connection within the transaction of whoever calls: as the administrator's SQL is, by the same gate,
//! and what Tidebase keeps besides.

use super::file::Script;
use super::policy::Rule;
use super::statement::{Deed, Statement};
use crate::access::policy::{self as policies, PolicyWrite};
use crate::documents;
use crate::error::{Error, Result};
use crate::import::loader;
use crate::keys;
use crate::sqlite::Sqlite;
use crate::sqlite::budget::Cancel;
use crate::sqlite::exclude::quoted;
use crate::sqlite::gate::Mode;
use crate::sqlite::schema::Schema;
use crate::storage::execute;
use std::time::{Duration, Instant};

/// Where it is run.
pub struct Stage<'a> {
    pub sqlite: &'a mut Sqlite,
    pub cancel: Cancel,
    pub until: Instant,
}

impl Stage<'_> {
    /// Runs all of it; gives how many statements there were. `label` is what messages call it.
    ///
    /// # Errors
    /// The first failure, with file, line and statement.
    pub fn run(&mut self, label: &str, script: &Script) -> Result<usize> {
        let statements = script.statements().map_err(|error| error.led_by(label))?;
        let mut ignores_references = false;
        for statement in &statements {
            ignores_references |= statement.deed == Deed::IgnoreReferences;
            self.deed(statement).map_err(|error| told_at(label, statement, error))?;
        }
        let time = self.time_left()?;
        let judged = self.sqlite.bounded(time, Some(self.cancel.clone()), Mode::Open, |sqlite| {
            loader::check_references(sqlite, ignores_references)
        });
        judged.map_err(|error| Error { message: format!("{label}: {}", error.message), ..error })?;
        Ok(statements.len())
    }

    fn deed(&mut self, statement: &Statement<'_>) -> Result<()> {
        match &statement.deed {
            Deed::Run => self.sql(statement.sql),
            Deed::Rule(rule) => self.rule(rule),
            Deed::MakeCollection { name, may_be_there } => self.make_collection(name, *may_be_there),
            Deed::DropCollection(name) => self.drop_collection(name),
            Deed::IgnoreReferences | Deed::FollowReferences => Ok(()),
        }
    }

    fn time_left(&self) -> Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::timeout("The migration took longer than it may (migration_time_max)."));
        }
        Ok(left)
    }

    fn sql(&mut self, sql: &str) -> Result<()> {
        let time = self.time_left()?;
        let sql = execute::expanded(self.sqlite, sql, None)?;
        self.sqlite.bounded(time, Some(self.cancel.clone()), Mode::Caller, |sqlite| {
            let Some(mut statement) = sqlite.prepare(&sql, Mode::Caller)? else { return Ok(()) };
            if statement.parameter_count() > 0 {
                return Err(Error::invalid("The statement has parameters, and there are no values for them."));
            }
            while statement.step()? {}
            Ok(())
        })?;
        if self.sqlite.is_autocommit() {
            return Err(Error::conflict("The statement ended the whole transaction (ROLLBACK)."));
        }
        Ok(())
    }

    /// Policies are checked against the schema as the statements before have left it.
    fn rule(&mut self, rule: &Rule) -> Result<()> {
        let known = policies::load(&self.sqlite.own)?;
        match rule {
            Rule::Create { policy, replaces } => {
                if !replaces && known.iter().any(|its| its.name == policy.name) {
                    return Err(Error::conflict(format!(
                        "There is a policy {} already. CREATE OR REPLACE POLICY takes its place.",
                        policy.name
                    )));
                }
                let mut schema = Schema::load(&self.sqlite.own)?;
                if policy.table.eq_ignore_ascii_case(keys::TABLE) && keys::presence(&schema) == keys::Presence::Absent {
                    keys::make(&self.sqlite.own)?;
                    schema = Schema::load(&self.sqlite.own)?;
                }
                policies::run(self.sqlite, &schema, &PolicyWrite::Keep(policy.clone())).map(|_| ())
            }
            Rule::Drop { name, table, may_be_missing } => {
                let found = known.iter().find(|its| its.name == *name);
                if found.is_none() && *may_be_missing {
                    return Ok(());
                }
                let is_of = |its: &str| table.as_ref().is_none_or(|table| table.eq_ignore_ascii_case(its));
                if let Some(other) = found.filter(|found| !is_of(&found.table)) {
                    return Err(Error::not_found(format!("The policy {name} is one on {}.", other.table)));
                }
                let schema = Schema::default();
                policies::run(self.sqlite, &schema, &PolicyWrite::Drop(name.clone())).map(|_| ())
            }
        }
    }

    /// A new collection, or one of a table that has the columns of one.
    fn make_collection(&mut self, name: &str, may_be_there: bool) -> Result<()> {
        let name = documents::path::pattern(name)?;
        let schema = Schema::load(&self.sqlite.own)?;
        match documents::presence(&schema, name) {
            documents::Presence::Absent => documents::make(&self.sqlite.own, name),
            documents::Presence::Collection if may_be_there => Ok(()),
            documents::Presence::Collection => Err(Error::conflict(format!("There is a collection {name} already."))),
            documents::Presence::Foreign => keys::without_triggers(&self.sqlite.own, |own| documents::adopt(own, name)),
        }
    }

    /// Its table is dropped as SQL that is sent would, but for the trigger that makes it a collection.
    fn drop_collection(&mut self, name: &str) -> Result<()> {
        let schema = Schema::load(&self.sqlite.own)?;
        if documents::presence(&schema, name) != documents::Presence::Collection {
            return Err(Error::not_found(format!("There is no collection {name}.")));
        }
        let trigger = quoted(&format!("{}{name}", documents::TRIGGER));
        self.sqlite.own.execute_batch(&format!("DROP TRIGGER {trigger}"))?;
        self.sql(&format!("DROP TABLE {}", quoted(name)))
    }
}

fn told_at(label: &str, statement: &Statement<'_>, error: Error) -> Error {
    let message = format!("{label}, line {}, \"{}\": {}", statement.line, statement.shown(), error.message);
    Error { message, ..error }
}

//! Another database in which the caller sees the same rows, and others are hidden: whatever it writes, it must be told the
//! same. Needs no prediction.
//!
//! Where a constraint speaks of hidden rows, as it does in every database, answers may differ. Policies ask for nothing but
//! the row here, so that hidden rows decide nothing by themselves; and there are no triggers.

use super::answers::read;
use super::rules::Rules;
use super::write::{Deed, Write};
use crate::world::schema::Schema;
use anyhow::{Result, bail};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tidebase_engine::{Answer, Engine, Error, Format, Options, Principal, SqlRequest};

pub struct Twin {
    pub engine: Arc<Engine>,
    plain: Connection,
    /// Goes with it.
    _home: TempDir,
}

impl Twin {
    /// Of the database in that file.
    pub fn new(home: TempDir, of: &Path, uid: &str) -> Result<Self> {
        let path = home.path().join("twin.db");
        let engine = Engine::open(Options::new(&path))?;
        let plain = Connection::open(&path)?;
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
        let uid = uid.to_owned();
        plain.create_scalar_function("auth_uid", 0, flags, move |_| Ok(uid.clone()))?;
        plain.create_scalar_function("auth_role", 0, flags, |_| Ok("user"))?;
        plain.execute_batch("PRAGMA foreign_keys = OFF")?;
        plain.execute("ATTACH ?1 AS other", [of.to_string_lossy()])?;
        Ok(Self { engine, plain, _home: home })
    }

    /// The rows that are seen become those of the other database.
    pub fn follow(&self, schema: &Schema, rules: &Rules) -> Result<()> {
        self.plain.execute_batch("BEGIN IMMEDIATE")?;
        for table in &schema.tables {
            let Some(seen) = rules.seen(table) else { continue };
            let (name, columns) = (&table.name, table.columns.iter().filter(|column| !column.is_generated));
            let mut columns: Vec<&str> = columns.map(|column| &*column.name).collect();
            if table.has_rowid && !table.is_integer_key {
                columns.push("_rowid_");
            }
            let columns = columns.join(", ");
            self.plain.execute_batch(&format!(
                "DELETE FROM main.{name} WHERE {seen};
                 INSERT OR REPLACE INTO main.{name} ({columns}) SELECT {columns} FROM other.{name} WHERE {seen};"
            ))?;
        }
        Ok(self.plain.execute_batch("COMMIT")?)
    }

    /// Says the same, and compares what is told. `true` if it could be compared.
    pub async fn compare(
        &self,
        caller: &Principal,
        write: &Write,
        sql: &str,
        got: &Result<Answer, Error>,
    ) -> Result<bool> {
        let request = SqlRequest {
            principal: caller.clone(),
            format: Format::Raw,
            ..SqlRequest::query(sql, write.params.clone())
        };
        let (got, twin) = (told(got)?, told(&self.engine.query(request).await)?);
        // An AUTOINCREMENT key that has reached the last number is one, too; SQLite calls it a full disk.
        let constrains = |told: &Result<_, String>| {
            let speaks = |words: &String| words.contains("constraint failed") || words.contains("AUTOINCREMENT");
            told.as_ref().is_err_and(speaks)
        };
        let passes_over = match &write.deed {
            Deed::Insert { conflict, .. } => conflict.is_some() || write.how.contains("IGNORE"),
            _ => write.how.contains("IGNORE"),
        };
        if constrains(&got) || constrains(&twin) || passes_over {
            return Ok(false);
        }
        // SQLite may choose a key that no hidden row has.
        let is_same = match (&got, &twin) {
            (Ok(_), Ok(_)) if matches!(write.deed, Deed::Insert { .. }) => true,
            _ => got == twin,
        };
        if !is_same {
            bail!("with other hidden rows it is told {twin:?} and not {got:?}");
        }
        Ok(true)
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.engine.close();
    }
}

fn told(answer: &Result<Answer, Error>) -> Result<Result<Vec<String>, String>> {
    Ok(match answer {
        Ok(answer) => Ok(read(&answer.body)?),
        Err(error) => Err(format!("{}: {}", error.code.name(), error.message)),
    })
}

//! One row, written by its key: what a client did while it was away, as the mutations of `/ws` say it.

use super::address::{missing, no_key};
use super::write::{self, Plan, Tells};
use super::{blame, body, request};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidebase_engine::tables::Table;
use tidebase_engine::{Answer, Engine, Error, Format, Principal, Result, SqlRequest, Value};

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    Insert,
    /// Into the row that has the key already, if there is one.
    Upsert,
    Update,
    Delete,
}

/// A row patch that can be run, and judged when it has.
pub struct Patch {
    table: Arc<Table>,
    plan: Plan,
}

impl Patch {
    /// `key` is an object of the key's columns, `values` one of the columns to be set.
    ///
    /// # Errors
    /// As the REST face has them, for the same rows.
    pub fn understood(
        engine: &Engine,
        principal: &Principal,
        name: &str,
        op: Op,
        key: Option<&RawValue>,
        values: Option<&RawValue>,
    ) -> Result<Self> {
        let tables = engine.tables(principal)?;
        let table = Arc::clone(tables.get(name).ok_or_else(|| missing(name, principal))?);
        let has_key = matches!(op, Op::Update | Op::Delete);
        if has_key != key.is_some() || (op == Op::Delete) == values.is_some() {
            return Err(Error::invalid(
                "insert and upsert take \"values\", update \"key\" and \"values\", delete a \"key\".",
            ));
        }
        let id = key.map(|key| id(&table, key)).transpose()?;
        let values = values.map_or(&[][..], |values| values.get().as_bytes());
        if values.first() == Some(&b'[') {
            return Err(Error::invalid("\"values\" is an object: a mutation writes one row."));
        }
        let limits = engine.limits();
        let plan = match op {
            Op::Insert => write::create(&table, values, &[], limits, Tells::Nothing)?,
            Op::Upsert => {
                write::create(&table, values, &[("on_conflict".into(), names(&table)?)], limits, Tells::Nothing)?
            }
            Op::Update => write::change(&table, id, values, &[], Tells::Nothing)?,
            Op::Delete => write::remove(&table, id, &[])?,
        };
        Ok(Self { table, plan })
    }

    pub fn request(&self, principal: &Principal) -> SqlRequest {
        request(principal, self.plan.statements.clone(), Format::Raw)
    }

    /// What came of it.
    pub async fn judge(&self, engine: &Engine, principal: &Principal, done: Result<Answer>) -> Result<Answer> {
        match done {
            Ok(answer) => self.plan.check(&self.table, &answer).map(|()| answer),
            Err(error) => Err(blame::blamed(engine, principal, &self.table, &self.plan, error).await),
        }
    }
}

fn names(table: &Table) -> Result<String> {
    let names: Vec<&str> = table.key.iter().map(|&column| &*table.columns[column].name).collect();
    if names.is_empty() { Err(no_key(table)) } else { Ok(names.join(",")) }
}

/// The values of the key's columns, in the key's order.
fn id(table: &Table, key: &RawValue) -> Result<Vec<Value>> {
    let (mut rows, is_array) = body::rows(table, key.get().as_bytes())?;
    let mut row = rows.pop().filter(|_| !is_array).unwrap_or_default();
    let mut take = |column: &usize| Some(row.remove(row.iter().position(|(known, _)| known == column)?).1);
    let id: Option<Vec<Value>> = table.key.iter().map(&mut take).collect();
    match id {
        _ if table.key.is_empty() => Err(no_key(table)),
        Some(id) if row.is_empty() => Ok(id),
        _ => Err(Error::invalid(format!("\"key\" is an object of the key's columns: {}.", names(table)?))),
    }
}

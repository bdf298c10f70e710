//! What there is and what is open: tables, policies, registered statements, JSON Schemas.

use super::Engine;
use crate::access::policy::PolicyWrite;
use crate::access::statements::{self, Registered, Rejected};
use crate::access::{Policy, Principal};
use crate::error::{Error, Result};
use crate::logs::AuditEntry;
use crate::request::Answer;
use crate::sqlite::gate::Mode;
use crate::storage::rehearse::Rehearsal;
use crate::storage::work::Work;
use crate::value::Value;
use crate::{schemas, tables};
use std::sync::Arc;

impl Engine {
    /// The tables as this principal may know of them, as they are now.
    pub fn tables(&self, principal: &Principal) -> Result<Arc<tables::Tables>> {
        let access = self.shared.access();
        let of = principal.role().map(|role| (role, &*access));
        self.readers.inline(|sqlite| self.described.current(&sqlite.own, of))
    }

    /// What a row of this table gets in columns that are not named: their defaults, found for this principal now.
    pub fn defaults(&self, principal: &Principal, columns: &[&tables::Column]) -> Result<Vec<Value>> {
        let time = self.shared.limits.inline_read_time_max;
        self.readers.inline(|sqlite| {
            sqlite.speaking_for(principal, |sqlite| {
                sqlite.bounded(time, None, Mode::Open, |sqlite| tables::load::defaults(&sqlite.own, columns))
            })
        })
    }

    /// The policies in force, by name.
    pub fn policies(&self) -> Vec<Policy> {
        self.shared.access().policies.clone()
    }

    /// Keeps a policy in place of one of its name, or drops one. In force, also for what is open, when this is answered.
    pub async fn write_policy(&self, write: PolicyWrite) -> Result<Answer> {
        self.write_policy_by("admin", write).await
    }

    /// The same, with who did it for the audit log.
    pub async fn write_policy_by(&self, who: &str, write: PolicyWrite) -> Result<Answer> {
        self.submit(Work::Policy { write: Box::new(write), who: who.into() }, None)?.wait().await
    }

    /// Tries a statement as somebody, tells what it would do and which policy says no, and undoes it.
    ///
    /// # Errors
    /// `invalid` for more than one statement; that it is refused is an answer.
    pub async fn rehearse(&self, rehearsal: Rehearsal) -> Result<Answer> {
        self.submit(Work::Rehearse(Box::new(rehearsal)), None)?.wait().await
    }

    /// The statements that callers may run, where they may not run others.
    pub fn statements(&self) -> Result<Vec<Registered>> {
        self.readers.inline(|sqlite| statements::list(&sqlite.own))
    }

    /// The ones that were refused since the start, newest first.
    pub fn rejected_statements(&self) -> Vec<Rejected> {
        self.shared.statements.rejected()
    }

    /// Puts a statement on the list. One that is there already is answered as it is.
    ///
    /// # Errors
    /// `invalid`, in SQLite's words, for what is no statement of a caller's; `too_many` past the limit.
    pub async fn register_statement(&self, sql: &str, name: Option<String>, who: &str) -> Result<Registered> {
        if name.as_ref().is_some_and(|name| name.is_empty() || name.len() > statements::NAME_BYTES_MAX) {
            return Err(Error::invalid(format!(
                "A statement's \"name\" has 1 to {} bytes.",
                statements::NAME_BYTES_MAX
            )));
        }
        let sql = self.readers.inline(|sqlite| statements::check_form(sqlite, sql))?;
        let new = Registered::new(sql, name);
        if let Some(known) = self.statements()?.into_iter().find(|known| known.id == new.id) {
            return Ok(known);
        }
        if self.shared.statements.count() >= statements::STATEMENTS_MAX {
            return Err(Error::too_many(format!(
                "There are {} statements, all there may be. Remove some.",
                statements::STATEMENTS_MAX
            )));
        }
        let entry = AuditEntry::new(who, "statement registered", serde_json::json!({ "id": new.id, "name": new.name }));
        self.change_system_audited(vec![new.insertion()], entry).await?;
        self.shared.statements.add(sql);
        Ok(new)
    }

    /// Takes one from the list.
    ///
    /// # Errors
    /// `not_found` if there is none with this id.
    pub async fn remove_statement(&self, id: &str, who: &str) -> Result<()> {
        let missing = || Error::not_found(format!("There is no statement {id}."));
        let known = self.statements()?.into_iter().find(|known| known.id == id).ok_or_else(missing)?;
        let entry =
            AuditEntry::new(who, "statement removed", serde_json::json!({ "id": known.id, "name": known.name }));
        self.shared.statements.remove(&known.sql);
        self.change_system_audited(vec![known.removal()], entry).await.map(|_| ())
    }

    /// The JSON Schemas of columns: table, column and schema, by name.
    pub fn schemas(&self) -> Result<Vec<(String, String, String)>> {
        Ok(schemas::list(self.ask_system(schemas::LIST, Vec::new())?))
    }

    /// Keeps the JSON Schema of a column, or drops it. What is stored already must fit.
    pub async fn write_schema(&self, write: schemas::SchemaWrite, who: &str) -> Result<Answer> {
        self.submit(Work::Schema { write, who: who.to_owned() }, None)?.wait().await
    }
}

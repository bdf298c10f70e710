//! The engine's own tables, by statements of this program.

use super::Engine;
use crate::error::{Error, Result};
use crate::logs::AuditEntry;
use crate::storage::system::{self, SystemStatement};
use crate::storage::work::Work;
use crate::value::Value;

impl Engine {
    /// Rows of the engine's own tables, by a statement of this program.
    pub fn ask_system(&self, sql: &'static str, values: Vec<Value>) -> Result<Vec<Vec<Value>>> {
        let statement = SystemStatement { sql, values };
        self.readers.inline(|sqlite| system::ask(&sqlite.own, &statement))
    }

    /// Changes the engine's own tables by statements of this program; durable, and of no revision, when it is done. Gives
    /// how many rows the last one changed.
    pub async fn change_system(&self, statements: Vec<SystemStatement>) -> Result<usize> {
        self.work_system(statements, None).await
    }

    /// The same, with an entry of the audit log in the same transaction, if the last statement changes something.
    pub async fn change_system_audited(&self, statements: Vec<SystemStatement>, entry: AuditEntry) -> Result<usize> {
        self.work_system(statements, Some(entry)).await
    }

    /// Notes in the audit log what changes nothing else: a sign-in, or that somebody was not let in. Durable when it is
    /// done.
    pub async fn audit(&self, entry: AuditEntry) -> Result<()> {
        self.work_system(Vec::new(), Some(entry)).await.map(|_| ())
    }

    async fn work_system(&self, statements: Vec<SystemStatement>, audit: Option<AuditEntry>) -> Result<usize> {
        let answer = self.submit(Work::System { statements, audit }, None)?.wait().await?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| Error::internal("a change answered oddly").caused_by(error))
    }

    /// A setting of the file, see [`storage::system`].
    pub fn setting(&self, name: &'static str) -> Result<Option<String>> {
        self.readers.inline(|sqlite| system::text(&sqlite.own, name))
    }

    pub async fn set_setting(&self, name: &'static str, value: Option<String>) -> Result<()> {
        let name = Value::text(name);
        let statement = match value {
            Some(value) => SystemStatement { sql: system::SET, values: vec![name, Value::text(value)] },
            None => SystemStatement { sql: "DELETE FROM _tide_meta WHERE name = ?1", values: vec![name] },
        };
        self.change_system(vec![statement]).await.map(|_| ())
    }
}

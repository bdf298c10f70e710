//! The authorizer: what a caller's SQL may do at all, and what it reads.
//!
//! SQLite calls it for every table, column, function and action while it compiles a statement, through views, CTEs,
//! triggers and sub-queries. Whatever is not known here is refused. Our own statements run with the gate open.

use super::tokens::{Token, tokens};
use crate::access::translate::Translated;
use crate::error::{Error, Result};
use crate::storage::system::SEALED;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Our own statements.
    Open = 0,
    /// A caller's statement.
    Caller = 1,
    /// A caller's statement that is to stay live; what it reads is written down.
    Live = 2,
    /// Our own, but what views and triggers of the schema do in it is bound as any SQL that is sent.
    System = 3,
}

/// What a statement reads: names in lower case. A table with no columns is read for its rows' existence only.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    pub tables: BTreeMap<String, BTreeSet<String>>,
    pub functions: BTreeSet<String>,
    /// Something was read by a view or a trigger rather than by the statement's own text.
    pub through_view: bool,
}

/// One connection's gate, shared with its authorizer callback.
#[derive(Debug, Default)]
pub struct Gate {
    mode: AtomicU8,
    reads: Mutex<Reads>,
    refusal: Mutex<Option<String>>,
    /// The statements are of a caller whom policies bind.
    is_bound: AtomicBool,
    /// What that caller's statement may touch; without one, nothing.
    passage: Mutex<Option<Arc<Translated>>>,
}

impl Gate {
    /// Sets the mode and gives the one before, to be set again.
    pub fn swap(&self, mode: Mode) -> Mode {
        match self.mode.swap(mode as u8, Ordering::Relaxed) {
            0 => Mode::Open,
            1 => Mode::Caller,
            2 => Mode::Live,
            _ => Mode::System,
        }
    }

    /// Are the statements those of a caller whom policies bind? Whoever was let pass before is not any more.
    pub fn bind(&self, is_bound: bool) {
        self.is_bound.store(is_bound, Ordering::Relaxed);
        self.pass(None);
    }

    pub fn is_bound(&self) -> bool {
        self.is_bound.load(Ordering::Relaxed)
    }

    pub fn pass(&self, translated: Option<Arc<Translated>>) {
        *self.passage.lock().unwrap_or_else(PoisonError::into_inner) = translated;
    }

    pub fn take_reads(&self) -> Reads {
        std::mem::take(&mut self.reads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the last statement was refused, in words for its author.
    pub fn take_refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn callback(self: Arc<Self>) -> impl for<'r> FnMut(AuthContext<'r>) -> Authorization + Send + 'static {
        move |context| {
            let mode = self.mode.load(Ordering::Relaxed);
            if mode == Mode::Open as u8 || mode == Mode::System as u8 && context.accessor.is_none() {
                return Authorization::Allow;
            }
            if mode == Mode::Live as u8 {
                self.note(&context);
            }
            let is_temporary = context.database_name.is_some_and(|name| name.eq_ignore_ascii_case("temp"));
            let refused = if let Some(sealed) = sealed(&context.action) {
                Some(format!("{sealed} holds secrets; it is shown to nobody."))
            } else if mode == Mode::System as u8 {
                refusal(&context.action)
            } else if self.is_bound() {
                match &*self.passage.lock().unwrap_or_else(PoisonError::into_inner) {
                    Some(translated) => translated.passage.refusal(&context, &translated.sql),
                    None => Some("That statement is not available.".into()),
                }
            } else if is_temporary && !is_own_schema(&context.action) {
                Some(TEMPORARY.into())
            } else {
                refusal(&context.action)
            };
            match refused {
                None => Authorization::Allow,
                Some(reason) => {
                    *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                    Authorization::Deny
                }
            }
        }
    }

    fn note(&self, context: &AuthContext<'_>) {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        match context.action {
            AuthAction::Read { table_name, column_name } => {
                let columns = reads.tables.entry(table_name.to_ascii_lowercase()).or_default();
                if !column_name.is_empty() {
                    columns.insert(column_name.to_ascii_lowercase());
                }
                reads.through_view |= context.accessor.is_some();
            }
            AuthAction::Function { function_name } => {
                reads.functions.insert(function_name.to_ascii_lowercase());
            }
            _ => {}
        }
    }
}

const TEMPORARY: &str = "Temporary objects are not available: connections are shared between requests.";

/// ALTER TABLE … RENAME looks for temporary objects that name what it renames; SQLite itself keeps callers from
/// writing to a schema table.
fn is_own_schema(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Read { table_name, .. } | AuthAction::Update { table_name, .. } => {
            ["sqlite_temp_master", "sqlite_temp_schema", "sqlite_master", "sqlite_schema"].contains(table_name)
        }
        _ => false,
    }
}

/// Names that belong to the engine: SQL may read them, never change them.
pub fn is_system(table: &str) -> bool {
    table.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("_tide"))
}

/// The table of secrets that would be read, also by a view or a trigger.
fn sealed(action: &AuthAction<'_>) -> Option<&'static str> {
    let AuthAction::Read { table_name, .. } = action else { return None };
    SEALED.into_iter().find(|sealed| table_name.eq_ignore_ascii_case(sealed))
}

/// Is it a table of secrets, which is shown to nobody?
pub fn is_sealed(table: &str) -> bool {
    SEALED.into_iter().any(|sealed| table.eq_ignore_ascii_case(sealed))
}

/// What the authorizer is not told: columns that USING and NATURAL join by. So the tables of secrets are not named at all.
pub fn refuse_sealed(sql: &str) -> Result<()> {
    let says = |name: &str| sql.as_bytes().windows(name.len()).any(|part| part.eq_ignore_ascii_case(name.as_bytes()));
    match SEALED.into_iter().find(|sealed| says(sealed)) {
        Some(sealed) => Err(Error::forbidden(format!("{sealed} holds secrets; it is shown to nobody."))),
        None => Ok(()),
    }
}

/// What the authorizer is not told: the new name of a table that is renamed.
pub fn refuse_new_name(sql: &str) -> Result<()> {
    let words: Vec<Token<'_>> = tokens(sql).take(16).collect();
    if !words.first().is_some_and(|first| first.is("alter")) {
        return Ok(());
    }
    let is_reserved = words.windows(3).any(|three| {
        three[0].is("rename") && three[1].is("to") && is_system(three[2].text.trim_matches(['"', '`', '[', ']', '\'']))
    });
    if is_reserved { Err(Error::forbidden("Names that begin with _tide are reserved for Tidebase.")) } else { Ok(()) }
}

fn refusal(action: &AuthAction<'_>) -> Option<String> {
    use AuthAction as A;
    let kept = |table: &str| {
        is_system(table).then(|| {
            format!(
                "{table} is kept by Tidebase: it can be read, not changed. Names that begin with _tide are reserved."
            )
        })
    };
    match *action {
        A::Select | A::Read { .. } | A::Recursive | A::Analyze { .. } | A::Reindex { .. } => None,
        A::Function { function_name } => ["load_extension", "fts3_tokenizer"]
            .iter()
            .any(|name| function_name.eq_ignore_ascii_case(name))
            .then(|| format!("The function {function_name} is not available.")),
        A::Insert { table_name }
        | A::Delete { table_name }
        | A::Update { table_name, .. }
        | A::CreateTable { table_name }
        | A::DropTable { table_name }
        | A::AlterTable { table_name, .. } => kept(table_name),
        A::CreateIndex { table_name, index_name } | A::DropIndex { table_name, index_name } => {
            kept(table_name).or_else(|| kept(index_name))
        }
        A::CreateTrigger { table_name, trigger_name } | A::DropTrigger { table_name, trigger_name } => {
            kept(table_name).or_else(|| kept(trigger_name))
        }
        A::CreateView { view_name } | A::DropView { view_name } => kept(view_name),
        A::CreateVtable { table_name, module_name } | A::DropVtable { table_name, module_name } => kept(table_name)
            .or_else(|| {
                (!["fts3", "fts4", "fts5", "rtree", "rtree_i32"].iter().any(|m| module_name.eq_ignore_ascii_case(m)))
                    .then(|| format!("Virtual tables of the kind {module_name} are not available; fts5 and rtree are."))
            }),
        A::Pragma { pragma_name, pragma_value } => pragma_refusal(pragma_name, pragma_value),
        A::Transaction { .. } | A::Savepoint { .. } => Some(
            "BEGIN, COMMIT, ROLLBACK and SAVEPOINT are not for requests: send several statements in one request, \
             or a \"transaction\", and they are one transaction."
                .into(),
        ),
        A::Attach { .. } | A::Detach { .. } => Some("ATTACH and DETACH are not available.".into()),
        A::CreateTempTable { .. }
        | A::CreateTempIndex { .. }
        | A::CreateTempTrigger { .. }
        | A::CreateTempView { .. }
        | A::DropTempTable { .. }
        | A::DropTempIndex { .. }
        | A::DropTempTrigger { .. }
        | A::DropTempView { .. } => Some(TEMPORARY.into()),
        _ => Some("That statement is not available.".into()),
    }
}

/// PRAGMAs that only tell something.
const TELLING: [&str; 27] = [
    "application_id",
    "collation_list",
    "compile_options",
    "data_version",
    "database_list",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "journal_mode",
    "module_list",
    "page_count",
    "page_size",
    "pragma_list",
    "quick_check",
    "schema_version",
    "synchronous",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];

fn pragma_refusal(name: &str, value: Option<&str>) -> Option<String> {
    let is = |known: &&str| name.eq_ignore_ascii_case(known);
    // A value is an argument for these, a setting for the others.
    let takes_argument = name.ends_with("_check") || name.ends_with("info") || name.ends_with("_list");
    let settable = ["user_version", "application_id", "defer_foreign_keys"].iter().any(is);
    let alone = ["optimize", "incremental_vacuum"].iter().any(is);
    if settable || alone || TELLING.iter().any(is) && (value.is_none() || takes_argument) {
        None
    } else if TELLING.iter().any(is) {
        Some(format!("PRAGMA {name} can be read here, not set."))
    } else {
        Some(format!("PRAGMA {name} is not available."))
    }
}

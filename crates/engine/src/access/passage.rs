//! What one statement of a caller may touch: SQLite asks for every table, column and function while it compiles.
//!
//! The second line behind [`super::translate`]: what that has overlooked, or was led astray with, is refused here.
//! Whatever is not known is refused.

use super::functions;
use super::sight::Sight;
use super::translate::named;
use crate::sqlite::tokens::tokens;
use rusqlite::hooks::{AuthAction, AuthContext};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What SQLite calls the rowid of a table without a column for it, under whatever name it is asked for. Names of columns are
/// in lower case here, so that one which is called the same is not taken for it.
pub const ROWID: &str = "ROWID";

/// Goes with a translated statement.
#[derive(Debug, Default)]
pub struct Passage {
    /// The views it reads: they must have been made on the connection that compiles it.
    pub sights: Vec<Sight>,
    /// Their names.
    pub names: HashSet<String>,
    /// Names that the statement itself gives to its parts, in lower case.
    pub parts: HashSet<String>,
    pub target: Option<Target>,
    /// Tables that stand behind those views, in lower case.
    pub behind: HashSet<String>,
    /// Views and triggers of the schema, in lower case: what they do is the administrator's doing.
    pub trusted: Arc<HashSet<String>>,
}

/// The table a statement writes to.
#[derive(Debug)]
pub struct Target {
    /// In lower case.
    pub table: String,
    pub inserts: bool,
    pub deletes: bool,
    /// The columns it sets, in lower case.
    pub sets: HashSet<String>,
    /// The columns it may read, in lower case, and perhaps [`ROWID`]; none is all.
    pub reads: Option<HashSet<String>>,
    /// Tables that foreign keys tie to it.
    pub tied: Arc<HashMap<String, Tied>>,
}

/// What keeping foreign keys in order may do with a table.
#[derive(Clone, Debug, Default)]
pub struct Tied {
    /// The columns of keys, in lower case.
    pub columns: HashSet<String>,
    /// Its rows may go or change with those of the table they refer to.
    pub follows: bool,
}

impl Passage {
    /// Why the statement may not; `None` if it may. A name that does not stand in it is not told: it may be that of a table behind a
    /// view.
    pub fn refusal(&self, context: &AuthContext<'_>, statement: &str) -> Option<String> {
        use AuthAction as A;
        let is_trusted = context.accessor.is_some_and(|accessor| self.is_trusted(accessor));
        let closed = |name: &str| {
            let is_said = tokens(statement).any(|token| named(&token).eq_ignore_ascii_case(name));
            if is_said { closed(name) } else { "It needs a table that is not open to you.".into() }
        };
        let is_temporary = context.database_name.is_some_and(|name| name.eq_ignore_ascii_case("temp"));
        match context.action {
            A::Select | A::Recursive => None,
            A::Function { function_name } => {
                let name = function_name.to_ascii_lowercase();
                let is_known = functions::is_allowed(&name) || name == super::admission::FUNCTION;
                let is_open = is_known || is_trusted && !["load_extension", "fts3_tokenizer"].contains(&&*name);
                (!is_open).then(|| functions::refusal(function_name))
            }
            A::Read { table_name, .. } if is_temporary => {
                (!self.names.contains(table_name)).then(|| closed(table_name))
            }
            A::Read { .. } if is_trusted => None,
            A::Read { table_name, column_name } => {
                let (table, column) = (table_name.to_ascii_lowercase(), column_name.to_ascii_lowercase());
                let is_open = self.may_read(&table, &column) || self.may_read_rowid(&table, column_name);
                (!is_open).then(|| closed(table_name))
            }
            A::Insert { table_name } | A::Delete { table_name } | A::Update { table_name, .. } => {
                if is_temporary || crate::sqlite::gate::is_system(table_name) {
                    return Some(closed(table_name));
                }
                let is_open = is_trusted || self.may_change(&context.action, &table_name.to_ascii_lowercase());
                (!is_open).then(|| closed(table_name))
            }
            _ => Some("That statement is not available.".into()),
        }
    }

    /// Is this, in whatever case, one of its views?
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn is_trusted(&self, accessor: &str) -> bool {
        self.names.contains(accessor) || self.trusted.contains(&accessor.to_ascii_lowercase())
    }

    fn may_read(&self, table: &str, column: &str) -> bool {
        // A part of the statement, or a view, of which no column is asked; or, where SQLite has merged a view with the
        // statement, what stands behind it.
        let stands_here = || self.parts.contains(table) || self.has(table) || self.behind.contains(table);
        if column.is_empty() && stands_here() {
            return true;
        }
        if functions::TABLES.contains(&table) {
            return true;
        }
        let Some(target) = &self.target else { return false };
        if table == target.table {
            return column.is_empty() || target.reads.as_ref().is_none_or(|reads| reads.contains(column));
        }
        target.tied.get(table).is_some_and(|tied| column.is_empty() || tied.columns.contains(column))
    }

    fn may_read_rowid(&self, table: &str, column_name: &str) -> bool {
        let reads = |target: &Target| target.reads.as_ref().is_none_or(|reads| reads.contains(ROWID));
        column_name == ROWID && self.target.as_ref().is_some_and(|target| target.table == table && reads(target))
    }

    fn may_change(&self, action: &AuthAction<'_>, table: &str) -> bool {
        let Some(target) = &self.target else { return false };
        let is_target = table == target.table;
        let follows = target.tied.get(table).is_some_and(|tied| tied.follows);
        match action {
            AuthAction::Insert { .. } => is_target && target.inserts,
            AuthAction::Delete { .. } => is_target && target.deletes || follows,
            AuthAction::Update { column_name, .. } => {
                let column = column_name.to_ascii_lowercase();
                is_target && target.sets.contains(&column)
                    || follows && target.tied.get(table).is_some_and(|tied| tied.columns.contains(&column))
            }
            _ => false,
        }
    }
}

/// The same words for what is closed and for what is not there.
pub fn closed(name: &str) -> String {
    format!("There is no table {name} that is open to you.")
}

//! What the policies of one table ask besides the row they judge: when that changes, what was open to a caller may be
//! closed, though nothing in the table itself has changed.

use super::policy::Policy;
use super::translate::named;
use crate::changes::change::{ChangeSet, Extent};
use crate::sqlite::schema::{Relation, Schema};
use crate::sqlite::tokens::tokens;
use std::collections::HashSet;

/// In doubt it is more than what is asked.
#[derive(Debug, Default)]
pub struct Reach {
    /// Names of tables in lower case.
    tables: HashSet<String>,
    /// What stands behind a view is not looked up.
    has_view: bool,
}

impl Reach {
    pub fn of<'a>(policies: impl Iterator<Item = &'a Policy>, schema: &Schema) -> Self {
        let mut reach = Self::default();
        let texts = policies.flat_map(|policy| [policy.using.as_deref(), policy.check.as_deref()]).flatten();
        for word in texts.flat_map(tokens).map(|token| named(&token).to_ascii_lowercase()) {
            match schema.get(&word) {
                None => {}
                Some(Relation::View) => reach.has_view = true,
                Some(_) => drop(reach.tables.insert(word)),
            }
        }
        reach
    }

    /// May an answer of these policies be another one after this?
    pub fn is_touched_by(&self, set: &ChangeSet) -> bool {
        let Extent::Rows(rows) = &set.extent else { return true };
        let is_asked = |table: &str| self.tables.contains(table) || self.tables.contains(&table.to_ascii_lowercase());
        self.has_view
            || !self.tables.is_empty()
                && (rows.shapes.iter().any(|shape| is_asked(&shape.table))
                    || rows.opaque.iter().any(|table| is_asked(table)))
    }
}

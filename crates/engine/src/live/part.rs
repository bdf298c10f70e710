//! Parts: a result falls into the rows of one key each, and a changed row leads to the keys whose rows it may change. Only
//! those are read again, by the same SELECT with the key as one more condition.
//!
//! The key is the primary key of one table of FROM, or the columns of GROUP BY. That the parts together are the result
//! needs nothing more than that each row shows the key's values; that a part read alone is what the whole query would
//! show of it needs a SELECT whose values do not depend on the order in which rows are read ([`super::ways`]).

use super::outline::Outline;
use super::rows::{self, Key};
use crate::changes::change::{Change, Shape};
use crate::sqlite::exclude::quoted;
use crate::sqlite::schema::{Affinity, Collation, Column, Table};
use crate::value::Value;
use std::collections::HashMap;

#[derive(Debug)]
pub struct Part {
    /// Lower case.
    pub table: Box<str>,
    /// The key: columns of the table by index and name.
    columns: Vec<(usize, Box<str>)>,
    /// Where the result shows them.
    pub shown: Vec<usize>,
    /// The query for one key, without ORDER BY and LIMIT. The key's values are its last parameters.
    pub sql: String,
    /// Rows are groups: a sum of floats depends on the order of adding.
    pub is_grouped: bool,
    /// The whole has a LIMIT.
    pub is_cut: bool,
}

/// The values of keys, by the text with which the keys of their rows begin.
pub type PartKeys = HashMap<Key, Box<[Value]>>;

/// Which parts of the results of a template may have changed.
#[derive(Clone, Debug)]
pub enum Parts {
    All,
    These(PartKeys),
}

impl Part {
    /// By columns of the table that the result shows, `shown` one for each of `columns`.
    pub fn of(
        outline: &Outline<'_>,
        table: &Table,
        columns: &[usize],
        shown: Vec<usize>,
        parameters: usize,
    ) -> Option<Self> {
        let member = outline.members.iter().find(|member| member.table.eq_ignore_ascii_case(&table.name))?;
        if member.is_left_joined || !columns.iter().all(|&column| is_exact(&table.columns[column])) {
            return None;
        }
        let condition = |(number, &column): (usize, &usize)| {
            format!("{}.{} IS ?{number}", member.alias, quoted(&table.columns[column].name))
        };
        let conditions: Vec<String> = (parameters + 1..).zip(columns).map(condition).collect();
        Some(Self {
            table: table.name.to_ascii_lowercase().into(),
            columns: columns.iter().map(|&column| (column, table.columns[column].name.clone())).collect(),
            shown,
            sql: outline.restricted(&conditions.join(" AND ")),
            is_grouped: outline.is_grouped(),
            is_cut: outline.count_of("limit") > 0,
        })
    }

    pub fn columns(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(|(column, _)| *column)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(_, name)| &**name)
    }

    /// Are the columns where they were when the template was analysed?
    pub fn fits(&self, shape: &Shape) -> bool {
        shape.has(self.columns.iter().map(|(index, name)| (*index, &**name)))
    }
}

/// Are two values of this column equal only if they are the same, but for floats?
pub fn is_exact(column: &Column) -> bool {
    !column.is_virtual && column.affinity != Affinity::Blob && column.collation == Some(Collation::Binary)
}

impl Parts {
    pub fn none() -> Self {
        Self::These(PartKeys::new())
    }

    /// Adds the keys of a changed row of the part's own table.
    pub fn add_change(&mut self, part: &Part, change: &Change) {
        for image in [change.old.as_deref(), change.new.as_deref()].into_iter().flatten() {
            self.add(part.columns().map(|column| image.get(column)));
        }
    }

    /// Adds the key of these values.
    pub fn add<'a>(&mut self, values: impl Iterator<Item = Option<&'a Value>>) {
        let Self::These(keys) = self else { return };
        // A float may equal an integer, or another float: `0.0` and `-0.0`.
        let exact = |value: Option<&Value>| value.filter(|value| !matches!(value, Value::Real(_))).cloned();
        match values.map(exact).collect::<Option<Box<[Value]>>>() {
            Some(values) => {
                let mut text = String::new();
                rows::write_key(&mut text, values.iter().map(Value::as_ref));
                keys.insert(text.into(), values);
            }
            None => *self = Self::All,
        }
    }

    pub fn add_all(&mut self) {
        *self = Self::All;
    }
}

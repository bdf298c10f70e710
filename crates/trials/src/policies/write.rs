//! A write of a caller's, in parts: so that the oracle can give the same parts to a database of its own.

use crate::world::schema::Schema;
use tidebase_engine::Params;
use tidebase_engine::access::Action;

/// Stands before the name of each table that is read: nothing for the engine, another database's name for the oracle.
pub const READ: char = '\u{1}';

#[derive(Clone, Debug, Default)]
pub struct Write {
    /// Index of the table that is written, called `x1` in the statement.
    pub table: usize,
    pub with: String,
    /// `OR …` or nothing.
    pub how: &'static str,
    pub deed: Deed,
    pub returning: Vec<String>,
    pub params: Params,
    /// Fails if it is tried on some row.
    pub is_armed: bool,
    /// A table that it asks and must not, as it is called in the refusal.
    pub closed: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Deed {
    Insert {
        columns: Option<Vec<String>>,
        /// VALUES or SELECT.
        source: String,
        is_ordered: bool,
        conflict: Option<Conflict>,
    },
    Update {
        sets: Vec<(String, String)>,
        is_list: bool,
        from: String,
        condition: String,
    },
    Delete {
        condition: String,
    },
}

impl Default for Deed {
    fn default() -> Self {
        Self::Delete { condition: String::new() }
    }
}

#[derive(Clone, Debug)]
pub struct Conflict {
    /// The columns in parentheses, or nothing.
    pub on: String,
    /// What is set; none is DO NOTHING.
    pub sets: Option<(String, String)>,
    pub condition: String,
}

/// As the engine is sent it.
pub fn plain(text: &str) -> String {
    text.replace(READ, "")
}

/// As it reads the rows of another database.
pub fn reading(text: &str, database: &str) -> String {
    text.replace(READ, &format!("{database}.")).replace("auth.uid()", "auth_uid()")
}

impl Write {
    pub fn action(&self) -> Action {
        match self.deed {
            Deed::Insert { .. } => Action::Insert,
            Deed::Update { .. } => Action::Update,
            Deed::Delete { .. } => Action::Delete,
        }
    }

    pub fn sql(&self, schema: &Schema) -> String {
        let name = &schema.tables[self.table].name;
        let how = self.how;
        let mut sql = match &self.deed {
            Deed::Insert { columns, source, conflict, .. } => {
                let columns = columns.as_ref().map_or(String::new(), |columns| format!(" ({})", columns.join(", ")));
                let conflict = conflict.as_ref().map_or(String::new(), |conflict| {
                    let condition = and(String::new(), &conflict.condition);
                    conflict.sql(&condition)
                });
                format!("INSERT {how}INTO {name} AS x1{columns} {source}{conflict}")
            }
            Deed::Update { from, condition, .. } => {
                let from = if from.is_empty() { String::new() } else { format!(" FROM {from}") };
                format!("UPDATE {how}{name} AS x1 SET {}{from}{}", self.sets(), and(String::new(), condition))
            }
            Deed::Delete { condition } => format!("DELETE FROM {name} AS x1{}", and(String::new(), condition)),
        };
        if !self.returning.is_empty() {
            sql.push_str(&format!(" RETURNING {}", self.returning.join(", ")));
        }
        plain(&format!("{}{sql}", self.with))
    }

    /// Behind SET.
    pub fn sets(&self) -> String {
        let Deed::Update { sets, is_list, .. } = &self.deed else { return String::new() };
        if *is_list {
            let (columns, values): (Vec<&str>, Vec<&str>) =
                sets.iter().map(|(column, value)| (&**column, &**value)).unzip();
            return format!("({}) = ({})", columns.join(", "), values.join(", "));
        }
        sets.iter().map(|(column, value)| format!("{column} = {value}")).collect::<Vec<_>>().join(", ")
    }

    /// The columns it sets.
    pub fn set_columns(&self) -> Vec<String> {
        match &self.deed {
            Deed::Update { sets, .. } => sets.iter().map(|(column, _)| column.clone()).collect(),
            Deed::Insert { conflict: Some(Conflict { sets: Some((column, _)), .. }), .. } => vec![column.clone()],
            _ => Vec::new(),
        }
    }

    /// Does it look at rows of these tables while it changes others, and not before?
    pub fn looks_at(&self, schema: &Schema, tables: &[usize]) -> bool {
        let mut late = self.returning.join(" ");
        match &self.deed {
            Deed::Update { .. } => late.push_str(&self.sets()),
            Deed::Insert { conflict: Some(conflict), .. } => {
                late.push_str(&conflict.condition);
                late.push_str(conflict.sets.as_ref().map_or("", |(_, value)| value));
            }
            _ => {}
        }
        tables.iter().any(|&table| late.contains(&format!("{READ}{} ", schema.tables[table].name)))
    }

    /// Texts that may hold parameters.
    pub fn parts(&mut self) -> Vec<&mut String> {
        let mut parts = vec![&mut self.with];
        match &mut self.deed {
            Deed::Insert { source, conflict, .. } => {
                parts.push(source);
                if let Some(conflict) = conflict {
                    parts.push(&mut conflict.condition);
                    parts.extend(conflict.sets.as_mut().map(|(_, value)| value));
                }
            }
            Deed::Update { sets, from, condition, .. } => {
                parts.extend(sets.iter_mut().map(|(_, value)| value));
                parts.extend([from, condition]);
            }
            Deed::Delete { condition } => parts.push(condition),
        }
        parts.extend(&mut self.returning);
        parts
    }
}

impl Conflict {
    /// With this WHERE.
    pub fn sql(&self, condition: &str) -> String {
        match &self.sets {
            None => format!(" ON CONFLICT {} DO NOTHING", self.on),
            Some((column, value)) => format!(" ON CONFLICT {} DO UPDATE SET {column} = {value}{condition}", self.on),
        }
    }
}

/// A WHERE of ours and theirs.
fn and(ours: String, theirs: &str) -> String {
    match (ours.is_empty(), theirs.is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!(" WHERE {theirs}"),
        (false, true) => format!(" WHERE {ours}"),
        (false, false) => format!(" WHERE {ours} AND ({theirs})"),
    }
}

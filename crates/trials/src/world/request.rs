//! A random request to the writer, in parts that can be left out one by one when a failure is made smaller.

use crate::traps::Traps;
use tidebase_engine::{Format, Params, Sql, SqlRequest, Value};

#[derive(Clone, Debug, Default)]
pub struct Statement {
    pub head: String,
    /// Of a VALUES list.
    pub rows: Vec<String>,
    pub tail: String,
    pub params: Vec<Value>,
    pub deed: Deed,
}

/// What a statement sets out to do, to see later whether it came to pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deed {
    Insert,
    Replace,
    Upsert,
    Update,
    KeyUpdate,
    Delete,
    #[default]
    Other,
}

/// How the statements travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The one statement.
    Single,
    /// All in one text.
    Script,
    /// The same between BEGIN and COMMIT.
    Wrapped,
    Transaction,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub statements: Vec<Statement>,
    pub form: Form,
    /// Hit if it succeeds and changes something.
    pub traps: Traps,
    /// Index of the table that its only statement writes.
    pub table: Option<usize>,
    /// Must be refused.
    pub is_forbidden: bool,
}

impl Statement {
    pub fn plain(sql: impl Into<String>) -> Self {
        Self { head: sql.into(), ..Self::default() }
    }

    pub fn sql(&self) -> String {
        format!("{}{}{}", self.head, self.rows.join(", "), self.tail)
    }

    pub fn params(&self) -> Params {
        if self.params.is_empty() { Params::None } else { Params::Positional(self.params.clone()) }
    }
}

impl Request {
    pub fn single(statement: Statement) -> Self {
        Self {
            statements: vec![statement],
            form: Form::Single,
            traps: Traps::default(),
            table: None,
            is_forbidden: false,
        }
    }

    /// The form in which it can be sent: shrinking may have taken statements away, and a script shares no parameters.
    fn settled_form(&self) -> Form {
        let has_params = self.statements.iter().any(|statement| !statement.params.is_empty());
        match self.form {
            Form::Single if self.statements.len() == 1 => Form::Single,
            Form::Script | Form::Wrapped if !has_params => self.form,
            _ => Form::Transaction,
        }
    }

    pub fn to_engine(&self) -> SqlRequest {
        let join = || self.statements.iter().map(Statement::sql).collect::<Vec<_>>().join("; ");
        let text = |sql: String| vec![Sql { sql, params: Params::None }];
        let (statements, is_transaction) = match self.settled_form() {
            Form::Single => (vec![Sql { sql: self.statements[0].sql(), params: self.statements[0].params() }], false),
            Form::Script => (text(join()), false),
            Form::Wrapped => (text(format!("BEGIN; {}; COMMIT", join())), false),
            Form::Transaction => {
                let one = |statement: &Statement| Sql { sql: statement.sql(), params: statement.params() };
                (self.statements.iter().map(one).collect(), true)
            }
        };
        SqlRequest {
            statements,
            is_transaction,
            format: Format::Objects,
            ..SqlRequest::query(String::new(), Params::None)
        }
    }
}

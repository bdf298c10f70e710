//! What runs the SQL: a local file or a server. The shell above knows the difference only by what it asks here.

use super::failure::{Failure, Refusal};
use super::local::Local;
use super::remote::Remote;
use super::script::Grouping;
use std::time::Duration;
use tidebase_engine::Value;

/// Hears what a back-end gives.
pub trait Sink {
    /// A result begins.
    fn columns(&mut self, names: Vec<String>) -> Result<(), Failure>;
    fn row(&mut self, row: Vec<Value>) -> Result<(), Failure>;
    /// The statement is done; for one that changes rows, how many.
    fn done(&mut self, changed: Option<u64>) -> Result<(), Failure>;
}

#[derive(Debug)]
pub enum Backend {
    Local(Local),
    Remote(Remote),
}

impl Backend {
    /// Runs statements that go together.
    pub fn run(&mut self, statements: &[&str], sink: &mut dyn Sink) -> Result<(), Failure> {
        match self {
            Self::Local(local) => {
                for (index, sql) in statements.iter().enumerate() {
                    local.run(sql, sink).map_err(|failure| match failure {
                        Failure::Refused(refusal) => Failure::Refused(Refusal { statement: index, ..refusal }),
                        other => other,
                    })?;
                }
                Ok(())
            }
            Self::Remote(remote) => remote.run(statements, sink),
        }
    }

    /// A question of the shell's own; a server that is slow to answer is not waited for.
    pub fn ask(&mut self, sql: &str, time_max: Option<Duration>) -> Result<Gathered, Failure> {
        let mut gathered = Gathered::default();
        match self {
            Self::Local(local) => local.run(sql, &mut gathered)?,
            Self::Remote(remote) => remote.ask(sql, time_max, &mut gathered)?,
        }
        Ok(gathered)
    }

    /// As it stands in the greeting.
    pub fn place(&self) -> String {
        match self {
            Self::Local(local) => local.place(),
            Self::Remote(remote) => remote.place(),
        }
    }

    pub fn is_in_transaction(&self) -> bool {
        match self {
            Self::Local(local) => local.is_in_transaction(),
            Self::Remote(_) => false,
        }
    }

    /// How the statements of one entry of a person, or of a whole script, are put together.
    pub fn grouping(&self, is_script: bool) -> Grouping {
        match self {
            Self::Local(_) => Grouping::Each,
            Self::Remote(_) if is_script => Grouping::Transactions,
            Self::Remote(_) => Grouping::Together,
        }
    }
}

/// A result kept whole, for the shell's own questions.
#[derive(Debug, Default)]
pub struct Gathered {
    pub names: Vec<String>,
    pub rows: Vec<Vec<Value>>,
    pub changed: Option<u64>,
}

impl Gathered {
    /// The rows as text; what is not text is empty.
    pub fn texts(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        let text = |value: &Value| match value {
            Value::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        self.rows.iter().map(move |row| row.iter().map(text).collect())
    }
}

impl Sink for Gathered {
    fn columns(&mut self, names: Vec<String>) -> Result<(), Failure> {
        self.names = names;
        Ok(())
    }
    fn row(&mut self, row: Vec<Value>) -> Result<(), Failure> {
        self.rows.push(row);
        Ok(())
    }
    fn done(&mut self, changed: Option<u64>) -> Result<(), Failure> {
        self.changed = changed;
        Ok(())
    }
}

//! What the writer can be asked to do: one closed set, one job per request.

use crate::error::Result;
use crate::keys::KeyWrite;
use crate::request::{Answer, Idempotency, SqlRequest};
use crate::sqlite::budget::Cancel;
use crate::sqlite::tokens::{self, Class};
use crate::topics::TopicWrite;
use tokio::sync::oneshot;

#[derive(Debug)]
pub enum Work {
    Sql(SqlRequest),
    Key(KeyWrite),
    Topic(TopicWrite),
    /// Writes a setting of `_tide_meta`; `None` removes it.
    Setting {
        name: &'static str,
        value: Option<String>,
    },
}

/// How a job shares the group commit with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// With whoever is waiting.
    Any,
    /// In a transaction of its own, because it changes the schema.
    OwnGroup,
    /// Outside any transaction.
    NoTransaction,
}

#[derive(Debug)]
pub struct Job {
    pub work: Work,
    pub idempotency: Option<Idempotency>,
    pub cancel: Cancel,
    pub reply: oneshot::Sender<Result<Answer>>,
}

impl Job {
    /// A job of the engine itself, with where its answer will be.
    pub fn own(work: Work) -> (Self, oneshot::Receiver<Result<Answer>>) {
        let (reply, answer) = oneshot::channel();
        (Self { work, idempotency: None, cancel: Cancel::default(), reply }, answer)
    }
}

impl Work {
    pub fn company(&self) -> Company {
        let Self::Sql(request) = self else { return Company::Any };
        let mut company = Company::Any;
        for statement in &request.statements {
            for range in tokens::statements(&statement.sql) {
                match tokens::class(&statement.sql[range]) {
                    Class::Schema if company == Company::Any => company = Company::OwnGroup,
                    Class::Alone => company = Company::NoTransaction,
                    _ => {}
                }
            }
        }
        company
    }
}

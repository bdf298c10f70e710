//! What the writer can be asked to do: one closed set, one job per request.

use crate::access::policy::PolicyWrite;
use crate::access::{Principal, Role};
use crate::backups::swap::Fork;
use crate::documents::Batch;
use crate::error::{Error, Result};
use crate::import::Import;
use crate::keys::KeyWrite;
use crate::logs::AuditEntry;
use crate::migrations::task::Task;
use crate::request::{Answer, Idempotency, Line, SqlRequest, WriteName};
use crate::schemas::SchemaWrite;
use crate::sqlite::budget::Cancel;
use crate::sqlite::tokens::{self, Class};
use crate::storage::answers;
use crate::storage::rehearse::Rehearsal;
use crate::storage::system::SystemStatement;
use crate::topics::TopicWrite;
use tokio::sync::oneshot;

#[derive(Debug)]
pub enum Work {
    Sql(SqlRequest),
    Key {
        write: KeyWrite,
        principal: Principal,
    },
    Documents {
        batch: Box<Batch>,
        principal: Principal,
    },
    /// Makes the table of a collection.
    MakeCollection {
        table: Box<str>,
    },
    Topic {
        write: TopicWrite,
        principal: Principal,
    },
    Policy {
        write: Box<PolicyWrite>,
        /// For the audit log.
        who: String,
    },
    Schema {
        write: SchemaWrite,
        /// For the audit log.
        who: String,
    },
    /// A file of the administrator's.
    Import(Box<Import>),
    /// A restored file takes the database's place.
    Restore(Box<Fork>),
    /// A step of migrations, or a rehearsal of several.
    Migrate(Box<Task>),
    /// Cannot be understood, and is refused when its turn comes: unless it was carried out before, when it could be.
    Refused(Error),
    /// Tried, and undone.
    Rehearse(Box<Rehearsal>),
    /// Statements of ours on the tables of the catalogue, all in one transaction, with what is to be noted of them.
    System {
        statements: Vec<SystemStatement>,
        audit: Option<AuditEntry>,
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
    pub company: Company,
    /// The SQL asks for `changes()`, which must not tell of the request before.
    pub asks_changes: bool,
    /// The SQL may set `defer_foreign_keys`, which must not outlive it.
    pub defers_keys: bool,
    /// The SQL may mend an index that did not agree with its table: results change though no row does.
    pub mends_indexes: bool,
    pub idempotency: Option<Idempotency>,
    pub cancel: Cancel,
    pub reply: oneshot::Sender<Result<Answer>>,
}

impl Job {
    /// A job of the engine itself, with where its answer will be.
    pub fn own(work: Work) -> (Self, oneshot::Receiver<Result<Answer>>) {
        Self::new(work, None, Cancel::default())
    }

    /// Looks at the SQL's text on the caller's thread, so that the writer need not.
    pub fn new(
        work: Work,
        idempotency: Option<Idempotency>,
        cancel: Cancel,
    ) -> (Self, oneshot::Receiver<Result<Answer>>) {
        let (reply, answer) = oneshot::channel();
        let mentions = |word: &str| match &work {
            Work::Sql(request) => request.statements.iter().any(|statement| mentions(&statement.sql, word)),
            _ => false,
        };
        let (asks_changes, defers_keys) =
            (mentions("changes"), mentions("defer_foreign_keys") || matches!(work, Work::Import(_) | Work::Migrate(_)));
        let company = work.company();
        let mends_indexes = company == Company::OwnGroup && mentions("reindex");
        (Self { work, company, asks_changes, defers_keys, mends_indexes, idempotency, cancel, reply }, answer)
    }
}

impl Job {
    /// Answers whoever asked. One who has gone away needs no answer.
    pub fn answer(self, outcome: Result<Answer>) {
        if let Err(error) = &outcome {
            self.note_refusal(error);
        }
        let _ = self.reply.send(outcome);
    }

    /// Nothing that was sent behind it may come before it, should it be tried again.
    pub fn note_refusal(&self, error: &Error) {
        if let Some(idempotency) = &self.idempotency
            && !answers::is_final(&idempotency.name, error.code)
        {
            self.break_line();
        }
    }

    pub fn break_line(&self) {
        self.line().inspect(|(line, number)| line.break_at(*number));
    }

    pub fn is_behind_a_break(&self) -> bool {
        self.line().is_some_and(|(line, number)| line.is_broken_before(number))
    }

    /// With its place there.
    fn line(&self) -> Option<(&Line, i64)> {
        match &self.idempotency.as_ref()?.name {
            WriteName::Mutation { line, number, .. } => Some((line, *number)),
            WriteName::Key(_) => None,
        }
    }
}

/// Does the text have the word, in whatever case? It may stand in a comment: then something is reset for nothing.
fn mentions(text: &str, word: &str) -> bool {
    let first = word.as_bytes()[0];
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let is_here = |at: usize| text[at..].get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word));
    (0..text.len()).any(|at| text[at].eq_ignore_ascii_case(&first) && is_here(at))
}

impl Work {
    /// Whom policies bind in it; none is the administrator, or the engine itself.
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Sql(request) => request.principal.role(),
            Self::Key { principal, .. } | Self::Documents { principal, .. } | Self::Topic { principal, .. } => {
                principal.role()
            }
            Self::MakeCollection { .. }
            | Self::Policy { .. }
            | Self::Schema { .. }
            | Self::Import(_)
            | Self::Restore(_)
            | Self::Migrate(_)
            | Self::Refused(_)
            | Self::Rehearse(_)
            | Self::System { .. } => None,
        }
    }

    fn company(&self) -> Company {
        let request = match self {
            Self::Sql(request) => request,
            // Each makes views that no other should meet.
            Self::Policy { .. }
            | Self::Schema { .. }
            | Self::Rehearse(_)
            | Self::MakeCollection { .. }
            | Self::Import(_)
            | Self::Migrate(_) => {
                return Company::OwnGroup;
            }
            Self::Restore(_) => return Company::NoTransaction,
            Self::Key { .. } | Self::Documents { .. } | Self::Topic { .. } | Self::Refused(_) | Self::System { .. } => {
                return Company::Any;
            }
        };
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

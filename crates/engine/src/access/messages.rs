//! Policies on topics: who may listen, and who may publish and be seen.
//!
//! Their `table` is the engine's own [`TABLE`], whose name no table of anyone's can have; the row they judge is one
//! message, made of what is asked and called [`ROW`] in their expressions. `select` lets listen to a `topic` and see who is
//! present, `insert` lets publish `data` there and be present with it. SQLite evaluates them in the name of the caller;
//! whatever goes wrong is a no.

use super::Access;
use super::policy::{Action, Policy};
use super::principal::{Principal, Role};
use super::sight::any_of;
use crate::error::{Code, Error, Result};
use crate::sqlite::Sqlite;
use crate::sqlite::gate::Mode;
use crate::value::Value;
use std::time::Duration;

pub const TABLE: &str = "_tide_messages";

/// What the row is called, for a column of the same name in a sub-query.
const ROW: &str = "message";

/// What somebody wants to do in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Listen,
    Publish,
    BePresent,
}

impl Deed {
    fn action(self) -> Action {
        match self {
            Self::Listen => Action::Select,
            Self::Publish | Self::BePresent => Action::Insert,
        }
    }

    /// The same words whatever the reason is, and whether there is such a topic or not.
    fn refusal(self, topic: &str) -> Error {
        Error::forbidden(match self {
            Self::Listen => format!("No policy lets you listen to the topic {topic:?}."),
            Self::Publish => format!("No policy lets you publish this to the topic {topic:?}."),
            Self::BePresent => format!("No policy lets you show yourself like this in the topic {topic:?}."),
        })
    }
}

/// For each role what is asked about listening, and about publishing; nothing is a no.
pub type Questions = [[Option<Box<str>>; 2]; 3];

pub fn questions(policies: &[Policy]) -> Questions {
    Role::ALL.map(|role| {
        [Action::Select, Action::Insert].map(|action| {
            let mut granting = policies.iter().filter(|policy| policy.is_for(TABLE, action, role)).peekable();
            granting.peek()?;
            let condition = match action {
                Action::Select => any_of(granting.map(Policy::using_sql)),
                _ => any_of(granting.map(Policy::check_sql)),
            };
            Some(question(action, &condition).into())
        })
    })
}

fn question(action: Action, condition: &str) -> String {
    let columns = if action == Action::Select { "?1 AS topic" } else { "?1 AS topic, ?2 AS data" };
    format!("SELECT 1 FROM (SELECT {columns}) AS {ROW} WHERE {condition}")
}

/// Does it fit what a message is?
///
/// # Errors
/// `invalid`, saying what to change.
pub fn check_fit(sqlite: &mut Sqlite, policy: &Policy) -> Result<()> {
    if matches!(policy.action, Action::Update | Action::Delete) {
        return Err(Error::invalid(
            "Messages are listened to and published: policies of topics are for select, insert or all.",
        ));
    }
    if policy.columns.is_some() {
        return Err(Error::invalid("A message is told whole: policies of topics have no \"columns\"."));
    }
    if matches!(policy.action, Action::Select | Action::All) {
        super::policy::check_question(sqlite, "using", &question(Action::Select, &policy.using_sql()))?;
    }
    if matches!(policy.action, Action::Insert | Action::All) {
        super::policy::check_question(sqlite, "check", &question(Action::Insert, &policy.check_sql()))?;
    }
    Ok(())
}

impl Access {
    /// May the caller do that with this JSON, a message or a state? The administrator may; to listen there is none.
    ///
    /// # Errors
    /// `forbidden` unless a policy allows it, or if one fails; `timeout` if they take too long.
    pub fn admit(
        &self,
        sqlite: &mut Sqlite,
        principal: &Principal,
        topic: &str,
        deed: Deed,
        data: &str,
        time: Duration,
    ) -> Result<()> {
        let Some(role) = principal.role() else { return Ok(()) };
        let is_written = deed.action() == Action::Insert;
        let question = &self.topics[role as usize][usize::from(is_written)];
        let question = question.as_deref().ok_or_else(|| deed.refusal(topic))?;
        let mut values = vec![Value::text(topic)];
        if is_written {
            values.push(Value::text(data));
        }
        let asked = sqlite.speaking_for(principal, |sqlite| {
            sqlite.bounded(time, None, Mode::Caller, |sqlite| sqlite.answers(question, &values))
        });
        match asked {
            Ok(true) => Ok(()),
            Ok(false) => Err(deed.refusal(topic)),
            Err(error) if matches!(error.code, Code::Timeout | Code::Unavailable) => Err(error),
            Err(error) => {
                tracing::warn!(topic, %error, "a policy on topics failed: what it was asked is refused");
                Err(deed.refusal(topic))
            }
        }
    }
}
